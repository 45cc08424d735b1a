"""The Telegram channel against the played Telegram: its settings, what comes in, and how it is set up."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.base import Asked as HttpRequest
from fakes.base import Fake, Told
from fakes.telegram import TOKEN, TelegramFake
from paydesk.channels import telegram_texts as texts
from paydesk.channels.base import (
    Address,
    Arrival,
    Asked,
    Away,
    Here,
    Inbound,
    Mended,
    Misconfigured,
    Raw,
    Renumbered,
    Said,
    Start,
)
from paydesk.channels.telegram import Telegram, make
from paydesk.channels.telegram_updates import ALLOWED
from paydesk.errors import SettingError
from telegram_fixtures import (
    ADA,
    BEN,
    GROUP,
    PUBLIC,
    SECRET,
    SMALL,
    WHO,
    Kept,
    Pad,
    channel,
    channel_at,
    dumped,
    fake,
    grant,
    pad,
    running,
    until,
)

# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TELEGRAM_BOT_TOKEN", "123:short"),
        ("TELEGRAM_BOT_TOKEN", ""),
        ("TELEGRAM_MODE", "push"),
        ("TELEGRAM_WEBHOOK_SECRET", "no spaces"),
        ("TELEGRAM_ADMIN_CHAT", "my group"),
        ("TELEGRAM_API_BASE", "api.telegram.org"),
    ],
)
def test_a_malformed_setting_is_named_and_never_shown(name: str, value: str) -> None:
    environ = {"TELEGRAM_BOT_TOKEN": TOKEN, name: value}
    with pytest.raises(SettingError, match=name) as caught:
        make(Start(environ, lambda name: Pad(), PUBLIC))
    assert "\n" not in caught.value.message
    said, _, _good = caught.value.message.partition("it should be")
    assert not value or value not in said


async def test_what_the_channel_says_of_itself() -> None:
    channel = channel_at("http://127.0.0.1:1", TELEGRAM_ADMIN_CHAT="-100777")
    assert (channel.edits, channel.admits, channel.one_sender) == (True, True, True)
    assert (channel.limits.per_s, channel.limits.chat_gap_s) == (30.0, 1.0)
    assert channel.admin == Address("telegram", "-100777")
    assert TOKEN.partition(":")[2] not in repr(vars(channel)) + repr(channel)
    await channel.close()


# --- what comes in ---------------------------------------------------------------------------------------------------


def raw(body: bytes, secret: str | None = SECRET, method: str = "POST") -> Raw:
    headers = {} if secret is None else {"x-telegram-bot-api-secret-token": secret}
    return Raw(method, f"{PUBLIC}/webhooks/telegram", headers, "", body)


def message(text: str | None = "hi", chat: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    sender = {"id": ADA, "is_bot": False, "first_name": "Ada", "language_code": "pl"}
    private = {"id": ADA, "type": "private", "first_name": "Ada"}
    what = {"message_id": 1, "date": 1, "chat": chat or private, "from": sender, "text": text, **more}
    return {"update_id": 9, "message": {key: value for key, value in what.items() if value is not None}}


@pytest.fixture
async def hooked() -> AsyncIterator[Telegram]:
    """A channel that is called by webhook, and whose name is not known yet."""
    made = channel_at("http://127.0.0.1:1", TELEGRAM_MODE="webhook", TELEGRAM_WEBHOOK_SECRET=SECRET)
    yield made
    await made.close()


async def test_without_a_secret_or_when_we_poll_there_is_no_route() -> None:
    body = dumped(message())
    for more in ({"TELEGRAM_MODE": "webhook"}, {"TELEGRAM_WEBHOOK_SECRET": SECRET}, {}):
        channel = channel_at("http://127.0.0.1:1", **more)
        assert channel.read(raw(body)) is None
        await channel.close()


async def test_an_update_with_the_secret_is_stored_as_it_came(hooked: Telegram) -> None:
    body = b' {"update_id": 9, "message": {"message_id": 1, "date": 1, "chat": {"id": 42}, "from": {"id": 42}}} '
    arrival = Arrival("123456789:9", "message", "42", body)
    assert hooked.read(raw(body)) == Inbound(200, arrivals=(arrival,))
    assert hooked.read(raw(body)) == Inbound(200, arrivals=(arrival,))  # a replay has the same id: kept once


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (raw(dumped(message()), None), 401),
        (raw(dumped(message()), SECRET[:-1]), 401),
        (raw(dumped(message()), SECRET.upper()), 401),
        (raw(dumped(message()), SECRET + "é"), 401),
        (raw(b"", None, "GET"), 401),
        (raw(b"", method="GET"), 405),
        (raw(b"{"), 400),
        (raw(b"[]"), 400),
        (raw(b'{"message": {}}'), 400),
        (raw(b'{"update_id": true}'), 400),
        (raw(b'{"update_id": "9"}'), 400),
        (raw(b'{"update_id": -1}'), 400),
        (raw(b'{"update_id": 99999999999999999999}'), 400),
        (raw(b"[" * 100_000), 400),
        (raw(dumped(message("x" * 70_000))), 400),
    ],
    ids=range(15),
)
async def test_forged_and_malformed_calls_store_nothing(hooked: Telegram, request_: Raw, status: int) -> None:
    inbound = hooked.read(request_)
    assert inbound is not None
    assert (inbound.status, inbound.arrivals) == (status, ())


async def test_what_a_reply_quotes_is_not_stored_when_it_is_too_long(hooked: Telegram) -> None:
    update = message("/buy", reply_to_message={"text": "ż" * 40_000}, entities=[{"type": "bold"}] * 10)
    inbound = hooked.read(raw(json.dumps(update).encode()))
    assert inbound is not None
    (arrival,) = inbound.arrivals
    assert len(arrival.body) < 1000
    assert (arrival.external_id, arrival.kind, arrival.whose) == ("123456789:9", "message", "42")
    assert hooked.understand(arrival.body) == [Said(WHO, "/buy", "pl")]


GROUP_CHAT = {"id": GROUP, "type": "supergroup", "title": "Room"}


@pytest.mark.parametrize(
    ("update", "means"),
    [
        (message("hello there"), [Said(WHO, "hello there", "pl")]),
        (message("/buy credits-10"), [Said(WHO, "/buy credits-10", "pl")]),
        (message("/buy@Desk_Bot  credits-10"), [Said(WHO, "/buy  credits-10", "pl")]),
        (message("/start l1_tok-en"), [Said(WHO, "/start l1_tok-en", "pl"), Here(WHO)]),
        (message("/start"), [Said(WHO, "/start", "pl"), Here(WHO)]),
        (message("/startle"), [Said(WHO, "/startle", "pl")]),
        (message("a\x00b" + "c" * 5000), [Said(WHO, "ab" + "c" * 3998, "pl")]),
        (message(None, photo=[]), []),
        (message("  "), []),
        (message("hi", **{"from": {"id": 9, "is_bot": True}}), []),
        (message("/buy", GROUP_CHAT), [Said(WHO, "/buy", "pl")]),
        (message("/buy@desk_bot x", GROUP_CHAT), [Said(WHO, "/buy x", "pl")]),
        (message("/start", GROUP_CHAT), [Said(WHO, "/start", "pl")]),
        (message("/whatever@desk_bot", GROUP_CHAT), [Said(WHO, "/whatever", "pl")]),
        (message("/buy@other_bot", GROUP_CHAT), []),
        (message("/ban", GROUP_CHAT), []),
        (message("I want to buy", GROUP_CHAT), []),
        (message(None, {"id": SMALL, "type": "group"}, migrate_to_chat_id=GROUP), [Renumbered(str(SMALL), str(GROUP))]),
        (
            message(None, {"id": GROUP, "type": "supergroup"}, migrate_from_chat_id=SMALL),
            [Renumbered(str(SMALL), str(GROUP))],
        ),
        (message(None, {"id": SMALL, "type": "group"}, migrate_to_chat_id="no number"), []),
        ({"update_id": 1, "edited_message": message("/buy")["message"]}, [Said(WHO, "/buy", "pl", edited=True)]),
        ({"update_id": 1, "edited_message": message("/buy@other_bot", GROUP_CHAT)["message"]}, []),
        ({"update_id": 1, "edited_message": message(None, location={"latitude": 1, "longitude": 2})["message"]}, []),
        ({"update_id": 1, "channel_post": message("/buy")["message"]}, []),
        ({"update_id": 1, "a_kind_of_tomorrow": {"from": {"id": 42}}}, []),
        ({"update_id": 1}, []),
    ],
    ids=range(26),
)
async def test_what_messages_mean(channel: Telegram, update: dict[str, Any], means: list[Any]) -> None:
    await channel.start()
    assert channel.understand(dumped(update)) == means


async def test_what_people_do_means(fake: TelegramFake, channel: Telegram) -> None:
    fake.allowed = set(ALLOWED)
    ben = Address("telegram", str(BEN))

    def means(update: dict[str, Any]) -> Sequence[Any]:
        return channel.understand(dumped(update))

    query = fake.presses(BEN, "/buy vip", GROUP)
    answers = {"callback_query_id": query["callback_query"]["id"]}
    assert means(query) == [Said(ben, "/buy vip", "nl-BE", answers)]
    assert means(fake.blocks(BEN)) == [Away(ben, "they blocked the bot")]
    assert means(fake.blocks(BEN, blocked=False)) == [Here(ben)]
    assert means(fake.asks_in(BEN, GROUP)) == [Asked(ben, str(GROUP))]
    assert means(fake.moves(BEN, GROUP, "member")) == [Here(ben, str(GROUP))]
    assert means(fake.moves(BEN, GROUP, "administrator")) == []
    assert means(fake.moves(BEN, GROUP, "left")) == []
    assert means(fake.moves(BEN, GROUP, "restricted")) == [Here(ben, str(GROUP))]
    assert means(fake.moves(BEN, GROUP, "kicked")) == []
    assert means(fake.bot_becomes(GROUP, "kicked")) == []
    assert means(fake.bot_becomes(GROUP, "administrator", can_invite_users=True)) == [Mended(str(GROUP))]


async def test_the_arrival_of_a_member_is_the_members(hooked: Telegram) -> None:
    change = {"chat": GROUP_CHAT, "from": {"id": 5, "is_bot": False}, "date": 1, "old_chat_member": {}}
    for member, whose in (({"id": 6, "is_bot": False}, "6"), ({"id": 7, "is_bot": True}, "5")):
        update = {"update_id": 1, "chat_member": {**change, "new_chat_member": {"user": member, "status": "member"}}}
        inbound = hooked.read(raw(dumped(update)))
        assert inbound is not None
        assert inbound.arrivals[0].whose == whose


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "from", "chat", "type", "text", "new_chat_member", "user"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
OFFLINE = channel_at("http://127.0.0.1:1", TELEGRAM_MODE="webhook", TELEGRAM_WEBHOOK_SECRET=SECRET)


@given(kind=st.sampled_from([*ALLOWED, "edited_message", "update_id"]), what=JSON, whole=st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_shape_of_an_update_is_an_error(kind: str, what: Any, whole: bool) -> None:
    body = dumped({"update_id": 1, kind: what} if whole else what)
    inbound = OFFLINE.read(raw(body))
    assert inbound is not None
    assert inbound.status in (200, 400)
    assert isinstance(OFFLINE.understand(body), list)


class Door(Fake):
    """A public address: hands what comes to the channel, and answers as it says."""

    def __init__(self, channel: Telegram) -> None:
        super().__init__()
        self.channel = channel
        self.arrivals: list[Arrival] = []

    async def handle(self, asked: HttpRequest) -> Told:
        inbound = self.channel.read(Raw(asked.method, self.url, asked.headers, asked.query, asked.body))
        assert inbound is not None
        self.arrivals += inbound.arrivals
        return Told(inbound.status)


async def test_updates_come_by_webhook_and_again_until_they_are_taken(fake: TelegramFake, hooked: Telegram) -> None:
    with Door(hooked) as door:
        fake.setWebhook({"url": f"{door.url}/webhooks/telegram", "secret_token": SECRET, "allowed_updates": ALLOWED})
        door.fail_next("POST /webhooks/telegram", 503)
        update = fake.says(ADA, "/buy")
        await until(lambda: door.arrivals)
        assert door.arrivals[0].external_id == f"123456789:{update['update_id']}"
        assert len(door.requests) == 2
        assert door.complaints == []


# --- polling ---------------------------------------------------------------------------------------------------------


async def test_a_batch_is_forgotten_only_when_it_is_kept(fake: TelegramFake, channel: Telegram) -> None:
    kept = Kept()
    kept.gate.clear()
    polling = asyncio.create_task(channel.poll(kept))
    await until(lambda: fake.allowed)
    first = fake.asked("getUpdates")[0]
    assert first == {"timeout": 25, "allowed_updates": ALLOWED}
    one, two = fake.says(ADA, "/buy"), fake.moves(BEN, GROUP, "member")
    await asyncio.sleep(0.2)
    assert len(fake.asked("getUpdates")) == 1  # nothing more is asked for until the first batch is durable
    kept.gate.set()
    await until(lambda: len(kept.arrivals) == 2)
    assert [arrival.external_id for arrival in kept.arrivals] == [f"123456789:{u['update_id']}" for u in (one, two)]
    assert [(arrival.kind, arrival.whose) for arrival in kept.arrivals] == [
        ("message", "42"),
        ("chat_member", str(BEN)),
    ]
    await until(lambda: fake.asked("getUpdates")[-1].get("offset") == two["update_id"] + 1 and not fake.waiting)
    polling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await polling


async def test_what_could_not_be_kept_comes_again(fake: TelegramFake, channel: Telegram) -> None:
    async def failing(arrivals: Sequence[Arrival]) -> None:
        raise OSError("the database is away")

    update = fake.says(ADA, "/buy")
    with pytest.raises(OSError, match="away"):
        await channel.poll(failing)
    kept = Kept()
    polling = asyncio.create_task(channel.poll(kept))
    await until(lambda: kept.arrivals)
    assert kept.arrivals[0].external_id == f"123456789:{update['update_id']}"
    polling.cancel()


@pytest.mark.parametrize("trouble", ["cut", "broken", "flood", "no json"])
async def test_polling_outlives_troubles(fake: TelegramFake, channel: Telegram, trouble: str) -> None:
    flood = {"ok": False, "description": "Too Many Requests", "parameters": {"retry_after": 0}}
    orders: dict[str, Callable[[], None]] = {
        "cut": lambda: fake.cut_next("getUpdates", done=False),
        "broken": lambda: fake.fail_next("getUpdates", 502, b"<html>"),
        "flood": lambda: fake.fail_next("getUpdates", 429, flood),
        "no json": lambda: fake.fail_next("getUpdates", 200, b"<html>"),
    }
    orders[trouble]()
    kept = Kept()
    polling = asyncio.create_task(channel.poll(kept))
    fake.says(ADA, "/buy")
    await until(lambda: kept.arrivals)
    assert len(fake.requests) >= 2
    polling.cancel()


async def test_a_second_poller_and_a_webhook_stop_polling(fake: TelegramFake, channel: Telegram) -> None:
    polling = asyncio.create_task(channel.poll(Kept()))
    await until(lambda: fake.asked("getUpdates"))
    rival = channel_at(fake.url)
    rivaling = asyncio.create_task(rival.poll(Kept()))
    with pytest.raises(Misconfigured, match="other getUpdates") as caught:
        await polling
    assert (caught.value.resource, caught.value.rule) == ("*", "tg-409-conflict")
    assert "another program" in caught.value.mend
    fake.webhook = {**fake.webhook, "url": "https://elsewhere.example/hook"}
    with pytest.raises(Misconfigured, match="webhook is active") as caught:
        await rivaling
    assert "check --fix" in caught.value.mend
    await rival.close()


async def test_in_webhook_mode_nothing_is_polled(hooked: Telegram) -> None:
    await hooked.poll(Kept())


# --- set-up ----------------------------------------------------------------------------------------------------------


async def test_at_start_the_menu_is_shown_in_every_language(fake: TelegramFake, channel: Telegram) -> None:
    fake.webhook = {**fake.webhook, "url": "https://elsewhere.example/hook"}
    await channel.start()
    assert set(fake.commands) == {"", "pl", "nl"}
    assert [command["command"] for command in fake.commands["pl"]] == list(texts.COMMANDS["en"])
    assert fake.commands["nl"][0]["description"] == "Bekijk het aanbod en koop"
    assert all(1 <= len(c["description"]) <= 256 for menu in fake.commands.values() for c in menu)
    assert fake.webhook["url"] == "https://elsewhere.example/hook"  # nobody's webhook is removed without a word


async def test_the_webhook_is_set_when_it_differs_and_updates_come(fake: TelegramFake, pad: Pad) -> None:
    hook = {"TELEGRAM_MODE": "webhook", "TELEGRAM_WEBHOOK_SECRET": SECRET}
    channel = channel_at(fake.url, pad, **hook)
    await channel.start()
    await channel.start()
    expected = {"url": f"{PUBLIC}/webhooks/telegram", "secret_token": SECRET, "allowed_updates": ALLOWED}
    assert fake.asked("setWebhook") == [expected]
    rotated = channel_at(fake.url, pad, **{**hook, "TELEGRAM_WEBHOOK_SECRET": SECRET + "2"})
    await rotated.start()
    assert fake.secret == SECRET + "2"
    assert SECRET not in str(pad.noted)
    open_ = channel_at(fake.url, pad, TELEGRAM_MODE="webhook")
    await open_.start()  # without a secret nothing is set: the route is closed
    assert len(fake.asked("setWebhook")) == 2
    for made in (channel, rotated, open_):
        await made.close()


SPACES: dict[str, set[str]] = {str(GROUP): {""}}


async def test_the_check_finds_what_is_wrong_and_says_what_mends_it(fake: TelegramFake, channel: Telegram) -> None:
    async def wrong(spaces: dict[str, set[str]] = SPACES, *, fix: bool = False) -> list[str]:
        found = await channel.preflight(spaces, fix=fix)
        assert all(finding.ok or finding.mend for finding in found)
        return [f"{finding.seen} → {finding.mend}" for finding in found if not finding.ok]

    assert await wrong() == []
    assert len(await channel.preflight(SPACES, fix=False)) == 4
    fake.webhook = {**fake.webhook, "url": "https://elsewhere.example/hook"}
    (told,) = await wrong()
    assert "elsewhere.example" in told
    assert "--fix" in told
    assert await wrong(fix=True) == []
    assert fake.webhook["url"] == ""
    fake.bot_becomes(GROUP, "administrator", can_invite_users=True)
    (told,) = await wrong()
    assert "may not “Ban users”" in told
    fake.bot_becomes(GROUP, "member")
    (told,) = await wrong()
    assert "make the bot administrator" in told
    fake.bot_becomes(GROUP, "kicked")
    assert len(await wrong()) == 2  # it is the admins' chat, too
    fake.room(GROUP)["username"] = "room"
    assert any(f'write space = "{GROUP}"' in told for told in await wrong({"@room": {""}}))
    assert any("no number" in told for told in await wrong({"@nobody": {""}}))
    assert any("no roles" in told for told in await wrong({str(GROUP): {"", "vip"}}))


async def test_the_check_makes_a_new_link_for_one_that_was_revoked(
    fake: TelegramFake, channel: Telegram, pad: Pad
) -> None:
    await channel.deliver(grant(), None)
    assert all(finding.ok for finding in await channel.preflight(SPACES, fix=True))
    (link,) = fake.links
    fake.links[link][1]["is_revoked"] = True
    assert [f.ok for f in await channel.preflight(SPACES, fix=False)].count(False) == 1
    assert all(finding.ok for finding in await channel.preflight(SPACES, fix=True))
    assert pad.noted[f"link:{GROUP}"]["url"] != link
    assert all(finding.ok for finding in await channel.preflight(SPACES, fix=False))


async def test_the_check_looks_at_the_webhook_and_the_token(fake: TelegramFake, pad: Pad) -> None:
    async def seen(*, fix: bool = False, **more: str) -> list[str]:
        channel = channel_at(fake.url, pad, TELEGRAM_MODE="webhook", **more)
        found = await channel.preflight({}, fix=fix)
        await channel.close()
        return [finding.seen for finding in found if not finding.ok]

    assert await seen() == ["TELEGRAM_WEBHOOK_SECRET is not set: nothing comes in"]
    assert await seen(TELEGRAM_WEBHOOK_SECRET=SECRET) == ["no webhook is set"]
    assert await seen(TELEGRAM_WEBHOOK_SECRET=SECRET, fix=True) == []
    assert await seen(TELEGRAM_WEBHOOK_SECRET="short") == ["TELEGRAM_WEBHOOK_SECRET can be guessed"]
    fake.webhook |= {"pending_update_count": 3, "last_error_message": "Connection refused"}
    assert await seen(TELEGRAM_WEBHOOK_SECRET=SECRET) == ["3 updates wait, the last failure was: Connection refused"]
    fake.fail_next("getMe", 401, {"ok": False, "error_code": 401, "description": "Unauthorized"})
    assert await seen(TELEGRAM_WEBHOOK_SECRET=SECRET) == ["401: Unauthorized"]
    fake.fail_next(
        "setWebhook", 400, {"ok": False, "error_code": 400, "description": "Bad Request: bad webhook: An HTTPS URL"}
    )
    fake.webhook["url"] = ""
    assert await seen(TELEGRAM_WEBHOOK_SECRET=SECRET, fix=True) == ["400: Bad Request: bad webhook: An HTTPS URL"]
