"""The rows behind a `Bill`: subscriptions with their invoices, and what prices give. Loaded and saved in bulk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from paydesk import ids
from paydesk.books import columns
from paydesk.clock import iso
from paydesk.store import Record, Tx
from paydesk.subscriptions import Bill, Invoice, Item, Line, Next, Subscription, Switch

WHO = """
SELECT customer_id FROM subscription WHERE id = ANY($1::text[])
UNION SELECT customer_id FROM stripe_customer WHERE id = ANY($2::text[])
"""

LOAD = """
SELECT id, customer_id, order_id, stripe_customer, status, livemode, items, started_at, trial_end, cancel_at, ended_at,
       paused, resumes_at, payment_method, card_ends_at, asked_at, unpaid_since, (
           SELECT jsonb_agg(jsonb_build_array(params ->> 'from', params ->> 'price', params ->> 'at', state = 'done',
                                             (SELECT terms ->> 'name' FROM plan WHERE plan.key = params ->> 'price'),
                                             (params ->> 'quantity')::int, (params ->> 'from_quantity')::int))
           FROM stripe_call WHERE subject = subscription.id AND kind = 'planned_change' AND state <> 'refused'
             AND params ->> 'from' IS NOT NULL) AS switches
FROM subscription
WHERE id = ANY($1::text[]) OR order_id = ANY($2::text[])
   OR id IN (SELECT subscription_id FROM invoice WHERE order_id = ANY($2::text[]))
   OR customer_id = ANY($3::text[])
"""

LOAD_INVOICES = """
SELECT id, subscription_id, order_id, status, billing_reason, total, currency, paid_at, period_start, period_end, lines,
       attempts, next_attempt_at, failure, url, created_at, asked_at, due_at, credited_before, credited
FROM invoice WHERE subscription_id = ANY($1::text[])
"""

SAVE = """
INSERT INTO subscription (id, customer_id, order_id, stripe_customer, status, livemode, items, started_at, trial_end,
                          cancel_at, ended_at, paused, resumes_at, payment_method, card_ends_at, asked_at, unpaid_since)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[],
    $7::jsonb[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::text[],
    $13::timestamptz[], $14::text[], $15::timestamptz[], $16::timestamptz[], $17::timestamptz[])
ON CONFLICT (id) DO UPDATE SET status = excluded.status, items = excluded.items, trial_end = excluded.trial_end,
    cancel_at = excluded.cancel_at, ended_at = excluded.ended_at, paused = excluded.paused,
    resumes_at = excluded.resumes_at, payment_method = excluded.payment_method,
    card_ends_at = excluded.card_ends_at, asked_at = excluded.asked_at,
    unpaid_since = excluded.unpaid_since
"""

SAVE_INVOICES = """
INSERT INTO invoice (id, subscription_id, order_id, status, billing_reason, total, currency, paid_at, period_start,
                     period_end, lines, attempts, next_attempt_at, failure, url, created_at, asked_at, due_at,
                     credited_before, credited)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[],
    $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::jsonb[], $12::int[], $13::timestamptz[],
    $14::text[], $15::text[], $16::timestamptz[], $17::timestamptz[], $18::timestamptz[], $19::bigint[], $20::bigint[])
ON CONFLICT (id) DO UPDATE SET status = excluded.status, total = excluded.total, paid_at = excluded.paid_at,
    period_start = excluded.period_start, period_end = excluded.period_end, lines = excluded.lines,
    attempts = excluded.attempts, next_attempt_at = excluded.next_attempt_at, failure = excluded.failure,
    url = excluded.url, asked_at = excluded.asked_at, due_at = excluded.due_at,
    credited_before = excluded.credited_before, credited = excluded.credited
"""

MAKE_ORDERS = """
INSERT INTO orders (id, customer_id, amount, currency, livemode, link_token, channel, external_id, conversation,
                    metadata, stripe_customer, mode, created_at)
SELECT n.id, n.customer, n.amount, n.currency, n.livemode, n.token, f.channel, f.external_id, f.conversation, '{}',
       n.stripe_customer, 'invoice', n.created_at
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::boolean[], $6::text[], $7::text[], $8::text[],
            $9::timestamptz[]) AS n (id, customer, amount, currency, livemode, token, stripe_customer, first, created_at)
