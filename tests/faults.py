"""Processes that are killed on purpose.

The parent imports everything and opens nothing: no thread, no loop, no connection of its own exists when it forks. A
child opens its own service, lives a while and is killed. What must outlive it (what a buyer saw, which events were
acknowledged) it writes to a `Journal`, each line only after the thing has happened.

`killed_at_every_moment` stops a flow before and after its inputs and outputs, one child for each moment that is another one for
the world. A flow is steps that outsiders take; the step that was cut is taken again, as a buyer presses again and Stripe
sends again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import importlib
import json
import logging
import os
import signal
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from fastapi import FastAPI

from invariants import not_stored, unfinished, violations
from paydesk import edge
from paydesk.app import open_service
from paydesk.channels.base import Channel
from paydesk.config import Settings
from paydesk.service import Service
from paydesk.web.application import without_service

POINTS_MAX = 2000
CLOSE = 5
"""By so many points may one run be shorter than another: events that are heard at once share their commits by chance."""

INSIDE = ("begin", "statement")
ONE_OF = int(os.environ.get("PAYDESK_MOMENTS", "17"))
"""So many points within transactions are worth one: a kill there undoes all of it. `make soak` takes every point."""

PROVED_EVERY = 10
"""What is not true of somebody's money stays so: a proof of all that ever happened sees it later, too."""

DRAINS_MAX = 6
Life = Callable[[], Awaitable[None]]
Plant = Callable[[], AbstractContextManager[object]]


class Journal:
    """Lines of (kind, who, value) in a file. A line whose `note` has returned survives its writer's death."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def note(self, kind: str, who: str = "", value: Any = None) -> None:
        """Write a line in one call to the system, so that a kill leaves it whole or not at all."""
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, json.dumps([kind, who, value]).encode() + b"\n")
        finally:
            os.close(file)

    def lines(self, kind: str) -> list[tuple[str, Any]]:
        """Who noted what under a kind, oldest first."""
        begin = json.dumps([kind])[:-1].encode() + b","  # the others, and there are many, need not be read
        noted = [json.loads(line) for line in self._path.read_bytes().splitlines() if line.startswith(begin)]
        return [(who, value) for _, who, value in noted]

    def of(self, kind: str, who: str) -> list[Any]:
        """What one of them noted under a kind."""
        return self.by_who(kind).get(who, [])

    def by_who(self, kind: str) -> dict[str, list[Any]]:
        """What everybody noted under a kind, oldest first."""
        noted: dict[str, list[Any]] = {}
        for who, value in self.lines(kind):
            noted.setdefault(who, []).append(value)
        return noted


# --- children --------------------------------------------------------------------------------------------------------


class _Errors(logging.Handler):
    """Notes what a child logs as an error: a worker that goes on after a failed step has failed all the same."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(logging.ERROR)
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        error = repr(record.exc_info[1]) if record.exc_info else ""
        self._journal.note("unasked", str(os.getpid()), f"{record.getMessage()} {error}"[:300])


def fork(life: Life, journal: Journal) -> int:
    """Start a child that lives `life` in a loop of its own and then ends with 0; return its process id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        gc.freeze()  # what there was before lives as long as the child does: the collector need not walk it
        warnings.simplefilter("ignore")  # pytest would raise what libraries only remark
        logger = logging.getLogger("paydesk")
        logger.handlers, logger.propagate = [_Errors(journal)], False
        uvloop.run(_lived(life))  # as the service runs
        journal.note("imported", str(os.getpid()), sorted(sys.modules))
        status = 0
    except BaseException:
        journal.note("unasked", str(os.getpid()), traceback.format_exc(limit=-4)[-600:])
    finally:
        os._exit(status)


async def _lived(life: Life) -> None:
    await life()


def import_all(journal: Journal) -> None:
    """Import here what children had to import, so that those forked from now on need not."""
    with warnings.catch_warnings(), contextlib.suppress(ImportError):
        warnings.simplefilter("ignore")
        for _, names in journal.lines("imported"):
            for name in names:
                importlib.import_module(name)


@functools.cache
def application() -> FastAPI:
    """Return the one application of this process and of those it forks: `bind` it to a service."""
    return without_service()


def make_routes() -> None:
    """Let the application make its routes here, so that children need not: they do so when the first request comes.

    That takes as long as a whole purchase.
    """

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application()), base_url="http://desk") as client:
            await client.get("/healthz")

    asyncio.run(ask())


def end_of(child: int) -> int:
    """Wait for a child; return its exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(life: Life, journal: Journal) -> int:
    """Live `life` in a child and return how it ended."""
    return end_of(fork(life, journal))


def report(capsys: pytest.CaptureFixture[str], line: str) -> None:
    """Print a line that is seen also when the test passes: counts, and the seed to repeat it with."""
    with capsys.disabled():
        sys.stdout.write(f"\n{line}\n")


def unasked(journal: Journal) -> list[str]:
    """What went wrong in children that nobody had asked to fail, each once."""
    return list(dict.fromkeys(f"unasked: {value}" for _, value in journal.lines("unasked")))


