"""Rendering: templates that escape everything, and the headers that every page carries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Protocol, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from paydesk import money
from paydesk.chat.texts import ENGLISH
from paydesk.clock import iso
from paydesk.errors import PaydeskError
from paydesk.service import Service
from paydesk.storefront import NOBODY, Shop, theme_version
from paydesk.web.pages.assets import address

ServiceOf = Callable[[Request], Service]


class Handlers(Protocol):
    """What a page's handlers belong to."""

    _service_of: ServiceOf


T = TypeVar("T", bound=Handlers)

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["asset"] = address
_environment.filters["money"] = money.display
_environment.filters["iso"] = iso
_environment.globals["theme_version"] = theme_version


def policy(
    form_targets: Sequence[str] = (), more: Mapping[str, str] | None = None, logo_origin: str | None = None
) -> str:
    """Return the content policy. `form_targets` are origins that a form's answer may redirect to, besides our own.

    `more` has sources to allow besides, by directive; pictures may come from `logo_origin`.
    """
    allowed = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": " ".join(("'self' data:", *([logo_origin] if logo_origin is not None else ()))),
        "connect-src": "'self'",
        "form-action": " ".join(("'self'", *form_targets)),
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    for directive, sources in (more or {}).items():
        allowed[directive] = f"{allowed.get(directive, '')} {sources}".strip()
    return "; ".join(f"{directive} {sources}" for directive, sources in allowed.items())


def render(
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    form_targets: Sequence[str] = (),
    allowed: Mapping[str, str] | None = None,
    shop: Shop = NOBODY,
    **values: Any,
) -> HTMLResponse:
    """Return a page made of `template` with `values`, under the content policy and never stored by anybody.

    It looks like `shop`'s, whose logo is the only thing that it may load from elsewhere besides what is `allowed`.
    """
    body = _environment.get_template(template).render({"say": ENGLISH.say, "shop": shop, **values})
    every = {**HEADERS, "Content-Security-Policy": policy(form_targets, allowed, shop.logo_origin), **(headers or {})}
    return HTMLResponse(body, status, every)


def notice(
    status: int,
    title: str,
    text: str,
    *,
    again: str | None = None,
    headers: Mapping[str, str] | None = None,
    shop: Shop = NOBODY,
) -> Response:
    """Return a page that says one thing. `again` is the address of its "Try again" button."""
    return render("notice.html", status=status, headers=headers, shop=shop, title=title, text=text, again=again)


def refusal(error: PaydeskError, again: str | None, shop: Shop) -> Response:
    """Return the page for an error of ours: what happened and what to do, without inner details."""
    if error.status == 503:
        text = "Nothing was lost and nothing was charged. It usually passes within a minute."
        return notice(503, "We cannot answer just now", text, again=again, headers=_retry(error), shop=shop)
    if error.status == 429:
        text = f"Nothing was lost and nothing was charged. In {error.retry_after_s} seconds it works again."
        return notice(429, "That was a lot at once", text, again=again, headers=_retry(error), shop=shop)
    if error.status == 404:
        return notice(
            404, "There is nothing here", "The address may be incomplete, or what it led to is gone.", shop=shop
        )
    return notice(error.status, "That did not work", error.message, shop=shop)


def _retry(error: PaydeskError) -> dict[str, str]:
    return {"Retry-After": str(error.retry_after_s)} if error.retry_after_s is not None else {}


def for_people(
    handler: Callable[[T, Request], Awaitable[Response]],
) -> Callable[[T, Request], Awaitable[Response]]:
    """Let a page's handler answer our errors with a page instead of JSON."""

    @wraps(handler)
    async def guarded(self: T, request: Request) -> Response:
        try:
            return await handler(self, request)
        except PaydeskError as error:
            again = request.url.path if request.method == "GET" else None
            return refusal(error, again, self._service_of(request).catalog.shop)

    return guarded
