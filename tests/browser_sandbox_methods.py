"""Checkout's page with several methods, and in setup mode, as a buyer uses it."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser import browser, page
from sandbox_fixtures import Receiver, Sandbox, price_of, receiver, running_sandbox, sandbox, session_of, shared_sandbox

_POLISH, _EURO = ("card", "blik", "p24"), ("card", "ideal", "sepa_debit")


def open_session(sandbox: Sandbox, receiver: Receiver, currency: str, types: tuple[str, ...]) -> dict[str, Any]:
    shop = receiver.url.removesuffix("/hook")
    kinds = {f"payment_method_types[{place}]": kind for place, kind in enumerate(types)}
    price = price_of(sandbox, 1999, currency)
    return session_of(sandbox, success_url=f"{shop}/thanks?s={{CHECKOUT_SESSION_ID}}",
                      **{"line_items[0][price]": price}, **kinds)  # fmt: skip


def state(sandbox: Sandbox, session: dict[str, Any]) -> tuple[str, str]:
    shown = sandbox.call("GET", f"/v1/checkout/sessions/{session['id']}").json()
    return shown["status"], shown["payment_status"]


def test_a_blik_code_is_confirmed_in_the_banking_app(sandbox: Sandbox, receiver: Receiver, page: Page) -> None:
    session = open_session(sandbox, receiver, "pln", _POLISH)
    page.goto(session["url"])
    page.get_by_label("Email").fill("jo@example.com")
    page.get_by_role("radio", name="BLIK").check()
    expect(page.get_by_label("Card number")).to_be_hidden()
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_text("Your BLIK code is incomplete.")).to_be_visible()
    page.get_by_label("BLIK code").press_sequentially("222222")
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_text("Confirm the payment in your banking app")).to_be_visible()
    expect(page.get_by_text("The BLIK code has expired.")).to_be_visible(timeout=10_000)
    assert state(sandbox, session) == ("open", "unpaid")
    page.get_by_label("BLIK code").fill("123456")
    page.get_by_role("button", name="Pay").click()
    page.wait_for_url("**/thanks?*", timeout=10_000)
    assert state(sandbox, session) == ("complete", "paid")


@pytest.mark.parametrize(("name", "currency", "types"), [("Przelewy24", "pln", _POLISH), ("iDEAL", "eur", _EURO)])
def test_a_banks_page_fails_and_then_authorizes(
    sandbox: Sandbox, receiver: Receiver, page: Page, name: str, currency: str, types: tuple[str, ...]
) -> None:
    session = open_session(sandbox, receiver, currency, types)
    page.goto(session["url"])
    for button in ("Fail test payment", "Authorize test payment"):
        page.get_by_label("Email").fill("jo@example.com")
        page.get_by_role("radio", name=name).check()
        page.get_by_role("button", name="Pay").click()
        page.get_by_role("button", name=button).click()
        if button.startswith("Fail"):
            expect(page.get_by_text("The customer did not approve the payment with the bank.")).to_be_visible()
    page.wait_for_url("**/thanks?*")
    assert state(sandbox, session) == ("complete", "paid")


def test_a_debit_completes_the_session_unpaid(sandbox: Sandbox, receiver: Receiver, page: Page) -> None:
    session = open_session(sandbox, receiver, "eur", _EURO)
    page.goto(session["url"])
    page.get_by_label("Email").fill("jo@example.com")
    page.get_by_role("radio", name="SEPA Direct Debit").check()
    page.get_by_label("Account holder name").fill("Jo Buyer")
    page.get_by_label("IBAN").fill("DE00370400440532013000")
    page.get_by_role("button", name="Pay").click()
    expect(page.get_by_text("The IBAN you entered is invalid.")).to_be_visible()
    page.get_by_label("IBAN").fill("DE89370400440532013000")
    page.get_by_role("button", name="Pay").click()
    page.wait_for_url("**/thanks?*")
    assert state(sandbox, session) == ("complete", "unpaid")


def test_a_card_is_saved_in_setup_mode(sandbox: Sandbox, receiver: Receiver, page: Page) -> None:
    shop = receiver.url.removesuffix("/hook")
    customer = sandbox.call("POST", "/v1/customers", {"email": "jo@example.com"}).json()["id"]
    session = sandbox.call("POST", "/v1/checkout/sessions", {
        "mode": "setup", "currency": "usd", "customer": customer, "success_url": f"{shop}/thanks",
    }).json()  # fmt: skip
    page.goto(session["url"])
    page.get_by_label("Card number").press_sequentially("4000002500003155")
    page.get_by_label("Expiration date").press_sequentially("1240")
    page.get_by_label("Security code").press_sequentially("123")
    page.get_by_label("Cardholder name").fill("Jo Buyer")
    page.get_by_role("button", name="Save payment method").click()
    expect(page.get_by_text("that this card may be saved")).to_be_visible()
    page.get_by_role("button", name="Complete authentication").click()
    page.wait_for_url("**/thanks")
    assert state(sandbox, session) == ("complete", "no_payment_required")
    saved = sandbox.call("GET", f"/v1/customers/{customer}/payment_methods").json()["data"]
    assert [method["card"]["last4"] for method in saved] == ["3155"]


def test_a_subscription_begins_with_a_trial_and_a_promotion_code(
    sandbox: Sandbox, receiver: Receiver, page: Page
) -> None:
    shop = receiver.url.removesuffix("/hook")
    price = sandbox.call("POST", "/v1/prices", {
        "currency": "usd", "unit_amount": "900", "product_data[name]": "Basic", "recurring[interval]": "month",
    }).json()["id"]  # fmt: skip
    coupon = sandbox.call("POST", "/v1/coupons", {"percent_off": "50", "duration": "once"}).json()["id"]
    code = sandbox.call("POST", "/v1/promotion_codes", {
        "promotion[type]": "coupon", "promotion[coupon]": coupon, "code": "HALF",
    })  # fmt: skip
    assert code.status_code == 200, code.text
    base = {"mode": "subscription", "success_url": f"{shop}/thanks", "allow_promotion_codes": "true",
            "line_items[0][price]": price, "line_items[0][quantity]": "1"}  # fmt: skip
    trial = sandbox.call("POST", "/v1/checkout/sessions", {**base, "subscription_data[trial_period_days]": "14"}).json()
    page.goto(trial["url"])
    expect(page.locator("#amount")).to_have_text("14 days free")
    expect(page.locator("#trial")).to_contain_text("Then $9.00 per month starting")
    page.get_by_label("Add promotion code").fill("half")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#trial")).to_contain_text("Then $4.50 on")
    expect(page.locator("#trial")).to_contain_text("later $9.00 per month")
    expect(page.locator("#coupon-shown")).to_contain_text("HALF")
    expect(page.get_by_text("50% off once")).to_be_visible()
    expect(page.get_by_label("Add promotion code")).to_have_count(0)
    page.get_by_role("button", name="Remove promotion code HALF").click()
    expect(page.locator("#trial")).to_contain_text("Then $9.00 per month starting")
    plain = sandbox.call("POST", "/v1/checkout/sessions", base).json()
    page.goto(plain["url"])
    page.get_by_label("Add promotion code").fill("NOPE")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#coupon-error")).to_have_text("This code is invalid.")
    page.get_by_label("Add promotion code").fill("HALF")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#discount")).to_contain_text("$4.50")
    page.get_by_label("Email").fill("jo@example.com")
    page.get_by_label("Card number").press_sequentially("4242424242424242")
    page.get_by_label("Expiration date").press_sequentially("1240")
    page.get_by_label("Security code").press_sequentially("123")
    page.get_by_label("Cardholder name").fill("Jo Buyer")
    page.get_by_role("button", name="Subscribe").click()
    page.wait_for_url("**/thanks")
    done = sandbox.call("GET", f"/v1/checkout/sessions/{plain['id']}", {"expand[]": "subscription"}).json()
    assert (done["payment_status"], done["subscription"]["status"], done["amount_total"]) == ("paid", "active", 450)


# The right edge of the card number's placeholder, and the left edge of the first brand that is shown beside it.
_EDGES = """() => {
  const input = document.getElementById("number"), style = getComputedStyle(input);
  const context = document.createElement("canvas").getContext("2d");
  context.font = style.font;
  const end = input.getBoundingClientRect().left + parseFloat(style.paddingLeft) + context.measureText(input.placeholder).width;
  const brands = [...document.querySelectorAll(".brands .brand")].map((one) => one.getBoundingClientRect());
  return [end, Math.min(innerWidth, ...brands.filter((one) => one.width).map((one) => one.left))];
}"""


@pytest.mark.parametrize("width", [1280, 390, 375, 360, 340, 320])
def test_the_methods_fit_the_screen(sandbox: Sandbox, receiver: Receiver, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(open_session(sandbox, receiver, "eur", _EURO)["url"])
    for name in ("Card", "iDEAL", "SEPA Direct Debit"):
        page.get_by_role("radio", name=name).check()
        assert page.evaluate("document.documentElement.scrollWidth") == width
    page.get_by_role("radio", name="Card").check()
    end, brands = page.evaluate(_EDGES)
    assert end < brands
