"""Looking whether a bot is set up: who it is, how updates come, and its rights in the chats that are sold."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from paydesk.channels.base import DeliveryError, Finding, Misconfigured, Moved, Notes, Refused
from paydesk.channels.telegram_api import Bot
from paydesk.channels.telegram_rooms import Rooms, is_number, is_room
from paydesk.channels.telegram_updates import ALLOWED
from paydesk.config import Secret

SECRET_MIN = 16
NOTE = "webhook"
RIGHTS = {"can_invite_users": "“Invite users via link”", "can_restrict_members": "“Ban users”"}
FIX = "run `paydesk check --fix`"
NO_SECRET = "set TELEGRAM_WEBHOOK_SECRET to 32 or more random letters and digits, and start again"  # noqa: S105 - words


@dataclass(frozen=True, slots=True)
class Intake:
    """How updates are to come in: by `poll`, or to `url` with `secret`; without a secret no webhook is set."""

    mode: str
    url: str
    secret: Secret | None
    token: Secret

    def mark(self) -> dict[str, str]:
        """Return what is noted of a webhook that was set: Telegram never tells the secret it has, so a digest of it."""
        secret = self.secret.reveal() if self.secret else ""
        return {"url": self.url, "secret": hmac.digest(self.token.reveal().encode(), secret.encode(), "sha256").hex()}


# --- webhook or poll -------------------------------------------------------------------------------------------------


async def set_webhook(bot: Bot, intake: Intake, notes: Notes) -> bool:
    """Make Telegram send updates to our address, unless it does; return whether anything was changed."""
    info = await bot.ask("getWebhookInfo")
    if _is_set(info, intake) and await notes.get(NOTE) == intake.mark():
        return False
    secret = intake.secret.reveal() if intake.secret else ""
    await bot.ask("setWebhook", {"url": intake.url, "secret_token": secret, "allowed_updates": ALLOWED})
    await notes.put(NOTE, intake.mark())
    return True


def _is_set(info: Mapping[str, Any], intake: Intake) -> bool:
    return info.get("url") == intake.url and set(info.get("allowed_updates") or ()) == set(ALLOWED)


async def foreign_webhook(bot: Bot) -> str | None:
    """Return the host that updates are sent to, `None` where no webhook is set: with one, polling is refused."""
    url = str((await bot.ask("getWebhookInfo")).get("url") or "")
    return (urlsplit(url).hostname or "an address") if url else None


async def intake_finding(bot: Bot, intake: Intake, notes: Notes, *, fix: bool) -> Finding:
    """Look whether updates come in the way that is set, and with `fix` make them."""
    try:
        if intake.mode == "poll":
            return await _poll_finding(bot, fix=fix)
        return await _hook_finding(bot, intake, notes, fix=fix)
    except Refused as error:
        mend = "PAYDESK_PUBLIC_URL must be an https address that the internet reaches; without one, TELEGRAM_MODE=poll"
        return Finding(False, "Telegram webhook", str(error), mend)
    except DeliveryError as error:
        return failed("Telegram intake", error)


async def _hook_finding(bot: Bot, intake: Intake, notes: Notes, *, fix: bool) -> Finding:
    if intake.secret is None:
        return Finding(False, "Telegram webhook", "TELEGRAM_WEBHOOK_SECRET is not set: nothing comes in", NO_SECRET)
    if fix:
        await set_webhook(bot, intake, notes)
    info = await bot.ask("getWebhookInfo")
    if _is_set(info, intake):
        return _webhook_finding(info, intake)
    host = urlsplit(str(info.get("url") or "")).hostname
    return Finding(False, "Telegram webhook", f"updates go to {host}" if host else "no webhook is set", FIX)


def _webhook_finding(info: Mapping[str, Any], intake: Intake) -> Finding:
    waiting, error = info.get("pending_update_count", 0), info.get("last_error_message")
    if waiting and error:
        mend = f"look whether {intake.url} can be reached from the internet, by https"
        return Finding(False, "Telegram webhook", f"{waiting} updates wait, the last failure was: {error}", mend)
    if intake.secret is not None and len(intake.secret.reveal()) < SECRET_MIN:
        return Finding(False, "Telegram webhook", "TELEGRAM_WEBHOOK_SECRET can be guessed", NO_SECRET)
    return Finding(True, "Telegram webhook", intake.url)


async def _poll_finding(bot: Bot, *, fix: bool) -> Finding:
    host = await foreign_webhook(bot)
    if host is None:
        return Finding(True, "Telegram intake", "polling, no webhook is set")
    if fix:
        await bot.ask("deleteWebhook")
        return Finding(True, "Telegram intake", f"polling, the webhook to {host} was removed")
    mend = f"{FIX} to remove it, or set TELEGRAM_MODE=webhook"
    return Finding(False, "Telegram intake", f"a webhook sends updates to {host}, so polling is refused", mend)


# --- chats -----------------------------------------------------------------------------------------------------------


async def space_findings(bot: Bot, rooms: Rooms, me: int, space: str, roles: set[str], *, fix: bool) -> list[Finding]:
    """Look whether people can be let into a chat and put out of it."""
    what = f"Telegram chat {space}"
    if not is_room(space):
        return [await _numberless(bot, what, space)]
    if roles - {""}:
        mend = 'sell `kind = "member"` of a group, without a role'
        return [
            Finding(False, what, f"Telegram has no roles, the catalogue sells {', '.join(sorted(roles - {''}))}", mend)
        ]
    try:
        member = await bot.ask("getChatMember", {"chat_id": int(space), "user_id": me})
        return [_rights_finding(what, space, member), *await _link_findings(rooms, what, space, fix=fix)]
    except DeliveryError as error:
        return [failed(what, error)]


async def _numberless(bot: Bot, what: str, space: str) -> Finding:
    try:
        number = (await bot.ask("getChat", {"chat_id": space}))["id"]
    except DeliveryError:
        return Finding(False, what, "it is no number", "give the chat's number, such as -1001234567890")
    return Finding(False, what, "it is a name, and names change", f'write space = "{number}" in the catalogue')


def _rights_finding(what: str, space: str, member: Mapping[str, Any]) -> Finding:
    if member.get("status") != "administrator":
        mend = f"make the bot administrator, with {' and '.join(RIGHTS.values())}"
        return Finding(False, what, f"the bot is {member.get('status', 'not there')}", mend)
    missing = [name for right, name in RIGHTS.items() if member.get(right) is not True]
    if missing:
        return Finding(
            False, what, f"the bot may not {' and '.join(missing)}", "give it these rights in the chat's settings"
        )
    return Finding(True, what, "the bot is administrator and may let people in and out")


async def _link_findings(rooms: Rooms, what: str, space: str, *, fix: bool) -> list[Finding]:
    if not await rooms.dead_link(space):
        return []
    if not fix:
        return [
            Finding(
                False, what, "the link by which people ask to join was revoked or changed", f"{FIX}: it makes a new one"
            )
        ]
    await rooms.new_link(space)
    return [Finding(True, what, "a new link to ask to join was made")]


async def admin_finding(bot: Bot, chat: str) -> Finding:
    """Look whether the people of the desk can be told things."""
    what = "TELEGRAM_ADMIN_CHAT"
    try:
        await bot.ask("getChat", {"chat_id": int(chat) if is_number(chat) else chat})
    except (Misconfigured, Moved) as error:
        return failed(what, error)
    except DeliveryError as error:
        return Finding(False, what, str(error), "open the chat and write /start to the bot, or add it to the group")
    return Finding(True, what, f"the bot knows the chat {chat}")


def failed(what: str, error: DeliveryError) -> Finding:
    """Return what an error says about what was looked at."""
    if isinstance(error, Moved):
        return Finding(False, what, f"it has another number now: {error.new}", "write that number in its place")
    return Finding(False, what, str(error), error.mend if isinstance(error, Misconfigured) else "try again later")
