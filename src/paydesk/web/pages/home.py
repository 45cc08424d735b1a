"""The landing page of an installation, and the pages for what is not there or went wrong."""

from __future__ import annotations

from importlib.metadata import version

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from paydesk.service import Service
from paydesk.storefront import Shop
from paydesk.web.pages.render import ServiceOf, for_people, notice, render

NOTICES = {
    404: ("There is nothing here", "The address may be incomplete, or what it led to is gone."),
    405: ("That does not work here", "This address cannot be used in that way."),
    413: ("That is too much", "What was sent is larger than we take."),
}


def routes(service_of: ServiceOf) -> list[BaseRoute]:
    """Return the route of the landing page."""
    return [Route("/", Home(service_of).page, methods=["GET"])]


class Home:
    """The landing page's handler."""

    def __init__(self, service_of: ServiceOf) -> None:
        self._service_of = service_of

    @for_people
    async def page(self, request: Request) -> Response:
        """Show what runs here and where to go."""
        here = self._service_of(request)
        return render(
            "home.html",
            shop=here.catalog.shop,
            version=version("paydesk"),
            test=not here.gateway.livemode,
            sandbox=here.settings.stripe_api_base if here.settings.sandbox else None,
            products=list(here.catalog.products.values()),
            public_url=here.settings.public_url,
        )


async def not_found(request: Request, error: Exception) -> Response:
    """Return the page for an address that leads nowhere, or for another refusal of the router."""
    status = error.status_code if isinstance(error, HTTPException) else 404
    title, text = NOTICES.get(status, ("That did not work", "The request could not be answered."))
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else None
    return notice(status, title, text, headers=headers, shop=_shop_of(request))


async def failed(request: Request, error: Exception) -> Response:
    """Return the page for a mistake of ours, with the request's number for whoever reads the log."""
    number = getattr(request.state, "id", None)
    text = "The mistake is ours and is in our log. Nothing was charged because of it."
    text = f"{text} Request {number}." if number else text
    return notice(500, "Something went wrong here", text, again=request.url.path, shop=_shop_of(request))


def _shop_of(request: Request) -> Shop:
    here: Service = request.app.state.service
    return here.catalog.shop
