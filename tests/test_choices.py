"""What the chat offers of a subscription in each of its states, what a change costs about, and what a button says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paydesk import subscriptions
from paydesk.catalog import Catalog
from paydesk.catalog_file import load
from paydesk.changes import Plan
from paydesk.chat import choices
from paydesk.showing import Planned, Shown
from paydesk.subscriptions import Bill, Invoice, Item, Line, Subscription

CATALOG: Catalog = load(Path(__file__).parent / "catalog_plans.toml")
BEGUN = datetime(2026, 4, 1, tzinfo=UTC)
ENDS = datetime(2026, 5, 1, tzinfo=UTC)
HALF = BEGUN + (ENDS - BEGUN) / 2


def has(
    key: str, quantity: int = 1, *, status: str = "active", invoice: dict[str, Any] | None = None, **more: Any
) -> Shown:
    """Somebody's subscription to a price, paid for April unless its invoice says otherwise."""
    price = CATALOG.prices[key]
    amount = price.amount * quantity
    terms = CATALOG.products[price.product].terms()
    item = Item("si_1", "price_1", key, quantity, BEGUN, ENDS, terms, amount, price.currency)
    own = Subscription("sub_1", "cst_1", "ord_1", "cus_1", status, False, (item,), BEGUN, None, None, None, None, None, None,
                       None, BEGUN)  # fmt: skip
    line = Line("il_1", "si_1", key, quantity, amount, False, BEGUN, ENDS)
    bill = Invoice("in_1", "sub_1", "ord_1", "paid", "subscription_create", amount, price.currency, BEGUN, BEGUN, ENDS, (line,),
                   1, None, None, None, BEGUN, BEGUN)  # fmt: skip
    whole = Bill(replace(own, **more), {"in_1": replace(bill, **(invoice or {}))})
    return Shown(whole, subscriptions.standing(whole))


def keys(shown: Shown, **more: Any) -> list[str]:
    return [one.price.key for one in choices.possible(CATALOG, shown, **more).plans]


def test_the_other_plans_are_those_of_the_same_currency_its_own_product_first() -> None:
    assert keys(has("pro")) == ["pro-year", "basic", "seats"]
    assert keys(has("basic")) == ["pro", "pro-year", "seats"]
    assert keys(has("euro")) == []
    assert keys(has("basic"), others=[replace_id(has("seats"))]) == ["pro", "pro-year"]
    assert keys(has("basic"), gone={"seats", "pro-year"}) == ["pro"]


def replace_id(shown: Shown) -> Shown:
    return Shown(replace(shown.bill, subscription=replace(shown.own, id="sub_2")), shown.stands)


UNPAID = {"status": "open", "paid_at": None}
STATES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "paid": ({}, {"plans", "pause", "end_now"}),
    "free": ({"status": "trialing"}, {"plans", "end_now"}),
    "ending": ({"cancel_at": ENDS}, {"keep", "end_now"}),
    "paused": ({"paused": "void"}, {"resume", "end_now"}),
    "paused by the shop, in its own way": ({"paused": "keep_as_draft"}, {"resume", "end_now"}),
    "changed by a schedule at Stripe": ({"changes_at": ENDS}, {"plans", "pause", "stay", "end_now"}),
    "changed by a schedule, and ending": ({"changes_at": ENDS, "cancel_at": ENDS}, {"keep", "end_now"}),
    "paused and ending": ({"paused": "void", "cancel_at": ENDS}, {"keep", "end_now"}),
    "paused after a trial": ({"status": "paused"}, {"resume", "end_now"}),
    "overdue": ({"status": "past_due", "invoice": UNPAID}, {"end_now"}),
    "written off": ({"status": "unpaid", "invoice": UNPAID}, {"end_now"}),
    "active with an open bill": ({"invoice": UNPAID}, {"end_now"}),
    "never paid": ({"status": "incomplete", "invoice": UNPAID}, set()),
}


@pytest.mark.parametrize("state", STATES)
def test_what_can_be_done_follows_from_the_state(state: str) -> None:
    more, wanted = STATES[state]
    can = choices.possible(CATALOG, has("basic", **more))
    names = ("plans", "count", "pause", "resume", "stay", "keep", "end_now")
    assert {name for name in names if getattr(can, name)} == wanted
    assert can.anything == bool(wanted - {"keep"})


def test_a_waiting_change_can_be_taken_back_and_a_quantity_changed_where_more_give_more() -> None:
    shown = has("seats")
    assert choices.possible(CATALOG, shown).count
    assert not choices.possible(CATALOG, has("basic")).count
    assert choices.possible(CATALOG, has("basic", 2)).count, "whoever has two may go back to one"
    assert choices.possible(CATALOG, replace(shown, planned=Planned("planned:x", "basic", 1, ENDS))).stay
    two = replace(shown.own, items=(*shown.own.items, replace(shown.own.items[0], id="si_2")))
    several = Shown(replace(shown.bill, subscription=two), shown.stands)
    assert choices.possible(CATALOG, several) == choices.Can(pause=True, end_now=True), (
        "what has several parts is the portal's"
    )
    foreign = replace(shown.own, items=(replace(shown.own.items[0], key=None, terms={}),))
    can = choices.possible(CATALOG, Shown(replace(shown.bill, subscription=foreign), shown.stands))
    assert (bool(can.plans), can.count) == (True, False), "what is not in the catalogue can be left, not multiplied"


