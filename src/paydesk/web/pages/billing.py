"""The link `/billing/{token}` that a chat gives: it leads one person to Stripe's customer portal.

Opening it makes nothing, because messengers open links to preview them; pressing its button makes the portal's session.
"""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from paydesk import portal
from paydesk.chat.texts import Words
from paydesk.errors import NotFound, PaydeskError, StripeUnavailable, TooMany
from paydesk.service import Service
from paydesk.web.limits import Gate
from paydesk.web.pages.link import HEADERS, PRESSES, PRESSES_OF_ADDRESS, onward, payment_origins, spoken, words_for
from paydesk.web.pages.render import ServiceOf, for_people, refusal, render

log = logging.getLogger("paydesk.pages")


def routes(service_of: ServiceOf) -> list[BaseRoute]:
    """Return the routes of the link."""
    link = BillingLink(service_of)
    return [
        Route("/billing/{token}", link.show, methods=["GET"]),
        Route("/billing/{token}", link.press, methods=["POST"]),
    ]


class BillingLink:
    """The link's handlers."""

    def __init__(self, service_of: ServiceOf) -> None:
        self._service_of = service_of
        self._presses = Gate(PRESSES, PRESSES_OF_ADDRESS)

    @for_people
    async def show(self, request: Request) -> Response:
        """Show the button. Makes nothing."""
        here = self._service_of(request)
        token = request.path_params["token"]
        try:
            customer = portal.who(here.vault, token)
        except NotFound:
            return _page(here, await words_for(here, request), 404, "unknown", token)
        return _page(here, await words_for(here, request, customer), 200, "open", token)

    @for_people
    async def press(self, request: Request) -> Response:
        """Send the person to the portal."""
        here = self._service_of(request)
        token = request.path_params["token"]
        try:
            self._presses.admit(request, token[:64])
            customer = portal.who(here.vault, token)
        except TooMany as error:
            return refusal(error, request.url.path, here.catalog.shop)
        except NotFound:
            return _page(here, await words_for(here, request), 404, "unknown", token)
        words = await words_for(here, request, customer)
        try:
            url = await portal.address(here.store, here.gateway, customer, here.settings.public_url)
        except PaydeskError as error:
            log.warning("the portal of %s could not be opened: %s", customer, error.message)
            away = isinstance(error, StripeUnavailable)
            return _page(here, words, 503 if away else error.status, "unavailable" if away else "refused", token)
        return onward(here, words, url)


def _page(here: Service, words: Words, status: int, state: str, token: str) -> Response:
    values = {"state": state, "token": token, "watch": "", "test": not here.gateway.livemode, **spoken(words)}
    targets = payment_origins(here.settings)
    return render(
        "billing.html", status=status, headers=HEADERS, form_targets=targets, shop=here.catalog.shop, **values
    )
