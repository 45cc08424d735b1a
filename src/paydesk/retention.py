"""Once a day: what is old and finished loses its words. What keeps things exactly once stays for ever.

Of an event the body goes; its id, its kind, what became of it and the hash of the body stay, and so does `seen`. Of a
message that was sent the words go, its key stays; of the chat's thread whole messages go. Money is never touched:
orders, payments, ledger and what is owed at other platforms are not kept here. Batches are small, each with a commit of
its own, so nobody waits for them. What is old and not finished is noted, and every later sweep looks at it again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from paydesk import saying, stars
from paydesk.errors import PaydeskError
from paydesk.leases import Lease
from paydesk.notebook import Notebook
from paydesk.service import Service
from paydesk.store import Store

log = logging.getLogger("paydesk.retention")

DAY_S = 86_400.0
LOOK_S = 3600.0
BATCH = 500
REST_S = 0.05
INSTRUCTIONS = f"'grant','revoke','{stars.GIVE_BACK}','{stars.ANSWER}','{saying.USE_UP}'"

PRUNE_EVENTS = f"""
    UPDATE inbox i SET body = '', body_hash = sha256(i.body) FROM old
    WHERE i.id = old.id AND i.state IN ('done','ignored') AND i.body_hash IS NULL AND i.source <> '{stars.SOURCE}'
    RETURNING i.id
"""
"""What was paid in a platform's own money keeps its body: it says to whom that money can be given back."""

PRUNE_MESSAGES = f"""
    UPDATE outbox o SET params = '{{}}', receipt = NULL FROM old
    WHERE o.id = old.id AND o.state = 'sent' AND o.channel <> 'stripe' AND o.template NOT IN ({INSTRUCTIONS})
    RETURNING o.id
"""
"""Instructions keep what they say: it tells what was asked of a platform, and under which version."""

NO_ATTEMPTS = ", attempts AS (DELETE FROM attempt a USING pruned WHERE a.outbox_id = pruned.id)"

EVENTS = f"""
WITH page AS (
    SELECT id, received_at, source, body_hash FROM inbox WHERE id > $1 ORDER BY id LIMIT {BATCH}
), old AS (
    SELECT * FROM page WHERE received_at < desk_now() - make_interval(days => $2)
), pruned AS ({PRUNE_EVENTS}), left_behind AS (
    INSERT INTO unpruned (sweep, row_id) SELECT 'events', id FROM old
    WHERE body_hash IS NULL AND source <> '{stars.SOURCE}' AND id NOT IN (SELECT id FROM pruned)
    ON CONFLICT DO NOTHING
)
SELECT (SELECT max(id) FROM old) AS last, (SELECT count(*) FROM pruned) AS number
"""

MESSAGES = f"""
WITH page AS (
    SELECT id, created_at, channel, template FROM outbox WHERE id > $1 ORDER BY id LIMIT {BATCH}
), old AS (
    SELECT * FROM page WHERE created_at < desk_now() - make_interval(days => $2)
), pruned AS ({PRUNE_MESSAGES}), left_behind AS (
    INSERT INTO unpruned (sweep, row_id) SELECT 'messages', id FROM old
    WHERE channel <> 'stripe' AND template NOT IN ({INSTRUCTIONS}) AND id NOT IN (SELECT id FROM pruned)
    ON CONFLICT DO NOTHING
){NO_ATTEMPTS}
SELECT (SELECT max(id) FROM old) AS last, (SELECT count(*) FROM pruned) AS number
"""

AGAIN = """
WITH old AS (
    SELECT row_id AS id FROM unpruned WHERE sweep = '{name}' AND row_id > $1 ORDER BY row_id LIMIT {batch}
), pruned AS ({prune}), looked_at AS (
    DELETE FROM unpruned u USING pruned WHERE u.sweep = '{name}' AND u.row_id = pruned.id
){also}
SELECT (SELECT max(id) FROM old) AS last, (SELECT count(*) FROM pruned) AS number
"""
"""What was not finished when the sweep went by, and is now."""

THREADS = f"""
WITH old AS (
    SELECT id FROM (SELECT id, created_at FROM message WHERE id > $1 ORDER BY id LIMIT {BATCH}) page
    WHERE created_at < desk_now() - make_interval(days => $2)
), pruned AS (
    DELETE FROM message m USING old WHERE m.id = old.id RETURNING m.id
)
SELECT (SELECT max(id) FROM pruned) AS last, (SELECT count(*) FROM pruned) AS number
"""

SWEEPS = {"events": EVENTS, "messages": MESSAGES, "threads": THREADS}

SECOND_LOOKS = {
    "events": AGAIN.format(name="events", batch=BATCH, prune=PRUNE_EVENTS, also=""),
    "messages": AGAIN.format(name="messages", batch=BATCH, prune=PRUNE_MESSAGES, also=NO_ATTEMPTS),
}


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many events and messages lost their words, and how many messages of threads went."""

    events: int
    messages: int
    threads: int


async def run(service: Service) -> None:
    """Sweep once a day until cancelled, in one process only; never where everything is kept for ever."""
    keep_days = service.settings.keep_days
    if keep_days == 0:
        return
    lease = Lease(service.store, "retention")
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            if await lease.hold() and await _is_time(service.store):
                log.info("pruned what is older than %d days: %s", keep_days, await once(service.store, keep_days))
        except PaydeskError as error:
            log.warning("old bodies were not pruned: %s", error)
        except Exception:
            log.exception("the sweep of old bodies failed")


async def _is_time(store: Store) -> bool:
    """Say whether the last sweep is a day old, whichever process swept, and note this one."""
    notes = Notebook(store, "retention")
    last, now = await notes.get("swept"), time.time()
    if last is not None and now - last["at"] < DAY_S * 0.95:
        return False
    await notes.put("swept", {"at": now})
    return True


async def once(store: Store, keep_days: int) -> Pruned:
    """Prune everything finished that is older than `keep_days`, batch by batch; return how much that was."""
    again = {name: await _look_again(store, sql) for name, sql in SECOND_LOOKS.items()}
    numbers = {name: again.get(name, 0) + await _sweep(store, name, sql, keep_days) for name, sql in SWEEPS.items()}
    return Pruned(**numbers)


async def _look_again(store: Store, sql: str) -> int:
    """Prune what is finished by now of what earlier sweeps left behind; return how many that were."""
    reached, number = 0, 0
    while True:
        row = await store.fetchrow(sql, reached)
        if row is None or row["last"] is None:
            return number
        reached, number = row["last"], number + row["number"]
        await asyncio.sleep(REST_S)


async def _sweep(store: Store, name: str, sql: str, keep_days: int) -> int:
    """Go along a table from where the last sweep ended, until what is found is young; return how many were pruned."""
    notes = Notebook(store, "retention")
    reached, number = (await notes.get(name) or {"id": 0})["id"], 0
    while True:
        row = await store.fetchrow(sql, reached, keep_days)
        if row is None or row["last"] is None:
            return number
        reached, number = row["last"], number + row["number"]
        await notes.put(name, {"id": reached})
        await asyncio.sleep(REST_S)
