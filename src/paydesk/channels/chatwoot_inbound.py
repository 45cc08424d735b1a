"""What Chatwoot tells us: who may, what of it is kept, and what it means. Pure.

Payloads of webhooks, agent bots and API inboxes have one shape (app/models/message.rb of the server: `webhook_data`).
Three things mean something: a contact's message, an agent's private note that begins with `/pay`, and that a message of
ours did not get through. Where agents answer, a contact is answered only what begins with a slash; an inbox with an
agent bot keeps a conversation `pending` while it is the bot's, and there everything is. All else (what agents and bots
say, what we said ourselves) is answered and forgotten, so that nothing goes round in circles.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import orjson

from paydesk.channels.base import Address, Arrival, Command, Here, Inbound, Raw, Said, Undelivered
from paydesk.channels.chatwoot_calls import KEY
from paydesk.channels.chatwoot_settings import Settings

NAME = "chatwoot"

AGE_S_MAX = 300
"""How old a signature may be, and how far ahead: what the server's own documentation asks for."""

WORDS_MAX = 4000
OTHER_MAX = 200
"""Characters that are kept of what somebody said, and of everything else."""

ERROR = "external_error"
"""The content attribute in which the server notes why an inbox did not take a message (WhatsApp after 24 hours)."""

PAY = "/pay"
BY_AGENT = {"agent": True}
"""What comes back with the answers to an agent's note."""

OF_BOT = {"bot": True}
"""What comes back with the answers in a conversation that is the bot's."""

_PRICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,2}")


class Door:
    """Where an account's webhooks come in."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        names = settings.names
        self._segment, self._minutes = names.of("segment"), names.of("lesson_minutes")
        language = {"language": None, "locale": None, "language_code": None, "browser_language": None}
        person = {
            "id": None, "type": None, "additional_attributes": language,
            "custom_attributes": {**language, self._segment: None},
        }  # fmt: skip
        self._kept = {
            "event": None, "id": None, "content": None, "message_type": None, "private": None, "sender": person,
            "content_attributes": {KEY: None, ERROR: None},
            "conversation": {
                "id": None, "status": None, "contact_inbox": {"contact_id": None}, "meta": {"sender": person},
                "custom_attributes": {self._minutes: None},
                "additional_attributes": {**language, "browser": language},
            },
        }  # fmt: skip

    def read(self, request: Raw) -> Inbound | None:
        """Verify a request, and say what of it is kept: see `Channel.read`."""
        if not self._settings.secrets:
            return None
        if request.method != "POST":
            return _refused(405, "Chatwoot calls with POST")
        if not self._verified(request):
            return _refused(401, "the signature is missing, wrong or too old")
        try:
            event = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            return _refused(400, "not JSON")
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            return _refused(400, "not an event")
        if not self._matters(event):
            return Inbound(200, b"{}")
        arrival = self._arrival(event)
        return Inbound(200, b"{}", arrivals=(arrival,)) if arrival else _refused(400, "a message without its ids")

    def understand(self, body: bytes) -> Sequence[Command]:
        """Return what an event means: see `Channel.understand`."""
        event = orjson.loads(body)
        who = _who(event)
        words = _content(event)
        if who is None or not self._matters({**event, "account": {"id": self._settings.account}}):
            return ()
        failed = _failed(event)
        if failed is not None:
            key, reason = failed
            return (Undelivered(key, reason, f"A message in conversation {who.conversation} did not arrive: {reason}"),)
        if _incoming(event):
            bots = event["conversation"].get("status") == "pending"
            said = Said(who, words, _language(event), OF_BOT if bots else None)
            return (Here(who), said) if bots or words.startswith("/") else (Here(who),)
        price = self._price(words, event["conversation"])
        return () if price is None else (Said(who, f"/buy {price}", _language(event), BY_AGENT),)

    # --- who may ---------------------------------------------------------------------------------------------------

    def _verified(self, request: Raw) -> bool:
        """Tell whether one of our secrets signed the request lately, or where that is allowed stands in the address."""
        signature = request.headers.get("x-chatwoot-signature")
        if signature is None:
            given = parse_qs(request.query).get("secret", [""])[0]
            return self._settings.unsigned and self._one_of_ours(lambda secret: secret, given)
        stamp = request.headers.get("x-chatwoot-timestamp", "")
        if not re.fullmatch(r"[0-9]{1,12}", stamp) or abs(time.time() - int(stamp)) > AGE_S_MAX:
            return False
        signed = stamp.encode() + b"." + request.body
        return self._one_of_ours(
            lambda secret: b"sha256=" + hmac.new(secret, signed, hashlib.sha256).hexdigest().encode(), signature
        )

    def _one_of_ours(self, proof: Any, given: str) -> bool:
        """Tell whether `given` is what `proof` makes of one of our secrets; as slow for a wrong one as for a right one."""
        right = [
            hmac.compare_digest(proof(secret.reveal().encode()), given.encode(errors="replace"))
            for secret in self._settings.secrets
        ]
        return any(right)

    # --- what is kept ----------------------------------------------------------------------------------------------

    def _matters(self, event: Mapping[str, Any]) -> bool:
        """Tell whether an event is a contact's message, an agent's note to us, or tells that ours did not arrive."""
        if str(_dict(event, "account").get("id")) != self._settings.account:
            return False
        if _failed(event) is not None:
            return True
        ours = KEY in _dict(event, "content_attributes")
        if event["event"] != "message_created" or ours or not _content(event):
            return False
        if _incoming(event):
            return True
        from_agent = _dict(event, "sender").get("type") == "user" and event.get("message_type") in ("outgoing", 1)
        return from_agent and event.get("private") is True and _content(event).split()[0] == PAY

    def _arrival(self, event: Mapping[str, Any]) -> Arrival | None:
        """Return what is stored: the few fields that mean something, cut, so that a long mail is no danger.

        Its id is the message's, not the delivery's: a webhook and an agent bot that both call us tell of one message.
        """
        who, message = _who(event), _id(event.get("id"))
        if who is None or message is None:
            return None
        kept = {**_picked(event, self._kept), "content": _content(event)[:WORDS_MAX]}
        kind = "message" if _failed(event) is None else "failed"
        id_ = f"{kind}:{self._settings.account}:{message}"
        return Arrival(id_, event["event"], who.external_id, orjson.dumps(kept))

    # --- what an agent asks for --------------------------------------------------------------------------------------

    def _price(self, words: str, conversation: Mapping[str, Any]) -> str | None:
        """Return the key of the price that a note asks for: `/pay weekend 60` is weekend-60.

        `/pay` alone is the contact's segment and the conversation's minutes, else an hour of the standard one.
        """
        said = words.split()[1:]
        if not said:
            person = _dict(_dict(conversation, "meta"), "sender")
            segment = _dict(person, "custom_attributes").get(self._segment) or "standard"
            minutes = _dict(conversation, "custom_attributes").get(self._minutes) or 60
            said = [str(segment).lower(), str(minutes).removesuffix(".0")]
        price = "-".join(said)
        return price if _PRICE.fullmatch(price) else None


def _refused(status: int, why: str) -> Inbound:
    return Inbound(status, orjson.dumps({"error": why}))


def _dict(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object in an object; an empty one where there is none."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _id(value: object) -> str | None:
    """Return an id as text: a number, or a text of digits."""
    text = str(value) if type(value) in (int, str) else ""
    return text if re.fullmatch(r"[0-9]{1,18}", text) else None


def _incoming(event: Mapping[str, Any]) -> bool:
    return event.get("message_type") in ("incoming", 0) and event.get("private") in (False, None)


def _content(event: Mapping[str, Any]) -> str:
    content = event.get("content")
    return content.replace("\x00", "").strip() if isinstance(content, str) else ""


def _failed(event: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the key of a message of ours that did not get through, and why."""
    attributes = _dict(event, "content_attributes")
    key, reason = attributes.get(KEY), attributes.get(ERROR)
    if event["event"] != "message_updated" or not (isinstance(key, str) and key and isinstance(reason, str) and reason):
        return None
    return key[:OTHER_MAX], " ".join(reason.split())[:OTHER_MAX]


