"""Orders and payments: what a fact makes of them. Pure above, their rows below.

A transition takes what is known and a fact, and returns what is known now. Facts may come in any order and number:
every rule here is a merge (the earliest time, the furthest status), so that the end is always the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from paydesk.facts import ChargeIs, IntentIs, SessionIs
from paydesk.store import Tx

PAID = ("paid", "no_payment_required")
PAYMENT_RANK = {"failed": 0, "canceled": 1, "succeeded": 2}
SESSION_RANK = {None: 0, "open": 0, "expired": 1, "complete": 2}
SESSION_PAYMENT_RANK = {None: 0, "unpaid": 0, "failed": 1, "no_payment_required": 2, "paid": 2}


@dataclass(frozen=True, slots=True)
class Order:
    """An order as far as money goes. `channel` and `address` name the thread in which its buyer is told."""

    id: str
    customer: str
    status: str
    amount: int
    currency: str
    livemode: bool
    channel: str | None
    address: str | None
    conversation: str | None
    stripe_customer: str | None
    session: str | None
    session_status: str | None
    session_payment_status: str | None
    paid_by: str | None
    paid_at: datetime | None
    canceled_at: datetime | None
    grants: bool


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment intent of an order, with the newest facts about it."""

    id: str
    order: str
    status: str
    amount: int
    currency: str
    charge: str | None = None
    balance_transaction: str | None = None
    card_brand: str | None = None
    card_last4: str | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    paid_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What a fact led to: the order and its payment now, what to say, and a second payment to give back."""

    order: Order
    payment: Payment | None = None
    say: str | None = None
    give_back: str | None = None


class Mismatch(Exception):
    """A fact bears our reference but not our terms: no money moves, a person has to look."""


MoneyFact = SessionIs | IntentIs | ChargeIs


def apply(order: Order, payment: Payment | None, fact: MoneyFact) -> Step:
    """Return what `fact` makes of `order` and of the payment it names (`None` when first heard of).

    Raises `Mismatch` when the fact's customer, amount or currency are not the order's.
    """
    refuse_mismatch(order, fact)
    match fact:
        case SessionIs():
            return _session_is(order, payment, fact)
        case IntentIs():
            return _intent_is(order, payment, fact)
        case ChargeIs():
            return _charge_is(order, payment, fact)


def status_of(order: Order) -> str:
    """Return the order's status, computed from its facts. Money that arrived beats everything else."""
    if order.paid_at is not None:
        return "fulfilled" if order.grants else "paid"
    if order.canceled_at is not None:
        return "canceled"
    if order.session_status == "complete" and order.session_payment_status == "unpaid":
        return "pending"
    return "expired" if order.session_status == "expired" else "open"


def refuse_mismatch(order: Order, fact: MoneyFact) -> None:
    """Raise `Mismatch` unless customer, amount and currency are those the order was made with."""
    if order.stripe_customer is None or fact.stripe_customer != order.stripe_customer:
        raise Mismatch(f"{order.id}: paid by {fact.stripe_customer}, made for {order.stripe_customer}")
    if (fact.amount, fact.currency) != (order.amount, order.currency):
        raise Mismatch(f"{order.id}: {fact.amount} {fact.currency} paid, {order.amount} {order.currency} ordered")


def _session_is(order: Order, payment: Payment | None, fact: SessionIs) -> Step:
    if fact.status != "complete":
        return Step(_with_session(order, fact))
    if fact.failed:
        failed = _with_session(order, replace(fact, payment_status="failed"))
        return Step(failed, say="payment_failed" if order.paid_at is None else None)
    before, order = order, _with_session(order, fact)
    if fact.payment_status not in PAID:
        return Step(order, say="pending" if order.status == "pending" != before.status else None)
    if fact.intent is not None:
        payment = merge(
            payment, Payment(fact.intent, order.id, "succeeded", fact.amount, fact.currency, paid_at=fact.at)
        )
    return _paid(order, payment, by=fact.intent or fact.session, at=fact.at)


def _with_session(order: Order, fact: SessionIs) -> Order:
    """Adopt the session's state, never backwards. The news of an older session of the order changes nothing."""
    if order.session not in (None, fact.session):
        return order
    status, paid = order.session_status, order.session_payment_status
    if SESSION_RANK.get(fact.status, 0) > SESSION_RANK.get(status, 0) or status is None:
        status = fact.status
    if SESSION_PAYMENT_RANK.get(fact.payment_status, 0) > SESSION_PAYMENT_RANK.get(paid, 0) or paid is None:
        paid = fact.payment_status
    return _settled(replace(order, session=fact.session, session_status=status, session_payment_status=paid))


def _intent_is(order: Order, payment: Payment | None, fact: IntentIs) -> Step:
    news = Payment(
        fact.intent, order.id, fact.status, order.amount, order.currency,
        charge=fact.charge if fact.status == "succeeded" else None,
        failure_code=fact.failure_code,
        failure_message=fact.failure_message,
        paid_at=fact.at if fact.status == "succeeded" else None,
    )  # fmt: skip
    if fact.status == "succeeded":
        return _paid(order, merge(payment, news), by=fact.intent, at=fact.at)
    say = "payment_failed" if fact.status == "failed" and order.paid_at is None else None
    return Step(order, merge(payment, news), say=say)


