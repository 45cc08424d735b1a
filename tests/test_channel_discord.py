"""Discord: what comes in is checked and understood, what goes out arrives once, and every refusal has its meaning."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.discord import DiscordFake, Guild
from fakes.discord_gateway import Gateway
from fakes.discord_shapes import asking, happened, member_of, pressed, slash, user_of
from fakes.discord_wire import CUT, LOST
from paydesk import catalog_file, premium
from paydesk.channels import discord as discord_channel
from paydesk.channels import discord_gateway, discord_shop, discord_texts, plugged
from paydesk.channels.base import (
    Address,
    Arrival,
    BoughtThere,
    Button,
    Channel,
    DeliveryError,
    Edit,
    Gone,
    Grant,
    Here,
    Inbound,
    Mended,
    Misconfigured,
    NeedsUser,
    Raw,
    Receipt,
    Refused,
    RetryLater,
    Revoke,
    Said,
    Send,
    Start,
    Unknown,
    UseUp,
)
from paydesk.channels.discord_commands import registered
from paydesk.channels.discord_ids import made_at_s
from paydesk.channels.discord_messages import ASIDE
from paydesk.channels.discord_rates import BUCKETS_MAX, Pace
from paydesk.channels.http import Answer
from paydesk.errors import SettingError, StoreUnavailable

PUBLIC = "https://pay.example.com"
PORTAL = "Developer Portal → General Information → Interactions Endpoint URL"
RULES = [
    rule
    for rule in json.loads((Path(__file__).parent / "specs" / "channel-failure-cases.json").read_text())["rules"]
    if rule["channel"] == "discord"
]


class Kept:
    """Notes in a dictionary."""

    def __init__(self) -> None:
        self.notes: dict[str, Any] = {}

    async def get(self, key: str) -> Any:
        return json.loads(self.notes.get(key, "null"))

    async def put(self, key: str, value: Any) -> None:
        self.notes[key] = json.dumps(value)


@pytest.fixture(scope="module")
def running() -> Iterator[DiscordFake]:
    with DiscordFake() as fake:
        yield fake


@pytest.fixture
def fake(running: DiscordFake) -> Iterator[DiscordFake]:
    running.forget()
    running.commands.clear()
    yield running
    assert running.complaints == []


@pytest.fixture
def kept() -> Kept:
    return Kept()


def channel_of(fake: DiscordFake, kept: Kept, **more: str) -> Channel:
    return discord_channel.make(Start(fake.environ(**more), lambda name: kept, PUBLIC))


@pytest.fixture
async def channel(fake: DiscordFake, kept: Kept) -> AsyncIterator[Channel]:
    made = channel_of(fake, kept)
    yield made
    await made.close()


def to(user: str) -> Address:
    return Address("discord", user)


def dumped(told: Any) -> bytes:
    return json.dumps(told).encode()


async def error_of(channel: Channel, action: Any, last: Receipt | None = None) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await channel.deliver(action, last)
    return caught.value


# --- the failure table -----------------------------------------------------------------------------------------------

HTML = ("<html><body>error code: 1015</body></html>", {"Retry-After": "3600"})


def limited(scope: str, *, everyone: bool = False) -> tuple[int, Any, dict[str, str]]:
    body = {"message": "You are being rate limited.", "retry_after": 1.25, "global": everyone}
    return 429, body, {"X-RateLimit-Scope": scope, "Retry-After": "2"}


def coded(status: int, code: int) -> tuple[int, Any, dict[str, str]]:
    return status, {"code": code, "message": "as Discord says it"}, {}


ROW = "{guild}|{role}"
CASES: dict[str, tuple[str, Any, type[DeliveryError] | None, Mapping[str, Any]]] = {
    "dc-429-user": ("grant", limited("user"), RetryLater, {"after_s": 1.25, "counted": False, "everyone": False}),
    "dc-429-shared": ("grant", limited("shared"), RetryLater, {"after_s": 1.25, "counted": False, "everyone": False}),
    "dc-429-global": ("grant", limited("global", everyone=True), RetryLater, {"after_s": 1.25, "everyone": True}),
    "dc-429-html": ("grant", (429, *HTML), RetryLater, {"after_s": 3600.0, "counted": False, "everyone": True}),
    "dc-401": ("grant", coded(401, 0), Misconfigured, {"resource": "*"}),
    "dc-50013": ("grant", coded(403, 50013), Misconfigured, {"resource": ROW}),
    "dc-50001": ("grant", coded(403, 50001), Misconfigured, {"resource": "{guild}"}),
    "dc-10007": ("grant", coded(404, 10007), NeedsUser, {"for_ever": False}),
    "dc-10013": ("grant", coded(404, 10013), NeedsUser, {"for_ever": True}),
    "dc-10011": ("grant", coded(404, 10011), Misconfigured, {"resource": ROW}),
    "dc-10004": ("grant", coded(404, 10004), Misconfigured, {"resource": "{guild}"}),
    "dc-50028": ("grant", coded(400, 50028), Misconfigured, {"resource": ROW}),
    "dc-50007": ("send", coded(403, 50007), NeedsUser, {"for_ever": False}),
    "dc-50278": ("send", coded(403, 50278), NeedsUser, {"for_ever": False}),
    "dc-40003": ("open", coded(400, 40003), RetryLater, {"after_s": 600.0, "counted": False}),
    "dc-10062": ("answer", coded(404, 10062), None, {}),
    "dc-40060": ("answer", coded(400, 40060), None, {}),
    "dc-10015": ("answer", coded(404, 10015), None, {}),
    "dc-50027": ("answer", coded(401, 50027), None, {}),
    "dc-50035": ("send", coded(400, 50035), Refused, {"done": False}),
    "dc-200000": ("send", coded(403, 200000), Refused, {"done": False}),
    "dc-503": ("send", (503, "<html>", {}), RetryLater, {"after_s": None, "counted": True}),
}  # fmt: skip
"""By row: what is done, what is answered, the error and what stands in it; `None`: it ends well."""

CALLS = {
    "grant": ("PUT", "/roles/"),
    "send": ("POST", "/messages"),
    "open": ("POST", "/@me/channels"),
    "answer": ("PATCH", "/@original"),
}


def test_every_row_of_the_table_has_a_case() -> None:
    assert sorted(CASES) == sorted(rule["id"] for rule in RULES)


@pytest.mark.parametrize("row", sorted(CASES))
async def test_each_refusal_means_what_the_table_says(fake: DiscordFake, channel: Channel, row: str) -> None:
    what, planted, expected, facts = CASES[row]
    ada = fake.user()
    guild = fake.guild(ada)
    role = fake.role(guild, "VIP", 3)
    old = asking(fake, ada, 2, slash("buy"), at_s=time.time() - 60)
    fake.interactions[old["token"]].thinking = 5
    answers = {"application": fake.application, "token": old["token"], "interaction": old["id"], "at": time.time() - 60}
    action: Any = Grant("grant:1", to(ada), guild.id, role, 1)
    if what != "grant":
        action = Send("told:1", to(ada), "Hello", answers=answers if what == "answer" else None)
    fake.fail_next(CALLS[what][0], *planted, path=CALLS[what][1])
    if expected is None:
        await channel.deliver(action, None)
        return
    error = await error_of(channel, action)
    assert (type(error), error.rule) == (expected, row)
    wanted = {k: v.format(guild=guild.id, role=role) if isinstance(v, str) else v for k, v in facts.items()}
    assert {name: getattr(error, name) for name in facts} == wanted
    assert fake.token not in str(error)
    assert not isinstance(error, Misconfigured) or len(error.mend) > 10
    assert not isinstance(error, Refused) or error.tell


OTHERS = [
    (coded(403, 240000), Refused, "dc-240000"),
    (coded(400, 50006), Refused, "dc-50006"),
    (coded(400, 50033), NeedsUser, "dc-50033"),
    (coded(503, 130000), RetryLater, "dc-130000"),
    (coded(400, 99999), Refused, "dc-4xx"),
    ((418, "<html>", {}), Refused, "dc-4xx"),
    ((500, "<html>", {}), Unknown, "dc-5xx"),
    ((502, [1], {}), Unknown, "dc-5xx"),
    ((302, "<html>", {"Location": "/elsewhere"}), Misconfigured, "dc-3xx"),
    ((429, {"message": "no seconds are said"}, {}), RetryLater, "dc-429-html"),
    ((CUT, None, {}), Unknown, "dc-unknown-outcome"),
]


@pytest.mark.parametrize(
    ("planted", "expected", "rule"), OTHERS, ids=[f"{rule}-{n}" for n, (_, _, rule) in enumerate(OTHERS)]
)
async def test_what_is_not_in_the_table_has_a_meaning_too(
    fake: DiscordFake, channel: Channel, planted: Any, expected: type[DeliveryError], rule: str
) -> None:
    ada = fake.user()
    fake.guild(ada)
    fake.fail_next("POST", *planted, path="/messages")
    error = await error_of(channel, Send("told:1", to(ada), "Hello"))
    assert (type(error), error.rule) == (expected, rule)


@pytest.mark.parametrize(
    ("planted", "expected"),
    [(coded(403, 50013), Refused), (coded(404, 10003), Refused), (coded(401, 0), Misconfigured)],
    ids=["no-right", "no-channel", "no-token"],
)
async def test_where_nobody_may_be_called_out_nothing_is_broken(
    fake: DiscordFake, channel: Channel, planted: Any, expected: type[DeliveryError]
) -> None:
    ada = fake.user()
    fake.fail_next("POST", *planted, path="/messages")
    error = await error_of(channel, Send("aside:1", Address("discord", ada, fake.new_id()), "Look", kind=ASIDE))
    assert type(error) is expected
    assert getattr(error, "done", False) is (expected is Refused)


async def test_nothing_was_sent_where_nobody_listens(fake: DiscordFake, kept: Kept) -> None:
    nowhere = channel_of(fake, kept, DISCORD_API_BASE="http://127.0.0.1:1")
    error = await error_of(nowhere, Send("told:1", to(fake.user()), "Hello"))
    assert (type(error), error.rule) == (RetryLater, "dc-not-sent")
    await nowhere.close()


async def test_cloudflare_stops_everything_and_direct_messages_alone_stop_opening(
    fake: DiscordFake, channel: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    ada = fake.user()
    guild = fake.guild(ada)
    fake.refuse_next("POST", 400, 40003)
    assert (await error_of(channel, Send("a", to(ada), "Hello"))).rule == "dc-40003"
    again = await error_of(channel, Send("b", to(fake.user()), "Hello"))
    assert isinstance(again, RetryLater)
    assert (again.rule, (again.after_s or 0) > 500, len(fake.asked("POST"))) == ("dc-40003", True, 1)
    assert await channel.actual(to(ada), guild.id) == {""}

    fake.fail_next("GET", 429, *HTML)
    with caplog.at_level(logging.WARNING), pytest.raises(RetryLater):
        await channel.actual(to(ada), guild.id)
    before = len(fake.requests)
    rested = await error_of(channel, Grant("g", to(ada), guild.id, fake.role(guild, "VIP", 1), 1))
    assert isinstance(rested, RetryLater)
    assert (rested.everyone, rested.counted, len(fake.requests)) == (True, False, before)
    assert "Cloudflare" in caplog.text


# --- what comes in ---------------------------------------------------------------------------------------------------


def read(channel: Channel, headers: Mapping[str, str], body: bytes) -> Inbound:
    found = channel.read(Raw("POST", f"{PUBLIC}/webhooks/discord", headers, "", body))
    assert found is not None
    return found


async def test_a_ping_is_answered_and_a_command_is_kept_and_deferred(fake: DiscordFake, channel: Channel) -> None:
    assert read(channel, *fake.signed({"type": 1})) == Inbound(200, b'{"type":1}')
    ada = fake.user()
    asked = asking(fake, ada, 2, slash("buy", product="credits-10"), guild=fake.guild(ada))
    headers, body = fake.signed(asked)
    first = read(channel, headers, body)
    fake.answered(asked, json.loads(first.body))
    assert json.loads(first.body) == {"type": 5, "data": {"flags": 64}}
    assert first.arrivals == (Arrival(asked["id"], "command", ada, body),)
    assert read(channel, headers, body) == first  # a replay: the store knows its id


async def test_what_is_forged_stale_malformed_or_too_large_is_not_kept(fake: DiscordFake, channel: Channel) -> None:
    good = asking(fake, fake.user(), 2, slash("buy"))
    headers, body = fake.signed(good)
    forged = [
        ({}, body),
        ({**headers, "x-signature-ed25519": "00" * 64}, body),
        ({**headers, "x-signature-ed25519": "not hex"}, body),
        ({**headers, "x-signature-ed25519": headers["x-signature-ed25519"][:-2]}, body),
        ({**headers, "x-signature-timestamp": str(int(time.time()) + 1)}, body),
        (headers, body + b" "),
        fake.signed(good, time.time() - 301),
        fake.signed(good, time.time() + 301),
    ]
    assert [(read(channel, *one).status, read(channel, *one).arrivals) for one in forged] == [(401, ())] * len(forged)
    assert read(channel, *fake.signed(good, time.time() - 290)).status == 200
    signed_wrong = {**headers, "x-signature-timestamp": "1e9"}
    signed_wrong["x-signature-ed25519"] = fake.key.sign(b"1e9" + body).hex()
    assert read(channel, signed_wrong, body).status == 401

    malformed: list[Any] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 5000,
        {},
        {"type": "2"},
        {"type": True},
        {**good, "id": "x"},
    ]
    malformed += [{**good, "id": None}, {**good, "token": "../x"}, {**good, "user": {}}, {**good, "user": {"id": 5}}]
    malformed += [{**good, "token": None}, {**good, "user": None}, {**good, "id": "0"}]
    assert [read(channel, *fake.signed(one)).status for one in malformed] == [400] * len(malformed)
    large = {**good, "data": {"name": "buy", "options": [{"name": "x", "value": "x" * 70_000}]}}
    assert (read(channel, *fake.signed(large)).status, read(channel, *fake.signed(large)).arrivals) == (413, ())


async def test_without_the_public_key_there_is_no_route(fake: DiscordFake, kept: Kept) -> None:
    closed = channel_of(fake, kept, DISCORD_PUBLIC_KEY="")
    assert closed.read(Raw("POST", PUBLIC, *fake.signed({"type": 1})[:1], "", b"{}")) is None
    await closed.close()


async def test_webhook_events_are_acknowledged_and_an_invited_bot_goes_on(fake: DiscordFake, channel: Channel) -> None:
    assert read(channel, *fake.signed({"version": 1, "application_id": fake.application, "type": 0})) == Inbound(204)
    data = {"integration_type": 0, "scopes": ["bot"], "user": {"id": fake.user()}, "guild": {"id": "123456"}}
    event = {"type": "APPLICATION_AUTHORIZED", "timestamp": "2026-01-01T00:00:00.0000", "data": data}
    told = read(channel, *fake.signed({"version": 1, "application_id": fake.application, "type": 1, "event": event}))
    assert told.status == 204
    (arrival,) = told.arrivals
    assert (arrival.kind, list(channel.understand(arrival.body))) == ("event", [Mended("123456")])
    choosing = read(channel, *fake.signed(asking(fake, fake.user(), 4, slash("buy"))))
    assert (json.loads(choosing.body), choosing.arrivals) == ({"type": 8, "data": {"choices": []}}, ())


def meant(channel: Channel, payload: Any) -> list[Any]:
    return list(channel.understand(payload if isinstance(payload, bytes) else json.dumps(payload).encode()))


async def test_what_people_do_is_understood(fake: DiscordFake, channel: Channel) -> None:
    ada = fake.user()
    guild = fake.guild(ada)
    at_s = time.time() - 100
    bought = asking(fake, ada, 2, slash("buy", product="credits-10"), guild=guild, locale="pl", at_s=at_s)
    answers = {
        "place": bought["channel_id"],
        "application": fake.application,
        "token": bought["token"],
        "interaction": bought["id"],
        "at": pytest.approx(at_s, abs=0.01),
    }
    here = Here(to(ada), space=guild.id)
    assert meant(channel, bought) == [here, Said(to(ada), "/buy credits-10", "pl", answers)]
    alone = meant(channel, asking(fake, ada, 2, slash("balance"), locale="nl"))
    assert (alone[0], alone[1].text, alone[1].locale) == (Here(to(ada)), "/balance", "nl")
    button = meant(channel, asking(fake, ada, 3, pressed("/cancel sub_1"), guild=guild))
    assert [one.text for one in button if isinstance(one, Said)] == ["/cancel sub_1"]
    nested = {
        **slash("buy"),
        "options": [{"type": 1, "name": "one", "options": [{"name": "n", "type": 4, "value": 3}]}],
    }
    assert meant(channel, asking(fake, ada, 2, nested))[1].text == "/buy one 3"
    long = meant(channel, asking(fake, ada, 2, slash("buy", product="a\nb " + "x" * 6000)))[1].text
    assert (long[:10], len(long)) == ("/buy a b x", 4000)


async def test_what_nobody_knows_means_nothing(fake: DiscordFake, channel: Channel) -> None:
    ada = fake.user()
    future = asking(fake, ada, 77, {"new": True}, guild=fake.guild(ada))
    headers, body = fake.signed(future)
    assert (read(channel, headers, body).status, read(channel, headers, body).arrivals[0].kind) == (200, "type-77")
    unknown: list[Any] = [
        body,
        b"",
        b"[]",
        {},
        asking(fake, ada, 5, {"custom_id": "form"}),
        {"t": "NEW", "d": {}},
        {"t": 5},
    ]
    unknown += [{"event": {"type": "ENTITLEMENT_CREATE"}}, {"event": 5}, asking(fake, ada, 3, None) | {"user": 7}]
    assert [meant(channel, one) for one in unknown] == [[]] * len(unknown)
    blank = asking(fake, ada, 2, {"name": ["x"], "options": "x"})
    assert meant(channel, blank) == [Here(to(ada))]


# --- answers ---------------------------------------------------------------------------------------------------------


def asks(fake: DiscordFake, channel: Channel, user: str, **how: Any) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Somebody says /buy; returns the interaction and what its answer needs."""
    payload = asking(fake, user, how.pop("kind", 2), how.pop("data", slash("buy")), **how)
    inbound = read(channel, *fake.signed(payload))
    fake.answered(payload, json.loads(inbound.body))
    (said,) = [one for one in channel.understand(inbound.arrivals[0].body) if isinstance(one, Said)]
    return payload, said.answers or {}


