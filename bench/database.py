"""The PostgreSQL of a run: Paydesk's embedded one in a new folder, or one given by its address."""

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench.processes import name_of, parent_of

SETTINGS = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")


@dataclass(frozen=True)
class Database:
    """Where it is, its root process (none when it runs elsewhere), and the settings that decide what durable costs."""

    dsn: str
    postmasters: tuple[int, ...]
    settings: dict[str, str]


@contextmanager
def opened(folder: Path, url: str | None) -> Iterator[Database]:
    """Give the database at `url`, or an embedded one in `folder` that is stopped and deleted afterwards."""
    if url is not None:
        yield asyncio.run(described(url))
        return
    from paydesk.store import embedded  # only here: the other half needs nothing of Paydesk's

    server = embedded.start(folder)
    try:
        asyncio.run(worn_in(server.admin_dsn))
        yield asyncio.run(described(server.dsn))
    finally:
        server.release()
        embedded.remove(folder)


async def worn_in(dsn: str) -> None:
    """Write as much as a server that has run for a while, so that its log files are used again.

    A fresh server fills each new log file with zeros and makes that durable, 16 MB at a time, while every commit waits
    for some 60 ms. One that has been through a checkpoint or two does not.
    """
    connection = await asyncpg.connect(dsn)
    try:
        for _ in range(3):
            await connection.execute(
                "SELECT pg_logical_emit_message(false, 'worn', repeat('x', 1048576)) FROM generate_series(1, 200)"
            )
            await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def described(dsn: str) -> Database:
    """Return what is to know of the database at `dsn`."""
    connection = await asyncpg.connect(dsn)
    try:
        settings = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in SETTINGS}
        backend: int = await connection.fetchval("SELECT pg_backend_pid()")
        return Database(dsn, _postmasters(backend), settings)
    finally:
        await connection.close()


def _postmasters(backend: int) -> tuple[int, ...]:
    """Find the server's root process by its child; nothing when that process is on another machine."""
    return (parent_of(backend),) if name_of(backend).startswith("postgres") else ()


def fdatasync_ms(folder: Path, times: int = 200) -> float:
    """Return the median time to make an 8 KB append durable in `folder`: the floor under every durable answer."""
    taken_ms = []
    with (folder / "fdatasync").open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(bytes(8192))
            start_ns = time.perf_counter_ns()
            os.fdatasync(file.fileno())
            taken_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    return statistics.median(taken_ms)
