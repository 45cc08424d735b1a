"""The session behind an order: what happens when somebody deleted or archived in Stripe what we lean on."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import httpx
import pytest

from paydesk import checkout, customers, pushing, sessions
from paydesk.catalog import Catalog
from paydesk.customers import Identity
from paydesk.errors import StripeRefused
from paydesk.service import Service


async def new_person(service: Service) -> str:
    return await customers.find_or_make(service.store, Identity("web", secrets.token_hex(8)))


async def order_of(service: Service, person: str, catalog: Catalog | None = None) -> str:
    line = checkout.line_of(catalog or service.catalog, "credits-10", 1)
    return await checkout.create_order(service.store, checkout.NewOrder(person, (line,)), livemode=False)


async def press(service: Service, order: str) -> checkout.Link:
    return await checkout.open_session(service.store, service.gateway, order, public_url=service.settings.public_url)


async def at_stripe(service: Service, method: str, path: str, **params: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {service.gateway.key.reveal()}"}
    async with httpx.AsyncClient(base_url=service.gateway.base, headers=headers) as client:
        place: Any = {"params" if method == "GET" else "data": params}
        answer = await client.request(method, path, **place)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def stripe_customer_of(service: Service, person: str) -> str:
    return str(await service.store.fetchval("SELECT stripe_customer FROM customer WHERE id = $1", person))


async def archive(service: Service, price: str) -> str:
    found: str = await service.store.fetchval("SELECT stripe_price FROM price WHERE key = $1", price)
    await at_stripe(service, "POST", f"/v1/prices/{found}", active="false")
    return found


def at(service: Service, amount: int) -> Catalog:
    """The catalogue with another price for ten credits."""
    product = service.catalog.products["credits-10"]
    changed = replace(product, prices=(replace(product.prices[0], amount=amount),))
    return replace(service.catalog, products={**service.catalog.products, "credits-10": changed})


async def test_a_customer_deleted_in_stripe_is_made_afresh_once_and_what_they_paid_stays_theirs(
    service: Service,
) -> None:
    person = await new_person(service)
    await press(service, await order_of(service, person))
    for _ in range(2):
        gone = await stripe_customer_of(service, person)
        await at_stripe(service, "DELETE", f"/v1/customers/{gone}")
        order = await order_of(service, person)
        link = await press(service, order)
        fresh = await stripe_customer_of(service, person)
        assert (link.status, fresh != gone) == ("open", True)
        row = await checkout.get(service.store, order)
        assert row["stripe_customer"] == fresh
        assert (await service.gateway.session(row["session"]))["customer"] == fresh
        assert (await press(service, await order_of(service, person))).status == "open"
        assert await stripe_customer_of(service, person) == fresh
    known = await service.store.fetch("SELECT id FROM stripe_customer WHERE customer_id = $1", person)
    living = (await at_stripe(service, "GET", "/v1/customers", limit="100"))["data"]
    assert len(known) == 3
    assert [one["id"] for one in living if one["metadata"].get("paydesk_customer") == person] == [fresh]


async def test_a_session_that_ended_a_moment_ago_is_followed_by_a_fresh_one_before_its_event_is_here(
    service: Service,
) -> None:
    order = await order_of(service, await new_person(service))
    first = await press(service, order)
    assert (await press(service, order)).url == first.url, "pressed twice it is the same"
    session = (await checkout.get(service.store, order))["session"]
    await at_stripe(service, "POST", f"/v1/checkout/sessions/{session}/expire")
    fresh = await press(service, order)
    assert (fresh.status, fresh.url != first.url) == ("open", True)


async def test_who_has_just_paid_is_not_sent_to_pay_again_before_the_event_is_here(service: Service) -> None:
    order = await order_of(service, await new_person(service))
    await press(service, order)
    session = (await checkout.get(service.store, order))["session"]
    await at_stripe(service, "POST", f"/v1/payment_pages/{session}/confirm", payment_method="pm_card_visa")
    assert await press(service, order) == checkout.Link("pending", None)


async def test_a_price_archived_in_stripe_is_a_clear_answer_until_it_is_pushed_again(service: Service) -> None:
    await pushing.push(service.store, service.gateway, service.catalog)
    order = await order_of(service, await new_person(service))
    price = await archive(service, "credits-10")
    with pytest.raises(StripeRefused, match=f"does not take its price {price}.*paydesk catalog plan") as refused:
        await press(service, order)
    assert refused.value.code == "price_unavailable"
    plan = await pushing.plan(service.gateway, service.catalog)
    assert [(change.action, change.what) for change in plan] == [
        ("update", "price credits-10 ($9.99) is archived in Stripe and is sold again")
    ]
    await pushing.push(service.store, service.gateway, service.catalog)
    assert await pushing.plan(service.gateway, service.catalog) == []
    assert (await press(service, order)).status == "open"


async def test_an_order_is_sold_by_the_price_that_was_pushed_since(service: Service) -> None:
    await pushing.push(service.store, service.gateway, service.catalog)
    order = await order_of(service, await new_person(service))
    gone = await archive(service, "credits-10")
    for amount in (899, 999, 899, 999):  # there and back again: each time another price, never an old answer
        await pushing.push(service.store, service.gateway, at(service, amount))
        assert await pushing.plan(service.gateway, at(service, amount)) == []
    assert (await press(service, order)).status == "open"
    line = (await checkout.lines(service.store, order))[0]
    assert line["stripe_price"] not in (None, gone)
    session = await service.gateway.session((await checkout.get(service.store, order))["session"])
    assert session["amount_total"] == 999


async def test_a_product_archived_in_stripe_is_found_and_sold_again(service: Service) -> None:
    await pushing.push(service.store, service.gateway, service.catalog)
    await at_stripe(service, "POST", "/v1/products/paydesk_credits-10", active="false")
    plan = await pushing.plan(service.gateway, service.catalog)
    assert [(change.action, change.what) for change in plan] == [("update", "product credits-10: active")]
    await pushing.push(service.store, service.gateway, service.catalog)
    assert (await service.gateway.products(["paydesk_credits-10"]))["paydesk_credits-10"]["active"] is True


async def test_a_price_of_the_shops_own_that_stripe_does_not_know_is_named(service: Service) -> None:
    product = service.catalog.products["credits-10"]
    named = replace(product, prices=(replace(product.prices[0], stripe_price="price_nothing"),))
    catalog = replace(service.catalog, products={"credits-10": named})
    with pytest.raises(StripeRefused, match="does not take its price price_nothing"):
        await press(service, await order_of(service, await new_person(service), catalog))


@pytest.mark.parametrize(("mode", "own"), [("payment", "payment_intent_data"), ("subscription", "subscription_data")])
def test_t24_what_must_travel_is_set_where_it_travels_from(mode: str, own: str) -> None:
    row: Any = {
        "id": "ord_1", "link_token": "l1", "mode": mode, "metadata": {"theirs": "x"}, "payment_methods": None,
        "success_url": None, "cancel_url": None, "save_card": False, "trial_days": None, "currency": "usd",
    }  # fmt: skip
    line: Any = {"price_key": "plus", "stripe_price": "price_1", "quantity": 1, "name": "Plus", "unit_amount": 999}
    params = sessions.params_of(row, [line], "cus_1", 2, "https://shop.example")
    ours = {"paydesk_order": "ord_1", "paydesk_attempt": "2"}
    assert params["client_reference_id"] == "ord_1"
    assert params["metadata"] == {"theirs": "x", **ours}
    assert params[own]["metadata"] == ({**ours, "paydesk_price": "plus"} if mode == "subscription" else ours)
    assert {"payment_intent_data", "subscription_data"} & set(params) == {own}, "Stripe takes only the mode's own"
