"""The web chat and the payable link, in a real browser, as a buyer uses them."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from browser import browser, page
from conftest import settings_for
from desk import Desk, running_desk
from paydesk.web.pages.chat import POSTS
from paydesk.web.pages.visitor import COOKIE
from sandbox_fixtures import Sandbox

GREETING = "Hello! Here you can buy"
VISA, DECLINED, SECURED = "4242424242424242", "4000000000000002", "4000002760003184"


def open_chat(page: Page, desk: Desk) -> None:
    page.goto(f"{desk.url}/chat")
    expect(page.get_by_text(GREETING)).to_be_visible()


def say(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.keyboard.press("Enter")


def open_link(page: Page) -> Page:
    """Ask for ten credits, and press the pay button: the link opens in a tab of its own."""
    say(page, "/buy credits-10")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Pay $9.99").click()
    return opened.value


def fill(page: Page, number: str) -> None:
    """Fill the hosted page in, and pay."""
    page.get_by_label("Email").fill("jo@example.com")
    page.get_by_label("Card number").fill("")
    page.get_by_label("Card number").press_sequentially(number)
    page.get_by_label("Expiration date").fill("")
    page.get_by_label("Expiration date").press_sequentially("1240")
    page.get_by_label("Security code").fill("123")
    page.get_by_label("Cardholder name").fill("Jo Buyer")
    page.get_by_role("button", name="Pay $9.99").click()


def expect_ten_credits(page: Page, link: Page) -> None:
    """The link has turned to paid, the news is in the thread, and the balance has changed: without any reload."""
    link.wait_for_url(re.compile("/r/"))
    expect(link.get_by_role("heading", name="Paid")).to_be_visible(timeout=15_000)
    expect(link.get_by_text("You got 10 credits.")).to_be_visible()
    expect(message(page, "Paid $9.99. You got 10 credits.")).to_be_visible()
    expect(page.get_by_role("button", name="Your balance")).to_contain_text("10 credits")


def message(page: Page, text: str) -> Locator:
    return page.locator(".bubble-text", has_text=text)


# --- buying ----------------------------------------------------------------------------------------------------------


def test_ten_credits_bought_in_the_chat_arrive_while_one_watches(desk: Desk, page: Page) -> None:
    open_chat(page, desk)
    expect(page.get_by_role("button", name="Your balance")).to_contain_text("0 credits")
    link = open_link(page)
    link.get_by_role("button", name="Pay $9.99").click()
    fill(link, VISA)
    expect_ten_credits(page, link)
    page.reload()
    expect(message(page, "Paid $9.99. You got 10 credits.")).to_be_visible()
    expect(page.get_by_role("button", name="Your balance")).to_contain_text("10 credits")


def test_a_declined_card_and_then_another_one(desk: Desk, page: Page) -> None:
    open_chat(page, desk)
    link = open_link(page)
    link.get_by_role("button", name="Pay $9.99").click()
    fill(link, DECLINED)
    expect(link.get_by_text("Your card was declined.")).to_be_visible()
    expect(page.get_by_text("did not go through")).to_be_visible()
    before = page.locator("#messages .message").count()
    fill(link, VISA)
    expect_ten_credits(page, link)
    expect(page.get_by_text("did not go through")).to_have_count(0)
    expect(page.locator("#messages .message")).to_have_count(before)
    expect(page.locator(".message-edited:visible")).to_have_count(1)
    expect(page.get_by_role("status").filter(has_text="Changed:")).to_contain_text("Paid $9.99.")
    page.reload()
    expect(page.locator(".message-edited:visible")).to_have_count(1)


def test_a_payment_through_3d_secure(desk: Desk, page: Page) -> None:
    open_chat(page, desk)
    link = open_link(page)
    link.get_by_role("button", name="Pay $9.99").click()
    fill(link, SECURED)
    link.get_by_role("button", name="Complete authentication").click()
    expect_ten_credits(page, link)


def test_3d_secure_refused_charges_nothing_and_the_form_is_there_again(desk: Desk, page: Page) -> None:
    open_chat(page, desk)
    link = open_link(page)
    link.get_by_role("button", name="Pay $9.99").click()
    fill(link, SECURED)
    link.get_by_role("button", name="Fail authentication").click()
    expect(link.get_by_text("unable to authenticate")).to_be_visible()
    expect(page.get_by_role("button", name="Your balance")).to_contain_text("0 credits")


def test_an_open_link_turns_to_paid_by_itself_and_says_so_to_a_screen_reader(desk: Desk, page: Page) -> None:
    buyer = desk.buyer()
    order = buyer.checkout("credits-10")
    page.goto(order["link"])
    expect(page.get_by_role("button", name="Pay $9.99")).to_be_visible()
    page.evaluate("window.sameDocument = true")
    buyer.pay(order)
    expect(page.get_by_role("heading", name="Paid")).to_be_visible(timeout=15_000)
    expect(page.locator("#news")).to_have_text("Paid")
    expect(page.get_by_role("button", name="Pay $9.99")).to_have_count(0)
    assert page.evaluate("window.sameDocument") is True


def test_going_back_from_the_hosted_page_leaves_the_button_usable(desk: Desk, page: Page) -> None:
    page.goto(desk.buyer().say("/buy credits-10")[0]["buttons"][0]["url"])
    page.get_by_role("button", name="Pay $9.99").click()
    page.wait_for_url(f"{desk.sandbox.url}/**")
    page.go_back()
    page.get_by_role("button", name="Pay $9.99").click()
    page.wait_for_url(f"{desk.sandbox.url}/**")


def test_a_message_that_changes_out_of_sight_is_found_with_one_press(desk: Desk, page: Page) -> None:
    open_chat(page, desk)
    buyer = desk.buyer()
    buyer.external_id = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == COOKIE)
    order = buyer.buy("credits-10")
    expect(message(page, "Paid $9.99.")).to_be_visible()
    for count in range(1, 6):
        say(page, "/buy")
        expect(page.get_by_text("30 days of access – $29.99")).to_have_count(count)
    expect(message(page, "Paid $9.99.")).not_to_be_in_viewport()
    payment = desk.at_stripe("GET", f"/v1/checkout/sessions/{order['session']}").json()["payment_intent"]
    assert desk.at_stripe("POST", "/v1/refunds", {"payment_intent": payment}).status_code == 200
    page.get_by_role("button", name="A message has changed").click(timeout=15_000)
    expect(message(page, "Refunded: $9.99, all of it. Taken back: 10 credits.")).to_be_in_viewport()
    expect(page.get_by_role("button", name="A message has changed")).to_be_hidden()
    expect(page.get_by_role("button", name="Your balance")).to_contain_text("0 credits")


# --- the conversation ------------------------------------------------------------------------------------------------


def test_a_first_visit_is_greeted_and_a_reload_keeps_the_thread(desk: Desk, page: Page) -> None:
    open_chat(page, desk)
    say(page, "hello there")
    expect(page.get_by_text("I did not understand that.")).to_be_visible()
    before = page.locator(".bubble-text").all_inner_texts()
    page.reload()
    expect(page.locator("#messages .bubble-text")).to_have_text(before)
    assert before[1] == "hello there"


def test_a_command_button_speaks_and_each_message_stands_once(desk: Desk, page: Page) -> None:
    open_chat(page, desk)
    for _ in range(5):
        page.get_by_role("group", name="Quick commands").get_by_role("button", name="Balance").click()
    expect(page.get_by_text("You have nothing yet.")).to_have_count(5)
    expect(page.locator(".message-in")).to_have_count(5)
    page.reload()
    expect(page.locator(".message-in")).to_have_count(5)


def test_the_same_thread_in_two_tabs_stays_the_same(desk: Desk, page: Page) -> None:
    open_chat(page, desk)
    other = page.context.new_page()
    open_chat(other, desk)
    say(page, "/help")
    expect(other.get_by_text("/history – your latest orders")).to_be_visible()
    assert other.locator(".bubble-text").all_inner_texts() == page.locator("#messages .bubble-text").all_inner_texts()


def test_a_message_that_was_not_sent_says_so_and_goes_with_one_press(desk: Desk, page: Page) -> None:
    open_chat(page, desk)
    page.context.set_offline(True)
    say(page, "/history")
    expect(page.get_by_role("alert")).to_contain_text("No connection")
    expect(page.get_by_text("Not sent", exact=True)).to_be_visible()
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("You have not bought anything yet.")).to_be_visible()
    expect(page.locator(".message-in")).to_have_count(1)
    expect(page.get_by_text("Not sent", exact=True)).to_have_count(0)


def test_several_messages_that_were_not_sent_go_with_one_press(desk: Desk, page: Page) -> None:
    open_chat(page, desk)
    page.context.set_offline(True)
    for command in ("/history", "/balance"):
        say(page, command)
    expect(page.get_by_text("Not sent", exact=True)).to_have_count(2)
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("You have nothing yet.")).to_be_visible()
    expect(page.get_by_text("You have not bought anything yet.")).to_be_visible()
    expect(page.get_by_text("Not sent", exact=True)).to_have_count(0)


def test_a_person_who_says_a_lot_at_once_waits_and_loses_nothing(desk: Desk, page: Page) -> None:
    page.set_extra_http_headers({"X-Forwarded-For": "198.51.100.77"})
    open_chat(page, desk)
    for number in range(POSTS.burst + 2):
        say(page, f"thing {number}")
    expect(page.locator(".message-in:not(.message-sending)")).to_have_count(POSTS.burst + 2, timeout=30_000)
    expect(page.get_by_role("alert")).to_be_hidden()
    assert page.locator(".message-in .bubble-text").all_inner_texts() == [f"thing {n}" for n in range(POSTS.burst + 2)]


def test_from_the_shelf_a_wish_stands_in_the_chat_and_the_person_sends_it(desk: Desk, page: Page) -> None:
    page.goto(desk.url)
    page.get_by_role("link", name="Buy 1,000 tokens in the chat").click()
    expect(page.get_by_role("textbox")).to_have_value("/buy tokens")
    assert page.locator(".message-in").count() == 0
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("link", name="Pay €5.00")).to_be_visible()
    page.goto("about:blank")
    page.goto(f"{desk.url}/chat#buy=%3Cscript%3E")
    expect(page.get_by_role("textbox")).to_have_value("")


def test_without_a_stream_messages_still_come(desk: Desk, page: Page) -> None:
    page.route("**/chat/stream*", lambda route: route.abort())
    open_chat(page, desk)
    buyer = desk.buyer()
    buyer.external_id = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == COOKIE)
    buyer.buy("credits-10")
    expect(message(page, "Paid $9.99.")).to_be_visible(timeout=15_000)


def test_new_messages_do_not_move_a_reader_who_looks_at_old_ones(desk: Desk, page: Page) -> None:
    open_chat(page, desk)
    for count in range(1, 6):
        say(page, "/buy")
        expect(page.get_by_text("30 days of access – $29.99")).to_have_count(count)
    thread = page.locator("#thread")
    thread.evaluate("element => element.scrollTop = 0")
    other = page.context.new_page()
    other.goto(f"{desk.url}/chat")
    say(other, "/help")
    page.get_by_role("button", name="New messages").click(timeout=10_000)
    expect(page.get_by_text("/history – your latest orders")).to_be_in_viewport()
    expect(page.get_by_role("button", name="New messages")).to_be_hidden()


def test_the_chat_can_be_used_with_the_keyboard_alone(desk: Desk, page: Page) -> None:
    open_chat(page, desk)
    expect(page.get_by_label("Your message")).to_be_focused()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    expect(page.get_by_label("Your message")).to_have_value("one\ntwo")
    page.keyboard.press("Enter")
    expect(page.locator(".message-in .bubble-text")).to_have_text("one\ntwo")
    expect(page.get_by_label("Your message")).to_have_value("")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("/history – your latest orders")).to_be_visible()


# --- every page ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_page_is_wider_than_its_window(desk: Desk, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    order = desk.buyer().checkout("bundle", quantity=12)
    for path in ("/", "/chat", "/docs", "/nothing", "/r/unknown0000000000", order["link"].removeprefix(desk.url)):
        page.goto(desk.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_the_reference_is_searched_while_one_types(desk: Desk, page: Page) -> None:
    page.goto(f"{desk.url}/docs")
    page.keyboard.press("/")
    page.keyboard.type("post checkouts")
    expect(page.locator("#get-v1-products-title")).to_be_hidden()
    expect(page.get_by_role("heading", name="Create checkout", exact=True)).to_be_visible()
    shown = page.locator(".operation:visible").count()
    assert 1 <= shown < page.locator(".operation").count() / 10
    expect(page.locator("#found")).to_have_text(f"{shown} calls")
    page.keyboard.press("Escape")
    expect(page.locator("#get-v1-products-title")).to_be_visible()


# --- names and texts that want to be code ----------------------------------------------------------------------------

EVIL = "</title></script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\"'`{{7*7}}"
CATALOGUE = f"""
[products.evil]
name = '''{EVIL}'''
description = '''{EVIL}'''
prices = [{{ currency = "usd", amount = "9.99" }}]
grants = [{{ kind = "credits", amount = 10 }}]
"""


@pytest.fixture(scope="module", autouse=True)
def evil_desk(
    desk: Desk, new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """A desk whose only product has a hostile name.

    Both desks are made before the browser starts: its event loop lets no other one run.
    """
    path: Path = tmp_path_factory.mktemp("evil") / "catalog.toml"
    path.write_text(CATALOGUE)
    settings = settings_for(new_database(), stripe_sandbox.url, PAYDESK_CATALOG=str(path))
    with running_desk(settings, stripe_sandbox, webhooks=False) as running:
        yield running


def expect_harmless(page: Page) -> None:
    """The hostile text stands there as text, and nothing of it ran."""
    expect(page.get_by_text(EVIL).first).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0


def test_hostile_names_and_messages_stay_text(evil_desk: Desk, page: Page) -> None:
    page.goto(evil_desk.url)
    expect_harmless(page)
    open_chat(page, evil_desk)
    say(page, EVIL)
    expect(page.locator(".message-in .bubble-text")).to_have_text(EVIL)
    say(page, "/buy evil")
    expect(page.get_by_role("link", name="Pay $9.99")).to_have_count(2)  # the bare name asks for the product, too
    expect_harmless(page)
    page.reload()
    expect_harmless(page)
    page.goto(str(page.get_by_role("link", name="Pay $9.99").last.get_attribute("href")))
    expect_harmless(page)


@pytest.mark.parametrize(
    "path", ["/r/%3Cscript%3Ewindow.hacked=1%3C%2Fscript%3E", '/r/"><script>window.hacked=1</script>', "/<img src=x>"]
)
def test_hostile_addresses_lead_to_plain_pages(desk: Desk, page: Page, path: str) -> None:
    page.goto(desk.url + path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
