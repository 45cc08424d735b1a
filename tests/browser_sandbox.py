"""The sandbox's pages, in a real browser, as a buyer uses them."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from browser import browser, page
from sandbox_fixtures import Receiver, Sandbox, receiver, sandbox, session_of, shared_sandbox, until


@pytest.fixture
def shop(receiver: Receiver) -> str:
    """The address of the seller, who answers anything."""
    return receiver.url.removesuffix("/hook")


@pytest.fixture
def session(sandbox: Sandbox, shop: str) -> dict[str, Any]:
    """An open session whose buyer returns to the shop."""
    return session_of(sandbox, success_url=f"{shop}/thanks?s={{CHECKOUT_SESSION_ID}}", cancel_url=f"{shop}/back")


def fill(page: Page, number: str, *, expiry: str = "1240", cvc: str = "123") -> None:
    """Type a card as a buyer does."""
    page.get_by_label("Email").fill("jo@example.com")
    page.get_by_label("Card number").press_sequentially(number)
    page.get_by_label("Expiration date").press_sequentially(expiry)
    page.get_by_label("Security code").press_sequentially(cvc)
    page.get_by_label("Cardholder name").fill("Jo Buyer")


def pay(page: Page) -> None:
    page.get_by_role("button", name="Pay $9.99").click()


def status_of(sandbox: Sandbox, session: dict[str, Any]) -> tuple[str, str]:
    now = sandbox.call("GET", f"/v1/checkout/sessions/{session['id']}").json()
    return now["status"], now["payment_status"]


def test_a_buyer_pays_and_returns_to_the_shop(sandbox: Sandbox, session: dict[str, Any], shop: str, page: Page) -> None:
    page.goto(session["url"])
    expect(page.get_by_text("TEST MODE")).to_be_visible()
    expect(page.get_by_text("10 credits")).to_be_visible()
    expect(page.get_by_role("link", name="Back")).to_have_attribute("href", f"{shop}/back")
    fill(page, "4242424242424242")
    expect(page.get_by_label("Card number")).to_have_value("4242 4242 4242 4242")
    expect(page.get_by_label("Expiration date")).to_have_value("12 / 40")
    pay(page)
    page.wait_for_url(f"{shop}/thanks?s={session['id']}")
    assert status_of(sandbox, session) == ("complete", "paid")
    intent = sandbox.call("GET", f"/v1/checkout/sessions/{session['id']}").json()["payment_intent"]
    charge = sandbox.call("GET", "/v1/charges", {"payment_intent": intent}).json()["data"][0]
    assert charge["billing_details"]["name"] == "Jo Buyer"
    assert charge["payment_method_details"]["card"]["last4"] == "4242"


def test_a_buyer_says_where_they_are_where_tax_is_computed(sandbox: Sandbox, shop: str, page: Page) -> None:
    session = session_of(sandbox, success_url=f"{shop}/thanks", **{"automatic_tax[enabled]": "true"})
    page.goto(session["url"])
    fill(page, "4242424242424242")
    pay(page)
    expect(page.get_by_text("The customer's location isn't recognized.")).to_be_visible()
    expect(page.get_by_label("ZIP or postal code")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Country or region").select_option(label="Netherlands")
    pay(page)
    page.wait_for_url(f"{shop}/thanks")
    done = sandbox.call("GET", f"/v1/checkout/sessions/{session['id']}").json()
    assert (done["automatic_tax"]["status"], done["customer_details"]["address"]["country"]) == ("complete", "NL")


def test_a_buyer_says_where_to_send_an_order_and_how(sandbox: Sandbox, shop: str, page: Page) -> None:
    data = "shipping_options[{}][shipping_rate_data]"
    rates = {
        f"{data.format(place)}[{name}]": value
        for place, (title, amount) in enumerate((("Ground", "500"), ("Air", "1500")))
        for name, value in (
            ("display_name", title),
            ("fixed_amount][amount", amount),
            ("fixed_amount][currency", "usd"),
        )
    }
    session = session_of(sandbox, success_url=f"{shop}/thanks", **rates,
                         **{"shipping_address_collection[allowed_countries][]": "NL"})  # fmt: skip
    page.goto(session["url"])
    expect(page.locator("#due")).to_have_text("$14.99")
    fill(page, "4242424242424242")
    page.get_by_label("Air").check()
    expect(page.locator("#due")).to_have_text("$24.99")
    expect(page.get_by_label("Email")).to_have_value("jo@example.com")
    page.get_by_role("button", name="Pay $24.99").click()
    expect(page.locator("#ship-error")).to_have_text("Your shipping address is incomplete.")
    page.get_by_label("Full name", exact=True).fill("Jo Buyer")
    page.get_by_label("Address", exact=True).fill("Main street 1")
    page.get_by_label("Postal code").fill("2611 AA")
    page.get_by_label("City").fill("Delft")
    page.get_by_role("button", name="Pay $24.99").click()
    page.wait_for_url(f"{shop}/thanks")
    expanded = {"expand[]": "payment_intent"}
    paid = sandbox.call("GET", f"/v1/checkout/sessions/{session['id']}", expanded).json()["payment_intent"]
    assert (paid["amount_received"], paid["shipping"]["address"]["city"]) == (2499, "Delft")


def test_a_declined_card_is_told_and_another_one_pays(
    sandbox: Sandbox, session: dict[str, Any], shop: str, page: Page
) -> None:
    page.goto(session["url"])
    fill(page, "4000000000000002")
    pay(page)
    expect(page.get_by_text("Your card was declined.")).to_be_visible()
    assert status_of(sandbox, session) == ("open", "unpaid")
    page.get_by_label("Card number").fill("")
    page.get_by_label("Card number").press_sequentially("5555555555554444")
    pay(page)
    page.wait_for_url(f"{shop}/thanks?*")
    assert status_of(sandbox, session) == ("complete", "paid")


@pytest.mark.parametrize(
    ("number", "message", "wrong"),
    [
        ("4000000000009995", "Your card has insufficient funds.", "Card number"),
        ("4242424242424241", "Your card number is incorrect.", "Card number"),
        ("4000000000000069", "Your card has expired.", "Expiration date"),
        ("4000000000000127", "Your card's security code is incorrect.", "Security code"),
    ],
)
def test_what_is_wrong_with_a_card_is_said_at_its_field(
    session: dict[str, Any], page: Page, number: str, message: str, wrong: str
) -> None:  # fmt: skip
    page.goto(session["url"])
    fill(page, number)
    pay(page)
    expect(page.get_by_text(message)).to_be_visible()
    expect(page.get_by_label(wrong)).to_have_attribute("aria-invalid", "true")


def test_an_unfinished_form_is_not_sent(sandbox: Sandbox, session: dict[str, Any], page: Page) -> None:
    page.goto(session["url"])
    fill(page, "42424242")
    pay(page)
    expect(page.get_by_text("Your card number is incomplete.")).to_be_visible()
    page.get_by_label("Card number").fill("4242424242424242")
    page.get_by_label("Expiration date").fill("12 / 20")
    pay(page)
    expect(page.get_by_text("Your card's expiration year is in the past.")).to_be_visible()
    assert "payment_intent.created" not in sandbox.event_types()


def test_3d_secure_passed_pays(sandbox: Sandbox, session: dict[str, Any], shop: str, page: Page) -> None:
    page.goto(session["url"])
    fill(page, "4000002760003184")
    pay(page)
    page.get_by_role("button", name="Complete authentication").click()
    page.wait_for_url(f"{shop}/thanks?*")
    assert status_of(sandbox, session) == ("complete", "paid")


def test_3d_secure_failed_leads_back_and_another_card_pays(
    sandbox: Sandbox, session: dict[str, Any], shop: str, page: Page
) -> None:  # fmt: skip
    page.goto(session["url"])
    fill(page, "4000002500003155")
    pay(page)
    page.get_by_role("button", name="Fail authentication").click()
    expect(page.get_by_text("We are unable to authenticate your payment method.")).to_be_visible()
    assert status_of(sandbox, session) == ("open", "unpaid")
    fill(page, "4242424242424242")
    pay(page)
    page.wait_for_url(f"{shop}/thanks?*")


def test_a_double_click_pays_once(sandbox: Sandbox, session: dict[str, Any], shop: str, page: Page) -> None:
    page.goto(session["url"])
    fill(page, "4242424242424242")
    page.get_by_role("button", name="Pay $9.99").dblclick()
    page.wait_for_url(f"{shop}/thanks?*")
    assert sandbox.event_types().count("charge.succeeded") == 1


def test_a_finished_session_shows_no_form(sandbox: Sandbox, session: dict[str, Any], page: Page) -> None:
    address = session["url"]
    sandbox.call("POST", f"/v1/checkout/sessions/{session['id']}/expire")
    page.goto(address)
    expect(page.get_by_role("heading", name="This checkout session has expired")).to_be_visible()
    paid = session_of(sandbox)
    sandbox.call("POST", f"/v1/payment_pages/{paid['id']}/confirm", {"payment_method": "pm_card_visa"})
    page.goto(paid["url"])
    expect(page.get_by_role("heading", name="You're all done here")).to_be_visible()
    assert page.get_by_role("button").count() == 0


def test_the_page_fits_a_phone_in_one_column(session: dict[str, Any], page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(session["url"])
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    order = page.get_by_label("Order summary").bounding_box()
    number = page.get_by_label("Card number").bounding_box()
    assert order is not None
    assert number is not None
    assert number["y"] >= order["y"] + order["height"]


def test_the_test_cards_fill_the_form(session: dict[str, Any], shop: str, page: Page) -> None:
    page.goto(session["url"])
    page.get_by_label("Email").fill("jo@example.com")
    page.get_by_text("Test cards").click()
    page.get_by_role("button", name=re.compile("4242 4242 4242 4242")).click()
    pay(page)
    page.wait_for_url(f"{shop}/thanks?*")


def test_the_home_page_shows_requests_events_and_deliveries_live(
    sandbox: Sandbox, receiver: Receiver, page: Page
) -> None:  # fmt: skip
    page.goto(sandbox.url)
    expect(page.get_by_role("heading", name="Stripe sandbox")).to_be_visible()
    sandbox.call("POST", "/v1/webhook_endpoints", {"url": receiver.url, "enabled_events[]": "*"})
    customer = sandbox.call("POST", "/v1/customers", {"name": "Live"}).json()
    until(lambda: receiver.hooks)
    expect(page.locator("#events li").filter(has_text=customer["id"])).to_contain_text("customer.created")
    expect(page.locator("#requests li").first).to_contain_text("POST /v1/customers")
    expect(page.locator("#deliveries li").first).to_contain_text("delivered · 200")


def test_the_pages_allow_no_foreign_scripts(session: dict[str, Any]) -> None:
    answer = httpx.get(session["url"])
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe-inline" not in policy
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|style=", answer.text)
