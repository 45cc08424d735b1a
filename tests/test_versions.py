"""Which API versions are read, and what tells of an object that has the shape of another one."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from conftest import settings_for
from paydesk import doctor
from paydesk.app import open_service
from paydesk.channels.base import Finding
from paydesk.config import Settings, load
from paydesk.stripe import shapes
from sandbox_fixtures import Sandbox, running_sandbox


@pytest.mark.parametrize(
    ("version", "read"),
    [
        ("2023-10-16", True), ("2024-06-20", True), ("2024-09-30.acacia", True), ("2025-08-27.basil", True),
        ("2025-09-30.clover", True), ("2026-03-25.dahlia", True), ("2026-10-28.endive", True), ("2026-12-16.endive", True),
        ("2023-08-16", False), ("2020-08-27", False), ("2027-03-31.fuchsia", False), ("2026-04-22.preview", False),
        ("latest", False), ("", False), (None, False),
    ],
)  # fmt: skip
def test_versions_from_the_oldest_to_the_newest_name_are_read(version: str | None, read: bool) -> None:
    assert shapes.reads(version) is read


def event(version: str, obj: dict[str, Any]) -> dict[str, Any]:
    return {"id": "evt_1", "object": "event", "api_version": version, "data": {"object": obj}}


ITEM = {"object": "subscription_item", "current_period_end": 1}
ODD = {
    "a subscription of old": ("2025-03-31.basil", {"object": "subscription", "current_period_end": 1}),
    "a new item in an old subscription": ("2024-06-20", {"object": "subscription", "items": {"data": [ITEM]}}),
    "an old invoice inside": ("2026-10-28.endive", {"object": "charge", "x": [{"object": "invoice", "subscription": None}]}),
    "a new invoice": ("2023-10-16", {"object": "invoice", "parent": None}),
    "an intent with charges": ("2023-10-16", {"object": "payment_intent", "charges": {"data": []}}),
    "a session of old": ("2026-10-28.endive", {"object": "checkout.session", "shipping_details": None}),
}  # fmt: skip


@pytest.mark.parametrize(("version", "obj"), ODD.values(), ids=ODD)
def test_t12_an_object_in_another_shape_than_its_event_tells_is_found(version: str, obj: dict[str, Any]) -> None:
    assert str(shapes.other_shape(event(version, obj))).endswith(("-31", "-15"))


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": {"object": [1, {"object": []}]}}, {"api_version": 7}])
def test_what_is_no_event_has_no_shape(body: dict[str, Any]) -> None:
    assert shapes.other_shape(body) is None


@pytest.mark.parametrize("version", ["2023-10-16", "2024-09-30.acacia", "2025-03-31.basil", shapes.NEWEST])
def test_t12_what_stripe_sends_in_one_version_is_in_the_shape_of_that_version(
    stripe_sandbox: Sandbox, version: str
) -> None:
    sandbox = stripe_sandbox.other()
    stripe = sandbox.sdk(stripe_version=version)
    customer = stripe.v1.customers.create({"payment_method": "pm_card_visa"}, {"stripe_version": version})
    method = stripe.v1.customers.payment_methods.list(customer.id).data[0].id
    price = stripe.v1.prices.create(
        {"currency": "usd", "unit_amount": 500, "recurring": {"interval": "month"}, "product_data": {"name": "x"}}
    )
    stripe.v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": price.id}], "default_payment_method": method}
    )
    kinds = set()
    headers = {"Authorization": f"Bearer {sandbox.key}", "Stripe-Version": version}
    for one in httpx.get(f"{sandbox.url}/v1/events?limit=100", headers=headers).json()["data"]:
        obj = one["data"]["object"]
        kinds.add(obj["object"])
        shown = httpx.get(f"{sandbox.url}/v1/{obj['object']}s/{obj['id']}", headers=headers).json()
        assert shapes.other_shape(event(version, shown)) is None, (version, shown)
    assert {"subscription", "invoice", "charge", "payment_intent"} <= kinds


# --- the doctor ------------------------------------------------------------------------------------------------------


def found(findings: list[Finding], what: str) -> Finding:
    return next(finding for finding in findings if finding.what == what)


@pytest.mark.parametrize(
    ("default", "pinned", "events", "ok", "mend"),
    [
        ("2026-10-28.endive", None, "webhook", True, "an upgrade of the account changes what comes"),
        ("2026-10-28.endive", "2026-10-28.endive", "webhook", True, None),
        ("2024-06-20", "2026-10-28.endive", "webhook", True, "the events list comes in the account's"),
        ("2020-08-27", "2026-10-28.endive", "webhook", True, "the events list comes in the account's"),
        ("2020-08-27", None, "webhook", False, "add the endpoint anew in Stripe, with the API version 2026-10-28.endive"),
        ("2026-10-28.endive", "2020-08-27", "webhook", False, "add the endpoint anew in Stripe"),
        ("2020-08-27", "2026-10-28.endive", "both", False, "upgrade the account in Stripe"),
        ("2020-08-27", None, "poll", False, "upgrade the account in Stripe"),
        ("2024-06-20", None, "poll", True, None),
    ],
)  # fmt: skip
async def test_t12_check_tells_of_a_version_that_is_not_read_or_not_the_accounts(
    own_settings: tuple[Sandbox, dict[str, str]],
    default: str,
    pinned: str | None,
    events: str,
    ok: bool,
    mend: str | None,
) -> None:
    sandbox, given = own_settings
    settings = load({**given, "STRIPE_EVENTS": events})
    httpx.post(f"{sandbox.url}/_sandbox/settings", json={"api_version": default}).raise_for_status()
    params = {"url": f"{settings.public_url}/webhooks/stripe", "enabled_events": ["*"]}
    stripe = sandbox.sdk(given["STRIPE_API_KEY"])
    endpoint = stripe.v1.webhook_endpoints.create({**params, **({"api_version": pinned} if pinned else {})})  # type: ignore[typeddict-item]
    try:
        finding = found(await doctor.examine(settings), "API version")
    finally:
        stripe.v1.webhook_endpoints.delete(endpoint.id)
    assert (finding.ok, default in finding.seen) == (ok, True), finding
    assert (finding.mend is None) == (mend is None), finding
    assert mend is None or mend in str(finding.mend)


@pytest.fixture(scope="module")
def own_settings(new_database: Any) -> Any:
    with running_sandbox() as sandbox:
        yield sandbox, settings_for(new_database(), sandbox.url)


@pytest.mark.parametrize(
    ("version", "obj", "seen"),
    [
        ("2020-08-27", {"object": "charge"}, "evt_odd came as 2020-08-27: which Paydesk does not read"),
        ("2026-10-28.endive", {"object": "x", "inside": {"object": "charge", "invoice": None}}, "charge.invoice stood there"),
        ("2026-10-28.endive", {"object": "charge"}, "2026-10-28.endive"),
    ],
)  # fmt: skip
async def test_t12_check_tells_of_an_event_that_came_in_another_shape(
    settings: Settings, version: str, obj: dict[str, Any], seen: str
) -> None:
    async with open_service(settings) as service:
        body = json.dumps({**event(version, obj), "id": "evt_odd"}).encode()
        await service.store.execute("INSERT INTO seen VALUES ('stripe', 'evt_odd')")
        await service.store.execute(
            "INSERT INTO inbox (source, external_id, kind, lane, body, livemode) VALUES ('stripe','evt_odd','x',1,$1,false)",
            body,
        )
    finding = found(await doctor.examine(settings), "events' shape")
    assert seen in finding.seen
    assert finding.ok is (seen == version)
