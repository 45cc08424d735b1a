"""Payment intents that a shop asks for itself: made, confirmed, captured, canceled. Each is safe to repeat for ever.

An order has one such intent, made by a call that is written down first. What becomes of it enters by the same door as
every event: the intent bears the order's id, and what Stripe answers to us is put into the inbox as well. Capturing
and canceling ask Stripe how things stand before and, if it refuses, afterwards: done once, they are done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from paydesk import asking, calls, checkout, customers, fanout, inbox, payers, sessions, stars
from paydesk.asking import Call, Object
from paydesk.clock import from_unix
from paydesk.errors import Conflict, Invalid, NotFound, PaymentRefused, StripeClash, StripeRefused
from paydesk.showing import Payment as Payment
from paydesk.store import Record, Store, Tx
from paydesk.stripe.envelope import answered
from paydesk.stripe.gateway import Gateway

FINAL = ("succeeded", "canceled")
UNTAKEN = ("open", "failed")
"""What we call a payment that waits for a way to pay: nobody has tried, or the bank said no."""

TOLD = {
    "succeeded": "payment_intent.succeeded",
    "canceled": "payment_intent.canceled",
    "processing": "payment_intent.processing",
    "requires_capture": "payment_intent.amount_capturable_updated",
}
"""The events that tell of an intent's status; the others are nobody's news."""

CALLERS = ("payment_method", "return_url", "off_session", "setup_future_usage", "currency", "amount")
"""What Stripe may refuse of a request because the caller has said it."""


@dataclass(frozen=True, slots=True)
class Ask:
    """How an order is to be paid. With `confirm` it is paid now, with `payment_method`; else the buyer's page does it.

    `off_session`: the buyer is not there, so a bank that wants them refuses. `future_usage`: keep the card for later.
    """

    payment_method: str | None = None
    confirm: bool = False
    off_session: bool = False
    future_usage: str | None = None
    return_url: str | None = None
    description: str | None = None


def checked(ask: Ask) -> Ask:
    """Return what may be asked; raises `Invalid` naming the parameter that does not go with the others."""
    if ask.confirm and ask.payment_method is None:
        raise Invalid("confirm needs the payment_method to pay with", param="payment_method")
    if ask.off_session and not ask.confirm:
        raise Invalid("off_session goes with confirm: nobody else is there to do it", param="off_session")
    if ask.return_url is not None and not ask.confirm:
        raise Invalid("return_url goes with confirm: the buyer's page says its own", param="return_url")
    return ask


# --- make ------------------------------------------------------------------------------------------------------------


async def make(store: Store, gateway: Gateway, order: str, ask: Ask) -> Payment:
    """Make the intent of an order and confirm it if that is asked; again, it is the same intent, confirmed once.

    Raises `PaymentRefused` for a declined card (the payment can still be paid), `Invalid` for what Stripe does not
    take of the request (the order is then canceled), and `StripeUnavailable`: then ask again.
    """
    intent = await _made(store, gateway, await checkout.get(store, order), ask)
    if ask.confirm:
        intent = await _confirmed(store, gateway, order, intent, ask)
    return await _shown(store, await _row(store, intent["id"]), intent)


async def _made(store: Store, gateway: Gateway, order: Record, ask: Ask) -> Object:
    stripe_customer = await payers.stripe_customer(store, gateway, order["customer_id"])
    call = await store.run(lambda tx: _plan(tx, order, ask, stripe_customer))
    if call.state == "done" and call.object_id is not None:
        return await gateway.intent(call.object_id)
    try:
        intent = await _asked(store, gateway, order, call)
    except StripeRefused as refused:
        if not (refused.about == "customer" and refused.reason == "resource_missing"):
            raise await _unpayable(store, order["id"], refused) from refused
        fresh = await payers.replace(store, gateway, order["customer_id"], call.params["customer"])
        call = await store.run(lambda tx: _plan_for(tx, order, call, fresh))
        intent = await _asked(store, gateway, order, call)
    await store.run(lambda tx: _keep(tx, order, call, intent))
    return intent


async def _asked(store: Store, gateway: Gateway, order: Record, call: Call) -> Object:
    since_s = int((order["created_at"] - timedelta(days=1)).timestamp())
    find = partial(gateway.find_intent, call.params["customer"], order["id"], since_s)
    return await asking.answer(store, call, gateway.create_intent, find)


async def _plan(tx: Tx, order: Record, ask: Ask, stripe_customer: str) -> Call:
    """Write down the call for an order's intent, or return the one that is there."""
    await customers.lock_person(tx, order["customer_id"])
    name = f"payment:{order['id']}"
    call = await asking.known(tx, name, "payment", order["id"])
    if call is None:
        await sessions.refuse_other(tx, order)
        await _paid_by(tx, order["id"], stripe_customer)
        call = await asking.written(tx, name, "payment", order["id"], _params(order, ask, stripe_customer))
    if call.state == "refused":
        raise StripeRefused(call.detail or "Stripe refused this payment before")
    return call


