"""The sealer: every entry once, in order, whatever transactions end in whatever order, whoever else seals, whoever dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults import Journal, end_of, fork
from ledger_rows import SPEND, behind_its_back, write, written
from paydesk import edge, proof, seal
from paydesk.clock import Clock
from paydesk.service import Service
from paydesk.store import Store, embedded
from paydesk.store.migrate import migrate

MARKS = f"SELECT id, {seal.MARK} AS mark FROM entry ORDER BY transaction, id"


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    await write(database)
    opened = await Store.open(database, clock=Clock())
    yield opened
    await opened.close()


async def all_sealed(store: Store) -> int:
    sealed = 0
    while now := await seal.seal(store, at_once=True):
        sealed += now
    return sealed


async def chain(store: Store) -> list[bytes]:
    """The marks of all seals, in order."""
    rows = await store.fetch("SELECT marks FROM seal ORDER BY number")
    return [row[0][at : at + 16] for row in rows for at in range(0, len(row[0]), 16)]


async def in_order(store: Store) -> list[bytes]:
    """The marks that a chain over all entries must have."""
    return [row["mark"] for row in await store.fetch(MARKS)]


async def proved(store: Store) -> bool:
    """Whether chain and entries agree (spends of these tests touch no balance)."""
    findings = (await proof.check(store)).findings
    return not any(bad for what, bad in findings.items() if "seal" in what or "place" in what)


# --- what is due -----------------------------------------------------------------------------------------------------


async def test_every_entry_is_sealed_once_and_full_chunks_at_once(store: Store) -> None:
    assert await seal.seal(store) == 0, "a few fresh entries wait for more"
    assert await seal.seal(store, at_once=True) == 10
    assert await seal.seal(store, at_once=True) == 0
    await store.execute(SPEND.replace("$1", "n").replace("\nWHERE", ", generate_series(1, 2500) n WHERE"))
    assert await seal.seal(store) == 2000, "chunks that are full need not wait, the rest does"
    assert await all_sealed(store) == 500
    assert await chain(store) == await in_order(store)
    rows = await store.fetch("SELECT number, epoch, entries, after_entry FROM seal ORDER BY number")
    assert [tuple(row) for row in rows] == [(1, 1, 10, 0), (2, 1, 1000, 0), (3, 1, 1000, 0), (4, 1, 500, 0)]


async def test_fewer_are_sealed_once_they_have_waited(store: Store, server: embedded.Embedded) -> None:
    await behind_its_back(server, store.dsn, "UPDATE entry SET created_at = now() - interval '4 s' WHERE id = 3")
    assert await seal.seal(store) == 0
    await behind_its_back(server, store.dsn, "UPDATE entry SET created_at = now() - interval '6 s' WHERE id = 3")
    assert await seal.seal(store) == 10


async def test_a_seal_is_never_changed(store: Store) -> None:
    await seal.seal(store, at_once=True)
    for change in ("UPDATE seal SET epoch = 2", "DELETE FROM seal", "TRUNCATE seal"):
        with pytest.raises(asyncpg.RestrictViolationError, match="seal is append-only"):
            await store.execute(change)


# --- following the commits -------------------------------------------------------------------------------------------


async def test_a_transaction_that_began_early_and_ends_late_is_neither_skipped_nor_overtaken(store: Store) -> None:
    await all_sealed(store)
    late, other = await store.connect(), await store.connect()
    try:
        open_one = late.transaction()
        await open_one.start()
        await late.execute(SPEND, "late 1")
        for number in range(3):
            await other.execute(SPEND, f"other {number}")
        await late.execute(SPEND, "late 2")
        assert await seal.seal(store, at_once=True) == 0, "nothing may be sealed that something can still come before"
        await open_one.commit()
        assert await seal.seal(store, at_once=True) == 5
        rows = await store.fetch("SELECT memo, source FROM entry WHERE id > 10 ORDER BY transaction, id")
        assert [row[1].removeprefix("op:cst_a:") for row in rows] == [
            "late 1",
            "late 2",
            "other 0",
            "other 1",
            "other 2",
        ]
        assert await chain(store) == await in_order(store)
        assert await proved(store)
    finally:
        await late.close()
        await other.close()


async def test_more_than_a_chunk_of_younger_transactions_with_older_ids_comes_after(store: Store) -> None:
    await all_sealed(store)
    many = SPEND.replace("$1", "$1::text || n").replace("\nWHERE", ", generate_series(1, 1500) n WHERE")
    early, later = await store.connect(), await store.connect()
    try:
        async with early.transaction():
            await early.execute("SELECT pg_current_xact_id()")
            await later.execute(many, "later ")
            await early.execute(many, "early ")
        assert await all_sealed(store) == 3000
        assert await chain(store) == await in_order(store)
        assert await proved(store)
    finally:
        await early.close()
        await later.close()


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["begin", "write", "write", "commit", "roll back"]))
    | st.tuples(st.just(3), st.sampled_from(["seal", "seal", "open epoch"])),
    min_size=12,
    max_size=40,
)


class Histories:
    """Three sessions with transactions of their own, and a sealer among them."""

    def __init__(self, store: Store, sessions: list[Any]) -> None:
        self.store, self.sessions = store, sessions
        self.open: dict[int, Any] = {}
        self.written = 0
        self.sealed: list[bytes] = []

    async def step(self, who: int, what: str) -> None:
        """Take a step, if it can be taken now; nothing that was sealed may move."""
        if what == "seal":
            await seal.seal(self.store, at_once=True)
        elif what == "open epoch" and not self.open:  # it waits for those who write
            await seal.open_epoch(self.store)
        elif what == "write":
            self.written += 1
            await self.sessions[who].execute(SPEND, f"{os.urandom(8).hex()}")
        elif what == "begin" and who not in self.open:
            self.open[who] = self.sessions[who].transaction()
            await self.open[who].start()
        elif what in ("commit", "roll back") and who in self.open:
            ended = self.open.pop(who)
            await (ended.commit() if what == "commit" else ended.rollback())
        sealed = await chain(self.store)
        assert sealed[: len(self.sealed)] == self.sealed
        self.sealed = sealed

    async def end(self) -> None:
        """Let everybody end; then every entry is sealed, once, and the chain is proved."""
        for who in list(self.open):
            await self.step(who, "commit")
        await all_sealed(self.store)
        sealed = await chain(self.store)
        assert sorted(sealed) == sorted(await in_order(self.store))
        result = await proof.check(self.store)
        assert result.sealed == result.entries == len(sealed)
        assert await proved(self.store)


@pytest.fixture
def ledger(database: str) -> str:
    written(database)
    return database


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_whatever_ends_in_whatever_order_every_entry_is_sealed_once(ledger: str, steps: list[tuple[int, str]]) -> None:
    async def run() -> None:
        store = await Store.open(ledger, clock=Clock())
        sessions = [await store.connect() for _ in range(3)]
        try:
            history = Histories(store, sessions)
            for who, what in steps:
                await history.step(who, what)
            await history.end()
        finally:
            for session in sessions:
                session.terminate()
            await store.close()

    asyncio.run(run())


# --- several sealers, and dead ones ----------------------------------------------------------------------------------


async def test_one_process_seals_at_a_time_and_the_others_do_not_wait(store: Store) -> None:
    other = await store.connect()
    try:
        await other.execute("SELECT pg_advisory_lock($1)", seal.LOCK)
        async with asyncio.timeout(2):
            assert await seal.seal(store, at_once=True) == 0
        await other.execute("SELECT pg_advisory_unlock($1)", seal.LOCK)
        assert await seal.seal(store, at_once=True) == 10
    finally:
        await other.close()


async def test_eight_sealers_at_once_make_one_chain_while_others_write(store: Store) -> None:
    stores = [await Store.open(store.dsn, clock=Clock(), connections_max=2) for _ in range(8)]
    writing = True

    async def write_on() -> None:
        for number in range(150):
            await store.execute(SPEND, str(number))

    async def seal_on(one: Store) -> int:
        sealed = 0
        while writing:
            sealed += await seal.seal(one, at_once=True)
        return sealed

    sealing = [asyncio.create_task(seal_on(one)) for one in stores]
    await asyncio.gather(*(write_on() for _ in range(1)))
    writing = False
    sealed = sum(await asyncio.gather(*sealing))
    assert sealed + await all_sealed(store) == 160
    assert await chain(store) == await in_order(store)
    assert await proved(store)
    for one in stores:
        await one.close()


def test_a_sealer_killed_at_any_point_leaves_a_chain_that_goes_on(database: str, tmp_path: Path) -> None:
    written(database)
    journal = Journal(tmp_path / "journal")
    killed = 0

    def life(last_point: int) -> Any:
        async def live() -> None:
            passed = 0

            def count(_name: str) -> None:
                nonlocal passed
                passed += 1
                if passed == last_point:
                    os.kill(os.getpid(), signal.SIGKILL)

            store = await Store.open(database, clock=Clock())
            edge.observe(count)
            await store.execute(SPEND, f"{last_point}")
            await seal.seal(store, at_once=True)
            edge.observe(None)
            await store.close()

        return live

    async def look() -> None:
        store = await Store.open(database, clock=Clock())
        assert await proved(store)
        await store.close()

    for point in range(1, 200):
        ended = end_of(fork(life(point), journal))
        asyncio.run(look())
        if ended == 0:
            break
        killed += 1
    assert killed > 10
    assert journal.lines("unasked") == []

    async def finish() -> None:
        store = await Store.open(database, clock=Clock())
        await all_sealed(store)
        assert await chain(store) == await in_order(store)
        await store.close()

    asyncio.run(finish())


# --- what a mark is of -----------------------------------------------------------------------------------------------


async def test_a_mark_depends_on_no_setting_and_on_no_column_that_comes_later(
    store: Store, server: embedded.Embedded
) -> None:
    await store.execute(SPEND, "ümlaut")
    before = await in_order(store)
    settings = {"timezone": "Asia/Kathmandu", "datestyle": "German", "bytea_output": "escape", "client_encoding": "LATIN1",
                "intervalstyle": "iso_8601", "extra_float_digits": "0"}  # fmt: skip
    connection = await asyncpg.connect(store.dsn, server_settings=settings)
    async with connection.transaction():
        await connection.execute(f"SELECT {seal.STEADY}")
        assert [row["mark"] for row in await connection.fetch(MARKS)] == before
    await connection.close()
    await behind_its_back(server, store.dsn, "ALTER TABLE entry ADD COLUMN more text NOT NULL DEFAULT 'new'")
    assert await in_order(store) == before
    assert len(set(before)) == len(before) == 11
    assert {len(mark) for mark in before} == {16}


# --- restored --------------------------------------------------------------------------------------------------------


async def test_a_new_epoch_is_opened_for_what_comes_after(store: Store) -> None:
    await seal.seal(store, at_once=True)
    await store.execute(SPEND, "not yet sealed")
    assert await seal.open_epoch(store) == 2
    await store.execute(SPEND, "after")
    assert await all_sealed(store) == 1
    rows = await store.fetch("SELECT number, epoch, entries, after_entry, last_entry FROM seal ORDER BY number")
    assert [tuple(row) for row in rows] == [(1, 1, 10, 0, 10), (2, 1, 1, 0, 11), (3, 2, 0, 11, 11), (4, 2, 1, 11, 12)]
    assert await seal.open_epoch(store) == 3
    assert await seal.open_epoch(store) == 4
    assert await chain(store) == await in_order(store)
    assert await proved(store)


async def test_what_is_put_behind_the_end_of_a_closed_epoch_is_found(store: Store, server: embedded.Embedded) -> None:
    assert await store.fetchval("SELECT nextval(pg_get_serial_sequence('entry', 'id'))") == 11, "which nobody then has"
    await store.execute(SPEND, "has the id 12")
    assert await seal.open_epoch(store) == 2
    await store.execute(SPEND, "in the second epoch")
    await all_sealed(store)
    assert await proved(store)
    await behind_its_back(
        server,
        store.dsn,
        """INSERT INTO entry (id, source, revision, reason, unit, from_account, to_account, amount, at, transaction)
           OVERRIDING SYSTEM VALUE SELECT 11, 'op:x', 0, 'spend', unit, from_account, to_account, 1, now(), transaction
           FROM entry WHERE id = 13""",
    )
    result = await proof.check(store)
    assert result.entries == 13
    assert result.findings["every sealed entry is as it was sealed"] == (
        "entry 11 (spend of op:x, 1 credits from account 7 to 2) was put in later: it was never sealed"
    )


@pytest.fixture
def younger(tmp_path: Path) -> Iterator[embedded.Embedded]:
    """A server of its own, whose transactions are numbered from the beginning."""
    running = embedded.start(tmp_path / "younger")
    yield running
    running.release()
    embedded.remove(tmp_path / "younger")


def test_a_dump_restored_where_transactions_are_younger_goes_on_in_a_new_epoch(
    database: str, server: embedded.Embedded, younger: embedded.Embedded
) -> None:
    async def old() -> int:
        connection = await asyncpg.connect(database)
        await connection.execute(
            "DO $$ BEGIN FOR n IN 1..20000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
        )
        await connection.close()
        await write(database)
        store = await Store.open(database, clock=Clock())
        await all_sealed(store)
        await store.execute(SPEND, "stored, and not sealed before the backup")
        place: int = await store.fetchval("SELECT last_transaction FROM seal")
        await store.close()
        return place

    async def new(place: int) -> None:
        store = await Store.open(younger.dsn, clock=Clock())
        assert (await proof.check(store)).sealed == 10
        for number in range(3):  # the service was started before anybody thought of the chain
            await store.execute(SPEND, f"new {number}")
        assert await store.fetchval("SELECT transaction FROM entry ORDER BY id DESC LIMIT 1") < place
        assert await all_sealed(store) == 3
        rows = await store.fetch("SELECT epoch, sum(entries) FROM seal GROUP BY 1 ORDER BY 1")
        assert [tuple(row) for row in rows] == [(1, 11), (2, 3)]
        result = await proof.check(store)
        assert result.sealed == result.entries == 14
        assert await proved(store)
        await store.close()

    place = asyncio.run(old())
    dump = subprocess.run([server.binaries / "pg_dump", "--no-owner", database], check=True, capture_output=True)
    subprocess.run(
        [server.binaries / "psql", "--quiet", "--set", "ON_ERROR_STOP=1", younger.dsn],
        input=dump.stdout, check=True, capture_output=True,
    )  # fmt: skip
    asyncio.run(migrate(younger.dsn))
    asyncio.run(new(place))


# --- the system's accounts -------------------------------------------------------------------------------------------

SUMMED = """
SELECT a.unit, a.kind, coalesce(sum(CASE a.id WHEN e.to_account THEN e.amount ELSE -e.amount END), 0)::bigint
FROM account a LEFT JOIN entry e ON a.id IN (e.from_account, e.to_account) WHERE a.owner = 'system' GROUP BY 1, 2
"""


async def balances(store: Store) -> dict[tuple[str, str], int]:
    async with store.transaction() as tx:
        return await seal.system_balances(tx)


async def test_what_the_system_holds_is_the_sealed_total_and_what_came_since(store: Store) -> None:
    async def summed() -> dict[tuple[str, str], int]:
        return {(row[0], row[1]): row[2] for row in await store.fetch(SUMMED)}

    assert await balances(store) == await summed()
    assert (await balances(store))["money:usd", "sales"] == -700
    for number in range(3):
        await seal.seal(store, at_once=True)
        assert await balances(store) == await summed()
        await store.execute(SPEND, str(number))
        assert await balances(store) == await summed()
    await seal.open_epoch(store)
    await store.execute(SPEND, "in a new epoch")
    assert await balances(store) == await summed()
    assert (await balances(store))["credits", "spent"] == 29


# --- in the worker ---------------------------------------------------------------------------------------------------


async def test_the_worker_seals_by_itself(service: Service) -> None:
    await write(service.store.dsn)
    await service.worker.drain()
    assert len(await chain(service.store)) == 10
    for number in range(1000):
        await service.store.execute(SPEND, str(number))
    working = asyncio.create_task(service.worker.run())
    try:
        async with asyncio.timeout(20):
            while len(await chain(service.store)) < 1010:
                await asyncio.sleep(0.05)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    assert await chain(service.store) == await in_order(service.store)
