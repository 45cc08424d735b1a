"""Orders, payments, refunds and disputes: what a fact makes of them. Pure.

A transition takes everything known of an order (its `Case`) and a fact, and returns what is known now. Facts may come
in any order and number: every rule here is a merge (the earliest time, the furthest status), so that the end is always
the same. The exception are disputes, which go back and forth: a fact about one is a look at it, made by whoever holds
its lane, so that no older look can be written after a newer one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from paydesk import money
from paydesk.case import (
    OPEN_DISPUTE,
    OPEN_INQUIRY,
    Case,
    Dispute,
    NotYet,
    Order,
    Payment,
    Refund,
    Returned,
    charged_of,
    payment_of,
    returned_of,
)
from paydesk.facts import (
    BalanceIs,
    CaseFact,
    ChargeIs,
    DisputeIs,
    EntitlementIs,
    FraudWarning,
    IntentIs,
    InvoiceIs,
    RefundIs,
    RefundsAre,
    SessionIs,
)

PAID = ("paid", "no_payment_required")
PAYMENT_RANK = {"open": -1, "processing": 0, "failed": 1, "requires_capture": 2, "canceled": 3, "succeeded": 4}
"""`open`: made by us, and nothing heard of it yet."""

UNDER_WAY = ("processing", "requires_capture")
SESSION_RANK = {None: 0, "open": 0, "expired": 1, "complete": 2}
SESSION_PAYMENT_RANK = {None: 0, "unpaid": 0, "failed": 1, "no_payment_required": 2, "paid": 2}
REFUND_RANK = {"requires_action": 0, "pending": 1, "succeeded": 2, "canceled": 3, "failed": 4}


@dataclass(frozen=True, slots=True)
class Step:
    """What a fact led to: what is known now, what to say and about which object, a second payment to give back.

    `alert` is for the people who run the desk.
    """

    case: Case
    say: str | None = None
    about: str | None = None
    give_back: str | None = None
    alert: str | None = None


GoingBack = TypeVar("GoingBack", RefundIs, DisputeIs)


class Mismatch(Exception):
    """A fact bears our reference but not our terms: no money moves, a person has to look."""


def apply(case: Case, fact: CaseFact) -> Step:
    """Return what `fact` makes of a case.

    Raises `Mismatch` when the fact's customer, amount or currency are not the order's, `NotYet` when it must wait.
    """
    match fact:
        case SessionIs():
            _refuse_mismatch(case.order, fact)
            return _session_is(case, fact)
        case IntentIs():
            return _intent_is(_in_one_currency(case, fact), fact)
        case ChargeIs():
            return _charge_is(_in_one_currency(case, fact), fact)
        case EntitlementIs():
            return _entitlement_is(case, fact)
        case RefundIs():
            return _refund_is(case, fact)
        case RefundsAre():
            return _refunds_are(case, fact)
        case DisputeIs():
            return _dispute_is(case, fact)
        case FraudWarning():
            payment_of(case, fact.intent)
            return Step(case, about=fact.warning, alert="fraud_warning")
        case BalanceIs():
            charged_of(case, fact)
            return Step(case)


def status_of(case: Case) -> str:
    """Return the order's status, computed from its facts. Money that arrived beats everything else."""
    order = case.order
    if order.paid_at is not None:
        return _paid_status(order, returned_of(case))
    if order.canceled_at is not None:
        return "canceled"
    if order.session_status == "complete" and (order.billed or order.session_payment_status == "unpaid"):
        return "pending"
    if order.session_status in (None, "expired") and any(
        payment.status in UNDER_WAY for payment in case.payments.values()
    ):
        return "pending"
    return "expired" if order.session_status == "expired" else "open"


def _paid_status(order: Order, returned: Returned) -> str:
    if returned.disputed or returned.lost:
        return "disputed"
    if returned.refunded >= returned.arrived > 0:
        return "refunded"
    if returned.refunded > 0:
        return "partially_refunded"
    return "fulfilled" if order.grants else "paid"


