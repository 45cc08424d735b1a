"""Outgoing webhooks: our events, sent to endpoints that shops have registered, signed as Standard Webhooks 1.0 says.

`webhook-id` is the event's id, the same at every attempt, so that a receiver drops what it has; the time stamp is fresh
at each. While a secret is being changed both sign.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import ssl
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

import httpcore
import orjson

from paydesk.channels.base import (
    Action,
    Channel,
    Limits,
    Misconfigured,
    Receipt,
    Refused,
    RetryLater,
    Send,
)
from paydesk.channels.webhook_dialing import CONNECT_S_MAX, NotPublic, Resolve, pool, resolve
from paydesk.channels.webhook_failures import Failure, failure_of, wait_after
from paydesk.clock import wall_s
from paydesk.config import Secret
from paydesk.dialing import Target

EVENT = "event"
CALL_S_MAX = 15.0
ANSWER_BYTES_MAX = 64 * 1024
CONTENT_TYPE = "application/json"
USER_AGENT = "Paydesk-Webhooks/1"
MEND = (
    "mend what receives events there, then enable it: POST /v1/webhook_endpoints/{id}/enable sends what waits; "
    "or delete it"
)


class Directory(Protocol):
    """Says where an endpoint's events go, and takes note of how that went."""

    async def look(self, endpoint: str) -> Target | None:
        """Return where to send and what to sign with, `None` for an endpoint that was deleted."""

    async def worked(self, endpoint: str) -> None:
        """Note that an endpoint takes events again."""

    async def failed(self, endpoint: str, reason: str) -> bool:
        """Note that it did not take one; say whether it is disabled now."""

    async def disable(self, endpoint: str, because: str) -> None:
        """Disable an endpoint that wants no more events."""


class WebhookChannel(Channel):
    """Sends events: `to.external_id` is the endpoint, `text` the exact body, whose `id` is the event's.

    `allowed` are hosts that may be dialled wherever they are; `resolver` tells the addresses of all others, of which
    only public ones are dialled. `trust` says whose certificates count, the usual ones where it is not given.
    """

    name = "webhook"
    limits = Limits(per_s=200.0, at_once=32, at_once_each=4)

    def __init__(
        self, directory: Directory, allowed: Collection[str] = (), *, resolver: Resolve = resolve,
        trust: ssl.SSLContext | None = None, call_s_max: float = CALL_S_MAX,
    ) -> None:  # fmt: skip
        self._directory = directory
        self._call_s_max = call_s_max
        self._pool = pool(allowed, resolver, trust)

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Send an event. Raises `RetryLater` by the schedule, then `Refused`; `Misconfigured` for a disabled endpoint."""
        if not isinstance(action, Send) or action.kind != EVENT:
            raise Refused("endpoints are sent events, and nothing else")
        endpoint = action.to.external_id
        target = await self._directory.look(endpoint)
        if target is None:
            raise Refused("the endpoint was deleted", done=True, rule="wh-deleted")
        if not target.enabled:
            raise _disabled(endpoint, target.url, "it is disabled", "wh-disabled")
        failure = await self._post(target, action.text)
        if failure is not None:
            await self._fail(action, target, failure)
        elif target.failing:
            await self._directory.worked(endpoint)
        return Receipt()

    async def _post(self, target: Target, text: str) -> Failure | None:
        body = text.encode()
        headers = headers_of(orjson.loads(body)["id"], int(wall_s()), body, target.secrets)
        try:
            async with asyncio.timeout(self._call_s_max):
                return await self._exchange(target.url, headers, body)
        except NotPublic as error:
            return Failure("wh-blocked", str(error))
        except (httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout) as error:
            return Failure("wh-not-sent", f"no connection: {type(error).__name__}")
        except (httpcore.TimeoutException, TimeoutError):
            return Failure("wh-5xx", f"no answer within {self._call_s_max:g} seconds")
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            return Failure("wh-5xx", f"no whole answer: {type(error).__name__}")

    async def _exchange(self, url: str, headers: Mapping[str, str], body: bytes) -> Failure | None:
        """Send the request, read at most so much of the answer, and return what is wrong with it."""
        times = {"connect": CONNECT_S_MAX, "read": CALL_S_MAX, "write": CALL_S_MAX, "pool": CALL_S_MAX}
        lines = [(name.encode(), value.encode()) for name, value in headers.items()]
        async with self._pool.stream("POST", url, headers=lines, content=body, extensions={"timeout": times}) as answer:
            read = 0
            async for chunk in answer.aiter_stream():
                read += len(chunk)
                if read > ANSWER_BYTES_MAX:  # leaving closes the connection
                    break
            named = {name.lower(): value for name, value in answer.headers}
            return failure_of(answer.status, named.get(b"retry-after", b"").decode("latin-1") or None)

    async def _fail(self, send: Send, target: Target, failure: Failure) -> None:
        """Note a failure and raise what follows from it."""
        endpoint = send.to.external_id
        if failure.gone:
            await self._directory.disable(endpoint, failure.reason)
            raise _disabled(endpoint, target.url, failure.reason, failure.rule)
        if await self._directory.failed(endpoint, failure.reason):
            raise _disabled(endpoint, target.url, f"nothing but failures for days: {failure.reason}", failure.rule)
        if failure.after_s is not None:
            raise RetryLater(failure.reason, failure.after_s, counted=False, rule=failure.rule)
        wait_s = wait_after(send.attempt)
        if wait_s is None:
            where = f"{endpoint} ({_host(target.url)})"
            tell = f"The webhook endpoint {where} did not take an event in ten attempts: {failure.reason}."
            raise Refused(f"given up: {failure.reason}", tell=tell, rule=failure.rule)
        raise RetryLater(failure.reason, max(wait_s, failure.least_s), rule=failure.rule)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


def _host(url: str) -> str:
    """Return what of an address may be told: the rest of it is often a secret."""
    return urlsplit(url).hostname or "its address"


def _disabled(endpoint: str, url: str, reason: str, rule: str) -> Misconfigured:
    return Misconfigured(f"{_host(url)}: {reason}", resource=endpoint, mend=MEND.replace("{id}", endpoint), rule=rule)


def headers_of(id_: str, at_s: int, body: bytes, secrets: Sequence[Secret]) -> dict[str, str]:
    """Return the headers of an event: its id, the time, and a signature by each secret."""
    signed = f"{id_}.{at_s}.".encode() + body
    return {
        "content-type": CONTENT_TYPE,
        "user-agent": USER_AGENT,
        "content-length": str(len(body)),
        "webhook-id": id_,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(signature(secret, signed) for secret in secrets),
    }


def signature(secret: Secret, signed: bytes) -> str:
    """Return the signature of bytes by a secret such as `whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD`."""
    key = base64.b64decode(secret.reveal().removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