async def test_the_first_answer_takes_the_place_of_thinking_and_others_follow(
    fake: DiscordFake, channel: Channel
) -> None:
    ada = fake.user()
    payload, answers = asks(fake, channel, ada, guild=fake.guild(ada))
    asked = fake.interactions[payload["token"]]
    pay = Button("Pay", url=f"{PUBLIC}/r/tok_en")
    for _ in range(2):  # the second is a repeat after a crash
        await channel.deliver(Send("reply:1", to(ada), "10 credits for $9.99", [pay], answers), None)
    await channel.deliver(Send("reply:2", to(ada), "Anything else?", answers=answers), None)
    assert asked.original is not None
    assert asked.original["content"] == "10 credits for $9.99"
    assert asked.original["components"][0]["components"][0]["url"] == f"{PUBLIC}/r/tok_en"
    assert [(one["content"], one["flags"]) for one in asked.follow_ups] == [("Anything else?", 64)]
    assert fake.told(ada) == []
    assert all("authorization" not in one.headers for one in fake.asked("PATCH") + fake.asked("POST"))


async def test_each_of_two_questions_gets_its_own_answers(fake: DiscordFake, channel: Channel) -> None:
    ada = fake.user()
    (one, first), (two, second) = asks(fake, channel, ada), asks(fake, channel, ada)
    for key, answers in (("a1", first), ("b1", second), ("a2", first), ("b2", second)):
        await channel.deliver(Send(key, to(ada), key, answers=answers), None)
    shown = [fake.interactions[payload["token"]] for payload in (one, two)]
    assert [asked.original and asked.original["content"] for asked in shown] == ["a1", "b1"]
    assert [[more["content"] for more in asked.follow_ups] for asked in shown] == [["a2"], ["b2"]]


