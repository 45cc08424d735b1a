"""One desk on every channel at once: each buyer hears the same purchase where they bought, once, in their language."""

from __future__ import annotations

import email
import email.policy
import json
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from twilio.request_validator import RequestValidator

from conftest import settings_for
from desk import CARD, Desk, running_desk
from discord_fixtures import Servers, Shop, planted
from fakes.chatwoot import ADMIN_TOKEN, running_chatwoot, signed
from fakes.chatwoot import Fake as ChatwootFake
from fakes.discord import DiscordFake
from fakes.receiver import Receiver, receiving
from fakes.telegram import TOKEN as TELEGRAM_TOKEN
from fakes.telegram import TelegramFake
from fakes.twilio import ACCOUNT, TOKEN, Twilio, running_twilio
from sandbox_fixtures import running_sandbox, until
from subscribers import advance
from test_channel_mail import Post, office

SECRET = "chatwoot-webhook-secret"
LINK = re.compile(r"http://127\.0\.0\.1:\d+/r/\w+")
CATALOGUE = """
[products.credits-10]
name = "10 credits"
prices = [{ currency = "usd", amount = "9.99" }]
grants = [{ kind = "credits", amount = 10 }]

[products.nasty]
name = "@everyone <b>{amount}</b> {{reason}} [x](https://evil.example) `%s` */_ \\r\\nBcc: all@evil.example"
reminders = false
prices = [{ currency = "usd", amount = "1.00", interval = "month" }]
grants = [{ kind = "feature", feature = "nasty" }]

[products.plus]
name = "Plus"
reminders = false
prices = [{ currency = "usd", amount = "10.00", interval = "month" }]
grants = [{ kind = "feature", feature = "plus" }]
"""

PAID = {"en": r"Paid \$9\.99", "pl": r"Zapłacono 9,99", "nl": r"9,99 betaald"}
REFUNDED = {"en": r"Refunded: \$9\.99", "pl": r"Zwrócono całą kwotę: 9,99", "nl": r"Terugbetaald: .*9,99"}
SUBSCRIBED = {
    "en": r"You are subscribed to Plus",
    "pl": r"Subskrypcja „Plus” jest aktywna",
    "nl": r"abonnement op Plus",
}
RENEWED = {"en": r"Plus is renewed", "pl": r"Odnowiono „Plus”", "nl": r"Plus is verlengd"}


@dataclass
class World:
    """Everything there is: the desk and the platforms around it."""

    desk: Desk
    telegram: TelegramFake
    discord: DiscordFake
    servers: Servers
    chatwoot: ChatwootFake
    twilio: Twilio
    post: Post
    receiver: Receiver
    endpoint: dict[str, Any]


@dataclass
class Voice:
    """Somebody on a channel: what they say, and all that they read there, links under it."""

    world: World
    channel: str
    external_id: str
    language: str
    say: Callable[[str], object]
    read: Callable[[], list[str]]

    @property
    def who(self) -> dict[str, str]:
        return {"channel": self.channel, "external_id": self.external_id}

    def news(self, expected: dict[str, str]) -> int:
        """How many messages tell this in their language."""
        return sum(bool(re.search(expected[self.language], text)) for text in self.read())

    def orders(self, price: str) -> str:
        """Ask for something in the chat; gives the link that pays it. Who cannot speak orders in a shop."""
        if self.channel == "mail":
            items = [{"price": price, "quantity": 1}]
            return str(self.world.desk.post("/v1/checkouts", {"customer": self.who, "items": items})["link"])
        before = len(LINK.findall("\n".join(self.read())))
        self.say(f"/buy {price}")
        found: list[str] = until(
            lambda: LINK.findall("\n".join(self.read()))[before:], patience_s=20, what=f"an offer on {self.channel}"
        )
        return found[0]

    def buys(self, price: str) -> str:
        """Order it and pay it; gives the order."""
        return self.pays(self.orders(price))

    def pays(self, link: str) -> str:
        """Press the button that a link leads to, and pay on the hosted page; gives the order."""
        desk = self.world.desk
        assert httpx.post(link, timeout=30).status_code in (200, 303)
        order = desk.sql("SELECT * FROM orders WHERE link_token = $1", link.rpartition("/")[2])[0]
        form = {"payment_method": CARD, "expected_amount": str(order["amount"])}
        paid = desk.at_stripe("POST", f"/v1/payment_pages/{order['session']}/confirm", form)
        assert paid.status_code == 200, paid.text
        return str(order["id"])


# --- one of each -----------------------------------------------------------------------------------------------------


def on_telegram(world: World, number: int, language: str) -> Voice:
    fake = world.telegram
    fake.person(number, "Ada", language)

    def read() -> list[str]:
        mine = [message for (chat, _), message in sorted(fake.messages.items()) if chat == number]
        return [f"{one['text']}\n{json.dumps(one.get('reply_markup'))}" for one in mine]

    return Voice(world, "telegram", str(number), language, lambda text: fake.says(number, text), read)