def _refuse_mismatch(order: Order, fact: SessionIs | IntentIs | ChargeIs, known: Payment | None = None) -> None:
    """Raise `Mismatch` unless customer, amount and currency are those the order was made with.

    The buyer may pay in another currency, or less by a coupon: the session says so, and what is paid waits for that.
    `known` is the payment that an intent or charge is about: what was found right of it before is right.
    """
    if fact.currency == money.STARS:  # only our own rail says so, and only of whom it was shown to
        if fact.amount != order.stars:
            raise Mismatch(f"{order.id}: {fact.amount} stars paid, {order.stars} asked for")
        return
    if order.stripe_customer is None or fact.stripe_customer != order.stripe_customer:
        raise Mismatch(f"{order.id}: paid by {fact.stripe_customer}, made for {order.stripe_customer}")
    if order.billed:  # its invoice says what it costs, and its payments may be parts
        return
    told = (fact.amount, fact.currency)
    if told in ((order.amount, order.currency), (order.presented_amount, order.presented_currency)):
        return
    if known is not None and told == (known.amount, known.currency):
        return
    if order.capture == "manual" and fact.currency == order.currency and 0 < fact.amount < order.amount:
        return  # the shop captured a part of what was reserved
    other = fact.currency != order.currency or fact.amount < order.amount
    if not isinstance(fact, SessionIs) and other and order.session_status != "complete":
        raise NotYet(f"{order.id} is paid by {fact.amount} {fact.currency}: its session has to say how that comes")
    raise Mismatch(f"{order.id}: {fact.amount} {fact.currency} paid, {order.amount} {order.currency} ordered")


# --- in one currency -------------------------------------------------------------------------------------------------


def _in_one_currency(case: Case, fact: IntentIs | ChargeIs) -> Case:
    """Return a case that is about to hear of a payment, with what its buyer was shown; refuse other terms.

    A payment is kept in its order's currency, whichever its buyer was shown, and never changes its (`merge`). An older
    version of the API tells only what was shown: that waits for who tells both.
    """
    order, known = case.order, case.payments.get(fact.intent)
    _refuse_mismatch(order, fact, known)
    if known is None and fact.currency not in (order.currency, money.STARS):
        told = f"{fact.amount} {fact.currency}"
        raise NotYet(f"{order.id} is paid by {told}: what that is in {order.currency} has to be told")
    return _with_presented(case, fact)


def _as_paid(case: Case, payment: Payment, fact: GoingBack) -> GoingBack:
    """Return what a refund or a dispute tells in the currency of its payment; raises `Mismatch` when nobody tells that."""
    if fact.currency == payment.currency:
        return fact
    if fact.presented_currency == payment.currency and fact.presented_amount is not None:
        return replace(fact, amount=fact.presented_amount, currency=payment.currency)
    what = fact.refund if isinstance(fact, RefundIs) else fact.dispute
    raise Mismatch(f"{case.order.id}: {what} is in {fact.currency}, paid was {payment.currency}")


def _with_presented(case: Case, fact: IntentIs | ChargeIs) -> Case:
    """Keep what the buyer was shown, as the first one tells it: they are told of no other amount."""
    order = case.order
    if fact.presented_amount is None or order.presented_amount is not None or order.billed:
        return case
    shown = replace(order, presented_amount=fact.presented_amount, presented_currency=fact.presented_currency)
    return replace(case, order=shown)


# --- paying ----------------------------------------------------------------------------------------------------------


def _session_is(case: Case, fact: SessionIs) -> Step:
    before = case.order
    if fact.failed or (fact.payment_status == "unpaid" and _debit_failed(case, fact.intent)):
        fact = replace(fact, payment_status="failed")
    case = _settled(_with_promised(replace(case, order=_with_session(before, fact)), fact))
    if fact.status != "complete" or (before.billed and not fact.failed and fact.payment_status in PAID):
        return Step(case)
    if fact.failed:
        failed = "payment_failed" if before.paid_at is None else None
        return Step(case, say=failed, about=fact.intent or fact.session, alert=failed)
    if fact.payment_status not in PAID:
        return Step(
            case, say="pending" if case.order.status == "pending" != before.status else None, about=fact.session
        )
    if fact.intent is not None:
        news = Payment(fact.intent, before.id, "succeeded", _charged(fact), fact.currency, paid_at=fact.at)
        case = _with_payment(case, news)
    return _paid(case, by=fact.intent or fact.session, at=fact.at)


def _debit_failed(case: Case, intent: str | None) -> bool:
    """Say whether the slow method of an intent has failed: only such a payment has a charge and has failed."""
    payment = case.payments.get(intent or "")
    return payment is not None and payment.status == "failed" and payment.charge is not None


