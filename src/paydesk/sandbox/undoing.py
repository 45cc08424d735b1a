"""Taking back a piece of work that broke off: every object is again what it was when the work began."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from .errors import Json


class Undo:
    """What has to be done to take back the work that is under way. Notes nothing between two pieces of work."""

    def __init__(self) -> None:
        self._under_way = False
        self._before: dict[int, tuple[Json, bytes]] = {}
        self._steps: list[Callable[[], None]] = []

    def begin(self) -> None:
        """A piece of work begins."""
        self._under_way = True

    def saw(self, row: Json) -> None:
        """Somebody has an object in hand and may change it, with or without saying so."""
        if self._under_way and id(row) not in self._before:
            self._before[id(row)] = (row, orjson.dumps(row))

    def step(self, back: Callable[[], None]) -> None:
        """Something else was done; `back` takes it back."""
        if self._under_way:
            self._steps.append(back)

    def take_back(self) -> None:
        """Take back what was done since `begin`, the last first."""
        for back in reversed(self._steps):
            back()
        for row, body in self._before.values():
            row.clear()
            row.update(orjson.loads(body))

    def end(self) -> None:
        """The work is over, done or taken back."""
        self._under_way = False
        self._before.clear()
        self._steps.clear()
