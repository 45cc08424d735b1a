"""Stripe's webhook: check the signature, store, answer. Plain ASGI, in front of everything else.

200 only when the event is durable (now or since an earlier delivery), 400 for a bad signature or body (a compressed
one too), 413 when too large, 503 when it cannot be stored: Stripe then sends it again. Nothing is acted upon here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import orjson

from paydesk.clock import wall_s
from paydesk.config import Secret
from paydesk.errors import Invalid, PaydeskError, StoreUnavailable, TooLarge
from paydesk.inbox import Receiver
from paydesk.stripe.envelope import envelope
from paydesk.stripe.signature import BODY_BYTES_MAX, BadSignature, verify
from paydesk.telemetry import RECEIVED, request_id
from paydesk.web.asgi import Headers, Receive, Scope, Send
from paydesk.web.whole import send_whole, written

log = logging.getLogger("paydesk.webhooks")

STRIPE_PATHS = frozenset(
    (
        "/webhooks/stripe",
        "/stripe/webhook",
        "/stripe-webhook",
        "/payments/webhook",
        "/webhook/payments",
        "/api/stripe/webhook",
    )
)
BODY_S_MAX = 10.0

_ACCEPTED = RECEIVED.labels("200")
_THANKS = b'{"received":true}'


class BadEncoding(Invalid):
    """Send the body as it is: a compressed one could unpack to anything."""

    code = "unsupported_encoding"


class NotPosted(Invalid):
    """Use POST."""

    status = 405
    code = "method_not_allowed"


class StripeHook:
    """The webhook endpoint. `secrets` are all that are valid now; during a rotation there are two.

    A sender whose body takes longer than `body_s_max` is refused.
    """

    def __init__(self, receiver: Receiver, secrets: Sequence[Secret], *, body_s_max: float = BODY_S_MAX) -> None:
        self._receiver = receiver
        self._secrets = [secret.reveal().encode() for secret in secrets]
        self._body_s_max = body_s_max
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            if scope["method"] != "POST":
                await _answer(send, 405, orjson.dumps(NotPosted("use POST").body(request_id())))
                return
            signature = _read_headers(scope["headers"])
            if self._loop is None:
                self._loop = asyncio.get_running_loop()  # kept: asking for it costs a system call each time
            body = await read_body(receive, self._loop, self._body_s_max)
            verify(body, signature, self._secrets, wall_s())
            await self._receiver.receive(envelope(body))
        except PaydeskError as error:
            RECEIVED.labels(str(error.status)).inc()
            if error.status >= 500:
                log.warning("%s", error.message)
            await _answer(send, error.status, orjson.dumps(error.body(request_id())))
        except Exception as error:  # a data error of this one event; whatever it is, it was not stored
            RECEIVED.labels("503").inc()
            message = f"the event could not be stored: {type(error).__name__}"
            log.error("%s", message)
            await _answer(send, 503, orjson.dumps(StoreUnavailable(message).body(request_id())))
        else:
            _ACCEPTED.inc()
            await send_whole(scope, send, _THANKED, ((b"request-id", request_id().encode()),), _THANKS)


def _read_headers(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the signature header; refuse a compressed body or one that says it is too large, before reading it."""
    signature = None
    for name, value in headers:
        if name == b"stripe-signature":
            signature = value
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise BadEncoding("the body must not be compressed")
        elif name == b"content-length" and (not value.isdigit() or int(value[:20]) > BODY_BYTES_MAX):
            raise TooLarge(f"an event has at most {BODY_BYTES_MAX} bytes")
    if signature is None:
        raise BadSignature("the Stripe-Signature header is missing")
    return signature.decode("latin-1")


class _Deadline:
    """Ends the current task's waiting after so many seconds. `asyncio.timeout` costs four times as much, per request."""

    __slots__ = ("_task", "_timer", "late")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds_max: float) -> None:
        self.late = False
        self._task = asyncio.current_task(loop)
        self._timer = loop.call_later(seconds_max, self._end)

    def _end(self) -> None:
        if self._task is not None:
            self.late = True
            self._task.cancel()

    def lift(self) -> None:
        """Let the task wait as long as it likes from now on."""
        self._timer.cancel()

    def excuse(self) -> bool:
        """Take the cancelling back if it was ours; `False` when somebody else cancels the task."""
        if self.late and self._task is not None:
            self._task.uncancel()
        return self.late


async def read_body(
    receive: Receive, loop: asyncio.AbstractEventLoop, seconds_max: float, bytes_max: int = BODY_BYTES_MAX
) -> bytes:
    """Return the body, counting while reading; a sender who takes longer than `seconds_max` is refused."""
    deadline = _Deadline(loop, seconds_max)
    try:
        message = await receive()
        if not message.get("more_body"):
            return _within(message.get("body", b""), bytes_max)
        return await _read_parts(receive, message.get("body", b""), bytes_max)
    except asyncio.CancelledError:
        if deadline.excuse():
            raise Invalid(f"the body did not arrive within {seconds_max:g} seconds") from None
        raise
    finally:
        deadline.lift()


async def _read_parts(receive: Receive, first: bytes, bytes_max: int) -> bytes:
    parts = [first]
    size = len(first)
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Invalid("the sender went away before the body was complete")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > bytes_max:
            raise TooLarge(f"it has at most {bytes_max} bytes")
        more = bool(message.get("more_body"))
    return b"".join(parts)


def _within(body: bytes, bytes_max: int) -> bytes:
    if len(body) > bytes_max:
        raise TooLarge(f"it has at most {bytes_max} bytes")
    return body


def _headers(body: bytes) -> Headers:
    return ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)))


_THANKED = written(_headers(_THANKS))


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [*_headers(body), (b"request-id", request_id().encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
