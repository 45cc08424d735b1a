"""What `stripe listen` of the official CLI needs: a session, and a WebSocket over which it gets events.

The CLI asks for a session (`POST /v1/stripecli/sessions`), opens the WebSocket it is told, forwards each
`webhook_event` to the address of its user and says with `webhook_response` what came back. It answers for one
account, sees every event from then on, and gets no second try. Only what this needs of RFC 6455 is here.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import orjson

from .calls import Call, Operation, post
from .deliveries import signature
from .errors import Json
from .ids import derived_text, random_text
from .params import items, text
from .present import public
from .versions import LATEST, event_in_version

if TYPE_CHECKING:
    from uvicorn.config import Config

    from .accounts import Account
    from .world import World

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PROTOCOL = "stripecli-devproxy-v1"
_LARGEST_FRAME = 4_000_000
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_PATH = "/v1/stripecli/subscribe"


def listening_secret(account: Account) -> str:
    """The secret that signs what a listening CLI gets: the same for an account each time, as with Stripe."""
    return "whsec_" + derived_text(account.key + "listen", 32)


class Listeners:
    """The CLIs that listen now, and the sessions they may come with."""

    def __init__(self) -> None:
        self.sessions: dict[str, Account] = {}
        self._connected: dict[Listener, Account] = {}

    def join(self, listener: Listener, account: Account) -> None:
        """A CLI has connected."""
        self._connected[listener] = account

    def leave(self, listener: Listener) -> None:
        """A CLI is gone."""
        self._connected.pop(listener, None)

    def tell(self, account: Account, event: Json) -> None:
        """Send an event to every CLI of its account."""
        for listener, owner in self._connected.items():
            if owner is account:
                listener.send(orjson.dumps(_message(account, event)))


def _message(account: Account, event: Json) -> Json:
    """The message that carries an event; the CLI passes payload and headers on as they are."""
    payload = orjson.dumps(event_in_version(public(event), event["api_version"], account), option=orjson.OPT_INDENT_2)
    return {
        "type": "webhook_event",
        "endpoint": {"api_version": None},
        "event_payload": payload.decode(),
        "http_headers": {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(payload, [listening_secret(account)], int(time.time())),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        },
        "webhook_conversation_id": "wc_" + random_text(24),
        "webhook_id": "wh_" + random_text(24),
    }


def _open_session(call: Call) -> Json:
    session_id = "cliws_" + random_text(24)
    call.world.listeners.sessions[session_id] = call.account
    parts = urlsplit(call.account.public_url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return {
        "default_version": call.account.settings.api_version,
        "display_connect_filter_warning": False,
        "latest_version": LATEST,
        "reconnect_delay": 1,
        "secret": listening_secret(call.account),
        "websocket_authorized_feature": "webhooks",
        "websocket_id": session_id,
        "websocket_url": f"{scheme}://{parts.netloc}{_PATH}",
    }


class Listener(asyncio.Protocol):
    """One WebSocket; uvicorn hands the connection over when a request asks for the upgrade."""

    def __init__(self, config: Config, server_state: Any, app_state: dict[str, Any]) -> None:
        self._world = _world_of(config)
        self._connections = server_state.connections
        self._received = b""
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is ours from here on."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The CLI is gone."""
        self._connections.discard(self)
        self._world.listeners.leave(self)

    def shutdown(self) -> None:
        """The server stops."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """The request first, then frames."""
        self._received += data
        if not self._open:
            head, found, rest = self._received.partition(b"\r\n\r\n")
            if not found:
                return
            self._received = rest
            self._shake_hands(head.decode("latin-1").split("\r\n"))
        for kind, payload in self._frames():
            if kind == _PING:
                self._write(_PONG, payload)
            elif kind == _CLOSE:
                self._write(_CLOSE, payload[:2])
                self._transport.close()

    def send(self, message: bytes) -> None:
        """Send a text message."""
        self._write(_TEXT, message)

    def _shake_hands(self, lines: list[str]) -> None:
        """Accept the upgrade of a known session; others are told that they are unknown."""
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
        }
        account = self._world.listeners.sessions.get(headers.get("websocket-id", ""))
        if account is None or not lines[0].split(" ")[1].startswith(_PATH) or "sec-websocket-key" not in headers:
            body = b'{"error": {"message": "Unknown WebSocket ID."}}'
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
                                  b"Content-Length: %d\r\n\r\n%s" % (len(body), body))  # fmt: skip
            self._transport.close()
            return
        digest = hashlib.sha1(headers["sec-websocket-key"].encode() + _GUID).digest()  # noqa: S324 (the protocol's own)
        answer = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
                  f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}"]  # fmt: skip
        if headers.get("sec-websocket-protocol") == _PROTOCOL:
            answer.append(f"Sec-WebSocket-Protocol: {_PROTOCOL}")
        self._transport.write("\r\n".join([*answer, "", ""]).encode())
        self._open = True
        self._world.listeners.join(self, account)

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        """The whole frames that have arrived, as kind and unmasked payload."""
        while self._open and len(self._received) >= 2:
            kind, length, start = self._received[0] & 15, self._received[1] & 127, 2
            if length > 125:
                start = 4 if length == 126 else 10
                if len(self._received) < start:
                    return
                length = int.from_bytes(self._received[2:start], "big")
            if length > _LARGEST_FRAME or not self._received[1] & 128:
                self._transport.close()
                return
            if len(self._received) < start + 4 + length:
                return
            mask, payload = self._received[start : start + 4], self._received[start + 4 : start + 4 + length]
            self._received = self._received[start + 4 + length :]
            yield kind, bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))

    def _write(self, kind: int, payload: bytes) -> None:
        if self._transport.is_closing():
            return
        length = len(payload)
        if length < 126:
            head = struct.pack("!BB", 128 | kind, length)
        elif length < 65536:
            head = struct.pack("!BBH", 128 | kind, 126, length)
        else:
            head = struct.pack("!BBQ", 128 | kind, 127, length)
        self._transport.write(head + payload)


def _world_of(config: Config) -> World:
    """The sandbox that the server serves."""
    return cast("World", cast("Any", config.app).state.world)


_SESSION = {
    name: text()
    for name in ("device_name", "forward_connect_to_url", "forward_thin_connect_to_url", "forward_thin_to_url",
                 "forward_to_url", "filters")
}  # fmt: skip

OPERATIONS: list[Operation] = [
    post("/v1/stripecli/sessions", _open_session, {**_SESSION, "websocket_features": items(text(), 10)}),
]
