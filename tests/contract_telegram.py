"""The played Telegram is honest: python-telegram-bot and aiogram drive it unchanged, and what is wrong is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiogram
import httpx
import pytest
import telegram
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.types import BotCommand as AiogramCommand
from aiogram.types import InlineKeyboardButton as AiogramButton
from aiogram.types import InlineKeyboardMarkup as AiogramKeyboard
from aiogram.types import LabeledPrice as AiogramPrice
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TimedOut,
)

from fakes.telegram import TOKEN, TelegramFake

pytestmark = pytest.mark.filterwarnings("ignore:.*timedelta:telegram.warnings.PTBDeprecationWarning")

ADA, BEN, GROUP = 42, 2**40 + 7, -1001234567890
KINDS = ["message", "callback_query", "my_chat_member", "chat_member", "chat_join_request", "pre_checkout_query"]


@pytest.fixture
def fake() -> Iterator[TelegramFake]:
    with TelegramFake() as running:
        running.person(ADA)
        running.person(BEN, "Ben", "pl", "stranger")
        running.room(GROUP)
        yield running


@pytest.fixture
async def ptb(fake: TelegramFake) -> AsyncIterator[telegram.Bot]:
    async with telegram.Bot(TOKEN, base_url=f"{fake.url}/bot") as bot:
        yield bot


@pytest.fixture
async def aio(fake: TelegramFake) -> AsyncIterator[aiogram.Bot]:
    session = AiohttpSession(api=TelegramAPIServer.from_base(fake.url), timeout=5)
    bot = aiogram.Bot(TOKEN, session=session)
    yield bot
    await session.close()


async def test_python_telegram_bot_talks_lets_in_and_sells(fake: TelegramFake, ptb: telegram.Bot) -> None:
    assert ptb.username == "desk_bot"
    keys = [
        [telegram.InlineKeyboardButton("Pay", url="https://pay.example/r/1")],
        [telegram.InlineKeyboardButton("Buy", callback_data="/buy")],
    ]
    sent = await ptb.send_message(ADA, "hello", reply_markup=telegram.InlineKeyboardMarkup(keys))
    edited = await ptb.edit_message_text("bye", ADA, sent.message_id)
    assert isinstance(edited, telegram.Message)
    assert (edited.text, edited.reply_markup) == ("bye", None)
    fake.presses(ADA, "/buy")
    (update,) = await ptb.get_updates(timeout=2, allowed_updates=KINDS)
    assert update.callback_query is not None
    assert await ptb.answer_callback_query(update.callback_query.id)
    assert await ptb.set_my_commands([telegram.BotCommand("buy", "Buy")], language_code="nl")
    link = await ptb.create_chat_invite_link(GROUP, creates_join_request=True, name="Desk")
    assert (await ptb.edit_chat_invite_link(GROUP, link, creates_join_request=True)).creates_join_request
    fake.asks_in(ADA, GROUP)
    update = (await ptb.get_updates(offset=update.update_id + 1, timeout=2))[0]
    assert update.chat_join_request is not None
    assert await update.chat_join_request.approve()
    assert (await ptb.get_chat_member(GROUP, ADA)).status == "member"
    assert await ptb.unban_chat_member(GROUP, ADA)
    assert (await ptb.get_chat_member(GROUP, ADA)).status == "left"
    changes = await ptb.get_updates(offset=update.update_id + 1, timeout=2)
    assert [change.chat_member.new_chat_member.status for change in changes if change.chat_member] == ["member", "left"]
    assert (await ptb.get_chat(GROUP)).type == "supergroup"
    assert (await ptb.revoke_chat_invite_link(GROUP, link)).is_revoked
    invoice = await ptb.send_invoice(ADA, "Ten", "Ten credits", "ord_1", "XTR", [telegram.LabeledPrice("Ten", 50)])
    fake.pays(ADA, invoice.message_id)
    update = (await ptb.get_updates(offset=changes[-1].update_id + 1, timeout=2))[0]
    assert update.pre_checkout_query is not None
    assert await update.pre_checkout_query.answer(ok=True)
    paid = (await ptb.get_updates(offset=update.update_id + 1, timeout=2))[0]
    assert paid.message is not None
    assert paid.message.successful_payment is not None
    assert await ptb.refund_star_payment(ADA, paid.message.successful_payment.telegram_payment_charge_id)
    assert await ptb.set_webhook("https://desk.example/webhooks/telegram", secret_token="abc", allowed_updates=KINDS)
    assert (await ptb.get_webhook_info()).allowed_updates == tuple(KINDS)
    assert await ptb.delete_webhook()
    assert fake.complaints == []


async def test_aiogram_talks_lets_in_and_sells(fake: TelegramFake, aio: aiogram.Bot) -> None:
    assert (await aio.me()).username == "desk_bot"
    keys = [
        [AiogramButton(text="Pay", url="https://pay.example/r/1")],
        [AiogramButton(text="Buy", callback_data="/buy")],
    ]
    sent = await aio.send_message(ADA, "hello", reply_markup=AiogramKeyboard(inline_keyboard=keys))
    edited = await aio.edit_message_text("bye", chat_id=ADA, message_id=sent.message_id)
    assert isinstance(edited, aiogram.types.Message)
    assert (edited.text, edited.reply_markup) == ("bye", None)
    fake.presses(ADA, "/buy")
    (update,) = await aio.get_updates(timeout=2, allowed_updates=KINDS)
    assert update.callback_query is not None
    assert await aio.answer_callback_query(update.callback_query.id)
    assert await aio.set_my_commands([AiogramCommand(command="buy", description="Buy")], language_code="pl")
    link = await aio.create_chat_invite_link(GROUP, creates_join_request=True)
    fake.asks_in(ADA, GROUP)
    update = (await aio.get_updates(offset=update.update_id + 1, timeout=2))[0]
    assert update.chat_join_request is not None
    assert await aio.decline_chat_join_request(GROUP, ADA)
    fake.asks_in(ADA, GROUP)
    assert await aio.approve_chat_join_request(GROUP, ADA)
    assert (await aio.get_chat_member(GROUP, ADA)).status == "member"
    assert await aio.ban_chat_member(GROUP, ADA)
    assert (await aio.get_chat_member(GROUP, ADA)).status == "kicked"
    assert (await aio.revoke_chat_invite_link(GROUP, link.invite_link)).is_revoked
    fake.blocks(ADA)
    fake.blocks(ADA, blocked=False)
    changes = (await aio.get_updates(offset=update.update_id + 1, timeout=2))[-2:]
    assert [change.my_chat_member.new_chat_member.status for change in changes if change.my_chat_member] == [
        "kicked",
        "member",
    ]
    invoice = await aio.send_invoice(ADA, "Ten", "Ten credits", "ord_1", "XTR", [AiogramPrice(label="Ten", amount=50)])
    fake.pays(ADA, invoice.message_id)
    update = (await aio.get_updates(offset=changes[-1].update_id + 1, timeout=2))[0]
    assert update.pre_checkout_query is not None
    assert await aio.answer_pre_checkout_query(update.pre_checkout_query.id, ok=True)
    paid = (await aio.get_updates(offset=update.update_id + 1, timeout=2))[0]
    assert paid.message is not None
    assert paid.message.successful_payment is not None
    assert await aio.refund_star_payment(ADA, paid.message.successful_payment.telegram_payment_charge_id)
    assert (await aio.get_chat(GROUP)).type == "supergroup"
    assert await aio.set_webhook("https://desk.example/webhooks/telegram", secret_token="abc")
    assert (await aio.get_webhook_info()).url == "https://desk.example/webhooks/telegram"
    assert await aio.delete_webhook()
    assert fake.complaints == []


REFUSALS: dict[str, tuple[int, str, dict[str, int], type[Exception], type[Exception]]] = {
    "flood": (429, "Too Many Requests: retry after 7", {"retry_after": 7}, RetryAfter, TelegramRetryAfter),
    "blocked": (403, "Forbidden: bot was blocked by the user", {}, Forbidden, TelegramForbiddenError),
    "migrated": (400, "Bad Request: upgraded", {"migrate_to_chat_id": -1005}, ChatMigrated, TelegramMigrateToChat),
    "unreadable": (400, "Bad Request: message text is empty", {}, BadRequest, TelegramBadRequest),
    "token": (401, "Unauthorized", {}, InvalidToken, TelegramUnauthorizedError),
    "conflict": (409, "Conflict: terminated by other getUpdates request", {}, Conflict, TelegramConflictError),
    "broken": (500, "Internal Server Error", {}, NetworkError, TelegramServerError),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_both_clients_understand_the_refusals_that_tests_order(
    fake: TelegramFake, ptb: telegram.Bot, aio: aiogram.Bot, case: str
) -> None:
    status, description, parameters, of_ptb, of_aiogram = REFUSALS[case]
    answer = {"ok": False, "error_code": status, "description": description}
    answer |= {"parameters": parameters} if parameters else {}
    fake.fail_next("sendMessage", status, answer, times=2)
    with pytest.raises(of_ptb):
        await ptb.send_message(ADA, "hello")
    with pytest.raises(of_aiogram):
        await aio.send_message(ADA, "hello")
    assert fake.said_to(ADA) == []


async def test_both_clients_see_the_state_that_the_fake_keeps(
    fake: TelegramFake, ptb: telegram.Bot, aio: aiogram.Bot
) -> None:
    with pytest.raises(Forbidden, match="can't initiate"):
        await ptb.send_message(BEN, "hello")
    fake.blocks(ADA)
    with pytest.raises(TelegramForbiddenError, match="blocked"):
        await aio.send_message(ADA, "hello")
    with pytest.raises(BadRequest, match=r"(?i)hide_requester_missing"):
        await ptb.approve_chat_join_request(GROUP, ADA)
    fake.bot_becomes(GROUP, "administrator", can_invite_users=True)
    with pytest.raises(TelegramBadRequest, match="not enough rights"):
        await aio.ban_chat_member(GROUP, ADA)
    fake.bot_becomes(GROUP, "kicked")
    with pytest.raises(Forbidden, match="kicked"):
        await ptb.send_message(GROUP, "hello")
    fake.cut_next("sendMessage")
    fake.blocks(ADA, blocked=False)
    with pytest.raises(TelegramNetworkError):
        await aio.send_message(ADA, "it may have arrived")
    assert [message["text"] for message in fake.said_to(ADA)] == ["it may have arrived"]
    fake.slow_next("sendMessage", 2)
    with pytest.raises(TimedOut):
        await ptb.send_message(ADA, "slow", read_timeout=0.2)
    assert fake.complaints == []


def says(text: Any, /, **button: str) -> tuple[str, dict[str, Any]]:
    """A message, with a button."""
    markup = {"reply_markup": {"inline_keyboard": [[button]]}} if button else {}
    return "sendMessage", {"chat_id": ADA, "text": text, **markup}


STARS = {
    "title": "a",
    "description": "a",
    "payload": "a",
    "currency": "XTR",
    "prices": [{"label": "a", "amount": 1}] * 2,
}

WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "no chat_id": ("sendMessage", {"text": "a"}),
    "text as number": says(5),
    "empty text": says(" \n"),
    "text too long by one emoji": says("a" * 4095 + "😀"),
    "button without text": says("a", url="https://a.b"),
    "button data of 66 bytes": says("a", text="a", callback_data="ż" * 33),
    "button to a host without a dot": says("a", text="a", url="http://localhost/r"),
    "button that does two things": says("a", text="a", url="https://a.b", callback_data="a"),
    "unknown parameter": ("sendMessage", {"chat_id": ADA, "text": "a", "nonce": "1"}),
    "member_limit as text": ("createChatInviteLink", {"chat_id": GROUP, "member_limit": "1"}),
    "limit with requests": (
        "createChatInviteLink",
        {"chat_id": GROUP, "member_limit": 1, "creates_join_request": True},
    ),
    "ban without user": ("banChatMember", {"chat_id": GROUP}),
    "secret with a space": ("setWebhook", {"url": "https://a.b", "secret_token": "a b"}),
    "two prices in Stars": ("sendInvoice", {"chat_id": ADA, **STARS}),
    "unknown method": ("sendMoney", {"chat_id": ADA}),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_description_does_not_allow_is_refused_and_told(fake: TelegramFake, case: str) -> None:
    method, parameters = WRONG[case]
    answer = httpx.post(f"{fake.url}/bot{TOKEN}/{method}", json=parameters)
    assert answer.status_code == (404 if case == "unknown method" else 400)
    assert answer.json()["ok"] is False
    assert len(fake.complaints) == 1
    assert fake.messages == {}


def test_a_strange_token_is_told_apart_from_a_strange_method(fake: TelegramFake) -> None:
    assert httpx.post(f"{fake.url}/bot1:x/getMe").json()["error_code"] == 401
    assert httpx.get(f"{fake.url}/bot{TOKEN}/getMe").json()["result"]["username"] == "desk_bot"
