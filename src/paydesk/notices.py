"""A message about a subscription: where its buyer is told, and what its text may name. Pure.

A message's key is its meaning, such as `paid:in_1`, so that nothing is said twice whatever prompted it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from paydesk import saying, subscriptions
from paydesk.clock import iso
from paydesk.customers import Thread
from paydesk.desk import Desk
from paydesk.inbox import Row
from paydesk.outbox import Message
from paydesk.subscriptions import UNPAID, Bill, Invoice, Subscription

ASKED_FOR = "authentication_required"
"""Stripe's code for a payment that the buyer's bank wants them to confirm."""

ENDED_UNPAID = "subscription_unpaid"
"""What is said when something has ended because nobody paid."""


def say(desk: Desk, bill: Bill, key: str, template: str, row: Row, **more: Any) -> None:
    """Tell the buyer of a subscription, once per key, in the thread where it was bought; `more` is what the text names."""
    thread = _thread(desk, bill)
    if thread is None:
        return
    about = more.pop("about", None)
    desk.messages.append(
        Message(key, bill.subscription.customer, thread.channel, thread.address, template,
                {**facts_of(bill, desk.now), **more}, thread.conversation, row.id, about)
    )  # fmt: skip


def alert(desk: Desk, bill: Bill, key: str, template: str, row: Row, **more: Any) -> None:
    """Tell the people who run the desk, once per key."""
    params = {**facts_of(bill, desk.now), "customer": bill.subscription.customer, **more}
    desk.messages.append(saying.alert(key, template, bill.subscription.customer, params, row.id))


def say_unpaid(desk: Desk, bill: Bill, invoice: Invoice, row: Row) -> None:
    """Say once that an invoice could not be paid, and once that its bank wants it confirmed, also to the desk's people.

    Where there are no days of grace it is the end as well, so whoever would tell of that end says this, and is the second
    to say it or the first. A subscription that is over is not tried again: then it is told as ended.
    """
    key = "action_required" if _is_asked_for(desk, invoice) else "renewal_failed"
    live = bill.subscription.live
    unpaid = bill_of(invoice)
    say(desk, bill, f"{key}:{invoice.id}", key if live else ENDED_UNPAID, row, **unpaid)
    alert(desk, bill, f"renewal_failed:{invoice.id}", "renewal_failed" if live else ENDED_UNPAID, row, **unpaid)


def _is_asked_for(desk: Desk, invoice: Invoice) -> bool:
    case = desk.cases.get(invoice.order)
    return case is not None and any(one.failure_code == ASKED_FOR for one in case.payments.values())


def _thread(desk: Desk, bill: Bill) -> Thread | None:
    """Return the thread of the order that began it, else of one of its invoices, else where the person was met last."""
    orders = [bill.subscription.order, *(one.order for one in bill.invoices.values())]
    for case in (desk.cases.get(id_ or "") for id_ in orders):
        if case is not None and case.order.channel is not None and case.order.address is not None:
            return Thread(case.order.channel, case.order.address, case.order.conversation)
    return desk.threads.get(bill.subscription.customer)


# --- what texts may name ---------------------------------------------------------------------------------------------


def facts_of(bill: Bill, now: datetime) -> dict[str, Any]:
    """Return what every text about a subscription may name: its name, when it renews and for how much, when it ends.

    What Stripe has told of happened: `now` may be a little behind it.
    """
    own, stands = bill.subscription, subscriptions.standing(bill)
    now = max(now, own.unpaid_since or now)
    price = price_of(bill)
    goes_on = own.live and own.cancel_at is None and stands.since is not None
    return {
        "subscription": own.id,
        "name": name_of(own),
        "renews": iso(own.period_end) if goes_on else None,
        "price": None if price is None else price[0],
        "price_currency": None if price is None else price[1],
        "until": iso(stands.until),
        "over": stands.since is None or (stands.until is not None and stands.until <= now),
        "trial_end": iso(own.trial_end),
        "resumes": iso(own.resumes_at),
        "card_ends": iso(own.card_ends_at),
    }


def name_of(own: Subscription) -> str:
    """Return what a subscription is called: the names of its products, with how many of each."""
    names = [
        str(item.terms.get("name", "Subscription")) + (f" × {item.quantity}" if item.quantity > 1 else "")
        for item in own.items
    ]
    return " + ".join(names)


def price_of(bill: Bill) -> tuple[int, str] | None:
    """Return what a cycle costs as (amount in the smallest unit, currency).

    `None` when that is not known: never billed, or with a discount, tax or balance that changes what has to be paid.
    """
    newest = max(bill.invoices.values(), key=subscriptions.age, default=None)
    if newest is None or newest.total != sum(line.amount for line in newest.lines):
        return None
    prices = [item.amount for item in bill.subscription.items]
    known = [price for price in prices if price is not None]
    return (sum(known), newest.currency) if len(known) == len(prices) else None


def receipt_of(desk: Desk, bill: Bill, invoice: Invoice, *, lasting: bool = False) -> dict[str, Any]:
    """Return what an invoice cost and brought: the credits of its cycle, and with `lasting` what the subscription gives."""
    brought = [source for source in desk.parts.get(invoice.order, ()) if source.kind == "credits"]
    given = list(desk.given.get(bill.subscription.id, ())) if lasting else []
    units = {source.unit for source in brought}
    owner = bill.subscription.customer
    return {
        "order": invoice.order,
        "amount": invoice.total,
        "currency": invoice.currency,
        "grants": [{**one.terms, "worth": one.worth} for one in sorted([*brought, *given], key=lambda one: one.id)],
        "balances": {unit: desk.book.balance(owner, unit) for unit in sorted(units)},
        "debts": {unit: desk.book.debt(owner, unit) for unit in sorted(units)},
    }


def unpaid_of(bill: Bill) -> Invoice | None:
    """Return the oldest invoice that is not paid: paying it mends the subscription."""
    unpaid = [one for one in bill.invoices.values() if one.status in UNPAID]
    return min(unpaid, key=lambda one: (one.start, one.created_at, one.id), default=None)


def bill_of(invoice: Invoice | None) -> dict[str, Any]:
    """Return what a text may name of an invoice that is not paid; `pays` is the order whose link pays it."""
    if invoice is None:
        return {}
    return {
        "order": invoice.order,
        "amount": invoice.total,
        "currency": invoice.currency,
        "pays": invoice.order,
        "reason": invoice.failure,
        "retry_at": iso(invoice.next_attempt_at),
    }
