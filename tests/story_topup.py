"""Little is left: the buyer is told once; with a saved card the same is bought again, until a limit or a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import CATALOG, settings_for
from desk import Buyer, Desk, running_desk
from sandbox_fixtures import Sandbox, running_sandbox, until
from story_time import advance


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
    told = shop.sql(
        "SELECT template FROM outbox WHERE customer_id = $1 AND channel <> 'stripe' ORDER BY template", buyer.id
    )
    assert [row["template"] for row in told] == ["alert_topup_failed", "paid", "topup_failed"]


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


# --- little is left, whatever the reason -----------------------------------------------------------------------------


def intent_of(desk: Desk, order: dict[str, Any]) -> str:
    """The payment of an order that was paid on Stripe's page."""
    return str(desk.at_stripe("GET", f"/v1/checkout/sessions/{order['session']}").json()["payment_intent"])


def rest(desk: Desk) -> None:
    """Return when nothing waits any more, and no timer is due."""
    until(lambda: desk.get("/v1/status")["timers"]["due"] == 0, what="the timers")
    desk.quiet()


def told_of(buyer: Buyer, left: str) -> None:
    """Wait until the buyer is told what is left, and see that it was said once."""
    until(lambda: heard(buyer, f"You have {left} left") == 1, what=f"the notice of {left}")
    rest(buyer.desk)
    assert heard(buyer, " left.") == 1


def test_a_refund_that_leaves_little_is_told_once(shop: Desk) -> None:
    buyer = shop.buyer()
    order = buyer.buy("credits-10")
    for amount, left in ((600, 4), (100, 3)):
        shop.at_stripe("POST", "/v1/refunds", {"payment_intent": intent_of(shop, order), "amount": amount})
        until(lambda left=left: buyer.balance() == left, what="the claw-back")
        told_of(buyer, "4 credits")


def test_a_dispute_that_leaves_little_is_told_once(shop: Desk) -> None:
    buyer = shop.buyer()
    order = buyer.buy("credits-10")
    charge = shop.at_stripe("GET", f"/v1/payment_intents/{intent_of(shop, order)}").json()["latest_charge"]
    asked = {"charge": charge, "status": "needs_response"}
    answer = httpx.post(f"{shop.sandbox.url}/_sandbox/disputes", json=asked)
    assert answer.status_code == 200
    told_of(buyer, "0 credits")


def test_a_small_gift_is_no_fall(shop: Desk) -> None:
    buyer = shop.buyer()
    buyer.buy("credits-10")
    assert spend(buyer, 8) == 2
    told_of(buyer, "2 credits")
    assert shop.post(f"/v1/customers/{buyer.id}/credits/grant", {"amount": 1})["balance"] == 3
    rest(shop)
    assert heard(buyer, " left.") == 1


def test_credits_that_end_are_told_of_by_the_clock(new_database: Callable[[], str], tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(CATALOG.read_text() + "\n[units.credits]\nlow = 5\n")
    with running_sandbox() as sandbox:
        settings = settings_for(new_database(), sandbox.url, PAYDESK_CATALOG=str(catalog))
        with running_desk(settings, sandbox) as desk:
            ends_by_the_clock(desk)


def ends_by_the_clock(desk: Desk) -> None:
    buyer = desk.buyer()
    buyer.buy("credits-50")
    desk.post(f"/v1/customers/{buyer.id}/credits/grant", {"amount": 2})
    advance(desk, "31d")
    told_of(buyer, "2 credits")


def test_a_mark_that_is_new_is_told_once_to_those_who_are_below_it(
    new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path: Path
) -> None:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(CATALOG.read_text())
    settings = settings_for(new_database(), stripe_sandbox.url, PAYDESK_CATALOG=str(catalog))
    with running_desk(settings, stripe_sandbox) as desk:
        poor, rich, nobody = desk.buyer(), desk.buyer(), desk.buyer()
        for buyer, spent in ((poor, 7), (rich, 1)):
            buyer.buy("credits-10")
            spend(buyer, spent)
        nobody.checkout("credits-10")
        catalog.write_text(CATALOG.read_text() + "\n[units.credits]\nlow = 5\n")
        told_of(poor, "3 credits")
        assert spend(poor, 1) == 2
        assert spend(rich, 5) == 4, "whose wallet is remembered from before the mark"
        told_of(rich, "4 credits")
        catalog.write_text(CATALOG.read_text() + "\n[units.credits]\nlow = 6\n")
        until(lambda: desk.sql("SELECT FROM audit WHERE action = 'unit.low' AND detail->>'low' = '6'"), what="the mark")
        desk.quiet()
        assert [heard(buyer, " left.") for buyer in (poor, rich, nobody)] == [1, 1, 0]


def test_who_has_less_already_buys_at_once_and_only_once(shop: Desk) -> None:
    buyer = regular(shop)
    spend(buyer, 9)
    for _ in range(2):
        set_up(buyer)
    until(lambda: buyer.balance() == 11, what="the first top-up")
    rest(shop)
    assert buyer.balance() == 11


def test_money_that_went_back_buys_nothing_again_but_the_next_spend_does(shop: Desk) -> None:
    buyer = regular(shop)
    set_up(buyer)
    (order,) = shop.sql("SELECT id, session FROM orders WHERE customer_id = $1", buyer.id)
    shop.at_stripe("POST", "/v1/refunds", {"payment_intent": intent_of(shop, order), "amount": 800})
    until(lambda: buyer.balance() == 2, what="the claw-back")
    rest(shop)
    assert (buyer.balance(), heard(buyer, " left.")) == (2, 0)
    spend(buyer, 1)
    until(lambda: buyer.balance() == 11, what="the top-up")
