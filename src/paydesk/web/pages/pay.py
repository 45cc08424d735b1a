"""The payment form `/pay/{token}` on our own page, and the few calls that it makes, also from pages of other origins.

The token is the order's payable link, which people hand to whoever pays for them: who has it may see what is bought,
and pay it. Opening makes nothing; pressing makes the order's intent. Whether it is paid is the order's status.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from paydesk import checkout, form
from paydesk.chat.texts import Words, short
from paydesk.chat.texts.forms import FORMS, REASONS
from paydesk.chat.texts.words import category
from paydesk.config import STRIPE_API_BASE
from paydesk.errors import PaydeskError
from paydesk.service import Service
from paydesk.store import Record
from paydesk.web.limits import Gate
from paydesk.web.pages.link import (
    HEADERS,
    PRESSES,
    PRESSES_OF_ADDRESS,
    bought_by,
    gave,
    order_of,
    origin_of,
    payment_origins,
    spoken,
    words_for,
)
from paydesk.web.pages.render import ServiceOf, for_people, render

log = logging.getLogger("paydesk.pages")

OPEN_TO_ALL = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""The answers carry no cookie and ask for none: who has the token has it in every page."""

BACK_FROM_BANK = "paydesk_order"
"""What the address that a bank leads back to bears, as paydesk-form.js says."""

Handler = Callable[["PayForm", Request], Awaitable[dict[str, Any]]]


def routes(service_of: ServiceOf) -> list[BaseRoute]:
    """Return the routes of the form."""
    pay = PayForm(service_of)
    return [
        Route("/pay/config", pay.config, methods=["GET"]),
        Route("/pay/preview", pay.preview, methods=["GET"]),
        Route("/pay/{token}", pay.show, methods=["GET"]),
        Route("/pay/{token}/form", pay.form, methods=["GET"]),
        Route("/pay/{token}/status", pay.status, methods=["GET"]),
        Route("/pay/{token}/press", pay.press, methods=["POST"]),
        Route("/pay/{token}/look", pay.look, methods=["POST"]),
    ]


def for_scripts(handler: Handler) -> Callable[[PayForm, Request], Awaitable[Response]]:
    """Let a handler answer scripts of any origin, errors included: a browser hides what it may not read."""

    @wraps(handler)
    async def answered(self: PayForm, request: Request) -> Response:
        try:
            return JSONResponse(await handler(self, request), headers=OPEN_TO_ALL)
        except PaydeskError as error:
            if error.status >= 500:
                log.warning("%s %s: %s", request.state.id, request.url.path, error.message)
            again = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
            return JSONResponse(error.body(request.state.id), error.status, headers={**OPEN_TO_ALL, **again})

    return answered


class PayForm:
    """The form's handlers. Who presses is known by the link alone, so that is who is counted."""

    def __init__(self, service_of: ServiceOf) -> None:
        self._service_of = service_of
        self._presses = Gate(PRESSES, PRESSES_OF_ADDRESS)
        self._looks = Gate(PRESSES, PRESSES_OF_ADDRESS)

    @for_people
    async def show(self, request: Request) -> Response:
        """Show what is bought, how it stands, and the form while it can be paid. Makes nothing."""
        here = self._service_of(request)
        order, words = await bought_by(here, request)
        if order is None:
            return _page(here, 404, words, {"state": "unknown"})
        seen = await _seen(here, order, words)
        if seen["state"] == "open" and seen["hosted_only"]:
            return RedirectResponse(seen["link"], 303, {**HEADERS, "Cache-Control": "no-store"})
        just_paid = request.query_params.get("just") == "paid" or BACK_FROM_BANK in request.query_params
        return _page(here, 200, words, {**seen, "token": order["link_token"], "just_paid": just_paid})

    @for_scripts
    async def config(self, request: Request) -> dict[str, Any]:
        """Return what Stripe.js is started with, and what the elements say in the language that is asked for."""
        here = self._service_of(request)
        words = await words_for(here, request)
        return {
            "publishable_key": form.publishable_key(here.settings),
            "stripe_js": form.stripe_js(here.settings),
            "debug": here.settings.stripe_debug,
            "livemode": here.gateway.livemode,
            "locale": words.language,
            "texts": {name: words.say_with(name, _KEPT) for name in (*FORMS, "button_pay")},
            "reasons": {code: words.say(name) for code, name in REASONS.items()},
            "units": {unit: _nouns(unit, words) for unit in sorted(here.catalog.units())},
        }

    @for_scripts
    async def preview(self, request: Request) -> dict[str, Any]:
        """Return what `form` would say of an order for a price of the catalogue, which nobody has made yet."""
        here = self._service_of(request)
        words = await words_for(here, request)
        quantity = request.query_params.get("quantity", "1")
        line = checkout.line_of(here.catalog, request.query_params.get("price", ""), _whole(quantity))
        amount = line.unit_amount * line.quantity
        wanted = form.as_ordered(line, amount)
        shown = {"name": line.name, "quantity": line.quantity, "unit_amount": line.unit_amount}
        return {
            "state": "open",
            "amount": amount,
            "currency": line.currency,
            "amount_text": words.money(amount, line.currency),
            "price_text": words.every(words.money(amount, line.currency), line.price),
            "lines": [_line(shown, line.currency, words)],
            "elements": form.elements(wanted),
            "intent_first": form.intent_first(wanted),
            "hosted_only": form.hosted_only(wanted, here.settings),
        }

    @for_scripts
    async def form(self, request: Request) -> dict[str, Any]:
        """Return what is bought, how it stands, and what Stripe's element is shown with."""
        here = self._service_of(request)
        order = await order_of(here, request)
        return await _seen(here, order, await words_for(here, request, order["customer_id"]))

    @for_scripts
    async def status(self, request: Request) -> dict[str, Any]:
        """Return how the order stands, for a page to notice a change."""
        here = self._service_of(request)
        return {"state": await form.state_of(here.store, await order_of(here, request))}

    @for_scripts
    async def press(self, request: Request) -> dict[str, Any]:
        """Make the order's intent, or find the one that is made, and return the secret that Stripe.js confirms."""
        here = self._service_of(request)
        self._presses.admit(request, request.path_params["token"][:64])
        order = await order_of(here, request)
        if form.hosted_only(order, here.settings):
            return {"state": "hosted", "client_secret": None}
        url = here.settings.public_url
        ready = await form.press(here.store, here.gateway, here.catalog, order["id"], public_url=url)
        here.bell.ring("inbox")
        return {"state": ready.state, "client_secret": ready.client_secret}

    @for_scripts
    async def look(self, request: Request) -> dict[str, Any]:
        """Ask Stripe how the payment stands, after the buyer has confirmed it; the state follows in a moment."""
        here = self._service_of(request)
        self._looks.admit(request, request.path_params["token"][:64])
        order = await order_of(here, request)
        await form.look(here.store, here.gateway, here.clock, order)
        here.bell.ring("inbox")
        return {"state": await form.state_of(here.store, order)}


