"""Every failure of the list, Telegram's rows: what Telegram answers, and which error of the contract that is."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fakes.telegram import TOKEN, TelegramFake
from paydesk.channels.base import (
    Action,
    Address,
    DeliveryError,
    Edit,
    Gone,
    Misconfigured,
    Moved,
    NeedsUser,
    Receipt,
    Refused,
    RetryLater,
    Revoke,
    Unknown,
)
from paydesk.channels.telegram import Telegram
from telegram_fixtures import (
    ADA,
    BEN,
    GROUP,
    SMALL,
    WHO,
    channel,
    channel_at,
    fake,
    grant,
    pad,
    revoke,
    running,
    send,
)

RULES = json.loads((Path(__file__).parent / "specs" / "channel-failure-cases.json").read_text())["rules"]

Call = tuple[Action, str]
"""An action, and the method that fails while it is carried out."""

EDIT: Call = (Edit("e1", WHO, "new", (), 1), "editMessageText")
LAST = Receipt({"message_id": 5, "chat_id": ADA})
SEND: Call = (send(), "sendMessage")
TELL_ADMINS: Call = (send(to=Address("telegram", str(GROUP))), "sendMessage")
PRESS: Call = (send(answers={"callback_query_id": "q"}), "answerCallbackQuery")
APPROVE: Call = (grant(), "approveChatJoinRequest")
APPROVE_SMALL: Call = (grant(space=SMALL), "approveChatJoinRequest")
LINK: Call = (grant(), "createChatInviteLink")
LOOK: Call = (revoke(), "getChatMember")
REMOVE: Call = (revoke(), "unbanChatMember")

THERE, ALL = {"resource": str(GROUP)}, {"resource": "*"}
ONCE, AGAIN = {"repeatable": False}, {"repeatable": True}
ALIVE, DEAD = {"for_ever": False}, {"for_ever": True}
DONE, UNDONE = {"done": True}, {"done": False}
MOVED = {"old": str(SMALL), "new": str(GROUP)}
PREFIX = {400: "Bad Request: ", 403: "Forbidden: "}
PARAMETERS = {"tg-429-flood": {"retry_after": 7}, "tg-400-migrated": {"migrate_to_chat_id": GROUP}}


@dataclass(frozen=True)
class Case:
    """A row of the failure list, how Telegram says it, and what we make of it: success without an error.

    `has` are fields of the error.
    """

    rule: str
    call: Call
    status: int
    says: str
    becomes: type[DeliveryError] | None
    has: dict[str, Any] = field(default_factory=dict)


CASES = [
    Case(
        "tg-429-flood", SEND, 429, "Too Many Requests: retry after 7", RetryLater, {"counted": False, "everyone": False}
    ),
    Case("tg-500", SEND, 500, "Internal Server Error", Unknown, ONCE),
    Case("tg-500", APPROVE, 500, "Internal Server Error", Unknown, AGAIN),
    Case("tg-502", SEND, 502, "Bad Gateway", Unknown, ONCE),
    Case("tg-502", EDIT, 502, "Bad Gateway", Unknown, AGAIN),
    Case("tg-502", SEND, 503, "Service Unavailable", Unknown, ONCE),
    Case("tg-403-blocked", SEND, 403, "bot was blocked by the user", NeedsUser, ALIVE),
    Case("tg-403-never-started", SEND, 403, "bot can't initiate conversation with a user", NeedsUser, ALIVE),
    Case("tg-403-deactivated", SEND, 403, "user is deactivated", NeedsUser, DEAD),
    Case("tg-403-kicked", TELL_ADMINS, 403, "bot was kicked from the supergroup chat", Misconfigured, THERE),
    Case("tg-403-kicked", APPROVE, 403, "bot was kicked from the channel chat", Misconfigured, THERE),
    Case("tg-403-not-member", LOOK, 403, "bot is not a member of the channel chat", Misconfigured, THERE),
    Case("tg-403-group-deleted", TELL_ADMINS, 403, "the group chat was deleted", Misconfigured, THERE),
    Case("tg-400-chat-not-found", SEND, 400, "chat not found", NeedsUser, ALIVE),
    Case("tg-400-chat-not-found", TELL_ADMINS, 400, "chat not found", Misconfigured, THERE),
    Case("tg-400-migrated", APPROVE_SMALL, 400, "group chat was upgraded to a supergroup chat", Moved, MOVED),
    Case("tg-400-no-rights", REMOVE, 400, "not enough rights to restrict/unrestrict chat member", Misconfigured, THERE),
    Case("tg-400-no-rights", LINK, 400, "not enough rights to manage chat invite link", Misconfigured, THERE),
    Case("tg-400-admin-required", LOOK, 400, "CHAT_ADMIN_REQUIRED", Misconfigured, THERE),
    Case("tg-400-target-admin", REMOVE, 400, "user is an administrator of the chat", Refused, DONE),
    Case("tg-400-target-owner", REMOVE, 400, "can't remove chat owner", Refused, DONE),
    Case(
        "tg-400-participant-invalid",
        REMOVE,
        400,
        "PARTICIPANT_ID_INVALID",
        RetryLater,
        {"after_s": 1200.0, "counted": True},
    ),
    Case("tg-400-not-participant", REMOVE, 400, "USER_NOT_PARTICIPANT", None),
    Case("tg-400-requester-missing", APPROVE, 400, "HIDE_REQUESTER_MISSING", None),
    Case("tg-400-already-participant", APPROVE, 400, "USER_ALREADY_PARTICIPANT", None),
    Case("tg-400-not-modified", EDIT, 400, "message is not modified: specified new message content", None),
    Case("tg-400-query-too-old", PRESS, 400, "query is too old and response timeout expired", None),
    Case("tg-400-bad-entities", SEND, 400, "can't parse entities: unsupported start tag", Refused, UNDONE),
    Case("tg-401", SEND, 401, "Unauthorized", Misconfigured, ALL),
    Case("tg-401", LOOK, 401, "Unauthorized", Misconfigured, ALL),
    Case("tg-404", SEND, 404, "Not Found", Misconfigured, ALL),
    Case("tg-400-edit-gone", EDIT, 400, "message to edit not found", Gone),
    Case("tg-400-edit-gone", EDIT, 400, "message can't be edited", Gone),
    Case("tg-4xx", SEND, 400, "BUTTON_URL_INVALID", Refused, UNDONE),
]
ELSEWHERE = {"tg-not-sent", "tg-unknown-outcome", "tg-409-conflict"}
"""Rows that have a test of their own: nothing is answered, or only a poll is."""


TABLES = {
    "telegram": "telegram_failures", "discord": "discord", "chatwoot": "chatwoot", "sms_twilio": "sms",
    "webhook_out": "webhook", "caldav": "calendar",
}  # fmt: skip
"""Which module has the table of each platform's rows; each looks whether it has them all."""


