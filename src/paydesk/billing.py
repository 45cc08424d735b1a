"""What a look at a subscription changes: its row, the orders its invoices bill, what each is worth, and who has what.

Everything of one subscription is computed anew from what is known of it now (`subscriptions`), so that it does not
matter which event led here, how often, and in which order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from paydesk import ledger, orders, subscriptions
from paydesk.case import Case, Order, Returned, money_of, returned_of, worth
from paydesk.desk import Desk, post
from paydesk.facts import InvoiceIs, ItemIs, SubscriptionIs
from paydesk.inbox import Outcome, Row
from paydesk.ledger import Source
from paydesk.subscriptions import Bill, Invoice, Item, Line, Standing, Subscription

FOREIGN = Outcome("ignored", "foreign: a subscription of nobody who is known here")
RECENT_MAX = 4
"""Of how many of a subscription's newest invoices the money is loaded: what ended before changes nothing by itself."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a fact tells, in our terms: whose it is, the subscription, its invoices with what Stripe says of each."""

    customer: str
    subscription: Subscription
    invoices: tuple[tuple[Invoice, InvoiceIs], ...]


def recent_orders(bill: Bill) -> list[str]:
    """Return the orders of the newest invoices, of all whose cycle is the newest one, and of the newest that is paid."""
    newest = sorted(bill.invoices.values(), key=lambda one: (one.end, one.created_at, one.id), reverse=True)
    paid = next((one.id for one in newest if one.status == "paid"), None)
    return [
        one.order
        for place, one in enumerate(newest)
        if place < RECENT_MAX or one.end == newest[0].end or one.id == paid
    ]


def known_orders(bills: Mapping[str, Bill], facts: Iterable[SubscriptionIs]) -> set[str]:
    """Return the orders that invoices in these facts are known to bill, whatever the facts say of that."""
    told = {invoice.invoice for fact in facts for invoice in fact.invoices}
    return {one.order for bill in bills.values() for one in bill.invoices.values() if one.id in told}


# --- what is told ----------------------------------------------------------------------------------------------------


def told(desk: Desk, fact: SubscriptionIs, *, livemode: bool) -> Told | None:
    """Return what a fact tells, `None` when it is about nobody who is known.

    A subscription that bears no order of ours is adopted when its Stripe customer is known.
    """
    known = desk.bills.get(fact.subscription)
    fact = _with_own_order(desk, fact, known)
    case = desk.cases.get(fact.order or "")
    customer = (
        known.subscription.customer if known is not None
        else case.order.customer if case is not None
        else desk.known_customers.get(fact.stripe_customer)
    )  # fmt: skip
    if customer is None:
        return None
    items = [_item(desk, fact, known, item) for item in fact.items]
    before = known.subscription if known is not None else None
    own = subscriptions.subscription_of(fact, customer, livemode, items, before, desk.keys)
    if before is not None:
        own = replace(own, order=before.order)
    keys = desk.keys | {item.price: item.key for item in items if item.key is not None}
    return Told(customer, own, tuple((_invoice(desk, own, one, known, keys), one) for one in fact.invoices))


def _with_own_order(desk: Desk, fact: SubscriptionIs, known: Bill | None) -> SubscriptionIs:
    """Return the fact with the order that it bears, if that one is its customer's and began no other subscription.

    Metadata can be copied and edited by hand: it counts only where everything else agrees.
    """
    case = desk.cases.get(fact.order or "")
    if known is not None or case is None:
        return replace(fact, order=None if known is None else known.subscription.order)
    payer = case.order.stripe_customer
    same = fact.stripe_customer == payer or desk.known_customers.get(fact.stripe_customer) == case.order.customer
    others = (bill.subscription for bill in desk.bills.values() if bill.subscription.order == fact.order)
    if case.order.mode != "subscription" or not same or any(one.id != fact.subscription for one in others):
        return replace(fact, order=None)
    return fact


def _item(desk: Desk, fact: SubscriptionIs, known: Bill | None, item: ItemIs) -> Item:
    """Return an item with the terms it was first seen with: its order's, else today's."""
    key = item.key or desk.keys.get(item.price) or (item.inherited if known is None else None)
    before = (one for one in (known.subscription.items if known else ()) if (one.key, one.price) == (key, item.price))
    terms = next((one.terms for one in before if one.terms), None)
    return subscriptions.item_of(item, key, terms or _terms(desk, fact.order, key))


