"""What becomes of payments and refunds whose answers are lost, and what is refused by name."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import settings_for
from desk import Desk
from paydesk import checkout, customers, edge, payers, payments, refunds
from paydesk.app import open_service
from paydesk.config import load
from paydesk.customers import Identity
from paydesk.errors import Conflict, PaydeskError, PaymentRefused, StripeUnavailable
from paydesk.payments import Ask
from paydesk.service import Service
from sandbox_fixtures import Sandbox, running_sandbox

PAID = Ask(payment_method="pm_card_visa", confirm=True)


@pytest.fixture
def stranger() -> Iterator[Sandbox]:
    """A Stripe whose clock and disorder are ours alone."""
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def shop(stranger: Sandbox, database: str, tmp_path: Path) -> AsyncIterator[Service]:
    """A service on it; its worker moves only when told."""
    settings = load(settings_for(database, stranger.url, PAYDESK_DATA=str(tmp_path / "data")), folder=tmp_path)
    async with open_service(settings) as service:
        yield service


async def ordered(service: Service, capture: str = "automatic") -> str:
    """Write an order of $9.99 for somebody new."""
    person = await customers.find_or_make(service.store, Identity("web", secrets.token_hex(8)))
    new = checkout.NewOrder(person, (checkout.line_of(service.catalog, "credits-10", 1),), capture=capture)
    return await checkout.create_order(service.store, new, livemode=False)


async def paid(service: Service, capture: str = "automatic") -> str:
    """Pay for an order of $9.99, and return the payment."""
    made = await payments.make(service.store, service.gateway, await ordered(service, capture), PAID)
    await service.worker.drain()
    return made.id


async def give_back(service: Service, payment: str, operation: str = "op_1", amount: int | None = None) -> str:
    """Refund a payment, and return the refund."""
    ask = refunds.Ask(payment=payment, amount=amount)
    made, _ = await refunds.make(service.store, service.gateway, ask, operation=operation, actor="key_1")
    return made.id


async def at_stripe(service: Service, kind: str, **params: str) -> list[dict[str, Any]]:
    """What the sandbox has of a kind."""
    headers = {"Authorization": f"Bearer {service.gateway.key.reveal()}"}
    async with httpx.AsyncClient(base_url=service.gateway.base, headers=headers, timeout=20) as client:
        return list((await client.get(f"/v1/{kind}", params={"limit": "100", **params})).json()["data"])


async def disorder(stranger: Sandbox, **chaos: Any) -> None:
    """Let this go wrong at Stripe from now on; nothing, when nothing is said."""
    async with httpx.AsyncClient(base_url=stranger.url, timeout=20) as client:
        assert (await client.post("/_sandbox/chaos", json=chaos)).status_code == 200


async def days_pass(service: Service, stranger: Sandbox, hours: int) -> None:
    """Let Stripe's clock go on, and ours follow: Stripe forgets keys after a day."""
    async with httpx.AsyncClient(base_url=stranger.url, timeout=20) as client:
        moved = (await client.post("/_sandbox/clock", json={"advance": f"{hours}h"})).json()
    await service.store.execute("UPDATE desk SET clock_offset_s = $1", int(moved["offset_s"]))
    await service.store.refresh_clock()


@contextmanager
def answer_lost(number: int = 1) -> Iterator[None]:
    """Lose Stripe's `number`-th answer from now on: the call was carried out, and nobody knows."""
    heard = 0

    def observer(name: str) -> None:
        nonlocal heard
        heard += name == "stripe:after"
        if name == "stripe:after" and heard == number:
            raise StripeUnavailable("the answer was lost")

    edge.observe(observer)
    try:
        yield
    finally:
        edge.observe(None)


# --- unknown outcomes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [0, 25])
@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_t26_a_payment_whose_answer_was_lost_is_made_and_paid_once(
    shop: Service, stranger: Sandbox, lost: int, hours: int
) -> None:
    order = await ordered(shop)
    with answer_lost(lost), pytest.raises(StripeUnavailable):  # of the customer, the intent, the confirmation
        await payments.make(shop.store, shop.gateway, order, PAID)
    if hours and lost > 1:
        await days_pass(shop, stranger, hours)
    made = await payments.make(shop.store, shop.gateway, order, PAID)
    assert made.status == "succeeded"
    assert await payments.make(shop.store, shop.gateway, order, PAID) == made
    await shop.worker.drain()
    assert [intent["id"] for intent in await at_stripe(shop, "payment_intents")] == [made.id]
    assert len(await at_stripe(shop, "charges")) == 1
    assert (await checkout.get(shop.store, order))["status"] == "fulfilled"
    assert await shop.store.fetchval("SELECT count(*) FROM stripe_call WHERE state <> 'done'") == 0


