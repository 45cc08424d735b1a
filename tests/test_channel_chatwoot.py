"""Chatwoot: what is sent is said once, what is shown beside it is ours alone to change, and nobody speaks for another."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.chatwoot import (
    ADMIN_TOKEN,
    AGENT_TOKEN,
    BOT_TOKEN,
    STRANGER_TOKEN,
    Conversation,
    Fake,
    running_chatwoot,
    signed,
)
from paydesk.channels import chatwoot_texts
from paydesk.channels.base import (
    Address,
    Button,
    Edit,
    Grant,
    Here,
    Misconfigured,
    NeedsUser,
    Raw,
    Refused,
    RetryLater,
    Said,
    Send,
    Start,
    Undelivered,
    Unknown,
)
from paydesk.channels.chatwoot import ChatwootChannel, make
from paydesk.channels.chatwoot_settings import Names, settings_of
from paydesk.channels.chatwoot_status import status_of
from paydesk.channels.plugged import load
from paydesk.errors import SettingError

SECRET = "webhook-secret-1"
PUBLIC = "https://pay.example.com"
ADA = Address("chatwoot", "42", "17")


class NoNotes:
    async def get(self, key: str) -> Any:
        return None

    async def put(self, key: str, value: Any) -> None:
        raise AssertionError("Chatwoot needs no notes")


def environ(url: str = "https://chat.example.com", **more: str | None) -> dict[str, str]:
    given = {
        "CHATWOOT_URL": url, "CHATWOOT_ACCOUNT_ID": "1", "CHATWOOT_API_TOKEN": ADMIN_TOKEN,
        "CHATWOOT_WEBHOOK_SECRET": f"{SECRET}, bot-secret", "CHATWOOT_ADMIN_CONVERSATION": "9", **more,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}


def started(**more: str | None) -> ChatwootChannel:
    return make(Start(environ(**more), lambda name: NoNotes(), PUBLIC))


@pytest.fixture(scope="module")
def server() -> Iterator[Fake]:
    with running_chatwoot() as fake:
        yield fake


@pytest.fixture
def fake(server: Fake) -> Iterator[Fake]:
    """The fake, as empty as after its start; whatever it was asked was as the spec wants it."""
    server.reset()
    server.conversation(17)
    server.conversation(9, contact=90)
    yield server
    assert server.complaints == []
    assert server.troubles == []


@pytest.fixture
async def channel(fake: Fake) -> AsyncIterator[ChatwootChannel]:
    channel = started(url=fake.url)
    yield channel
    await channel.close()


def send(text: str = "Hello", key: str = "hello:1", to: Address = ADA, **more: Any) -> Send:
    return Send(key, to, text, **more)


FACTS = {
    "order": "ord_1", "amount": 6000, "paid": 6000, "refunded": 0, "currency": "eur", "segment": "standard",
    "minutes": 60, "grants": [{"kind": "booking", "worth": 1}], "link": f"{PUBLIC}/r/abc",
    "paid_at": "2026-01-15T10:30:00+00:00", "customer_since": "2026-01-15T10:30:00+00:00",
}  # fmt: skip


def told(kind: str, text: str = "✅ Paid €60.00. Reference ABCD1234.", **more: Any) -> Send:
    return send(text, key=f"{kind}:ord_1", kind=kind, facts={**FACTS, **more})


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CHATWOOT_URL", "chat.example.com", "CHATWOOT_URL=https://app.chatwoot.com"),
        ("CHATWOOT_URL", "https://chat.example.com?x=1", "CHATWOOT_URL=https://app.chatwoot.com"),
        ("CHATWOOT_URL", "https://[::1", "CHATWOOT_URL=https://app.chatwoot.com"),
        ("CHATWOOT_ACCOUNT_ID", None, "CHATWOOT_ACCOUNT_ID is not set"),
        ("CHATWOOT_ACCOUNT_ID", "one", "CHATWOOT_ACCOUNT_ID=1"),
        ("CHATWOOT_API_TOKEN", None, "CHATWOOT_API_TOKEN is not set"),
        ("CHATWOOT_API_TOKEN", "has a space", "CHATWOOT_API_TOKEN is malformed"),
        ("CHATWOOT_ADMIN_CONVERSATION", "#17", "CHATWOOT_ADMIN_CONVERSATION=17"),
        ("CHATWOOT_UNSIGNED", "perhaps", "CHATWOOT_UNSIGNED=1"),
        ("CHATWOOT_NAMES", "payment-paid=payment:paid", "letters, digits, - and _"),
        ("CHATWOOT_NAMES", "paid=betaald", "CHATWOOT_NAMES=payment-paid=betaald"),
        ("CHATWOOT_NAMES", "payment-paid", "CHATWOOT_NAMES is malformed"),
        ("CHATWOOT_NAMES", "order_id=a b", "CHATWOOT_NAMES is malformed"),
    ],
)
def test_a_bad_setting_is_named_in_one_line_with_a_good_value(name: str, value: str | None, says: str) -> None:
    with pytest.raises(SettingError) as refused:
        settings_of(environ(**{name: value}))
    assert says in refused.value.message
    assert name in refused.value.message
    assert "\n" not in refused.value.message
    assert ADMIN_TOKEN not in refused.value.message


def test_names_are_settings_and_an_empty_one_is_off() -> None:
    names = settings_of(environ(CHATWOOT_NAMES="payment-paid=Betaald, has_paid_lesson=has_paid,payment_link=")).names
    assert (names.of("payment-paid"), names.of("has_paid_lesson"), names.of("payment_link")) == (
        "betaald", "has_paid", "",
    )  # fmt: skip
    status = status_of("paid", FACTS, names)
    assert status is not None
    assert status.on == {"betaald", "status-booked"}
    assert "payment_link" not in status.conversation
    assert status.contact == {"has_paid": True}


def test_the_channel_is_there_with_its_setting_and_shows_no_secret() -> None:
    (channel,) = load(Start(environ(), lambda name: NoNotes(), PUBLIC))
    assert (channel.name, channel.edits, channel.admits) == ("chatwoot", False, False)
    assert channel.admin == Address("chatwoot", "desk", "9")
    shown = f"{channel!r} {vars(channel)!r} {settings_of(environ())!r}"
    assert ADMIN_TOKEN not in shown
    assert SECRET not in shown
    assert load(Start({}, lambda name: NoNotes(), PUBLIC)) == []


# --- out: words ------------------------------------------------------------------------------------------------------


async def test_a_message_is_said_with_a_line_for_each_button(channel: ChatwootChannel, fake: Fake) -> None:
    buttons = (Button("Pay €60.00", url=f"{PUBLIC}/r/abc"), Button("Balance", command="/balance"))
    receipt = await channel.deliver(send("Lesson for €60.00.", buttons=buttons), None)
    (message,) = fake.conversations[17].messages
    assert message["content"] == f"Lesson for €60.00.\nPay €60.00: {PUBLIC}/r/abc\nBalance: /balance"
    assert receipt.data == {"conversation": "17", "message": message["id"]}
    assert fake.calls("POST", "/messages")[0]["private"] is False


async def test_what_the_desk_is_told_is_a_private_note(channel: ChatwootChannel, fake: Fake) -> None:
    assert channel.admin is not None
    await channel.deliver(send("⚠️ Dispute opened", to=channel.admin, kind="alert_dispute_opened"), None)
    assert (fake.conversations[9].notes, fake.conversations[9].reached) == (["⚠️ Dispute opened"], [])


@pytest.mark.parametrize("inbox", ["Channel::WebWidget", "Channel::Api", "Channel::Whatsapp", "Channel::Email"])
async def test_a_message_reaches_the_customer_of_every_inbox(channel: ChatwootChannel, fake: Fake, inbox: str) -> None:
    fake.conversation(18, channel=inbox)
    await channel.deliver(send("Paid", to=Address("chatwoot", "42", "18")), None)
    await channel.deliver(send("Paid", to=Address("chatwoot", "42", "18"), attempt=2), None)
    assert fake.conversations[18].reached == ["Paid"]


HOSTILE = [
    "{{contact.name}} {% raw %}", "{{{contact.name}}}", "`{% endraw %}{{contact.name}}`", "**bold** _it_ ~~no~~",
    "[click](https://evil.example) ![x](https://evil.example/p.png)", "<img src=x onerror=alert(1)> <https://e.example>",
    "@everyone @all", "# Head\n- one\n1. two\n> three\n---", "&lt;b&gt; &#123;", "back\\slash \\` \\*", "\x00 nul",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
async def test_names_are_words_never_templates_or_mark_up(channel: ChatwootChannel, fake: Fake, name: str) -> None:
    await channel.deliver(send(f"You got {name}", buttons=(Button(name, url=f"{PUBLIC}/r/abc"),)), None)
    (said,) = fake.conversations[17].reached
    assert "Ada" not in said
    assert "{{" not in said
    assert "{%" not in said
    assert re.findall(r"(?<!\\)(?:\\\\)*(?:[`*]|\[|~~|<(?=[A-Za-z/!?])|&(?=#?\w+;))", said) == []
    assert re.findall(r"(?m)^\s*(?:[#>+-]|\d+[.)])\s", said) == []
    assert said.endswith(f": {PUBLIC}/r/abc")
    assert said.count("\n") == name.strip().count("\n") + 1
    unescaped = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", said).replace("{ ", "{")
    assert name.replace("\x00", "").split("\n")[0] in unescaped


def test_a_word_with_an_underscore_inside_stays_readable() -> None:
    assert chatwoot_texts.plain("credits_10 for $9.99 (2 × 5), 50% off!") == "credits_10 for $9.99 (2 × 5), 50% off!"


@pytest.mark.parametrize("text", ["x" * 5000, "\\" * 5000, "{{" * 5000, "*a" * 5000, "🎾" * 5000], ids=range(5))
def test_long_words_are_cut_and_the_link_stays(text: str) -> None:
    button = Button(text, url=f"{PUBLIC}/r/abc")
    content = chatwoot_texts.message(text, [button])
    words, line = content.split("\n")
    assert len(content) <= chatwoot_texts.TEXT_MAX
    assert words.endswith("…")
    assert not words.endswith("\\…")
    assert line.endswith(f"…: {PUBLIC}/r/abc")


async def test_what_chatwoot_cannot_is_refused(channel: ChatwootChannel) -> None:
    for action in (Edit("k", ADA, "new", (), 2), Grant("k", ADA, "space", "role", 1)):
        with pytest.raises(Refused):
            await channel.deliver(action, None)


@pytest.mark.parametrize("where", ["../../labels", "17/labels?x=", "", "١٧", "1e3"])
async def test_only_numbers_stand_in_an_address(channel: ChatwootChannel, fake: Fake, where: str) -> None:
    for to in (Address("chatwoot", "42", where), Address("chatwoot", where)):
        with pytest.raises(Refused):
            await channel.deliver(send(to=to), None)
    assert fake.requests == []


# --- out: once -------------------------------------------------------------------------------------------------------


async def test_a_repeat_finds_what_was_said_even_far_up(channel: ChatwootChannel, fake: Fake) -> None:
    first = await channel.deliver(send("Paid", key="paid:1"), None)
    for number in range(30):
        await channel.deliver(send("chat", key=f"chat:{number}"), None)
    assert await channel.deliver(send("Paid", key="paid:1", attempt=2), None) == first
    assert fake.conversations[17].reached.count("Paid") == 1
    await channel.deliver(send("Paid", key="paid:2", attempt=2), None)
    assert fake.conversations[17].reached.count("Paid") == 2


@pytest.mark.parametrize("how", ["500 after it was done", "500 before", "cut", "silence"])
async def test_what_may_have_arrived_is_looked_for(fake: Fake, how: str) -> None:
    patient = ChatwootChannel(settings_of(environ(fake.url)), PUBLIC, call_s_max=0.5)
    match how:
        case "cut":
            fake.cut_next("POST", "/messages")
        case "silence":
            fake.stall_next("POST", "/messages", 1.0)
        case _:
            fake.fail_next("POST", "/messages", 500, {"error": "oops"}, done="after" in how)
    with pytest.raises(Unknown) as unknown:
        await patient.deliver(send("Paid"), None)
    assert unknown.value.repeatable
    assert unknown.value.rule == ("cw-500" if "500" in how else "cw-unknown-outcome")
    await patient.deliver(send("Paid", attempt=2), None)
    assert fake.conversations[17].reached == ["Paid"]
    await patient.close()


async def test_a_server_that_keeps_no_keys_is_not_asked_twice_blindly(channel: ChatwootChannel, fake: Fake) -> None:
    fake.keeps_keys = False
    await channel.deliver(send("Paid", key="paid:1"), None)
    await channel.deliver(send("Paid", key="paid:1", attempt=2), None)
    assert fake.conversations[17].reached == ["Paid"]
    fake.fail_next("POST", "/messages", 502)
    with pytest.raises(Unknown) as unknown:
        await channel.deliver(send("Other", key="other:1"), None)
    assert not unknown.value.repeatable


async def test_nothing_sent_is_tried_again() -> None:
    channel = started(url="http://127.0.0.1:9")
    with pytest.raises(RetryLater) as later:
        await channel.deliver(send(), None)
    assert later.value.rule == "cw-not-sent"
    await channel.close()


# --- out: what is shown of a payment ---------------------------------------------------------------------------------


async def test_an_offer_and_its_payment_are_shown_beside_the_conversation(
    channel: ChatwootChannel, fake: Fake
) -> None:  # fmt: skip
    one = fake.conversation(17, labels=["vip"], attributes={"service": "tutoring", "program": "maths"})
    offered = {**FACTS, "paid_at": None, "customer_since": None}
    await channel.deliver(told("offer", "Lesson for €60.00", **offered), None)
    assert one.labels == ["vip", "payment-pending"]
    assert one.attributes == {
        "service": "tutoring", "program": "maths", "order_id": "ord_1", "payment_status": "pending",
        "payment_link": f"{PUBLIC}/r/abc", "lesson_minutes": 60,
    }  # fmt: skip
    assert fake.contacts[42]["custom_attributes"] == {}
    await channel.deliver(told("paid"), None)
    assert one.labels == ["vip", "payment-paid", "status-booked"]
    assert one.attributes["payment_status"] == "paid"
    assert one.attributes["payment_date"] == "2026-01-15T10:30:00+00:00"
    assert one.attributes["lesson_status"] == "definitief"
    assert fake.contacts[42]["custom_attributes"] == {
        "has_paid_lesson": True, "customer_since": "2026-01-15T10:30:00+00:00", "segment": "standard",
    }  # fmt: skip
    await channel.deliver(told("refunded", "↩️ Refunded", refunded=6000), None)
    assert one.labels == ["vip", "payment-refunded"]
    assert one.attributes["payment_status"] == "refunded"
    assert (one.attributes["service"], one.attributes["payment_date"]) == ("tutoring", "2026-01-15T10:30:00+00:00")
    assert len(one.reached) == 3


@pytest.mark.parametrize(
    ("kind", "more", "state"),
    [
        ("pending", {}, "pending"), ("payment_failed", {}, "failed"), ("renewal_failed", {}, "failed"),
        ("subscribed", {}, "paid"), ("renewed", {}, "paid"), ("dispute_won", {}, "paid"),
        ("dispute_lost", {}, "refunded"), ("refunded", {"refunded": 6000}, "refunded"),
        ("refunded", {"refunded": 1000}, None), ("refunded_in_part", {"refunded": 1000}, None), ("disputed", {}, None),
        ("low_balance", {}, None), ("", {}, None),
    ],
)  # fmt: skip
def test_what_a_message_says_of_the_payment(kind: str, more: dict[str, Any], state: str | None) -> None:
    status = status_of(kind, {**FACTS, **more}, Names())
    assert (status and status.conversation["payment_status"]) == state
    if status is not None:
        assert f"payment-{state}" in status.on
        assert {label for label in status.off if label.startswith("payment-")} == {
            f"payment-{other}" for other in ("pending", "paid", "failed", "refunded") if other != state
        }


async def test_what_agents_set_for_a_contact_stays(channel: ChatwootChannel, fake: Fake) -> None:
    own = {"segment": "premium", "customer_since": "2020-01-01", "school": "Lyceum"}
    fake.contacts[42]["custom_attributes"] = dict(own)
    await channel.deliver(told("paid"), None)
    assert fake.contacts[42]["custom_attributes"] == {**own, "has_paid_lesson": True}
    await channel.deliver(told("paid"), None)
    assert len(fake.calls("PUT", "/contacts/42")) == 1


@pytest.mark.parametrize("merges", [True, False], ids=["a newer server", "an older one"])
async def test_repeating_a_status_changes_nothing(channel: ChatwootChannel, fake: Fake, merges: bool) -> None:
    fake.merges = merges
    one = fake.conversation(17, labels=["vip"], attributes={"service": "tutoring"})
    first = await channel.deliver(told("paid"), None)
    before = (list(one.labels), dict(one.attributes), len(one.messages))
    assert await channel.deliver(told("paid"), None) == first
    assert (one.labels, one.attributes, len(one.messages)) == before
    assert one.attributes["service"] == "tutoring"
    assert len(fake.calls("POST", "/17/labels")) == len(fake.calls("POST", "/custom_attributes")) == 1


async def test_what_was_free_makes_nobody_a_customer(channel: ChatwootChannel, fake: Fake) -> None:
    await channel.deliver(told("paid", amount=0, paid=0, segment="trial"), None)
    assert fake.conversations[17].attributes["lesson_status"] == "trial_lesson"
    assert fake.contacts[42]["custom_attributes"] == {}


async def test_many_slow_calls_end_in_time_and_are_repeated_without_doubling(fake: Fake) -> None:
    slow = ChatwootChannel(settings_of(environ(fake.url)), PUBLIC, call_s_max=0.6)
    fake.stall_next("GET", "/17/messages", 0.4)
    fake.stall_next("POST", "/17/labels", 0.4)
    with pytest.raises(Unknown) as unknown:
        await slow.deliver(told("paid"), None)
    assert (unknown.value.repeatable, unknown.value.rule) == (True, "cw-unknown-outcome")
    await slow.deliver(told("paid", attempt=2), None)
    assert len(fake.conversations[17].reached) == 1
    assert fake.conversations[17].labels == ["payment-paid", "status-booked"]
    await slow.close()


@pytest.mark.parametrize("part", ["/17/labels", "/custom_attributes", "/contacts/42"])
@pytest.mark.parametrize("keeps_keys", [True, False], ids=["with keys", "without"])
async def test_a_message_is_not_said_again_because_its_labels_failed(
    channel: ChatwootChannel, fake: Fake, part: str, keeps_keys: bool
) -> None:
    fake.keeps_keys = keeps_keys
    method = "PUT" if "contacts" in part else "POST"
    fake.fail_next(method, part, 429, {"error": "Retry later"})
    with pytest.raises(RetryLater):
        await channel.deliver(told("paid"), None)
    fake.fail_next(method, part, 503)
    with pytest.raises(Unknown):
        await channel.deliver(told("paid"), None)
    await channel.deliver(told("paid", attempt=2), None)
    one = fake.conversations[17]
    assert len(one.reached) == 1
    assert one.labels == ["payment-paid", "status-booked"]
    assert one.attributes["payment_status"] == "paid"
    assert fake.contacts[42]["custom_attributes"]["has_paid_lesson"] is True


async def test_an_agent_who_works_at_the_same_time_loses_nothing(channel: ChatwootChannel, fake: Fake) -> None:
    one = fake.conversation(17, labels=["vip"])

    def stale_page(conversation: Conversation) -> None:
        """The agent's page did not know of ours yet, and writes all labels it knows, with a new one."""
        conversation.labels = ["vip", "payment-pending", "urgent"]
        conversation.attributes["program"] = "maths"
        fake.after.clear()

    fake.after["labels"] = stale_page
    await channel.deliver(told("paid"), None)
    assert one.labels == ["vip", "urgent", "payment-paid", "status-booked"]
    assert (one.attributes["program"], one.attributes["payment_status"]) == ("maths", "paid")
    assert len(one.reached) == 1