# --- helping a service on --------------------------------------------------------------------------------------------


async def free_keys(service: Service) -> None:
    """Let the minute be over in which a key belongs to the request that used it first."""
    await service.store.execute("UPDATE idempotency_key SET locked_until = now() WHERE status IS NULL")


async def time_passes(service: Service) -> None:
    """Let every lease, lock and waiting time of the dead be over, as if half an hour had gone by."""
    await free_keys(service)
    for statement in (
        "UPDATE lane SET leased_until = now() WHERE leased_until > now()",
        "UPDATE outbox SET next_at = least(now(), desk_now()) WHERE state IN ('ready','leased')",
        "UPDATE inbox SET next_at = desk_now() WHERE state IN ('ready','parked') AND next_at > desk_now()",
        "UPDATE refund_request SET busy_until = now() WHERE state = 'approved'",
        "UPDATE lease SET until = now()",
    ):
        await service.store.execute(statement)


async def drain(service: Service) -> None:
    """Work until nothing waits, also not for a later time; give up after a few rounds."""
    for _ in range(DRAINS_MAX):
        await service.worker.drain()
        waiting = await service.store.fetchval(
            "SELECT (SELECT count(*) FROM inbox WHERE state IN ('ready','parked')) "
            "+ (SELECT count(*) FROM outbox WHERE state IN ('ready','leased'))"
        )
        if not waiting:
            return
        await time_passes(service)


# --- flows -----------------------------------------------------------------------------------------------------------


@dataclass
class Actor:
    """The outside of one run of a flow: a person with a browser, and Stripe. Remembers in the journal."""

    name: str
    service: Service
    stripe: httpx.AsyncClient
    journal: Journal
    memory: dict[str, Any]

    def keep(self, what: str, value: Any = True) -> None:
        """Remember something seen; the service's death changes nothing about it."""
        self.journal.note("kept", self.name, [what, value])
        self.memory[what] = value

    def acknowledged(self, event: str) -> None:
        """Remember that the service took an event: Stripe will not send it again by itself."""
        self.journal.note("acknowledged", self.name, event)

    async def at_stripe(self, method: str, path: str, **params: str) -> Any:
        """Return what the sandbox answers to our account's key: 200, or 402 for a declined card."""
        place = "params" if method == "GET" else "data"
        answer = await self.stripe.request(method, path, **{place: params})  # type: ignore[arg-type]
        if answer.status_code not in (200, 402):
            raise AssertionError(f"{method} {path}: {answer.text[:300]}")
        return answer.json()


Step = Callable[[Actor], Awaitable[None]]


@dataclass(frozen=True)
class Flow:
    """What outsiders do, step by step; `again` is heard once more at the end; `check` returns what is not true then."""

    name: str
    steps: Sequence[Step]
    again: Step
    check: Callable[[Actor], Awaitable[list[str]]]


@dataclass
class Run:
    """A flow, cut at one point after the other, on a database of its own; `plant` brings a bug into its children.

    `channels` makes those that its children have besides the ones of the settings. Every so many children, `proved_every`,
    and at the end, everything that ever happened in the database is proved anew; each proves what its own person has.
    """

    flow: Flow
    settings: Settings
    journal: Journal
    plant: Plant = nullcontext
    channels: Callable[[], Sequence[Channel]] = tuple
    seed: str = field(default_factory=lambda: os.urandom(4).hex())
    cut: int | None = None
    proved_every: int = 1
    children: int = 0

    def at(self, number: int) -> int:
        """Mend what was cut before and cut a fresh actor's flow at the `number`-th point, in one child.

        Return how the child ended: 0 when the flow has no such point.
        """
        cut_before, self.cut = self.cut, number
        self.children += 1
        ended = in_child(lambda: self._live(cut_before, number), self.journal)
        self._expect(ended, 0, -signal.SIGKILL)
        return ended

    def points(self, number: int = POINTS_MAX) -> list[str]:
        """Return the names of the flow's points in their order, by a child that is not cut: there is no such number."""
        make_routes()
        self.at(number)
        import_all(self.journal)
        return list(self.journal.of("passed", str(number))[0])

    def end(self) -> None:
        """Mend what was cut last."""
        cut_before, self.cut = self.cut, None
        self._expect(in_child(lambda: self._live(cut_before, None), self.journal), 0)

    def _expect(self, ended: int, *statuses: int) -> None:
        if ended not in statuses:
            self.journal.note("violation", str(self.cut), f"unasked: a child ended with {ended}")

    def found(self) -> list[str]:
        """What was not true, each once, with the first point at which it showed."""
        where = dict(self.journal.lines("killed"))
        first: dict[str, str] = {}
        for number, violation in self.journal.lines("violation"):
            first.setdefault(violation, f"{violation} (point {number}, {where.get(number, 'not killed')})")
        return [*first.values(), *unasked(self.journal)]

    async def _live(self, mend: int | None, cut: int | None) -> None:
        async with self._opened() as (service, stripe):
            if mend is not None:
                await self._mend(self._actor(mend, service, stripe), mend)
            if cut is not None:
                with self.plant():
                    passed: list[str] = []
                    edge.observe(kill_at(cut, passed, self.journal))
                    await self._take_steps(self._actor(cut, service, stripe))
                    edge.observe(None)
                    self.journal.note("passed", str(cut), passed)

    async def _mend(self, actor: Actor, number: int) -> None:
        """Go on where the run was cut, hear everything once more, and look whether all is well."""
        store = actor.service.store
        found = await not_stored(store, self.journal.of("acknowledged", actor.name))
        with self.plant():
            await time_passes(actor.service)
            await self._take_steps(actor)
            await self.flow.again(actor)
            await drain(actor.service)
        whole = self.cut is None or self.children % self.proved_every == 0
        found += [*await (violations(store) if whole else unfinished(store)), *await self.flow.check(actor)]
        for violation in found:
            self.journal.note("violation", str(number), violation)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[Service, httpx.AsyncClient]]:
        key = self.settings.stripe_api_key
        headers = {"Authorization": f"Bearer {key.reveal() if key else ''}"}
        base = self.settings.stripe_api_base
        async with (
            httpx.AsyncClient(base_url=base, headers=headers, timeout=20, verify=False) as stripe,
            open_service(self.settings, self.channels()) as service,
        ):
            yield service, stripe

    def _actor(self, number: int, service: Service, stripe: httpx.AsyncClient) -> Actor:
        """Return the outsiders of one run, with all they remember."""
        name = f"{self.seed}-{number}"
        return Actor(name, service, stripe, self.journal, dict(self.journal.of("kept", name)))

    async def _take_steps(self, actor: Actor) -> None:
        """Take the steps whose end was not seen yet."""
        for position, step in enumerate(self.flow.steps):
            if f"step {position}" not in actor.memory:
                await step(actor)
                actor.keep(f"step {position}")


