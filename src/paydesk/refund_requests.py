"""Refunds that programs ask for: written down within a limit, carried out once a person has approved them.

Whoever asks gets a row that waits; nothing goes back by it. A person approves or refuses on the command line, where no
key reaches. Approving is the ordinary refund under the request's own id, so it happens once however often, and by
however many, it is approved; never more than what is left of the payment. Who asked and who decided stands in the row,
in the audit log and in the trace of the buyer.

A request waits, for a day; then it is `expired`. It ends as `refused`, `refunded`, or `failed` when Stripe or the
ledger would not. `approved` is the moment between: approving again goes on with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paydesk import alerts, audit, customers, money, outbox, refunds, stars
from paydesk.clock import iso
from paydesk.config import Settings
from paydesk.errors import Conflict, Invalid, NotFound, PaydeskError, StoreUnavailable, StripeUnavailable
from paydesk.paging import Cut, Listed, Only, Page, read
from paydesk.store import Record, Store, Tx
from paydesk.stripe.gateway import Gateway

LASTS_H = 24
"""For so many hours a request waits for a person, and counts in the day's total."""

BUSY_S = 60
"""For so long whoever approves has the request to themselves; then they have died, and another may go on with it."""

LOOK_S = 0.3

STATES = ("waiting", "expired", "refused", "approved", "refunded", "failed")
DAY_LOCK = 0x72656664  # whoever asks counts alone: two never pass the day's total together

NOW = "CASE WHEN q.state = 'waiting' AND q.expires_at <= desk_now() THEN 'expired' ELSE q.state END"
"""The state as it is now: what nobody has answered in time is over, also before anybody has written that down."""

COLUMNS = f"""q.id, {NOW} AS state, q.order_id, o.customer_id, q.payment_id, q.amount, q.currency, q.reason, q.key_id,
    q.agent, q.decided_by, q.detail, q.refund_id, r.status AS refund_status, q.created_at, q.expires_at, q.decided_at,
    (SELECT string_agg(l.quantity || ' × ' || l.name, ', ' ORDER BY l.position)
     FROM order_line l WHERE l.order_id = q.order_id) AS bought"""
TABLES = "refund_request q JOIN orders o ON o.id = q.order_id LEFT JOIN refund r ON r.id = q.refund_id"
ROWS = f"SELECT {COLUMNS} FROM {TABLES}"
LIST = Listed("refund request", COLUMNS, TABLES, ("q.created_at", "q.id"), "q.created_at", "q.id")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be asked for, in the smallest unit of each currency: at once, and by everybody within 24 hours.

    A currency without a limit is not given back at all; one without a day's total has the same for a day.
    """

    once: Mapping[str, int]
    day: Mapping[str, int]

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Return the limits of the settings."""
        return cls(settings.refund_max, settings.refund_day_max)

    def of_day(self, currency: str) -> int:
        """Return the day's total of a currency."""
        return self.day.get(currency, self.once.get(currency, 0))

    def shown(self) -> list[dict[str, Any]]:
        """Return them as JSON; empty where nothing may be asked for."""
        return [
            {"currency": name, "amount_max": amount, "day_max": self.of_day(name)}
            for name, amount in sorted(self.once.items())
            if amount > 0
        ]


@dataclass(frozen=True, slots=True)
class Ask:
    """What to give back of an order, in its smallest unit (all that is left without an amount), why, and who asks.

    `agent` is what the asking program calls itself: a word to a person, not a proof.
    """

    order: str
    amount: int | None
    reason: str
    key_id: str
    agent: str


# --- asking ----------------------------------------------------------------------------------------------------------


async def ask(store: Store, wanted: Ask, limits: Limits, *, id_: str) -> Record:
    """Write a request down, tell the people of the desk, and return its row; the same `id_` is written once.

    One request of an order waits at a time: the same again returns it. Raises `NotFound` for an unknown order, and
    `Conflict` for what is not paid, not left, above a limit, or another amount than the one that waits.
    """
    return await store.run(lambda tx: _written(tx, wanted, limits, id_))


async def _written(tx: Tx, wanted: Ask, limits: Limits, id_: str) -> Record:
    paid = await _payment(tx, wanted.order)
    await customers.lock_person(tx, paid["customer_id"])
    await tx.execute(
        "UPDATE refund_request SET state = 'expired' "
        "WHERE order_id = $1 AND state = 'waiting' AND expires_at <= desk_now()",
        wanted.order,
    )
    known = await tx.fetchrow(f"{ROWS} WHERE q.id = $2 OR (q.order_id = $1 AND q.state = 'waiting')", wanted.order, id_)
    if known is not None:
        return _same(known, wanted)
    amount = await _fitting(tx, paid, wanted.amount)
    await _refuse_above(tx, limits, amount, paid["currency"])
    await _insert(tx, id_, wanted, paid["id"], amount, paid["currency"])
    row = await tx.fetchrow(f"{ROWS} WHERE q.id = $1", id_)
    if row is None:
        raise PaydeskError("a request that was just written is not there")
    return row


