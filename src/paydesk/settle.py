"""One transaction: facts become orders, ledger entries, entitlements and messages, and their rows are finished.

The same code for one event and for five hundred. Its order is the order of safety: find whose rows these are, lock
those people in one order, only then load, decide in memory by pure functions, write in bulk, finish with a fence.
A fact whose order is not known yet parks; one that bears our reference but not our terms is quarantined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from paydesk import customers, entitlements, inbox, ledger, orders, outbox, timers
from paydesk.facts import ChargeIs, Fact, Ignored, Impossible, IntentIs, SessionIs, TimerFired
from paydesk.inbox import DONE, Claim, Outcome, Row
from paydesk.ledger import Book, Source
from paydesk.orders import Mismatch, MoneyFact, Order, Payment
from paydesk.outbox import Message
from paydesk.store import Store, Tx

OLD_NEWS = timedelta(hours=72)
"""A fact older than this still counts, but messages nobody."""

Settled = Fact | Ignored | Impossible


@dataclass(slots=True)
class Desk:
    """What is known of the people in hand, and what has changed."""

    now: datetime
    orders: dict[str, Order]
    payments: dict[str, Payment]
    sources: dict[str, Source]
    reasons: dict[str, entitlements.Held]
    threads: dict[str, customers.Thread]
    book: Book
    touched_orders: dict[str, Order] = field(default_factory=dict)
    touched_payments: dict[str, Payment] = field(default_factory=dict)
    touched_sources: dict[str, Source] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    timers: list[timers.Timer] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Work:
    """A row and what was read from it."""

    row: Row
    reading: Settled


async def settle(store: Store, held: Claim, batch: Sequence[Work]) -> list[Outcome]:
    """Give every row of `batch` its effects and finish it, in one transaction; return what became of each.

    Exactly once, whatever dies: all of it or nothing is committed, and `StaleClaim` undoes the work of a late worker.
    """
    async with store.transaction() as tx:
        facts = [
            work.reading for work in batch if isinstance(work.reading, SessionIs | IntentIs | ChargeIs | TimerFired)
        ]
        desk = await _load(tx, facts)
        outcomes = [_decide(desk, work) for work in batch]
        await _write(tx, desk)
        await inbox.finish(tx, held, [work.row for work in batch], outcomes)
    return outcomes


# --- load: lock first ------------------------------------------------------------------------------------------------


async def _load(tx: Tx, facts: Sequence[Fact]) -> Desk:
    """Lock the people these facts are about, in one order, and only then load what is known of them."""
    now = await tx.fetchval("SELECT desk_now()")
    order_ids = {fact.order for fact in facts if not isinstance(fact, TimerFired)}
    timed = {timer_customer(fact) for fact in facts if isinstance(fact, TimerFired)}
    people = timed | await customers.of_orders(tx, order_ids)
    if not people:
        return Desk(now, {}, {}, {}, {}, {}, Book({}, {}))
    people = await customers.lock(tx, people)
    # An order that was written after we looked whose it is has no lock yet: it stays unknown, its row parks.
    known = {id_: order for id_, order in (await orders.load(tx, order_ids)).items() if order.customer in people}
    sources = await ledger.load_sources(tx, known)
    intents = {fact.intent for fact in facts if not isinstance(fact, TimerFired) and fact.intent is not None}
    # Also the payments that these orders have already: whatever is told of them, their money stays what it is worth.
    intents |= {source.id.removeprefix("payment:") for source in sources.values() if source.kind == "money"}
    payments = await orders.load_payments(tx, intents)
    for fact in facts:
        if not isinstance(fact, TimerFired) and fact.order in known and fact.intent is not None:
            source = money_source(known[fact.order], fact.intent)
            sources.setdefault(source.id, source)
    reasons = {held.source: held for held in await entitlements.load(tx, people)}
    threads = await customers.threads(tx, timed) if timed else {}
    book = await ledger.open_book(tx, sources.values())
    return Desk(now, known, payments, sources, reasons, threads, book)


def money_source(order: Order, intent: str) -> Source:
    """Return the source that stands for the money of a payment: worth what was received and not given back."""
    return Source(f"payment:{intent}", order.customer, order.id, "money", ledger.money_unit(order.currency), {})


def timer_customer(fact: TimerFired) -> str:
    """Return whose timer it is: subjects start with the customer's id."""
    return fact.subject.partition("|")[0]


# --- decide: pure from here ------------------------------------------------------------------------------------------


def _decide(desk: Desk, work: Work) -> Outcome:
    """Say what becomes of one row, and note its effects on the desk."""
    match work.reading:
        case Ignored(reason):
            return Outcome("ignored", reason)
        case Impossible(reason):
            return Outcome("quarantined", reason)
        case TimerFired() as fact:
            return _timer_fired(desk, fact, work.row)
        case fact:
            return _money_fact(desk, fact, work.row)


