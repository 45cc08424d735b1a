"""Refunds that are asked for here: written down under the buyer's lock, sent once, told by the same door as all others.

What is asked and what is known never exceeds what was paid: whoever asks counts, under the lock, every refund that is
known and every call whose refund is not known yet. A call whose end nobody has seen keeps its amount reserved; the
next one who asks about the same payment goes on with it first. The credits follow from the refund's row, however it
came to be (`settle`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

from paydesk import asking, audit, calls, customers, inbox, stars
from paydesk.asking import Call, Object
from paydesk.case import Refund
from paydesk.clock import from_unix
from paydesk.errors import Conflict, Invalid, NotFound, StripeClash, StripeRefused
from paydesk.store import Record, Store, Tx
from paydesk.stripe.envelope import answered
from paydesk.stripe.gateway import Gateway

_ID = re.compile(r"[a-z]{2,5}_[A-Za-z0-9_]{1,200}", re.ASCII)

REASONS = ("duplicate", "fraudulent", "requested_by_customer")
LEFT_AFTER_S = 60
"""A call that is pending for longer was left by somebody who died or gave up."""

CONFLICTS = {
    "charge_already_refunded": ("already_refunded", "this payment has already been refunded"),
    "charge_disputed": (
        "payment_disputed",
        "the buyer's bank disputes this payment, or has taken its money back: it cannot be given back here",
    ),
}
"""Stripe's refusals that say how things stand: our codes and words for them, with 409. The others are 402."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What to give back: of a payment, or of the payment that paid an order; all that is left without an `amount`."""

    payment: str | None = None
    order: str | None = None
    amount: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment whose money has arrived: `amount`, in the smallest unit of `currency`.

    `there` is what Stripe calls the same amount when we ask: where the buyer was shown another currency than the
    catalogue's, an endpoint of an older version has told us of that one, and Stripe takes refunds in the other.
    """

    id: str
    order: str
    customer: str
    amount: int
    currency: str
    there: tuple[int, str]

    @property
    def converted(self) -> bool:
        """Whether Stripe counts in another currency than we do."""
        return self.there[1] != self.currency


async def make(
    store: Store, gateway: Gateway, ask: Ask, *, operation: str, actor: str, insist: bool = False
) -> tuple[Refund, str]:
    """Give money back and return the refund with its order; the same `operation` gives it back once.

    `insist`: what Stripe refused before is asked anew; else it is refused again.
    Raises `Conflict` when so much is not left to give back, `StripeRefused` when Stripe will not, and
    `StripeUnavailable` when the outcome is not known: then the same operation goes on with it.
    """
    meant = await _asked_for(store, ask)
    if stars.is_one(meant["id"]):
        return await stars.give_back(store, meant["id"], ask.amount, ask.reason, operation=operation, actor=actor)
    paid = await _paid(store, gateway, ask)
    await _finish_left(store, gateway, paid, operation)
    call = await store.run(lambda tx: _plan(tx, paid, ask, operation, actor, insist))
    if call.state == "done" and call.object_id is not None:
        return await get(store, gateway, call.object_id)
    try:
        found = await _asked(store, gateway, call, paid)
    except StripeRefused as refused:
        raise _refusal(refused) from refused
    return _refund(found), paid.order


async def payer_of(store: Store, ask: Ask) -> str:
    """Return whose money is to go back: whose keys it is asked under. Raises as `make` does."""
    return str((await _asked_for(store, ask))["customer_id"])


PAYMENT = """
SELECT p.id, p.order_id, p.status, p.amount, p.currency, o.currency AS ordered_in, o.customer_id
FROM payment p JOIN orders o ON o.id = p.order_id
WHERE p.id = $1
"""

PAYMENT_OF_ORDER = """
SELECT p.id, p.order_id, p.status, p.amount, p.currency, o.currency AS ordered_in, o.customer_id
FROM orders o JOIN payment p ON p.id = coalesce(
    o.paid_by, (SELECT id FROM payment WHERE order_id = o.id ORDER BY created_at DESC LIMIT 1))
