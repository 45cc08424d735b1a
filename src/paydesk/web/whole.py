"""Answers that are written out already, for calls that are made for every message of a chat.

Our own server takes such an answer as it is (`serving.py`). Another one, in which Paydesk is mounted, gets the same in the
two messages of ASGI.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paydesk.web.asgi import Headers, Scope, Send

WHOLE = "paydesk.whole"
"""The extension of our server: `(scope, head, body) -> bool`, whether a 200 was sent."""

_NONE: Mapping[str, Any] = {}


def written(headers: Headers) -> bytes:
    """Return headers as they go over the line."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def only_by_messages(scope: Scope) -> None:
    """Let the answer to a request go by messages alone: somebody adds to what is sent."""
    scope["extensions"] = {name: one for name, one in scope.get("extensions", _NONE).items() if name != WHOLE}


async def send_whole(scope: Scope, send: Send, lines: bytes, headers: Headers, body: bytes) -> None:
    """Send a 200 with `headers`, of which `lines` are those that are written out already."""
    whole = scope.get("extensions", _NONE).get(WHOLE)
    if whole is not None and whole(scope, lines + written(headers), body):
        return
    first = tuple(tuple(line.split(b": ", 1)) for line in lines.splitlines())
    await send({"type": "http.response.start", "status": 200, "headers": [*first, *headers]})
    await send({"type": "http.response.body", "body": body})
