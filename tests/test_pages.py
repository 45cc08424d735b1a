"""The pages, over real HTTP: what they say, what they never do, and which headers they carry."""

from __future__ import annotations

import asyncio
import html
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from starlette.responses import Response

from conftest import settings_for
from desk import Desk, running_desk
from paydesk.channels.base import Address
from paydesk.chat.texts import BUILT_IN, ENGLISH
from paydesk.config import Settings
from paydesk.service import Service
from paydesk.web.pages import assets, end_streams, link, reference, stream
from paydesk.web.pages.render import render
from paydesk.web.pages.visitor import COOKIE, new_visitor, remember
from sandbox_fixtures import running_sandbox

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'{}; base-uri 'none'; frame-ancestors 'none'"
)
BROWSER = {"Accept": "text/html,*/*", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def visitor(desk: Desk) -> Iterator[httpx.Client]:
    """A browser that has opened the chat."""
    with new_browser(desk) as client:
        assert client.get("/chat").status_code == 200
        yield client


def new_browser(desk: Desk) -> httpx.Client:
    return httpx.Client(base_url=desk.url, headers=BROWSER, timeout=30)


def say(client: httpx.Client, text: str) -> list[dict[str, Any]]:
    answer = client.post("/chat/messages", json={"text": text})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


def link_of(desk: Desk, order: str) -> str:
    return str(desk.sql("SELECT link_token FROM orders WHERE id = $1", order)[0]["link_token"])


# --- every page ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/chat", "/docs", "/nothing/here", "/r/unknown0000000000"])
def test_every_page_carries_the_content_policy_and_is_never_stored(desk: Desk, path: str) -> None:
    answer = httpx.get(desk.url + path, headers=BROWSER)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    pages = " ".join(link.ORIGINS)
    payment = f" {pages} {desk.sandbox.url}" if path.startswith("/r/") else ""
    assert answer.headers["content-security-policy"] == CSP.format(payment)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in answer.text
    assert not re.search(r"\s(style|on\w+)=", answer.text)


def test_a_page_that_does_not_exist_is_a_page_for_people_and_json_for_programs(desk: Desk) -> None:
    people = httpx.get(f"{desk.url}/nothing", headers=BROWSER)
    assert people.status_code == 404
    assert "There is nothing here" in people.text
    program = httpx.get(f"{desk.url}/nothing", headers={"Accept": "application/json"})
    assert (program.status_code, program.json()["error"]["code"]) == (404, "not_found")


def test_files_are_kept_for_a_year_under_their_hash_and_asked_for_without_it(desk: Desk) -> None:
    for name, asset in assets.ASSETS.items():
        kept = httpx.get(desk.url + assets.address(name))
        assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert kept.headers["content-type"] == asset.media_type
        assert kept.content == asset.body
    asked = httpx.get(f"{desk.url}/static/paydesk.css", params={"v": "old"})
    assert asked.headers["cache-control"] == "public, no-cache"
    again = httpx.get(f"{desk.url}/static/paydesk.css", headers={"If-None-Match": asked.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", ["nothing.css", "..%2frender.py", "..%2f..%2fauth.py", "."])
def test_only_our_files_are_served(desk: Desk, name: str) -> None:
    assert httpx.get(f"{desk.url}/static/{name}").status_code == 404


def test_the_start_page_shows_what_is_sold_and_what_runs(desk: Desk) -> None:
    text = html.unescape(httpx.get(desk.url).text)
    assert "Paydesk 0." in text
    assert "1,000 tokens" in text
    assert "$49.99" in text


def test_in_live_mode_customers_are_not_shown_what_runs_here() -> None:
    values = {"version": "1", "sandbox": None, "products": [], "public_url": "https://pay.example.com"}
    assert "What runs here" in bytes(render("home.html", test=True, **values).body).decode()
    assert "What runs here" not in bytes(render("home.html", test=False, **values).body).decode()


def test_texts_can_be_read_on_their_grounds_in_light_and_dark() -> None:
    sheet = assets.ASSETS["paydesk.css"].body.decode()
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part)) for part in sheet.split("@media", 2)[:2])
    for tokens in (light, dark):
        for ink, ground in PAIRS:
            ratio = contrast(tokens[ink], tokens[ground])
            assert ratio >= 4.5, f"{ink} on {ground}: {ratio:.2f}"
        assert contrast(tokens["line-strong"], tokens["surface"]) >= 3