async def test_a_menu_is_tapped_through_in_place_and_a_receipt_stays(fake: DiscordFake, channel: Channel) -> None:
    ada = fake.user()
    guild = fake.guild(ada)
    receipt = await channel.deliver(
        Send("paid", to(ada), "You have 10 credits", [Button("More", command="/buy")]), None
    )
    (stays,) = fake.told(ada)
    payload, answers = asks(fake, channel, ada, kind=3, data=pressed("/buy"), message=stays)
    await channel.deliver(Send("menu", to(ada), "What?", [Button("10", command="/buy credits-10")], answers), None)
    assert (receipt.data["message"], [one["content"] for one in fake.told(ada)]) == (
        stays["id"],
        ["You have 10 credits"],
    )
    menu = fake.interactions[payload["token"]].original
    assert menu is not None
    payload, answers = asks(fake, channel, ada, kind=3, data=pressed("/buy credits-10"), message=menu, guild=guild)
    assert fake.interactions[payload["token"]].thinking == 6
    await channel.deliver(Send("pay", to(ada), "Pay here", answers=answers), None)
    changed = fake.interactions[payload["token"]].original
    assert changed is not None
    assert (changed["id"], changed["content"], changed["components"]) == (menu["id"], "Pay here", [])


async def test_an_interaction_that_is_over_is_answered_by_a_direct_message(fake: DiscordFake, channel: Channel) -> None:
    ada = fake.user()
    fake.guild(ada)
    _, late = asks(fake, channel, ada)
    old = asking(fake, ada, 2, slash("buy"), at_s=time.time() - 880)
    answers = {**late, "token": old["token"], "interaction": old["id"], "at": time.time() - 880}
    await channel.deliver(Send("late", to(ada), "Late", answers=answers), None)
    assert ([one["content"] for one in fake.told(ada)], fake.asked("PATCH")) == (["Late"], [])
    for wrong in ({}, {"token": "x"}, {**late, "token": None}, {**late, "interaction": "../x"}, {**late, "at": "soon"}):
        await channel.deliver(Send(f"wrong:{wrong}", to(ada), "By message", answers=wrong), None)
    assert [one["content"] for one in fake.told(ada)][1:] == ["By message"] * 5


async def test_an_answer_that_is_quicker_than_its_deferral_waits_a_second(fake: DiscordFake, channel: Channel) -> None:
    ada = fake.user()
    payload = asking(fake, ada, 2, slash("buy"))
    (_, said) = channel.understand(json.dumps(payload).encode())
    assert isinstance(said, Said)
    quick = Send("reply:1", to(ada), "Here", answers=said.answers)
    error = await error_of(channel, quick)
    assert isinstance(error, RetryLater)
    assert (error.after_s, error.counted, error.rule) == (1.0, False, "dc-10015")
    fake.answered(payload, {"type": 5, "data": {"flags": 64}})
    await channel.deliver(quick, None)
    asked = fake.interactions[payload["token"]]
    assert (asked.original and asked.original["content"], asked.follow_ups) == ("Here", [])


async def test_who_takes_no_direct_messages_is_told_where_they_asked(fake: DiscordFake, channel: Channel) -> None:
    shy = fake.user(closed=True)
    guild = fake.guild(shy)
    paid = Send("paid:1", to(shy), "You have 10 credits")
    assert (await error_of(channel, paid)).rule == "dc-50007"
    payload, answers = asks(fake, channel, shy, guild=guild)
    await channel.deliver(Send("reply:1", to(shy), "Pay here", answers=answers), None)
    await channel.deliver(paid, None)
    assert [one["content"] for one in fake.interactions[payload["token"]].follow_ups] == ["You have 10 credits"]
    fake.refuse_next("POST", 401, 50027, path="/webhooks/")
    assert (await error_of(channel, Send("paid:2", to(shy), "Again"))).rule == "dc-50007"


