"""Refunds that race: whoever asks at the same moment, through whichever process, the money goes back once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from conftest import settings_for
from desk import Desk, running_desk, start_service
from faults import report
from sandbox_fixtures import Sandbox, free_port

ROUNDS, RACERS, PEOPLE, AT_ONCE = 1000, 4, 25, 8


@pytest.fixture
def two_desks(new_database: Any, stripe_sandbox: Sandbox) -> Iterator[tuple[Desk, Desk]]:
    """Two processes on one database. Stripe sends nothing: what is known is what it answered."""
    settings = settings_for(new_database(), stripe_sandbox.url)
    with running_desk(settings, stripe_sandbox, webhooks=False) as one:
        port = free_port()
        process = start_service(one.settings, port)
        try:
            yield one, Desk(port, stripe_sandbox, one.settings, process)
        finally:
            process.terminate()
            process.wait(30)


class Shop:
    """Somebody with a key, and connections to both processes."""

    def __init__(self, desks: tuple[Desk, Desk]) -> None:
        headers = {"Authorization": f"Bearer {desks[0].key}"}
        limits = httpx.Limits(max_connections=AT_ONCE * RACERS, keepalive_expiry=1)  # sooner than the desks end them
        self.clients = [
            httpx.AsyncClient(base_url=desk.url, headers=headers, timeout=60, limits=limits) for desk in desks
        ]

    async def close(self) -> None:
        for client in self.clients:
            await client.aclose()

    async def pay(self, person: int) -> dict[str, Any]:
        body = {"customer": {"channel": "web", "external_id": f"racer-{person}"}, "items": [{"price": "credits-10"}],
                "payment_method": "pm_card_visa", "confirm": True}  # fmt: skip
        answer = await self.clients[person % 2].post("/v1/payments", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def race(self, payment: str, amount: int | None = None) -> list[httpx.Response]:
        """Let racers ask for the same refund at the same moment, half of them at each process."""
        body = {"payment": payment} if amount is None else {"payment": payment, "amount": amount}
        asks = (self.clients[racer % 2].post("/v1/refunds", json=body) for racer in range(RACERS))
        return list(await asyncio.gather(*asks))


def test_a_thousand_times_four_racing_refunds_give_the_money_back_once(
    two_desks: tuple[Desk, Desk], capsys: pytest.CaptureFixture[str]
) -> None:
    """Takes a minute: a thousand payments and four thousand requests for refunds, over HTTP."""
    payments, outcomes = asyncio.run(_raced(two_desks))
    made = sum(len(ids) for ids, _ in outcomes)
    refusals = Counter(code for _, codes in outcomes for code in codes)
    report(capsys, f"{ROUNDS:,} rounds of {RACERS} racing refunds: {made:,} refunds, {dict(refusals)}")
    assert [len(ids) for ids, _ in outcomes] == [1] * ROUNDS
    assert refusals == {"already_refunded": ROUNDS * (RACERS - 1)}
    desk = two_desks[0]
    desk.quiet()
    refunded = desk.sql("SELECT payment_id, sum(amount) AS amount, count(*) AS n FROM refund GROUP BY payment_id")
    assert {row["payment_id"]: (row["amount"], row["n"]) for row in refunded} == dict.fromkeys(payments, (999, 1))
    left = desk.sql("SELECT sum(balance)::bigint AS left FROM account WHERE kind IN ('wallet', 'debt')")
    assert left == [{"left": 0}]
    assert desk.sql("SELECT count(*) AS n FROM stripe_call WHERE kind = 'refund'") == [{"n": ROUNDS}]


async def _raced(desks: tuple[Desk, Desk]) -> tuple[list[str], list[tuple[list[str], list[str]]]]:
    """Return the payments, and of each round the refunds made and the codes of those refused."""
    shop, limit = Shop(desks), asyncio.Semaphore(AT_ONCE)

    async def paid(number: int) -> str:
        async with limit:
            return str((await shop.pay(number % PEOPLE))["id"])

    async def raced(payment: str) -> tuple[list[str], list[str]]:
        async with limit:
            answers = await shop.race(payment)
        made = [answer.json()["id"] for answer in answers if answer.status_code == 201]
        return made, [answer.json()["error"]["code"] for answer in answers if answer.status_code != 201]

    try:
        payments = await asyncio.gather(*(paid(number) for number in range(ROUNDS)))
        desks[0].quiet()
        return list(payments), list(await asyncio.gather(*(raced(payment) for payment in payments)))
    finally:
        await shop.close()


def test_parts_that_race_never_make_more_than_the_whole(two_desks: tuple[Desk, Desk]) -> None:
    async def race() -> list[list[int]]:
        shop = Shop(two_desks)
        try:
            paid = [(await shop.pay(number))["id"] for number in range(20)]
            return [[answer.status_code for answer in await shop.race(one, 400)] for one in paid]
        finally:
            await shop.close()

    for statuses in asyncio.run(race()):
        assert sorted(statuses) == [201, 201, 409, 409]
