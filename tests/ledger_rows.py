"""A small ledger written by SQL, row by row: a purchase refunded in part, a spend, holds open and settled, a pass."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from paydesk import proof
from paydesk.store import Store, embedded

PAID_AT = "date_trunc('day', now())"

PEOPLE = (
    "INSERT INTO customer (id) VALUES ('cst_a'), ('cst_b')",
    """INSERT INTO account (owner, unit, kind, balance) VALUES ('system', 'credits', 'sold', NULL),
       ('system', 'credits', 'spent', NULL), ('system', 'credits', 'expired', NULL), ('system', 'money:usd', 'sales', NULL),
       ('system', 'money:usd', 'stripe', NULL), ('system', 'money:usd', 'fees', NULL), ('cst_a', 'credits', 'wallet', 35),
       ('cst_a', 'credits', 'held', 10), ('cst_a', 'credits', 'debt', 0), ('cst_b', 'credits', 'wallet', 0)""",
    f"""INSERT INTO orders (id, customer_id, status, amount, currency, livemode, link_token, paid_by, paid_at)
       VALUES ('ord_1', 'cst_a', 'partially_refunded', 1000, 'usd', false, 'l1', 'pi_1', {PAID_AT}),
              ('ord_2', 'cst_b', 'open', 999, 'usd', false, 'l2', NULL, NULL)""",
    f"""INSERT INTO payment (id, order_id, status, amount, currency, charge, paid_at)
       VALUES ('pi_1', 'ord_1', 'succeeded', 1000, 'usd', 'ch_1', {PAID_AT}),
              ('pi_2', 'ord_2', 'failed', 999, 'usd', NULL, NULL)""",
    """INSERT INTO refund (id, payment_id, status, amount, currency, created_at)
       VALUES ('re_1', 'pi_1', 'succeeded', 300, 'usd', now()), ('re_2', 'pi_1', 'failed', 100, 'usd', now())""",
    """INSERT INTO dispute (id, payment_id, status, amount, currency, created_at)
       VALUES ('du_1', 'pi_1', 'won', 1000, 'usd', now())""",
    """INSERT INTO balance_transaction (id, payment_id, kind, about, amount, fee, net, currency, created_at)
       VALUES ('txn_1', 'pi_1', 'charge', 'ch_1', 1000, 59, 941, 'usd', now())""",
    f"""INSERT INTO source (id, customer_id, order_id, kind, unit, worth, posted, revision, since, terms) VALUES
       ('ord_1:0:0', 'cst_a', 'ord_1', 'credits', 'credits', 70, 70, 2, {PAID_AT},
        '{{"kind": "credits", "unit": "credits", "amount": 50, "expires_days": 30, "priority": 1, "quantity": 2}}'),
       ('ord_1:0:1', 'cst_a', 'ord_1', 'pass', 'seconds', 604800, 604800, 2, {PAID_AT},
        '{{"kind": "pass", "feature": "premium", "days": 10, "quantity": 1}}'),
       ('ord_2:0:0', 'cst_b', 'ord_2', 'credits', 'credits', 0, 0, 0, NULL,
        '{{"kind": "credits", "unit": "credits", "amount": 50, "quantity": 1}}'),
       ('payment:pi_1', 'cst_a', 'ord_1', 'money', 'money:usd', 700, 700, 2, {PAID_AT}, '{{}}'),
       ('fee:txn_1', 'cst_a', 'ord_1', 'fee', 'money:usd', 59, 59, 1, {PAID_AT}, '{{}}')""",
    f"""INSERT INTO grant_ (source, customer_id, kind, feature, since, seconds)
       VALUES ('ord_1:0:1', 'cst_a', 'pass', 'premium', {PAID_AT}, 604800)""",
    f"""INSERT INTO lot (id, source, account_id, granted, remaining, held, priority, expires_at)
       SELECT 'ord_1:0:0', 'ord_1:0:0', id, 100, 35, 10, 1, {PAID_AT} + interval '30 days'
       FROM account WHERE owner = 'cst_a' AND kind = 'wallet'""",
    """INSERT INTO hold (id, customer_id, unit, amount, used, state, parts, expires_at) VALUES
       ('hld_1', 'cst_a', 'credits', 10, NULL, 'held', '{"ord_1:0:0": 10}', now() + interval '1 hour'),
       ('hld_2', 'cst_a', 'credits', 8, 5, 'settled', '{"ord_1:0:0": 8}', now())""",
)

# In the order of the ids: source, revision, reason, from, to, amount. Each inner list is a transaction.
ENTRIES: list[list[tuple[Any, ...]]] = [
    [("payment:pi_1", 1, "payment", "sales", "stripe", 1000), ("ord_1:0:0", 1, "grant", "sold", "wallet", 100)],
    [("fee:txn_1", 1, "fee", "stripe", "fees", 59)],
    [("op:cst_a:k1", 0, "spend", "wallet", "spent", 20)],
    [("op:cst_a:k2", 0, "hold", "wallet", "held", 10), ("op:cst_a:k3", 0, "hold", "wallet", "held", 8)],
    [("hold:hld_2", 1, "settle", "held", "spent", 5), ("hold:hld_2", 1, "release", "held", "wallet", 3)],
    [("payment:pi_1", 2, "payment_back", "stripe", "sales", 300), ("ord_1:0:0", 2, "take_back", "wallet", "sold", 30)],
]

TAKEN = """
INSERT INTO taken (source, revision, lot_id, amount, at, expires_at)
SELECT e.source, e.revision, l.id, e.amount, e.at, l.expires_at FROM entry e JOIN lot l ON l.id = e.source WHERE e.id = 10
"""

ENTRY = """
INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, at, customer_id)
SELECT $1, $2, $3, g.unit, g.id, t.id, $6, now(), 'cst_a' FROM account g, account t
WHERE g.kind = $4 AND g.owner IN ('system', 'cst_a') AND t.kind = $5 AND t.owner IN ('system', 'cst_a') AND g.unit = t.unit
"""

SPEND = """
INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, at, memo)
SELECT 'op:cst_a:' || $1, 0, 'spend', 'credits', g.id, t.id, 1, now(), 'ein Wörtchen' FROM account g, account t
WHERE g.owner = 'cst_a' AND g.kind = 'wallet' AND t.kind = 'spent'
"""
"""A spend of one credit that nobody's balance knows of: for tests of the chain alone."""


async def write(dsn: str) -> None:
    """Write the whole ledger."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in PEOPLE:
            await connection.execute(statement)
        for transaction in ENTRIES:
            async with connection.transaction():
                for entry in transaction:
                    await connection.execute(ENTRY, *entry)
        await connection.execute(TAKEN)
    finally:
        await connection.close()


async def found(store: Store) -> dict[str, str]:
    """What is not true of a ledger: of each broken promise the first row."""
    return {what: bad for what, bad in (await proof.check(store)).findings.items() if bad}


async def behind_its_back(server: embedded.Embedded, dsn: str, *statements: str) -> None:
    """Change what nobody may change, with triggers out of force, as only a superuser can."""
    name = dsn.split("@/")[1].split("?")[0]
    connection = await asyncpg.connect(server.admin_dsn.replace("@/postgres", f"@/{name}"))
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            for statement in statements:
                await connection.execute(statement)
    finally:
        await connection.close()


def written(dsn: str) -> None:
    """Write the whole ledger, for tests without a loop."""
    asyncio.run(write(dsn))