# --- messages --------------------------------------------------------------------------------------------------------


async def test_direct_messages_are_opened_once_and_a_repeat_is_dropped(
    fake: DiscordFake, kept: Kept, channel: Channel
) -> None:
    ada = fake.user()
    fake.guild(ada)
    send = Send("paid:ord_1", to(ada), "Paid")
    fake.fail_next("POST", LOST, path="/messages")
    unknown = await error_of(channel, send)
    assert isinstance(unknown, Unknown)
    assert (unknown.repeatable, unknown.rule) == (True, "dc-unknown-outcome")
    receipt = await channel.deliver(send, None)
    restarted = channel_of(fake, kept)
    assert await restarted.deliver(send, None) == receipt
    await restarted.close()
    assert ([one["content"] for one in fake.told(ada)], len(fake.asked("POST", "/@me/channels"))) == (["Paid"], 1)
    body = fake.asked("POST", "/messages")[0].json
    assert (len(body["nonce"]), body["enforce_nonce"], body["allowed_mentions"]) == (24, True, {"parse": []})
    fake.fail_next("POST", LOST, path="/messages")
    much_later = await error_of(channel, Send("paid:ord_2", to(ada), "Paid", attempt=9))
    assert isinstance(much_later, Unknown)
    assert not much_later.repeatable  # Discord has forgotten the nonce by then


async def test_a_channel_that_is_gone_is_opened_anew(fake: DiscordFake, kept: Kept, channel: Channel) -> None:
    ada = fake.user()
    fake.guild(ada)
    await kept.put(f"dm:{ada}", "123456789012345678")
    await channel.deliver(Send("a", to(ada), "Hello"), None)
    assert [one["content"] for one in fake.told(ada)] == ["Hello"]
    assert await kept.get(f"dm:{ada}") != "123456789012345678"


async def test_the_people_of_the_desk_are_told_in_their_channel(fake: DiscordFake, kept: Kept) -> None:
    guild = fake.guild()
    room = fake.channel(guild)
    channel = channel_of(fake, kept, DISCORD_ADMIN_CHANNEL=room)
    assert channel.admin == Address("discord", room, room)
    await channel.deliver(Send("dispute:1", channel.admin, "A dispute"), None)
    assert [one["content"] for one in fake.messages[room].values()] == ["A dispute"]
    fake.refuse_next("POST", 403, 50013)
    error = await error_of(channel, Send("dispute:2", channel.admin, "A dispute"))
    assert isinstance(error, Misconfigured)
    assert (error.resource, "Send Messages" in error.mend) == (room, True)
    fake.refuse_next("POST", 404, 10003)
    error = await error_of(channel, Send("dispute:3", channel.admin, "A dispute"))
    assert isinstance(error, Misconfigured)
    assert "DISCORD_ADMIN_CHANNEL" in error.mend
    await channel.close()


async def test_a_message_is_edited_and_old_news_does_not_come_back(fake: DiscordFake, channel: Channel) -> None:
    ada = fake.user()
    fake.guild(ada)
    receipt = await channel.deliver(Send("order", to(ada), "Pay", [Button("Pay", url=f"{PUBLIC}/r/1")]), None)
    receipt = await channel.deliver(Edit("order", to(ada), "Paid", (), 2), receipt)
    assert await channel.deliver(Edit("order", to(ada), "Pay", (), 1), receipt) == receipt
    (shown,) = fake.told(ada)
    assert (shown["content"], shown["components"]) == ("Paid", [])
    payload, answers = asks(fake, channel, ada)
    answered = await channel.deliver(Send("reply", to(ada), "Pay", answers=answers), None)
    await channel.deliver(Edit("reply", to(ada), "Paid", (), 1), answered)
    original = fake.interactions[payload["token"]].original
    assert (original and original["content"]) == "Paid"
    followed = await channel.deliver(Send("more", to(ada), "More", answers=answers), None)
    gone = Receipt({**receipt.data, "message": "123456789012345678"})
    for last in (gone, followed, Receipt({"answer": "123456789012345678"}), Receipt(), None):
        assert isinstance(await error_of(channel, Edit("x", to(ada), "Paid", (), 3), last), Gone)


async def test_ids_that_are_none_of_discords_are_never_part_of_an_address(fake: DiscordFake, channel: Channel) -> None:
    odd = await error_of(channel, Send("x", to("../users/@me"), "Hello"))
    assert (isinstance(odd, NeedsUser) and odd.for_ever, odd.rule) == (True, "dc-bad-id")
    for space, role in (("GUILD_ID", "1"), ("1", "ROLE/../x")):
        error = await error_of(channel, Grant("x", to("123456"), space, role, 1))
        assert isinstance(error, Misconfigured)
        assert error.resource == f"{space}|{role}"
    assert await channel.actual(to("../x"), "123456") == await channel.actual(to("123456"), "GUILD_ID") == set()
    assert fake.requests == []
    found = await channel.preflight({"GUILD_ID": {"1"}}, fix=False)
    assert "Copy Server ID" in str(found[-1].mend)


async def test_no_secret_shows_itself(fake: DiscordFake, channel: Channel, caplog: pytest.LogCaptureFixture) -> None:
    ada = fake.user()
    fake.guild(ada)
    payload, answers = asks(fake, channel, ada)
    with caplog.at_level(logging.DEBUG, "paydesk"):
        receipts = [await channel.deliver(Send("reply", to(ada), "Pay", answers=answers), None)]
        receipts.append(await channel.deliver(Send("told", to(ada), "Hello"), None))
        fake.fail_next("PATCH", 500, {})
        errors = [await error_of(channel, Send("reply", to(ada), "Pay", answers=answers))]
        fake.fail_next("POST", 401, {"code": 0}, path="/messages")
        errors.append(await error_of(channel, Send("x", to(ada), "Pay")))
    shown = f"{channel!r} {receipts} {errors} {vars(channel)} {caplog.text}"
    assert fake.token not in shown
    assert payload["token"] not in shown


# --- texts -----------------------------------------------------------------------------------------------------------

NAMES = [
    "@everyone",
    "@here",
    "<@123456>",
    "<#1>",
    "**bold**",
    "`code`",
    "||spoiler||",
    "# big",
    "> said",
    "- item",
    "1. one",
]
NAMES += [
    "[a](https://evil.example)",
    "~~gone~~",
    "_under_",
    "-# small",
    "{name} {0} %s $x",
    "a\\b",
    ">>> all",
    "</buy:1>",
    "* star",
]


def seen(text: str) -> str:
    """What a reader of Discord sees of a text without formatting: a backslash before a sign is not shown."""
    return re.sub(r"\\([^0-9A-Za-z\s])", r"\1", text)


async def test_a_name_is_shown_as_it_is(fake: DiscordFake, channel: Channel) -> None:
    ada = fake.user()
    fake.guild(ada)
    for name in NAMES:
        text = f"{name}\nBought: {name}, thank you {name}"
        await channel.deliver(Send(f"x:{name}", to(ada), text, [Button(name, command="/buy")]), None)
        message = fake.told(ada)[-1]
        assert (seen(message["content"]), message["mention_everyone"]) == (text, False)
        assert message["components"][0]["components"][0]["label"] == name
        bare = re.sub(r"\\.", "x", message["content"], flags=re.DOTALL)
        assert not re.search(r"[*_~`|<\[]|@everyone|@here|^\s*(#|>|-|\+|\d+\.\s)", bare, re.MULTILINE)


