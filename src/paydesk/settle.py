"""One transaction: facts become orders, ledger entries, entitlements and messages, and their rows are finished.

The same code for one event and for five hundred. Its order is the order of safety: find whose rows these are, lock
those people in one order, only then load, decide in memory by pure functions, write in bulk, finish with a fence.
A fact whose order is not known yet parks; one that bears our reference but not our terms is quarantined.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from paydesk import books, cases, customers, entitlements, inbox, ledger, low, orders, outbox, timers
from paydesk.case import (
    Case,
    Dispute,
    NotYet,
    Order,
    Payment,
    Refund,
    balance_moves,
    money_of,
    returned_of,
    worth,
)
from paydesk.facts import (
    BalanceIs,
    CaseFact,
    ChargeIs,
    DisputeIs,
    Fact,
    FraudWarning,
    Ignored,
    Impossible,
    RefundIs,
    SessionIs,
    TimerFired,
)
from paydesk.inbox import DONE, Claim, Outcome, Row
from paydesk.ledger import Book, Cause, Hold, Source
from paydesk.orders import Mismatch
from paydesk.outbox import Message
from paydesk.store import Store, Tx

OLD_NEWS = timedelta(hours=72)
"""A fact older than this still counts, but messages nobody."""

Settled = Fact | Ignored | Impossible


@dataclass(slots=True)
class Desk:
    """What is known of the people in hand, and what has changed."""

    now: datetime
    cases: dict[str, Case]
    payers: dict[str, str]
    sources: dict[str, Source]
    reasons: dict[str, entitlements.Held]
    threads: dict[str, customers.Thread]
    book: Book
    timed: dict[str, str] = field(default_factory=dict)
    parts: dict[str, list[Source]] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    touched_cases: dict[str, Case] = field(default_factory=dict)
    touched_sources: dict[str, Source] = field(default_factory=dict)
    touched_holds: dict[str, Hold] = field(default_factory=dict)
    balances: list[BalanceIs] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    timers: list[timers.Timer] = field(default_factory=list)
    questions: list[inbox.Envelope] = field(default_factory=list)


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
        facts = [work.reading for work in batch if not isinstance(work.reading, Ignored | Impossible)]
        desk = await _load(tx, facts)
        outcomes = [_decide(desk, work) for work in batch]
        await _write(tx, desk, marks)
        await inbox.finish(tx, held, [work.row for work in batch], outcomes)
        if desk.touched_cases:  # last: a row of this very batch may have parked for what another one has just told
            await inbox.wake(tx, desk.touched_cases)
    return outcomes


# --- load: lock first ------------------------------------------------------------------------------------------------


async def _load(tx: Tx, facts: Sequence[Fact]) -> Desk:
    """Lock the people these facts are about, in one order, and only then load what is known of them."""
    now = await tx.fetchval("SELECT desk_now()")
    about = [fact for fact in facts if not isinstance(fact, TimerFired)]
    fired = [fact for fact in facts if isinstance(fact, TimerFired)]
    order_ids = {fact.order for fact in about}
    timed = await customers.current(tx, {timer_customer(fact) for fact in fired})
    people = set(timed.values()) | await customers.of_orders(tx, order_ids)
    if not people:
        return Desk(now, {}, {}, {}, {}, {}, Book(now))
    people = await customers.lock(tx, people)
    timed = {old: person for old, person in timed.items() if person in people}
    found, payers = await cases.load(tx, order_ids, {fact.intent for fact in about if fact.intent is not None})
    # An order that was written after we looked whose it is has no lock yet: it stays unknown, its row parks.
    known = {id_: case for id_, case in found.items() if case.order.customer in people}
    sources = await books.load_sources(tx, known)
    for fact in about:
        for source in _new_sources(known, fact):
            sources.setdefault(source.id, source)
    reasons = {held.source: held for held in await entitlements.load(tx, people)}
    threads = await customers.threads(tx, timed.values()) if timed else {}
    holds = await books.load_holds(tx, [timer_object(fact) for fact in fired if fact.kind == "hold_end"])
    wallets = {(timed[timer_customer(fact)], timer_object(fact)) for fact in fired
               if fact.kind in ("lots_end", "low_balance") and timer_customer(fact) in timed}  # fmt: skip
    wallets |= {(hold.customer, hold.unit) for hold in holds.values()}
    book = await books.open_book(tx, now, sources.values(), wallets)
    return Desk(now, known, payers, sources, reasons, threads, book, timed, _by_order(sources.values()), holds)


def _by_order(sources: Iterable[Source]) -> dict[str, list[Source]]:
    """Return sources by their order: each fact asks for its own, and a batch has thousands."""
    found: dict[str, list[Source]] = {}
    for source in sources:
        if source.order is not None:
            found.setdefault(source.order, []).append(source)
    return found


def _new_sources(known: dict[str, Case], fact: CaseFact) -> list[Source]:
    """Return the sources of money that a fact may be the first to tell of."""
    case = known.get(fact.order)
    if case is None or fact.intent is None:
        return []
    if isinstance(fact, BalanceIs):
        moves = balance_moves(case, fact)
        return [_money_source(kind, fact.transaction, case.order, currency) for kind, currency, _ in moves]
    payment = case.payments.get(fact.intent)
    currency = payment.currency if payment is not None else _charged_currency(fact, case.order)
    return [_money_source("money", fact.intent, case.order, currency)]


def _charged_currency(fact: CaseFact, order: Order) -> str:
    charged: str | None = getattr(fact, "charged_currency", None)
    told: str = getattr(fact, "currency", order.currency)
    return charged or told


def _money_source(kind: str, about: str, order: Order, currency: str) -> Source:
    """Return the source of money that an object at Stripe stands for: a payment, a fee, an exchange."""
    id_ = f"{'payment' if kind == 'money' else kind}:{about}"
    return Source(id_, order.customer, order.id, kind, ledger.money_unit(currency), {})


def timer_customer(fact: TimerFired) -> str:
    """Return whose timer it is: subjects start with the customer's id."""
    return fact.subject.partition("|")[0]


