"""Lists of what was sold, paid, given back and disputed, of people and of what they have: for the API, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from paydesk import customers, payments, subscribed, subscriptions
from paydesk.books import wallets
from paydesk.case import Dispute, Refund
from paydesk.customers import Customer, Identity
from paydesk.errors import NotFound
from paydesk.ledger import Hold
from paydesk.paging import Cut, Listed, Only, read
from paydesk.privacy import Vault
from paydesk.showing import Payment, Shown
from paydesk.store import Record, Store, Tx

Found = tuple[list[Any], bool]
"""What is listed, newest first, and whether there is more."""


def _by_time(what: str, letter: str, columns: str, tables: str) -> Listed:
    at, id_ = f"{letter}.created_at", f"{letter}.id"
    return Listed(what, columns, tables, (at, id_), at, id_)


OF_ORDER = "JOIN orders o ON o.id = p.order_id"
REFUND_COLUMNS = (
    "r.id, r.payment_id, r.status, r.amount, r.currency, r.reason, r.failure_reason, r.created_at, p.order_id"
)
DISPUTE_COLUMNS = (
    "d.id, d.payment_id, d.status, d.amount, d.currency, d.reason, d.evidence_due_at, d.created_at, p.order_id"
)
HOLD_COLUMNS = "h.id, h.customer_id, h.unit, h.amount, h.state, h.parts, h.memo, h.expires_at, h.used, h.created_at"

CUSTOMERS = _by_time("customer", "c", "c.*", "customer c")
ORDERS = _by_time("order", "o", "o.*", "orders o")
PAYMENTS = _by_time("payment", "p", payments.COLUMNS, f"payment p {OF_ORDER}")
REFUNDS = _by_time("refund", "r", REFUND_COLUMNS, f"refund r JOIN payment p ON p.id = r.payment_id {OF_ORDER}")
DISPUTES = _by_time("dispute", "d", DISPUTE_COLUMNS, f"dispute d JOIN payment p ON p.id = d.payment_id {OF_ORDER}")
HOLDS = _by_time("hold", "h", HOLD_COLUMNS, "hold h")
SUBSCRIPTIONS = Listed("subscription", "s.id", "subscription s", ("s.started_at", "s.id"), "s.started_at", "s.id")


@dataclass(frozen=True, slots=True)
class About:
    """What a list is about: a person, an order, a payment, a status, an order's channel. `None` leaves it open."""

    customer: str | None = None
    order: str | None = None
    payment: str | None = None
    status: str | None = None
    channel: str | None = None

    def only(self, **columns: str) -> list[Only]:
        """Return the conditions; `columns` says where each of these stands. Whose a thing is never changes."""
        asked = [(name, column, getattr(self, name)) for name, column in columns.items()]
        return [
            Only(f"{column} = {{}}", (value,), steady=name in ("customer", "order", "payment"))
            for name, column, value in asked
            if value is not None
        ]


# --- people ----------------------------------------------------------------------------------------------------------


async def people(
    store: Store,
    vault: Vault,
    cut: Cut,
    *,
    met: Identity | None = None,
    channel: str | None = None,
    email: str | None = None,
) -> Found:
    """Return people: who is `met` there, who can be met on a channel, whose e-mail address it is. Merged ones are one."""
    wanted = [Only("c.merged_into IS NULL")]
    if channel is not None:
        wanted.append(Only("EXISTS (SELECT FROM identity i WHERE i.customer_id = c.id AND i.channel = {})", (channel,)))
    if email is not None:
        wanted.append(Only("c.email_index = {}", (vault.index(email),)))
    async with store.transaction() as tx:
        if met is not None:
            wanted.append(Only("c.id = {}", (await tx.fetchval(customers.FIND, met.channel, met.external_id),)))
        page = await read(tx, CUSTOMERS, wanted, cut)
        return await _people(tx, vault, page.rows), page.has_more


