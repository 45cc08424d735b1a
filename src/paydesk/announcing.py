"""What other programs are told of: which events follow from what has changed. Pure.

An event is the difference between what was known and what is known now, so a fact that arrives twice, or in another
order, tells nothing twice. Its id follows from its type and from what has changed: the same news has the same id for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from paydesk import ids, subscriptions
from paydesk.case import Case, Dispute, Payment, Refund, returned_of
from paydesk.clock import iso
from paydesk.desk import Desk, reasons_for
from paydesk.entitlements import Access, Held, access
from paydesk.ledger import Book, Hold, Source
from paydesk.subscriptions import OVERDUE, Bill, Subscription

TYPES = (
    "order.paid", "order.fulfilled", "order.refunded", "order.partially_refunded", "order.disputed", "order.restored",
    "order.canceled", "order.expired",
    "payment.succeeded", "payment.failed", "payment.pending",
    "subscription.started", "subscription.renewed", "subscription.changed", "subscription.past_due",
    "subscription.paused", "subscription.resumed", "subscription.ended",
    "entitlement.granted", "entitlement.revoked",
    "credits.granted", "credits.spent", "credits.taken_back", "credits.expired", "credits.held", "credits.released",
    "customer.merged",
)  # fmt: skip
"""Every type there is."""

BACK = ("refunded", "partially_refunded", "disputed")
"""Statuses of orders of which money has gone back, or is asked for."""

PAYMENTS = {"succeeded": "succeeded", "failed": "failed", "processing": "pending"}
ENTRIES = {
    "grant": "granted", "spend": "spent", "settle": "spent", "take_back": "taken_back", "owed": "taken_back",
    "expired": "expired",
}  # fmt: skip
"""Which entries of credits are told, and as what; holds are told as what they are."""


@dataclass(frozen=True, slots=True)
class OrderNews:
    """An order, with the refunds and disputes that it has had."""

    id: str
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()


@dataclass(frozen=True, slots=True)
class PaymentNews:
    """A payment."""

    id: str


@dataclass(frozen=True, slots=True)
class EntryNews:
    """An entry of the ledger by its unique name, and what its person can spend now."""

    source: str
    revision: int
    reason: str
    balance: int


@dataclass(frozen=True, slots=True)
class HoldNews:
    """A hold, and what its person can spend besides."""

    hold: Hold
    balance: int


@dataclass(frozen=True, slots=True)
class AccessNews:
    """Whether somebody may have a feature now."""

    feature: str
    access: Access


@dataclass(frozen=True, slots=True)
class MergeNews:
    """Who has turned out to be the same person as somebody else."""

    merged: str


News = OrderNews | PaymentNews | EntryNews | HoldNews | AccessNews | MergeNews | Bill


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened to a customer's things: `seed` tells this news from all other news of its type."""

    type: str
    customer: str | None
    seed: str
    news: News

    @property
    def id(self) -> str:
        """Return its id, the same for the same news."""
        return ids.hashed("evt", f"{self.type}|{self.seed}")


# --- where changes come from -----------------------------------------------------------------------------------------


def of_desk(desk: Desk) -> list[Event]:
    """Return what a settled batch has changed."""
    return [
        *(event for id_, before in desk.touched_cases.items() for event in of_case(before, desk.cases[id_])),
        *(event for id_, before in desk.changed_bills.items() for event in of_bill(before, desk.bills[id_])),
        *_of_access(desk),
        *of_book(desk.book, desk.touched_holds.values()),
    ]


def of_book(book: Book, holds: Iterable[Hold]) -> list[Event]:
    """Return what entries and holds of a book tell of credits."""
    told = ((ENTRIES.get(entry.reason), entry.cause, entry.reason) for entry in book.entries)
    entries = [
        Event(f"credits.{kind}", cause.customer, f"{cause.source}|{cause.revision}|{reason}",
              EntryNews(cause.source, cause.revision, reason, book.balance(cause.customer, cause.unit)))
        for kind, cause, reason in told if kind is not None and cause.customer is not None
    ]  # fmt: skip
    return entries + [event for hold in holds for event in _of_hold(book, hold)]


def _of_hold(book: Book, hold: Hold) -> Iterator[Event]:
    news = HoldNews(hold, book.balance(hold.customer, hold.unit))
    if hold.state == "held":
        yield Event("credits.held", hold.customer, hold.id, news)
    elif (hold.used or 0) < hold.amount:
        yield Event("credits.released", hold.customer, hold.id, news)


def of_claim(reasons: Sequence[Held], claimed: Sequence[Source], now: datetime) -> list[Event]:
    """Return what claiming sources has begun; `reasons` are all that their person has now."""
    fresh = {source.id for source in claimed}
    events: list[Event] = []
    for feature in sorted({str(source.terms["feature"]) for source in claimed}):
        own = [held for held in reasons if held.feature == feature]
        before = access([held for held in own if held.source not in fresh], now)
        events += _turned(claimed[0].customer, feature, before, access(own, now), now)
    return events


def of_cancel(order: str, customer: str) -> list[Event]:
    """Return what canceling an order tells."""
    return [Event("order.canceled", customer, order, OrderNews(order))]


