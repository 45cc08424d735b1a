"""Little is left: the buyer is told once; with a saved card the same is bought again, until a limit or a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import CATALOG, settings_for
from desk import Buyer, Desk, running_desk
from sandbox_fixtures import Sandbox, until


@pytest.fixture(scope="module")
def shop(
    new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """A desk whose catalogue says that five credits are few."""
    catalog: Path = tmp_path_factory.mktemp("shop") / "catalog.toml"
    catalog.write_text(CATALOG.read_text() + "\n[units.credits]\nlow = 5\n")
    settings = settings_for(new_database(), stripe_sandbox.url, PAYDESK_CATALOG=str(catalog))
    with running_desk(settings, stripe_sandbox) as desk:
        yield desk


def regular(desk: Desk, card: str = "pm_card_visa") -> Buyer:
    """Somebody who has bought ten credits and lets the card be kept."""
    buyer = desk.buyer()
    asked = {"customer": buyer.who, "items": [{"price": "credits-10", "quantity": 1}], "save_card": True}
    order = desk.post("/v1/checkouts", asked)
    buyer.pay(order, card)
    desk.settled(order["id"])
    return buyer


def spend(buyer: Buyer, amount: int) -> int:
    balance: int = buyer.desk.post(f"/v1/customers/{buyer.id}/credits/spend", {"amount": amount})["balance"]
    return balance


def set_up(buyer: Buyer, **more: Any) -> dict[str, Any]:
    asked = {"price": "credits-10", "below": 3, "month_limit": 2500, **more}
    return buyer.desk.post(f"/v1/customers/{buyer.id}/topup", asked)


def heard(buyer: Buyer, words: str) -> int:
    """How often the buyer was told something."""
    return sum(words in text for text in buyer.told())


def test_who_has_little_left_is_told_once_until_they_have_more(shop: Desk) -> None:
    buyer = regular(shop)
    assert spend(buyer, 5) == 5
    assert spend(buyer, 1) == 4
    until(lambda: heard(buyer, "You have 4 credits left") == 1, what="the notice")
    assert spend(buyer, 1) == 3
    shop.quiet()
    assert heard(buyer, "left.") == 1
    buyer.buy("credits-10")
    assert spend(buyer, 10) == 3
    until(lambda: heard(buyer, "You have 3 credits left") == 1, what="the second notice")


def test_the_same_is_bought_again_with_the_saved_card_up_to_the_limit_of_the_month(shop: Desk) -> None:
    buyer = regular(shop)
    made = set_up(buyer)
    assert (made["enabled"], made["unit"], made["payment_method"][:3]) == (True, "credits", "pm_")
    assert spend(buyer, 8) == 2
    until(lambda: buyer.balance() == 12, what="the first top-up")
    assert spend(buyer, 10) == 2
    until(lambda: buyer.balance() == 12, what="the second top-up")
    assert spend(buyer, 10) == 2
    until(lambda: heard(buyer, "reached its limit") == 1, what="the limit")
    shop.quiet()
    assert buyer.balance() == 2
    orders = shop.sql("SELECT status FROM orders WHERE customer_id = $1 AND metadata ? 'paydesk_topup'", buyer.id)
    assert [order["status"] for order in orders] == ["fulfilled", "fulfilled"]
    assert heard(buyer, "Paid $9.99") == 3


def test_a_bank_that_wants_the_buyer_stops_it_and_the_buyer_is_told(shop: Desk) -> None:
    buyer = regular(shop)
    set_up(buyer, payment_method="pm_card_authenticationRequired")
    spend(buyer, 9)
    until(lambda: heard(buyer, "could not be paid") == 1, what="the refusal")
    now = shop.get(f"/v1/customers/{buyer.id}/topup")
    assert now["enabled"] is False
    assert now["stopped_because"]
    spend(buyer, 1)
    shop.quiet()
    assert buyer.balance() == 0
    alerts = shop.get("/v1/chat/messages", channel="web", external_id=buyer.who["external_id"])["data"]
    assert sum("could not be paid" in message["text"] for message in alerts) == 1
    assert shop.sql(
        "SELECT count(*) FROM outbox WHERE template = 'alert_topup_failed' AND customer_id = $1", buyer.id
    ) == [{"count": 1}]


def test_it_is_off_until_set_up_and_off_again_when_turned_off(shop: Desk) -> None:
    buyer = regular(shop)
    assert shop.call("GET", f"/v1/customers/{buyer.id}/topup").status_code == 404
    set_up(buyer)
    assert shop.call("DELETE", f"/v1/customers/{buyer.id}/topup").json()["enabled"] is False
    assert spend(buyer, 9) == 1
    shop.quiet()
    assert buyer.balance() == 1


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"price": "access-30d"}, "price"), ({"price": "nothing"}, "price"), ({"below": 0}, "below"),
        ({"below": True}, "below"), ({"below": 1.5}, "below"), ({"month_limit": 998}, "month_limit"),
        ({"month_limit": -1}, "month_limit"), ({"other": 1}, "other"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(shop: Desk, asked: dict[str, Any], param: str) -> None:
    buyer = regular(shop)
    whole = {"price": "credits-10", "below": 3, "month_limit": 2500, **asked}
    answer = shop.call("POST", f"/v1/customers/{buyer.id}/topup", json=whole)
    assert answer.status_code in (400, 404, 422)
    assert answer.json()["error"]["param"] == param


def test_without_a_saved_card_there_is_nothing_to_pay_with(shop: Desk) -> None:
    buyer = shop.buyer()
    buyer.buy("credits-10")
    answer = shop.call(
        "POST", f"/v1/customers/{buyer.id}/topup", json={"price": "credits-10", "below": 3, "month_limit": 2500}
    )
    assert answer.status_code == 409
    assert answer.json()["error"]["param"] == "payment_method"
