"""What the Telegram channel does: saying things, letting people in and out, and selling for Stars."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import asyncio

import pytest

from fakes.telegram import TelegramFake
from paydesk.channels import telegram_texts as texts
from paydesk.channels.base import (
    Address,
    AnswerPaying,
    Asked,
    Button,
    Edit,
    GiveBack,
    Gone,
    Grant,
    Invoice,
    PaidThere,
    Paying,
    Receipt,
    Refused,
    Said,
    Send,
)
from paydesk.channels.telegram import Telegram
from paydesk.channels.telegram_updates import ALLOWED
from telegram_fixtures import (
    ADA,
    BEN,
    GROUP,
    SMALL,
    STRANGER,
    WHO,
    Kept,
    Pad,
    channel,
    dumped,
    fake,
    grant,
    pad,
    revoke,
    running,
    send,
    until,
)

# --- saying things ---------------------------------------------------------------------------------------------------


async def test_a_message_with_buttons_arrives_and_is_edited(fake: TelegramFake, channel: Telegram) -> None:
    buttons = (Button("Pay", url="https://desk.example/r/1"), Button("More", command="/buy credits-10"))
    receipt = await channel.deliver(send("<b>Ada & @everyone</b> {name} *x*", *buttons), None)
    (message,) = fake.said_to(ADA)
    assert message["text"] == "<b>Ada & @everyone</b> {name} *x*"
    assert message["reply_markup"]["inline_keyboard"] == [
        [{"text": "Pay", "url": "https://desk.example/r/1"}],
        [{"text": "More", "callback_data": "/buy credits-10"}],
    ]
    (asked,) = fake.asked("sendMessage")
    assert "parse_mode" not in asked
    assert asked["link_preview_options"] == {"is_disabled": True}
    edited = await channel.deliver(Edit("k2", WHO, "paid", (), 7), receipt)
    assert (message["text"], "reply_markup" in message) == ("paid", False)
    again = await channel.deliver(Edit("k2", WHO, "paid", (), 7), edited)  # not modified: done
    assert again == edited
    assert await channel.deliver(Edit("k3", WHO, "old news", (), 6), again) == again
    assert message["text"] == "paid"
    for last in (None, Receipt(), Receipt({"message_id": 99_999, "chat_id": ADA})):
        with pytest.raises(Gone):
            await channel.deliver(Edit("k4", WHO, "x", (), 8), last)


async def test_a_pressed_button_is_answered_before_the_message(fake: TelegramFake, channel: Telegram) -> None:
    (said,) = channel.understand(dumped(fake.presses(ADA, "/buy")))
    assert isinstance(said, Said)
    await channel.deliver(Send("k1", said.who, "here", answers=said.answers), None)
    assert [method for method, _ in fake.calls] == ["answerCallbackQuery", "sendMessage"]
    await channel.deliver(Send("k2", said.who, "too late", answers=said.answers), None)
    fake.cut_next("answerCallbackQuery")
    await channel.deliver(Send("k3", said.who, "no answer", answers=said.answers), None)
    assert [message["text"] for message in fake.said_to(ADA)] == ["here", "too late", "no answer"]


async def test_the_admin_group_and_another_conversation_are_written_to(fake: TelegramFake, channel: Telegram) -> None:
    assert channel.admin is not None
    await channel.deliver(send("a dispute", to=channel.admin), None)
    await channel.deliver(send("there", to=Address("telegram", str(ADA), str(SMALL))), None)
    assert [len(fake.said_to(chat)) for chat in (GROUP, SMALL, ADA)] == [1, 1, 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n ",
        "a" * 5000,
        "ż" * 5000,
        "😀" * 5000,
        "word " * 2000,
        "\x00\x1b[0m" + "\ud83d",
        "&lt;" * 2000,
        " " * 5000,
    ],
    ids=["empty", "blank", "long", "polish", "emoji", "words", "control", "escaped", "spaces"],
)
async def test_no_text_is_refused(fake: TelegramFake, channel: Telegram, text: str) -> None:
    await channel.deliver(send(text, Button(text, url="https://desk.example/r/1"), Button(text, command=text)), None)
    (message,) = fake.said_to(ADA)
    assert texts.units(message["text"]) <= 4096
    label = message["reply_markup"]["inline_keyboard"][0][0]["text"]
    assert 0 < texts.units(label) <= 64


def test_a_cut_never_breaks_a_word_a_link_or_a_character() -> None:
    link = "https://desk.example/r/0123456789"
    cut = texts.fit("word " * 815 + f"{link} and more", 4096)
    assert cut == ("word " * 815).strip() + "…"
    assert texts.fit("😀" * 5, 8) == "😀😀😀…"
    assert texts.fit("short", 5) == "short"
    assert texts.fit("short one", 5) == "shor…"


def test_what_cannot_be_a_button_is_a_line_that_stays_whole() -> None:
    long = "/buy " + "k" * 60
    local = "http://localhost:8000/r/abc"
    many = [Button(f"b{n}", command=f"/buy {n}") for n in range(101)]
    params = texts.message("x" * 5000, [Button("Pay", url=local), Button("Long", command=long), *many])
    assert len(params["reply_markup"]["inline_keyboard"]) == 100
    assert params["text"].endswith(f"x…\n\nPay: {local}\nLong: {long}\nb100: /buy 100")
    assert texts.units(params["text"]) == 4096
    sixty_four = "/buy " + "k" * 59
    assert (
        texts.message("x", [Button("b", command=sixty_four)])["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
        == sixty_four
    )
    for url, openable in (
        ("http://127.0.0.1:1/r", True),
        ("tg://x.y", False),
        ("https://a", False),
        ("http://[", False),
    ):
        assert texts.openable(url) is openable


# --- letting in and putting out --------------------------------------------------------------------------------------


async def test_who_has_paid_gets_the_link_asks_and_is_let_in(fake: TelegramFake, channel: Telegram, pad: Pad) -> None:
    fake.allowed = set(ALLOWED)
    receipt = await channel.deliver(grant(), None)
    (link,) = fake.links
    assert receipt.data["inside"] is False
    assert receipt.data["tell"] == {"kind": "come_in", "url": link}
    assert fake.links[link][1]["creates_join_request"] is True
    assert await channel.actual(WHO, str(GROUP)) == set()
    both = await asyncio.gather(channel.deliver(grant(), None), channel.deliver(grant(BEN), None))
    assert [again.data["tell"] for again in both] == [receipt.data["tell"]] * 2
    assert pad.noted == {f"link:{GROUP}": {"url": link}}  # one link per chat, after a restart too
    (asked,) = channel.understand(dumped(fake.asks_in(ADA, GROUP)))
    assert asked == Asked(WHO, str(GROUP))
    assert await channel.deliver(grant(), None) == Receipt({"inside": True})
    assert await channel.deliver(grant(), None) == Receipt({"inside": True})
    assert await channel.actual(WHO, str(GROUP)) == {""}
    assert len(fake.asked("createChatInviteLink")) == 1


async def test_links_asked_for_at_the_same_moment_are_one(fake: TelegramFake, channel: Telegram) -> None:
    receipts = await asyncio.gather(*(channel.deliver(grant(person), None) for person in (ADA, BEN, STRANGER)))
    assert len({str(receipt.data) for receipt in receipts}) == 1
    assert len(fake.links) == 1


@pytest.mark.parametrize(
    ("space", "method"), [(GROUP, "unbanChatMember"), (SMALL, "banChatMember")], ids=["super", "basic"]
)
async def test_who_is_put_out_may_come_back(fake: TelegramFake, channel: Telegram, space: int, method: str) -> None:
    fake.moves(ADA, space, "member")
    assert await channel.deliver(revoke(space=space), None) == Receipt({"inside": False})
    assert await channel.deliver(revoke(space=space), None) == Receipt({"inside": False})
    assert len(fake.asked(method)) == 1
    assert fake.asked(method)[0] == {"chat_id": space, "user_id": ADA}
    assert "tell" in (await channel.deliver(grant(space=space), None)).data
    fake.asks_in(ADA, space)
    assert (await channel.deliver(grant(space=space), None)).data["inside"] is True


async def test_a_request_of_somebody_who_may_not_is_declined(fake: TelegramFake, channel: Telegram) -> None:
    fake.asks_in(ADA, GROUP)
    await channel.deliver(revoke(), None)
    assert (fake.requests_to_join, len(fake.asked("declineChatJoinRequest"))) == (set(), 1)
    assert fake.asked("unbanChatMember") == fake.asked("banChatMember") == []


async def test_a_ban_by_hand_is_lifted_neither_by_paying_nor_by_its_end(fake: TelegramFake, channel: Telegram) -> None:
    fake.moves(ADA, GROUP, "kicked")
    with pytest.raises(Refused) as caught:
        await channel.deliver(grant(), None)
    assert "banned" in str(caught.value.tell)
    await channel.deliver(revoke(), None)
    assert fake.members[GROUP][ADA]["status"] == "kicked"


@pytest.mark.parametrize("status", ["administrator", "creator"])
async def test_who_runs_the_chat_is_not_put_out_of_it(fake: TelegramFake, channel: Telegram, status: str) -> None:
    fake.moves(ADA, GROUP, status)
    with pytest.raises(Refused) as caught:
        await channel.deliver(revoke(), None)
    assert caught.value.done
    assert caught.value.tell
    assert fake.members[GROUP][ADA]["status"] == status
    assert (await channel.deliver(grant(), None)).data["inside"] is True


async def test_what_is_no_place_on_telegram_is_refused_with_the_reason(fake: TelegramFake, channel: Telegram) -> None:
    for action, reason in (
        (grant(role="vip"), "role"),
        (revoke(space="@room"), "number"),
        (grant(space="42"), "number"),
        (Grant("g", Address("telegram", "ada"), str(GROUP), "", 1), "number"),
    ):
        with pytest.raises(Refused) as caught:
            await channel.deliver(action, None)
        assert reason in str(caught.value.tell)
    assert fake.calls == []
    assert await channel.actual(Address("telegram", "ada"), str(GROUP)) == set()
    assert await channel.actual(WHO, "@room") == set()


async def test_restricted_people_are_in_or_out(fake: TelegramFake, channel: Telegram) -> None:
    fake.moves(ADA, GROUP, "restricted")
    assert await channel.actual(WHO, str(GROUP)) == {""}
    fake.members[GROUP][ADA]["is_member"] = False
    assert await channel.actual(WHO, str(GROUP)) == set()


# --- Stars -----------------------------------------------------------------------------------------------------------


async def test_something_is_sold_for_stars_and_given_back(fake: TelegramFake, channel: Telegram) -> None:
    kept = Kept()
    polling = asyncio.create_task(channel.poll(kept))
    bill = Invoice("i1", WHO, "Ten credits, " * 5, "d" * 300, "ord_1", 50)
    receipt = await channel.deliver(bill, None)
    (asked,) = fake.asked("sendInvoice")
    assert (asked["currency"], asked["provider_token"], len(asked["prices"])) == ("XTR", "", 1)
    fake.pays(ADA, receipt.data["message_id"])
    await until(lambda: len(kept.arrivals) == 1)
    (paying,) = channel.understand(kept.arrivals[0].body)
    assert isinstance(paying, Paying)
    assert (paying.who, paying.payload, paying.currency, paying.amount) == (WHO, "ord_1", "XTR", 50)
    await channel.deliver(AnswerPaying("a1", WHO, paying.answers), None)
    await until(lambda: len(kept.arrivals) == 2)
    (paid,) = channel.understand(kept.arrivals[1].body)
    assert isinstance(paid, PaidThere)
    assert (paid.who, paid.payload, paid.amount) == (WHO, "ord_1", 50)
    for _ in range(2):  # given back once, however often it is asked for
        assert await channel.deliver(GiveBack("b1", WHO, paid.charge), None) == Receipt({"charge": paid.charge})
    assert fake.charges == {paid.charge: "refunded"}
    with pytest.raises(Refused):
        await channel.deliver(GiveBack("b2", WHO, "stx-of-nobody"), None)
    with pytest.raises(Refused) as late:
        await channel.deliver(AnswerPaying("a2", WHO, paying.answers, "sold out"), None)
    assert late.value.done
    with pytest.raises(Refused):
        await channel.deliver(Invoice("i2", WHO, "t", "d", "x" * 129, 50), None)
    polling.cancel()


async def test_a_payment_can_be_refused_with_words(fake: TelegramFake, channel: Telegram) -> None:
    receipt = await channel.deliver(Invoice("i1", WHO, "Seat", "One seat", "ord_2", 5), None)
    (paying,) = channel.understand(dumped(fake.pays(ADA, receipt.data["message_id"])))
    assert isinstance(paying, Paying)
    await channel.deliver(AnswerPaying("a1", WHO, paying.answers, "It is sold out."), None)
    (answer,) = fake.asked("answerPreCheckoutQuery")
    assert (answer["ok"], answer["error_message"]) == (False, "It is sold out.")
    assert fake.charges == {}
