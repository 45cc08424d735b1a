"""The payment form: on our own page, and as an element in plain HTML on another origin, as buyers meet it."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from browser import browser, page, served
from conftest import settings_for
from desk import Buyer, Desk, running_desk, until
from front_ends import built, shown
from sandbox_fixtures import Sandbox
from tools import node_package

AXE = "4.14.1"
VISA, DECLINED, POOR, SECURED = "4242424242424242", "4000000000000002", "4000000000009995", "4000002760003184"

_SHOP = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Shop</title>
<meta name="viewport" content="width=device-width"><body><h1>Shop</h1><div id="shop"></div>
<script type="module">
import { Paydesk } from "DESK/static/paydesk.js";
const query = new URLSearchParams(location.search);
sessionStorage.token = query.get("token") ?? sessionStorage.token;
sessionStorage.made = query.get("element") ? location.search : sessionStorage.made;
const wanted = new URLSearchParams(sessionStorage.made);
window.told = [];
window.Paydesk = Paydesk;
for (const name of ["ready", "paid", "failed", "pending", "closed", "error", "token", "balance", "changed", "portal"]) {
  document.addEventListener(`paydesk-${name}`, (event) => {
    window.told.push([name, event.detail.code ?? event.detail.state ?? event.detail.balance ?? null]);
    if (name === "portal") { window.portal = event.detail.url; event.preventDefault(); }
  });
}
for (const kind of wanted.get("element").split(",")) {
  const made = document.createElement(`paydesk-${kind}`);
  made.setAttribute("publishable-key", "KEY");
  made.setAttribute("customer-token", sessionStorage.token);
  for (const name of ["price", "order", "locale", "quantity"]) if (wanted.get(name)) made.setAttribute(name, wanted.get(name));
  document.getElementById("shop").append(made);
}
</script></body></html>"""


@pytest.fixture(scope="module")
def shop(desk: Desk) -> Iterator[str]:
    """Somebody's own site on another origin, with a publishable key of this desk in its page."""
    key = desk.post("/v1/keys", {"name": "shop", "kind": "publishable"})["key"]
    with served(_SHOP.replace("DESK", desk.url).replace("KEY", key)) as address:
        yield address


CATALOGUE = """
[products.lesson]
name = "Lesson"
payment_methods = ["card", "blik", "p24"]
prices = [{ currency = "pln", amount = "60.00" }]
grants = [{ kind = "credits", amount = 1, unit = "lessons" }]
[products.book]
name = "Book"
prices = [{ currency = "pln", amount = "40.00" }]
grants = [{ kind = "credits", amount = 1, unit = "books" }]
"""

# What a browser's line does to the calls that confirm a payment: their answers are lost, or come late.
_LOSING = """times => { const real = fetch; let begun = false; window.fetch = async (...given) => {
  const answer = await real(...given);
  begun ||= String(given[0]).includes("/confirm");
  if (!begun || !String(given[0]).includes("/v3/") || times-- < 1) return answer;
  throw new TypeError("Failed to fetch"); }; }"""
_LATE = """() => { const real = fetch; window.fetch = async (...given) => {
  if (String(given[0]).includes("/confirm")) await new Promise((go) => { window.confirm_now = go; });
  return real(...given); }; }"""