def _with_session(order: Order, fact: SessionIs) -> Order:
    """Adopt the session's state, never backwards. The news of an older session of the order changes nothing."""
    if order.session not in (None, fact.session):
        return order
    status, paid = order.session_status, order.session_payment_status
    if SESSION_RANK.get(fact.status, 0) > SESSION_RANK.get(status, 0) or status is None:
        status = fact.status
    if SESSION_PAYMENT_RANK.get(fact.payment_status, 0) > SESSION_PAYMENT_RANK.get(paid, 0) or paid is None:
        paid = fact.payment_status
    shown, shown_in = order.presented_amount, order.presented_currency
    if fact.presented_amount is not None:
        shown, shown_in = fact.presented_amount, fact.presented_currency
    elif fact.charged_amount is not None:
        shown, shown_in = fact.charged_amount, fact.currency
    return replace(
        order,
        session=fact.session,
        session_status=status,
        session_payment_status=paid,
        presented_amount=shown,
        presented_currency=shown_in,
    )


def _with_promised(case: Case, fact: SessionIs) -> Case:
    """Note what a buyer who was shown another currency will have paid: nothing else may tell it in the order's own."""
    if fact.status != "complete" or fact.intent is None or fact.presented_amount is None or case.order.billed:
        return case
    return _with_payment(case, Payment(fact.intent, case.order.id, "open", _charged(fact), fact.currency))


def _charged(fact: SessionIs) -> int:
    """Return what is paid of a session, in the currency that was ordered in."""
    return fact.amount if fact.charged_amount is None else fact.charged_amount


def _intent_is(case: Case, fact: IntentIs) -> Step:
    order = case.order
    succeeded, slow = fact.status == "succeeded", fact.status == "failed" and fact.charge is not None
    news = Payment(
        fact.intent, order.id, fact.status, fact.amount, fact.currency,
        charge=fact.charge if succeeded or slow else None,
        failure_code=fact.failure_code,
        failure_message=fact.failure_message,
        paid_at=fact.at if succeeded else None,
    )  # fmt: skip
    case = _settled(_without_buyer(_with_payment(case, news), fact))
    if succeeded:
        return _paid(case, by=fact.intent, at=fact.at)
    if fact.status == "processing" and case.order.status == "pending" != order.status:
        return Step(case, say="pending")
    if order.billed:  # the invoice tells of its failures
        return Step(case)
    # Once a session is complete, its slow method decides: an earlier card's refusal is no news, its own is the session's.
    # A top-up tells of its refusal itself: nobody is there to try again. What fails days later, it does not hear of.
    tells = fact.status == "failed" and order.paid_at is None and order.session_status != "complete"
    failed = "payment_failed" if tells and (slow or not order.unattended) else None
    return Step(case, say=failed, about=fact.intent if slow else None, alert=failed)


def _without_buyer(case: Case, fact: IntentIs) -> Case:
    """Cancel an order whose only intent was canceled. A session's order lives on: its link may open a fresh session."""
    order = case.order
    if fact.status != "canceled" or order.session is not None or order.billed:
        return case
    at = fact.at if order.canceled_at is None else min(order.canceled_at, fact.at)
    return replace(case, order=replace(order, canceled_at=at))


def _charge_is(case: Case, fact: ChargeIs) -> Step:
    news = Payment(
        fact.intent, case.order.id, "succeeded", fact.amount, fact.currency,
        charge=fact.charge,
        balance_transaction=fact.balance_transaction,
        card_brand=fact.card_brand,
        card_last4=fact.card_last4,
        paid_at=fact.at,
    )  # fmt: skip
    return _paid(_with_payment(case, news), by=fact.intent, at=fact.at)


def _entitlement_is(case: Case, fact: EntitlementIs) -> Step:
    """Take it for the payment of its order, from when it gives; one that went back is a refund of all of it."""
    news = Payment(
        fact.intent, case.order.id, "succeeded", fact.amount, fact.currency, charge=fact.bought, paid_at=fact.since
    )
    step = _paid(_with_payment(case, news), by=fact.intent, at=fact.since)
    if not fact.deleted:
        return step
    back = RefundIs(
        fact.at,
        f"re_{fact.intent}",
        fact.order,
        fact.intent,
        "succeeded",
        fact.amount,
        fact.currency,
        None,
        None,
        fact.at,
    )
    return _refund_is(step.case, back)


def _paid(case: Case, *, by: str, at: datetime) -> Step:
    """Mark the order paid by `by`, since the earliest time told; another payment of a paid order goes back.

    What an invoice bills is paid when the invoice says so (`billed`).
    """
    order = case.order
    if order.billed:
        return Step(_settled(case))
    if order.paid_by not in (None, by):
        return Step(case, say="paid_twice", about=by, give_back=by)
    first = order.paid_at is None
    at = at if order.paid_at is None else min(order.paid_at, at)
    case = _settled(replace(case, order=replace(order, paid_by=by, paid_at=at)))
    gone = [refund for refund in case.refunds.values() if refund.payment == by and refund.counts]
    if first and gone:  # its refund was heard of before it
        return Step(case, say="refunded", about=max(gone, key=lambda refund: (refund.created_at, refund.id)).id)
    return Step(case, say="paid" if first else None)