def test_every_platform_of_the_list_has_a_table() -> None:
    assert {rule["channel"] for rule in RULES} == set(TABLES)
    assert len(RULES) == len({rule["id"] for rule in RULES}) == 76
    for platform, module in TABLES.items():
        source = (Path(__file__).parent / f"test_channel_{module}.py").read_text(encoding="utf-8")
        assert "channel-failure-cases.json" in source
        assert f'["channel"] == "{platform}"' in source


def test_every_row_of_the_list_has_a_case() -> None:
    rows = {rule["id"] for rule in RULES if rule["channel"] == "telegram"}
    assert len(rows) > 20
    assert rows == {case.rule for case in CASES} - {"tg-400-edit-gone", "tg-4xx"} | ELSEWHERE


@pytest.mark.parametrize("case", CASES, ids=[f"{number}-{case.rule}" for number, case in enumerate(CASES)])
async def test_a_failure_becomes_what_the_list_says(fake: TelegramFake, channel: Telegram, case: Case) -> None:
    action, method = case.call
    if isinstance(action, Revoke):
        fake.moves(ADA, GROUP, "member")
    body = {"ok": False, "error_code": case.status, "description": PREFIX.get(case.status, "") + case.says}
    body |= {"parameters": PARAMETERS[case.rule]} if case.rule in PARAMETERS else {}
    fake.fail_next(method, case.status, body)
    if case.becomes is None:
        assert isinstance(await channel.deliver(action, LAST), Receipt)
    else:
        with pytest.raises(case.becomes) as caught:
            await channel.deliver(action, LAST)
        error = caught.value
        assert error.rule == case.rule
        assert {name: getattr(error, name) for name in case.has} == case.has
        assert TOKEN not in f"{error!r} {error.__cause__!r} {vars(error)}"
        assert getattr(error, "mend", "nothing to mend")
        assert bool(getattr(error, "tell", None)) is isinstance(error, Refused)
    assert fake.asked(method) == []  # the one that failed was the only one: nothing is repeated here


