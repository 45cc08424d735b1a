"""What the writer remembers of wallets is a guess: whatever changes behind its back, spending stays exact."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paydesk import books, customers, edge, ids, proof
from paydesk.clock import Clock
from paydesk.errors import Conflict, InsufficientCredits
from paydesk.lots import FOREVER, Lot, order_of_spending, pick, spendable
from paydesk.purses import Purse, _Plan
from paydesk.store import Store
from paydesk.wallet import Done, EndHold, Give, Reserve, Spend, Wallets

CREDITS = "credits"
COUNTED = ("statement:before", "begin:before")


@asynccontextmanager
async def opened(database: str, *, offset: timedelta = timedelta()) -> AsyncIterator[tuple[Store, Wallets]]:
    """A process of its own, as far as wallets go: its own connections, its own memory, its own clock."""
    store = await Store.open(database, clock=Clock())
    store.clock.offset = offset
    wallets = Wallets(store)
    wallets.start()
    try:
        yield store, wallets
    finally:
        await wallets.stop()
        await store.close()


async def person(store: Store) -> str:
    id_ = ids.new("cst")
    await store.execute("INSERT INTO customer (id) VALUES ($1)", id_)
    return id_


async def give(wallets: Wallets, who: str, amount: int, *, until: timedelta | None = None) -> Done:
    expires_at = None if until is None else wallets._clock.now() + until
    return await wallets.run(Give(who, CREDITS, amount, ids.new("op"), expires_at=expires_at))


async def spend(wallets: Wallets, who: str, amount: int, key: str | None = None) -> Done:
    return await wallets.run(Spend(who, CREDITS, amount, key or ids.new("op")))


async def proved(store: Store) -> bool:
    found = await proof.check(store)
    assert found.ok, found.text()
    return found.ok


async def take_back(store: Store, who: str, key: str) -> None:
    """Take a gift back, as a refund does with what was bought."""
    name = f"op:{who}:{key}"
    async with store.transaction() as tx:
        await customers.lock(tx, [who])
        source = (await books.load_sources(tx, (), [name]))[name]
        now = await tx.fetchval("SELECT desk_now()")
        book = await books.open_book(tx, now, [source])
        book.post(source, 0, now)
        await books.save_sources(tx, [source])
        await books.close_book(tx, book)


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect what passes the edge on its way to the database."""
    passed: list[str] = []
    edge.observe(lambda point: passed.append(point) if point in COUNTED else None)
    try:
        yield passed
    finally:
        edge.observe(None)


async def test_what_others_give_and_spend_meanwhile_counts(database: str) -> None:
    async with opened(database) as (store, here), opened(database) as (_, there):
        who = await person(store)
        await give(here, who, 100)
        assert (await spend(here, who, 1)).balance == 99
        assert (await spend(there, who, 9)).balance == 90
        assert (await spend(here, who, 10)).balance == 80  # what was remembered said 89
        await give(there, who, 20)
        assert (await spend(here, who, 1)).balance == 99
        assert (await spend(there, who, 99)).balance == 0
        with pytest.raises(InsufficientCredits):
            await spend(here, who, 1)
        assert await proved(store)


async def test_what_was_remembered_as_too_little_is_looked_at_again(database: str) -> None:
    async with opened(database) as (store, here), opened(database) as (_, there):
        who = await person(store)
        await give(here, who, 5)
        await spend(here, who, 1)
        await give(there, who, 100)
        assert (await spend(here, who, 50)).balance == 54


async def test_a_key_is_spent_once_whoever_remembers_what(database: str) -> None:
    async with opened(database) as (store, here), opened(database) as (_, there):
        who = await person(store)
        await give(here, who, 10)
        first = await spend(here, who, 3, "k1")
        for wallets in (here, there, here):
            again = await spend(wallets, who, 3, "k1")
            assert (again.balance, again.id, again.at, again.replayed) == (7, first.id, first.at, True)
        with pytest.raises(Conflict):
            await spend(here, who, 4, "k1")
        with pytest.raises(Conflict):
            await here.run(Reserve(who, CREDITS, 3, "k1"))
        assert (await spend(there, who, 7)).balance == 0
        assert (await spend(here, who, 3, "k1")).balance == 7  # the first answer, though nothing is left now