async def _payment(tx: Tx, order: str) -> Record:
    """Return the payment whose money may go back; raises for an order that is unknown, or not paid."""
    row = await tx.fetchrow(refunds.PAYMENT_OF_ORDER, order)
    if row is None and not await tx.fetchval("SELECT 1 FROM orders WHERE id = $1", order):
        raise NotFound(f"no order {order}", param="order")
    if row is None or row["status"] != "succeeded":
        raise Conflict(f"{order} is not paid: there is nothing to give back", param="order", code="not_paid")
    if stars.is_one(row["id"]):
        raise Conflict(f"{order} was paid in a platform's own money: a person gives it back", param="order")
    return row


def _same(known: Record, wanted: Ask) -> Record:
    """Return the request that is there already, unless another amount is meant."""
    if wanted.amount is not None and known["amount"] != wanted.amount:
        raise Conflict(
            f"{known['id']} of {known['amount']} {known['currency']} waits for a person already: one at a time",
            param="order",
            code="request_waiting",
        )
    return known


async def _fitting(tx: Tx, paid: Record, amount: int | None) -> int:
    """Return how much is asked for; raises for more than is left of the payment."""
    left = paid["amount"] - int(await tx.fetchval(refunds.GIVEN_BACK, paid["id"]))
    if left <= 0:
        raise Conflict(f"{paid['order_id']} is given back already", param="order", code="already_refunded")
    if amount is not None and amount > left:
        shown = money.display(left, paid["currency"])
        raise Conflict(f"only {shown} of {paid['order_id']} are left", param="amount", code="amount_too_large")
    return left if amount is None else amount


ASKED_TODAY = f"""
SELECT coalesce(sum(amount), 0) FROM refund_request q
WHERE q.currency = $1 AND {NOW} IN ('waiting', 'approved', 'refunded')
  AND q.created_at > desk_now() - make_interval(hours => {LASTS_H})
"""


async def _refuse_above(tx: Tx, limits: Limits, amount: int, currency: str) -> None:
    """Raise `Conflict` for more than may be asked for at once, or together with everything of the last 24 hours."""
    once, day = limits.once.get(currency, 0), limits.of_day(currency)
    if amount > once:
        shown = f"at most {money.display(once, currency)} may be asked for" if once else f"{currency} may not be"
        raise Conflict(f"{shown}: a person must make this refund", param="amount", code="refund_limit")
    await tx.execute("SELECT pg_advisory_xact_lock($1)", DAY_LOCK)
    asked = int(await tx.fetchval(ASKED_TODAY, currency))
    if asked + amount > day:
        left = money.display(max(0, day - asked), currency)
        raise Conflict(
            f"{left} of the {money.display(day, currency)} for 24 hours are left: a person must make this refund",
            param="amount",
            code="refund_limit",
        )


async def _insert(tx: Tx, id_: str, wanted: Ask, payment: str, amount: int, currency: str) -> None:
    """Write the row, note who asked, and tell the people of the desk."""
    await tx.execute(
        "INSERT INTO refund_request (id, order_id, payment_id, amount, currency, reason, key_id, agent, created_at, "
        f"expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, desk_now(), desk_now() + make_interval(hours => {LASTS_H}))",
        id_, wanted.order, payment, amount, currency, wanted.reason, wanted.key_id, wanted.agent,
    )  # fmt: skip
    detail: dict[str, object] = {"order": wanted.order, "amount": amount, "currency": currency, "agent": wanted.agent}
    await audit.note(tx, wanted.key_id, "refund_request.create", [id_], detail)
    params = {
        "name": wanted.agent, "price": money.display(amount, currency), "resource": wanted.order,
        "because": wanted.reason, "number": id_,
    }  # fmt: skip
    await outbox.put(tx, [alerts.of("refund_wanted", id_, **params)])


# --- deciding --------------------------------------------------------------------------------------------------------

DECIDE = f"""
UPDATE refund_request SET state = $2, decided_by = $3, detail = $4, decided_at = desk_now(),
    busy_until = now() + make_interval(secs => {BUSY_S})
WHERE id = $1 AND state = 'waiting' AND expires_at > desk_now()
"""

TAKE_OVER = f"""
UPDATE refund_request SET busy_until = now() + make_interval(secs => {BUSY_S})
WHERE id = $1 AND state = 'approved' AND busy_until <= now()
"""


async def approve(store: Store, gateway: Gateway, id_: str, *, by: str) -> Record:
    """Give the money back, once, and return the request; approved again, it goes on or changes nothing.

    While somebody else carries it out, this waits for the end, for a minute at most. Raises `Conflict` for a request
    that was refused, has failed or expired, what the refund itself raises when it is refused (the request has then
    failed), and `StripeUnavailable` when its end is not known: then approve it again.
    """
    row, ours = await _decide(store, id_, "approved", by, None)
    while row["state"] == "approved" and not ours:
        ours = await store.execute(TAKE_OVER, id_) == 1
        if not ours:
            await asyncio.sleep(LOOK_S)
            row = await get(store, id_)
    if ours:
        await _carry_out(store, gateway, row)
        row = await get(store, id_)
    if row["state"] == "failed":
        raise Conflict(f"{id_} was approved and has failed: {row['detail']}", code="decided")
    return row