async def test_labels_that_the_account_lacks_are_made(channel: ChatwootChannel, fake: Fake) -> None:
    fake.drops_unknown_labels = True
    await channel.deliver(told("paid"), None)
    assert fake.conversations[17].labels == ["payment-paid", "status-booked"]
    assert {label["title"] for label in fake.labels} == {"payment-paid", "status-booked"}


async def test_labels_that_somebody_undoes_are_told_and_let_be(channel: ChatwootChannel, fake: Fake) -> None:
    one = fake.conversation(17, labels=["vip"])
    fake.after["labels"] = lambda conversation: conversation.labels.remove("payment-paid")
    with pytest.raises(Refused) as refused:
        await channel.deliver(told("paid"), None)
    assert (refused.value.rule, refused.value.done) == ("cw-labels-differ", True)
    assert refused.value.tell is not None
    assert len(fake.calls("POST", "/17/labels")) == 3
    assert len(one.reached) == 1
    (note,) = one.notes
    assert "payment-paid" in note
    assert "ord_1" in note
    with pytest.raises(Refused):
        await channel.deliver(told("paid", attempt=2), None)
    assert (len(one.reached), len(one.notes)) == (1, 1)


# --- out: every row of the failure table -----------------------------------------------------------------------------

LIST = Path(__file__).parent / "specs" / "channel-failure-cases.json"