async def _plan_for(tx: Tx, order: Record, call: Call, stripe_customer: str) -> Call:
    """Write down the call once more, for the person's new Stripe customer."""
    await customers.lock_person(tx, order["customer_id"])
    await _paid_by(tx, order["id"], stripe_customer)
    params = {**call.params, "customer": stripe_customer}
    return await asking.again(tx, call, params, f"{call.params['customer']} was deleted in Stripe")


async def _paid_by(tx: Tx, order: str, stripe_customer: str) -> None:
    await tx.execute("UPDATE orders SET stripe_customer = $2 WHERE id = $1", order, stripe_customer)


def _params(order: Record, ask: Ask, stripe_customer: str) -> Object:
    """Return the parameters of an intent. Without a page to return to, only methods that need none are offered."""
    params: Object = {
        "amount": order["amount"],
        "currency": order["currency"],
        "customer": stripe_customer,
        "capture_method": order["capture"],
        "metadata": {**order["metadata"], "paydesk_order": order["id"]},
        "payment_method": ask.payment_method,
        "setup_future_usage": ask.future_usage,
        "description": ask.description,
    }
    if order["payment_methods"]:
        params["payment_method_types"] = order["payment_methods"]
    elif ask.confirm and ask.return_url is None:
        params["automatic_payment_methods"] = {"enabled": True, "allow_redirects": "never"}
    return {name: value for name, value in params.items() if value is not None}


async def _keep(tx: Tx, order: Record, call: Call, intent: Object) -> None:
    """Note the order's intent; its events may have come before us."""
    await customers.lock_person(tx, order["customer_id"])
    await tx.execute(
        "INSERT INTO payment (id, order_id, status, amount, currency) VALUES ($1, $2, 'open', $3, $4) "
        "ON CONFLICT DO NOTHING",
        intent["id"],
        order["id"],
        order["amount"],
        order["currency"],
    )
    await calls.end(tx, call.key, intent["id"])


async def _unpayable(store: Store, order: str, refused: StripeRefused) -> Exception:
    """Cancel an order whose intent Stripe will not make, and return the error to raise."""
    await store.run(lambda tx: _cancel_order(tx, order, None))
    if refused.about in CALLERS:
        return Invalid(refused.message, param=refused.about)
    return refused if isinstance(refused, StripeClash) else refused.coded()


async def _confirmed(store: Store, gateway: Gateway, order: str, intent: Object, ask: Ask) -> Object:
    """Confirm an intent, once; its refusal is noted, and only a new try of the buyer's is another one."""
    given = {"payment_method": ask.payment_method, "off_session": ask.off_session or None, "return_url": ask.return_url}
    params = {name: value for name, value in given.items() if value is not None}
    name = f"confirm:{order}"

    async def plan(tx: Tx) -> Call:
        known = await asking.known(tx, name, "confirm", order)
        return known or await asking.written(tx, name, "confirm", order, params)

    async def find() -> Object | None:
        now = await gateway.intent(intent["id"])
        return now if _tried(now) else None

    call = await store.run(plan)
    if call.state != "pending":
        return _accepted(intent)
    try:
        send = partial(gateway.confirm_intent, intent["id"])
        confirmed = _accepted(await asking.answer(store, call, send, find))
    except PaymentRefused as refused:
        await calls.refuse(store, call.key, refused.message)
        raise
    except StripeRefused as refused:
        if refused.about in CALLERS and refused.reason in ("resource_missing", "parameter_missing"):
            raise Invalid(refused.message, param=refused.about) from refused
        raise PaymentRefused(
            refused.message, payment=intent["id"], code=refused.reason, decline_code=refused.decline_code
        ) from refused
    await _told(store, gateway, confirmed, call)
    return confirmed


def _tried(intent: Object) -> bool:
    """Say whether an intent has been confirmed, however that ended."""
    if intent["status"] == "requires_payment_method":
        return intent["last_payment_error"] is not None
    return bool(intent["status"] != "requires_confirmation")


