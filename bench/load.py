"""A light HTTP/1.1 load generator for loopback: ready-made request bytes in, rate and latency out.

It keeps a fixed number of keep-alive connections busy, each with one request in flight (a closed loop), and spends
about fifteen microseconds of its own per request. `run_apart` puts it into a process of its own, so that it shares
no interpreter with what it measures.
"""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import cast

import uvloop

NO_ANSWER = 0  # the "status" of a request whose connection was lost, or that was still open at the very end
PATIENCE_S = 30.0  # how long requests in flight may still be answered after the time is up


@dataclass(frozen=True)
class Result:
    """What one load saw: `rate_per_s` counts 2xx answers only, `statuses` counts every request sent."""

    rate_per_s: float
    p50_ms: float
    p99_ms: float
    statuses: dict[int, int]
    duration_s: float
    cpu_s: float

    @property
    def answers(self) -> int:
        """Requests sent, answered or not."""
        return sum(self.statuses.values())


class Tally:
    """What the connections of one load share: the requests still to send, and what came back."""

    def __init__(self, requests: Iterator[bytes], connections: int) -> None:
        self.requests = requests
        self.statuses: Counter[int] = Counter()
        self.latencies_ns: list[int] = []
        self.deadline_ns = 0
        self.last_answer_ns = 0
        self.open = connections
        self.done = asyncio.get_running_loop().create_future()

    def count(self, status: int, sent_ns: int, now_ns: int) -> None:
        """Note one answer."""
        self.statuses[status] += 1
        self.latencies_ns.append(now_ns - sent_ns)
        self.last_answer_ns = now_ns

    def closed(self) -> None:
        """Note that a connection has ended; the last one ends the load."""
        self.open -= 1
        if self.open == 0 and not self.done.done():
            self.done.set_result(None)


class Connection(asyncio.Protocol):
    """One keep-alive connection: sends the next request as soon as the last one is answered."""

    __slots__ = ("pending", "sent_ns", "tally", "transport")

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.pending = b""
        self.sent_ns = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send_next(self, now_ns: int) -> None:
        """Send the next request, or close when there is none or the time is up."""
        request = next(self.tally.requests, None) if now_ns < self.tally.deadline_ns else None
        if request is None:
            self.sent_ns = 0
            self.transport.close()
            return
        self.sent_ns = now_ns
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self.pending:
            data = self.pending + data
        status = answered(data)
        if status is None:
            self.pending = data
            return
        self.pending = b""
        now_ns = time.perf_counter_ns()
        self.tally.count(status, self.sent_ns, now_ns)
        self.send_next(now_ns)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.sent_ns:
            self.tally.statuses[NO_ANSWER] += 1
        self.tally.closed()


def answered(data: bytes) -> int | None:
    """Return the status of the one answer in `data`, or None while it is incomplete.

    Raises ValueError for an answer without Content-Length: nothing measured here needs chunks.
    """
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    head = data[:head_end].lower()
    start = head.find(b"\r\ncontent-length:")
    if start < 0:
        raise ValueError(f"the load generator needs Content-Length in every answer, got: {head[:200]!r}")
    length_bytes = int(head[start + 17 :].split(b"\r\n", 1)[0])
    return int(data[9:12]) if len(data) >= head_end + 4 + length_bytes else None


async def _load(port: int, requests: list[bytes], connections: int, seconds: float) -> Result:
    loop = asyncio.get_running_loop()
    tally = Tally(iter(requests), connections)
    made = [await loop.create_connection(lambda: Connection(tally), "127.0.0.1", port) for _ in range(connections)]
    cpu_before_s, start_ns = time.process_time(), time.perf_counter_ns()
    tally.deadline_ns = start_ns + int(seconds * 1e9)
    for _, connection in made:
        connection.send_next(start_ns)
    give_up = loop.call_later(seconds + PATIENCE_S, _abort, [transport for transport, _ in made])
    await tally.done
    give_up.cancel()
    return _result(tally, start_ns, time.process_time() - cpu_before_s)


def _abort(transports: Sequence[asyncio.WriteTransport]) -> None:
    for transport in transports:
        transport.abort()


def _result(tally: Tally, start_ns: int, cpu_s: float) -> Result:
    if not tally.latencies_ns:
        raise RuntimeError("not one request was answered: is the server still alive?")
    latencies_ns = sorted(tally.latencies_ns)
    duration_s = (tally.last_answer_ns - start_ns) / 1e9
    good = sum(count for status, count in tally.statuses.items() if 200 <= status < 300)
    return Result(
        rate_per_s=good / duration_s,
        p50_ms=latencies_ns[len(latencies_ns) // 2] / 1e6,
        p99_ms=latencies_ns[len(latencies_ns) * 99 // 100] / 1e6,
        statuses=dict(tally.statuses),
        duration_s=duration_s,
        cpu_s=cpu_s,
    )


def run(port: int, requests: Iterable[bytes], connections: int, seconds: float = 60.0) -> Result:
    """Send `requests` to 127.0.0.1:`port`, in order, over `connections`; stop after the last one or after `seconds`.

    Requests in flight at the end are waited for and counted. A connection that the server closes is not made anew.
    """
    prepared = list(requests)
    gc.disable()  # nothing here makes cycles; a collection in the middle would look like the server's latency
    try:
        return uvloop.run(_load(port, prepared, connections, seconds))
    finally:
        gc.enable()


def run_apart(port: int, build: Callable[[], Iterable[bytes]], connections: int, seconds: float = 60.0) -> Result:
    """Do `run` in a fresh process, which builds its requests itself before the clock starts; `build` must pickle."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_build_and_run, port, build, connections, seconds).result()


def _build_and_run(port: int, build: Callable[[], Iterable[bytes]], connections: int, seconds: float) -> Result:
    return run(port, build(), connections, seconds)
