"""Selling: an order with frozen terms, its payable link, and the one live Checkout session behind it.

What we ask of Stripe is written down first, with its parameters and a deterministic key, then called; after a crash
or a time-out the same key and parameters are sent again, and after 23 hours the object is looked up before anything
is repeated (Stripe forgets keys after a day).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from paydesk import calls, customers, fanout, hosted, ids, mending, money, payers, rivals, sessions
from paydesk.basket import Line as Line
from paydesk.basket import line_of as line_of
from paydesk.basket import plan_of, stars_of
from paydesk.basket import terms_of as terms_of
from paydesk.clock import from_unix
from paydesk.customers import Thread
from paydesk.errors import Conflict, NotFound, StripeRefused, StripeUnavailable
from paydesk.store import Record, Store, Tx
from paydesk.stripe.gateway import Gateway

log = logging.getLogger("paydesk")

KEY_LIFE = timedelta(hours=23)
PAYABLE = ("open", "expired")


@dataclass(frozen=True, slots=True)
class Link:
    """Where a payable link leads: `open` with Stripe's `url`, `pending`, `paid`, `fulfilled` or `canceled`."""

    status: str
    url: str | None = None


# --- orders ----------------------------------------------------------------------------------------------------------


Check = Callable[[Tx, str], Awaitable[None]]
"""Says by raising that a person may not order now; whoever else orders for them waits until the order is written."""


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What an order is made of. `thread` is where the buyer is told; without `trial`, a subscription is paid from today."""

    customer: str
    lines: tuple[Line, ...]
    thread: Thread | None = None
    success_url: str | None = None
    cancel_url: str | None = None
    metadata: dict[str, str] | None = None
    capture: str = "automatic"
    save_card: bool = False
    trial: bool = True


async def create_order(
    store: Store,
    new: NewOrder,
    *,
    livemode: bool,
    id_: str | None = None,
    reuse: bool = False,
    check: Check | None = None,
) -> str:
    """Write an order with its terms frozen and return its id; under a given `id_` it is made once.

    `check` is asked before, under the lock of the person, and refuses by raising.

    With `reuse`, an open order for the same line in the same thread is used again, also by two who ask at once.
    Raises `Invalid` for mixed currencies, too many lines, no shared way to pay, or a total that Stripe does not take,
    and `Conflict` for a subscription that the person has already.
    """
    amount, currency, methods, plan = terms_of(new.lines)
    id_ = id_ or ids.new("ord")
    thread = new.thread or Thread("", "", None)

    async def work(tx: Tx) -> str:
        person = await customers.lock_person(tx, new.customer)
        if check is not None:
            await check(tx, person)
        if reuse:
            open_already = await _open_order(tx, person, new)
            if open_already is not None:
                return open_already
        if plan is not None:
            await _refuse_second(tx, person, new.lines[0], id_)
        trial_days = await _trial_days(tx, person, new.lines[0]) if plan is not None and new.trial else None
        made = await tx.execute(
            "INSERT INTO orders (id, customer_id, amount, currency, livemode, link_token, channel, external_id, "
            "conversation, success_url, cancel_url, metadata, capture, save_card, payment_methods, mode, plan, trial_days, "
            "stars) "
            "VALUES ($1, $2, $3, $4, $5, $6, nullif($7, ''), nullif($8, ''), $9, $10, $11, $12, $13, $14, $15, $16, $17, "
            "$18, $19) ON CONFLICT DO NOTHING",
            id_, person, 0 if trial_days else amount, currency, livemode, ids.token(),
            thread.channel, thread.address, thread.conversation, new.success_url, new.cancel_url,
            {**_taking_codes(new), **(new.metadata or {})}, new.capture, new.save_card, methods,
            "payment" if plan is None else "subscription", plan, trial_days, stars_of(new.lines),
        )  # fmt: skip
        if made:
            await _write_lines(tx, id_, replace(new, customer=person))
        return id_

    return await store.run(work)


def _taking_codes(new: NewOrder) -> dict[str, str]:
    """Return the mark of an order whose page takes promotion codes: when all its products do."""
    takes = all(line.product is not None and line.product.promotion_codes for line in new.lines)
    return {sessions.CODES: "yes"} if takes else {}


HAD = """
SELECT EXISTS (
    SELECT FROM subscription s, jsonb_array_elements(s.items -> 'data') item
    WHERE s.customer_id = $1 AND item -> 'terms' ->> 'product' = $2 AND s.status <> 'incomplete_expired')
