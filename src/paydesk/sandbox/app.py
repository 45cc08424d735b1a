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
    catalog,
    charges,
    checkout,
    checkout_pay,
    customers,
    endpoints,
    events,
    intents,
    methods,
    own_calls,
    pages,
    refunds,
)
from .calls import Operation
from .errors import unknown_url
from .manners import Manners
from .world import World

OPERATIONS: list[Operation] = [
    operation
    for module in (
        checkout, checkout_pay, intents, customers, catalog, methods, charges, refunds, balance, events, endpoints,
        account_call,
    )
    for operation in module.OPERATIONS
]  # fmt: skip

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
    routes = [*_api_routes(manners), *own_calls.routes(world), *pages.routes(world)]

    async def refused(request: Request, _: Exception) -> Response:
        return manners.refuse(request, unknown_url(request.method, request.url.path))

    app = Starlette(routes=routes, lifespan=_lifespan(world), exception_handlers={HTTPException: refused})
    app.state.world = world
    return app


def _api_routes(manners: Manners) -> list[Route]:
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
