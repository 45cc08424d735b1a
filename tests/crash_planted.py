"""Does the harness bite? Ten bugs that desks really have are planted, one at a time, and each must be reported.

A bug is planted in a forked child only, while it lives, by putting something else in a function's place. Nothing
like it is done anywhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import settings_for
from faults import Flow, Journal, Plant, Run, drain, end_of, first_found, fork, in_child, unasked
from flows import SHORTEST
from invariants import violations
from load import AMOUNT, KINDS, Bought, buy, events_of
from paydesk import customers, edge, inbox, ledger, orders, outbox, worker
from paydesk.app import open_service
from paydesk.channels.base import Address
from paydesk.chat.thread import Threads
from paydesk.config import Settings, load
from paydesk.inbox import DONE, Claim, Envelope, Outcome, Receiver, Row
from paydesk.ledger import Book, Source
from paydesk.outbox import Message
from paydesk.settle import Work, settle
from paydesk.store import Store, Tx
from paydesk.web import hooks
from sandbox_fixtures import Sandbox

UNCUT = [10**6]
ALL = range(230, 0, -1)
"""Points from the last backwards: what happens after the money came is cut first."""


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


async def messages_after_the_commit(store: Store, held: Claim, batch: Sequence[Work]) -> list[Outcome]:
    put, late = outbox.put, []

    async def keep(_tx: Tx, messages: Sequence[Message]) -> int:
        late.extend(messages)
        return len(messages)

    with planted(outbox, "put", keep):
        outcomes = await settle(store, held, batch)
    async with store.transaction() as tx:
        await put(tx, late)
    return outcomes


async def finished_before_the_effects(store: Store, held: Claim, batch: Sequence[Work]) -> list[Outcome]:
    async with store.transaction() as tx:
        await inbox.finish(tx, held, [work.row for work in batch], [DONE] * len(batch))

    async def no_finish(*_: object) -> None:
        return

    with planted(inbox, "finish", no_finish):
        return await settle(store, held, batch)


def grant_on_each_event(book: Book, source: Source, target: int, since: Any, *, inbox_id: int | None = None) -> bool:
    return right_post(book, source, source.worth + target, since, inbox_id=inbox_id)


right_post = Book.post


async def acknowledge_before_it_is_stored(receiver: Receiver, envelope: Envelope) -> bool:
    background.append(asyncio.create_task(receiver._group.submit(envelope)))
    return True


background: list[asyncio.Task[bool]] = []


async def append_under_no_key(threads: Threads, who: Address, text: str, buttons: Any, key: str) -> int:
    return await threads.say(who, text, buttons, f"{key} {id(object())}")


async def finish_without_a_fence(tx: Tx, _held: Claim, rows: Sequence[Row], outcomes: Sequence[Outcome]) -> None:
    columns = zip(*((r.id, o.state, o.detail, o.waits_for) for r, o in zip(rows, outcomes, strict=True)), strict=True)
    await tx.execute(inbox.FINISH.replace("AND i.state IN ('ready','parked')", ""), *(list(one) for one in columns))


async def load_without_a_lock(tx: Tx, people: Any) -> set[str]:
    rows = await tx.fetch("SELECT id FROM customer WHERE id = ANY($1::text[])", sorted(people))
    return {row["id"] for row in rows}


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
    return load(
        settings_for(new_database(), stripe_sandbox.url, PAYDESK_DATA=str(tmp_path / "data")), folder=tmp_path
    )


BUGS: dict[str, tuple[Plant, Sequence[int], str]] = {
    "autocommit": (lambda: planted(Store, "transaction", each_statement_commits), ALL, "ledger: "),
    "dual write": (lambda: planted(worker, "settle", messages_after_the_commit), ALL, "message: "),
    "no reclaim": (lambda: planted(inbox, "CLAIM", NO_RECLAIM), ALL, "queue: "),
    "done too early": (lambda: planted(worker, "settle", finished_before_the_effects), ALL, "effect: "),
    "grant on each event": (lambda: planted(Book, "post", grant_on_each_event), UNCUT, "effect: "),
    "acknowledged too early": (lambda: planted(Receiver, "receive", acknowledge_before_it_is_stored), ALL, "acknowledged: "),
    "message without a key": (lambda: planted(Threads, "append", append_under_no_key), UNCUT, "message: "),
    "no unique event": (lambda: planted(inbox, "RECEIVE", NO_UNIQUE_KEY), UNCUT, "event: "),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_reported(bug: str, settings_here: Settings, tmp_path: Path) -> None:
    plant, points, kind = BUGS[bug]
    if bug == "no unique event":
        in_child(lambda: _drop_unique_keys(settings_here), Journal(tmp_path / "keys"))
    run = Run(SHORTEST, settings_here, Journal(tmp_path / "journal"), plant)
    found = first_found(run, points, kind)
    assert [one for one in found if one.startswith(kind)], found


async def _drop_unique_keys(settings: Settings) -> None:
    async with open_service(settings) as service:
        await service.store.execute("ALTER TABLE inbox DROP CONSTRAINT uq_inbox_source_external_id")


def test_without_a_bug_nothing_is_reported(settings_here: Settings, tmp_path: Path) -> None:
    run = Run(SHORTEST, settings_here, Journal(tmp_path / "journal"))
    assert first_found(run, [*UNCUT, 60, 120, 180], "") == []
