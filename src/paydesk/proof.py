"""Proving the ledger: what is stored must follow from the entries, and the entries must be those that were sealed.

In one snapshot, which stands still, blocks nobody and changes nothing. One pass goes along the chain, a few seals at a time
(`chain`), while sums are made beside it, inside PostgreSQL, and what everything is worth is worked out anew from what was
sold, paid and given back (`recount`). None of the three needs more memory for a longer ledger.
Of each promise that is broken, the first bad row is named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from paydesk.chain import Progress, Walk
from paydesk.ledger import MONEY_MOVES
from paydesk.recount import Recount
from paydesk.seal import SYSTEM_BALANCES, last
from paydesk.store import Store, Tx

Findings = dict[str, str | None]
"""Of each promise the first row that breaks it, or `None`."""

_GIVERS = ", ".join(f"('{kind}', '{moves[0]}')" for kind, moves in {"credits": ("sold",), **MONEY_MOVES}.items())
_TAKES = "'take_back', 'take_expired', 'owed'"

# --- what accounts hold ----------------------------------------------------------------------------------------------

BALANCE = "the balance of an account is the sum of its entries"
KNOWN = "an entry moves its own unit between accounts that exist"
ZERO = "what all accounts hold of a unit sums to zero"
TOTALS = "what is sealed of the accounts of the system is the sum of their entries"
EXPIRED = "what ended unspent is what lots say has ended"
OWNED = "an entry moves what is of the person whom it names"

SUMS = f"""
WITH pair AS MATERIALIZED (
    SELECT from_account, to_account, unit, customer_id, sum(amount) AS amount, min(id) AS entry FROM entry GROUP BY 1, 2, 3, 4
), leg (account, unit, customer, amount, entry) AS (
    SELECT to_account, unit, customer_id, amount, entry FROM pair
    UNION ALL SELECT from_account, unit, customer_id, -amount, entry FROM pair
), held AS MATERIALIZED (
    SELECT account, sum(amount) AS amount FROM leg GROUP BY account
)
SELECT '{BALANCE}', (
    SELECT 'account ' || a.id || ' of ' || a.owner || ' (' || a.unit || ' ' || a.kind || '): balance ' || a.balance ||
           ', entries sum to ' || coalesce(h.amount, 0)
    FROM account a LEFT JOIN held h ON h.account = a.id
    WHERE a.balance <> coalesce(h.amount, 0) ORDER BY a.id LIMIT 1)
UNION ALL SELECT '{KNOWN}', (
    SELECT 'entry ' || l.entry || ': ' || l.unit || ', but account ' || l.account ||
           coalesce(' is of ' || a.unit, ' does not exist')
    FROM leg l LEFT JOIN account a ON a.id = l.account WHERE a.unit IS DISTINCT FROM l.unit ORDER BY l.entry LIMIT 1)
UNION ALL SELECT '{ZERO}', (
    SELECT a.unit || ': ' || sum(coalesce(a.balance, h.amount))
    FROM account a LEFT JOIN held h ON h.account = a.id
    GROUP BY a.unit HAVING sum(coalesce(a.balance, h.amount)) <> 0 ORDER BY a.unit LIMIT 1)
UNION ALL SELECT '{TOTALS}', (
    SELECT 'account ' || b.id || ' (' || b.unit || ' ' || b.kind || '): sealed ' || b.balance || ', entries sum to ' ||
           coalesce(h.amount, 0)
    FROM ({SYSTEM_BALANCES}) b LEFT JOIN held h ON h.account = b.id
    WHERE b.balance <> coalesce(h.amount, 0) ORDER BY b.id LIMIT 1)
UNION ALL SELECT '{EXPIRED}', (
    SELECT a.unit || ': entries say ' || coalesce(h.amount, 0) || ', lots ' || coalesce(l.amount, 0)
    FROM account a LEFT JOIN held h ON h.account = a.id LEFT JOIN (
        SELECT w.unit, sum(l.expired) AS amount FROM lot l JOIN account w ON w.id = l.account_id GROUP BY 1) l USING (unit)
    WHERE a.owner = 'system' AND a.kind = 'expired' AND coalesce(h.amount, 0) <> coalesce(l.amount, 0)
    ORDER BY a.unit LIMIT 1)
