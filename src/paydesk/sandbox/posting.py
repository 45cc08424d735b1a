"""Webhooks leave over HTTP from here. Imported with the first of them: a start does not wait for the HTTP client."""

from __future__ import annotations

import asyncio

import httpx

_PATIENCE_S = 10
_MOST_CONNECTIONS = 200
_MOST_KEPT = 20


class Poster:
    """Posts to the endpoints of sellers; follows no redirects, asks no proxies."""

    def __init__(self) -> None:
        limits = httpx.Limits(max_connections=_MOST_CONNECTIONS, max_keepalive_connections=_MOST_KEPT)
        self._client = httpx.AsyncClient(timeout=_PATIENCE_S, limits=limits, follow_redirects=False, trust_env=False)

    async def post(self, url: str, payload: bytes, headers: dict[str, str]) -> tuple[int | None, str | None]:
        """Status code of the answer, or what went wrong."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                answer = await self._client.post(url, content=payload, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as problem:
            return None, str(problem) or type(problem).__name__
        return answer.status_code, None

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()
