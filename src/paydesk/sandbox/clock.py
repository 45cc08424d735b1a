"""The sandbox's clock and what is due on it: one time line for session expiries and webhook retries."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime

Action = Callable[[], None]
STEP_S = 0.05  # real seconds for which others may have to wait


class Clock:
    """Real time plus an offset that only grows. Seconds since 1970, UTC."""

    def __init__(self) -> None:
        self.offset_s = 0.0
        self._held: float | None = None

    def now(self) -> float:
        """The sandbox's time in seconds; stands still while a due action runs."""
        return self._held if self._held is not None else time.time() + self.offset_s

    def now_s(self) -> int:
        """The sandbox's time in whole seconds, as `created` fields have it."""
        return int(self.now())

    def iso(self) -> str:
        """The sandbox's time as ISO 8601 in UTC."""
        return datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    @property
    def held(self) -> float | None:
        """The moment at which it stands still, or None."""
        return self._held

    def hold(self, moment: float | None) -> None:
        """Stand still at a moment; None lets the clock run again."""
        self._held = moment


class Timeline:
    """Actions due at moments of the clock, run in order, each at its own moment."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._due: list[tuple[float, int, Action]] = []
        self._numbers = itertools.count()
        self._changed = asyncio.Event()

    def at(self, moment: float, action: Action) -> None:
        """Run `action` when the clock reaches `moment`."""
        heapq.heappush(self._due, (moment, next(self._numbers), action))
        self._changed.set()

    def clear(self) -> None:
        """Forget everything that is due."""
        self._due.clear()
        self._changed.set()

    def run_until(self, target: float, *, patience_s: float = math.inf) -> float | None:
        """Run what is due up to `target`, in order of time; actions may add others on the way.

        Stops when `patience_s` of real time are over; gives the moment of what is due next then, None when all is done.
        """
        held, pause_at = self.clock.held, time.monotonic() + patience_s
        try:
            while self._due and self._due[0][0] <= target:
                if time.monotonic() >= pause_at:
                    return self._due[0][0]
                moment, _, action = heapq.heappop(self._due)
                self.clock.hold(moment)
                action()
        finally:
            self.clock.hold(held)
        return None

    def step_towards(self, target: float) -> bool:
        """Set the clock forward on its way to `target`; what is due happens first, in order, each at its own time.

        Stops after a while, so that a caller can see to others before the next step; true when `target` is reached.
        """
        pause_at = time.monotonic() + STEP_S
        while self._due and self._due[0][0] <= target and time.monotonic() < pause_at:
            moment = self._due[0][0]
            self.run_until(moment, patience_s=STEP_S)
            self._reach(moment)
        arrived = not (self._due and self._due[0][0] <= target)
        if arrived:
            self._reach(target)
        self._changed.set()
        return arrived

    def _reach(self, moment: float) -> None:
        self.clock.offset_s += max(0.0, moment - self.clock.now())

    async def run(self, after: Action) -> None:
        """Run actions as real time passes, for ever; `after` is called when some have run."""
        while True:
            self._changed.clear()
            if self._due and self._due[0][0] <= self.clock.now():
                self.run_until(self.clock.now(), patience_s=STEP_S)
                after()
                await asyncio.sleep(0)  # the next piece may be due already: others come first
            await self._wait()

    async def _wait(self) -> None:
        """Sleep until the next action is due or the time line has changed."""
        pause_s = max(0.0, self._due[0][0] - self.clock.now()) if self._due else None
        try:
            async with asyncio.timeout(pause_s):
                await self._changed.wait()
        except TimeoutError:
            return
