"""Whoever changes a subscription dies before or after each call to Stripe: who goes on with it changes it once."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from conftest import settings_for
from faults import Journal, in_child, unasked
from paydesk import changes, checkout, customers, edge, payers, subscribing
from paydesk.app import open_service
from paydesk.config import Settings, load
from paydesk.customers import Identity
from paydesk.errors import StripeRefused
from paydesk.service import Service
from sandbox_fixtures import Sandbox


@pytest.fixture
def crash_settings(new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path: Path) -> dict[str, str]:
    return settings_for(new_database(), stripe_sandbox.url, PAYDESK_DATA=str(tmp_path / "data"))


def die_at(number: int) -> None:
    """Let the process be killed at its so-many-th edge of a call to Stripe from now on."""
    left = number

    def at(name: str) -> None:
        nonlocal left
        left -= name.startswith("stripe:")
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    edge.observe(at)


def at_stripe(settings: dict[str, str], method: str, path: str, **given: str) -> httpx.Response:
    place = "params" if method == "GET" else "data"
    headers = {"Authorization": f"Bearer {settings['STRIPE_API_KEY']}"}
    answer = httpx.request(method, settings["STRIPE_API_BASE"] + path, headers=headers, **{place: given})
    assert answer.status_code == 200, answer.text
    return answer


async def with_card(service: Service, settings: dict[str, str]) -> str:
    """An order of Plus of somebody who has a saved card."""
    person = await customers.find_or_make(service.store, Identity("web", secrets.token_hex(8)))
    payer = await payers.stripe_customer(service.store, service.gateway, person)
    at_stripe(settings, "POST", "/v1/payment_methods/pm_card_visa/attach", customer=payer)
    new = checkout.NewOrder(person, (checkout.line_of(service.catalog, "plus", 1),))
    return await checkout.create_order(service.store, new, livemode=False)


async def begin(service: Service, order: str) -> str:
    ask = subscribing.Ask("default")
    made = await subscribing.make(service.store, service.gateway, service.catalog, order, ask)
    await service.worker.drain()
    return made.id


@pytest.mark.parametrize("number", range(1, 7))
def test_a_subscription_is_begun_once(crash_settings: dict[str, str], tmp_path: Path, number: int) -> None:
    """Its calls: the cards, the price, the subscription."""
    settings: Settings = load(crash_settings, folder=tmp_path)
    journal = Journal(tmp_path / "journal")

    async def die() -> None:
        async with open_service(settings) as service:
            order = await with_card(service, crash_settings)
            journal.note("order", "", order)
            die_at(number)
            await begin(service, order)

    async def go_on() -> None:
        async with open_service(settings) as service:
            journal.note("made", "", await begin(service, journal.of("order", "")[0]))

    assert in_child(die, journal) == -signal.SIGKILL
    assert in_child(go_on, journal) == 0, unasked(journal)
    found = at_stripe(crash_settings, "GET", "/v1/subscriptions", status="all").json()["data"]
    assert [one["id"] for one in found] == journal.of("made", "")


@pytest.mark.parametrize("number", range(1, 5))
def test_a_plan_is_changed_once(crash_settings: dict[str, str], tmp_path: Path, number: int) -> None:
    """Its calls: the price, the change."""
    settings: Settings = load(crash_settings, folder=tmp_path)
    journal = Journal(tmp_path / "journal")

    async def change(service: Service, id_: str) -> None:
        await changes.change(service.store, service.gateway, service.catalog, id_, changes.Wish(price="pro"),
                             operation="op_1", actor="test")  # fmt: skip

    async def die() -> None:
        async with open_service(settings) as service:
            id_ = await begin(service, await with_card(service, crash_settings))
            journal.note("made", "", id_)
            die_at(number)
            await change(service, id_)

    async def go_on() -> None:
        async with open_service(settings) as service:
            id_ = journal.of("made", "")[0]
            await change(service, id_)
            await change(service, id_)
            await service.worker.drain()
            row = await service.store.fetchrow("SELECT items FROM subscription WHERE id = $1", id_)
            journal.note("known", "", row["items"]["data"][0]["key"] if row is not None else None)

    assert in_child(die, journal) == -signal.SIGKILL
    assert in_child(go_on, journal) == 0, unasked(journal)
    assert journal.of("known", "") == ["pro"]
    invoices = at_stripe(crash_settings, "GET", "/v1/invoices", limit="100").json()["data"]
    assert sorted(one["billing_reason"] for one in invoices) == ["subscription_create", "subscription_update"]


async def test_a_change_that_was_refused_is_not_sent_again_under_its_name(service: Service) -> None:
    """What Stripe has said no to stays refused; another wish is another change."""
    settings = {"STRIPE_API_KEY": service.gateway.key.reveal(), "STRIPE_API_BASE": service.gateway.base}
    id_ = await begin(service, await with_card(service, settings))
    payer = at_stripe(settings, "GET", f"/v1/subscriptions/{id_}").json()["customer"]
    card = at_stripe(settings, "POST", "/v1/payment_methods/pm_card_chargeCustomerFail/attach", customer=payer).json()
    at_stripe(settings, "POST", f"/v1/subscriptions/{id_}", default_payment_method=card["id"])

    async def change(operation: str) -> str | None:
        return await changes.change(service.store, service.gateway, service.catalog, id_, changes.Wish(price="pro"),
                                    operation=operation, actor="test")  # fmt: skip

    with pytest.raises(StripeRefused) as declined:
        await change("op_1")
    assert declined.value.code == "card_declined"
    good = at_stripe(settings, "POST", "/v1/payment_methods/pm_card_visa/attach", customer=payer).json()["id"]
    at_stripe(settings, "POST", f"/v1/subscriptions/{id_}", default_payment_method=good)
    with pytest.raises(Exception, match="declined"):
        await change("op_1")
    assert await change("op_2") is not None
