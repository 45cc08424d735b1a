"""What each person may have, and why: every reason is a row, and access is computed from the reasons and the time.

Passes of one feature add up: the second starts where the first ends. A day is 24 hours, so summer time changes
nothing. Nothing has to happen for access to end: `access` compares with the time it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from paydesk.ledger import Source
from paydesk.store import Tx


@dataclass(frozen=True, slots=True)
class Held:
    """A reason to have a feature: for ever when `seconds` is `None`, else so long."""

    source: str
    customer: str
    kind: str
    feature: str
    since: datetime
    seconds: int | None


@dataclass(frozen=True, slots=True)
class Access:
    """May they? Until when (`None`: no end), and because of which sources."""

    allowed: bool
    until: datetime | None
    because: tuple[str, ...]


def access(reasons: Iterable[Held], now: datetime) -> Access:
    """Return what reasons for one feature amount to at `now`. `until` is where the last of the passes ends."""
    lasting = sorted(held.source for held in reasons if held.seconds is None and held.since <= now)
    spans = _spans([held for held in reasons if held.seconds is not None])
    running = tuple(source for source, start, end in spans if start <= now < end)
    if lasting:
        return Access(True, None, (*lasting, *running))
    end = end_of(reasons)
    if running:
        return Access(True, end, running)
    return Access(False, end if end is not None and end <= now else None, ())


def end_of(reasons: Iterable[Held]) -> datetime | None:
    """Return when the last pass ends, `None` when there is none or a reason without an end."""
    reasons = list(reasons)
    if any(held.seconds is None for held in reasons):
        return None
    spans = _spans(reasons)
    return spans[-1][2] if spans else None


def _spans(passes: Sequence[Held]) -> list[tuple[str, datetime, datetime]]:
    """Return (source, start, end) of passes laid end to end, in the order in which they were bought."""
    spans: list[tuple[str, datetime, datetime]] = []
    for held in sorted(passes, key=lambda held: (held.since, held.source)):
        start = max(held.since, spans[-1][2]) if spans else held.since
        spans.append((held.source, start, start + timedelta(seconds=held.seconds or 0)))
    return spans


def held_by(source: Source) -> Held | None:
    """Return the reason that `source` is now, `None` when it is worth nothing or is no entitlement."""
    if source.kind not in ("pass", "feature") or source.worth == 0 or source.since is None:
        return None
    seconds = source.worth if source.kind == "pass" else None
    return Held(source.id, source.customer, source.kind, str(source.terms["feature"]), source.since, seconds)


# --- rows ------------------------------------------------------------------------------------------------------------

LOAD = "SELECT source, customer_id, kind, feature, since, seconds FROM grant_ WHERE customer_id = ANY($1::text[])"

SAVE = """
INSERT INTO grant_ (source, customer_id, kind, feature, since, seconds)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[])
ON CONFLICT (source) DO UPDATE SET since = excluded.since, seconds = excluded.seconds
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
    there = {source.id: held_by(source) for source in sources if source.kind in ("pass", "feature")}
    rows = [(h.source, h.customer, h.kind, h.feature, h.since, h.seconds) for h in there.values() if h is not None]
    gone = [id_ for id_, held in there.items() if held is None]
    if rows:
        await tx.execute(SAVE, *(list(column) for column in zip(*rows, strict=True)))
    if gone:
        await tx.execute("DELETE FROM grant_ WHERE source = ANY($1::text[])", gone)