def _accepted(intent: Object) -> Object:
    """Return a confirmed intent; raises `PaymentRefused` for one that came back."""
    error = intent["last_payment_error"]
    if intent["status"] == "requires_payment_method" and error is not None:
        message = error.get("message") or "the payment was refused"
        code, decline_code = error.get("code"), error.get("decline_code")
        raise PaymentRefused(message, payment=intent["id"], code=code, decline_code=decline_code or code)
    return intent


# --- look, capture, cancel -------------------------------------------------------------------------------------------


async def payer_of(store: Store, id_: str) -> str:
    """Return whose payment it is: whose keys it is asked under. Raises `NotFound`."""
    return str((await _row(store, id_))["customer_id"])


async def get(store: Store, gateway: Gateway, id_: str) -> Payment:
    """Return a payment of ours; one that is not final is looked up at Stripe. Raises `NotFound`."""
    row = await _row(store, id_)
    return await _shown(store, row, None if row["status"] in FINAL else await gateway.intent(id_))


async def look(store: Store, gateway: Gateway, order: str) -> None:
    """Ask Stripe how the payment of an order stands and put that into the inbox; nothing to do where there is none."""
    id_ = await store.fetchval(MADE, order)
    if id_ is not None:
        await _told(store, gateway, await gateway.intent(id_))


async def capture(store: Store, gateway: Gateway, id_: str, amount: int | None) -> Payment:
    """Take what a payment has reserved, or a part of it: the rest is let go.

    Again, it is the same answer. Raises `Conflict` when another amount was taken, or there is nothing to take.
    """
    row = await _row(store, id_)
    if stars.is_one(id_):
        raise Conflict(f"{id_} has nothing to capture: it was paid in {row['currency'].upper()}", param="payment")
    intent = await gateway.intent(id_)
    if intent["status"] == "requires_capture":
        _check_capture(amount, intent)
        try:
            intent = await gateway.capture_intent(id_, amount)
        except StripeRefused:
            intent = await gateway.intent(id_)
            if intent["status"] == "requires_capture":
                raise
    if intent["status"] != "succeeded" or intent["capture_method"] != "manual":
        raise Conflict(f"{id_} has nothing to capture: it is {intent['status']}", param="payment")
    if amount is not None and intent["amount_received"] != amount:
        raise Conflict(f"{id_} is captured already, with {intent['amount_received']}", param="amount")
    await _told(store, gateway, intent)
    return await _shown(store, row, intent)


def _check_capture(amount: int | None, intent: Object) -> None:
    if amount is not None and amount > intent["amount_capturable"]:
        raise Invalid(f"amount is more than the {intent['amount_capturable']} that are reserved", param="amount")


async def cancel(store: Store, gateway: Gateway, id_: str) -> Payment:
    """Let nobody pay a payment any more, let go what it has reserved, and cancel its order; again, the same answer.

    Raises `Conflict` when it is paid, when its money is on the way, or when a Checkout session has made it.
    """
    row = await _row(store, id_)
    if row["session"] is not None:
        raise Conflict(f"{id_} belongs to a Checkout session: cancel its order {row['order_id']}", param="payment")
    if stars.is_one(id_):
        raise Conflict(f"{id_} is paid: it can be refunded, not canceled", param="payment")
    intent = await gateway.intent(id_)
    if intent["status"] not in FINAL:
        try:
            intent = await gateway.cancel_intent(id_)
        except StripeRefused as refused:
            intent = await gateway.intent(id_)
            if intent["status"] not in FINAL:
                raise Conflict(refused.message, param="payment") from refused
    if intent["status"] == "succeeded":
        raise Conflict(f"{id_} is paid: it can be refunded, not canceled", param="payment")
    await store.run(lambda tx: _cancel_order(tx, row["order_id"], intent["canceled_at"]))
    await _told(store, gateway, intent)
    return await _shown(store, row, intent)


async def cancel_of_order(store: Store, gateway: Gateway, order: str) -> None:
    """Cancel the payment that was asked for an order, and with it the order; nothing to do where there is none.

    One that was asked for and never heard of is made first: nobody may find it later and pay it.
    """
    row = await checkout.get(store, order)
    if row["status"] not in (*checkout.PAYABLE, "pending") or not await checkout.has_payment(store, order):
        return
    intent = await _made(store, gateway, row, Ask())
    await cancel(store, gateway, intent["id"])


async def _cancel_order(tx: Tx, order: str, at_s: int | None) -> None:
    customer: str = await tx.fetchval("SELECT customer_id FROM orders WHERE id = $1", order)
    await customers.lock_person(tx, customer)
    changed = await tx.execute(
        "UPDATE orders SET status = 'canceled', canceled_at = coalesce($2, desk_now()) "
        "WHERE id = $1 AND paid_at IS NULL AND canceled_at IS NULL",
        order,
        None if at_s is None else from_unix(at_s),
    )
    if changed:
        await fanout.announce_cancel(tx, order, customer)


