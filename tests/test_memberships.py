"""Roles and places follow what people have: each change told once, a late one never wins, and nobody else is held up."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from conftest import settings_for
from faults import drain
from paydesk import checkout, claims, customers, linking, memberships, merging, outbox, turns
from paydesk.app import open_service
from paydesk.channels.base import Refused
from paydesk.channels.plugged import by_name
from paydesk.config import Settings, load
from paydesk.customers import Identity, Thread
from paydesk.entitlements import Held
from paydesk.errors import SettingError
from paydesk.memberships import Membership, Place, changes, place_of
from paydesk.service import Service
from paydesk.stripe.envelope import envelope
from rooms import Rooms
from sandbox_fixtures import Sandbox
from truths import untrue

CATALOG = Path(__file__).parent / "catalog_people.toml"
ROLE = Place("discord", "1001", "2001")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


# --- what changes ----------------------------------------------------------------------------------------------------


def held(name: str, *, until: datetime | None = None, seconds: int | None = None, kind: str = "role") -> Held:
    return Held(name, "cst_1", kind, ROLE.feature, NOW - DAY, seconds, until)


def row(*, wanted: bool, version: int = 1) -> Membership:
    return Membership("cst_1", ROLE, wanted, version)


@pytest.mark.parametrize(
    ("reasons", "known", "again", "expected"),
    [
        ([held("a")], [], False, [row(wanted=True)]),
        ([held("a"), held("b")], [row(wanted=True)], False, []),
        ([held("b")], [row(wanted=True)], False, []),
        ([], [row(wanted=True)], False, [row(wanted=False, version=2)]),
        ([], [row(wanted=False, version=2)], False, []),
        ([held("a", until=NOW)], [row(wanted=True)], False, [row(wanted=False, version=2)]),
        ([held("a", until=NOW), held("b", until=NOW + DAY)], [row(wanted=True)], False, []),
        ([held("a", seconds=86_400)], [row(wanted=True)], False, [row(wanted=False, version=2)]),
        ([held("a")], [row(wanted=True)], True, [row(wanted=True, version=2)]),
        ([], [row(wanted=False, version=4)], True, []),
        ([held("a")], [row(wanted=False, version=2)], False, [row(wanted=True, version=3)]),
        ([held("f", kind="feature")], [], False, []),
    ],
)  # fmt: skip
def test_t32_a_role_falls_when_its_last_reason_falls(
    reasons: list[Held], known: list[Membership], again: bool, expected: list[Membership]
) -> None:
    assert changes({("cst_1", ROLE.feature): reasons}, known, NOW, again=again) == expected


def test_a_feature_names_a_place_or_none() -> None:
    assert place_of("discord:1001:2001") == ROLE
    assert place_of("telegram:-100123") == Place("telegram", "-100123", "")
    assert place_of("telegram:-100123").feature == "telegram:-100123"  # type: ignore[union-attr]
    assert place_of("premium") is None


# --- a service with rooms --------------------------------------------------------------------------------------------


@pytest.fixture
def rooms() -> Rooms:
    return Rooms()


@pytest.fixture
def shop(database: str, stripe_sandbox: Sandbox, tmp_path: Path) -> Settings:
    """Settings of a service that sells roles."""
    own = {"PAYDESK_CATALOG": str(CATALOG), "PAYDESK_DATA": str(tmp_path / "data")}
    return load(settings_for(database, stripe_sandbox.url, **own), folder=tmp_path)


@pytest.fixture
async def open_shop(shop: Settings, rooms: Rooms) -> AsyncIterator[Service]:
    """A service with a channel that lets people in and out; its worker moves only when told."""
    async with open_service(shop, [rooms]) as service:
        yield service


async def person(service: Service, *ids: str) -> str:
    """Somebody new, met in the web chat and under these ids on Discord."""
    who = await customers.find_or_make(service.store, Identity("web", secrets.token_hex(8)))
    for id_ in ids:
        await linking.link(service.store, who, Identity("discord", id_), actor="test")
    return who


async def buys(service: Service, who: str, product: str) -> str:
    """Somebody buys something: the order, and Stripe's word that it is paid."""
    line = checkout.line_of(service.catalog, product, 1)
    order = await checkout.create_order(
        service.store, checkout.NewOrder(who, (line,), Thread("web", who, None)), livemode=False
    )
    tail = order.removeprefix("ord_")
    await service.store.execute("UPDATE orders SET stripe_customer = $2 WHERE id = $1", order, f"cus_{tail}")
    offset = await service.store.fetchval("SELECT clock_offset_s FROM desk")
    intent = {
        "id": f"pi_{tail}", "object": "payment_intent", "status": "succeeded", "amount": line.unit_amount,
        "amount_received": line.unit_amount, "latest_charge": f"ch_{tail}", "currency": line.currency,
        "customer": f"cus_{tail}", "metadata": {"paydesk_order": order},
    }  # fmt: skip
    event = {
        "id": f"evt_{tail}", "object": "event", "api_version": "2026-10-28.endive", "created": int(time.time()) + offset,
        "livemode": False, "type": "payment_intent.succeeded", "data": {"object": intent},
    }  # fmt: skip
    await service.receiver.receive(envelope(json.dumps(event).encode()))
    return order


