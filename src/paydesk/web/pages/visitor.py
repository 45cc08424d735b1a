"""Who is at the browser: a random id in a cookie, which is the visitor's external id on the channel `web`.

The id is the only key to the thread, so it is unguessable, never readable by scripts, and never in an address.
"""

from __future__ import annotations

import re
import secrets
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from paydesk.channels.base import Address
from paydesk.config import Settings
from paydesk.errors import Forbidden

CHANNEL = "web"
COOKIE = "paydesk_visitor"
YEAR_S = 365 * 86_400
_ID = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)
_LANGUAGE = re.compile(r"\s*([a-z]{2,3}(?:-[A-Za-z]{2,4})?)\s*(?:[,;]|$)", re.ASCII)


def new_visitor() -> str:
    """Return a fresh id with 192 random bits."""
    return secrets.token_urlsafe(24)


def visitor_of(request: Request) -> str | None:
    """Return the visitor's id, or `None` without a well-formed cookie."""
    value = request.cookies.get(COOKIE, "")
    return value if _ID.fullmatch(value) else None


def thread_of(request: Request) -> Address:
    """Return the visitor's thread; raises `Forbidden` when the browser has none yet."""
    visitor = visitor_of(request)
    if visitor is None:
        raise Forbidden("open /chat first: this browser has no conversation yet", code="no_conversation")
    return Address(CHANNEL, visitor)


def remember(response: Response, visitor: str, settings: Settings) -> None:
    """Keep the visitor's id in the browser for another year."""
    response.set_cookie(
        COOKIE,
        visitor,
        max_age=YEAR_S,
        path="/chat",
        httponly=True,
        samesite="lax",
        secure=settings.public_url.startswith("https:"),
    )


def require_own_page(request: Request, settings: Settings) -> None:
    """Raise `Forbidden` when another site's page sent the request.

    Browsers say where a POST comes from; a caller that says nothing is no browser, and has nobody's cookies.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        raise Forbidden("this is only for our own pages", code="foreign_origin")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc not in (
        urlsplit(settings.public_url).netloc,
        request.headers.get("host"),
    ):
        raise Forbidden("this is only for our own pages", code="foreign_origin")


def language_of(request: Request) -> str | None:
    """Return the language that the browser asks for first, or `None`."""
    found = _LANGUAGE.match(request.headers.get("accept-language", ""))
    return found.group(1) if found else None
