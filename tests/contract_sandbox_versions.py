"""Answers and events in older versions, judged by the official SDKs of their time; and what asks for a version."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox_fixtures import (
    Receiver,
    Sandbox,
    confirm,
    receiver,
    running_sandbox,
    sandbox,
    session_of,
    shared_sandbox,
    until,
)
from stripe_shapes import CLASSES, problems
from tools import python_with

_JUDGE = Path(__file__).with_name("old_sdk_judge.py")
_OF_THEIR_TIME = {"2023-10-16": "8.11.0", "2024-09-30.acacia": "11.1.1", "2025-03-31.basil": "12.0.1"}


@pytest.mark.parametrize("version", _OF_THEIR_TIME)
def test_the_sdk_of_its_time_finds_nothing_wrong(version: str) -> None:
    python = python_with("stripe", _OF_THEIR_TIME[version])
    newer = {kind: sorted(cls.__annotations__) for kind, cls in CLASSES.items()}
    with running_sandbox() as own:
        httpx.post(f"{own.url}/_sandbox/settings", json={"api_version": version}).raise_for_status()
        done = subprocess.run(
            [str(python), str(_JUDGE), own.url, own.key],
            input=json.dumps(newer),
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)
    assert verdict["problems"] == []
    expected = {
        "charge",
        "checkout.session",
        "customer",
        "event",
        "invoice",
        "payment_intent",
        "refund",
        "subscription",
    }
    assert expected | {"line_item"} <= set(verdict["kinds"])


def paid_intent(sandbox: Sandbox, **headers: str) -> dict[str, Any]:
    params = {"amount": "500", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}
    answer = sandbox.call("POST", "/v1/payment_intents", {**params, "expand[]": "latest_charge"}, **headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_request_is_answered_in_the_version_it_names(sandbox: Sandbox) -> None:
    old = paid_intent(sandbox, Stripe_Version="2023-10-16")
    assert old["invoice"] is None
    assert old["latest_charge"]["invoice"] is None
    assert "managed_payments" not in old
    path = f"/v1/payment_intents/{old['id']}"
    assert sandbox.call("GET", path, Stripe_Version="2023-10-16").headers["Stripe-Version"] == "2023-10-16"
    for newer in ("2026-10-28.endive", "2027-01-01.fuchsia"):
        answer = sandbox.call("GET", path, Stripe_Version=newer).json()
        assert problems(answer) == []
    listed = sandbox.call("GET", "/v1/charges", {"expand[]": "data.invoice"}, Stripe_Version="2024-12-18.acacia").json()
    assert listed["data"][0]["invoice"] is None
    assert sandbox.call("GET", "/v1/charges", {"expand[]": "data.invoice"}).status_code == 400


def test_a_declined_intent_inside_an_error_has_the_version_too(sandbox: Sandbox) -> None:
    params = {"amount": "500", "currency": "usd", "payment_method": "pm_card_chargeDeclined", "confirm": "true"}
    old = sandbox.call("POST", "/v1/payment_intents", params, Stripe_Version="2024-09-30.acacia").json()["error"]
    assert old["payment_intent"]["invoice"] is None
    assert "advice_code" not in old["payment_intent"]["last_payment_error"]
    assert "regulated_status" not in old["payment_method"]["card"]
    new = sandbox.call("POST", "/v1/payment_intents", params).json()["error"]
    assert new["payment_intent"]["last_payment_error"]["advice_code"]


def test_a_webhook_has_the_version_of_its_endpoint(sandbox: Sandbox, receiver: Receiver) -> None:
    old = {"url": receiver.url, "enabled_events[]": "charge.succeeded", "api_version": "2023-10-16"}
    assert sandbox.call("POST", "/v1/webhook_endpoints", old).json()["api_version"] == "2023-10-16"
    sandbox.call("POST", "/v1/webhook_endpoints", {"url": receiver.url, "enabled_events[]": "charge.succeeded"})
    paid_intent(sandbox)
    until(lambda: len(receiver.hooks) == 2, what="both webhooks")
    events = {event["api_version"]: event for event in (json.loads(hook.body) for hook in receiver.hooks)}
    assert set(events) == {"2023-10-16", "2026-10-28.endive"}
    assert events["2023-10-16"]["data"]["object"]["invoice"] is None
    assert problems(events["2026-10-28.endive"]) == []
    assert events["2023-10-16"]["id"] == events["2026-10-28.endive"]["id"]


def test_the_default_version_is_that_of_the_events_written_under_it(receiver: Receiver) -> None:
    with running_sandbox() as own:
        paid_intent(own)
        httpx.post(f"{own.url}/_sandbox/settings", json={"api_version": "2024-09-30.acacia"}).raise_for_status()
        answer = own.call("GET", "/v1/charges")
        assert answer.headers["Stripe-Version"] == "2024-09-30.acacia"
        assert answer.json()["data"][0]["invoice"] is None
        before = len(own.events())
        paid_intent(own)
        versions = [event["api_version"] for event in own.events()]
        assert versions[:before] == ["2026-10-28.endive"] * before
        assert set(versions[before:]) == {"2024-09-30.acacia"}
        changed = next(event for event in own.events()[before:] if event["type"] == "charge.updated")
        assert list(changed["data"]["previous_attributes"]) == ["balance_transaction"]


def test_former_values_follow_a_renamed_field(receiver: Receiver, sandbox: Sandbox) -> None:
    params = {"url": receiver.url, "enabled_events[]": "product.updated", "api_version": "2023-10-16"}
    sandbox.call("POST", "/v1/webhook_endpoints", params)
    product = sandbox.call(
        "POST", "/v1/products", {"name": "x", "features[0][name]": "a"}, Stripe_Version="2023-10-16"
    ).json()
    assert product["features"] == [{"name": "a"}]
    sandbox.call("POST", f"/v1/products/{product['id']}", {"marketing_features[0][name]": "b"})
    until(lambda: receiver.hooks, what="the webhook")
    data = json.loads(receiver.hooks[0].body)["data"]
    assert data["object"]["features"] == [{"name": "b"}]
    assert data["previous_attributes"]["features"] == [{"name": "a"}]
    assert "marketing_features" not in data["previous_attributes"]
