"""The ledger: sums to zero, lots are the balance, debts are paid first, and what is posted is never changed."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paydesk.ledger import Account, Book, Source, accounts_of, expiry

NOW = datetime(2026, 5, 1, tzinfo=UTC)
WALLET, DEBT, SOLD = ("cst_1", "credits", "wallet"), ("cst_1", "credits", "debt"), ("system", "credits", "sold")


def credits_source(name: str = "s1", **terms: Any) -> Source:
    return Source(name, "cst_1", "ord_1", "credits", "credits", terms)


def book_for(*sources: Source) -> Book:
    keys = sorted(accounts_of(sources))
    return Book({key: Account(n, None if key[0] == "system" else 0) for n, key in enumerate(keys, 1)}, {})


def spend(book: Book, amount: int) -> int:
    """Take what is there, up to `amount`, as spending does: from lots and wallet."""
    account = book.accounts[WALLET]
    spent = 0
    for lot in book.lots.values():
        taken = min(amount - spent, lot.remaining)
        lot.remaining -= taken
        spent += taken
    account.balance = (account.balance or 0) - spent
    return spent


STEPS = st.lists(
    st.tuples(st.sampled_from(["s1", "s2", "s3"]), st.integers(0, 50))
    | st.tuples(st.just("spend"), st.integers(1, 60)),
    max_size=25,
)


@given(STEPS)
def test_t38_wallet_and_debt_always_add_up_to_what_is_worth_less_what_was_spent(steps: list[tuple[str, int]]) -> None:
    sources = {name: credits_source(name, expires_days=days) for name, days in (("s1", None), ("s2", 3), ("s3", 30))}
    book, spent = book_for(*sources.values()), 0
    for name, amount in steps:
        if name == "spend":
            spent += spend(book, amount)
        else:
            book.post(sources[name], amount, NOW)
        wallet, debt = book.accounts[WALLET].balance, book.accounts[DEBT].balance
        assert wallet is not None
        assert debt is not None
        assert wallet == sum(lot.remaining for lot in book.lots.values())
        assert all(0 <= lot.remaining <= lot.granted for lot in book.lots.values())
        assert wallet >= 0 >= debt
        assert wallet == 0 or debt == 0, "a debt is paid before anything can be spent"
        assert wallet + debt == sum(source.worth for source in sources.values()) - spent
    moved: Counter[int] = Counter()
    for entry in book.entries:
        assert entry.amount > 0
        moved[entry.from_account] -= entry.amount
        moved[entry.to_account] += entry.amount
    assert sum(moved.values()) == 0
    worth = sum(source.worth for source in sources.values())
    assert moved[book.accounts[WALLET].id] + moved[book.accounts[DEBT].id] == worth == -moved[book.accounts[SOLD].id]
    keys = [(entry.source, entry.revision, entry.reason) for entry in book.entries]
    assert len(keys) == len(set(keys)), "an entry has a key of its own"


@given(st.lists(st.integers(0, 100), min_size=1, max_size=10))
def test_t35_a_target_is_absolute_and_repeating_it_posts_nothing(targets: list[int]) -> None:
    source = credits_source()
    book = book_for(source)
    for target in targets:
        book.post(source, target, NOW)
        entries = list(book.entries)
        assert not book.post(source, target, NOW)
        assert book.entries == entries
    assert source.worth == targets[-1] == book.balance("cst_1", "credits", NOW)


@given(st.permutations(["s1", "s2", "s3"]), st.lists(st.integers(0, 20), min_size=3, max_size=3))
def test_sources_posted_in_any_order_end_in_the_same_balances(names: list[str], targets: list[int]) -> None:
    sources = {name: credits_source(name) for name in ("s1", "s2", "s3")}
    book = book_for(*sources.values())
    for name in names:
        book.post(sources[name], targets[int(name[1]) - 1], NOW)
    assert book.balance("cst_1", "credits", NOW) == sum(targets)
    assert {lot.source: lot.remaining for lot in book.lots.values() if lot.remaining} == {
        name: targets[n] for n, name in enumerate(sources) if targets[n]
    }


def test_t38_what_is_taken_back_after_it_was_spent_is_owed_and_the_next_grant_pays_it() -> None:
    first, second = credits_source("s1"), credits_source("s2")
    book = book_for(first, second)
    book.post(first, 10, NOW)
    assert spend(book, 8) == 8
    book.post(first, 0, NOW)
    assert (book.accounts[WALLET].balance, book.accounts[DEBT].balance) == (0, -8)
    book.post(second, 10, NOW)
    assert (book.accounts[WALLET].balance, book.accounts[DEBT].balance) == (2, 0)
    assert [entry.reason for entry in book.entries] == ["grant", "take_back", "owed", "debt_paid", "grant"]


def test_a_claw_back_takes_the_sources_own_lot_first_then_the_soonest_to_end() -> None:
    sources = {name: credits_source(name, expires_days=days) for name, days in (("s1", 90), ("s2", 3), ("s3", None))}
    book = book_for(*sources.values())
    for source in sources.values():
        book.post(source, 10, NOW)
    book.lots["s1"].remaining -= 4  # somebody spent them
    wallet = book.accounts[WALLET]
    wallet.balance = 26
    book.post(sources["s1"], 0, NOW)
    assert {name: lot.remaining for name, lot in book.lots.items()} == {"s1": 0, "s2": 6, "s3": 10}
    assert wallet.balance == 16


def test_credits_end_so_many_whole_days_after_they_were_paid() -> None:
    source = credits_source(expires_days=30)
    book = book_for(source)
    book.post(source, 5, NOW)
    assert book.lots["s1"].expires_at == NOW + timedelta(days=30)
    assert book.post(source, 5, NOW - timedelta(hours=1)), "an earlier time of payment was heard of"
    assert book.lots["s1"].expires_at == expiry(source) == NOW + timedelta(days=30, hours=-1)
    assert len(book.entries) == 1


def test_money_is_booked_in_its_currency_and_back() -> None:
    source = Source("payment:pi_1", "cst_1", "ord_1", "money", "money:usd", {})
    book = book_for(source)
    book.post(source, 999, NOW)
    book.post(source, 0, None)
    assert [(e.reason, e.amount, e.unit) for e in book.entries] == [
        ("payment", 999, "money:usd"),
        ("payment_back", 999, "money:usd"),
    ]
    assert book.entries[0].from_account == book.entries[1].to_account


def test_nothing_is_worth_less_than_nothing() -> None:
    source = credits_source()
    with pytest.raises(ValueError, match="-1"):
        book_for(source).post(source, -1, NOW)


def test_a_feature_needs_no_entry() -> None:
    source = Source("s1", "cst_1", "ord_1", "feature", "one", {"feature": "vip"})
    book = book_for(source)
    assert book.post(source, 1, NOW)
    assert (book.entries, book.lots, book.accounts) == ([], {}, {})


# --- in the database -------------------------------------------------------------------------------------------------

MAKE = """
INSERT INTO account (owner, unit, kind, balance) VALUES ('system', 'credits', 'sold', NULL), ('cst_1', 'credits', 'wallet', 5),
    ('cst_1', 'tokens', 'wallet', 0), ('cst_1', 'credits', 'debt', 0);
INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, at)
    VALUES ('s1', 1, 'grant', 'credits', 1, 2, 5, now());
INSERT INTO seen (source, external_id) VALUES ('stripe', 'evt_1')
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


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE account SET balance = -1 WHERE kind = 'wallet'", "wallet_never_below_zero"),
        ("UPDATE account SET balance = 1 WHERE kind = 'debt'", "debt_never_above_zero"),
        ("UPDATE account SET balance = 1 WHERE owner = 'system'", "system_stores_no_balance"),
        (ENTER + "('s1', 1, 'grant', 'credits', 1, 2, 5, now())", "uq_entry"),
        (ENTER + "('s2', 1, 'grant', 'credits', 1, 2, 0, now())", "ck_entry_amount"),
        (ENTER + "('s2', 1, 'grant', 'credits', 1, 1, 5, now())", "two_accounts"),
        (ENTER + "('s2', 1, 'grant', 'credits', 1, 3, 5, now())", "fk_entry_to"),
        ("INSERT INTO lot (source, account_id, granted, remaining) VALUES ('s1', 2, 5, 6)", "ck_lot_remaining"),
        ("INSERT INTO lot (source, account_id, granted, remaining) VALUES ('s1', 2, 5, -1)", "ck_lot_remaining"),
    ],
)  # fmt: skip
async def test_the_database_itself_refuses_a_ledger_that_cannot_be(
    connection: Any, statement: str, constraint: str
) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=constraint):
        await connection.execute(statement)
