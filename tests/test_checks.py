"""Access checks remember what they read and are never behind: whoever changed it, in whatever order it was committed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from paydesk import ids
from paydesk.checks import Asked, Checks, Found
from paydesk.service import Service

PASS = """
WITH person AS (INSERT INTO customer (id) VALUES ($1)),
made AS (
    INSERT INTO orders (id, customer_id, status, amount, currency, livemode, link_token)
    VALUES ($2, $1, 'fulfilled', 2999, 'usd', false, $2)
), line AS (
    INSERT INTO order_line (order_id, position, price_key, name, quantity, unit_amount)
    VALUES ($2, 0, 'access-30d', '30 days', 1, 2999)
), sold AS (
    INSERT INTO source (id, customer_id, order_id, kind, unit, terms, worth, posted, revision, since)
    VALUES ($3, $1, $2, 'pass', 'seconds', '{"feature": "gold", "days": 30}', 60, 60, 1, now())
)
INSERT INTO grant_ (source, customer_id, kind, feature, since, seconds) VALUES ($3, $1, 'pass', 'gold', now(), 60)
"""

SUBSCRIPTION = """
INSERT INTO subscription (id, customer_id, stripe_customer, status, livemode, items, started_at, asked_at)
VALUES ($1, $2, 'cus_1', 'active', false, '{"data": [{"key": "vip", "terms": {"name": "VIP"}}]}', now(), now())
"""

GRANT_AGAIN = """
INSERT INTO grant_ (source, customer_id, kind, feature, since)
SELECT $1, customer_id, 'pass', 'gold', now() FROM source WHERE id = $1
"""

CUT_OFF = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE query LIKE '%access_mark%' AND backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture
async def elsewhere(service: Service) -> AsyncIterator[Any]:
    """A connection of another process."""
    connection = await asyncpg.connect(service.store.dsn)
    yield connection
    await connection.close()


async def with_a_pass(connection: Any) -> tuple[str, str]:
    """Somebody with a pass: their id and the pass's source."""
    person, order = ids.new("cst"), ids.new("ord")
    await connection.execute(PASS, person, order, f"{order}:0:0")
    return person, f"{order}:0:0"


async def read_anew(service: Service, asked: Asked) -> Found:
    """What somebody reads who remembers nothing."""
    checks = Checks(service.store)
    checks.start()
    try:
        return await checks.submit(asked)
    finally:
        await checks.stop()


async def test_whatever_is_changed_elsewhere_is_in_the_next_answer(service: Service, elsewhere: Any) -> None:
    person, source = await with_a_pass(elsewhere)
    other, _ = await with_a_pass(elsewhere)
    subscription = f"sub_{person}"
    await elsewhere.execute(SUBSCRIPTION, subscription, person)
    changes = (
        ("UPDATE grant_ SET seconds = 120 WHERE source = $1", source),
        ("UPDATE grant_ SET feature = 'silver' WHERE source = $1", source),
        ("UPDATE grant_ SET feature = 'gold' WHERE source = $1", source),
        ("UPDATE order_line SET name = '60 days' WHERE order_id = split_part($1, ':', 1)", source),
        ("UPDATE source SET order_id = NULL, subscription_id = 'sub_' || customer_id WHERE id = $1", source),
        ("UPDATE subscription SET items = '{\"data\": [{\"key\": \"0\", \"terms\": {\"name\": \"Best\"}}]}' WHERE id = $1",
         subscription),
        ("UPDATE grant_ SET customer_id = $1", other),
        ("UPDATE customer SET merged_into = (SELECT max(id) FROM customer WHERE id <> $1) WHERE id = $1", person),
        ("UPDATE customer SET merged_into = NULL WHERE id = $1", person),
        ("DELETE FROM grant_ WHERE source = $1", source),
        (GRANT_AGAIN, source),
    )  # fmt: skip
    everybody = [(person, "gold"), (other, "gold"), (person, "silver")]
    answers = [[await service.checks.submit(asked) for asked in everybody]]
    for sql, value in changes:
        await elsewhere.execute(sql, value)
        answers.append([await service.checks.submit(asked) for asked in everybody])
        assert answers[-1] == [await read_anew(service, asked) for asked in everybody], sql
        assert answers[-1] != answers[-2], sql


