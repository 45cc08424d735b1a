"""The library's way to a Paydesk that runs elsewhere: HTTP, with a key.

A request that got no answer is made again, twice: every request that changes something bears a key, so it takes effect
once however often it arrives.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx

from paydesk.config import Remote
from paydesk.errors import Unreachable
from paydesk.library_asking import Request, Told

PAUSES_S = (0.2, 1.0)
"""How long is waited before a request without an answer is made again."""

UNDER_WAY = b'"idempotency_key_in_use"'
"""What is answered to a repeat while the first request, whose answer was lost, is still being worked on."""


class RemoteLine:
    """Carries requests by HTTP, from any number of threads."""

    def __init__(self, remote: Remote, timeout_s: float) -> None:
        self._url = remote.url
        self._client = httpx.Client(**_options(remote, timeout_s))

    def ask(self, request: Request) -> Told:
        """Carry one request and return its answer; raises `Unreachable`."""
        tries = _Tries(self._url)
        for pause_s in tries.pauses():
            time.sleep(pause_s)
            try:
                tries.take(self._client.request(request.method, request.path, **_sent(request)))
            except httpx.TransportError as error:
                tries.failed(error)
        return tries.told()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class AsyncRemoteLine:
    """Carries requests by HTTP, many at once, on the event loop of whoever asks first."""

    def __init__(self, remote: Remote, timeout_s: float) -> None:
        self._url = remote.url
        self._client = httpx.AsyncClient(**_options(remote, timeout_s))

    async def ask(self, request: Request) -> Told:
        """Carry one request and return its answer; raises `Unreachable`."""
        tries = _Tries(self._url)
        for pause_s in tries.pauses():
            await asyncio.sleep(pause_s)
            try:
                tries.take(await self._client.request(request.method, request.path, **_sent(request)))
            except httpx.TransportError as error:
                tries.failed(error)
        return tries.told()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class _Tries:
    """One request, made until it is answered."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._answer: httpx.Response | None = None
        self._error: Exception | None = None

    def pauses(self) -> Iterator[float]:
        """Return how long to wait before each try, until one was answered."""
        for pause_s in (0.0, *PAUSES_S):
            if self._answer is None:
                yield pause_s

    def take(self, answer: httpx.Response) -> None:
        """Take an answer, but not one that only tells that a lost request of ours is still under way."""
        if answer.status_code == 409 and self._error is not None and UNDER_WAY in answer.content:
            return
        self._answer = answer

    def failed(self, error: Exception) -> None:
        """Note that nothing was answered."""
        self._error = error

    def told(self) -> Told:
        """Return the answer; raises `Unreachable` when there was none."""
        if self._answer is None:
            why = f"{type(self._error).__name__}: {self._error}".rstrip(": ")
            raise Unreachable(f"PAYDESK_URL: {self._url} does not answer ({why})") from self._error
        return Told(self._answer.status_code, self._answer.content, self._answer.headers.get("retry-after"))


def _options(remote: Remote, timeout_s: float) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {remote.api_key.reveal()}", "User-Agent": "paydesk-python"}
    return {"base_url": remote.url, "headers": headers, "timeout": timeout_s}


def _sent(request: Request) -> dict[str, Any]:
    return {"content": request.content(), "headers": request.headers(), "params": request.query()}
