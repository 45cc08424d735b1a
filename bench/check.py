"""Proving: how many entries a second `ledger check` proves, and whether it needs more memory for a longer ledger.

The ledger is made by SQL, as purchases, spends and holds would have made it, then sealed, then proved several times.
Every purchase is recounted: its worth is worked out anew from its terms, its payment and its balance transaction.
"""

import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import uvloop

from bench.database import Database
from bench.outcome import Outcome, at_least, at_most
from bench.processes import tree_cpu_s
from bench.report import aligned
from paydesk import proof, seal
from paydesk.clock import Clock
from paydesk.store import Store
from paydesk.store.migrate import migrate

PEOPLE = 10_000
ROUND = 20  # entries that one purchase leads to: see ENTRIES
AT_ONCE = 500  # purchases in a transaction
SHORT = 10  # the short ledger, for the memory, is so many times shorter

PERSONS = f"""
WITH person AS (
    INSERT INTO customer (id) SELECT 'cst_' || n FROM generate_series(0, {PEOPLE - 1}) n RETURNING id
), own AS (
    INSERT INTO account (owner, unit, kind, balance)
    SELECT id, 'credits', kind, 0 FROM person, unnest(ARRAY['wallet', 'held', 'debt']) kind
)
INSERT INTO account (owner, unit, kind) SELECT 'system', unit, kind FROM (VALUES ('credits', 'sold'), ('credits', 'spent'),
    ('credits', 'expired'), ('money:usd', 'sales'), ('money:usd', 'stripe'), ('money:usd', 'fees')) AS a (unit, kind)
"""

TERMS = """'{"kind": "credits", "unit": "credits", "amount": 100, "expires_days": null, "priority": 0, "quantity": 1,
    "on_dispute": "hold"}'::jsonb"""

PURCHASES = f"""
WITH bought AS (
    SELECT n, 'ord_' || n AS id, 'cst_' || n % {PEOPLE} AS customer FROM generate_series($1::int, $2::int) n
), made AS (
    INSERT INTO orders (id, customer_id, status, amount, currency, livemode, link_token, paid_by, paid_at)
    SELECT id, customer, 'fulfilled', 999, 'usd', false, 'link_' || n, 'pi_' || n, now() FROM bought
), paid AS (
    INSERT INTO payment (id, order_id, status, amount, currency, charge, balance_transaction, paid_at)
    SELECT 'pi_' || n, id, 'succeeded', 999, 'usd', 'ch_' || n, 'txn_' || n, now() FROM bought
), cost AS (
    INSERT INTO balance_transaction (id, payment_id, kind, about, amount, fee, net, currency, created_at)
    SELECT 'txn_' || n, 'pi_' || n, 'charge', 'ch_' || n, 999, 59, 940, 'usd', now() FROM bought
), sold AS (
    INSERT INTO source (id, customer_id, order_id, kind, unit, terms, worth, posted, revision, since)
    SELECT s.id, customer, b.id, s.kind, s.unit, s.terms, s.worth, s.worth, 1, now() FROM bought b, LATERAL (VALUES
        (b.id || ':0:0', 'credits', 'credits', {TERMS}, 100), ('payment:pi_' || n, 'money', 'money:usd', '{{}}', 999),
        ('fee:txn_' || n, 'fee', 'money:usd', '{{}}', 59)) AS s (id, kind, unit, terms, worth)
), filled AS (
    INSERT INTO lot (id, source, account_id, granted, remaining)
    SELECT b.id || ':0:0', b.id || ':0:0', a.id, 100, 31 FROM bought b
    JOIN account a ON a.owner = b.customer AND a.unit = 'credits' AND a.kind = 'wallet'
), reserved AS (
    INSERT INTO hold (id, customer_id, unit, amount, used, state, parts, expires_at, closed_at)
    SELECT 'hld_' || n || '_' || h, customer, 'credits', 10, 7, 'settled', jsonb_build_object(id || ':0:0', 10), now(), now()
    FROM bought, generate_series(1, 2) h
)
UPDATE account a SET balance = a.balance + b.left_over FROM (SELECT customer, count(*) * 31 AS left_over FROM bought GROUP BY 1) b
WHERE a.owner = b.customer AND a.unit = 'credits' AND a.kind = 'wallet'
"""