def test_addresses_stay_whole_and_links_work() -> None:
    text = "Pay: https://pay.example/r/a_b-c_d?x=1. Or *now* (https://x.example/_y_)!"
    assert (
        discord_texts.fitted(text, 2000)
        == "Pay: https://pay.example/r/a_b-c_d?x=1. Or \\*now\\* (https://x.example/_y_)!"
    )
    cut = discord_texts.fitted("a" * 1990 + " https://pay.example/r/abc", 2000)
    assert cut == "a" * 1990 + "…"


@given(st.text(alphabet=st.sampled_from("ab *_\\@everyon\n#>-1.😀ł{}[]<http://x"), max_size=5000))
def test_texts_are_cut_after_escaping_and_never_inside_an_escape(text: str) -> None:
    short = discord_texts.message(text, ())["content"]
    assert 1 <= discord_texts.length(short) == len(short.encode("utf-16-le")) // 2 <= 2000
    whole = seen(short.removesuffix("…")).strip()
    assert seen("".join(discord_texts._atoms(text))).strip().startswith(whole) or short == "…"
    assert len(re.search(r"\\*$", short.removesuffix("…")).group()) % 2 == 0  # type: ignore[union-attr]


async def test_many_long_buttons_and_a_long_text_fit_into_one_message(fake: DiscordFake, channel: Channel) -> None:
    ada = fake.user()
    fake.guild(ada)
    buttons = [Button("L" * 200 + str(n), command=f"/buy p{n}") for n in range(27)]
    buttons += [Button("again", command="/buy p1"), Button("", command="/x"), Button("none")]
    buttons += [Button("Far", url="https://x.example/" + "y" * 600), Button("Near", url="http://localhost:8000/r/1")]
    buttons.insert(0, Button("Long", command="/" + "z" * 120))
    await channel.deliver(Send("x", to(ada), "word " * 1000, buttons), None)
    (message,) = fake.told(ada)
    rows = [row["components"] for row in message["components"]]
    assert [len(row) for row in rows] == [5] * 5
    assert {len(button["label"]) for row in rows for button in row} == {80}
    content = message["content"]
    assert len(content) <= 2000
    assert f"\nLong: /{'z' * 120}\n" in content
    assert content.endswith("\nNear: http://localhost:8000/r/1")
    assert re.search(r"word w?o?r?d?…\nLong", content)
    await channel.deliver(
        Send("y", to(ada), "", [Button("🦊" * 100, command="/buy"), Button("again", command="/buy")]), None
    )
    last = fake.told(ada)[-1]
    (button,) = last["components"][0]["components"]
    assert (last["content"], button["label"]) == ("…", "🦊" * 39 + "…")


# --- roles -----------------------------------------------------------------------------------------------------------


async def test_roles_are_given_and_taken_and_looked_at(fake: DiscordFake, channel: Channel) -> None:
    ada = fake.user()
    guild = fake.guild(ada)
    role = fake.role(guild, "VIP", 3)
    for _ in range(2):
        await channel.deliver(Grant("grant:cus_1|ż", to(ada), guild.id, role, 1), None)
    assert await channel.actual(to(ada), guild.id) == {"", role}
    assert fake.asked("PUT")[0].headers["x-audit-log-reason"] == "grant%3Acus_1%7C%C5%BC"
    for _ in range(2):
        await channel.deliver(Revoke("r" * 400 + "ż" * 400, to(ada), guild.id, role, 2), None)
    assert (await channel.actual(to(ada), guild.id), guild.members[ada]) == ({""}, set())
    stranger = fake.user()
    assert await channel.actual(to(stranger), guild.id) == set()
    await channel.deliver(Revoke("gone", to(stranger), guild.id, role, 3), None)
    with pytest.raises(Misconfigured) as caught:
        await channel.actual(to(ada), "123456789")
    assert (caught.value.resource, caught.value.rule) == ("123456789", "dc-10004")


async def test_being_in_a_server_waits_for_the_person_and_ends_by_putting_them_out(
    fake: DiscordFake, kept: Kept
) -> None:
    channel = channel_of(fake, kept, DISCORD_INVITE="https://discord.gg/AbCdEf")
    ada = fake.user()
    guild = fake.guild()
    for role in ("", fake.role(guild, "VIP", 3)):
        error = await error_of(channel, Grant("in", to(ada), guild.id, role, 1))
        assert isinstance(error, NeedsUser)
        assert (error.rule, error.for_ever) == ("dc-10007", False)
        assert "https://discord.gg/AbCdEf" in str(error)
    guild.members[ada] = set()
    await channel.deliver(Grant("in", to(ada), guild.id, "", 1), None)
    for _ in range(2):
        await channel.deliver(Revoke("out", to(ada), guild.id, "", 2), None)
    assert ada not in guild.members
    owner = await error_of(channel, Revoke("out", to(guild.owner), guild.id, "", 2))
    assert (isinstance(owner, Refused) and owner.done, owner.rule) == (True, "dc-50013")
    guild.members[ada] = {fake.role(guild, "High", 99)}
    error = await error_of(channel, Revoke("out", to(ada), guild.id, "", 2))
    assert isinstance(error, Misconfigured)
    assert error.mend == "drag the bot's role above theirs in The Shop"
    await channel.close()


async def test_what_is_in_the_way_of_a_role_is_named(fake: DiscordFake, channel: Channel) -> None:
    async def mend_of(guild: Guild, role: str) -> tuple[str, str]:
        ada = fake.user()
        guild.members[ada] = set()
        error = await error_of(channel, Grant("g", to(ada), guild.id, role, 1))
        assert isinstance(error, Misconfigured)
        assert error.resource in (f"{guild.id}|{role}", guild.id)
        return error.rule, error.mend

    weak, low, left = fake.guild(permissions=0), fake.guild(permissions=1 << 3, top=5), fake.guild()
    assert "Manage Roles" in (await mend_of(weak, fake.role(weak, "VIP", 1)))[1]
    rule, mend = await mend_of(low, fake.role(low, "VIP", 9))
    assert (rule, mend) == ("dc-50013", "drag the bot's role (Paydesk) above VIP (Server Settings → Roles)")
    assert (await mend_of(low, fake.role(low, "Boost", 1, managed=True)))[0] == "dc-50028"
    assert (await mend_of(low, low.id))[0] == "dc-50028"
    assert (await mend_of(low, "123456789"))[0] == "dc-10011"
    del left.members[fake.application]
    assert (await mend_of(left, "123456789"))[0] == "dc-50001"
    fake.fail_next("GET", 500, {})
    assert "Manage Roles" in (await mend_of(low, fake.role(low, "VIP", 9)))[1]


# --- how fast --------------------------------------------------------------------------------------------------------


async def delivered(channel: Channel, action: Any) -> list[RetryLater]:
    """Deliver as the queue does: what is asked to come back comes back. Returns how often it was."""
    waited: list[RetryLater] = []
    while True:
        try:
            await channel.deliver(action, None)
            return waited
        except RetryLater as later:
            waited.append(later)
            await asyncio.sleep(later.after_s or 0)


async def test_discord_hardly_ever_has_to_say_no(fake: DiscordFake, channel: Channel) -> None:
    guild = fake.guild(*(people := [fake.user() for _ in range(25)]))
    role = fake.role(guild, "VIP", 3)
    fake.limits["members/roles"] = (5, 1.0)
    gate = asyncio.Semaphore(channel.limits.at_once)

    async def give(user: str) -> list[RetryLater]:
        async with gate:
            return await delivered(channel, Grant(f"g:{user}", to(user), guild.id, role, 1))

    waited = await asyncio.gather(*(give(user) for user in people))
    assert not any(later.counted for one in waited for later in one)
    assert all(role in guild.members[user] for user in people)
    assert (fake.too_fast, len(fake.asked("PUT"))) == (0, 25)


