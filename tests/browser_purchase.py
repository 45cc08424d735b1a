"""The main job as the buyer sees it: the chat, the pay link, Stripe's page, and back, in a real browser."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from browser import browser, page
from desk import Desk

VISA = "4242424242424242"
DECLINED = "4000000000000002"
NEEDS_3DS = "4000002760003184"


def to_stripes_page(page: Page, desk: Desk) -> Page:
    """Ask in the chat, open the link, press its button; return the tab with Stripe's page."""
    page.goto(f"{desk.url}/chat")
    expect(page.locator("body")).to_contain_text("0 credits")
    page.get_by_role("textbox").fill("/buy credits-10")
    page.get_by_role("textbox").press("Enter")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Pay $9.99").last.click()
    tab = opened.value
    expect(tab.get_by_text("10 credits").first).to_be_visible()
    tab.get_by_role("button", name="Pay $9.99").click()
    tab.wait_for_url(re.compile(r"/c/pay/cs_test_"))
    return tab


def type_card(tab: Page, number: str) -> None:
    """Fill the hosted form as a buyer does, and pay."""
    tab.get_by_label("Email").fill("ann@example.com")
    tab.get_by_label("Card number").fill("")
    tab.get_by_label("Card number").press_sequentially(number)
    tab.get_by_label("Expiration date").fill("")
    tab.get_by_label("Expiration date").press_sequentially("1240")
    tab.get_by_label("Security code").fill("123")
    tab.get_by_label("Cardholder name").fill("Ann Buyer")
    tab.get_by_role("button", name="Pay $9.99").click()


def expect_bought(page: Page, tab: Page) -> None:
    """The tab comes back and says so; the chat tells it in the thread, and its balance changes by itself."""
    tab.wait_for_url(re.compile(r"/r/"))
    expect(tab.get_by_role("heading", name=re.compile("paid", re.IGNORECASE))).to_be_visible(timeout=20_000)
    expect(page.get_by_text("You now have 10 credits.")).to_be_visible(timeout=20_000)
    expect(page.get_by_role("banner")).to_contain_text("10 credits")


def test_ten_credits_are_bought_with_4242_and_the_balance_changes_before_the_buyers_eyes(
    page: Page, desk: Desk
) -> None:
    tab = to_stripes_page(page, desk)
    type_card(tab, VISA)
    expect_bought(page, tab)
    page.reload()
    expect(page.get_by_text("You now have 10 credits.")).to_be_visible()
    expect(page.get_by_role("banner")).to_contain_text("10 credits")


def test_a_declined_card_then_another_one_pays_once(page: Page, desk: Desk) -> None:
    tab = to_stripes_page(page, desk)
    type_card(tab, DECLINED)
    expect(tab.get_by_text("Your card was declined.")).to_be_visible()
    expect(page.get_by_text("did not go through")).to_be_visible(timeout=20_000)
    type_card(tab, VISA)
    expect_bought(page, tab)


def test_3d_secure_is_asked_on_its_own_page_and_the_purchase_goes_through(page: Page, desk: Desk) -> None:
    tab = to_stripes_page(page, desk)
    type_card(tab, NEEDS_3DS)
    tab.wait_for_url(re.compile(r"/c/3ds/"))
    tab.get_by_role("button", name="Complete authentication").click()
    expect_bought(page, tab)


def test_3d_secure_refused_charges_nothing_and_the_form_is_there_again(page: Page, desk: Desk) -> None:
    tab = to_stripes_page(page, desk)
    type_card(tab, NEEDS_3DS)
    tab.wait_for_url(re.compile(r"/c/3ds/"))
    tab.get_by_role("button", name="Fail authentication").click()
    expect(tab.get_by_text("unable to authenticate")).to_be_visible()
    expect(page.get_by_role("banner")).to_contain_text("0 credits")
