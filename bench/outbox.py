"""Sending: does a channel that hangs delay the others, and does a backlog leave as fast as its platform allows?

Two channels are told something a hundred times a second while a third does nothing, and then while the third takes ten
seconds for each of its messages: rounds alternate, and the medians from the row to its delivery are compared. A backlog
of 100,000 messages then waits for a channel that may be asked so often a second, and after it one of roles, every second
of which is to be given and every other to be taken: of each it is asked, before and after, whether that is still wanted.
"""

import asyncio
import random
import resource
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from bench import purchases
from bench.database import Database
from bench.outcome import Outcome, at_least, at_most
from bench.report import aligned
from bench.variants import server_env
from paydesk.app import open_service
from paydesk.channels.base import Action, Channel, Limits, Receipt
from paydesk.config import load
from paydesk.service import Service

BACKLOG = 100_000
ROLES = 30_000
ALLOWED_PER_S = 500.0
TOLD_PER_S = 100
ROUND_S = 6.0
HANGS_S = 10.0

PUT = """
INSERT INTO outbox (dedup_key, channel, address, template, params)
SELECT $1 || ':' || n, $1, 'a' || n % 5000, 'pass_ended', '{"feature": "premium"}' FROM generate_series($2::int, $3::int) n
"""

PUT_ROLES = """
WITH person AS (
    INSERT INTO customer (id) SELECT 'cst_r' || lpad(n::text, 25, '0') FROM generate_series($2::int, $3::int) n RETURNING id
), met AS (
    INSERT INTO identity (channel, external_id, customer_id) SELECT $1, id, id FROM person
), meant AS (
    INSERT INTO membership (customer_id, channel, space, role, wanted)
    SELECT id, $1, '1', '2', right(id, 1)::int % 2 = 0 FROM person RETURNING customer_id, wanted
)
INSERT INTO outbox (dedup_key, customer_id, channel, address, conversation, template, params)
SELECT 'member:' || customer_id, customer_id, $1, customer_id, '1|2', CASE WHEN wanted THEN 'grant' ELSE 'revoke' END,
       '{"space": "1", "role": "2", "version": 1}' FROM meant
"""


class Told(Channel):
    """Notes when each message came; takes `takes_s` for it."""

    admits = True

    def __init__(self, name: str, limits: Limits, takes_s: float = 0.0) -> None:
        self.name = name
        self.limits = limits
        self.takes_s = takes_s
        self.at: dict[str, float] = {}
        self.count = 0
        self.keeps = True

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        if self.takes_s:
            await asyncio.sleep(self.takes_s)
        self.count += 1
        if self.keeps:
            self.at[action.key] = time.perf_counter()
        return Receipt()


@dataclass(frozen=True)
class Drained:
    """A backlog that left: how fast beside what is allowed, and how much more memory that took, in MB."""

    count: int
    seconds: float
    share: float
    more_mb: float


def measure(database: Database, folder: Path, rounds: int) -> Outcome:
    """Measure both."""
    quiet, hanging, (drained, roles) = uvloop.run(_measured(database, folder, rounds))
    ratio = statistics.median(hanging) / statistics.median(quiet)
    rows = [
        ("what", "figure"),
        ("median to the message, all well", f"{statistics.median(quiet) * 1e3:.1f} ms"),
        ("median while a third channel hangs", f"{statistics.median(hanging) * 1e3:.1f} ms"),
        (f"backlog of {drained.count:,}", f"{drained.seconds:.1f} s, {drained.share:.3f} of what is allowed"),
        ("memory while it left", f"{drained.more_mb:+.1f} MB"),
        (f"backlog of {roles.count:,} roles", f"{roles.seconds:.1f} s, {roles.share:.3f} of what is allowed"),
    ]
    goals = [
        at_most("median of the others while one channel hangs ÷ all well", ratio, 1.10, "x"),
        at_least("a backlog's rate ÷ the allowed rate", drained.share, 0.9),
        at_most("memory while 100,000 messages leave", drained.more_mb, 16, "MB more"),
        at_least("the rate of roles given and taken ÷ the allowed rate", roles.share, 0.9),
    ]
    data = {"quiet_s": quiet, "hanging_s": hanging, "backlog": asdict(drained), "roles": asdict(roles)}
    return Outcome("outbox", aligned(rows), data, goals)