async def passes(service: Service, days: float) -> None:
    """So much time passes."""
    await service.store.execute("UPDATE desk SET clock_offset_s = clock_offset_s + $1", int(days * 86_400))
    await service.store.refresh_clock()


async def settled(service: Service) -> None:
    """Timers and inbox are worked off, the outbox is not."""
    while await service.worker.work_timers() + await service.worker.work_inbox():
        pass


async def rows_of(service: Service, who: str) -> dict[str, tuple[bool, int]]:
    async with service.store.transaction() as tx:
        return {one.place.feature: (one.wanted, one.version) for one in await memberships.load(tx, [who])}


async def test_a_role_comes_with_its_reason_once_and_goes_with_the_last(open_shop: Service, rooms: Rooms) -> None:
    ann = await person(open_shop, "7")
    await buys(open_shop, ann, "role-30d")
    await drain(open_shop)
    assert rooms.inside == {("7", "1001", "2001")}
    await passes(open_shop, 10)
    await buys(open_shop, ann, "role-30d")
    await drain(open_shop)
    await passes(open_shop, 49.9)
    await drain(open_shop)
    assert rooms.done == ["grant 7/1001/2001"], "bought twice they add up, and it was given once"
    await passes(open_shop, 0.2)
    await drain(open_shop)
    assert rooms.done == ["grant 7/1001/2001", "revoke 7/1001/2001"]
    assert await rows_of(open_shop, ann) == {ROLE.feature: (False, 2)}
    keys = [
        row["dedup_key"]
        for row in await open_shop.store.fetch("SELECT dedup_key FROM outbox WHERE channel = 'discord'")
    ]
    assert keys == [f"member:{ann}|discord:1001:2001:{version}:7" for version in (1, 2)]


async def test_t43_somebody_who_is_not_there_yet_is_let_in_when_they_arrive(open_shop: Service, rooms: Rooms) -> None:
    ann = await person(open_shop)
    await buys(open_shop, ann, "role-for-good")
    await drain(open_shop)
    assert rooms.done == []
    assert await rows_of(open_shop, ann) == {ROLE.feature: (True, 1)}
    await linking.link(open_shop.store, ann, Identity("discord", "8"), actor="test")
    await linking.link(open_shop.store, ann, Identity("discord", "9"), actor="test")
    await drain(open_shop)
    assert rooms.inside == {("8", "1001", "2001"), ("9", "1001", "2001")}, "every id of theirs"
    await linking.unlink(open_shop.store, ann, Identity("discord", "8"), actor="test")
    await drain(open_shop)
    assert rooms.inside == {("9", "1001", "2001")}
    assert await rows_of(open_shop, ann) == {ROLE.feature: (True, 4)}


async def test_t43_who_left_and_came_back_gets_what_is_theirs(open_shop: Service, rooms: Rooms) -> None:
    ann = await person(open_shop, "7")
    await buys(open_shop, ann, "role-30d")
    await buys(open_shop, ann, "other-server")
    await drain(open_shop)
    assert rooms.inside == {("7", "1001", "2001"), ("7", "1002", "2001")}
    rooms.inside.clear()  # they left both servers
    await passes(open_shop, 20)
    found = await memberships.sync(open_shop.store, ann)
    await drain(open_shop)
    assert rooms.inside == {("7", "1001", "2001"), ("7", "1002", "2001")}
    assert {one.place.feature for one in found} == {"discord:1001:2001", "discord:1002:2001", "telegram:-100123"}
    await passes(open_shop, 11)
    await memberships.sync(open_shop.store, ann)
    await drain(open_shop)
    assert rooms.inside == set()


