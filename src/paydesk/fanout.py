"""Which endpoint is sent which event, and what it says: written with the effects, in their transaction.

Where nobody listens, this is one look at an empty table. The body is stored as it was then: however often an event is
sent again, it says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from paydesk import announcing, endpoints, outbox, showing, subscriptions
from paydesk.announcing import AccessNews, EntryNews, Event, HoldNews, MergeNews, News, OrderNews, PaymentNews
from paydesk.books import columns
from paydesk.clock import iso
from paydesk.endpoints import Listener
from paydesk.outbox import Message
from paydesk.showing import Planned, Shown
from paydesk.store import Record, Tx
from paydesk.subscriptions import Bill

CHANNEL = "webhook"
TEMPLATE = "event"
Json = dict[str, Any]


async def announce(tx: Tx, happened: Callable[[], Sequence[Event]]) -> None:
    """Write what has `happened` for every endpoint that wants to hear of it.

    Call it when everything else of the transaction is written: it shows things as they are then.
    """
    listening = await endpoints.listening(tx)
    if not listening:
        return
    wanted = [(event, to) for event in happened() if (to := [one for one in listening if one.wants(event.type)])]
    if wanted:
        now = await tx.fetchval("SELECT desk_now()")
        rows = await _load(tx, [event.news for event, _ in wanted])
        bodies = [(_body(event, rows, now), event, to) for event, to in wanted]
        await outbox.put(tx, [_message(body, event, one) for body, event, to in bodies for one in to])


async def announce_cancel(tx: Tx, order: str, customer: str) -> None:
    """Write that an order was canceled here."""
    await announce(tx, partial(announcing.of_cancel, order, customer))


async def announce_merge(tx: Tx, survivor: str, merged: str) -> None:
    """Write that two people have become one."""
    await announce(tx, partial(announcing.of_merge, survivor, merged))


def _message(body: Json, event: Event, to: Listener) -> Message:
    return Message(f"event:{to.id}:{event.id}", event.customer, CHANNEL, to.id, TEMPLATE, body)


def _body(event: Event, rows: _Rows, now: datetime) -> Json:
    return {"id": event.id, "type": event.type, "timestamp": iso(now), "data": _data(event, rows)}


# --- what it shows ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Rows:
    """The rows that events show."""

    orders: dict[str, Record] = field(default_factory=dict)
    lines: dict[str, list[Record]] = field(default_factory=dict)
    payments: dict[str, Record] = field(default_factory=dict)
    entries: dict[tuple[str, int, str], Record] = field(default_factory=dict)
    planned: dict[str, Planned] = field(default_factory=dict)


def _data(event: Event, rows: _Rows) -> Json:
    match event.news:
        case OrderNews(id_, refunds, disputes):
            return {
                **showing.order(rows.orders[id_], rows.lines.get(id_, [])),
                "refunds": [showing.refund(one, id_) for one in refunds],
                "disputes": [showing.dispute(one, id_) for one in disputes],
            }
        case PaymentNews(id_):
            return showing.payment(_payment(rows.payments[id_]))
        case EntryNews() as news:
            return {**showing.entry(rows.entries[_name(news)]), "balance": news.balance}
        case HoldNews(hold, balance):
            return showing.held(hold, balance)
        case AccessNews(feature, access):
            return showing.entitlement(event.customer or "", feature, access)
        case MergeNews(merged):
            return {"customer": event.customer, "merged": merged}
        case Bill() as bill:
            shown = Shown(bill, subscriptions.standing(bill), rows.planned.get(bill.subscription.id))
            return showing.subscription(shown)


def _name(news: EntryNews) -> tuple[str, int, str]:
    return news.source, news.revision, news.reason


AT_STRIPE = {"failed": "requires_payment_method", "open": "requires_payment_method"}
"""What Stripe calls the statuses for which it has words of its own."""


def _payment(row: Record) -> showing.Payment:
    """Return a payment as our rows tell it: what only Stripe knows is not there."""
    succeeded = row["status"] == "succeeded"
    return showing.Payment(
        id=row["id"],
        order=row["order_id"],
        customer=row["customer_id"],
        status=AT_STRIPE.get(row["status"], row["status"]),
        amount=row["amount"],
        currency=row["currency"],
        amount_capturable=0,
        amount_received=row["amount"] if succeeded else 0,
        amount_refunded=row["refunded"],
        capture=row["capture"],
        secret=None,
        next_action=None,
        failure_code=row["failure_code"],
        failure_message=row["failure_message"],
        card_brand=row["card_brand"],
        card_last4=row["card_last4"],
        fee=None,
        net=None,
        settled_in=None,
        metadata=row["metadata"],
        livemode=row["livemode"],
        created_at=row["created_at"],
    )


# --- rows ------------------------------------------------------------------------------------------------------------

ORDERS = "SELECT * FROM orders WHERE id = ANY($1::text[])"
LINES = "SELECT * FROM order_line WHERE order_id = ANY($1::text[]) ORDER BY order_id, position"

PAYMENTS = """
SELECT p.*, o.customer_id, o.capture, o.metadata, o.livemode,
       (SELECT coalesce(sum(amount), 0) FROM refund r
        WHERE r.payment_id = p.id AND r.status NOT IN ('failed', 'canceled'))::bigint AS refunded
FROM payment p JOIN orders o ON o.id = p.order_id WHERE p.id = ANY($1::text[])
"""

ENTRIES = """
SELECT e.id, e.source, e.revision, e.reason, e.unit, e.amount, e.balance_after, e.memo, e.customer_id, e.at,
       giver.kind AS giver, taker.kind AS taker
FROM unnest($1::text[], $2::int[], $3::text[]) AS n (source, revision, reason) JOIN entry e USING (source, revision, reason)
JOIN account giver ON giver.id = e.from_account JOIN account taker ON taker.id = e.to_account
"""

PLANNED = """
SELECT subject, key, params FROM stripe_call
WHERE kind = 'planned_change' AND state = 'pending' AND subject = ANY($1::text[])
"""


async def _load(tx: Tx, news: Iterable[News]) -> _Rows:
    """Return the rows behind what is news, each kind of them at once."""
    rows = _Rows()
    told = list(news)
    orders = sorted({one.id for one in told if isinstance(one, OrderNews)})
    payments = sorted({one.id for one in told if isinstance(one, PaymentNews)})
    entries = sorted({_name(one) for one in told if isinstance(one, EntryNews)})
    bills = sorted({one.subscription.id for one in told if isinstance(one, Bill)})
    if orders:
        rows.orders = {row["id"]: row for row in await tx.fetch(ORDERS, orders)}
        for line in await tx.fetch(LINES, orders):
            rows.lines.setdefault(line["order_id"], []).append(line)
    if payments:
        rows.payments = {row["id"]: row for row in await tx.fetch(PAYMENTS, payments)}
    if entries:
        found = await tx.fetch(ENTRIES, *columns(entries))
        rows.entries = {(row["source"], row["revision"], row["reason"]): row for row in found}
    if bills:
        found = await tx.fetch(PLANNED, bills)
        rows.planned = {row["subject"]: showing.planned_of(row["key"], row["params"]) for row in found}
    return rows
