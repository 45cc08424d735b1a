"""Access checks: may this person have that now, until when, and why. Those that wait at the same moment share one query.

Each answer is what is stored when it is asked for, and what time it is then. What was read is remembered, but never
believed: every batch of checks asks first whose rows have been changed since, by whatever process, and reads theirs
again. Triggers mark a person in the transaction that changes what is read here (`access_mark`), so a mark is seen exactly
when its change is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from paydesk import entitlements
from paydesk.entitlements import Access, Held
from paydesk.store import Store
from paydesk.store.group import GroupCommit

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip

Asked = tuple[str, str]
"""(customer, feature): by today's id, or one that leads there since a merge."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason that somebody has, and where it comes from: an order or a subscription, and the name of what was sold."""

    held: Held
    order: str | None
    subscription: str | None
    product: str | None


Row = tuple[Any, ...]
"""A reason as it is stored: see `LOOK_UP`."""

Found = tuple[Row, ...] | None
"""A row for every reason, whether it runs now or not; `None` when there is no such customer."""

LOOK_UP = """
SELECT q.number, coalesce(c.merged_into, c.id), g.source, g.kind, g.since, g.seconds, g.until, s.order_id, s.subscription_id,
       coalesce(line.name, (
           SELECT item -> 'terms' ->> 'name' FROM subscription b, jsonb_array_elements(b.items -> 'data') item
           WHERE b.id = s.subscription_id AND item ->> 'key' = split_part(g.source, ':', 2) LIMIT 1))
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (customer, feature, number)
JOIN customer c ON c.id = q.customer
LEFT JOIN grant_ g ON g.customer_id = coalesce(c.merged_into, c.id) AND g.feature = q.feature
LEFT JOIN source s ON s.id = g.source
LEFT JOIN order_line line ON line.order_id = s.order_id
    AND line.position = CASE WHEN s.order_id IS NOT NULL THEN split_part(g.source, ':', 2)::smallint END
"""

CHANGED = """
SELECT pg_current_snapshot()::text, ARRAY(
    SELECT customer_id FROM access_mark
    WHERE transaction_id >= pg_snapshot_xmin($1::text::pg_snapshot)::text::bigint
      AND transaction_id < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
      AND NOT pg_visible_in_snapshot(transaction_id::text::xid8, $1::text::pg_snapshot))
"""
"""Which transactions are seen now, and who was marked by one that was not seen when we asked last.

A transaction with a greater number than there has been is none of this server's: its mark came here with a dump.
"""

GAP_S = 0.001
"""From one question to the next under load: what is answered from memory costs less than to ask whether it may be."""

REMEMBERED_MAX = 20_000
"""So many people's rows are remembered; those read first are forgotten first."""

FEATURES_MAX = 100
"""So many features of each: more are asked about by nobody but who makes them up."""

_NOTHING: Mapping[str, tuple[Row, ...]] = {}


class Checks(GroupCommit[Asked, Found]):
    """Answers access checks, many in one query, on a connection of its own."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, self._look_up, gap_s=GAP_S)
        self._known: dict[str, dict[str, tuple[Row, ...]]] = {}
        self._seen: str | None = None
        self._asked_on: Any = None

    async def _look_up(self, connection: Any, asked: list[Asked]) -> list[Found]:
        """Return what is stored: from memory where it has not changed."""
        await self._forget_changed(connection)
        remembered = [self._known.get(person, _NOTHING).get(feature) for person, feature in asked]
        fresh = {one: None for one, rows in zip(asked, remembered, strict=True) if rows is None}
        if not fresh:
            return list(remembered)
        read = await self._read(connection, list(fresh))
        return [read[one] if rows is None else rows for one, rows in zip(asked, remembered, strict=True)]

    async def _forget_changed(self, connection: Any) -> None:
        """Forget what has changed since the last question; after a break everything, for it may be another server."""
        if self._asked_on is not connection:
            self._asked_on, self._seen = connection, None
            self._known.clear()
        seen, changed = await connection.fetchrow(CHANGED, self._seen)
        for person in changed:
            self._known.pop(person, None)
        self._seen = seen

    async def _read(self, connection: Any, asked: list[Asked]) -> dict[Asked, Found]:
        """Read and remember; who is asked about by an id from before a merge is read each time."""
        found: list[Found] = [None] * len(asked)
        people, features = zip(*asked, strict=True)
        itself = set()
        for number, person, *row in await connection.fetch(LOOK_UP, people, features):
            place = number - 1
            found[place] = (found[place] or ()) + (() if row[0] is None else (tuple(row),))
            if person == people[place]:
                itself.add(place)
        for place in sorted(itself):
            self._remember(asked[place], found[place] or ())
        return dict(zip(asked, found, strict=True))

    def _remember(self, asked: Asked, rows: tuple[Row, ...]) -> None:
        person, feature = asked
        if person not in self._known and len(self._known) >= REMEMBERED_MAX:
            del self._known[next(iter(self._known))]
        own = self._known.setdefault(person, {})
        if len(own) >= FEATURES_MAX:
            own.clear()
        own[feature] = rows


def reasons(rows: Sequence[Row], customer: str, feature: str) -> list[Reason]:
    """Return the reasons that rows tell of."""
    return [
        Reason(Held(source, customer, kind, feature, since, seconds, until), order, subscription, product)
        for source, kind, since, seconds, until, order, subscription, product in rows
    ]


@dataclass(frozen=True, slots=True)
class Running:
    """A reason that runs now, from when to when."""

    reason: Reason
    since: datetime
    until: datetime | None

    @property
    def text(self) -> str:
        """Return the reason in words."""
        own = self.reason
        what = own.product or own.held.feature
        if own.subscription is not None:
            return (
                f"the subscription {what}"
                if self.until is None
                else f"the subscription {what}, until {_day(self.until)}"
            )
        return f"{what}, bought, {'for good' if self.until is None else f'until {_day(self.until)}'}"


def _day(at: datetime) -> str:
    """Return a time for people; `strftime` takes longer than the rest of a check."""
    return f"{at.day} {MONTHS[at.month - 1]} {at.year}, {at.hour:02}:{at.minute:02} UTC"


@dataclass(frozen=True, slots=True)
class Standing:
    """The access that reasons for one feature amount to, those that run, in the same order, and from when to when it is so."""

    access: Access
    running: list[Running]
    since: datetime
    until: datetime


def standing(own: Sequence[Reason], now: datetime) -> Standing:
    """Return how it stands at `now`, and for how long it does unless a reason changes."""
    laid = entitlements.spans([one.held for one in own])
    answer = entitlements.access_by(laid, now)
    by_source = {one.held.source: one for one in own}
    times = {source: (start, end) for source, start, end in laid}
    run = [Running(by_source[source], *times[source]) for source in answer.because]
    return Standing(answer, run, *entitlements.stretch(laid, now))
