"""What people say and do on channels: stored before anything, answered once, whatever dies in between."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from conftest import settings_for
from paydesk import arrivals, drift, listening, memberships, outbox
from paydesk.app import open_service
from paydesk.channels.base import Address, Arrival, Misconfigured, NeedsUser
from paydesk.config import Settings, load
from paydesk.errors import Invalid
from paydesk.leases import Lease
from paydesk.listening import run as listen
from paydesk.memberships import Membership, Place
from paydesk.outbox import Message
from paydesk.service import Service
from paydesk.web.channel_hooks import ChannelHooks
from sandbox_fixtures import Sandbox
from talk import SECRET, Talk


@pytest.fixture
def talk() -> Talk:
    return Talk()


@pytest.fixture
def settings(database: str, stripe_sandbox: Sandbox, tmp_path: Path) -> Settings:
    return load(settings_for(database, stripe_sandbox.url, PAYDESK_DATA=str(tmp_path / "data")), folder=tmp_path)


@pytest.fixture
async def service(settings: Settings, talk: Talk) -> AsyncIterator[Service]:
    async with open_service(settings, [talk]) as opened:
        yield opened


def arrival(who: str, **told: object) -> Arrival:
    id_ = secrets.token_hex(6)
    return Arrival(id_, "said", who, json.dumps({"id": id_, "who": who, **told}).encode())


async def arrives(service: Service, *found: Arrival) -> None:
    await arrivals.keep(service.receiver, "talk", found, livemode=False)
    await service.worker.drain()


async def state_of(service: Service, one: Arrival) -> tuple[str, str | None]:
    row = await service.store.fetchrow("SELECT state, detail FROM inbox WHERE external_id = $1", one.external_id)
    assert row is not None
    return row["state"], row["detail"]


async def lets_in(service: Service, who: str, space: str, role: str, *, wanted: bool = True) -> str:
    """Somebody who is (not) to be in there; gives the customer."""
    await arrives(service, arrival(who, text="/start"))
    person = await service.store.fetchval("SELECT customer_id FROM identity WHERE external_id = $1", who)
    await service.store.execute(
        "INSERT INTO membership (customer_id, channel, space, role, wanted) VALUES ($1, 'talk', $2, $3, $4)",
        person, space, role, wanted,
    )  # fmt: skip
    return str(person)


# --- said and answered -----------------------------------------------------------------------------------------------


async def test_what_is_said_is_answered_in_the_same_chat_once_however_often_it_arrives(
    service: Service, talk: Talk
) -> None:
    one = arrival("ann", text="/buy credits-10")
    await arrives(service, one)
    await arrives(service, one)
    (said,) = talk.said
    assert said.to == Address("talk", "ann")
    assert "10 credits for $9.99" in said.text
    assert next(button.url for button in said.buttons).startswith("http://127.0.0.1:8000/r/")  # type: ignore[union-attr]
    assert await service.store.fetchval("SELECT count(*) FROM orders") == 1
    assert await state_of(service, one) == ("done", None)


async def test_a_crash_between_the_answer_and_its_note_doubles_nothing(
    service: Service, talk: Talk, settings: Settings
) -> None:
    """The row is handled to its end, and then handled again as if the worker had died before the commit."""
    one = arrival("ann", text="/buy credits-10")
    await arrives(service, one)
    await service.store.execute("UPDATE inbox SET state = 'ready', finished_at = NULL")
    await service.worker.drain()
    assert len(talk.said) == 1
    assert await service.store.fetchval("SELECT count(*) FROM orders") == 1


async def test_one_persons_words_are_answered_in_order(service: Service, talk: Talk) -> None:
    words = ["/balance", "/history", "/buy credits-10", "/balance"]
    await arrives(service, *(arrival("ann", text=text) for text in words))
    assert [text.split()[0] for text in talk.texts("ann")] == ["You", "You", "10", "You"]


async def test_words_are_answered_however_many_they_are(service: Service, talk: Talk) -> None:
    long = arrival("ann", text="/balance\x00 " + "🎾" * 5000)
    await arrives(service, long)
    assert await state_of(service, long) == ("done", None)
    assert len(talk.texts("ann")) == 1


async def test_what_the_answer_needs_goes_with_it(service: Service, talk: Talk) -> None:
    await arrives(service, arrival("ann", text="/balance", answers={"token": "abc"}))
    assert talk.said[0].answers == {"token": "abc"}  # type: ignore[union-attr]


async def test_what_cannot_be_understood_is_quarantined_after_its_attempts_and_told(
    service: Service, talk: Talk
) -> None:
    bad, good = arrival("ann", do="crash"), arrival("bob", text="/balance")
    await arrives(service, bad, good)
    assert len(talk.texts("bob")) == 1
    for _ in range(5):
        await service.store.execute("UPDATE inbox SET next_at = '-infinity' WHERE state = 'ready'")
        await service.worker.drain()
    assert await state_of(service, bad) == ("quarantined", "ValueError: a bug in the channel")
    told = await service.store.fetchval("SELECT count(*) FROM outbox WHERE template = 'alert_quarantined'")
    assert told == 1


async def test_an_arrival_of_a_channel_that_is_gone_is_ignored_and_can_be_replayed(
    settings: Settings, talk: Talk
) -> None:
    one = arrival("ann", text="/balance")
    async with open_service(settings) as without:
        await arrivals.keep(without.receiver, "talk", [one], livemode=False)
        await without.worker.drain()
        assert await state_of(without, one) == ("ignored", "there is no channel talk now")
    async with open_service(settings, [talk]) as service:
        await service.store.execute("UPDATE inbox SET state = 'ready', finished_at = NULL")
        await service.worker.drain()
        assert len(talk.texts("ann")) == 1


def test_an_arrival_that_is_too_long_is_refused() -> None:
    with pytest.raises(Invalid, match="65536 bytes"):
        arrivals.envelope("talk", Arrival("1", "said", "ann", b"x" * 65_537), livemode=False)


# --- who is there ----------------------------------------------------------------------------------------------------


async def test_who_asks_to_be_let_in_is_if_they_may_and_is_told_how_if_not(service: Service, talk: Talk) -> None:
    await lets_in(service, "ann", "-7", "")
    await arrives(service, arrival("ann", do="ask", space="-7"), arrival("bob", do="ask", space="-7"))
    assert talk.roles["ann", "-7"] == {""}
    assert talk.roles["bob", "-7"] == set()
    assert talk.texts("bob") == ["This group is for people who have a place in it. /buy shows how to get one."]


async def test_who_comes_in_has_their_role_at_once(service: Service, talk: Talk) -> None:
    person = await lets_in(service, "ann", "1", "2")
    talk.refusals = [NeedsUser("not in the server")]
    one = Membership(person, Place("talk", "1", "2"), wanted=True, version=1)
    async with service.store.transaction() as tx:
        await outbox.put(tx, [memberships.told(one, "ann")])
    await service.worker.drain()
    assert talk.texts("ann")[-1] == "Your role on Talk waits for you: come into the server, and you have it."
    assert talk.roles["ann", "1"] == set()
    await arrives(service, arrival("ann", do="here", space="1"))
    assert talk.roles["ann", "1"] == {"2"}


async def test_who_blocked_us_hears_nothing_and_everything_that_matters_when_they_are_back(
    service: Service, talk: Talk
) -> None:
    person = await lets_in(service, "ann", "1", "2")
    await arrives(service, arrival("ann", do="away"))
    before = len(talk.said)
    async with service.store.transaction() as tx:
        for template in ("pass_ended", "low_balance"):
            params = {"feature": "gold", "unit": "credits"}
            await outbox.put(tx, [outbox.Message(f"{template}:1", person, "talk", "ann", template, params)])
    await service.worker.drain()
    assert len(talk.said) == before
    await arrives(service, arrival("ann", text="/start"))
    assert talk.texts("ann")[before:].count("Your access to gold has ended. /buy brings it back.") == 1
    assert not any("left" in text for text in talk.texts("ann")), "reminders are not kept"


async def test_what_was_mended_goes_on_at_once(service: Service, talk: Talk) -> None:
    person = await lets_in(service, "ann", "1", "2")
    async with service.store.transaction() as tx:
        await outbox.put(
            tx, [outbox.Message("m", person, "talk", "ann", "grant", {"space": "1", "role": "2", "version": 1})]
        )
        await tx.execute("UPDATE outbox SET state = 'waiting', waits_for = 'mend:talk:1|2' WHERE dedup_key = 'm'")
    await arrives(service, arrival("crew", do="mended", resource="1"))
    assert talk.roles["ann", "1"] == {"2"}


async def test_who_said_stop_is_told_nothing_until_they_ask_for_it(service: Service, talk: Talk) -> None:
    await lets_in(service, "ann", "1", "2")
    await arrives(service, arrival("ann", do="away", for_ever=True))
    before = len(talk.said)
    await arrives(service, arrival("ann", text="ok thanks"))
    assert len(talk.said) == before
    await arrives(service, arrival("ann", do="here"))
    await arrives(service, arrival("ann", text="/balance"))
    assert talk.texts("ann")[-1].startswith("You have nothing yet")


async def test_a_group_that_is_none_of_ours_is_left_alone(service: Service, talk: Talk) -> None:
    talk.roles["bob", "-99"] = {""}
    one = arrival("bob", do="ask", space="-99")
    await arrives(service, one)
    assert talk.roles["bob", "-99"] == {""}
    assert talk.said == []


# --- drift -----------------------------------------------------------------------------------------------------------


async def test_what_people_really_have_is_made_what_they_are_to_have(service: Service, talk: Talk) -> None:
    await lets_in(service, "ann", "1", "2")
    await lets_in(service, "bob", "1", "2", wanted=False)
    await lets_in(service, "eve", "1", "2")
    talk.roles["ann", "1"] = {"", "9"}  # somebody took it by hand; another role was given by hand
    talk.roles["bob", "1"] = {"", "2"}
    reports = await drift.once(service)
    await service.worker.drain()
    assert talk.roles["ann", "1"] == {"", "9", "2"}
    assert talk.roles["bob", "1"] == {""}
    assert talk.roles["eve", "1"] == set(), "who is not in there has it on arrival"
    assert (reports["talk"].given, reports["talk"].taken) == (1, 1)
    told = await service.store.fetchval("SELECT count(*) FROM outbox WHERE template = 'alert_drift'")
    assert told == 1
    await drift.once(service)
    assert (await drift.once(service))["talk"].given == 0


async def test_drift_asks_once_for_what_waits_for_a_set_up(service: Service, talk: Talk) -> None:
    await lets_in(service, "ann", "1", "2")
    talk.roles["ann", "1"] = {""}
    talk.refuse_all = Misconfigured("Missing Permissions", resource="1|2", mend="put the bot's role above it")
    for _ in range(3):
        await drift.once(service)
        await service.worker.drain()
        await service.store.execute("UPDATE outbox SET dedup_key = dedup_key || ':earlier' WHERE template = 'grant'")
    waiting = await service.store.fetchval("SELECT count(*) FROM outbox WHERE template = 'grant' AND state = 'waiting'")
    assert waiting == 1


# --- over HTTP, and by polling ---------------------------------------------------------------------------------------


async def test_a_request_is_verified_before_anything_and_answered_when_it_is_stored(
    service: Service, talk: Talk
) -> None:
    transport = httpx.ASGITransport(ChannelHooks(service))  # type: ignore[arg-type]
    body = {"id": "u1", "who": "ann", "text": "/balance"}
    async with httpx.AsyncClient(transport=transport, base_url="http://desk") as client:
        forged = await client.post("/webhooks/talk", json=body)
        assert forged.status_code == 401
        assert await service.store.fetchval("SELECT count(*) FROM inbox") == 0
        malformed = await client.post("/webhooks/talk", content=b"{", headers={"x-secret": SECRET})
        assert malformed.status_code == 400
        tripped = await client.post("/webhooks/talk", json={**body, "do": "trip"}, headers={"x-secret": SECRET})
        assert tripped.status_code == 503
        huge = await client.post("/webhooks/talk", content=b"x" * 1_048_577, headers={"x-secret": SECRET})
        assert huge.status_code == 413
        taken = await client.post("/webhooks/talk", json=body, headers={"x-secret": SECRET})
        assert (taken.status_code, taken.content) == (200, b'{"ok":true}')
    assert await service.store.fetchval("SELECT count(*) FROM inbox") == 1


async def test_a_channel_that_polls_is_polled_by_one_process(service: Service, settings: Settings, talk: Talk) -> None:
    second = Talk()
    async with open_service(settings, [second]) as other:
        first = asyncio.create_task(listen(service))
        await asyncio.sleep(0.3)
        standby = asyncio.create_task(listen(other))
        talk.arriving.append(arrival("ann", text="/balance"))
        second.arriving.append(arrival("bob", text="/balance"))
        async with asyncio.timeout(10):
            while talk.arriving:
                await asyncio.sleep(0.05)
        await service.worker.drain()
        assert len(talk.texts("ann")) == 1
        assert second.arriving, "the other process waits for the lease"
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        async with asyncio.timeout(20):
            while second.arriving:
                await asyncio.sleep(0.1)
        standby.cancel()
        await asyncio.gather(standby, return_exceptions=True)


async def test_a_failure_that_is_told_before_the_end_of_its_attempt_is_noted_is_not_lost(
    service: Service, talk: Talk
) -> None:
    """A platform's answer and what it tells later take different ways: the second may be the quicker one."""
    talk.hangs = asyncio.Event()
    async with service.store.transaction() as tx:
        await outbox.put(tx, [Message("quick", None, "talk", "ann", "pass_ended", {"feature": "gold"})])
    sending = asyncio.create_task(service.worker.work_outbox())
    async with asyncio.timeout(10):
        while not talk.tries:
            await asyncio.sleep(0.01)
    told = arrival("ann", do="undelivered", key="quick", reason="30003 unreachable")
    await arrivals.keep(service.receiver, "talk", [told], livemode=False)
    assert await service.worker.work_inbox() == 1
    talk.hangs.set()
    await sending
    ended = await service.store.fetchrow("SELECT state, detail FROM outbox WHERE dedup_key = 'quick'")
    assert tuple(ended or ()) == ("sent", "not delivered: 30003 unreachable")


async def test_while_the_database_is_away_nobody_stops_polling(settings: Settings, talk: Talk) -> None:
    """What was fetched and could not be stored yet would be lost with it: nobody else can take over meanwhile."""
    async with open_service(settings, [talk]) as opened:
        lease = Lease(opened.store, "poll:talk")
        assert await lease.hold()
        assert not await listening._is_still_ours(Lease(opened.store, "poll:talk"))
    lease._renewed = 0.0  # it is time to renew it, and there is no database
    assert await listening._is_still_ours(lease)
    assert not await listening._is_ours(lease), "but nobody begins without one"
