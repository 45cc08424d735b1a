"""What Telegram tells us: from an update to what is stored of it, and later to what it means. Pure.

An update has one field besides `update_id`, whose name is its kind. Everything here reads with care: whatever the
shape, the answer is "that means nothing", never an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from paydesk.channels.base import (
    Address,
    Arrival,
    Asked,
    Away,
    Command,
    Here,
    Mended,
    PaidThere,
    Paying,
    RefundedThere,
    Renumbered,
    Said,
)
from paydesk.channels.telegram_texts import COMMANDS

NAME = "telegram"
BODY_MAX = 64 * 1024
SAID_MAX = 4000
UPDATE_ID_MAX = 2**63

ALLOWED = [
    "message", "edited_message", "callback_query", "my_chat_member", "chat_member", "chat_join_request",
    "pre_checkout_query",
]  # fmt: skip
"""The kinds we ask for: what is not asked for does not come, and `chat_member` never comes by itself."""

IN_GROUPS = {"start", "keep", "claim", "link", "status", "lang", "terms", *COMMANDS["en"]}
"""The commands that are ours in a group when nobody is named: everything else there is said to others."""

READ = (
    "message_id", "id", "from", "chat", "date", "text", "data", "old_chat_member", "new_chat_member", "currency",
    "total_amount", "invoice_payload", "successful_payment", "refunded_payment", "migrate_to_chat_id",
    "migrate_from_chat_id",
)  # fmt: skip
"""The fields that are read: what is kept of an update that is too long to be stored whole."""

_COMMAND = re.compile(r"/(\w+)(?:@(\w+))?(?=\s|$)")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")

Object = Mapping[str, Any]


# --- what is stored --------------------------------------------------------------------------------------------------


def arrival(update: Any, bot_id: str, raw: bytes | None = None) -> Arrival | None:
    """Return what is stored of an update, `None` where it is none. `raw` are its bytes as they came, where they are known."""
    number = update.get("update_id") if isinstance(update, dict) else None
    if type(number) is not int or not 0 <= number < UPDATE_ID_MAX:
        return None
    body = raw if raw is not None else orjson.dumps(update)
    if len(body) > BODY_MAX:  # a reply holds all of what it replies to
        body = orjson.dumps(_short(update))
    if len(body) > BODY_MAX:
        return None
    return Arrival(f"{bot_id}:{number}", kind_of(update), _whose(update), body)


def kind_of(update: Object) -> str:
    """Return the kind of an update, `unknown` where it names none."""
    return next((key for key, value in update.items() if key != "update_id" and isinstance(value, dict)), "unknown")


def _short(update: Object) -> dict[str, Any]:
    kind = kind_of(update)
    what = _part(update, kind)
    return {"update_id": update["update_id"], kind: {key: what[key] for key in READ if key in what}}


def _whose(update: Object) -> str:
    """Return whom an update is about: a member who changed, else who did it, else the chat."""
    what = _part(update, kind_of(update))
    people = (_part(_part(what, "new_chat_member"), "user"), _part(what, "from"))
    candidates = (*(person for person in people if not person.get("is_bot")), _part(what, "chat"))
    return next((str(number) for one in candidates if (number := _number(one)) is not None), "")


# --- what it means ---------------------------------------------------------------------------------------------------


def meaning(body: bytes, me: str | None) -> list[Command]:
    """Return what a stored update means. `me` is the bot's name, where it is known: commands for others are theirs."""
    try:
        update = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    if not isinstance(update, dict):
        return []
    kind = kind_of(update)
    read = _READERS.get(kind)
    return [] if read is None else read(_part(update, kind), me)


def _message(what: Object, me: str | None) -> list[Command]:
    chat = _number(_part(what, "chat"))
    if chat is not None and ("migrate_to_chat_id" in what or "migrate_from_chat_id" in what):
        return _migrated(what, chat)
    if "refunded_payment" in what:  # said by the bot itself
        return _went_back(_part(what, "refunded_payment"))
    who = _person(what)
    if who is None:
        return []
    if "successful_payment" in what:
        return _paid(who, _part(what, "successful_payment"))
    private = _part(what, "chat").get("type") == "private"
    text = _heard(what.get("text"), me, private=private)
    if text is None:
        return []
    said = Said(who, text, _locale(what))
    return [said, Here(who)] if private and text.split()[:1] == ["/start"] else [said]


def _edited(what: Object, me: str | None) -> list[Command]:
    """Read what somebody has changed in what they had said; whatever else an edit may be, it means nothing."""
    who, private = _person(what), _part(what, "chat").get("type") == "private"
    text = _heard(what.get("text"), me, private=private)
    return [] if who is None or text is None else [Said(who, text, _locale(what), edited=True)]