async def test_a_flood_is_the_chats_until_two_rest_at_once(fake: TelegramFake, channel: Telegram) -> None:
    async def flooded(chat: int) -> RetryLater:
        body = {"ok": False, "description": "Too Many Requests", "parameters": {"retry_after": 7}}
        fake.fail_next("sendMessage", 429, body)
        with pytest.raises(RetryLater) as caught:
            await channel.deliver(send(to=Address("telegram", str(chat))), None)
        return caught.value

    first, same, other = [await flooded(chat) for chat in (ADA, ADA, BEN)]
    assert [limit.everyone for limit in (first, same, other)] == [False, False, True]
    assert all(limit.after_s is not None and 7 < limit.after_s <= 8 for limit in (first, same, other))


async def test_a_spurious_refusal_is_believed_the_fourth_time(fake: TelegramFake, channel: Telegram) -> None:
    for _ in range(3):
        with pytest.raises(RetryLater):
            await channel.deliver(revoke(person=123), None)
    assert await channel.deliver(revoke(person=123), None) == Receipt({"inside": False})
    assert (
        "tell" in (await channel.deliver(grant(person=123), None)).data
    )  # who was never there is sent the link at once


async def test_what_was_not_sent_and_what_may_have_arrived_are_told_apart(
    fake: TelegramFake, channel: Telegram
) -> None:
    nobody = channel_at("http://127.0.0.1:9")
    with pytest.raises(RetryLater) as unsent:
        await nobody.deliver(send(), None)
    assert (unsent.value.rule, unsent.value.counted) == ("tg-not-sent", True)
    await nobody.close()
    fake.cut_next("sendMessage")
    with pytest.raises(Unknown) as unknown:
        await channel.deliver(send("did it arrive?"), None)
    assert (unknown.value.rule, unknown.value.repeatable) == ("tg-unknown-outcome", False)
    assert [message["text"] for message in fake.said_to(ADA)] == ["did it arrive?"]
    fake.asks_in(ADA, GROUP)
    fake.cut_next("approveChatJoinRequest")
    with pytest.raises(Unknown) as unknown:
        await channel.deliver(grant(), None)
    assert (unknown.value.rule, unknown.value.repeatable) == ("tg-unknown-outcome", True)
    assert await channel.deliver(grant(), None) == Receipt({"inside": True})


@pytest.mark.parametrize(("status", "becomes"), [(403, RetryLater), (302, RetryLater), (200, Unknown), (599, Unknown)])
async def test_what_is_not_telegrams_answer_is_not_taken_for_one(
    fake: TelegramFake, channel: Telegram, status: int, becomes: type[DeliveryError]
) -> None:
    fake.fail_next("sendMessage", status, b"<html>blocked by your company</html>")
    with pytest.raises(becomes):
        await channel.deliver(send(), None)


async def test_the_token_is_in_no_log(fake: TelegramFake, channel: Telegram, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")  # it logs addresses, if it is let
    await channel.start()
    await channel.deliver(send(), None)
    fake.cut_next("sendMessage")
    with pytest.raises(Unknown):
        await channel.deliver(send(), None)
    assert "sendMessage" in caplog.text
    assert TOKEN.partition(":")[2] not in caplog.text
