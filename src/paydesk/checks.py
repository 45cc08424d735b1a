"""Access checks: may this person have that now, until when, and why. Those that wait at the same moment share one query.

Nothing is remembered between two checks: each answer is what is stored and what time it is.
"""

from __future__ import annotations

from collections.abc import Sequence
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
SELECT q.number, g.source, g.kind, g.since, g.seconds, g.until, s.order_id, s.subscription_id,
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


class Checks(GroupCommit[Asked, Found]):
    """Answers access checks, many in one query, on a connection of its own."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, _look_up)


async def _look_up(connection: Any, asked: list[Asked]) -> list[Found]:
    found: list[Found] = [None] * len(asked)
    people, features = zip(*asked, strict=True)
    for row in await connection.fetch(LOOK_UP, people, features):
        place = row[0] - 1
        own = () if row[1] is None else (tuple(row)[1:],)
        found[place] = (found[place] or ()) + own
    return found


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
