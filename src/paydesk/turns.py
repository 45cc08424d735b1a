"""Whose turn it is among what waits to be sent: which channels have something due, and what of it goes next.

due       which channels have something to send now
claim     lease the oldest unsent row of each thread of a channel (order per conversation), whatever waits behind it
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import uuid4

from paydesk.outbox import EVENT, LEASE_S, UNKNOWN, Delivery
from paydesk.store import Store

LIVE_EVENT = f"template = '{EVENT}' AND state IN ('ready','leased')"

DUE = f"""
WITH RECURSIVE live (channel) AS (
    (SELECT channel FROM outbox WHERE state IN ('ready','leased') AND NOT behind AND template <> '{EVENT}'
     ORDER BY channel LIMIT 1)
    UNION ALL
    SELECT (SELECT o.channel FROM outbox o WHERE o.state IN ('ready','leased') AND NOT o.behind
            AND o.template <> '{EVENT}' AND o.channel > live.channel ORDER BY o.channel LIMIT 1)
    FROM live WHERE live.channel IS NOT NULL),
told (channel, address) AS (
    (SELECT channel, address FROM outbox WHERE {LIVE_EVENT} ORDER BY channel, address LIMIT 1)
    UNION ALL
    SELECT next.* FROM told CROSS JOIN LATERAL (
        SELECT channel, address FROM outbox WHERE {LIVE_EVENT} AND (channel, address) > (told.channel, told.address)
        ORDER BY channel, address LIMIT 1) next)
SELECT channel FROM live WHERE channel IS NOT NULL AND EXISTS (
    SELECT FROM outbox o WHERE o.channel = live.channel AND o.state IN ('ready','leased') AND NOT o.behind
      AND o.template <> '{EVENT}' AND o.next_at <= desk_now())
UNION
SELECT channel FROM told WHERE EXISTS (
    SELECT FROM outbox o WHERE o.channel = told.channel AND o.address = told.address AND {LIVE_EVENT}
      AND o.next_at <= desk_now())
ORDER BY channel
"""
"""From one channel, and one who is told events, to the next by the index: it costs the same however much waits."""

WINDOW = 1000
"""So many due messages are looked through at once for those whose turn it is."""

WINDOWS_MAX = 20

LOOKED_THROUGH = f"""
SELECT d.id FROM outbox d
WHERE d.channel = $1 AND d.urgent = $2 AND d.address <> ALL ($3::text[]) AND d.state IN ('ready','leased')
  AND NOT d.behind AND d.template <> '{EVENT}' AND d.next_at <= desk_now()
ORDER BY d.next_at LIMIT {WINDOW}
"""

EACH = 100
"""So many due events of each endpoint are looked at: more than are ever under way at once."""

EVENTS_DUE = f"""
WITH RECURSIVE told (address) AS (
    (SELECT address FROM outbox WHERE channel = $1 AND {LIVE_EVENT} ORDER BY address LIMIT 1)
    UNION ALL
    SELECT next.address FROM told CROSS JOIN LATERAL (
        SELECT address FROM outbox WHERE channel = $1 AND {LIVE_EVENT} AND address > told.address
        ORDER BY address LIMIT 1) next)
SELECT e.id FROM told CROSS JOIN LATERAL (
    SELECT id, next_at FROM outbox WHERE channel = $1 AND address = told.address AND {LIVE_EVENT}
      AND next_at <= desk_now() ORDER BY next_at LIMIT {EACH}) e
WHERE told.address <> ALL ($3::text[]) AND NOT $2
ORDER BY e.next_at
"""
"""The first due events of each who is told any: what waits for one who is `resting` is passed over, however much it is."""

# What holds a row `o` up: an older one of its line. What a person reads comes in order: a message waits as long as any
# before it to the same (channel, address) lives. What is done about a role has a line of its own, one for each role: a
# server that refuses us holds up neither messages nor other servers, and what was decided later does not wait for what is
# tried again some other time. Events for other programs, and what is for the desk, come in any order: one that is not
# taken for hours holds up none of the others.
HOLDS_UP_NOW = "(p.state = 'leased' OR p.state = 'ready' AND p.next_at <= desk_now())"
HOLDS_UP = f"""p.channel = o.channel AND p.address = o.address AND p.id < o.id AND p.state IN ('ready','leased')
          AND (p.template IN ('grant','revoke')) = (o.template IN ('grant','revoke'))
          AND (o.template NOT IN ('grant','revoke') OR (p.conversation = o.conversation AND {HOLDS_UP_NOW}))"""

# Row by row from those looked through: a join may begin with all that waits on every channel, and a planner without
# statistics does. The CASE keeps it to the primary key: no index over what is alive can be shown to hold the row.
CLAIM = f"""
UPDATE outbox SET state = 'leased', attempts = attempts + 1, claim_id = $4,
    next_at = now() + make_interval(secs => {LEASE_S})
