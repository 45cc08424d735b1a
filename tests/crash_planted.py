"""Does the harness bite? Fourteen bugs that desks really have are planted, one at a time, and each must be reported.

A bug is planted in a forked child only, while it lives, by putting something else in a function's place. Nothing
like it is done anywhere else.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import settings_for
from faults import Flow, Journal, Plant, Run, end_of, first_found, fork, in_child, time_passes, unasked
from flows import SHORTEST
from flows_money import HOLDS, REFUND_IN_PART
from invariants import WITNESS, finished_twice, violations
from load import AMOUNT, KINDS, Bought, buy, events_of
from paydesk import asking, customers, edge, inbox, orders, outbox, purses, wallet, worker
from paydesk.app import open_service
from paydesk.asking import Call, Find, Object, Send
from paydesk.channels.base import Action, Receipt
from paydesk.channels.web import WebChannel
from paydesk.config import Settings, load
from paydesk.inbox import DONE, Claim, Envelope, Outcome, Receiver, Row
from paydesk.ledger import Book, Source
from paydesk.outbox import Message
from paydesk.service import Service
from paydesk.settle import Work, settle
from paydesk.store import Store, Tx
from paydesk.stripe.envelope import envelope
from paydesk.wallet import Give, Spend, Wallets
from sandbox_fixtures import Sandbox

Window = tuple[str, str] | None
STORING = ("group:before", "group:after")
SETTLING = ("group:after", "send:before")
UNCUT = None
"""Which points are cut: from one name to the next of another, or none."""


@contextmanager
def planted(owner: Any, name: str, bug: Any) -> Iterator[None]:
    """Put `bug` in the place of `owner`'s `name` until the block ends."""
    right = getattr(owner, name)
    setattr(owner, name, bug)
    try:
        yield
    finally:
        setattr(owner, name, right)


# --- the bugs --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def each_statement_commits(store: Store) -> AsyncIterator[Tx]:
    async with store._pool.acquire() as connection:
        edge.point("begin:before")
        yield Tx(connection)
        edge.point("commit:after")


async def messages_after_the_commit(store: Store, held: Claim, batch: Sequence[Work], **more: Any) -> list[Outcome]:
    put, late = outbox.put, []

    async def keep(_tx: Tx, messages: Sequence[Message]) -> int:
        late.extend(messages)
        return len(messages)

    with planted(outbox, "put", keep):
        outcomes = await settle(store, held, batch, **more)
    async with store.transaction() as tx:
        await put(tx, late)
    return outcomes


async def finished_before_the_effects(store: Store, held: Claim, batch: Sequence[Work], **more: Any) -> list[Outcome]:
    async with store.transaction() as tx:
        await inbox.finish(tx, held, [work.row for work in batch], [DONE] * len(batch))

    async def no_finish(*_: object) -> None:
        return

    with planted(inbox, "finish", no_finish):
        return await settle(store, held, batch, **more)


def grant_on_each_event(book: Book, source: Source, target: int, since: Any, *, inbox_id: int | None = None) -> bool:
    return right_post(book, source, source.worth + target, since, inbox_id=inbox_id)


right_post = Book.post


async def acknowledge_before_it_is_stored(receiver: Receiver, envelope: Envelope) -> bool:
    async def store_later() -> None:
        await asyncio.sleep(5)
        await receiver._group.submit(envelope)

    in_memory.append(asyncio.create_task(store_later()))
    return True


in_memory: list[asyncio.Task[None]] = []


async def deliver_under_a_new_key(channel: WebChannel, action: Action, _last: Receipt | None) -> Receipt:
    await channel._append(action.to, action.text, [], f"{action.key} {secrets.token_hex(4)}")
    return Receipt()