Case = tuple[int, dict[str, str], dict[str, str], type[Exception], dict[str, Any]]

CASES: dict[str, list[Case]] = {
    "cw-401-bad-token": [
        (401, {"error": "Invalid Access Token"}, {}, Misconfigured, {"resource": "*"}),
        (401, {}, {}, Misconfigured, {"resource": "*"}),
    ],
    "cw-401-bot-token": [
        (401, {"error": "Access to this endpoint is NOT authorized for bots"}, {}, Misconfigured, {"resource": "*"}),
    ],
    "cw-401-wrong-account": [
        (401, {"error": "You are not authorized to access this account"}, {}, Misconfigured, {"resource": "*"}),
    ],
    "cw-404": [(404, {"error": "Resource could not be found"}, {}, NeedsUser, {"for_ever": False})],
    "cw-422": [
        (422, {"error": "Validation failed: Too many messages"}, {}, RetryLater, {"after_s": 60, "counted": False}),
        (422, {"message": "Content can't be blank"}, {}, Refused, {"done": False}),
    ],
    "cw-429": [
        (429, {"error": "Retry later"}, {"retry-after": "7"}, RetryLater,
         {"after_s": 7, "counted": False, "everyone": True}),
        (429, {}, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, RetryLater, {"after_s": 60, "everyone": True}),
    ],
    "cw-500": [(500, {"error": "oops"}, {}, Unknown, {"repeatable": True}), (503, {}, {}, Unknown, {"repeatable": True})],
}  # fmt: skip
TESTED_ABOVE = {"cw-labels-differ"}


