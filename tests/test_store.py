"""The store: one edge to the database, durable or refused, and nobody pays for somebody else's mistake."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from paydesk import edge
from paydesk.clock import Clock
from paydesk.errors import SettingError, StoreUnavailable
from paydesk.inbox import Envelope
from paydesk.service import Service
from paydesk.store import Store, Tx, embedded
from paydesk.store.bell import Bell
from paydesk.store.group import GroupCommit
from paydesk.store.pool import DURABILITY, OneLine
from sandbox_fixtures import free_port


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    opened = await Store.open(database, clock=Clock())
    yield opened
    await opened.close()


async def admin(dsn: str, *statements: str) -> None:
    """Change a database from beside the store."""
    connection = await asyncpg.connect(dsn)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


def an_envelope(number: int, kind: str = "x.y") -> Envelope:
    return Envelope("stripe", f"evt_{number}", kind, number % 1024, b"{}", False)


# --- the edge --------------------------------------------------------------------------------------------------------


async def test_a_call_to_stripe_inside_a_transaction_raises_before_anything_is_sent(service: Service) -> None:
    gateway = service.gateway
    for call in (gateway.account, lambda: gateway.create_customer({}, "key"), gateway.webhook_endpoints):
        with pytest.raises(RuntimeError, match="the network waits outside"):
            async with service.store.transaction():
                await call()
    assert await service.gateway.account()


async def test_only_the_task_that_holds_the_transaction_must_stay_inside(service: Service) -> None:
    async def elsewhere() -> str:
        return await service.gateway.account()

    before = asyncio.create_task(elsewhere())
    async with service.store.transaction() as tx:
        await tx.fetchval("SELECT 1")
        assert (await before).startswith("acct_")
    edge.outside_transaction("a call")


# --- durable, patient, limited ---------------------------------------------------------------------------------------


async def test_a_database_that_may_lose_commits_is_refused_at_start(database: str) -> None:
    name = database.split("@/")[1].split("?")[0]
    await admin(database, f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    with pytest.raises(
        SettingError, match="synchronous_commit = off: commits could be lost; set synchronous_commit = on"
    ):
        await Store.open(database, clock=Clock())


async def test_the_embedded_server_cannot_be_talked_into_losing_commits(tmp_path: Path) -> None:
    server = await asyncio.to_thread(embedded.start, tmp_path)
    try:
        relaxed = [f"ALTER SYSTEM SET {setting} = off" for setting in DURABILITY]
        await admin(server.admin_dsn, *relaxed, "SELECT pg_reload_conf()", "SELECT pg_sleep(0.3)")
        store = await Store.open(server.dsn, clock=Clock())
        assert {setting: await store.fetchval(f"SHOW {setting}") for setting in DURABILITY} == DURABILITY
        await store.close()
    finally:
        await asyncio.to_thread(server.release)


async def test_no_session_of_ours_waits_or_works_for_ever(store: Store) -> None:
    own = await store.connect()
    try:
        for name, limit in (
            ("statement_timeout", "30s"), ("lock_timeout", "5s"), ("idle_in_transaction_session_timeout", "10s"),
            ("TimeZone", "UTC"),
        ):  # fmt: skip
            assert await store.fetchval(f"SHOW {name}") == limit
            assert await own.fetchval(f"SHOW {name}") == limit
    finally:
        await own.close()
    assert await store.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False


async def test_a_database_that_is_not_there_is_unavailable_and_a_refusing_one_is_a_setting(database: str) -> None:
    with pytest.raises(StoreUnavailable):
        await Store.open(f"postgresql://paydesk@127.0.0.1:{free_port()}/paydesk", clock=Clock())
    with pytest.raises(SettingError, match="DATABASE_URL: the database refuses us"):
        await Store.open(database.replace("//paydesk@", "//nobody_here@"), clock=Clock())


# --- transactions ----------------------------------------------------------------------------------------------------


async def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    async def work(tx: Tx) -> None:
        await tx.execute("INSERT INTO customer (id) VALUES ('cst_1')")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.run(work)
    assert await store.fetchval("SELECT count(*) FROM customer") == 0


async def test_two_that_block_each_other_are_both_done_in_the_end(store: Store) -> None:
    await store.execute("INSERT INTO customer (id) VALUES ('a'), ('b')")
    met = asyncio.Barrier(2)
    tries = []

    async def touch(first: str, second: str) -> None:
        async def work(tx: Tx) -> None:
            tries.append(first)
            change = "UPDATE customer SET metadata = metadata || jsonb_build_object($2::text, 1) WHERE id = $1"
            await tx.execute(change, first, first)
            if len(tries) <= 2:
                await met.wait()
            await tx.execute(change, second, first)

        await store.run(work)

    await asyncio.gather(touch("a", "b"), touch("b", "a"))
    assert len(tries) == 3, "one was rolled back and done again"
    assert {row["id"]: row["metadata"] for row in await store.fetch("SELECT id, metadata FROM customer")} == {
        "a": {"a": 1, "b": 1}, "b": {"a": 1, "b": 1},
    }  # fmt: skip


async def test_after_every_connection_was_cut_the_store_goes_on(service: Service, database: str) -> None:
    heard: list[int] = []
    service.store._on_away = lambda: heard.append(1)
    assert await service.receiver.receive(an_envelope(1))
    await admin(
        database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
    )
    assert await service.receiver.receive(an_envelope(2)), "the writer connects again by itself"
    for _ in range(20):
        try:
            assert await service.store.fetchval("SELECT count(*) FROM inbox") == 2
            break
        except StoreUnavailable:
            continue
    else:
        raise AssertionError("the pool did not recover")


async def test_desk_time_follows_the_offset_that_is_stored(store: Store) -> None:
    await store.execute("UPDATE desk SET clock_offset_s = 86400")
    await store.refresh_clock()
    assert store.clock.offset == timedelta(days=1)
    assert abs(await store.fetchval("SELECT desk_now()") - store.clock.now()) < timedelta(seconds=30)


# --- group commit ----------------------------------------------------------------------------------------------------


async def test_those_who_wait_together_share_a_commit(service: Service) -> None:
    assert all(await asyncio.gather(*(service.receiver.receive(an_envelope(n)) for n in range(300))))
    assert await service.store.fetchval("SELECT count(*) FROM inbox") == 300
    assert await service.store.fetchval("SELECT count(DISTINCT xmin::text) FROM inbox") <= 5


async def test_one_bad_row_does_not_fail_the_others_of_its_batch(service: Service) -> None:
    envelopes = [an_envelope(n, "bad\x00kind" if n == 13 else "x.y") for n in range(40)]
    results = await asyncio.gather(*(service.receiver.receive(e) for e in envelopes), return_exceptions=True)
    assert isinstance(results[13], asyncpg.DataError)
    assert [result for n, result in enumerate(results) if n != 13] == [True] * 39
    assert await service.store.fetchval("SELECT count(*) FROM inbox") == 39


async def test_of_twins_in_one_batch_one_is_new(service: Service) -> None:
    results = await asyncio.gather(*(service.receiver.receive(an_envelope(7)) for _ in range(30)))
    assert sorted(results) == [False] * 29 + [True]
    assert await service.receiver.receive(an_envelope(7)) is False


async def test_a_caller_who_goes_away_takes_nobody_with_them(service: Service) -> None:
    calls = [asyncio.create_task(service.receiver.receive(an_envelope(n))) for n in range(10)]
    await asyncio.sleep(0)
    calls[4].cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [result for n, result in enumerate(results) if n != 4] == [True] * 9
    assert await service.receiver.receive(an_envelope(99))


async def echo(connection: Any, items: list[int]) -> list[int]:
    return [await connection.fetchval("SELECT $1::int", item) for item in items]


def held_up(store: Store, gate: asyncio.Event, *, waiting_max: int = 100) -> GroupCommit[int, int]:
    """A running group whose writer waits for the gate."""

    async def write(connection: Any, items: list[int]) -> list[int]:
        await gate.wait()
        return await echo(connection, items)

    group: GroupCommit[int, int] = GroupCommit(store, write, waiting_max=waiting_max)
    group.start()
    return group


async def test_when_too_many_wait_the_next_is_told_to_come_again(store: Store) -> None:
    gate = asyncio.Event()
    group = held_up(store, gate, waiting_max=2)
    first = asyncio.create_task(group.submit(0))
    await asyncio.sleep(0.2)  # the writer has it in hand
    waiting = [asyncio.create_task(group.submit(n)) for n in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(StoreUnavailable, match="too many"):
        await group.submit(3)
    gate.set()
    assert await asyncio.gather(first, *waiting) == [0, 1, 2]
    await group.stop()


async def test_whoever_waits_when_we_stop_is_told_to_come_again(store: Store) -> None:
    group = held_up(store, asyncio.Event())
    in_hand = asyncio.create_task(group.submit(1))
    await asyncio.sleep(0.2)
    waiting = asyncio.create_task(group.submit(2))
    await asyncio.sleep(0)
    await group.stop()
    for task in (in_hand, waiting):
        with pytest.raises(StoreUnavailable, match="stopping"):
            await task


async def test_who_is_kept_out_by_a_lock_is_told_to_come_again(store: Store) -> None:
    async def write(connection: Any, items: list[int]) -> list[int]:
        await connection.fetch("SELECT FROM desk FOR UPDATE NOWAIT")
        return items

    group: GroupCommit[int, int] = GroupCommit(store, write)
    group.start()
    async with store.transaction() as tx:
        await tx.execute("SELECT FROM desk FOR UPDATE")
        answers = await asyncio.gather(group.submit(1), group.submit(2), return_exceptions=True)
    assert [type(one) for one in answers] == [StoreUnavailable, StoreUnavailable]
    assert await group.submit(3) == 3
    await group.stop()


async def test_a_batch_while_the_database_is_away_is_refused_and_the_next_is_written(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    server = await asyncio.to_thread(embedded.start, tmp_path)
    try:
        store = await Store.open(server.dsn, clock=Clock())
        group: GroupCommit[int, int] = GroupCommit(store, echo)
        group.start()
        assert await group.submit(1) == 1
        await asyncio.to_thread(server.release)
        with pytest.raises(StoreUnavailable):
            await group.submit(2)
        server = await asyncio.to_thread(embedded.start, tmp_path)
        assert await group.submit(3) == 3
        await group.stop()
        await store.close()
    finally:
        await asyncio.to_thread(server.release)


async def test_while_the_database_is_away_the_driver_tells_so_in_one_line_and_not_again_and_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = await asyncio.to_thread(embedded.start, tmp_path)
    try:
        store = await Store.open(server.dsn, clock=Clock())
        await asyncio.to_thread(server.release)
        for _ in range(3):  # the driver tries to connect again by itself, after one second, then after two
            with pytest.raises(StoreUnavailable):
                await store.fetchval("SELECT 1")
            await asyncio.sleep(1.2)
        await store.close()
    finally:
        await asyncio.to_thread(server.release)
        await asyncio.to_thread(embedded.remove, tmp_path)
    told = [record for record in caplog.records if record.name == "asyncpg.pool"]
    assert len(told) <= 1  # none when it was told within the last minute, of another database
    assert [record.exc_info for record in told] == [None] * len(told)


def test_of_many_vain_tries_one_is_told_without_its_traceback_and_other_trouble_whole() -> None:
    def record(error: Exception) -> logging.LogRecord:
        return logging.LogRecord("asyncpg.pool", logging.WARNING, "", 0, "failed", (), (type(error), error, None))

    one_line, first, other = OneLine(), record(ConnectionRefusedError()), record(ValueError("odd"))
    assert [one_line.filter(one) for one in (first, record(OSError()), other)] == [True, False, True]
    assert first.getMessage() == "the database is away and tried again: ConnectionRefusedError"
    assert (first.exc_info, other.getMessage()) == (None, "failed")
    assert other.exc_info is not None


@pytest.mark.parametrize("turns", range(5))
async def test_a_ring_at_the_very_moment_of_the_end_does_not_swallow_the_end(service: Service, turns: int) -> None:
    worker = asyncio.create_task(service.worker.run())
    bell = Bell(service.store)
    bell.start()
    waiting = asyncio.create_task(service.bell.wait("somebody", timeout_s=60))
    await asyncio.sleep(0.3)  # all of them wait now
    bell.ring("inbox")
    for topic in ("inbox", "outbox", "timers", "somebody"):
        service.bell.ring(topic)
    for _ in range(turns):
        await asyncio.sleep(0)
    worker.cancel()
    waiting.cancel()
    async with asyncio.timeout(10):
        await bell.stop()
        await asyncio.gather(worker, waiting, return_exceptions=True)
    assert worker.cancelled()