async def test_credits_end_for_a_writer_whose_clock_is_behind(database: str) -> None:
    async with opened(database) as (store, here):
        who = await person(store)
        await give(here, who, 10, until=timedelta(minutes=5))
        await give(here, who, 1)
        assert (await spend(here, who, 2)).balance == 9
        await store.execute("UPDATE desk SET clock_offset_s = 301")  # `here` has not heard of it
        with pytest.raises(InsufficientCredits):
            await spend(here, who, 2)
        assert (await spend(here, who, 1)).balance == 0


async def test_soonest_ending_is_spent_first_also_when_it_came_last(database: str) -> None:
    async with opened(database) as (store, here):
        who = await person(store)
        await give(here, who, 10)
        await spend(here, who, 1)
        await give(here, who, 5, until=timedelta(days=1))
        await spend(here, who, 4)
        left = await store.fetch("SELECT remaining FROM lot ORDER BY expires_at")
        assert [row[0] for row in left] == [1, 9]


async def test_another_wallet_of_the_same_balance_is_not_the_one_remembered(database: str) -> None:
    async with opened(database) as (store, here), opened(database) as (_, there):
        who = await person(store)
        await give(here, who, 5, until=timedelta(days=2))
        await here.run(Give(who, CREDITS, 10, "gift"))
        assert (await spend(here, who, 1)).balance == 14
        await take_back(store, who, "gift")
        assert (await give(there, who, 10, until=timedelta(days=1))).balance == 14  # as before, but it ends sooner
        assert (await spend(here, who, 1)).balance == 13
        left = await store.fetch("SELECT remaining FROM lot WHERE remaining > 0 ORDER BY expires_at")
        assert [row[0] for row in left] == [9, 4]


async def test_a_spend_takes_one_statement_however_many_wallets_it_comes_from(database: str) -> None:
    async with opened(database) as (store, here), opened(database) as (_, there):
        people = [await person(store) for _ in range(20)]
        for who in people:
            await give(there, who, 10)

        async def all_spend(wallets: Wallets) -> list[str]:
            with statements() as passed:
                done = await asyncio.gather(*(spend(wallets, who, 1) for who in people))
            assert len({one.balance for one in done}) == 1
            return passed

        assert len(await all_spend(here)) == 2  # it reads what it does not know, then spends
        assert len(await all_spend(here)) == 1
        await spend(there, people[0], 9 - 1)
        await give(there, people[0], 9 - 1)
        again = await all_spend(here)  # one of them has changed: it fails, reads, and spends
        assert again == ["statement:before"] * 3


async def test_somebody_who_was_merged_is_not_spent_from_by_memory(database: str) -> None:
    async with opened(database) as (store, here):
        who, other = await person(store), await person(store)
        await give(here, who, 10)
        await spend(here, who, 1)
        await store.execute("UPDATE customer SET merges = 1 WHERE id = $1", who)
        await store.execute("UPDATE customer SET merged_into = $1 WHERE id = $2", who, other)
        key = f"op:{other}:k9"
        await store.execute(
            "INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, balance_after, at) "
            "SELECT $1, 0, 'spend', $2, min(id), max(id), 4, 5, now() FROM account",
            key,
            CREDITS,
        )
        again = await spend(here, who, 4, "k9")
        assert again.replayed
        assert again.balance == 5


NOW = datetime(2030, 1, 31, tzinfo=UTC)
LOTS = st.lists(st.tuples(st.integers(1, 9), st.sampled_from([None, -1, 0, 1, 2])), min_size=1, max_size=5)