def test_the_list_of_failures_is_whole() -> None:
    rows = json.loads(LIST.read_text(encoding="utf-8"))["rules"]
    assert {row["id"] for row in rows if row["channel"] == "chatwoot"} == set(CASES) | TESTED_ABOVE


@pytest.mark.parametrize(("rule", "case"), [(rule, case) for rule, cases in CASES.items() for case in cases])
async def test_each_failure_is_the_one_error_that_says_what_is_next(
    channel: ChatwootChannel, fake: Fake, rule: str, case: Case
) -> None:
    status, body, headers, error, fields = case
    if rule == "cw-404":
        del fake.conversations[17]
    else:
        fake.fail_next("POST", "/messages", status, body, headers)
    with pytest.raises(error) as raised:
        await channel.deliver(send(), None)
    assert type(raised.value) is error
    assert raised.value.rule == rule  # type: ignore[attr-defined]
    assert {name: getattr(raised.value, name) for name in fields} == fields
    assert ADMIN_TOKEN not in str(raised.value)
    if isinstance(raised.value, Misconfigured):
        assert "CHATWOOT_" in raised.value.mend


@pytest.mark.parametrize(
    ("status", "body", "headers", "error", "resource"),
    [
        (403, {"error": "no"}, {}, Refused, None),
        (301, {}, {"location": "https://elsewhere.example"}, Misconfigured, "*"),
        (200, b"<!doctype html><title>Chatwoot</title>", {"content-type": "text/html"}, Misconfigured, "*"),
        (200, {"success": True}, {}, Misconfigured, "*"),
        (401, {"error": "You are not authorized to do this action"}, {}, Misconfigured, "conversations 17"),
    ],
    ids=["another refusal", "a redirect", "a page for people", "something else", "not in the inbox"],
)
async def test_other_answers_are_not_taken_for_a_message(
    channel: ChatwootChannel, fake: Fake, status: int, body: Any, headers: dict[str, str], error: type[Exception],
    resource: str | None,
) -> None:  # fmt: skip
    fake.fail_next("POST", "/messages", status, body, headers)
    with pytest.raises(error) as raised:
        await channel.deliver(send(), None)
    assert getattr(raised.value, "resource", None) == resource


