"""What is said, or looked at again, when desk time reaches something of a subscription. Pure.

Every timer asks again when it fires whether it still applies: what was canceled, paid, paused or moved since then says
nothing. Timers also look at Stripe where something should have happened and nobody has told us: a webhook that was
lost heals by itself, and a look that fails takes nothing from anybody.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from paydesk import inbox, notices, subscriptions
from paydesk.clock import iso
from paydesk.desk import OLD_NEWS, Desk, note_before
from paydesk.facts import TimerFired
from paydesk.inbox import DONE, Outcome, Row
from paydesk.subscriptions import UNPAID, Bill, Subscription
from paydesk.timers import Timer

GRACE = {"grace_72": timedelta(hours=72), "grace_24": timedelta(hours=24), "grace_end": timedelta(0)}
"""How long before the end of grace people are warned; at the end they are told that it has ended."""

CARD = {"card_30": timedelta(days=30), "card_7": timedelta(days=7)}
RENEWAL = "renewal_soon"
TRIAL = "trial_soon"
DUE = "subscription_due"
TIMERS = (*GRACE, *CARD, RENEWAL, TRIAL, DUE)

MONTH = timedelta(days=28)
YEAR = timedelta(days=360)
SHORT_TRIAL = timedelta(days=7)
LATE = (timedelta(hours=2), timedelta(days=1), timedelta(days=3))
"""How long after a moment we look, and look again, when Stripe has told nothing of it."""

ASKED_FOR = "cancellation_requested"
"""Stripe's word for an end that somebody has asked for, not one for want of a payment."""

OVER = Outcome("done", "does not apply any more")


# --- set -------------------------------------------------------------------------------------------------------------


def timers_of(bill: Bill, now: datetime) -> list[Timer]:
    """Return the timers of a subscription as it is now, those that are still to come.

    A card's may be due at once: only the renewal that has just been paid shows that the next one needs another card.
    """
    own = bill.subscription
    if not own.live:
        return []
    due = _grace_times(bill) + [(DUE, moment + LATE[0]) for moment in _turns(own)]
    if reminds(own):
        due += _reminder_times(own)
    return [_timer(own, kind, moment) for kind, moment in due + _card_times(own, now) if moment > now or kind in CARD]


def _timer(own: Subscription, kind: str, due: datetime) -> Timer:
    return Timer(kind, f"{own.customer}|{own.id}", due, own.customer)


def _grace_times(bill: Bill) -> list[tuple[str, datetime]]:
    ends = subscriptions.standing(bill).grace_ends
    return [] if ends is None else [(kind, ends - before) for kind, before in GRACE.items()]


def _turns(own: Subscription) -> set[datetime]:
    """Return when Stripe will change it by itself: its cycle or trial ends, or it does."""
    trial = own.trial_end if own.status == "trialing" else None
    return {moment for moment in (own.period_end, trial, own.cancel_at) if moment is not None}


def _reminder_times(own: Subscription) -> list[tuple[str, datetime]]:
    return [(kind, moment) for kind, moment in ((RENEWAL, _renewal_time(own)), (TRIAL, _trial_time(own))) if moment]


def _card_times(own: Subscription, now: datetime) -> list[tuple[str, datetime]]:
    """Return when to tell that a card ends before the next renewal, not before the cycle that it has paid began."""
    ends = own.card_ends_at
    if ends is None or not now < ends < own.period_end or not reminds(own):
        return []
    begun = min(item.start for item in own.items)
    return [(kind, max(ends - before, begun)) for kind, before in CARD.items()]


def reminds(own: Subscription) -> bool:
    """Say whether people are told before things happen: every product of it has to want that."""
    return all(item.terms.get("reminders", True) for item in own.items)


def _renewal_time(own: Subscription) -> datetime | None:
    """Return when to tell of the next renewal: a week before a year's, three days before a month's, else never."""
    length = max(item.end - item.start for item in own.items)
    if own.status == "trialing" or length < MONTH:
        return None
    return own.period_end - timedelta(days=7 if length >= YEAR else 3)


def _trial_time(own: Subscription) -> datetime | None:
    """Return when to tell of a trial's end: three days before, a day before that of a short one."""
    if own.status != "trialing" or own.trial_end is None:
        return None
    short = own.trial_end - own.started_at < SHORT_TRIAL
    return own.trial_end - timedelta(days=1 if short else 3)


# --- fired -----------------------------------------------------------------------------------------------------------


def fired(desk: Desk, fact: TimerFired, bill: Bill | None, row: Row) -> Outcome:
    """Say what becomes of a subscription's timer that is due."""
    if bill is None or not bill.subscription.live:
        return OVER
    if fact.kind == DUE:
        return _due(desk, fact, bill)
    if fact.kind in GRACE:
        return _grace(desk, fact, bill, row)
    template, key = _reminder(desk, fact, bill)
    if template is None:
        return OVER
    if desk.now - fact.at < OLD_NEWS:
        notices.say(desk, bill, key, template, row, plan=_next_plan(bill.subscription))
    return DONE


