"""The front: one ASGI application. Webhooks and what moves credits are answered right here, the rest by API and pages."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from paydesk.config import Settings
from paydesk.service import Service
from paydesk.telemetry import begin_request, end_request
from paydesk.web import browsers
from paydesk.web.asgi import Receive, Scope, Send
from paydesk.web.hooks import STRIPE_PATHS, StripeHook
from paydesk.web.whole import only_by_messages

Lifespan = Callable[[], AbstractAsyncContextManager[Service]]


class Front:
    """Routes by path. Without a webhook secret there is no webhook: its paths answer 404 like any unknown one.

    `failure` is what kept the service from starting or from stopping well.
    """

    def __init__(self, settings: Settings, lifespan: Lifespan) -> None:
        self._settings = settings
        self._lifespan = lifespan
        self._hook: StripeHook | None = None
        self._wallet: Any = None
        self._access: Any = None
        self._channels: Any = None
        self._inner: Any = None
        self.failure: Exception | None = None
        self._starting: asyncio.Task[Any] | None = None
        self._abandoned = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection of the server."""
        if scope["type"] == "http":
            begun = begin_request()
            try:
                await self._answer(scope, receive, send)
            finally:
                end_request(begun)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. It has its number from here on: in every line that is logged, and in what is answered."""
        if self._inner is None:
            raise RuntimeError("Paydesk is mounted but does not run: give your own app lifespan=desk.running")
        if self._hook is not None and scope["path"] in STRIPE_PATHS:
            await self._hook(scope, receive, send)
            return
        if browsers.is_page(scope):
            if browsers.asks_first(scope):
                await browsers.preflight(scope, receive, send)
                return
            send = browsers.readable(scope, send)
            only_by_messages(scope)
        if self._access.takes(scope["path"]):
            await self._access(scope, receive, send)
        elif self._wallet.call_of(scope["path"]) is not None:
            await self._wallet(scope, receive, send)
        elif self._channels.takes(scope["path"]):
            await self._channels(scope, receive, send)
        else:
            await self._inner(scope, receive, send)

    @asynccontextmanager
    async def running(self, _app: object = None) -> AsyncIterator[None]:
        """Run as long as this is entered: the lifespan of an application that we are mounted in, which starts no other.

        `FastAPI(lifespan=desk.running)` and `app.mount("/", desk)`, after your own routes.
        """
        async with self._lifespan() as service:
            self._open(service)
            yield

    def abandon(self) -> None:
        """Give up a start that is under way: what was built is taken down, and the server is told that it failed.

        Does nothing once we have started; before the start has begun it is given up as soon as it does.
        """
        self._abandoned = True
        if self._starting is not None:
            self._starting.cancel()

    async def _live(self, receive: Receive, send: Send) -> None:
        """Build the service when the server starts, take it down when the server stops."""
        await receive()
        self._starting = asyncio.current_task()
        stage = "startup"
        try:
            if self._abandoned:
                raise asyncio.CancelledError
            async with self.running():
                self._starting, stage = None, "shutdown"
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, Exception):
                self.failure = error
            elif not self._abandoned:
                raise
            await send({"type": f"lifespan.{stage}.failed", "message": ""})
            return
        await send({"type": "lifespan.shutdown.complete"})

    def _open(self, service: Service) -> None:
        from paydesk.web.access import AccessCalls
        from paydesk.web.application import build
        from paydesk.web.channel_hooks import ChannelHooks
        from paydesk.web.wallet import WalletCalls

        self._inner = build(service)
        self._wallet = WalletCalls(service, self._inner.state.keys)
        self._access = AccessCalls(service, self._inner.state.keys)
        self._channels = ChannelHooks(service)
        gc.collect()
        gc.freeze()  # what is built now lives as long as we do: the collector need not walk it again and again
        if self._settings.stripe_webhook_secrets:
            self._hook = StripeHook(service.receiver, self._settings.stripe_webhook_secrets)