LEFT JOIN orders f ON f.id = n.first
ON CONFLICT DO NOTHING
"""
"""An order for each invoice that has none: told in the thread where the subscription was bought."""

MAKE_LINES = """
INSERT INTO order_line (order_id, position, price_key, name, quantity, unit_amount)
SELECT * FROM unnest($1::text[], $2::smallint[], $3::text[], $4::text[], $5::int[], $6::bigint[])
ON CONFLICT DO NOTHING
"""


async def people(tx: Tx, subscriptions: Iterable[str], stripe_customers: Iterable[str]) -> set[str]:
    """Return whose subscriptions and Stripe customers these are."""
    return {row[0] for row in await tx.fetch(WHO, sorted(subscriptions), sorted(stripe_customers))}


async def known_customers(tx: Tx, stripe_customers: Iterable[str]) -> dict[str, str]:
    """Return who each of these Stripe customers is, those that we know."""
    wanted = sorted(stripe_customers)
    if not wanted:
        return {}
    rows = await tx.fetch("SELECT id, customer_id FROM stripe_customer WHERE id = ANY($1::text[])", wanted)
    return {row[0]: row[1] for row in rows}


async def load(
    tx: Tx, subscriptions: Iterable[str], orders: Iterable[str] = (), customers: Iterable[str] = ()
) -> dict[str, Bill]:
    """Return subscriptions by id, with all their invoices: those named, those whose invoices bill these orders, those of
    these customers."""
    rows = await tx.fetch(LOAD, sorted(subscriptions), sorted(orders), sorted(customers))
    if not rows:
        return {}
    found = {row["id"]: _subscription(row) for row in rows}
    invoices: dict[str, dict[str, Invoice]] = {id_: {} for id_ in found}
    for row in await tx.fetch(LOAD_INVOICES, sorted(found)):
        invoices[row["subscription_id"]][row["id"]] = _invoice(row)
    return {id_: Bill(subscription, invoices[id_]) for id_, subscription in found.items()}


async def plans(tx: Tx, keys: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Return what prices of the catalogue give today, by key."""
    wanted = sorted(keys)
    rows = await tx.fetch("SELECT key, terms FROM plan WHERE key = ANY($1::text[])", wanted) if wanted else []
    return {row[0]: row[1] for row in rows}


