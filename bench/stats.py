"""Statistics: how long the common questions take over a million orders, and what counting the days costs beside them.

The orders are made by SQL, as two years of selling would have left them: ten products, three currencies, five channels,
refunds, disputes, fees, refused payments, the ledger's entries, and subscriptions. Then each question is asked several
times: while every day rests, and while the days that run have just changed.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop

from bench.database import Database
from bench.outcome import Outcome, at_most
from bench.report import aligned
from paydesk import seal, stats, stats_days
from paydesk.catalog import Catalog, Price, Product
from paydesk.clock import Clock
from paydesk.store import Store
from paydesk.store.migrate import migrate

PEOPLE = 100_000
SUBSCRIPTIONS = 40_000
AT_ONCE = 50_000
DAYS = 730
PRODUCTS = 10
CURRENCIES = ("usd", "eur", "jpy")

PERSONS = f"""
WITH person AS (INSERT INTO customer (id) SELECT 'cst_' || n FROM generate_series(0, {PEOPLE - 1}) n RETURNING id), own AS (
    INSERT INTO account (owner, unit, kind, balance) SELECT id, 'credits', 'wallet', 0 FROM person)
INSERT INTO account (owner, unit, kind) SELECT 'system', unit, kind FROM (
    VALUES ('credits', 'sold'), ('credits', 'spent'), ('credits', 'expired')
    UNION ALL SELECT 'money:' || c, k FROM unnest(ARRAY['usd', 'eur', 'jpy']) c, unnest(ARRAY['sales', 'stripe', 'fees']) k
) AS a (unit, kind)
"""

BOUGHT = """
CREATE TEMPORARY TABLE bought AS
SELECT n, 'ord_' || n AS id, 'cst_' || (hashint4(n) & 65535) AS customer, abs(hashint4(n + 1)) % {products} AS product,
    (ARRAY['usd', 'eur', 'jpy'])[1 + abs(hashint4(n + 2)) % 3] AS currency,
    (ARRAY['telegram', 'discord', 'web', 'chatwoot', 'sms'])[1 + abs(hashint4(n + 3)) % 5] AS channel,
    500 + abs(hashint4(n + 4)) % 9500 AS amount, abs(hashint4(n + 5)) % 1000 AS fate,
    now() - interval '{days} days' * (1 - n::float8 / {orders}) AS at
