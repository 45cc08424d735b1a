"""Telegram, played from its Bot API's own description.

Parameters, results and updates are checked against the description; people, chats, rights, links, messages and Stars
behave as the description says. `complaints` holds every request that Telegram would call malformed.
"""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import orjson

from fakes.base import Asked, Told
from fakes.telegram_people import BOT, People, member
from fakes.telegram_spec import ASKING, RESULT, Json, decoded, wrong

TOKEN = "123456789:AAEfake-token_of_a_played_bot_0123456789"


class Refusal(Exception):
    """A call that Telegram refuses, with its words."""

    def __init__(self, status: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.body = {"ok": False, "error_code": status, "description": description}
        if parameters:
            self.body["parameters"] = parameters


def refuse(description: str, status: int = 400) -> Refusal:
    return Refusal(status, f"{ {400: 'Bad Request', 403: 'Forbidden', 409: 'Conflict'}[status] }: {description}")


class TelegramFake(People):
    """One bot's Telegram. Test code moves people by the verbs (`says`, `presses`, `blocks`, …); the bot asks by HTTP."""

    def label(self, method: str, path: str) -> str:
        return path.rpartition("/")[2]

    async def handle(self, asked: Asked) -> Told:
        """Check the call, carry it out, check the result."""
        if asked.path.partition("/bot")[2].partition("/")[0] != TOKEN:
            return Told(401, orjson.dumps(Refusal(401, "Unauthorized").body))
        if asked.label not in ASKING:
            self.complaints.append(f"no such method: {asked.label}")
            return Told(404, orjson.dumps(Refusal(404, "Not Found").body))
        try:
            parameters = decoded(asked)
            self.calls.append((asked.label, parameters))
            self._check(asked.label, parameters)
            result = getattr(self, asked.label)(parameters)
            result = await result if asyncio.iscoroutine(result) else result
        except Refusal as refusal:
            return Told(refusal.body["error_code"], orjson.dumps(refusal.body))
        self.complaints += [f"our {asked.label}: {error.message}" for error in RESULT[asked.label].iter_errors(result)]
        return Told(200, orjson.dumps({"ok": True, "result": result}))

    def _check(self, method: str, parameters: Json) -> None:
        errors = [f"{method}: {error.json_path} {error.message}" for error in ASKING[method].iter_errors(parameters)]
        errors += [f"{method}: {error}" for error in wrong(method, parameters)]
        if errors:
            self.complaints += errors
            raise refuse(errors[0])

    def said_to(self, chat: int) -> list[Json]:
        """What the bot has said in a chat, oldest first, as it stands now."""
        return [message for (where, _), message in self.messages.items() if where == chat]

    def asked(self, method: str) -> list[Json]:
        """The parameters of every call of a method."""
        return [parameters for name, parameters in self.calls if name == method]

    # --- what the bot asks -------------------------------------------------------------------------------------------

    def _room(self, chat: int, right: str | None = None) -> int:
        """The number of a chat that the bot may ask about, or why it may not."""
        if chat not in self.rooms:
            raise refuse("chat not found")
        moved = self.rooms[chat].get("moved_to")
        if moved:
            raise Refusal(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=moved)
        me, kind = self._member(chat, BOT["id"]), self.rooms[chat]["type"]
        if me["status"] in ("left", "kicked"):
            outside = "bot was kicked from" if me["status"] == "kicked" else "bot is not a member of"
            raise refuse(f"{outside} the {kind} chat", 403)
        if right and me["status"] != "administrator":
            raise refuse("CHAT_ADMIN_REQUIRED")
        if right and not me[right]:
            raise refuse("not enough rights")
        return chat

    def _member(self, chat: int, person: int) -> Json:
        return self.members[chat].get(person) or member(self.people.get(person, BOT), "left")

    def _writable(self, chat: int | str) -> int:
        if isinstance(chat, str) or chat not in self.people:
            return self._room(chat if isinstance(chat, int) else 0)
        reason = {
            "stranger": "bot can't initiate conversation with a user",
            "blocked": "bot was blocked by the user",
            "deactivated": "user is deactivated",
        }.get(self.standing[chat])
        if reason:
            raise refuse(reason, 403)
        return chat

    def getMe(self, p: Json) -> Json:
        return BOT

    def sendMessage(self, p: Json) -> Json:
        message = {**self._message(self._writable(p["chat_id"])), "from": BOT, "text": p["text"]}
        if "reply_markup" in p:
            message["reply_markup"] = p["reply_markup"]
        self.messages[message["chat"]["id"], message["message_id"]] = message
        return message

    def editMessageText(self, p: Json) -> Json:
        message = self.messages.get((self._writable(p["chat_id"]), p["message_id"]))
        if message is None:
            raise refuse("message to edit not found")
        if (message["text"], message.get("reply_markup")) == (p["text"], p.get("reply_markup")):
            raise refuse("message is not modified: specified new message content and reply markup are exactly the same")
        message.update(text=p["text"], edit_date=int(time.time()))
        message.pop("reply_markup", None)
        message.update({"reply_markup": p["reply_markup"]} if "reply_markup" in p else {})
        return message

    def answerCallbackQuery(self, p: Json) -> bool:
        if self.queries.pop(p["callback_query_id"], None) is None:
            raise refuse("query is too old and response timeout expired or query ID is invalid")
        return True

    def setMyCommands(self, p: Json) -> bool:
        self.commands[p.get("language_code", "")] = p["commands"]
        return True

    def getChat(self, p: Json) -> Json:
        if p["chat_id"] in self.people:
            chat = self._chat(p["chat_id"])
        else:
            named = [n for n, room in self.rooms.items() if p["chat_id"] in (n, f"@{room.get('username')}")]
            chat = self.rooms[self._room(named[0] if named else 0)]
        gifts = ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels")
        return {
            **chat,
            "accent_color_id": 0,
            "max_reaction_count": 11,
            "accepted_gift_types": dict.fromkeys(gifts, False),
        }

    def getChatMember(self, p: Json) -> Json:
        room = self._room(p["chat_id"])
        if p["user_id"] not in self.people and p["user_id"] != BOT["id"]:
            raise refuse("PARTICIPANT_ID_INVALID")
        return self._member(room, p["user_id"])

    def createChatInviteLink(self, p: Json) -> Json:
        room = self._room(p["chat_id"], "can_invite_users")
        asks = p.get("creates_join_request", False)
        url = f"https://t.me/+{room}x{next(self._ids)}"
        link = {
            "invite_link": url,
            "creator": BOT,
            "creates_join_request": asks,
            "is_primary": False,
            "is_revoked": False,
        }
        self.links[url] = (
            room,
            {**link, **{key: p[key] for key in ("name", "expire_date", "member_limit") if key in p}},
        )
        return self.links[url][1]

    def editChatInviteLink(self, p: Json) -> Json:
        room, link = self.links.get(p["invite_link"], (0, {"is_revoked": True}))
        if room != self._room(p["chat_id"], "can_invite_users") or link["is_revoked"]:
            raise refuse("INVITE_HASH_EXPIRED")
        link.update({key: p[key] for key in ("name", "creates_join_request", "member_limit") if key in p})
        return link

    def revokeChatInviteLink(self, p: Json) -> Json:
        link = self.editChatInviteLink({"chat_id": p["chat_id"], "invite_link": p["invite_link"]})
        link["is_revoked"] = True
        return link

    def approveChatJoinRequest(self, p: Json) -> bool:
        self._decide(p)
        self.moves(p["user_id"], p["chat_id"], "member")
        return True

    def declineChatJoinRequest(self, p: Json) -> bool:
        self._decide(p)
        return True

    def _decide(self, p: Json) -> None:
        room = self._room(p["chat_id"], "can_invite_users")
        if self._member(room, p["user_id"])["status"] in ("member", "administrator", "creator"):
            raise refuse("USER_ALREADY_PARTICIPANT")
        if (room, p["user_id"]) not in self.requests_to_join:
            raise refuse("HIDE_REQUESTER_MISSING")
        self.requests_to_join.discard((room, p["user_id"]))

    def banChatMember(self, p: Json) -> bool:
        return self._put_out(p, "kicked")

    def unbanChatMember(self, p: Json) -> bool:
        if self.rooms.get(p["chat_id"], {}).get("type") == "group":
            raise refuse("method is available for supergroup and channel chats only")
        if p.get("only_if_banned") and self._member(self._room(p["chat_id"]), p["user_id"])["status"] != "kicked":
            return True
        return self._put_out(p, "left")

    def _put_out(self, p: Json, status: str) -> bool:
        room = self._room(p["chat_id"], "can_restrict_members")
        was = self._member(room, p["user_id"])["status"]
        if was in ("administrator", "creator"):
            raise refuse("can't remove chat owner" if was == "creator" else "user is an administrator of the chat")
        if was != status:
            self.moves(p["user_id"], room, status)
        return True

    # --- how updates come --------------------------------------------------------------------------------------------

    async def getUpdates(self, p: Json) -> list[Json]:
        """Wait for updates; a webhook, or a second poll, ends the first one with 409."""
        self._polls += 1
        mine = self._polls
        self.allowed = set(p["allowed_updates"]) if "allowed_updates" in p else self.allowed
        self.waiting = [update for update in self.waiting if update["update_id"] >= p.get("offset", 0)]
        until = time.monotonic() + p.get("timeout", 0)
        while True:
            if self.webhook["url"]:
                raise refuse("can't use getUpdates method while webhook is active; use deleteWebhook first", 409)
            if self._polls != mine:
                raise refuse("terminated by other getUpdates request; make sure only one bot instance is running", 409)
            if self.waiting or time.monotonic() >= until or self._server.should_exit:
                return self.waiting[: p.get("limit", 100)]
            await asyncio.sleep(0.01)

    def setWebhook(self, p: Json) -> bool:
        local = urlsplit(p["url"]).hostname == "127.0.0.1"  # a Bot API server of one's own takes these
        if p["url"] and not local and not p["url"].startswith("https://"):
            raise refuse("bad webhook: An HTTPS URL must be provided for webhook")
        kinds = {"allowed_updates": p["allowed_updates"]} if "allowed_updates" in p else {}
        self.allowed = set(p["allowed_updates"]) if kinds else None
        self.secret = p.get("secret_token", "")
        self.webhook = {"url": p["url"], "has_custom_certificate": False, "pending_update_count": 0, **kinds}
        waiting, self.waiting = self.waiting, []
        for update in waiting:
            self._arrive(update)
        return True

    def deleteWebhook(self, p: Json) -> bool:
        return self.setWebhook({"url": ""})

    def getWebhookInfo(self, p: Json) -> Json:
        return self.webhook

    # --- Stars -------------------------------------------------------------------------------------------------------

    def sendInvoice(self, p: Json) -> Json:
        bill = {"title": p["title"], "description": p["description"], "start_parameter": "", "currency": p["currency"]}
        bill["total_amount"] = sum(price["amount"] for price in p["prices"])
        message = {**self._message(self._writable(p["chat_id"])), "from": BOT, "invoice": bill}
        self.messages[p["chat_id"], message["message_id"]] = {**message, "payload": p["payload"]}
        return message

    def answerPreCheckoutQuery(self, p: Json) -> bool:
        query = self.paying.pop(p["pre_checkout_query_id"], None)
        if query is None:
            raise refuse("query is too old and response timeout expired or query ID is invalid")
        if p["ok"]:
            charge = f"stx{next(self._ids)}"
            self.charges[charge] = "paid"
            paid = {"telegram_payment_charge_id": charge, "provider_payment_charge_id": f"{charge}_0"}
            paid |= {key: query[key] for key in ("currency", "total_amount", "invoice_payload")}
            person = query["from"]
            self.receipts[charge] = person["id"], paid
            self.push("message", {**self._message(person["id"]), "from": person, "successful_payment": paid})
        return True

    def refundStarPayment(self, p: Json) -> bool:
        charge = p["telegram_payment_charge_id"]
        if self.charges.get(charge) != "paid":
            raise refuse("CHARGE_ALREADY_REFUNDED" if charge in self.charges else "CHARGE_NOT_FOUND")
        self.charges[charge] = "refunded"
        if charge in self.receipts:
            self.went_back(charge)
        return True

    def went_back(self, charge: str) -> Json:
        """Tell that Stars went back, as Telegram does whoever gave them back: the bot itself says so in the chat."""
        number, paid = self.receipts[charge]
        return self.push("message", {**self._message(number), "from": BOT, "refunded_payment": paid})