async def test_what_starts_when_it_is_claimed_waits_for_that(open_shop: Service, rooms: Rooms) -> None:
    ann = await person(open_shop, "7")
    await buys(open_shop, ann, "later")
    await drain(open_shop)
    await passes(open_shop, 100)
    assert rooms.done == []
    assert [one.feature for one in await claims.claim(open_shop.store, ann, "nothing", actor="test")] == []
    first, second = await claims.claim(open_shop.store, ann, None, actor="test", operation="op_1")
    again = await claims.claim(open_shop.store, ann, None, actor="test", operation="op_1")
    assert again == [first, second], "resumed after a crash it tells what it has started"
    assert {first.feature, second.feature} == {"discord:1001:2003", "lessons"}
    assert first.until == first.since + timedelta(days=30)
    assert await claims.claim(open_shop.store, ann, None, actor="test") == [], "once"
    await drain(open_shop)
    assert rooms.inside == {("7", "1001", "2003")}
    await passes(open_shop, 29.9)
    await drain(open_shop)
    assert rooms.inside == {("7", "1001", "2003")}
    await passes(open_shop, 0.2)
    await drain(open_shop)
    assert rooms.inside == set()


async def test_claims_at_once_start_it_once(open_shop: Service) -> None:
    ann = await person(open_shop, "7")
    await buys(open_shop, ann, "later")
    await drain(open_shop)
    started = await asyncio.gather(*(claims.claim(open_shop.store, ann, None, actor="test") for _ in range(8)))
    assert sorted(len(one) for one in started) == [0] * 7 + [2]


async def test_what_is_not_paid_yet_cannot_be_claimed(open_shop: Service) -> None:
    ann = await person(open_shop, "7")
    await buys(open_shop, ann, "later")
    assert await claims.claim(open_shop.store, ann, None, actor="test") == [], "not settled yet: not paid"


# --- deliveries ------------------------------------------------------------------------------------------------------


async def test_a_late_revoke_never_beats_a_renewal(open_shop: Service, rooms: Rooms) -> None:
    """A worker is slow to revoke; it is taken over, the role is bought again and given; then the slow one gets through."""
    ann = await person(open_shop, "7")
    await buys(open_shop, ann, "role-30d")
    await drain(open_shop)
    await passes(open_shop, 31)
    await settled(open_shop)
    (claimed,) = [one for one in await turns.claim(open_shop.store, "discord", rows_max=10) if one.channel == "discord"]
    rooms.pause["revoke"] = asyncio.Event()
    slow = asyncio.create_task(open_shop.worker._senders._deliverer.attempt(claimed))
    await asyncio.sleep(0.2)
    await open_shop.store.execute("UPDATE outbox SET next_at = '-infinity', state = 'ready' WHERE id = $1", claimed.id)
    await buys(open_shop, ann, "role-30d")
    await drain(open_shop)
    assert rooms.inside == {("7", "1001", "2001")}
    rooms.pause.pop("revoke").set()
    await slow
    assert rooms.inside == set(), "the slow one has got through"
    await drain(open_shop)
    assert rooms.inside == {("7", "1001", "2001")}, "and was put right"


async def test_what_is_no_longer_so_is_dropped(open_shop: Service, rooms: Rooms) -> None:
    ann = await person(open_shop, "7")
    await buys(open_shop, ann, "role-30d")
    await settled(open_shop)
    await passes(open_shop, 31)
    await settled(open_shop)
    await drain(open_shop)
    details = await open_shop.store.fetch("SELECT detail FROM outbox WHERE channel = 'discord' ORDER BY id")
    assert [row["detail"] for row in details] == ["dropped: something else was decided meanwhile", None]
    assert rooms.done == ["revoke 7/1001/2001"]


async def test_a_refusal_is_dead_with_its_reason_and_a_sync_tries_again(open_shop: Service, rooms: Rooms) -> None:
    ann = await person(open_shop, "7")
    await buys(open_shop, ann, "role-30d")
    rooms.refusals.append(Refused("the role is above ours"))
    await drain(open_shop)
    dead = await open_shop.store.fetch("SELECT detail FROM outbox WHERE state = 'dead'")
    assert [row["detail"] for row in dead] == ["Refused: the role is above ours"]
    await memberships.sync(open_shop.store, ann)
    await drain(open_shop)
    assert rooms.inside == {("7", "1001", "2001")}


