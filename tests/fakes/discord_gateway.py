"""Discord's gateway: says hello, takes an identification, sends what happens, and closes for what is not allowed."""

from __future__ import annotations

import asyncio
import json
import zlib
from typing import Any

from aiohttp import WSMsgType, web

from fakes.discord import DiscordFake
from fakes.discord_shapes import user_of
from fakes.discord_wire import BASE

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, HELLO, ACK = 0, 1, 2, 6, 10, 11
GUILD_MEMBERS = 1 << 1
DISALLOWED_INTENTS = 4014


class Line:
    """One connection: what is said on it goes through one zlib stream, as whoever connects asks for."""

    def __init__(self, socket: web.WebSocketResponse, compress: str | None) -> None:
        assert compress == "zlib-stream"
        self.socket = socket
        self._packing = zlib.compressobj()

    async def say(self, op: int, told: Any = None, name: str | None = None, sequence: int | None = None) -> None:
        text = json.dumps({"op": op, "d": told, "t": name, "s": sequence}).encode()
        await self.socket.send_bytes(self._packing.compress(text) + self._packing.flush(zlib.Z_SYNC_FLUSH))


class Gateway:
    """The gateway of a fake that does not run yet. `members`: whether the bot may be told who joins."""

    def __init__(self, fake: DiscordFake, *, members: bool = True) -> None:
        self.fake = fake
        self.members = members
        self.identified: list[dict[str, Any]] = []
        self._lines: list[Line] = []
        self._sequence = 0
        fake.app.router.add_get("/socket/", self._serve)
        fake.extra["/gateway/bot"] = self._where

    def _where(self) -> dict[str, Any]:
        limit = {"total": 1000, "remaining": 999, "reset_after": 1000, "max_concurrency": 1}
        return {"url": self.fake.url.replace("http", "ws") + "/socket/", "shards": 1, "session_start_limit": limit}

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        assert request.query["v"] == BASE[-2:]
        line = Line(socket, request.query.get("compress"))
        await line.say(HELLO, {"heartbeat_interval": 5000})
        async for message in socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                break
            await self._hear(line, json.loads(message.data))
        return socket

    async def _hear(self, line: Line, told: dict[str, Any]) -> None:
        if told["op"] == HEARTBEAT:
            await line.say(ACK)
        elif told["op"] == IDENTIFY:
            assert told["d"]["token"] == self.fake.token
            self.identified.append(told["d"])
            if told["d"]["intents"] & GUILD_MEMBERS and not self.members:
                await line.socket.close(code=DISALLOWED_INTENTS, message=b"Disallowed intent(s).")
                return
            await self._dispatch(line, "READY", {
                "v": 10, "user": user_of(self.fake.application, "paydesk", bot=True), "guilds": [], "session_id": "s1",
                "resume_gateway_url": self._where()["url"], "shard": [0, 1],
                "application": {"id": self.fake.application, "flags": 0},
            })  # fmt: skip
            self._lines.append(line)
        elif told["op"] == RESUME:
            await self._dispatch(line, "RESUMED", {})
            self._lines.append(line)

    async def _dispatch(self, line: Line, name: str, told: dict[str, Any]) -> None:
        self._sequence += 1
        await line.say(DISPATCH, told, name, self._sequence)

    @property
    def connected(self) -> bool:
        """Whether somebody listens."""
        return bool(self._lines)

    def happens(self, name: str, told: dict[str, Any]) -> None:
        """Send an event to whoever is connected."""
        sending = self._dispatch(self._lines[-1], name, told)
        asyncio.run_coroutine_threadsafe(sending, self.fake.loop).result(5)

    def drop(self) -> None:
        """Cut the connection without a word."""
        closing = self._lines.pop().socket.close(code=1001)
        asyncio.run_coroutine_threadsafe(closing, self.fake.loop).result(5)