_KEPT = {name: f"{{{name}}}" for name in ("amount", "day", "name")}
"""Placeholders that the page fills itself."""


async def _seen(here: Service, order: Record, words: Words) -> dict[str, Any]:
    """Return what page and script show of an order."""
    lines = await checkout.lines(here.store, order["id"])
    state = await form.state_of(here.store, order)
    price = here.catalog.find_price(lines[0]["price_key"]) if order["mode"] == "subscription" else None
    return {
        "order": order["id"],
        "state": state,
        "reference": short(order["id"]),
        "amount": order["amount"],
        "currency": order["currency"],
        "amount_text": words.money(order["amount"], order["currency"]),
        "price_text": words.every(words.money(order["amount"], order["currency"]), price),
        "lines": [_line(line, order["currency"], words) for line in lines],
        "gave": await gave(here, order["id"], words) if state == "paid" else "",
        "elements": form.elements(order),
        "intent_first": form.intent_first(order),
        "hosted_only": form.hosted_only(order, here.settings),
        "link": f"{here.settings.public_url}/r/{order['link_token']}",
        "begun": await checkout.has_payment(here.store, order["id"]),
        "back": (order["success_url"] if state == "paid" else order["cancel_url"]) or "",
    }


_COUNTED = (0, 1, 2, 3, 5, 11, 100)
"""Numbers among which each plural category of a language is met."""


def _nouns(unit: str, words: Words) -> dict[str, str]:
    """Return how things of a unit are called in each plural category that whole numbers have."""
    return {category(words.language, number): words.noun(unit, number) for number in _COUNTED}


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _line(line: Record | dict[str, Any], currency: str, words: Words) -> dict[str, Any]:
    return {
        "name": line["name"],
        "quantity": line["quantity"],
        "amount_text": words.money(line["unit_amount"] * line["quantity"], currency),
    }


def _page(here: Service, status: int, words: Words, values: dict[str, Any]) -> Response:
    """Return the page, whose content policy lets Stripe.js in: its script, its frames and its calls."""
    scripts = form.stripe_js(here.settings)
    allowed = _of_stripe() if here.settings.stripe_api_base == STRIPE_API_BASE else _of_sandbox(origin_of(scripts))
    headers = {
        **HEADERS,
        "Cross-Origin-Opener-Policy": "same-origin-allow-popups",  # wallets and banks open windows
    }
    every = {"test": not here.gateway.livemode, "lines": [], "back": "", **spoken(words)}
    targets, shop = payment_origins(here.settings), here.catalog.shop
    return render(
        "pay.html",
        status=status,
        headers=headers,
        form_targets=targets,
        allowed=allowed,
        shop=shop,
        **{**every, **values},
    )


def _of_stripe() -> dict[str, str]:
    """Return what Stripe.js needs, as Stripe's guide to content policies says."""
    own = "https://js.stripe.com https://*.js.stripe.com"
    return {
        "script-src": own,
        "frame-src": f"{own} https://hooks.stripe.com",
        "connect-src": "https://api.stripe.com",
        "img-src": "https://*.stripe.com",
        "style-src-attr": "'unsafe-inline'",
    }


def _of_sandbox(origin: str) -> dict[str, str]:
    return {"script-src": origin, "frame-src": origin, "connect-src": origin, "style-src-attr": "'unsafe-inline'"}