UNION ALL SELECT '{OWNED}', (
    SELECT 'entry ' || l.entry || ': of ' || l.customer || ', but account ' || a.id || ' (' || a.unit || ' ' || a.kind ||
           ') is of ' || a.owner
    FROM leg l JOIN account a ON a.id = l.account AND a.owner <> 'system' AND a.owner <> l.customer
    LEFT JOIN customer named ON named.id = l.customer LEFT JOIN customer owner ON owner.id = a.owner
    WHERE coalesce(named.merged_into, named.id) IS DISTINCT FROM coalesce(owner.merged_into, owner.id)
    ORDER BY l.entry LIMIT 1)
"""
"""Reads every entry once, and proves six promises by what it sums up. Entries are sealed, accounts are not."""

# --- what is posted --------------------------------------------------------------------------------------------------

POSTED = "what is posted for a source is what it is worth"
SOLD = "an entry that changes what is sold belongs to a source and its revision"
FILLED = "what came into the lots of a source is what entries brought"
TOOK = "what was taken back, from where and when, is what entries took"
UNDONE = "what is still taken back of a source is what it is worth less than once"

POSTS = f"""
WITH kind (kind, giver) AS (
    VALUES {_GIVERS}
), giver AS MATERIALIZED (
    SELECT k.kind, a.unit, a.id FROM kind k JOIN account a ON a.kind = k.giver AND a.owner = 'system'
), post AS MATERIALIZED (
    SELECT id, source, revision, reason, from_account, to_account, amount, at FROM entry
    WHERE from_account = ANY(ARRAY(SELECT DISTINCT id FROM giver)) OR to_account = ANY(ARRAY(SELECT DISTINCT id FROM giver))
), claw AS (
    SELECT source, sum(amount - returned) AS outstanding, sum(returned) AS returned FROM taken GROUP BY 1
), took AS (
    SELECT source, revision, sum(amount) AS amount, coalesce(sum(amount) FILTER (WHERE reason = 'owed'), 0) AS owed,
           min(at) AS since, max(at) AS until
    FROM post WHERE reason IN ({_TAKES}) GROUP BY 1, 2
), noted AS (
    SELECT source, revision, sum(amount) AS amount, coalesce(sum(amount) FILTER (WHERE lot_id = 'debt'), 0) AS owed,
           min(at) AS since, max(at) AS until
    FROM taken GROUP BY 1, 2
), change AS (
    SELECT source, revision, sum(CASE WHEN reason IN ({_TAKES}) THEN -amount ELSE amount END) AS amount
    FROM post WHERE source IN (SELECT source FROM taken) GROUP BY 1, 2
), level AS (
    SELECT source, amount, sum(amount) OVER (PARTITION BY source ORDER BY revision) AS level FROM change
)
SELECT '{POSTED}', (
    SELECT 'source ' || id || ': worth ' || worth || ', entries post ' || posted FROM (
        SELECT s.id, s.worth, s.posted AS noted, coalesce(sum(
            CASE g.id WHEN p.from_account THEN p.amount WHEN p.to_account THEN -p.amount END), 0) AS posted
        FROM source s JOIN kind k ON k.kind = s.kind LEFT JOIN giver g ON g.kind = s.kind AND g.unit = s.unit
        LEFT JOIN post p ON p.source = s.id
        GROUP BY s.id) sums
    WHERE worth <> posted OR worth <> noted ORDER BY id LIMIT 1)
UNION ALL SELECT '{SOLD}', (
    SELECT 'entry ' || p.id || ': source ' || p.source || ' revision ' || p.revision || ' is not known'
    FROM post p LEFT JOIN source s ON s.id = p.source
    WHERE s.id IS NULL OR p.revision > s.revision ORDER BY p.id LIMIT 1)
UNION ALL SELECT '{FILLED}', (
    SELECT 'source ' || source || ': entries brought ' || coalesce(b.amount, 0) || ', its lots got ' || coalesce(l.amount, 0)
    FROM (SELECT source, sum(amount) AS amount FROM post WHERE reason IN ('grant', 'grant_expired') GROUP BY 1) b
    FULL JOIN (SELECT CASE id WHEN source THEN id ELSE regexp_replace(id, '/[0-9]+/[0-9]+$', '') END AS source,
                      sum(granted) AS amount FROM lot GROUP BY 1) l USING (source)
    LEFT JOIN claw c USING (source)
    WHERE coalesce(l.amount, 0) NOT BETWEEN coalesce(b.amount, 0) - coalesce(c.returned, 0) AND coalesce(b.amount, 0)
    ORDER BY source LIMIT 1)