"""


async def _refuse_second(tx: Tx, person: str, line: Line, order: str) -> None:
    """Raise `Conflict` when the person has a subscription of the product, unless this order is made already."""
    if line.product is None or await tx.fetchval("SELECT 1 FROM orders WHERE id = $1", order):
        return
    has = await rivals.running_one(tx, person, line.product.key)
    if has is not None:
        raise Conflict(
            f"{line.product.name} is subscribed to already: {has}; change that one, or cancel it first",
            param="items",
            code="already_subscribed",
        )


async def _trial_days(tx: Tx, person: str, line: Line) -> int | None:
    """Return the days of a trial: one for each person and product."""
    if line.price is None or not line.price.trial_days or await tx.fetchval(HAD, person, line.price.product):
        return None
    return line.price.trial_days


async def _write_lines(tx: Tx, order: str, new: NewOrder) -> None:
    """Write lines and, for what each grants, a source with the terms of today, worth nothing yet.

    A line names the Stripe price that was pushed for it, if that one still has today's amount.
    """
    for position, line in enumerate(new.lines):
        await tx.execute(
            "INSERT INTO order_line (order_id, position, price_key, name, quantity, unit_amount, stripe_price) "
            "VALUES ($1, $2, $3, $4, $5, $6, coalesce($7, "
            "(SELECT stripe_price FROM price WHERE key = $3 AND amount = $6 AND currency = $8)))",
            order,
            position,
            line.price.key if line.price else None,
            line.name,
            line.quantity,
            line.unit_amount,
            line.price.stripe_price if line.price else None,
            line.currency,
        )
        if line.product is None or (line.price is not None and line.price.interval is not None):
            continue  # what a subscription gives comes with its invoices
        for number, grant in enumerate(line.product.grants):
            unit = {"credits": grant.unit, "pass": "seconds"}.get(grant.kind, "one")
            terms = {**line.product.grant_terms(grant), "quantity": line.quantity}
            await tx.execute(
                "INSERT INTO source (id, customer_id, order_id, kind, unit, terms) VALUES ($1, $2, $3, $4, $5, $6)",
                f"{order}:{position}:{number}",
                new.customer,
                order,
                grant.kind,
                unit,
                terms,
            )


async def get(store: Store, id_: str) -> Record:
    """Return an order's row; raises `NotFound`."""
    row = await store.fetchrow("SELECT * FROM orders WHERE id = $1", id_)
    if row is None:
        raise NotFound(f"no order {id_}", param="order")
    return row


async def by_token(store: Store, token: str) -> Record:
    """Return the order behind a payable link; raises `NotFound`."""
    row = await store.fetchrow("SELECT * FROM orders WHERE link_token = $1", token)
    if row is None:
        raise NotFound("this link leads nowhere: ask for a new one in the chat")
    return row


async def lines(store: Store, order: str) -> list[Record]:
    """Return an order's lines."""
    return await store.fetch("SELECT * FROM order_line WHERE order_id = $1 ORDER BY position", order)


OPEN_ORDERS = """
SELECT o.id, o.plan, (SELECT coalesce(jsonb_agg(s.terms ORDER BY s.id), '[]') FROM source s WHERE s.order_id = o.id) AS terms
FROM orders o JOIN order_line l ON l.order_id = o.id
WHERE o.customer_id = $1 AND o.status IN ('open', 'expired') AND l.price_key = $2 AND l.quantity = $3
  AND l.unit_amount = $4 AND o.currency = $5 AND (o.amount = $3 * $4 OR o.trial_days IS NOT NULL) AND o.success_url IS NULL
  AND o.channel = $6 AND o.external_id = $7 AND o.conversation IS NOT DISTINCT FROM $8
ORDER BY o.created_at DESC LIMIT 5
"""


async def _open_order(tx: Tx, person: str, new: NewOrder) -> str | None:
    """Return an unpaid order of this person, made in this thread, for exactly this line at today's terms."""
    line, thread = new.lines[0], new.thread
    if line.price is None or line.product is None or thread is None:
        return None
    rows = await tx.fetch(
        OPEN_ORDERS, person, line.price.key, line.quantity, line.unit_amount, line.currency,
        thread.channel, thread.address, thread.conversation,
    )  # fmt: skip
    today = [{**line.product.grant_terms(grant), "quantity": line.quantity} for grant in line.product.grants]
    plan = plan_of(new.lines)
    return next((row["id"] for row in rows if (row["plan"], row["terms"]) == (plan, [] if plan else today)), None)