@pytest.mark.parametrize("hours", [0, 25])
async def test_t36_a_refund_whose_answer_was_lost_is_made_once(shop: Service, stranger: Sandbox, hours: int) -> None:
    payment = await paid(shop)
    with answer_lost(), pytest.raises(StripeUnavailable):
        await give_back(shop, payment, amount=300)
    if hours:
        await days_pass(shop, stranger, hours)
    refund = await give_back(shop, payment, amount=300)
    assert await give_back(shop, payment, amount=300) == refund
    assert [(one["id"], one["amount"]) for one in await at_stripe(shop, "refunds")] == [(refund, 300)]


async def test_what_was_asked_and_never_heard_of_is_counted_and_then_gone_on_with(shop: Service) -> None:
    payment = await paid(shop)
    with answer_lost(), pytest.raises(StripeUnavailable):
        await give_back(shop, payment, "op_left", amount=600)
    with pytest.raises(Conflict, match="only 399"):
        await give_back(shop, payment, "op_other", amount=400)
    await shop.store.execute("UPDATE stripe_call SET created_at = now() - interval '2 min' WHERE kind = 'refund'")
    await give_back(shop, payment, "op_rest")
    assert sorted(one["amount"] for one in await at_stripe(shop, "refunds")) == [399, 600]
    assert await shop.store.fetchval("SELECT count(*) FROM stripe_call WHERE state = 'pending'") == 0


async def tried(work: Callable[[], Awaitable[Any]], times: int) -> Any:
    """Ask again while Stripe fails."""
    for _ in range(times - 1):
        try:
            return await work()
        except StripeUnavailable:
            continue
    return await work()


@pytest.mark.parametrize("seed", range(4))
async def test_a_failure_that_stripe_repeats_for_a_day_is_looked_behind(
    shop: Service, stranger: Sandbox, seed: int
) -> None:
    """A 500 is kept under the key, whether its work was done or not: both happen among these seeds."""
    order, payment = await ordered(shop), await paid(shop)
    await payers.stripe_customer(shop.store, shop.gateway, (await checkout.get(shop.store, order))["customer_id"])
    await disorder(stranger, errors={"500": 1.0}, seed=seed)
    for work in (lambda: payments.make(shop.store, shop.gateway, order, PAID), lambda: give_back(shop, payment)):
        with pytest.raises(StripeUnavailable):
            await work()
    await disorder(stranger)
    made = await tried(lambda: payments.make(shop.store, shop.gateway, order, PAID), 4)
    refund = await tried(lambda: give_back(shop, payment), 4)
    assert made.status == "succeeded"
    intents = await at_stripe(shop, "payment_intents")
    assert sorted(intent["id"] for intent in intents) == sorted([payment, made.id])
    assert [one["id"] for one in await at_stripe(shop, "refunds")] == [refund]


async def test_a_customer_who_was_deleted_at_stripe_pays_as_a_new_one(shop: Service) -> None:
    order = await ordered(shop)
    person = (await checkout.get(shop.store, order))["customer_id"]
    first = await payments.make(shop.store, shop.gateway, order, PAID)
    whose = await shop.store.fetchval("SELECT stripe_customer FROM customer WHERE id = $1", person)
    headers = {"Authorization": f"Bearer {shop.gateway.key.reveal()}"}
    async with httpx.AsyncClient(base_url=shop.gateway.base, headers=headers) as client:
        assert (await client.delete(f"/v1/customers/{whose}")).status_code == 200
    new = checkout.NewOrder(person, (checkout.line_of(shop.catalog, "credits-10", 1),))
    second = await checkout.create_order(shop.store, new, livemode=False)
    made = await payments.make(shop.store, shop.gateway, second, PAID)
    await shop.worker.drain()
    assert (made.status, made.customer) == ("succeeded", first.customer)
    assert (await checkout.get(shop.store, second))["status"] == "fulfilled"


# --- at the same moment ----------------------------------------------------------------------------------------------