ENTRIES = f"""
INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, customer_id, memo, balance_after, at)
SELECT e.source, e.revision, e.reason, split_part(e.giver, ' ', 1), g.id, t.id, e.amount, b.customer, e.memo, e.after, now()
FROM (SELECT n, 'ord_' || n AS id, 'cst_' || n % {PEOPLE} AS customer FROM generate_series($1::int, $2::int) n) b
CROSS JOIN LATERAL (
    SELECT b.id || ':0:0', 1, 'grant', 'credits sold', 'credits wallet', 100, NULL, NULL::int
    UNION ALL SELECT 'payment:pi_' || n, 1, 'payment', 'money:usd sales', 'money:usd stripe', 999, NULL, NULL
    UNION ALL SELECT 'fee:txn_' || n, 1, 'fee', 'money:usd stripe', 'money:usd fees', 59, NULL, NULL
    UNION ALL SELECT 'op:' || customer || ':' || n || '-' || s, 0, 'spend', 'credits wallet', 'credits spent', 5,
                     'an answer', 100 - 5 * s FROM generate_series(1, 11) s
    UNION ALL SELECT x.source, x.revision, x.reason, x.giver, x.taker, x.amount, 'a long answer', 45
    FROM generate_series(1, 2) h, LATERAL (VALUES
        ('op:' || customer || ':' || n || '-hold-' || h, 0, 'hold', 'credits wallet', 'credits held', 10),
        ('hold:hld_' || n || '_' || h, 1, 'settle', 'credits held', 'credits spent', 7),
        ('hold:hld_' || n || '_' || h, 1, 'release', 'credits held', 'credits wallet', 3)
    ) AS x (source, revision, reason, giver, taker, amount)
) AS e (source, revision, reason, giver, taker, amount, memo, after)
JOIN account g ON g.unit = split_part(e.giver, ' ', 1) AND g.kind = split_part(e.giver, ' ', 2)
     AND g.owner = CASE WHEN e.giver IN ('credits wallet', 'credits held') THEN b.customer ELSE 'system' END
JOIN account t ON t.unit = split_part(e.taker, ' ', 1) AND t.kind = split_part(e.taker, ' ', 2)
     AND t.owner = CASE WHEN e.taker IN ('credits wallet', 'credits held') THEN b.customer ELSE 'system' END
"""


@dataclass(frozen=True)
class Checked:
    """One proof: entries a second, and processor time for one entry, in microseconds, here and in the database."""

    entries: int
    round: int
    per_s: float
    cpu_us: float
    database_cpu_us: float


def measure(database: Database, *, rounds: int, entries: int) -> Outcome:
    """Prove a short ledger, then let it grow to `entries`, and prove that `rounds` times."""
    return uvloop.run(_measured(database, rounds, entries))


async def _measured(database: Database, rounds: int, entries: int) -> Outcome:
    await migrate(database.dsn)
    store = await Store.open(database.dsn, clock=Clock())
    try:
        await store.execute(PERSONS)
        await store.execute("ANALYZE account")
        await _grow(store, 0, entries // SHORT)
        await _checked(database, store, 0)
        rss_mb = _peak_rss_mb()
        sealed_per_s = await _grow(store, entries // SHORT, entries)
        checked = [await _checked(database, store, number) for number in range(rounds + 1)][1:]
        return _outcome(checked, sealed_per_s, _peak_rss_mb() - rss_mb)
    finally:
        await store.close()


async def _grow(store: Store, have: int, wanted: int) -> float:
    """Add purchases up to so many entries, and seal them; return how many entries a second were sealed."""
    for start in range(have // ROUND, wanted // ROUND, AT_ONCE):
        end = min(start + AT_ONCE, wanted // ROUND) - 1
        async with store.transaction() as tx:
            await tx.execute(PURCHASES, start, end)
            await tx.execute(ENTRIES, start, end)
    for table in ("entry", "account", "source", "lot", "hold", "orders", "payment", "balance_transaction"):
        await store.execute(f"ANALYZE {table}")  # which autovacuum does within a minute
    print(f"  check: {wanted:,} entries are there", flush=True)
    start_s, sealed = time.perf_counter(), 0
    while now := await seal.seal(store, at_once=True):
        sealed += now
    return sealed / (time.perf_counter() - start_s)


async def _checked(database: Database, store: Store, number: int) -> Checked:
    cpu_s, database_cpu_s, start_s = time.process_time(), tree_cpu_s(database.postmasters), time.perf_counter()
    result = await proof.check(store)
    taken_s = time.perf_counter() - start_s
    if not result.ok or result.sealed != result.entries:
        raise SystemExit(f"check: the ledger is not proved:\n{result.text()}")
    cpu_us = (time.process_time() - cpu_s) / result.entries * 1e6
    database_cpu_us = (tree_cpu_s(database.postmasters) - database_cpu_s) / result.entries * 1e6
    return Checked(result.entries, number, result.entries / taken_s, cpu_us, database_cpu_us)


def _peak_rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _outcome(checked: Sequence[Checked], sealed_per_s: float, grown_mb: float) -> Outcome:
    best = max(one.per_s for one in checked)
    rows = [
        ("entries", "best per s", "median per s", "CPU µs check", "CPU µs database", "sealed per s", "memory grew by"),
        (
            f"{checked[0].entries:,}",
            f"{best:,.0f}",
            f"{statistics.median(one.per_s for one in checked):,.0f}",
            f"{min(one.cpu_us for one in checked):.2f}",
            f"{min(one.database_cpu_us for one in checked):.2f}",
            f"{sealed_per_s:,.0f}",
            f"{grown_mb:.1f} MB",
        ),
    ]
    goals = [
        at_least("entries that `ledger check` proves a second", best, 200_000),
        at_most(f"memory for {SHORT} times the entries", grown_mb, 16, "MB more"),
    ]
    text = f"{len(checked)} proofs of one ledger, {PEOPLE:,} people; processor time for an entry\n" + aligned(rows)
    data = {"samples": [asdict(one) for one in checked], "sealed_per_s": sealed_per_s, "memory_grew_by_mb": grown_mb}
    return Outcome("check", text, data, goals)
