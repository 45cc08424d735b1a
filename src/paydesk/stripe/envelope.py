"""From an event's bytes to its envelope: what the inbox must know, however the bytes came (webhook or events list)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import orjson

from paydesk.errors import Invalid
from paydesk.inbox import Envelope, lane_of
from paydesk.stripe.signature import read_json

_ID = re.compile(r"[A-Za-z0-9_]{1,255}", re.ASCII)
_TYPE = re.compile(r"[a-z0-9_.]{1,100}", re.ASCII)


def envelope(body: bytes) -> Envelope:
    """Return the envelope of a verified event; raises `Invalid` for a body that is no snapshot event."""
    event = read_json(body)
    if event.get("object") == "v2.core.event":
        raise Invalid(
            "this is a thin event; this address takes snapshot events: set the endpoint's payload style to snapshot"
        )
    id_, kind = event.get("id"), event.get("type")
    if not isinstance(id_, str) or not _ID.fullmatch(id_) or not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise Invalid("the body is not a Stripe event: id or type is missing")
    livemode = event.get("livemode")
    if not isinstance(livemode, bool):
        raise Invalid("the body is not a Stripe event: livemode is missing")
    return Envelope("stripe", id_, kind, lane_of(_whose(event) or id_), body, livemode)


ANSWER = "stripe_call"
"""The source of rows that hold what Stripe answered to a call of ours."""


def answered(kind: str, found: dict[str, Any], at: datetime, *, livemode: bool) -> Envelope:
    """Return the envelope that tells what Stripe answered, in the words of the event that will tell the same.

    It enters by the same door, so that the books are right before the event comes; whichever is second changes nothing.
    """
    id_ = f"{found['id']}:{found['status']}"
    event = {"id": id_, "object": "event", "type": kind, "created": int(at.timestamp()), "livemode": livemode,
             "data": {"object": found}}  # fmt: skip
    return Envelope(ANSWER, id_, kind, lane_of(_whose(event) or id_), orjson.dumps(event, default=str), livemode)


def _whose(event: dict[str, Any]) -> str | None:
    """Return the customer that the event's object names, else the object's own id: events of one go the same lane."""
    data = event.get("data")
    about = data.get("object") if isinstance(data, dict) else None
    if not isinstance(about, dict):
        return None
    for name in ("customer", "id"):
        value = about.get(name)
        if isinstance(value, dict):
            value = value.get("id")
        if isinstance(value, str) and value:
            return value
    return None
