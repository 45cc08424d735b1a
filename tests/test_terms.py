"""What was sold stays what it was sold as, however the catalogue is edited while its events come."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import settings_for
from paydesk import checkout, customers
from paydesk.app import open_service
from paydesk.config import Settings, load
from paydesk.customers import Identity, Thread
from paydesk.service import Service
from paydesk.stripe.envelope import envelope
from sandbox_fixtures import Sandbox

PRICE = 3000
SOLD = """
[products.everything]
name = "Everything"
on_dispute = "{policy}"
prices = [{{ currency = "usd", amount = "30.00" }}]
grants = [{{ kind = "credits", amount = 100, expires_days = 60 }}, {{ kind = "pass", feature = "premium", days = 30 }},
          {{ kind = "feature", feature = "badge" }}]
"""
OTHER = """
[products.something-else]
name = "Something else"
prices = [{ currency = "usd", amount = "1.00" }]
"""
EDITED = st.none() | st.fixed_dictionaries({
    "amount": st.sampled_from(["0.50", "30.00", "99.99"]), "currency": st.sampled_from(["usd", "eur"]),
    "credits": st.integers(1, 1000), "unit": st.sampled_from(["credits", "tokens"]),
    "expires": st.sampled_from(["", ", expires_days = 1", ", expires_days = 900"]),
    "days": st.integers(1, 900), "feature": st.sampled_from(["premium", "vip"]), "policy": st.sampled_from(["hold", "wait"]),
})  # fmt: skip


def edited(to: dict[str, Any] | None) -> str:
    """A catalogue in which the product is another one, or is not sold any more (`None`)."""
    if to is None:
        return OTHER
    return f"""
[products.everything]
name = "Everything, and new"
on_dispute = "{to["policy"]}"
prices = [{{ currency = "{to["currency"]}", amount = "{to["amount"]}" }}]
grants = [{{ kind = "credits", amount = {to["credits"]}, unit = "{to["unit"]}"{to["expires"]} }},
          {{ kind = "pass", feature = "{to["feature"]}", days = {to["days"]} }}]
"""


@pytest.fixture(scope="module")
def base(
    new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    folder = tmp_path_factory.mktemp("terms")
    return load(settings_for(new_database(), stripe_sandbox.url, PAYDESK_DATA=str(folder)), folder=folder)


def with_catalog(base: Settings, text: str) -> Settings:
    path: Path = base.data / "catalog.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return replace(base, catalog=path)


def at_stripe(base: Settings, path: str, form: dict[str, str] | None = None) -> dict[str, Any]:
    """A call to the sandbox: a POST with a form, else a GET."""
    assert base.stripe_api_key is not None
    headers = {"Authorization": f"Bearer {base.stripe_api_key.reveal()}"}
    method = "GET" if form is None else "POST"
    answer = httpx.request(method, base.stripe_api_base + path, headers=headers, data=form, timeout=30)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def sell(service: Service) -> tuple[str, str]:
    """Write an order and open its session; gives both ids."""
    name = secrets.token_hex(8)
    person = await customers.find_or_make(service.store, Identity("web", name))
    line = checkout.line_of(service.catalog, "everything", 1)
    order = await checkout.create_order(
        service.store, checkout.NewOrder(person, (line,), Thread("web", name, None)), livemode=False
    )
    await checkout.open_session(service.store, service.gateway, order, public_url="http://127.0.0.1:1")
    return order, str((await checkout.get(service.store, order))["session"])


async def hear(service: Service, body: bytes) -> None:
    await service.receiver.receive(envelope(body))
    await service.worker.drain()


KNOWN = """
SELECT o.status, o.amount, o.currency,
    (SELECT jsonb_object_agg(split_part(s.id, ':', 3), jsonb_build_array(s.kind, s.unit, s.worth, s.terms))
     FROM source s WHERE s.id LIKE o.id || ':%') AS sources,
    (SELECT jsonb_agg(jsonb_build_array(l.remaining, extract(epoch FROM l.expires_at - o.paid_at)::bigint / 86400)
     ORDER BY l.id) FROM lot l JOIN source s ON s.id = l.source WHERE s.order_id = o.id AND l.remaining > 0) AS lots,
    (SELECT jsonb_agg(jsonb_build_array(g.kind, g.feature, g.seconds) ORDER BY g.source) FROM grant_ g
     JOIN source s ON s.id = g.source WHERE s.order_id = o.id) AS grants
FROM orders o WHERE o.id = $1
"""


async def live_through(base: Settings, policy: str, edits: list[dict[str, Any] | None]) -> list[Any]:
    """Sell, then pay, refund and dispute, with another catalogue before each piece of news; gives what is known then."""
    sold = with_catalog(base, SOLD.format(policy=policy))
    async with open_service(sold) as service:
        order, session = await sell(service)
    paying = {"payment_method": "pm_card_visa", "expected_amount": str(PRICE)}
    intent = at_stripe(base, f"/v1/payment_pages/{session}/confirm", paying)["payment_intent"]["id"]
    charge = at_stripe(base, f"/v1/payment_intents/{intent}")["latest_charge"]
    at_stripe(base, "/v1/refunds", {"payment_intent": intent, "amount": "1000", "metadata[paydesk_order]": order})
    made = httpx.post(f"{base.stripe_api_base}/_sandbox/disputes", json={"charge": charge, "status": "needs_response"})
    told = [event for event in at_stripe(base, "/v1/events?limit=100")["data"][::-1]
            if intent in str(event) or made.json()["id"] in str(event)]  # fmt: skip
    known = []
    for number, event in enumerate(told):
        now = edited(edits[number % len(edits)]) if edits else SOLD.format(policy=policy)
        async with open_service(with_catalog(base, now)) as service:
            await hear(service, json.dumps(event).encode())
            (row,) = await service.store.fetch(KNOWN, order)
            known.append(dict(row))
    return known


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["hold", "wait"]), st.lists(EDITED, min_size=1, max_size=4))
def test_t45_an_edited_catalogue_changes_nothing_that_was_sold(
    base: Settings, policy: str, edits: list[dict[str, Any] | None]
) -> None:
    after = asyncio.run(live_through(base, policy, edits))
    assert after == asyncio.run(live_through(base, policy, []))
    end = after[-1]
    worths = {number: source[2] for number, source in end["sources"].items()}
    whole = policy == "wait"  # a third was refunded; the dispute takes the rest at once, or waits
    assert worths == ({"0": 67, "1": 20 * 86_400, "2": 1} if whole else {"0": 0, "1": 0, "2": 0})
    assert end["lots"] == ([[67, 60]] if whole else None)
