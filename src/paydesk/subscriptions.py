"""What a subscription gives, from when to when, and what each cycle that was billed is worth. Pure.

A subscription and its invoices go back and forth, so they are kept as they were when somebody last looked; everything
here is a function of what is known now, never of the way there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from paydesk.facts import InvoiceIs, ItemIs, LineIs, SubscriptionIs

LIVE = ("trialing", "active", "past_due", "unpaid", "paused", "incomplete")
"""A subscription in one of these may still be paid; the other two are final."""

OVERDUE = ("past_due", "unpaid")
UNPAID = ("open", "uncollectible")
FIRST = "subscription_create"
"""The billing reason of the invoice with which a subscription begins."""

SLOW = timedelta(days=1)
"""Cards are refused within hours of a cycle's beginning; what is refused later was on its way until then."""

Terms = Mapping[str, Mapping[str, Any]]
"""What prices of the catalogue give, by key: `{product, name, grants, grace_days, reminders}`."""

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
    amount: int | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an invoice. `given` are the terms of the credits that it brings, frozen when it was first seen."""

    id: str
    item: str | None
    key: str | None
    quantity: int
    amount: int
    proration: bool
    start: datetime
    end: datetime
    given: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as it is now; `order` has its money. `start` and `end` are those of the cycle that it bills.

    `credited_before` and `credited` are what credit notes took off before and after it was paid.
    """

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
    due_at: datetime | None = None
    credited_before: int = 0
    credited: int = 0

    @property
    def bills_a_cycle(self) -> bool:
        """Say whether it bills a cycle from its beginning, not a change in the middle of one."""
        return any(line.item is not None and not line.proration for line in self.lines)


@dataclass(frozen=True, slots=True)
class Switch:
    """A change of plan that counts from the end of a cycle, `at`: Stripe has to hear of it shortly before that.

    `name` is what the plan after it is called, for people, with how many of it; `count` how many there were before.
    """

    before: str
    after: str
    at: datetime
    done: bool
    name: str = ""
    count: int | None = None


class Next(NamedTuple):
    """What a schedule at Stripe changes a subscription to: a Stripe price, the catalogue's where known, how many of it."""

    price: str
    key: str | None
    quantity: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as it was when Stripe was asked, at `asked_at`. `unpaid_since`: since when we know it as unpaid.

    `switches` are the changes of plan that were written down for the end of a cycle; `changes_at` is when a schedule at
    Stripe changes it by itself, to what (`changes_to`). `kept_since` is when the cycle began whose bill is a draft that
    nobody collects. `ended_by` is why it ended, in Stripe's word, in the look that tells of it, else `None`.
    """

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
    unpaid_since: datetime | None = None
    switches: tuple[Switch, ...] = ()
    changes_at: datetime | None = None
    ended_by: str | None = None
    changes_to: tuple[Next, ...] = ()
    kept_since: datetime | None = None

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
    """A subscription with the invoices that are known of it.

    `gone` are those of which all the money went back, `asked_back` those of which it has, or a bank asks for it.
    """

    subscription: Subscription
    invoices: Mapping[str, Invoice] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()
    asked_back: frozenset[str] = frozenset()


# --- what is known now -----------------------------------------------------------------------------------------------


def subscription_of(
    fact: SubscriptionIs, customer: str, livemode: bool, items: Iterable[Item], known: Subscription | None,
    keys: Mapping[str, str],
) -> Subscription:  # fmt: skip
    """Return the subscription that a fact tells of. `keys` are the catalogue's prices by Stripe price."""
    since = None
    if fact.status in OVERDUE:
        since = fact.at if known is None or known.unpaid_since is None else known.unpaid_since
    elif fact.status == "canceled" and known is not None:
        since = known.unpaid_since
    return Subscription(
        fact.subscription, customer, fact.order, fact.stripe_customer, fact.status, livemode, tuple(items),
        fact.started_at, fact.trial_end, fact.cancel_at, fact.ended_at, fact.paused, fact.resumes_at,
        fact.payment_method, fact.card_ends_at, fact.asked_at, since, known.switches if known is not None else (),
        fact.changes_at, fact.ended_by, tuple(Next(price, keys.get(price), count) for price, count in fact.changes_to),
        fact.kept_since if fact.saw_cycle or known is None else known.kept_since,
    )  # fmt: skip


