"""When a subscription's timers are set, and what becomes of them when they fire."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paydesk import customers, news, reminders
from paydesk.desk import Desk
from paydesk.facts import TimerFired
from paydesk.inbox import Row
from paydesk.ledger import Book
from paydesk.subscriptions import Bill, Invoice, Item, Line, Subscription

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
TERMS = {"name": "Club", "grants": [], "grace_days": 5, "reminders": True}
ROW = Row(1, "timer", "t", "t", 0, b"", False, 0, False, T0)


def subscription(days: float = 31, **more: Any) -> Subscription:
    item = Item("si_1", "price_1", "club", 1, T0, T0 + days * DAY, more.pop("terms", TERMS))
    own = Subscription("sub_1", "cst_1", None, "cus_1", "active", False, (item,), T0, None, None, None, None, None,
                       "pm_1", None, T0)  # fmt: skip
    return replace(own, **more)


def invoice(status: str, start: datetime = T0, days: float = 31) -> Invoice:
    line = Line("il_1", "si_1", "club", 1, 1000, proration=False, start=start, end=start + days * DAY)
    return Invoice("in_1", "sub_1", "in_1", status, "subscription_cycle", 1000, "usd", None, start, start + days * DAY,
                   (line,), 1, None, "Declined.", None, start, start)  # fmt: skip


def past_due() -> Bill:
    return Bill(subscription(status="past_due"), {"in_0": replace(invoice("paid"), id="in_0"), "in_1": invoice("open")})


def timers(bill: Bill, now: datetime = T0) -> dict[str, datetime]:
    return {timer.kind: timer.due for timer in reminders.timers_of(bill, now)}


def fire(bill: Bill, kind: str, due: datetime, now: datetime | None = None) -> Desk:
    """The desk after a timer has fired."""
    desk = Desk(now or due, {}, {}, {}, {}, {"cst_1": customers.Thread("web", "jo", None)}, Book(due))
    reminders.fired(desk, TimerFired(due, kind, "cst_1|sub_1"), bill, ROW)
    return desk


@pytest.mark.parametrize(("days", "before"), [(7, None), (28, 3), (31, 3), (92, 3), (365, 7)])
def test_the_longer_the_cycle_the_sooner_its_end_is_told(days: int, before: int | None) -> None:
    due = timers(Bill(subscription(days))).get("renewal_soon")
    assert due == (None if before is None else T0 + (days - before) * DAY)


def test_a_product_without_reminders_is_still_looked_at() -> None:
    quiet = subscription(terms={**TERMS, "reminders": False}, card_ends_at=T0 + 20 * DAY)
    assert timers(Bill(quiet)) == {"subscription_due": T0 + 31 * DAY + 2 * HOUR}


def test_only_what_is_still_to_come_is_set() -> None:
    warned = {"grace_72": T0 + 2 * DAY, "grace_24": T0 + 4 * DAY, "grace_end": T0 + 5 * DAY}
    assert warned.items() <= timers(past_due()).items()
    late = timers(past_due(), T0 + 3 * DAY)
    assert "grace_72" not in late
    assert late["grace_24"] == T0 + 4 * DAY
    assert not {*warned} & {*timers(past_due(), T0 + 5 * DAY)}
    assert timers(Bill(subscription(status="canceled"))) == {}


@pytest.mark.parametrize("kind", ["grace_72", "grace_24", "grace_end"])
def test_a_warning_is_for_who_is_still_in_that_grace(kind: str) -> None:
    due = T0 + 5 * DAY - reminders.GRACE[kind]
    desk = fire(past_due(), kind, due)
    template = "subscription_unpaid" if kind == "grace_end" else kind
    assert [one.template for one in desk.messages if one.channel == "web"] == [template]
    assert [question.kind for question in desk.questions] == ["subscription"], (
        "a payment may be known at Stripe already"
    )
    paid = Bill(subscription(), {"in_1": invoice("paid")})
    assert not fire(paid, kind, due).messages
    assert not fire(past_due(), kind, due + HOUR).messages, "the timer of another grace"
    assert not fire(past_due(), kind, due, T0 + 9 * DAY).messages, "old news"


def strictly(bill: Bill, **more: Any) -> Bill:
    """The same without a day of grace, and unpaid since the failed payment, an hour after the cycle began."""
    items = tuple(replace(item, terms={**TERMS, "grace_days": 0}) for item in bill.subscription.items)
    return replace(bill, subscription=replace(bill.subscription, items=items, unpaid_since=T0 + HOUR, **more))


def look(before: Bill, after: Bill, now: datetime = T0 + HOUR) -> Desk:
    """The desk after a look, an hour after the cycle began, has found what is now."""
    desk = Desk(now, {}, {}, {}, {}, {"cst_1": customers.Thread("web", "jo", None)}, Book(now))
    news.tell(desk, before, after, T0 + HOUR, ROW)
    return desk


def heard(*desks: Desk) -> dict[str, list[tuple[str, bool]]]:
    """What each was told and whether as over, one message for each key, as the outbox keeps them."""
    kept = {one.key: one for one in [one for desk in desks for one in desk.messages][::-1]}
    told: dict[str, list[tuple[str, bool]]] = {"web": [], "admin": []}
    for one in list(kept.values())[::-1]:
        told[one.channel].append((one.template, one.params["over"]))
    return told


@pytest.mark.parametrize("order", ["the look first", "the timer first", "the timer behind, by a clock that was late"])
def test_without_days_of_grace_a_failure_is_one_message_in_whatever_order_it_is_noticed(order: str) -> None:
    due = strictly(past_due())
    tried = invoice("open")
    untried = replace(due, invoices={**due.invoices, "in_1": replace(tried, attempts=0, failure=None)})
    renewed = Bill(replace(due.subscription, status="active", unpaid_since=None), {"in_0": due.invoices["in_0"]})
    late = T0 - HOUR
    desks = {
        "the look first": [look(renewed, due), fire(due, "grace_end", T0, T0 + HOUR)],
        "the timer first": [look(renewed, untried), fire(untried, "grace_end", T0), look(untried, due)],
        "the timer behind, by a clock that was late": [look(renewed, due, late), fire(due, "grace_end", T0)],
    }[order]
    assert heard(*desks) == {"web": [("renewal_failed", True)], "admin": [("alert_renewal_failed", True)]}
    assert desks[-1 if order != "the timer first" else 1].questions, "a payment may be known at Stripe already"
    over = strictly(past_due(), status="canceled", ended_at=T0 + 2 * HOUR)
    assert heard(*desks, look(due, over)) == heard(*desks), "that it gives nothing any more was said"


def test_without_days_of_grace_an_end_of_which_no_failure_was_told_is_told() -> None:
    due = strictly(past_due())
    renewed = Bill(replace(due.subscription, status="active", unpaid_since=None), {"in_0": due.invoices["in_0"]})
    over = replace(due, subscription=replace(due.subscription, status="canceled", ended_at=T0 + HOUR))
    assert heard(look(renewed, over), look(renewed, over)) == {
        "web": [("subscription_unpaid", True)],
        "admin": [("alert_subscription_unpaid", True)],
    }


def test_two_warnings_that_are_late_are_one() -> None:
    now = T0 + 4.5 * DAY
    assert not fire(past_due(), "grace_72", T0 + 2 * DAY, now).messages
    assert fire(past_due(), "grace_24", T0 + 4 * DAY, now).messages


@pytest.mark.parametrize(
    "change",
    [{"cancel_at": T0 + 31 * DAY}, {"paused": "void"}, {"status": "past_due"}, {"terms": {**TERMS, "reminders": False}},
     {"days": 40}, {"status": "canceled"}],
)  # fmt: skip
def test_a_reminder_that_does_not_apply_any_more_says_nothing(change: dict[str, Any]) -> None:
    due = T0 + 28 * DAY
    assert [one.template for one in fire(Bill(subscription()), "renewal_soon", due).messages] == ["renewal_soon"]
    assert not fire(Bill(subscription(**change)), "renewal_soon", due).messages


def test_a_card_is_told_of_once_a_month_and_once_a_week_before_its_end() -> None:
    ends = T0 + 60 * DAY
    bill = Bill(subscription(365, card_ends_at=ends))
    assert timers(bill).items() >= {"card_30": ends - 30 * DAY, "card_7": ends - 7 * DAY}.items()
    keys = [fire(bill, kind, due).messages[0].key for kind, due in timers(bill).items() if kind in reminders.CARD]
    assert len(set(keys)) == 2
    replaced = Bill(subscription(365, card_ends_at=T0 + 900 * DAY))
    assert not fire(replaced, "card_30", ends - 30 * DAY).messages
    assert not {*reminders.CARD} & {*timers(replaced)}, "the next renewal comes first"


def test_nothing_heard_of_a_renewal_is_looked_up_three_times() -> None:
    bill, end = Bill(subscription()), T0 + 31 * DAY
    looks = []
    due: datetime | None = end + 2 * HOUR
    while due is not None:
        desk = fire(bill, "subscription_due", due)
        looks.append(due - end)
        assert [question.kind for question in desk.questions] == ["subscription"]
        due = desk.timers[0].due if desk.timers else None
    assert looks == [2 * HOUR, DAY, 3 * DAY]
    assert not fire(Bill(subscription(62)), "subscription_due", end + 2 * HOUR).questions, "it is renewed"
