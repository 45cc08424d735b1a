"""What happens when desk time reaches something: a pass or lots that end, a hold that nobody settled, little that is left.

What is due for a subscription is in `reminders`.
"""

from __future__ import annotations

from typing import Any

from paydesk import entitlements, reminders, subscriptions
from paydesk.desk import OLD_NEWS, Desk, note_before, reasons_for
from paydesk.facts import TimerFired
from paydesk.inbox import DONE, Outcome, Row
from paydesk.ledger import Cause
from paydesk.outbox import Message
from paydesk.subscriptions import Subscription

SUBSCRIBED = "sub_"
"""The beginning of the names of sources that subscriptions give: of their ends the subscription tells."""


def timer_customer(fact: TimerFired) -> str:
    """Return whose timer it is: subjects start with the customer's id."""
    return fact.subject.partition("|")[0]


def timer_object(fact: TimerFired) -> str:
    """Return what of the customer a timer is about: a feature, a unit of credits, a hold."""
    return fact.subject.partition("|")[2]


def timer_fired(desk: Desk, fact: TimerFired, row: Row) -> Outcome:
    """Say what becomes of a timer that is due, and note its effects on the desk."""
    customer = desk.timed.get(timer_customer(fact))
    if customer is None:
        return Outcome("parked", f"{timer_customer(fact)} has just become somebody else")
    match fact.kind:
        case "pass_end":
            return _pass_ended(desk, fact, customer, row)
        case "pass_start":
            note_before(desk, customer, timer_object(fact))  # whose role or place it is follows from what is noted
            return DONE
        case "lots_end":
            swept = desk.book.lapse(customer, timer_object(fact), inbox_id=row.id)
            return Outcome("done", f"{swept:,} {timer_object(fact)} ended unspent")
        case "low_balance":
            return _low_balance(desk, fact, customer, row)
        case "hold_end":
            return _hold_ended(desk, timer_object(fact), row)
        case kind if kind in reminders.TIMERS:
            return reminders.fired(desk, fact, desk.bills.get(timer_object(fact)), row)
        case "plan_change":
            return _plan_change(desk, fact, customer, row)
        case _:
            return Outcome("ignored", f"unhandled timer {fact.kind}")


def _pass_ended(desk: Desk, fact: TimerFired, customer: str, row: Row) -> Outcome:
    """A pass has ended, unless another reason or a later pass keeps the feature. `access` knew without us.

    The buyer is told of what was bought for some days; how a subscription ends is told with the rest of its news.
    """
    feature = timer_object(fact)
    note_before(desk, customer, feature)
    reasons = reasons_for(desk, customer, feature)
    if entitlements.access(reasons, desk.now).allowed:
        return Outcome("done", "not over: another reason keeps it")
    if entitlements.end_of(reasons) != fact.at:
        return Outcome("done", "it was taken back or moved before")
    if all(held.source.startswith(SUBSCRIBED) for held in reasons):
        return Outcome("done", "the subscription tells of it")
    thread = desk.threads.get(customer)
    bought = any(held.seconds is not None for held in reasons)
    if thread is not None and bought and desk.now - fact.at < OLD_NEWS:
        params = {"feature": feature}
        desk.messages.append(
            Message(f"pass_ended:{customer}|{feature}:{fact.at.isoformat()}", customer, thread.channel, thread.address,
                    "pass_ended", params, thread.conversation, row.id)
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


def overtaken(own: Subscription, row: Row) -> list[Message]:
    """Return what gives a waiting change up, at once, where a look shows that it will not be made."""
    if not subscriptions.overtaken(own):
        return []
    key = f"plan_change:{own.id}:overtaken:{own.asked_at.isoformat()}"
    params = {"subscription": own.id}
    return [Message(key, own.customer, "stripe", own.id, "plan_change", params, inbox_id=row.id)]


def _plan_change(desk: Desk, fact: TimerFired, customer: str, row: Row) -> Outcome:
    """The cycle is about to end in which somebody asked for another plan: what was written down is carried out."""
    id_ = timer_object(fact)
    key = f"plan_change:{id_}:{fact.at.isoformat()}"
    desk.messages.append(Message(key, customer, "stripe", id_, "plan_change", {"subscription": id_}, inbox_id=row.id))
    return DONE