async def _people(tx: Tx, vault: Vault, rows: Iterable[Record]) -> list[Customer]:
    found = [*rows]
    identities = await customers.identities(tx, [row["id"] for row in found])
    return [customers.of_row(vault, row, identities.get(row["id"], ())) for row in found]


# --- money -----------------------------------------------------------------------------------------------------------

LINES = "SELECT * FROM order_line WHERE order_id = ANY($1::text[]) ORDER BY order_id, position"


async def orders(store: Store, about: About, cut: Cut) -> Found:
    """Return orders as pairs of a row and its lines."""
    async with store.transaction() as tx:
        wanted = about.only(customer="o.customer_id", status="o.status", channel="o.channel")
        page = await read(tx, ORDERS, wanted, cut)
        lines = await tx.fetch(LINES, [row["id"] for row in page.rows])
    return [(row, [line for line in lines if line["order_id"] == row["id"]]) for row in page.rows], page.has_more


async def paid(store: Store, about: About, cut: Cut) -> tuple[list[Payment], bool]:
    """Return payments as we know them, without a look at Stripe."""
    async with store.transaction() as tx:
        wanted = about.only(customer="o.customer_id", order="p.order_id", channel="o.channel")
        if about.status is not None:
            statuses = payments.UNTAKEN if about.status == "requires_payment_method" else (about.status,)
            wanted.append(Only("p.status = ANY({}::text[])", (list(statuses),)))
        page = await read(tx, PAYMENTS, wanted, cut)
        return await payments.of_rows(tx, page.rows), page.has_more


async def refunds(store: Store, about: About, cut: Cut) -> tuple[list[tuple[Refund, str]], bool]:
    """Return refunds with their orders."""
    wanted = about.only(customer="o.customer_id", order="p.order_id", payment="p.id", status="r.status")
    async with store.transaction() as tx:
        page = await read(tx, REFUNDS, wanted, cut)
    return [(Refund(*values), order) for *values, order in page.rows], page.has_more


async def disputes(store: Store, about: About, cut: Cut) -> tuple[list[tuple[Dispute, str]], bool]:
    """Return disputes with their orders."""
    wanted = about.only(customer="o.customer_id", order="p.order_id", payment="p.id", status="d.status")
    async with store.transaction() as tx:
        page = await read(tx, DISPUTES, wanted, cut)
    return [(Dispute(*values), order) for *values, order in page.rows], page.has_more


async def dispute(store: Store, id_: str) -> tuple[Dispute, str]:
    """Return a dispute with its order; raises `NotFound`."""
    row = await store.fetchrow(f"SELECT {DISPUTES.columns} FROM {DISPUTES.tables} WHERE d.id = $1", id_)
    if row is None:
        raise NotFound(f"no dispute {id_}", param="dispute")
    *values, order = row
    return Dispute(*values), str(order)


# --- what people have ------------------------------------------------------------------------------------------------


async def subscriptions_of(store: Store, about: About, cut: Cut) -> tuple[list[Shown], bool]:
    """Return subscriptions: of one status, of `live` ones, or all."""
    wanted = About(about.customer, about.order).only(customer="s.customer_id", order="s.order_id")
    if about.status is not None:
        statuses = list(subscriptions.LIVE) if about.status == "live" else [about.status]
        wanted.append(Only("s.status = ANY({}::text[])", (statuses,)))
    async with store.transaction() as tx:
        page = await read(tx, SUBSCRIPTIONS, wanted, cut)
        return await subscribed.shown(tx, [row["id"] for row in page.rows]), page.has_more


async def holds(store: Store, about: About, cut: Cut) -> tuple[list[tuple[Hold, int]], bool]:
    """Return a person's holds, each with what they can spend of its unit besides."""
    wanted = about.only(customer="h.customer_id", status="h.state")
    async with store.transaction() as tx:
        page = await read(tx, HOLDS, wanted, cut)
        own = await wallets(tx, str(about.customer), store.clock.now()) if page.rows else {}
    held = [Hold(*row) for row in page.rows]
    return [(one, own[one.unit].balance if one.unit in own else 0) for one in held], page.has_more