def kill_at(number: int, passed: list[str], journal: Journal) -> Callable[[str], None]:
    """Return an observer that lets `number - 1` points pass, noting their names, and dies at the next."""

    def observer(name: str) -> None:
        passed.append(name)
        if len(passed) == number:
            journal.note("killed", str(number), name)
            os.kill(os.getpid(), signal.SIGKILL)

    return observer


def moments(names: Sequence[str], inside: tuple[str, ...] = INSIDE, one_of: int = ONE_OF) -> list[int]:
    """Return which points are cut: all around a commit, a call to Stripe and a send, and a few of those in between.

    Right after one thing and right before the next are one moment for the world, so the latter is left out. Of what is
    left out and of what lies within transactions each kind is there once, and one in so many all along the way.
    """
    chosen, met, passed, last = [], set[str](), 0, ""
    for number, name in enumerate(names, 1):
        within = name.startswith(inside)
        again = name.endswith(":before") and last.endswith(":after") and name != "commit:before"
        passed += within or again
        if name not in met or not (within or again) or passed % one_of == 0:
            chosen.append(number)
        met.add(name)
        last = name
    return chosen


def spread(chosen: Sequence[int], names: Sequence[str], most: int) -> list[int]:
    """Return about so many of the chosen points, all along the way and one of each kind; all where all are wanted."""
    if ONE_OF == 1 or len(chosen) <= most:
        return list(chosen)
    first = {names[number - 1]: number for number in reversed(chosen)}
    return sorted({*first.values(), *(chosen[place * len(chosen) // most] for place in range(most))})


def killed_at_every_moment(
    run: Run, capsys: pytest.CaptureFixture[str], inside: tuple[str, ...] = INSIDE, *, one_of: int = ONE_OF,
    most: int = POINTS_MAX,
) -> tuple[list[str], Counter[str]]:  # fmt: skip
    """Cut the flow at every moment there is, or at about `most` of them: nothing may be untrue after any.

    Returns the names of all its points, and how many children were killed at points of each name. What is `inside`
    leaves no trace when it is cut.
    """
    run.proved_every = PROVED_EVERY
    names = run.points()
    if most < POINTS_MAX:  # the first of all does what is done once for all of them: the second is like the others
        names = run.points(POINTS_MAX + 1)
    chosen = spread(moments(names, inside, one_of), names, most)
    for number in chosen:
        run.at(number)
    run.end()
    kinds = Counter(name for _, name in run.journal.lines("killed"))
    report(capsys, f"{len(chosen)} moments ({len(names)} points) of {run.flow.name} killed (seed {run.seed}): "
                   f"{dict(sorted(kinds.items()))}")  # fmt: skip
    assert run.found() == []
    assert kinds.total() >= len(chosen) - CLOSE
    return names, kinds


def first_found(run: Run, points: Sequence[int], kind: str) -> list[str]:
    """Cut the flow at these points until something of this kind is found; return all that was."""
    for number in points:
        run.at(number)
        if any(finding.startswith(kind) for finding in run.found()):
            break
    run.end()
    return run.found()