def lots_of(parts: list[tuple[int, int | None]]) -> list[Lot]:
    """Lots of so many credits that end in so many days, in the order of spending."""
    made = [
        Lot(f"l{place}", "s", 1, 9, remaining, 0, 0, 0, False, None if days is None else NOW + timedelta(days=days))
        for place, (remaining, days) in enumerate(parts)
    ]
    return sorted(made, key=order_of_spending)


@given(LOTS, st.lists(st.lists(st.integers(1, 12), max_size=4), max_size=4), st.integers(0, 3))
def test_what_is_planned_from_memory_is_what_the_ledger_takes(
    parts: list[tuple[int, int | None]], batches: list[list[int]], mark: int
) -> None:
    told, lots = lots_of(parts), lots_of(parts)
    purse = Purse(1, 2, sum(lot.remaining for lot in told), False, 0, told)
    for version, amounts in enumerate(batches, start=1):
        before = {lot.id: lot.remaining for lot in lots}
        plan, taken = _Plan(purse, mark, NOW), 0
        for amount in amounts:
            enough = spendable(lots, NOW) - amount >= mark
            for lot, share in pick(lots, amount, NOW) if enough else ():
                lot.remaining -= share
            assert plan.take(amount) == (spendable(lots, NOW) if enough else None)
            taken += amount if enough else 0
        if taken:  # else there is nothing to write
            assert plan.changes() == [
                (lot.id, before[lot.id], lot.remaining) for lot in lots if lot.remaining != before[lot.id]
            ]
            assert plan.balance == purse.balance - taken
            assert plan.soonest == min((lot.expires_at or FOREVER) for lot in plan.lots)
            plan.adopt(version)
        assert [(lot.id, lot.remaining) for lot in purse.lots] == [
            (one.id, one.remaining) for one in lots if one.remaining
        ]
        assert purse.balance == sum(lot.remaining for lot in purse.lots)


@pytest.mark.parametrize("seed", range(8))
async def test_two_processes_and_a_model_agree_on_every_answer(database: str, seed: int) -> None:
    dice = random.Random(seed)
    async with opened(database) as (store, here), opened(database) as (_, there):
        who = await person(store)
        balance, held = 0, {}
        for _ in range(120):
            wallets, amount = dice.choice((here, there)), dice.randint(1, 12)
            match dice.randrange(8):
                case 0 | 1:
                    balance += amount
                    assert (await give(wallets, who, amount)).balance == balance
                case 2 if balance >= amount:
                    done = await wallets.run(Reserve(who, CREDITS, amount, ids.new("op")))
                    balance -= amount
                    held[done.hold.id if done.hold else ""] = amount
                    assert done.balance == balance
                case 3 if held:
                    id_, reserved = held.popitem()
                    used = dice.randint(0, reserved)
                    balance += reserved - used
                    assert (await wallets.run(EndHold(id_, used))).balance == balance
                case _ if balance >= amount:
                    balance -= amount
                    assert (await spend(wallets, who, amount)).balance == balance
                case _:
                    with pytest.raises(InsufficientCredits):
                        await spend(wallets, who, amount)
        assert await proved(store)


async def test_a_hold_is_over_when_its_time_is_whether_or_not_anybody_has_swept_it(database: str) -> None:
    async with opened(database) as (store, wallets):
        who = await person(store)
        await give(wallets, who, 10)
        holds = [await wallets.run(Reserve(who, CREDITS, 4, ids.new("op"), lasts_s=60)) for _ in range(2)]
        first, second = [one.hold.id for one in holds if one.hold is not None]
        assert (await wallets.run(EndHold(second, 3))).balance == 3
        await store.execute("UPDATE desk SET clock_offset_s = 60")
        with pytest.raises(Conflict, match="lapsed"):
            await wallets.run(EndHold(first, 3))
        ended = await wallets.run(EndHold(first, None))
        assert (ended.kind, ended.balance) == ("lapsed", 7)
        assert (await proof.check(store)).ok