async def test_a_full_bucket_sends_people_back_in_groups_and_a_refusal_is_believed(
    fake: DiscordFake, channel: Channel
) -> None:
    guild = fake.guild(*(people := [fake.user() for _ in range(6)]))
    role = fake.role(guild, "VIP", 3)
    fake.limits["members/roles"] = (2, 60.0)
    grants = [Grant(f"g:{user}", to(user), guild.id, role, 1) for user in people]
    for grant in grants[:2]:
        await channel.deliver(grant, None)
    waits = []
    for grant in grants[2:]:
        error = await error_of(channel, grant)
        assert isinstance(error, RetryLater)
        assert (error.rule, error.counted, error.everyone) == ("dc-paced", False, False)
        waits.append(error.after_s or 0)
    assert (waits[0] > 55, waits[1] - waits[0] < 1, 58 < waits[2] - waits[0] < 62) == (True, True, True)
    assert (fake.too_fast, len(fake.asked("PUT"))) == (0, 2)

    other = fake.guild(people[0])
    fake.fail_next("PUT", *limited("shared"))
    fake.fail_next("PUT", *limited("shared"))
    given = Grant("g", to(people[0]), other.id, fake.role(other, "VIP", 3), 1)
    assert (await error_of(channel, given)).rule == "dc-429-shared"
    assert (await error_of(channel, given)).rule == "dc-paced"
    assert len(fake.asked("PUT")) == 3