@asynccontextmanager
async def _opened(database: Database, folder: Path, *channels: Told) -> AsyncIterator[Service]:
    env = server_env(database.dsn, folder)
    async with open_service(load(env, folder=folder), list(channels)) as service:
        await service.store.execute("UPDATE outbox SET state = 'dead' WHERE state IN ('ready','leased','waiting')")
        sending = asyncio.create_task(service.worker._senders.run())
        try:
            yield service
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


Measured = tuple[list[float], list[float], tuple[Drained, Drained]]


async def _measured(database: Database, folder: Path, rounds: int) -> Measured:
    purchases.quiet_logs()
    quiet: list[float] = []
    hanging: list[float] = []
    for number in range(2 * rounds):
        (hanging if number % 2 else quiet).append(await _round(database, folder, number, hangs=bool(number % 2)))
        print(f"  outbox, round {number // 2 + 1}/{rounds}", flush=True)
    drained = await _drained(database, folder, PUT, BACKLOG)
    return quiet, hanging, (drained, await _drained(database, folder, PUT_ROLES, ROLES))


async def _round(database: Database, folder: Path, number: int, *, hangs: bool) -> float:
    """Tell two channels something a hundred times a second; return the median time from the row to its delivery."""
    fast = Limits(per_s=1000.0, at_once=16)
    told = [Told("first", fast), Told("second", fast)]
    third = Told("third", fast, HANGS_S)
    put_at: dict[str, float] = {}
    async with _opened(database, folder, *told, third) as service:
        if hangs:
            await service.store.execute(PUT.replace("$1 ||", f"'{number}' || $1 ||"), "third", 1, 200)
        end = time.perf_counter() + ROUND_S
        index = 0
        while time.perf_counter() < end:
            index += 1
            channel = told[index % 2].name
            key = f"{number}:{channel}:{index}"
            put_at[key] = time.perf_counter()
            await service.store.execute(
                "INSERT INTO outbox (dedup_key, channel, address, template, params) "
                "VALUES ($1, $2, $1, 'pass_ended', '{\"feature\": \"premium\"}')", key, channel,
            )  # fmt: skip
            service.bell.ring("outbox")
            await asyncio.sleep(random.expovariate(TOLD_PER_S))
        await asyncio.sleep(1.0)
    arrived = {**told[0].at, **told[1].at}
    if len(arrived) != len(put_at):
        raise SystemExit(f"only {len(arrived)} of {len(put_at)} messages arrived")
    return statistics.median(arrived[key] - at for key, at in put_at.items())


async def _drained(database: Database, folder: Path, put: str, count: int) -> Drained:
    """Let a backlog leave by a channel with a rate; return how fast it was, after a tenth of it to warm up."""
    channel = Told("limited", Limits(per_s=ALLOWED_PER_S, at_once=32))
    channel.keeps = False
    async with _opened(database, folder, channel) as service:
        await service.store.execute(put, channel.name, 1, count)
        for table in ("outbox", "membership", "identity"):
            await service.store.execute(f"ANALYZE {table}")
        service.bell.ring("outbox")
        while channel.count < count // 10:
            await asyncio.sleep(0.05)
        start, first, before_mb = time.perf_counter(), channel.count, _peak_mb()
        while channel.count < count:
            await asyncio.sleep(0.05)
        taken_s = time.perf_counter() - start
    return Drained(count, taken_s, (count - first) / taken_s / ALLOWED_PER_S, _peak_mb() - before_mb)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