def _charge_is(order: Order, payment: Payment | None, fact: ChargeIs) -> Step:
    news = Payment(
        fact.intent, order.id, "succeeded", fact.amount, fact.currency,
        charge=fact.charge,
        balance_transaction=fact.balance_transaction,
        card_brand=fact.card_brand,
        card_last4=fact.card_last4,
        paid_at=fact.at,
    )  # fmt: skip
    return _paid(order, merge(payment, news), by=fact.intent, at=fact.at)


def _paid(order: Order, payment: Payment | None, *, by: str, at: datetime) -> Step:
    """Mark the order paid by `by`, since the earliest time told; another payment of a paid order goes back."""
    if order.paid_by not in (None, by):
        return Step(order, payment, say="paid_twice", give_back=by)
    first = order.paid_at is None
    at = at if order.paid_at is None else min(order.paid_at, at)
    return Step(_settled(replace(order, paid_by=by, paid_at=at)), payment, say="paid" if first else None)


def _settled(order: Order) -> Order:
    return replace(order, status=status_of(order))


def merge(old: Payment | None, news: Payment) -> Payment:
    """Return what is known of a payment with `news`: the furthest status, the earliest time, every known field."""
    if old is None:
        return news
    if PAYMENT_RANK[news.status] < PAYMENT_RANK[old.status]:
        old, news = news, old
    succeeded = news.status == "succeeded"
    times = [moment for moment in (old.paid_at, news.paid_at) if moment is not None]
    return Payment(
        id=old.id,
        order=old.order,
        status=news.status,
        amount=news.amount,
        currency=news.currency,
        charge=news.charge or old.charge,
        balance_transaction=news.balance_transaction or old.balance_transaction,
        card_brand=news.card_brand or old.card_brand,
        card_last4=news.card_last4 or old.card_last4,
        failure_code=None if succeeded else news.failure_code or old.failure_code,
        failure_message=None if succeeded else news.failure_message or old.failure_message,
        paid_at=min(times, default=None),
    )


# --- what the parts of an order are worth ----------------------------------------------------------------------------


def worth(terms: Mapping[str, Any], order: Order) -> int:
    """Return what a source is worth now, in its unit: credits, seconds of a pass, or 1 for a feature.

    `terms` are the ones frozen with the order; the catalogue is not read here, ever.
    """
    if order.paid_at is None:
        return 0
    quantity: int = terms["quantity"]
    match terms["kind"]:
        case "credits":
            return quantity * int(terms["amount"])
        case "pass":
            return quantity * int(terms["days"]) * 86_400
        case _:
            return 1


# --- rows ------------------------------------------------------------------------------------------------------------

LOAD = """
SELECT id, customer_id, status, amount, currency, livemode, channel, external_id, conversation, stripe_customer,
       session, session_status, session_payment_status, paid_by, paid_at, canceled_at,
       EXISTS (SELECT FROM source s WHERE s.order_id = o.id AND s.kind <> 'money')
FROM orders o WHERE id = ANY($1::text[])
"""

SAVE = """
UPDATE orders o SET status = n.status, session = n.session, session_status = n.session_status,
    session_payment_status = n.session_payment_status, paid_by = n.paid_by, paid_at = n.paid_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
    AS n (id, status, session, session_status, session_payment_status, paid_by, paid_at)
WHERE o.id = n.id
"""

LOAD_PAYMENTS = """
SELECT id, order_id, status, amount, currency, charge, balance_transaction, card_brand, card_last4, failure_code,
       failure_message, paid_at
FROM payment WHERE id = ANY($1::text[])
"""

SAVE_PAYMENTS = """
INSERT INTO payment (id, order_id, status, amount, currency, charge, balance_transaction, card_brand, card_last4,
                     failure_code, failure_message, paid_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[],
                     $9::text[], $10::text[], $11::text[], $12::timestamptz[])
ON CONFLICT (id) DO UPDATE SET status = excluded.status, charge = excluded.charge,
    balance_transaction = excluded.balance_transaction, card_brand = excluded.card_brand,
    card_last4 = excluded.card_last4, failure_code = excluded.failure_code,
    failure_message = excluded.failure_message, paid_at = excluded.paid_at
"""


async def load(tx: Tx, ids: Iterable[str]) -> dict[str, Order]:
    """Return orders by id, those that exist."""
    return {row[0]: Order(*row) for row in await tx.fetch(LOAD, sorted(ids))}


async def save(tx: Tx, changed: Sequence[Order]) -> None:
    """Write what facts may change of orders."""
    rows = [
        (o.id, o.status, o.session, o.session_status, o.session_payment_status, o.paid_by, o.paid_at) for o in changed
    ]
    if rows:
        await tx.execute(SAVE, *(list(column) for column in zip(*rows, strict=True)))


async def load_payments(tx: Tx, ids: Iterable[str]) -> dict[str, Payment]:
    """Return payments by intent id, those that are known."""
    return {row[0]: Payment(*row) for row in await tx.fetch(LOAD_PAYMENTS, sorted(ids))}


async def save_payments(tx: Tx, changed: Sequence[Payment]) -> None:
    """Insert or update payments."""
    rows = [
        (p.id, p.order, p.status, p.amount, p.currency, p.charge, p.balance_transaction, p.card_brand, p.card_last4,
         p.failure_code, p.failure_message, p.paid_at)
        for p in changed
    ]  # fmt: skip
    if rows:
        await tx.execute(SAVE_PAYMENTS, *(list(column) for column in zip(*rows, strict=True)))
