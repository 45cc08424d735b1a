"""Promise: however an order is paid, on our form or on Stripe's page, by one press or many at once, it is paid once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from desk import Buyer, Desk


def token_of(order: dict[str, Any]) -> str:
    return str(order["link"]).rsplit("/", 1)[1]


def press(desk: Desk, order: dict[str, Any]) -> httpx.Response:
    return httpx.post(f"{desk.url}/pay/{token_of(order)}/press", timeout=30)


def press_link(desk: Desk, order: dict[str, Any]) -> httpx.Response:
    return httpx.post(order["link"], timeout=30)


def intents_of(desk: Desk, order: dict[str, Any]) -> list[dict[str, Any]]:
    listed = desk.at_stripe("GET", "/v1/payment_intents", {"limit": 100}).json()["data"]
    return [one for one in listed if one["metadata"].get("paydesk_order") == order["id"]]


def open_sessions_of(desk: Desk, order: dict[str, Any]) -> list[str]:
    listed = desk.at_stripe("GET", "/v1/checkout/sessions", {"limit": 100}).json()["data"]
    return [one["id"] for one in listed if one["client_reference_id"] == order["id"] and one["status"] == "open"]


def confirm(desk: Desk, secret: str, card: str = "pm_card_visa") -> httpx.Response:
    """Confirm as Stripe.js does, with the secret alone."""
    path = f"/v3/api/payment_intents/{secret.split('_secret_')[0]}/confirm"
    form = {
        "key": "pk_test_sandbox",
        "client_secret": secret,
        "payment_method": card,
        "return_url": "https://a.example",
    }
    return httpx.post(desk.sandbox.url + path, data=form, timeout=30)


def state_of(desk: Desk, order: dict[str, Any]) -> str:
    return str(httpx.get(f"{desk.url}/pay/{token_of(order)}/status", timeout=30).json()["state"])


def test_many_presses_make_one_intent_and_close_the_page_at_stripe(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.checkout("credits-10")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: press(desk, order), range(6)))
    assert [one.status_code for one in answers] == [200] * 6, [one.text for one in answers]
    secrets = {one.json()["client_secret"] for one in answers}
    assert len(secrets) == len(intents_of(desk, order)) == 1
    assert open_sessions_of(desk, order) == []
    desk.quiet()  # by now the session's end is known here
    assert press(desk, order).json()["client_secret"] in secrets
    there = press_link(desk, order)
    assert (there.status_code, there.headers["location"]) == (303, f"/r/{token_of(order)}")
    page = httpx.get(order["link"], headers={"Accept": "text/html"})
    assert "/pay/" + token_of(order) in page.text
    (secret,) = secrets
    assert confirm(desk, secret, "pm_card_chargeDeclined").status_code == 402
    assert state_of(desk, order) == "open"
    assert confirm(desk, secret).json()["status"] == "succeeded"
    assert httpx.post(f"{desk.url}/pay/{token_of(order)}/look", timeout=30).status_code == 200
    desk.settled(order["id"])
    assert buyer.balance() == 10
    assert press(desk, order).json() == {"state": "paid", "client_secret": None}


@pytest.mark.parametrize("number", range(3))
def test_the_form_and_the_link_pressed_at_once_leave_one_way_to_pay(desk: Desk, number: int) -> None:
    buyer = desk.buyer()
    buyer.say("hello")
    (reply,) = buyer.say("/buy credits-10")
    link = next(button["url"] for button in reply["buttons"] if "/r/" in button.get("url", ""))
    (order,) = [
        row for row in desk.get(f"/v1/customers/{buyer.id}/timeline", limit=100)["data"] if row["what"] == "order"
    ]
    order = {**desk.get(f"/v1/orders/{order['id']}"), "link": link}
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(do, desk, order) for do in (press, press_link, press, press_link)]
        answers = [call.result() for call in calls]
    assert {one.status_code for one in answers} <= {200, 303, 503}, [one.text for one in answers]
    assert not (open_sessions_of(desk, order) and intents_of(desk, order))
    secret = press(desk, order).json()["client_secret"]
    assert confirm(desk, secret).json()["status"] == "succeeded"
    desk.settled(order["id"])
    assert buyer.balance() == 10
    assert open_sessions_of(desk, order) == []


def test_an_order_that_is_canceled_after_a_press_can_be_paid_nowhere(desk: Desk) -> None:
    order = desk.buyer().checkout("credits-10")
    secret = press(desk, order).json()["client_secret"]
    desk.quiet()
    assert desk.post(f"/v1/orders/{order['id']}/cancel", {})["status"] == "canceled"
    assert confirm(desk, secret).status_code == 400
    assert [one["status"] for one in intents_of(desk, order)] == ["canceled"]
    assert press(desk, order).json() == {"state": "canceled", "client_secret": None}


def test_who_has_the_subscription_cannot_begin_it_again(desk: Desk) -> None:
    buyer: Buyer = desk.buyer()
    one, other = buyer.checkout("plus"), buyer.checkout("plus")
    secret = press(desk, one).json()["client_secret"]
    assert confirm(desk, secret).json()["status"] == "succeeded"
    desk.settled(one["id"])
    again = press(desk, other)
    assert again.status_code == 200 or again.json()["error"]["code"] == "already_subscribed", again.text
    assert state_of(desk, other) == "canceled"
    assert len(desk.get("/v1/subscriptions", customer=buyer.id)["data"]) == 1


def test_a_declined_card_and_a_page_loaded_anew_do_not_bar_the_buyer(desk: Desk) -> None:
    buyer: Buyer = desk.buyer()
    one = buyer.checkout("plus")
    secret = press(desk, one).json()["client_secret"]
    assert confirm(desk, secret, "pm_card_chargeDeclined").status_code == 402
    desk.quiet()
    other = buyer.checkout("plus")  # the page is loaded anew
    fresh = press(desk, other).json()["client_secret"]
    assert confirm(desk, secret).status_code == 400, "the first cannot be paid besides"
    assert confirm(desk, fresh).json()["status"] == "succeeded"
    desk.settled(other["id"])
    assert (state_of(desk, one), buyer.balance()) == ("canceled", 100)
    assert press(desk, one).json() == {"state": "canceled", "client_secret": None}
    (live,) = desk.get("/v1/subscriptions", customer=buyer.id, status="live")["data"]
    assert (live["status"], live["order"]) == ("active", other["id"])


def test_an_order_for_the_form_makes_nothing_at_stripe_until_somebody_presses(desk: Desk) -> None:
    buyer = desk.buyer()
    order = desk.post("/v1/checkouts", {"customer": buyer.who, "items": [{"price": "credits-10"}], "form": True})
    assert (order["session"], order["url"]) == (None, None)
    assert order["form"] == order["link"].replace("/r/", "/pay/")
    assert httpx.get(order["form"], timeout=30).status_code == 200
    assert intents_of(desk, order) == open_sessions_of(desk, order) == []
    secret = press(desk, order).json()["client_secret"]
    assert confirm(desk, secret).json()["status"] == "succeeded"
    desk.settled(order["id"])
    assert buyer.balance() == 10


def test_what_only_stripes_page_can_do_stays_there(desk: Desk) -> None:
    coupon = desk.at_stripe("POST", "/v1/coupons", {"percent_off": "50", "duration": "once"}).json()["id"]
    buyer = desk.buyer()
    items = [{"price": "credits-10"}]
    cheaper = desk.post("/v1/checkouts", {"customer": buyer.who, "items": items, "coupon": coupon})
    for order in (cheaper, buyer.checkout("vip-month")):
        assert press(desk, order).json() == {"state": "hosted", "client_secret": None}
        page = httpx.get(f"{desk.url}/pay/{token_of(order)}")
        assert (page.status_code, page.headers["location"]) == (303, order["link"])
        assert intents_of(desk, order) == []
        assert len(open_sessions_of(desk, order)) == 1