async def finish_without_a_fence(tx: Tx, _held: Claim, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> None:
    columns = zip(*((r.id, o.state, o.detail, o.waits_for) for r, o in zip(rows, outcomes, strict=True)), strict=True)
    await tx.execute(inbox.FINISH.replace("AND i.state IN ('ready','parked')", ""), *(list(one) for one in columns))


async def load_without_a_lock(tx: Tx, people: Any) -> set[str]:
    rows = await tx.fetch("SELECT id FROM customer WHERE id = ANY($1::text[])", sorted(people))
    return {row["id"] for row in rows}


async def refund_that_is_not_written_down(tx: Tx, name: str, kind: str, subject: str, params: Object) -> Call:
    if kind != "refund":
        return await right_writing(tx, name, kind, subject, params)
    return Call(name, name, kind, subject, params, "pending", None, None, fresh=True)


right_writing = asking.written


async def refund_under_a_new_key(store: Store, call: Call, send: Send, find: Find) -> Object:
    if call.kind != "refund":
        return await right_answer(store, call, send, find)
    return await send(call.params, secrets.token_hex(8))


right_answer = asking.answer


def spend_without_its_key(customer: str, _key: str) -> str:
    return f"op:{customer}:{secrets.token_hex(8)}"


NOT_COMPARED = purses.SPEND.replace("AND a.xmin = n.version", "").replace("AND l.remaining = n.before", "")

NO_RECLAIM = inbox.CLAIM.replace("l.leased_until <= now()", "l.claim_id IS NULL")
NO_UNIQUE_KEY = """
INSERT INTO inbox (source, external_id, kind, lane, body, livemode)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::bytea[], $6::boolean[])
RETURNING source, external_id
"""


# --- those that a purchase shows -------------------------------------------------------------------------------------


@pytest.fixture
def settings_here(new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path: Path) -> Settings:
    """Settings of a service on a database of its own."""
    return load(settings_for(new_database(), stripe_sandbox.url, PAYDESK_DATA=str(tmp_path / "data")), folder=tmp_path)


BUGS: dict[str, tuple[Plant, Window, str]] = {
    "autocommit": (lambda: planted(Store, "transaction", each_statement_commits), SETTLING, "ledger: "),
    "dual write": (lambda: planted(worker, "settle", messages_after_the_commit), SETTLING, "message: "),
    "no reclaim": (lambda: planted(inbox, "CLAIM", NO_RECLAIM), SETTLING, "queue: "),
    "done too early": (lambda: planted(worker, "settle", finished_before_the_effects), SETTLING, "effect: "),
    "grant on each event": (lambda: planted(Book, "post", grant_on_each_event), UNCUT, "effect: "),
    "acknowledged too early": (
        lambda: planted(Receiver, "receive", acknowledge_before_it_is_stored),
        UNCUT,
        "acknowledged: ",
    ),
    "message without a key": (lambda: planted(WebChannel, "deliver", deliver_under_a_new_key), UNCUT, "message: "),
    "no unique event": (lambda: planted(inbox, "RECEIVE", NO_UNIQUE_KEY), UNCUT, "event: "),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_reported(bug: str, settings_here: Settings, tmp_path: Path) -> None:
    plant, window, kind = BUGS[bug]
    if bug == "no unique event":
        in_child(lambda: _drop_unique_keys(settings_here), Journal(tmp_path / "keys"))
    run = Run(SHORTEST, settings_here, Journal(tmp_path / "journal"), plant)
    found = first_found(run, _points(run, window), kind)
    assert [one for one in found if one.startswith(kind)], found


def _points(run: Run, window: Window) -> Sequence[int]:
    """Return the points within a window, the last first: from the first that opens it to the next that closes it.

    One of each two is enough: "after" one statement and "before" the next is the same moment for the database.
    """
    names = run.points()
    if window is None:
        return []
    first = names.index(window[0]) + 1
    last = names.index(window[1], first) + 1 if window[1] in names[first:] else first
    return [number for number in range(last, first - 1, -1) if names[number - 1].endswith("after") or number == first]


async def _drop_unique_keys(settings: Settings) -> None:
    async with open_service(settings) as service:
        await service.store.execute("ALTER TABLE inbox DROP CONSTRAINT uq_inbox_source_external_id")


def test_without_a_bug_nothing_is_reported(settings_here: Settings, tmp_path: Path) -> None:
    run = Run(SHORTEST, settings_here, Journal(tmp_path / "journal"))
    assert first_found(run, _points(run, STORING), "") == []


# --- those that money shows which goes back and forth ----------------------------------------------------------------

MONEY_BUGS: dict[str, tuple[Flow, Plant, str, str]] = {
    "refund not written down": (
        REFUND_IN_PART,
        lambda: planted(asking, "written", refund_that_is_not_written_down),
        "",
        "call: ",
    ),
    "refund under a new key": (
        REFUND_IN_PART,
        lambda: planted(asking, "answer", refund_under_a_new_key),
        "stripe:after",
        "stripe: ",
    ),
    "spend without its key": (HOLDS, lambda: planted(wallet, "_name", spend_without_its_key), "", "effect: "),
}
"""The flow, the bug, the name of the points that are cut (none: everything is only asked again), what is found."""


@pytest.mark.parametrize("bug", MONEY_BUGS)
def test_a_bug_planted_in_a_flow_of_money_is_reported(bug: str, settings_here: Settings, tmp_path: Path) -> None:
    flow, plant, cut, kind = MONEY_BUGS[bug]
    run = Run(flow, settings_here, Journal(tmp_path / "journal"), plant)
    points = [number for number, name in enumerate(run.points(), 1) if name == cut]
    found = first_found(run, points, kind)
    assert [one for one in found if one.startswith(kind)], found


@pytest.mark.parametrize("flow", [REFUND_IN_PART, HOLDS], ids=["a refund", "holds"])
def test_without_a_bug_nothing_is_reported_of_money(flow: Flow, settings_here: Settings, tmp_path: Path) -> None:
    run = Run(flow, settings_here, Journal(tmp_path / "journal"))
    run.points()
    run.end()
    assert run.found() == []


# --- those that need two workers, or a wrong event -------------------------------------------------------------------


@dataclass
class Scene:
    """Orders that wait to be paid, and children that work on them."""

    settings: Settings
    journal: Journal

    def play(self, part: Callable[[Service], Awaitable[None]], plant: Plant = nullcontext) -> int:
        """Let a child play a part with a bug planted; return its process id."""

        async def life() -> None:
            async with open_service(self.settings) as service:
                with plant():
                    await part(service)

        return fork(life, self.journal)

    def found(self, *checks: Callable[[Store], Awaitable[list[str]]]) -> list[str]:
        """Return what a clean child finds."""

        async def look(service: Service) -> None:
            for check in checks:
                for finding in await check(service.store):
                    self.journal.note("violation", "", finding)

        assert end_of(self.play(look)) == 0
        return [value for _, value in self.journal.lines("violation")] + unasked(self.journal)


@pytest.fixture
def scene(settings_here: Settings, tmp_path: Path) -> Scene:
    """An empty scene."""
    return Scene(settings_here, Journal(tmp_path / "journal"))


async def hear_of(service: Service, bought: Sequence[Bought]) -> None:
    await asyncio.gather(*(service.receiver.receive(envelope(body)) for body in events_of(bought).values()))


async def work(service: Service) -> None:
    await service.worker.drain()


# A worker is frozen once it has read its rows, another takes over, and the first comes back.


def frozen_worker_returns(scene: Scene, plant: Plant) -> list[str]:
    """Let a worker come back too late, and return what is found."""

    async def prepare(service: Service) -> None:
        connection = await service.store.connect()
        await connection.execute(WITNESS)
        await connection.close()
        await hear_of(service, await buy(service, 20, 2))

    async def freeze(service: Service) -> None:
        edge.observe(stop_after_reading)
        await service.worker.work_inbox()
        edge.observe(None)

    begun: list[str] = []

    def stop_after_reading(name: str) -> None:
        if name == "begin:before":
            begun.append(name)
            if len(begun) == 3:  # claim and read are done, settle begins
                os.kill(os.getpid(), signal.SIGSTOP)

    async def take_over(service: Service) -> None:
        await time_passes(service)
        await service.worker.drain()

    assert end_of(scene.play(prepare)) == 0
    frozen = scene.play(freeze, plant)
    os.waitpid(frozen, os.WUNTRACED)
    assert end_of(scene.play(take_over)) == 0
    os.kill(frozen, signal.SIGCONT)
    assert end_of(frozen) == 0
    return scene.found(finished_twice, violations)


def test_a_worker_that_comes_back_too_late_changes_nothing(scene: Scene) -> None:
    assert frozen_worker_returns(scene, nullcontext) == []


def test_a_missing_fence_is_reported(scene: Scene) -> None:
    found = frozen_worker_returns(scene, lambda: planted(inbox, "finish", finish_without_a_fence))
    assert [one for one in found if one.startswith("fence: ")], found


# Two workers settle orders of the same few people at the same moment.


def two_workers_race(scene: Scene, plant: Plant) -> list[str]:
    """Let two workers share many lanes of few people, and return what is found."""

    async def prepare(service: Service) -> None:
        await hear_of(service, await buy(service, 400, 3))

    assert end_of(scene.play(prepare)) == 0
    racers = [scene.play(work, lambda: several(plant(), planted(worker, "LANES_MAX", 8))) for _ in range(2)]
    assert [end_of(racer) for racer in racers] == [0, 0]
    assert end_of(scene.play(work)) == 0
    return scene.found(violations)


@contextmanager
def several(*plants: AbstractContextManager[object]) -> Iterator[None]:
    """Plant several things at once."""
    with ExitStack() as stack:
        for plant in plants:
            stack.enter_context(plant)
        yield


def test_two_workers_on_the_same_people_lose_nothing(scene: Scene) -> None:
    assert two_workers_race(scene, nullcontext) == []


def test_a_missing_lock_is_reported(scene: Scene) -> None:
    for _ in range(6):  # the two have to meet: one round is usually enough
        found = two_workers_race(scene, lambda: planted(customers, "lock", load_without_a_lock))
        if any(one.startswith("ledger: ") for one in found):
            return
    raise AssertionError("two workers without a lock were never found out")


# Two writers remember the same wallet, and spend from it in turn.


def two_writers_spend(scene: Scene, plant: Plant) -> list[str]:
    """Let a writer spend from a wallet that another one has changed since it was remembered; return what is found."""

    async def spend_in_turn(service: Service) -> None:
        person = await customers.find_or_make(service.store, customers.Identity("web", secrets.token_hex(8)))
        writers = [Wallets(service.store), Wallets(service.store)]
        for writer in writers:
            writer.start()
        await writers[0].run(Give(person, "credits", 10, "gift"))
        for number in range(6):
            await writers[number % 2].run(Spend(person, "credits", 1, f"spend {number}"))
        for writer in writers:
            await writer.stop()

    assert end_of(scene.play(spend_in_turn, plant)) == 0
    return scene.found(violations)


def test_two_writers_who_remember_the_same_wallet_lose_nothing(scene: Scene) -> None:
    assert two_writers_spend(scene, nullcontext) == []


def test_a_purse_that_is_not_compared_is_reported(scene: Scene) -> None:
    found = two_writers_spend(scene, lambda: planted(purses, "SPEND", NOT_COMPARED))
    assert [one for one in found if one.startswith("ledger: ")], found


# Somebody pays one cent and says it was for our order.


def a_cent_is_paid(scene: Scene, plant: Plant) -> list[str]:
    """Let events of a payment of one cent bear the reference of an order, and return what is found."""

    async def pay_a_cent(service: Service) -> None:
        (bought,) = await buy(service, 1, 1)
        bodies = [body.replace(f": {AMOUNT}".encode(), b": 1") for body in events_of([bought]).values()]
        for body in bodies:
            await service.receiver.receive(envelope(body))
        await service.worker.drain()

    assert end_of(scene.play(pay_a_cent, plant)) == 0
    return scene.found(violations)


def test_a_cent_buys_nothing_and_waits_for_a_person(scene: Scene) -> None:
    found = a_cent_is_paid(scene, nullcontext)
    assert [one for one in found if not one.startswith("unasked: quarantined: mismatch")] == [
        f"queue: {len(KINDS) - 1} inbox parked",  # they wait for the session to say why less was paid
        "queue: 1 inbox quarantined",
    ]


def test_a_missing_look_at_the_amount_is_reported(scene: Scene) -> None:
    found = a_cent_is_paid(scene, lambda: planted(orders, "_refuse_mismatch", lambda order, fact: None))
    assert [one for one in found if one.startswith("effect: ")], found
