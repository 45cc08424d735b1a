"""The library's way to the service in this very process, on the database of the settings.

The same application answers as over HTTP, without a network in between: checks, idempotency and errors are the same.
"""

from __future__ import annotations

import asyncio
import atexit
import secrets
import threading
from collections.abc import Coroutine, MutableMapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import httpx

from paydesk.app import create_app
from paydesk.config import Secret, Settings, require_stripe
from paydesk.errors import PaydeskError
from paydesk.library_asking import Request, Told

T = TypeVar("T")

CLOSED = "this manager is closed: make another one"


class AsyncLocalLine:
    """Carries requests to a service of its own, opened by the first one, on the event loop of whoever asks first.

    With `work` it also settles what Stripe tells and delivers messages, as `paydesk work` does.
    """

    def __init__(self, settings: Settings, *, work: bool) -> None:
        require_stripe(settings)
        key = settings.api_key or Secret(f"pdk_{secrets.token_hex(32)}")
        self._settings = replace(settings, api_key=key)
        self._work = work
        self._opening = asyncio.Lock()
        self._running: _Running | None = None
        self._closed = False

    async def ask(self, request: Request) -> Told:
        """Carry one request and return its answer; raises `SettingError` when the service does not start."""
        running = self._running or await self._open()
        answer = await running.client.request(
            request.method, request.path, content=request.content(), headers=request.headers(), params=request.query()
        )
        return Told(answer.status_code, answer.content, answer.headers.get("retry-after"))

    async def close(self) -> None:
        """Take the service down, and stop the embedded database if nobody else uses it."""
        async with self._opening:
            self._closed = True
            running, self._running = self._running, None
            if running is not None:
                await running.stop()

    async def _open(self) -> _Running:
        async with self._opening:
            if self._closed:
                raise RuntimeError(CLOSED)
            if self._running is None:
                self._running = await _Running.start(self._settings, work=self._work)
            return self._running


class _Running:
    """The application, alive: its lifespan runs in a task, its requests pass without a network."""

    def __init__(self, settings: Settings, *, work: bool) -> None:
        self._app = create_app(settings, work=work)
        self._to_app: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        lifespan = self._app({"type": "lifespan"}, self._to_app.get, self._from_app.put)
        self._task = asyncio.create_task(lifespan, name="paydesk")
        assert settings.api_key is not None  # noqa: S101 - the line has set it
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self._app, raise_app_exceptions=False),
            base_url="http://paydesk",
            headers={"Authorization": f"Bearer {settings.api_key.reveal()}"},
        )

    @classmethod
    async def start(cls, settings: Settings, *, work: bool) -> _Running:
        """Return the application once it has started; raises what has kept it from that."""
        running = cls(settings, work=work)
        try:
            await running._pass("startup")
        except BaseException:  # also when whoever asked has given up meanwhile: nobody would ever stop it
            running._task.cancel()
            await asyncio.gather(running._task, return_exceptions=True)
            raise
        return running

    async def stop(self) -> None:
        """Return when the application has ended."""
        await self.client.aclose()
        await self._pass("shutdown")
        await self._task

    async def _pass(self, stage: str) -> None:
        await self._to_app.put({"type": f"lifespan.{stage}"})
        told = await self._from_app.get()
        if told["type"] != f"lifespan.{stage}.complete":
            raise self._app.failure or PaydeskError(f"the service failed at its {stage}")


class LocalLine:
    """The same for threads: the service lives on an event loop in a thread of its own, which ends with `close`.

    A program that forgets to close it is closed when it ends.
    """

    def __init__(self, settings: Settings, *, work: bool) -> None:
        self._line = AsyncLocalLine(settings, work=work)
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._ends_with_program = False

    def ask(self, request: Request) -> Told:
        """Carry one request and return its answer, from any thread; raises `SettingError` when nothing starts."""
        told = self._wait(self._line.ask(request))
        if (
            not self._ends_with_program
        ):  # only now: what is registered later ends earlier, and we end before the database
            self._ends_with_program = True
            atexit.register(self._close_at_exit)
        return told

    def close(self) -> None:
        """Take the service down and end its thread. Again, it does nothing."""
        with self._starting:
            self._closed = True
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        atexit.unregister(self._close_at_exit)
        try:
            asyncio.run_coroutine_threadsafe(self._line.close(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()

    def _close_at_exit(self) -> None:
        with suppress(Exception):  # threads to help with it cannot be had any more: what they did, ends by itself
            self.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            loop = self._started()
        except RuntimeError:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._closed:
                raise RuntimeError(CLOSED)
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_live, args=(self._loop,), name="paydesk", daemon=True)
                self._thread.start()
            return self._loop


def _live(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until somebody stops it."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