FROM generate_series({first}, {last}) n
"""
"""Of a thousand: 50 are never paid, 20 of these refused; 30 go back in half, 2 are disputed."""

MADE = (
    """INSERT INTO orders (id, customer_id, status, amount, currency, livemode, link_token, channel, external_id, paid_by,
        paid_at, created_at)
    SELECT id, customer, CASE WHEN fate < 50 THEN 'expired' WHEN fate < 80 THEN 'partially_refunded'
        WHEN fate < 82 THEN 'disputed' ELSE 'fulfilled' END, amount, currency, false, 'link_' || n, channel, 'x' || n,
        CASE WHEN fate >= 50 THEN 'pi_' || n END, CASE WHEN fate >= 50 THEN at + interval '1 minute' END, at FROM bought""",
    """INSERT INTO order_line (order_id, position, price_key, name, quantity, unit_amount)
    SELECT id, 0, 'product-' || product || '-' || currency, 'Product', 1, amount FROM bought""",
    """INSERT INTO payment (id, order_id, status, amount, currency, charge, failure_code, paid_at, created_at)
    SELECT 'pi_' || n, id, CASE WHEN fate < 20 THEN 'failed' ELSE 'succeeded' END, amount, currency, 'ch_' || n,
        CASE WHEN fate < 20 THEN 'card_declined' END, CASE WHEN fate >= 50 THEN at + interval '1 minute' END, at
    FROM bought WHERE fate < 20 OR fate >= 50""",
    """INSERT INTO refund (id, payment_id, status, amount, currency, created_at)
    SELECT 're_' || n, 'pi_' || n, 'succeeded', amount / 2, currency, least(at + interval '5 days', now())
    FROM bought WHERE fate >= 50 AND fate < 80""",
    """INSERT INTO dispute (id, payment_id, status, amount, currency, created_at)
    SELECT 'dp_' || n, 'pi_' || n, CASE fate WHEN 80 THEN 'lost' ELSE 'won' END, amount, currency,
        least(at + interval '20 days', now()) FROM bought WHERE fate IN (80, 81)""",
    """INSERT INTO balance_transaction (id, payment_id, kind, about, amount, fee, net, currency, created_at)
    SELECT 'txn_' || n, 'pi_' || n, 'charge', 'ch_' || n, amount, 30 + amount / 34, amount - 30 - amount / 34, currency,
        at + interval '2 minutes' FROM bought WHERE fate >= 50""",
    """INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, customer_id, at)
    SELECT e.source, e.revision, e.reason, e.unit, g.id, t.id, e.amount, customer, b.at + interval '1 minute'
    FROM bought b, LATERAL (VALUES
        ('payment:pi_' || n, 1, 'payment', 'money:' || currency, 'system', 'sales', 'system', 'stripe', b.amount),
        ('fee:txn_' || n, 1, 'fee', 'money:' || currency, 'system', 'stripe', 'system', 'fees', 30 + b.amount / 34),
        (id || ':0:0', 1, 'grant', 'credits', 'system', 'sold', customer, 'wallet', 100),
        ('op:' || n, 0, 'spend', 'credits', customer, 'wallet', 'system', 'spent', 60)
    ) AS e (source, revision, reason, unit, giver, gives, taker, takes, amount)
    JOIN account g ON g.owner = e.giver AND g.unit = e.unit AND g.kind = e.gives
    JOIN account t ON t.owner = e.taker AND t.unit = e.unit AND t.kind = e.takes
    WHERE fate >= 50 ORDER BY n""",
)

SUBSCRIBED = f"""
INSERT INTO subscription (id, customer_id, stripe_customer, status, livemode, items, started_at, ended_at, asked_at)
SELECT 'sub_' || n, 'cst_' || n % 65536, 'cus_' || n, CASE WHEN n % 2 = 0 THEN 'active' ELSE 'canceled' END, false,
    jsonb_build_object('data', jsonb_build_array(jsonb_build_object('id', 'si_' || n, 'price', 'price_1', 'quantity', 1,
        'key', 'product-' || n % 10 || '-usd', 'amount', 999, 'currency', 'usd', 'start', now(),
        'end', now() + interval '31 days', 'terms', '{{"product": "product-1", "name": "Product", "grants": []}}'::jsonb))),
    now() - interval '{DAYS} days' * (1 - n::float8 / {SUBSCRIPTIONS}), CASE WHEN n % 2 = 1 THEN now() - interval '1 day' *
        (n % 300) END, now()
