"""THE table: which event types we listen to, why, and what fact each tells.

A reader gets the event's object and the event's own time, and returns a fact, or says why there is none. What is not
in the table is stored and marked `ignored`, so that it can be replayed the day it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from paydesk import clock
from paydesk.facts import (
    BalanceIs,
    ChargeIs,
    DisputeIs,
    FraudWarning,
    Ignored,
    Impossible,
    IntentIs,
    Look,
    Reading,
    RefundIs,
    RefundsAre,
    SessionIs,
)
from paydesk.stripe import billing, shapes
from paydesk.stripe.billing import Ours
from paydesk.stripe.shapes import Object

FOREIGN = Ignored("foreign: not an order of ours")
Looked = Mapping[Look, Mapping[str, Any]]
"""What was found at Stripe for the looks that readers asked for."""

Reader = Callable[[str, Object, datetime, Looked], Reading]


def read(event: Object, looked: Looked | None = None) -> Reading:
    """Return what an event tells: a fact, a look that is needed first, or why there is nothing to do.

    Never raises for a malformed event: that is `Impossible`, and a person will see it.
    """
    kind = str(event.get("type"))
    reader = TABLE.get(kind)
    if reader is None:
        return Ignored(f"unhandled type {kind}"[:200])
    try:
        data = event.get("data")
        if not isinstance(data, Mapping) or not isinstance(data.get("object"), Mapping):
            raise shapes.Shape("event has no data.object")
        at = clock.from_unix(shapes.number(event, "created"))
        return _in_our_version(reader, event, data["object"], at, looked or {})
    except (shapes.Shape, OverflowError, OSError, ValueError) as error:
        return Impossible(f"{kind}: {error}"[:400])


def _in_our_version(reader: Reader, event: Object, about: Object, at: datetime, looked: Looked) -> Reading:
    """Return what a reader reads; a refund that an older version shows only in the buyer's currency is looked at.

    Its share of the payment would be rounded twice: Stripe knows it to the cent.
    """
    kind = str(event["type"])
    reading = reader(kind, about, at, looked)
    if not isinstance(reading, RefundIs) or not shapes.presents_only(event):
        return reading
    look = Look("refund", reading.refund)
    if look not in looked:
        return look
    return reader(kind, looked[look], at, looked) if looked[look] else reading


def _session(kind: str, session: Object, at: datetime, looked: Looked) -> Reading:
    """Read a session. One whose slow method failed does not say why: its intent does."""
    order = shapes.reference(session)
    if order is None or session.get("mode", "payment") == "setup":
        return FOREIGN
    intent = shapes.id_of(session, "payment_intent")
    failed = kind.endswith("async_payment_failed")
    if failed and intent is not None and Look("payment_intent", intent) not in looked:
        return Look("payment_intent", intent)
    error = looked[Look("payment_intent", intent)].get("last_payment_error") if failed and intent is not None else None
    amount, currency = shapes.ordered(session)
    presented_amount, presented_currency = shapes.presented(session)
    return SessionIs(
        at=at,
        session=shapes.text(session, "id"),
        order=order,
        status=shapes.text(session, "status"),
        payment_status=shapes.text(session, "payment_status"),
        intent=intent,
        stripe_customer=shapes.id_of(session, "customer"),
        amount=amount,
        currency=currency,
        failed=failed,
        failure_message=shapes.words(error, "message") if isinstance(error, Mapping) else None,
        charged_amount=shapes.charged(session),
        presented_amount=presented_amount,
        presented_currency=presented_currency,
        subscription=shapes.id_of(session, "subscription"),
    )


def _intent(kind: str, intent: Object, at: datetime, _looked: Looked) -> Reading:
    order = shapes.reference(intent)
    if order is None:
        return FOREIGN
    error = intent.get("last_payment_error")
    failure: Object = error if isinstance(error, Mapping) else {}
    failed = kind.endswith("payment_failed")
    presented_amount, presented_currency = shapes.presented(intent)
    return IntentIs(
        at=at,
        intent=shapes.text(intent, "id"),
        order=order,
        status=_STATUS[kind],
        stripe_customer=shapes.id_of(intent, "customer"),
        amount=shapes.number(intent, "amount_received" if kind.endswith("succeeded") else "amount"),
        currency=shapes.text(intent, "currency"),
        charge=shapes.latest_charge(intent) if not failed or _was_slow(failure) else None,
        failure_code=(shapes.words(failure, "decline_code") or shapes.words(failure, "code")) if failed else None,
        failure_message=shapes.words(failure, "message") if failed else None,
        presented_amount=presented_amount,
        presented_currency=presented_currency,
    )


SLOW = frozenset((
    "acss_debit", "au_becs_debit", "bacs_debit", "boleto", "customer_balance", "konbini", "multibanco", "nz_bank_account",
    "oxxo", "payto", "sepa_debit", "sofort", "us_bank_account",
))  # fmt: skip
"""Ways to pay that are accepted at once and may fail days later."""


def _was_slow(failure: Object) -> bool:
    method = failure.get("payment_method")
    return isinstance(method, Mapping) and method.get("type") in SLOW


def _charge(_kind: str, charge: Object, at: datetime, looked: Looked) -> Reading:
    """Read a charge. It copies its intent's metadata when it is made; when it has none, the intent itself is asked."""
    intent = shapes.id_of(charge, "payment_intent")
    if intent is None:
        return FOREIGN
    if charge.get("status") != "succeeded" or not charge.get("captured", True):
        return Ignored("a charge that has not succeeded: its intent tells the rest")
    ours = _order_of(charge, intent, looked)
    if ours is None or isinstance(ours, Look):
        return ours or FOREIGN
    brand, last4 = shapes.card(charge)
    presented_amount, presented_currency = shapes.presented(charge)
    return ChargeIs(
        at=at,
        charge=shapes.text(charge, "id"),
        order=ours.order,
        intent=intent,
        stripe_customer=shapes.id_of(charge, "customer"),
        amount=shapes.number(charge, "amount_captured" if "amount_captured" in charge else "amount"),
        currency=shapes.text(charge, "currency"),
        balance_transaction=shapes.id_of(charge, "balance_transaction"),
        card_brand=brand,
        card_last4=last4,
        presented_amount=presented_amount,
        presented_currency=presented_currency,
    )


