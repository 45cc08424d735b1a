"""What somebody may have, from their reasons and the time: passes add up, and an end is exact."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paydesk.entitlements import EVER, NEVER, Access, Held, access, access_by, end_of, held_by, spans, stretch, turns
from paydesk.ledger import Source

DAY_S = 86_400
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
WARSAW = ZoneInfo("Europe/Warsaw")
MOMENT = timedelta(microseconds=1)


def a_pass(name: str, days: float, since: datetime = START) -> Held:
    return Held(name, "cst_1", "pass", "premium", since, int(days * DAY_S))


def a_feature(name: str, since: datetime = START) -> Held:
    return Held(name, "cst_1", "feature", "premium", since, None)


@pytest.mark.parametrize(
    ("reasons", "at_day", "expected"),
    [
        ([], 0, Access(False, None, ())),
        ([a_pass("a", 30)], 0, Access(True, START + timedelta(days=30), ("a",))),
        ([a_pass("a", 30)], 29.9, Access(True, START + timedelta(days=30), ("a",))),
        ([a_pass("a", 30)], 30, Access(False, START + timedelta(days=30), ())),
        ([a_pass("a", 30)], -1, Access(False, None, ())),
        ([a_pass("a", 30), a_pass("b", 30, START + timedelta(days=10))], 31, Access(True, START + timedelta(days=60), ("b",))),
        ([a_pass("a", 5), a_pass("b", 5, START + timedelta(days=9))], 7, Access(False, None, ())),
        ([a_feature("f")], 9999, Access(True, None, ("f",))),
        ([a_feature("f", START + timedelta(days=1))], 0, Access(False, None, ())),
        ([a_feature("f"), a_pass("a", 1)], 0.5, Access(True, None, ("f", "a"))),
        ([a_feature("f"), a_pass("a", 1)], 2, Access(True, None, ("f",))),
    ],
)  # fmt: skip
def test_access_follows_from_the_reasons_and_the_time(reasons: list[Held], at_day: float, expected: Access) -> None:
    assert access(reasons, START + timedelta(days=at_day)) == expected


def test_t42_an_end_is_exact_to_the_moment() -> None:
    end = START + timedelta(days=30)
    assert access([a_pass("a", 30)], end - MOMENT).allowed
    assert not access([a_pass("a", 30)], end).allowed


@pytest.mark.parametrize(
    "bought",
    [datetime(2026, 3, 28, 20, tzinfo=WARSAW), datetime(2026, 10, 24, 20, tzinfo=WARSAW)],
    ids=["spring", "autumn"],
)
def test_t42_summer_time_makes_a_day_neither_longer_nor_shorter(bought: datetime) -> None:
    end = access([a_pass("a", 2, bought.astimezone(UTC))], bought).until
    assert end is not None
    assert end - bought.astimezone(UTC) == timedelta(hours=48)


PASSES = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 90)), min_size=1, max_size=8)


@settings(deadline=None)
@given(PASSES, st.randoms())
def test_t42_passes_add_up_whatever_the_order_in_which_they_are_found(
    spans: list[tuple[int, int]], chance: object
) -> None:
    reasons = [a_pass(f"p{n}", days, START + timedelta(days=since)) for n, (since, days) in enumerate(spans)]
    mixed = list(reasons)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    hours = [START + timedelta(days=day, hours=1) for day in range(0, 1200, 7)]
    assert [access(mixed, hour) for hour in hours] == [access(reasons, hour) for hour in hours]
    every_day = (access(reasons, START + timedelta(days=day, hours=1)).allowed for day in range(1200))
    assert sum(every_day) == sum(days for _, days in spans)
    assert end_of(reasons) == end_of(mixed)


def test_a_feature_has_no_end_and_nobody_no_reason() -> None:
    assert end_of([a_feature("f"), a_pass("a", 1)]) is None
    assert end_of([]) is None


@pytest.mark.parametrize(
    ("kind", "worth", "since", "expected"),
    [("pass", 7 * DAY_S, START, a_pass("s", 7)), ("feature", 1, START, Held("s", "cst_1", "feature", "premium", START, None)),
     ("pass", 0, START, None), ("feature", 1, None, None), ("credits", 10, START, None), ("money", 999, START, None)],
)  # fmt: skip
def test_a_source_is_a_reason_while_it_is_worth_something(
    kind: str, worth: int, since: datetime | None, expected: Held | None
) -> None:
    source = Source("s", "cst_1", "ord_1", kind, "seconds", {"feature": "premium"}, worth=worth, since=since)
    assert held_by(source) == expected


def test_a_reason_of_a_subscription_lasts_until_its_end_and_is_not_counted_in_seconds() -> None:
    terms = {"feature": "premium", "days": 30}
    source = Source("sub_1:vip:0", "cst_1", None, "pass", "one", terms, 1, 1, START, START + timedelta(days=9),
                    subscription="sub_1")  # fmt: skip
    assert held_by(source) == Held("sub_1:vip:0", "cst_1", "pass", "premium", START, None, START + timedelta(days=9))


@pytest.mark.parametrize(
    "claimed",
    [datetime(2026, 3, 28, 20, tzinfo=WARSAW), datetime(2026, 10, 24, 20, tzinfo=WARSAW)],
    ids=["spring", "autumn"],
)
def test_t42_a_claimed_clock_starts_when_it_is_claimed_and_runs_evenly(claimed: datetime) -> None:
    terms = {"feature": "premium", "days": 2, "starts": "claim"}
    source = Source("s", "cst_1", "ord_1", "pass", "seconds", terms, 2 * DAY_S, 1, START)
    assert held_by(source) is None, "it waits"
    source.claimed_at = claimed.astimezone(UTC)  # as the database tells it
    held = held_by(source)
    assert held is not None
    assert held.since == claimed
    assert end_of([held]) == claimed.astimezone(UTC) + timedelta(hours=48)


def span(name: str, start: int, end: int | None) -> Held:
    """A reason from one day to another."""
    until = START + timedelta(days=end) if end is not None else None
    return Held(name, "cst_1", "role", "premium", START + timedelta(days=start), None, until)


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        ([], []),
        ([a_feature("f")], []),
        ([a_pass("a", 30)], [("pass_end", 30)]),
        ([a_pass("a", 30), a_pass("b", 30)], [("pass_end", 60)]),
        ([span("a", 2, 4)], [("pass_start", 2), ("pass_end", 4)]),
        ([span("a", -9, -2)], [("pass_end", -2)]),
        ([span("a", -1, 3), span("b", 3, None)], []),
        ([span("a", -1, 3), span("b", 5, None)], [("pass_end", 3), ("pass_start", 5)]),
        ([span("a", -1, 3), span("b", 2, 7), span("c", 9, 10)], [("pass_end", 7), ("pass_start", 9), ("pass_end", 10)]),
        ([span("a", -1, 3), a_pass("b", 5)], [("pass_end", 5)]),
    ],
)  # fmt: skip
def test_access_turns_where_its_reasons_do(reasons: list[Held], expected: list[tuple[str, int]]) -> None:
    now = START + timedelta(hours=1)
    assert turns(reasons, now) == [(kind, START + timedelta(days=day)) for kind, day in expected]


SPANS = st.lists(st.tuples(st.integers(-30, 60), st.integers(1, 40)), max_size=6)


@settings(deadline=None)
@given(SPANS)
def test_between_two_turns_access_stays_as_it_is(found: list[tuple[int, int]]) -> None:
    reasons = [span(f"s{n}", start, start + days) for n, (start, days) in enumerate(found)]
    now = START + timedelta(hours=1)
    known = {moment for _, moment in turns(reasons, now)}
    for day in range(1, 120):
        moment = START + timedelta(days=day)
        before, after = access(reasons, moment - MOMENT).allowed, access(reasons, moment).allowed
        if before is not after:
            assert moment in known
        elif moment in known:
            assert moment == max(known), "the last end is told in any case"


@settings(deadline=None)
@given(SPANS, PASSES, st.integers(-40, 130))
def test_within_a_stretch_the_whole_answer_is_the_same_and_at_its_ends_something_turns(
    found: list[tuple[int, int]], bought: list[tuple[int, int]], day: int
) -> None:
    reasons = [span(f"s{n}", start, start + days) for n, (start, days) in enumerate(found)]
    reasons += [a_pass(f"p{n}", days, START + timedelta(days=start)) for n, (start, days) in enumerate(bought)]
    laid, now = spans(reasons), START + timedelta(days=day, hours=1)
    since, until = stretch(laid, now)
    assert since <= now < until
    answer = access_by(laid, now)
    ends = {moment for _, *both in laid for moment in both}
    for moment in (since, until - MOMENT):
        assert access_by(laid, moment) == answer
    assert {since, until} <= ends | {EVER, NEVER}
    assert not [moment for moment in ends if since < moment < until]
