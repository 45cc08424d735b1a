"""The payable link `/r/{token}`: it always leads somewhere sensible.

Opening it makes nothing, because messengers open links to preview them; pressing its button makes the Checkout
session, or finds the open one. Coming back from Stripe proves nothing: what the page says is our order's status.
"""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from paydesk import books, checkout, customers, form
from paydesk.chat.texts import Words, rendering, short
from paydesk.config import STRIPE_API_BASE, Settings
from paydesk.errors import NotFound, PaydeskError, StripeRefused, TooMany
from paydesk.ledger import MONEY_MOVES
from paydesk.service import Service
from paydesk.store import Record
from paydesk.web.limits import Gate, Rate
from paydesk.web.pages.render import ServiceOf, for_people, refusal, render
from paydesk.web.pages.visitor import language_of

log = logging.getLogger("paydesk.pages")

ORIGINS = ["https://checkout.stripe.com", "https://invoice.stripe.com", "https://billing.stripe.com"]
"""Where Stripe has its pages: Checkout, bills, and the customer portal."""

HEADERS = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow"}
PRESSES = Rate(burst=10, per_s=0.2)
PRESSES_OF_ADDRESS = Rate(burst=60, per_s=1)

_TOKEN = re.compile(r"[0-9a-z]{16,64}", re.ASCII)


def routes(service_of: ServiceOf) -> list[BaseRoute]:
    """Return the routes of the payable link."""
    link = PayLink(service_of)
    return [
        Route("/r/{token}", link.show, methods=["GET"]),
        Route("/r/{token}", link.press, methods=["POST"]),
        Route("/r/{token}/status", link.status, methods=["GET"]),
    ]


class PayLink:
    """The link's handlers. Who presses is known by the link alone, so that is who is counted."""

    def __init__(self, service_of: ServiceOf) -> None:
        self._service_of = service_of
        self._presses = Gate(PRESSES, PRESSES_OF_ADDRESS)

    @for_people
    async def show(self, request: Request) -> Response:
        """Show what is bought and how it stands. Makes nothing."""
        here = self._service_of(request)
        order, words = await bought_by(here, request)
        if order is None:
            return _page(here, words, 404, {"state": "unknown"})
        return _page(here, words, 200, await _seen(here, order, words))

    @for_people
    async def press(self, request: Request) -> Response:
        """Send the buyer to Stripe's page, or back to the link when there is nothing to pay."""
        here = self._service_of(request)
        try:
            self._presses.admit(request, request.path_params["token"][:64])
        except TooMany as error:
            return refusal(error, request.url.path, here.catalog.shop)
        order, words = await bought_by(here, request)
        if order is None:
            return _page(here, words, 404, {"state": "unknown"})
        try:
            to = await checkout.open_session(here.store, here.gateway, order["id"], public_url=here.settings.public_url)
        except PaydeskError as error:
            return await _trouble(here, words, order, error)
        if to.url is None:
            return RedirectResponse(f"/r/{order['link_token']}", 303, {**HEADERS, "Cache-Control": "no-store"})
        return onward(here, words, to.url)

    async def status(self, request: Request) -> Response:
        """Return the state that the page shows, for the page to notice a change."""
        here = self._service_of(request)
        order = await order_of(here, request)
        body = {"state": await _state(here, order), "session": order["session"] is not None}
        return JSONResponse(body, headers={**HEADERS, "Cache-Control": "no-store"})


async def order_of(here: Service, request: Request) -> Record:
    """Return the order whose token stands in the address; raises `NotFound`."""
    token = request.path_params["token"]
    if not _TOKEN.fullmatch(token):
        raise NotFound("this link leads nowhere: ask for a new one in the chat")
    return await checkout.by_token(here.store, token)


async def bought_by(here: Service, request: Request) -> tuple[Record | None, Words]:
    """Return the order whose token stands in the address, `None` for a link that leads nowhere, and its reader's words."""
    try:
        order = await order_of(here, request)
    except NotFound:
        return None, await words_for(here, request)
    return order, await words_for(here, request, order["customer_id"])


