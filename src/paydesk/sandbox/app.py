"""The sandbox as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import (
    account_call,
    balance,
    billing_rules,
    captures,
    cash_balance,
    catalog,
    charges,
    checkout,
    checkout_codes,
    checkout_pay,
    coupon_calls,
    credit_note_calls,
    customer_balance,
    customer_discounts,
    customers,
    direct_charges,
    disputes,
    elements_calls,
    endpoints,
    events,
    fraud_warnings,
    intents,
    invoice_calls,
    invoice_items,
    invoice_line_calls,
    invoice_previews,
    invoice_times,  # noqa: F401 (what is due for invoices happens from there)
    invoice_upcoming,
    listening,
    mandates,
    methods,
    own_calls,
    own_money_calls,
    pages,
    plans,
    portal,
    portal_page,
    refunds,
    schedule_calls,
    search,
    setup_attempts,
    setup_intents,
    shipping_rates,
    sources,
    subscription_calls,
    subscription_ends,
    subscription_followers,  # noqa: F401 (subscriptions follow their invoices from there)
    subscription_items,
    tax_rates,
    test_clocks,
    tokens,
)
from .calls import Operation
from .manners import Manners
from .unbuilt import refused_call
from .world import World

# In order of their paths, so that `/search` comes before `/{id}` for whoever looks for the first that fits.
OPERATIONS: list[Operation] = sorted((
    operation
    for module in (
        checkout, checkout_pay, intents, customers, catalog, plans, methods, charges, refunds, balance, events, endpoints,
        account_call, captures, cash_balance, direct_charges, disputes, fraud_warnings, mandates, setup_attempts, setup_intents,
        portal, search, shipping_rates, sources, tax_rates, tokens,
        checkout_codes, coupon_calls, credit_note_calls, customer_balance, customer_discounts, invoice_calls, invoice_items,
        invoice_line_calls,
        invoice_previews, invoice_upcoming,
        subscription_calls, subscription_ends, subscription_items, schedule_calls, test_clocks, listening,
    )
    for operation in module.OPERATIONS
), key=lambda one: one.path)  # fmt: skip

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


def create_app(
    *, public_url: str, data: Path | None = None, webhook: tuple[str, str] | None = None, gap_factor: float = 1.0
) -> Starlette:
    """The sandbox, reachable under `public_url`.

    `data` is a file that keeps everything across restarts. `webhook` is an address and its `whsec_` secret, for the
    events of every account. `gap_factor` multiplies the pauses between attempts of a webhook.
    """
    world = World(public_url=public_url, data=data, webhook=webhook, gap_factor=gap_factor)
    manners = Manners(world)
    routes = [
        *_api_routes(manners), *own_calls.routes(world), *own_money_calls.routes(world), *billing_rules.routes(world),
        *elements_calls.routes(world), *portal_page.routes(world, OPERATIONS), *pages.routes(world),
    ]  # fmt: skip

    async def refused(request: Request, _: Exception) -> Response:
        return manners.refuse(request, refused_call(request.method, request.url.path))

    app = Starlette(routes=routes, lifespan=_lifespan(world), exception_handlers={HTTPException: refused})
    app.router.redirect_slashes = False  # Stripe answers 404 to a slash too many
    app.state.world = world
    return app


def _api_routes(manners: Manners) -> list[Route]:
    """A route for each call."""
    return [Route(one.path, _endpoint(manners, one), methods=[one.method]) for one in OPERATIONS]


def _endpoint(manners: Manners, operation: Operation) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await manners.answer(request, operation)

    return endpoint


def _lifespan(world: World) -> Callable[[Starlette], Any]:
    """Keep the time line running, take up waiting webhooks, close the file at the end."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        world.resume_deliveries()
        world.flush()
        running = asyncio.create_task(world.timeline.run(world.flush))
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await world.courier.stop()
            world.flush()
            world.journal.close()

    return lifespan
