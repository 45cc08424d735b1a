"""Settling: how fast one worker turns stored events into paid orders, ledger entries, grants and messages to be sent.

The events are in the inbox before the clock starts. Each round measures the usual endpoint's *ingestion* first (it
does nothing with an event but store it), then one worker's settling, then the deliveries of what it has written.
"""

import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import uvloop

from bench import purchases, stripe_events
from bench.database import Database
from bench.outcome import Outcome, at_least
from bench.processes import tree_cpu_s
from bench.report import aligned
from bench.rounds import Bench, Plan
from bench.variants import USUAL, server_env
from paydesk import inbox
from paydesk.service import Service
from paydesk.stripe.envelope import envelope

BUYERS = 10_000
CONNECTIONS = 64
PUT_AT_ONCE = 1000
VARIANTS: Mapping[str, Sequence[str]] = {"one event": purchases.ALONE, "three events": purchases.TRIO}


@dataclass(frozen=True)
class Drained:
    """One measurement: what was done in how long. CPU is per thing done, in microseconds; `beside_usual` a ratio."""

    what: str
    round: int
    count: int
    rate_per_s: float
    purchases_per_s: float
    worker_cpu_us: float
    database_cpu_us: float
    beside_usual: float


def measure(postgres: Database, folder: Path, *, rounds: int, count: int) -> Outcome:
    """Measure `rounds` rounds with `count` purchases each and variant."""
    env = server_env(postgres.dsn, folder)
    bench = Bench(stripe_events.requests, env, folder, postgres.postmasters)
    plan = Plan(1, (CONNECTIONS,), 20_000, 4.0)
    drained: list[Drained] = []
    with bench.started(USUAL) as running:
        bench.running[USUAL.name] = running
        bench.measure(USUAL, plan.warm_up(CONNECTIONS), CONNECTIONS, 0)
        for number in range(1, rounds + 1):
            usual_per_s = bench.measure(USUAL, plan, CONNECTIONS, number).rate_per_s
            print(f"  settle, round {number}/{rounds}: usual ingestion {usual_per_s:,.0f}/s", flush=True)
            for what, kinds in VARIANTS.items():
                round_ = _Round(number, usual_per_s, postgres.postmasters)
                drained += uvloop.run(_one(round_, env, folder, what, kinds, count))
    return _outcome(drained)


@dataclass(frozen=True)
class _Round:
    number: int
    usual_per_s: float
    postmasters: Sequence[int]

    async def time(self, what: str, step: Callable[[], Awaitable[int]], count: int, purchases_: int) -> Drained:
        """Repeat `step` until it returns 0, and say what that took per `count` things."""
        cpu_s, database_s, start_s = time.process_time(), tree_cpu_s(self.postmasters), time.perf_counter()
        while await step():
            pass
        taken_s = time.perf_counter() - start_s
        cpu_s, database_s = time.process_time() - cpu_s, tree_cpu_s(self.postmasters) - database_s
        load = os.getloadavg()[0]
        print(f"  settle, round {self.number}: {what} {count / taken_s:,.0f}/s (load {load:.1f})", flush=True)
        return Drained(
            what, self.number, count, count / taken_s, purchases_ / taken_s, cpu_s / count * 1e6,
            database_s / count * 1e6, count / taken_s / self.usual_per_s,
        )  # fmt: skip


async def _one(
    round_: _Round, env: Mapping[str, str], folder: Path, what: str, kinds: Sequence[str], count: int
) -> list[Drained]:
    """Settle and deliver `count` new purchases, after a tenth as many to warm up; check that all were fulfilled."""
    async with purchases.opened(env, folder) as service:
        await _received(service, kinds, count // 10)
        await service.worker.drain()
        made = await _received(service, kinds, count)
        settled = await round_.time(f"{what}: settled", service.worker.work_inbox, count * len(kinds), count)
        await _require_fulfilled(service, made)
        delivered = await round_.time(f"{what}: delivered", service.worker.work_outbox, count, count)
    return [settled, delivered]


async def _received(service: Service, kinds: Sequence[str], count: int) -> list[str]:
    """Make `count` orders, store the events of their purchases as the webhook does; return the orders' ids."""
    buyers = await purchases.make_buyers(service.store, min(BUYERS, count))
    made = await purchases.make_purchases(service, buyers, count)
    envelopes = [envelope(body) for body in purchases.bodies(made, kinds)]
    for start in range(0, len(envelopes), PUT_AT_ONCE):
        async with service.store.transaction() as tx:
            await inbox.put(tx, envelopes[start : start + PUT_AT_ONCE])
    return [purchase.order for purchase in made]


async def _require_fulfilled(service: Service, orders: Sequence[str]) -> None:
    fulfilled: int = await service.store.fetchval(
        "SELECT count(*) FROM orders o JOIN outbox m ON m.dedup_key = 'paid:' || o.id "
        "WHERE o.id = ANY($1::text[]) AND o.status = 'fulfilled'",
        orders,
    )
    if fulfilled != len(orders):
        raise SystemExit(f"only {fulfilled} of {len(orders)} orders were fulfilled: what was measured is not settling")


def _outcome(drained: Sequence[Drained]) -> Outcome:
    rows: list[tuple[str, ...]] = [
        ("what", "per s", "purchases/s", "CPU µs worker", "database", "÷ usual ingestion (lowest–highest)")
    ]
    ratios: dict[str, float] = {}
    for what in dict.fromkeys(one.what for one in drained):
        own = [one for one in drained if one.what == what]
        beside = [one.beside_usual for one in own]
        ratios[what] = statistics.median(beside)
        middle = [
            statistics.median(getattr(one, figure) for one in own)
            for figure in ("rate_per_s", "purchases_per_s", "worker_cpu_us", "database_cpu_us")
        ]
        range_ = f"{ratios[what]:.3g} ({min(beside):.3g}–{max(beside):.3g})"
        rows.append((what, *(f"{value:,.0f}" for value in middle), range_))
    goals = [
        at_least(f"settled events, {name}, one worker ÷ usual ingestion", ratios[f"{name}: settled"], 8, later=True)
        for name in VARIANTS
    ]
    text = "Medians over the rounds; settled counts events, delivered counts messages\n" + aligned(rows)
    return Outcome("settle", text, {"samples": [asdict(one) for one in drained]}, goals)
