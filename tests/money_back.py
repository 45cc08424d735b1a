"""What the stories of money that goes back share: a shop with a clock, dashboards, and everything told once more.

Import the fixture `shop`.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import settings_for
from desk import Buyer, Desk, running_desk
from invariants import violations
from paydesk.clock import Clock
from paydesk.store import Store
from sandbox_fixtures import running_sandbox, until

CATALOG = Path(__file__).with_name("catalog_back.toml")


@pytest.fixture(scope="module")
def shop(new_database: Callable[[], str]) -> Iterator[Desk]:
    """A desk with a sandbox of its own, whose clock these tests move. At the end everything must be true of it."""
    with running_sandbox() as sandbox:
        settings = settings_for(new_database(), sandbox.url, PAYDESK_CATALOG=str(CATALOG))
        with running_desk(settings, sandbox) as desk:
            yield desk
            calm(desk)
            found = asyncio.run(_violations(desk))
            assert found == [], found
            assert booked(desk) == at_stripe(desk), "the books and Stripe's balance are one"


async def _violations(desk: Desk) -> list[str]:
    store = await Store.open(desk.settings["DATABASE_URL"], clock=Clock())
    try:
        await store.refresh_clock()
        return await violations(store)
    finally:
        await store.close()


BOOKED = """
SELECT substr(a.unit, 7) AS currency, sum(CASE a.id WHEN e.to_account THEN e.amount ELSE -e.amount END)::bigint AS amount
FROM account a JOIN entry e ON a.id IN (e.from_account, e.to_account)
WHERE a.owner = 'system' AND a.kind = 'stripe' GROUP BY 1
"""


def booked(shop: Desk) -> dict[str, int]:
    """What the ledger says that Stripe holds for us, by currency."""
    return {row["currency"]: row["amount"] for row in shop.sql(BOOKED) if row["amount"]}


def at_stripe(shop: Desk) -> dict[str, int]:
    """What Stripe says that it holds for us, by currency: available and on its way."""
    balance = shop.at_stripe("GET", "/v1/balance").json()
    total: dict[str, int] = {}
    for part in (*balance["available"], *balance["pending"]):
        total[part["currency"]] = total.get(part["currency"], 0) + part["amount"]
    return {currency: amount for currency, amount in total.items() if amount}


@contextmanager
def settled_in(shop: Desk, currency: str) -> Iterator[None]:
    """Meanwhile Stripe settles everything in one currency."""
    for name in (currency, ""):
        httpx.post(f"{shop.sandbox.url}/_sandbox/settings", json={"settlement_currency": name}).raise_for_status()
        if name:
            yield


def bought(shop: Desk, price: str, card: str = "pm_card_visa") -> tuple[Buyer, dict[str, Any]]:
    """Somebody new has bought something; the buyer and the order."""
    buyer = shop.buyer()
    return buyer, buy(buyer, price, card)


def buy(buyer: Buyer, price: str, card: str = "pm_card_visa") -> dict[str, Any]:
    """Buy something with a card, until it is settled."""
    order = buyer.checkout(price)
    assert buyer.pay(order, card).status_code == 200
    return buyer.desk.settled(order["id"])


def advance(shop: Desk, span: str) -> None:
    """Move the sandbox's clock, wait until the desk has followed, and until all is done that then was due."""
    shop.sandbox.advance(span)
    offset_s = httpx.get(f"{shop.sandbox.url}/_sandbox/clock").json()["offset_s"]
    until(lambda: shop.sql("SELECT clock_offset_s FROM desk")[0]["clock_offset_s"] == offset_s, what="the desk's clock")
    calm(shop)


def intent_of(shop: Desk, order: dict[str, Any]) -> str:
    """The payment that paid an order."""
    return str(shop.sql("SELECT paid_by FROM orders WHERE id = $1", order["id"])[0]["paid_by"])


def charge_of(shop: Desk, order: dict[str, Any]) -> str:
    return str(
        shop.sql("SELECT charge FROM payment WHERE order_id = $1 AND charge IS NOT NULL", order["id"])[0]["charge"]
    )


def refund(shop: Desk, order: dict[str, Any], amount: int | None = None, *, ours: bool = False) -> dict[str, Any]:
    """Refund at Stripe's, as a person in the dashboard does: without a word of ours in it."""
    params = {"payment_intent": intent_of(shop, order), **({"amount": str(amount)} if amount else {})}
    if ours:
        params["metadata[paydesk_order]"] = order["id"]
    answer = shop.at_stripe("POST", "/v1/refunds", params)
    assert answer.status_code == 200, answer.text
    calm(shop)
    return dict(answer.json())


def dispute(shop: Desk, order: dict[str, Any], status: str) -> dict[str, Any]:
    """Bring the dispute of an order's charge to a status; it is opened when there is none."""
    answer = httpx.post(
        f"{shop.sandbox.url}/_sandbox/disputes", json={"charge": charge_of(shop, order), "status": status}
    )
    assert answer.status_code == 200, answer.text
    calm(shop)
    return dict(answer.json())


