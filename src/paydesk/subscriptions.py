"""What a subscription gives, from when to when, and what each cycle that was billed is worth. Pure.

A subscription and its invoices go back and forth, so they are kept as they were when somebody last looked; everything
here is a function of what is known now, never of the way there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from paydesk.facts import InvoiceIs, ItemIs, SubscriptionIs

LIVE = ("trialing", "active", "past_due", "unpaid", "paused", "incomplete")
"""A subscription in one of these may still be paid; the other two are final."""

UNPAID = ("open", "uncollectible")
GIVES_NOTHING = ("incomplete", "incomplete_expired")


@dataclass(frozen=True, slots=True)
class Item:
    """What repeats, with the terms it had when it was first seen here: `{product, name, grants, grace_days, reminders}`."""

    id: str
    price: str
    key: str | None
    quantity: int
    start: datetime
    end: datetime
    terms: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an invoice. `key` is the catalogue's price, `full` what a whole cycle of its quantity costs."""

    id: str
    item: str | None
    key: str | None
    quantity: int
    amount: int
    full: int
    proration: bool
    start: datetime
    end: datetime

    @property
    def trial(self) -> bool:
        """Say whether it bills the days of a trial: nothing, for what has a price."""
        return self.amount == 0 < self.full and not self.proration


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as it is now; `order` has its money."""

    id: str
    subscription: str
    order: str
    status: str
    billing_reason: str
    total: int
    currency: str
    paid_at: datetime | None
    start: datetime
    end: datetime
    lines: tuple[Line, ...]
    attempts: int
    next_attempt_at: datetime | None
    failure: str | None
    url: str | None
    created_at: datetime
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as it was when Stripe was asked, at `asked_at`."""

    id: str
    customer: str
    order: str | None
    stripe_customer: str
    status: str
    livemode: bool
    items: tuple[Item, ...]
    started_at: datetime
    trial_end: datetime | None
    cancel_at: datetime | None
    ended_at: datetime | None
    paused: str | None
    resumes_at: datetime | None
    payment_method: str | None
    card_ends_at: datetime | None
    asked_at: datetime

    @property
    def grace(self) -> timedelta:
        """Return for how long it gives what it gives while a cycle is not paid."""
        return timedelta(days=max((int(item.terms.get("grace_days", 0)) for item in self.items), default=0))

    @property
    def period_end(self) -> datetime:
        """Return when the cycle it is in ends."""
        return max(item.end for item in self.items)

    @property
    def live(self) -> bool:
        """Say whether it may still be paid."""
        return self.status in LIVE


@dataclass(frozen=True, slots=True)
class Bill:
    """A subscription with the invoices that are known of it, and which of them had all their money go back."""

    subscription: Subscription
    invoices: Mapping[str, Invoice] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()


# --- what is known now -----------------------------------------------------------------------------------------------


def subscription_of(fact: SubscriptionIs, customer: str, livemode: bool, items: Iterable[Item]) -> Subscription:
    """Return the subscription that a fact tells of."""
    return Subscription(
        fact.subscription, customer, fact.order, fact.stripe_customer, fact.status, livemode, tuple(items),
        fact.started_at, fact.trial_end, fact.cancel_at, fact.ended_at, fact.paused, fact.resumes_at,
        fact.payment_method, fact.card_ends_at, fact.asked_at,
    )  # fmt: skip


def item_of(fact: ItemIs, key: str | None, terms: Mapping[str, Any]) -> Item:
    """Return an item with its catalogue price and frozen terms."""
    return Item(fact.id, fact.price, key, fact.quantity, fact.start, fact.end, terms)


def invoice_of(fact: InvoiceIs, subscription: str, keys: Mapping[str, str], asked_at: datetime) -> Invoice:
    """Return the invoice that a fact tells of; `keys` are the catalogue's prices by Stripe price."""
    lines = tuple(
        Line(line.id, line.item, keys.get(line.price or ""), line.quantity, line.amount, line.full, line.proration,
             line.start, line.end)
        for line in fact.lines
    )  # fmt: skip
    spans = [line for line in lines if line.item is not None] or list(lines)
    failed = next((paid for paid in reversed(fact.payments) if paid.failure_message is not None), None)
    return Invoice(
        fact.invoice, subscription, fact.order, fact.status, fact.billing_reason, fact.total, fact.currency,
        fact.paid_at,
        min((line.start for line in spans), default=fact.created_at),
        max((line.end for line in spans), default=fact.created_at),
        lines, fact.attempts, fact.next_attempt_at, failed.failure_message if failed is not None else None, fact.url,
        fact.created_at, asked_at,
    )  # fmt: skip