# --- the session behind an order -------------------------------------------------------------------------------------


async def open_session(store: Store, gateway: Gateway, order_id: str, *, public_url: str, mends: int = 3) -> Link:
    """Return where the buyer of an order should go, making a Checkout session when none is open.

    Pressed twice, or again after a crash, it is the same session. A fresh one is made only after Stripe has said that
    the old one expired; one that is complete but unpaid is `pending`. What somebody deleted in Stripe is mended, at
    most `mends` times, where we can. Raises `StripeUnavailable` or `StripeRefused`.
    """
    row = await get(store, order_id)
    if row["status"] not in PAYABLE:
        await _close_canceled(store, gateway, row)
        return Link(row["status"])
    if await has_payment(store, order_id):
        return Link("pending")
    bill = await hosted.page(store, gateway, row)
    if bill is not None:
        return Link(*bill)
    if row["session"] is not None:
        link = await _existing(store, gateway, row)
        if link is not None:
            return link
    stripe_customer = await payers.stripe_customer(store, gateway, row["customer_id"])
    call = await _plan_session(store, row, stripe_customer, public_url)
    if call is None:
        return await open_session(store, gateway, order_id, public_url=public_url, mends=mends)
    try:
        return await _make_session(store, gateway, row, call)
    except StripeRefused as refused:
        await calls.refuse(store, call["key"], refused.message)
        await mending.mend(store, gateway, row, call["params"], refused)
        if mends == 0:
            raise
    return await open_session(store, gateway, order_id, public_url=public_url, mends=mends - 1)


async def has_payment(store: Store, order_id: str) -> bool:
    """Say whether an order is paid by a payment intent that was asked for: then it never gets a session."""
    return bool(await store.fetchval("SELECT EXISTS (SELECT FROM stripe_call WHERE key = $1)", f"payment:{order_id}"))


async def _existing(store: Store, gateway: Gateway, row: Record) -> Link | None:
    """Return where the order's own session leads, `None` when it has expired and a fresh one may be made.

    Stripe is asked each time: it may have ended, or been paid, a moment ago, and its event be still on its way.
    """
    if row["session_status"] == "complete":
        return None if row["session_payment_status"] == "failed" else Link("pending")
    try:
        session = await gateway.session(row["session"])
    except NotFound:
        return None
    except StripeUnavailable:
        if row["session_status"] == "expired" or row["session_expires_at"] <= datetime.now(UTC) + store.clock.offset:
            raise
        return Link("open", row["session_url"])  # Stripe's pages may be well when its API is not
    if session["status"] == "open":
        return Link("open", session["url"])
    return Link("pending") if session["status"] == "complete" else None


async def _plan_session(store: Store, row: Record, stripe_customer: str, public_url: str) -> Record | None:
    """Write down the request for the order's next session, or return the one that is under way.

    `None` when the order has changed meanwhile: look again.
    """
    order_lines = await lines(store, row["id"])
    for line in order_lines:
        if line["price_key"] is not None and line["stripe_price"] is None:
            mending.tell_unpushed(line["price_key"], money.display(line["unit_amount"], row["currency"]))

    async def work(tx: Tx) -> Record | None:
        await customers.lock_person(tx, row["customer_id"])
        now = await tx.fetchrow(sessions.STANDING, row["id"])
        if now is None or now["status"] not in PAYABLE or now["session"] != row["session"] or now["paid_apart"]:
            return None
        under_way = await calls.pending(tx, "session", row["id"])
        if under_way is not None:
            return under_way
        count = now["session_count"] + 1
        await tx.execute(
            "UPDATE orders SET session_count = $2, stripe_customer = $3 WHERE id = $1",
            row["id"],
            count,
            stripe_customer,
        )
        params = sessions.params_of(row, order_lines, stripe_customer, count, public_url)
        await calls.write(tx, f"session:{row['id']}:{count}", "session", row["id"], params)
        return await calls.pending(tx, "session", row["id"])

    return await store.run(work)


async def _make_session(store: Store, gateway: Gateway, row: Record, call: Record) -> Link:
    """Send a planned request, the same whatever happened before, and keep the session it made."""
    session = await _send(gateway, row, call)
    status = await _keep_session(store, row, call["key"], session)
    if status == "canceled":  # somebody canceled while we asked: nobody shall pay it
        await close_session(gateway, session["id"])
        return Link("canceled")
    return Link("open", session["url"])