async def order_plans(tx: Tx, orders: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Return the terms that orders of subscriptions were made with: `{price key: terms}` of each."""
    wanted = sorted(orders)
    if not wanted:
        return {}
    rows = await tx.fetch("SELECT id, plan FROM orders WHERE id = ANY($1::text[]) AND plan IS NOT NULL", wanted)
    return {row[0]: row[1] for row in rows}


async def orders_of(tx: Tx, invoices: Iterable[str]) -> dict[str, str]:
    """Return the orders that invoices bill, of those that are known."""
    wanted = sorted(invoices)
    rows = await tx.fetch("SELECT id, order_id FROM invoice WHERE id = ANY($1::text[])", wanted) if wanted else []
    return {row[0]: row[1] for row in rows}


async def price_keys(tx: Tx, stripe_prices: Iterable[str]) -> dict[str, str]:
    """Return which prices of the catalogue these Stripe prices stand for, or stood."""
    wanted = sorted(stripe_prices)
    rows = await tx.fetch("SELECT id, key FROM stripe_price WHERE id = ANY($1::text[])", wanted) if wanted else []
    return {row[0]: row[1] for row in rows}


async def save(tx: Tx, changes: Iterable[tuple[Bill | None, Bill]]) -> None:
    """Write what is different in subscriptions and their invoices: pairs of what was loaded and what is known now.

    Their orders exist. Which Stripe price stood for which of the catalogue is kept for ever.
    """
    changes = list(changes)
    subscriptions = sorted((after.subscription for _, after in changes), key=lambda one: one.id)
    known = {id_: one for before, _ in changes if before is not None for id_, one in before.invoices.items()}
    told = {id_: one for _, after in changes for id_, one in after.invoices.items() if one != known.get(id_)}
    bills = [told[id_] for id_ in sorted(told)]
    await note_prices(tx, {item.price: item.key for one in subscriptions for item in one.items if item.key is not None})
    if subscriptions:
        await tx.execute(SAVE, *columns(
            (s.id, s.customer, s.order, s.stripe_customer, s.status, s.livemode, _items_row(s),
             s.started_at, s.trial_end, s.cancel_at, s.ended_at, s.paused, s.resumes_at, s.payment_method,
             s.card_ends_at, s.asked_at, s.unpaid_since) for s in subscriptions
        ))  # fmt: skip
    if bills:
        await tx.execute(SAVE_INVOICES, *columns(
            (i.id, i.subscription, i.order, i.status, i.billing_reason, i.total, i.currency, i.paid_at, i.start, i.end,
             {"data": [_line_row(line) for line in i.lines]}, i.attempts, i.next_attempt_at, i.failure, i.url, i.created_at,
             i.asked_at, i.due_at, i.credited_before, i.credited)
            for i in bills
        ))  # fmt: skip


async def make_orders(tx: Tx, bills: Iterable[tuple[Subscription, Invoice]], names: Mapping[str, str]) -> None:
    """Write an order with its lines for each invoice that bills none yet; `names` are the products' by price key."""
    new = [(own, invoice) for own, invoice in bills if invoice.order == invoice.id]
    if not new:
        return
    await tx.execute(MAKE_ORDERS, *columns(
        (i.id, s.customer, max(0, i.total), i.currency, s.livemode, ids.token(), s.stripe_customer, s.order, i.created_at)
        for s, i in new
    ))  # fmt: skip
    rows = [
        (invoice.id, number, line.key, names.get(line.key or "", "Subscription"), 1, max(0, line.amount))
        for _, invoice in new
        for number, line in enumerate(invoice.lines)
    ]
    if rows:
        await tx.execute(MAKE_LINES, *columns(rows))


async def note_prices(tx: Tx, named: Mapping[str, str]) -> None:
    """Keep which prices of the catalogue Stripe prices stand for: `{stripe price: key}`."""
    if named:
        await tx.execute(
            "INSERT INTO stripe_price (id, key) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING",
            *columns(sorted(named.items())),
        )


# --- rows ------------------------------------------------------------------------------------------------------------


def _subscription(row: Record) -> Subscription:
    values = dict(row)
    more = values["items"]
    items = tuple(
        Item(
            one["id"],
            one["price"],
            one["key"],
            one["quantity"],
            _time(one["start"]),
            _time(one["end"]),
            one["terms"],
            one["amount"],
            one["currency"],
        )
        for one in values.pop("items")["data"]
    )
    return Subscription(
        values["id"], values["customer_id"], values["order_id"], values["stripe_customer"], values["status"],
        values["livemode"], items, values["started_at"], values["trial_end"], values["cancel_at"], values["ended_at"],
        values["paused"], values["resumes_at"], values["payment_method"], values["card_ends_at"],
        values["asked_at"], values["unpaid_since"],
        tuple(Switch(before, after, _time(at), done, f"{name or after} × {count}" if count > 1 else name or after, had)
              for before, after, at, done, name, count, had in values["switches"] or ()),
        _moment(more.get("changes_at")), None,
        tuple(Next(*one) for one in more.get("changes_to", ())), _moment(more.get("kept_since")),
    )  # fmt: skip


def _invoice(row: Record) -> Invoice:
    lines = tuple(
        Line(one["id"], one["item"], one["key"], one["quantity"], one["amount"], one["proration"], _time(one["start"]),
             _time(one["end"]), tuple(one["given"]))
        for one in row["lines"]["data"]
    )  # fmt: skip
    return Invoice(
        row["id"], row["subscription_id"], row["order_id"], row["status"], row["billing_reason"], row["total"],
        row["currency"], row["paid_at"], row["period_start"], row["period_end"], lines, row["attempts"],
        row["next_attempt_at"], row["failure"], row["url"], row["created_at"],
        row["asked_at"], row["due_at"], row["credited_before"], row["credited"],
    )  # fmt: skip


def _items_row(own: Subscription) -> dict[str, Any]:
    """Return what repeats, when a schedule at Stripe changes that and to what, and since when a bill is kept as a draft."""
    return {
        "data": [_item_row(item) for item in own.items], "changes_at": iso(own.changes_at),
        "changes_to": [list(one) for one in own.changes_to], "kept_since": iso(own.kept_since),
    }  # fmt: skip


def _item_row(item: Item) -> dict[str, Any]:
    return {
        "id": item.id, "price": item.price, "key": item.key, "quantity": item.quantity, "start": iso(item.start),
        "end": iso(item.end), "terms": dict(item.terms),
        "amount": item.amount, "currency": item.currency,
    }  # fmt: skip


def _line_row(line: Line) -> dict[str, Any]:
    return {
        "id": line.id, "item": line.item, "key": line.key, "quantity": line.quantity, "amount": line.amount,
        "proration": line.proration, "start": iso(line.start), "end": iso(line.end),
        "given": [dict(terms) for terms in line.given],
    }  # fmt: skip


def _time(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)


def _moment(stamp: str | None) -> datetime | None:
    return None if stamp is None else _time(stamp)
