"""Money that goes back and forth survives kills, and every answer to a commit that is lost, once each.

Kills come at every moment of every flow, and at moments nobody chose while others work on the same rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from conftest import settings_for
from crash_random import Scene
from faults import Actor, Flow, Journal, Run, drain, free_keys, killed_at_every_moment, report, time_passes
from flows import Beforehand
from flows_money import MONEY_FLOWS
from invariants import not_stored, violations
from paydesk.app import open_service
from paydesk.config import load
from paydesk.errors import PaydeskError, StoreUnavailable
from paydesk.service import Service
from sandbox_fixtures import Sandbox, running_sandbox

MOMENTS_MIN = {"refunds": 60, "paid twice": 30, "debt": 50, "dispute": 50, "holds": 25, "merge": 12, "top-up": 45}


@pytest.mark.parametrize("name", MONEY_FLOWS)
def test_every_moment_of_a_flow(
    name: str, new_database: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Takes a minute where a flow has a hundred moments: each is a process that lives a whole flow and mends another."""
    with running_sandbox() as sandbox:
        data = str(tmp_path / "data")
        settings = load(settings_for(new_database(), sandbox.url, PAYDESK_DATA=data), folder=tmp_path)
        run = Run(MONEY_FLOWS[name], settings, Journal(tmp_path / "journal"))
        _, kinds = killed_at_every_moment(run, capsys)
    assert kinds.total() >= MOMENTS_MIN[name]


# --- the answer to a commit is lost ----------------------------------------------------------------------------------

TOLD = {
    "answer": re.compile(rb"(COMMIT|INSERT \d+ \d+|UPDATE \d+|DELETE \d+)\x00Z\x00\x00\x00\x05I\Z"),
    "request": re.compile(rb"\AQ.{4}COMMIT;\x00\Z", re.DOTALL),
}
"""What the server says when something has been written and is committed, and what asks it to commit."""


@dataclass
class Line:
    """A line to the database that loses one answer that tells of a commit (or request for one), and the connection too."""

    server: str
    lost: str
    lose: int = 0
    commits: int = 0
    armed: bool = False

    def arm(self, lose: int) -> None:
        """Let the `lose`-th be lost from now on, counted while the line is armed."""
        self.lose, self.commits = lose, 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either end closes it."""
        there_reader, there_writer = await asyncio.open_unix_connection(self.server)
        ends = (writer, there_writer)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.gather(
                self._carry(reader, there_writer, "request", ends), self._carry(there_reader, writer, "answer", ends)
            )

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        what: str,
        ends: Sequence[asyncio.StreamWriter],
    ) -> None:
        try:
            while piece := await reader.read(65536):
                if self.armed and what == self.lost and TOLD[what].search(piece):
                    self.commits += 1
                    if self.commits == self.lose:
                        return
                writer.write(piece)
                await writer.drain()
        finally:
            for end in ends:
                end.close()


@asynccontextmanager
async def a_line(database: str, folder: Path, lost: str) -> AsyncIterator[tuple[Line, str]]:
    """A line to the database, and the address at its near end."""
    host = parse_qs(urlsplit(database).query)["host"][0]
    socket = next(Path(host).glob(".s.PGSQL.*[0-9]"))
    line = Line(str(socket), lost)
    server = await asyncio.start_unix_server(line.serve, str(folder / socket.name))
    try:
        yield line, database.replace(quote(host, safe=""), quote(str(folder), safe="")).replace(host, str(folder))
    finally:
        server.close()


async def take_steps_over(line: Line, flow: Flow, actor: Actor) -> int:
    """Take the steps, each again until it is answered; return how often there was no answer."""
    unanswered = 0
    for step in flow.steps:
        for _ in range(5):
            line.armed = not isinstance(step, Beforehand)
            try:
                await step(actor)
                break
            except StoreUnavailable:
                line.armed = False
                unanswered += 1
                await time_passes(actor.service)
        else:
            raise AssertionError(f"{flow.name}: a step is never answered")
    line.armed = False
    return unanswered


@pytest.mark.parametrize("lost", TOLD)
@pytest.mark.parametrize("name", ["refunds", "holds"])
async def test_what_was_committed_and_could_not_be_said_is_done_once(
    name: str, lost: str, database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Takes long where a flow commits often: it is lived once for each commit."""
    flow = MONEY_FLOWS[name]
    found: list[str] = []
    lose, unanswered = 0, 0
    with running_sandbox() as sandbox:
        async with a_line(database, tmp_path, lost) as (line, near):
            settings = load(settings_for(near, sandbox.url, PAYDESK_DATA=str(tmp_path / "data")), folder=tmp_path)
            run = Run(flow, settings, Journal(tmp_path / "journal"))
            async with run._opened() as (service, stripe):
                while line.commits >= lose:
                    lose += 1
                    line.arm(lose)
                    actor = run._actor(lose, service, stripe)
                    unanswered += await take_steps_over(line, flow, actor)
                    await time_passes(service)
                    await flow.again(actor)
                    await drain(service)
                    found += await flow.check(actor)
                found += await violations(service.store)
                found += await not_stored(service.store, [event for _, event in run.journal.lines("acknowledged")])
    report(
        capsys, f"{lose - 1} times the {lost} of a commit was lost in {flow.name}: {unanswered} steps were unanswered"
    )
    assert list(dict.fromkeys([*found, *run.found()])) == []
    assert lose > 5
    assert unanswered >= (lose - 1) // 2