def item_of(fact: ItemIs, key: str | None, terms: Mapping[str, Any]) -> Item:
    """Return an item with its catalogue price and frozen terms."""
    return Item(
        fact.id, fact.price, key, fact.quantity, fact.start, fact.end, terms, fact.amount, fact.currency
    )  # fmt: skip


def invoice_of(
    fact: InvoiceIs, own: Subscription, known: Invoice | None, keys: Mapping[str, str], terms: Terms
) -> Invoice:
    """Return the invoice that a fact tells of. What was `known` of it keeps its order and the terms of its lines.

    `keys` are the catalogue's prices by Stripe price, `terms` what each of these gives on the day it is first seen.
    """
    before = {line.id: line for line in known.lines} if known is not None else {}
    lines = tuple(before.get(line.id) or _line_of(line, fact, own, keys, terms) for line in fact.lines)
    billed = [line for line in lines if line.item is not None and line.amount >= 0] or list(lines)
    failed = next((paid for paid in reversed(fact.payments) if paid.failure_message is not None), None)
    return Invoice(
        fact.invoice, own.id, known.order if known is not None else fact.order, fact.status, fact.billing_reason,
        fact.total, fact.currency, fact.paid_at,
        min((line.start for line in billed), default=fact.created_at),
        max((line.end for line in billed), default=fact.created_at),
        lines, fact.attempts, fact.next_attempt_at, failed.failure_message if failed is not None else None, fact.url,
        fact.created_at, own.asked_at, fact.due_at, fact.credited_before, fact.credited,
    )  # fmt: skip


def _line_of(fact: LineIs, invoice: InvoiceIs, own: Subscription, keys: Mapping[str, str], terms: Terms) -> Line:
    key = keys.get(fact.price or "")
    line = Line(fact.id, fact.item, key, fact.quantity, fact.amount, fact.proration, fact.start, fact.end)
    grants = terms.get(key or "", {}).get("grants", ())
    given = [cycle_terms(line, grant, own, first=invoice.billing_reason == FIRST) for grant in grants]
    return replace(line, given=tuple(one for one in given if one is not None))


def cycle_terms(line: Line, grant: Mapping[str, Any], own: Subscription, *, first: bool) -> dict[str, Any] | None:
    """Return the terms of the credits that a line brings, `None` when it brings none.

    A whole cycle brings all, the rest of a cycle that a plan change bills its part by time, the trial with which a
    subscription begins its own amount. `cycle_s` is how many seconds a whole cycle has, `part_s` how many are billed.
    """
    if grant["kind"] != "credits" or line.item is None or line.amount < 0 or line.quantity == 0:
        return None
    if line.proration and line.amount == 0:  # the rest of a cycle of a plan that costs nothing is not paid for
        return None
    if line.amount == 0 and own.trial_end is not None and line.end <= own.trial_end:
        amount = int(grant.get("trial_amount", 0)) if first else 0
        return {**grant, "amount": amount, "quantity": line.quantity} if amount else None
    part_s = round((line.end - line.start).total_seconds())
    return {**grant, "quantity": line.quantity, "part_s": part_s, "cycle_s": max(part_s, _cycle_s(line, own), 1)}


def _cycle_s(line: Line, own: Subscription) -> int:
    """Return how long the cycle is that a line bills, or a part of."""
    begun = [item.start for item in own.items if item.id == line.item and item.end == line.end and line.proration]
    return round((line.end - min([line.start, *begun])).total_seconds())


