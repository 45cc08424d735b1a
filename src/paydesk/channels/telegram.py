"""Telegram: private chats, paid groups and channels, over the Bot API.

Updates come by a long poll (no public address needed) or by a webhook with a secret. Answers are private: whoever
speaks to the bot in a group is answered in their own chat with it. Facts: core.telegram.org/bots/api, version 10.1.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from paydesk.channels import telegram_checks as checks
from paydesk.channels.base import (
    Action,
    Address,
    AnswerPaying,
    Channel,
    Command,
    DeliveryError,
    Edit,
    Finding,
    GiveBack,
    Gone,
    Grant,
    Inbound,
    Invoice,
    Keep,
    Limits,
    Notes,
    Raw,
    Receipt,
    Refused,
    RetryLater,
    Send,
    Start,
    Unknown,
    UseUp,
)
from paydesk.channels.http import CALL_S_MAX
from paydesk.channels.telegram_api import Bot
from paydesk.channels.telegram_failures import NOT_MODIFIED
from paydesk.channels.telegram_rooms import Rooms, is_number, is_room
from paydesk.channels.telegram_stars import carry_out, shown
from paydesk.channels.telegram_texts import COMMANDS, message
from paydesk.channels.telegram_updates import ALLOWED, NAME, arrival, is_inside, meaning
from paydesk.config import Secret
from paydesk.errors import SettingError

log = logging.getLogger("paydesk.telegram")

API_BASE = "https://api.telegram.org"
MODES = ("poll", "webhook")
PRESS_S_MAX = 4.0
"""How long a pressed button's spinner may keep its answer waiting."""

REST_S_MIN, REST_S_MAX = 1.0, 30.0
NO_BUSY_LOOP_S = 0.1


@dataclass(frozen=True, slots=True)
class Settings:
    """What is set for Telegram."""

    token: Secret
    mode: str
    webhook_secret: Secret | None
    admin_chat: str | None
    api_base: str


def make(start: Start) -> Telegram:
    """Return the channel; raises `SettingError` that names the setting that is malformed."""
    return Telegram(_settings(start.environ), start.notes(NAME), start.public_url)


def _settings(environ: Mapping[str, str]) -> Settings:
    token = _setting(
        environ, "TELEGRAM_BOT_TOKEN", r"\d{6,12}:[A-Za-z0-9_-]{30,}", "what @BotFather gives, 123456789:AAE…"
    )
    secret = _setting(environ, "TELEGRAM_WEBHOOK_SECRET", r"[A-Za-z0-9_-]{1,256}", "1 to 256 letters, digits, _ or -")
    mode = _setting(environ, "TELEGRAM_MODE", "|".join(MODES), " or ".join(MODES)) or MODES[0]
    admin = _setting(environ, "TELEGRAM_ADMIN_CHAT", r"-?\d{1,16}|@\w{4,32}", "a chat's number, such as -1001234567890")
    base = _setting(environ, "TELEGRAM_API_BASE", r"https?://[^\s?#@/]+(/[^\s?#@]*)?", f"an address such as {API_BASE}")
    if token is None:
        raise SettingError("TELEGRAM_BOT_TOKEN is not set: TELEGRAM_BOT_TOKEN=123456789:AAE… (from @BotFather)")
    return Settings(Secret(token), mode, Secret(secret) if secret else None, admin, (base or API_BASE).rstrip("/"))


def _setting(environ: Mapping[str, str], name: str, pattern: str, good: str) -> str | None:
    text = environ.get(name, "").strip()
    if not text:
        return None
    if not re.fullmatch(pattern, text, re.ASCII):
        raise SettingError(f"{name} is malformed: it should be {good}")
    return text


