"""The ceiling: the least that any endpoint in this server must do. Checks the signature, parses, stores nothing.

A fixed script, so that figures stay comparable; do not make it faster or slower. Run by uvicorn.
"""

import hashlib
import hmac
import os
import time
from typing import Any

import orjson

SECRET = os.environ["STRIPE_WEBHOOK_SECRET"].encode()
TOLERANCE_S = 300
RECEIVED = b'{"received":true}'
REFUSED = b'{"error":"bad signature"}'


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer 200 to a POST that is signed and is JSON, 400 to another POST, and 200 to any GET (readiness)."""
    if scope["type"] != "http":
        return
    if scope["method"] == "GET":
        await answer(send, 200, RECEIVED)
        return
    body = await read(receive)
    if signed(dict(scope["headers"]).get(b"stripe-signature", b""), body):
        orjson.loads(body)
        await answer(send, 200, RECEIVED)
    else:
        await answer(send, 400, REFUSED)


async def read(receive: Any) -> bytes:
    """Return the whole body."""
    message = await receive()
    body: bytes = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    return body


def signed(header: bytes, body: bytes) -> bool:
    """Say whether `header` (`t=…,v1=…`) signs `body` with our secret, not too long ago."""
    fields = dict(part.partition(b"=")[::2] for part in header.split(b","))
    signed_at, given = fields.get(b"t", b""), fields.get(b"v1", b"")
    if not signed_at.isdigit() or abs(time.time() - int(signed_at)) > TOLERANCE_S:
        return False
    expected = hmac.digest(SECRET, signed_at + b"." + body, hashlib.sha256).hex().encode()
    return hmac.compare_digest(expected, given)


async def answer(send: Any, status: int, body: bytes) -> None:
    """Send one JSON answer."""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