FROM generate_series(1, {SUBSCRIPTIONS}) n
"""

CHANGED = """
UPDATE orders SET status = 'refunded'
WHERE id IN (SELECT id FROM orders WHERE created_at > now() - interval '1 day' ORDER BY created_at DESC LIMIT 200)
"""
"""What a desk that sells looks like between two counts: the days that run have changed."""


@dataclass(frozen=True)
class Asked:
    """A question, and how long each answer took, in milliseconds, while days rest and after some have changed."""

    question: str
    rest_ms: list[float]
    changed_ms: list[float]


def measure(database: Database, *, rounds: int, orders: int) -> Outcome:
    """Make so many orders, count their days, and ask."""
    return uvloop.run(_measured(database, rounds, orders))


def catalog() -> Catalog:
    """Return what is sold."""
    keys = {f"product-{n}": [f"product-{n}-{currency}" for currency in CURRENCIES] for n in range(PRODUCTS)}
    products = {
        name: Product(name, name, tuple(Price(key, name, key[-3:], 999, interval="month") for key in own), ())
        for name, own in keys.items()
    }
    return Catalog(Path("catalog.toml"), products)


def questions(now: datetime) -> dict[str, stats.Ask]:
    """Return the common questions."""
    month, ever = now - timedelta(days=30), now - timedelta(days=DAYS + 1)
    asks = {}
    for since, name in ((month, "30 days"), (ever, "all time")):
        for by in (None, "day", "currency", "product", "channel"):
            asks[f"{name}{f' by {by}' if by else ''}"] = stats.Ask(since, now, by=by)
    asks["all time by day of a product"] = stats.Ask(ever, now, by="day", product="product-3")
    asks["all time of a channel"] = stats.Ask(ever, now, channel="web")
    return asks


async def _measured(database: Database, rounds: int, orders: int) -> Outcome:
    await migrate(database.dsn)
    store = await Store.open(database.dsn, clock=Clock())
    try:
        await _grow(store, orders)
        while await seal.seal(store, at_once=True):
            pass
        begun_s = time.perf_counter()
        while await stats_days.refresh(store):
            pass
        counted_s = time.perf_counter() - begun_s
        await store.execute("ANALYZE stats_day")
        asks = questions(datetime.now(UTC))
        rest = {name: await _asked(store, ask, rounds) for name, ask in asks.items()}
        await store.execute(CHANGED)
        changed = {name: await _asked(store, ask, rounds) for name, ask in asks.items()}
        marked = await store.fetchval("SELECT count(DISTINCT day) FROM stats_mark")
        return _outcome([Asked(name, rest[name], changed[name]) for name in asks], orders, counted_s, marked)
    finally:
        await store.close()


async def _grow(store: Store, orders: int) -> None:
    await store.execute(PERSONS)
    await store.execute("ANALYZE account")
    for first in range(0, orders, AT_ONCE):
        async with store.transaction() as tx:
            await tx.execute("SET LOCAL statement_timeout = 0")
            last = min(first + AT_ONCE, orders) - 1
            await tx.execute(BOUGHT.format(products=PRODUCTS, days=DAYS, orders=orders, first=first, last=last))
            await tx.execute("ANALYZE bought")
            for statement in MADE:
                await tx.execute(statement)
            await tx.execute("DROP TABLE bought")
    await store.execute(SUBSCRIBED)
    async with store.transaction() as tx:
        await tx.execute("SET LOCAL statement_timeout = 0")
        await tx.execute("ANALYZE")
    print(f"  stats: {orders:,} orders are there", flush=True)


async def _asked(store: Store, ask: stats.Ask, rounds: int) -> list[float]:
    sold = catalog()
    taken = []
    for _ in range(rounds + 1):
        begun_s = time.perf_counter()
        report = await stats.report(store, sold, ask)
        taken.append((time.perf_counter() - begun_s) * 1000)
        if not report.totals:
            raise SystemExit("stats: a million orders, and nothing was earned")
    return taken[1:]


def _outcome(asked: Sequence[Asked], orders: int, counted_s: float, marked: int) -> Outcome:
    rows: list[tuple[str, ...]] = [("question", "days rest, ms", f"{marked} days changed, ms", "slowest, ms")]
    for one in asked:
        medians = [f"{statistics.median(times):.0f}" for times in (one.rest_ms, one.changed_ms)]
        rows.append((one.question, *medians, f"{max(one.rest_ms + one.changed_ms):.0f}"))
    worst = max(statistics.median(one.changed_ms) for one in asked)
    text = (
        f"{orders:,} orders of {DAYS} days, {SUBSCRIPTIONS:,} subscriptions; every day counted once in {counted_s:.0f} s\n"
        + aligned(rows)
    )
    goals = [at_most("statistics over a million orders, the slowest common question, median", worst, 300, "ms")]
    return Outcome("stats", text, {"asked": [asdict(one) for one in asked], "counted_s": counted_s}, goals)
