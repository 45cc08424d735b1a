"""Histories of money that goes back and forth, told once in order and once shuffled and doubled: the same end, as modelled.

Hypothesis makes histories up. Many are lived through together on one database, each by two pairs of people who never
meet: `s` hears everything straight, `t` twisted. Facts are really stored, claimed and settled; spending goes through
the writer that the API uses. After every day both pairs must have what the model says, at the end also the same
orders, worths and grants. `PAYDESK_HISTORIES=10000` lives more of them.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from hypothesis import HealthCheck, Phase, given, seed, settings

from machine_model import HISTORIES, UNITS, Act, History, Model, gift_days, gift_of, hold_of, shorter, spend_of
from paydesk import books, inbox, merging, timers
from paydesk.clock import Clock
from paydesk.config import Secret
from paydesk.errors import InsufficientCredits
from paydesk.facts import (
    BalanceIs,
    CaseFact,
    ChargeIs,
    DisputeIs,
    Fact,
    FraudWarning,
    IntentIs,
    RefundIs,
    RefundsAre,
    SessionIs,
)  # fmt: skip
from paydesk.inbox import Envelope, Row
from paydesk.privacy import Vault
from paydesk.settle import Work, settle
from paydesk.store import Store
from paydesk.wallet import Done, EndHold, Give, Operation, Reserve, Spend, Wallets
from truths import untrue

MANY = int(os.environ.get("PAYDESK_HISTORIES", "400"))
TOGETHER = 1000
AT_ONCE = 8
ROWS_MAX = 500
WORLDS = "st"
SOURCE = "told"
FEE = 30


# --- two tellings of a history ---------------------------------------------------------------------------------------


@dataclass
class Life:
    """A history as it is lived: the model, what was told so far, and what went wrong first."""

    number: int
    model: Model
    random: random.Random
    wrong: list[str] = field(default_factory=list)
    told: list[tuple[int, str, int, str, int]] = field(default_factory=list)
    holds: dict[int, tuple[Act, int]] = field(default_factory=dict)
    hold_ids: dict[tuple[str, int], str] = field(default_factory=dict)
    acts: int = 0
    letters: int = 0

    @property
    def history(self) -> History:
        return self.model.history

    def tag(self, world: str) -> str:
        return f"{self.number:07d}{world}"

    def person(self, world: str, who: int) -> str:
        return f"cst_{self.tag(world):0>25}{'ab'[who]}"

    def now(self, world: str, who: int) -> str:
        return self.person(world, self.model.now[who])

    def order(self, world: str, number: int) -> str:
        return f"ord_{self.tag(world)}{number}"

    def complain(self, what: str) -> None:
        self.wrong.append(what)


def fact_of(life: Life, world: str, told: tuple[int, str, int, str, int], base: datetime) -> CaseFact:
    """Return what is told: (order, kind, number, status, day). A look at a dispute is answered with what is true now."""
    number, kind, which, status, day = told
    sold, order = life.model.orders[number], life.order(world, number)
    goods = sold.goods
    at = base + timedelta(days=day, hours=-1 - number)
    intent, currency = f"pi_{order}", "usd"
    money = {"order": order, "stripe_customer": f"cus_{order}", "amount": goods.taken, "currency": currency}
    match kind:
        case "declined":
            return IntentIs(at=at, intent=intent, status="failed", charge=None, failure_code="no", **money)
        case "started" | "session":
            paid = "paid" if kind == "session" else "unpaid"
            after = at + timedelta(seconds=2)
            return SessionIs(at=after, session=f"cs_{order}", status="complete", payment_status=paid,
                             intent=intent if kind == "session" else None, **money)  # fmt: skip
        case "intent":
            return IntentIs(at=at, intent=intent, status="succeeded", charge=f"ch_{order}", **money)
        case "charge":
            costs = f"txn_ch_{order}" if life.history.costs else None
            return ChargeIs(at=at + timedelta(seconds=1), charge=f"ch_{order}", intent=intent, balance_transaction=costs,
                            card_brand="visa", card_last4="4242", **money)  # fmt: skip
        case "refund":
            return refund_of(life, order, which, sold.refunds[which][0], status, at)
        case "refunds":
            known = [refund_of(life, order, n, amount, now, at) for n, (amount, now) in sold.refunds.items()]
            return RefundsAre(at, order, intent, tuple(known))
        case "dispute":
            amount, now = sold.disputes[which]
            return DisputeIs(at, f"du_{order}{which}", order, intent, now, amount, currency, "fraudulent", None, at)
    return FraudWarning(at, f"efw_{order}", order, intent, "misc")


def refund_of(life: Life, order: str, number: int, amount: int, status: str, at: datetime) -> RefundIs:
    costs = f"txn_re_{order}{number}" if life.history.costs else None
    return RefundIs(at, f"re_{order}{number}", order, f"pi_{order}", status, amount, "usd", None, None, at, costs)


def cost_of(body: bytes, at: datetime) -> BalanceIs:
    """Return what Stripe answers to a question about its fee."""
    asked = orjson.loads(body)
    return BalanceIs(at, asked["id"], asked["order"], asked["intent"], "charge", asked["about"], 100, FEE, 100 - FEE,
                     "usd", None, None, at)  # fmt: skip


# --- many lives on one database --------------------------------------------------------------------------------------


@dataclass
class Town:
    """A database on which many histories are lived at once. Every day is the same day for all."""

    store: Store
    wallets: Wallets
    vault: Vault
    lives: list[Life]
    base: datetime
    facts: dict[str, Callable[[], Fact]] = field(default_factory=dict)
    settled: int = 0

    async def live(self) -> None:
        """Live all histories to their ends."""
        last = max(len(life.history.days) for life in self.lives)
        for day in range(last + 1):
            await self._begin(day)
            here = [life for life in self.lives if day < len(life.history.days)]
            await self._tell(here, day)
            await self._act(here, day)
            await self._merge(here, day)
            await self._compare(self.lives, day)
        await self._compare_ends()

    async def _begin(self, day: int) -> None:
        """A day has gone by: what is due, happens."""
        await self.store.execute("UPDATE desk SET clock_offset_s = $1", day * 86_400)
        await self.store.refresh_clock()
        for life in self.lives:
            life.model.new_day(day)
            life.holds = {n: (act, ends) for n, (act, ends) in life.holds.items() if ends > day}
        while await timers.fire(self.store):
            pass
        await self._settle()

    # --- facts -----------------------------------------------------------------------------------------------------

    async def _tell(self, lives: Iterable[Life], day: int) -> None:
        """Let the day's deeds happen, and tell both worlds of them in three rounds."""
        rounds: list[list[Envelope]] = [[], [], []]
        for life in lives:
            heard = [
                (deed.order, *news, day)
                for deed in life.history.days[day].deeds for news in life.model.happen(deed, day)
            ]  # fmt: skip
            for number, told in enumerate(heard):
                rounds[0 if life.history.seed % 2 else min(number, 2)].append(self._letter(life, "s", told))
            old = life.random.sample(life.told, min(1, len(life.told)))
            twisted = [*heard, *life.random.sample(heard, (len(heard) + 1) // 2), *old]
            life.random.shuffle(twisted)
            for told in twisted:
                letter = self._letter(life, "t", told)
                rounds[life.random.randrange(3)] += [letter] * life.random.choice((1, 1, 2))
            life.told += heard
        for letters in rounds:
            async with self.store.transaction() as tx:
                await inbox.put(tx, letters)
            await self._settle()

    def _letter(self, life: Life, world: str, told: tuple[int, str, int, str, int]) -> Envelope:
        life.letters += 1
        name = f"evt_{life.tag(world)}{life.letters:04}"
        self.facts[name] = lambda: fact_of(life, world, told, self.base)
        return Envelope(SOURCE, name, told[1], inbox.lane_of(life.person(world, told[0] // 2)), b"{}", livemode=False)

    def _read(self, row: Row) -> Fact:
        if row.source == timers.SOURCE:
            return timers.read(row.body)
        if row.source == inbox.QUESTION:
            return cost_of(row.body, self.base)
        return self.facts[row.external_id]()

    async def _settle(self) -> None:
        """Settle whatever is due, as a worker does."""
        while held := await inbox.claim(self.store, start_lane=0, lanes_max=inbox.LANES, rows_max=ROWS_MAX):
            while rows := await inbox.read(self.store, held):
                await self._settle_together(held, [Work(row, self._read(row)) for row in rows])
                self.settled += len(rows)
            await inbox.release(self.store, held)

    async def _settle_together(self, held: inbox.Claim, works: Sequence[Work]) -> None:
        """Settle, by halves when that fails: the histories that make it fail are told apart."""
        try:
            outcomes = await settle(self.store, held, works)
        except Exception as error:
            if len(works) == 1:
                self._of(works[0].row).complain(f"{works[0].reading} raises {error!r}")
                await self.store.execute("UPDATE inbox SET state = 'quarantined' WHERE id = $1", works[0].row.id)
                return
            middle = len(works) // 2
            await self._settle_together(held, works[:middle])
            await self._settle_together(held, works[middle:])
            return
        for work, outcome in zip(works, outcomes, strict=True):
            if outcome.state not in ("done", "parked"):
                self._of(work.row).complain(f"{work.reading} is {outcome.state}: {outcome.detail}")

    def _of(self, row: Row) -> Life:
        """Whose history a row belongs to."""
        text = row.external_id + row.body.decode()
        return next((life for life in self.lives for world in WORLDS if life.tag(world) in text), self.lives[0])

    # --- acts ------------------------------------------------------------------------------------------------------

    async def _act(self, lives: Sequence[Life], day: int) -> None:
        """Let people act, one after the other, all histories at the same time; in `t` everything is asked twice."""
        for turn in range(max((len(life.history.days[day].acts) for life in lives), default=0)):
            asked: list[tuple[Life, str, int, Operation, int | None]] = []
            for life in lives:
                acts = life.history.days[day].acts
                if turn < len(acts):
                    asked += self._operations(life, acts[turn], day)
            answers = await asyncio.gather(*(self._run(one) for one in asked))
            again = [(one, answer) for one, answer in zip(asked, answers, strict=True) if one[1] == "t" and answer]
            twins = await asyncio.gather(*(self._run(one) for one, _ in again))
            for ((life, *_), answer), twin in zip(again, twins, strict=True):
                if twin is None or not twin.replayed or (twin.id, twin.amount) != (answer.id, answer.amount):
                    life.complain(f"asked twice, answered {answer} and {twin}")

    def _operations(self, life: Life, act: Act, day: int) -> list[tuple[Life, str, int, Operation, int | None]]:
        """Let the model act, and return what is to be asked in both worlds, with the balance that must be answered."""
        life.acts += 1
        name, model = life.acts, life.model
        key = f"key{name:03}"
        operations: dict[str, Operation]
        wanted: int | None
        if act.kind in ("settle", "release"):
            open_now = [n for n, (one, _) in life.holds.items() if model.now[one.person] == model.now[act.person]]
            if not open_now:
                return []
            hold = open_now[act.number % len(open_now)]
            held, _ = life.holds.pop(hold)
            used = act.number % (hold_of(held) + 1) if act.kind == "settle" else None
            wanted = model.end(held, hold, used or 0, day)
            operations = {world: EndHold(life.hold_ids.get((world, hold), "hld_none"), used) for world in WORLDS}
        else:
            people = {world: (life.now(world, act.person), act.unit) for world in WORLDS}
            match act.kind:
                case "give":
                    wanted = model.give(act, name, day)
                    days = gift_days(act, lasting=model.lasting)
                    operations = {w: Give(*who, gift_of(act), key, expires_days=days) for w, who in people.items()}
                case "hold":
                    wanted = model.hold(act, name, day)
                    days = 1 + act.number % 3
                    if wanted is not None:
                        life.holds[name] = (act, day + days)
                    operations = {w: Reserve(*who, hold_of(act), key, None, days * 86_400) for w, who in people.items()}
                case _:
                    wanted = model.spend(act, day)
                    operations = {world: Spend(*who, spend_of(act), key) for world, who in people.items()}
        return [(life, world, name, operations[world], wanted) for world in WORLDS]

    async def _run(self, asked: tuple[Life, str, int, Operation, int | None]) -> Done | None:
        """Ask, and compare with what must be answered."""
        life, world, name, operation, wanted = asked
        try:
            done: Done | None = await self.wallets.run(operation)
        except InsufficientCredits:
            done = None
        except Exception as error:
            life.complain(f"{world}: {operation} raises {error!r}")
            return None
        if (None if done is None else done.balance) != wanted and not life.model.unsure:
            life.complain(f"{world}: {operation} answers {done}, {wanted} is right")
        if done is not None and isinstance(operation, Reserve) and done.hold is not None:
            life.hold_ids[world, name] = done.hold.id
        return done

    async def _merge(self, lives: Iterable[Life], day: int) -> None:
        """Merge people; in `t` it is asked twice."""
        work: list[Awaitable[None]] = []
        for life in lives:
            pair = life.history.days[day].merge
            if pair is not None and life.model.merge(*pair, day):
                work += [self._merge_in(life, world, *pair) for world in WORLDS]
        await in_groups(work)

    async def _merge_in(self, life: Life, world: str, stays: int, goes: int) -> None:
        for _ in range(1 + WORLDS.index(world)):
            pair = life.person(world, stays), life.person(world, goes)
            await merging.merge(self.store, self.vault, *pair, actor="test")

    # --- comparing -------------------------------------------------------------------------------------------------

    async def _compare(self, lives: Sequence[Life], day: int) -> None:
        """Both worlds have what the model says."""
        rows = await self.store.fetch(
            BALANCES, [life.person(w, who) for life in lives for w in WORLDS for who in (0, 1)]
        )
        found = {
            (row["owner"], row["unit"]): dict(zip(("balance", "held", "debt"), list(row)[2:], strict=True))
            for row in rows
        }
        nothing = {"balance": 0, "held": 0, "debt": 0}
        for life in lives:
            for what in life.model.arithmetic(day):
                life.complain(what)
            wanted = life.model.totals(day)
            for world in WORLDS:
                there = {
                    f"{'ab'[who]} {unit}": found.get((life.person(world, who), unit), nothing)
                    for who in set(life.model.now) for unit in UNITS
                }  # fmt: skip
                if there != wanted and not life.model.unsure:
                    life.complain(f"{world}, day {day}: there is {there}, the model says {wanted}")

    async def _compare_ends(self) -> None:
        """Orders, worths and grants are as the model says, and the same in both worlds; nothing waits any more."""
        rows = await self.store.fetch(ENDS)
        ends = {row["tag"]: row["state"] for row in rows}
        statuses = {row["id"]: row["status"] for row in await self.store.fetch("SELECT id, status FROM orders")}
        worths: dict[str, dict[str, int]] = defaultdict(dict)
        for row in await self.store.fetch("SELECT id, order_id, worth FROM source WHERE order_id IS NOT NULL"):
            worths[row["order_id"]][row["id"]] = row["worth"]
        for life in self.lives:
            straight, twisted = (ends[life.tag(world)].replace(life.tag(world), "") for world in WORLDS)
            for one, other in zip(orjson.loads(straight), orjson.loads(twisted), strict=True):
                for what in one:
                    if one[what] != other[what]:
                        life.complain(f"{what} told straight: {one[what]}\n{what} told twisted:   {other[what]}")
            for number, sold in enumerate(life.model.orders):
                order = life.order("s", number)
                status = statuses[order]
                wanted = {f"{order}:0:0": sold.worth(sold.goods.credits)}
                if sold.goods.pass_days:
                    wanted[f"{order}:0:1"] = sold.worth(sold.goods.pass_days * 86_400)
                if sold.paid_day is not None:
                    wanted[f"payment:pi_{order}"] = sold.money()
                there = {id_: worth for id_, worth in worths[order].items() if not id_.startswith("fee:")}
                if (status, there) != (sold.status(), wanted):
                    life.complain(f"{order} is {status} with {there}, the model says {sold.status()} with {wanted}")


BALANCES = """
SELECT owner, unit,
    coalesce(sum((SELECT sum(remaining) FROM lot l WHERE l.account_id = a.id
                  AND coalesce(l.expires_at > desk_now(), true))) FILTER (WHERE kind = 'wallet'), 0)::bigint AS balance,
    coalesce(sum(balance) FILTER (WHERE kind = 'held'), 0)::bigint AS held,
    coalesce(-sum(balance) FILTER (WHERE kind = 'debt'), 0)::bigint AS debt
FROM account a WHERE owner = ANY($1::text[]) GROUP BY owner, unit
"""

ENDS = """
SELECT substr(o.id, 5, 8) AS tag, jsonb_agg(jsonb_build_object(
    'order', to_jsonb(o) - '{link_token,created_at}'::text[],
    'payments', (SELECT jsonb_agg(to_jsonb(p) - 'created_at' ORDER BY p.id) FROM payment p WHERE p.order_id = o.id),
    'refunds', (SELECT jsonb_agg(to_jsonb(r) - 'created_at' ORDER BY r.id)
                FROM refund r JOIN payment p ON p.id = r.payment_id WHERE p.order_id = o.id),
    'disputes', (SELECT jsonb_agg(to_jsonb(d) - 'created_at' ORDER BY d.id)
                 FROM dispute d JOIN payment p ON p.id = d.payment_id WHERE p.order_id = o.id),
    'sources', (SELECT jsonb_agg(to_jsonb(s) - '{revision}'::text[] ORDER BY s.id) FROM source s WHERE s.order_id = o.id),
    'ends', (SELECT jsonb_agg(l.expires_at) FROM lot l WHERE l.id = o.id || ':0:0' AND l.expires_at IS NOT NULL),
    'grants', (SELECT jsonb_agg(to_jsonb(g) ORDER BY g.source)
               FROM grant_ g JOIN source s ON s.id = g.source WHERE s.order_id = o.id)
) ORDER BY o.id)::text AS state
FROM orders o GROUP BY 1
"""


async def in_groups(work: Sequence[Awaitable[None]]) -> None:
    """Await everything, some at once."""
    for start in range(0, len(work), AT_ONCE):
        await asyncio.gather(*work[start : start + AT_ONCE])


# --- settling down ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def town(database: str, histories: Sequence[History]) -> AsyncIterator[Town]:
    """Let the people of these histories settle on a database, with their orders written and nothing paid."""
    store = await Store.open(database, clock=Clock())
    wallets = Wallets(store)
    wallets.start()
    try:
        await store.execute("UPDATE desk SET clock_offset_s = 0, livemode = false")
        base = await store.fetchval("SELECT desk_now()")
        lives = [Life(n, Model(history), random.Random(history.seed)) for n, history in enumerate(histories)]
        await write_people(store, lives)
        key = Secret(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
        yield Town(store, wallets, Vault([key]), lives, base)
    finally:
        await wallets.stop()
        await store.close()


async def write_people(store: Store, lives: Sequence[Life]) -> None:
    """Write people, their orders and what those give."""
    people = [life.person(world, who) for life in lives for world in WORLDS for who in (0, 1)]
    await store.execute("INSERT INTO customer (id) SELECT * FROM unnest($1::text[])", people)
    orders, sources = [], []
    for life in lives:
        for world in WORLDS:
            for number, goods in enumerate(life.history.goods):
                order, person = life.order(world, number), life.person(world, number // 2)
                orders.append(
                    (order, person, goods.price, order, f"cus_{order}", "manual" if goods.let_go else "automatic")
                )
                terms: dict[str, Any] = {"quantity": 1, "on_dispute": goods.on_dispute}
                given = {**terms, "kind": "credits", "amount": goods.credits, "expires_days": goods.days}
                sources.append((f"{order}:0:0", person, order, "credits", goods.unit, given))
                if goods.pass_days:
                    given = {**terms, "kind": "pass", "feature": "premium", "days": goods.pass_days}
                    sources.append((f"{order}:0:1", person, order, "pass", "seconds", given))
    await store.execute(
        "INSERT INTO orders (id, customer_id, amount, currency, livemode, link_token, stripe_customer, capture) "
        "SELECT id, person, price, 'usd', false, token, payer, capture FROM unnest($1::text[], $2::text[], $3::bigint[], "
        "$4::text[], $5::text[], $6::text[]) AS n (id, person, price, token, payer, capture)",
        *books.columns(orders),
    )
    await store.execute(
        "INSERT INTO source (id, customer_id, order_id, kind, unit, terms) "
        "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[])",
        *books.columns(sources),
    )


# --- the test --------------------------------------------------------------------------------------------------------


def made_up(many: int, *, draw: int | None = None) -> list[History]:
    """Return so many different histories, others each time unless a `draw` is named."""
    found: list[History] = []

    @seed(secrets.randbits(64) if draw is None else draw)
    @settings(
        max_examples=many,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(HISTORIES)
    def collect(history: History) -> None:
        found.append(history)

    collect()
    return found


async def lived(database: str, histories: Sequence[History]) -> tuple[list[Life], list[str], int]:
    """Live histories through; return them, what is not true of the ledger afterwards, and how many rows were settled."""
    async with town(database, histories) as here:
        await here.live()
        return here.lives, await untrue(here.store), here.settled


def shortest(new_database: Callable[[], str], history: History) -> str:
    """Leave out of a history what is not needed to show what is wrong; return it with what is wrong."""
    trouble = ""
    while True:
        candidates = shorter(history)
        failing = history
        if candidates:
            lives, _, _ = asyncio.run(lived(new_database(), candidates))
            failing = next((life.history for life in lives if life.wrong), history)
        if failing == history:
            lives, found, _ = asyncio.run(lived(new_database(), [history]))
            trouble = "\n".join([*lives[0].wrong[:4], *found])
            return f"{history}\n{trouble}"
        history = failing


def test_histories_told_twisted_end_as_told_straight_and_as_the_model_says(
    new_database: Callable[[], str], capsys: Any
) -> None:
    histories = made_up(MANY)
    assert len(histories) >= MANY
    rows = 0
    for start in range(0, len(histories), TOGETHER):
        lives, found, settled = asyncio.run(lived(new_database(), histories[start : start + TOGETHER]))
        rows += settled
        wrong = next((life for life in lives if life.wrong), None)
        if wrong is not None:
            raise AssertionError(f"{sum(bool(life.wrong) for life in lives)} went wrong, the shortest: "
                                 f"{shortest(new_database, wrong.history)}")  # fmt: skip
        assert found == []
    with capsys.disabled():
        print(f"\n{len(histories):,} histories, each told twice: {rows:,} facts settled")  # noqa: T201
