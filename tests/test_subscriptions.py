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
    cycle_terms,
    paid_until,
    standing,
    unused,
)

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


def line(
    id_: str = "il_1", *, amount: int = 1000, full: int = 1000, cycle: int = 0, from_day: int = 0, **more: Any
) -> Line:
    start = START + cycle * MONTH
    one = Line(id_, "si_1", "plus", 1, amount, full, proration=False, start=start + from_day * DAY, end=start + MONTH)
    return replace(one, **more)


def invoice(id_: str = "in_1", status: str = "paid", *lines: Line, cycle: int = 0, **more: Any) -> Invoice:
    billed = lines or (line(cycle=cycle),)
    at = START + cycle * MONTH
    one = Invoice(id_, "sub_1", id_, status, "subscription_cycle", sum(one.amount for one in billed), "usd",
                  at if status == "paid" else None, at, at + MONTH, billed, 1, None, None, None, at, at)  # fmt: skip
    return replace(one, **more)


def bill(subscription: Subscription, *invoices: Invoice, gone: tuple[str, ...] = ()) -> Bill:
    return Bill(subscription, {one.id: one for one in invoices}, frozenset(gone))


PAID = invoice()
UNPAID = invoice("in_2", "open", cycle=1)
END = START + MONTH
STANDINGS = {
    "one that is active has no end": (bill(own(), PAID), Standing(START)),
    "a trial has no end that is known": (bill(own("trialing", trial_end=START + 7 * DAY)), Standing(START)),
    "one that will be canceled ends then": (bill(own(cancel_at=END), PAID), Standing(START, END)),
    "one that waits for its first payment gives nothing": (bill(own("incomplete")), Standing(None)),
    "one whose first payment never came gives nothing": (bill(own("incomplete_expired")), Standing(None)),
    "one whose first payment is on its way gives nothing": (bill(own(), invoice(status="open")), Standing(None)),
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
    "one that Stripe calls active because its cycle was written off is not paid for": (
        bill(own(), PAID, replace(UNPAID, status="uncollectible")),
        Standing(START, END + 3 * DAY, END + 3 * DAY)),
    "what was written off long ago counts no more": (
        bill(own("past_due"), PAID, replace(UNPAID, status="uncollectible"), invoice("in_3", cycle=2),
             invoice("in_4", "open", cycle=3)),
        Standing(START, START + 3 * MONTH + 3 * DAY, START + 3 * MONTH + 3 * DAY)),
    "a plan change that is not paid has its own grace": (
        bill(own("past_due"), PAID, invoice("in_up", "open", line("il_up", from_day=10, proration=True),
                                            start=START + 10 * DAY)),
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


def test_what_is_paid_until() -> None:
    assert paid_until(bill(own(), PAID, UNPAID)) == END
    assert paid_until(bill(own())) is None


# --- T28: why was it billed? -----------------------------------------------------------------------------------------

ORDER = Order("in_1", "cst_1", "open", 1000, "usd", False, None, None, None, "cus_1", None, None, None, "in_1", START, None,
              None, None, "automatic", True, "invoice")  # fmt: skip


def gives(one: Line, *, unused_of_it: int = 0, back: int = 0) -> int:
    terms = cycle_terms(one, GRANT)
    return 0 if terms is None else worth(terms, ORDER, Returned(1000, refunded=back), unused_of_it)


LINES = {
    "a whole cycle": (line(), 300),
    "two of it": (line(quantity=2, amount=2000, full=2000), 600),
    "a cycle with a coupon": (line(amount=1000), 300),
    "a trial": (line(amount=0), 20),
    "a plan that costs nothing": (line(amount=0, full=0), 300),
    "the rest of a cycle after a plan change": (line(amount=500, proration=True), 150),
    "the rest of a cycle, rounded up": (line(amount=501, proration=True), 151),
    "what was not used of a plan": (line(amount=-500, proration=True), 0),
    "something that does not repeat": (line(item=None), 0),
}


@pytest.mark.parametrize(("one", "expected"), LINES.values(), ids=list(LINES))
def test_t28_what_a_line_of_an_invoice_gives(one: Line, expected: int) -> None:
    assert gives(one) == expected


def test_money_that_goes_back_takes_its_share_of_a_cycle() -> None:
    assert gives(line(), back=500) == 150
    assert gives(line(), back=1000) == 0
    assert gives(line(amount=500, proration=True), back=500) == 75


def change(id_: str, day: int, *, back: int, fresh: int, full: int) -> Invoice:
    """The invoice of a plan change so many days into the cycle: what was not used, and the rest of the new plan."""
    lines = (line(f"{id_}_back", amount=-back, from_day=day, proration=True),
             line(f"{id_}_fresh", amount=fresh, full=full, from_day=day, proration=True))  # fmt: skip
    return invoice(id_, "paid", *lines, created_at=START + day * DAY)


def test_t28_a_plan_change_gives_the_rest_of_one_plan_back_and_brings_the_rest_of_the_other() -> None:
    up = change("in_up", 15, back=500, fresh=2000, full=4000)
    one = bill(own(), PAID, up)
    assert unused(one, PAID, PAID.lines[0]) == 500
    assert gives(PAID.lines[0], unused_of_it=500) == 150
    assert unused(one, up, up.lines[1]) == 0
    assert gives(up.lines[1]) == 150


def test_a_second_plan_change_means_the_plan_of_the_first() -> None:
    up = change("in_up", 10, back=667, fresh=2667, full=4000)
    down = change("in_down", 20, back=1333, fresh=333, full=1000)
    one = bill(own(), PAID, up, down)
    assert unused(one, PAID, PAID.lines[0]) == 667
    assert unused(one, up, up.lines[1]) == 1333
    assert unused(one, down, down.lines[1]) == 0


def test_two_changes_on_one_later_invoice_mean_the_same() -> None:
    lines = (
        line("a", amount=-667, from_day=10, proration=True), line("b", amount=2667, full=4000, from_day=10, proration=True),
        line("c", amount=-1333, from_day=20, proration=True), line("d", amount=333, from_day=20, proration=True),
    )  # fmt: skip
    later = invoice("in_2", "paid", line(cycle=1), *lines, cycle=1)
    one = bill(own(), PAID, later)
    assert [unused(one, PAID, PAID.lines[0]), unused(one, later, lines[1]), unused(one, later, lines[3])] == [
        667,
        1333,
        0,
    ]


def test_a_change_in_the_first_second_means_the_cycle_that_was_just_billed() -> None:
    up = change("in_up", 0, back=1000, fresh=4000, full=4000)
    one = bill(own(), PAID, up)
    assert (unused(one, PAID, PAID.lines[0]), unused(one, up, up.lines[1])) == (1000, 0)


def test_what_is_not_paid_for_changes_nothing() -> None:
    for status in ("open", "void", "uncollectible"):
        not_paid = replace(change("in_up", 15, back=500, fresh=2000, full=4000), status=status)
        assert unused(bill(own(), PAID, not_paid), PAID, PAID.lines[0]) == 0
