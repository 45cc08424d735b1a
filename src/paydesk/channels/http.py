"""One way for channels to ask over HTTP, which keeps apart what matters: it was not sent, or it may have arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import orjson

from paydesk.channels.base import RetryLater, Unknown

CALL_S_MAX = 15.0
CONNECT_S_MAX = 5.0

NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a platform answered, whatever its status. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def parsed(self) -> Any:
        """Return the body's JSON, `{}` where it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}

    @property
    def retry_after_s(self) -> float | None:
        """Return the seconds in `Retry-After`, `None` where it says none (or a date)."""
        try:
            return float(self.headers.get("retry-after", ""))
        except ValueError:
            return None


class Wire:
    """A connection to one platform. Never follows a redirect. `rules` are the prefixes of failure-table rows: `tg`."""

    def __init__(
        self, base_url: str, rules: str, headers: Mapping[str, str] | None = None, *, call_s_max: float = CALL_S_MAX,
        auth: tuple[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._rules = rules
        self._call_s_max = call_s_max
        self._client = httpx.AsyncClient(
            base_url=base_url, headers=dict(headers or {}), auth=auth, follow_redirects=False,
            timeout=httpx.Timeout(call_s_max, connect=CONNECT_S_MAX), trust_env=False,
        )  # fmt: skip

    async def call(
        self, method: str, path: str, *, json: Any = None, form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None, repeatable: bool = False,
        call_s_max: float | None = None, content: bytes | None = None,
    ) -> Answer:  # fmt: skip
        """Ask, and return the answer. Raises `RetryLater` when nothing was sent, `Unknown` when it may have arrived.

        The body is one of `json`, `form` and `content`. `repeatable` says that asking twice is asking once.
        """
        extra = dict(headers or {})
        if json is not None:
            content = orjson.dumps(json)
            extra["content-type"] = "application/json"
        try:
            async with asyncio.timeout(call_s_max or self._call_s_max):
                answer = await self._client.request(
                    method, path, content=content, data=form, headers=extra, params=query
                )  # fmt: skip
        except NOT_SENT as error:
            raise RetryLater(f"not sent: {type(error).__name__}", rule=f"{self._rules}-not-sent") from error
        except (httpx.HTTPError, TimeoutError) as error:
            reason = f"no answer: {type(error).__name__}"
            raise Unknown(reason, repeatable=repeatable, rule=f"{self._rules}-unknown-outcome") from error
        return Answer(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, answer.content)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