def on_discord(world: World, language: str, *, closed: bool = False) -> Voice:
    member = Shop(world.desk, world.discord, world.servers).member(world.servers.club, closed=closed)
    member.locale = language

    def say(text: str) -> None:
        command, _, rest = text.removeprefix("/").partition(" ")
        options = {{"buy": "product", "start": "code"}[command]: rest} if rest else {}
        member.types(command, **options)

    def read() -> list[str]:
        return [f"{one['content']}\n{json.dumps(one['components'])}" for one in member.reads]

    return Voice(world, "discord", member.id, language, say, read)


def on_chatwoot(world: World, number: int, language: str) -> Voice:
    world.chatwoot.conversation(number, contact=number + 1000)

    def say(text: str) -> None:
        body = json.dumps(world.chatwoot.told(number, text)).encode()
        answer = httpx.post(f"{world.desk.url}/webhooks/chatwoot", content=body, headers=signed(body, SECRET))
        assert answer.status_code == 200, answer.text

    return Voice(world, "chatwoot", str(number), language, say, lambda: world.chatwoot.conversations[number].reached)


def on_sms(world: World, number: str, language: str) -> Voice:
    def say(text: str) -> None:
        url = f"{world.desk.url}/webhooks/twilio"
        form = {"MessageSid": "SM" + secrets.token_hex(16), "AccountSid": ACCOUNT, "From": number, "Body": text,
                "To": "+15005550006", "NumMedia": "0"}  # fmt: skip
        seal = {"x-twilio-signature": RequestValidator(TOKEN).compute_signature(url, form)}
        answer = httpx.post(url, data=form, headers=seal)
        assert answer.status_code == 200, answer.text

    return Voice(world, "sms", number, language, say, lambda: world.twilio.sent_to(number))


def on_mail(world: World, address: str, language: str) -> Voice:
    about = {"identities": [{"channel": "mail", "external_id": address}], "locale": language}
    world.desk.post("/v1/customers", about)

    def say(_text: str) -> None:
        raise AssertionError("nobody speaks by mail")

    return Voice(world, "mail", address, language, say, lambda: mails_to(world, address))


def mails_to(world: World, address: str) -> list[str]:
    """The plain texts of the mails that came to an address."""
    mine = [one for one in world.post.taken if address in one.rcpt_tos]
    letters = [email.message_from_bytes(one.content or b"", policy=email.policy.default) for one in mine]  # type: ignore[arg-type]
    return [str(one.get_body(("plain",)).get_content()) for one in letters]  # type: ignore[union-attr]


def on_web(world: World, language: str) -> Voice:
    buyer, said = world.desk.buyer(), []

    def say(text: str) -> None:
        said.extend(world.desk.post("/v1/chat", {**buyer.who, "text": text, "locale": language})["replies"])

    def read() -> list[str]:
        return [*(f"{one['text']}\n{json.dumps(one['buttons'])}" for one in said), *buyer.told()]

    return Voice(world, "web", buyer.external_id, language, say, read)


# --- the desk --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One desk with every channel, and a sandbox whose clock may be moved."""
    catalogue: Path = tmp_path_factory.mktemp("channels") / "catalog.toml"
    catalogue.write_text(CATALOGUE, encoding="utf-8")
    with ExitStack() as stack:
        telegram, discord = stack.enter_context(TelegramFake()), stack.enter_context(DiscordFake())
        chatwoot, twilio = stack.enter_context(running_chatwoot()), stack.enter_context(running_twilio())
        post, receiver = stack.enter_context(office(Post())), stack.enter_context(receiving())
        sandbox = stack.enter_context(running_sandbox())
        servers = planted(discord)
        settings = settings_for(
            new_database(), sandbox.url, PAYDESK_CATALOG=str(catalogue), PAYDESK_WEBHOOK_ALLOW="127.0.0.1",
            TELEGRAM_BOT_TOKEN=TELEGRAM_TOKEN, TELEGRAM_API_BASE=telegram.url, **discord.environ(),
            CHATWOOT_URL=chatwoot.url, CHATWOOT_ACCOUNT_ID="1", CHATWOOT_API_TOKEN=ADMIN_TOKEN,
            CHATWOOT_WEBHOOK_SECRET=SECRET, TWILIO_ACCOUNT_SID=ACCOUNT, TWILIO_AUTH_TOKEN=TOKEN,
            TWILIO_FROM="+15005550006", TWILIO_API_BASE=twilio.url, SMTP_URL=f"smtp://127.0.0.1:{post.port}",
            MAIL_FROM="Shop <pay@shop.example>",
        )  # fmt: skip
        desk = stack.enter_context(running_desk(settings, sandbox))
        endpoint = desk.post("/v1/webhook_endpoints", {"url": receiver.url + "/in"})
        yield World(desk, telegram, discord, servers, chatwoot, twilio, post, receiver, endpoint)
        for fake in (telegram, discord, chatwoot, twilio):
            assert fake.complaints == []


