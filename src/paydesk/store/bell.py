"""The bell: a hint that something waits, within this process at once and to the others by `NOTIFY`.

Only a hint: notices may be lost, so whoever waits also looks every second or so. Rings are collected and sent on a
connection of their own, never inside a transaction that carries money.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from typing import Any

from paydesk.errors import StoreUnavailable
from paydesk.store.pool import AWAY, Store

CHANNEL = "paydesk"
TOPIC_BYTES_MAX = 500
PAUSE_S = 0.02
"""Between two notices: under load they would come hundreds of times a second, each a transaction of its own."""


class Bell:
    """Rings topics such as `inbox` or `chat:web:3f…`, and lets tasks wait for them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._unsent: set[str] = set()
        self._something = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start sending and hearing notices in the running loop."""
        self._task = asyncio.create_task(self._run(), name="bell")

    async def stop(self) -> None:
        """Stop; local waiters simply time out."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def ring(self, topic: str) -> None:
        """Wake whoever waits for `topic`, here now and in other processes soon."""
        self._hear(topic)
        self._unsent.add(topic[:TOPIC_BYTES_MAX])
        self._something.set()

    async def wait(self, *topics: str, timeout_s: float) -> bool:
        """Wait until one of `topics` rings or the time is over; return whether it rang."""
        event = asyncio.Event()
        for topic in topics:
            self._waiting[topic].add(event)
        try:
            async with asyncio.timeout(timeout_s):  # not `wait_for`, which may swallow the end of the task
                await event.wait()
        except TimeoutError:
            return False
        finally:
            for topic in topics:
                self._waiting[topic].discard(event)
                if not self._waiting[topic]:
                    del self._waiting[topic]
        return True

    def subscribe(self, topic: str) -> asyncio.Event:
        """Return an event that is set at every ring of `topic`, until `unsubscribe`; no ring falls between two waits."""
        event = asyncio.Event()
        self._waiting[topic].add(event)
        return event

    def unsubscribe(self, topic: str, event: asyncio.Event) -> None:
        """End a subscription."""
        self._waiting[topic].discard(event)
        if not self._waiting[topic]:
            del self._waiting[topic]

    def _hear(self, topic: str) -> None:
        for event in self._waiting.get(topic, ()):
            event.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._session()
            except (StoreUnavailable, *AWAY):
                await asyncio.sleep(1)

    async def _session(self) -> None:
        """Hear and send on one connection until it breaks."""
        connection = await self._store.connect()
        try:
            await connection.execute("SET synchronous_commit = off")  # a lost hint costs a second, not money
            await connection.add_listener(CHANNEL, self._notified)
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(30):
                        await self._something.wait()
                self._something.clear()
                topics, self._unsent = sorted(self._unsent), set()
                await connection.execute("SELECT pg_notify($1, topic) FROM unnest($2::text[]) topic", CHANNEL, topics)
                await asyncio.sleep(PAUSE_S)
        finally:
            connection.terminate()

    def _notified(self, _connection: Any, _pid: int, _channel: str, topic: str) -> None:
        self._hear(topic)
