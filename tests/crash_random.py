"""Kills at moments nobody chose: of workers and of whoever takes events in, and of the database under them."""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import settings_for
from faults import Journal, drain, end_of, fork, in_child, report, time_passes, unasked
from invariants import not_stored, unpaid, violations
from load import Bought, buy, events_of
from paydesk import inbox
from paydesk.app import open_service
from paydesk.config import Settings, load
from paydesk.errors import StoreUnavailable
from paydesk.service import Service
from paydesk.store import embedded
from paydesk.store.migrate import migrate
from paydesk.stripe.envelope import envelope
from sandbox_fixtures import Sandbox

KILLS = 200
RESTARTS = 20
PEOPLE = 40
Part = Callable[[Service], Awaitable[None]]


@dataclass
class Scene:
    """A database, the orders in it, and what was acknowledged."""

    settings: Settings
    journal: Journal
    seed: int
    pause_s: float = 0.02
    bought: tuple[Bought, ...] = ()

    def acknowledged(self) -> set[str]:
        return {event for _, event in self.journal.lines("acknowledged")}

    def open(self, orders: int) -> None:
        """Write the orders, in a child: the parent opens nothing."""
        assert in_child(lambda: self._open(orders), self.journal) == 0, unasked(self.journal)
        self.bought = tuple(Bought(*pair) for _, pair in self.journal.lines("bought"))

    async def _open(self, orders: int) -> None:
        async with open_service(self.settings) as service:
            for one in await buy(service, orders, PEOPLE):
                self.journal.note("bought", "", [one.order, one.stripe_customer])

    def child(self, part: Part) -> Child:
        """Start a process that plays a part until it is killed; it says when it has begun."""
        begun, tell = os.pipe()

        async def life() -> None:
            async with open_service(self.settings) as service:
                os.write(tell, b"!")
                await part(service)

        pid = fork(life, self.journal)
        os.close(tell)
        return Child(pid, begun)

    # --- the parts --------------------------------------------------------------------------------------------------

    async def work(self, service: Service) -> None:
        """A worker. By the time it starts, the leases of the dead are over."""
        await time_passes(service)
        await service.worker.run()

    async def feed(self, service: Service) -> None:
        """Stripe: send what was not acknowledged, some at once, each one to three times, in no order."""
        chance = random.Random(f"{self.seed}-{os.getpid()}")
        events = events_of(self.bought)
        done = self.acknowledged()
        left = [id_ for id_ in events if id_ not in done]
        chance.shuffle(left)
        while True:
            some = [left.pop() for _ in range(min(chance.randint(1, 8), len(left)))] or [chance.choice(list(events))]
            sent = [id_ for id_ in some for _ in range(chance.randint(1, 3))]
            answers = await asyncio.gather(*(self._send(service, events[id_]) for id_ in sent))
            left += {id_ for id_, answer in zip(sent, answers, strict=True) if not answer} & set(some)
            await asyncio.sleep(self.pause_s)

    async def _send(self, service: Service, body: bytes) -> bool:
        letter = envelope(body)
        try:
            await service.receiver.receive(letter)
        except StoreUnavailable:  # unknown: it will be sent again
            return False
        self.journal.note("acknowledged", "", letter.external_id)
        return True

    # --- the end ----------------------------------------------------------------------------------------------------

    def findings(self) -> list[str]:
        """Send what is left, work until nothing waits, and return what is not true then."""
        in_child(self._settle_up, self.journal)
        return [violation for _, violation in self.journal.lines("violation")] + unasked(self.journal)

    async def _settle_up(self) -> None:
        async with open_service(self.settings) as service:
            found = await not_stored(service.store, self.acknowledged())
            for body in events_of(self.bought).values():
                await service.receiver.receive(envelope(body))
            await time_passes(service)
            await drain(service)
            await self._replay(service)
            found += await violations(service.store) + await unpaid(service.store, [one.order for one in self.bought])
        for violation in found:
            self.journal.note("violation", "", violation)
        self.journal.note("settled up")

    async def _replay(self, service: Service) -> None:
        """Replay rows that were set aside because chance killed their worker six times."""
        rows = await service.store.fetch(
            "SELECT external_id FROM inbox WHERE state = 'quarantined' AND detail = 'its worker died each time it was tried'"
        )
        if rows:
            async with service.store.transaction() as tx:
                await inbox.replay(tx, [row["external_id"] for row in rows])
            await drain(service)
        self.journal.note("replayed", "", len(rows))


