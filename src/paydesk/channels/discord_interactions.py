"""What Discord tells us: whether it is really Discord, what is answered at once, and what a stored arrival means.

Interactions are signed with Ed25519 over the time stamp and the raw body. The first answer must come within 3 seconds,
so it is always a deferral; the interaction's token is good for 15 minutes, in which the real answer follows. (Discord's
documentation, Receiving and Responding to Interactions; Webhook Events.)
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from paydesk.channels import discord_shop
from paydesk.channels.base import Address, Arrival, Command, Here, Inbound, Mended, Raw, Said
from paydesk.channels.discord_ids import NAME, is_id, made_at_s

STAMP_S_MAX = 300
BODY_BYTES_MAX = 64 * 1024
TEXT_MAX = 4000
EPHEMERAL = 64

PING, COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 1, 2, 3, 4, 5
KINDS = {COMMAND: "command", COMPONENT: "button", MODAL: "modal"}
SUBCOMMANDS = (1, 2)

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{1,4096}")
_STAMP = re.compile(r"[0-9]{1,12}")

THINKING = {"type": 5, "data": {"flags": EPHEMERAL}}
"""The deferral that shows "thinking…" to nobody but who asked: the answer takes its place."""

UPDATING = {"type": 6}
"""The deferral after which the answer takes the place of the message that has the button."""


def read(request: Raw, key: Ed25519PublicKey) -> Inbound:
    """Answer a request of Discord's: 401 forged or stale, 400 malformed, 413 oversized, else what Discord expects."""
    if not _signed(request, key):
        return Inbound(401, b'{"error":"the signature does not fit, or is too old"}')
    if len(request.body) > BODY_BYTES_MAX:
        return Inbound(413, b'{"error":"too large"}')
    told = parsed(request.body)
    kind = told.get("type")
    if type(kind) is not int:
        return Inbound(400, b'{"error":"not an interaction"}')
    if kind == PING and "event" not in told:
        return _answer({"type": 1})
    if kind == 0 or "event" in told:
        return _event(told, request.body)
    if kind == AUTOCOMPLETE:
        return _answer({"type": 8, "data": {"choices": []}})
    arrival = arrival_of(told, request.body)
    if arrival is None:
        return Inbound(400, b'{"error":"not an interaction"}')
    return _answer(deferral(told), arrival)


def _signed(request: Raw, key: Ed25519PublicKey) -> bool:
    """Tell whether Discord signed this, at most 5 minutes ago or ahead. Compares in constant time."""
    stamp = request.headers.get("x-signature-timestamp", "")
    try:
        signature = bytes.fromhex(request.headers.get("x-signature-ed25519", ""))
        key.verify(signature, stamp.encode() + request.body)
    except (InvalidSignature, ValueError):
        return False
    return bool(_STAMP.fullmatch(stamp)) and abs(time.time() - int(stamp)) <= STAMP_S_MAX


def _answer(body: Mapping[str, Any], *arrivals: Arrival) -> Inbound:
    return Inbound(200, orjson.dumps(body), arrivals=arrivals)


def _event(told: Mapping[str, Any], body: bytes) -> Inbound:
    """Take a webhook event, which has no id of its own: its bytes, with their time, are one."""
    if told["type"] == 0:
        return Inbound(204)
    buyer = _part(_part(told, "event"), "data").get("user_id")
    whose = buyer if is_id(buyer) else str(told.get("application_id", ""))
    return Inbound(204, arrivals=(Arrival(f"event:{hashlib.sha256(body).hexdigest()}", "event", whose, body),))