@pytest.mark.parametrize(
    ("token", "rule"),
    [("wrong-token", "cw-401-bad-token"), (BOT_TOKEN, "cw-401-bot-token"), (STRANGER_TOKEN, "cw-401-wrong-account")],
)
async def test_the_wrong_kind_of_token_stops_the_channel(fake: Fake, token: str, rule: str) -> None:
    channel = started(url=fake.url, CHATWOOT_API_TOKEN=token)
    with pytest.raises(Misconfigured) as broken:
        await channel.deliver(told("paid"), None)
    assert (broken.value.rule, broken.value.resource) == (rule, "*")
    await channel.close()


async def test_a_conversation_that_is_gone_is_replaced_by_the_contacts_other_one(
    channel: ChatwootChannel, fake: Fake
) -> None:  # fmt: skip
    fake.conversation(20, status="resolved")
    fake.conversation(19)
    fake.conversation(21, contact=43)
    receipt = await channel.deliver(told("paid"), None)
    assert receipt.data["conversation"] == "17"
    del fake.conversations[17]
    receipt = await channel.deliver(told("paid", attempt=2), None)
    assert receipt.data["conversation"] == "19"
    assert fake.conversations[19].labels == ["payment-paid", "status-booked"]
    receipt = await channel.deliver(send(key="x", to=Address("chatwoot", "42")), None)
    assert receipt.data["conversation"] == "19"


