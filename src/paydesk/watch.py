"""An eye on our own errors: when they come thick, the people of the desk are told, at most once an hour."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic

from paydesk import alerts, outbox
from paydesk.errors import PaydeskError
from paydesk.store import Store

WINDOW_S = 300.0
MANY = 20
LOOK_S = 15.0


class Errors(logging.Handler):
    """Counts what is logged as an error, for as long as a window lasts."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._at: deque[float] = deque(maxlen=10_000)

    def emit(self, record: logging.LogRecord) -> None:
        """Note one."""
        self._at.append(monotonic())

    def count(self) -> int:
        """Return how many there were within the window."""
        while self._at and self._at[0] < monotonic() - WINDOW_S:
            self._at.popleft()
        return len(self._at)


async def run(store: Store) -> None:
    """Count until cancelled, and tell when there are many."""
    errors = Errors()
    logger = logging.getLogger("paydesk")
    logger.addHandler(errors)
    try:
        while True:
            await asyncio.sleep(LOOK_S)
            await tell(store, errors)
    finally:
        logger.removeHandler(errors)


async def tell(store: Store, errors: Errors) -> None:
    """Tell the people of the desk of many errors, once an hour."""
    number = errors.count()
    if number < MANY:
        return
    try:
        async with store.transaction() as tx:
            await outbox.put(tx, [alerts.of("errors", "log", number=number)])
    except PaydeskError:
        return  # the database is away: that is told by everything else
