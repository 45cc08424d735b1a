"""An order's case: everything that is known of it, and what the parts of what was sold are worth because of that. Pure.

`worth` is one function of the terms that were frozen with the order and of what has gone back of its money: whatever
happened in whatever order, the same is worth the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from paydesk import money
from paydesk.facts import BalanceIs

UNDONE = ("canceled", "failed")
OPEN_DISPUTE = ("needs_response", "under_review")
"""Stripe has taken the money back for the time being."""

TOPUP = "paydesk_topup"
"""The metadata key of orders that were made by an automatic top-up; its value is the unit."""

OPEN_INQUIRY = ("warning_needs_response", "warning_under_review")
"""A bank only asks, and takes nothing yet."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order as far as money goes. `channel` and `address` name the thread in which its buyer is told.

    `unattended`: an automatic top-up has made it, and its buyer is not there.
    """

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
    presented_amount: int | None
    presented_currency: str | None
    capture: str
    grants: bool
    mode: str = "payment"
    stars: int | None = None
    unattended: bool = False

    @property
    def billed(self) -> bool:
        """Say whether an invoice of a subscription has its money: perhaps in several payments, perhaps in none."""
        return self.mode != "payment"


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment intent of an order, with the newest facts about it. `amount` is what arrived once it has succeeded."""

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
class Refund:
    """A refund of a payment. One that failed or was canceled counts as if it had never been."""

    id: str
    payment: str
    status: str
    amount: int
    currency: str
    reason: str | None
    failure_reason: str | None
    created_at: datetime

    @property
    def counts(self) -> bool:
        """Say whether its money has left or is about to."""
        return self.status not in UNDONE


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute of a payment, as it was when somebody last looked."""

    id: str
    payment: str
    status: str
    amount: int
    currency: str
    reason: str | None
    evidence_due_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that is known of one order."""

    order: Order
    payments: Mapping[str, Payment] = field(default_factory=dict)
    refunds: Mapping[str, Refund] = field(default_factory=dict)
    disputes: Mapping[str, Dispute] = field(default_factory=dict)


class NotYet(Exception):
    """The fact is about something that has not been heard of here: it waits for that."""


def payment_of(case: Case, intent: str) -> Payment:
    """Return a payment of a case; raises `NotYet` when it has not been heard of."""
    payment = case.payments.get(intent)
    if payment is None:
        raise NotYet(f"{case.order.id}: {intent} is not known yet")
    return payment


# --- what the parts of an order are worth ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Returned:
    """How much of what was agreed on (`of`) is not there: refunded, disputed and not decided, lost, never captured."""

    of: int = 0
    refunded: int = 0
    disputed: int = 0
    lost: int = 0
    uncaptured: int = 0

    @property
    def arrived(self) -> int:
        """What was paid: all that was agreed on, or the part of it that was captured."""
        return self.of - self.uncaptured

    @property
    def at_first(self) -> Returned:
        """What it was when the money had just come, and nothing had gone back."""
        return Returned(self.of, uncaptured=self.uncaptured)


def returned_of(case: Case) -> Returned:
    """Return how much has gone back of the payment that paid the order, of an invoice of all that paid it.

    What was reserved and not captured is included.
    """
    if case.order.billed:
        each = [_returned(case, payment) for payment in case.payments.values() if payment.status == "succeeded"]
        return Returned(
            max(case.order.amount, sum(one.of for one in each)),
            sum(one.refunded for one in each),
            sum(one.disputed for one in each),
            sum(one.lost for one in each),
        )
    payment = case.payments.get(case.order.paid_by or "")
    return Returned() if payment is None else _returned(case, payment)


def _returned(case: Case, payment: Payment) -> Returned:
    uncaptured = _uncaptured(case.order, payment)
    if not case.refunds and not case.disputes:  # nothing has: ledgers of millions are recounted by this
        return Returned(payment.amount + uncaptured, uncaptured=uncaptured)
    refunds = [refund.amount for refund in case.refunds.values() if refund.payment == payment.id and refund.counts]
    disputes = [dispute for dispute in case.disputes.values() if dispute.payment == payment.id]
    held = [dispute.amount for dispute in disputes if dispute.status in OPEN_DISPUTE]
    lost = [dispute.amount for dispute in disputes if dispute.status == "lost"]
    rounded = _rounded_off(payment, [*refunds, *held, *lost]) if _was_presented(case.order, payment) else 0
    return Returned(
        payment.amount + uncaptured,
        sum(refunds) + (rounded if refunds else 0),
        sum(held) + (rounded if held and not refunds else 0),
        sum(lost) + (rounded if not held and not refunds else 0),
        uncaptured,
    )


def _was_presented(order: Order, payment: Payment) -> bool:
    """Say whether a payment is kept in the currency its buyer was shown, as ours once were."""
    return payment.currency != order.currency and payment.currency == order.presented_currency


def _rounded_off(payment: Payment, parts: list[int]) -> int:
    """Return what rounding left of a payment, or took too much: each part is off by a half at most, so no more is nothing."""
    rest = payment.amount - sum(parts)
    return rest if 2 * abs(rest) <= len(parts) else 0