def test_a_quantity_goes_along_only_where_it_means_something() -> None:
    by_key = {one.price.key: one.quantity for one in choices.possible(CATALOG, has("seats", 5)).plans}
    assert by_key == {"basic": 1, "pro": 1, "pro-year": 1}
    assert [one.quantity for one in choices.possible(CATALOG, has("basic", 5)).plans if one.price.key == "seats"] == [5]


@pytest.mark.parametrize(
    ("of", "to", "count", "now", "cost"),
    [
        ("basic", "pro", 1, HALF, 1500),
        ("basic", "pro", 1, ENDS - timedelta(hours=1), 4),
        ("basic", "pro", 1, ENDS, None),
        ("basic", "pro", 1, BEGUN - timedelta(days=1), 3000),
        ("basic", "pro-year", 1, HALF, 59_500),
        ("seats", "seats", 3, HALF, 500),
        ("pro", "basic", 1, HALF, 0),
    ],
)
def test_about_how_much_a_change_costs_now(of: str, to: str, count: int, now: datetime, cost: int | None) -> None:
    assert choices.charged_now(CATALOG, has(of), Plan(CATALOG.prices[to], count), now) == cost


def test_no_amount_is_named_where_it_would_be_wrong_and_none_is_charged_in_a_trial() -> None:
    pro = Plan(CATALOG.prices["pro"], 1)
    assert choices.charged_now(CATALOG, has("basic", invoice={"total": 500}), pro, HALF) is None, (
        "a coupon took half off"
    )
    assert choices.charged_now(CATALOG, has("basic", status="trialing"), pro, HALF) == 0


def test_a_plan_is_meant_by_the_word_of_its_price_its_key_or_its_products_where_that_has_one() -> None:
    can = choices.possible(CATALOG, has("basic"))
    for plan in can.plans:
        assert choices.plan_of(can, choices.word_of(plan.price)) == plan
        assert choices.plan_of(can, plan.price.key) == plan
    assert choices.plan_of(can, "euro") is None
    assert choices.plan_of(can, "basic") is None
    changed = replace(CATALOG.prices["pro"], amount=4001)
    assert choices.plan_of(can, choices.word_of(changed)) is None, "that was another price"


@given(st.integers(10**9, 4 * 10**9), st.integers(-10_000, 200_000))
def test_a_mark_counts_for_a_day(asked_s: int, later_s: int) -> None:
    asked = datetime.fromtimestamp(asked_s, UTC)
    mark = choices.mark(asked)
    now = asked + timedelta(seconds=later_s)
    assert choices.is_mark(mark, now, BEGUN.replace(year=1970)) == (-60 <= later_s <= 86_400)
    assert not choices.is_mark(mark, now, asked + timedelta(seconds=1)), "that was in the cycle before"
    for word in (f"x{choices.COUNT_MAX}", "0" * 8):
        assert len(f"/plan sub_1MowQVLkdIwHu7ixeRlqHVzs {word} {'0' * 8} {mark}") <= 64


def test_the_word_of_a_change_means_its_price_its_day_and_what_it_was_asked_from() -> None:
    shown, basic = has("pro"), Plan(CATALOG.prices["basic"], 1)
    others = (
        (has("pro-year"), basic), (has("pro", 2), basic), (has("pro", status="trialing"), basic),
        (shown, Plan(replace(basic.price, amount=1001), 1)), (shown, Plan(basic.price, 2)),
    )  # fmt: skip
    words = {choices.word_of_change(CATALOG, *one) for one in ((shown, basic), *others)}
    assert len(words) == 1 + len(others)
    assert choices.word_of_change(CATALOG, has("pro"), basic) in words


def test_whoever_is_asked_again_at_once_gets_another_mark() -> None:
    assert choices.mark(HALF) != choices.mark(HALF + timedelta(milliseconds=1))


def test_a_mark_answers_what_was_asked_in_the_cycle_that_runs() -> None:
    shown, asked = has("basic"), choices.mark(BEGUN - timedelta(seconds=1))
    assert not choices.answers(asked, shown, BEGUN + timedelta(hours=1))
    assert choices.answers(choices.mark(BEGUN), shown, BEGUN + timedelta(hours=1))


@pytest.mark.parametrize("word", ["", "yes", "0x", "-1", "ffffffffffffffff", "１２"])
def test_what_is_no_mark_is_none(word: str) -> None:
    assert not choices.is_mark(word, HALF, BEGUN)
