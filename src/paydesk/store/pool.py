"""Connections and transactions.

`Store.transaction()` is the only place in Paydesk where a commit happens. Errors that mean "the database is away"
become `StoreUnavailable`; after one of them the outcome of a commit is unknown, and the whole transaction may be
repeated, because every effect has a unique key.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import asyncpg
import orjson

from paydesk import edge
from paydesk.clock import Clock
from paydesk.errors import PaydeskError, SettingError, StoreUnavailable

T = TypeVar("T")

# A frozen process must not hold others up for ever: limits on our own sessions (reliability: frozen workers).
SESSION_SETTINGS = {
    "application_name": "paydesk",
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "10000",
    "statement_timeout": "30000",
    "lock_timeout": "5000",
}
DURABILITY = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}

AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What a database that is down, restarting, full or failing over looks like from here."""

CLASHED = asyncpg.SerializationError
"""Somebody else was first: certainly not committed, and with what is so now it may succeed."""

ROLLED_BACK = (asyncpg.DeadlockDetectedError, CLASHED, asyncpg.LockNotAvailableError)
"""Certainly not committed: the whole transaction may be run again at once."""

TAKEN = asyncpg.UniqueViolationError
"""A unique key is there already: certainly not committed, and again it would be the same."""


AWAY_TOLD_S = 60.0
"""The driver tells of a database that is away at most this often."""


class OneLine(logging.Filter):
    """The driver's pool logs every vain try to connect again with its traceback: we make one line of many."""

    def __init__(self) -> None:
        super().__init__()
        self._quiet_until = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record pass that tells something new, as one line."""
        if not record.exc_info or not isinstance(record.exc_info[1], AWAY):
            return True
        now = time.monotonic()
        if now < self._quiet_until:
            return False
        self._quiet_until = now + AWAY_TOLD_S
        record.msg, record.args = "the database is away and tried again: %s", (type(record.exc_info[1]).__name__,)
        record.exc_info = record.exc_text = None
        return True


logging.getLogger("asyncpg.pool").addFilter(OneLine())


class Record(Protocol):
    """A row: columns by name or position, in order."""

    def __getitem__(self, key: str | int) -> Any:
        """Return a column."""

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the values in the order of the columns."""

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return names and values."""


class Tx:
    """An open transaction. Statements only: it commits when its block ends, and not before."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *args: object) -> list[Record]:
        """Run a statement and return its rows."""
        edge.point("statement:before")
        rows: list[Record] = await self._connection.fetch(sql, *args)
        edge.point("statement:after")
        return rows

    async def fetchrow(self, sql: str, *args: object) -> Record | None:
        """Run a statement and return its first row, or `None`."""
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *args: object) -> Any:
        """Run a statement and return the first column of its first row, or `None`."""
        row = await self.fetchrow(sql, *args)
        return None if row is None else row[0]

    async def execute(self, sql: str, *args: object) -> int:
        """Run a statement and return how many rows it touched."""
        edge.point("statement:before")
        status: str = await self._connection.execute(sql, *args)
        edge.point("statement:after")
        last = status.rsplit(" ", 1)[-1]
        return int(last) if last.isdigit() else 0


