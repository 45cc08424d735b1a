"""Groups and channels that people pay to be in: letting in, putting out, and looking who is in.

One link per chat, by which people ask to join; who may is approved, so the link can be shared without harm. Nobody is
banned from where they may come back to: `unbanChatMember` puts a member out who may ask again (Bot API). Whoever was
banned by hand stays banned: neither paying nor the end of it lifts that.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from paydesk.channels.base import Grant, Notes, Receipt, Refused, RetryLater, Revoke
from paydesk.channels.telegram_api import Bot
from paydesk.channels.telegram_failures import NO_REQUEST, SPURIOUS, TARGET_ADMIN, TARGET_OWNER
from paydesk.channels.telegram_texts import come_in
from paydesk.channels.telegram_updates import is_inside

LINK_NAME = "Paydesk"
SPURIOUS_MAX = 3
FIRST_BIG_GROUP = -(10**12)
"""Supergroups and channels have numbers below this; basic groups, which know no bans, lie above (Bot API, dialog ids)."""

Member = dict[str, Any]


class Rooms:
    """Lets people in and out of chats in which the bot is administrator."""

    def __init__(self, bot: Bot, notes: Notes) -> None:
        self._bot = bot
        self._notes = notes
        self._making = asyncio.Lock()
        self._spurious: dict[str, int] = {}

    async def let_in(self, grant: Grant) -> Receipt:
        """Approve their request to join; where there is none, return the link as what they are told. `inside` says which."""
        place = _place(grant)
        if await self._settle("approveChatJoinRequest", place):
            return Receipt({"inside": True})
        member = await self._met(place)
        if is_inside(member):
            return Receipt({"inside": True})
        if member.get("status") == "kicked" and place["chat_id"] < FIRST_BIG_GROUP:
            tell = (
                f"The Telegram user {place['user_id']} has paid to be in the chat {grant.space}, and is banned there: "
                "lift the ban in the chat's settings, or refund."
            )
            raise Refused("banned by hand", tell=tell)
        return Receipt({"inside": False, "tell": come_in(await self.link(grant.space))})

    async def put_out(self, revoke: Revoke) -> Receipt:
        """Put them out, or decline their request. Raises `Refused`, `done`, for those who run the chat."""
        place = _place(revoke)
        try:
            if revoke.version == 0:  # they only asked: whoever was let in meanwhile was let in by somebody else
                await self._settle("declineChatJoinRequest", place)
                return Receipt({"inside": False})
            member = await self.member(place)
            _not_in_charge(member, revoke.space)
            await self._out(place, member)
        except RetryLater as later:
            if not self._believed(revoke.key, later):
                raise
        self._spurious.pop(revoke.key, None)
        return Receipt({"inside": False})

    async def _out(self, place: dict[str, int], member: Member) -> None:
        if not is_inside(member):
            await self._settle("declineChatJoinRequest", place)
        elif place["chat_id"] < FIRST_BIG_GROUP:
            await self._settle("unbanChatMember", place)
        else:
            await self._settle("banChatMember", place)

    async def _settle(self, method: str, place: dict[str, int]) -> bool:
        """Return whether it is so now, or was before; `False` where there is no request to decide on."""
        try:
            await self._bot.ask(method, place)
        except Refused as refused:
            if refused.rule == NO_REQUEST:
                return False
            if not refused.done or refused.tell:
                raise
        return True

    def _believed(self, key: str, later: RetryLater) -> bool:
        """Tell whether a refusal that is sometimes wrong has come often enough to mean "not a member"."""
        if later.rule != SPURIOUS:
            return False
        self._spurious[key] = self._spurious.get(key, 0) + 1
        return self._spurious[key] > SPURIOUS_MAX

    async def _met(self, place: dict[str, int]) -> Member:
        """Return the `ChatMember` of a person; who may be unknown to the chat has never been in it."""
        try:
            return await self.member(place)
        except RetryLater as later:
            if later.rule != SPURIOUS:
                raise
            return {"status": "left"}

    async def member(self, place: dict[str, int]) -> Member:
        """Return the `ChatMember` of a person in a chat; whom the chat does not know has left it."""
        try:
            found = await self._bot.ask("getChatMember", place)
        except Refused as refused:
            if not refused.done or refused.tell:
                raise
            return {"status": "left"}
        return found if isinstance(found, dict) else {}

    async def link(self, space: str) -> str:
        """Return the link by which people ask to join; it is made once and noted."""
        async with self._making:
            noted = await self._notes.get(note(space))
            if isinstance(noted, dict) and isinstance(noted.get("url"), str):
                return str(noted["url"])
            return await self.new_link(space)

    async def new_link(self, space: str) -> str:
        """Make a link and note it, instead of the one there was."""
        params = {"chat_id": int(space), "name": LINK_NAME, "creates_join_request": True}
        made = await self._bot.ask("createChatInviteLink", params)
        url = str(made["invite_link"])
        await self._notes.put(note(space), {"url": url})
        return url

    async def dead_link(self, space: str) -> bool:
        """Tell whether the noted link was revoked or changed by somebody; `False` where none is noted."""
        noted = await self._notes.get(note(space))
        if not isinstance(noted, dict):
            return False
        params = {
            "chat_id": int(space),
            "invite_link": noted.get("url"),
            "name": LINK_NAME,
            "creates_join_request": True,
        }
        try:
            link = await self._bot.ask("editChatInviteLink", params)
        except Refused:
            return True
        return bool(link.get("is_revoked"))


def note(space: str) -> str:
    """Return the key under which a chat's link is noted."""
    return f"link:{space}"


def is_number(text: str) -> bool:
    """Tell whether a text is a number of Telegram's: of a person, or below zero of a group or channel."""
    return re.fullmatch(r"-?\d{1,16}", text, re.ASCII) is not None


def is_room(space: str) -> bool:
    """Tell whether a space is a chat's number; its name would not do, because join requests come with the number."""
    return is_number(space) and space.startswith("-")


def _place(action: Grant | Revoke) -> dict[str, int]:
    """Return whom and where, as parameters; raises `Refused` where that is no place on Telegram."""
    if action.role:
        tell = f"The catalogue sells the role {action.role} on Telegram, which has none: sell `member` of a group."
        raise Refused("Telegram has no roles", tell=tell)
    if not is_room(action.space) or not is_number(action.to.external_id):
        tell = f"The catalogue names the chat {action.space}: it should be a number such as -1001234567890."
        raise Refused(f"{action.space} or {action.to.external_id} is no number of Telegram's", tell=tell)
    return {"chat_id": int(action.space), "user_id": int(action.to.external_id)}


def _not_in_charge(member: Member, space: str) -> None:
    status = member.get("status")
    if status in ("creator", "administrator"):
        tell = (
            f"Somebody whose time in the chat {space} has ended runs it, and stays: take their rights first, by hand."
        )
        raise Refused(
            f"{status} of the chat", tell=tell, done=True, rule=TARGET_OWNER if status == "creator" else TARGET_ADMIN
        )
