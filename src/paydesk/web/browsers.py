"""Pages on other origins: browsers ask before they call us, and read our answers only where we say that they may.

Only what stands in a page anyway opens the API to pages: a publishable key, or no key at all. An answer to a secret key
says nothing, so no browser shows it to a page: a secret key that was put into one by mistake does not work there. A key
that is bound to origins is read by pages of those alone. Cookies are never meant. Whoever is no browser sends no `Origin`,
and pays nothing for this.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from paydesk.errors import Forbidden
from paydesk.keys import MARKS, PUBLISHABLE
from paydesk.web.asgi import Receive, Scope, Send

PREFIXES = ("/v1/", "/api/")
MAX_AGE_S = 86_400
ORIGIN_MAX = 300
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
_EXPOSED = (b"access-control-expose-headers", READ)
_READABLE = (_ANYBODY, _EXPOSED)
_VARIES = (b"vary", b"Origin")
_BOUND = "origins"
"""Where on a request it stands to which origins its key is bound."""

_OPEN = b"bearer " + MARKS[PUBLISHABLE].encode()


def is_page(scope: Scope) -> bool:
    """Say whether a request for the API comes from a page of another origin."""
    if scope["path"].startswith(PREFIXES):
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
    """Return `send`, which lets a page read the answer unless a secret key was sent, or a key of other pages."""
    keys = [value for name, value in scope["headers"] if name == b"authorization"]
    if not all(value[: len(_OPEN)].lower() == _OPEN for value in keys):
        return send

    async def opened(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_told(scope)]
        await send(message)

    return opened


def _told(scope: Scope) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that say who may read an answer."""
    bound = scope.get("state", {}).get(_BOUND)
    if bound is None:
        return _READABLE
    origin = _origin_of(scope)
    if origin not in bound:
        return (_VARIES,)
    return (b"access-control-allow-origin", origin.encode("latin-1")), _EXPOSED, _VARIES


def require_origin(scope: Scope, origins: frozenset[str]) -> None:
    """Raise `Forbidden` unless a request comes from a page of one of these origins; note them for its answer."""
    scope.setdefault("state", {})[_BOUND] = origins
    origin = _origin_of(scope)
    if origin not in origins:
        told = f"not in those of {origin}" if origin else "and your request does not say where it comes from"
        raise Forbidden(f"this key works in pages of {', '.join(sorted(origins))} alone, {told}", code="foreign_origin")


def _origin_of(scope: Scope) -> str:
    """Return the origin that a browser tells, nothing for who is none or hides it."""
    found = next((value for name, value in scope["headers"] if name == b"origin"), b"")
    text: str = found.decode("latin-1")
    return text if text.isprintable() and len(text) <= ORIGIN_MAX else ""