# --- for how long it gives what it gives -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a subscription gives what it gives: from `since` until `until` (`None`: no end is known).

    `grace_ends` is set while it is given without being paid. `None` for `since`: it gives nothing.
    """

    since: datetime | None
    until: datetime | None = None
    grace_ends: datetime | None = None


def standing(bill: Bill) -> Standing:
    """Return for how long a subscription gives what it gives, from what is known now."""
    own, since = bill.subscription, bill.subscription.started_at
    if own.status in GIVES_NOTHING or _never_paid(bill) or _money_gone(bill):
        return Standing(None)
    grace_ends = _grace_ends(bill)
    ends = [own.cancel_at] if own.cancel_at is not None else []
    match own.status:
        case "past_due" | "unpaid":
            return Standing(since, min([*ends, grace_ends]), grace_ends) if grace_ends else Standing(since, *ends[:1])
        case "paused":
            return Standing(since, paid_until(bill) or since)
        case "canceled":
            ended = own.ended_at or since
            unpaid = [grace_ends] if grace_ends is not None else []
            return Standing(since, max(min([ended, *unpaid]), *_paid_late(bill, ended), since))
        case "active" if _written_off(bill) and grace_ends is not None:
            return Standing(since, min([*ends, grace_ends]), grace_ends)
        case _ if own.paused == "void":
            return Standing(since, min([*ends, paid_until(bill) or since]))
        case _:
            return Standing(since, min(ends, default=None))


def _never_paid(bill: Bill) -> bool:
    """Say whether the first invoice still waits for its money: a slow method is on its way, or nobody paid."""
    return any(invoice.status in UNPAID for invoice in bill.invoices.values()) and not any(
        invoice.status == "paid" for invoice in bill.invoices.values()
    )


def _money_gone(bill: Bill) -> bool:
    """Say whether all the money of the newest paid cycle went back: refunded, or taken by a bank."""
    paid = [one for one in bill.invoices.values() if one.status == "paid" and _bills_a_cycle(one)]
    return bool(paid) and max(paid, key=lambda one: (one.end, one.created_at, one.id)).id in bill.gone


def _bills_a_cycle(invoice: Invoice) -> bool:
    return any(line.item is not None and not line.proration for line in invoice.lines)


def _grace_ends(bill: Bill) -> datetime | None:
    """Return when grace ends: so many days after the first cycle began that is not paid; `None` when all are paid.

    What was written off long ago, and followed by a cycle that is paid, counts no more.
    """
    own, until = bill.subscription, paid_until(bill)
    unpaid = [one for one in bill.invoices.values() if one.status in UNPAID]
    begun = [one.start for one in unpaid if until is None or one.end > until]
    begun = begun or [one.start for one in unpaid if one.end == until and one.status == "open"]
    if not begun and own.status in ("past_due", "unpaid"):
        begun = [min(item.start for item in own.items)]
    return min(begun) + own.grace if begun else None


def _written_off(bill: Bill) -> bool:
    """Say whether a cycle after the last paid one was written off: Stripe calls the subscription active again then."""
    until = paid_until(bill)
    return any(
        one.status == "uncollectible" and _bills_a_cycle(one) and (until is None or one.end > until)
        for one in bill.invoices.values()
    )


def paid_until(bill: Bill) -> datetime | None:
    """Return the end of the last cycle that is paid, or whose trial it is; `None` when no invoice is known."""
    return max((invoice.end for invoice in bill.invoices.values() if invoice.status == "paid"), default=None)


def _paid_late(bill: Bill, ended: datetime) -> list[datetime]:
    """Return until when cycles run that were paid only after the subscription had ended."""
    paid = [one for one in bill.invoices.values() if one.paid_at is not None and one.id not in bill.gone]
    return [one.end for one in paid if one.paid_at is not None and one.paid_at > ended]


# --- what each cycle gives -------------------------------------------------------------------------------------------


def cycle_terms(line: Line, grant: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the terms of the credits that a line brings, `None` when it brings none.

    A whole cycle brings all, a trial its own amount, and a part of a cycle that a plan change bills its part.
    """
    if grant["kind"] != "credits" or line.item is None or line.amount < 0:
        return None
    if line.trial:
        amount = int(grant.get("trial_amount", 0))
        return {**grant, "amount": amount, "quantity": line.quantity} if amount else None
    part = {"full": line.full} if line.proration and line.full > 0 else {}
    return {**grant, "quantity": line.quantity, "billed": line.amount, **part}


def unused(bill: Bill, invoice: Invoice, line: Line) -> int:
    """Return how much of a line's money later invoices gave back because the rest of its cycle was not used.

    A line below zero names the item it gives back and the rest of the cycle; it means the lines that billed that rest.
    """
    if line.amount <= 0 or line.item is None:
        return 0
    back = 0
    for later in bill.invoices.values():
        if later.status != "paid" or later.created_at < invoice.created_at:
            continue
        for given in later.lines:
            if given.amount < 0 and _billed_by(bill, later, given) == line.id:
                back += -given.amount
    return min(back, line.amount)


def _billed_by(bill: Bill, later: Invoice, given: Line) -> str | None:
    """Return the newest line that billed the rest of a cycle before it was given back."""
    lines = [
        (invoice.created_at, line.start, line.id)
        for invoice in bill.invoices.values()
        for line in invoice.lines
        if line.amount > 0
        and (line.item, line.end) == (given.item, given.end)
        and (line.start < given.start or (line.start == given.start and invoice.id != later.id))
        and invoice.created_at <= later.created_at
    ]
    return max(lines)[2] if lines else None


def sources_of(invoice: Invoice, terms: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (id of the source, unit, terms) of the credits that an invoice brings; `terms` by price key, as of today."""
    found = []
    for line in invoice.lines:
        for number, grant in enumerate(terms.get(line.key or "", {}).get("grants", ())):
            own = cycle_terms(line, grant)
            if own is not None:
                found.append((f"{invoice.order}:{line.id}:{number}", str(own["unit"]), own))
    return found


def lasting_of(subscription: Subscription) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (id of the source, kind, terms) of what a subscription gives for as long as it lasts."""
    return [
        (f"{subscription.id}:{item.key}:{number}", str(grant["kind"]), {**grant, "quantity": 1})
        for item in sorted(subscription.items, key=lambda item: item.id)
        for number, grant in enumerate(item.terms.get("grants", ()))
        if grant["kind"] != "credits"
    ]


def gone_of(invoices: Iterable[Invoice], wholly_back: Sequence[str]) -> frozenset[str]:
    """Return the invoices whose orders had all their money go back."""
    back = set(wholly_back)
    return frozenset(invoice.id for invoice in invoices if invoice.order in back)
