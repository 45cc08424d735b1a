"""Lanes: the disturbed webhooks of one endpoint, sent one after another in an order that the seed alone decides."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

Send = Callable[[], Awaitable[None]]

# Shuffled webhooks are held until so many are there or none came for so long: where a group ends must not depend on
# how quickly the machine works.
_GROUP = 50
_QUIET_S = 1.0


class _Item(NamedTuple):
    """One copy of a webhook: `rank` decides the order within its group, then `number`; `due` is monotonic time."""

    rank: int
    number: int
    due: float
    shuffled: bool
    send: Send


class Lane:
    """One endpoint's disturbed webhooks. Each is sent after its delay, and after the one before it was answered."""

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._number = 0

    def add(self, send: Send, delay_ms: int, *, shuffled: bool) -> None:
        """Take up one copy; shuffled ones overtake each other by their delays, others keep their order."""
        self._number += 1
        due = time.monotonic() + delay_ms / 1000
        self._items.append(_Item(delay_ms if shuffled else 0, self._number, due, shuffled, send))

    async def drive(self) -> None:
        """Send what is there and what comes meanwhile; returns when nothing is left."""
        while self._items:
            for item in sorted(await self._group()):
                await asyncio.sleep(max(0.0, item.due - time.monotonic()))
                await item.send()

    async def _group(self) -> list[_Item]:
        """The next webhooks whose order among each other is decided together."""
        known = 0
        while any(item.shuffled for item in self._items) and known < len(self._items) < _GROUP:
            known = len(self._items)
            await asyncio.sleep(_QUIET_S)
        group, self._items = self._items[:_GROUP], self._items[_GROUP:]
        return group
