"""What each person may have, and why: every reason is a row, and access is computed from the reasons and the time.

A reason is for ever, for so many seconds, or until a moment. Those for so many seconds add up: the second starts where
the first ends. A day is 24 hours, so summer time changes nothing. Nothing has to happen for access to end: `access`
compares with the time it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from paydesk.ledger import Source
from paydesk.store import Tx

KINDS = ("pass", "feature", "role", "member")
"""Kinds of sources that are reasons to have something."""

EVER, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
"""The ends of all time."""

Span = tuple[str, datetime, datetime | None]
"""A source and from when to when it is a reason; `None`: no end is known."""


@dataclass(frozen=True, slots=True)
class Held:
    """A reason to have a feature: for so many `seconds`, else `until` a moment, else for ever."""

    source: str
    customer: str
    kind: str
    feature: str
    since: datetime
    seconds: int | None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """May they? Until when (`None`: no end is known), and because of which sources."""

    allowed: bool
    until: datetime | None
    because: tuple[str, ...]


def access(reasons: Iterable[Held], now: datetime) -> Access:
    """Return what reasons for one feature amount to at `now`. `until` is where the last of them ends."""
    return access_by(spans(list(reasons)), now)


def access_by(laid: Sequence[Span], now: datetime) -> Access:
    """Return the same for reasons that are laid out already."""
    running = tuple(source for source, start, end in laid if start <= now and (end is None or now < end))
    end = _last_end(laid)
    if running:
        return Access(True, end, running)
    return Access(False, end if end is not None and end <= now else None, ())


def stretch(laid: Sequence[Span], now: datetime) -> tuple[datetime, datetime]:
    """Return from when (inclusive) to when (exclusive) the same is so as at `now`: nothing begins or ends in between."""
    turning = [moment for _, start, end in laid for moment in (start, end) if moment is not None]
    since = max((moment for moment in turning if moment <= now), default=EVER)
    return since, min((moment for moment in turning if moment > now), default=NEVER)


def end_of(reasons: Iterable[Held]) -> datetime | None:
    """Return when the last reason ends, `None` when there is none or one without an end."""
    return _last_end(spans(list(reasons)))


def _last_end(laid: Sequence[Span]) -> datetime | None:
    ends = [end for _, _, end in laid]
    if not ends or None in ends:
        return None
    return max(end for end in ends if end is not None)


def turns(reasons: Iterable[Held], now: datetime) -> list[tuple[str, datetime]]:
    """Return when access turns by time alone, and how: `pass_end` where it ends, `pass_start` where it begins later.

    The last end is among them even when it is over: whoever has to notice then notices at once.
    """
    laid = spans(list(reasons))
    last = _last_end(laid)
    ends = {end for _, _, end in laid if end is not None and end > now and not _goes_on(laid, end)}
    starts = {start for _, start, _ in laid if start > now and not _runs_until(laid, start)}
    found = [("pass_end", end) for end in ends | ({last} if last is not None else set())]
    return sorted([*found, *(("pass_start", start) for start in starts)], key=lambda turn: (turn[1], turn[0]))


def _goes_on(laid: Sequence[Span], moment: datetime) -> bool:
    return any(start <= moment and (end is None or moment < end) for _, start, end in laid)


def _runs_until(laid: Sequence[Span], moment: datetime) -> bool:
    return any(start < moment and (end is None or moment <= end) for _, start, end in laid)


def spans(reasons: Sequence[Held]) -> list[Span]:
    """Return (source, start, end) of reasons: those without an end or with a fixed one first, then those laid end to end
    in the order in which they were bought."""
    lasting = sorted((held for held in reasons if held.seconds is None), key=lambda held: held.source)
    laid: list[Span] = [(held.source, held.since, held.until) for held in lasting]
    end: datetime | None = None
    for held in sorted(reasons, key=lambda held: (held.since, held.source)):
        if held.seconds is not None:
            start = held.since if end is None else max(held.since, end)
            end = start + timedelta(seconds=held.seconds)
            laid.append((held.source, start, end))
    return laid


def held_by(source: Source) -> Held | None:
    """Return the reason that `source` is now, `None` when it is worth nothing, waits to be claimed, or is no entitlement."""
    if source.kind not in KINDS or source.worth == 0 or source.since is None:
        return None
    since = source.since
    if source.terms.get("starts") == "claim":
        if source.claimed_at is None:
            return None
        since = max(since, source.claimed_at)
    timed = source.subscription is None and (source.kind == "pass" or "days" in source.terms)
    return Held(
        source.id, source.customer, source.kind, str(source.terms["feature"]), since,
        source.worth if timed else None, source.until,
    )  # fmt: skip


# --- rows ------------------------------------------------------------------------------------------------------------

LOAD = (
    "SELECT source, customer_id, kind, feature, since, seconds, until FROM grant_ WHERE customer_id = ANY($1::text[])"
)

SAVE = """
INSERT INTO grant_ (source, customer_id, kind, feature, since, seconds, until)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[], $7::timestamptz[])
ON CONFLICT (source) DO UPDATE SET since = excluded.since, seconds = excluded.seconds, until = excluded.until
"""


async def load(tx: Tx, customers: Iterable[str], feature: str | None = None) -> list[Held]:
    """Return every reason of these customers, or those for one feature."""
    if feature is None:
        rows = await tx.fetch(LOAD, sorted(customers))
    else:
        rows = await tx.fetch(LOAD + " AND feature = $2", sorted(customers), feature)
    return [Held(*row) for row in rows]


async def save(tx: Tx, sources: Iterable[Source]) -> None:
    """Write what changed sources entitle to, and remove the reasons that are gone."""
    there = {source.id: held_by(source) for source in sources if source.kind in KINDS}
    rows = [
        (h.source, h.customer, h.kind, h.feature, h.since, h.seconds, h.until) for h in there.values() if h is not None
    ]
    gone = [id_ for id_, held in there.items() if held is None]
    if rows:
        await tx.execute(SAVE, *(list(column) for column in zip(*rows, strict=True)))
    if gone:
        await tx.execute("DELETE FROM grant_ WHERE source = ANY($1::text[])", gone)