WHERE o.id = $1
"""


async def _paid(store: Store, gateway: Gateway, ask: Ask) -> Paid:
    """Return the payment that is meant; raises `NotFound`, or `Conflict` when nothing was paid.

    One of which we have not heard yet that it is paid is looked up: its money may go back before its event comes.
    """
    row = await _asked_for(store, ask)
    amount, status, there = row["amount"], row["status"], (row["amount"], row["currency"])
    if status != "succeeded" or row["currency"] != row["ordered_in"]:
        intent = await gateway.intent(row["id"])
        there = intent["amount_received"], intent["currency"]
        amount, status = (amount if status == "succeeded" else there[0]), intent["status"]
    if status != "succeeded":
        which = "order" if ask.payment is None else "payment"
        raise Conflict(f"{row['id']} is not paid: there is nothing to give back", param=which, code="not_paid")
    return Paid(row["id"], row["order_id"], row["customer_id"], amount, row["currency"], there)


async def _asked_for(store: Store, ask: Ask) -> Record:
    """Return the row of the payment that is meant."""
    if (ask.payment is None) == (ask.order is None):
        raise Invalid("say which payment or which order, one of them", param="payment")
    which, id_ = ("payment", ask.payment) if ask.payment is not None else ("order", ask.order)
    row = await store.fetchrow(PAYMENT if which == "payment" else PAYMENT_OF_ORDER, id_)
    if row is None and which == "order" and await store.fetchval("SELECT 1 FROM orders WHERE id = $1", id_):
        raise Conflict(f"{id_} has no payment to give back", param="order", code="not_paid")
    if row is None:
        raise NotFound(f"no {which} {id_}", param=which)
    return row


GIVEN_BACK = """
SELECT (
    SELECT coalesce(sum(amount), 0) FROM refund WHERE payment_id = $1 AND status NOT IN ('failed', 'canceled')
) + (
    SELECT coalesce(sum(coalesce(params->'metadata'->>'paydesk_amount', params->>'amount')::bigint), 0) FROM stripe_call c
    WHERE subject = $1 AND kind = 'refund' AND state <> 'refused'
      AND NOT EXISTS (SELECT FROM refund r WHERE r.id = c.object_id)
)
"""
"""What is known to go back of a payment, and what is asked and not known yet: each refund once.

A call's refund may be known before its answer is: whoever settles it notes its id with the call, under the same lock.
"""


async def _plan(tx: Tx, paid: Paid, ask: Ask, operation: str, actor: str, insist: bool) -> Call:
    """Write down a refund that fits into what is left, or return the one that the operation wrote before."""
    await customers.lock_person(tx, paid.customer)
    name = f"refund:{operation}"
    call = await asking.known(tx, name, "refund", paid.id)
    if call is not None and call.state == "refused" and not insist:
        raise StripeRefused(call.detail or "Stripe refused this refund before")
    if call is not None and call.state != "refused":
        return call
    left = paid.amount - int(await tx.fetchval(GIVEN_BACK, paid.id))
    amount = _fitting(paid, ask.amount, left)
    params: Object = {
        "payment_intent": paid.id,
        "amount": amount,
        "metadata": {"paydesk_order": paid.order, "paydesk_refund": name},
        **({} if ask.reason is None else {"reason": ask.reason}),
    }
    if paid.converted:
        params = _converted(params, paid, last=amount == left)
    detail: dict[str, object] = {"amount": amount, "currency": paid.currency, "order": paid.order}
    await audit.note(tx, actor, "refund.create", [paid.id], detail)
    if call is not None:
        return await asking.again(tx, call, params, call.detail or "Stripe refused it")
    return await asking.written(tx, name, "refund", paid.id, params)


def _converted(params: Object, paid: Paid, *, last: bool) -> Object:
    """Return the parameters with their amount as Stripe counts; what is left at last, Stripe knows to the cent."""
    amount: int = params.pop("amount")
    sent = (2 * amount * paid.there[0] + paid.amount) // (2 * paid.amount)  # rounded half up
    metadata = {**params["metadata"], "paydesk_amount": str(amount)}
    return {**params, "metadata": metadata, **({} if last else {"amount": max(1, sent)})}


def _as_paid(found: Object, currency: str) -> Object:
    """Return a refund in the currency in which we know its payment: Stripe tells both."""
    shown = found.get("presentment_details")
    if found["currency"] == currency or not shown or shown["presentment_currency"] != currency:
        return found
    return {**found, "amount": shown["presentment_amount"], "currency": currency}


def _fitting(paid: Paid, amount: int | None, left: int) -> int:
    """Return how much goes back; raises for more than was paid, or than is left."""
    if amount is not None and amount > paid.amount:
        raise Invalid(f"amount is more than the {paid.amount} that were paid", param="amount")
    if left <= 0:
        raise Conflict(f"{paid.id} is given back already, or about to be", param="payment", code="already_refunded")
    if amount is not None and amount > left:
        raise Conflict(f"only {left} of {paid.id} are left to give back", param="amount", code="amount_too_large")
    return left if amount is None else amount


async def _asked(store: Store, gateway: Gateway, call: Call, paid: Paid) -> Object:
    """Carry out a written call, tell the inbox what Stripe answered, and note the end, in one transaction."""
    find = partial(gateway.find_refund, call.params["payment_intent"], call.name)
    found = _as_paid(await asking.answer(store, call, gateway.create_refund, find), paid.currency)
    told = answered("refund.updated", found, store.clock.now(), livemode=gateway.livemode)

    async def work(tx: Tx) -> None:
        await calls.end(tx, call.key, found["id"])
        await inbox.put(tx, [told])

    await store.run(work)
    return found


LEFT = f"""
SELECT key FROM stripe_call WHERE subject = $1 AND kind = 'refund' AND state = 'pending'
  AND created_at < now() - make_interval(secs => {LEFT_AFTER_S})
