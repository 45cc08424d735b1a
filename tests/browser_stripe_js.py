"""The stub of Stripe.js on a page of another origin, as a seller's page uses it."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser import browser, page, served
from sandbox_fixtures import Sandbox, sandbox, shared_sandbox

_SHOP = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Shop</title><body>
<script src="BASE/v3/"></script><form id="f"><div id="element"></div><button>Pay now</button></form>
<p id="said" role="status"></p>
<script>
const query = new URLSearchParams(location.search);
const stripe = Stripe("pk_test_" + query.get("key"), { apiVersion: "2026-10-28.endive" });
const said = (text) => { document.getElementById("said").textContent = text; };
const secret = query.get("secret");
if (query.get("payment_intent_client_secret")) {
  stripe.retrievePaymentIntent(query.get("payment_intent_client_secret"))
    .then(({ paymentIntent }) => said(`${query.get("redirect_status")} ${paymentIntent.status}`));
} else {
  const kind = query.get("element") || "payment";
  const appearance = { theme: query.get("theme") || "stripe" };
  const elements = stripe.elements(kind === "payment" ? { clientSecret: secret, appearance } : {});
  const element = elements.create(kind);
  element.on("ready", () => document.body.dataset.ready = "yes");
  element.on("change", (event) => document.body.dataset.complete = String(event.complete));
  element.mount("#element");
  document.getElementById("f").addEventListener("submit", async (event) => {
    event.preventDefault();
    const redirect = query.get("redirect") || "always";
    const result = kind === "payment"
      ? await stripe.confirmPayment({ elements, redirect,
          confirmParams: { return_url: `${location.origin}/done?key=${query.get("key")}` } })
      : await stripe.confirmCardPayment(secret, { payment_method: { card: element, billing_details: { name: "Jo" } } });
    said(result.error ? `${result.error.code}: ${result.error.message}` : result.paymentIntent.status);
  });
}
</script></body></html>"""


@pytest.fixture(scope="module")
def shop(shared_sandbox: Sandbox) -> Iterator[str]:
    """A seller's page on another origin, which points Stripe.js at the sandbox."""
    with served(_SHOP.replace("BASE", shared_sandbox.url)) as address:
        yield address


def visit(page: Page, shop: str, sandbox: Sandbox, more: str = "", **params: str) -> dict[str, Any]:
    """Open the shop with a fresh intent."""
    answer = sandbox.call("POST", "/v1/payment_intents", {"amount": "1999", "currency": "eur", **params})
    intent = dict(answer.json())
    key = sandbox.key.removeprefix("sk_test_")
    page.goto(f"{shop}/?key={key}&secret={intent['client_secret']}{more}")
    expect(page.locator("body[data-ready=yes]")).to_have_count(1)
    return intent


def fill(page: Page, number: str) -> None:
    page.get_by_label("Card number").press_sequentially(number)
    page.get_by_label("Expiration date").press_sequentially("1240")
    page.get_by_label("Security code").press_sequentially("123")


def status_of(sandbox: Sandbox, intent: dict[str, Any]) -> str:
    return str(sandbox.call("GET", f"/v1/payment_intents/{intent['id']}").json()["status"])


def test_the_payment_element_pays_and_returns(sandbox: Sandbox, shop: str, page: Page) -> None:
    intent = visit(page, shop, sandbox)
    page.get_by_role("button", name="Pay now").click()
    expect(page.locator("#said")).to_have_text("incomplete_number: Your card number is incomplete.")
    fill(page, "4242424242424242")
    expect(page.locator("body[data-complete=true]")).to_have_count(1)
    page.get_by_role("button", name="Pay now").click()
    expect(page.locator("#said")).to_have_text("succeeded succeeded")
    assert "/done?" in page.url
    assert status_of(sandbox, intent) == "succeeded"