def _terms(desk: Desk, order: str | None, key: str | None) -> Mapping[str, Any]:
    if key is None:
        return {}
    return desk.order_plans.get(order or "", {}).get(key) or desk.plans.get(key, {})


def _invoice(desk: Desk, own: Subscription, fact: InvoiceIs, known: Bill | None, keys: Mapping[str, str]) -> Invoice:
    """Return an invoice with the order that it bills: the one that began its subscription, else one of its own."""
    before = known.invoices.get(fact.invoice) if known is not None else None
    ours = own.order if fact.billing_reason == subscriptions.FIRST and own.order is not None else fact.invoice
    terms = {key: _terms(desk, ours, key) for key in keys.values()}
    return subscriptions.invoice_of(replace(fact, order=ours), own, before, keys, terms)


def wanted_keys(facts: Iterable[SubscriptionIs]) -> tuple[set[str], set[str]]:
    """Return the Stripe prices that facts name, and the catalogue's prices they name themselves."""
    prices: set[str] = set()
    keys: set[str] = set()
    for fact in facts:
        prices |= {item.price for item in fact.items} | {price for price, _ in fact.changes_to}
        prices |= {line.price for one in fact.invoices for line in one.lines if line.price is not None}
        keys |= {key for item in fact.items for key in (item.key, item.inherited) if key is not None}
    return prices, keys


def sources_of(desk: Desk, news: Told) -> list[Source]:
    """Return every source that a fact may be the first to tell of: money, credits of cycles, what lasts."""
    customer, own = news.customer, news.subscription
    lasting = [
        Source(id_, customer, None, kind, "one", terms, subscription=own.id)
        for id_, kind, terms in subscriptions.lasting_of(own)
    ]
    billed: list[Source] = []
    for invoice, fact in news.invoices:
        unit = ledger.money_unit(invoice.currency)
        billed += [
            Source(f"payment:{paid.intent}", customer, invoice.order, "money", unit, {}) for paid in fact.payments
        ]
        billed += [
            Source(id_, customer, invoice.order, "credits", unit, terms)
            for id_, unit, terms in subscriptions.sources_of(invoice)
        ]
    return [*lasting, *billed]


# --- what it changes -------------------------------------------------------------------------------------------------


def subscription_is(desk: Desk, fact: SubscriptionIs, row: Row) -> Outcome:
    """Take over what was found, and make everything of the subscription worth what it is worth now."""
    news = told(desk, fact, livemode=row.livemode)
    if news is None:
        return Outcome("parked", "whose it is has just changed") if desk.moved else FOREIGN
    own = news.subscription
    before = desk.bills.get(own.id)
    if before is not None and own.asked_at < before.subscription.asked_at:
        own = before.subscription  # a newer look was taken over: whatever changed since brings a look of its own
    known = dict(before.invoices) if before is not None else {}
    for invoice, told_of_it in news.invoices:
        if invoice.id in known and invoice.asked_at < known[invoice.id].asked_at:
            continue
        known[invoice.id] = invoice
        _bill(desk, own, invoice, told_of_it)
    desk.changed_bills.setdefault(own.id, before)
    desk.bills[own.id] = Bill(own, known)
    desk.keys |= {item.price: item.key for item in own.items if item.key is not None}
    refresh(desk, own.id, row)
    return Outcome("done", own.status)


def _bill(desk: Desk, own: Subscription, invoice: Invoice, fact: InvoiceIs) -> None:
    """Note what an invoice makes of the order it bills; one that bills none of ours gets an order of its own."""
    before = desk.cases.get(invoice.order)
    if before is None:
        first = desk.cases.get(own.order or "")
        desk.new_orders.append((own, invoice))
        before = Case(_new_order(own, invoice, first.order if first is not None else None))
        desk.touched_cases[invoice.order] = before
    for paid in fact.payments:
        desk.payers.setdefault(paid.intent, invoice.order)
    gives = any(source.kind == "credits" for source in desk.parts.get(invoice.order, ()))
    gives = gives or bool(subscriptions.lasting_of(own))
    after = orders.bill(replace(before, order=replace(before.order, grants=gives)), fact)
    if after != before:
        desk.touched_cases.setdefault(invoice.order, before)
    desk.cases[invoice.order] = after