async def test_a_contact_that_is_gone_is_gone_for_ever(channel: ChatwootChannel, fake: Fake) -> None:
    with pytest.raises(NeedsUser) as gone:
        await channel.deliver(send(to=Address("chatwoot", "404", "404")), None)
    assert gone.value.for_ever


async def test_an_admin_conversation_that_is_gone_is_a_matter_of_settings(channel: ChatwootChannel, fake: Fake) -> None:
    del fake.conversations[9]
    assert channel.admin is not None
    with pytest.raises(Misconfigured) as broken:
        await channel.deliver(send(to=channel.admin), None)
    assert broken.value.resource == "conversation 9"
    assert "CHATWOOT_ADMIN_CONVERSATION" in broken.value.mend


# --- in --------------------------------------------------------------------------------------------------------------


def raw(body: bytes, headers: dict[str, str] | None = None, *, query: str = "", method: str = "POST") -> Raw:
    given = signed(body, SECRET) if headers is None else headers
    return Raw(method, f"{PUBLIC}/webhooks/chatwoot", given, query, body)


def heard(channel: ChatwootChannel, payload: dict[str, Any]) -> list[Any]:
    """What a signed payload means in the end, through what is stored of it."""
    inbound = channel.read(raw(json.dumps(payload).encode()))
    assert inbound is not None
    assert inbound.status == 200
    return [command for arrival in inbound.arrivals for command in channel.understand(arrival.body)]


async def test_a_contacts_message_is_kept_once_and_understood(channel: ChatwootChannel, fake: Fake) -> None:
    payload = fake.told(17, "  /buy standard-60 \x00 ")
    body = json.dumps(payload).encode()
    assert len(body) > 64 * 1024
    inbound = channel.read(raw(body))
    again = channel.read(raw(body, signed(body, "bot-secret", at=time.time() - 200)))
    assert inbound is not None
    assert again is not None
    (arrival,) = inbound.arrivals
    assert arrival.external_id == f"message:1:{payload['id']}"
    assert again.arrivals[0].external_id == arrival.external_id
    assert (arrival.kind, arrival.whose) == ("message_created", "42")
    assert len(arrival.body) < 1000
    assert channel.understand(arrival.body) == (Here(ADA), Said(ADA, "/buy standard-60", None))


async def test_a_long_message_is_kept_in_part(channel: ChatwootChannel, fake: Fake) -> None:
    inbound = channel.read(raw(json.dumps(fake.told(17, "/\x01é🎾" * 50_000)).encode()))
    assert inbound is not None
    assert len(inbound.arrivals[0].body) < 64 * 1024
    (_, said) = channel.understand(inbound.arrivals[0].body)
    assert len(said.text) == 4000


def _forged(body: bytes) -> dict[str, dict[str, str]]:
    good = signed(body, SECRET)
    return {
        "none": {}, "another secret": signed(body, "guess"), "another body": signed(body + b" ", SECRET),
        "stale": signed(body, SECRET, at=time.time() - 301), "early": signed(body, SECRET, at=time.time() + 302),
        "another time": {**good, "x-chatwoot-timestamp": str(int(good["x-chatwoot-timestamp"]) - 1)},
        "no time": {"x-chatwoot-signature": good["x-chatwoot-signature"]},
        "odd time": {**good, "x-chatwoot-timestamp": "1e9"}, "endless time": {**good, "x-chatwoot-timestamp": "9" * 5000},
        "empty": {**good, "x-chatwoot-signature": ""}, "odd": {**good, "x-chatwoot-signature": "sha256=é\udce9"},
        "only hex": {**good, "x-chatwoot-signature": good["x-chatwoot-signature"].removeprefix("sha256=")},
    }  # fmt: skip


@pytest.mark.parametrize("how", list(_forged(b"")))
async def test_a_forged_or_stale_call_is_refused(channel: ChatwootChannel, fake: Fake, how: str) -> None:
    body = json.dumps(fake.told(17, "/buy")).encode()
    for query in ("", f"secret={SECRET}"):
        inbound = channel.read(raw(body, _forged(body)[how], query=query))
        assert inbound is not None
        assert (inbound.status, inbound.arrivals) == (401, ())
        assert SECRET.encode() not in inbound.body


async def test_a_secret_in_the_address_counts_only_where_it_is_allowed_and_nothing_is_signed(fake: Fake) -> None:
    channel = started(CHATWOOT_UNSIGNED="1")
    body = json.dumps(fake.told(17, "/buy")).encode()
    given = [
        channel.read(raw(body, headers, query=query))
        for headers, query in (
            ({}, f"a=b&secret={SECRET}"), ({}, "secret=guess"), ({}, ""), ({}, "secret=%ff"),
            ({"x-chatwoot-signature": "sha256=00"}, f"secret={SECRET}"),
        )
    ]  # fmt: skip
    assert [inbound and inbound.status for inbound in given] == [200, 401, 401, 401, 401]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"7", b'"message_created"', b"{}", b'{"event": 7}', b"[" * 100_000, b"\xff\xfe",
     b'{"event":"message_created","account":{"id":1},"content":"hi","message_type":"incoming","private":false}',
     (b'{"event":"message_created","account":{"id":1},"content":"hi","message_type":"incoming","id":true,'
     b'"sender":{"id":"../1"},"conversation":{"id":[]}}')],
    ids=range(11),
)  # fmt: skip
async def test_what_is_malformed_is_refused(channel: ChatwootChannel, body: bytes) -> None:
    inbound = channel.read(raw(body))
    assert inbound is not None
    assert (inbound.status, inbound.arrivals) == (400, ())


