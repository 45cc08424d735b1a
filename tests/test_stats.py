"""Statistics equal a recount of every row, whatever happened in which order and whenever days were counted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from alembic.script import ScriptDirectory

import stats_recount
from desk import Desk
from paydesk import stats, stats_days
from paydesk.catalog import Catalog, Price, Product
from paydesk.clock import Clock
from paydesk.errors import Invalid
from paydesk.shares import rate
from paydesk.stats_days import Sum, cut
from paydesk.stats_period import local_days
from paydesk.stats_subscriptions import Item, Subscriptions, months_of, mrr
from paydesk.store import Store
from paydesk.store.migrate import alembic_config
from stats_recount import Recount, counted, shown

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
PRICES = {"one": "first", "two": "first", "three": "second"}


@pytest.fixture
async def store(database: str) -> AsyncIterator[Store]:
    """A store on a database of its own; nobody counts its days but the test."""
    opened = await Store.open(database, clock=Clock())
    yield opened
    await opened.close()


@pytest.fixture
def sold(tmp_path: Any) -> Catalog:
    """Two products; one of them has two prices."""
    products = {
        name: Product(name, name, tuple(Price(key, name, "usd", 100) for key, of in PRICES.items() if of == name), ())
        for name in ("first", "second")
    }
    return Catalog(tmp_path, products)


POSTED = (
    "grant sold wallet", "spend wallet spent", "expired wallet expired", "take_back wallet sold", "owed debt sold",
    "take_expired expired sold", "grant_expired sold expired", "debt_paid sold debt", "settle held spent",
    "hold wallet held",
)  # fmt: skip
"""What entries are written for, and from which account to which."""

# --- a history of rows, in any order ---------------------------------------------------------------------------------


class Rows:
    """Rows of money that a random history writes, moves and mends."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.chance = random.Random(seed)
        self.orders: list[str] = []
        self.payments: list[str] = []
        self.refunds: list[str] = []
        self.disputes: list[str] = []
        self.number = 0

    def moment(self) -> datetime:
        """Some time in forty days with a whole month in them, on the edges of days more often than elsewhere."""
        day = datetime(2026, 9, 25, tzinfo=UTC) + timedelta(days=self.chance.randrange(40))
        return day + self.chance.choice((timedelta(0), timedelta(seconds=self.chance.randrange(86_400)),
                                         timedelta(days=1, microseconds=-1)))  # fmt: skip

    async def step(self) -> None:
        """Something happens."""
        self.number += 1
        acts = [
            self.order,
            self.order,
            self.pay,
            self.pay,
            self.refund,
            self.dispute,
            self.fee,
            self.change,
            self.unlink,
            self.post,
        ]
        await self.chance.choice(acts)()

    async def order(self) -> None:
        id_ = f"ord_{self.number}"
        statuses = ("open", "expired", "fulfilled", "canceled")
        async with self.store.transaction() as tx:
            await tx.execute(
                "INSERT INTO orders (id, customer_id, status, amount, currency, livemode, link_token, channel, paid_by, stars, "
                "created_at) VALUES ($1, 'cst_1', $2, $3, $4, false, $1, $5, $6, 50, $7)",
                id_, self.chance.choice(statuses), self.chance.randrange(1000), self.chance.choice(("usd", "jpy")),
                self.chance.choice((None, "web", "telegram")), self.chance.choice((None, "stars_1")), self.moment(),
            )  # fmt: skip
            keys = self.chance.sample([None, "one", "two", "three", "gone"], self.chance.randrange(1, 4))
            for place, key in enumerate([*keys, keys[0]]):
                await tx.execute(
                    "INSERT INTO order_line (order_id, position, price_key, name, quantity, unit_amount) "
                    "VALUES ($1, $2, $3, 'x', $4, $5)",
                    id_, place, key, self.chance.randrange(1, 4), self.chance.choice((0, 7, 333)),
                )  # fmt: skip
        self.orders.append(id_)

    async def pay(self) -> None:
        if not self.orders:
            return
        id_, status = f"pi_{self.number}", self.chance.choice(("succeeded", "failed", "canceled", "open"))
        await self.store.execute(
            "INSERT INTO payment (id, order_id, status, amount, currency, failure_code, paid_at, created_at) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            id_, self.chance.choice(self.orders), status, self.chance.randrange(1, 999_999), self.chance.choice(("usd", "kwd")),
            self.chance.choice((None, "card_declined")) if status != "succeeded" else None,
            self.moment() if status == "succeeded" else None, self.moment(),
        )  # fmt: skip
        self.payments.append(id_)

    async def refund(self) -> None:
        if self.payments:
            id_, status = f"re_{self.number}", self.chance.choice(("pending", "succeeded", "failed"))
            await self.store.execute(
                "INSERT INTO refund (id, payment_id, status, amount, currency, created_at) VALUES ($1, $2, $3, $4, 'usd', $5)",
                id_, self.chance.choice(self.payments), status, self.chance.randrange(1, 999), self.moment(),
            )  # fmt: skip
            self.refunds.append(id_)

    async def dispute(self) -> None:
        if self.payments:
            id_ = f"dp_{self.number}"
            await self.store.execute(
                "INSERT INTO dispute (id, payment_id, status, amount, currency, created_at) VALUES ($1, $2, $3, $4, 'usd', $5)",
                id_, self.chance.choice(self.payments), self._dispute_status(), self.chance.randrange(999), self.moment(),
            )  # fmt: skip
            self.disputes.append(id_)

    def _dispute_status(self) -> str:
        return self.chance.choice(("needs_response", "under_review", "won", "lost", "warning_closed"))

    async def fee(self) -> None:
        if self.payments:
            fee = self.chance.choice((-1500, 0, 29, 59))
            await self.store.execute(
                "INSERT INTO balance_transaction (id, payment_id, kind, about, amount, fee, net, currency, created_at) "
                "VALUES ($1, $2, 'charge', 'ch', 100, $3, 100 - $3::bigint, 'usd', $4)",
                f"txn_{self.number}", self.chance.choice(self.payments), fee, self.moment(),
            )  # fmt: skip

    async def change(self) -> None:
        """News of something old: a refund fails, a dispute is decided, a payment succeeded earlier than was known."""
        if self.refunds:
            await self.store.execute(
                "UPDATE refund SET status = $2 WHERE id = $1", self.chance.choice(self.refunds),
                self.chance.choice(("succeeded", "failed")),
            )  # fmt: skip
        if self.disputes:
            await self.store.execute(
                "UPDATE dispute SET status = $2, amount = amount + 1 WHERE id = $1", self.chance.choice(self.disputes),
                self._dispute_status(),
            )  # fmt: skip
        if self.payments:
            await self.store.execute(
                "UPDATE payment SET status = 'succeeded', failure_code = NULL, paid_at = $2 WHERE id = $1",
                self.chance.choice(self.payments), self.moment(),
            )  # fmt: skip
        if self.orders:
            await self.store.execute(
                "UPDATE orders SET status = 'disputed' WHERE id = $1", self.chance.choice(self.orders)
            )

    async def unlink(self) -> None:
        """Somebody's thread is unlinked: what was sold there has no channel any more, on all its days."""
        if self.orders:
            await self.store.execute("UPDATE orders SET channel = NULL WHERE id = $1", self.chance.choice(self.orders))

    async def post(self) -> None:
        reason, giver, taker = self.chance.choice(POSTED).split()
        await self.store.execute(
            "INSERT INTO entry (source, revision, reason, unit, from_account, to_account, amount, at) "
            "SELECT $1, 0, $2, 'credits', g.id, t.id, $5, $6 FROM account g, account t WHERE g.kind = $3 AND t.kind = $4",
            f"s{self.number}", reason, giver, taker, self.chance.randrange(1, 50), self.moment(),
        )  # fmt: skip


