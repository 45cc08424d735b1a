"""Asking Discord no faster than it allows, so that it hardly ever has to say no.

Every answer tells which bucket its route belongs to, how many calls are left in it and when it is full again. Buckets
are counted per server, channel or webhook; all calls together may be 50 a second. Refused calls count towards a limit
beyond which the whole address is shut out. (Discord's documentation, Rate Limits.)
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from paydesk.channels.base import RetryLater
from paydesk.channels.http import Answer

PER_S = 50
WAIT_S_MAX = 1.0
STEP_S = 0.05
UNHEARD_S = 5.0
BUCKETS_MAX = 10_000

_MAJOR = re.compile(r"/(?:channels|guilds)/[^/]+|/(?:webhooks|interactions)/[^/]+/[^/]+")
_ID = re.compile(r"/[0-9]{5,20}(?=/|$)")


@dataclass(slots=True)
class Bucket:
    """What is left of a bucket. Until the first answer is heard, one call at a time may go out."""

    limit: int = 1
    left: int = 1
    full_at_s: float = 0.0
    window_s: float = UNHEARD_S
    turned_away: int = 0
    heard: bool = False


class Pace:
    """Says whose turn it is. All times are those of `now_s`, seconds that never go back."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._names: dict[str, str] = {}
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._recent: deque[float] = deque()
        self._rest_until_s = 0.0

    async def turn(self, method: str, path: str) -> None:
        """Return when the call may go out, a second from now at most; raises `RetryLater` where that is too soon."""
        deadline_s = self._now_s() + WAIT_S_MAX
        while True:
            self._rested()
            bucket = self._bucket(method, path)
            wait_s = max(self._crowd_wait_s(), self._bucket_wait_s(bucket))
            if wait_s <= 0:
                break
            left_s = deadline_s - self._now_s()
            if left_s <= 0 or (bucket.heard and wait_s > left_s):
                raise self._turned_away(bucket, wait_s)
            await asyncio.sleep(min(wait_s, STEP_S))
        bucket.left -= 1
        self._recent.append(self._now_s())

    def _rested(self) -> None:
        """Raise `RetryLater` for everyone while nothing may go out."""
        wait_s = self._rest_until_s - self._now_s()
        if wait_s > 0:
            raise RetryLater("Discord rests", wait_s, counted=False, everyone=True, rule="dc-paced")

    def _crowd_wait_s(self) -> float:
        now_s = self._now_s()
        while self._recent and now_s - self._recent[0] >= 1:
            self._recent.popleft()
        return 1 - (now_s - self._recent[0]) if len(self._recent) >= PER_S else 0

    def _bucket_wait_s(self, bucket: Bucket) -> float:
        now_s = self._now_s()
        if now_s >= bucket.full_at_s:
            bucket.left, bucket.turned_away = bucket.limit, 0
            bucket.full_at_s = now_s + bucket.window_s
        return 0 if bucket.left > 0 else bucket.full_at_s - now_s

    def _turned_away(self, bucket: Bucket, wait_s: float) -> RetryLater:
        """Send those who wait back in groups that fit into one window each, not all at the same moment."""
        wait_s += bucket.turned_away // bucket.limit * bucket.window_s
        bucket.turned_away += 1
        return RetryLater("the bucket is empty", wait_s, counted=False, rule="dc-paced")

    def heard(self, method: str, path: str, answer: Answer) -> None:
        """Learn from an answer's headers; where it has none, only all calls together are limited."""
        name = answer.headers.get("x-ratelimit-bucket")
        if name is not None:
            self._name(method, path, name)
        bucket = self._bucket(method, path)
        limit, left, after_s = (_number(answer, part) for part in ("limit", "remaining", "reset-after"))
        if limit is None or left is None or after_s is None:
            if not bucket.heard:
                bucket.limit, bucket.left, bucket.window_s, bucket.heard = PER_S, PER_S, 1.0, True
            return
        bucket.limit = max(1, int(limit))
        bucket.left = min(bucket.left, int(left)) if bucket.heard else int(left)
        bucket.window_s = max(after_s, bucket.window_s) if bucket.heard else after_s
        bucket.full_at_s, bucket.heard = self._now_s() + after_s, True

    def unheard(self, method: str, path: str) -> None:
        """Note that a call had no answer: the next may be the first to be heard."""
        bucket = self._bucket(method, path)
        if not bucket.heard:
            bucket.left = 1

    def emptied(self, method: str, path: str, after_s: float) -> None:
        """Note that a bucket was refused: nothing goes out of it for `after_s` seconds."""
        bucket = self._bucket(method, path)
        bucket.left, bucket.full_at_s, bucket.heard = 0, self._now_s() + after_s, True

    def rest(self, after_s: float) -> None:
        """Let nothing go out for `after_s` seconds."""
        self._rest_until_s = max(self._rest_until_s, self._now_s() + after_s)

    def _bucket(self, method: str, path: str) -> Bucket:
        route, major = _route(method, path)
        key = (self._names.get(route, route), major)
        if key not in self._buckets:
            self._forget()
            self._buckets[key] = Bucket()
        return self._buckets[key]

    def _name(self, method: str, path: str, name: str) -> None:
        """Put a route into the bucket that Discord named: from now on they share it."""
        route, major = _route(method, path)
        if self._names.get(route) != name:
            own = self._bucket(method, path)
            self._names[route] = name
            self._buckets.setdefault((name, major), own)

    def _forget(self) -> None:
        """Keep the memory flat: what is full again needs no memory."""
        if len(self._buckets) >= BUCKETS_MAX:
            now_s = self._now_s()
            self._buckets = {key: one for key, one in self._buckets.items() if one.full_at_s > now_s}


def _route(method: str, path: str) -> tuple[str, str]:
    """Return a route without its ids, and the server, channel or webhook that buckets are counted by."""
    found = _MAJOR.match(path)
    major = found.group() if found else ""
    return f"{method} {major[:4]}{_ID.sub('/*', path[len(major) :])}", major


def _number(answer: Answer, part: str) -> float | None:
    try:
        return float(answer.headers[f"x-ratelimit-{part}"])
    except (KeyError, ValueError):
        return None