"""


async def _finish_left(store: Store, gateway: Gateway, paid: Paid, operation: str) -> None:
    """Go on with refunds of this payment whose end nobody has seen: only then is it known what is left."""
    for row in await store.fetch(LEFT, paid.id):
        name = ":".join(row["key"].split(":")[:2])
        async with store.transaction() as tx:
            call = await asking.known(tx, name, "refund", paid.id)
        if call is None or call.state != "pending" or name == f"refund:{operation}":
            continue
        try:
            await _asked(store, gateway, call, paid)
        except StripeRefused:
            continue  # noted: its amount is free again


def _refusal(refused: StripeRefused) -> Exception:
    if refused.reason in CONFLICTS:
        code, words = CONFLICTS[refused.reason]
        return Conflict(words, param="payment", code=code)
    return refused if isinstance(refused, StripeClash) else refused.coded()


# --- look ------------------------------------------------------------------------------------------------------------

COLUMNS = "r.id, r.payment_id, r.status, r.amount, r.currency, r.reason, r.failure_reason, r.created_at, p.order_id"


async def get(store: Store, gateway: Gateway, id_: str) -> tuple[Refund, str]:
    """Return a refund of ours with its order; one that has just been made is looked up. Raises `NotFound`."""
    row = await store.fetchrow(
        f"SELECT {COLUMNS} FROM refund r JOIN payment p ON p.id = r.payment_id WHERE r.id = $1", id_
    )
    if row is not None:
        return _of_row(row)
    asked = await stars.refund_asked_for(store, id_)
    if asked is not None:
        return asked
    found = await gateway.refund_now(id_) if _ID.fullmatch(id_) else {}
    paid = await store.fetchrow("SELECT order_id, currency FROM payment WHERE id = $1", found.get("payment_intent"))
    if paid is None:
        raise NotFound(f"no refund {id_}", param="refund")
    return _refund(_as_paid(found, paid["currency"])), str(paid["order_id"])


def _of_row(row: Record) -> tuple[Refund, str]:
    *refund, order = row
    return Refund(*refund), order


def _refund(found: Object) -> Refund:
    """Return a refund as Stripe showed it."""
    return Refund(
        found["id"],
        found["payment_intent"],
        found["status"],
        found["amount"],
        found["currency"],
        found.get("reason"),
        found.get("failure_reason"),
        from_unix(found["created"]),
    )