# --- kills that nobody chose -----------------------------------------------------------------------------------------

KILLS = 60
ACTORS = 60


class MoneyScene(Scene):
    """Outsiders who go through all the flows, one after another, while workers work and everybody is killed."""

    async def ask(self, service: Service) -> None:
        """The outsiders: go on where the last one died."""
        await time_passes(service)
        async with self._everybody(service) as everybody:
            for flow, actor in everybody:
                if "done" not in actor.memory:
                    await self._go_on(flow, actor)
                    actor.keep("done")
        await asyncio.sleep(3600)

    @asynccontextmanager
    async def _everybody(self, service: Service) -> AsyncIterator[list[tuple[Flow, Actor]]]:
        """All who ever come, with the flow they go through and all they remember."""
        key = self.settings.stripe_api_key
        headers = {"Authorization": f"Bearer {key.reveal() if key else ''}"}
        flows = list(MONEY_FLOWS.values())
        names = [f"{self.seed}-{number}" for number in range(ACTORS)]
        memories: dict[str, dict[str, Any]] = {name: {} for name in names}
        for name, (what, value) in self.journal.lines("kept"):
            memories[name][what] = value
        async with httpx.AsyncClient(base_url=self.settings.stripe_api_base, headers=headers, timeout=20) as stripe:
            yield [
                (flows[number % len(flows)], Actor(name, service, stripe, self.journal, memories[name]))
                for number, name in enumerate(names)
            ]

    async def _go_on(self, flow: Flow, actor: Actor) -> None:
        """Take the steps whose end was not seen yet; what workers have not come to yet is waited for.

        Whoever begins is remembered before the first step: a call that it has left open is for them to go on with.
        """
        if not actor.memory:
            actor.keep("begun")
        for position, step in enumerate(flow.steps):
            while f"step {position}" not in actor.memory:
                try:
                    await step(actor)
                    actor.keep(f"step {position}")
                except PaydeskError:  # what it needs is not done yet, and whoever was at it may be dead
                    await asyncio.sleep(0.05)
                    await free_keys(actor.service)  # the last words of the dead may have come after time had passed
                    await actor.service.worker.drain()

    async def _settle_up(self) -> None:
        """Let all who have begun go through, ask and hear everything twice more, and look whether all is well."""
        async with open_service(self.settings) as service, self._everybody(service) as everybody:
            found = await not_stored(service.store, self.acknowledged())
            await time_passes(service)
            await drain(service)
            await self._replay(service)
            begun = [(flow, actor) for flow, actor in everybody if actor.memory]
            for flow, actor in begun:
                await self._go_on(flow, actor)
            for _ in range(2):  # what is bought by itself is known only when the first round is done
                for flow, actor in begun:
                    await flow.again(actor)
                await drain(service)
            found += await violations(service.store)
            for flow, actor in begun:
                found += [one for one in await flow.check(actor) if not one.startswith("message: the person was told")]
        for violation in found:
            self.journal.note("violation", "", violation)
        self.journal.note("settled up", "", len(begun))


def test_random_kills_of_outsiders_and_workers_lose_and_double_nothing(
    new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(tmp_path / "data")
    settings = load(settings_for(new_database(), stripe_sandbox.url, PAYDESK_DATA=data), folder=tmp_path)
    scene = MoneyScene(settings, Journal(tmp_path / "journal"), random.randrange(10**6))
    chance = random.Random(scene.seed)
    parts = [scene.work, scene.work, scene.ask]
    children = [scene.child(part) for part in parts]
    ends = []
    while len(ends) < KILLS or len({who for who, _ in scene.journal.lines("kept")}) < len(MONEY_FLOWS):
        victim = chance.randrange(len(parts))
        children[victim].await_beginning()
        time.sleep(chance.uniform(0.01, 0.3))
        ends.append(children[victim].kill())
        children[victim] = scene.child(parts[victim])
    ends += [child.kill() for child in children]
    found = scene.findings()
    begun = sum(number for _, number in scene.journal.lines("settled up"))
    report(capsys, f"{len(ends)} kills (seed {scene.seed}) while {begun} people went through the flows of money")
    assert found == []
    assert set(ends) == {-signal.SIGKILL}, "a child ended unasked"
    assert begun >= len(MONEY_FLOWS)