UNION ALL SELECT '{TOOK}', (
    SELECT 'source ' || source || ' revision ' || revision || ': entries took ' || coalesce(t.amount, 0) || ', ' ||
           coalesce(t.owed, 0) || ' of it owed, at ' || coalesce(t.since::text, 'no time') || '; noted is ' ||
           coalesce(n.amount, 0) || ', ' || coalesce(n.owed, 0) || ' of it owed, at ' || coalesce(n.until::text, 'no time')
    FROM took t FULL JOIN noted n USING (source, revision)
    WHERE (t.amount, t.owed, t.since, t.until) IS DISTINCT FROM (n.amount, n.owed, n.since, n.until)
    ORDER BY source, revision LIMIT 1)
UNION ALL SELECT '{UNDONE}', (
    SELECT 'source ' || source || ': ' || c.outstanding || ' noted as taken and not given back, ' || l.below || ' by its entries'
    FROM claw c JOIN (SELECT source, max(level) - sum(amount) AS below FROM level GROUP BY 1) l USING (source)
    WHERE c.outstanding <> l.below ORDER BY source LIMIT 1)
"""
"""The worth of a source is what left the account that gives such things, less what came back. A spend has no source."""

# --- what follows from what ------------------------------------------------------------------------------------------

LINKS = (
    ("orders", "customer_id", "customer"),
    ("source", "customer_id", "customer"),
    ("source", "order_id", "orders"),
    ("payment", "order_id", "orders"),
    ("refund", "payment_id", "payment"),
    ("dispute", "payment_id", "payment"),
    ("balance_transaction", "payment_id", "payment"),
    ("lot", "source", "source"),
)
"""What belongs to what: table, column, and the table of what it names. Foreign keys can be broken behind our back."""

_LINKED = " UNION ALL ".join(
    f"SELECT '{table} ' || t.id || ': {column} ' || t.{column} || ' does not exist' AS what FROM {table} t "
    f"LEFT JOIN {of} o ON o.id = t.{column} WHERE t.{column} IS NOT NULL AND o.id IS NULL"
    for table, column, of in LINKS
)

CHECKS: dict[str, str] = {
    "a source of an unpaid order is worth nothing": """
        SELECT 'source ' || s.id || ': worth ' || s.worth || ' while order ' || o.id || ' is ' || o.status
        FROM source s JOIN orders o ON o.id = s.order_id
        WHERE s.kind IN ('credits', 'pass', 'feature') AND o.paid_at IS NULL AND s.worth <> 0 ORDER BY s.id LIMIT 1""",
    "the balance of a wallet is what its lots hold": """
        SELECT 'account ' || a.id || ' of ' || a.owner || ' (' || a.unit || ' ' || a.kind || '): balance ' || a.balance ||
               ', lots hold ' || coalesce(l.total, 0)
        FROM account a LEFT JOIN (SELECT account_id, sum(remaining) AS total FROM lot GROUP BY 1) l ON l.account_id = a.id
        WHERE CASE a.kind WHEN 'wallet' THEN a.balance <> coalesce(l.total, 0) ELSE l.total > 0 END ORDER BY a.id LIMIT 1""",
    "what a person has held is what their lots and open holds say": """
        SELECT owner || ' (' || unit || ' held): balance ' || sum(balance) || ', lots hold ' || sum(in_lots) ||
               ', open holds say ' || sum(said)
        FROM (SELECT owner, unit, balance, 0 AS in_lots, 0 AS said FROM account WHERE kind = 'held'
              UNION ALL SELECT a.owner, a.unit, 0, l.held, 0 FROM lot l JOIN account a ON a.id = l.account_id WHERE l.held > 0
              UNION ALL SELECT customer_id, unit, 0, 0, amount FROM hold WHERE state = 'held') h
        GROUP BY owner, unit HAVING sum(balance) <> sum(in_lots) OR sum(balance) <> sum(said)
        ORDER BY owner, unit LIMIT 1""",
    "what a lot has held is what open holds took from it": """
        SELECT 'lot ' || lot || ': ' || sum(held) || ' held, open holds took ' || sum(part)
        FROM (SELECT id AS lot, held, 0 AS part FROM lot WHERE held > 0
              UNION ALL SELECT p.key, 0, p.value::bigint FROM hold, jsonb_each_text(parts) p WHERE state = 'held') h
        GROUP BY lot HAVING sum(held) <> sum(part) ORDER BY lot LIMIT 1""",
    "a lot has no more than came in and was not taken": """
        SELECT 'lot ' || l.id || ': ' || l.granted || ' came in, ' || coalesce(t.gone, 0) || ' were taken, ' || l.remaining ||
               ' remain, ' || l.held || ' held, ' || l.expired || ' ended'
        FROM lot l LEFT JOIN (
            SELECT lot_id, sum(amount - CASE WHEN expires_at > at THEN 0 ELSE returned END) AS gone FROM taken GROUP BY 1
        ) t ON t.lot_id = l.id
        WHERE l.remaining + l.held + l.expired + coalesce(t.gone, 0) > l.granted ORDER BY l.id LIMIT 1""",
    "what ended in a lot ended with it": """
        SELECT 'lot ' || id || ': ' || expired || ' ended, and it lives ' || coalesce('until ' || expires_at, 'for ever')
        FROM lot WHERE expired > 0 AND coalesce(expires_at > desk_now() + interval '1 minute', true) ORDER BY id LIMIT 1""",
    "what was taken lived as long as the lot it was taken from": """
        SELECT 'source ' || t.source || ' revision ' || t.revision || ': took from lot ' || t.lot_id || ', which lived ' ||
               coalesce('until ' || t.expires_at, 'for ever') || ', and ' ||
               CASE WHEN l.id IS NULL THEN 'does not exist' ELSE 'lives ' || coalesce('until ' || l.expires_at, 'for ever') END
        FROM taken t LEFT JOIN lot l ON l.id = t.lot_id
        WHERE CASE t.lot_id WHEN 'debt' THEN t.expires_at IS NOT NULL ELSE
            l.id IS NULL OR (t.expires_at IS NULL) <> (l.expires_at IS NULL) OR t.expires_at < l.expires_at END
        ORDER BY t.source, t.revision, t.lot_id LIMIT 1""",
    "a hold is made of its parts, and ends as its entries say": """
        SELECT 'hold ' || coalesce(h.id, e.id) || ': ' ||
               coalesce(h.state || ', ' || coalesce(h.used, 0) || ' used of ' || h.amount, 'does not exist') ||
               ', entries say ' || coalesce(e.used, 0) || ' used of ' || coalesce(e.amount, 0) ||
               coalesce(', its parts are ' || h.parts::text, '') ||
               coalesce(', of ' || h.customer_id || ', entries say ' || nullif(e.customer, h.customer_id), '')
        FROM hold h FULL JOIN (
            SELECT substr(source, 6) AS id, sum(amount) AS amount, min(customer_id) AS customer,
                   coalesce(sum(amount) FILTER (WHERE reason = 'settle'), 0) AS used
            FROM entry WHERE source LIKE 'hold:%' GROUP BY 1) e ON e.id = h.id
        LEFT JOIN customer named ON named.id = e.customer LEFT JOIN customer owner ON owner.id = h.customer_id
        WHERE CASE WHEN h.id IS NULL THEN true
            WHEN h.state = 'held' THEN e.id IS NOT NULL OR h.used IS NOT NULL
            ELSE (h.used, h.amount) IS DISTINCT FROM (e.used, e.amount) OR (h.state <> 'settled' AND h.used <> 0) END
          OR h.amount <> (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(h.parts))
          OR coalesce(owner.merged_into, owner.id) <> coalesce(named.merged_into, named.id)
        ORDER BY 1 LIMIT 1""",
    "a grant stands for a source that is worth something": """
        SELECT 'grant ' || g.source || ': its source is worth ' || coalesce(s.worth::text, 'nothing')
        FROM grant_ g LEFT JOIN source s ON s.id = g.source
        WHERE s.worth IS NULL OR s.worth = 0 OR s.kind NOT IN ('pass', 'feature', 'role', 'member') ORDER BY g.source LIMIT 1""",
    "every entitlement that is worth something is granted": """
        SELECT 'source ' || s.id || ': worth ' || s.worth || ' and not granted'
        FROM source s LEFT JOIN grant_ g ON g.source = s.id
        WHERE s.kind IN ('pass', 'feature', 'role', 'member') AND s.worth > 0 AND g.source IS NULL
          AND (s.terms ->> 'starts' IS DISTINCT FROM 'claim' OR s.claimed_at IS NOT NULL)
        ORDER BY s.id LIMIT 1""",
    "somebody who was merged has nothing of their own any more": """
        SELECT 'customer ' || c.id || ' is ' || c.merged_into || ', and has ' || x.what
        FROM customer c JOIN (
            SELECT owner AS id, balance || ' ' || unit || ' (' || kind || ')' AS what FROM account WHERE balance <> 0
            UNION ALL SELECT customer_id, 'order ' || id FROM orders UNION ALL SELECT customer_id, 'source ' || id FROM source
            UNION ALL SELECT customer_id, 'grant ' || source FROM grant_ UNION ALL SELECT customer_id, 'hold ' || id FROM hold
            UNION ALL SELECT customer_id, 'subscription ' || id FROM subscription
        ) x USING (id) WHERE c.merged_into IS NOT NULL ORDER BY 1 LIMIT 1""",
    "what belongs to something belongs to something that exists": f"SELECT min(what) FROM ({_LINKED}) AS linked",
    "a finished event stays known for ever": """
        SELECT 'event ' || i.external_id || ' is in the inbox and was never seen'
        FROM inbox i LEFT JOIN seen s USING (source, external_id) WHERE s.external_id IS NULL ORDER BY i.id LIMIT 1""",
}


@dataclass(frozen=True, slots=True)
class Proof:
    """The result: how many entries were proved, how many of them are sealed, the end of the chain, and what was found.

    `findings`: for each promise the first row that breaks it, or `None`. `head` is the hash of the newest seal: whoever
    notes it elsewhere can later tell that nobody made the whole chain anew.
    """

    entries: int
    sealed: int
    seals: int
    head: str
    findings: Findings

    @property
    def ok(self) -> bool:
        """Tell whether every promise holds."""
        return not any(self.findings.values())

    def as_json(self) -> dict[str, Any]:
        """Return the result as a command prints it."""
        return {
            "ok": self.ok,
            "entries": self.entries,
            "sealed": self.sealed,
            "seals": self.seals,
            "head": self.head,
            "findings": {what: bad for what, bad in self.findings.items() if bad},
        }

    def text(self) -> str:
        """Return the result for a person: a line for each promise."""
        lines = [
            f"{'ok ' if bad is None else 'BAD'}  {what}{f': {bad}' if bad else ''}"
            for what, bad in self.findings.items()
        ]
        verdict = f"{self.entries:,} entries {'prove' if self.ok else 'DO NOT prove'} the ledger."
        return "\n".join(
            [*lines, f"{verdict} {self.sealed:,} of them are in {self.seals:,} seals; the last is {self.head}."]
        )


async def check(store: Store, progress: Progress = lambda _done: None) -> Proof:
    """Prove the ledger in one snapshot; changes nothing and blocks nobody. `progress` is told how far it is."""
    async with store.transaction() as tx:
        await _stand_still(tx)
        snapshot = await tx.fetchval("SELECT pg_export_snapshot()")
        beside = [asyncio.create_task(_beside(store, snapshot, work), name=work.__name__) for work in (sums, recounted)]
        try:
            walk = await Walk.along(tx, progress)
            findings = dict(walk.findings)
            for found in beside:
                findings |= await found
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
    return Proof(walk.entries, walk.sealed, walk.end.number, walk.end.hash.hex(), findings)


async def _stand_still(tx: Tx) -> None:
    """Keep the first snapshot of a transaction for as long as it takes."""
    await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    await tx.execute("SET LOCAL statement_timeout = 0")
    await tx.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    await tx.execute("SET LOCAL jit = off")
    await tx.execute("SET LOCAL work_mem = '16MB'")  # what does not fit goes to files


async def _beside(store: Store, snapshot: str, work: Callable[[Tx], Awaitable[Findings]]) -> Findings:
    """Prove something on a connection of its own, in the same snapshot."""
    async with store.transaction() as tx:
        await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        await tx.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        await _stand_still(tx)
        return await work(tx)


async def recounted(tx: Tx) -> Findings:
    """Return, for each promise about what things are worth, the first row that breaks it."""
    return await Recount(tx).run()


async def sums(tx: Tx) -> Findings:
    """Return, for each promise that sums and joins can prove, the first row that breaks it."""
    await tx.execute("SET LOCAL enable_nestloop = off")  # asked for one row, the planner hopes to find it soon
    end = await last(tx)
    rows = [*await tx.fetch(SUMS, *end.so_far), *await tx.fetch(POSTS)]
    findings: Findings = {row[0]: row[1] for row in rows}
    for what, sql in CHECKS.items():
        findings[what] = await tx.fetchval(sql)
    return findings