def timer_object(fact: TimerFired) -> str:
    """Return what of the customer a timer is about: a feature, a unit of credits, a hold."""
    return fact.subject.partition("|")[2]


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
            return _case_fact(desk, fact, work.row)


def _case_fact(desk: Desk, fact: CaseFact, row: Row) -> Outcome:
    case = desk.cases.get(fact.order)
    if case is None:
        return Outcome("parked", f"{fact.order} is not known yet", waits_for=fact.order)
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
    before = _standing(desk, case.order)
    _note(desk, case, step.case, row)
    if isinstance(fact, BalanceIs):
        desk.balances.append(fact)
        for kind, _, amount in balance_moves(step.case, fact):
            _post(desk, desk.sources[f"{kind}:{fact.transaction}"], amount, fact.made_at, row)
    desk.questions += questions(fact, row)
    if desk.now - fact.at < OLD_NEWS:
        _say(desk, step, _params(desk, step, fact, before) if step.say or step.alert else {}, row)
    if step.give_back is not None:
        desk.messages.append(refund_of(step.case.order, step.give_back, row))
    return DONE


def _note(desk: Desk, before: Case, after: Case, row: Row) -> None:
    """Keep what is known now, and post what everything of the order is worth now."""
    if after != before:
        desk.touched_cases.setdefault(before.order.id, before)
        desk.cases[before.order.id] = after
    returned = returned_of(after)
    for source in desk.parts.get(before.order.id, ()):
        if source.kind == "money":
            target, since = money_of(after, source.id.removeprefix("payment:"))
        elif source.kind in ledger.MONEY_MOVES:
            continue  # what a balance transaction says of itself never changes
        else:
            target, since = worth(source.terms, after.order, returned), after.order.paid_at
        _post(desk, source, target, since, row)


def _post(desk: Desk, source: Source, target: int, since: datetime | None, row: Row) -> None:
    """Make a source worth `target`, and the entitlement that it is."""
    if not desk.book.post(source, target, since, inbox_id=row.id):
        return
    desk.touched_sources[source.id] = source
    held = entitlements.held_by(source)
    if held is None:
        desk.reasons.pop(source.id, None)
    else:
        desk.reasons[source.id] = held
        _time_the_end(desk, held)


def _time_the_end(desk: Desk, held: entitlements.Held) -> None:
    end = entitlements.end_of(reasons_for(desk, held.customer, held.feature))
    if end is not None:
        desk.timers.append(timers.Timer("pass_end", f"{held.customer}|{held.feature}", end, held.customer))


def reasons_for(desk: Desk, customer: str, feature: str) -> list[entitlements.Held]:
    """Return the reasons of one person for one feature."""
    return [held for held in desk.reasons.values() if held.customer == customer and held.feature == feature]


# --- time has come ---------------------------------------------------------------------------------------------------