def _uncaptured(order: Order, payment: Payment) -> int:
    """Return how much of what a payment had reserved was let go when the rest of it was captured."""
    in_part = order.capture == "manual" and payment.status == "succeeded" and payment.currency == order.currency
    return max(0, order.amount - payment.amount) if in_part else 0


def shown_of(order: Order, payment: Payment, amount: int) -> tuple[int, str]:
    """Return what an amount of a payment is as its buyer was shown it: what they read, and nothing else counts by it."""
    shown, shown_in = order.presented_amount, order.presented_currency
    if shown is None or shown_in is None or shown_in == payment.currency or order.billed:
        return amount, payment.currency
    return money.share(amount, payment.amount, shown), shown_in


def money_of(case: Case, intent: str) -> tuple[int, datetime | None]:
    """Return what is left of a payment's money, in the smallest unit of its currency, and since when it is there.

    Below zero when more went back than came: a bank may take all of what had been refunded before. That is a loss.
    """
    payment = case.payments.get(intent)
    if payment is None or payment.status != "succeeded":
        return 0, None
    back = _returned(case, payment)
    return payment.amount - back.refunded - back.disputed - back.lost, payment.paid_at


def worth(terms: Mapping[str, Any], order: Order, returned: Returned, ran_s: int | None = None) -> int:
    """Return what a source is worth now, in its unit: credits, seconds of a pass, or 1 for a feature.

    `terms` are the ones frozen with the order; the catalogue is not read here, ever. What was not captured counts as
    returned: who reserved 2,000 for 100 credits, captured 1,500 of it and refunded 500 has sold 50.
    `ran_s` is for how many seconds a cycle ran, or a part of one, before the rest was given back because a plan was changed.

    >>> paid = Order("ord_1", "cst_1", "paid", 2000, "usd", False, *[None] * 8, datetime.now(), *[None] * 3, "manual", True)
    >>> worth({"kind": "credits", "amount": 100, "quantity": 1}, paid, Returned(2000, refunded=500, uncaptured=500))
    50
    """
    if order.paid_at is None:
        return 0
    quantity: int = terms["quantity"]
    held_back = returned.disputed if terms.get("on_dispute", "hold") == "hold" else 0
    back = returned.uncaptured + returned.refunded + returned.lost + held_back
    match terms["kind"]:
        case "credits":
            return left_of(_cycle(terms, ran_s), returned.of, back)
        case "pass" | "role" | "member" if "days" in terms:
            return left_of(quantity * int(terms["days"]) * 86_400, returned.of, back)
        case _:
            return 1 if back < returned.of or back == 0 else 0


def _cycle(terms: Mapping[str, Any], ran_s: int | None) -> int:
    """Return the credits of something sold: of a cycle, or of the part of one that was billed, rounded up.

    What ran for less than was billed (`part_s`) is rounded down: else each of many plan changes would bring a credit.

    >>> terms = {"quantity": 1, "amount": 500, "cycle_s": 3000, "part_s": 1000}
    >>> _cycle(terms, 1000), _cycle(terms, 500)
    (167, 83)
    """
    whole: int = terms["quantity"] * int(terms["amount"])
    if "cycle_s" not in terms:
        return whole
    cycle_s, part_s = int(terms["cycle_s"]), int(terms["part_s"])
    if ran_s is not None and ran_s < part_s:
        return whole * max(0, ran_s) // cycle_s
    return -(-whole * part_s // cycle_s)


def left_of(whole: int, paid: int, back: int) -> int:
    """Return what is left of `whole` when `back` of what was `paid` has gone back: its share, rounded up, never below 0.

    >>> left_of(500, 999, 500)
    250
    """
    if back <= 0:
        return whole
    return 0 if back >= paid else whole - whole * back // paid


# --- what it did to the balance ------------------------------------------------------------------------------------------


def charged_of(case: Case, fact: BalanceIs) -> int:
    """Return what the object behind a balance transaction amounts to, in the currency in which it was charged."""
    payment = payment_of(case, fact.intent)
    if fact.about == payment.charge:
        return payment.amount
    part = case.refunds.get(fact.about) or case.disputes.get(fact.about)
    if part is None:
        raise NotYet(f"{case.order.id}: {fact.about} is not known yet")
    return part.amount


def balance_moves(case: Case, fact: BalanceIs) -> list[tuple[str, str, int]]:
    """Return what a balance transaction moves: (kind of source, currency, amount): Stripe's fee, and the exchange.

    The exchange is there when another currency is settled than was charged. Nothing for an object not known yet.
    """
    try:
        charged = charged_of(case, fact)
    except NotYet:
        return []
    moves = [("fee" if fact.fee > 0 else "fee_back", fact.currency, abs(fact.fee))] if fact.fee else []
    currency = case.payments[fact.intent].currency
    if currency != fact.currency:
        leaves, enters = ("exchange_out", "exchange_in") if fact.amount > 0 else ("exchange_in", "exchange_out")
        moves += [(leaves, currency, charged), (enters, fact.currency, abs(fact.amount))]
    return moves
