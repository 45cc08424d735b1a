"""Spending: credits taken, durable before the answer, from 10,000 wallets and from a single one.

Over HTTP beside the usual way (FastAPI, an ORM, a row lock); in process beside pgbench's TPC-B-like transactions
(prepared) with as many clients on the same server, all in turn.
"""

import asyncio
import random
import re
import secrets
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import asyncpg
import uvloop

from bench import report
from bench.database import Database, described, worn_in
from bench.outcome import Goal, Outcome, at_least
from bench.processes import tree_cpu_s
from bench.report import aligned
from bench.rounds import Plan, Sample, Variant, run
from bench.variants import paydesk, server_env, uvicorn

WALLETS = 10_000
BALANCE = 10**12
CONNECTIONS = 64
AT_ONCE = 64
PGBENCH_SCALE = 10
KEY = "pdk_" + "b" * 64
SPREAD, HOT = "10,000 wallets", "one wallet"
COUNTS = {SPREAD: WALLETS, HOT: 1}


def customer(number: int) -> str:
    """Return the id of a customer of the benchmark."""
    return f"cst_{number:026d}"


def requests(wallets: int, count: int, _path: str) -> list[bytes]:
    """Return so many spends of one credit, each from a wallet by chance, under a key of its own."""
    dice = random.Random()
    run_ = secrets.token_hex(6)
    body = b'{"amount":1}'
    head = (
        "POST /v1/customers/{}/credits/spend HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\n"
        "Idempotency-Key: {}-{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    )
    return [
        head.format(customer(dice.randrange(wallets)), KEY, run_, number, len(body)).encode() + body
        for number in range(count)
    ]


# --- over HTTP -------------------------------------------------------------------------------------------------------

SEED = """
INSERT INTO customer (id) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING
"""


async def seed(dsn: str) -> None:
    """Make the customers and give each more than can be spent, by the ledger itself."""
    from paydesk.clock import Clock
    from paydesk.store import Store
    from paydesk.store.migrate import migrate
    from paydesk.wallet import Give, Wallets

    await migrate(dsn)
    store = await Store.open(dsn, clock=Clock())
    people = [customer(number) for number in range(WALLETS)]
    await store.execute(SEED, people)
    wallets = Wallets(store)
    wallets.start()
    for start in range(0, WALLETS, 500):
        some = people[start : start + 500]
        await asyncio.gather(*(wallets.run(Give(who, "credits", BALANCE, "seed")) for who in some))
    await wallets.stop()
    await store.execute("ANALYZE")
    await store.close()


def measure_http(database: Database, folder: Path, plan: Plan) -> tuple[list[Sample], list[Goal], str]:
    """Measure both ways over HTTP, spread and hot."""
    env = {**server_env(database.dsn, folder), "PAYDESK_API_KEY": KEY}
    usual = Variant("usual", uvicorn("bench.usual_spend:app"), path="/v1/spend")
    service = Variant("paydesk", paydesk("--no-work"), path="/v1/spend")
    samples: list[Sample] = []
    goals: list[Goal] = []
    texts: list[str] = []
    for what, wallets in COUNTS.items():
        print(f"  spend over HTTP, {what}", flush=True)
        some = run([usual, service], plan, partial(requests, wallets), env, folder, database.postmasters)
        compared = report.ratios(some, ["usual"])
        rates = [ratio for ratio in compared if ratio.figure == "rate_per_s" and ratio.variant == "paydesk"]
        goals += [at_least(f"spends over HTTP ÷ usual, {what}", ratio.median, 20) for ratio in rates]
        texts.append(f"{what}\n{report.table(some)}\n{report.ratio_table(compared)}")
        samples += some
    return samples, goals, "\n\n".join(texts)


# --- in process ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spent:
    """One measurement in process. CPU is per spend, in microseconds."""

    what: str
    round: int
    rate_per_s: float
    cpu_us: float
    database_cpu_us: float


async def _spend(database: Database, what: str, number: int, seconds: float) -> Spent:
    from paydesk.clock import Clock
    from paydesk.store import Store
    from paydesk.wallet import Spend, Wallets

    store = await Store.open(database.dsn, clock=Clock())
    wallets = Wallets(store)
    wallets.start()
    count = 0
    name = secrets.token_hex(6)
    end = time.perf_counter() + 1e9

    async def client(place: int) -> None:
        nonlocal count
        dice = random.Random(place)
        turn = 0
        while time.perf_counter() < end:
            who = customer(dice.randrange(COUNTS[what]))
            turn += 1
            await wallets.run(Spend(who, "credits", 1, f"{name}-{place}-{turn}"))
            count += 1

    async def load(for_s: float) -> None:
        nonlocal end
        end = time.perf_counter() + for_s
        await asyncio.gather(*(client(AT_ONCE * int(for_s * 1000) + place) for place in range(AT_ONCE)))

    await load(seconds)  # fills what is remembered
    count, name = 0, secrets.token_hex(6)
    before, cpu_s, database_s = time.perf_counter(), time.process_time(), tree_cpu_s(database.postmasters)
    await load(seconds)
    taken_s = time.perf_counter() - before
    cpu_s, database_s = time.process_time() - cpu_s, tree_cpu_s(database.postmasters) - database_s
    await wallets.stop()
    await store.close()
    return Spent(what, number, count / taken_s, cpu_s / count * 1e6, database_s / count * 1e6)


class Pgbench:
    """PostgreSQL's own benchmark, in a database of its own on the same server."""

    def __init__(self, binaries: Path, dsn: str) -> None:
        self._program = str(binaries / "pgbench")
        self._dsn = dsn
        subprocess.run([self._program, "-i", "-q", "-s", str(PGBENCH_SCALE), dsn], check=True, capture_output=True)

    def rate_per_s(self, seconds: float) -> float:
        """Return transactions a second, prepared, with as many clients as spends are under way."""
        options = ("-M", "prepared", "-c", str(AT_ONCE), "-j", "2", "-T", str(max(1, round(seconds))))
        told = subprocess.run([self._program, *options, self._dsn], check=True, capture_output=True, text=True).stdout
        found = re.search(r"tps = ([0-9.]+)", told)
        if found is None:
            raise SystemExit(f"pgbench said something else: {told}")
        return float(found[1])


def measure_process(
    database: Database, pgbench: Pgbench, rounds: int, seconds: float
) -> tuple[list[Spent], list[Goal], str]:
    """Measure in turn: pgbench, spread, hot."""
    spent: list[Spent] = []
    beside: dict[str, list[float]] = {SPREAD: [], HOT: []}
    hot: list[float] = []
    rates: list[float] = []
    for number in range(1, rounds + 1):
        rates.append(pgbench.rate_per_s(seconds))
        print(f"  spend in process, round {number}/{rounds}: pgbench {rates[-1]:,.0f}/s", flush=True)
        for what in COUNTS:
            spent.append(uvloop.run(_spend(database, what, number, seconds)))
            beside[what].append(spent[-1].rate_per_s / rates[-1])
            print(f"  spend in process, round {number}/{rounds}: {what} {spent[-1].rate_per_s:,.0f}/s", flush=True)
        hot.append(spent[-1].rate_per_s / spent[-2].rate_per_s)
    goals = [
        at_least(f"spends in process ÷ pgbench, {what}", statistics.median(ratios), 10)
        for what, ratios in beside.items()
    ]
    goals.append(at_least("one hot wallet ÷ 10,000 wallets", statistics.median(hot), 1))
    return spent, goals, _table(spent, rates)


def _table(spent: Sequence[Spent], rates: Sequence[float]) -> str:
    rows: list[tuple[str, ...]] = [("in process, 64 at once", "per s", "CPU µs", "database")]
    rows.append((f"pgbench, scale {PGBENCH_SCALE}", f"{statistics.median(rates):,.0f}", "", ""))
    for what in COUNTS:
        own = [one for one in spent if one.what == what]
        rows.append((what, *(f"{statistics.median(getattr(one, name) for one in own):,.0f}"
                             for name in ("rate_per_s", "cpu_us", "database_cpu_us"))))  # fmt: skip
    return aligned(rows)


def measure(folder: Path, *, rounds: int, seconds: float) -> Outcome:
    """Measure everything on a server of its own."""
    from paydesk.store import embedded

    server = embedded.start(folder)
    try:
        asyncio.run(worn_in(server.admin_dsn))
        database = asyncio.run(described(server.dsn))
        asyncio.run(seed(server.dsn))
        pgbench = Pgbench(server.binaries, asyncio.run(_made(server.admin_dsn, server.dsn)))
        spent, goals, text = measure_process(database, pgbench, rounds, seconds)
        plan = Plan(rounds, (CONNECTIONS,), 40_000, seconds)
        samples, more, table = measure_http(database, folder.parent, plan)
    finally:
        server.release()
        embedded.remove(folder)
    unclean = sorted({sample.variant for sample in samples if not sample.clean})
    trouble = f"{', '.join(unclean)} did not answer every request with 200" if unclean else ""
    data = {"process": [asdict(one) for one in spent], "http": [asdict(one) for one in samples]}
    return Outcome("spend", f"{text}\n\n{table}", data, [*goals, *more], trouble)


async def _made(admin_dsn: str, dsn: str) -> str:
    """Make a database for pgbench and return its address."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        await connection.execute('CREATE DATABASE "pgbench" OWNER paydesk')
    finally:
        await connection.close()
    return dsn.replace("@/paydesk?", "@/pgbench?")
