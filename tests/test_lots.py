"""Lots: spent soonest-ending first, free before paid where both end alike, and never after their end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paydesk.lots import DEBT, Lot, Taken, order_of_spending, order_of_taking, pick, spendable

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def lot(name: str = "l1", remaining: int = 10, ends: timedelta | None = None, **more: Any) -> Lot:
    base = {"account": 1, "granted": 100, "held": 0, "expired": 0, "priority": 0, "free": False}
    expires_at = None if ends is None else NOW + ends
    return Lot(name, name, remaining=remaining, expires_at=expires_at, **{**base, **more})


LOTS = st.lists(
    st.builds(
        lot,
        st.uuids().map(str),
        st.integers(0, 30),
        st.none() | st.integers(-3, 3).map(lambda days: timedelta(days=days)),
        priority=st.integers(-1, 1),
        free=st.booleans(),
        held=st.integers(0, 5),
        expired=st.integers(0, 5),
    ),
    max_size=8,
)


@given(LOTS, st.integers(0, 200))
def test_as_many_are_picked_as_there_are_and_none_that_has_ended(lots: list[Lot], amount: int) -> None:
    queue = sorted(lots, key=order_of_spending)
    picked = pick(queue, amount, NOW)
    assert sum(share for _, share in picked) == min(amount, spendable(lots, NOW))
    assert all(0 < share <= one.remaining and one.alive(NOW) for one, share in picked)
    assert len({one.id for one, _ in picked}) == len(picked)


@given(LOTS, st.integers(0, 200))
def test_the_next_lot_is_touched_only_when_the_one_before_is_empty(lots: list[Lot], amount: int) -> None:
    queue = sorted(lots, key=order_of_spending)
    picked = pick(queue, amount, NOW)
    assert all(share == one.remaining for one, share in picked[:-1])
    if picked:
        before = queue[: queue.index(picked[-1][0])]
        assert all(one in [p for p, _ in picked] or not one.remaining or not one.alive(NOW) for one in before)


@given(LOTS)
def test_what_ends_sooner_is_spent_sooner_then_the_lower_priority_then_what_was_free(lots: list[Lot]) -> None:
    for first, second in pairwise(sorted(lots, key=order_of_spending)):
        ends = [one.expires_at or datetime.max.replace(tzinfo=UTC) for one in (first, second)]
        assert ends[0] <= ends[1]
        if ends[0] == ends[1]:
            assert first.priority <= second.priority
            if first.priority == second.priority:
                assert first.free >= second.free


def test_t38_free_credits_go_before_paid_ones_that_end_alike() -> None:
    lots = [
        lot("paid", ends=DAY),
        lot("free", ends=DAY, free=True),
        lot("for-ever-free", free=True),
        lot("soon", ends=DAY / 2),
    ]
    assert [one.id for one in sorted(lots, key=order_of_spending)] == ["soon", "free", "paid", "for-ever-free"]


@given(LOTS)
def test_spendable_is_what_remains_of_lots_that_live_without_what_is_held(lots: list[Lot]) -> None:
    assert spendable(lots, NOW) == sum(one.remaining for one in lots if one.expires_at is None or one.expires_at > NOW)
    assert spendable([], NOW) == 0


@pytest.mark.parametrize(("ends", "alive"), [(None, True), (timedelta(microseconds=1), True), (timedelta(), False)])
def test_a_lot_ends_at_its_very_moment(ends: timedelta | None, alive: bool) -> None:
    assert lot(ends=ends).alive(NOW) is alive
    assert bool(pick([lot(ends=ends)], 1, NOW)) is alive


# --- what was taken --------------------------------------------------------------------------------------------------


def taken(name: str, *, revision: int = 1, ends: timedelta | None = None, amount: int = 5, returned: int = 0) -> Taken:
    return Taken("s1", revision, name, amount, returned, NOW, None if ends is None else NOW + ends)


def test_claw_backs_are_ordered_own_lots_first_others_then_and_what_is_owed_last() -> None:
    rows = [
        taken("s1"), taken("s1/2/0", ends=DAY), taken("a", ends=DAY), taken("b"), taken("s10"), taken(DEBT),
        taken("s1", revision=2),
    ]  # fmt: skip
    expected = ["s1/2/0", "s1", "a", "b", "s10", DEBT, "s1"]
    for mixed in (rows, rows[::-1]):
        assert [row.lot for row in sorted(mixed, key=order_of_taking)] == expected


@pytest.mark.parametrize(
    ("ends", "ended"), [(None, False), (DAY, False), (timedelta(), True), (-DAY, True)], ids=["never", "later", "now", "before"]
)  # fmt: skip
def test_what_had_ended_when_it_was_taken_is_known(ends: timedelta | None, ended: bool) -> None:
    assert taken("s1", ends=ends).ended() is ended


def test_what_was_not_given_back_is_outstanding() -> None:
    assert taken("s1", amount=5, returned=2).outstanding == 3
