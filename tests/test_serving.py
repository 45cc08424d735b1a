"""How answers leave: the head with its body, a head whose body comes later at once, and nothing after a close."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from paydesk.serving import _config

HEADERS = [(b"content-type", b"text/plain")]


class App:
    """Answers `/whole` at once, and `/later` with a body that waits for `go`."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b"x" * int(scope["query_string"] or b"5")
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
        if scope["path"] == "/later":
            await self.go.wait()
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served() -> AsyncIterator[tuple[App, int]]:
    """Serve an app as the service is served; give it and its port."""
    app = App()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(_config(app, listener))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield app, listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


def request(path: str, *more: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "host: x", *more, "", "")).encode()


async def test_a_head_whose_body_comes_later_leaves_at_once() -> None:
    async with served() as (app, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/later"))
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"content-length: 5" in head
        app.go.set()
        assert await reader.readexactly(5) == b"xxxxx"
        writer.close()


async def test_answers_of_any_length_come_whole_and_in_order_on_one_connection() -> None:
    async with served() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        lengths = (0, 1, 100, 70_000, 3_000_000, 7)
        writer.write(b"".join(request(f"/whole?{length}") for length in lengths))
        for length in lengths:
            head = await reader.readuntil(b"\r\n\r\n")
            assert f"content-length: {length}\r\n".encode() in head
            assert await reader.readexactly(length) == b"x" * length
        writer.close()


async def test_a_connection_that_is_to_be_closed_gets_its_answer_first() -> None:
    async with served() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request("/whole", "connection: close"))
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\nxxxxx")
        writer.close()