def _order_of(about: Object, intent: str, looked: Looked) -> Ours | Look | None:
    """Return the order that an object names, or its intent, else the invoice that this pays; a look when one is needed."""
    order = shapes.reference(about)
    if order is not None:
        return Ours(order)
    whose = shapes.id_of(about, "customer")
    look = Look("payment_intent", intent, whose)
    if look not in looked:
        return look
    order = shapes.reference(looked[look])
    if order is not None:
        return Ours(order)
    look = Look("invoice_of", intent, whose or shapes.id_of(looked[look], "customer"))
    return billing.paid_invoice(looked[look]) if look in looked else look


# --- money that goes back --------------------------------------------------------------------------------------------


def _refund(_kind: str, refund: Object, at: datetime, looked: Looked) -> Reading:
    """Read a refund. Ours bear the order; one made in the dashboard is known by its intent."""
    intent = shapes.id_of(refund, "payment_intent")
    if intent is None:
        return FOREIGN
    ours = _order_of(refund, intent, looked)
    if ours is None or isinstance(ours, Look):
        return ours or FOREIGN
    return _refund_is(refund, ours, intent, at)


def _refund_is(refund: Object, ours: Ours, intent: str, at: datetime) -> RefundIs:
    presented_amount, presented_currency = shapes.presented(refund)
    return RefundIs(
        at=at,
        refund=shapes.text(refund, "id"),
        order=ours.order,
        intent=intent,
        status=shapes.one_of(refund, "status", ("pending", "requires_action", "succeeded", "failed", "canceled")),
        amount=shapes.number(refund, "amount"),
        currency=shapes.text(refund, "currency"),
        reason=shapes.words(refund, "reason"),
        failure_reason=shapes.words(refund, "failure_reason"),
        made_at=clock.from_unix(shapes.number(refund, "created")),
        presented_amount=presented_amount,
        presented_currency=presented_currency,
        balance_transaction=shapes.id_of(refund, "balance_transaction"),
        stripe_customer=ours.stripe_customer,
        returned_by=shapes.id_of(refund, "failure_balance_transaction"),
        asked_as=_asked_as(refund),
    )


def _asked_as(refund: Object) -> str | None:
    """Return the name of the call of ours that made a refund, as its metadata bears it."""
    metadata = refund.get("metadata")
    return shapes.words(metadata, "paydesk_refund") if isinstance(metadata, Mapping) else None


def _refunded(_kind: str, charge: Object, at: datetime, looked: Looked) -> Reading:
    """A charge's `amount_refunded` is a running total that may fall again: it only says that its refunds are news."""
    intent = shapes.id_of(charge, "payment_intent")
    if intent is None:
        return FOREIGN
    ours = _order_of(charge, intent, looked)
    if ours is None or isinstance(ours, Look):
        return ours or FOREIGN
    look = Look("refunds", shapes.text(charge, "id"))
    if look not in looked:
        return look
    refunds = _given_back(charge, looked[look].get("data", ()))
    return RefundsAre(
        at, ours.order, intent, tuple(_refund_is(refund, ours, intent, at) for refund in refunds), ours.stripe_customer
    )