async def begun(store: Store) -> None:
    await store.execute("INSERT INTO customer (id) VALUES ('cst_1')")
    await store.execute(
        "INSERT INTO account (owner, unit, kind, balance) SELECT CASE WHEN k IN ('sold', 'spent', 'expired') THEN 'system' "
        "ELSE 'cst_1' END, 'credits', k, CASE WHEN k IN ('sold', 'spent', 'expired') THEN NULL ELSE 0 END "
        "FROM unnest(ARRAY['sold', 'spent', 'expired', 'wallet', 'held', 'debt']) k"
    )


async def rows_of(store: Store) -> Recount:
    rows = {
        table: [dict(row.items()) for row in await store.fetch(f"SELECT * FROM {table}")]
        for table in stats_recount.TABLES
    }
    return Recount(rows, PRICES)


async def agree(store: Store, sold: Catalog, chance: random.Random) -> None:
    """A report and the recount say the same of a period with edges anywhere."""
    truth = await rows_of(store)
    begins = datetime(2026, 9, 20, tzinfo=UTC) + timedelta(hours=chance.randrange(24 * 20) * chance.choice((0, 1)))
    ends = begins + timedelta(hours=chance.choice((24 * 60, chance.randrange(1, 24 * 45))))
    only = chance.choice(({}, {}, {"currency": "usd"}, {"channel": "web"}, {"product": "first"}))
    zone = chance.choice(("UTC", "Europe/Warsaw", "Pacific/Chatham"))
    for by in (None, "day", "currency", "product", "channel"):
        report = (await stats.report(store, sold, stats.Ask(begins, ends, by=by, timezone=zone, **only))).as_json()
        totals = shown(report["totals"], None)
        assert counted(totals) == counted(truth.money(begins, ends, **only)), (by, only)
        if by is not None:
            found = counted(shown(report["data"], by))
            assert found == counted(truth.money(begins, ends, by, zone, **only)), (by, zone, only)
    if not only:
        told = {unit.pop("unit"): unit for unit in report["credits"]}
        truth_credits = truth.credits(begins, ends)
        for unit in (*told.values(), *truth_credits.values()):
            unit.pop("outstanding")  # the accounts of this history hold what nobody has posted
        assert told == truth_credits


