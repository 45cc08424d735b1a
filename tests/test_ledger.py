"""The ledger: sums to zero, lots are the balance, debts are paid first, and what is posted is never changed."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from books import DEBT, EXPIRED, ME, NOW, SOLD, SPENT, UNIT, WALLET, Desk, book, broken, source
from paydesk.errors import InsufficientCredits
from paydesk.ledger import MONEY_MOVES, SYSTEM, Account, Book, Cause, Source, accounts_of, expiry

TERMS: dict[str, dict[str, Any]] = {
    "s1": {}, "s2": {"expires_days": 3}, "s3": {"expires_days": 30}, "s4": {"expires_days": 30, "free": True},
}  # fmt: skip
NAMES = sorted(TERMS)

# --- whatever happens ------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.just("worth"), st.sampled_from(NAMES), st.integers(0, 50))
    | st.tuples(st.just("spend"), st.integers(1, 60))
    | st.tuples(st.just("hold"), st.integers(1, 40))
    | st.tuples(st.just("end"), st.integers(0, 3), st.integers(0, 40))
    | st.tuples(st.just("later"), st.integers(1, 200))
    | st.tuples(st.just("lapse")),
    max_size=30,
)


def do(desk: Desk, step: tuple[Any, ...]) -> None:
    """Take one step; what cannot be is refused and changes nothing."""
    match step:
        case ("worth", name, amount):
            desk.worth(name, amount, **TERMS[name])
        case ("spend", amount):
            with contextlib.suppress(InsufficientCredits):
                desk.spend(amount)
        case ("hold", amount):
            with contextlib.suppress(InsufficientCredits):
                desk.hold(amount)
        case ("end", which, used):
            open_ = [hold for hold in desk.holds if hold.state == "held"]
            if open_:
                hold = open_[which % len(open_)]
                desk.end(hold, min(used, hold.amount))
        case ("later", hours):
            desk.later(hours=hours)
        case ("lapse",):
            desk.lapse()


@given(STEPS)
def test_t38_whatever_happens_the_books_hold(steps: list[tuple[Any, ...]]) -> None:
    desk = Desk()
    for step in steps:
        do(desk, step)
        assert broken(desk) == []
    worth = sum(one.worth for one in desk.sources.values())
    assert desk.wallet + desk.held - desk.debt == worth - desk.moved(SPENT) - desk.moved(EXPIRED)


@given(STEPS, st.integers(1, 60))
def test_what_is_refused_changes_nothing(steps: list[tuple[Any, ...]], more: int) -> None:
    desk = Desk()
    for step in steps:
        do(desk, step)
    there, entries, lots = desk.spendable, list(desk.book.entries), desk.lots()
    for refused in (desk.spend, desk.hold):
        with pytest.raises(InsufficientCredits):
            refused(there + more)
    assert (desk.spendable, desk.book.entries, desk.lots()) == (there, entries, lots)


@given(STEPS, st.integers(0, 50))
def test_held_credits_are_never_taken_back(steps: list[tuple[Any, ...]], target: int) -> None:
    desk = Desk()
    for step in steps:
        do(desk, step)
    held, reserved = desk.held, {id_: lot.held for id_, lot in desk.book.lots.items()}
    for name in desk.sources:
        desk.worth(name, min(target, desk.sources[name].worth))
    assert (desk.held, {id_: lot.held for id_, lot in desk.book.lots.items()}) == (held, reserved)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=10))
def test_t35_a_target_is_absolute_and_repeating_it_posts_nothing(targets: list[int]) -> None:
    desk = Desk()
    for target in targets:
        desk.worth("s1", target)
        entries = list(desk.book.entries)
        assert not desk.worth("s1", target)
        assert desk.book.entries == entries
    assert desk.sources["s1"].worth == targets[-1] == desk.spendable


@given(st.permutations(["s1", "s2", "s3"]), st.lists(st.integers(0, 20), min_size=3, max_size=3))
def test_sources_posted_in_any_order_end_in_the_same_balances(names: list[str], targets: list[int]) -> None:
    desk = Desk()
    for name in names:
        desk.worth(name, targets[int(name[1]) - 1])
    assert desk.spendable == sum(targets)
    assert desk.lots() == {f"s{n}": target for n, target in enumerate(targets, 1) if target}


# --- taking back -----------------------------------------------------------------------------------------------------


def test_t38_what_is_taken_back_after_it_was_spent_is_owed_and_the_next_grant_pays_it() -> None:
    desk = Desk()
    desk.worth("s1", 10)
    assert desk.spend(8) == 2
    desk.worth("s1", 0)
    assert (desk.wallet, desk.debt, desk.spendable) == (0, 8, 0)
    desk.worth("s2", 10)
    assert (desk.wallet, desk.debt, desk.spendable) == (2, 0, 2)
    assert [entry.reason for entry in desk.book.entries] == [
        "grant", "spend", "take_back", "owed", "debt_paid", "grant",
    ]  # fmt: skip


def test_a_claw_back_takes_the_sources_own_credits_first_then_the_soonest_to_end() -> None:
    desk = Desk()
    for name, days in (("s1", 90), ("s2", 3), ("s3", None)):
        desk.worth(name, 10, **({"expires_days": days} if days else {}))
    desk.later(days=4)  # the second has ended: it cannot be spent, nor pay for the first
    desk.spend(4)
    desk.worth("s1", 0)
    assert desk.lots() == {"s2": 10, "s3": 6}
    assert desk.spendable == 6


def test_a_claw_back_takes_what_ended_unspent_before_anything_that_lives() -> None:
    for swept in (False, True):
        desk = Desk()
        desk.worth("s1", 10, expires_days=3)
        desk.worth("s2", 10)
        desk.spend(4)
        desk.later(days=4)
        if swept:
            assert desk.lapse() == 6
        desk.worth("s1", 4)
        assert desk.spendable == 10, "the six that ended had gone anyway"
        desk.worth("s1", 0)
        assert desk.spendable == 6, "the four that were spent come from elsewhere"


def test_a_claw_back_leaves_what_is_held_and_the_release_pays() -> None:
    desk = Desk()
    desk.worth("s1", 10)
    hold = desk.hold(7)
    desk.worth("s1", 0)
    assert (desk.spendable, desk.held, desk.debt) == (0, 7, 7)
    assert desk.end(hold, used=2) == 0
    assert (desk.spendable, desk.held, desk.debt) == (0, 0, 2)


# --- giving back -----------------------------------------------------------------------------------------------------

PARTS = st.lists(st.integers(0, 40), min_size=1, max_size=5)


@given(PARTS, st.integers(0, 39), st.integers(0, 71))
def test_t37_taken_back_in_parts_and_given_back_in_full_all_is_as_it_was(
    parts: list[int], spent: int, hours: int
) -> None:
    desk = Desk()
    for name, terms in TERMS.items():
        desk.worth(name, 40, **terms)
    if spent:
        desk.spend(spent)
    desk.later(hours=hours)
    before = (desk.wallet, desk.held, desk.debt, desk.spendable, desk.lives())
    for part in sorted(parts, reverse=True):
        desk.worth("s3", part)
        assert broken(desk) == []
    desk.worth("s3", 40)
    assert (desk.wallet, desk.held, desk.debt, desk.spendable, desk.lives()) == before
    assert broken(desk) == []


@given(st.integers(1, 120), st.integers(0, 40), st.integers(0, 40))
def test_t37_what_was_away_for_long_comes_back_with_the_life_it_had(days: int, spent: int, left: int) -> None:
    desk = Desk()
    desk.worth("s3", 40, expires_days=30)
    desk.later(days=10)
    if spent:
        desk.spend(spent)
    lives = desk.lives()
    desk.worth("s3", min(left, 40))
    kept = desk.lives()
    desk.later(days=days)
    desk.worth("s3", 40)
    assert broken(desk) == []
    returned = 40 - spent - sum(share for _, share in kept)
    if days < 20:
        assert desk.spendable == 40 - spent
    else:
        assert desk.lives() == ([(timedelta(days=20), returned)] if returned else [])
    assert lives == ([(timedelta(days=20), 40 - spent)] if spent < 40 else [])


def test_what_had_ended_when_it_was_taken_does_not_come_back_to_life() -> None:
    desk = Desk()
    desk.worth("s1", 10, expires_days=3)
    desk.later(days=4)
    assert desk.lapse() == 10
    desk.worth("s1", 0)
    assert desk.moved(EXPIRED) == 0
    desk.worth("s1", 10)
    assert (desk.spendable, desk.wallet, desk.moved(EXPIRED)) == (0, 0, 10)
    assert broken(desk) == []


def test_what_was_owed_and_paid_for_by_others_comes_back_as_new() -> None:
    desk = Desk()
    desk.worth("s1", 50, expires_days=30)
    desk.spend(50)
    desk.later(days=40)
    desk.worth("s1", 0)
    assert desk.debt == 50
    desk.worth("s2", 50)
    assert (desk.debt, desk.spendable) == (0, 0), "the second purchase paid for the first"
    desk.later(days=20)
    desk.worth("s1", 50)
    assert desk.lives() == [(timedelta(days=30), 50)]
    assert broken(desk) == []


def test_what_comes_after_its_own_end_is_ended_and_is_swept_once() -> None:
    desk = Desk()
    desk.worth("s1", 5, expires_days=3)
    desk.later(days=4)
    assert desk.lapse() == 5
    desk.worth("s1", 10)
    assert (desk.spendable, desk.wallet, desk.moved(EXPIRED)) == (0, 0, 10)
    assert desk.lapse() == 0
    assert broken(desk) == []


def test_claw_backs_are_undone_the_same_whether_they_were_just_made_or_loaded_again() -> None:
    def lots_after(*, loaded: bool) -> dict[str, int]:
        desk = Desk()
        for name, days in (("s1", 9), ("z-first", 1), ("a-last", 5)):
            desk.worth(name, 10, expires_days=days)
        desk.spend(1)
        desk.hold(9)  # the soonest to end is gone
        desk.worth("y", 10)
        desk.worth("s1", 0)
        if loaded:
            desk.book.taken["s1"].sort(key=lambda taken: taken.lot)
        desk.worth("s1", 7)
        return desk.lots()

    assert lots_after(loaded=True) == lots_after(loaded=False)


# --- time ------------------------------------------------------------------------------------------------------------


def test_credits_end_so_many_whole_days_after_they_were_paid() -> None:
    desk = Desk()
    desk.worth("s1", 5, expires_days=30)
    assert desk.book.lots["s1"].expires_at == NOW + timedelta(days=30)
    one = desk.sources["s1"]
    assert desk.book.post(one, 5, NOW - timedelta(hours=1)), "an earlier time of payment was heard of"
    assert desk.book.lots["s1"].expires_at == expiry(one) == NOW + timedelta(days=30, hours=-1)
    assert len(desk.book.entries) == 1


def test_t38_expiry_is_exact_before_any_sweep() -> None:
    desk = Desk()
    desk.worth("s1", 5, expires_days=30)
    desk.later(days=30, microseconds=-1)
    assert desk.spendable == 5
    desk.later(microseconds=1)
    assert (desk.spendable, desk.wallet) == (0, 5)
    with pytest.raises(InsufficientCredits, match="1 credits are asked for, 0 can be spent"):
        desk.spend(1)
    assert desk.lapse() == 5
    assert (desk.wallet, desk.lapse()) == (0, 0)


def test_what_is_held_ends_with_its_hold_and_not_before() -> None:
    desk = Desk()
    desk.worth("s1", 10, expires_days=1)
    kept, gone = desk.hold(4), desk.hold(4)
    desk.later(days=2)
    assert desk.lapse() == 2
    assert desk.end(kept, used=4) == 0
    assert desk.moved(SPENT) == 4
    assert desk.end(gone) == 0
    assert (desk.moved(EXPIRED), desk.wallet, desk.held) == (6, 0, 0)
    assert broken(desk) == []


def test_a_settled_hold_spends_the_soonest_to_end_and_gives_the_rest_back() -> None:
    desk = Desk()
    desk.worth("s1", 10, expires_days=9)
    desk.worth("s2", 10, expires_days=1)
    hold = desk.hold(15)
    assert (desk.spendable, desk.held) == (5, 15)
    assert desk.end(hold, used=12) == 8
    assert desk.lots() == {"s1": 8}


# --- two people become one -------------------------------------------------------------------------------------------


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_merging_two_people_loses_and_doubles_nothing(mine: int, spent: int, theirs: int, held: int) -> None:
    joined = book(ME, "cst_2")
    desk = Desk(joined)
    desk.worth("s1", mine)
    if min(spent, mine):
        desk.spend(min(spent, mine))
    desk.worth("s1", mine // 2)
    other = Source("t1", "cst_2", "ord_2", "credits", UNIT, {})
    joined.post(other, theirs, NOW)
    if min(held, theirs):
        hold = joined.hold(Cause("hold:x", 0, "cst_2", UNIT), "x", min(held, theirs), NOW + timedelta(hours=1))
        joined.post(other, 0, NOW)
        desk.holds.append(hold)
    everything = (desk.spendable + joined.balance("cst_2", UNIT), desk.debt + joined.debt("cst_2", UNIT))
    joined.merge(Cause("merge:cst_2", 0, ME, UNIT), "cst_2")
    assert broken(desk) == []
    assert [joined.accounts["cst_2", UNIT, kind].balance for kind in ("wallet", "held", "debt")] == [0, 0, 0]
    assert desk.spendable - desk.debt == everything[0] - everything[1]


# --- money -----------------------------------------------------------------------------------------------------------


def money_book(kind: str) -> tuple[Book, Source]:
    keys = sorted(accounts_of(ME, "money:usd", kind))
    of = Source(f"{kind}:x", ME, "ord_1", kind, "money:usd", {})
    return Book(NOW, {key: Account(n, None) for n, key in enumerate(keys, 1)}), of


def test_money_is_booked_in_its_currency_and_back() -> None:
    money, payment = money_book("money")
    for target in (999, 499, 999, 0):
        money.post(payment, target, NOW)
    assert [(entry.reason, entry.amount) for entry in money.entries] == [
        ("payment", 999), ("payment_back", 500), ("payment", 500), ("payment_back", 999),
    ]  # fmt: skip
    assert (
        money.entries[0].from_account == money.entries[1].to_account == money.accounts[SYSTEM, "money:usd", "sales"].id
    )
    assert {entry.cause.unit for entry in money.entries} == {"money:usd"}
    assert (money.lots, money.changed_accounts) == ({}, {}), "the system's accounts store no balance"


@pytest.mark.parametrize("kind", sorted(MONEY_MOVES))
def test_each_kind_of_money_moves_between_its_own_two_accounts(kind: str) -> None:
    money, one = money_book(kind)
    assert money.post(one, 59, NOW)
    assert not money.post(one, 59, NOW)
    (entry,) = money.entries
    names = {account.id: key[2] for key, account in money.accounts.items()}
    assert (names[entry.from_account], names[entry.to_account]) == MONEY_MOVES[kind]


def test_nothing_is_worth_less_than_nothing() -> None:
    with pytest.raises(ValueError, match="-1"):
        book().post(source(), -1, NOW)


def test_a_feature_needs_no_entry() -> None:
    one = Source("s1", ME, "ord_1", "feature", "one", {"feature": "vip"})
    empty = Book(NOW)
    assert empty.post(one, 1, NOW)
    assert (empty.entries, empty.lots, accounts_of(ME, "one", "feature")) == ([], {}, set())


def test_a_spend_says_what_is_left_after_it() -> None:
    desk = Desk()
    desk.worth("s1", 10)
    assert desk.spend(3) == 7
    (entry,) = [entry for entry in desk.book.entries if entry.reason == "spend"]
    assert (entry.balance_after, entry.amount) == (7, 3)
    assert desk.moved(SOLD) == -10
    assert desk.book.accounts[WALLET].balance == 7
    assert desk.book.accounts[DEBT].balance == 0


# --- in the database -------------------------------------------------------------------------------------------------

MAKE = """
INSERT INTO account (owner, unit, kind, balance) VALUES ('system', 'credits', 'sold', NULL), ('cst_1', 'credits', 'wallet', 5),
    ('cst_1', 'tokens', 'wallet', 0), ('cst_1', 'credits', 'debt', 0), ('cst_1', 'credits', 'held', 0);
INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, at)
    VALUES ('s1', 1, 'grant', 'credits', 1, 2, 5, now());
INSERT INTO seen (source, external_id) VALUES ('stripe', 'evt_1');
INSERT INTO lot (id, source, account_id, granted, remaining) VALUES ('s1', 's1', 2, 5, 5);
INSERT INTO taken (source, revision, lot_id, amount, at) VALUES ('s1', 2, 's1', 5, now())
"""


@pytest.fixture
async def connection(database: str) -> Any:
    """A connection as our own role, to a database with one entry."""
    opened = await asyncpg.connect(database)
    await opened.execute(MAKE)
    yield opened
    await opened.close()


@pytest.mark.parametrize("table", ["entry", "seen"])
@pytest.mark.parametrize("change", ["UPDATE {} SET source = 's2'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_what_is_written_in_the_ledger_stays(connection: Any, table: str, change: str) -> None:
    with pytest.raises(asyncpg.RestrictViolationError, match=f"{table} is append-only"):
        await connection.execute(change.format(table))
    assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 1


ENTER = "INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, at) VALUES "
FILL = "INSERT INTO lot (id, source, account_id, granted, remaining, held, expired) VALUES "


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE account SET balance = -1 WHERE kind = 'wallet'", "wallet_never_below_zero"),
        ("UPDATE account SET balance = 1 WHERE kind = 'debt'", "debt_never_above_zero"),
        ("UPDATE account SET balance = -1 WHERE kind = 'held'", "held_never_below_zero"),
        ("UPDATE account SET balance = 1 WHERE owner = 'system'", "system_stores_no_balance"),
        (ENTER + "('s1', 1, 'grant', 'credits', 1, 2, 5, now())", "uq_entry"),
        (ENTER + "('s2', 1, 'grant', 'credits', 1, 2, 0, now())", "ck_entry_amount"),
        (ENTER + "('s2', 1, 'grant', 'credits', 1, 1, 5, now())", "two_accounts"),
        (FILL + "('s2', 's2', 2, 5, 6, 0, 0)", "ck_lot_remaining"),
        (FILL + "('s2', 's2', 2, 5, -1, 0, 0)", "ck_lot_remaining"),
        (FILL + "('s2', 's2', 2, 5, 3, 3, 0)", "ck_lot_remaining"),
        (FILL + "('s2', 's2', 2, 5, 3, -1, 0)", "ck_lot_remaining"),
        (FILL + "('s2', 's2', 2, 5, 3, 1, 2)", "ck_lot_remaining"),
        (FILL + "('s1', 's1', 2, 5, 5, 0, 0)", "pk_lot"),
        ("UPDATE taken SET returned = 6", "ck_taken_returned"),
        ("UPDATE taken SET returned = -1", "ck_taken_returned"),
    ],
)  # fmt: skip
async def test_the_database_itself_refuses_a_ledger_that_cannot_be(
    connection: Any, statement: str, constraint: str
) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=constraint):
        await connection.execute(statement)