WHERE id = ANY (ARRAY(
    SELECT ours.id FROM unnest($6::bigint[] || ARRAY({LOOKED_THROUGH}) || ARRAY({EVENTS_DUE})) AS w (id)
    CROSS JOIN LATERAL (
        SELECT o.id FROM outbox o
        WHERE o.id = w.id AND o.next_at <= CASE o.state WHEN 'ready' THEN desk_now() WHEN 'leased' THEN now() END
          AND (o.template = '{EVENT}' OR o.channel = 'admin' OR NOT EXISTS (
            SELECT FROM outbox p WHERE {HOLDS_UP}))
        FOR UPDATE SKIP LOCKED) ours
    LIMIT $5))
RETURNING id, claim_id, attempts, dedup_key, customer_id, channel, address, conversation, template, params, created_at,
    about, detail IS NOT NULL, starts_with(detail, '{UNKNOWN}'), waits_for
"""

# Where more is due than is looked through, rows that are held up are put out of sight, once each; the head of their line
# is in sight and locked meanwhile, so that it cannot end unseen. A trigger (migration 0010) brings the next one of a line
# back whenever one of it ends, however it ends, or, of a role, is put off. So the oldest of a line that is held up by
# nothing is always in sight, and a full window of rows that are held up gets emptier with each look.
SET_BEHIND = f"""
WITH looked_through AS MATERIALIZED ({LOOKED_THROUGH}), crowd AS MATERIALIZED (
    SELECT o.id, (SELECT p.id FROM outbox p WHERE {HOLDS_UP} ORDER BY p.id LIMIT 1) AS head
    FROM outbox o WHERE o.id = ANY (ARRAY(SELECT id FROM looked_through))
      AND (SELECT count(*) FROM looked_through) = {WINDOW}
      AND o.channel <> 'admin'
), held AS MATERIALIZED (
    SELECT p.id FROM outbox p WHERE p.id = ANY (ARRAY(SELECT DISTINCT head FROM crowd))
      AND p.state IN ('ready','leased') AND NOT p.behind AND (p.template NOT IN ('grant','revoke') OR {HOLDS_UP_NOW})
    FOR SHARE SKIP LOCKED
), followers AS MATERIALIZED (
    SELECT o.id FROM outbox o WHERE o.id = ANY (ARRAY(SELECT crowd.id FROM crowd JOIN held ON held.id = crowd.head))
      AND o.state = 'ready' AND NOT o.behind AND o.next_at <= desk_now()
    FOR UPDATE SKIP LOCKED
)
UPDATE outbox o SET behind = true FROM crowd WHERE o.id = crowd.id AND o.id = ANY (ARRAY(SELECT id FROM followers))
RETURNING o.address, crowd.head
"""


async def due(store: Store) -> list[str]:
    """Return the channels that have something due, in alphabetical order."""
    return [row["channel"] for row in await store.fetch(DUE)]


async def claim(store: Store, channel: str, *, rows_max: int, resting: Collection[str] = ()) -> list[Delivery]:
    """Lease a channel's messages that are due, in a transaction of its own, attempts counted.

    Those to a `resting` address wait: that chat has just been told something. Whoever has just asked is answered first.
    """
    found: list[Delivery] = []
    for urgent in (True, False):
        found += await _claim_among(store, rows_max - len(found), channel, urgent, list(resting))
    return found


async def _claim_among(store: Store, rows_max: int, channel: str, urgent: bool, resting: list[str]) -> list[Delivery]:
    """Lease what is due among urgent messages or among the others.

    Where the window is full of what waits behind others, it is moved past those threads, and they are put out of sight
    a window at a time.
    """
    passed, heads = list(resting), list[int]()
    for _ in range(WINDOWS_MAX if rows_max > 0 else 0):
        rows = await store.fetch(CLAIM, channel, urgent, passed, uuid4(), rows_max, heads)
        crowded = {tuple(row) for row in await store.fetch(SET_BEHIND, channel, urgent, passed)} if not rows else ()
        if not crowded:
            return [Delivery(*row) for row in rows]
        passed += {address for address, _ in crowded}
        heads += {head for _, head in crowded}
    return []