@pytest.mark.parametrize("seed", range(4))
async def test_figures_are_exact_after_every_change_whenever_days_are_counted(
    store: Store, sold: Catalog, seed: int
) -> None:
    await begun(store)
    rows = Rows(store, seed)
    for _ in range(6):
        for _ in range(rows.chance.randrange(1, 40)):
            await rows.step()
        if rows.chance.random() < 0.7:
            while await stats_days.refresh(store):
                pass
            assert (await stats_days.check(store)).finding is None
            assert await store.fetchval("SELECT count(*) FROM stats_mark") == 0
        await agree(store, sold, rows.chance)


async def test_a_month_in_which_one_day_has_moved_is_not_taken_whole(store: Store, sold: Catalog) -> None:
    await begun(store)
    rows = Rows(store, 21)
    for _ in range(150):
        await rows.step()
    while await stats_days.refresh(store):
        pass
    await store.execute(
        "UPDATE payment SET amount = amount + 7 WHERE id = (SELECT id FROM payment WHERE status = 'succeeded' "
        "AND paid_at BETWEEN '2026-10-02Z' AND '2026-10-30Z' LIMIT 1)"
    )
    assert 0 < await store.fetchval("SELECT count(DISTINCT day) FROM stats_mark") < 3
    truth, begins, ends = await rows_of(store), datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    for by in (None, "product", "channel"):
        report = (await stats.report(store, sold, stats.Ask(begins, ends, by=by))).as_json()
        assert counted(shown(report["data"] if by else report["totals"], by)) == counted(truth.money(begins, ends, by))


async def test_a_refund_in_parts_gives_back_what_each_product_brought(store: Store, sold: Catalog) -> None:
    """Also when a part of it fails later, and the days of the parts after it were counted before."""
    await begun(store)
    await store.execute(
        "INSERT INTO orders (id, customer_id, status, amount, currency, livemode, link_token, created_at) "
        "VALUES ('ord_1', 'cst_1', 'refunded', 5996, 'usd', false, 'x', '2026-10-01Z')"
    )
    await store.execute(
        "INSERT INTO order_line (order_id, position, price_key, name, quantity, unit_amount) "
        "VALUES ('ord_1', 0, 'one', 'x', 1, 2997), ('ord_1', 1, 'three', 'x', 1, 2999)"
    )
    await store.execute(
        "INSERT INTO payment (id, order_id, status, amount, currency, paid_at, created_at) "
        "VALUES ('pi_1', 'ord_1', 'succeeded', 5996, 'usd', '2026-10-01Z', '2026-10-01Z')"
    )
    for day, amount in enumerate((1001, 1001, 1001, 1001, 1992), 2):
        await store.execute(
            "INSERT INTO refund (id, payment_id, status, amount, currency, created_at) "
            "VALUES ('re_' || $1::int, 'pi_1', 'succeeded', $2, 'usd', '2026-10-01Z'::timestamptz + $1::int * interval '1 day')",
            day, amount,
        )  # fmt: skip
    begins, ends = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    for _ in ("counted from the rows", "from what is kept"):
        found = (await stats.report(store, sold, stats.Ask(begins, ends, by="product"))).data
        back = {row.label: (row.money.gross, row.money.refunded) for row in found}
        assert back == {"first": (2997, 2997), "second": (2999, 2999)}
        while await stats_days.refresh(store):
            pass
    await store.execute("UPDATE refund SET status = 'failed' WHERE id = 're_2'")
    assert await store.fetchval("SELECT count(DISTINCT day) FROM stats_mark") == 5, "the shares of the later parts move"
    await agree(store, sold, random.Random(1))
    while await stats_days.refresh(store):
        pass
    assert (await stats_days.check(store)).finding is None