def _timer_fired(desk: Desk, fact: TimerFired, row: Row) -> Outcome:
    customer = desk.timed.get(timer_customer(fact))
    if customer is None:
        return Outcome("parked", f"{timer_customer(fact)} has just become somebody else")
    match fact.kind:
        case "pass_end":
            return _pass_ended(desk, fact, customer, row)
        case "lots_end":
            swept = desk.book.lapse(customer, timer_object(fact), inbox_id=row.id)
            return Outcome("done", f"{swept:,} {timer_object(fact)} ended unspent")
        case "low_balance":
            return _low_balance(desk, fact, customer, row)
        case "hold_end":
            return _hold_ended(desk, timer_object(fact), row)
        case _:
            return Outcome("ignored", f"unhandled timer {fact.kind}")


def _pass_ended(desk: Desk, fact: TimerFired, customer: str, row: Row) -> Outcome:
    """A pass has ended, unless another reason or a later pass keeps the feature. `access` knew without us."""
    feature = timer_object(fact)
    if entitlements.access(reasons_for(desk, customer, feature), desk.now).allowed:
        return Outcome("done", "not over: another reason keeps it")
    thread = desk.threads.get(customer)
    if thread is not None and desk.now - fact.at < OLD_NEWS:
        desk.messages.append(
            Message(f"pass_ended:{customer}|{feature}:{fact.at.isoformat()}", customer, thread.channel, thread.address,
                    "pass_ended", {"feature": feature}, thread.conversation, row.id)
        )  # fmt: skip
    return DONE


def _low_balance(desk: Desk, fact: TimerFired, customer: str, row: Row) -> Outcome:
    """Little is left: what was agreed on is bought again, else the buyer is told."""
    unit = timer_object(fact)
    key = f"low_balance:{customer}|{unit}:{fact.at.isoformat()}"
    wallet = desk.book.accounts[customer, unit, "wallet"]
    thread = desk.threads.get(customer)
    if wallet.low_mark is not None and desk.book.balance(customer, unit) >= wallet.low_mark:
        return Outcome("done", "there is enough again")
    if wallet.low_mark is not None:
        params: dict[str, Any] = {"customer": customer, "unit": unit}
        desk.messages.append(Message(f"topup:{key}", customer, "stripe", customer, "topup", params, inbox_id=row.id))
    elif thread is not None and desk.now - fact.at < OLD_NEWS:
        params = {"unit": unit, "balance": desk.book.balance(customer, unit)}
        desk.messages.append(Message(key, customer, thread.channel, thread.address, "low_balance", params,
                                     thread.conversation, row.id))  # fmt: skip
    return DONE


def _hold_ended(desk: Desk, id_: str, row: Row) -> Outcome:
    """Nobody settled a hold in time: what it reserved goes back."""
    hold = desk.holds.get(id_)
    if hold is None or hold.state != "held":
        return Outcome("done", "settled or released before")
    cause = Cause(f"hold:{hold.id}", 1, hold.customer, hold.unit, row.id)
    desk.book.end_hold(hold, cause, 0, "lapsed")
    desk.touched_holds[hold.id] = hold
    return Outcome("done", f"{hold.amount:,} {hold.unit} went back")


# --- what follows ----------------------------------------------------------------------------------------------------


def questions(fact: CaseFact, row: Row) -> list[inbox.Envelope]:
    """Return what is to be asked of Stripe because of a fact: what it did to the balance, and what that cost."""
    match fact:
        case ChargeIs():
            about, ids = fact.charge, [fact.balance_transaction]
        case RefundIs():
            about, ids = fact.refund, [fact.balance_transaction]
        case DisputeIs():
            about, ids = fact.dispute, list(fact.balance)
        case _:
            return []
    return [inbox.question("balance_transaction", id_, fact.order, fact.intent, about, row) for id_ in ids if id_]


def _say(desk: Desk, step: orders.Step, params: dict[str, Any], row: Row) -> None:
    """Tell the buyer in the thread where the order was made, and the people of the desk; one message per meaning."""
    order = step.case.order
    about = step.about or order.id
    if step.say is not None and order.channel is not None and order.address is not None:
        apart = step.say == "paid_twice"  # the order's own message goes on saying that it is paid
        desk.messages.append(
            Message(f"{step.say}:{about}", order.customer, order.channel, order.address, step.say, params,
                    order.conversation, row.id, about=None if apart else order.id)
        )  # fmt: skip
    if step.alert is not None:
        desk.messages.append(alert(f"{step.alert}:{about}", step.alert, order.customer, params, row.id))


