"""How a Discord is reached: real HTTP on a free port, each request and answer checked against Discord's own description.

A wrong request is answered as Discord would and stands in `complaints`. Rate limits are counted and told as Discord
does; failures that a test plants come before everything else.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from aiohttp import web
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

from fakes.discord_shapes import CODES

SPEC = Path(__file__).parent.parent / "specs" / "discord-openapi.json"
HOST = "http://discord.test"
BASE = "/api/v10"

CUT, LOST, HANGING = 0, -1, -2
"""In the place of a status: the line is cut before anything is done, after it was done, or there is no answer at all."""

Answer = tuple[int, Any]


class Refused(Exception):
    """An answer with one of Discord's codes."""

    def __init__(self, status: int, code: int) -> None:
        self.status, self.code = status, code


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    query: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None


@cache
def contract() -> OpenAPI:
    """Discord's description, for a host of its own: reading it takes seconds."""
    spec = json.loads(SPEC.read_text())
    spec["servers"] = [{"url": HOST + BASE}]
    return OpenAPI.from_dict(spec)


def checked(method: str, path: str, body: bytes, headers: dict[str, str], query: dict[str, str]) -> MockRequest:
    """The request as it was checked; raises where Discord's description does not allow it."""
    kind = headers.get("content-type", "application/json").partition(";")[0]
    full = BASE + path
    mock = MockRequest(HOST, method.lower(), full, args=query, headers=headers, data=body or None, content_type=kind)
    contract().validate_request(mock)
    return mock


