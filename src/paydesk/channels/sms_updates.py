"""What Twilio tells us: messages that people send, and what became of ours. Pure.

Every call is signed over the public address and all its fields; a changed, forged or foreign one is refused.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from paydesk.channels.base import Address, Arrival, Away, Command, Here, Inbound, Raw, Said, Undelivered
from paydesk.channels.sms_failures import undelivered
from paydesk.config import Secret

NAME = "sms"
BODY_BYTES_MAX = 60 * 1024
FIELDS_MAX = 200
TEXT_MAX = 2000
KEY = "paydesk_key"
"""The parameter of a status callback's address that names our message."""

EMPTY = b'<?xml version="1.0" encoding="UTF-8"?><Response></Response>'
TAKEN = Inbound(200, EMPTY, "text/xml")

STOP_WORDS = ("stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout")
START_WORDS = ("start", "unstop")
"""Twilio's own words: whoever says one of the first is sent nothing any more, until they say one of these."""

COMMANDS = ("buy", "balance", "history", "billing", "plan", "support", "help")
"""Words that people reply instead of a command."""

NEWS = ("undelivered", "failed")
_NUMBER = re.compile(r"\+?[0-9]{3,15}")
_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")


def signature(token: Secret, url: str, fields: Sequence[tuple[str, str]]) -> str:
    """Return Twilio's signature of a call: HMAC-SHA1 over the address and the sorted fields, names and values joined."""
    values: dict[str, set[str]] = defaultdict(set)
    for name, value in fields:
        values[name].add(value)
    joined = "".join(name + value for name in sorted(values) for value in sorted(values[name]))
    return base64.b64encode(hmac.digest(token.reveal().encode(), (url + joined).encode(), "sha1")).decode()


def read(request: Raw, account: str, token: Secret) -> Inbound:
    """Verify a call and say how it is answered; only what is news is kept."""
    if request.method != "POST":
        return Inbound(405)
    if len(request.body) > BODY_BYTES_MAX:
        return Inbound(413)
    try:
        fields = _fields(request.body.decode("ascii"))
    except ValueError:
        return Inbound(400)
    given = request.headers.get("x-twilio-signature", "")
    if not hmac.compare_digest(signature(token, _called(request), fields).encode(), given.encode()):
        return Inbound(403)
    return _taken(request, dict(fields), account)


def _fields(text: str) -> list[tuple[str, str]]:
    """Return the fields of a form; raises `ValueError` for what is none."""
    return parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=FIELDS_MAX, errors="strict")


def _called(request: Raw) -> str:
    """Return the whole address that was called, as Twilio signs it."""
    if not request.query or "?" in request.url:
        return request.url
    return f"{request.url}?{request.query}"


def _taken(request: Raw, told: Mapping[str, str], account: str) -> Inbound:
    sid, status = told.get("MessageSid", ""), told.get("MessageStatus", "")
    whose = told.get("To" if status else "From", "")
    if told.get("AccountSid") != account:
        return Inbound(403)
    if not _SID.fullmatch(sid) or "\x00" in "".join(told.values()):
        return Inbound(400)
    if status in NEWS:
        body = request.body + (b"&" + request.query.encode() if request.query else b"")
        return Inbound(200, EMPTY, "text/xml", (Arrival(f"{sid}:{status}", "status", whose, body),))
    if status or not _NUMBER.fullmatch(whose):
        return TAKEN
    return Inbound(200, EMPTY, "text/xml", (Arrival(sid, "message", whose, request.body),))


# --- what it means ---------------------------------------------------------------------------------------------------


def understand(body: bytes) -> tuple[Command, ...]:
    """Return what a stored call means: somebody said something, wants no more, or a message did not arrive."""
    try:
        told = dict(_fields(body.decode("ascii")))
    except ValueError:
        return ()
    if told.get("MessageStatus") in NEWS:
        reason, tell = undelivered(told["MessageStatus"], told.get("ErrorCode", ""))
        return (Undelivered(told.get(KEY), reason, tell),)
    if "Body" not in told or "From" not in told:
        return ()
    who, text = Address(NAME, told["From"]), told["Body"].strip()[:TEXT_MAX]
    word = text.lower().strip(" .!\"'")
    if told.get("OptOutType") == "STOP" or word in STOP_WORDS:
        return (Away(who, "they replied STOP", for_ever=True),)
    if told.get("OptOutType") == "START" or word in START_WORDS:
        return (Here(who), Said(who, "/start"))
    return (Said(who, _command(text)),)


def _command(text: str) -> str:
    """Return what somebody said; a word that stands for a command as that command."""
    word, _, rest = text.partition(" ")
    return f"/{word.lower()} {rest.strip()}".strip() if word.lower() in COMMANDS else text