def test_enter_submits_the_form_around_the_element_as_stripes_own_does(sandbox: Sandbox, shop: str, page: Page) -> None:
    intent = visit(page, shop, sandbox, "&redirect=if_required")
    page.get_by_label("Card number").press("Enter")
    expect(page.locator("#said")).to_have_text("incomplete_number: Your card number is incomplete.")
    fill(page, "4242424242424242")
    page.get_by_role("button", name="Pay now").evaluate("button => { button.disabled = true; }")
    page.get_by_label("Security code").press("Enter")
    expect(page.locator("#said")).to_have_text("succeeded")
    assert status_of(sandbox, intent) == "succeeded"


def test_a_decline_is_told_to_the_page(sandbox: Sandbox, shop: str, page: Page) -> None:
    intent = visit(page, shop, sandbox, "&redirect=if_required")
    fill(page, "4000000000000002")
    page.get_by_role("button", name="Pay now").click()
    expect(page.locator("#said")).to_have_text("card_declined: Your card was declined.")
    page.get_by_label("Card number").fill("")
    page.get_by_label("Card number").press_sequentially("4242424242424242")
    page.get_by_role("button", name="Pay now").click()
    expect(page.locator("#said")).to_have_text("succeeded")
    assert status_of(sandbox, intent) == "succeeded"


@pytest.mark.parametrize(("button", "said"), [
    ("Complete authentication", "succeeded succeeded"), ("Fail authentication", "failed requires_payment_method"),
])  # fmt: skip
def test_3d_secure_redirects_there_and_back(sandbox: Sandbox, shop: str, page: Page, button: str, said: str) -> None:
    visit(page, shop, sandbox)
    fill(page, "4000002760003184")
    page.get_by_role("button", name="Pay now").click()
    page.get_by_role("button", name=button).click()
    expect(page.locator("#said")).to_have_text(said)


def test_the_card_element_shows_3d_secure_over_the_page(sandbox: Sandbox, shop: str, page: Page) -> None:
    intent = visit(page, shop, sandbox, "&element=card")
    fill(page, "4000002760003184")
    page.get_by_role("button", name="Pay now").click()
    page.frame_locator("iframe[title='3D Secure']").get_by_role("button", name="Complete authentication").click()
    expect(page.locator("#said")).to_have_text("succeeded")
    assert page.locator("iframe").count() == 0
    assert status_of(sandbox, intent) == "succeeded"


def test_the_payment_element_has_a_tab_for_each_method(sandbox: Sandbox, shop: str, page: Page) -> None:
    kinds = {"payment_method_types[0]": "card", "payment_method_types[1]": "blik", "payment_method_types[2]": "p24"}
    blik = visit(page, shop, sandbox, "&redirect=if_required", **kinds, currency="pln")
    page.get_by_role("tab", name="BLIK").click()
    page.get_by_label("BLIK code").fill("123456")
    page.get_by_role("button", name="Pay now").click()
    expect(page.locator("#said")).to_have_text("succeeded", timeout=10_000)
    assert status_of(sandbox, blik) == "succeeded"
    visit(page, shop, sandbox, **kinds, currency="pln")
    page.get_by_role("tab", name="Przelewy24").click()
    page.get_by_role("button", name="Pay now").click()
    page.get_by_role("button", name="Authorize test payment").click()
    expect(page.locator("#said")).to_have_text("succeeded succeeded")


def test_a_browser_needs_the_right_secret(sandbox: Sandbox) -> None:
    intent = sandbox.call("POST", "/v1/payment_intents", {"amount": "1999", "currency": "eur"}).json()
    path = f"/v3/api/payment_intents/{intent['id']}"
    shown = sandbox.call("GET", path, {"key": "pk_test_x", "client_secret": intent["client_secret"]})
    assert shown.status_code == 200
    assert shown.headers["access-control-allow-origin"] == "*"
    assert "metadata" not in shown.json()
    assert sandbox.call("GET", path, {"key": "pk_test_x", "client_secret": "wrong"}).status_code == 400
    assert sandbox.call("GET", path, {"key": sandbox.key, "client_secret": intent["client_secret"]}).status_code == 401
    missing = sandbox.call("GET", "/v3/api/payment_intents/pi_0", {"key": "pk_test_x", "client_secret": "pi_0_secret_"})
    assert missing.status_code == 404