def _migrated(what: Object, chat: int) -> list[Command]:
    """Read that a group has become a supergroup: both tell it, each with the other's number."""
    old, new = what.get("migrate_from_chat_id", chat), what.get("migrate_to_chat_id", chat)
    return [Renumbered(str(old), str(new))] if type(old) is int and type(new) is int else []


def _heard(text: Any, me: str | None, *, private: bool) -> str | None:
    """Return what was said to us, a command without our name; `None` where it was said to others, or is no text."""
    if not isinstance(text, str) or not text.strip():
        return None
    text = text.replace("\x00", "")[:SAID_MAX]
    found = _COMMAND.match(text)
    if found is None:
        return text if private else None
    command, named = found[1], found[2]
    if named is not None and me is not None and named.lower() != me.lower():
        return None
    if not private and named is None and command.lower() not in IN_GROUPS:
        return None
    return f"/{command}{text[found.end() :]}"


def _pressed(what: Object, me: str | None) -> list[Command]:
    who, command, query = _person(what), what.get("data"), what.get("id")
    if who is None or not isinstance(command, str) or not isinstance(query, str):
        return []
    return [Said(who, command, _locale(what), {"callback_query_id": query})]


def _about_us(what: Object, me: str | None) -> list[Command]:
    """Read what has become of the bot itself: blocked by a person, or given a place or rights in a chat."""
    chat, who = _part(what, "chat"), _person(what)
    inside = is_inside(_part(what, "new_chat_member"))
    if chat.get("type") != "private":
        return [Mended(str(_number(chat)))] if inside and _number(chat) is not None else []
    if who is None:
        return []
    return [Here(who)] if inside else [Away(who, "they blocked the bot")]


def _about_member(what: Object, me: str | None) -> list[Command]:
    chat, now = _number(_part(what, "chat")), _part(what, "new_chat_member")
    came = is_inside(now) and not is_inside(_part(what, "old_chat_member"))
    who = _person({"from": now.get("user")})
    return [Here(who, str(chat))] if came and who is not None and chat is not None else []


def _asks_in(what: Object, me: str | None) -> list[Command]:
    who, chat = _person(what), _number(_part(what, "chat"))
    return [Asked(who, str(chat))] if who is not None and chat is not None else []


def _paying(what: Object, me: str | None) -> list[Command]:
    who, query, amount = _person(what), what.get("id"), what.get("total_amount")
    if who is None or not isinstance(query, str) or type(amount) is not int:
        return []
    payload, currency = str(what.get("invoice_payload", "")), str(what.get("currency", ""))
    return [Paying(who, payload, currency, amount, {"pre_checkout_query_id": query})]


def _paid(who: Address, payment: Object) -> list[Command]:
    amount, charge = payment.get("total_amount"), payment.get("telegram_payment_charge_id")
    if type(amount) is not int or not isinstance(charge, str):
        return []
    return [PaidThere(who, str(payment.get("invoice_payload", "")), str(payment.get("currency", "")), amount, charge)]


def _went_back(payment: Object) -> list[Command]:
    amount, charge = payment.get("total_amount"), payment.get("telegram_payment_charge_id")
    if type(amount) is not int or not isinstance(charge, str):
        return []
    return [RefundedThere(str(payment.get("invoice_payload", "")), amount, charge)]


_READERS: dict[str, Callable[[Object, str | None], list[Command]]] = {
    "message": _message,
    "edited_message": _edited,
    "callback_query": _pressed,
    "my_chat_member": _about_us,
    "chat_member": _about_member,
    "chat_join_request": _asks_in,
    "pre_checkout_query": _paying,
}


# --- parts -----------------------------------------------------------------------------------------------------------


def is_inside(member: Object) -> bool:
    """Tell whether a `ChatMember` is in the chat: a restricted one may be in or out."""
    status = member.get("status")
    return status in ("creator", "administrator", "member") or (
        status == "restricted" and member.get("is_member") is True
    )


def _part(what: Object, key: str) -> Object:
    part = what.get(key)
    return part if isinstance(part, dict) else {}


def _number(what: Object) -> int | None:
    number = what.get("id")
    return number if type(number) is int else None


def _person(what: Object) -> Address | None:
    """Return where the person in `from` is answered: their private chat, whose number is theirs. A bot is nobody."""
    sender = _part(what, "from")
    number = _number(sender)
    return None if number is None or sender.get("is_bot") else Address(NAME, str(number))


def _locale(what: Object) -> str | None:
    code = _part(what, "from").get("language_code")
    return code if isinstance(code, str) and _LOCALE.fullmatch(code) else None
