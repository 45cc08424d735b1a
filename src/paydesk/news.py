"""What a subscription's people are told of what has changed. Pure.

A look shows how a subscription is, so news is the difference between what was known and what is known now. Looks may
be many or few: what happened between two of them may stay unsaid, and nothing is said twice.
"""

from __future__ import annotations

from datetime import datetime

from paydesk import inbox, notices, reminders, subscriptions
from paydesk.clock import iso
from paydesk.desk import OLD_NEWS, Desk
from paydesk.inbox import Row
from paydesk.subscriptions import UNPAID, Bill, Invoice, Subscription

TIMERS = reminders.TIMERS
"""Kinds of timers whose subject is `<customer>|<subscription>`."""

FIRST = "subscription_create"
RECEIPTS = {"subscription_cycle": "renewed", "subscription_update": "change_paid"}
"""What is said of an invoice that is paid, by its reason."""


def tell(desk: Desk, before: Bill | None, after: Bill, at: datetime, row: Row) -> None:
    """Say what is news, and set the timers of what is to be said later. `at` is the time of what prompted the look."""
    desk.timers += reminders.timers_of(after, desk.now)
    if row.source == inbox.QUESTION:  # we have asked, now: nothing prompted it
        at = desk.now
    if not _fresh(desk, at):
        return
    _tell_unknown_prices(desk, before, after, row)
    if _begins(before, after):
        _tell_begun(desk, after, row)
    elif before is not None:
        _tell_changes(desk, before, after, row)
    for invoice in sorted(after.invoices.values(), key=lambda one: (one.created_at, one.id)):
        old = before.invoices.get(invoice.id) if before is not None else None
        if invoice != old and invoice.billing_reason != FIRST:
            _tell_invoice(desk, after, old, invoice, row)


def _fresh(desk: Desk, at: datetime | None) -> bool:
    return at is not None and desk.now - at < OLD_NEWS


def _gives(bill: Bill | None) -> bool:
    return bill is not None and subscriptions.standing(bill).since is not None


# --- it begins -------------------------------------------------------------------------------------------------------


def _begins(before: Bill | None, after: Bill) -> bool:
    return after.subscription.live and _gives(after) and not _gives(before)


def _tell_begun(desk: Desk, bill: Bill, row: Row) -> None:
    """Say that it has begun; one that is adopted long after it began is no news."""
    own = bill.subscription
    first = next((one for one in bill.invoices.values() if one.billing_reason == FIRST), None)
    if not (_fresh(desk, own.started_at) or (first is not None and _fresh(desk, first.paid_at))):
        return
    template = "trial_started" if own.status == "trialing" else "subscribed"
    receipt = notices.receipt_of(desk, bill, first, lasting=True) if first is not None else {}
    notices.say(desk, bill, f"subscribed:{own.id}", template, row, about=own.order, **receipt)


def _tell_unknown_prices(desk: Desk, before: Bill | None, after: Bill, row: Row) -> None:
    """A price that the catalogue does not know gives nothing: whoever runs the desk has to hear of it."""
    own = after.subscription
    known = {item.price for item in before.subscription.items} if before is not None else set()
    for item in own.items:
        if own.live and item.price not in known and not item.terms:
            key = f"unknown_price:{own.id}:{item.price}"
            notices.alert(desk, after, key, "unknown_price", row, stripe_price=item.price)


# --- it is paid, or not ----------------------------------------------------------------------------------------------


def _tell_invoice(desk: Desk, bill: Bill, old: Invoice | None, invoice: Invoice, row: Row) -> None:
    if invoice.status == "paid":
        if (old is None or old.status != "paid") and _fresh(desk, invoice.paid_at):
            _tell_paid(desk, bill, old, invoice, row)
    elif invoice.status in UNPAID and invoice.attempts > 0:
        _tell_failed(desk, bill, invoice, row)


def _tell_paid(desk: Desk, bill: Bill, old: Invoice | None, invoice: Invoice, row: Row) -> None:
    template = RECEIPTS.get(invoice.billing_reason, "bill_paid")
    if old is not None and old.attempts > 0 and old.status in UNPAID:
        template = "recovered"
    elif template == "renewed" and invoice.start == bill.subscription.trial_end:
        template = "trial_paid"
    receipt = notices.receipt_of(desk, bill, invoice)
    if invoice.total < 0:
        notices.say(desk, bill, f"paid:{invoice.id}", "credited", row, **{**receipt, "amount": -invoice.total})
    elif invoice.total > 0 or any(grant["worth"] for grant in receipt["grants"]):
        notices.say(desk, bill, f"paid:{invoice.id}", template, row, **receipt)


def _tell_failed(desk: Desk, bill: Bill, invoice: Invoice, row: Row) -> None:
    """Say that an invoice could not be paid, or that its bank wants it confirmed. Later tries change neither."""
    if not bill.subscription.live or (row.source == inbox.QUESTION and not _fresh(desk, invoice.created_at)):
        return
    notices.say_unpaid(desk, bill, invoice, row)


# --- it changes ------------------------------------------------------------------------------------------------------


def _tell_changes(desk: Desk, before: Bill, after: Bill, row: Row) -> None:
    """Say what is another way now. What goes back and forth is news each time, so its key has the time of the look:

    three changes may come in one second, and the last of them must not be taken for the first.
    """
    was, own = before.subscription, after.subscription
    if not own.live:
        if was.live and _gives(before):
            _tell_ended(desk, after, row)
        return
    stamp = f"{own.id}:{own.asked_at.isoformat()}"
    if _gives(before) and _plan(was) != _plan(own):
        notices.say(desk, after, f"plan_changed:{stamp}", "plan_changed", row)
    if was.cancel_at != own.cancel_at:
        template = "cancels" if own.cancel_at is not None else "cancel_undone"
        notices.say(desk, after, f"{template}:{stamp}", template, row, ends=iso(own.cancel_at))
    if _is_paused(was) != _is_paused(own):
        template = "paused" if _is_paused(own) else "resumed"
        notices.say(desk, after, f"{template}:{stamp}", template, row)


def _tell_ended(desk: Desk, bill: Bill, row: Row) -> None:
    """Say that it is over, unless that was said when its grace ended."""
    own = bill.subscription
    if own.ended_at is None or _fresh(desk, own.ended_at):
        reminders.tell_ended(desk, bill, row)


def _plan(own: Subscription) -> list[tuple[str, int]]:
    return sorted((item.price, item.quantity) for item in own.items)


def _is_paused(own: Subscription) -> bool:
    return own.paused is not None or own.status == "paused"
