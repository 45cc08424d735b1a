"""Checkout in a frame on a seller's page of another origin: it pays there, and the page goes on or stays."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from browser import browser, page, served
from sandbox_fixtures import Sandbox, price_of, sandbox, shared_sandbox

_SHOP = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Shop</title><body>
<h1 id="place"></h1><div id="checkout"></div><p id="said" role="status"></p><script src="BASE/v3/"></script><script>
const query = new URLSearchParams(location.search);
document.getElementById("place").textContent = location.pathname;
if (query.get("secret")) {
  const stripe = Stripe("pk_test_" + query.get("key"));
  const onComplete = query.get("stays") ? () => { document.getElementById("said").textContent = "complete"; } : undefined;
  stripe.initEmbeddedCheckout({ fetchClientSecret: async () => query.get("secret"), onComplete })
    .then((checkout) => checkout.mount("#checkout"));
}
</script></body></html>"""


@pytest.fixture(scope="module")
def shop(shared_sandbox: Sandbox) -> Iterator[str]:
    """A seller's page on another origin, which points Stripe.js at the sandbox."""
    with served(_SHOP.replace("BASE", shared_sandbox.url)) as address:
        yield address


def opened(page: Page, shop: str, sandbox: Sandbox, number: str, **more: str) -> tuple[str, FrameLocator]:
    """A session shown on the seller's page, with the card filled in; its id and its frame."""
    line = {"line_items[0][price]": price_of(sandbox), "line_items[0][quantity]": "1"}
    session = sandbox.call("POST", "/v1/checkout/sessions", {
        "mode": "payment", "ui_mode": "embedded_page", **line, **more}).json()  # fmt: skip
    stays = "" if more.get("return_url") else "&stays=1"
    page.goto(f"{shop}/cart?key={sandbox.key.removeprefix('sk_test_')}&secret={session['client_secret']}{stays}")
    frame = page.frame_locator("#checkout iframe")
    frame.get_by_label("Email").fill("jo@example.com")
    frame.locator("#number").press_sequentially(number)
    frame.locator("#expiry").press_sequentially("1240")
    frame.locator("#cvc").press_sequentially("123")
    frame.locator("#name").fill("Jo Buyer")
    frame.locator("#submit").click()
    return str(session["id"]), frame


def test_the_sellers_page_goes_to_its_return_address(sandbox: Sandbox, shop: str, page: Page) -> None:
    more = {"return_url": f"{shop}/thanks?session={{CHECKOUT_SESSION_ID}}"}
    session, _ = opened(page, shop, sandbox, "4242424242424242", **more)
    page.wait_for_url(f"{shop}/thanks?session={session}")
    assert sandbox.call("GET", f"/v1/checkout/sessions/{session}").json()["payment_status"] == "paid"


def test_a_page_that_stays_is_told_even_after_the_bank_has_asked(sandbox: Sandbox, shop: str, page: Page) -> None:
    session, frame = opened(page, shop, sandbox, "4000002760003184", redirect_on_completion="never")
    frame.get_by_role("button", name="Complete authentication").click()
    expect(page.locator("#said")).to_have_text("complete")
    expect(page.locator("#place")).to_have_text("/cart")
    assert sandbox.call("GET", f"/v1/checkout/sessions/{session}").json()["status"] == "complete"
