"""Somebody cancels an order while its buyer presses the pay button: no canceled order keeps a session that can be paid.

Press and cancel live in two threads, each with a service of its own. One is held at its first, second, third, … input
or output until the other is through, or waits for a lock that the held one has.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import settings_for
from faults import Journal, in_child, unasked
from paydesk import checkout, customers, edge
from paydesk.app import open_service
from paydesk.config import Settings, load
from paydesk.customers import Identity
from paydesk.service import Service
from sandbox_fixtures import Sandbox

POINTS_MAX = 200
LOCKED_S = 1.0
Work = Callable[[Service], Coroutine[Any, Any, Any]]


class Side:
    """A thread with an event loop and a service, which can be held at one of its points."""

    def __init__(self, settings: Settings) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self.thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.thread.start()
        self.service: Service = self._run(self._stack.enter_async_context(open_service(settings))).result()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def start(self, work: Work) -> Future[Any]:
        return self._run(work(self.service))

    def do(self, work: Work) -> Any:
        return self.start(work).result(timeout=60)

    def end(self) -> None:
        self._run(self._stack.aclose()).result(timeout=60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.thread.join()
        self._loop.close()


class Hold:
    """Holds one thread at the `number`-th point that it comes to; `name` is the point's, once it is there."""

    def __init__(self, thread: threading.Thread, number: int) -> None:
        self._thread = thread
        self._left = number
        self._let_go = threading.Event()
        self.there = threading.Event()
        self.name = ""

    def __call__(self, name: str) -> None:
        if threading.current_thread() is not self._thread:
            return
        self._left -= 1
        if self._left == 0:
            self.name = name
            self.there.set()
            self._let_go.wait(60)

    def let_go(self) -> None:
        self._let_go.set()


@pytest.fixture
def race_settings(new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path: Path) -> Settings:
    return load(settings_for(new_database(), stripe_sandbox.url, PAYDESK_DATA=str(tmp_path / "data")), folder=tmp_path)


@contextmanager
def two_sides(settings: Settings) -> Iterator[tuple[Side, Side]]:
    sides = Side(settings), Side(settings)
    try:
        yield sides
    finally:
        edge.observe(None)
        for side in sides:
            side.end()


def new_order(*, pressed: bool) -> Work:
    """An order of somebody whom Stripe knows, whose button was pressed already or not."""

    async def work(service: Service) -> str:
        person = await customers.find_or_make(service.store, Identity("web", secrets.token_hex(8)))
        line = checkout.line_of(service.catalog, "credits-10", 1)
        first, order = [
            await checkout.create_order(service.store, checkout.NewOrder(person, (line,)), livemode=False)
            for _ in range(2)
        ]
        await press(first)(service)
        if pressed:
            await press(order)(service)
        return order

    return work


def press(order: str) -> Work:
    async def work(service: Service) -> str:
        url = service.settings.public_url
        return (await checkout.open_session(service.store, service.gateway, order, public_url=url)).status

    return work


def cancel(order: str) -> Work:
    async def work(service: Service) -> str:
        return str((await checkout.cancel(service.store, service.gateway, order))["status"])

    return work


def payable(order: str) -> Work:
    """The order's sessions that can still be paid at Stripe."""

    async def work(service: Service) -> list[str]:
        person = (await checkout.get(service.store, order))["customer_id"]
        payer = await service.store.fetchval("SELECT stripe_customer FROM customer WHERE id = $1", person)
        attempts = (await service.gateway.find_session(payer, order, str(number)) for number in range(1, 9))
        return [session["id"] async for session in attempts if session is not None and session["status"] == "open"]

    return work


@pytest.mark.parametrize("pressed", [False, True], ids=["for the first time", "again"])
@pytest.mark.parametrize("held_is_press", [True, False], ids=["press is held", "cancel is held"])
def test_no_canceled_order_keeps_a_session_that_can_be_paid(
    race_settings: Settings, pressed: bool, held_is_press: bool
) -> None:
    overtaken: list[str] = []
    with two_sides(race_settings) as (one, other):
        for number in range(1, POINTS_MAX):
            order = one.do(new_order(pressed=pressed))
            works = (press(order), cancel(order)) if held_is_press else (cancel(order), press(order))
            hold = Hold(one.thread, number)
            edge.observe(hold)
            slow = one.start(works[0])
            while not hold.there.wait(0.005) and not slow.done():
                pass
            quick = other.start(works[1])
            if quick in wait([quick], timeout=LOCKED_S).done and hold.name:
                overtaken.append(hold.name)
            hold.let_go()
            ends = slow.result(timeout=60), quick.result(timeout=60)
            edge.observe(None)
            assert ends[held_is_press] == "canceled", (number, hold.name, ends)
            assert other.do(payable(order)) == [], (number, hold.name, ends)
            if not hold.name:
                break
    asks_stripe = held_is_press or pressed  # who finds nothing to close does not ask
    assert ("stripe:after" in overtaken) == asks_stripe, overtaken
    assert hold.name == "", "the flow has more points than were tried"


def test_a_session_whose_maker_died_before_noting_it_is_closed_with_its_order(
    race_settings: Settings, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal")

    async def die_pressing() -> None:
        async with open_service(race_settings) as service:
            order = await new_order(pressed=False)(service)
            journal.note("order", "", order)
            edge.observe(lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == "stripe:after" else None)
            await press(order)(service)

    async def cancel_it() -> None:
        order = journal.of("order", "")[0]
        async with open_service(race_settings) as service:
            before = len(await payable(order)(service))
            journal.note("seen", "", [before, await cancel(order)(service), await payable(order)(service)])

    assert in_child(die_pressing, journal) == -signal.SIGKILL
    assert in_child(cancel_it, journal) == 0, unasked(journal)
    assert journal.of("seen", "") == [[1, "canceled", []]]