def of_merge(survivor: str, merged: str) -> list[Event]:
    """Return what making two people one tells: who is known by another id from now on."""
    return [Event("customer.merged", survivor, merged, MergeNews(merged))]


# --- orders and payments ---------------------------------------------------------------------------------------------


def of_case(before: Case, after: Case) -> list[Event]:
    """Return what has become of an order and its payments."""
    order = after.order
    news = OrderNews(order.id, tuple(after.refunds.values()), tuple(after.disputes.values()))
    events = [Event(f"order.{what}", order.customer, seed, news) for what, seed in _turns(before, after)]
    for payment in after.payments.values():
        seed = _payment_seed(before.payments.get(payment.id), payment)
        if seed is not None:
            told = f"payment.{PAYMENTS[payment.status]}"
            events.append(Event(told, order.customer, seed, PaymentNews(payment.id)))
    return events


def _turns(before: Case, after: Case) -> Iterator[tuple[str, str]]:
    """Return what an order has become, and what tells each time from others.

    It is paid and fulfilled once; what goes back does so each time by other refunds or disputes.
    """
    was, order = before.order, after.order
    if was.paid_at is None and order.paid_at is not None:
        yield "paid", order.id
    status = order.status
    if status in BACK:
        if (was.status, returned_of(before)) != (status, returned_of(after)):
            yield status, _back(after)
    elif status == was.status:
        return
    elif was.status in BACK:
        yield "restored", _back(after)
    elif status in ("fulfilled", "canceled"):
        yield status, order.id
    elif status == "expired":
        yield status, f"{order.id}|{order.session}"


def _back(case: Case) -> str:
    """Return what has gone back of an order, by name."""
    refunds = [f"{one.id}:{one.status}" for one in case.refunds.values()]
    disputes = [f"{one.id}:{one.status}" for one in case.disputes.values()]
    return "|".join([case.order.id, *sorted(refunds), *sorted(disputes)])


def _payment_seed(before: Payment | None, payment: Payment) -> str | None:
    """Return what tells this news of a payment from other news of it, `None` when there is none."""
    if payment.status not in PAYMENTS:
        return None
    if payment.status == "failed":
        why = (payment.failure_code, payment.failure_message)
        known = before is not None and (before.status, before.failure_code, before.failure_message) == ("failed", *why)
        return None if known else f"{payment.id}|{why}"
    return None if before is not None and before.status == payment.status else payment.id


# --- subscriptions ---------------------------------------------------------------------------------------------------


def of_bill(before: Bill | None, after: Bill) -> list[Event]:
    """Return what has become of a subscription since it was last looked at."""
    own = after.subscription
    return [Event(f"subscription.{what}", own.customer, seed, after) for what, seed in _changes(before, after)]


def _changes(before: Bill | None, after: Bill) -> Iterator[tuple[str, str]]:
    """Return what has changed, and what tells each time from others: what goes back and forth, the time of the look."""
    was, own = (before.subscription if before is not None else None), after.subscription
    stamp = f"{own.id}|{own.asked_at.isoformat()}"
    if own.live and _gives(after) and not _gives(before):
        yield "started", own.id
    for invoice in after.invoices.values():
        old = before.invoices.get(invoice.id) if before is not None else None
        if invoice.status == "paid" and (old is None or old.status != "paid") and invoice.billing_reason == RENEWAL:
            yield "renewed", invoice.id
    if was is None or not was.live:
        return
    if not own.live:
        if own.status != "incomplete_expired":
            yield "ended", own.id
        return
    if own.status in OVERDUE and was.status not in OVERDUE:
        yield "past_due", stamp
    if _gives(before) and (_plan(was), was.cancel_at) != (_plan(own), own.cancel_at):
        yield "changed", stamp
    if _paused(was) != _paused(own):
        yield "paused" if _paused(own) else "resumed", stamp


RENEWAL = "subscription_cycle"
"""The billing reason of an invoice that begins a further cycle."""


def _gives(bill: Bill | None) -> bool:
    return bill is not None and subscriptions.standing(bill).since is not None


def _plan(own: Subscription) -> list[tuple[str, int]]:
    return sorted((item.price, item.quantity) for item in own.items)


def _paused(own: Subscription) -> bool:
    return own.paused is not None or own.status == "paused"


# --- what people may have --------------------------------------------------------------------------------------------


def _of_access(desk: Desk) -> list[Event]:
    return [
        event
        for (customer, feature), before in desk.before.items()
        for event in _turned(
            customer, feature, before, access(reasons_for(desk, customer, feature), desk.now), desk.now
        )
    ]


def _turned(customer: str, feature: str, before: Access, after: Access, now: datetime) -> Iterator[Event]:
    """Return what has become of access: given, or gone. What ends by time alone is the same before and after.

    What has ended is named by its end, so that its timer and whatever else tells of it are one.
    """
    name, news = f"{customer}|{feature}", AccessNews(feature, after)
    if after.allowed and not before.allowed:
        yield Event("entitlement.granted", customer, f"{name}|{iso(now)}", news)
    elif not after.allowed and (before.allowed or (before == after and after.until is not None)):
        yield Event("entitlement.revoked", customer, f"{name}|{iso(after.until or now)}", news)