def _money_fact(desk: Desk, fact: MoneyFact, row: Row) -> Outcome:
    order = desk.orders.get(fact.order)
    if order is None:
        return Outcome("parked", f"{fact.order} is not known yet", waits_for=fact.order)
    if order.livemode != row.livemode:
        return Outcome("quarantined", f"{order.id}: the event's mode is not the order's")
    payment = desk.payments.get(fact.intent) if fact.intent is not None else None
    try:
        step = orders.apply(order, payment, fact)
    except Mismatch as mismatch:
        return Outcome("quarantined", f"mismatch: {mismatch}")
    _note(desk, order, step, row)
    if step.say is not None and desk.now - fact.at < OLD_NEWS:
        _say(desk, step, row)
    if step.give_back is not None:
        desk.messages.append(refund_of(step.order, step.give_back, row))
    return DONE


def _note(desk: Desk, before: Order, step: orders.Step, row: Row) -> None:
    """Keep a step's order and payment, and post what everything of the order is worth now."""
    if step.order != before:
        desk.orders[before.id] = desk.touched_orders[before.id] = step.order
    if step.payment is not None and step.payment != desk.payments.get(step.payment.id):
        desk.payments[step.payment.id] = desk.touched_payments[step.payment.id] = step.payment
    for source in [source for source in desk.sources.values() if source.order == before.id]:
        _post(desk, source, step.order, row)


def _post(desk: Desk, source: Source, order: Order, row: Row) -> None:
    if source.kind == "money":
        payment = desk.payments.get(source.id.removeprefix("payment:"))
        paid = payment is not None and payment.status == "succeeded"
        target, since = (payment.amount, payment.paid_at) if payment is not None and paid else (0, None)
    else:
        target, since = orders.worth(source.terms, order), order.paid_at
    if not desk.book.post(source, target, since, inbox_id=row.id):
        return
    desk.touched_sources[source.id] = source
    held = entitlements.held_by(source)
    if held is not None:
        desk.reasons[source.id] = held
        _time_the_end(desk, held)
    else:
        desk.reasons.pop(source.id, None)


def _time_the_end(desk: Desk, held: entitlements.Held) -> None:
    end = entitlements.end_of(reasons_for(desk, held.customer, held.feature))
    if end is not None:
        desk.timers.append(timers.Timer("pass_end", f"{held.customer}|{held.feature}", end, held.customer))


def reasons_for(desk: Desk, customer: str, feature: str) -> list[entitlements.Held]:
    """Return the reasons of one person for one feature."""
    return [held for held in desk.reasons.values() if held.customer == customer and held.feature == feature]


def _timer_fired(desk: Desk, fact: TimerFired, row: Row) -> Outcome:
    """A pass has ended, unless another reason or a later pass keeps the feature. `access` knew without us."""
    customer, _, feature = fact.subject.partition("|")
    if fact.kind != "pass_end":
        return Outcome("ignored", f"unhandled timer {fact.kind}")
    if entitlements.access(reasons_for(desk, customer, feature), desk.now).allowed:
        return Outcome("done", "not over: another reason keeps it")
    thread = desk.threads.get(customer)
    if thread is not None and desk.now - fact.at < OLD_NEWS:
        desk.messages.append(
            Message(f"pass_ended:{fact.subject}:{fact.at.isoformat()}", customer, thread.channel, thread.address,
                    "pass_ended", {"feature": feature}, thread.conversation, row.id)
        )  # fmt: skip
    return DONE


# --- messages --------------------------------------------------------------------------------------------------------


def _say(desk: Desk, step: orders.Step, row: Row) -> None:
    """Tell the buyer in the thread where the order was made; one message per meaning."""
    order = step.order
    if step.say is None or order.channel is None or order.address is None:
        return
    about = step.give_back or order.id
    desk.messages.append(
        Message(f"{step.say}:{about}", order.customer, order.channel, order.address, step.say,
                _params(desk, step), order.conversation, row.id)
    )  # fmt: skip


def _params(desk: Desk, step: orders.Step) -> dict[str, Any]:
    """Return what templates may name of an order: amounts in the smallest unit, what it gave, and the balances."""
    order = step.order
    given = [source for source in desk.sources.values() if source.order == order.id and source.kind != "money"]
    units = sorted({source.unit for source in given if source.kind == "credits"})
    return {
        "order": order.id,
        "amount": order.amount,
        "currency": order.currency,
        "grants": [{**source.terms, "worth": source.worth} for source in sorted(given, key=lambda source: source.id)],
        "balances": {unit: desk.book.balance(order.customer, unit, desk.now) for unit in units},
        "reason": step.payment.failure_message if step.payment is not None else None,
    }


def refund_of(order: Order, intent: str, row: Row) -> Message:
    """Return the instruction to give a second payment back in full, once."""
    params = {"payment_intent": intent, "reason": "duplicate", "order": order.id}
    return Message(f"refund:second:{intent}", order.customer, "stripe", intent, "refund", params, inbox_id=row.id)


# --- write -----------------------------------------------------------------------------------------------------------


async def _write(tx: Tx, desk: Desk) -> None:
    """Write everything that changed, in bulk; wake rows that waited for it."""
    await orders.save(tx, list(desk.touched_orders.values()))
    await orders.save_payments(tx, list(desk.touched_payments.values()))
    await ledger.save_sources(tx, desk.touched_sources.values())
    await ledger.close_book(tx, desk.book)
    await entitlements.save(tx, desk.touched_sources.values())
    await timers.put(tx, desk.timers)
    await outbox.put(tx, desk.messages)
    if desk.touched_orders:
        await inbox.wake(tx, desk.touched_orders)
