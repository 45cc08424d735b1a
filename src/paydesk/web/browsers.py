"""Pages on other origins: browsers ask before they call us, and read our answers only where we say that they may.

Only what stands in a page anyway opens the API to pages: a publishable key, or no key at all. An answer to a secret key
says nothing, so no browser shows it to a page: a secret key that was put into one by mistake does not work there. Cookies are
never meant. Whoever is no browser sends no `Origin`, and pays nothing for this.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from paydesk.keys import MARKS, PUBLISHABLE
from paydesk.web.hooks import Receive, Scope, Send

PREFIX = "/v1/"
MAX_AGE_S = 86_400
METHODS = b"GET, POST, PATCH, DELETE"
SENT = b"Authorization, Content-Type, Idempotency-Key, Paydesk-Customer"
READ = (
    b"Request-Id, Idempotent-Replayed, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After"
)  # fmt: skip
_ANYBODY = (b"access-control-allow-origin", b"*")
_PREFLIGHT = (
    _ANYBODY,
    (b"access-control-allow-methods", METHODS),
    (b"access-control-allow-headers", SENT),
    (b"access-control-max-age", b"%d" % MAX_AGE_S),
)
_READABLE = (_ANYBODY, (b"access-control-expose-headers", READ))
_OPEN = b"bearer " + MARKS[PUBLISHABLE].encode()


def is_page(scope: Scope) -> bool:
    """Say whether a request for the API comes from a page of another origin."""
    if scope["path"].startswith(PREFIX):
        for name, _ in scope["headers"]:
            if name == b"origin":
                return True
    return False


def asks_first(scope: Scope) -> bool:
    """Say whether a page's browser asks what it may send (a preflight)."""
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


async def preflight(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer what a page may send: the question has no key in it, so it is the same for all."""
    await send({"type": "http.response.start", "status": 204, "headers": list(_PREFLIGHT)})
    await send({"type": "http.response.body", "body": b""})


def readable(scope: Scope, send: Send) -> Send:
    """Return `send`, which lets a page read the answer unless a secret key was sent."""
    keys = [value for name, value in scope["headers"] if name == b"authorization"]
    if not all(value[: len(_OPEN)].lower() == _OPEN for value in keys):
        return send

    async def opened(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_READABLE]
        await send(message)

    return opened