async def test_what_nobody_changed_is_not_read_again(service: Service, elsewhere: Any) -> None:
    (person, source), (other, others) = await with_a_pass(elsewhere), await with_a_pass(elsewhere)
    asked = (person, "gold")
    first = await service.checks.submit(asked)
    await elsewhere.execute("UPDATE grant_ SET seconds = 120 WHERE source = $1", others)
    await elsewhere.execute("UPDATE source SET worth = 61, posted = 61, revision = 2 WHERE id = $1", source)
    await elsewhere.execute("INSERT INTO access_mark VALUES ('of another server', 4000000000000)")
    await service.checks.submit((other, "gold"))
    assert await service.checks.submit(asked) is first
    assert await service.checks.submit((person, "silver")) == ()
    assert await service.checks.submit(asked) is first
    await elsewhere.execute(CUT_OFF)
    again = await service.checks.submit(asked)
    assert again == first
    assert again is not first, "after a break it may be another server: all is read again"


async def test_whom_nobody_knows_is_known_from_the_first_moment(service: Service, elsewhere: Any) -> None:
    person = ids.new("cst")
    assert await service.checks.submit((person, "gold")) is None
    await elsewhere.execute("INSERT INTO customer (id) VALUES ($1)", person)
    assert await service.checks.submit((person, "gold")) == ()


@pytest.mark.parametrize("who_began_first_ends", ["last", "first"])
async def test_transactions_that_overlap_are_seen_when_they_end(
    service: Service, elsewhere: Any, who_began_first_ends: str
) -> None:
    """The number of a transaction tells when it began, not when it ended."""
    (person, source), (other, others) = await with_a_pass(elsewhere), await with_a_pass(elsewhere)
    second = await asyncpg.connect(service.store.dsn)
    early, late = elsewhere.transaction(), second.transaction()
    await early.start()
    await elsewhere.execute("SELECT pg_current_xact_id()")
    await late.start()
    await second.execute("UPDATE grant_ SET seconds = 90 WHERE source = $1", others)
    if who_began_first_ends == "first":
        await elsewhere.execute("UPDATE grant_ SET seconds = 90 WHERE source = $1", source)
        ends = [(early, person), (late, other)]
    else:
        ends = [(late, other), (early, person)]
    assert [await seconds(service, one) for one in (person, other)] == [60, 60]
    for transaction, whose in ends:
        if transaction is early and who_began_first_ends == "last":
            await elsewhere.execute("UPDATE grant_ SET seconds = 90 WHERE source = $1", source)
        assert await seconds(service, whose) == 60, "not committed yet"
        await transaction.commit()
        assert await seconds(service, whose) == 90
    assert [await seconds(service, one) for one in (person, other)] == [90, 90]
    await second.close()


async def seconds(service: Service, person: str) -> int:
    """How long somebody's pass is."""
    rows = await service.checks.submit((person, "gold"))
    assert rows
    return int(rows[0][3])


async def test_no_answer_is_older_than_what_was_committed_before_the_question(service: Service, elsewhere: Any) -> None:
    people = [await with_a_pass(elsewhere) for _ in range(6)]
    committed = dict.fromkeys(people, 60)
    ended = asyncio.Event()

    async def write(seed: int) -> None:
        dice, own = random.Random(seed), await asyncpg.connect(service.store.dsn)
        for _ in range(150):
            both = sorted(dice.sample(people, 2))
            async with own.transaction():
                if dice.random() < 0.5:
                    await own.execute("SELECT pg_current_xact_id()")
                    await asyncio.sleep(dice.random() * 0.004)
                for _, source in both:
                    await own.execute("UPDATE grant_ SET seconds = seconds + 1 WHERE source = $1", source)
                now = [await own.fetchval("SELECT seconds FROM grant_ WHERE source = $1", one[1]) for one in both]
            for one, number in zip(both, now, strict=True):
                committed[one] = max(committed[one], number)
        await own.close()

    async def ask(seed: int) -> int:
        dice, asked = random.Random(seed), 0
        while not ended.is_set():
            one = dice.choice(people)
            at_least = committed[one]
            assert await seconds(service, one[0]) >= at_least
            asked += 1
        return asked

    asking = [asyncio.create_task(ask(seed)) for seed in range(8)]
    await asyncio.gather(*(write(seed) for seed in range(4)))
    ended.set()
    assert sum(await asyncio.gather(*asking)) > 500
    assert [await seconds(service, one[0]) for one in people] == [committed[one] for one in people]