def _who(event: Mapping[str, Any]) -> Address | None:
    """Return the contact of an event and its conversation, whoever of the two sides spoke."""
    conversation = _dict(event, "conversation")
    spoken = _dict(event, "sender").get("id") if _incoming(event) else None
    written = _dict(conversation, "contact_inbox").get("contact_id")
    contact = _id(spoken) or _id(written) or _id(_dict(_dict(conversation, "meta"), "sender").get("id"))
    number = _id(conversation.get("id"))
    return Address(NAME, contact, number) if contact and number else None


def _picked(value: Mapping[str, Any], shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an object that has a shape, its texts cut."""
    found: dict[str, Any] = {}
    for name, inner in shape.items():
        one = value.get(name)
        if isinstance(inner, dict):
            found[name] = _picked(one if isinstance(one, dict) else {}, inner)
        elif isinstance(one, str | int | float | bool):
            found[name] = one[:OTHER_MAX] if isinstance(one, str) else one
    return {name: one for name, one in found.items() if one != {}}


def _language(event: Mapping[str, Any]) -> str | None:
    """Return the language of a contact: what was set for them, else what their app or browser says."""
    conversation = _dict(event, "conversation")
    person = _dict(_dict(conversation, "meta"), "sender") or _dict(event, "sender")
    extra = _dict(conversation, "additional_attributes")
    places = (
        *(_dict(person, "custom_attributes").get(name) for name in ("language", "locale")),
        *(_dict(person, "additional_attributes").get(name) for name in ("language_code", "language", "locale")),
        extra.get("browser_language"),
        _dict(extra, "browser").get("browser_language"),
    )
    return next((one for one in places if isinstance(one, str) and _LANGUAGE.fullmatch(one)), None)
