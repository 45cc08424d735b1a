"""The sandbox's own page: its buttons do what they say."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from browser import browser, page
from sandbox_fixtures import Receiver, Sandbox, receiver, running_sandbox, until


@pytest.fixture(scope="module")
def own() -> Iterator[Sandbox]:
    """A sandbox whose clock and chaos these tests may touch."""
    with running_sandbox("--gap-factor", "0.1") as started:
        yield started


def pay(sandbox: Sandbox) -> str:
    params = {"amount": "2000", "currency": "usd", "confirm": "true", "payment_method": "pm_card_visa"}
    return str(sandbox.call("POST", "/v1/payment_intents", params).json()["latest_charge"])


def test_a_payment_is_refunded_disputed_and_won_by_button(own: Sandbox, page: Page) -> None:
    page.goto(own.url)
    charge = pay(own)
    row = page.locator("#events li", has_text="charge.succeeded").first
    row.get_by_role("button", name="Dispute").click()
    page.locator("#events li", has_text="charge.dispute.created").first.get_by_role("button", name="Win").click()
    expect(page.locator("#events li", has_text="charge.dispute.closed").first).to_be_visible()
    assert own.call("GET", "/v1/disputes").json()["data"][0]["status"] == "won"
    row.get_by_role("button", name="Refund").click()
    expect(page.locator("#events li", has_text="charge.refunded").first).to_be_visible()
    assert own.call("GET", f"/v1/charges/{charge}").json()["refunded"] is True
    row.get_by_role("button", name="Refund").click()
    expect(page.get_by_text("has already been refunded")).to_be_visible()


def test_an_event_is_sent_again(own: Sandbox, receiver: Receiver, page: Page) -> None:
    own.call("POST", "/v1/webhook_endpoints", {"url": receiver.url, "enabled_events[]": "customer.created"})
    own.call("POST", "/v1/customers", {"name": "Again"})
    until(lambda: len(receiver.hooks) == 1)
    page.goto(own.url)
    page.locator("#events li", has_text="customer.created").first.get_by_role("button", name="Resend").click()
    until(lambda: len(receiver.hooks) == 2)
    assert receiver.hooks[0].body == receiver.hooks[1].body or b"pending_webhooks" in receiver.hooks[1].body


def test_the_clock_and_the_chaos_are_moved(own: Sandbox, page: Page) -> None:
    page.goto(own.url)
    expect(page.locator("#chaos-state")).to_have_text("Off")
    page.get_by_role("button", name="+7d").click()
    expect(page.locator("#offset")).to_have_text("7.0 days ahead")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#chaos-state")).to_contain_text("On:")
    page.get_by_role("button", name="End", exact=True).click()
    expect(page.locator("#chaos-state")).to_have_text("Off")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_the_screen(own: Sandbox, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    pay(own)
    page.goto(own.url)
    expect(page.locator("#events li").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width
