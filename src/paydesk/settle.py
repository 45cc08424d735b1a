"""One transaction: facts become orders, ledger entries, entitlements and messages, and their rows are finished.

The same code for one event and for five hundred. Its order is the order of safety: find whose rows these are, lock
those people in one order, only then load, decide in memory by pure functions, write in bulk, finish with a fence.
A fact whose order is not known yet parks; one that bears our reference but not our terms is quarantined.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from paydesk import (
    announcing,
    billing,
    bills,
    books,
    calls,
    cases,
    customers,
    entitlements,
    fanout,
    inbox,
    ledger,
    low,
    memberships,
    money,
    news,
    orders,
    outbox,
    rivals,
    saying,
    timers,
)  # fmt: skip
from paydesk.case import Case, NotYet, Order, balance_moves, money_of, returned_of, worth
from paydesk.desk import OLD_NEWS, Desk, post
from paydesk.due import overtaken, timer_customer, timer_fired, timer_object
from paydesk.facts import BalanceIs, CaseFact, EntitlementIs, Fact, Ignored, Impossible, SubscriptionIs, TimerFired
from paydesk.inbox import DONE, Claim, Outcome, Row
from paydesk.ledger import Book, Source
from paydesk.orders import Mismatch
from paydesk.store import Store, Tx

Settled = Fact | Ignored | Impossible
BILLED = "in_"
"""The beginning of the ids of invoices, and so of the orders that bill a renewal."""


@dataclass(frozen=True, slots=True)
class Work:
    """A row and what was read from it."""

    row: Row
    reading: Settled


async def settle(store: Store, held: Claim, batch: Sequence[Work], *, marks: low.Marks = low.nobody) -> list[Outcome]:
    """Give every row of `batch` its effects and finish it, in one transaction; return what became of each.

    Whoever falls below one of `marks` is told.

    Exactly once, whatever dies: all of it or nothing is committed, and `StaleClaim` undoes the work of a late worker.
    """
    async with store.transaction() as tx:
        batch = await _of_own_orders(tx, batch)
        works = [(work.reading, work.row) for work in batch if not isinstance(work.reading, Ignored | Impossible)]
        desk = await _load(tx, works)
        outcomes = [_decide(desk, work) for work in batch]
        await memberships.follow(tx, desk)
        await _write(tx, desk, marks)
        await inbox.finish(tx, held, [work.row for work in batch], outcomes)
        told = {*desk.touched_cases, *billing.new_invoices(desk)}
        if told:  # last: a row of this very batch may have parked for what another one has just told
            await inbox.wake(tx, told)
    return outcomes


# --- load: lock first ------------------------------------------------------------------------------------------------


async def _of_own_orders(tx: Tx, batch: Sequence[Work]) -> Sequence[Work]:
    """Return the batch with what is about invoices told of the orders that they bill, where those are known."""
    invoices = {work.reading.order for work in batch if isinstance(work.reading, CaseFact) and _is_billed(work.reading)}
    billed = await bills.orders_of(tx, invoices)
    return [
        replace(work, reading=replace(work.reading, order=billed[work.reading.order]))
        if isinstance(work.reading, CaseFact) and work.reading.order in billed
        else work
        for work in batch
    ]


def _is_billed(fact: CaseFact) -> bool:
    return fact.order.startswith(BILLED)


async def _load(tx: Tx, works: Sequence[tuple[Fact, Row]]) -> Desk:
    """Lock the people these facts are about, in one order, and only then load what is known of them."""
    now = await tx.fetchval("SELECT desk_now()")
    looks = [fact for fact, _ in works if isinstance(fact, SubscriptionIs)]
    fired = [fact for fact, _ in works if isinstance(fact, TimerFired)]
    about = [fact for fact, _ in works if not isinstance(fact, SubscriptionIs | TimerFired)]
    order_ids = {fact.order for fact in about} | {fact.order for fact in looks if fact.order is not None}
    order_ids |= {invoice.order for fact in looks for invoice in fact.invoices}
    timed = await customers.current(tx, {timer_customer(fact) for fact in fired})
    people = set(timed.values()) | await customers.of_orders(tx, order_ids)
    payers = {fact.stripe_customer for fact in looks} | _payers_of_invoices(about)
    if payers:
        people |= await bills.people(tx, {fact.subscription for fact in looks}, payers)
    if not people:
        return Desk(now, {}, {}, {}, {}, {}, Book(now))
    asked_for, people = people, await customers.lock(tx, people)
    desk = Desk(now, {}, {}, {}, {}, {}, Book(now), moved=len(people) < len(asked_for))
    desk.timed = {old: person for old, person in timed.items() if person in people}
    await _load_bills(tx, desk, people, looks, order_ids, payers, fired)
    recent = {order for bill in desk.bills.values() for order in billing.recent_orders(bill)}
    recent |= billing.known_orders(desk.bills, looks)
    intents = {fact.intent for fact in about if fact.intent is not None}
    found, desk.payers = await cases.load(tx, order_ids | recent, intents)
    # An order that was written after we looked whose it is has no lock yet: it stays unknown, its row parks.
    desk.cases = {id_: case for id_, case in found.items() if case.order.customer in people}
    await _load_sources(tx, desk, works)
    desk.reasons = {held.source: held for held in await entitlements.load(tx, people)}
    desk.threads = await customers.threads(tx, people) if fired or looks else {}
    desk.holds = await books.load_holds(tx, [timer_object(fact) for fact in fired if fact.kind == "hold_end"])
    wallets = {(desk.timed[timer_customer(fact)], timer_object(fact)) for fact in fired
               if fact.kind in ("lots_end", "low_balance") and timer_customer(fact) in desk.timed}  # fmt: skip
    wallets |= {(hold.customer, hold.unit) for hold in desk.holds.values()}
    desk.book = await books.open_book(tx, now, desk.sources.values(), wallets)
    return desk


def _payers_of_invoices(about: Iterable[CaseFact]) -> set[str]:
    """Return the Stripe customers that facts about invoices name: whether such a one is ours is told by who it is."""
    named = (getattr(fact, "stripe_customer", None) for fact in about if _is_billed(fact))
    return {one for one in named if one is not None}


async def _load_bills(
    tx: Tx, desk: Desk, people: set[str], looks: Sequence[SubscriptionIs], order_ids: set[str], payers: set[str],
    fired: Sequence[TimerFired],
) -> None:  # fmt: skip
    """Load subscriptions that facts, invoices or timers are about, and what their prices give."""
    named = {fact.subscription for fact in looks} | {timer_object(fact) for fact in fired if fact.kind in news.TIMERS}
    bought = await bills.load(tx, named, order_ids)
    desk.bills = {id_: bill for id_, bill in bought.items() if bill.subscription.customer in people}
    if not looks and not payers:
        return
    known = await bills.known_customers(tx, payers)
    desk.known_customers = {id_: person for id_, person in known.items() if person in people}
    prices, keys = billing.wanted_keys(looks)
    desk.keys = await bills.price_keys(tx, prices)
    desk.plans = await bills.plans(tx, keys | set(desk.keys.values()))
    desk.order_plans = await bills.order_plans(tx, order_ids)
    if looks:
        desk.rivals = await rivals.load(tx, people)


async def _load_sources(tx: Tx, desk: Desk, works: Sequence[tuple[Fact, Row]]) -> None:
    """Load sources, and add those that a fact may be the first to tell of."""
    desk.sources = await books.load_sources(tx, desk.cases, subscriptions=desk.bills)
    told = sorted(works, key=lambda work: not isinstance(work[0], SubscriptionIs))  # an invoice knows its currency
    for fact, row in told:
        for source in _new_sources(desk, fact, row):
            desk.sources.setdefault(source.id, source)
    for source in desk.sources.values():
        if source.order is not None:
            desk.parts.setdefault(source.order, []).append(source)
        elif source.subscription is not None:
            desk.given.setdefault(source.subscription, []).append(source)


def _new_sources(desk: Desk, fact: Fact, row: Row) -> list[Source]:
    if isinstance(fact, SubscriptionIs):
        told = billing.told(desk, fact, livemode=row.livemode)
        return billing.sources_of(desk, told) if told is not None else []
    if isinstance(fact, TimerFired):
        return []
    case = desk.cases.get(fact.order)
    if case is None or fact.intent is None:
        return []
    if isinstance(fact, BalanceIs):
        moves = balance_moves(case, fact)
        return [_money_source(kind, fact.transaction, case.order, currency) for kind, currency, _ in moves]
    payment = case.payments.get(fact.intent)
    currency = payment.currency if payment is not None else _kept_in(fact, case.order)
    return [_money_source("money", fact.intent, case.order, currency)]


def _kept_in(fact: CaseFact, order: Order) -> str:
    """Return the currency in which a payment that is not known yet will be: its order's, unless that is a platform's money."""
    told: str = getattr(fact, "currency", order.currency)
    return told if order.billed or told in money.THEIRS else order.currency


def _money_source(kind: str, about: str, order: Order, currency: str) -> Source:
    """Return the source of money that an object at Stripe stands for: a payment, a fee, an exchange."""
    id_ = f"{'payment' if kind == 'money' else kind}:{about}"
    return Source(id_, order.customer, order.id, kind, ledger.money_unit(currency), {})


# --- decide: pure from here ------------------------------------------------------------------------------------------


def _decide(desk: Desk, work: Work) -> Outcome:
    """Say what becomes of one row, and note its effects on the desk."""
    match work.reading:
        case Ignored(reason):
            return Outcome("ignored", reason)
        case Impossible(reason):
            return Outcome("quarantined", reason)
        case TimerFired() as fact:
            return timer_fired(desk, fact, work.row)
        case SubscriptionIs() as fact:
            return _subscription_fact(desk, fact, work.row)
        case fact:
            return _case_fact(desk, fact, work.row)


def _subscription_fact(desk: Desk, fact: SubscriptionIs, row: Row) -> Outcome:
    before = desk.bills.get(fact.subscription)
    try:
        outcome = billing.subscription_is(desk, fact, row)
    except Mismatch as mismatch:
        return Outcome("quarantined", f"mismatch: {mismatch}")
    if outcome.state == "done":
        own = desk.bills[fact.subscription]
        news.tell(desk, before, own, fact.at, row)
        desk.messages += overtaken(own.subscription, row)
        desk.messages += rivals.verdict(desk.now, own.subscription, desk.rivals, desk.bills.values(), row.id)
    return outcome


def _case_fact(desk: Desk, fact: CaseFact, row: Row) -> Outcome:
    if _is_billed(fact):  # this very batch may have told of the invoice
        fact = replace(fact, order=billing.order_of(desk, fact.order))
    case = desk.cases.get(fact.order)
    if case is None:
        return _unknown(desk, fact)
    if case.order.livemode != row.livemode:
        return Outcome("quarantined", f"{fact.order}: the event's mode is not the order's")
    try:
        if fact.intent is not None and desk.payers.setdefault(fact.intent, fact.order) != fact.order:
            raise Mismatch(f"{fact.order}: {fact.intent} pays {desk.payers[fact.intent]}")
        step = orders.apply(case, fact)
    except Mismatch as mismatch:
        return Outcome("quarantined", f"mismatch: {mismatch}")
    except NotYet as not_yet:
        return Outcome("parked", str(not_yet), waits_for=fact.order)
    before = saying.standing(desk, case.order)
    of_shop = fact if isinstance(fact, EntitlementIs) else None
    _note(desk, case, step.case, row, of_shop)
    if isinstance(fact, EntitlementIs):
        desk.messages += saying.use_up_of(step.case.order, fact, row)
    if isinstance(fact, BalanceIs):
        desk.balances.append(fact)
        for kind, _, amount in balance_moves(step.case, fact):
            post(desk, desk.sources[f"{kind}:{fact.transaction}"], amount, fact.made_at, row)
    desk.questions += saying.questions(fact, row)
    desk.made += saying.made_by_us(fact)
    if desk.now - fact.at < OLD_NEWS:
        saying.say(desk, step, saying.params_of(desk, step, fact, before) if step.say or step.alert else {}, row)
    if step.give_back is not None:
        desk.messages.append(saying.refund_of(step.case.order, step.give_back, row))
    return DONE


def _unknown(desk: Desk, fact: CaseFact) -> Outcome:
    """A fact about an order that is not known: it comes later, or it is the invoice of somebody who is none of ours."""
    whose = getattr(fact, "stripe_customer", None)
    if _is_billed(fact) and whose not in desk.known_customers:
        return Outcome("ignored", "foreign: an invoice of nobody who is known here")
    return Outcome("parked", f"{fact.order} is not known yet", waits_for=fact.order)


def _note(desk: Desk, before: Case, after: Case, row: Row, told: EntitlementIs | None = None) -> None:
    """Keep what is known now, and post what everything of the order is worth now; `told` says where what lasts ends."""
    if after != before:
        desk.touched_cases.setdefault(before.order.id, before)
        desk.cases[before.order.id] = after
    bill = billing.bill_of_order(desk, before.order.id) if after.order.billed else None
    if bill is not None:
        billing.refresh(desk, bill, row)
        return
    returned = returned_of(after)
    for source in desk.parts.get(before.order.id, ()):
        if source.kind == "money":
            target, since = money_of(after, source.id.removeprefix("payment:"))
        elif source.kind in ledger.MONEY_MOVES:
            continue  # what a balance transaction says of itself never changes
        else:
            target, since = worth(source.terms, after.order, returned), after.order.paid_at
        post(desk, source, target, since, row, until=_end_of(source, told))


def _end_of(source: Source, told: EntitlementIs | None) -> datetime | None:
    """Return where what lasts ends: the latest end that was ever told counts, unless it was lifted since."""
    if source.kind not in entitlements.KINDS or told is None:
        return source.until
    known = None if source.until == told.lifts else source.until
    return max((end for end in (known, told.ends_at) if end is not None), default=None)


# --- write -----------------------------------------------------------------------------------------------------------


async def _write(tx: Tx, desk: Desk, marks: low.Marks) -> None:
    """Write everything that changed, in bulk."""
    fallen = low.fallen(desk.book, marks)
    names = {key: str(terms.get("name", "")) for key, terms in desk.plans.items()}
    await bills.make_orders(tx, desk.new_orders, names)
    await cases.save(tx, [(before, desk.cases[id_]) for id_, before in desk.touched_cases.items()])
    await cases.save_balances(tx, desk.balances)
    await bills.save(tx, [(before, desk.bills[id_]) for id_, before in desk.changed_bills.items()])
    await books.save_sources(tx, desk.touched_sources.values())
    await books.close_book(tx, desk.book)
    await books.save_holds(tx, desk.touched_holds.values())
    await entitlements.save(tx, desk.touched_sources.values())
    await timers.put(tx, [*desk.timers, *timers.of_lots(desk.book), *fallen])
    await outbox.put(tx, desk.messages)
    await inbox.put(tx, desk.questions)
    await calls.heard_of(tx, desk.made)
    await fanout.announce(tx, partial(announcing.of_desk, desk))