PAIRS = (
    ("ink", "canvas"), ("ink", "surface"), ("ink-soft", "canvas"), ("ink-soft", "surface"), ("ink-soft", "sunken"),
    ("accent-ink", "accent"), ("accent-ink", "accent-hover"), ("accent-text", "canvas"), ("accent-text", "surface"),
    ("accent-text", "accent-soft"), ("ink", "accent-soft"), ("ink", "warn-soft"), ("warn", "warn-soft"),
    ("danger", "danger-soft"), ("danger", "canvas"), ("code-ink", "code"),
)  # fmt: skip


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# --- the chat --------------------------------------------------------------------------------------------------------


def test_a_visitor_gets_a_random_id_that_scripts_cannot_read(desk: Desk) -> None:
    cookies = {httpx.get(f"{desk.url}/chat").headers["set-cookie"] for _ in range(2)}
    assert len(cookies) == 2
    for cookie in cookies:
        assert re.fullmatch(rf"{COOKIE}=[\w-]{{32}}; HttpOnly; Max-Age=31536000; Path=/chat; SameSite=lax", cookie)


def test_the_cookie_is_secure_where_the_address_is(settings: Settings) -> None:
    for url, secure in (("https://pay.example.com", True), ("http://127.0.0.1:8000", False)):
        response = Response()
        remember(response, new_visitor(), Settings(settings.data, settings.catalog, public_url=url))
        assert ("; Secure" in response.headers["set-cookie"]) is secure


def test_opening_the_chat_stores_nothing(desk: Desk) -> None:
    count = "SELECT (SELECT count(*) FROM message) AS messages, (SELECT count(*) FROM customer) AS people"
    before = desk.sql(count)
    with new_browser(desk) as client:
        client.get("/chat")
        client.get("/chat")
    assert desk.sql(count) == before


def test_a_new_visitor_is_greeted_once_even_when_two_tabs_ask(desk: Desk, visitor: httpx.Client) -> None:
    tabs = [threading.Thread(target=lambda: visitor.post("/chat/start", json={})) for _ in range(4)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    said = visitor.get("/chat/messages").json()["data"]
    assert [one["direction"] for one in said] == ["out"]
    assert said[0]["buttons"][0] == {"label": "Buy", "command": "/buy"}


def test_what_is_said_is_answered_and_kept(visitor: httpx.Client) -> None:
    heard, answered = say(visitor, "  /balance ")
    assert (heard["direction"], heard["text"]) == ("in", "/balance")
    assert (answered["direction"], answered["text"]) == ("out", "You have nothing yet. /buy shows what there is.")
    assert visitor.get("/chat/messages").json() == {"data": [heard, answered], "has_more": False}
    assert visitor.get("/chat/messages", params={"after": heard["id"]}).json()["data"] == [answered]
    page = visitor.get("/chat").text
    assert f'data-id="{heard["id"]}"' in page
    assert f'data-last="{answered["id"]}"' in page


def test_visitors_never_see_each_other(desk: Desk, visitor: httpx.Client) -> None:
    say(visitor, "my secret word is aubergine")
    with new_browser(desk) as other:
        assert "aubergine" not in other.get("/chat").text
        assert other.get("/chat/messages").json()["data"] == []
        assert all("aubergine" not in one["text"] for one in say(other, "/history"))


@pytest.mark.parametrize("cookie", [None, "", "short", "x" * 33, "' OR 1=1 --" + "x" * 21, "../" * 10 + "ab"])
def test_without_a_cookie_of_ours_there_is_no_conversation(desk: Desk, cookie: str | None) -> None:
    headers = BROWSER | ({} if cookie is None else {"Cookie": f"{COOKIE}={cookie}"})
    for path in ("/chat/messages", "/chat/balance", "/chat/stream"):
        answer = httpx.get(desk.url + path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "no_conversation")
    assert httpx.post(f"{desk.url}/chat/messages", headers=headers, json={"text": "/start"}).status_code == 403
    assert COOKIE in httpx.get(f"{desk.url}/chat", headers=headers).headers["set-cookie"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:1"},
    ],
)
def test_other_sites_cannot_speak_for_a_visitor(visitor: httpx.Client, headers: dict[str, str]) -> None:
    for path in ("/chat/messages", "/chat/start"):
        answer = visitor.post(path, json={"text": "/start"}, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
    assert visitor.get("/chat/messages").json()["data"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"text=/start", 400),
        (b'{"text": ""}', 400),
        (b'{"text": "   "}', 400),
        (b'{"text": 5}', 400),
        (b'{"text": "a\\u0000b"}', 400),
        (b'{"text": "\\ud800"}', 400),
        (b'{"text": "/start", "external_id": "42"}', 400),
        (b'["/start"]', 400),
        (b"[" * 5000, 400),
        (b'{"text": "' + b"a" * 4001 + b'"}', 400),
        (b'{"text": "' + b"a" * 40_000 + b'"}', 413),
    ],
)
def test_bad_input_is_refused_and_nothing_is_kept(visitor: httpx.Client, body: bytes, status: int) -> None:
    def pieces() -> Iterator[bytes]:
        yield from (body[at : at + 1000] for at in range(0, len(body), 1000))

    for content in (body, pieces()):
        answer = visitor.post("/chat/messages", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, answer.text
    form = visitor.post("/chat/messages", content=b'{"text": "/start"}', headers={"Content-Type": "text/plain"})
    assert form.status_code == 400
    assert visitor.get("/chat/messages").json()["data"] == []


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 19, "9" * 50, "٣", " 1"])
def test_a_number_that_is_none_is_refused(visitor: httpx.Client, after: str) -> None:
    for path in ("/chat/messages", "/chat/stream"):
        assert visitor.get(path, params={"after": after}).status_code == 400


