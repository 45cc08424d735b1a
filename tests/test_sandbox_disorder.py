"""Disorder and limits of the sandbox: what goes wrong on request, the same each time; rates; settings; rolled secrets."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe

from sandbox_fixtures import Receiver, Sandbox, receiver, running_sandbox, until


@pytest.fixture(scope="module")
def own_sandbox() -> Iterator[Sandbox]:
    """A sandbox for this module: disorder and settings are for all accounts."""
    with running_sandbox("--gap-factor", "0.1") as running:
        yield running


@pytest.fixture
def own(own_sandbox: Sandbox) -> Sandbox:
    """That sandbox in order again, with an account of the test's own."""
    httpx.post(f"{own_sandbox.url}/_sandbox/reset").raise_for_status()
    return own_sandbox.other()


def tell(sandbox: Sandbox, call: str, body: Any) -> httpx.Response:
    return httpx.post(f"{sandbox.url}/_sandbox/{call}", json=body)


def listen(sandbox: Sandbox, receiver: Receiver, **more: str) -> dict[str, Any]:
    params = {"url": receiver.url, "enabled_events[]": "customer.created", **more}
    return dict(sandbox.call("POST", "/v1/webhook_endpoints", params).json())


def deliveries(sandbox: Sandbox) -> list[dict[str, Any]]:
    feed = httpx.get(f"{sandbox.url}/_sandbox/feed").json()
    return [row for row in feed["deliveries"][::-1] if row["event"] in {event["id"] for event in sandbox.events()}]


def disordered(sandbox: Sandbox, receiver: Receiver, seed: int) -> tuple[list[Any], list[str]]:
    """What the chaos planned for thirty webhooks, and the order in which they arrived."""
    receiver.hooks.clear()
    chaos = {"duplicate": 0.3, "drop": 0.2, "reorder": True, "delay_ms": [0, 20], "seed": seed}
    assert tell(sandbox, "chaos", chaos).json() == chaos
    listen(sandbox, receiver)
    for number in range(30):
        sandbox.call("POST", "/v1/customers", {"name": str(number)})
    plan = [row["chaos"] for row in deliveries(sandbox)]
    expected = sum(journey["copies"] for journey in plan)
    until(lambda: len(receiver.hooks) >= expected, what=f"{expected} webhooks")
    time.sleep(0.3)
    names = [json.loads(hook.body)["data"]["object"]["name"] for hook in receiver.hooks]
    assert names != sorted(names, key=int)
    return plan, names


def test_the_same_seed_brings_the_same_disorder(own: Sandbox, receiver: Receiver) -> None:
    plan, arrived = disordered(own, receiver, 7)
    assert disordered(own.other(), receiver, 7) == (plan, arrived)
    assert disordered(own.other(), receiver, 8)[0] != plan
    copies = [journey["copies"] for journey in plan]
    assert set(copies) == {0, 1, 2}
    assert [Counter(arrived)[str(number)] for number in range(30)] == copies
    lost = own.call("GET", "/v1/events", {"delivery_success": "false", "limit": "100"}).json()["data"]
    assert len(lost) == copies.count(0)
    tell(own, "chaos", {})
    receiver.hooks.clear()
    own.call("POST", "/v1/customers")
    until(lambda: receiver.hooks, what="the webhook")


def test_late_webhooks_keep_their_order(own: Sandbox, receiver: Receiver) -> None:
    tell(own, "chaos", {"duplicate": 0.5, "delay_ms": [0, 200], "seed": 4})
    listen(own, receiver)
    for number in range(10):
        own.call("POST", "/v1/customers", {"name": str(number)})
    expected = sum(row["chaos"]["copies"] for row in deliveries(own))
    until(lambda: len(receiver.hooks) >= expected > 10, what=f"{expected} webhooks")
    names = [int(json.loads(hook.body)["data"]["object"]["name"]) for hook in receiver.hooks]
    assert names == sorted(names)


