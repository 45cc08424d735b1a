"""A top-up that is turned off while it buys: what was begun is ended, and what is paid already is bought."""

from __future__ import annotations

import asyncio
import contextvars
import secrets
from typing import Any

import pytest

from paydesk import calls, checkout, customers, ids, merging, payers, topup
from paydesk.customers import Identity
from paydesk.service import Service

TOP_UP = """
INSERT INTO topup (customer_id, unit, price_key, below, month_limit, payment_method, enabled, stopped_because)
VALUES ($1, 'credits', 'credits-10', 5, 5000, 'pm_card_visa', false, 'turned off')
"""


async def begun(service: Service, *, asked: bool) -> tuple[str, str, dict[str, Any]]:
    """A top-up that died while it bought, and was turned off then: its key, its order and what was asked of Stripe."""
    store, key = service.store, f"topup:{secrets.token_hex(6)}"
    person = await customers.find_or_make(store, Identity("web", secrets.token_hex(6)))
    await store.execute(TOP_UP, person)
    line = checkout.line_of(service.shelf.catalog, "credits-10", 1)
    new = checkout.NewOrder(person, (line,), metadata={topup.MARK: "credits"})
    order = await checkout.create_order(store, new, livemode=False, id_=ids.derived("ord", key))
    payer = await payers.stripe_customer(store, service.gateway, person)
    params: dict[str, Any] = {
        "amount": 999, "currency": "usd", "customer": payer, "metadata": {"paydesk_order": order},
        "payment_method_types": ["card"],
    }  # fmt: skip
    if asked:
        await calls.write(store, f"payment:{order}", "payment", order, params)
    return key, order, {"customer": person, "unit": "credits", "asked": params}


async def carried_out(service: Service, key: str, params: dict[str, Any]) -> str:
    return await topup.carry_out(service.store, service.gateway, service.shelf.catalog, key, params)


async def state_of(service: Service, order: str) -> tuple[str, str | None]:
    """What has become of an order, and of the payment that was asked for it."""
    status = await service.store.fetchval("SELECT status FROM orders WHERE id = $1", order)
    call = await service.store.fetchval("SELECT state FROM stripe_call WHERE key = $1", f"payment:{order}")
    return str(status), call


@pytest.mark.parametrize("asked", [True, False])
async def test_what_was_begun_is_canceled_and_nothing_stays_pending(service: Service, asked: bool) -> None:
    key, order, params = await begun(service, asked=asked)
    for _ in range(2):
        assert await carried_out(service, key, params) == "it is turned off"
    assert await state_of(service, order) == ("canceled", "done" if asked else None)
    intent = await service.store.fetchval("SELECT id FROM payment WHERE order_id = $1", order)
    assert (intent is not None) is asked
    if asked:
        assert (await service.gateway.intent(intent))["status"] == "canceled"


async def test_what_stripe_has_taken_before_is_bought(service: Service) -> None:
    key, order, params = await begun(service, asked=True)
    paid = {**params["asked"], "payment_method": "pm_card_visa", "confirm": True}
    await service.gateway.create_intent(paid, secrets.token_hex(8))
    assert await carried_out(service, key, params) == "it was bought before it was turned off"
    assert await state_of(service, order) == ("open", "done"), "its event tells that it is paid"


async def set_up(service: Service) -> tuple[str, str]:
    """A person with a top-up, known by two ids since a merge."""
    store = service.store
    person, other = [await customers.find_or_make(store, Identity("web", secrets.token_hex(6))) for _ in range(2)]
    await payers.stripe_customer(store, service.gateway, person)
    await store.execute(TOP_UP, person)
    await store.execute("UPDATE topup SET enabled = true, stopped_because = NULL WHERE customer_id = $1", person)
    await merging.merge(store, service.vault, person, other, actor="test")
    return person, other


async def while_busy(service: Service, whoms: tuple[str, ...], then: str = "SELECT $1::text") -> list[str]:
    """Top up for each of these ids at once, while somebody else holds the lock of the first, who does `then` at last."""
    async with service.store.transaction() as tx:
        await customers.lock_person(tx, whoms[0])
        both = [
            asyncio.create_task(
                carried_out(service, f"topup:{secrets.token_hex(6)}", {"customer": one, "unit": "credits"}),
                context=contextvars.Context(),  # theirs is no part of our transaction
            )
            for one in whoms
        ]
        await asyncio.sleep(0.5)  # they have found that it is needed, and wait
        await tx.execute(then, whoms[0])
    return sorted(await asyncio.gather(*both))


async def test_two_reasons_at_once_buy_once_also_for_two_who_are_one(service: Service) -> None:
    person, other = await set_up(service)
    assert await while_busy(service, (person, other)) == ["bought credits-10", "it is being bought already"]
    assert await service.store.fetchval("SELECT count(*) FROM orders WHERE customer_id = $1", person) == 1


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("UPDATE topup SET enabled = false WHERE customer_id = $1", "it is turned off"),
        ("UPDATE topup SET month_limit = 998 WHERE customer_id = $1", "the limit of this month is reached"),
    ],
    ids=["turned-off", "limit"],
)
async def test_what_was_changed_at_the_last_moment_counts(service: Service, then: str, said: str) -> None:
    person, _ = await set_up(service)
    assert await while_busy(service, (person,), then) == [said]
    assert await service.store.fetchval("SELECT count(*) FROM orders WHERE customer_id = $1", person) == 0


async def test_the_limit_of_a_month_may_be_reached_and_not_passed(service: Service) -> None:
    person, _ = await set_up(service)
    assert await while_busy(service, (person,), "UPDATE topup SET month_limit = 999 WHERE customer_id = $1") == [
        "bought credits-10"
    ]
