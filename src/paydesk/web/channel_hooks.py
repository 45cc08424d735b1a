"""What platforms call: verified by the channel, stored, answered. Plain ASGI, in front of everything else.

The channel looks at a request before anything else does; what it does not vouch for is refused, and nothing of it is
kept. Nothing is acted upon here: the answer leaves when what arrived is durable. 413 when too large, 503 when it cannot
be stored: the platform then sends it again. A channel that is not set up has no route.
"""

from __future__ import annotations

import asyncio
import logging

import orjson

from paydesk import arrivals
from paydesk.channels.base import Channel, Inbound, Raw
from paydesk.errors import Invalid, PaydeskError, StoreUnavailable, TooLarge
from paydesk.service import Service
from paydesk.telemetry import ARRIVED, request_id
from paydesk.web.asgi import Receive, Scope, Send
from paydesk.web.hooks import BODY_S_MAX, read_body

log = logging.getLogger("paydesk.channels")

PREFIX = "/webhooks/"
BODY_BYTES_MAX = 1024 * 1024
NOT_FOUND = Inbound(404, b'{"error":{"code":"not_found","message":"there is no such route"}}')


class ChannelHooks:
    """The routes of all channels that are set up."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._routes: dict[str, Channel] = {
            PREFIX + (channel.route or channel.name): channel for channel in service.channels.values()
        }

    def takes(self, path: str) -> bool:
        """Say whether a path is that of a channel."""
        return path in self._routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        channel = self._routes[scope["path"]]
        try:
            inbound = await self._take_in(channel, scope, receive)
        except PaydeskError as error:
            inbound = Inbound(error.status, orjson.dumps(error.body(request_id())))
        except Exception:  # a bug in a channel: the platform sends it again, and the log tells
            log.exception("%s: a request could not be read", channel.name)
            inbound = Inbound(503, orjson.dumps(StoreUnavailable("it could not be taken in").body(request_id())))
        ARRIVED.labels(channel.name, str(inbound.status)).inc()
        await _answer(send, inbound)

    async def _take_in(self, channel: Channel, scope: Scope, receive: Receive) -> Inbound:
        """Let the channel verify a request, and store what arrived; return how it is answered."""
        raw = await self._raw(scope, receive)
        inbound = channel.read(raw)
        if inbound is None:
            return NOT_FOUND
        if inbound.status < 400:
            livemode = self._service.gateway.livemode
            await arrivals.keep(self._service.receiver, channel.name, inbound.arrivals, livemode=livemode)
        return inbound

    async def _raw(self, scope: Scope, receive: Receive) -> Raw:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length[:20]) > BODY_BYTES_MAX:
            raise TooLarge(f"a request has at most {BODY_BYTES_MAX} bytes")
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise Invalid("send the body as it is, not compressed")
        body = await read_body(receive, asyncio.get_running_loop(), BODY_S_MAX, BODY_BYTES_MAX)
        query = scope["query_string"].decode("latin-1")
        url = self._service.settings.public_url + scope["path"] + (f"?{query}" if query else "")
        return Raw(scope["method"], url, headers, query, body)


async def _answer(send: Send, inbound: Inbound) -> None:
    headers = [
        (b"content-type", inbound.content_type.encode()),
        (b"content-length", str(len(inbound.body)).encode()),
        (b"request-id", request_id().encode()),
    ]
    await send({"type": "http.response.start", "status": inbound.status, "headers": headers})
    await send({"type": "http.response.body", "body": inbound.body})