class Telegram(Channel):
    """One bot. Sends from one process at a time, thirty a second in all and one a second to a chat (common advice)."""

    name = NAME
    edits = True
    admits = True
    charges = True
    one_sender = True
    limits = Limits(per_s=30.0, chat_gap_s=1.0)

    def __init__(self, settings: Settings, notes: Notes, public_url: str) -> None:
        self._settings = settings
        self._notes = notes
        self._bot = Bot(settings.api_base, settings.token)
        self._bot_id = settings.token.reveal().partition(":")[0]
        self._rooms = Rooms(self._bot, notes)
        self._intake = checks.Intake(
            settings.mode, f"{public_url}/webhooks/{NAME}", settings.webhook_secret, settings.token
        )
        self._name: str | None = None
        self.admin = Address(NAME, settings.admin_chat) if settings.admin_chat else None

    # --- in ----------------------------------------------------------------------------------------------------------

    def read(self, request: Raw) -> Inbound | None:
        """Take an update with the right secret. Without a secret, or when we poll, there is no such route."""
        secret = self._settings.webhook_secret
        if self._settings.mode != "webhook" or secret is None:
            return None
        shown = request.headers.get("x-telegram-bot-api-secret-token", "")
        if not hmac.compare_digest(shown.encode("utf-8", "replace"), secret.reveal().encode()):
            return Inbound(401)
        if request.method != "POST":
            return Inbound(405)
        try:
            update = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            return Inbound(400)
        came = arrival(update, self._bot_id, request.body)
        return Inbound(400) if came is None else Inbound(200, arrivals=(came,))

    async def poll(self, keep: Keep) -> None:
        """Fetch updates, for ever. Telegram forgets a batch when a higher offset is asked for, which is after `keep`.

        Raises `Misconfigured` where a webhook or somebody else takes the updates, or the token is no longer good.
        """
        offset: int | None = None
        while self._settings.mode == "poll":
            updates = await self._updates(offset)
            arrivals = [came for update in updates if (came := arrival(update, self._bot_id)) is not None]
            if arrivals:
                await keep(arrivals)
            numbers = [update["update_id"] for update in updates if type(_number(update)) is int]
            offset = max(numbers) + 1 if numbers else offset
            if not numbers:
                await asyncio.sleep(NO_BUSY_LOOP_S)

    async def _updates(self, offset: int | None) -> list[Any]:
        """Return the next updates, however long Telegram is away."""
        rest_s = REST_S_MIN
        while True:
            try:
                return await self._bot.updates(offset, ALLOWED)
            except (RetryLater, Unknown) as error:
                asked_s = error.after_s if isinstance(error, RetryLater) else None
                wait_s = max(asked_s or 0.0, random.uniform(rest_s / 2, rest_s))  # noqa: S311 - only a spread
                log.warning("no updates for %.0f s: %s", wait_s, error)
                await asyncio.sleep(wait_s)
                rest_s = min(rest_s * 2, REST_S_MAX)

    def understand(self, body: bytes) -> Sequence[Command]:
        """Return what an update means, payments in Stars (`Paying`, `PaidThere`) among it."""
        return meaning(body, self._name)

    # --- out ---------------------------------------------------------------------------------------------------------

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Carry out an action; see the contract. `tell` of a `Grant` is the link by which somebody asks to join."""
        if isinstance(action, Send):
            return await self._send(action)
        if isinstance(action, Edit):
            return await self._edit(action, last)
        if isinstance(action, Invoice | AnswerPaying | GiveBack):
            return await carry_out(self._bot, action)
        if isinstance(action, UseUp):
            raise Refused("Telegram has no shop of its own")
        try:
            async with asyncio.timeout(CALL_S_MAX):
                return await (self._rooms.let_in(action) if isinstance(action, Grant) else self._rooms.put_out(action))
        except TimeoutError as error:
            raise Unknown("no answer in time", repeatable=True, rule="tg-unknown-outcome") from error

    async def _send(self, send: Send) -> Receipt:
        if send.answers is not None:
            await self._stop_spinner(send.answers)
        params = {"chat_id": _chat(send.to), **message(send.text, send.buttons)}
        return shown(await self._bot.ask("sendMessage", params, repeatable=False))

    async def _stop_spinner(self, answers: Mapping[str, Any]) -> None:
        """Answer a pressed button; too late or not at all, what it asked for is said all the same."""
        query = answers.get("callback_query_id")
        if not isinstance(query, str):
            return
        try:
            await self._bot.ask("answerCallbackQuery", {"callback_query_id": query}, call_s_max=PRESS_S_MAX)
        except (Refused, Unknown) as error:
            log.info("a pressed button was not answered: %s", error)

    async def _edit(self, edit: Edit, last: Receipt | None) -> Receipt:
        if last is None or "message_id" not in last.data:
            raise Gone("there is no message to edit")
        if last.data.get("number", 0) > edit.number:
            return last
        chat = last.data.get("chat_id", _chat(edit.to))
        params = {"chat_id": chat, "message_id": last.data["message_id"], **message(edit.text, edit.buttons)}
        try:
            await self._bot.ask("editMessageText", params)
        except Refused as refused:
            if refused.rule != NOT_MODIFIED:
                raise
        return Receipt({"message_id": last.data["message_id"], "chat_id": chat, "number": edit.number})

    async def actual(self, person: Address, space: str) -> set[str]:
        """Return `{""}` where the person is in the chat; raises where it cannot be looked at."""
        if not is_room(space) or not is_number(person.external_id):
            return set()
        place = {"chat_id": int(space), "user_id": int(person.external_id)}
        return {""} if is_inside(await self._rooms.member(place)) else set()

    # --- set-up ------------------------------------------------------------------------------------------------------

    async def preflight(self, spaces: Mapping[str, set[str]], *, fix: bool) -> list[Finding]:
        """Look at the token, at how updates come, at the admin chat, and at the bot's rights in every chat sold."""
        try:
            me = await self._me()
        except DeliveryError as error:
            return [checks.failed("Telegram bot", error)]
        found = [Finding(True, "Telegram bot", f"@{self._name}")]
        found.append(await checks.intake_finding(self._bot, self._intake, self._notes, fix=fix))
        if self.admin is not None:
            found.append(await checks.admin_finding(self._bot, self.admin.external_id))
        for space, roles in sorted(spaces.items()):
            found += await checks.space_findings(self._bot, self._rooms, me, space, roles, fix=fix)
        return found

    async def start(self) -> None:
        """Learn the bot's name, set the webhook if that is how updates come, and show the menu of commands."""
        await self._me()
        await self._open_intake()
        for language, texts in COMMANDS.items():
            commands = [{"command": name, "description": told} for name, told in texts.items()]
            named = {} if language == "en" else {"language_code": language}
            await self._bot.ask("setMyCommands", {"commands": commands, **named})

    async def _open_intake(self) -> None:
        if self._intake.mode == "poll":
            host = await checks.foreign_webhook(self._bot)
            if host is not None:
                log.warning("a webhook sends this bot's updates to %s, so polling is refused: %s", host, checks.FIX)
        elif self._intake.secret is None:
            log.warning("no updates come in: %s", checks.NO_SECRET)
        else:
            await checks.set_webhook(self._bot, self._intake, self._notes)

    async def _me(self) -> int:
        """Return the bot's number, and remember its name."""
        me = await self._bot.ask("getMe")
        self._name = me.get("username")
        return int(me["id"])

    async def close(self) -> None:
        """Close the connections."""
        await self._bot.close()


def _chat(to: Address) -> int | str:
    """Return where somebody is written to: the conversation that is named, else their own chat."""
    chat = to.conversation or to.external_id
    return int(chat) if is_number(chat) else chat


def _number(update: Any) -> Any:
    return update.get("update_id") if isinstance(update, dict) else None