async def test_a_payment_asked_for_four_times_at_once_is_one(shop: Service) -> None:
    order = await ordered(shop)
    asks = (payments.make(shop.store, shop.gateway, order, PAID) for _ in range(4))
    made = await asyncio.gather(*asks, return_exceptions=True)
    assert {one.id for one in made if isinstance(one, payments.Payment)}
    assert all(isinstance(one, payments.Payment | StripeUnavailable) for one in made), made
    assert len(await at_stripe(shop, "payment_intents")) == 1
    assert len(await at_stripe(shop, "charges")) == 1


async def test_four_captures_and_four_cancellations_at_once_agree(shop: Service) -> None:
    taken, let_go = await paid(shop, "manual"), await paid(shop, "manual")
    captures = (payments.capture(shop.store, shop.gateway, taken, 500) for _ in range(4))
    cancels = (payments.cancel(shop.store, shop.gateway, let_go) for _ in range(4))
    done = await asyncio.gather(*captures, *cancels)
    assert {(one.status, one.amount_received) for one in done[:4]} == {("succeeded", 500)}
    assert {one.status for one in done[4:]} == {"canceled"}


async def test_a_payment_is_captured_or_canceled_and_never_both(shop: Service) -> None:
    for _ in range(5):
        payment = await paid(shop, "manual")
        rivals = (
            payments.capture(shop.store, shop.gateway, payment, None),
            payments.cancel(shop.store, shop.gateway, payment),
        )
        ends = await asyncio.gather(*rivals, return_exceptions=True)
        assert sorted(type(end) for end in ends if isinstance(end, Exception)) == [Conflict], ends
        await shop.worker.drain()
        known = await payments.get(shop.store, shop.gateway, payment)
        order = await checkout.get(shop.store, known.order)
        assert (known.status, order["status"]) in (("succeeded", "fulfilled"), ("canceled", "canceled"))


async def test_an_order_canceled_while_its_payment_was_never_heard_of_can_be_paid_by_nobody(shop: Service) -> None:
    order = await ordered(shop)
    with answer_lost(2), pytest.raises(StripeUnavailable):
        await payments.make(shop.store, shop.gateway, order, Ask())
    await payments.cancel_of_order(shop.store, shop.gateway, order)
    assert [intent["status"] for intent in await at_stripe(shop, "payment_intents")] == ["canceled"]
    assert (await checkout.get(shop.store, order))["status"] == "canceled"


async def test_a_refusal_is_remembered_and_not_tried_again(shop: Service) -> None:
    order = await ordered(shop)
    declined = Ask(payment_method="pm_card_visa_chargeDeclinedInsufficientFunds", confirm=True, off_session=True)
    for _ in range(2):
        with pytest.raises(PaymentRefused, match="insufficient funds") as refused:
            await payments.make(shop.store, shop.gateway, order, declined)
        assert refused.value.code == "card_declined"
    assert len(await at_stripe(shop, "charges")) == 1


# --- what is refused -------------------------------------------------------------------------------------------------