def test_every_webhook_comes_in_the_version_of_the_chaos(own: Sandbox, receiver: Receiver) -> None:
    tell(own, "chaos", {"api_version": "2023-10-16"})
    params = {"url": receiver.url, "enabled_events[]": "charge.succeeded"}
    own.call("POST", "/v1/webhook_endpoints", params)
    paid = {"amount": "500", "currency": "usd", "payment_method": "pm_card_visa", "confirm": "true"}
    own.call("POST", "/v1/payment_intents", paid)
    until(lambda: receiver.hooks, what="the webhook")
    event = json.loads(receiver.hooks[0].body)
    assert event["api_version"] == "2023-10-16"
    assert event["data"]["object"]["invoice"] is None
    assert "presentment_details" not in event["data"]["object"]


@pytest.mark.parametrize(
    ("name", "error", "status"),
    [("429", stripe.RateLimitError, 429), ("500", stripe.APIError, 500), ("503", stripe.APIError, 503),
     ("lock_timeout", stripe.RateLimitError, 429)],
)  # fmt: skip
def test_errors_come_as_often_as_asked(own: Sandbox, name: str, error: Any, status: int) -> None:
    tell(own, "chaos", {"errors": {name: 1}})
    with pytest.raises(error) as refused:
        own.sdk().v1.customers.create()
    assert refused.value.http_status == status
    tell(own, "chaos", {"errors": {name: 0.5}, "seed": 3})
    first = [own.call("GET", "/v1/customers").status_code for _ in range(40)]
    assert 5 < first.count(status) < 35
    tell(own, "chaos", {"errors": {name: 0.5}, "seed": 3})
    assert [own.call("GET", "/v1/customers").status_code for _ in range(40)] == first


def test_a_500_is_kept_under_its_key_and_may_have_done_its_work(own: Sandbox) -> None:
    tell(own, "chaos", {"errors": {"500": 1}})
    for number in range(20):
        broken = own.call("POST", "/v1/customers", {"name": str(number)}, Idempotency_Key=f"k{number}")
        assert broken.status_code == 500
        assert "Stripe-Should-Retry" not in broken.headers
    tell(own, "chaos", {})
    again = own.call("POST", "/v1/customers", {"name": "0"}, Idempotency_Key="k0")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (500, "true")
    assert again.json() == own.call("POST", "/v1/customers", {"name": "0"}, Idempotency_Key="k0").json()
    done = len(own.call("GET", "/v1/customers", {"limit": "100"}).json()["data"])
    assert 0 < done < 20


def test_a_429_leaves_the_key_free(own: Sandbox) -> None:
    tell(own, "chaos", {"errors": {"429": 1}})
    assert own.call("POST", "/v1/customers", Idempotency_Key="k").status_code == 429
    tell(own, "chaos", {})
    assert own.call("POST", "/v1/customers", Idempotency_Key="k").status_code == 200


def test_a_timeout_does_the_work_and_says_nothing(own: Sandbox) -> None:
    tell(own, "chaos", {"timeout": 1})
    with own.http() as http, pytest.raises(httpx.ReadTimeout):
        http.post("/v1/customers", data={"name": "silent"}, headers={"Idempotency-Key": "k"}, timeout=0.5)
    tell(own, "chaos", {})
    again = own.call("POST", "/v1/customers", {"name": "silent"}, Idempotency_Key="k")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(own.call("GET", "/v1/customers").json()["data"]) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"duplicate": 2}, {"drop": "x"}, {"reorder": 1}, {"delay_ms": 5}, {"delay_ms": [9, 1]}, {"errors": {"418": 0.1}},
     {"errors": {"500": 0.9, "429": 0.9}}, {"timeout": True}, {"colour": 1}, {"api_version": "old"}, [],
     {"seed": "x"}, {"seed": True}, {"api_version": "2022-11-15"}],
)  # fmt: skip
def test_disorder_that_makes_no_sense_is_refused_and_changes_nothing(own: Sandbox, wrong: Any) -> None:
    tell(own, "chaos", {"duplicate": 0.5})
    answer = tell(own, "chaos", wrong)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert httpx.get(f"{own.url}/_sandbox/chaos").json() == {"duplicate": 0.5}