# --- for how long it gives what it gives -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a subscription gives what it gives: from `since` until `until` (`None`: no end is known).

    `grace_ends` is set while it is given without being paid. `None` for `since`: it gives nothing.
    """

    since: datetime | None
    until: datetime | None = None
    grace_ends: datetime | None = None


def standing(bill: Bill, *, waits: bool = False) -> Standing:
    """Return for how long a subscription gives what it gives, from what is known now.

    What `waits` for the end of a dispute is given until the money is really gone.
    """
    own, since = bill.subscription, bill.subscription.started_at
    if own.status in GIVES_NOTHING or _never_paid(bill) or _money_gone(bill, waits=waits):
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
        case "active" if own.paused is None and grace_ends is not None and _written_off(bill):
            return Standing(since, min([*ends, grace_ends]), grace_ends)
        case _ if own.paused == "void":
            return Standing(since, min([*ends, paid_until(bill) or since]))
        case _:
            lapsed = lapse(bill)
            return Standing(since, min([*ends, *([] if lapsed is None else [lapsed])], default=None))


def _never_paid(bill: Bill) -> bool:
    """Say whether the first invoice still waits for its money: a slow method is on its way, or nobody paid."""
    known = bill.invoices.values()
    first = any(one.billing_reason == FIRST and one.status in UNPAID for one in known)
    return first and not any(one.status == "paid" for one in known)


def _money_gone(bill: Bill, *, waits: bool) -> bool:
    """Say whether all the money of the newest paid cycle went back, that of its plan changes too."""
    paid = sorted((one for one in bill.invoices.values() if one.status == "paid"), key=age)
    begun = next((place for place, one in reversed(list(enumerate(paid))) if one.bills_a_cycle), None)
    if begun is None:
        return False
    gone = bill.gone if waits else bill.asked_back
    cost = [one for one in paid[begun:] if one.total > 0]
    return bool(cost) and all(one.id in gone for one in cost)


def age(invoice: Invoice) -> tuple[datetime, bool, str]:
    """Return what orders invoices from the oldest to the newest: Stripe tells whole seconds, and the first is the first."""
    return invoice.created_at, invoice.billing_reason != FIRST, invoice.id


def lapse(bill: Bill) -> datetime | None:
    """Return until when one that runs is given whose cycle nobody collects the money of; `None` where somebody does.

    Its bill was voided, or was kept as a draft: a pause leaves it so that was ended in Stripe. What was paid before is
    given to its end; a draft may still be sent, so it has the days of grace besides.
    """
    own = bill.subscription
    if own.status != "active" or own.paused is not None:
        return None
    paid = paid_until(bill) or own.started_at
    if own.kept_since is not None and paid <= own.kept_since:
        return own.kept_since + own.grace
    newest = max((one for one in bill.invoices.values() if one.bills_a_cycle), key=age, default=None)
    return paid if newest is not None and newest.status == "void" and own.kept_since is None else None


def rests(bill: Bill) -> bool:
    """Say whether nobody collects the money of the cycle that runs: it is paused, or a pause has left it so."""
    own = bill.subscription
    return own.paused is not None or own.status == "paused" or lapse(bill) is not None


def _newer_unpaid(bill: Bill) -> list[Invoice]:
    """Return the unpaid invoices made after the newest paid one: what was written off before that counts no more."""
    paid = max((age(one) for one in bill.invoices.values() if one.status == "paid"), default=None)
    unpaid = (one for one in bill.invoices.values() if one.status in UNPAID)
    return sorted((one for one in unpaid if paid is None or age(one) > paid), key=age)


def _grace_ends(bill: Bill) -> datetime | None:
    """Return when grace ends: so many days after what is not paid began, or was due; `None` when all is paid.

    A slow method may fail days after the cycle began: then they count from when that was told.
    """
    own, unpaid = bill.subscription, _newer_unpaid(bill)
    told = own.unpaid_since
    if unpaid:
        begun = max(unpaid[0].start, unpaid[0].due_at or unpaid[0].start)
        return (told if told is not None and told - begun > SLOW else begun) + own.grace
    if own.status in OVERDUE:
        return max([item.start for item in own.items] if told is None else [told]) + own.grace
    return None


def _written_off(bill: Bill) -> bool:
    """Say whether a cycle after the last paid one was written off: Stripe calls the subscription active again then."""
    return any(one.status == "uncollectible" and one.bills_a_cycle for one in _newer_unpaid(bill))


def paid_until(bill: Bill) -> datetime | None:
    """Return the end of what is paid, or whose trial it is; `None` when no invoice is known.

    What was given back of a cycle, because a plan was changed in the middle of it, is not paid any more.
    """
    ran = runs(bill)
    ends = [
        ran.get(line.id, line.end)
        for one in bill.invoices.values()
        if one.status == "paid"
        for line in one.lines
        if line.item is not None and line.amount >= 0
    ]
    return max(ends, default=None)


def _paid_late(bill: Bill, ended: datetime) -> list[datetime]:
    """Return until when cycles run that were paid only after the subscription had ended."""
    paid = [one for one in bill.invoices.values() if one.bills_a_cycle and one.id not in bill.asked_back]
    return [one.end for one in paid if one.paid_at is not None and one.paid_at > ended]


# --- what each cycle gives -------------------------------------------------------------------------------------------


def runs(bill: Bill) -> dict[str, datetime]:
    """Return until when lines really ran whose rest was given back: by a line below zero of an invoice that is paid.

    Such a line names the item and the rest of its cycle; it means the newest line that had billed that rest.
    """
    billed: dict[tuple[str, datetime], list[tuple[Invoice, Line]]] = {}
    back: list[tuple[Invoice, Line]] = []
    for invoice in bill.invoices.values():
        for line in invoice.lines:
            if line.item is not None and line.amount > 0:
                billed.setdefault((line.item, line.end), []).append((invoice, line))
            elif line.item is not None and line.amount < 0 and invoice.status == "paid":
                back.append((invoice, line))
    found: dict[str, datetime] = {}
    for later, given in sorted(back, key=lambda one: (one[0].created_at, one[1].start)):
        meant = _meant(later, given, billed.get((given.item or "", given.end), ()), found)
        if meant is not None:
            found[meant] = min(given.start, found.get(meant, given.start))
    return found


def _meant(
    later: Invoice, given: Line, billed: Iterable[tuple[Invoice, Line]], found: Mapping[str, datetime]
) -> str | None:
    """Return the line that a line below zero gives back: of the same plan and quantity, not given back yet, the newest.

    Two changes may come in one second: then plan and quantity tell which is which.
    """
    candidates = [
        ((line.key, line.quantity) == (given.key, given.quantity), line.id not in found, invoice.created_at, line.start,
         line.id)
        for invoice, line in billed
        if invoice.created_at <= later.created_at
        and (line.start < given.start or (line.start == given.start and invoice.id != later.id))
    ]  # fmt: skip
    return max(candidates)[-1] if candidates else None


def ran_s(line: Line, ran: Mapping[str, datetime]) -> int:
    """Return how many seconds of what a line billed were not given back."""
    return round((ran.get(line.id, line.end) - line.start).total_seconds())


def sources_of(invoice: Invoice) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (id of the source, unit, terms) of the credits that an invoice brings."""
    return [
        (f"{invoice.order}:{line.id}:{number}", str(terms["unit"]), dict(terms))
        for line in invoice.lines
        for number, terms in enumerate(line.given)
    ]