def calm(shop: Desk) -> None:
    """Return when every event that the sandbox has told of is settled, with what follows from it, and no timer is due."""
    until(lambda: _heard(shop), patience_s=30, what="the news")
    until(lambda: shop.get("/v1/status")["timers"]["due"] == 0, patience_s=30, what="an end of timers")
    shop.quiet()


def _heard(shop: Desk) -> bool:
    told = shop.events_at_stripe()
    known = shop.sql(
        "SELECT external_id FROM seen WHERE external_id = ANY($1::text[])", [event["id"] for event in told]
    )
    return len(known) == len(told)


def status_of(shop: Desk, order: dict[str, Any]) -> str:
    return str(shop.get(f"/v1/orders/{order['id']}")["status"])


def wallet(buyer: Buyer, unit: str = "credits") -> dict[str, Any]:
    """Balance, held and debt of a unit."""
    found = buyer.desk.get(f"/v1/customers/{buyer.id}/credits", unit=unit)
    return {name: found[name] for name in ("balance", "held", "debt")}


def has(balance: int, debt: int = 0, held: int = 0) -> dict[str, int]:
    return {"balance": balance, "held": held, "debt": debt}


def alerts(shop: Desk, order: dict[str, Any]) -> list[str]:
    """What the people of the desk were told about an order."""
    said = shop.sql("SELECT text FROM message WHERE channel = 'admin' AND external_id = 'desk' ORDER BY id")
    return [row["text"] for row in said if order["id"] in row["text"]]


# --- everything once more --------------------------------------------------------------------------------------------

STATE = """
SELECT jsonb_build_object(
    'orders', (SELECT jsonb_agg(to_jsonb(o) ORDER BY o.id) FROM orders o WHERE o.id = $1),
    'payments', (SELECT jsonb_agg(to_jsonb(p) ORDER BY p.id) FROM payment p WHERE p.order_id = $1),
    'refunds', (SELECT jsonb_agg(to_jsonb(r) ORDER BY r.id) FROM refund r JOIN payment p ON p.id = r.payment_id
                WHERE p.order_id = $1),
    'disputes', (SELECT jsonb_agg(to_jsonb(d) ORDER BY d.id) FROM dispute d JOIN payment p ON p.id = d.payment_id
                 WHERE p.order_id = $1),
    'sources', (SELECT jsonb_agg(to_jsonb(s) ORDER BY s.id) FROM source s WHERE s.order_id = $1),
    'entries', (SELECT jsonb_agg(to_jsonb(e) ORDER BY e.id) FROM entry e JOIN source s ON s.id = e.source
                WHERE s.order_id = $1),
    'accounts', (SELECT jsonb_agg(to_jsonb(a) ORDER BY a.id) FROM account a JOIN orders o ON o.customer_id = a.owner
                 WHERE o.id = $1),
    'lots', (SELECT jsonb_agg(to_jsonb(l) ORDER BY l.id) FROM lot l JOIN source s ON s.id = l.source WHERE s.order_id = $1),
    'grants', (SELECT jsonb_agg(to_jsonb(g) ORDER BY g.source) FROM grant_ g JOIN orders o USING (customer_id)
               WHERE o.id = $1),
    'messages', (SELECT jsonb_agg(jsonb_build_array(x.dedup_key, x.params) ORDER BY x.id) FROM outbox x
                 WHERE x.params->>'order' = $1)
)::text AS state
"""


def state(shop: Desk, order: dict[str, Any]) -> str:
    """Everything that is known because of an order."""
    return str(shop.sql(STATE, order["id"])[0]["state"])


def tell_again(shop: Desk, order: dict[str, Any]) -> None:
    """Everything that Stripe has told of an order comes once more, mixed, under its own and under new ids."""
    intent = intent_of(shop, order)
    mine = [event for event in shop.events_at_stripe() if _names(event, {order["id"], intent, charge_of(shop, order)})]
    assert len(mine) > 3
    again = mine + [{**event, "id": f"{event['id']}_again"} for event in mine]
    random.Random(order["id"]).shuffle(again)
    for event in again:
        assert shop.deliver(event).status_code == 200
    shop.quiet()


def _names(event: dict[str, Any], names: set[str]) -> bool:
    text = str(event["data"]["object"])
    return any(name in text for name in names)


def changes_nothing(shop: Desk, order: dict[str, Any]) -> None:
    """Telling everything again leaves everything as it is."""
    before = json.loads(state(shop, order))
    tell_again(shop, order)
    after = json.loads(state(shop, order))
    assert after == before, {what: (before[what], after[what]) for what in before if before[what] != after[what]}


def books_hold(shop: Desk) -> None:
    """`paydesk ledger check` proves the ledger."""
    said = shop.command("ledger", "check")
    assert said.returncode == 0, said.stdout + said.stderr