def _given_back(charge: Object, refunds: Sequence[Object]) -> list[Object]:
    """Return the refunds of a charge without the one that let go what was reserved and never captured.

    That one moved no money: nothing of it stands in the balance.
    """
    released = charge.get("amount", 0) - charge.get("amount_captured", charge.get("amount", 0))
    rest = [one for one in refunds if not (one.get("amount") == released and one.get("balance_transaction") is None)]
    return rest if released and len(rest) == len(refunds) - 1 else list(refunds)


def _dispute(_kind: str, dispute: Object, at: datetime, looked: Looked) -> Reading:
    """A dispute goes back and forth, so the event says only where to look; all events of one come in one lane."""
    look = Look("dispute", shapes.text(dispute, "id"))
    if look not in looked:
        return look
    now = looked[look]
    intent = shapes.id_of(now, "payment_intent")
    if intent is None:
        return FOREIGN
    paid: Object = now["payment_intent"] if isinstance(now["payment_intent"], Mapping) else {}
    ours = _order_of(paid, intent, looked)
    if ours is None or isinstance(ours, Look):
        return ours or FOREIGN
    details = now.get("evidence_details")
    due_by = details.get("due_by") if isinstance(details, Mapping) else None
    moved = now.get("balance_transactions")
    (amount, currency), (presented_amount, presented_currency) = shapes.in_both(now, paid)
    return DisputeIs(
        at=at,
        dispute=look.id,
        order=ours.order,
        intent=intent,
        status=shapes.text(now, "status"),
        amount=amount,
        currency=currency,
        reason=shapes.words(now, "reason"),
        evidence_due_at=clock.from_unix(due_by) if type(due_by) is int else None,
        made_at=clock.from_unix(shapes.number(now, "created")),
        balance=tuple(shapes.text(one, "id") for one in moved) if isinstance(moved, list) else (),
        stripe_customer=ours.stripe_customer,
        presented_amount=presented_amount,
        presented_currency=presented_currency,
    )


def _fraud_warning(_kind: str, warning: Object, at: datetime, looked: Looked) -> Reading:
    intent = shapes.id_of(warning, "payment_intent")
    if intent is None:
        return FOREIGN
    ours = _order_of({}, intent, looked)
    if ours is None or isinstance(ours, Look):
        return ours or FOREIGN
    kind = shapes.words(warning, "fraud_type") or "misc"
    return FraudWarning(at, shapes.text(warning, "id"), ours.order, intent, kind, ours.stripe_customer)


# --- subscriptions ---------------------------------------------------------------------------------------------------


def _subscription(_kind: str, subscription: Object, at: datetime, looked: Looked) -> Reading:
    whose = shapes.id_of(subscription, "customer")
    return _found_by(Look("subscription", shapes.text(subscription, "id"), whose), at, looked)


def _invoice(_kind: str, invoice: Object, at: datetime, looked: Looked) -> Reading:
    """An invoice of no subscription is not ours: a shop may send such by hand."""
    if billing.subscription_of(invoice) is None:
        return FOREIGN
    return _found_by(Look("invoice", shapes.text(invoice, "id"), shapes.id_of(invoice, "customer")), at, looked)


def _schedule(_kind: str, schedule: Object, at: datetime, looked: Looked) -> Reading:
    """A schedule of a subscription: when that changes by itself is looked at with it."""
    id_ = shapes.id_of(schedule, "subscription") or shapes.id_of(schedule, "released_subscription")
    return (
        FOREIGN if id_ is None else _found_by(Look("subscription", id_, shapes.id_of(schedule, "customer")), at, looked)
    )


def _part_of_invoice(_kind: str, part: Object, at: datetime, looked: Looked) -> Reading:
    """A payment or a credit note of an invoice: what is true of the invoice now is looked at."""
    invoice = shapes.id_of(part, "invoice")
    return (
        FOREIGN if invoice is None else _found_by(Look("invoice", invoice, shapes.id_of(part, "customer")), at, looked)
    )


def _found_by(look: Look, at: datetime, looked: Looked) -> Reading:
    """Return what a look at a subscription or at one of its invoices tells; they go back and forth."""
    if look not in looked:
        return look
    return billing.subscription_is(looked[look], at) if looked[look] else FOREIGN