def _reminder(desk: Desk, fact: TimerFired, bill: Bill) -> tuple[str | None, str]:
    """Return which reminder still applies, and its key."""
    own = bill.subscription
    quiet = not reminds(own) or own.cancel_at is not None or own.paused is not None
    if quiet or own.status not in ("active", "trialing") or own.period_end <= desk.now:
        return None, ""
    if fact.kind == RENEWAL and _renewal_time(own) == fact.at:
        template = "change_soon" if _changes(own) else "renewal_soon"
        return template, f"renewal_soon:{own.id}:{iso(own.period_end)}"
    if fact.kind == TRIAL and _trial_time(own) == fact.at:
        return "trial_ends_soon", f"trial_ends_soon:{own.id}:{iso(own.trial_end)}"
    ends = own.card_ends_at
    if (
        fact.kind in CARD
        and ends is not None
        and desk.now < ends < own.period_end
        and ends - CARD[fact.kind] <= fact.at
    ):
        left = "soon" if ends - desk.now <= CARD["card_7"] else "later"
        return "card_ends", f"card_ends:{own.id}:{iso(ends)}:{left}"
    return None, ""


def _next_plan(own: Subscription) -> str | None:
    """Return the plan that waits for the end of the cycle, as people call it; `None` where none does, or Stripe has it."""
    has = {item.key for item in own.items}
    names = (one.name for one in own.switches if not one.done and one.before in has and one.at == own.period_end)
    return next(names, None)


def _changes(own: Subscription) -> bool:
    """Say whether the next renewal is another plan's: a change waits for it, here or in a schedule at Stripe."""
    return _next_plan(own) is not None or (own.changes_at is not None and own.changes_at <= own.period_end)


def _grace(desk: Desk, fact: TimerFired, bill: Bill, row: Row) -> Outcome:
    """Warn who is still in grace, and look whether they have paid; at its end say that it has ended."""
    own, ends = bill.subscription, subscriptions.standing(bill).grace_ends
    if ends is None or ends - GRACE[fact.kind] != fact.at:
        return OVER
    desk.questions.append(_look(own, fact))
    if fact.kind == "grace_end":
        note_end(desk, bill)
        if desk.now - fact.at < OLD_NEWS:
            tell_ended(desk, bill, row)
    elif desk.now < ends and not (fact.kind == "grace_72" and ends - desk.now <= GRACE["grace_24"]):
        unpaid = notices.bill_of(notices.unpaid_of(bill))
        notices.say(desk, bill, f"{fact.kind}:{own.id}:{iso(ends)}", fact.kind, row, **unpaid)
    return DONE


def note_end(desk: Desk, bill: Bill) -> None:
    """Note what people had of a subscription, so that what follows access sees that it fell."""
    for source in desk.given.get(bill.subscription.id, ()):
        note_before(desk, source.customer, str(source.terms["feature"]))


def tell_ended(desk: Desk, bill: Bill, row: Row) -> None:
    """Say that access has ended, and to the people of the desk when that is because nobody paid; once for each end.

    Without days of grace it ends as the payment fails: the two are one message, whichever is noticed first.
    """
    own, until = bill.subscription, subscriptions.standing(bill).until
    end = f"{own.id}:{iso(until or own.ended_at)}"
    written_off = all(one.end < own.period_end for one in bill.invoices.values() if one.status in UNPAID)
    # What was written off is of earlier cycles, and it went on all the same; what was asked to end needs no payment.
    asked_for = own.ended_by == ASKED_FOR and own.ended_at is not None and own.ended_at < own.period_end
    unpaid = None if written_off or asked_for else notices.unpaid_of(bill)
    if unpaid is None:
        notices.say(desk, bill, f"ended:{end}", "subscription_ended", row)
    elif not own.grace:
        notices.say_unpaid(desk, bill, unpaid, row)
    else:
        owed = notices.bill_of(unpaid)
        notices.say(desk, bill, f"ended:{end}", notices.ENDED_UNPAID, row, **owed)
        notices.alert(desk, bill, f"unpaid:{end}", notices.ENDED_UNPAID, row, **owed)


def _due(desk: Desk, fact: TimerFired, bill: Bill) -> Outcome:
    """Look at Stripe when what should have happened is not known here; then once more after a day, and after three."""
    own = bill.subscription
    missed = [moment for moment in _turns(own) if moment < fact.at]
    if not missed:
        return OVER
    turn = min(missed)
    later = [turn + late for late in LATE if turn + late > fact.at]
    desk.timers += [_timer(own, DUE, due) for due in later[:1]]
    desk.questions.append(_look(own, fact))
    return Outcome("done", "nothing was heard of it: looks at Stripe")


def _look(own: Subscription, fact: TimerFired) -> inbox.Envelope:
    lane = inbox.lane_of(own.stripe_customer)
    because = f"timer:{fact.kind}:{iso(fact.at)}"
    return inbox.look_again("subscription", own.id, lane, because=because, livemode=own.livemode)