# --- what they share -------------------------------------------------------------------------------------------------


async def _told(store: Store, gateway: Gateway, intent: Object, call: Call | None = None) -> None:
    """Put what Stripe answered into the inbox, and note the end of the call that asked, in one transaction."""
    kind = TOLD.get(intent["status"])
    told = [] if kind is None else [answered(kind, intent, store.clock.now(), livemode=gateway.livemode)]

    async def work(tx: Tx) -> None:
        if call is not None:
            await calls.end(tx, call.key, intent["id"])
        await inbox.put(tx, told)

    await store.run(work)


COLUMNS = """p.*, o.customer_id, o.amount AS ordered, o.capture, o.metadata, o.livemode,
       CASE WHEN EXISTS (SELECT FROM stripe_call c WHERE c.subject = o.id AND c.kind = 'payment' AND c.object_id = p.id)
            THEN NULL ELSE o.session END AS session,
       (SELECT coalesce(sum(amount), 0) FROM refund r
        WHERE r.payment_id = p.id AND r.status NOT IN ('failed', 'canceled'))::bigint AS refunded"""

ROW = f"SELECT {COLUMNS} FROM payment p JOIN orders o ON o.id = p.order_id WHERE p.id = $1"

MADE = "SELECT object_id FROM stripe_call WHERE subject = $1 AND kind = 'payment' AND state = 'done' LIMIT 1"

COSTS = """
SELECT DISTINCT ON (payment_id) payment_id, currency, fee, net FROM (
    SELECT b.payment_id, b.currency, sum(b.fee)::bigint AS fee, sum(b.net)::bigint AS net,
           bool_or(b.about = p.charge) AS own
    FROM balance_transaction b JOIN payment p ON p.id = b.payment_id
    WHERE b.payment_id = ANY($1::text[]) GROUP BY b.payment_id, b.currency) AS costs
ORDER BY payment_id, own DESC NULLS LAST, currency
"""
"""What payments cost, each in the currency in which its charge was settled."""


async def _row(store: Store, id_: str) -> Record:
    row = await store.fetchrow(ROW, id_)
    if row is None:
        raise NotFound(f"no payment {id_}", param="payment")
    return row


async def of_rows(tx: Tx, rows: Sequence[Record]) -> list[Payment]:
    """Return payments of rows with `COLUMNS`, as we know them."""
    costs = {row["payment_id"]: row for row in await tx.fetch(COSTS, [row["id"] for row in rows])}
    return [_as_known(row, None, costs.get(row["id"])) for row in rows]


async def _shown(store: Store, row: Record, intent: Object | None) -> Payment:
    """Return a payment as our rows and, where it was asked, Stripe tell it."""
    return _as_known(row, intent, await store.fetchrow(COSTS, [row["id"]]))


def _as_known(row: Record, intent: Object | None, costs: Record | None) -> Payment:
    ours = row["session"] is None and not stars.is_one(row["id"])
    whole = row["ordered"] if ours else row["amount"]  # captured may be a part of it
    now: Object = intent or {
        "status": "requires_payment_method" if row["status"] in UNTAKEN else row["status"],
        "amount": whole,
        "amount_capturable": whole if row["status"] == "requires_capture" else 0,
        "amount_received": row["amount"] if row["status"] == "succeeded" else 0,
        "last_payment_error": {"code": row["failure_code"], "message": row["failure_message"]}
        if row["status"] == "failed"
        else None,
    }
    error: dict[str, Any] = now.get("last_payment_error") or {}
    ours = ours and now["status"] not in FINAL
    return Payment(
        id=row["id"],
        order=row["order_id"],
        customer=row["customer_id"],
        status=now["status"],
        amount=now["amount"],
        currency=row["currency"],
        amount_capturable=now["amount_capturable"],
        amount_received=now["amount_received"],
        amount_refunded=row["refunded"],
        capture=row["capture"],
        secret=now.get("client_secret") if ours else None,
        next_action=now.get("next_action") if ours else None,
        failure_code=error.get("decline_code") or error.get("code"),
        failure_message=error.get("message"),
        card_brand=row["card_brand"],
        card_last4=row["card_last4"],
        fee=None if costs is None else costs["fee"],
        net=None if costs is None else costs["net"],
        settled_in=None if costs is None else costs["currency"],
        metadata=row["metadata"],
        livemode=row["livemode"],
        created_at=row["created_at"],
    )