def test_the_balance_follows_a_payment(desk: Desk, visitor: httpx.Client) -> None:
    assert visitor.get("/chat/balance").json() == {
        "text": "0 credits", "balances": {"credits": 0}, "held": {}, "debts": {},
    }  # fmt: skip
    say(visitor, "/buy credits-10")
    buyer = desk.buyer()
    buyer.external_id = visitor.cookies[COOKIE]
    buyer.buy("credits-10")
    buyer.buy("tokens")
    expected = {
        "text": "10 credits · 1,000 tokens",
        "balances": {"credits": 10, "tokens": 1000},
        "held": {},
        "debts": {},
    }
    assert visitor.get("/chat/balance").json() == expected


def test_what_is_held_and_what_is_owed_is_shown_where_there_is_some(desk: Desk, visitor: httpx.Client) -> None:
    say(visitor, "/start")
    buyer = desk.buyer()
    buyer.external_id = visitor.cookies[COOKIE]
    order = buyer.buy("credits-10")
    desk.post(f"/v1/customers/{buyer.id}/credits/hold", {"amount": 6})
    assert visitor.get("/chat/balance").json()["text"] == "4 credits (6 held)"
    assert "4 credits (6 held)" in visitor.get("/chat").text
    assert buyer.say("/balance")[0]["text"] == (
        "You have 4 credits. 6 credits more are held until what they are for has its price."
    )
    desk.post("/v1/refunds", {"order": order["id"]})
    desk.settled(order["id"], "refunded")
    shown = visitor.get("/chat/balance").json()
    assert shown == {
        "text": "0 credits (6 held, 6 owed)", "balances": {"credits": 0}, "held": {"credits": 6}, "debts": {"credits": 6},
    }  # fmt: skip
    assert "You owe 6 credits; what comes in next pays that first." in buyer.say("/balance")[0]["text"]


def test_the_link_of_an_order_that_a_payment_pays_has_no_button_and_turns_when_it_is_paid(desk: Desk) -> None:
    asked = {"customer": desk.buyer().who, "items": [{"price": "credits-10"}]}
    payment = desk.post("/v1/payments", asked)
    link = desk.get(f"/v1/orders/{payment['order']}")["link"]
    page = httpx.get(link, timeout=20).text
    assert "data-pay" not in page
    assert "This order is paid on another page" in page
    assert httpx.get(f"{link}/status", timeout=20).json()["state"] == "elsewhere"
    desk.at_stripe("POST", f"/v1/payment_intents/{payment['id']}/confirm", {"payment_method": "pm_card_visa"})
    desk.settled(payment["order"])
    assert httpx.get(f"{link}/status", timeout=20).json()["state"] == "paid"
    assert "You got 10 credits" in httpx.get(link, timeout=20).text


