"""Group commit: callers that wait at the same time share one round trip and one commit.

The first caller opens a batch; the batch closes as soon as the writer is free. There is no timer: an idle writer
takes a single item at once, a busy one finds many waiting. Each writer has one connection of its own. Only where a batch
costs much more than what is in it may a `gap_s` be set: a busy writer then rests, unless that long has passed already.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import asyncpg

from paydesk import edge
from paydesk.errors import StoreUnavailable
from paydesk.store.pool import AWAY, ROLLED_BACK, Store, in_transaction

Item = TypeVar("Item")
Result = TypeVar("Result")

WRITE_S_MAX = 15.0
"""A frozen or cut-off database answers nothing: then it counts as away, long before TCP would notice."""

BUSY = 4
"""So many in one batch, and its writer is busy."""

PLANS = (
    "SET plan_cache_mode = force_generic_plan; SET enable_hashjoin = off; SET enable_mergejoin = off; "
    "SET enable_seqscan = off"
)
"""Small batches into large tables go by index, always. The planner would read a whole table while it is small."""

Write = Callable[[Any, list[Item]], Awaitable[list[Result]]]
"""Writes a batch and returns a result for each item, in order: in ONE statement (so that it commits by itself), or in
the transaction that it is given (`GroupTransaction`)."""


Quick = Callable[[Any, list[Item]], Awaitable[list[Result | None]]]


class GroupCommit(Generic[Item, Result]):
    """Collects items and writes them in batches. `submit` returns only after the item's batch has committed."""

    def __init__(
        self, store: Store, write: Write[Item, Result], *, batch_max: int = 512, waiting_max: int = 20_000,
        gap_s: float = 0.0,
    ) -> None:  # fmt: skip
        self._store = store
        self._write = write
        self._batch_max = batch_max
        self._waiting_max = waiting_max
        self._gap_s = gap_s
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._work = asyncio.Event()
        self._connection: Any = None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop

    def start(self) -> None:
        """Start the writer in the running loop."""
        self._loop = asyncio.get_running_loop()  # kept: asking for it costs a system call each time
        self._task = asyncio.create_task(self._run(), name="group-commit")

    async def stop(self) -> None:
        """Stop the writer; whoever still waits gets `StoreUnavailable`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._refuse(self._waiting, StoreUnavailable("the service is stopping"))
        self._waiting = []
        await self._drop_connection()

    async def submit(self, item: Item) -> Result:
        """Write `item`; return its result once it is durable.

        Raises `StoreUnavailable` when the database is away or too much is waiting: the outcome is then unknown.
        """
        if len(self._waiting) >= self._waiting_max:
            raise StoreUnavailable("too many requests are waiting for the database")
        future: asyncio.Future[Result] = self._loop.create_future()
        self._waiting.append((item, future))
        self._work.set()
        return await future

    async def _run(self) -> None:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        begun_s = 0.0
        while True:
            await self._work.wait()
            if len(batch) >= BUSY and time.monotonic() - begun_s < self._gap_s:
                await asyncio.sleep(self._gap_s)
            begun_s = time.monotonic()
            batch, self._waiting = self._waiting[: self._batch_max], self._waiting[self._batch_max :]
            if not self._waiting:
                self._work.clear()
            try:
                await self._commit(batch)
            except asyncio.CancelledError:
                self._refuse(batch, StoreUnavailable("the service is stopping"))
                raise
            except Exception as error:  # the writer must outlive whatever one batch met
                away = error if isinstance(error, StoreUnavailable) else self._store.away(error)
                self._refuse(batch, away)

    async def _commit(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        """Write a batch; a data error in it is found by writing row by row, so that nobody pays for another.

        Whom others keep out by their locks is refused with `StoreUnavailable`: nothing was written, it may be repeated.
        """
        try:
            results = await self._write_surely([item for item, _ in batch])
        except asyncpg.LockNotAvailableError as error:  # each row by itself would wait as long
            self._refuse(batch, _kept_out(error))
            return
        except asyncpg.PostgresError as error:
            if len(batch) == 1:
                self._refuse(batch, _kept_out(error) if isinstance(error, ROLLED_BACK) else error)
                return
            for single in batch:
                await self._commit([single])
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)

    async def _write_surely(self, items: list[Item]) -> list[Result]:
        """Write once, and once more on a fresh connection when the first broke: unique keys make that safe."""
        for last_try in (False, True):
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                edge.point("group:before")
                async with asyncio.timeout(WRITE_S_MAX):
                    results = await self._attempt(self._connection, items)
                edge.point("group:after")
            except AWAY as error:
                await self._drop_connection()
                if last_try:
                    raise self._store.away(error) from error
            else:
                return results
        raise AssertionError("unreachable")

    async def _attempt(self, connection: Any, items: list[Item]) -> list[Result]:
        """Write a batch in one statement, which commits by itself."""
        return await self._write(connection, items)

    async def _connect(self) -> Any:
        connection = await self._store.connect()
        await connection.execute(PLANS)
        return connection

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    @staticmethod
    def _refuse(batch: list[tuple[Item, asyncio.Future[Result]]], error: Exception) -> None:
        for _, future in batch:
            if not future.done():
                future.set_exception(error)


class GroupTransaction(GroupCommit[Item, Result]):
    """The same for work of several statements: a batch is one transaction, and `write` is given it as a `Tx`.

    `quick` may carry out some items in a statement of its own first; for the others it answers `None`.
    """

    def __init__(self, store: Store, write: Write[Item, Result], quick: Quick[Item, Result] | None = None) -> None:
        super().__init__(store, write)
        self._quick = quick

    async def _attempt(self, connection: Any, items: list[Item]) -> list[Result]:
        quick = await self._quick(connection, items) if self._quick is not None else [None] * len(items)
        rest = [item for item, result in zip(items, quick, strict=True) if result is None]
        slow = iter(await self._transact(connection, rest) if rest else ())
        return [next(slow) if result is None else result for result in quick]

    async def _transact(self, connection: Any, items: list[Item]) -> list[Result]:
        """Write in a transaction; once more when it was certainly rolled back by a clash with another one."""
        try:
            return await in_transaction(connection, lambda tx: self._write(tx, items))
        except ROLLED_BACK:
            pass
        try:
            return await in_transaction(connection, lambda tx: self._write(tx, items))
        except ROLLED_BACK as error:
            raise _kept_out(error) from error


def _kept_out(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"others are busy with the same rows: {type(error).__name__}")
