"""The API reference, made from what the application says of itself: it cannot be out of date."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from paydesk.web.pages import reference
from paydesk.web.pages.render import ServiceOf, for_people, render


def routes(service_of: ServiceOf) -> list[BaseRoute]:
    """Return the route of the reference."""
    return [Route("/docs", Docs(service_of).page, methods=["GET"])]


class Docs:
    """The reference's handler."""

    def __init__(self, service_of: ServiceOf) -> None:
        self._service_of = service_of

    @for_people
    async def page(self, request: Request) -> Response:
        """Show every call of the API."""
        here = self._service_of(request)
        description = request.app.openapi()
        return render(
            "docs.html",
            base=here.settings.public_url,
            version=description["info"]["version"],
            groups=reference.groups(description, here.settings.public_url),
            errors=reference.error_rows(),
            colored=reference.colored,
            test=not here.gateway.livemode,
        )