# --- the stream ------------------------------------------------------------------------------------------------------


def events(answer: httpx.Response) -> Iterator[dict[str, str]]:
    """The events of a stream, as fields; comments are left out."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
            continue
        if "data" in fields:
            yield fields
        fields = {}


def test_messages_come_live_and_resume_where_the_browser_left_off(desk: Desk, visitor: httpx.Client) -> None:
    first = say(visitor, "/help")[-1]["id"]
    with visitor.stream("GET", "/chat/stream", params={"after": first}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        speaker = threading.Thread(target=say, args=(visitor, "/balance"))
        speaker.start()
        coming = events(answer)
        heard, answered = next(coming), next(coming)
        speaker.join()
    assert orjson.loads(heard["data"])["text"] == "/balance"
    resumed = {"Last-Event-ID": heard["id"]}
    with visitor.stream("GET", "/chat/stream", params={"after": "0"}, headers=resumed) as answer:
        assert next(events(answer)) == answered


async def test_an_edit_comes_live_once_and_to_who_resumes(
    service: Service, thread: tuple[Address, AsyncIterator[bytes]]
) -> None:
    who, coming = thread
    number = await service.threads.say(who, "on its way", [])
    assert b'"version":0' in await anext(coming)
    assert await service.threads.change(who, number, "paid", [], 7)
    edit = await anext(coming)
    assert edit.startswith(b"id: %d-7\n" % number)
    assert b'"text":"paid"' in edit
    assert await service.threads.change(who, number, "old news", [], 6), "it is there, and stays as it is"
    await service.threads.say(who, "next", [])
    assert b'"text":"next"' in await anext(coming)
    late = stream.answer(service, who, stream.Seen(number, 0), "127.0.0.1").body_iterator
    frames = [await anext(late) for _ in range(3)]
    await late.aclose()
    assert frames[1].startswith(b"id: %d-7\n" % number)
    assert b'"text":"paid"' in frames[1]
    assert b'"text":"next"' in frames[2]


def test_an_edit_of_an_old_message_does_not_send_the_browser_back() -> None:
    seen = stream.Seen(10, 0)
    seen.sent.add(3)
    assert seen.event_id == "10-0"


async def test_nobody_elses_message_is_edited(service: Service, thread: tuple[Address, AsyncIterator[bytes]]) -> None:
    who, _ = thread
    heard = await service.threads.hear(who, "mine")
    number = await service.threads.say(who, "ours", [])
    stranger = Address("web", new_visitor())
    assert not await service.threads.change(stranger, number, "x", [], 9)
    assert not await service.threads.change(who, heard, "x", [], 9)
    assert not await service.threads.change(who, number + 1, "x", [], 9)
    assert [said.text for said in await service.threads.latest(who)] == ["mine", "ours"]


@pytest.fixture
async def thread(service: Service) -> AsyncIterator[tuple[Address, AsyncIterator[bytes]]]:
    """A thread and its open stream, past the first line."""
    who = Address("web", new_visitor())
    coming = stream.answer(service, who, stream.Seen(0, 0), "127.0.0.1").body_iterator
    assert b"retry" in await anext(coming)
    yield who, coming
    await coming.aclose()


async def test_a_message_that_becomes_visible_late_is_sent_too(
    service: Service, thread: tuple[Address, AsyncIterator[bytes]]
) -> None:
    who, coming = thread
    async with service.store.transaction() as slow:
        await slow.execute(
            "INSERT INTO message (channel, external_id, direction, text) VALUES ('web', $1, 'out', 'slow')",
            who.external_id,
        )
        quick = asyncio.create_task(anext(coming))
        await asyncio.create_task(service.threads.say(who, "quick", []))
        assert b'"text":"quick"' in await quick
    service.bell.ring(f"chat:web:{who.external_id}")
    assert b'"text":"slow"' in await anext(coming)


async def test_streams_end_when_the_server_stops(
    service: Service, thread: tuple[Address, AsyncIterator[bytes]]
) -> None:
    _, coming = thread
    rest = asyncio.create_task(anext(coming, None))
    await asyncio.sleep(0.1)
    assert not rest.done()
    end_streams()
    assert await asyncio.wait_for(rest, 1) is None


def test_a_stopping_service_does_not_wait_for_open_chats(own_desk: Desk) -> None:
    with new_browser(own_desk) as client:
        client.get("/chat")
        with client.stream("GET", "/chat/stream") as answer:
            lines = answer.iter_lines()
            assert next(lines) == "retry: 1000"
            own_desk.process.terminate()
            assert [line for line in lines if line] == []


# --- the payable link ------------------------------------------------------------------------------------------------


def test_opening_a_link_makes_nothing_and_pressing_its_button_makes_one_session(desk: Desk) -> None:
    buyer = desk.buyer()
    url = buyer.say("/buy credits-10")[0]["buttons"][0]["url"]
    for method in ("GET", "HEAD", "GET"):
        shown = httpx.request(method, url, headers=BROWSER)
        assert shown.status_code == 200
    text = shown.text
    assert "Pay $9.99" in text
    assert "10 credits" in text
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert shown.headers["x-robots-tag"] == "noindex, nofollow"
    made = "SELECT count(*) AS n FROM stripe_call WHERE subject IN (SELECT id FROM orders WHERE link_token = $1)"
    token = url.rpartition("/")[2]
    assert desk.sql(made, token) == [{"n": 0}]
    pressed = [httpx.post(url) for _ in range(2)]
    assert [answer.status_code for answer in pressed] == [303, 303]
    assert pressed[0].headers["location"] == pressed[1].headers["location"]
    assert pressed[0].headers["location"].startswith(f"{desk.sandbox.url}/c/pay/")
    assert pressed[0].headers["referrer-policy"] == "no-referrer"
    assert desk.sql(made, token) == [{"n": 1}]


def test_a_paid_order_says_what_it_gave_and_takes_no_second_payment(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.checkout("bundle")
    token = link_of(desk, order["id"])
    status = f"{desk.url}/r/{token}/status"
    assert httpx.get(status).json() == {"state": "open", "session": True}
    assert f'data-watch="/r/{token}"' in httpx.get(f"{desk.url}/r/{token}").text
    buyer.pay(order)
    desk.settled(order["id"])
    assert httpx.get(status).json()["state"] == "paid"
    text = httpx.get(f"{desk.url}/r/{token}").text
    assert "You got 100 credits, 7 days of premium and badge." in text
    assert "Already paid" in text
    assert order["id"][4:12].upper() in text
    assert "<form" not in text
    again = httpx.post(f"{desk.url}/r/{token}")
    assert (again.status_code, again.headers["location"]) == (303, f"/r/{token}")


def test_a_canceled_order_cannot_be_paid_any_more(desk: Desk) -> None:
    order = desk.buyer().checkout("credits-10")
    desk.post(f"/v1/orders/{order['id']}/cancel", {})
    url = f"{desk.url}/r/{link_of(desk, order['id'])}"
    assert "This order was canceled" in httpx.get(url).text
    assert httpx.post(url).headers["location"] == url.removeprefix(desk.url)


@pytest.mark.parametrize(
    ("status", "words"),
    [("pending", "Your payment is on its way"), ("refunded", "This order was refunded"), ("expired", "Pay $9.99")],
)
def test_every_other_state_has_its_words(desk: Desk, status: str, words: str) -> None:
    order = desk.buyer().checkout("credits-10")
    desk.sql("UPDATE orders SET status = $2 WHERE id = $1", order["id"], status)
    assert words in httpx.get(f"{desk.url}/r/{link_of(desk, order['id'])}").text


@pytest.mark.parametrize("token", ["x", "0" * 26, "<script>alert(1)</script>", "'; DROP TABLE orders; --", "é" * 26])
def test_an_unknown_link_tells_how_to_start_again(desk: Desk, token: str) -> None:
    for method in ("GET", "POST"):
        answer = httpx.request(method, f"{desk.url}/r/{token}", headers=BROWSER)
        assert answer.status_code == 404
        assert "<script>" not in answer.text
    if "/" not in token:
        assert "Start again in the chat" in answer.text
        assert httpx.get(f"{desk.url}/r/{token}/status").status_code == 404


def test_a_link_speaks_the_language_of_its_buyer_or_of_their_browser(desk: Desk) -> None:
    body = {"channel": "web", "external_id": "kupiec", "text": "/buy credits-10", "locale": "pl"}
    url = desk.post("/v1/chat", body)["replies"][0]["buttons"][0]["url"]
    page = httpx.get(url, headers={"Accept-Language": "nl"}).text
    assert '<html lang="pl">' in page
    assert "Twoje zamówienie" in page
    assert "9,99 USD" in html.unescape(page).replace("\xa0", " ")
    assert "Your order" not in page
    unknown = httpx.get(f"{desk.url}/r/{'0' * 26}", headers={"Accept-Language": "nl-BE,nl;q=0.9"}).text
    assert "Begin opnieuw in de chat" in unknown
    portal = httpx.get(f"{desk.url}/billing/nothing", headers={"Accept-Language": "pl"}).text
    assert "Ten link już donikąd nie prowadzi" in portal


def test_what_stripe_refuses_is_said_without_its_inner_words(desk: Desk) -> None:
    buyer = desk.buyer()
    item = {"name": "Too cheap", "amount": 1, "currency": "chf", "quantity": 1}
    refused = desk.call("POST", "/v1/checkouts", json={"customer": buyer.who, "items": [item]})
    assert refused.status_code == 402
    token = desk.sql("SELECT link_token FROM orders WHERE customer_id = $1", buyer.id)[0]["link_token"]
    answer = httpx.post(f"{desk.url}/r/{token}")
    assert answer.status_code == 402
    assert "This order cannot be paid" in answer.text
    assert refused.json()["error"]["message"] not in html.unescape(answer.text)


async def test_a_custom_checkout_domain_is_reached_by_a_page_that_leads_on(service: Service) -> None:
    url = 'https://pay.example.com/c/pay/cs_1?a=1&b="2"'
    answer = link.onward(service, BUILT_IN.words("nl"), url)
    assert (answer.status_code, answer.headers["refresh"]) == (200, f"0; url={url}")
    assert f'href="{html.escape(url)}"' in bytes(answer.body).decode().replace("&#34;", "&quot;")
    assert "Door naar de betaalpagina" in bytes(answer.body).decode()
    known = link.onward(service, ENGLISH, "https://checkout.stripe.com/c/pay/cs_1")
    assert (known.status_code, known.headers["location"]) == (303, "https://checkout.stripe.com/c/pay/cs_1")


def test_while_stripe_is_away_the_button_stays_and_nothing_is_lost(new_database: Callable[[], str]) -> None:
    with running_sandbox() as sandbox, running_desk(settings_for(new_database(), sandbox.url), sandbox) as desk:
        url = desk.buyer().say("/buy credits-10")[0]["buttons"][0]["url"]
        sandbox.stop()
        answer = httpx.post(url, timeout=60)
        assert answer.status_code == 503
        assert "Try again" in answer.text
        assert "Nothing was charged" in answer.text
        assert answer.headers["retry-after"] == "10"
        with running_sandbox(port=sandbox.port):
            assert httpx.post(url, timeout=60).status_code == 303


# --- the API reference -----------------------------------------------------------------------------------------------


def test_the_reference_shows_every_call_of_the_api_once(desk: Desk) -> None:
    description = httpx.get(f"{desk.url}/openapi.json").json()
    text = httpx.get(f"{desk.url}/docs").text
    calls = [(method, path) for path, methods in description["paths"].items() for method in methods]
    anchors = re.findall(r'<article class="operation" id="([^"]+)"', text)
    assert len(anchors) == len(set(anchors)) == len(calls)
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)
    assert "items[].quantity" in text


def test_an_example_of_the_reference_is_what_the_api_takes(desk: Desk) -> None:
    description = httpx.get(f"{desk.url}/openapi.json").json()
    found = {one.path: one for group in reference.groups(description, desk.url) for one in group.operations}
    body = orjson.loads(found["/v1/checkouts"].body_example or "")
    assert desk.post("/v1/checkouts", body)["amount"] == 999
    assert "Idempotency-Key" in found["/v1/checkouts"].curl


def test_colored_json_is_still_the_same_text() -> None:
    text = (
        Path(__file__).with_name("catalog.toml").read_text() + '{"a\\"b": [1, -2.5, true, null, "x: \\" y"], "<": "</"}'
    )
    assert "".join(piece for _, piece in reference.colored(text)) == text
    assert ("name", '"a\\"b"') in reference.colored(text)