async def _carry_out(store: Store, gateway: Gateway, row: Record) -> None:
    """Give the money back under the request's own id, and note the end; raises as `approve` does."""
    what = refunds.Ask(payment=row["payment_id"], amount=row["amount"], reason="requested_by_customer")
    try:
        made, _ = await refunds.make(store, gateway, what, operation=row["id"], actor=row["decided_by"])
    except StripeUnavailable:
        await store.execute("UPDATE refund_request SET busy_until = now() WHERE id = $1", row["id"])
        raise
    except StoreUnavailable:
        raise
    except PaydeskError as refused:
        await _end(store, row, "failed", "detail", refused.message[:300])
        raise
    await _end(store, row, "refunded", "refund_id", made.id)


async def refuse(store: Store, id_: str, *, by: str, because: str | None = None) -> Record:
    """Refuse a request and return it; refused again, nothing changes. Raises `Conflict` for one that has ended."""
    row, _ = await _decide(store, id_, "refused", by, because)
    return row


async def _decide(store: Store, id_: str, state: str, by: str, because: str | None) -> tuple[Record, bool]:
    """Write a decision on a request that waits; return it, and whether we have decided, or it was decided the same."""

    async def work(tx: Tx) -> tuple[Record | None, bool]:
        ours = await tx.execute(DECIDE, id_, state, by, because) == 1
        if ours:
            await audit.note(tx, by, f"refund_request.{state}", [id_], {} if because is None else {"because": because})
        return await tx.fetchrow(f"{ROWS} WHERE q.id = $1", id_), ours

    row, ours = await store.run(work)
    if row is None:
        raise NotFound(f"no refund request {id_}", param="refund_request")
    if row["state"] != state and (state, row["state"]) != ("approved", "refunded"):
        by_whom = f" by {row['decided_by']}" if row["decided_by"] else ""
        raise Conflict(f"{id_} is {row['state']}{by_whom}: it cannot be {state} any more", code="decided")
    return row, ours


async def _end(store: Store, row: Record, state: str, column: str, value: str) -> None:
    """Note how an approved request ended."""

    async def work(tx: Tx) -> None:
        sql = f"UPDATE refund_request SET state = $2, {column} = $3 WHERE id = $1 AND state = 'approved'"
        if await tx.execute(sql, row["id"], state, value):
            await audit.note(tx, row["decided_by"], f"refund_request.{state}", [row["id"]], {column: value})

    await store.run(work)


# --- looking ---------------------------------------------------------------------------------------------------------


async def get(store: Store, id_: str) -> Record:
    """Return a request as it is now; raises `NotFound`."""
    row = await store.fetchrow(f"{ROWS} WHERE q.id = $1", id_)
    if row is None:
        raise NotFound(f"no refund request {id_}", param="refund_request")
    return row


async def listed(store: Store, cut: Cut, *, state: str | None = None) -> Page:
    """Return requests, newest first, of one state if it is named; raises `Invalid` for a state that there is not."""
    if state is not None and state not in STATES:
        raise Invalid(f"state is one of {', '.join(STATES)}", param="state")
    wanted = [Only(f"{NOW} = {{}}", (state,))] if state is not None else []
    async with store.transaction() as tx:
        return await read(tx, LIST, wanted, cut)


def shown(row: Record) -> dict[str, Any]:
    """Show a request as JSON, its amount in the smallest unit."""
    return {
        "id": row["id"],
        "object": "refund_request",
        "status": row["state"],
        "order": row["order_id"],
        "customer": row["customer_id"],
        "amount": row["amount"],
        "currency": row["currency"],
        "reason": row["reason"],
        "agent": row["agent"],
        "key": row["key_id"],
        "decided_by": row["decided_by"],
        "detail": row["detail"],
        "refund": row["refund_id"],
        "refund_status": row["refund_status"],
        "created_at": iso(row["created_at"]),
        "expires_at": iso(row["expires_at"]),
        "decided_at": iso(row["decided_at"]),
    }


def for_person(row: Record) -> dict[str, Any]:
    """Show a request to whoever decides, with what the order was for."""
    return {**shown(row), "bought": row["bought"]}


def line(one: Mapping[str, Any]) -> str:
    """Return a request, as `for_person` shows it, in one line; what a terminal could take for an order is spelled out."""
    what = f"{one['created_at']}  {one['status']:<9} {money.display(one['amount'], one['currency']):>10}"
    decided = f"  by {one['decided_by']}" if one["decided_by"] else ""
    whose = f"{one['id']}  {one['order']}  {one['customer']}  {one['bought']}"
    told = f"{what}  {whose}  {one['agent']} ({one['key']}): {one['reason']}{decided}"
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in told)