class DiscordWire:
    """Use it with `with`. `limits` are calls and seconds by route (`members/roles`), for all others `every`."""

    token: str

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        self.limits: dict[str, tuple[int, float]] = {}
        self.every = (50, 1.0)
        self.slow_s = 0.0
        self.too_fast = 0
        self.extra: dict[str, Callable[[], Any]] = {}
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}
        self._failures: list[tuple[str, str, Any]] = []
        self.app = web.Application(client_max_size=1 << 22)
        self.app.router.add_route("*", BASE + "/{rest:.*}", self._serve)

    def do(self, request: Request) -> Answer:
        """What is done and answered; raises `Refused`."""
        raise NotImplementedError

    # --- running -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self.loop).result(10)
        return self

    async def _open(self) -> None:
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self.base = self.url + BASE
        contract()

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    # --- planting and looking ----------------------------------------------------------------------------------------

    def fail_next(
        self, method: str, status: int, body: Any = None, headers: dict[str, str] | None = None, *,
        path: str = "", times: int = 1,
    ) -> None:  # fmt: skip
        """Answer the next calls whose path contains `path` with this; the constants above do worse."""
        self._failures += [(method, path, (status, body, headers or {}))] * times

    def refuse_next(self, method: str, status: int, code: int, *, path: str = "") -> None:
        """Answer the next call with one of Discord's own codes."""
        self.fail_next(method, status, {"code": code, "message": CODES[str(code)]}, path=path)

    def asked(self, method: str, part: str = "") -> list[Request]:
        return [one for one in self.requests if one.method == method and part in one.path]

    def forget(self) -> None:
        """Forget what was asked and planted, for the next test."""
        for kept in (self.requests, self.complaints, self._failures, self.limits, self._windows):
            kept.clear()
        self.slow_s, self.too_fast, self.every = 0.0, 0, (50, 1.0)

    # --- serving -----------------------------------------------------------------------------------------------------

    async def _serve(self, incoming: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in incoming.headers.items()}
        path, body = incoming.path.removeprefix(BASE), await incoming.read()
        request = Request(incoming.method, path, headers, body, dict(incoming.query))
        self.requests.append(request)
        await asyncio.sleep(self.slow_s)
        if path in self.extra:
            return _json(200, self.extra[path](), {})
        planted = self._planted(request)
        if planted is not None:
            if planted[0] == LOST:
                self._answer(request)
            return await _fail(incoming, *planted)
        slot = self._slot(request)
        if slot["X-RateLimit-Remaining"] == "-1":
            self.too_fast += 1
            return _slower(slot)
        return _json(*self._answer(request), slot)

    def _planted(self, request: Request) -> Any:
        for number, (method, path, failure) in enumerate(self._failures):
            if request.method == method and path in request.path:
                del self._failures[number]
                return failure
        return None

    def _slot(self, request: Request) -> dict[str, str]:
        """Count a call in its bucket: -1 remaining is one too many."""
        found = re.match(r"/(guilds|channels|webhooks)/[^/]+(/[^/]{30,})?", request.path)
        major = found.group() if found else ""
        kind = re.sub(r"/\d+", "", request.path[len(major) :]).strip("/")
        limit, window_s = self.limits.get(kind, self.every)
        start, used = self._windows.get((kind, major), (0.0, 0))
        now = time.monotonic()
        if now - start >= window_s:
            start, used = now, 0
        self._windows[kind, major] = (start, min(used + 1, limit))
        after_s = max(0.001, start + window_s - now)
        return {
            "X-RateLimit-Bucket": f"bucket-{kind}", "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(limit - used - 1),
            "X-RateLimit-Reset": f"{time.time() + after_s:.3f}", "X-RateLimit-Reset-After": f"{after_s:.3f}",
        }  # fmt: skip

    def _answer(self, request: Request) -> Answer:
        mock = self._checked(request)
        if mock is None:
            return 400, {"code": 50035, "message": "Invalid Form Body"}
        needs_bot = not request.path.startswith(("/webhooks/", "/interactions/"))
        if needs_bot and request.headers.get("authorization") != f"Bot {self.token}":
            return 401, {"code": 0, "message": "401: Unauthorized"}
        try:
            status, body = self.do(request)
        except Refused as refused:
            status, body = refused.status, {"code": refused.code, "message": CODES[str(refused.code)]}
        data, kind = (b"", "") if status == 204 else (json.dumps(body).encode(), "application/json")
        contract().validate_response(mock, MockResponse(data, status_code=status, content_type=kind))
        return status, body

    def _checked(self, request: Request) -> MockRequest | None:
        body = request.body
        if request.path == "/users/@me/channels" and body:
            told = json.loads(body)  # discord.py sends the id as a number, and Discord takes it
            body = json.dumps({**told, "recipient_id": str(told.get("recipient_id"))}).encode()
        try:
            if not request.headers.get("user-agent", "").startswith("DiscordBot ("):
                raise ValueError("a bot says who it is: DiscordBot (address, version)")
            if len(request.headers.get("x-audit-log-reason", "")) > 512:
                raise ValueError("an audit reason has at most 512 signs")
            return checked(request.method, request.path, body, request.headers, request.query)
        except Exception as error:  # whatever the check finds
            self.complaints.append(f"{request.method} {request.path}: {type(error).__name__} {error} {error.__cause__}")
            return None


def _json(status: int, body: Any, headers: dict[str, str]) -> web.Response:
    if status == 204:
        return web.Response(status=204, headers=headers)
    # discord.py compares the content type as a whole
    typed = {**headers, "Content-Type": "application/json"}
    return web.Response(status=status, body=json.dumps(body).encode(), headers=typed)


def _slower(slot: dict[str, str]) -> web.Response:
    after_s = float(slot["X-RateLimit-Reset-After"])
    body = {"message": "You are being rate limited.", "retry_after": after_s, "global": False}
    more = {"X-RateLimit-Remaining": "0", "X-RateLimit-Scope": "user", "Retry-After": str(int(after_s) + 1)}
    return _json(429, body, {**slot, **more})


async def _fail(incoming: web.Request, status: int, body: Any, headers: dict[str, str]) -> web.StreamResponse:
    if status == HANGING:
        await asyncio.sleep(60)
    if status in (CUT, LOST, HANGING) and incoming.transport is not None:
        incoming.transport.close()
        return web.Response()
    if isinstance(body, str):
        return web.Response(status=status, text=body, content_type="text/html", headers=headers)
    return _json(status, body, headers)