class Watch:
    """A clock that moves when told."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def test_ever_more_conversations_take_no_more_memory() -> None:
    watch = Watch()
    pace = Pace(watch)
    told = {
        "x-ratelimit-limit": "5",
        "x-ratelimit-remaining": "4",
        "x-ratelimit-reset-after": "5",
        "x-ratelimit-bucket": "b",
    }
    for number in range(30_000):
        path = f"/channels/{10**17 + number}/messages"
        await pace.turn("POST", path)
        pace.heard("POST", path, Answer(200, told, b""))
        watch.now_s += 0.025
    assert len(pace._buckets) <= BUCKETS_MAX


async def test_all_calls_together_are_fifty_a_second(fake: DiscordFake, channel: Channel) -> None:
    guilds = [fake.guild() for _ in range(60)]
    fake.every = (1000, 1.0)
    begun = time.monotonic()
    await asyncio.gather(*(channel.actual(to(fake.application), guild.id) for guild in guilds))
    assert (len(fake.requests), time.monotonic() - begun >= 1) == (60, True)


# --- setting up ------------------------------------------------------------------------------------------------------


async def test_commands_are_registered_once_in_three_languages_beside_others(fake: DiscordFake, kept: Kept) -> None:
    channel = channel_of(fake, kept, DISCORD_APPLICATION_ID="")
    own = {"name": "joke", "description": "Ours", "type": 1, "default_member_permissions": 8}
    fake.commands = fake._commands("PUT", fake.application, [own, {"name": "buy", "description": "Old", "type": 1}])
    joke = fake.commands[0]["id"]
    await channel.start()
    await channel.start()
    assert len(fake.asked("PUT")) == 1
    there = {one["name"]: one for one in fake.commands}
    assert set(there) == {"joke", *(one["name"] for one in registered())}
    assert {
        "start",
        "buy",
        "balance",
        "history",
        "billing",
        "cancel",
        "support",
        "help",
        "plans",
        "status",
        "terms",
    } < set(there)
    assert (there["joke"]["id"], there["joke"]["default_member_permissions"]) == (joke, "8")
    buy = there["buy"]
    assert (buy["name_localizations"], buy["description_localizations"]["pl"]) == (
        {"pl": "kup", "nl": "koop"},
        "Kup coś",
    )
    assert [(one["name"], one["type"]) for one in buy["options"]] == [("product", 3)]
    names = [one["name_localizations"][locale] for one in registered() for locale in ("pl", "nl")]
    assert all(name == name.lower() for name in names)
    for locale in ("pl", "nl"):
        localised = [one["name_localizations"][locale] for one in registered()]
        assert len(set(localised)) == len(localised)
    fake.commands = [one for one in fake.commands if one["name"] != "help"]
    await channel.start()
    assert (len(fake.asked("PUT")), "help" in {one["name"] for one in fake.commands}) == (2, True)
    await channel.close()


async def test_the_doctor_sees_what_is_wrong_and_what_mends_it(fake: DiscordFake, kept: Kept, channel: Channel) -> None:
    good = fake.guild(name="Good")
    role = fake.role(good, "VIP", 3)
    fake.endpoint = f"{PUBLIC}/webhooks/discord"
    found = await channel.preflight({good.id: {role}}, fix=True)
    assert [one.what for one in found if not one.ok] == []
    assert len(fake.asked("PUT", "/commands")) == 1

    fake.commands, fake.endpoint = [], "https://old.example"
    weak, low = fake.guild(name="Weak", permissions=0), fake.guild(name="Low", top=2)
    high, managed = fake.role(low, "VIP", 3), fake.role(low, "Boost", 1, managed=True)
    spaces = {weak.id: {""}, low.id: {high, managed, low.id, "123456789"}, "987654321": {"1"}}
    found = await channel.preflight(spaces, fix=False)
    wrong = {one.what: one.mend for one in found if not one.ok}
    assert wrong == {
        "Discord: where interactions go": f"{PORTAL}: {PUBLIC}/webhooks/discord",
        "Discord: the commands": "paydesk check --fix",
        "Discord: coming into Weak": "give the bot the permission Kick Members in Weak",
        "Discord: the way into Weak": "set DISCORD_INVITE to an invite that does not expire (https://discord.gg/…)",
        "Discord: role VIP in Low": "drag the bot's role (Paydesk) above VIP (Server Settings → Roles)",
        "Discord: role Boost in Low": "sell another role: Boost belongs to an integration, and nobody can give it",
        "Discord: role @everyone in Low": "sell another role: everybody has @everyone",
        "Discord: role 123456789 in Low": "there is no role 123456789 in Low: put the id of an existing one into the catalogue",
        "Discord: the server 987654321": "invite the bot to the server",
    }
    other = channel_of(fake, kept, DISCORD_APPLICATION_ID="1234567890", DISCORD_PUBLIC_KEY="ab" * 32)
    wrong = {one.what: one.mend for one in await other.preflight({}, fix=False) if not one.ok}
    assert wrong["Discord: the application"] == f"DISCORD_APPLICATION_ID={fake.application}"
    assert wrong["Discord: the public key"] == f"DISCORD_PUBLIC_KEY={fake.public_key}"
    assert "DISCORD_APPLICATION_ID" in str(wrong["Discord: the commands"])
    revoked = channel_of(fake, kept, DISCORD_BOT_TOKEN="MTE0.revoked.token")
    (bad,) = await revoked.preflight({good.id: {role}}, fix=True)
    assert (bad.ok, "DISCORD_BOT_TOKEN" in str(bad.mend)) == (False, True)
    for one in (other, revoked):
        await one.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DISCORD_BOT_TOKEN", "Bot MTE0.x.y"),
        ("DISCORD_APPLICATION_ID", "my-app"),
        ("DISCORD_PUBLIC_KEY", "abc"),
        ("DISCORD_ADMIN_CHANNEL", "#admin"),
        ("DISCORD_API_BASE", "discord.com"),
        ("DISCORD_API_BASE", "http://[x"),
        ("DISCORD_MODE", "carrier-pigeon"),
        ("DISCORD_INVITE", "discord.gg/abc"),
        ("DISCORD_INVITE", "shop=https://discord.gg/abc"),
    ],
)
async def test_a_malformed_setting_is_named_with_a_good_one(
    fake: DiscordFake, kept: Kept, name: str, value: str
) -> None:
    with pytest.raises(SettingError) as caught:
        channel_of(fake, kept, **{name: value})
    line = caught.value.message
    assert (line.startswith(name), "\n" in line, len(line) > len(name) + 20) == (True, False, True)
    assert name != "DISCORD_BOT_TOKEN" or value not in line


async def test_the_channel_is_found_by_its_setting_and_its_address_may_be_bare(fake: DiscordFake, kept: Kept) -> None:
    environ = {"DISCORD_BOT_TOKEN": fake.token, "DISCORD_API_BASE": fake.url + "/"}
    assert [one.name for one in plugged.load(Start({}, lambda name: kept, PUBLIC))] == []
    (found,) = plugged.load(Start(environ, lambda name: kept, PUBLIC))
    assert (found.name, found.edits, found.admits, found.one_sender, found.admin) == ("discord", True, True, True, None)
    assert (await found.preflight({}, fix=False))[0].ok
    await found.close()


# --- Discord's own shop ----------------------------------------------------------------------------------------------

SKU = "1180218955160375406"


async def test_all_that_was_bought_is_listed_page_after_page_each_state_of_it_once(
    fake: DiscordFake, kept: Kept
) -> None:
    ada, inbox = fake.user(), Inbox()
    bought = [fake.sells(ada, SKU) for _ in range(205)]
    bought[3]["deleted"], bought[4]["ends_at"], bought[5]["consumed"] = True, "2026-02-01T00:00:00+00:00", True
    for times in (1, 2):  # a restart
        channel = channel_of(fake, kept)
        polling = asyncio.create_task(channel.poll(inbox.keep))
        await until(lambda times=times: len(inbox.arrivals) == times * 205)
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        await channel.close()
    assert len({one.external_id for one in inbox.arrivals}) == 205
    told = [one for arrival in inbox.arrivals[:205] for one in channel.understand(arrival.body)]
    assert {arrival.whose for arrival in inbox.arrivals} == {ada}
    assert [(one.who, one.article) for one in told if isinstance(one, BoughtThere)] == [(to(ada), SKU)] * 205
    assert [place for place, one in enumerate(told) if one.deleted] == [3]
    assert [(place, one.ends_at.isoformat()) for place, one in enumerate(told) if one.ends_at] == [
        (4, "2026-02-01T00:00:00+00:00")
    ]
    assert [place for place, one in enumerate(told) if one.used_up] == [5]
    fake.entitlements.clear()


async def test_a_purchase_is_told_the_same_by_an_event_an_interaction_and_the_gateway(
    fake: DiscordFake, channel: Channel
) -> None:
    ada = fake.user()
    bought = fake.sells(ada, SKU)
    (by_event,) = channel.understand(dumped(happened("ENTITLEMENT_CREATE", bought, fake.application)))
    assert isinstance(by_event, BoughtThere)
    assert (by_event.who, by_event.article, by_event.bought, by_event.deleted) == (to(ada), SKU, bought["id"], False)
    by_the_way = channel.understand(dumped(asking(fake, ada, 2, slash("balance"))))
    arrival = discord_gateway.arrival_from("ENTITLEMENT_CREATE", bought)
    assert arrival is not None
    assert [one for one in by_the_way if isinstance(one, BoughtThere)] == [by_event]
    assert channel.understand(arrival.body) == (by_event,)
    (gone,) = channel.understand(dumped(happened("ENTITLEMENT_DELETE", bought, fake.application)))
    assert gone.deleted, "its event says so, whatever it says itself"
    fake.entitlements.clear()


@pytest.mark.parametrize(
    "changes",
    [{"id": 7}, {"user_id": None}, {"sku_id": "a"}, {"id": "../7"}, {"user_id": {}}],
    ids=["a number", "nobody", "no SKU", "a path", "an object"],
)
async def test_a_malformed_purchase_means_nothing(channel: Channel, changes: dict[str, Any]) -> None:
    good = {"id": "7", "sku_id": SKU, "user_id": "8", "starts_at": "soon", "ends_at": 5, "deleted": "no", "consumed": 1}
    (told,) = channel.understand(dumped(happened("ENTITLEMENT_CREATE", good, "9")))
    assert (told.starts_at.year, told.ends_at, told.deleted, told.used_up) == (2015, None, False, False)
    assert channel.understand(dumped(happened("ENTITLEMENT_CREATE", {**good, **changes}, "9"))) == ()
    assert discord_gateway.arrival_from("ENTITLEMENT_UPDATE", {**good, **changes}) is None


async def test_what_has_begun_again_is_heard_of_once_and_a_list_tells_it_anew_every_week(
    fake: DiscordFake, channel: Channel
) -> None:
    bought = fake.sells(fake.user(), SKU)
    weeks = [datetime(2026, 3, day, tzinfo=UTC) for day in (2, 8, 9)]
    ids = [discord_shop.arrival_of("ENTITLEMENT_LISTED", bought, at).external_id for at in weeks]  # type: ignore[union-attr]
    assert (ids[0] == ids[1], ids[0] == ids[2]) == (True, False)
    bought["ends_at"] = "2026-02-01T00:00:00+00:00"
    ended = {discord_shop.arrival_of("ENTITLEMENT_LISTED", bought, at).external_id for at in weeks}  # type: ignore[union-attr]
    assert len(ended) == 1
    asked = asking(fake, bought["user_id"], 2, slash("balance"))
    (by_the_way,) = (one for one in channel.understand(dumped(asked)) if isinstance(one, BoughtThere))
    happening = happened("ENTITLEMENT_UPDATE", bought, fake.application)
    (by_event,) = channel.understand(dumped(happening))
    assert (by_the_way.told_at, by_event.told_at) == (
        datetime.fromtimestamp(made_at_s(asked["id"]), UTC), datetime.fromisoformat(happening["event"]["timestamp"])
    )  # fmt: skip
    fake.entitlements.clear()


async def test_what_the_shop_has_is_held_against_what_the_catalogue_names(
    fake: DiscordFake, channel: Channel, tmp_path: Path
) -> None:
    skus = [str(int(SKU) + 10 * number) for number in range(5)]
    once, coins = "", '{ kind = "credits", amount = 9 }'
    sold = [(once, coins), (', interval = "month"', '{ kind = "feature", feature = "vip" }'), *[(once, coins)] * 3]
    (tmp_path / "catalog.toml").write_text("".join(
        f'[products.p{number}]\nname = "P"\nprices = [{{ currency = "usd", amount = "4.99", discord_sku = "{sku}"{every} }}]\n'
        f"grants = [{grant}]\n"
        for number, (sku, (every, grant)) in enumerate(zip(skus, sold, strict=True))
    ), encoding="utf-8")  # fmt: skip
    fake.offers(skus[0], "100 coins", 3)
    fake.offers(skus[1], "Patron", 5)
    fake.offers(skus[2], "For ever", 2)
    fake.offers(skus[3], "Soon", 3, on_sale=False)
    catalog = catalog_file.load(tmp_path / "catalog.toml", {})
    found = {one.what.split()[-1]: one for one in premium.findings(catalog, await channel.articles())}
    assert [(key, one.ok, one.seen) for key, one in found.items()] == [
        ("p0", True, "100 coins"), ("p1", True, "Patron"), ("p2", False, "For ever, of the kind durable"),
        ("p3", True, "Soon"), ("p4", False, "this application has none of that id"),
    ]  # fmt: skip
    assert [(one.mend or "").split(" ")[0] for one in found.values()] == ["", "", "name", "nobody", "copy"]
    fake.skus.clear()


async def test_what_was_bought_is_used_up_once_whatever_becomes_of_the_answer(
    fake: DiscordFake, channel: Channel
) -> None:
    ada = fake.user()
    first, second, gone = fake.sells(ada, SKU), fake.sells(ada, SKU), fake.sells(ada, SKU)
    gone["deleted"] = True
    for _ in range(2):
        assert await channel.deliver(UseUp("use_up:1", to(ada), first["id"]), None) == Receipt({"bought": first["id"]})
    await channel.deliver(UseUp("use_up:3", to(ada), gone["id"]), None)
    fake.fail_next("POST", LOST, path="/consume")
    lost = await error_of(channel, UseUp("use_up:2", to(ada), second["id"]))
    assert isinstance(lost, Unknown)
    assert lost.repeatable
    await channel.deliver(UseUp("use_up:2", to(ada), second["id"]), None)
    assert [one.path.split("/")[-2] for one in fake.asked("POST", "/consume")] == [first["id"], second["id"]]
    assert (first["consumed"], second["consumed"], gone["consumed"]) == (True, True, False)
    assert isinstance(await error_of(channel, UseUp("use_up:4", to(ada), "../users")), Refused)
    fake.entitlements.clear()


async def test_a_button_of_the_shop_says_only_what_it_sells(fake: DiscordFake, channel: Channel) -> None:
    ada = fake.user()
    fake.guild(ada)
    buttons = (
        Button("Pay", url="https://pay.example.com/r/1"),
        Button("100 coins", article=SKU),
        Button("?", article="x"),
    )
    await channel.deliver(Send("offer", to(ada), "100 coins", buttons), None)
    (said,) = fake.told(ada)
    shown = [{key: one[key] for key in one if key != "id"} for row in said["components"] for one in row["components"]]
    assert shown[1:] == [{"type": 2, "style": 6, "sku_id": SKU}]


# --- the gateway -----------------------------------------------------------------------------------------------------


class Inbox:
    """Keeps arrivals as the core does; `away` as long as it cannot."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.away = False
        self.refused = 0

    async def keep(self, arrivals: Any) -> None:
        if self.away:
            self.refused += 1
            raise StoreUnavailable("the database is away")
        if any(b"unbearable" in one.body for one in arrivals):
            raise ValueError("unbearable")
        self.arrivals += arrivals


