"""What a subscription gives and what its cycles are worth: pure, from what is known now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from paydesk.case import Order, Returned, worth
from paydesk.subscriptions import (
    Bill,
    Invoice,
    Item,
    Line,
    Standing,
    Subscription,
    Switch,
    cycle_terms,
    overtaken,
    paid_until,
    ran_s,
    runs,
    standing,
    still_from,
)  # fmt: skip

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MONTH = 30 * DAY
GRANT = {"kind": "credits", "unit": "credits", "amount": 300, "expires_days": None, "priority": 0, "per": "cycle",
         "trial_amount": 20, "on_dispute": "hold"}  # fmt: skip


def own(status: str = "active", **more: Any) -> Subscription:
    item = Item("si_1", "price_1", "plus", 1, START, START + MONTH, {"grants": [GRANT], "grace_days": 3})
    one = Subscription("sub_1", "cst_1", "ord_1", "cus_1", status, False, (item,), START, None, None, None, None, None,
                       "pm_1", None, START)  # fmt: skip
    return replace(one, **more)


def line(id_: str = "il_1", *, amount: int = 1000, cycle: int = 0, from_day: int = 0, **more: Any) -> Line:
    start = START + cycle * MONTH
    one = Line(id_, "si_1", "plus", 1, amount, proration=False, start=start + from_day * DAY, end=start + MONTH)
    return replace(one, **more)


def invoice(id_: str = "in_1", status: str = "paid", *lines: Line, cycle: int = 0, **more: Any) -> Invoice:
    billed = lines or (line(cycle=cycle),)
    at = START + cycle * MONTH
    one = Invoice(id_, "sub_1", id_, status, "subscription_cycle", sum(one.amount for one in billed), "usd",
                  at if status == "paid" else None, at, at + MONTH, billed, 1, None, None, None, at, at)  # fmt: skip
    return replace(one, **more)


def bill(subscription: Subscription, *invoices: Invoice, gone: tuple[str, ...] = ()) -> Bill:
    return Bill(subscription, {one.id: one for one in invoices}, frozenset(gone), frozenset(gone))


PAID = invoice()
UNPAID = invoice("in_2", "open", cycle=1)
END = START + MONTH
STANDINGS = {
    "one that is active has no end": (bill(own(), PAID), Standing(START)),
    "a trial has no end that is known": (bill(own("trialing", trial_end=START + 7 * DAY)), Standing(START)),
    "one that will be canceled ends then": (bill(own(cancel_at=END), PAID), Standing(START, END)),
    "one that waits for its first payment gives nothing": (bill(own("incomplete")), Standing(None)),
    "one whose first payment never came gives nothing": (bill(own("incomplete_expired")), Standing(None)),
    "one whose first payment is on its way gives nothing": (
        bill(own(), invoice(status="open", billing_reason="subscription_create")), Standing(None)),
    "one that was first heard of when a renewal failed has its grace": (
        bill(own("past_due"), UNPAID), Standing(START, END + 3 * DAY, END + 3 * DAY)),
    "an unpaid cycle gives for the days of grace": (
        bill(own("past_due"), PAID, UNPAID), Standing(START, END + 3 * DAY, END + 3 * DAY)),
    "grace begins with the first unpaid cycle": (
        bill(own("past_due"), PAID, UNPAID, invoice("in_3", "open", cycle=2)),
        Standing(START, END + 3 * DAY, END + 3 * DAY)),
    "one that is written off has the same grace": (
        bill(own("unpaid"), PAID, replace(UNPAID, status="uncollectible")),
        Standing(START, END + 3 * DAY, END + 3 * DAY)),
    "an unpaid cycle that is not known yet is the one it is in": (
        bill(own("past_due"), PAID), Standing(START, START + 3 * DAY, START + 3 * DAY)),
    "a slow method that fails in the middle of a cycle has its grace from then": (
        bill(own("past_due", unpaid_since=END + 5 * DAY), PAID, UNPAID),
        Standing(START, END + 8 * DAY, END + 8 * DAY)),
    "a card that fails an hour after the cycle began has it from the beginning": (
        bill(own("past_due", unpaid_since=END + timedelta(hours=1)), PAID, UNPAID),
        Standing(START, END + 3 * DAY, END + 3 * DAY)),
    "an invoice that is sent has it from when it is due": (
        bill(own("past_due"), PAID, replace(UNPAID, due_at=END + 14 * DAY)),
        Standing(START, END + 17 * DAY, END + 17 * DAY)),
    "a month that is given for nothing is not written off": (
        bill(own(paused="mark_uncollectible"), PAID, replace(UNPAID, status="uncollectible")), Standing(START)),
    "what closes a subscription gives nothing": (
        bill(own("canceled", ended_at=START + 5 * DAY), PAID,
             invoice("in_close", "paid", line("il_close", amount=-800, from_day=5, proration=True),
                     paid_at=START + 5 * DAY + timedelta(seconds=1), created_at=START + 5 * DAY)),
        Standing(START, START + 5 * DAY)),
    "a cycle refunded, and the change to a dearer plan in it kept": (
        bill(own(), PAID, invoice("in_up", "paid", line("il_up", amount=1500, from_day=10, proration=True),
                                  created_at=START + 10 * DAY), gone=("in_1",)), Standing(START)),
    "both of them refunded": (
        bill(own(), PAID, invoice("in_up", "paid", line("il_up", amount=1500, from_day=10, proration=True),
                                  created_at=START + 10 * DAY), gone=("in_1", "in_up")), Standing(None)),
    "one that Stripe calls active because its cycle was written off is not paid for": (
        bill(own(), PAID, replace(UNPAID, status="uncollectible")),
        Standing(START, END + 3 * DAY, END + 3 * DAY)),
    "one whose cycle was voided gives what is paid": (
        bill(own(), PAID, replace(UNPAID, status="void")), Standing(START, END)),
    "a voided cycle is over when the next one is paid": (
        bill(own(), PAID, replace(UNPAID, status="void"), invoice("in_3", cycle=2)), Standing(START)),
    "a voided change in the middle of a cycle takes nothing of it": (
        bill(own(), PAID, invoice("in_up", "void", line("il_up", from_day=10, proration=True),
                                  created_at=START + 10 * DAY)), Standing(START)),
    "a cycle whose bill is kept as a draft has its days of grace": (
        bill(own(kept_since=END), PAID), Standing(START, END + 3 * DAY)),
    "a draft of a cycle that was paid otherwise takes nothing": (
        bill(own(kept_since=START), PAID), Standing(START)),
    "one whose drafts are kept on purpose goes on": (
        bill(own(paused="keep_as_draft", kept_since=END), PAID), Standing(START)),
    "what was written off long ago counts no more": (
        bill(own("past_due"), PAID, replace(UNPAID, status="uncollectible"), invoice("in_3", cycle=2),
             invoice("in_4", "open", cycle=3)),
        Standing(START, START + 3 * MONTH + 3 * DAY, START + 3 * MONTH + 3 * DAY)),
    "a plan change that is not paid has its own grace": (
        bill(own("past_due"), PAID, invoice("in_up", "open", line("il_up", from_day=10, proration=True),
                                            start=START + 10 * DAY, created_at=START + 10 * DAY)),
        Standing(START, START + 13 * DAY, START + 13 * DAY)),
    "one that ends before its grace does ends then": (
        bill(own("past_due", cancel_at=END + DAY), PAID, UNPAID), Standing(START, END + DAY, END + 3 * DAY)),
    "a paused one gives what is paid": (bill(own("paused"), PAID), Standing(START, END)),
    "one whose money is not collected gives what is paid": (bill(own(paused="void"), PAID), Standing(START, END)),
    "one whose invoices are kept goes on": (bill(own(paused="keep_as_draft"), PAID), Standing(START)),
    "a canceled one has ended": (
        bill(own("canceled", ended_at=START + 5 * DAY), PAID), Standing(START, START + 5 * DAY)),
    "one that was canceled for an unpaid cycle ended with its grace": (
        bill(own("canceled", ended_at=END + 14 * DAY), PAID, UNPAID), Standing(START, END + 3 * DAY)),
    "a cycle that is paid after the end is given": (
        bill(own("canceled", ended_at=END + DAY), PAID, invoice("in_2", cycle=1, paid_at=END + 2 * DAY)),
        Standing(START, END + MONTH)),
    "one whose money all went back gives nothing": (bill(own(), PAID, gone=("in_1",)), Standing(None)),
    "money of an older cycle that went back takes nothing": (
        bill(own(), PAID, invoice("in_2", cycle=1), gone=("in_1",)), Standing(START)),
    "one that is adopted without its invoices is taken at its word": (bill(own()), Standing(START)),
}  # fmt: skip


@pytest.mark.parametrize(("one", "expected"), STANDINGS.values(), ids=list(STANDINGS))
def test_for_how_long_a_subscription_gives(one: Bill, expected: Standing) -> None:
    assert standing(one) == expected


def test_what_waits_for_the_end_of_a_dispute_is_given_until_then() -> None:
    disputed = Bill(own(), {"in_1": PAID}, frozenset(), frozenset({"in_1"}))
    assert standing(disputed) == Standing(None)
    assert standing(disputed, waits=True) == Standing(START)


STILL = {
    "asked from what runs": (own(), "plus", 1, END, True),
    "what was not written down is not compared": (own(), None, None, END, True),
    "from another plan": (own(), "pro", 1, END, False),
    "from another quantity": (own(), "plus", 2, END, False),
    "for the end of another cycle, which a new beginning has moved": (own(), "plus", 1, END - 3 * DAY, False),
    "for the end of a cycle that is over: it is late": (own(), "plus", 1, START, True),
}


@pytest.mark.parametrize(("one", "key", "count", "at", "expected"), STILL.values(), ids=list(STILL))
def test_whether_a_waiting_change_is_still_asked_from_what_runs(
    one: Subscription, key: str | None, count: int | None, at: datetime, *, expected: bool
) -> None:
    assert still_from(one, key, count, at) == expected
    waits = replace(one, switches=(Switch(key or "plus", "club", at, done=False, count=count),))
    assert overtaken(waits) != expected
    assert not overtaken(replace(waits, switches=(replace(waits.switches[0], done=True),)))


def test_what_is_paid_until() -> None:
    assert paid_until(bill(own(), PAID, UNPAID)) == END
    assert paid_until(bill(own())) is None


def test_a_year_that_became_a_month_is_not_paid_for_a_year() -> None:
    year = invoice("in_1", "paid", line("il_year", amount=9900, end=START + 365 * DAY), end=START + 365 * DAY)
    lines = (
        line("il_back", amount=-9000, from_day=30, end=START + 365 * DAY, proration=True),
        line("il_month", cycle=1),
    )
    month = invoice("in_2", "paid", *lines, cycle=1)
    assert paid_until(bill(own(), year, month)) == START + 2 * MONTH


# --- T28: why was it billed? -----------------------------------------------------------------------------------------

ORDER = Order("in_1", "cst_1", "open", 1000, "usd", False, None, None, None, "cus_1", None, None, None, "in_1", START, None,
              None, None, "automatic", True, "invoice")  # fmt: skip


def gives(one: Line, *others: Invoice, back: int = 0, first: bool = False, **of_own: Any) -> int:
    """What a line brings, when these other invoices are known too."""
    terms = cycle_terms(one, GRANT, own(**of_own), first=first)
    known = bill(own(**of_own), invoice("in_1", "paid", one), *others)
    return 0 if terms is None else worth(terms, ORDER, Returned(1000, refunded=back), ran_s(one, runs(known)))


TRIAL = {"trial_end": END}
LINES = {
    "a whole cycle": (line(), {}, 300),
    "two of it": (line(quantity=2, amount=2000), {}, 600),
    "none of it": (line(quantity=0, amount=0), {}, 0),
    "a trial": (line(amount=0), TRIAL | {"first": True}, 20),
    "a trial that was made longer": (line(amount=0), TRIAL, 0),
    "a cycle after the trial": (line(cycle=1), TRIAL, 300),
    "a plan that costs nothing": (line(amount=0), {}, 300),
    "the rest of a cycle of a plan that costs nothing": (line(amount=0, from_day=15, proration=True), {}, 0),
    "the rest of a cycle after a plan change": (line(amount=500, from_day=15, proration=True), {}, 150),
    "the same with a coupon": (line(amount=250, from_day=15, proration=True), {}, 150),
    "the last day of one": (line(amount=34, from_day=29, proration=True), {}, 10),
    "what was not used of a plan": (line(amount=-500, from_day=15, proration=True), {}, 0),
    "something that does not repeat": (line(item=None), {}, 0),
}


@pytest.mark.parametrize(("one", "told", "expected"), LINES.values(), ids=list(LINES))
def test_t28_what_a_line_of_an_invoice_gives(one: Line, told: dict[str, Any], expected: int) -> None:
    assert gives(one, **told) == expected


def test_money_that_goes_back_takes_its_share_of_a_cycle() -> None:
    assert gives(line(), back=500) == 150
    assert gives(line(), back=1000) == 0
    assert gives(line(amount=500, from_day=15, proration=True), back=500) == 75


def change(id_: str, day: int, status: str = "paid") -> Invoice:
    """The invoice of a plan change so many days into the cycle: what was not used, and the rest of the new plan."""
    lines = (line(f"{id_}_back", amount=-500, from_day=day, proration=True),
             line(f"{id_}_fresh", amount=2000, from_day=day, proration=True))  # fmt: skip
    return invoice(id_, status, *lines, created_at=START + day * DAY)


def test_t28_a_plan_change_gives_the_rest_of_one_plan_back_and_brings_the_rest_of_the_other() -> None:
    up = change("in_up", 15)
    assert gives(line(), up) == 150
    assert gives(up.lines[1]) == 150


def test_a_second_plan_change_means_the_plan_of_the_first() -> None:
    known = bill(own(), PAID, change("in_up", 10), change("in_down", 20))
    assert runs(known) == {"il_1": START + 10 * DAY, "in_up_fresh": START + 20 * DAY}


def test_two_changes_on_one_later_invoice_mean_the_same() -> None:
    lines = (
        line("a", amount=-667, from_day=10, proration=True), line("b", amount=2667, from_day=10, proration=True),
        line("c", amount=-1333, from_day=20, proration=True), line("d", amount=333, from_day=20, proration=True),
    )  # fmt: skip
    later = invoice("in_2", "paid", line("e", cycle=1), *lines, cycle=1)
    assert runs(bill(own(), PAID, later)) == {"il_1": START + 10 * DAY, "b": START + 20 * DAY}


def test_a_change_in_the_first_second_means_the_cycle_that_was_just_billed() -> None:
    assert runs(bill(own(), PAID, change("in_up", 0))) == {"il_1": START}
    assert gives(line(), change("in_up", 0)) == 0


@pytest.mark.parametrize("names", [("in_a", "in_b"), ("in_b", "in_a")])
def test_two_changes_in_one_second_are_told_apart_by_quantity_and_plan(names: tuple[str, str]) -> None:
    day = 5 * DAY

    def changed(id_: str, before: int, after: int) -> Invoice:
        lines = (line(f"{id_}_back", amount=-before * 800, quantity=before, from_day=5, proration=True),
                 line(f"{id_}_fresh", amount=after * 800, quantity=after, from_day=5, proration=True))  # fmt: skip
        return invoice(id_, "paid", *lines, created_at=START + day)

    up, down = changed(names[0], 1, 2), changed(names[1], 2, 1)
    cut = runs(bill(own(), PAID, up, down))
    assert set(cut.values()) == {START + day}
    assert set(cut) in ({"il_1", f"{names[0]}_fresh"}, {f"{names[1]}_fresh", f"{names[0]}_fresh"}), (
        "one of each quantity"
    )


@pytest.mark.parametrize("status", ["open", "void", "uncollectible"])
def test_what_is_not_paid_for_changes_nothing(status: str) -> None:
    assert runs(bill(own(), PAID, change("in_up", 15, status))) == {}


def test_thousands_of_lines_are_gone_through_once() -> None:
    """Once for each line and not for each pair of them: this would take minutes."""
    many = [line(f"il_{number}", item=f"si_{number}") for number in range(5_000)]
    back = [replace(one, id=f"b_{one.id}", amount=-500, start=START + DAY, proration=True) for one in many]
    known = bill(own(), invoice("in_1", "paid", *many), invoice("in_2", "paid", *back, created_at=START + DAY))
    assert len(runs(known)) == 5_000