AD_HOC = {"customer": "cst_1", "amount": 2000, "currency": "usd"}
MALFORMED: list[tuple[str, dict[str, Any], str]] = [
    *(("/v1/payments", {**AD_HOC, "amount": amount}, "amount")
      for amount in (0, -1, 1.5, 20.0, True, "2000", "20.00", 100_000_000, 10**400, [2000], {})),
    *(("/v1/payments", {**AD_HOC, "currency": currency}, "currency") for currency in ("USD", "us", "", 840, "usd ", "ůsd")),
    *(("/v1/refunds", {"payment": "pi_1", "amount": amount}, "amount") for amount in (0, -1, 1.5, True, "5", 10**9)),
    *(("/v1/payments/pi_1/capture", {"amount": amount}, "amount") for amount in (0, -1, 1.5, False, "5")),
    ("/v1/payments", {"amount": 5, "currency": "usd"}, "customer"),
    ("/v1/payments", {**AD_HOC, "items": []}, "items"),
    ("/v1/payments", {**AD_HOC, "capture_method": "later"}, "capture_method"),
    ("/v1/payments", {**AD_HOC, "payment_method": "pm card"}, "payment_method"),
    ("/v1/payments", {**AD_HOC, "confirm": "yes"}, "confirm"),
    ("/v1/payments", {**AD_HOC, "confirm": 1}, "confirm"),
    ("/v1/payments", {**AD_HOC, "description": ""}, "description"),
    ("/v1/payments", {**AD_HOC, "setup_future_usage": "always"}, "setup_future_usage"),
    ("/v1/payments", {**AD_HOC, "amount_usd": 20}, "amount_usd"),
    ("/v1/refunds", {"payment": "pi_1", "reason": "because"}, "reason"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"price": "credits-10"}], "save_card": "no"}, "save_card"),
]  # fmt: skip
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/payments", {"customer": "cst_1", "currency": "usd"}, "amount"),
    ("/v1/payments", {"customer": "cst_1", "amount": 2000}, "currency"),
    ("/v1/payments", {"customer": "cst_1"}, "amount"),
    ("/v1/payments", {**AD_HOC, "currency": "zzz"}, "currency"),
    ("/v1/payments", {**AD_HOC, "amount": 49}, "amount"),
    ("/v1/payments", {**AD_HOC, "amount": 49, "currency": "jpy"}, "amount"),
    ("/v1/payments", {**AD_HOC, "amount": 5123, "currency": "kwd"}, "currency"),
    ("/v1/payments", {**AD_HOC, "amount": 10_050, "currency": "ugx"}, "currency"),
    ("/v1/payments", {**AD_HOC, "items": [{"price": "credits-10"}]}, "items"),
    ("/v1/payments", {"customer": "cst_1", "items": [{"price": "nothing"}]}, "price"),
    ("/v1/payments", {"customer": {"channel": "web", "external_id": "1"},
                      "items": [{"price": "credits-10"}, {"price": "tokens"}]}, "items"),
    ("/v1/payments", {"customer": {"channel": "web", "external_id": "1"},
                      "items": [{"name": "a", "amount": 99_999_999, "currency": "usd", "quantity": 2}]}, "items"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"name": "a", "amount": 500, "currency": "zzz"}]}, "items"),
    ("/v1/checkouts", {"customer": "cst_1", "items": [{"name": "a", "amount": 5123, "currency": "bhd"}]}, "items"),
    ("/v1/payments", {**AD_HOC, "confirm": True}, "payment_method"),
    ("/v1/payments", {**AD_HOC, "off_session": True}, "off_session"),
    ("/v1/payments", {**AD_HOC, "return_url": "https://shop.example"}, "return_url"),
    ("/v1/payments", {**AD_HOC, "payment_method": "pm_1", "confirm": True, "return_url": "javascript:alert(1)"}, "return_url"),
    ("/v1/payments", {**AD_HOC, "customer": {"channel": "web", "external_id": "1"}, "payment_method": "pm_nope"},
     "payment_method"),
    ("/v1/refunds", {}, "payment"),
    ("/v1/refunds", {"payment": "pi_1", "order": "ord_1"}, "payment"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "param"), MALFORMED, ids=lambda value: str(value)[:60])
def test_what_is_malformed_is_422_with_its_parameter(desk: Desk, path: str, body: dict[str, Any], param: str) -> None:
    answer = desk.call("POST", path, json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["param"].split(".")[0] == param


@pytest.mark.parametrize(("path", "body", "param"), WRONG, ids=lambda value: str(value)[:60])
def test_what_cannot_be_is_400_with_its_parameter(desk: Desk, path: str, body: dict[str, Any], param: str) -> None:
    answer = desk.call("POST", path, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) in ((400, "invalid_request"), (404, "not_found")), (
        answer.text
    )
    assert answer.json()["error"]["param"] == param


def test_numbers_that_are_none_are_refused(desk: Desk) -> None:
    for raw in (b'{"customer":"cst_1","currency":"usd","amount":NaN}', b'{"customer":"cst_1","currency":"usd","amount":1e3}',
                b'{"customer":"cst_1","currency":"usd","amount":Infinity}'):  # fmt: skip
        answer = desk.call("POST", "/v1/payments", content=raw, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), answer.text


def test_a_payment_that_stripe_does_not_take_leaves_no_order_to_pay(desk: Desk) -> None:
    buyer = desk.buyer()
    body = {"customer": buyer.who, "amount": 2000, "currency": "usd", "payment_method": "pm_nope"}
    assert desk.call("POST", "/v1/payments", json=body).status_code == 400
    assert desk.sql("SELECT status FROM orders WHERE customer_id = $1", buyer.id) == [{"status": "canceled"}]


def test_errors_of_payments_say_what_happened() -> None:
    error = PaymentRefused("Your card was declined.", payment="pi_1", code="card_declined")
    assert isinstance(error, PaydeskError)
    assert error.body("req_1") == {
        "error": {
            "code": "card_declined",
            "message": "Your card was declined.",
            "payment": "pi_1",
            "request_id": "req_1",
        }
    }