def test_a_rate_limit_refuses_what_is_too_much(own: Sandbox) -> None:
    assert tell(own, "settings", {"rate_limit_per_s": 25}).json()["rate_limit_per_s"] == 25
    with own.http() as http:
        statuses = [http.post("/v1/customers").status_code for _ in range(40)]
        refused = http.get("/v1/customers")
    assert statuses[:25] == [200] * 25
    assert statuses[-1] == refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit"
    assert own.other().call("GET", "/v1/customers").status_code == 200
    with pytest.raises(stripe.RateLimitError) as limited:
        own.sdk().v1.customers.list()
    assert limited.value.error.code == "rate_limit"
    time.sleep(1.1)
    assert own.call("GET", "/v1/customers").status_code == 200


def test_settings_are_checked_whole(own: Sandbox) -> None:
    before = httpx.get(f"{own.url}/_sandbox/settings").json()
    for wrong in ({"api_version": "new"}, {"rate_limit_per_s": -1}, {"search_delay_s": "x"}, {"colour": 1},
                  {"rate_limit_per_s": 5, "search_delay_s": -1}):  # fmt: skip
        assert tell(own, "settings", wrong).status_code == 400
    assert httpx.get(f"{own.url}/_sandbox/settings").json() == before


def test_a_rolled_secret_signs_for_a_day(own: Sandbox, receiver: Receiver) -> None:
    endpoint = listen(own, receiver)
    rolled = tell(own, f"webhook_endpoints/{endpoint['id']}/roll", {"expires_in": "24h"}).json()

    def signed_by() -> tuple[bool, bool]:
        receiver.hooks.clear()
        own.call("POST", "/v1/customers")
        until(lambda: receiver.hooks, what="the webhook")
        return verified(receiver, endpoint["secret"]), verified(receiver, rolled["secret"])

    assert signed_by() == (True, True)
    own.advance("23h")
    assert signed_by() == (True, True)
    own.advance("2h")
    assert signed_by() == (False, True)
    assert tell(own, f"webhook_endpoints/{endpoint['id']}/roll", {"expires_in": "2d"}).status_code == 400
    assert tell(own, "webhook_endpoints/we_0/roll", {}).status_code == 404


def verified(receiver: Receiver, secret: str) -> bool:
    hook = receiver.hooks[0]
    try:
        stripe.Webhook.construct_event(hook.body, hook.headers["Stripe-Signature"], secret)
    except stripe.SignatureVerificationError:
        return False
    return True


def test_an_endpoint_that_fails_for_days_stays_enabled(own: Sandbox, receiver: Receiver) -> None:
    receiver.answers = [500] * 200
    endpoint = listen(own, receiver)
    own.call("POST", "/v1/customers")

    def given_up() -> bool:
        own.advance("1h")
        return own.state()["deliveries"]["gave_up"] == 1

    until(given_up, what="giving up")
    assert own.call("GET", f"/v1/webhook_endpoints/{endpoint['id']}").json()["status"] == "enabled"


def test_a_disabled_endpoint_gets_no_more_tries(own: Sandbox, receiver: Receiver) -> None:
    receiver.answers = [500] * 200
    endpoint = listen(own, receiver)
    own.call("POST", "/v1/customers")
    until(lambda: deliveries(own)[0]["attempts"] >= 1, what="the first try")
    own.call("POST", f"/v1/webhook_endpoints/{endpoint['id']}", {"disabled": "true"})
    time.sleep(0.2)  # a try may have been under way
    tries = len(receiver.hooks)
    own.advance("1h")
    until(lambda: own.state()["deliveries"]["canceled"] == 1, what="the end of the tries")
    assert len(receiver.hooks) == tries


def test_kept_answers_are_removed_after_a_day(own: Sandbox) -> None:
    for number in range(5):
        own.call("POST", "/v1/customers", Idempotency_Key=f"k{number}")
    assert own.state()["kept_answers"] == 5
    own.advance("25h")
    assert own.state()["kept_answers"] == 0