def _new_order(own: Subscription, invoice: Invoice, first: Order | None) -> Order:
    """Return the order of an invoice, told where the subscription was bought."""
    thread = (first.channel, first.address, first.conversation) if first is not None else (None, None, None)
    return Order(
        invoice.order, own.customer, "open", max(0, invoice.total), invoice.currency, own.livemode, *thread,
        own.stripe_customer, None, None, None, None, None, None, None, None, "automatic", False, "invoice",
    )  # fmt: skip


def refresh(desk: Desk, id_: str, row: Row) -> None:
    """Make everything of a subscription worth what it is worth now: the credits of its cycles, and what lasts."""
    bill = desk.bills[id_] = with_gone(desk.bills[id_], desk.cases)
    ran = subscriptions.runs(bill)
    for invoice in bill.invoices.values():
        case = desk.cases.get(invoice.order)
        if case is None:
            continue
        for source in desk.parts.get(invoice.order, ()):
            if source.kind == "money":
                post(desk, source, *money_of(case, source.id.removeprefix("payment:")), row)
            elif source.kind == "credits":
                target = worth_of_cycle(ran, invoice, case, source) if brings(invoice, source) else 0
                post(desk, source, target, case.order.paid_at, row)
    for source in desk.given.get(id_, ()):
        stands = standing_of(bill, source)
        post(desk, source, int(stands.since is not None), stands.since or source.since, row, until=stands.until)


def with_gone(bill: Bill, cases: Mapping[str, Case]) -> Bill:
    """Return a bill that knows which of its invoices had all their money go back, by the cases of their orders."""
    back = {one.id: _back(one, cases[one.order]) for one in bill.invoices.values() if one.order in cases}
    gone = {id_ for id_, one in back.items() if 0 < one.of <= one.refunded + one.lost}
    asked = {id_ for id_, one in back.items() if 0 < one.of <= one.refunded + one.lost + one.disputed}
    return replace(bill, gone=frozenset(gone), asked_back=frozenset(asked))


def _back(invoice: Invoice, case: Case) -> Returned:
    """Return how much of an invoice's money went back: by refunds and disputes, or as a credit note says.

    A credit note after the payment may have a refund of its own: that counts once.
    """
    returned = returned_of(case)
    return replace(returned, refunded=max(returned.refunded, invoice.credited) + invoice.credited_before)


def worth_of_cycle(ran: Mapping[str, datetime], invoice: Invoice, case: Case, source: Source) -> int:
    """Return what the credits of a line of an invoice are worth now; `ran`: until when lines ran (`subscriptions.runs`)."""
    ran_s = subscriptions.ran_s(_line(invoice, source), ran)
    return worth(source.terms, case.order, _back(invoice, case), ran_s)


def standing_of(bill: Bill, source: Source) -> Standing:
    """Return for how long a subscription gives one of the things that last: not at all when its plan has it no more.

    What a plan gave that was changed for the end of its cycle is given until then.
    """
    own, stands = bill.subscription, subscriptions.standing(bill, waits=source.terms.get("on_dispute") == "wait")
    if stands.since is None or source.id in {id_ for id_, _, _ in subscriptions.lasting_of(own)}:
        return stands
    kept = subscriptions.kept_until(own, source.id.removeprefix(f"{own.id}:").rpartition(":")[0])
    return Standing(None) if kept is None else replace(stands, until=min(kept, stands.until or kept))


def brings(invoice: Invoice, source: Source) -> bool:
    """Say whether a line of an invoice brought a source: its id is `<order>:<line>:<number>`."""
    return source.id.rpartition(":")[0] in {f"{invoice.order}:{line.id}" for line in invoice.lines}


def _line(invoice: Invoice, source: Source) -> Line:
    wanted = source.id.removeprefix(f"{invoice.order}:").rpartition(":")[0]
    return next(line for line in invoice.lines if line.id == wanted)


def order_of(desk: Desk, invoice: str) -> str:
    """Return the order that an invoice bills; one that nobody has told of is its own."""
    return next((bill.invoices[invoice].order for bill in desk.bills.values() if invoice in bill.invoices), invoice)


def new_invoices(desk: Desk) -> set[str]:
    """Return the invoices that were not known before."""
    return {
        invoice
        for id_, before in desk.changed_bills.items()
        for invoice in desk.bills[id_].invoices
        if before is None or invoice not in before.invoices
    }


def bill_of_order(desk: Desk, order: str) -> str | None:
    """Return the subscription whose invoice bills an order."""
    return next(
        (id_ for id_, bill in desk.bills.items() if any(one.order == order for one in bill.invoices.values())), None
    )
