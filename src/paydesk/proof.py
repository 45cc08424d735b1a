"""Proving the ledger: what is stored must follow from the entries, and the entries from what was sold.

One pass over the tables inside PostgreSQL, in a snapshot that stands still, in bounded memory. The first bad row of
each kind is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from paydesk.store import Store

CHECKS: dict[str, str] = {
    "the balance of an account is the sum of its entries": """
        SELECT 'account ' || a.id || ' of ' || a.owner || ' (' || a.unit || ' ' || a.kind || '): balance ' || a.balance ||
               ', entries sum to ' || coalesce(s.total, 0)
        FROM account a LEFT JOIN (
            SELECT account, sum(amount) AS total FROM (
                SELECT to_account AS account, amount FROM entry UNION ALL SELECT from_account, -amount FROM entry) legs
            GROUP BY account) s ON s.account = a.id
        WHERE a.balance IS NOT NULL AND a.balance <> coalesce(s.total, 0) ORDER BY a.id LIMIT 1""",
    "the balance of a wallet is what its lots hold": """
        SELECT 'account ' || a.id || ' of ' || a.owner || ': balance ' || a.balance || ', lots hold ' ||
               coalesce(l.total, 0)
        FROM account a LEFT JOIN (SELECT account_id, sum(remaining) AS total FROM lot GROUP BY account_id) l
             ON l.account_id = a.id
        WHERE a.kind = 'wallet' AND a.balance <> coalesce(l.total, 0) ORDER BY a.id LIMIT 1""",
    "what is posted for a source is what it is worth": """
        SELECT 'source ' || s.id || ': worth ' || s.worth || ', entries post ' || coalesce(p.total, 0)
        FROM source s LEFT JOIN (
            SELECT source, sum(CASE WHEN reason IN ('grant', 'debt_paid', 'payment') THEN amount ELSE -amount END) AS total
            FROM entry GROUP BY source) p ON p.source = s.id
        WHERE s.kind IN ('credits', 'money') AND s.worth <> coalesce(p.total, 0) ORDER BY s.id LIMIT 1""",
    "an entry belongs to a source and its revision": """
        SELECT 'entry ' || e.id || ': source ' || e.source || ' revision ' || e.revision || ' is not known'
        FROM entry e LEFT JOIN source s ON s.id = e.source WHERE s.id IS NULL OR e.revision > s.revision
        ORDER BY e.id LIMIT 1""",
    "a paid order is worth something, an unpaid one nothing": """
        SELECT 'source ' || s.id || ': worth ' || s.worth || ' while order ' || o.id || ' is ' || o.status
        FROM source s JOIN orders o ON o.id = s.order_id
        WHERE s.kind <> 'money' AND (o.paid_at IS NULL) <> (s.worth = 0) ORDER BY s.id LIMIT 1""",
    "a grant stands for a source that is worth something": """
        SELECT 'grant ' || g.source || ': its source is worth ' || coalesce(s.worth::text, 'nothing')
        FROM grant_ g LEFT JOIN source s ON s.id = g.source
        WHERE s.worth IS NULL OR s.worth = 0 OR (g.seconds IS NOT NULL AND g.seconds <> s.worth)
        ORDER BY g.source LIMIT 1""",
    "every entitlement that is worth something is granted": """
        SELECT 'source ' || s.id || ': worth ' || s.worth || ' and not granted'
        FROM source s LEFT JOIN grant_ g ON g.source = s.id
        WHERE s.kind IN ('pass', 'feature') AND s.worth > 0 AND g.source IS NULL ORDER BY s.id LIMIT 1""",
    "a finished event stays known for ever": """
        SELECT 'event ' || i.external_id || ' is in the inbox and was never seen'
        FROM inbox i LEFT JOIN seen s USING (source, external_id) WHERE s.external_id IS NULL ORDER BY i.id LIMIT 1""",
}


@dataclass(frozen=True, slots=True)
class Proof:
    """The result: how many entries were proved, and for each promise the first row that breaks it (or `None`)."""

    entries: int
    findings: dict[str, str | None]

    @property
    def ok(self) -> bool:
        """Tell whether every promise holds."""
        return not any(self.findings.values())

    def as_json(self) -> dict[str, Any]:
        """Return the result as a command prints it."""
        return {"ok": self.ok, "entries": self.entries, "findings": {k: v for k, v in self.findings.items() if v}}

    def text(self) -> str:
        """Return the result for a person: a line for each promise."""
        lines = [
            f"{'ok ' if bad is None else 'BAD'}  {what}{f': {bad}' if bad else ''}"
            for what, bad in self.findings.items()
        ]
        return "\n".join([*lines, f"{self.entries:,} entries {'prove' if self.ok else 'DO NOT prove'} the ledger."])


async def check(store: Store) -> Proof:
    """Prove the ledger in one snapshot; changes nothing and blocks nobody."""
    async with store.transaction() as tx:
        await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        await tx.execute("SET LOCAL statement_timeout = 0")
        entries = await tx.fetchval("SELECT count(*) FROM entry")
        findings = {what: await tx.fetchval(sql) for what, sql in CHECKS.items()}
    return Proof(entries, findings)