def kept_until(own: Subscription, key: str) -> datetime | None:
    """Return until when a plan is kept that was changed for the end of its cycle, `None` when it was changed otherwise.

    Stripe bills the other plan already then, if only for the last minutes of the cycle: those are paid for.
    """
    now = {item.key for item in own.items}
    ends = [one.at for one in own.switches if one.before == key and (one.done or one.after in now)]
    return max(ends, default=None)


def still_from(own: Subscription, key: str | None, count: int | None, at: datetime) -> bool:
    """Say whether what was asked from so many of a plan, for the end of a cycle (`at`), is still asked from what runs.

    `None` was not written down. Once the next cycle has begun it is late, and may be made yet.
    """
    item = own.items[0]
    same = len(own.items) == 1 and key in (None, item.key) and count in (None, item.quantity)
    return same and not item.start < at != item.end


def overtaken(own: Subscription) -> bool:
    """Say whether a change waits whose place another has taken: it will not be made."""
    waits = (one for one in own.switches if not one.done)
    return own.live and any(not still_from(own, one.before, one.count, one.at) for one in waits)


def lasting_of(subscription: Subscription) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (id of the source, kind, terms) of what a subscription gives for as long as it lasts."""
    return [
        (f"{subscription.id}:{item.key}:{number}", str(grant["kind"]), {**grant, "quantity": 1})
        for item in sorted(subscription.items, key=lambda item: item.id)
        for number, grant in enumerate(item.terms.get("grants", ()))
        if grant["kind"] != "credits" and item.quantity > 0
    ]