class Store:
    """A pool on one database. Made by `Store.open`; `close` it when done."""

    def __init__(self, dsn: str, pool: Any, clock: Clock, on_away: Callable[[], None] | None) -> None:
        self.dsn = dsn
        self.clock = clock
        self._pool = pool
        self._on_away = on_away

    @classmethod
    async def open(
        cls, dsn: str, *, clock: Clock, connections_max: int = 10, on_away: Callable[[], None] | None = None
    ) -> Store:
        """Connect, refuse a database that may lose commits, and return the store.

        `on_away` is called whenever the database turns out to be away (to start an embedded one again).
        """
        try:
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=connections_max,
                server_settings=SESSION_SETTINGS,
                init=prepare_connection,
                reset=_as_it_is,
                timeout=10,
                max_inactive_connection_lifetime=0,
            )
        except AWAY as error:
            raise StoreUnavailable(f"the database does not answer: {error}") from error
        except asyncpg.PostgresError as error:
            raise SettingError(f"DATABASE_URL: the database refuses us: {error}") from error
        store = cls(dsn, pool, clock, on_away)
        await store.refuse_relaxed_durability()
        return store

    async def close(self) -> None:
        """Close every connection, waiting a little for those in use."""
        try:
            async with asyncio.timeout(5):
                await self._pool.close()
        except (TimeoutError, *AWAY):
            self._pool.terminate()

    async def connect(self) -> Any:
        """Return a connection of the caller's own, outside the pool, with our session settings; close it yourself."""
        try:
            connection = await asyncpg.connect(self.dsn, server_settings=SESSION_SETTINGS, timeout=10)
            await prepare_connection(connection)
        except AWAY as error:
            raise self.away(error) from error
        return connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Open a transaction; commit when the block ends, roll back when it raises.

        Raises `StoreUnavailable` when the database is away; the outcome is then unknown.
        """
        try:
            async with self._pool.acquire(timeout=15) as connection, _transaction(connection) as tx:
                yield tx
        except (PaydeskError, asyncpg.QueryCanceledError):
            raise  # a statement that took too long is somebody's fault, not the database's
        except AWAY as error:
            raise self.away(error) from error

    @asynccontextmanager
    async def _statement(self) -> AsyncIterator[Tx]:
        """Give a connection for ONE statement, which is a transaction by itself: no BEGIN, no COMMIT, one round trip."""
        try:
            async with self._pool.acquire(timeout=15) as connection:
                with edge.transaction_open():
                    edge.point("begin:before")
                    yield Tx(connection)
                    edge.point("commit:after")
        except PaydeskError:
            raise
        except AWAY as error:
            raise self.away(error) from error

    async def run(self, work: Callable[[Tx], Awaitable[T]], *, tries_max: int = 5) -> T:
        """Run `work` in a transaction, again when it was certainly rolled back by a clash with another one."""
        for attempt in range(1, tries_max + 1):
            try:
                async with self.transaction() as tx:
                    return await work(tx)
            except ROLLED_BACK as error:
                if attempt == tries_max:
                    raise self.away(error) from error
                await asyncio.sleep(0.01 * attempt)
        raise AssertionError("unreachable")

    async def fetch(self, sql: str, *args: object) -> list[Record]:
        """Run one statement in a transaction of its own and return its rows."""
        async with self._statement() as tx:
            return await tx.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Record | None:
        """Run one statement in a transaction of its own and return its first row, or `None`."""
        async with self._statement() as tx:
            return await tx.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        """Run one statement in a transaction of its own and return its first value, or `None`."""
        async with self._statement() as tx:
            return await tx.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> int:
        """Run one statement in a transaction of its own and return how many rows it touched."""
        async with self._statement() as tx:
            return await tx.execute(sql, *args)

    def away(self, error: BaseException) -> StoreUnavailable:
        """Tell the supervisor that the database is away, and return the error to raise."""
        if self._on_away is not None:
            self._on_away()
        return StoreUnavailable(f"the database is away: {type(error).__name__}")

    async def refuse_relaxed_durability(self) -> None:
        """Raise `SettingError` unless a commit survives a power cut: fsync, full_page_writes, synchronous_commit."""
        for name, wanted in DURABILITY.items():
            actual = await self.fetchval(f"SHOW {name}")
            if actual != wanted and not (name == "synchronous_commit" and actual in ("remote_apply", "remote_write")):
                raise SettingError(f"the database has {name} = {actual}: commits could be lost; set {name} = {wanted}")

    async def refresh_clock(self) -> None:
        """Read how far desk time is ahead of real time."""
        seconds = await self.fetchval("SELECT clock_offset_s FROM desk")
        self.clock.offset = timedelta(seconds=seconds or 0)


@asynccontextmanager
async def _transaction(connection: Any) -> AsyncIterator[Tx]:
    """Open a transaction on a connection; commit when the block ends, roll back when it raises."""
    with edge.transaction_open():
        transaction = connection.transaction()
        edge.point("begin:before")
        await transaction.start()
        try:
            yield Tx(connection)
        except BaseException:
            await _roll_back(transaction)
            raise
        edge.point("commit:before")
        await transaction.commit()
        edge.point("commit:after")


async def in_transaction(connection: Any, work: Callable[[Tx], Awaitable[T]]) -> T:
    """Run `work` in a transaction on a connection of the caller's own."""
    async with _transaction(connection) as tx:
        return await work(tx)


async def prepare_connection(connection: Any) -> None:
    """Let `jsonb` travel as Python values."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: orjson.dumps(value).decode(),
        decoder=orjson.loads,
    )


async def _as_it_is(_connection: Any) -> None:
    """Leave a returned connection as it is: an open transaction is rolled back before, and we set nothing else on it.

    The driver would otherwise reset settings, listeners and locks: one more round trip after every transaction.
    """


async def _roll_back(transaction: Any) -> None:
    """Roll back, without hiding the error that made us: a dead connection has rolled back by itself."""
    try:
        await transaction.rollback()
    except AWAY:
        return
