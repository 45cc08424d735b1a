"""What is old and finished loses its words; what keeps it exactly once, and the money, stays."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conftest import settings_for
from paydesk import inbox, lists, outbox, retention
from paydesk.app import open_service
from paydesk.channels.base import Address
from paydesk.config import load
from paydesk.errors import Conflict
from paydesk.inbox import Envelope
from paydesk.outbox import Message
from paydesk.service import Service
from sandbox_fixtures import Sandbox
from talk import Talk

KEEP_DAYS = 30
FOREIGN = json.dumps(
    {"id": "evt_1", "object": "event", "type": "customer.created", "data": {"object": {"name": "Ann"}}}
)


@pytest.fixture
def talk() -> Talk:
    return Talk()


@pytest.fixture
async def service(database: str, stripe_sandbox: Sandbox, tmp_path: Path, talk: Talk) -> AsyncIterator[Service]:
    settings = settings_for(database, stripe_sandbox.url, PAYDESK_DATA=str(tmp_path / "data"))
    async with open_service(load(settings, folder=tmp_path), [talk]) as opened:
        yield opened


def event(id_: str) -> Envelope:
    body = FOREIGN.replace("evt_1", id_).encode()
    return Envelope("stripe", id_, "customer.created", 7, body, livemode=False)


async def later(service: Service, days: int) -> None:
    """Let days pass on the desk's clock."""
    await service.store.execute("UPDATE desk SET clock_offset_s = clock_offset_s + $1", days * 86_400)
    await service.store.refresh_clock()


async def told(service: Service, key: str) -> None:
    message = Message(key, None, "talk", "ann", "pass_ended", {"feature": "gold"})
    async with service.store.transaction() as tx:
        await outbox.put(tx, [message])
    await service.worker.drain()


async def body_of(service: Service, id_: str) -> bytes:
    row = await lists.event(service.store, id_)
    assert row is not None
    return bytes(row["body"])


async def test_old_bodies_and_words_go_and_everything_still_happens_once(service: Service, talk: Talk) -> None:
    store, ann = service.store, Address("web", "ann")
    old, quarantined = event("evt_old"), event("evt_stuck")
    for one in (old, quarantined):
        await service.receiver.receive(one)
    await told(service, "old")
    await service.threads.say(ann, "your code is 1234", [])
    await store.execute("UPDATE inbox SET state = 'quarantined' WHERE external_id = 'evt_stuck'")
    async with store.transaction() as tx:
        await outbox.put(tx, [Message("waits", None, "talk", "bob", "pass_ended", {"feature": "silver"})])
        await tx.execute("UPDATE outbox SET state = 'waiting', waits_for = 'user:talk:bob' WHERE dedup_key = 'waits'")
    assert await retention.once(store, KEEP_DAYS) == retention.Pruned(0, 0, 0), "nothing is old yet"

    await later(service, KEEP_DAYS + 1)
    await service.receiver.receive(event("evt_young"))
    await service.worker.drain()
    await store.execute("UPDATE inbox SET received_at = desk_now() WHERE external_id = 'evt_young'")
    pruned = await retention.once(store, KEEP_DAYS)
    assert (pruned.events, pruned.messages, pruned.threads) == (1, 1, 1)
    row = await store.fetchrow("SELECT * FROM inbox WHERE external_id = 'evt_old'")
    assert row is not None
    assert (row["body"], row["body_hash"]) == (b"", hashlib.sha256(old.body).digest())
    assert (row["kind"], row["state"]) == ("customer.created", "ignored")
    assert await body_of(service, "evt_young") != b""
    assert await body_of(service, "evt_stuck") == quarantined.body, "a person still has to see it"
    assert await service.threads.latest(ann) == []
    words = await store.fetch("SELECT dedup_key, params FROM outbox WHERE channel = 'talk' ORDER BY id")
    assert [tuple(row) for row in words] == [("old", {}), ("waits", {"feature": "silver"})]

    assert not await service.receiver.receive(old), "its id is known for ever"
    await told(service, "old")
    assert len(talk.said) == 1
    with pytest.raises(Conflict, match="PAYDESK_KEEP_DAYS"):
        await lists.replay(store, ["evt_old"], actor="test")
    async with store.transaction() as tx:
        assert await inbox.replay(tx, ["evt_old"]) == 0
    assert await retention.once(store, KEEP_DAYS) == retention.Pruned(0, 0, 0)


async def test_what_is_finished_after_the_sweep_went_by_loses_its_words_too(service: Service) -> None:
    store = service.store
    await service.receiver.receive(event("evt_stuck"))
    await service.worker.drain()
    await store.execute("UPDATE inbox SET state = 'quarantined'")
    async with store.transaction() as tx:
        await outbox.put(tx, [Message("waits", None, "talk", "bob", "pass_ended", {"feature": "silver"})])
        await tx.execute("UPDATE outbox SET state = 'waiting', waits_for = 'user:talk:bob' WHERE dedup_key = 'waits'")
    await later(service, KEEP_DAYS + 1)
    await told(service, "old")
    for _ in range(2):
        await retention.once(store, KEEP_DAYS)
    assert await body_of(service, "evt_stuck") != b""

    await outbox.wake(store, {"user:talk:bob"})
    await store.execute("UPDATE inbox SET state = 'ready' WHERE external_id = 'evt_stuck'")
    await service.worker.drain()
    pruned = await retention.once(store, KEEP_DAYS)
    assert (pruned.events, pruned.messages) == (1, 1)
    assert await body_of(service, "evt_stuck") == b""
    assert await store.fetchval("SELECT params FROM outbox WHERE dedup_key = 'waits'") == {}
    assert await store.fetchval("SELECT count(*) FROM attempt") <= 1, "only what is young has attempts"
    assert await store.fetchval("SELECT count(*) FROM unpruned") == 0


async def test_a_sweep_goes_on_where_the_last_one_ended_however_much_there_is(service: Service) -> None:
    async with service.store.transaction() as tx:
        await inbox.put(tx, [event(f"evt_{number}") for number in range(2 * retention.BATCH + 10)])
    await service.worker.drain()
    await later(service, KEEP_DAYS + 1)
    pruned = await retention.once(service.store, KEEP_DAYS)
    assert pruned.events == 2 * retention.BATCH + 10
    await service.receiver.receive(event("evt_last"))
    await service.worker.drain()
    await later(service, KEEP_DAYS + 1)
    assert (await retention.once(service.store, KEEP_DAYS)).events == 1


async def test_stars_can_be_given_back_after_any_time(service: Service) -> None:
    """The body of a payment in a platform's own money says to whom it goes back."""
    paid = Envelope("stars", "paid:ch_1", "stars.paid", 7, b"{}", livemode=False)
    await service.receiver.receive(paid)
    await service.store.execute("UPDATE inbox SET state = 'done'")
    await later(service, KEEP_DAYS + 1)
    assert (await retention.once(service.store, KEEP_DAYS)).events == 0
    assert await body_of(service, "paid:ch_1") == b"{}"
