"""What every played platform has: a real HTTP server in a thread of its own, what was asked of it, and failures to order.

    with TelegramFake() as fake:
        fake.fail_next("sendMessage", 500)
        …
        assert fake.complaints == []

A request that the platform's own description does not allow is a complaint: recorded, and answered as the platform would.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
import uvicorn

CUT = "cut"
HANG = "hang"


@dataclass(frozen=True)
class Asked:
    """A request as it came; `label` is what failures are ordered by (a method's name, `POST /path`)."""

    label: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Told:
    """An answer."""

    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Plan:
    """What happens to the next requests with a label, instead of their answer. `done`: they are carried out all the same."""

    label: str
    answer: Told
    how: str = ""
    pause_s: float = 0.0
    done: bool = False
    times: int = 1


class Fake:
    """A platform, played. A subclass says what a request's `label` is and how it is answered (`handle`)."""

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self.complaints: list[str] = []
        self._plans: list[Plan] = []
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.loop: asyncio.AbstractEventLoop
        self._server: uvicorn.Server
        self._thread: threading.Thread

    def reset(self) -> None:
        """Forget everything, as if just started: one fake serves many tests."""
        self.requests, self.complaints, self._plans = [], [], []

    def label(self, method: str, path: str) -> str:
        """The name under which failures of this request are ordered."""
        return f"{method} {path}"

    async def handle(self, asked: Asked) -> Told:
        """Answer a request as the platform would. Runs in the fake's own thread."""
        raise NotImplementedError

    # --- failures to order -------------------------------------------------------------------------------------------

    def fail_next(
        self, label: str, status: int, body: Any = None, headers: Mapping[str, str] | None = None,
        *, done: bool = False, times: int = 1,
    ) -> None:  # fmt: skip
        """Answer the next request so; with `done` it is carried out before."""
        content = body if isinstance(body, bytes) else orjson.dumps({} if body is None else body)
        self._plans.append(Plan(label, Told(status, content, headers or {}), done=done, times=times))

    def cut_next(self, label: str, *, done: bool = True) -> None:
        """Carry the next request out, and break the connection instead of an answer."""
        self._plans.append(Plan(label, Told(200), CUT, done=done))

    def slow_next(self, label: str, pause_s: float, *, done: bool = True) -> None:
        """Carry the next request out, and answer nothing for so long; then the connection breaks."""
        self._plans.append(Plan(label, Told(200), HANG, pause_s, done=done))

    def forgive(self) -> None:
        """Forget the failures that were ordered and have not come yet."""
        self._plans.clear()

    def _plan(self, label: str) -> Plan | None:
        for plan in self._plans:
            if plan.label == label:
                plan.times -= 1
                if plan.times <= 0:
                    self._plans.remove(plan)
                return plan
        return None

    # --- serving -----------------------------------------------------------------------------------------------------

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request (ASGI)."""
        body, more = b"", True
        while more:
            part = await receive()
            if part["type"] == "http.disconnect":
                return  # who asked has left in the middle: nothing was asked
            body, more = body + part.get("body", b""), part.get("more_body", False)
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        method, path = scope["method"], scope["path"]
        asked = Asked(self.label(method, path), method, path, scope["query_string"].decode(), headers, body)
        self.requests.append(asked)
        plan = self._plan(asked.label)
        told = plan.answer if plan is not None and not plan.done else await self._handled(asked)
        if plan is None:
            await _answer(send, told)
        else:
            await asyncio.sleep(plan.pause_s)
            await _answer(send, plan.answer, broken=bool(plan.how))

    async def _handled(self, asked: Asked) -> Told:
        try:
            return await self.handle(asked)
        except Exception:
            self.complaints.append(f"the fake itself failed at {asked.label}: {traceback.format_exc()}")
            return Told(500)

    def __enter__(self) -> Self:
        config = uvicorn.Config(
            self, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None, access_log=False,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        for name in ("uvicorn.error", "uvicorn.access"):  # a broken connection is meant
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._server = uvicorn.Server(config)
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(10), "the fake did not start"
        return self

    def _run(self, started: threading.Event) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            self.loop.call_soon(started.set)  # connections queue at the socket until they are accepted
            await self._server.serve(sockets=[self._socket])

        self._socket.listen()
        asyncio.run(serve())

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


async def _answer(send: Any, told: Told, *, broken: bool = False) -> None:
    headers = {"content-type": "application/json", **told.headers, "content-length": str(len(told.body))}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": told.status, "headers": raw})
    if broken:
        raise ConnectionAbortedError("broken on purpose, before the body")
    await send({"type": "http.response.body", "body": told.body})
