"""Access checks: how long one takes at 1,000 a second, and how many are answered beside an endpoint that does nothing.

Everybody asked about has a pass; each check is of somebody by chance. The load at 1,000 a second keeps to its timetable
whatever the answers do: a late answer counts from when its question was due.
"""

import asyncio
import gc
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import asyncpg
import uvloop

from bench import load, report
from bench.database import Database
from bench.outcome import Outcome, at_least, at_most
from bench.report import aligned
from bench.rounds import Bench, Plan, Variant, run
from bench.spend import KEY, customer
from bench.variants import paydesk, server_env, uvicorn

PEOPLE = 10_000
CONNECTIONS = 64
PER_S = 1_000
PACED_CONNECTIONS = 32
EMPTY = Variant("empty", uvicorn("bench.ceiling:app"))
SERVICE = Variant("paydesk", paydesk("--no-work"))

SEED = f"""
WITH person AS (
    INSERT INTO customer (id) SELECT 'cst_' || lpad(n::text, 26, '0') FROM generate_series(0, {PEOPLE - 1}) n RETURNING id
), made AS (
    INSERT INTO orders (id, customer_id, status, amount, currency, livemode, link_token, paid_at)
    SELECT replace(id, 'cst', 'ord'), id, 'fulfilled', 2999, 'usd', false, id, now() FROM person RETURNING id, customer_id
), line AS (
    INSERT INTO order_line (order_id, position, price_key, name, quantity, unit_amount)
    SELECT id, 0, 'access-30d', '30 days of access', 1, 2999 FROM made
), sold AS (
    INSERT INTO source (id, customer_id, order_id, kind, unit, terms, worth, posted, revision, since)
    SELECT id || ':0:0', customer_id, id, 'pass', 'seconds', '{{"feature": "premium", "days": 30}}', 2592000, 2592000, 1, now()
    FROM made RETURNING id, customer_id, since
)
INSERT INTO grant_ (source, customer_id, kind, feature, since, seconds)
SELECT id, customer_id, 'pass', 'premium', since, 2592000 FROM sold
"""


@dataclass(frozen=True)
class Paced:
    """One measurement at 1,000 a second, in milliseconds from when each question was due."""

    variant: str
    round: int
    p50_ms: float
    p99_ms: float
    answered_per_s: float


def request(number: int) -> bytes:
    """Return one check of somebody's access."""
    return (
        f"GET /v1/customers/{customer(number)}/access?feature=premium HTTP/1.1\r\nHost: bench\r\n"
        f"Authorization: Bearer {KEY}\r\n\r\n"
    ).encode()


def requests(count: int, _path: str) -> list[bytes]:
    """Return so many checks, each of somebody by chance."""
    dice = random.Random()
    return [request(dice.randrange(PEOPLE)) for _ in range(count)]


async def seed(dsn: str) -> None:
    """Make people who have a pass each."""
    from paydesk.store.migrate import migrate

    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(SEED)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


async def paced(port: int, seconds: float) -> list[float]:
    """Ask 1,000 times a second; return how late each answer was, in milliseconds. Raises for any but a 200."""
    dice = random.Random()
    late_ms: list[float] = []
    start = time.perf_counter() + 0.05
    count = int(PER_S * seconds)

    async def ask(place: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(place, count, PACED_CONNECTIONS):
            due = start + number / PER_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(request(dice.randrange(PEOPLE)))
            status = await _answered(reader)
            late_ms.append((time.perf_counter() - due) * 1e3)
            if status != 200:
                raise SystemExit(f"access: a check was answered with {status}")
        writer.close()

    gc.disable()
    try:
        await asyncio.gather(*(ask(place) for place in range(PACED_CONNECTIONS)))
    finally:
        gc.enable()
    return late_ms


async def _answered(reader: asyncio.StreamReader) -> int:
    """Read one answer whole; return its status."""
    data = b""
    while (status := load.answered(data)) is None:
        more = await reader.read(65_536)
        if not more:
            return load.NO_ANSWER
        data += more
    return status


def _paced(bench: Bench, variant: Variant, number: int, seconds: float) -> Paced:
    with bench.started(variant) as (port, _):
        uvloop.run(paced(port, 1.0))  # fills pools and caches
        late_ms = sorted(uvloop.run(paced(port, seconds)))
    taken_s = seconds + late_ms[-1] / 1e3
    return Paced(
        variant.name, number, late_ms[len(late_ms) // 2], late_ms[len(late_ms) * 99 // 100], len(late_ms) / taken_s
    )


def measure(database: Database, folder: Path, *, rounds: int, seconds: float) -> Outcome:
    """Measure both in turn: as fast as they can, then at 1,000 a second."""
    asyncio.run(seed(database.dsn))
    env = {**server_env(database.dsn, folder), "PAYDESK_API_KEY": KEY}
    bench = Bench(partial(requests), env, folder, database.postmasters)
    samples = run(
        [EMPTY, SERVICE], Plan(rounds, (CONNECTIONS,), 40_000, seconds), requests, env, folder, database.postmasters
    )
    steady = []
    for number in range(1, rounds + 1):
        for variant in (EMPTY, SERVICE):
            steady.append(_paced(bench, variant, number, seconds))
            print(
                f"  access at {PER_S:,}/s, round {number}/{rounds}: {variant.name} {steady[-1].p50_ms:.2f} ms",
                flush=True,
            )
    compared = report.ratios(samples, [EMPTY.name])
    share = next(one.median for one in compared if one.figure == "rate_per_s")
    median_ms = statistics.median(one.p50_ms for one in steady if one.variant == SERVICE.name)
    goals = [
        at_most(f"median access check at {PER_S:,} a second", median_ms, 5, "ms"),
        at_least("access checks ÷ the empty endpoint", share, 0.5),
    ]
    unclean = sorted({sample.variant for sample in samples if not sample.clean})
    trouble = f"{', '.join(unclean)} did not answer every request with 200" if unclean else ""
    text = f"{report.table(samples)}\n{report.ratio_table(compared)}\n\n{_table(steady)}"
    data = {"samples": [asdict(one) for one in samples], "steady": [asdict(one) for one in steady]}
    return Outcome("access", text, data, goals, trouble)


def _table(steady: Sequence[Paced]) -> str:
    rows: list[tuple[str, ...]] = [(f"at {PER_S:,} a second", "p50 ms", "p99 ms", "answered per s")]
    for name in (EMPTY.name, SERVICE.name):
        own = [one for one in steady if one.variant == name]
        middle = (
            statistics.median(getattr(one, figure) for one in own) for figure in ("p50_ms", "p99_ms", "answered_per_s")
        )
        rows.append((name, *(f"{value:,.2f}" for value in middle)))
    return aligned(rows)