async def _state(here: Service, order: Record) -> str:
    """Return how an order stands to its buyer; `elsewhere` is paid on a page of the shop's, by a payment of its own."""
    status: str = order["status"]
    state = form.STATES.get(status, status)
    return "elsewhere" if state == "open" and await checkout.has_payment(here.store, order["id"]) else state


async def _seen(here: Service, order: Record, words: Words) -> dict[str, Any]:
    """Return what the page shows of an order."""
    state = await _state(here, order)
    watch = state in ("pending", "elsewhere") or (state == "open" and order["session"] is not None)
    return {
        "state": state,
        "token": order["link_token"],
        "bill": order["mode"] == "invoice",
        "amount": order["amount"],
        "currency": order["currency"],
        "reference": short(order["id"]),
        "lines": await checkout.lines(here.store, order["id"]),
        "gave": await gave(here, order["id"], words) if state == "paid" else "",
        "watch": f"/r/{order['link_token']}" if watch else "",
        "chat": order["channel"] == "web",
        "form": form.publishable_key(here.settings) is not None and not form.hosted_only(order, here.settings),
    }


async def words_for(here: Service, request: Request, customer: str | None = None) -> Words:
    """Return the words of the language that a page asks for, that its person has, or that their browser wants."""
    asked = request.query_params.get("locale")
    known = await customers.locale_of(here.store, customer) if asked is None and customer is not None else None
    return here.conversation.texts.words(asked or known or language_of(request))


async def gave(here: Service, order: str, words: Words) -> str:
    """Return in words what a paid order is worth to its buyer now."""
    async with here.store.transaction() as tx:
        sources = await books.load_sources(tx, [order])
    kept = [source for _, source in sorted(sources.items()) if source.kind not in MONEY_MOVES and source.worth > 0]
    return rendering.given(words, [{**source.terms, "worth": source.worth} for source in kept], {}).strip()


async def _trouble(here: Service, words: Words, order: Record, error: PaydeskError) -> Response:
    """Show the order with what went wrong on the way to Stripe, and how to go on."""
    log.warning("the session of %s could not be opened: %s", order["id"], error.message)
    seen = {**await _seen(here, order, words), "watch": ""}
    if isinstance(error, StripeRefused):
        return _page(here, words, error.status, {**seen, "state": "refused"})
    return _page(here, words, 503, {**seen, "state": "unavailable"}, {"Retry-After": "10"})


def spoken(words: Words) -> dict[str, Any]:
    """Return what a template says its words and amounts with."""
    return {"say": words.say, "cash": words.money, "language": words.language}


def _page(
    here: Service, words: Words, status: int, values: dict[str, Any], headers: dict[str, str] | None = None
) -> Response:
    values = {"test": not here.gateway.livemode, "bill": False, "watch": "", "form": False, **spoken(words), **values}
    every = {**HEADERS, **(headers or {})}
    targets, shop = payment_origins(here.settings), here.catalog.shop
    return render("link.html", status=status, headers=every, form_targets=targets, shop=shop, **values)


def payment_origins(settings: Settings) -> list[str]:
    """Return the origins that our form may lead to: Stripe's pages, and the sandbox where one is set."""
    if settings.stripe_api_base == STRIPE_API_BASE:
        return ORIGINS
    return [*ORIGINS, origin_of(settings.stripe_api_base)]


def origin_of(address: str) -> str:
    """Return scheme, host and port of an address."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def onward(here: Service, words: Words, url: str) -> Response:
    """Redirect to the payment page. A custom Checkout domain is not in the content policy: there a page leads on."""
    if origin_of(url) in payment_origins(here.settings):
        return RedirectResponse(url, 303, {**HEADERS, "Cache-Control": "no-store"})
    headers = {**HEADERS, "Refresh": f"0; url={url}"}
    shown = {"url": url, "test": not here.gateway.livemode, **spoken(words)}
    return render("onward.html", headers=headers, shop=here.catalog.shop, **shown)
