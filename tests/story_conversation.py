"""One conversation for every channel: a shelf to tap through, words understood, and each reader in their own language."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import settings_for
from desk import Buyer, Desk, running_desk
from paydesk.channels.base import Address
from paydesk.chat.commands import Conversation
from paydesk.service import Service
from sandbox_fixtures import Sandbox

EVIL = "@everyone <b>{amount}</b> {0}"
SHOP = (
    """
[products.credits-10]
name = "10 credits"
prices = [{ currency = "usd", amount = "9.99" }]
grants = [{ kind = "credits", amount = 10 }]
[products.gem]
name = "A gem"
prices = [{ currency = "pln", amount = "19.99" }]
grants = [{ kind = "credits", amount = 2, unit = "gems" }]
[products.night]
name = "Night pass"
starts = "claim"
prices = [{ currency = "eur", amount = "60.00" }]
grants = [{ kind = "pass", feature = "premium", days = 1 }]
[products.evil]
name = "@everyone <b>{amount}</b> {0}"
prices = [{ currency = "usd", amount = "1.00" }]
grants = [{ kind = "feature", feature = "evil" }]
[products.many]
name = "Many prices"
prices = ["""
    + ", ".join(f'{{ key = "many-{n}", currency = "usd", amount = "{n}.00" }}' for n in range(1, 12))
    + "]\n"
    + "\n".join(
        f'[products.item-{n}]\nname = "Item number {n}"\nprices = [{{ currency = "usd", amount = "{n}.00" }}]'
        for n in range(1, 16)
    )
)
TEXTS = {
    "en": 'support = "Write to help@example.com"\n',
    "pl": '[units]\ngems = { one = "klejnot", few = "klejnoty", many = "klejnotów" }\n',
    "de": 'hello = "Hallo! Was darf es sein?"\n',
}

Json = dict[str, Any]


@pytest.fixture(scope="module")
def shop(
    new_database: Callable[[], str], stripe_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    """A desk with a long shelf, and a folder of its own texts beside the catalogue."""
    folder: Path = tmp_path_factory.mktemp("shop")
    (folder / "catalog.toml").write_text(SHOP, encoding="utf-8")
    (folder / "texts").mkdir()
    for language, text in TEXTS.items():
        (folder / "texts" / f"{language}.toml").write_text(text, encoding="utf-8")
    settings = settings_for(
        new_database(), stripe_sandbox.url, PAYDESK_CATALOG=str(folder / "catalog.toml"), PAYDESK_LANGUAGE="en"
    )
    with running_desk(settings, stripe_sandbox) as running:
        yield running


def say(buyer: Buyer, text: str, locale: str | None = None) -> Json:
    """What is answered to somebody whose channel tells their language."""
    body = {**buyer.who, "text": text, **({"locale": locale} if locale else {})}
    replies: list[Json] = buyer.desk.post("/v1/chat", body)["replies"]
    for reply in replies:
        reply["text"] = reply["text"].replace("\u00a0", " ")
        reply["buttons"] = [
            {name: value.replace("\u00a0", " ") for name, value in button.items()} for button in reply["buttons"]
        ]
    return replies[0]


def commands(reply: Json) -> list[str]:
    return [button.get("command", button.get("url", "")) for button in reply["buttons"]]


def tap(buyer: Buyer, reply: Json, label: str) -> Json:
    """Press the button whose label begins so."""
    return say(buyer, next(one["command"] for one in reply["buttons"] if one["label"].startswith(label)))


# --- the shelf -------------------------------------------------------------------------------------------------------


def test_a_long_shelf_is_tapped_through_page_by_page_to_an_offer(shop: Desk) -> None:
    buyer = shop.buyer("telegram")
    page = say(buyer, "/buy")
    seen = []
    for number in range(1, 5):
        assert len(page["buttons"]) <= 8
        assert len(page["text"].splitlines()) == len([one for one in commands(page) if "#" not in one])
        assert (f"/buy #{number - 1}" in commands(page)) == (number > 1)
        assert (f"/buy #{number + 1}" in commands(page)) == (number < 4)
        seen += [one for one in commands(page) if "#" not in one]
        if number < 4:
            page = tap(buyer, page, "More")
    assert seen == [
        f"/buy {key}" for key in ("credits-10", "gem", "night", "evil", "many", *(f"item-{n}" for n in range(1, 16)))
    ]
    offer = tap(buyer, page, "Item number 15")
    assert offer["text"].startswith("Item number 15 for $15.00.")
    assert offer["buttons"][0]["url"].startswith(f"{shop.url}/r/")
    assert commands(say(buyer, "/buy #99")) == commands(page), "a page that is not there any more is the last one"
    assert commands(say(buyer, "/plans")) == commands(say(buyer, "/buy #1")) == commands(say(buyer, "/buy #0"))


def test_many_prices_have_pages_too(shop: Desk) -> None:
    buyer = shop.buyer("telegram")
    first = say(buyer, "/buy many")
    assert first["text"] == "Many prices: which price?"
    assert commands(first) == [*(f"/buy many-{n}" for n in range(1, 7)), "/buy many #2"]
    second = tap(buyer, first, "More")
    assert commands(second) == [*(f"/buy many-{n}" for n in range(7, 12)), "/buy many #1"]
    assert tap(buyer, second, "$11.00")["buttons"][0]["label"] == "Pay $11.00"


@pytest.mark.parametrize(
    "words",
    [
        "10 credits",
        "I'd like to buy 10 credits, please",
        "Kup 10 kredytów!",
        "/start buy_credits-10",
        "koop 10 credits",
    ],
)
def test_words_that_plainly_name_a_product_lead_to_its_offer(shop: Desk, words: str) -> None:
    buyer = shop.buyer("telegram")
    assert say(buyer, words)["buttons"][0]["label"] == "Pay $9.99"


def test_words_that_name_several_are_answered_with_a_question_and_buy_nothing(shop: Desk) -> None:
    buyer = shop.buyer("telegram")
    asked = say(buyer, "buy an item")
    assert asked["text"] == "Which one do you mean?"
    assert commands(asked) == [f"/buy item-{n}" for n in range(1, 9)]
    assert shop.sql("SELECT 1 FROM orders WHERE customer_id = $1", buyer.id) == []
    for words in ("what's up?", "10 credits for $0.01", "<script>", "{amount}", "@everyone"):
        reply = say(shop.buyer(), words)
        assert reply["text"] in (
            "I did not understand that. Try /buy, /balance, /history or /help.",
            "Which one do you mean?",
        )


def test_a_hostile_name_stays_a_name_on_the_whole_way(shop: Desk) -> None:
    buyer = shop.buyer("telegram")
    offer = say(buyer, "/buy evil")
    assert offer["text"] == f"{EVIL} for $1.00. Pay with the button; you will hear here when it has arrived."
    buyer.buy("evil")
    assert EVIL in say(buyer, "/history")["text"]
    assert commands(say(buyer, EVIL))[0].startswith(shop.url)


# --- languages -------------------------------------------------------------------------------------------------------


def test_a_pole_is_spoken_to_in_polish_from_hello_to_the_receipt(shop: Desk) -> None:
    buyer = shop.buyer("telegram")
    hello = say(buyer, "/start", "pl-PL")
    assert hello["text"].startswith("Cześć!")
    assert [one["label"] for one in hello["buttons"]] == ["Kup", "Saldo", "Pomoc"]
    offer = say(buyer, "kup gem")
    assert offer["text"].startswith("„A gem” za 19,99 zł.")
    assert offer["buttons"][0]["label"] == "Zapłać 19,99 zł"
    buyer.buy("gem")
    assert buyer.told()[-1].replace("\u00a0", " ").startswith(
        "✅ Zapłacono 19,99 zł. Otrzymujesz: 2 klejnoty. Masz teraz: 2 klejnoty. Numer zamówienia: "
    )  # fmt: skip
    assert say(buyer, "/saldo")["text"] == "Masz: 2 klejnoty."
    assert "opłacone" in say(buyer, "/historia")["text"]
    assert say(buyer, "/billing")["text"] == "Nie masz żadnej subskrypcji. Ofertę pokaże /buy."


def test_ones_own_choice_beats_what_the_channel_tells_and_that_beats_the_default(shop: Desk) -> None:
    buyer = shop.buyer("discord")
    assert say(buyer, "/balance")["text"].startswith("You have nothing yet.")
    assert say(buyer, "/balance", "nl-BE")["text"].startswith("Je hebt nog niets.")
    assert say(buyer, "/balance")["text"].startswith("Je hebt nog niets."), "it is remembered"
    asked = say(buyer, "/lang", "nl-BE")
    assert [one["label"] for one in asked["buttons"]] == ["English", "Polski", "Nederlands", "Deutsch"]
    assert tap(buyer, asked, "Polski")["text"] == "Od teraz: Polski."
    assert say(buyer, "/balance", "nl-BE")["text"].startswith("Nic jeszcze nie masz.")
    assert say(buyer, "/lang klingon")["text"] == "W jakim języku mam pisać?"
    assert say(buyer, "/start")["text"].startswith("Cześć!")
    for nonsense in ("../../pl", "{0}", "klingon!", "de_DE.UTF-8"):
        assert say(shop.buyer(), "/help", nonsense)["text"].startswith("/buy – what there is")


def test_a_shop_brings_a_language_and_texts_of_its_own(shop: Desk) -> None:
    german = shop.buyer("telegram")
    assert say(german, "/start", "de")["text"] == "Hallo! Was darf es sein?"
    assert say(german, "/balance")["text"] == "You have nothing yet. /buy shows what there is."
    assert say(shop.buyer(), "/paysupport")["text"] == "Write to help@example.com"
    assert say(shop.buyer(), "/terms")["text"].startswith("You buy from the people who run this shop")


def test_help_names_what_means_something_here(shop: Desk, desk: Desk) -> None:
    here, there = say(shop.buyer(), "/help")["text"], say(desk.buyer(), "/help")["text"]
    assert "/claim – " in here
    assert "/claim – " not in there, "nothing that is sold there waits to be started"
    assert "/link – " in here
    assert "/link – " in there


def test_status_tells_what_one_has_and_bare_cancel_and_keep_tell_that_there_is_nothing(shop: Desk) -> None:
    buyer = shop.buyer()
    buyer.say("/start")
    assert buyer.say("/status") == buyer.say("/balance")
    assert say(buyer, "/cancel")["text"].startswith("You have no subscription.")
    assert say(buyer, "cancel my subscription")["text"].startswith("You have no subscription.")
    assert say(buyer, "/keep")["text"].startswith("Nothing of yours is about to end.")


# --- a conversation of this process ----------------------------------------------------------------------------------


async def test_what_is_gone_is_not_offered(service: Service) -> None:
    async def gone() -> set[str]:
        return {"credits-10", "vip-year", "supporter"}

    talk = Conversation(
        service.store, service.shelf, service.clock, service.vault, public_url="https://pay.example.com", livemode=False,
        gone=gone,
    )  # fmt: skip
    who = Address("telegram", "42")
    (shelf,) = await talk.answer(who, "/buy")
    assert "10 credits" not in shelf.text
    assert "/buy supporter" not in [button.command for button in shelf.buttons]
    (sold_out,) = await talk.answer(who, "/buy credits-10")
    assert sold_out.text.startswith("10 credits cannot be bought just now. This is what there is:\n• 50 credits")
    (vip,) = await talk.answer(who, "/buy vip")
    assert vip.buttons[0].label == "Begin for free", "one price is left"
    (mentioned,) = await talk.answer(who, "10 credits")
    assert not [button for button in mentioned.buttons if button.url]


async def test_a_name_that_is_too_long_is_cut(service: Service) -> None:
    """Names that long do not come from a catalogue, but from ad hoc sales."""
    who = Address("telegram", "42")
    await service.conversation.answer(who, "/start")
    customer = await service.store.fetchval("SELECT customer_id FROM identity WHERE external_id = '42'")
    await service.store.execute(
        "INSERT INTO orders (id, customer_id, status, amount, currency, livemode, link_token) "
        "VALUES ('ord_long', $1, 'canceled', 100, 'usd', false, 'token')",
        customer,
    )
    await service.store.execute(
        "INSERT INTO order_line (order_id, position, name, unit_amount, quantity) VALUES ('ord_long', 0, $1, 100, 1)",
        "x" * 5000,
    )
    (history,) = await service.conversation.answer(who, "/history")
    assert "x" * 199 + "…" in history.text
    assert len(history.text) < 300