async def test_without_a_secret_there_is_no_door_and_only_post_comes_in() -> None:
    assert started(CHATWOOT_WEBHOOK_SECRET=None).read(raw(b"{}")) is None
    inbound = started().read(raw(b"", method="GET"))
    assert inbound is not None
    assert inbound.status == 405


OURS = {"content_attributes": {"paydesk": "paid:1"}}
AGENT = {"message_type": "outgoing", "sender": {"id": 3, "name": "Anna", "type": "user"}}
BOT = {"message_type": "outgoing", "sender": {"id": 4, "type": "agent_bot"}}


@pytest.mark.parametrize(
    ("content", "more"),
    [
        ("Hello", AGENT), ("Hello", {**AGENT, "private": True}), ("/pay standard-60", AGENT),
        ("/pay standard-60", {**BOT, "private": True}), ("/pay standard-60", {**AGENT, **OURS, "private": True}),
        ("/pay standard-60", {"private": True}), ("/payment", {**AGENT, "private": True}),
        ("/pay standard-60", {"message_type": "outgoing", "private": True, "sender": None}),
        ("Hello", {"message_type": "template"}), ("Hello", {"message_type": 2}), ("Hello", OURS),
        ("", {}), (None, {}), ("Hello", {"event": "message_updated"}), ("Hello", {"event": "conversation_created"}),
        ("Hello", {"event": "widget_of_tomorrow"}), ("Hello", {"account": {"id": 2}}), ("Hello", {"account": None}),
    ],
    ids=range(18),
)  # fmt: skip
async def test_what_means_nothing_is_answered_and_forgotten(
    channel: ChatwootChannel, fake: Fake, content: str | None, more: dict[str, Any]
) -> None:
    inbound = channel.read(raw(json.dumps(fake.told(17, content, **more)).encode()))
    assert inbound is not None
    assert (inbound.status, inbound.arrivals) == (200, ())


async def test_a_message_that_an_inbox_did_not_take_is_told(channel: ChatwootChannel, fake: Fake) -> None:
    failed = {"paydesk": "paid:ord_1", "external_error": "Message failed:\n outside the 24 hour window"}
    more = {**AGENT, "event": "message_updated", "content_attributes": failed}
    (undelivered,) = heard(channel, fake.told(17, "✅ Paid", **more))
    assert isinstance(undelivered, Undelivered)
    assert (undelivered.key, undelivered.reason) == ("paid:ord_1", "Message failed: outside the 24 hour window")
    assert "conversation 17" in str(undelivered.tell)
    assert heard(channel, fake.told(17, "✅ Paid", **{**more, "content_attributes": {"paydesk": "paid:ord_1"}})) == []


@pytest.mark.parametrize(
    ("change", "locale"),
    [
        (lambda p: p["conversation"]["meta"]["sender"].update(custom_attributes={"language": "nl"}), "nl"),
        (lambda p: p["conversation"]["meta"]["sender"].update(additional_attributes={"language_code": "pl"}), "pl"),
        (lambda p: p["conversation"]["additional_attributes"].update(browser_language="nl-BE"), "nl-BE"),
        (lambda p: p["conversation"]["additional_attributes"]["browser"].update(browser_language="en_GB"), "en_GB"),
        (lambda p: p["conversation"]["additional_attributes"].update(browser_language="../../etc"), None),
        (lambda p: p["conversation"]["additional_attributes"].update(browser_language=["nl"]), None),
        (lambda p: p.update(message_type=0, private=None, id=str(p["id"])), None),
    ],
    ids=["contact", "telegram", "browser", "older browser", "nonsense", "no text", "numbers as an agent bot has them"],
)
async def test_the_language_is_what_the_contact_or_their_app_says(
    channel: ChatwootChannel, fake: Fake, change: Callable[[dict[str, Any]], None], locale: str | None
) -> None:
    payload = json.loads(json.dumps(fake.told(17, "/help")))
    change(payload)
    assert heard(channel, payload) == [Here(ADA), Said(ADA, "/help", locale)]


async def test_where_agents_answer_only_commands_are_heard_and_where_a_bot_does_everything(
    channel: ChatwootChannel, fake: Fake
) -> None:
    assert heard(channel, fake.told(17, "a lesson on Tuesday?")) == [Here(ADA)]
    fake.conversations[17].status = "pending"
    (_, said) = heard(channel, fake.told(17, "a lesson on Tuesday?"))
    assert (said.text, said.answers) == ("a lesson on Tuesday?", {"bot": True})


@pytest.mark.parametrize(
    ("kind", "answers", "status"),
    [
        ("not_understood", {"bot": True}, "open"), ("support", {"bot": True}, "open"), ("reply", {"bot": True}, "pending"),
        ("support", None, "pending"),
    ],
)  # fmt: skip
async def test_what_a_bot_does_not_know_is_given_to_the_agents(
    channel: ChatwootChannel, fake: Fake, kind: str, answers: dict[str, bool] | None, status: str
) -> None:
    one = fake.conversation(17, status="pending")
    await channel.deliver(send("I did not understand that.", kind=kind, answers=answers), None)
    assert (one.status, len(one.reached)) == (status, 1)


