"""A sweep: 100,000 passes with a role end in the same minute. How long until all is settled, and in how much memory.

A tenth as many go first. One worker moves timers into the inbox and settles them: each takes a person's role back,
writes what the server is to be told, and what the buyer is to hear.
"""

import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from bench import purchases
from bench.database import Database
from bench.outcome import Outcome, at_most
from bench.processes import tree_cpu_s
from bench.report import aligned
from bench.variants import server_env
from paydesk.service import Service

COUNT = 100_000
FEWER = 10_000
DAY_S = 86_400
AT_ONCE = 10_000

SEED = f"""
WITH person AS (
    INSERT INTO customer (id) SELECT 'cst_t' || lpad(n::text, 25, '0') FROM generate_series($1::int, $2::int) n RETURNING id
), met AS (
    INSERT INTO identity (channel, external_id, customer_id) SELECT 'discord', id, id FROM person
), made AS (
    INSERT INTO orders (id, customer_id, status, amount, currency, livemode, link_token, paid_at, channel, external_id)
    SELECT replace(id, 'cst', 'ord'), id, 'fulfilled', 2999, 'usd', false, id, now(), 'web', id FROM person
    RETURNING id, customer_id
), sold AS (
    INSERT INTO source (id, customer_id, order_id, kind, unit, terms, worth, posted, revision, since)
    SELECT id || ':0:0', customer_id, id, 'role', 'one', '{{"feature": "discord:1:2", "days": 1}}', {DAY_S}, {DAY_S}, 1,
           desk_now() - interval '1 day' + $3 * interval '1 s' + random() * interval '1 min' FROM made
    RETURNING id, customer_id, since
), held AS (
    INSERT INTO grant_ (source, customer_id, kind, feature, since, seconds)
    SELECT id, customer_id, 'role', 'discord:1:2', since, {DAY_S} FROM sold
), timed AS (
    INSERT INTO timer (kind, subject, due, customer_id)
    SELECT 'pass_end', customer_id || '|discord:1:2', since + interval '1 day', customer_id FROM sold
)
INSERT INTO membership (customer_id, channel, space, role, wanted) SELECT customer_id, 'discord', '1', '2', true FROM sold
"""


@dataclass(frozen=True)
class Swept:
    """A sweep, and what one timer of it cost in processor time, in microseconds, here and in the database."""

    count: int
    seconds: float
    cpu_us: float
    database_cpu_us: float
    peak_mb: float


def measure(database: Database, folder: Path) -> Outcome:
    """Sweep 10,000 timers, then 100,000."""
    swept = uvloop.run(_measured(database, folder))
    rows = [("timers", "seconds", "per s", "CPU µs worker", "CPU µs database", "peak MB")]
    rows += [
        (f"{one.count:,}", f"{one.seconds:.1f}", f"{one.count / one.seconds:,.0f}", f"{one.cpu_us:,.0f}",
         f"{one.database_cpu_us:,.0f}", f"{one.peak_mb:,.0f}") for one in swept
    ]  # fmt: skip
    few, many = swept
    goals = [
        at_most(f"{COUNT:,} timers due in one minute, settled in", many.seconds, 60, "s"),
        at_most(f"memory for {COUNT // FEWER} times the timers", many.peak_mb - few.peak_mb, 32, "MB more"),
    ]
    return Outcome("timers", aligned(rows), {"sweeps": [asdict(one) for one in swept]}, goals)


async def _measured(database: Database, folder: Path) -> list[Swept]:
    async with purchases.opened(server_env(database.dsn, folder), folder) as service:
        await service.worker.drain()
        return [await _sweep(service, database, 0, FEWER), await _sweep(service, database, FEWER, COUNT)]


async def _sweep(service: Service, database: Database, start: int, count: int) -> Swept:
    """Let so many passes end within a minute, and settle them when it is over."""
    for first in range(start, start + count, AT_ONCE):
        await service.store.execute(SEED, first, first + AT_ONCE - 1, 3600)
    for table in ("customer", "identity", "orders", "source", "grant_", "timer", "membership"):
        await service.store.execute(f"ANALYZE {table}")
    await service.store.execute("UPDATE desk SET clock_offset_s = clock_offset_s + 3660")
    await service.store.refresh_clock()
    cpu_s, database_s, begun_s = time.process_time(), tree_cpu_s(database.postmasters), time.perf_counter()
    while await service.worker.work_timers() + await service.worker.work_inbox():
        pass
    taken_s = time.perf_counter() - begun_s
    cpu_s, database_s = time.process_time() - cpu_s, tree_cpu_s(database.postmasters) - database_s
    told: int = await service.store.fetchval("SELECT count(*) FROM outbox WHERE template = 'revoke'")
    if told != start + count:
        raise SystemExit(f"timers: {told:,} of {start + count:,} roles were taken back")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Swept(count, taken_s, cpu_s / count * 1e6, database_s / count * 1e6, peak_mb)