def _with_payment(case: Case, news: Payment) -> Case:
    return replace(case, payments={**case.payments, news.id: merge(case.payments.get(news.id), news)})


def _settled(case: Case) -> Case:
    return replace(case, order=replace(case.order, status=status_of(case)))


def merge(old: Payment | None, news: Payment) -> Payment:
    """Return what is known of a payment with `news`: the furthest status, the earliest time, every known field.

    A payment's currency is told once, and the books count it in that one. What is told of it in another was found right
    before: it is all of it, and all of it is known.
    """
    if old is None:
        return news
    if news.currency != old.currency:
        news = replace(news, amount=old.amount, currency=old.currency)
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


# --- billed by an invoice --------------------------------------------------------------------------------------------


def bill(case: Case, fact: InvoiceIs) -> Case:
    """Return what an invoice makes of the order it bills: what it costs, who has paid of it, and since when it is paid.

    An invoice goes back and forth, so it is looked at: what is known now replaces what was known.
    """
    order = case.order
    for paid in fact.payments:
        case = _with_payment(case, Payment(
            paid.intent, order.id, paid.status, paid.amount, paid.currency, charge=paid.charge,
            failure_code=paid.failure_code, failure_message=paid.failure_message, paid_at=paid.paid_at,
        ))  # fmt: skip
    voided = fact.created_at if fact.status == "void" else None
    return _settled(replace(case, order=replace(
        order,
        amount=max(0, fact.total),
        currency=fact.currency,
        paid_by=None if fact.status != "paid" else fact.payments[-1].intent if fact.payments else fact.invoice,
        paid_at=(fact.paid_at or fact.created_at) if fact.status == "paid" else None,
        canceled_at=voided,
    )))  # fmt: skip


# --- going back ------------------------------------------------------------------------------------------------------


def _refund_is(case: Case, fact: RefundIs) -> Step:
    """Adopt a refund's furthest status: `succeeded` may still become `failed`, and nothing comes after that."""
    fact = _as_paid(case, payment_of(case, fact.intent), fact)
    old = case.refunds.get(fact.refund)
    news = Refund(
        fact.refund,
        fact.intent,
        fact.status,
        fact.amount,
        fact.currency,
        fact.reason,
        fact.failure_reason,
        fact.made_at,
    )
    if old is not None and REFUND_RANK[news.status] <= REFUND_RANK[old.status]:
        return Step(case)
    case = _settled(replace(case, refunds={**case.refunds, news.id: news}))
    counted = old is not None and old.counts
    pays = case.order.billed or fact.intent == case.order.paid_by
    if not pays or counted == news.counts:
        return Step(case)
    return Step(case, say="refunded" if news.counts else "refund_failed", about=news.id,
                alert=None if news.counts else "refund_failed")  # fmt: skip


def _refunds_are(case: Case, fact: RefundsAre) -> Step:
    """Adopt all refunds of a payment; what is said is about the last one that is news."""
    step = Step(case)
    for refund in fact.refunds:
        news = _refund_is(step.case, refund)
        step = news if news.say is not None else replace(step, case=news.case)
    return step


def _dispute_is(case: Case, fact: DisputeIs) -> Step:
    payment = payment_of(case, fact.intent)
    fact = _as_paid(case, payment, fact)
    old = case.disputes.get(fact.dispute)
    news = Dispute(
        fact.dispute, payment.id, fact.status, fact.amount, fact.currency, fact.reason, fact.evidence_due_at,
        fact.made_at,
    )  # fmt: skip
    if old == news:
        return Step(case)
    case = _settled(replace(case, disputes={**case.disputes, news.id: news}))
    say, alert = _dispute_news(old.status if old is not None else None, news.status)
    return Step(case, say=say, about=news.id, alert=alert)


def _dispute_news(before: str | None, now: str) -> tuple[str | None, str | None]:
    """Return what a dispute's new status means to the buyer, and to the people who run the desk."""
    if now in OPEN_DISPUTE:
        return (None, None) if before in OPEN_DISPUTE else ("disputed", "dispute_opened")
    if now == "won":
        return ("dispute_won" if before in (*OPEN_DISPUTE, "lost") else None), "dispute_won"
    if now == "lost":
        return "dispute_lost", "dispute_lost"
    return None, "inquiry_opened" if before is None and now in OPEN_INQUIRY else None
