"""A Telegram bot with python-telegram-bot that already did something, and now sells a pass for it.

pip install paydesk python-telegram-bot
TELEGRAM_BOT_TOKEN=… PAYDESK_URL=https://pay.example.com PAYDESK_API_KEY=pdk_… python bot_python_telegram_bot.py
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any

from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup, Update
from telegram.error import Forbidden, TelegramError
from telegram.ext import Application, CallbackQueryHandler, CommandHandler, ContextTypes, filters

from paydesk import AsyncPaymentManager
from paydesk.errors import PaydeskError
from paydesk.library_shapes import Button

ASKED = (
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
last_told: dict[str, int] = json.loads(LATER.read_text()) if LATER.exists() else {}


async def secret(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    """What this bot does: it is for those who have a pass."""
    user = update.effective_user
    if user is not None and await payments.access(("telegram", user.id), "premium"):
        await context.bot.send_message(user.id, "The secret is 42.")
    else:
        await ask(update, context, "/buy access-30d")


async def command(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    """What is said to the pay desk."""
    said = update.effective_message
    await ask(update, context, (said.text if said is not None else None) or "")


async def press(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    """A button of the pay desk: as if its command had been typed."""
    query = update.callback_query
    if query is not None:
        await query.answer()
        await ask(update, context, (query.data or "").removeprefix(MARK))


async def ask(update: Update, context: ContextTypes.DEFAULT_TYPE, text: str) -> None:
    """Pass on what somebody said, once for each update, and show the answers."""
    user = update.effective_user
    if user is None:
        return
    person, language = user.id, user.language_code
    last_told.setdefault(str(person), 0)
    try:
        replies = await payments.say("telegram", person, text, language, idempotency_key=f"update:{update.update_id}")
    except PaydeskError:
        log.exception("the pay desk did not answer")
        await context.bot.send_message(person, "The pay desk is closed for a moment: try again soon.")
        return
    for reply in replies:
        await show(context.bot, person, reply.text, reply.buttons)


async def show(bot: Bot, person: int, text: str, buttons: tuple[Button, ...]) -> None:
    """Send a message as plain words, with a button in each row."""
    rows = [
        [InlineKeyboardButton(one.label, url=one.url, callback_data=f"{MARK}{one.command}" if one.command else None)]
        for one in buttons
        if len(f"{MARK}{one.command or ''}".encode()) <= 64  # Telegram takes no more; people can type what is left out
    ]
    await bot.send_message(person, text[:4096], reply_markup=InlineKeyboardMarkup(rows) if rows else None)


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
            except Forbidden:  # they have blocked the bot
                last_told.pop(person, None)
            except (PaydeskError, TelegramError) as error:  # the next round tries again
                log.warning("later messages wait: %s", error)
        await asyncio.sleep(1)


async def begin(application: Application[Any, Any, Any, Any, Any, Any]) -> None:
    """Start what runs beside the updates."""
    application.bot_data["later"] = asyncio.create_task(tell_later(application.bot))


async def end(application: Application[Any, Any, Any, Any, Any, Any]) -> None:
    """Stop it, and let go of the pay desk."""
    application.bot_data["later"].cancel()
    await payments.close()


def main() -> None:
    """Run until Ctrl-C."""
    base = os.environ.get("TELEGRAM_API_BASE", "https://api.telegram.org")
    builder = Application.builder().token(os.environ["TELEGRAM_BOT_TOKEN"]).base_url(f"{base}/bot")
    application = builder.post_init(begin).post_stop(end).build()
    alone = filters.ChatType.PRIVATE  # what somebody has is nobody else's business
    application.add_handler(CommandHandler("secret", secret, alone))
    application.add_handler(CommandHandler(ASKED, command, alone))
    application.add_handler(CallbackQueryHandler(press, pattern=f"^{MARK}"))
    application.run_polling()


if __name__ == "__main__":
    main()