async def test_a_day_stays_marked_by_whoever_writes_while_it_is_counted(store: Store, sold: Catalog) -> None:
    await begun(store)
    rows = Rows(store, 11)
    while len(rows.payments) < 20:
        await rows.step()
    async with store.transaction() as tx:
        await tx.execute("UPDATE payment SET amount = amount + 1000")
        while await stats_days.refresh(store):
            pass  # it does not see what is being written, and waits for nobody
    await agree(store, sold, rows.chance)
    assert (await stats_days.check(store)).finding is None, (
        "marked days are not proved, for nobody takes what is kept of them"
    )
    assert await store.fetchval("SELECT count(DISTINCT day) FROM stats_mark") > 5
    assert await stats_days.refresh(store) > 5
    assert await stats_days.refresh(store) == 0
    await agree(store, sold, rows.chance)


async def test_many_may_count_at_once_and_one_does(store: Store, sold: Catalog) -> None:
    await begun(store)
    rows = Rows(store, 5)
    for _ in range(60):
        await rows.step()
    done = await asyncio.gather(*(stats_days.refresh(store) for _ in range(4)))
    assert sorted(done)[-1] > 5
    assert (await stats_days.check(store)).finding is None
    await agree(store, sold, rows.chance)


@pytest.mark.parametrize(
    "forged",
    ["UPDATE stats_day SET amount = amount + 1 WHERE figure = 'gross' AND price = '*'", "DELETE FROM stats_day",
     "INSERT INTO stats_day VALUES ('2026-01-01', '*', 'gross', 'money:usd', '', 1, 1)",
     "UPDATE stats_month SET number = number + 1 WHERE figure = 'gross' AND price = '*'"],
    ids=["changed", "missing", "invented", "month"],
)  # fmt: skip
async def test_a_figure_that_was_changed_behind_our_back_is_found(store: Store, forged: str) -> None:
    await begun(store)
    rows = Rows(store, 3)
    for _ in range(60):
        await rows.step()
    while await stats_days.refresh(store):
        pass
    assert (await stats_days.check(store)).finding is None
    await store.execute(forged)
    finding = (await stats_days.check(store)).finding
    assert finding is not None
    assert "kept is" in finding


async def test_a_database_that_was_there_before_is_counted_from_its_beginning(store: Store, sold: Catalog) -> None:
    await begun(store)
    rows = Rows(store, 8)
    for _ in range(60):
        await rows.step()
    await store.execute("DELETE FROM stats_mark")
    step = next(
        one for one in ScriptDirectory.from_config(alembic_config(None)).walk_revisions() if one.revision == "0009"
    )
    await store.execute(step.module.MARK_ALL)
    await agree(store, sold, rows.chance)
    while await stats_days.refresh(store):
        pass
    assert (await stats_days.check(store)).finding is None
    await agree(store, sold, rows.chance)


# --- arithmetic ------------------------------------------------------------------------------------------------------


def test_a_period_is_cut_into_whole_days_and_the_parts_around_them() -> None:
    period = cut(datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 4, 6, tzinfo=UTC))
    assert (period.first, period.last) == (date(2026, 1, 2), date(2026, 1, 4))
    assert [part[0] for part in period.parts] == [date(2026, 1, 1), date(2026, 1, 4)]
    within = cut(datetime(2026, 1, 1, 23, tzinfo=UTC), datetime(2026, 1, 2, 1, tzinfo=UTC))
    assert within.first == within.last == date(2026, 1, 2)
    assert sum((part[2] - part[1] for part in within.parts), timedelta()) == timedelta(hours=2)
    exact = cut(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))
    assert (exact.first, exact.last, exact.parts) == (date(2026, 1, 1), date(2026, 1, 3), ())