async def _send(gateway: Gateway, row: Record, call: Record) -> dict[str, Any]:
    """Return the session that a planned request makes, or has made: an old one is looked up first."""
    params = call["params"]
    session = None
    if datetime.now(UTC) - call["created_at"] > KEY_LIFE:
        session = await gateway.find_session(params["customer"], row["id"], params["metadata"]["paydesk_attempt"])
    return session or await gateway.create_session(params, call["key"])


KEEP_SESSION = """
UPDATE orders SET session = $2, session_url = $3, session_expires_at = $4, session_status = 'open',
    session_payment_status = 'unpaid', status = CASE WHEN status = 'expired' THEN 'open' ELSE status END
WHERE id = $1 AND session IS DISTINCT FROM $2
"""


async def _keep_session(store: Store, row: Record, key: str, session: dict[str, Any]) -> str:
    """Note the order's new session and return the order's status; its events may have come before us (trap T17)."""

    async def work(tx: Tx) -> str:
        await customers.lock_person(tx, row["customer_id"])
        known = await tx.fetchrow("SELECT status, session FROM orders WHERE id = $1", row["id"])
        expires_at = from_unix(session["expires_at"])
        await tx.execute(KEEP_SESSION, row["id"], session["id"], session["url"], expires_at)
        await tx.execute(
            "UPDATE orders SET session_url = $3, session_expires_at = $4 WHERE id = $1 AND session = $2",
            row["id"],
            session["id"],
            session["url"],
            expires_at,
        )
        await calls.end(tx, key, session["id"])
        return str(known["status"]) if known is not None else "open"

    return await store.run(work)


async def cancel(store: Store, gateway: Gateway, order_id: str) -> Record:
    """Cancel an unpaid order: its session is expired at Stripe first, so that nobody can pay it any more.

    Raises `Conflict` when it is paid or its payment is on the way. Canceling again changes nothing.
    """
    row = await get(store, order_id)
    if row["status"] == "canceled":
        await _close_canceled(store, gateway, row)
        return row
    if row["status"] not in PAYABLE:
        raise Conflict(f"{order_id} is {row['status']} and cannot be canceled", param="order")
    known = row["session"] if row["session_status"] != "expired" else None
    if known is not None and await close_session(gateway, known) == "complete":
        raise Conflict(f"{order_id}: its payment is on the way", param="order")
    await store.run(lambda tx: _note_canceled(tx, row))
    now = await get(store, order_id)
    if now["status"] in PAYABLE:  # another session was made while we expired the one we knew
        return await cancel(store, gateway, order_id)
    await _close_canceled(store, gateway, now)
    return now


async def _note_canceled(tx: Tx, row: Record) -> None:
    """Note it if the order's session is still the one that was closed.

    Whoever is making a session meanwhile finds the order canceled when noting it, and closes it.
    """
    await customers.lock_person(tx, row["customer_id"])
    changed = await tx.execute(
        "UPDATE orders SET status = 'canceled', canceled_at = desk_now() "
        "WHERE id = $1 AND status IN ('open','expired') AND session IS NOT DISTINCT FROM $2",
        row["id"],
        row["session"],
    )
    if changed:
        await fanout.announce_cancel(tx, row["id"], row["customer_id"])


async def _close_canceled(store: Store, gateway: Gateway, row: Record) -> None:
    """Close the session of a canceled order where whoever made it could not, also one that was never noted."""
    if row["status"] != "canceled":
        return
    under_way = await calls.pending(store, "session", row["id"])
    if under_way is not None:
        try:
            await _make_session(store, gateway, row, under_way)
        except StripeRefused as refused:
            await calls.refuse(store, under_way["key"], refused.message)
    elif row["session"] is not None and row["session_status"] == "open":
        await close_session(gateway, row["session"])


async def close_session(gateway: Gateway, session: str) -> str:
    """Let nobody pay a session any more; return how it ended: `expired`, or `complete` when somebody was quicker."""
    found = await gateway.session(session)
    if found["status"] == "open":
        try:
            found = await gateway.expire_session(session)
        except StripeRefused:  # it ended between the two calls
            found = await gateway.session(session)
    return str(found["status"])


async def price_of_stripe(store: Store, stripe_price: str) -> dict[str, str]:
    """Return `{stripe_price: key}` when this Stripe price was pushed for a price of the catalogue, else nothing."""
    key: str | None = await store.fetchval("SELECT key FROM price WHERE stripe_price = $1", stripe_price)
    return {} if key is None else {stripe_price: key}