@pytest.mark.parametrize(
    ("note", "price"),
    [
        ("/pay standard-60", "standard-60"), ("/pay weekend 90", "weekend-90"), ("/pay trial", "trial"),
        ("/pay", "standard-60"), ("/pay ../admin", None), ("/pay " + "x" * 65, None), ("/pay a\nb", "a-b"),
    ],
)  # fmt: skip
async def test_an_agents_note_asks_for_a_payment(
    channel: ChatwootChannel, fake: Fake, note: str, price: str | None
) -> None:
    said = heard(channel, fake.told(17, note, **AGENT, private=True))
    assert said == ([] if price is None else [Said(ADA, f"/buy {price}", None, {"agent": True})])


async def test_pay_alone_is_the_contacts_segment_and_the_conversations_minutes(
    channel: ChatwootChannel, fake: Fake
) -> None:  # fmt: skip
    fake.contacts[42]["custom_attributes"] = {"segment": "Urgent"}
    fake.conversations[17].attributes = {"lesson_minutes": 120.0}
    (said,) = heard(channel, fake.told(17, "/pay", **AGENT, private=True))
    assert said.text == "/buy urgent-120"


async def test_an_offer_that_an_agent_asked_for_goes_to_the_customer_and_a_mistake_only_to_agents(
    channel: ChatwootChannel, fake: Fake
) -> None:
    (said,) = heard(channel, fake.told(17, "/pay standard 61", **AGENT, private=True))
    await channel.deliver(send("There is no such product.", key="no", to=said.who, answers=said.answers), None)
    assert (fake.conversations[17].reached, fake.conversations[17].notes) == ([], ["There is no such product."])
    offer = send(
        "Lesson for €60.00.", to=said.who, answers=said.answers, kind="offer", facts=FACTS,
        buttons=(Button("Pay €60.00", url=f"{PUBLIC}/r/abc"),),
    )  # fmt: skip
    await channel.deliver(offer, None)
    assert fake.conversations[17].reached == [f"Lesson for €60.00.\nPay €60.00: {PUBLIC}/r/abc"]
    assert fake.conversations[17].labels == ["payment-pending"]


# --- set-up ----------------------------------------------------------------------------------------------------------


async def test_start_makes_labels_and_attributes_once(channel: ChatwootChannel, fake: Fake) -> None:
    await channel.start()
    await channel.start()
    assert sorted(one["title"] for one in fake.labels) == [
        "payment-failed", "payment-paid", "payment-pending", "payment-refunded", "status-booked",
    ]  # fmt: skip
    assert len(fake.definitions) == 9
    link = next(one for one in fake.definitions if one["attribute_key"] == "payment_link")
    assert (link["attribute_display_type"], link["attribute_model"]) == (4, "conversation_attribute")


async def test_two_that_start_together_do_not_trip(channel: ChatwootChannel, fake: Fake) -> None:
    other = started(url=fake.url)
    await asyncio.gather(channel.start(), other.start())
    assert len({one["title"] for one in fake.labels}) == len(fake.labels) == 5
    await other.close()


async def test_the_doctor_names_what_is_missing_and_mends_it(channel: ChatwootChannel, fake: Fake) -> None:
    before = {finding.what: finding for finding in await channel.preflight({}, fix=False)}
    assert {what: finding.ok for what, finding in before.items()} == {
        "Chatwoot's account": True, "Chatwoot's labels": False, "Chatwoot's attributes": False,
        "Chatwoot's webhook": False, "Chatwoot's admin conversation": True,
    }  # fmt: skip
    assert all(finding.mend for finding in before.values() if not finding.ok)
    assert fake.labels == fake.webhooks == []
    after = {finding.what: finding for finding in await channel.preflight({}, fix=True)}
    assert fake.webhooks[0]["url"] == f"{PUBLIC}/webhooks/chatwoot"
    assert {what for what, finding in after.items() if not finding.ok} == {"Chatwoot's webhook"}
    assert "CHATWOOT_WEBHOOK_SECRET" in str(after["Chatwoot's webhook"].mend)
    assert "made-by-the-server" not in str(after)
    fake.webhooks[0]["secret"] = SECRET
    assert all(finding.ok for finding in await channel.preflight({}, fix=False))


@pytest.mark.parametrize(
    ("token", "what", "says"),
    [
        ("wrong-token", "Chatwoot's token", "CHATWOOT_API_TOKEN"),
        (BOT_TOKEN, "Chatwoot's token", "an agent bot's token"),
        (STRANGER_TOKEN, "Chatwoot's account", "CHATWOOT_ACCOUNT_ID"),
    ],
)
async def test_the_doctor_knows_a_token_that_cannot_work(fake: Fake, token: str, what: str, says: str) -> None:
    channel = started(url=fake.url, CHATWOOT_API_TOKEN=token)
    (finding,) = await channel.preflight({}, fix=True)
    assert (finding.ok, finding.what) == (False, what)
    assert says in str(finding.mend)
    assert token not in str(finding)
    await channel.close()


async def test_the_doctor_says_what_an_agents_token_cannot_make_and_what_is_weaker(fake: Fake) -> None:
    channel = started(
        url=fake.url, CHATWOOT_API_TOKEN=AGENT_TOKEN, CHATWOOT_UNSIGNED="1", CHATWOOT_ADMIN_CONVERSATION="99"
    )
    found = {finding.what: finding for finding in await channel.preflight({}, fix=True)}
    assert "administrator" in str(found["Chatwoot's labels"].mend)
    assert found["Chatwoot's signatures"].ok
    assert "anybody's name" in found["Chatwoot's signatures"].seen
    assert not found["Chatwoot's admin conversation"].ok
    await channel.close()