def test_a_day_on_which_the_clock_is_moved_has_an_hour_more_or_less() -> None:
    ask = stats.checked(NOW, "2026-10-24", "2026-10-27", by="day", timezone="Europe/Warsaw")
    assert [(str(day), ends - begins) for day, begins, ends in local_days(ask)] == [
        ("2026-10-24", timedelta(hours=24)), ("2026-10-25", timedelta(hours=25)), ("2026-10-26", timedelta(hours=24)),
    ]  # fmt: skip


def test_rates_have_four_places_and_nothing_has_none() -> None:
    assert [rate(1, 8), rate(2, 3), rate(0, 5), rate(3, 2), rate(1, 0)] == [
        "0.1250",
        "0.6667",
        "0.0000",
        "1.5000",
        None,
    ]
    money = stats.added([Sum(None, "gross", "money:usd", 3, 1001), Sum(None, "fees", "money:usd", 3, -7)])[0].money
    assert (money.net, money.average_payment, money.as_json()["success_rate"]) == (1008, 334, "1.0000")
    assert Subscriptions(3, 1, 2, 4, 1, 0, 0, {}).churn_rate == "0.2500"
    assert Subscriptions(3, 1, 2, 0, 0, 0, 0, {}).churn_rate is None


def test_mrr_brings_every_interval_to_a_month() -> None:
    prices = {
        "half": Price("half", "p", "usd", 600, interval="month", interval_count=6),
        "w": Price("w", "p", "usd", 7, interval="week"),
    }
    assert months_of(184, prices["half"]) == 6
    assert months_of(28, Price("m", "p", "usd", 1, interval="month")) == 1
    assert months_of(28, None) == 1
    assert months_of(28, prices["w"]) == 1
    assert months_of(21, None) == Fraction(21 * 12, 365)
    assert months_of(366, None) == 12
    items = [
        Item("half", "usd", 600, 181, 2),
        Item("w", "usd", 700, 7, 1),
        Item(None, "usd", 1200, 365, 1),
        Item("x", "jpy", 500, 30, 3),
    ]
    assert mrr(items, prices) == {"jpy": 1500, "usd": 200 + 3042 + 100}


@pytest.mark.parametrize(
    ("words", "param"),
    [
        ({"begins": "yesterday"}, "from"), ({"ends": "2026-13-01"}, "to"), ({"begins": "2026-02-30"}, "from"),
        ({"begins": "2026-02-02", "ends": "2026-02-01"}, "from"), ({"begins": "2026-02-02", "ends": "2026-02-02"}, "from"),
        ({"begins": "0001-01-01T00:00:00+14:00"}, "from"), ({"ends": "9999-12-31"}, "to"), ({"by": "hour"}, "by"),
        ({"currency": "USD"}, "currency"), ({"currency": "zzz"}, "currency"), ({"timezone": "Warsaw"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"), ({"begins": "2020-01-01", "by": "day", "timezone": "Europe/Warsaw"}, "from"),
        ({"begins": "２０２６-01-01"}, "from"), ({"begins": ""}, "from"),
    ],
    ids=lambda one: one if isinstance(one, str) else ascii("-".join(f"{word}={said}" for word, said in one.items())),
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(words: dict[str, str], param: str) -> None:
    with pytest.raises(Invalid) as refused:
        stats.checked(NOW, words.pop("begins", None), words.pop("ends", None), **words)
    assert refused.value.param == param


def test_moments_are_read_in_their_time_zone() -> None:
    ask = stats.checked(NOW, "2026-07-01", "2026-07-02T12:00", timezone="Europe/Warsaw")
    assert (ask.begins, ask.ends) == (datetime(2026, 6, 30, 22, tzinfo=UTC), datetime(2026, 7, 2, 10, tzinfo=UTC))
    unescaped = stats.checked(NOW, "2026-07-01T00:00:00 02:00", "2026-07-02 12:00")
    assert (unescaped.begins, unescaped.ends.hour) == (ask.begins, 12)
    assert stats.checked(NOW, "2026-07-01T00:00:00Z", "2026-07-01T00:00:00-01:00").ends == datetime(
        2026, 7, 1, 1, tzinfo=UTC
    )
    assert stats.checked(NOW).begins == NOW - timedelta(days=30)


def test_words_that_are_wrong_are_400_over_http_too(desk: Desk) -> None:
    for query, param in (
        ("from=x", "from"),
        ("to=x", "to"),
        ("by=x", "by"),
        ("currency=x", "currency"),
        ("product=x", "product"),
    ):
        answer = desk.call("GET", f"/v1/stats?{query}")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert desk.call("GET", "/v1/stats", key="pdk_nobody").status_code == 401