@pytest.fixture(scope="module", autouse=True)
def polish_desk(
    desk: Desk, new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """A desk that takes BLIK. Made before the browser starts, whose event loop lets no other one run."""
    path: Path = tmp_path_factory.mktemp("polish") / "catalog.toml"
    path.write_text(CATALOGUE)
    settings = settings_for(new_database(), stripe_sandbox.url, PAYDESK_CATALOG=str(path))
    with running_desk(settings, stripe_sandbox) as running:
        yield running


def token_of(desk: Desk, buyer: Buyer) -> str:
    return str(desk.post("/v1/customer_sessions", {"customer": buyer.who})["token"])


def fill(page: Page, number: str) -> None:
    expect(page.get_by_label("Card number")).to_be_visible(timeout=15_000)
    page.get_by_label("Card number").fill("")
    page.get_by_label("Card number").press_sequentially(number)
    page.get_by_label("Expiration date").fill("12 / 40")
    page.get_by_label("Security code").fill("123")


def form_of(order: dict[str, Any]) -> str:
    return str(order["link"]).replace("/r/", "/pay/")


def pay(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^(Pay|Zapłać|Betaal)")).click()


def told(page: Page) -> list[list[Any]]:
    return [list(one) for one in page.evaluate("window.told")]


def orders_of(desk: Desk, buyer: Buyer) -> list[str]:
    """The orders that somebody has, by what is kept about them."""
    told = desk.get(f"/v1/customers/{buyer.id}/timeline", limit=100)["data"]
    return [row["id"] for row in told if row["what"] == "order"]


def intents_of(desk: Desk, order: dict[str, Any]) -> list[dict[str, Any]]:
    """The intents that Stripe has for an order; those of its sessions bear its id as well."""
    listed = desk.at_stripe("GET", "/v1/payment_intents", {"limit": 100}).json()["data"]
    return [one for one in listed if one["metadata"].get("paydesk_order") == order["id"]]


# --- on our own page -------------------------------------------------------------------------------------------------


def test_opening_makes_nothing_and_a_card_that_is_declined_is_followed_by_one_that_pays(desk: Desk, page: Page) -> None:
    buyer = desk.buyer()
    order = buyer.checkout("credits-10")
    page.goto(form_of(order))
    expect(page.get_by_role("heading", level=1)).to_have_text("Your order")
    expect(page.get_by_label("Card number")).to_be_visible()
    assert intents_of(desk, order) == []
    fill(page, DECLINED)
    pay(page)
    expect(page.get_by_role("alert").filter(has_text="declined")).to_have_text(
        "Your card was declined. Nothing was charged. You can try again, or pay another way."
    )
    fill(page, VISA)
    pay(page)
    page.get_by_role("button", name=re.compile("Pay|Paying")).click(force=True)
    expect(page.get_by_role("heading", level=1)).to_have_text("Paid", timeout=20_000)
    expect(page.get_by_text("You got 10 credits.")).to_be_visible()
    expect(page.get_by_text("Thank you!")).to_be_visible()
    expect(page.get_by_role("link", name="Back to the shop")).to_be_visible()
    page.goto(form_of(order))
    expect(page.get_by_text("Already paid: this link takes no second payment.")).to_be_visible()
    desk.settled(order["id"])
    assert [one["status"] for one in intents_of(desk, order)] == ["succeeded"]
    assert buyer.balance() == 10
    session = desk.at_stripe("GET", f"/v1/checkout/sessions/{order['session']}").json()
    assert session["status"] == "expired"
    page.goto(order["link"])
    expect(page.get_by_role("heading", level=1)).to_have_text("Paid")


@pytest.mark.parametrize(
    ("button", "ends"), [("Complete authentication", "Paid"), ("Fail authentication", "Your order")]
)
def test_3d_secure_leads_there_and_back_to_what_is_true(desk: Desk, page: Page, button: str, ends: str) -> None:
    order = desk.buyer().checkout("credits-10")
    page.goto(form_of(order))
    fill(page, SECURED)
    pay(page)
    page.get_by_role("button", name=button).click()
    page.wait_for_url(re.compile("/pay/"))
    expect(page.get_by_role("heading", level=1)).to_have_text(ends, timeout=20_000)
    if ends == "Paid":
        desk.settled(order["id"])
        return
    expect(page.get_by_role("alert").filter(has_text="charged")).to_be_visible()
    expect(page).to_have_url(form_of(order))
    fill(page, VISA)
    pay(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Paid", timeout=20_000)


def test_a_subscription_begins_here_and_a_trial_is_sold_on_stripes_page(desk: Desk, page: Page) -> None:
    buyer = desk.buyer()
    order = buyer.checkout("plus")
    page.goto(form_of(order))
    expect(page.get_by_text("$10.00 a month")).to_be_visible()
    fill(page, VISA)
    pay(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Paid", timeout=20_000)
    desk.settled(order["id"])
    assert buyer.access("plus")["allowed"]
    trial = desk.buyer().checkout("vip-month")
    page.goto(form_of(trial))
    expect(page).to_have_url(trial["link"])


def test_a_buyer_is_told_in_their_language_and_can_go_on(desk: Desk, page: Page) -> None:
    order = desk.buyer().checkout("credits-10")
    page.goto(form_of(order) + "?locale=pl")
    expect(page.locator("html")).to_have_attribute("lang", "pl")
    fill(page, POOR)
    pay(page)
    expect(page.get_by_role("alert").filter(has_text="Nic nie pobrano")).to_contain_text("środków")
    fill(page, VISA)
    pay(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Opłacone", timeout=20_000)
    order = desk.buyer().checkout("credits-10")
    page.goto(form_of(order) + "?locale=pl")
    desk.post(f"/v1/orders/{order['id']}/cancel", {})
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("To zamówienie anulowano")
    expect(page.get_by_role("link", name="Wróć do sklepu")).to_be_visible()
    page.goto(f"{desk.url}/pay/0000000000000000nothing")
    expect(page.get_by_role("heading", level=1)).to_have_text("This link leads nowhere")


def test_blik_is_offered_after_one_step_more_and_a_bank_page_leads_back(polish_desk: Desk, page: Page) -> None:
    for method in ("BLIK", "Przelewy24"):
        order = polish_desk.buyer().checkout("lesson")
        page.goto(form_of(order))
        assert intents_of(polish_desk, order) == []
        page.get_by_role("button", name="Continue to payment").click()
        page.get_by_role("tab", name=method).click()
        if method == "BLIK":
            page.get_by_label("BLIK code").fill("123456")
        page.get_by_role("button", name="60.00").click()
        if method == "Przelewy24":
            page.get_by_role("button", name="Authorize test payment").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Paid", timeout=20_000)
        polish_desk.settled(order["id"])


def test_without_scripts_the_page_leads_to_stripe(desk: Desk, page: Page) -> None:
    order = desk.buyer().checkout("credits-10")
    context = page.context.browser.new_context(java_script_enabled=False)  # type: ignore[union-attr]
    plain = context.new_page()
    plain.goto(form_of(order))
    plain.get_by_role("link", name="Go to Stripe’s page").click()
    expect(plain).to_have_url(order["link"])
    context.close()


# --- as elements on another origin -----------------------------------------------------------------------------------


def test_the_elements_sell_on_a_page_of_another_origin(desk: Desk, shop: str, page: Page) -> None:
    buyer = desk.buyer()
    page.goto(f"{shop}/?element=payment-form,balance&price=credits-10&token={token_of(desk, buyer)}")
    expect(page.get_by_text("$9.99").first).to_be_visible()
    assert orders_of(desk, buyer) == []
    expect(page.locator("paydesk-balance")).to_contain_text("0 credits")
    fill(page, DECLINED)
    pay(page)
    expect(page.get_by_role("alert").filter(has_text="declined")).to_be_visible()
    fill(page, VISA)
    pay(page)
    expect(page.get_by_text("Thank you! Your payment has arrived.")).to_be_visible(timeout=20_000)
    expect(page.locator("paydesk-balance")).to_contain_text("10 credits")
    (order,) = orders_of(desk, buyer)
    assert desk.settled(order)["amount"] == 999
    names = [name for name, _ in told(page)]
    assert [name for name in names if name in ("failed", "paid")] == ["failed", "paid"]


@pytest.mark.parametrize("button", ["Complete authentication", "Fail authentication"])
def test_the_element_finds_its_order_again_after_3d_secure(desk: Desk, shop: str, page: Page, button: str) -> None:
    buyer = desk.buyer()
    page.goto(f"{shop}/?element=payment-form&price=credits-10&token={token_of(desk, buyer)}")
    fill(page, SECURED)
    pay(page)
    page.get_by_role("button", name=button).click()
    if button.startswith("Fail"):
        expect(page.get_by_role("alert").filter(has_text="charged")).to_be_visible(timeout=20_000)
        fill(page, VISA)
        pay(page)
    expect(page.get_by_text("Thank you! Your payment has arrived.")).to_be_visible(timeout=20_000)
    assert "payment_intent" not in page.url
    assert len(orders_of(desk, buyer)) == 1


def test_a_fresh_token_neither_empties_the_form_nor_makes_a_second_order(desk: Desk, shop: str, page: Page) -> None:
    buyer = desk.buyer()
    page.goto(f"{shop}/?element=payment-form&price=credits-10&token={token_of(desk, buyer)}")
    fresh = "token => document.querySelector('paydesk-payment-form').setAttribute('customer-token', token)"
    fill(page, VISA)
    page.evaluate(fresh, "pdc_expired")
    pay(page)
    expect(page.get_by_role("alert").filter(has_text="open for too long")).to_be_visible()
    assert ["token", None] in told(page)
    page.evaluate(fresh, token_of(desk, buyer))
    page.evaluate(_LATE)
    with page.expect_response("**/v3/api/payment_intents/*"):
        pay(page)
    page.evaluate(fresh, token_of(desk, buyer))
    page.evaluate("document.querySelector('paydesk-payment-form').setAttribute('locale', 'en-GB')")
    page.wait_for_timeout(500)
    expect(page.get_by_role("button", name="Paying…")).to_be_visible()
    page.evaluate("confirm_now()")
    expect(page.get_by_text("Thank you! Your payment has arrived.")).to_be_visible(timeout=20_000)
    assert len(orders_of(desk, buyer)) == 1


def test_who_goes_back_from_the_bank_pays_the_same_order(desk: Desk, shop: str, page: Page) -> None:
    buyer = desk.buyer()
    page.goto(f"{shop}/?element=payment-form&price=credits-10&token={token_of(desk, buyer)}")
    fill(page, SECURED)
    pay(page)
    page.get_by_role("button", name="Complete authentication").wait_for()
    page.go_back()
    fill(page, VISA)
    pay(page)
    expect(page.get_by_text("Thank you! Your payment has arrived.")).to_be_visible(timeout=20_000)
    assert len(orders_of(desk, buyer)) == 1
    page.reload()  # that one is over: what comes now is another
    expect(page.get_by_label("Card number")).to_be_visible()


def test_a_price_that_has_changed_is_shown_before_it_is_paid(polish_desk: Desk, page: Page) -> None:
    key = polish_desk.post("/v1/keys", {"name": "shop", "kind": "publishable"})["key"]
    buyer = polish_desk.buyer()
    with served(_SHOP.replace("DESK", polish_desk.url).replace("KEY", key)) as address:
        page.goto(f"{address}/?element=payment-form&price=book&locale=en&token={token_of(polish_desk, buyer)}")
        fill(page, VISA)
        Path(polish_desk.settings["PAYDESK_CATALOG"]).write_text(CATALOGUE.replace("40.00", "90.00"))
        preview = f"{polish_desk.url}/pay/preview?price=book"
        until(lambda: httpx.get(preview).json()["amount"] == 9000, what="the new price")
        expect(page.get_by_role("button", name="40.00")).to_be_visible()
        pay(page)
        expect(page.get_by_role("alert").filter(has_text="The price has changed")).to_contain_text("90.00")
        (order,) = orders_of(polish_desk, buyer)
        assert intents_of(polish_desk, {"id": order}) == []
        page.get_by_role("button", name="90.00").click()
        expect(page.get_by_text("Thank you! Your payment has arrived.")).to_be_visible(timeout=20_000)
        assert orders_of(polish_desk, buyer) == [order]


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_answer_is_asked_for_and_never_called_uncharged(desk: Desk, page: Page, lost: int) -> None:
    order = desk.buyer().checkout("credits-10")
    page.goto(form_of(order))
    fill(page, VISA)
    page.evaluate(_LOSING, lost)
    pay(page)
    if lost == 2:  # nor could Stripe be asked
        alert = page.get_by_role("alert").filter(has_text="not known yet")
        expect(alert).to_be_visible()
        expect(alert).not_to_contain_text("Nothing was charged")
        pay(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Paid", timeout=20_000)


def test_two_tabs_pay_once_and_both_say_so(desk: Desk, page: Page) -> None:
    order = desk.buyer().checkout("credits-10")
    other = page.context.new_page()
    for tab in (page, other):
        tab.goto(form_of(order))
        fill(tab, VISA)
    page.evaluate(_LATE)
    with page.expect_response("**/v3/api/payment_intents/*"):
        pay(page)
    pay(other)
    expect(other.get_by_role("heading", level=1)).to_have_text("Paid", timeout=20_000)
    page.evaluate("confirm_now()")
    expect(page.get_by_role("heading", level=1)).to_have_text("Paid", timeout=20_000)
    assert len([one for one in intents_of(desk, order) if one["status"] == "succeeded"]) == 1


def test_what_is_on_its_way_is_followed_until_it_arrives(desk: Desk, shop: str, page: Page) -> None:
    buyer = desk.buyer()
    reserved = {"customer": buyer.who, "amount": 700, "currency": "usd", "capture_method": "manual"}
    payment = desk.post("/v1/payments", reserved)
    token = desk.get(f"/v1/orders/{payment['order']}")["link"].rsplit("/", 1)[1]
    page.goto(f"{shop}/?element=payment-form&order={token}")
    fill(page, VISA)
    pay(page)
    expect(page.get_by_text("Your payment is on its way")).to_be_visible(timeout=20_000)
    page.reload()
    expect(page.get_by_text("Your payment is on its way")).to_be_visible()
    desk.post(f"/v1/payments/{payment['id']}/capture", {})
    expect(page.get_by_text("Thank you! Your payment has arrived.")).to_be_visible(timeout=20_000)


def test_subscriptions_are_ended_and_kept_where_they_are_listed(desk: Desk, shop: str, page: Page) -> None:
    buyer = desk.buyer()
    buyer.buy("plus")
    page.goto(f"{shop}/?element=subscriptions&token={token_of(desk, buyer)}")
    expect(page.get_by_role("heading", name="Plus")).to_be_visible()
    expect(page.get_by_text("Renews on")).to_be_visible()
    page.get_by_role("button", name="Cancel subscription").click()
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Cancel subscription").click()
    page.get_by_role("button", name="Yes, cancel it").click()
    expect(page.get_by_text("Ends on")).to_be_visible()
    page.get_by_role("button", name="Go on with it").click()
    expect(page.get_by_text("Renews on")).to_be_visible()
    page.get_by_role("button", name="Change plan or card").click()
    page.wait_for_function("window.portal")
    assert page.evaluate("window.portal").startswith(desk.sandbox.url)


def test_a_keyboard_is_enough_and_everything_has_its_name(desk: Desk, page: Page) -> None:
    page.goto(form_of(desk.buyer().checkout("credits-10")))
    expect(page.get_by_label("Card number")).to_be_visible()
    page.locator("body").press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.get_by_label("Card number").focus()
    for typed in (VISA, "1240", "123"):
        page.keyboard.type(typed)
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Pay $9.99")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Paid", timeout=20_000)
    expect(page.get_by_role("region", name="Paid").get_by_role("list", name="Your order")).to_contain_text("10 credits")


def test_enter_in_stripes_fields_pays_once_and_submits_no_form_of_the_page(desk: Desk, shop: str, page: Page) -> None:
    buyer = desk.buyer()
    buyer.say("/start")
    page.goto(f"{shop}/?element=payment-form&price=credits-10&token={token_of(desk, buyer)}")
    page.evaluate("""() => {
      const element = document.querySelector("paydesk-payment-form"), around = document.createElement("form");
      window.submitted = 0; around.addEventListener("submit", (event) => { event.preventDefault(); window.submitted += 1; });
      element.replaceWith(around); around.append(element); }""")
    fill(page, VISA)
    for _ in range(2):
        page.get_by_label("Security code").press("Enter", no_wait_after=True)
    expect(page.get_by_role("heading", name="Paid")).to_be_visible(timeout=20_000)
    assert page.evaluate("window.submitted") == 0
    assert len(orders_of(desk, buyer)) == 1
    until(lambda: desk.get(f"/v1/customers/{buyer.id}/credits")["balance"] == 10, what="what was paid, once")


def test_a_balance_counts_in_the_buyers_language_and_says_when_it_cannot_be_shown(
    desk: Desk, shop: str, page: Page
) -> None:
    buyer = desk.buyer()
    buyer.checkout("credits-10")
    desk.post(f"/v1/customers/{buyer.id}/credits/grant", {"amount": 2})
    page.goto(f"{shop}/?element=balance,subscriptions&locale=pl&token={token_of(desk, buyer)}")
    expect(page.locator("paydesk-balance")).to_contain_text("2 kredyty")
    desk.post(f"/v1/customers/{buyer.id}/credits/grant", {"amount": 3})
    page.evaluate("document.querySelector('paydesk-balance').reload()")
    expect(page.locator("paydesk-balance")).to_contain_text("5 kredytów")
    page.evaluate("document.querySelector('paydesk-balance').setAttribute('customer-token', 'pdc_wrong')")
    expect(page.get_by_role("alert").filter(has_text="otwarta zbyt długo")).to_be_visible()
    assert ["token", None] in told(page)
    fresh = token_of(desk, buyer)
    page.evaluate("token => document.querySelector('paydesk-balance').setAttribute('customer-token', token)", fresh)
    expect(page.locator("paydesk-balance")).to_contain_text("5 kredytów")


# --- in React, and for everybody -------------------------------------------------------------------------------------


def test_the_react_example_sells(desk: Desk, tmp_path: Path, page: Page) -> None:
    example = built(desk, "react", tmp_path)
    with shown(example, PAYDESK_URL=desk.url, PAYDESK_API_KEY=desk.key) as address:
        page.goto(address)
        fill(page, DECLINED)
        pay(page)
        expect(page.get_by_role("status").filter(has_text="generic_decline")).to_be_visible()
        fill(page, VISA)
        pay(page)
        expect(page.get_by_text("Thank you for ord_")).to_be_visible(timeout=20_000)
        expect(page.locator("paydesk-balance")).to_contain_text("10 credits")


def test_a_platforms_own_front_end_keeps_its_names(desk: Desk, tmp_path: Path, page: Page) -> None:
    example = built(desk, "platform", tmp_path)
    key = desk.post("/v1/keys", {"name": "platform", "kind": "publishable"})["key"]
    settings = {"PAYDESK_URL": desk.url, "PAYDESK_API_KEY": desk.key, "PAYDESK_PUBLISHABLE_KEY": key}
    with shown(example, **settings) as address:
        cheap = {"amount": 1, "currency": "usd", "description": "Premium Plan Subscription"}
        refused = httpx.post(f"{address}/orders.json", json=cheap)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "no_such_offer")
        page.goto(address)
        fill(page, DECLINED)
        pay(page)
        expect(page.get_by_text("Payment failed: generic_decline")).to_be_visible()
        fill(page, VISA)
        page.get_by_role("button", name="Pay $25.00").click()
        expect(page.get_by_text("Payment successful: ord_")).to_be_visible(timeout=20_000)
        expect(page.get_by_role("heading", name="Your subscriptions")).to_be_visible()
        expect(page.get_by_role("rowheader", name="USD")).to_be_visible()
        page.get_by_role("button", name="Subscribe").click()
        page.wait_for_url(re.compile(re.escape(desk.sandbox.url)))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(desk: Desk, shop: str, page: Page, scheme: str) -> None:
    axe = node_package("axe-core", AXE) / "node_modules" / "axe-core" / "axe.min.js"
    buyer = desk.buyer()
    buyer.buy("plus")
    order = buyer.checkout("credits-10")
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": 360, "height": 780})
    everything = f"{shop}/?element=payment-form,balance,subscriptions&price=credits-10&token={token_of(desk, buyer)}"
    for address in (form_of(order), everything):
        page.goto(address)
        fill(page, DECLINED)
        pay(page)
        expect(page.get_by_role("alert").filter(has_text="declined")).to_be_visible()
        page.evaluate(axe.read_text(encoding="utf-8"))
        found = page.evaluate("axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] })")
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        on_ours = address == form_of(order)  # whose page follows the light; the shop's is always light
        theme = page.evaluate("document.querySelector('paydesk-payment-form').appearance.theme")
        assert theme == ("night" if on_ours and scheme == "dark" else "stripe")