def answer(body: Object, received_at: datetime, looked: Looked) -> Reading:
    """Return what Stripe answers to a question of ours (`inbox.question`)."""
    look = Look(shapes.text(body, "kind"), shapes.text(body, "id"))
    if look not in looked:
        return look
    found = looked[look]
    if not found:
        return Ignored(f"Stripe knows no {look.kind} {look.id}")
    try:
        if look.kind in ("subscription", "invoice"):
            return billing.subscription_is(found, received_at)
        return _balance_is(found, body, received_at)
    except (shapes.Shape, OverflowError, OSError, ValueError) as error:
        return Impossible(f"{look.kind} {look.id}: {error}"[:400])


def _balance_is(found: Object, asked: Object, at: datetime) -> BalanceIs:
    rate, available = found.get("exchange_rate"), found.get("available_on")
    return BalanceIs(
        at=at,
        transaction=shapes.text(found, "id"),
        order=shapes.text(asked, "order"),
        intent=shapes.text(asked, "intent"),
        kind=shapes.text(found, "type"),
        about=shapes.text(asked, "about"),
        amount=shapes.number(found, "amount"),
        fee=shapes.number(found, "fee"),
        net=shapes.number(found, "net"),
        currency=shapes.text(found, "currency"),
        exchange_rate=None if rate is None else str(rate),
        available_on=clock.from_unix(available) if type(available) is int else None,
        made_at=clock.from_unix(shapes.number(found, "created")),
    )


_STATUS = {
    "payment_intent.succeeded": "succeeded",
    "payment_intent.payment_failed": "failed",
    "payment_intent.canceled": "canceled",
    "payment_intent.processing": "processing",
    "payment_intent.amount_capturable_updated": "requires_capture",
}

TABLE: dict[str, Reader] = {
    "checkout.session.completed": _session,  # the buyer finished the page; the money may still be on its way
    "checkout.session.async_payment_succeeded": _session,  # a slow method has paid
    "checkout.session.async_payment_failed": _session,  # a slow method has not
    "checkout.session.expired": _session,  # nobody paid in time: the link may open a fresh one
    "payment_intent.succeeded": _intent,  # the money is there, whether or not the session's event arrives
    "payment_intent.payment_failed": _intent,  # a try was refused: the buyer is told once
    "payment_intent.canceled": _intent,  # nobody can pay this one any more
    "charge.succeeded": _charge,  # the card, for the receipt; and a third way to hear that it is paid
    "charge.updated": _charge,  # comes once the fee is known (balance transaction)
    "charge.captured": _charge,  # what was reserved is taken, all of it or a part
    "payment_intent.processing": _intent,  # a slow method is on its way
    "payment_intent.amount_capturable_updated": _intent,  # reserved: the shop takes it later
    "refund.created": _refund,  # money is going back, whoever sent it: we, a person in the dashboard
    "refund.updated": _refund,  # … has gone, or was canceled
    "refund.failed": _refund,  # … and came back to us: what it took is given again
    "charge.refund.updated": _refund,  # the same, as older endpoints hear it
    "charge.refunded": _refunded,  # for endpoints that hear only this
    "charge.dispute.created": _dispute,  # the buyer's bank takes the money back for the time being
    "charge.dispute.updated": _dispute,  # evidence was handed in
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.funds_reinstated": _dispute,
    "charge.dispute.closed": _dispute,  # won, lost, or an inquiry that came to nothing
    "radar.early_fraud_warning.created": _fraud_warning,  # a dispute may follow: the desk is told
    "customer.subscription.created": _subscription,
    "customer.subscription.updated": _subscription,  # a plan changed, a payment failed, a trial or cycle ended, …
    "customer.subscription.deleted": _subscription,  # it is over
    "customer.subscription.paused": _subscription,
    "customer.subscription.resumed": _subscription,
    "customer.subscription.pending_update_applied": _subscription,  # a plan change was paid for
    "customer.subscription.pending_update_expired": _subscription,  # … was not
    "customer.subscription.trial_will_end": _subscription,  # three days before
    "subscription_schedule.created": _schedule,  # a subscription will change by itself: people are shown that
    "subscription_schedule.updated": _schedule,
    "subscription_schedule.released": _schedule,
    "invoice.paid": _invoice,  # a cycle is paid, also from a balance, by hand, or in parts
    "invoice.payment_succeeded": _invoice,  # the same, for endpoints that hear only this
    "invoice.payment_failed": _invoice,  # it will be tried again
    "invoice.payment_action_required": _invoice,  # the bank asks for the buyer
    "invoice.overpaid": _invoice,
    "invoice.voided": _invoice,
    "invoice.marked_uncollectible": _invoice,
    "invoice.updated": _invoice,
    "invoice_payment.paid": _part_of_invoice,  # one of several payments
    "credit_note.created": _part_of_invoice,  # a part of an invoice is taken off, before or after it was paid
    "credit_note.voided": _part_of_invoice,
}
