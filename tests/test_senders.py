"""Senders and what follows from each way an attempt can end: nobody waits for another, nothing is lost or said twice."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest

from conftest import settings_for
from paydesk import customers, manners, outbox, reaching, senders, turns, watch
from paydesk.app import open_service
from paydesk.channels.base import (
    Address,
    DeliveryError,
    Limits,
    Misconfigured,
    Moved,
    NeedsUser,
    Refused,
    RetryLater,
    Unknown,
)
from paydesk.config import load
from paydesk.customers import Identity
from paydesk.inbox import Envelope
from paydesk.outbox import Message
from paydesk.service import Service
from sandbox_fixtures import Sandbox
from talk import Talk


@pytest.fixture(scope="module")
def settings_of_module(
    new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    data = tmp_path_factory.mktemp("data")
    return settings_for(new_database(), stripe_sandbox.url, PAYDESK_DATA=str(data))


@pytest.fixture
def talk() -> Talk:
    return Talk()


@pytest.fixture
def other() -> Talk:
    return Talk("other", admin=Address("other", "crew"))


@pytest.fixture
async def service(settings_of_module: dict[str, str], talk: Talk, other: Talk) -> AsyncIterator[Service]:
    """A service with two channels; what an earlier test left waiting is gone."""
    async with open_service(load(settings_of_module), [talk, other]) as opened:
        await opened.store.execute("UPDATE outbox SET state = 'dead' WHERE state IN ('ready','leased','waiting')")
        yield opened


async def somebody(service: Service, *channels: str) -> tuple[str, str]:
    """A person under one id on these channels: the customer, and the id."""
    id_ = secrets.token_hex(6)
    person = await customers.find_or_make(service.store, Identity(channels[0], id_))
    for channel in channels[1:]:
        await service.store.execute(
            "INSERT INTO identity (channel, external_id, customer_id) VALUES ($1, $2, $3)", channel, id_, person
        )
    return person, id_


async def put(
    service: Service, person: str | None, channel: str, address: str, text: str = "hello", **more: str
) -> str:
    """A message that waits to be sent; gives its key."""
    template = more.get("template", "pass_ended")
    key = f"{template}:{secrets.token_hex(6)}"
    message = Message(key, person, channel, address, template, {"feature": text})
    async with service.store.transaction() as tx:
        await outbox.put(tx, [message])
    return key


async def row(service: Service, key: str) -> dict[str, object]:
    found = await service.store.fetchrow("SELECT * FROM outbox WHERE dedup_key = $1", key)
    assert found is not None
    return dict(found.items())


async def drained(service: Service) -> None:
    while await service.worker.work_outbox():
        pass


async def alerts(service: Service, template: str) -> list[str]:
    rows = await service.store.fetch(
        "SELECT dedup_key FROM outbox WHERE channel = 'admin' AND template = $1", f"alert_{template}"
    )
    return [one["dedup_key"] for one in rows]


# --- nobody waits for another ----------------------------------------------------------------------------------------


async def test_a_channel_that_hangs_delays_no_other(service: Service, talk: Talk, other: Talk) -> None:
    talk.hangs = asyncio.Event()
    for _ in range(40):
        await put(service, None, "talk", secrets.token_hex(4))
    running = asyncio.create_task(service.worker._senders.run())
    while talk.tries < 16:
        await asyncio.sleep(0.01)
    for number in range(20):
        await put(service, None, "other", f"o{number}")
        service.bell.ring("outbox")
    async with asyncio.timeout(10):
        while len(other.said) < 20:
            await asyncio.sleep(0.01)
    assert talk.tries == 16, "no more at once than its limit"
    assert talk.said == []
    talk.hangs.set()
    async with asyncio.timeout(10):
        while len(talk.said) < 40:
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_sender_keeps_to_the_rate_and_to_the_gap_in_one_chat(service: Service, talk: Talk) -> None:
    talk.limits = Limits(per_s=50.0, at_once=16, chat_gap_s=0.3)
    for number in range(3):
        await put(service, None, "talk", "one", f"chat {number}")
    for number in range(45):
        await put(service, None, "talk", f"many{number}")
    began = monotonic()
    running = asyncio.create_task(service.worker._senders.run())
    while len(talk.said) < 48:
        await asyncio.sleep(0.01)
    took_s = monotonic() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert took_s >= (48 - 10) / 50, "a fifth of a second's worth at once, then the rate"
    assert talk.texts("one") == [f"Your access to chat {n} has ended. /buy brings it back." for n in range(3)]


async def test_of_two_processes_one_sends_and_the_other_takes_over(
    settings_of_module: dict[str, str], talk: Talk
) -> None:
    talk.one_sender = True
    second = Talk(one_sender=True)
    settings = load(settings_of_module)
    async with open_service(settings, [second]) as standby:
        async with open_service(settings, [talk]) as first:
            await put(first, None, "talk", "a")
            await drained(first)
            await put(first, None, "talk", "b")
            assert await standby.worker.work_outbox() == 0, "the first one holds the lease"
            await drained(first)
            await first.worker._senders._senders["talk"].end()
            await put(first, None, "talk", "c")
        await drained(standby)
    assert [one.to.external_id for one in talk.said] == ["a", "b"]
    assert [one.to.external_id for one in second.said] == ["c"]


async def test_an_outage_uses_up_no_attempts_and_loses_nothing(service: Service, talk: Talk) -> None:
    keys = [await put(service, None, "talk", f"p{number}") for number in range(60)]
    talk.refuse_all = RetryLater("not sent: ConnectError")
    running = asyncio.create_task(service.worker._senders.run())
    await asyncio.sleep(1.5)
    tried = talk.tries
    assert 5 <= tried <= 21, "what was begun at once, then it rests"
    assert len(await alerts(service, "channel_away")) == 1
    attempts = [(await row(service, key))["attempts"] for key in keys]
    assert sum(int(str(one)) for one in attempts) == tried, "who was not tried has used up nothing"
    talk.refuse_all = None
    async with asyncio.timeout(30):
        while len(talk.said) < 60:
            await service.store.execute("UPDATE outbox SET next_at = '-infinity' WHERE state = 'ready'")
            service.bell.ring("outbox")
            await asyncio.sleep(0.1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len({one.key for one in talk.said}) == 60


IN_SIGHT = "SELECT count(*) FROM outbox WHERE channel = 'talk' AND state IN ('ready','leased') AND NOT behind"
CROWD = """
INSERT INTO outbox (dedup_key, channel, address, template, params)
SELECT 'crowd:' || $1 || ':' || g, 'talk', $1, 'pass_ended', '{}' FROM generate_series(1, $2) g
"""


async def test_what_waits_in_one_thread_is_out_of_sight_of_the_others(service: Service) -> None:
    """A thread with more than is looked through at once: the others go on, and its own order is kept to the end."""
    crowd, store = secrets.token_hex(4), service.store
    await store.execute(CROWD, crowd, 2 * turns.WINDOW + 100)
    others = [await put(service, None, "talk", f"{crowd}-{number}") for number in range(3)]
    (head,) = await turns.claim(store, "talk", rows_max=16)
    assert head.key == f"crowd:{crowd}:1"
    assert {one.key for one in await turns.claim(store, "talk", rows_max=16)} == set(others)
    for _ in range(2):
        assert await turns.claim(store, "talk", rows_max=16) == [], "the head of the crowd is under way"
    assert await store.fetchval(IN_SIGHT) < turns.WINDOW, "what a claim has to look through"

    for number in range(2, 40):
        assert await outbox.finish(store, head, outbox.Result("sent"))
        (head,) = await turns.claim(store, "talk", rows_max=16)
        assert head.key == f"crowd:{crowd}:{number}"
    await store.execute("UPDATE outbox SET state = 'dead' WHERE address = $1 AND id < $2", crowd, head.id + 500)
    (head,) = await turns.claim(store, "talk", rows_max=16)
    assert head.key == f"crowd:{crowd}:539", "however the head ended, the next one is at the head"


async def test_a_retried_message_that_had_been_out_of_sight_is_sent(service: Service) -> None:
    crowd, store = secrets.token_hex(4), service.store
    await store.execute(CROWD, crowd, 5)
    await store.execute("UPDATE outbox SET behind = true WHERE address = $1 AND dedup_key LIKE '%:3'", crowd)
    await store.execute("UPDATE outbox SET state = 'dead' WHERE address = $1", crowd)
    id_ = await store.fetchval("SELECT id FROM outbox WHERE dedup_key = $1", f"crowd:{crowd}:3")
    async with store.transaction() as tx:
        assert await outbox.retry(tx, [id_]) == 1
    assert [one.id for one in await turns.claim(store, "talk", rows_max=16)] == [id_]


async def roles(service: Service, kind: str, people: list[str]) -> None:
    """A role given or taken for each of them, those named more than once in a line."""
    messages = [
        Message(f"{kind}:{secrets.token_hex(8)}", None, "talk", id_, kind, {"space": "s", "role": "r"}, "s|r")
        for id_ in people
    ]
    async with service.store.transaction() as tx:
        await outbox.put(tx, messages)


async def all_put_off(service: Service) -> None:
    """What is due of the roles is tried, and is due again in a moment, after all that is new."""
    for one in await turns.claim(service.store, "talk", rows_max=2 * turns.WINDOW):
        await outbox.finish(service.store, one, outbox.Result("later", "busy", wait_s=0.01, counted=False))
    await asyncio.sleep(0.05)


async def ids_claimed(service: Service) -> list[int]:
    return [one.id for one in await turns.claim(service.store, "talk", rows_max=16)]


async def due_since(service: Service, address: str, ago: str) -> None:
    """Say since when what is there for an address and was not put off is due: all that is new is due for ever."""
    await service.store.execute(
        "UPDATE outbox SET next_at = desk_now() - $2::text::interval WHERE address = $1 AND next_at = '-infinity'",
        address, ago,
    )  # fmt: skip


@pytest.mark.parametrize("looks", [1, 2])
async def test_a_long_line_of_one_role_holds_nobody_up(service: Service, looks: int) -> None:
    """Who stands behind a window that is full of the line is seen past it, together with its head: one look. Who stands

    in the window is claimed at once, and a look that has found something is over: then the head is found by the next.
    """
    id_, store = secrets.token_hex(4), service.store
    await roles(service, "grant", [id_] * (turns.WINDOW + 5))
    line = [one["id"] for one in await store.fetch("SELECT id FROM outbox WHERE address = $1 ORDER BY id", id_)]
    await all_put_off(service)
    await due_since(service, id_, "2 hours")
    key = await put(service, None, "talk", f"{id_}-other")
    await due_since(service, f"{id_}-other", "1 hour" if looks == 1 else "3 hours")
    other = (await row(service, key))["id"]
    claimed = [sorted(await ids_claimed(service)) for _ in range(looks)]
    assert claimed == ([[line[0], other]] if looks == 1 else [[other], [line[0]]])
    for ended in range(5):
        await store.execute("UPDATE outbox SET state = 'sent' WHERE id = $1", line[ended])
        assert await ids_claimed(service) == [line[ended + 1]], "in order, one at a time"


async def test_roles_of_many_that_were_put_off_and_are_then_taken_hold_nobody_up(service: Service) -> None:
    crowd = secrets.token_hex(4)
    people = [f"{crowd}-{number}" for number in range(turns.WINDOW + 1)]
    await roles(service, "grant", people)
    for _ in range(2):  # a window at a time
        await all_put_off(service)
    await roles(service, "revoke", people)
    key = await put(service, None, "talk", crowd)
    await due_since(service, crowd, "1 hour")  # behind all that is taken, which is due for ever
    store, looks = service.store, list[dict[str, int]]()
    while claimed := await turns.claim(store, "talk", rows_max=2 * turns.WINDOW):
        looks.append(Counter("other" if one.key == key else one.template for one in claimed))
        ids = [one.id for one in claimed]
        await store.execute("UPDATE outbox SET state = 'sent' WHERE id = ANY($1::bigint[])", ids)
    assert looks == [{"grant": len(people), "other": 1}, {"revoke": turns.WINDOW}, {"revoke": 1}]


async def test_a_role_that_is_put_off_lets_the_next_of_its_line_into_sight(service: Service) -> None:
    id_, store = secrets.token_hex(4), service.store
    await roles(service, "grant", [id_] * 3)
    first, second, third = [
        one["id"] for one in await store.fetch("SELECT id FROM outbox WHERE address = $1 ORDER BY id", id_)
    ]
    await store.execute("UPDATE outbox SET behind = true WHERE id = ANY($1::bigint[])", [second, third])
    for expected in (first, second, third):
        (claimed,) = await turns.claim(store, "talk", rows_max=16)
        assert claimed.id == expected
        await outbox.finish(store, claimed, outbox.Result("later", "busy", wait_s=60.0))
    assert await store.fetchval("SELECT bool_or(behind) FROM outbox WHERE address = $1", id_) is False


# --- the closed table ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "template", "state", "attempts"),
    [
        (RetryLater("busy", 30, counted=False), "pass_ended", "ready", 0),
        (RetryLater("not sent"), "pass_ended", "ready", 1),
        (Unknown("cut off", repeatable=True), "pass_ended", "ready", 1),
        (Unknown("cut off"), "pass_ended", "ready", 1),
        (Refused("never"), "pass_ended", "dead", 1),
        (Refused("they own it", done=True, tell="an owner cannot be put out"), "pass_ended", "sent", 1),
        (NeedsUser("blocked us"), "pass_ended", "waiting", 1),
        (NeedsUser("blocked us"), "low_balance", "sent", 1),
        (Misconfigured("no rights", resource="1", mend="give them"), "pass_ended", "waiting", 1),
    ],
    ids=["rate", "not-sent", "repeatable", "unknown", "refused", "done", "needs-user", "reminder", "misconfigured"],
)
async def test_each_error_has_one_outcome(
    service: Service, talk: Talk, error: DeliveryError, template: str, state: str, attempts: int
) -> None:
    person, id_ = await somebody(service, "talk")
    key = await put(service, person, "talk", id_, template=template)
    talk.refusals.append(error)
    await service.worker.work_outbox()
    ended = await row(service, key)
    assert (ended["state"], ended["attempts"]) == (state, attempts)


async def test_an_unknown_outcome_is_repeated_once_and_then_left(service: Service, talk: Talk) -> None:
    person, id_ = await somebody(service, "talk")
    key = await put(service, person, "talk", id_)
    for _ in range(3):
        talk.refusals = [Unknown("cut off")]
        await service.worker.work_outbox()
        await service.store.execute("UPDATE outbox SET next_at = '-infinity' WHERE dedup_key = $1", key)
    ended = await row(service, key)
    assert (ended["state"], ended["detail"]) == ("sent", "may have arrived: cut off")
    assert talk.tries == 2


async def test_who_cannot_be_reached_is_told_elsewhere_and_what_waits_is_withdrawn(
    service: Service, talk: Talk, other: Talk
) -> None:
    person, id_ = await somebody(service, "talk", "other")
    key = await put(service, person, "talk", id_, "gold")
    talk.refusals = [NeedsUser("blocked us")]
    await drained(service)
    assert other.texts(id_) == ["Your access to gold has ended. /buy brings it back."]
    ended = await row(service, key)
    assert (ended["state"], ended["detail"]) == ("sent", "told elsewhere")
    await put(service, person, "talk", id_, "silver")
    await drained(service)
    assert talk.tries == 1, "who is known to be out of reach is not asked again the same day"
    assert other.texts(id_)[1:] == ["Your access to silver has ended. /buy brings it back."]


async def test_what_waits_for_somebody_goes_out_when_they_are_there_again(service: Service, talk: Talk) -> None:
    person, id_ = await somebody(service, "talk")
    for _ in range(2):
        await put(service, person, "talk", id_, "gold")
    talk.refusals = [NeedsUser("never started")]
    await drained(service)
    assert talk.said == []
    await reaching.found(service.store, Address("talk", id_))
    await drained(service)
    assert len(talk.texts(id_)) == 2
    assert await service.store.fetchval("SELECT count(*) FROM unreachable WHERE external_id = $1", id_) == 0


async def test_what_is_broken_is_told_once_parks_and_goes_on_when_one_try_succeeds(
    service: Service, talk: Talk, other: Talk
) -> None:
    broken = Misconfigured("Missing Permissions", resource="1|2", mend="put the bot's role above it")
    before = len(await alerts(service, "misconfigured"))
    people = [await somebody(service, "talk") for _ in range(3)]
    talk.refuse_all = broken
    async with service.store.transaction() as tx:
        for person, id_ in people:
            await tx.execute(
                "INSERT INTO membership (customer_id, channel, space, role, wanted) VALUES ($1, 'talk', '1', '2', true)",
                person,
            )
            params = {"space": "1", "role": "2", "version": 1}
            await outbox.put(tx, [Message(f"m:{id_}", person, "talk", id_, "grant", params, "1|2")])
    await drained(service)
    states = {str((await row(service, f"m:{id_}"))["waits_for"]) for _, id_ in people}
    assert states == {"mend:talk:1|2"}
    assert len(await alerts(service, "misconfigured")) == before + 1
    talk.refuse_all = None
    assert await outbox.probe(service.store, "mend:talk:") == 1, "one is tried, not all"
    await drained(service)
    assert all(talk.roles[id_, "1"] == {"2"} for _, id_ in people)
    crew = [text for text in other.texts("crew") if "Missing Permissions" in text]
    assert len(crew) <= 1


async def test_who_runs_the_desk_hears_how_much_waits_for_what_is_broken(
    service: Service, talk: Talk, other: Talk
) -> None:
    talk.refuse_all = Misconfigured("The token is not taken", resource="tok", mend="set it")
    for number in range(3):
        await put(service, None, "talk", f"p{number}")
    async with asyncio.timeout(20):
        while not any("The token is not taken" in text for text in other.texts("crew")):
            await drained(service)
            await asyncio.sleep(0.2)
    (line,) = [line for text in other.texts("crew") for line in text.split("\n") if "The token is not taken" in line]
    assert line.endswith("What waits for it goes out after that: 3 so far.")


SUBSCRIBED = """
INSERT INTO subscription (id, customer_id, stripe_customer, status, livemode, items, started_at, asked_at)
VALUES ($1, $2, 'cus_1', 'active', false, '{"data": [{"key": "vip-month", "terms": {"name": "VIP"}}]}', now(), now())
"""


async def test_who_runs_the_desk_hears_once_that_somebody_is_billed_whose_account_is_gone(
    service: Service, talk: Talk
) -> None:
    person, id_ = await somebody(service, "talk")
    idle, elsewhere = await somebody(service, "talk")
    await service.store.execute(SUBSCRIBED, f"sub_{id_}", person)
    for who, address in ((person, id_), (idle, elsewhere), (person, id_)):
        talk.refusals = [NeedsUser("the account was deleted", deleted=True)]
        await put(service, who, "talk", address)
        await drained(service)
        await service.store.execute("DELETE FROM unreachable")
    rows = await service.store.fetch("SELECT params FROM outbox WHERE template = 'alert_billed_for_nobody'")
    told = {"customer": person, "channel": "talk", "subscription": f"sub_{id_}", "name": "VIP"}
    assert [row["params"] for row in rows] == [told]


async def test_who_is_billed_after_their_account_is_gone_is_told_of_and_who_said_stop_is_not(
    service: Service, talk: Talk
) -> None:
    alarms = "SELECT count(*) FROM outbox WHERE template = 'alert_billed_for_nobody' AND customer_id = $1"
    for error, end, number in (
        (NeedsUser("the account was deleted", deleted=True), "dead", 1),
        (NeedsUser("they replied STOP", for_ever=True), "waiting", 0),
    ):
        person, id_ = await somebody(service, "talk")
        talk.refusals = [error]
        await put(service, person, "talk", id_)
        await drained(service)
        await service.store.execute(SUBSCRIBED, f"sub_{id_}", person)
        later = await put(service, person, "talk", id_)
        await drained(service)
        assert (await row(service, later))["state"] == end
        assert await service.store.fetchval(alarms, person) == number


async def test_a_space_that_moved_is_found_at_once(service: Service, talk: Talk) -> None:
    person, id_ = await somebody(service, "talk")
    await service.store.execute(
        "INSERT INTO membership (customer_id, channel, space, role, wanted) VALUES ($1, 'talk', '-7', '', true)", person
    )
    async with service.store.transaction() as tx:
        params = {"space": "-7", "role": "", "version": 1}
        await outbox.put(tx, [Message(f"m:{id_}", person, "talk", id_, "grant", params, "-7|")])
    talk.refusals = [Moved("is a supergroup now", "-7", "-1007")]
    await drained(service)
    assert talk.roles[id_, "-1007"] == {""}


async def test_a_reminder_that_is_late_is_dropped(service: Service, talk: Talk) -> None:
    person, id_ = await somebody(service, "talk")
    key = await put(service, person, "talk", id_, template="renewal_soon")
    await service.store.execute("UPDATE outbox SET created_at = now() - interval '2 days' WHERE dedup_key = $1", key)
    await drained(service)
    assert talk.said == []
    assert (await row(service, key))["detail"] == "dropped: it is too late for that"


async def test_alerts_in_a_burst_are_one_message_where_the_people_of_the_desk_are(
    service: Service, other: Talk
) -> None:
    number = senders.FAILURES_MAX + 7
    async with service.store.transaction() as tx:
        for index in range(number):
            params = {"what": "event", "resource": f"evt_{index % 2}", "because": "unreadable"}
            key = f"alert:t:{secrets.token_hex(4)}"
            await outbox.put(tx, [Message(key, None, "admin", "desk", "alert_quarantined", params)])
    before = len(other.texts("crew"))
    async with asyncio.timeout(20):
        while len(other.texts("crew")) == before:
            await service.worker.work_outbox()
            await asyncio.sleep(0.2)
    (text,) = other.texts("crew")[before:]
    assert text.count("\n") == 1
    assert "(×6)" in text
    await drained(service)
    assert len(other.texts("crew")) == before + 1


async def test_many_errors_are_told_once(service: Service) -> None:
    errors = watch.Errors()
    logger = logging.getLogger("paydesk.watched")
    logger.addHandler(errors)
    before = len(await alerts(service, "errors"))
    for _ in range(watch.MANY - 1):
        logger.error("something failed")
    await watch.tell(service.store, errors)
    assert len(await alerts(service, "errors")) == before
    logger.error("and once more")
    for _ in range(2):
        await watch.tell(service.store, errors)
    assert len(await alerts(service, "errors")) == before + 1
    logger.removeHandler(errors)


async def notice(service: Service, resource: str) -> str:
    """An alert that waits to be told to the crew, whose burst is over; gives its key."""
    params = {"what": "event", "resource": resource, "because": "unreadable"}
    key = f"alert:t:{secrets.token_hex(4)}|at:other"
    told = Message(key, None, "other", "crew", manners.NOTICES, {"template": "alert_quarantined", "params": params})
    async with service.store.transaction() as tx:
        await outbox.put(tx, [told])
        await tx.execute("UPDATE outbox SET created_at = now() - interval '1 minute' WHERE dedup_key = $1", key)
    return key


async def test_alerts_that_may_have_arrived_are_repeated_without_those_that_came_since(
    service: Service, other: Talk
) -> None:
    """A channel that finds the first try by its key drops the repeat: what is new must not go down with it."""
    first, second = await notice(service, "evt_1"), await notice(service, "evt_2")
    other.refusals = [Unknown("no answer", repeatable=True)]
    await drained(service)
    late = await notice(service, "evt_3")
    await service.store.execute("UPDATE outbox SET next_at = '-infinity' WHERE dedup_key = $1", first)
    await drained(service)
    repeat, rest = other.said
    assert (repeat.key, rest.key) == (first, late)
    assert ("evt_1" in repeat.text, "evt_2" in repeat.text, "evt_3" in repeat.text) == (True, True, False)
    assert "evt_3" in rest.text
    assert (await row(service, second))["detail"] == "told together"


async def test_a_message_that_may_have_arrived_is_never_again_a_first_attempt(service: Service, talk: Talk) -> None:
    person, id_ = await somebody(service, "talk")
    await put(service, person, "talk", id_)
    talk.refusals = [Unknown("no answer", repeatable=True)]
    await drained(service)
    talk.refusals = [Misconfigured("the token is not taken", resource="inbox", mend="set it")]
    await service.store.execute("UPDATE outbox SET next_at = '-infinity' WHERE address = $1", id_)
    await drained(service)
    await outbox.wake_all(service.store, "mend:talk:")
    await put(service, person, "talk", id_)
    async with asyncio.timeout(20):
        while len(talk.said) < 2:
            await drained(service)
            await asyncio.sleep(0.05)
    assert [said.attempt for said in talk.said] == [2, 1]  # type: ignore[union-attr]


# --- the end of an attempt --------------------------------------------------------------------------------------------

CLASH = """
CREATE SEQUENCE clashes;
CREATE FUNCTION clash() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('clashes') = 1 THEN RAISE EXCEPTION 'in the way' USING ERRCODE = '{}'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER clash BEFORE INSERT ON attempt FOR EACH ROW EXECUTE FUNCTION clash()
"""
NO_CLASH = "DROP TRIGGER clash ON attempt; DROP FUNCTION clash; DROP SEQUENCE clashes"


async def noted(service: Service, result: outbox.Result) -> dict[str, object]:
    """The row of a message whose attempt ended so."""
    key = await put(service, None, "talk", secrets.token_hex(4))
    (delivery,) = await turns.claim(service.store, "talk", rows_max=1)
    await service.worker._senders._sender("talk")._finish(delivery, result)
    return await row(service, key)


def told(id_: str) -> Envelope:
    return Envelope("stars", id_, "stars.refund", 3, b"{}", False)


async def number_told(service: Service, id_: str) -> object:
    return await service.store.fetchval("SELECT count(*) FROM inbox WHERE external_id = $1", id_)


@pytest.mark.parametrize("sqlstate", ["40P01", "40001", "55P03", "57014"], ids=["deadlock", "order", "lock", "time"])
async def test_what_an_attempt_brought_about_outlives_a_clash(service: Service, sqlstate: str) -> None:
    """A refund that was made must reach the ledger, whoever was in the way as it was noted."""
    id_ = secrets.token_hex(6)
    alert = Message(f"alert:{id_}", None, "admin", "desk", "alert_errors", {})
    connection = await service.store.connect()
    await connection.execute(CLASH.format(sqlstate))
    try:
        result = outbox.Result("sent", receipt={"message": 7}, messages=(alert,), tells=(told(id_),))
        ended = await noted(service, result)
    finally:
        await connection.execute(NO_CLASH)
        await connection.close()
    assert (ended["state"], ended["receipt"], ended["detail"]) == ("sent", {"message": 7}, None)
    assert await number_told(service, id_) == 1
    assert (await row(service, alert.key))["state"] == "ready"


async def test_what_cannot_be_stored_takes_nothing_else_with_it(service: Service) -> None:
    id_ = secrets.token_hex(6)
    waits = f"user:talk:{id_}"
    ended = await noted(
        service, outbox.Result("waiting", "bad \0 \ud800 thing", receipt={"a": ["\0b"]}, waits_for=waits)
    )
    assert (ended["state"], ended["waits_for"], ended["detail"]) == ("waiting", waits, "bad  ? thing")
    assert ended["receipt"] == {"a": ["b"]}
    nobody = Message(f"m:{id_}", "cus_of_nobody", "talk", id_, "pass_ended")
    ended = await noted(service, outbox.Result("waiting", waits_for=waits, tells=(told(id_),), messages=(nobody,)))
    assert (ended["state"], ended["waits_for"]) == ("waiting", waits)
    assert await number_told(service, id_) == 1
    assert await outbox.wake(service.store, {waits}) == 2


# --- what must never happen ------------------------------------------------------------------------------------------


async def test_what_may_have_arrived_is_kept_while_the_platform_answers_nobody(service: Service, talk: Talk) -> None:
    """A day of 502s: each says that it may have arrived, and none has."""
    keys = [await put(service, None, "talk", f"p{number}") for number in range(20)]
    talk.refuse_all = Unknown("502: bad gateway")
    for _ in range(6):
        await drained(service)
        await service.store.execute("UPDATE outbox SET next_at = '-infinity' WHERE state = 'ready'")
        service.worker._senders._senders["talk"]._rests_until = 0.0
    lost = [key for key in keys if (await row(service, key))["state"] == "sent"]
    assert len(lost) < senders.FAILURES_MAX, "only what was tried before it was plain that nobody answers"
    talk.refuse_all = None
    for _ in range(30):
        service.worker._senders._senders["talk"]._rests_until = 0.0
        await drained(service)
        await service.store.execute("UPDATE outbox SET next_at = '-infinity' WHERE state = 'ready'")
    assert len({one.key for one in talk.said}) == len(keys) - len(lost)


async def test_an_alert_that_is_refused_begets_no_other(service: Service, other: Talk) -> None:
    other.refuse_all = Refused("the topic is closed")
    await put(service, None, "admin", "desk", template="alert_errors")
    await service.store.execute("UPDATE outbox SET created_at = now() - interval '1 minute' WHERE channel = 'admin'")
    for _ in range(5):
        await drained(service)
        await service.store.execute(
            "UPDATE outbox SET created_at = now() - interval '1 minute', next_at = '-infinity' WHERE channel = 'other'"
        )
    assert other.tries == 1


EVENTS = """
INSERT INTO outbox (dedup_key, channel, address, template, params)
SELECT 'event:' || $1 || ':' || g, 'talk', $1, 'event', '{}' FROM generate_series(1, $2) g
"""


def rows_read(plan: dict[str, Any]) -> float:
    """How many rows of the outbox the scans of a plan looked at, whether they kept them or not."""
    own = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) if plan.get("Relation Name") == "outbox" else 0
    return own * plan["Actual Loops"] + sum(rows_read(one) for one in plan.get("Plans", ()))


async def test_the_backlog_of_one_who_is_told_events_costs_the_others_nothing(service: Service) -> None:
    slow, quick, store = secrets.token_hex(4), secrets.token_hex(4), service.store
    await store.execute(EVENTS, slow, 5000)
    await store.execute(EVENTS, quick, 1)
    await store.execute("ANALYZE outbox")
    for sql, given in (
        (turns.DUE, ()),
        (turns.CLAIM, ("talk", False, [slow], uuid4(), 4, [])),
        (turns.SET_BEHIND, ("talk", False, [slow])),
    ):
        explained = await store.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *given)
        assert rows_read(json.loads(explained)[0]["Plan"]) < 100, sql
    await store.execute("UPDATE outbox SET state = 'ready', next_at = '-infinity' WHERE address = $1", quick)
    assert [one.address for one in await turns.claim(store, "talk", rows_max=4, resting=[slow])] == [quick]
    assert {one.address for one in await turns.claim(store, "talk", rows_max=4)} == {slow}
    await store.execute("UPDATE outbox SET next_at = desk_now() + interval '1 hour' WHERE address = $1", slow)
    await store.execute("ANALYZE outbox")
    explained = await store.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {turns.DUE}")
    assert rows_read(json.loads(explained)[0]["Plan"]) < 100, "nor while all of it is put off"
    assert "talk" not in await turns.due(store)


async def test_who_has_just_asked_is_answered_before_a_backlog(service: Service, talk: Talk) -> None:
    talk.limits = Limits(per_s=1000.0, at_once=1)
    for number in range(30):
        await put(service, None, "talk", f"p{number}")
    async with service.store.transaction() as tx:
        await outbox.put(tx, [Message("reply:now", None, "talk", "asker", "reply", {"text": "Here you are."})])
    await service.worker.work_outbox()
    assert talk.texts("asker") == ["Here you are."]
    assert len(talk.said) == 1


async def test_nobody_reads_what_was_meant_for_who_had_the_address_before(service: Service, talk: Talk) -> None:
    person, id_ = await somebody(service, "talk")
    key = await put(service, person, "talk", id_, "gold")
    stranger = await customers.find_or_make(service.store, Identity("talk", secrets.token_hex(6)))
    await service.store.execute("UPDATE identity SET customer_id = $1 WHERE external_id = $2", stranger, id_)
    await drained(service)
    assert talk.said == []
    assert (await row(service, key))["detail"] == "dropped: somebody else has this address now"


async def test_what_was_decided_later_does_not_wait_for_what_is_tried_again(service: Service, talk: Talk) -> None:
    person, id_ = await somebody(service, "talk")
    await service.store.execute(
        "INSERT INTO membership (customer_id, channel, space, role, wanted, version) VALUES ($1, 'talk', '1', '2', true, 2)",
        person,
    )
    async with service.store.transaction() as tx:
        for version, template in ((1, "revoke"), (2, "grant")):
            params = {"space": "1", "role": "2", "version": version}
            await outbox.put(tx, [Message(f"m{version}:{id_}", person, "talk", id_, template, params, "1|2")])
        await tx.execute("UPDATE outbox SET next_at = now() + interval '6 hours' WHERE dedup_key = $1", f"m1:{id_}")
    await drained(service)
    assert talk.roles[id_, "1"] == {"2"}


async def test_one_address_that_hangs_leaves_room_for_the_others(service: Service, talk: Talk) -> None:
    talk.limits = Limits(per_s=1000.0, at_once=8, at_once_each=2)
    talk.hangs = asyncio.Event()
    async with service.store.transaction() as tx:
        for number in range(20):
            await outbox.put(
                tx, [Message(f"event:{number}:{id(tx)}", None, "talk", "slow", outbox.EVENT, {"n": number})]
            )
        await outbox.put(tx, [Message(f"event:quick:{id(tx)}", None, "talk", "quick", outbox.EVENT, {"n": 1})])
    running = asyncio.create_task(service.worker._senders.run())
    async with asyncio.timeout(10):
        while talk.tries < 3:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert talk.tries == 3, "two for the slow one, and the other one's"
    talk.hangs.set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