def parsed(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`, an empty one where there is none."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) else {}


def arrival_of(told: Mapping[str, Any], body: bytes) -> Arrival | None:
    """Return the arrival that an interaction is, `None` where it is malformed."""
    user, token = _user_of(told), told.get("token")
    if not is_id(told.get("id")) or user is None or not isinstance(token, str) or not _TOKEN.fullmatch(token):
        return None
    return Arrival(told["id"], KINDS.get(told["type"], f"type-{told['type']}"), user, body)


def deferral(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first answer to an interaction.

    What was pressed under a message that only its reader sees is answered in its place; a message that stays (a
    receipt) is left as it is.
    """
    message = told.get("message")
    flags = message.get("flags") if isinstance(message, dict) else None
    passing = type(flags) is int and bool(flags & EPHEMERAL)
    return UPDATING if told.get("type") == COMPONENT and passing else THINKING


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = told.get(name)
    return part if isinstance(part, dict) else {}


def _user_of(told: Mapping[str, Any]) -> str | None:
    """Return the id of who acted: within a server it is the member's, elsewhere the user's own."""
    user = _part(_part(told, "member"), "user").get("id") or _part(told, "user").get("id")
    return user if is_id(user) else None


# --- what it means ---------------------------------------------------------------------------------------------------


def understand(body: bytes) -> Sequence[Command]:
    """Return what a stored arrival means: an interaction, a webhook event, or an event of the gateway."""
    told = parsed(body)
    if "t" in told:
        return tuple(_gateway_event(told["t"], _part(told, "d"), told.get("at")))
    if "event" in told:
        return tuple(_webhook_event(_part(told, "event")))
    return tuple(_interaction(told))


def _interaction(told: Mapping[str, Any]) -> Iterator[Command]:
    user = _user_of(told)
    if user is None or not is_id(told.get("id")):
        return
    who, server = Address(NAME, user), told.get("guild_id")
    if told.get("type") in (COMMAND, COMPONENT):
        inside = is_id(server) and "member" in told
        yield Here(who, server, _roles(told)) if inside else Here(who)
    yield from discord_shop.seen_by_the_way(told)
    text = _said(told.get("type"), _part(told, "data"))
    if text:
        yield Said(who, text[:TEXT_MAX], locale=_locale(told), answers=_answers(told))


def _roles(told: Mapping[str, Any]) -> frozenset[str]:
    """Return the roles of the member who acted."""
    roles = _part(told, "member").get("roles")
    return frozenset(role for role in roles if is_id(role)) if isinstance(roles, list) else frozenset()


def _said(kind: Any, data: Mapping[str, Any]) -> str:
    """Return what was said in words: `/buy credits-10`, or the command of the button."""
    if kind == COMPONENT:
        return str(data.get("custom_id", ""))
    name = data.get("name")
    if kind != COMMAND or not isinstance(name, str):
        return ""
    return " ".join(["/" + name, *_values(data.get("options"))])


def _values(options: Any) -> Iterator[str]:
    for option in options if isinstance(options, list) else ():
        if not isinstance(option, dict):
            continue
        if option.get("type") in SUBCOMMANDS:
            yield str(option.get("name", ""))
            yield from _values(option.get("options"))
        elif isinstance(option.get("value"), str | int | float):
            yield " ".join(str(option["value"]).split())


def _locale(told: Mapping[str, Any]) -> str | None:
    locale = told.get("locale")
    return locale if isinstance(locale, str) and re.fullmatch(r"[A-Za-z0-9-]{2,10}", locale) else None


def _answers(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the answer needs: `at` is when the token was given out, in seconds since 1970.

    `place` is the server's channel where it was asked, `None` in direct messages.
    """
    place = told.get("channel_id") if is_id(told.get("guild_id")) else None
    return {
        "place": place if is_id(place) else None,
        "application": told.get("application_id"),
        "token": told.get("token"),
        "interaction": told["id"],
        "at": made_at_s(told["id"]),
    }


def _webhook_event(event: Mapping[str, Any]) -> Iterator[Command]:
    """Read what was bought; an app that was added to a server (again) can do there what waited for it."""
    if event.get("type") in discord_shop.EVENTS:
        at = discord_shop.moment(event.get("timestamp"))
        yield from discord_shop.bought(event["type"], _part(event, "data"), at)
    server = _part(_part(event, "data"), "guild").get("id")
    if event.get("type") == "APPLICATION_AUTHORIZED" and is_id(server):
        yield Mended(server)


def _gateway_event(name: Any, event: Mapping[str, Any], at: Any) -> Iterator[Command]:
    yield from discord_shop.bought(name, event, discord_shop.moment(at))
    user = _part(event, "user").get("id") or _part(event, "author").get("id")
    if not is_id(user):
        return
    if name == "GUILD_MEMBER_ADD" and is_id(event.get("guild_id")):
        yield Here(Address(NAME, user), space=event["guild_id"])
    content = event.get("content")
    if name == "MESSAGE_CREATE" and isinstance(content, str) and content.strip():
        yield Here(Address(NAME, user))
        yield Said(Address(NAME, user), content.strip()[:TEXT_MAX])