@dataclass
class Child:
    """A process that plays a part."""

    pid: int
    begun: int

    def await_beginning(self) -> None:
        """Return when it plays (or has ended)."""
        select.select([self.begun], [], [], 30)

    def kill(self) -> int:
        """Kill it and return how it ended: minus nine, unless it had ended before by itself."""
        os.close(self.begun)
        os.kill(self.pid, signal.SIGKILL)
        return end_of(self.pid)


@pytest.fixture
def scene(new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path: Path) -> Scene:
    """A scene on a database of the shared server."""
    return _scene(new_database(), stripe_sandbox, tmp_path)


def _scene(database: str, sandbox: Sandbox, folder: Path) -> Scene:
    settings = load(settings_for(database, sandbox.url, PAYDESK_DATA=str(folder / "data")), folder=folder)
    return Scene(settings, Journal(folder / "journal"), random.randrange(10**6))


def test_two_hundred_random_kills_lose_and_double_nothing(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    scene.open(orders=900)
    chance = random.Random(scene.seed)
    parts = [scene.work, scene.work, scene.feed]
    children = [scene.child(part) for part in parts]
    ends = []
    for _ in range(KILLS):
        victim = chance.randrange(len(parts))
        children[victim].await_beginning()
        time.sleep(chance.uniform(0.001, 0.060))
        ends.append(children[victim].kill())
        children[victim] = scene.child(parts[victim])
    acknowledged = len(scene.acknowledged())
    ends += [child.kill() for child in children]
    found = scene.findings()
    replayed = sum(number for _, number in scene.journal.lines("replayed"))
    report(capsys, f"{KILLS} kills (seed {scene.seed}), {acknowledged} acknowledged events, {replayed} rows replayed")
    assert found == []
    assert set(ends) == {-signal.SIGKILL}, "a child ended unasked"
    assert scene.journal.lines("settled up")
    assert acknowledged > KILLS


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[embedded.Embedded]:
    """A PostgreSQL of this test's own, to be stopped in its midst."""
    server = embedded.start(tmp_path / "postgres")
    yield server
    server.release()


def test_twenty_immediate_restarts_of_the_database_lose_and_double_nothing(
    own_server: embedded.Embedded, stripe_sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(migrate(own_server.dsn))
    scene = _scene(own_server.dsn, stripe_sandbox, tmp_path)
    scene.pause_s = 0.05
    scene.open(orders=1200)
    chance = random.Random(scene.seed)
    children = [scene.child(part) for part in (scene.work, scene.work, scene.feed)]
    for child in children:
        child.await_beginning()
    handles = []
    for number in range(RESTARTS):
        time.sleep(chance.uniform(0.3, 1.8))
        os.kill(own_server.pid, (signal.SIGQUIT, signal.SIGKILL)[number % 2])  # immediate shutdown, or none at all
        handles.append(embedded.start(own_server.data))
    time.sleep(2)
    acknowledged = len(scene.acknowledged())
    ends = [child.kill() for child in children]
    found = scene.findings()
    for handle in handles:
        handle.release()
    report(capsys, f"{RESTARTS} immediate restarts (seed {scene.seed}), {acknowledged} acknowledged events")
    assert found == []
    assert set(ends) == {-signal.SIGKILL}, "a child ended unasked"
    assert scene.journal.lines("settled up")
    assert acknowledged > RESTARTS