def one_of_each(world: World) -> list[Voice]:
    """Six people, each on a channel of their own, in three languages."""
    number = secrets.randbelow(10**6) + 10**6
    return [
        on_telegram(world, number, "pl"), on_discord(world, "nl"), on_chatwoot(world, number, "en"),
        on_sms(world, f"+4860{number}", "en"), on_mail(world, f"jan{number}@example.com", "pl"), on_web(world, "nl"),
    ]  # fmt: skip


def hear(world: World, voices: list[Voice], expected: dict[str, str]) -> None:
    """All of them read it, once, and nobody is told anything more."""
    for voice in voices:
        until(lambda voice=voice: voice.news(expected), patience_s=20, what=f"{expected['en']} on {voice.channel}")
    world.desk.quiet()
    assert {voice.channel: voice.news(expected) for voice in voices} == {voice.channel: 1 for voice in voices}


# --- side by side ----------------------------------------------------------------------------------------------------


def test_each_hears_of_a_purchase_and_its_refund_where_they_bought_once_in_their_language(world: World) -> None:
    voices = one_of_each(world)
    orders = [voice.buys("credits-10") for voice in voices]
    hear(world, voices, PAID)
    for order in orders:
        assert world.desk.post("/v1/refunds", {"order": order})["status"] == "succeeded"
    hear(world, voices, REFUNDED)
    told = [request.verified(world.endpoint["secret"]) for request in world.receiver.requests]
    for kind in ("order.paid", "order.fulfilled", "order.refunded"):
        assert sorted(event["data"]["id"] for event in told if event["type"] == kind) == sorted(orders)


def test_a_products_nasty_name_does_no_harm_anywhere(world: World) -> None:
    voices = one_of_each(world)
    for voice in voices:
        voice.buys("nasty")
    subscribed = {"en": "You are subscribed to", "pl": "jest aktywna", "nl": "abonnement op"}
    hear(world, voices, subscribed)
    assert [one for one in world.telegram.asked("sendMessage") if one.get("parse_mode")] == []
    for sent in [one.json for one in world.discord.asked("POST", "/messages")]:
        assert sent["allowed_mentions"] == {"parse": []}
    for voice in voices:
        told = "\n".join(voice.read())
        assert "{amount}" in told.replace("\\", ""), (voice.channel, "braces are no templates")
        if voice.channel in ("discord", "chatwoot"):
            assert not re.search(r"(?<!\\)\[x\]\(", told), (voice.channel, "a link that nobody may make")
    letters = [email.message_from_bytes(one.content or b"", policy=email.policy.default) for one in world.post.taken]  # type: ignore[arg-type]
    assert all(letter["Bcc"] is None for letter in letters)
    bodies = [letter.get_body(("html",)) for letter in letters]
    assert all("<b>{amount}</b>" not in body.get_content() for body in bodies if body is not None)  # type: ignore[union-attr]


def test_each_hears_of_a_renewal(world: World) -> None:
    voices = one_of_each(world)
    for voice in voices:
        voice.buys("plus")
    hear(world, voices, SUBSCRIBED)
    advance(world.desk, timedelta(days=32))
    hear(world, voices, RENEWED)


def test_who_is_linked_on_two_channels_hears_where_they_bought(world: World) -> None:
    there, here = on_telegram(world, 77, "en"), on_discord(world, "en")
    there.say("/link")
    words = until(lambda: re.search(r"/start (link_\w+)", "\n".join(there.read())), what="a link")
    here.say(f"/start {words[1]}")
    until(lambda: "you are one person" in "\n".join(here.read()), what="an answer")
    there.buys("credits-10")
    hear(world, [there], PAID)
    assert here.news(PAID) == 0
    here.buys("credits-10")
    hear(world, [here], PAID)
    assert there.news(PAID) == 1


def test_who_takes_no_direct_messages_hears_by_mail(world: World) -> None:
    shy, address = on_discord(world, "en", closed=True), "shy@example.com"
    identity = {"channel": "discord", "external_id": shy.external_id}
    world.desk.post("/v1/customers", {"identities": [identity], "email": address})
    order = world.desk.post("/v1/checkouts", {"customer": shy.who, "items": [{"price": "credits-10", "quantity": 1}]})
    form = {"payment_method": CARD, "expected_amount": str(order["amount"])}
    assert world.desk.at_stripe("POST", f"/v1/payment_pages/{order['session']}/confirm", form).status_code == 200
    until(lambda: mails_to(world, address), what="a mail")
    assert re.search(PAID["en"], mails_to(world, address)[0])
    world.desk.quiet()
    assert len(mails_to(world, address)) == 1
    assert shy.read() == []


def test_a_channel_that_hangs_holds_up_no_other(world: World) -> None:
    voices = one_of_each(world)
    slow, others = voices[0], voices[1:]
    links = {voice.channel: voice.orders("credits-10") for voice in voices}
    for _ in range(3):
        world.telegram.slow_next("sendMessage", 10.0, done=False)
    for voice in [slow, *others]:
        voice.pays(links[voice.channel])
    for voice in others:
        until(lambda voice=voice: voice.news(PAID), patience_s=20, what=f"news on {voice.channel}")
    assert slow.news(PAID) == 0, "Telegram still hangs"
