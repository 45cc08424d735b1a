"""A Telegram bot with aiogram that already did something, and now sells credits for it.

pip install paydesk aiogram
TELEGRAM_BOT_TOKEN=… PAYDESK_URL=https://pay.example.com PAYDESK_API_KEY=pdk_… python bot_aiogram.py
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path

from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramAPIError, TelegramForbiddenError
from aiogram.filters import Command
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message, User

from paydesk import AsyncPaymentManager
from paydesk.errors import InsufficientCredits, NotFound, PaydeskError
from paydesk.library_shapes import Button

ASKED = Command(
    "start",
    "buy",
    "balance",
    "status",
    "history",
    "billing",
    "plan",
    "cancel",
    "keep",
    "support",
    "terms",
    "lang",
    "help",
)
MARK = "pay:"  # how the buttons of the pay desk are told from your own
LATER = Path(os.environ.get("BOT_STATE", "bot_state.json"))  # who is told later messages, and which was the last

log = logging.getLogger("bot")
payments = AsyncPaymentManager()
dispatcher = Dispatcher()
dispatcher.message.filter(F.chat.type == "private")  # what somebody has is nobody else's business
last_told: dict[str, int] = json.loads(LATER.read_text()) if LATER.exists() else {}


@dispatcher.message(Command("draw"))
async def draw(message: Message, bot: Bot) -> None:
    """What this bot does: it costs a credit."""
    person = message.chat.id
    try:
        await payments.spend(("telegram", person), 1, reason="a picture", idempotency_key=f"draw:{message.message_id}")
    except (InsufficientCredits, NotFound):
        await ask(bot, person, "/buy", message.from_user, f"more:{message.message_id}")
    else:
        await message.answer("( •_•)")


@dispatcher.message(ASKED)
async def command(message: Message, bot: Bot) -> None:
    """What is said to the pay desk."""
    await ask(bot, message.chat.id, message.text or "", message.from_user, f"said:{message.message_id}")


@dispatcher.callback_query(F.data.startswith(MARK))
async def press(query: CallbackQuery, bot: Bot) -> None:
    """A button of the pay desk: as if its command had been typed."""
    await query.answer()
    await ask(bot, query.from_user.id, (query.data or "").removeprefix(MARK), query.from_user, f"pressed:{query.id}")


async def ask(bot: Bot, person: int, text: str, user: User | None, key: str) -> None:
    """Pass on what somebody said, once, and show the answers."""
    last_told.setdefault(str(person), 0)
    language = user.language_code if user is not None else None
    try:
        replies = await payments.say("telegram", person, text, language, idempotency_key=f"{person}:{key}")
    except PaydeskError:
        log.exception("the pay desk did not answer")
        await bot.send_message(person, "The pay desk is closed for a moment: try again soon.")
        return
    for reply in replies:
        await show(bot, person, reply.text, reply.buttons)


async def show(bot: Bot, person: int, text: str, buttons: tuple[Button, ...]) -> None:
    """Send a message as plain words, with a button in each row."""
    rows = [
        [
            InlineKeyboardButton(
                text=one.label, url=one.url, callback_data=f"{MARK}{one.command}" if one.command else None
            )
        ]
        for one in buttons
        if len(f"{MARK}{one.command or ''}".encode()) <= 64  # Telegram takes no more; people can type what is left out
    ]
    await bot.send_message(
        person, text[:4096], reply_markup=InlineKeyboardMarkup(inline_keyboard=rows) if rows else None
    )


def remember(person: str, number: int) -> None:
    """Keep which message somebody was told last, so that a restart tells none again."""
    last_told[person] = number
    LATER.write_text(json.dumps(last_told))


async def tell_later(bot: Bot) -> None:
    """Send what comes by itself, such as "your payment has arrived", as it comes; at least once."""
    while True:
        for person, after in list(last_told.items()):
            try:
                for message in await payments.messages("telegram", person, after=after):
                    if message.direction == "out":
                        await show(bot, int(person), message.text, message.buttons)
                    remember(person, message.id)
            except TelegramForbiddenError:  # they have blocked the bot
                last_told.pop(person, None)
            except (PaydeskError, TelegramAPIError) as error:  # the next round tries again
                log.warning("later messages wait: %s", error)
        await asyncio.sleep(1)


async def main() -> None:
    """Run until Ctrl-C."""
    server = TelegramAPIServer.from_base(os.environ.get("TELEGRAM_API_BASE", "https://api.telegram.org"))
    async with payments, Bot(os.environ["TELEGRAM_BOT_TOKEN"], session=AiohttpSession(api=server)) as bot:
        later = asyncio.create_task(tell_later(bot))
        await dispatcher.start_polling(bot)
        later.cancel()


if __name__ == "__main__":
    asyncio.run(main())
