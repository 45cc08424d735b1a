"""From a purchase to the words about it: the signed event is posted, and a client that holds the chat page's live
stream open waits for the message, as the buyer's browser does. One purchase at a time, idle and under a load of others.
"""

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench import purchases, stripe_events
from bench.database import Database
from bench.load import answered
from bench.outcome import Outcome, at_most
from bench.purchases import Purchase
from bench.report import aligned
from bench.rounds import Bench
from bench.variants import SERVICE, server_env

COUNT = 150
LOAD_PER_S = 100
LOAD_CONNECTIONS = 8
GAP_S = (0.02, 0.12)  # between a message and the next purchase, so that nothing falls into step
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Waited:
    """One purchase: when the webhook answered, and when the message could be read, both after the event was sent."""

    received_ms: float
    message_ms: float


def measure(postgres: Database, folder: Path, *, count: int) -> Outcome:
    """Measure `count` purchases when nothing else happens, then as many beside a hundred others a second."""
    env = server_env(postgres.dsn, folder)
    bench = Bench(stripe_events.requests, env, folder, postgres.postmasters)
    with bench.started(SERVICE) as (port, _):
        return uvloop.run(_measured(env, folder, port, count))


async def _measured(env: dict[str, str], folder: Path, port: int, count: int) -> Outcome:
    async with purchases.opened(env, folder) as service:
        visitor, *others = await purchases.make_buyers(service.store, 1001)
        own = await purchases.make_purchases(service, [visitor], 2 * count + 10)
        foreign = await purchases.make_purchases(service, others, 100 * LOAD_PER_S)
    waiting = iter(own)
    async with _stream(port, visitor.visitor) as messages:
        await _buy(port, waiting, messages, 10)
        idle = await _buy(port, waiting, messages, count)
        print(f"  message, idle: median {statistics.median(one.message_ms for one in idle):.1f} ms", flush=True)
        load = asyncio.create_task(_load(port, foreign))
        busy = await _buy(port, waiting, messages, count)
        load.cancel()
        sent_per_s = (await asyncio.gather(load, return_exceptions=True))[0]
    return _outcome(idle, busy, sent_per_s if isinstance(sent_per_s, float) else 0.0)


# --- the buyer -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _stream(port: int, visitor: str) -> AsyncIterator[asyncio.StreamReader]:
    """Open the chat page's live stream as a visitor."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    cookie = f"Cookie: paydesk_visitor={visitor}\r\n"
    writer.write(f"GET /chat/stream?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n{cookie}\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise SystemExit(f"the chat's stream is refused: {head[:200]!r}")
    try:
        yield reader
    finally:
        writer.close()


async def _buy(port: int, waiting: Iterator[Purchase], messages: asyncio.StreamReader, count: int) -> list[Waited]:
    """Send the events of `count` purchases, each when the message of the one before has come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    waited = []
    for _ in range(count):
        await asyncio.sleep(random.uniform(*GAP_S))
        (body,) = purchases.bodies([next(waiting)], purchases.ALONE)
        request = stripe_events.post("/webhooks/stripe", body)
        start_s = time.perf_counter()
        writer.write(request)
        await _require_ok(reader)
        received_s = time.perf_counter()
        async with asyncio.timeout(PATIENCE_S):
            await messages.readuntil(b"event: message")
        message_s = time.perf_counter()
        waited.append(Waited((received_s - start_s) * 1e3, (message_s - start_s) * 1e3))
    writer.close()
    return waited


async def _require_ok(reader: asyncio.StreamReader) -> None:
    data = b""
    while (status := answered(data)) is None:
        data += await reader.read(65_536)
    if status != 200:
        raise SystemExit(f"an event was not received: {data[:300]!r}")


# --- the others ------------------------------------------------------------------------------------------------------


async def _load(port: int, foreign: Sequence[Purchase]) -> float:
    """Send the events of others' purchases at a steady rate until cancelled; return the rate that was reached."""
    requests = iter(
        [stripe_events.post("/webhooks/stripe", body) for body in purchases.bodies(foreign, purchases.ALONE)]
    )
    sent = [0]
    start_s = time.perf_counter()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*(_steady(port, requests, number, sent) for number in range(LOAD_CONNECTIONS)))
    return sent[0] / (time.perf_counter() - start_s)


async def _steady(port: int, requests: Iterator[bytes], number: int, sent: list[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    gap_s = LOAD_CONNECTIONS / LOAD_PER_S
    due_s = time.perf_counter() + gap_s * number / LOAD_CONNECTIONS
    for request in requests:
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        due_s += gap_s
        writer.write(request)
        await _require_ok(reader)
        sent[0] += 1


# --- what came out ---------------------------------------------------------------------------------------------------


def _outcome(idle: Sequence[Waited], busy: Sequence[Waited], sent_per_s: float) -> Outcome:
    rows: list[tuple[str, ...]] = [
        ("while", "purchases", "200, median ms", "message, median ms", "p99 ms", "longest ms")
    ]
    shown = {"idle": idle, f"{sent_per_s:.0f} others/s": busy}
    rows += [(name, str(len(waited)), *_figures(waited)) for name, waited in shown.items()]
    goals = [
        at_most("event → message, idle, median", _median(idle), 100, "ms"),
        at_most("event → message, idle, median", _median(idle), 50, "ms", later=True),
        at_most(f"event → message, {sent_per_s:.0f} events/s, p99", _p99(busy), 250, "ms", later=True),
    ]
    data = {"idle": [vars(one) for one in idle], "busy": [vars(one) for one in busy], "others_per_s": sent_per_s}
    return Outcome(
        "message", "From the signed event to its message in the chat page's stream\n" + aligned(rows), data, goals
    )


def _figures(waited: Sequence[Waited]) -> tuple[str, ...]:
    figures = (
        statistics.median(one.received_ms for one in waited), _median(waited), _p99(waited),
        max(one.message_ms for one in waited),
    )  # fmt: skip
    return tuple(f"{figure:.1f}" for figure in figures)


def _median(waited: Sequence[Waited]) -> float:
    return statistics.median(one.message_ms for one in waited)


def _p99(waited: Sequence[Waited]) -> float:
    ordered = sorted(one.message_ms for one in waited)
    return ordered[len(ordered) * 99 // 100]