def alert(key: str, template: str, customer: str | None, params: dict[str, Any], inbox_id: int | None) -> Message:
    """Return a message to the people who run the desk, once per key; its template's name begins with `alert_`."""
    return Message(
        f"alert:{key}", customer, customers.ADMIN, "desk", f"alert_{template}", params, inbox_id=inbox_id
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Standing:
    """What the parts of an order are worth, and what its buyer owes of each unit, before a fact."""

    worth: dict[str, int]
    debts: dict[str, int]


def _given(desk: Desk, order: Order) -> list[Source]:
    """Return what an order gives, besides money."""
    own = [one for one in desk.parts.get(order.id, ()) if one.kind not in ledger.MONEY_MOVES]
    return sorted(own, key=lambda source: source.id)


def _standing(desk: Desk, order: Order) -> _Standing:
    given = _given(desk, order)
    units = {source.unit for source in given if source.kind == "credits"}
    return _Standing(
        {source.id: source.worth for source in given}, {unit: desk.book.debt(order.customer, unit) for unit in units}
    )


def _params(desk: Desk, step: orders.Step, fact: CaseFact, before: _Standing) -> dict[str, Any]:
    """Return what templates may name: amounts in the smallest unit, what an order gave, took and gave back, balances.

    Of each thing given: what it is worth, was worth before the fact, and would be worth had nothing gone back.
    """
    case, order = step.case, step.case.order
    now, given, returned = _standing(desk, order), _given(desk, order), returned_of(case)
    payment = case.payments.get(fact.intent or order.paid_by or "")
    back = case.refunds.get(step.about or "") or case.disputes.get(step.about or "")
    paid, currency = _price(order) if payment is None else (payment.amount, payment.currency)
    due = back.evidence_due_at if isinstance(back, Dispute) else None
    return {
        "order": order.id,
        "amount": back.amount if back is not None else paid,
        "currency": currency,
        "paid": paid,
        "refunded": returned.refunded,
        "grants": [
            {**source.terms, "worth": source.worth, "before": before.worth[source.id],
             "whole": worth(source.terms, order, returned.at_first)}
            for source in given
        ],
        "balances": {unit: desk.book.balance(order.customer, unit) for unit in sorted(now.debts)},
        "debts": now.debts,
        "paid_off": {unit: before.debts[unit] - owed for unit, owed in now.debts.items() if owed < before.debts[unit]},
        "reason": _reason(fact, payment, back),
        "due": None if due is None else due.isoformat(),
    }  # fmt: skip


def _price(order: Order) -> tuple[int, str]:
    """Return what the buyer of an order has to pay: what its session said, else what was ordered."""
    if order.presented_amount is not None and order.presented_currency is not None:
        return order.presented_amount, order.presented_currency
    return order.amount, order.currency


def _reason(fact: CaseFact, payment: Payment | None, back: Refund | Dispute | None) -> str | None:
    """Return why, in Stripe's words: why a payment or refund failed, what a dispute or warning is about."""
    if isinstance(fact, FraudWarning):
        return fact.kind
    if isinstance(fact, SessionIs):
        return fact.failure_message
    if isinstance(back, Refund):
        return back.failure_reason or back.status
    if back is not None:
        return back.reason
    return payment.failure_message if payment is not None else None


def refund_of(order: Order, intent: str, row: Row) -> Message:
    """Return the instruction to give a second payment back in full, once."""
    params = {"payment_intent": intent, "reason": "duplicate", "order": order.id}
    return Message(f"refund:second:{intent}", order.customer, "stripe", intent, "refund", params, inbox_id=row.id)


# --- write -----------------------------------------------------------------------------------------------------------


async def _write(tx: Tx, desk: Desk, marks: low.Marks) -> None:
    """Write everything that changed, in bulk."""
    fallen = low.fallen(desk.book, marks)
    await cases.save(tx, [(before, desk.cases[id_]) for id_, before in desk.touched_cases.items()])
    await cases.save_balances(tx, desk.balances)
    await books.save_sources(tx, desk.touched_sources.values())
    await books.close_book(tx, desk.book)
    await books.save_holds(tx, desk.touched_holds.values())
    await entitlements.save(tx, desk.touched_sources.values())
    await timers.put(tx, [*desk.timers, *timers.of_lots(desk.book), *fallen])
    await outbox.put(tx, desk.messages)
    await inbox.put(tx, desk.questions)
