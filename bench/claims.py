"""Claiming: what it costs a worker to look whether anything is due, and to lease and read it, in inboxes of all sizes.

Each inbox has an embedded server of its own, so that they can be measured in turn.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from bench.database import Database, described
from bench.outcome import Outcome, at_least
from bench.processes import tree_cpu_s
from bench.report import aligned
from paydesk import inbox
from paydesk.clock import Clock
from paydesk.inbox import LANES
from paydesk.store import Store, embedded
from paydesk.store.migrate import migrate
from paydesk.worker import LANES_MAX, ROWS_MAX

FILLINGS = {"empty": 0, "50,000 in the future": 50_000, "1,000,000 finished": 1_000_000}
DUE = 20_000
TIMES = 150

FILL = f"""
INSERT INTO inbox (source, external_id, kind, lane, body, livemode, state, next_at, finished_at)
SELECT 'bench', $1 || n, 'payment_intent.succeeded', (n * 7919) % {LANES}, '{{}}', false, $2, $3::text::timestamptz,
       CASE WHEN $2 = 'done' THEN now() END
FROM generate_series(1, $4::int) n
"""
AT_ONCE = 100_000


@dataclass(frozen=True)
class Looked:
    """One measurement: times a second, and the database's processor time for one, in microseconds."""

    filling: str
    what: str
    round: int
    per_s: float
    median_ms: float
    database_cpu_us: float


def measure(folder: Path, *, rounds: int) -> Outcome:
    """Measure every inbox, `rounds` times in turn: first when nothing is due, then with 20,000 rows due."""
    folder.mkdir()
    with ExitStack() as stack:
        databases = {}
        for number, filling in enumerate(FILLINGS):
            server = embedded.start(folder / str(number))
            stack.callback(server.release)
            databases[filling] = asyncio.run(described(server.dsn))
        return _outcome(uvloop.run(_measured(databases, rounds)))


async def _measured(databases: dict[str, Database], rounds: int) -> list[Looked]:
    looked: list[Looked] = []
    async with AsyncExitStack() as stack:
        stores = {}
        for filling, database in databases.items():
            await migrate(database.dsn)
            store = stores[filling] = await Store.open(database.dsn, clock=Clock())
            stack.push_async_callback(store.close)
            await _fill(store, filling)
        for what in ("nothing due", "claim, read, release"):
            if what != "nothing due":
                for store in stores.values():
                    await store.execute(FILL, "due ", "ready", "-infinity", DUE)
                    await store.execute("ANALYZE inbox")
            for number in range(rounds + 1):  # the first only warms up
                for filling, store in stores.items():
                    one = await _looked(databases[filling], store, filling, what, number)
                    looked += [one] if number else []
    return looked


async def _fill(store: Store, filling: str) -> None:
    state, next_at = ("done", "-infinity") if "finished" in filling else ("ready", "2200-01-01")
    for start in range(0, FILLINGS[filling], AT_ONCE):
        await store.execute(FILL, f"{start} ", state, next_at, min(AT_ONCE, FILLINGS[filling] - start))
    await store.execute("ANALYZE inbox")  # which autovacuum does within a minute
    print(f"  claims: filled {filling}", flush=True)


async def _looked(database: Database, store: Store, filling: str, what: str, number: int) -> Looked:
    cpu_s, taken_s, lane = tree_cpu_s(database.postmasters), [], 0
    for _ in range(TIMES):
        start_s = time.perf_counter()
        held = await inbox.claim(store, start_lane=lane, lanes_max=LANES_MAX, rows_max=ROWS_MAX)
        if (held is None) != (what == "nothing due"):
            raise SystemExit(f"claims: {filling}: what was claimed is not what was due")
        if held is not None:
            await inbox.read(store, held)
            await inbox.release(store, held)
            lane = (held.lanes[-1] + 1) % LANES
        taken_s.append(time.perf_counter() - start_s)
    cpu_s = tree_cpu_s(database.postmasters) - cpu_s
    return Looked(filling, what, number, TIMES / sum(taken_s), statistics.median(taken_s) * 1e3, cpu_s / TIMES * 1e6)


def _outcome(looked: Sequence[Looked]) -> Outcome:
    rows: list[tuple[str, ...]] = [("inbox", "what", "per s", "median ms", "CPU µs database", "÷ empty")]
    beside: dict[tuple[str, str], float] = {}
    for filling, what in dict.fromkeys((one.filling, one.what) for one in looked):
        own = [one for one in looked if (one.filling, one.what) == (filling, what)]
        base = [one for one in looked if (one.filling, one.what) == ("empty", what)]
        beside[filling, what] = statistics.median(a.per_s / b.per_s for a, b in zip(own, base, strict=True))
        middle = [
            statistics.median(getattr(one, name) for one in own) for name in ("per_s", "median_ms", "database_cpu_us")
        ]
        rows.append(
            (
                filling,
                what,
                f"{middle[0]:,.0f}",
                f"{middle[1]:.2f}",
                f"{middle[2]:,.0f}",
                f"{beside[filling, what]:.2f}",
            )
        )
    ratio = beside["1,000,000 finished", "claim, read, release"]
    goals = [at_least("claims a second with 1,000,000 finished rows ÷ with none", ratio, 0.8, later=True)]
    text = (
        f"Medians over the rounds; up to {LANES_MAX} lanes and {ROWS_MAX} rows at once, {DUE:,} rows due\n"
        + aligned(rows)
    )
    return Outcome("claims", text, {"samples": [asdict(one) for one in looked]}, goals)
