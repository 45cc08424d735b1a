"""Rounds: every variant in turn, again and again (A B C A B C …), so that what disturbs one disturbs its neighbours."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench import load
from bench.processes import Server, free_port, tree_cpu_s

RequestBuilder = Callable[[int, str], Iterable[bytes]]


@dataclass(frozen=True)
class Variant:
    """A server to measure. In `command`, "{port}" stands for the port it shall listen on, on loopback.

    One that is `alone` runs only while it is measured itself, because it would go on working while others are.
    """

    name: str
    command: tuple[str, ...]
    path: str = "/webhooks/stripe"
    ready_path: str = "/readyz"
    env: Mapping[str, str] = field(default_factory=dict)
    alone: bool = False


@dataclass(frozen=True)
class Plan:
    """How much to measure: each measurement ends after `events` requests or after `seconds`, whichever is first."""

    rounds: int
    connections: tuple[int, ...]
    events: int
    seconds: float

    def warm_up(self, connections: int) -> "Plan":
        """Return the same, a tenth as long: enough to fill pools and caches."""
        return Plan(1, (connections,), max(connections * 4, self.events // 10), min(2.0, self.seconds))


@dataclass(frozen=True)
class Sample:
    """One measurement: one variant, one round, one number of connections. CPU is per answer, in microseconds."""

    variant: str
    connections: int
    round: int
    rate_per_s: float
    p50_ms: float
    p99_ms: float
    server_cpu_us: float
    database_cpu_us: float
    load_cpu_us: float
    answers: int
    statuses: dict[int, int]

    @property
    def clean(self) -> bool:
        """Whether every request was answered with 200."""
        return set(self.statuses) == {200}


class Bench:
    """The servers under measurement, and how to load one of them."""

    def __init__(self, build: RequestBuilder, env: Mapping[str, str], folder: Path, postmasters: Sequence[int]) -> None:
        self.build, self.env, self.folder, self.postmasters = build, env, folder, postmasters
        self.running: dict[str, tuple[int, Server]] = {}

    @contextmanager
    def started(self, variant: Variant) -> Iterator[tuple[int, Server]]:
        """Give the port and the server of a variant, ready; it ends with the `with`."""
        port = free_port()
        command = [part.format(port=port) for part in variant.command]
        url = f"http://127.0.0.1:{port}{variant.ready_path}"
        with Server(variant.name, command, {**self.env, **variant.env}, url, self.folder) as server:
            yield port, server

    def measure(self, variant: Variant, plan: Plan, connections: int, number: int) -> Sample:
        """Return one sample of a variant; one that runs alone is started, warmed up and stopped for it."""
        if not variant.alone:
            return self._load(variant, self.running[variant.name], plan, connections, number)
        with self.started(variant) as running:
            self._load(variant, running, plan.warm_up(connections), connections, 0)
            return self._load(variant, running, plan, connections, number)

    def _load(self, variant: Variant, running: tuple[int, Server], plan: Plan, connections: int, number: int) -> Sample:
        port, server = running
        build = partial(self.build, plan.events, variant.path)
        server_before_s, database_before_s = tree_cpu_s([server.pid]), tree_cpu_s(self.postmasters)
        result = load.run_apart(port, build, connections, plan.seconds)
        server_s = tree_cpu_s([server.pid]) - server_before_s
        database_s = tree_cpu_s(self.postmasters) - database_before_s
        return _sample(variant.name, connections, number, result, server_s, database_s)


def _sample(
    name: str, connections: int, number: int, result: load.Result, server_s: float, database_s: float
) -> Sample:
    us_per_answer = 1e6 / result.answers
    return Sample(
        variant=name,
        connections=connections,
        round=number,
        rate_per_s=result.rate_per_s,
        p50_ms=result.p50_ms,
        p99_ms=result.p99_ms,
        server_cpu_us=server_s * us_per_answer,
        database_cpu_us=database_s * us_per_answer,
        load_cpu_us=result.cpu_s * us_per_answer,
        answers=result.answers,
        statuses=result.statuses,
    )


def run(
    variants: Sequence[Variant],
    plan: Plan,
    build: RequestBuilder,
    env: Mapping[str, str],
    folder: Path,
    postmasters: Sequence[int] = (),
) -> list[Sample]:
    """Start every variant, warm each up, measure all of them round by round, stop them; return every sample.

    `build(count, path)` makes fresh requests (it must pickle); `env` is what every server gets; `postmasters` are the
    PostgreSQL processes whose trees count as the database. Servers run in `folder` and leave their logs there.
    """
    bench = Bench(build, env, folder, postmasters)
    with ExitStack() as stack:
        for variant in variants:
            if not variant.alone:
                bench.running[variant.name] = stack.enter_context(bench.started(variant))
        return [sample for connections in plan.connections for sample in _rounds(bench, variants, plan, connections)]


def _rounds(bench: Bench, variants: Sequence[Variant], plan: Plan, connections: int) -> list[Sample]:
    for variant in variants:
        if not variant.alone:
            bench.measure(variant, plan.warm_up(connections), connections, 0)
    samples = []
    for number in range(1, plan.rounds + 1):
        for variant in variants:
            samples.append(bench.measure(variant, plan, connections, number))
            _report_progress(samples[-1], plan)
    return samples


def _report_progress(sample: Sample, plan: Plan) -> None:
    where = f"{sample.connections} connections, round {sample.round}/{plan.rounds}"
    print(f"  {where}: {sample.variant} {sample.rate_per_s:,.0f}/s", flush=True)
