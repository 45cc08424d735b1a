"""Many spend at the same moment: the last credit goes to one, a key has one effect, and taking back loses no count.

Racers are processes, each with its own connections and its own memory of wallets. They are forked before anything is
open and meet at a barrier before each round.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import secrets
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from desk import Buyer, Desk
from faults import Journal, end_of, fork, report, unasked
from paydesk import ids
from paydesk.clock import Clock
from paydesk.errors import InsufficientCredits
from paydesk.store import Store
from paydesk.wallet import Done, EndHold, Give, Operation, Reserve, Spend, Wallets
from race_workers import at_once
from sandbox_fixtures import until
from story_wallet import ask, done, refund_at_stripe

RACERS = 8
UNIT = "credits"
BARRIER_S = 60
Race = Callable[[Wallets, int], Awaitable[None]]

BROKEN = {
    "a balance is the sum of its entries": """
        SELECT a.owner || ' ' || a.kind FROM account a LEFT JOIN (
            SELECT account, sum(amount) AS total FROM (
                SELECT to_account AS account, amount FROM entry UNION ALL SELECT from_account, -amount FROM entry) legs
            GROUP BY account) s ON s.account = a.id
        WHERE a.balance IS NOT NULL AND a.balance <> coalesce(s.total, 0)""",
    "a wallet holds what its lots do": """
        SELECT a.owner FROM account a LEFT JOIN lot l ON l.account_id = a.id WHERE a.kind = 'wallet'
        GROUP BY a.id HAVING a.balance <> coalesce(sum(l.remaining), 0)""",
    "what is held is what holds hold": """
        SELECT a.owner FROM account a LEFT JOIN hold h ON h.customer_id = a.owner AND h.unit = a.unit AND h.state = 'held'
        WHERE a.kind = 'held' GROUP BY a.id HAVING a.balance <> coalesce(sum(h.amount), 0)""",
    "what lots hold is what holds hold": """
        SELECT l.id FROM lot l LEFT JOIN (
            SELECT key AS lot, sum(value::bigint) AS held FROM hold, jsonb_each_text(parts) WHERE state = 'held' GROUP BY key
            ) h ON h.lot = l.id
        WHERE l.held <> coalesce(h.held, 0)""",
    "nobody owes and has": """
        SELECT w.owner FROM account w JOIN account d ON d.owner = w.owner AND d.unit = w.unit
        WHERE w.kind = 'wallet' AND d.kind = 'debt' AND w.balance > 0 AND d.balance < 0""",
}
"""Each query returns rows that must not be there."""


async def broken(store: Store) -> list[str]:
    """Return what is not true of the wallets."""
    return [f"{what}: {row[0]}" for what, sql in BROKEN.items() for row in await store.fetch(sql)]


@asynccontextmanager
async def opened(database: str) -> AsyncIterator[tuple[Store, Wallets]]:
    """The wallets of a process of its own."""
    store = await Store.open(database, clock=Clock(), connections_max=2)
    wallets = Wallets(store)
    wallets.start()
    try:
        yield store, wallets
    finally:
        await wallets.stop()
        await store.close()


def people(database: str, count: int, gift: int) -> list[str]:
    """So many people, each with a gift."""

    async def make() -> list[str]:
        async with opened(database) as (store, wallets):
            made = [ids.new("cst") for _ in range(count)]
            await store.execute("INSERT INTO customer (id) SELECT unnest($1::text[])", made)
            await asyncio.gather(*(wallets.run(Give(one, UNIT, gift, "gift")) for one in made))
            return made

    return asyncio.run(make())


def race(database: str, journal: Journal, racers: int, run: Race) -> None:
    """Let so many processes run at once, each told its number; nothing must go wrong in them."""

    def life(number: int) -> Callable[[], Awaitable[None]]:
        async def live() -> None:
            async with opened(database) as (_, wallets):
                await run(wallets, number)

        return live

    children = [fork(life(number), journal) for number in range(racers)]
    assert [end_of(child) for child in children] == [0] * racers, unasked(journal)


def look(database: str) -> list[str]:
    """What is not true of the wallets now."""

    async def looking() -> list[str]:
        async with opened(database) as (store, _):
            return await broken(store)

    return asyncio.run(looking())


# --- the last credit -------------------------------------------------------------------------------------------------


async def took(wallets: Wallets, operation: Operation) -> bool:
    """Run it; say whether there was enough."""
    try:
        await wallets.run(operation)
    except InsufficientCredits:
        return False
    return True


def test_of_eight_who_want_the_last_credit_one_gets_it_a_thousand_times(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Takes long: eight processes meet twice in each of a thousand rounds."""
    journal, barrier = Journal(tmp_path / "journal"), multiprocessing.get_context("fork").Barrier(RACERS)
    rounds = 1000
    fresh, hot = people(database, rounds // 2, 1), people(database, 1, 1)[0]

    async def run(wallets: Wallets, number: int) -> None:
        won = []
        for turn in range(rounds):
            who = hot if turn % 2 else fresh[turn // 2]  # a wallet remembered from its last round, and one never seen
            if turn % 2 and turn > 1 and number == turn % RACERS:
                await wallets.run(Give(hot, UNIT, 1, f"again {turn}"))
            barrier.wait(BARRIER_S)
            if await took(wallets, Spend(who, UNIT, 1, f"{turn} {number}")):
                won.append(turn)
            barrier.wait(BARRIER_S)
        journal.note("won", str(number), won)

    race(database, journal, RACERS, run)
    winners = Counter(turn for _, won in journal.lines("won") for turn in won)
    report(capsys, f"{rounds:,} rounds x {RACERS} processes for the last credit: {winners.total():,} spends succeeded, "
                   f"won by racer: {[len(won) for _, won in sorted(journal.lines('won'))]}")  # fmt: skip
    assert winners == Counter(range(rounds)), "each round has one winner"
    assert look(database) == []


def test_of_eight_who_share_a_writer_one_gets_the_last_credit(database: str) -> None:
    async def run() -> list[int]:
        async with opened(database) as (store, wallets):
            winners = []
            for one in await asyncio.to_thread(people, database, 200, 1):
                tries = (took(wallets, Spend(one, UNIT, 1, f"try {number}")) for number in range(RACERS))
                winners.append(sum(await asyncio.gather(*tries)))
            assert await broken(store) == []
            return winners

    assert asyncio.run(run()) == [1] * 200


# --- one key ---------------------------------------------------------------------------------------------------------


def answer_of(one: Done) -> list[Any]:
    """What is answered of an operation, besides whether it is a repeat."""
    hold = None if one.hold is None else [one.hold.id, one.hold.state, one.hold.used]
    return [one.id, one.kind, one.amount, one.balance, one.at.isoformat(), hold]


def test_a_key_that_eight_send_at_once_has_one_effect_and_one_answer(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Takes long: three hundred rounds in which sixteen wait for the same row, and for its commit."""
    journal, barrier = Journal(tmp_path / "journal"), multiprocessing.get_context("fork").Barrier(RACERS)
    rounds = 300
    who = people(database, 1, 1000)[0]
    kinds = (Spend, Give, Reserve)

    async def run(wallets: Wallets, number: int) -> None:
        for turn in range(rounds):
            operation = kinds[turn % 3](who, UNIT, 2, f"key {turn}")
            barrier.wait(BARRIER_S)
            twice = await asyncio.gather(wallets.run(operation), wallets.run(operation))
            for one in twice:
                journal.note("answer", str(turn), [one.replayed, answer_of(one)])
            if twice[0].hold is not None:
                ends = [await wallets.run(EndHold(twice[0].hold.id, 2)) for _ in range(2)]
                journal.note("settled", str(turn), [[one.replayed, one.balance] for one in ends])

    race(database, journal, RACERS, run)
    answered, settled = journal.by_who("answer"), journal.by_who("settled")
    for turn in range(rounds):
        answers = answered[str(turn)]
        assert len(answers) == 2 * RACERS
        assert [replayed for replayed, _ in answers].count(False) == 1
        assert len({str(answer) for _, answer in answers}) == 1
        ends = [end for both in settled.get(str(turn), []) for end in both]
        assert [replayed for replayed, _ in ends].count(False) == (turn % 3 == 2)
        assert len({balance for _, balance in ends}) == (turn % 3 == 2)
    report(capsys, f"{rounds} keys, each sent {2 * RACERS} times at once by {RACERS} processes: one effect each")
    assert look(database) == []
    assert asyncio.run(balance_of(database, who)) == 1000 - 2 * (rounds // 3)


async def balance_of(database: str, who: str) -> int:
    """What somebody can spend: what is there after giving one more, less that one."""
    async with opened(database) as (_, wallets):
        return (await wallets.run(Give(who, UNIT, 1, "look"))).balance - 1


def test_a_request_sent_eight_times_at_once_over_http_counts_once(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.say("/start")
    done(ask(buyer, "grant", {"amount": 10}))
    path, headers = f"/v1/customers/{buyer.id}/credits/spend", {"Idempotency-Key": secrets.token_hex(8)}
    answers = asyncio.run(at_once(desk, RACERS, "POST", path, json={"amount": 3}, headers=headers))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert buyer.balance() == 7


# --- against the money path ------------------------------------------------------------------------------------------


def test_spending_while_the_money_goes_back_never_loses_count(desk: Desk) -> None:
    with ThreadPoolExecutor(6) as pool:
        bought = list(pool.map(_bought, [desk] * 6))
        spent = list(pool.map(lambda pair: _spend_until_refunded(*pair), bought))
    for (buyer, _), count in zip(bought, spent, strict=True):
        wallet = desk.get(f"/v1/customers/{buyer.id}/credits")
        assert (wallet["balance"], wallet["held"], wallet["debt"]) == (0, 0, count)
        assert done(ask(buyer, "grant", {"amount": 200}))["balance"] == 200 - count
    assert any(0 < count < 100 for count in spent), "somebody was spending when the money went back"
    assert asyncio.run(_broken_of(desk)) == []


def _bought(desk: Desk) -> tuple[Buyer, dict[str, Any]]:
    buyer = desk.buyer()
    buyer.say("/start")
    return buyer, buyer.buy("bundle")  # a hundred credits


def _spend_until_refunded(buyer: Buyer, order: dict[str, Any]) -> int:
    """Spend one by one, every other one by a hold, while the order is refunded; return how many were spent."""
    count = 0
    who, refund = buyer.id, threading.Timer(0.05, refund_at_stripe, (buyer.desk, order))
    refund.start()
    while True:
        answer = buyer.desk.call("POST", f"/v1/customers/{who}/credits/spend", json={"amount": 1})
        if answer.status_code == 402:
            break
        count += answer.status_code == 200
        held = buyer.desk.call("POST", f"/v1/customers/{who}/credits/hold", json={"amount": 2})
        if held.status_code == 200:
            count += buyer.desk.call("POST", f"/v1/holds/{held.json()['id']}/settle", json={"amount": 1}).is_success
    refund.join()
    until(lambda: buyer.desk.get(f"/v1/orders/{order['id']}")["status"] == "refunded", patience_s=30, what="the refund")
    return count


async def _broken_of(desk: Desk) -> list[str]:
    async with opened(desk.settings["DATABASE_URL"]) as (store, _):
        return await broken(store)


def test_everything_at_once_keeps_every_promise(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(tmp_path / "journal")
    who = people(database, 5, 50)

    async def run(wallets: Wallets, number: int) -> None:
        kinds = Counter(await asyncio.gather(*(_wander(wallets, who, f"{number}.{one}") for one in range(4))))
        journal.note("did", str(number), kinds.total())

    race(database, journal, 4, run)
    report(capsys, f"4 processes x 4 tasks x 60 operations on {len(who)} wallets")
    assert look(database) == []


async def _wander(wallets: Wallets, who: Sequence[str], name: str) -> str:
    """Do sixty things at random, and end every hold that was made."""
    dice, holds = random.Random(name), []
    for turn in range(60):
        one, amount, key = dice.choice(who), dice.randint(1, 9), f"{name} {turn}"
        kind = dice.choice((Spend, Spend, Spend, Give, Reserve))
        try:
            did = await wallets.run(kind(one, UNIT, amount, key))
        except InsufficientCredits:
            continue
        assert did.balance >= 0
        if did.hold is not None:
            holds.append(did.hold)
        if holds and dice.random() < 0.3:
            hold = holds.pop(dice.randrange(len(holds)))
            await wallets.run(EndHold(hold.id, dice.choice((None, 1, hold.amount))))
    return name
