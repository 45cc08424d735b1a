"""Who is there on the played Telegram, and what they do: the verbs by which tests move people."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx

from fakes.base import Fake
from fakes.telegram_spec import API, UPDATE, Json

BOT = {"id": 123456789, "is_bot": True, "first_name": "Desk", "username": "desk_bot"}
UNASKED = {"chat_member", "message_reaction", "message_reaction_count"}
ADMIN = [field["name"] for field in API["types"]["ChatMemberAdministrator"]["fields"] if field["required"]][2:]
RESTRICTED = [field["name"] for field in API["types"]["ChatMemberRestricted"]["fields"] if field["required"]][3:-1]


def member(user: Json, status: str) -> Json:
    """A `ChatMember`; who is administrator may do all."""
    more: dict[str, Json] = {
        "administrator": {**dict.fromkeys(ADMIN, True)},
        "creator": {"is_anonymous": False},
        "kicked": {"until_date": 0},
        "restricted": {**dict.fromkeys(RESTRICTED, False), "is_member": True, "until_date": 0},
    }
    return {"user": user, "status": status, **more.get(status, {})}


def admin(rights: dict[str, bool]) -> Json:
    """The bot as administrator, with these rights only."""
    return {"user": BOT, "status": "administrator", **dict.fromkeys(ADMIN, False), **rights}


class People(Fake):
    """People, chats, messages, and how updates about them reach the bot."""

    def __init__(self) -> None:
        super().__init__()
        self._posts: set[asyncio.Task[None]] = set()
        self._update_ids = iter(range(700_000_001, 10**9))
        self._polls = 0
        self.reset()

    def reset(self) -> None:
        """Forget everybody and everything; a poll that still waits ends."""
        super().reset()
        self._polls += 1
        self._ids = iter(range(1, 10**9))
        self.people: dict[int, Json] = {}
        self.standing: dict[int, str] = {}  # person → stranger, started, blocked, deactivated
        self.rooms: dict[int, Json] = {}  # chat → Chat
        self.members: dict[int, dict[int, Json]] = {}
        self.requests_to_join: set[tuple[int, int]] = set()
        self.links: dict[str, tuple[int, Json]] = {}
        self.messages: dict[tuple[int, int], Json] = {}
        self.commands: dict[str, list[Json]] = {}
        self.queries: dict[str, Json] = {}
        self.paying: dict[str, Json] = {}
        self.charges: dict[str, str] = {}
        self.receipts: dict[str, tuple[int, Json]] = {}
        self.webhook: Json = {"url": "", "has_custom_certificate": False, "pending_update_count": 0}
        self.secret = ""
        self.waiting: list[Json] = []
        self.allowed: set[str] | None = None
        self.calls: list[tuple[str, Json]] = []

    # --- what people do ----------------------------------------------------------------------------------------------

    def person(self, number: int, name: str = "Ada", language: str = "en", standing: str = "started") -> Json:
        self.people[number] = {"id": number, "is_bot": False, "first_name": name, "language_code": language}
        self.standing[number] = standing
        return self.people[number]

    def room(self, number: int, kind: str = "supergroup", **rights: bool) -> Json:
        """A group or channel where the bot is administrator with these rights besides inviting and banning."""
        self.rooms[number] = {"id": number, "type": kind, "title": "Room"}
        self.members[number] = {BOT["id"]: admin({"can_invite_users": True, "can_restrict_members": True, **rights})}
        return self.rooms[number]

    def push(self, kind: str, what: Json) -> Json:
        """Let an update arrive, if the bot asked for its kind."""
        update = {"update_id": next(self._update_ids), kind: what}
        self.complaints += [f"our update: {error.message}" for error in UPDATE.iter_errors(update)]
        if kind in self.allowed if self.allowed else kind not in UNASKED:
            self.loop.call_soon_threadsafe(self._arrive, update)
        return update

    def _arrive(self, update: Json) -> None:
        if not self.webhook["url"]:
            self.waiting.append(update)
            return
        task = self.loop.create_task(self._post(update))
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)

    async def _post(self, update: Json) -> None:
        """Call the webhook until it answers 2xx, with growing pauses."""
        pause_s = 0.05
        async with httpx.AsyncClient(trust_env=False) as client:
            while self.webhook["url"]:
                try:
                    headers = {"X-Telegram-Bot-Api-Secret-Token": self.secret} if self.secret else {}
                    if (await client.post(self.webhook["url"], json=update, headers=headers)).is_success:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 2)

    def says(self, person: int, text: str, chat: int | None = None, **more: Any) -> Json:
        if chat is None and text.startswith("/start"):
            self.standing[person] = "started"
        return self.push(
            "message", {**self._message(chat or person), "from": self.people[person], "text": text, **more}
        )

    def edits(self, person: int, said: Json, text: str | None, **more: Any) -> Json:
        """Somebody changes a message of theirs, as an update told of it; `None`: not its text, but what else it has."""
        was = said.get("message") or said["edited_message"]
        changed = {key: value for key, value in was.items() if key != "text"}
        told = {**changed, "edit_date": int(time.time()), **({} if text is None else {"text": text}), **more}
        return self.push("edited_message", told)

    def presses(self, person: int, data: str, chat: int | None = None) -> Json:
        query = {"id": f"q{next(self._ids)}", "from": self.people[person], "chat_instance": "1", "data": data}
        self.queries[query["id"]] = query
        return self.push(
            "callback_query", {**query, "message": {**self._message(chat or person), "from": BOT, "text": "…"}}
        )

    def blocks(self, person: int, *, blocked: bool = True) -> Json:
        self.standing[person] = "blocked" if blocked else "started"
        out, back = {"user": BOT, "status": "kicked", "until_date": 0}, {"user": BOT, "status": "member"}
        return self.push("my_chat_member", self._changed(person, person, *((back, out) if blocked else (out, back))))

    def asks_in(self, person: int, room: int) -> Json:
        self.requests_to_join.add((room, person))
        request = {
            "chat": self.rooms[room],
            "from": self.people[person],
            "user_chat_id": person,
            "date": int(time.time()),
        }
        return self.push("chat_join_request", request)

    def moves(self, person: int, room: int, status: str) -> Json:
        """Somebody has another status in a room now (`member`, `left`, `kicked`, `administrator`, `creator`, `restricted`)."""
        old, new = self._member(room, person), member(self.people[person], status)
        self.members[room][person] = new
        return self.push("chat_member", self._changed(room, person, old, new))

    def bot_becomes(self, room: int, status: str, **rights: bool) -> Json:
        old, new = self._member(room, BOT["id"]), admin(rights) if status == "administrator" else member(BOT, status)
        self.members[room][BOT["id"]] = new
        return self.push("my_chat_member", self._changed(room, next(iter(self.people)), old, new))

    def pays(self, person: int, message: int) -> Json:
        """Somebody presses an invoice's button and confirms: the bot is asked, and has ten seconds to answer."""
        bill = self.messages[person, message]["invoice"]
        query = {
            "id": f"p{next(self._ids)}", "from": self.people[person], "currency": bill["currency"],
            "total_amount": bill["total_amount"], "invoice_payload": self.messages[person, message]["payload"],
        }  # fmt: skip
        self.paying[query["id"]] = query
        return self.push("pre_checkout_query", query)

    # --- shapes ------------------------------------------------------------------------------------------------------

    def _message(self, chat: int) -> Json:
        return {"message_id": next(self._ids), "date": int(time.time()), "chat": self._chat(chat)}

    def _chat(self, chat: int) -> Json:
        if chat in self.rooms:
            return self.rooms[chat]
        return {"id": chat, "type": "private", "first_name": self.people[chat]["first_name"]}

    def _changed(self, chat: int, person: int, old: Json, new: Json) -> Json:
        by = self.people.get(person, BOT)
        return {
            "chat": self._chat(chat),
            "from": by,
            "date": int(time.time()),
            "old_chat_member": old,
            "new_chat_member": new,
        }