async def until(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not what():
            await asyncio.sleep(0.02)


@pytest.fixture(params=[True, False], ids=["members", "no-members"])
def far(request: pytest.FixtureRequest) -> Iterator[Gateway]:
    fake = DiscordFake()
    gateway = Gateway(fake, members=request.param)
    with fake:
        yield gateway
    assert fake.complaints == []


async def test_a_bot_that_discord_cannot_call_hears_the_same_over_the_gateway(far: Gateway, kept: Kept) -> None:
    fake, inbox = far.fake, Inbox()
    channel = channel_of(fake, kept, DISCORD_MODE="gateway", DISCORD_PUBLIC_KEY="")
    polling = asyncio.create_task(channel.poll(inbox.keep))
    await until(lambda: far.connected)
    assert [one["intents"] & 2 for one in far.identified] == ([2] if far.members else [2, 0])

    ada = fake.user()
    guild = fake.guild(ada)
    asked = asking(fake, ada, 2, slash("buy", product="credits-10"), guild=guild, locale="pl")
    far.happens("INTERACTION_CREATE", asked)
    await until(lambda: fake.interactions[asked["token"]].thinking)
    (arrival,) = inbox.arrivals
    assert (arrival.external_id, arrival.kind, arrival.whose) == (asked["id"], "command", ada)
    (here, said) = channel.understand(arrival.body)
    assert isinstance(said, Said)
    assert (here, said.text, said.locale) == (Here(to(ada), guild.id), "/buy credits-10", "pl")
    await channel.deliver(Send("reply", to(ada), "Pay here", answers=said.answers), None)
    original = fake.interactions[asked["token"]].original
    assert (original and original["content"]) == "Pay here"

    joined = {**member_of(ada, "ada", set()), "guild_id": guild.id}
    private = {"id": fake.new_id(), "channel_id": "5", "author": user_of(ada, "ada"), "content": " ten credits "}
    for name, told in (
        ("GUILD_MEMBER_ADD", joined),
        ("MESSAGE_CREATE", private),
        ("MESSAGE_CREATE", {**private, "guild_id": guild.id}),
        ("MESSAGE_CREATE", {**private, "author": user_of(fake.application, "paydesk", bot=True)}),
        ("INTERACTION_CREATE", {"id": "x", "type": 2}),
        ("TYPING_START", {"user_id": ada}),
    ):
        far.happens(name, told)
    await until(lambda: len(inbox.arrivals) == 3)
    assert inbox.arrivals[1].external_id == f"joined:{guild.id}:{ada}:{joined['joined_at']}"
    assert channel.understand(inbox.arrivals[1].body) == (Here(to(ada), guild.id),)
    assert channel.understand(inbox.arrivals[2].body) == (Here(to(ada)), Said(to(ada), "ten credits"))

    inbox.away = True
    late = asking(fake, ada, 2, slash("balance"))
    far.happens("INTERACTION_CREATE", late)
    await until(lambda: inbox.refused)
    assert fake.interactions[late["token"]].thinking is None, "what is not durable is not promised"
    far.drop()  # hikari comes back by itself
    await until(lambda: far.connected)
    after = asking(fake, ada, 3, pressed("/balance"))
    far.happens("MESSAGE_CREATE", {**private, "id": fake.new_id(), "content": "unbearable"})
    far.happens("INTERACTION_CREATE", after)
    inbox.away = False
    await until(lambda: fake.interactions[after["token"]].thinking)
    assert [one.external_id for one in inbox.arrivals[3:]] == [late["id"], after["id"]], "in order, and none is lost"
    polling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await polling
    await channel.close()


async def test_who_waits_for_what_was_heard_to_be_stored_hears_that_it_never_will_be() -> None:
    async def fails() -> None:
        raise OSError("cannot store")

    heard: asyncio.Queue[discord_gateway.Heard] = asyncio.Queue()
    heard.put_nowait(("MESSAGE_CREATE", {}))
    async with asyncio.timeout(20):
        with pytest.raises(OSError, match="cannot store"):
            await discord_gateway._until_stored(heard, asyncio.create_task(fails()))


async def test_what_is_heard_while_the_database_is_away_is_bounded_and_we_come_back(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    far, inbox = Gateway(DiscordFake()), Inbox()
    with far.fake as fake:
        channel = channel_of(fake, kept, DISCORD_MODE="gateway", DISCORD_PUBLIC_KEY="")
        polling = asyncio.create_task(channel.poll(inbox.keep))
        await until(lambda: far.connected)
        inbox.away, ada = True, fake.user()

        def says(content: str) -> None:
            message = {"id": fake.new_id(), "channel_id": "5", "author": user_of(ada, "ada"), "content": content}
            far.happens("MESSAGE_CREATE", message)

        def says_much() -> None:
            with contextlib.suppress(ConnectionError):  # we hang up in the middle of it
                for number in range(discord_gateway.HEARD_MAX + 2 * discord_gateway.BATCH_MAX):
                    says(f"message {number}")

        await asyncio.to_thread(says_much)
        await until(lambda: "we hang up" in caplog.text)
        assert inbox.arrivals == []
        inbox.away = False
        await until(lambda: len(inbox.arrivals) >= discord_gateway.HEARD_MAX and len(far.identified) == 2)
        heard = [said.text for one in inbox.arrivals for said in channel.understand(one.body) if isinstance(said, Said)]
        assert heard == [f"message {number}" for number in range(len(heard))]
        says("are you there?")
        await until(lambda: b"are you there?" in inbox.arrivals[-1].body)
        polling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await polling
        await channel.close()


async def test_over_http_only_what_was_bought_is_polled_and_nothing_of_the_gateway_is_imported(
    fake: DiscordFake, kept: Kept
) -> None:
    channel = channel_of(fake, kept)
    polling = asyncio.create_task(channel.poll(Inbox().keep))
    await until(lambda: fake.asked("GET", "/entitlements"))
    polling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await polling
    assert {one.path.rpartition("/")[2] for one in fake.requests} == {"entitlements"}
    await channel.close()
    code = "import sys, paydesk.channels.discord; print('hikari' in sys.modules, 'discord' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "False"]


async def test_the_gateway_without_its_library_says_what_to_install(
    fake: DiscordFake, kept: Kept, tmp_path: Path
) -> None:
    (tmp_path / "hikari.py").write_text("raise ImportError('not installed')")
    start = "make(Start(eval(sys.argv[1]), None, ''))"
    code = f"import sys; from paydesk.channels.discord import make; from paydesk.channels.base import Start; {start}"
    environ = repr(fake.environ(DISCORD_MODE="gateway"))
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    shown = subprocess.run([sys.executable, "-c", code, environ], capture_output=True, text=True, env=paths)
    assert 'pip install "paydesk[discord]"' in shown.stderr.splitlines()[-1]
