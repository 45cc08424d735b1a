"""What a person is subscribed to, as we know it, or as Stripe says this very moment. Reads only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence

from paydesk import billing, bills, cases, inbox, subscriptions
from paydesk.asking import Object
from paydesk.clock import Clock
from paydesk.desk import Desk
from paydesk.errors import Invalid, NotFound
from paydesk.ledger import Book
from paydesk.showing import Planned as Planned
from paydesk.showing import Shown as Shown
from paydesk.showing import planned_of as planned_of
from paydesk.store import Store, Tx
from paydesk.stripe import billing as readers
from paydesk.stripe.gateway import Gateway
from paydesk.subscriptions import Bill, Item

PLANNED = "planned_change"
"""The kind of a written down change that waits for the end of the cycle."""


def products_of(items: Iterable[Item]) -> set[str]:
    """Return the products of the catalogue that items stand for."""
    return {str(item.terms["product"]) for item in items if item.terms.get("product")}


# --- as we know it ---------------------------------------------------------------------------------------------------


async def get(store: Store, id_: str) -> Shown:
    """Return a subscription that is known here; raises `NotFound`."""
    async with store.transaction() as tx:
        found = await shown(tx, [id_])
    if not found:
        raise NotFound(f"no subscription {id_}", param="subscription")
    return found[0]


PAGE = """
SELECT id FROM subscription WHERE customer_id = $1 AND ($2::text[] IS NULL OR status = ANY($2))
  AND ($3::timestamptz IS NULL OR (started_at, id) < ($3, $4)) ORDER BY started_at DESC, id DESC LIMIT $5
"""


async def listed(
    store: Store, customer: str, *, status: str | None = None, starting_after: str | None = None, limit: int = 100
) -> list[Shown]:
    """Return a person's subscriptions, newest first: of one status, of `live` ones, or all."""
    wanted = list(subscriptions.LIVE) if status == "live" else None if status is None else [status]
    async with store.transaction() as tx:
        at = await tx.fetchval("SELECT started_at FROM subscription WHERE id = $1", starting_after)
        if starting_after is not None and at is None:
            raise Invalid(f"no subscription {starting_after}", param="starting_after")
        rows = await tx.fetch(PAGE, customer, wanted, at, starting_after, limit)
        return await shown(tx, [row[0] for row in rows])


async def shown(tx: Tx, ids: Sequence[str]) -> list[Shown]:
    """Return subscriptions in the order of their ids, those that are known."""
    found = await bills.load(tx, ids)
    planned = await _planned(tx, found)
    told = []
    for id_ in ids:
        if id_ in found:
            bill = await _with_gone(tx, found[id_])
            told.append(Shown(bill, subscriptions.standing(bill), planned.get(id_)))
    return told


async def _with_gone(tx: Tx, bill: Bill) -> Bill:
    known, _ = await cases.load(tx, billing.recent_orders(bill), ())
    return billing.with_gone(bill, known)


async def _planned(tx: Tx, ids: Iterable[str]) -> dict[str, Planned]:
    rows = await tx.fetch(
        "SELECT subject, key, params FROM stripe_call WHERE kind = $1 AND state = 'pending' AND subject = ANY($2::text[])",
        PLANNED,
        sorted(ids),
    )
    return {row["subject"]: planned_of(row["key"], row["params"]) for row in rows}


# --- as Stripe says it is --------------------------------------------------------------------------------------------


async def fresh(store: Store, gateway: Gateway, clock: Clock, id_: str) -> Shown:
    """Return a subscription as Stripe shows it now, in our terms; nothing is written. Raises `NotFound`."""
    return (await at_stripe(store, gateway, clock, id_))[0]


async def at_stripe(store: Store, gateway: Gateway, clock: Clock, id_: str) -> tuple[Shown, Object]:
    """Return a subscription as Stripe shows it now, in our terms, and its newest invoice in Stripe's, also a draft.

    Nothing is written; the invoice is `{}` where there is none. Raises `NotFound`.
    """
    asked_at = await store.fetchval("SELECT clock_timestamp()")
    found = await gateway.look("subscription", id_)
    fact = readers.subscription_is({**found, "asked_at": asked_at}, clock.now())
    prices, keys = billing.wanted_keys([fact])
    orders = {one for one in (fact.order, *(invoice.order for invoice in fact.invoices)) if one is not None}
    async with store.transaction() as tx:
        desk = Desk(clock.now(), (await cases.load(tx, orders, ()))[0], {}, {}, {}, {}, Book(clock.now()))
        desk.bills = await bills.load(tx, [id_])
        desk.known_customers = await bills.known_customers(tx, {fact.stripe_customer})
        desk.keys = await bills.price_keys(tx, prices)
        desk.plans = await bills.plans(tx, keys | set(desk.keys.values()))
        desk.order_plans = await bills.order_plans(tx, orders)
        told = billing.told(desk, fact, livemode=gateway.livemode)
        if told is None:
            raise NotFound(f"no subscription {id_}", param="subscription")
        known = desk.bills[id_].invoices if id_ in desk.bills else {}
        newest = {invoice.id: invoice for invoice, _ in told.invoices}
        bill = await _with_gone(tx, Bill(told.subscription, {**known, **newest}))
        planned = await _planned(tx, [id_])
    newest_at_stripe = found["invoices"][0] if found["invoices"] else {}
    return Shown(bill, subscriptions.standing(bill), planned.get(id_)), newest_at_stripe


SETTLED_S_MAX = 1.5
STATE = "SELECT state FROM inbox WHERE source = $1 AND external_id = $2"


async def after(store: Store, gateway: Gateway, clock: Clock, id_: str, because: str | None) -> Shown:
    """Return a subscription after a change: as we know it once the look `because` of it is settled.

    When nobody settles it soon, or it is `None` and nothing was asked of Stripe, what is returned is not older either.
    """
    if because is None:
        return await get(store, id_)
    until = time.monotonic() + SETTLED_S_MAX
    while time.monotonic() < until:
        if await store.fetchval(STATE, inbox.QUESTION, f"subscription:{id_}:{because}") not in ("ready", "parked"):
            return await get(store, id_)
        await asyncio.sleep(0.03)
    return await fresh(store, gateway, clock, id_)
