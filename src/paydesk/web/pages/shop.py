"""What makes buyers' pages the shop's own: its logo, if that is a file of ours, and the styles of its colour."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from paydesk.errors import NotFound
from paydesk.storefront import stylesheet, theme_version
from paydesk.web.pages.assets import ASKED, KEPT
from paydesk.web.pages.render import ServiceOf

HARMLESS = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""The policy of a picture that somebody opens by itself: an SVG is a document then, and may run nothing."""


def routes(service_of: ServiceOf) -> list[BaseRoute]:
    """Return the routes of the logo and the styles."""
    looks = Looks(service_of)
    return [
        Route("/shop/logo", looks.logo, methods=["GET"]),
        Route("/shop/theme.css", looks.theme, methods=["GET"]),
    ]


class Looks:
    """The handlers. What they answer changes with the catalogue, so its version stands in every page's address of it."""

    def __init__(self, service_of: ServiceOf) -> None:
        self._service_of = service_of

    async def logo(self, request: Request) -> Response:
        """Return the logo's file."""
        logo = self._service_of(request).catalog.shop.logo
        if logo is None or not logo.body:
            raise NotFound("this shop has no logo here")
        headers = {"Content-Security-Policy": HARMLESS}
        return _kept(request, logo.body, logo.media_type, logo.version, headers)

    async def theme(self, request: Request) -> Response:
        """Return the styles."""
        accent = self._service_of(request).catalog.shop.accent
        if accent is None:
            raise NotFound("this shop has no colour of its own")
        return _kept(request, stylesheet(accent).encode(), "text/css; charset=utf-8", theme_version(accent), {})


def _kept(request: Request, body: bytes, media_type: str, version: str, headers: dict[str, str]) -> Response:
    """Return what browsers may keep under its version, and ask for again without."""
    every = {
        "ETag": f'"{version}"',
        "Cache-Control": KEPT if request.query_params.get("v") == version else ASKED,
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        **headers,
    }
    if f'"{version}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=every)
    return Response(body, media_type=media_type, headers=every)
