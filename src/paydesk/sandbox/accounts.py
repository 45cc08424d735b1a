"""One account per secret key: its objects, by kind, in order of creation.

Objects are plain dicts in the shape of the newest API version, with ids where other objects are meant. Fields whose
name begins with "_" are the sandbox's own and never leave it; kinds that begin with "_" are not Stripe's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from .clock import Clock, Timeline
from .errors import Json, StripeError, no_such
from .ids import derived_text, new_id
from .journal import Journal
from .settings import Settings
from .undoing import Undo

# Fields by which objects are looked up instead of their ids, by kind; the file has them beside the ids.
NAMES = {"checkout.session": "_page", "price": "lookup_key", "payment_intent": "_ticket", "setup_intent": "_ticket",
          "billing_portal.session": "_ticket", "_delivery": "status"}  # fmt: skip


@dataclass
class Table:
    """The objects of one kind; `order` holds their ids, oldest first (None where one was removed).

    An object that stands in the file stays there until somebody asks for it; `read` fetches it from its position.
    """

    read: Callable[[int], Json]
    undo: Undo
    order: list[str | None] = field(default_factory=list)
    place: dict[str, int] = field(default_factory=dict)
    position: dict[str, int] = field(default_factory=dict)  # where they stand in the file
    gone: int = 0  # so many places at the beginning are known to be empty
    _rows: dict[str, Json] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.place)

    def get(self, object_id: str) -> Json | None:
        """The object with this id, or None."""
        row = self._rows.get(object_id)
        if row is None and object_id in self.place:
            row = self._rows[object_id] = self.read(self.position[object_id])
        if row is not None:
            self.undo.saw(row)
        return row

    def put(self, row: Json) -> None:
        """Add an object, or replace the one with its id."""
        object_id, before = row["id"], self._rows.get(row["id"])
        self._rows[object_id] = row
        if object_id not in self.place:
            self.place[object_id] = len(self.order)
            self.order.append(object_id)
            self.undo.step(lambda: self._drop(object_id))
        elif before is not row:
            self.undo.step(lambda: self._put_back(object_id, before, self.place[object_id]))

    def take_up(self, ids: list[str], positions: list[int]) -> None:
        """Add objects that stand in the file, oldest first, and where they stand there."""
        self.position.update(zip(ids, positions, strict=True))
        self.place.update(zip(ids, count(len(self.order)), strict=False))
        self.order.extend(ids)

    def oldest(self) -> Json | None:
        """The object that is there for the longest time; what was removed before it is not looked at again."""
        while self.gone < len(self.order):
            object_id = self.order[self.gone]
            if object_id is not None:
                return self.get(object_id)
            self.gone += 1
        return None

    def remove(self, object_id: str) -> None:
        """Forget an object."""
        row, place = self._rows.get(object_id), self.place[object_id]
        self._drop(object_id)
        self.undo.step(lambda: self._put_back(object_id, row, place))

    def _drop(self, object_id: str) -> None:
        self._rows.pop(object_id, None)
        self.order[self.place.pop(object_id)] = None

    def _put_back(self, object_id: str, row: Json | None, place: int) -> None:
        self.order[place], self.place[object_id] = object_id, place
        self.gone = min(self.gone, place)
        self._rows.pop(object_id, None)
        if row is not None:  # else it stands in the file, as it was
            self._rows[object_id] = row

    def walk(self, start: int, *, forward: bool) -> Iterator[Json]:
        """The objects after a place in `order` (forward) or before it (backward)."""
        places = range(start + 1, len(self.order)) if forward else range(min(start, len(self.order)) - 1, -1, -1)
        for place in places:
            object_id = self.order[place]
            row = self.get(object_id) if object_id is not None else None
            if row is not None:
                yield row


@dataclass(frozen=True)
class Cause:
    """The request that is being answered; both empty for what happens by itself."""

    request_id: str | None = None
    idempotency_key: str | None = None


class Account:
    """All that belongs to one secret key."""

    def __init__(
        self,
        key: str,
        clock: Clock,
        public_url: str,
        at: Callable[[float, Callable[[], None]], None],
        settings: Settings,
        journal: Journal,
    ) -> None:
        """`at` runs an action at a moment of the clock; what must outlive a restart goes through `later`."""
        self.key = key
        self.at = at
        self.id = "acct_1" + derived_text(key, 15)
        self.clock = clock
        self.public_url = public_url
        self.settings = settings
        self._journal = journal
        self.undo = Undo()
        self.tables: dict[str, Table] = {}
        self._named: dict[tuple[str, str], str] = {}
        self.cause = Cause()
        self.timelines: dict[str, Timeline] = {}  # of test clocks, by id
        self.test_clock: str | None = None  # the one at whose time something happens now
        self.told_at: int | None = None  # and the time of everything else, which is that of the events
        self.changed_at: dict[str, float] = {}  # kept while searches are delayed
        self.changed: dict[tuple[str, str], Json | None] = {}
        self.fresh_deliveries: list[Json] = []
        self.fresh_events: list[Json] = []

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Do a piece of work whole or not at all: when it is refused or breaks off, everything is as it was before.

        What a failed payment leaves on record stays (`StripeError.keeps`). Nothing may be flushed or awaited within.
        """
        changed, deliveries, events = dict(self.changed), len(self.fresh_deliveries), len(self.fresh_events)
        self.undo.begin()
        try:
            yield
        except Exception as problem:
            if not (isinstance(problem, StripeError) and problem.keeps):
                self.undo.take_back()
                self.changed = changed
                del self.fresh_deliveries[deliveries:], self.fresh_events[events:]
            raise
        finally:
            self.undo.end()

    def table(self, kind: str) -> Table:
        """The objects of a kind; empty when there are none yet. Those in the file are taken up when first asked for."""
        known = self.tables.get(kind)
        if known is None:
            known = self.tables[kind] = Table(self._journal.body, self.undo)
            self._take_up(kind, known)
        return known

    def _take_up(self, kind: str, table: Table) -> None:
        heads = self._journal.heads(self.key, kind)
        table.take_up([one[1] for one in heads], [one[0] for one in heads])
        if kind in NAMES:
            self._named.update(((kind, name), object_id) for _, object_id, name in heads if name is not None)

    def counts(self) -> dict[str, int]:
        """How many objects there are of each kind of Stripe's."""
        kinds = {*self.tables, *self._journal.kinds(self.key)}
        return {kind: len(self.table(kind)) for kind in sorted(kinds) if kind[:1] != "_" and len(self.table(kind))}

    def add(self, kind: str, values: Json, *, object_id: str | None = None) -> Json:
        """A new object of a kind, with `id`, `object`, `created` and `livemode` filled in."""
        row = {
            "id": object_id or new_id(kind),
            "object": kind,
            "created": self.clock.now_s(),
            "livemode": False,
            **values,
        }
        return self.save(row)

    def save(self, row: Json) -> Json:
        """Keep an object as it is now; written to the file at the end of the request."""
        self.table(row["object"]).put(row)
        name = row.get(NAMES.get(row["object"], ""))
        if name and self._named.get((row["object"], name)) != row["id"]:
            self._rename(row["object"], name, row["id"])
        self.changed[row["object"], row["id"]] = row
        if self.settings.search_delay_s:
            self.changed_at[row["id"]] = self.clock.now()
        return row

    def _rename(self, kind: str, name: str, object_id: str) -> None:
        """From now on a name is that of this object."""
        before = self._named.get((kind, name), "")
        self._named[kind, name] = object_id
        self.undo.step(lambda: self._named.update({(kind, name): before}))

    def remove(self, kind: str, object_id: str) -> None:
        """Forget an object for good."""
        self.table(kind).remove(object_id)
        self.changed[kind, object_id] = None

    def change(self, row: Json, **values: Any) -> Json:
        """Set fields of an object and keep it; gives the previous values of those that differ."""
        self.undo.saw(row)
        previous = {name: copy.deepcopy(row.get(name)) for name, value in values.items() if row.get(name) != value}
        row.update(values)
        self.save(row)
        return previous

    def find(self, kind: str, object_id: str) -> Json | None:
        """The object with this id, or None."""
        return self.table(kind).get(object_id)

    def find_named(self, kind: str, name: str) -> Json | None:
        """The object that has this lookup key (prices) or this ticket of a bank page (intents) now, or None."""
        table = self.table(kind)
        row = table.get(self._named.get((kind, name), ""))
        return row if row is not None and row[NAMES[kind]] == name else None

    def get(self, kind: str, object_id: str, param: str, *, status: int = 400, noun: str = "") -> Json:
        """The object with this id; refused as `resource_missing` when there is none."""
        row = self.find(kind, object_id)
        if row is None:
            raise no_such(noun or kind, object_id, param, status)
        return row

    def all(self, kind: str) -> Iterator[Json]:
        """The objects of a kind, oldest first."""
        return self.table(kind).walk(-1, forward=True)