async def test_a_server_that_is_busy_holds_up_neither_messages_nor_other_servers(
    open_shop: Service, rooms: Rooms
) -> None:
    ann = await person(open_shop, "7")
    async with open_shop.store.transaction() as tx:
        first = [
            outbox.Message(
                f"first {ann}", ann, "discord", "7", "grant", {"space": "1", "role": "2", "version": 1}, "1|2"
            )
        ]
        more = [
            outbox.Message(
                f"second {ann}", ann, "discord", "7", "revoke", {"space": "1", "role": "2", "version": 2}, "1|2"
            ),
            outbox.Message(
                f"other {ann}", ann, "discord", "7", "grant", {"space": "3", "role": "2", "version": 1}, "3|2"
            ),
            outbox.Message(f"said {ann}", ann, "discord", "7", "pass_ended", {"feature": "premium"}),
        ]
        for message in (*first, *more):
            await outbox.put(tx, [message])
    keys = {one.key for one in await turns.claim(open_shop.store, "discord", rows_max=10)}
    assert keys == {f"first {ann}", f"other {ann}", f"said {ann}"}, "one action in flight for each role"


async def test_a_channel_that_nobody_has_plugged_in_is_dead_with_a_reason_until_somebody_does(
    shop: Settings, rooms: Rooms
) -> None:
    async with open_service(shop) as service:
        ann = await person(service, "7")
        await buys(service, ann, "role-30d")
        await drain(service)
        (row,) = await service.store.fetch("SELECT state, detail FROM outbox WHERE channel = 'discord'")
        assert row["state"] == "dead"
        assert row["detail"].startswith("no adapter for discord")
    async with open_service(shop, [rooms]) as service:
        await drain(service)
        assert rooms.inside == {("7", "1001", "2001")}


def test_two_channels_of_one_name_are_refused() -> None:
    with pytest.raises(SettingError, match="two channels are called discord"):
        by_name([Rooms(), Rooms()])


# --- two people are one ----------------------------------------------------------------------------------------------


async def test_t43_after_a_merge_a_role_that_both_had_stays_until_the_last_reason_falls(
    open_shop: Service, rooms: Rooms
) -> None:
    ann, bob = await person(open_shop, "7"), await person(open_shop, "8")
    for who, product in ((ann, "role-30d"), (bob, "role-30d"), (bob, "other-server")):
        await buys(open_shop, who, product)
    await drain(open_shop)
    assert rooms.inside == {("7", "1001", "2001"), ("8", "1001", "2001"), ("8", "1002", "2001")}
    await merging.merge(open_shop.store, open_shop.vault, ann, bob, actor="test")
    await drain(open_shop)
    assert rooms.inside == {(id_, space, "2001") for id_ in "78" for space in ("1001", "1002")}
    assert not [line for line in rooms.done if line.startswith("revoke")]
    assert await rows_of(open_shop, bob) == {}
    await passes(open_shop, 31)
    await drain(open_shop)
    assert rooms.inside == {("7", "1001", "2001"), ("8", "1001", "2001")}, "two months, one after the other"
    await passes(open_shop, 30)
    await drain(open_shop)
    assert rooms.inside == set()
    assert await untrue(open_shop.store) == []


async def test_an_id_that_moves_to_somebody_else_has_what_that_one_has(open_shop: Service, rooms: Rooms) -> None:
    ann, bob = await person(open_shop, "7"), await person(open_shop)
    await buys(open_shop, ann, "role-30d")
    await buys(open_shop, bob, "other-server")
    await drain(open_shop)
    await linking.unlink(open_shop.store, ann, Identity("discord", "7"), actor="test")
    await linking.link(open_shop.store, bob, Identity("discord", "7"), actor="test")
    await drain(open_shop)
    assert rooms.inside == {("7", "1002", "2001")}


async def test_time_that_begins_later_is_noticed(open_shop: Service, rooms: Rooms) -> None:
    """Stripe's clock is ahead of ours: what it says was paid in an hour begins in an hour, by itself."""
    ann = await person(open_shop, "7")
    await passes(open_shop, 1 / 24)
    await buys(open_shop, ann, "role-30d")
    await passes(open_shop, -1 / 24)
    await drain(open_shop)
    assert rooms.done == []
    await passes(open_shop, 1.1 / 24)
    await drain(open_shop)
    assert rooms.inside == {("7", "1001", "2001")}
