"""SMS against the fake Twilio: what is sent, what each error leads to, what is never sent twice, and what people reply."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from twilio.request_validator import RequestValidator

from fakes.twilio import ACCOUNT, TOKEN, Failure, Twilio, running_twilio
from paydesk.channels import sms, sms_texts
from paydesk.channels.base import (
    Address,
    Away,
    Button,
    DeliveryError,
    Here,
    Inbound,
    Misconfigured,
    NeedsUser,
    Raw,
    Receipt,
    RetryLater,
    Said,
    Send,
    Start,
    Undelivered,
    Unknown,
)
from paydesk.errors import SettingError

CASES = json.loads((Path(__file__).parent / "specs" / "channel-failure-cases.json").read_text())["rules"]
ANN = "+48600100200"
PUBLIC = "https://pay.example.com"
HOOK = f"{PUBLIC}/webhooks/twilio"


@pytest.fixture(scope="module")
def running() -> Iterator[Twilio]:
    with running_twilio() as one:
        yield one


@pytest.fixture
def twilio(running: Twilio) -> Iterator[Twilio]:
    """A Twilio where nothing has happened yet; in the end it has nothing to complain of."""
    running.messages.clear()
    running.requests.clear()
    running.stopped.clear()
    yield running
    assert running.complaints == []


def environ(twilio_url: str = "http://127.0.0.1:1", **more: str) -> dict[str, str]:
    return {
        "TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": TOKEN, "TWILIO_FROM": "+15005550006",
        "TWILIO_API_BASE": twilio_url, **more,
    }  # fmt: skip


def channel(twilio_url: str = "http://127.0.0.1:1", public_url: str = PUBLIC, **more: str) -> sms.SmsChannel:
    return sms.make(Start(environ(twilio_url, **more), cast(Any, None), public_url))


async def send(twilio: Twilio, text: str = "Paid $9.99.", *buttons: Button, to: str = ANN, attempt: int = 1,
               key: str = "paid:ord_1", **more: str) -> Receipt:  # fmt: skip
    made = channel(twilio.url, **more)
    try:
        return await made.deliver(Send(key, Address("sms", to), text, buttons, attempt=attempt), None)
    finally:
        await made.close()


async def refused(twilio: Twilio, **options: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as refusal:
        await send(twilio, **options)
    return refusal.value


# --- what is sent ----------------------------------------------------------------------------------------------------


async def test_a_text_with_a_link_and_a_word_to_reply(twilio: Twilio) -> None:
    receipt = await send(twilio, "✅ Paid $9.99 – thank you…", Button("Your account", url="https://pay.example.com/r/1"),
                         Button("Buy more", command="/buy"), Button("Cancel it", command=f"/cancel {'x' * 40}"))  # fmt: skip
    (_, path, form) = twilio.requests[0]
    assert form == {
        "To": ANN, "From": "+15005550006", "StatusCallback": f"{HOOK}?paydesk_key=paid%3Aord_1",
        "Body": "Paid $9.99 - thank you...\nYour account: https://pay.example.com/r/1\nBuy more: reply BUY",
    }  # fmt: skip
    assert path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert receipt.data == {"sid": twilio.messages[0]["sid"], "segments": 1}


async def test_a_messaging_service_and_a_desk_that_nobody_can_call(twilio: Twilio) -> None:
    service = "MG" + "a" * 32
    await send(twilio, TWILIO_FROM=service)
    made = channel(twilio.url, public_url="http://127.0.0.1:8000")
    await made.deliver(Send("k", Address("sms", ANN), "hello"), None)
    first, second = (form for _, _, form in twilio.requests)
    assert (first["MessagingServiceSid"], "From" in first) == (service, False)
    assert "StatusCallback" not in second
    findings = await made.preflight({}, fix=False)
    assert [one.ok for one in findings] == [True, False]
    await made.close()


TEXTS = (
    ("Zażółć gęślą jaźń 🎉 ’quoted’", "Zażółć gęślą jaźń 'quoted'"),
    ("a\x00b\u200bc\u202e\ud800d", "abcd"),
    ("{name} %s <b>&amp;</b> @everyone", "{name} %s <b>&amp;</b> @everyone"),
    ("🎉", "-"),
    ("", "-"),
    ("one\n\n  two   three", "one\n\ntwo three"),
)


@pytest.mark.parametrize(("text", "body"), TEXTS, ids=[f"{n}" for n in range(len(TEXTS))])
async def test_texts_are_plain(twilio: Twilio, text: str, body: str) -> None:
    await send(twilio, text)
    assert twilio.sent_to(ANN) == [body]


async def test_what_is_too_long_is_cut_and_links_stay_whole(twilio: Twilio) -> None:
    url = "https://pay.example.com/r/" + "x" * 300
    await send(twilio, "N" * 5000, Button("L" * 5000, url=url), Button("Second", url=url))
    (body,) = twilio.sent_to(ANN)
    assert len(body) == sms_texts.TEXT_MAX
    assert body.count(url) == 2
    assert "N...\nL" in body
    many = [Button(f"Thing {n}", url=url) for n in range(20)]
    await send(twilio, "Choose:", *many, key="k2")
    body = twilio.sent_to(ANN)[-1]
    assert len(body) <= sms_texts.TEXT_MAX
    assert all(line.endswith(url) for line in body.split("\n")[1:])


# --- what each error leads to ----------------------------------------------------------------------------------------

ERRORS: dict[str, tuple[Failure, type[DeliveryError], dict[str, Any]]] = {
    "sms-21610": (Failure(400, 21610), NeedsUser, {"for_ever": True}),
    "sms-21211": (Failure(400, 21211), NeedsUser, {"for_ever": True}),
    "sms-21614": (Failure(400, 21614), NeedsUser, {"for_ever": True}),
    "sms-21408": (Failure(400, 21408), Misconfigured, {"resource": "country"}),
    "sms-20429": (Failure(429, 20429, {"retry-after": "3"}), RetryLater,
                  {"after_s": 3.0, "counted": False, "everyone": True}),
    "sms-20003": (Failure(401, 20003), Misconfigured, {"resource": "*"}),
    "sms-unknown-outcome": (Failure(cut=True), Unknown, {"repeatable": False}),
}  # fmt: skip
OTHERS: list[tuple[Failure, type[DeliveryError], str]] = [
    (Failure(429, 20429), RetryLater, "sms-20429"),
    (Failure(400, 21606), Misconfigured, "sms-21606"),
    (Failure(400, 21609), Misconfigured, "sms-21609"),
    (Failure(400, 21608), Misconfigured, "sms-21608"),
    (Failure(400, 21612), NeedsUser, "sms-21612"),
    (Failure(404, 20404), Misconfigured, "sms-20404"),
    (Failure(401), Misconfigured, "sms-20003"),
    (Failure(500, 20500), Unknown, "sms-unknown-outcome"),
    (Failure(503), Unknown, "sms-unknown-outcome"),
]
CALLED_BACK = {"sms-30007"}


def test_every_row_of_the_failure_list_has_a_case() -> None:
    assert {rule["id"] for rule in CASES if rule["channel"] == "sms_twilio"} == set(ERRORS) | CALLED_BACK


@pytest.mark.parametrize("rule", sorted(ERRORS))
async def test_each_error_leads_to_its_reaction(twilio: Twilio, rule: str) -> None:
    failure, error, expected = ERRORS[rule]
    twilio.fail_next(failure)
    refusal = await refused(twilio)
    assert (type(refusal), refusal.rule) == (error, rule)
    assert {name: getattr(refusal, name) for name in expected} == expected
    assert TOKEN not in str(refusal) + repr(channel())
    assert ANN not in str(refusal)


@pytest.mark.parametrize(("failure", "error", "rule"), OTHERS, ids=[f"{n}" for n in range(len(OTHERS))])
async def test_other_errors(twilio: Twilio, failure: Failure, error: type[DeliveryError], rule: str) -> None:
    twilio.fail_next(failure)
    refusal = await refused(twilio)
    assert (type(refusal), refusal.rule) == (error, rule)


async def test_nobody_listens(twilio: Twilio) -> None:
    made = channel("http://127.0.0.1:1")
    with pytest.raises(RetryLater) as refusal:
        await made.deliver(Send("k", Address("sms", ANN), "hello"), None)
    assert refusal.value.rule == "sms-not-sent"


async def test_a_wrong_token_and_what_mends_it(twilio: Twilio) -> None:
    error = await refused(twilio, TWILIO_AUTH_TOKEN="f" * 32)
    assert (type(error), "TWILIO_AUTH_TOKEN" in getattr(error, "mend", "")) == (Misconfigured, True)
    made = channel(twilio.url, TWILIO_AUTH_TOKEN="f" * 32)
    (finding,) = await made.preflight({}, fix=False)
    assert (finding.ok, "TWILIO_AUTH_TOKEN" in str(finding.mend)) == (False, True)
    await made.close()


@pytest.mark.parametrize(
    "number", ["", "600100200", "+0600100200", "+48 600", "whatsapp:+48600100200", "+" + "1" * 30, "ann"]
)
async def test_what_is_no_number_is_not_tried(twilio: Twilio, number: str) -> None:
    error = await refused(twilio, to=number)
    assert (type(error), error.rule, twilio.requests) == (NeedsUser, "sms-21211", [])


# --- never twice -----------------------------------------------------------------------------------------------------


async def test_what_was_sent_without_an_answer_is_found_and_not_repeated(twilio: Twilio) -> None:
    twilio.fail_next(Failure(cut=True, after=True))
    assert isinstance(await refused(twilio), Unknown)
    again = await send(twilio, attempt=2)
    assert again.data == {"sid": twilio.messages[0]["sid"], "repeated": True}
    assert len(twilio.sent_to(ANN)) == 1
    twilio.send_queued()
    await send(twilio, attempt=3)
    assert len(twilio.sent_to(ANN)) == 1


async def test_what_was_not_sent_is_sent_then(twilio: Twilio) -> None:
    twilio.fail_next(Failure(cut=True))
    assert isinstance(await refused(twilio), Unknown)
    await send(twilio, attempt=2)
    assert len(twilio.sent_to(ANN)) == 1
    await send(twilio, "Another text", attempt=2)
    assert len(twilio.sent_to(ANN)) == 2


async def test_in_doubt_it_is_not_repeated(twilio: Twilio) -> None:
    for failure in (Failure(500, 20500), Failure(cut=True), Failure(429, 20429)):
        twilio.fail_next(failure)
        refusal = await refused(twilio, attempt=2)
        assert (type(refusal), refusal.rule) == (Unknown, "sms-unknown-outcome")
    assert twilio.messages == []


async def test_what_failed_or_is_old_is_no_copy(twilio: Twilio) -> None:
    await send(twilio)
    twilio.messages[0]["status"] = "failed"
    await send(twilio, attempt=2)
    assert len(twilio.messages) == 2
    for message in twilio.messages:
        message |= {"status": "sent", "date_created": format_datetime(datetime.now(UTC) - timedelta(days=2))}
    await send(twilio, attempt=2)
    assert len(twilio.messages) == 3


# --- what comes in ---------------------------------------------------------------------------------------------------


def called(form: dict[str, str], *, token: str = TOKEN, query: str = "", method: str = "POST", **more: str) -> Raw:
    """A call as Twilio makes it, signed by the official SDK."""
    url = HOOK + (f"?{query}" if query else "")
    signature = RequestValidator(token).compute_signature(url, form)
    headers = {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": signature, **more}
    return Raw(method, HOOK, headers, query, urlencode(form).encode())


def said(text: str, **more: str) -> dict[str, str]:
    return {"MessageSid": "SM" + secrets.token_hex(16), "AccountSid": ACCOUNT, "From": ANN, "To": "+15005550006", "Body": text,
            "NumMedia": "0", "FromCity": "Łódź & co", "Empty": "", **more}  # fmt: skip


def told(status: str, code: str = "") -> dict[str, str]:
    return {"MessageSid": "SM" + secrets.token_hex(16), "AccountSid": ACCOUNT, "From": "+15005550006", "To": ANN,
            "MessageStatus": status, "ErrorCode": code}  # fmt: skip


def read(request: Raw) -> Inbound:
    found = channel().read(request)
    assert found is not None
    return found


def meaning(form: dict[str, str], query: str = "") -> list[Any]:
    """What a call means, after it was read and kept."""
    kept = read(called(form, query=query))
    assert kept.status == 200
    return [command for arrival in kept.arrivals for command in channel().understand(arrival.body)]


def test_a_message_is_kept_under_its_own_id_and_answered_with_nothing() -> None:
    form = said("hello")
    kept = read(called(form))
    (arrival,) = kept.arrivals
    assert (arrival.external_id, arrival.kind, arrival.whose) == (form["MessageSid"], "message", ANN)
    assert (kept.status, kept.content_type, b"<Response>" in kept.body) == (200, "text/xml", True)
    assert channel().route == "twilio"


WORDS = [
    ("STOP", [Away(Address("sms", ANN), "they replied STOP", for_ever=True)]),
    (" Stop. ", [Away(Address("sms", ANN), "they replied STOP", for_ever=True)]),
    ("unsubscribe", [Away(Address("sms", ANN), "they replied STOP", for_ever=True)]),
    ("START", [Here(Address("sms", ANN)), Said(Address("sms", ANN), "/start")]),
    ("BUY", [Said(Address("sms", ANN), "/buy")]),
    ("Buy credits-10", [Said(Address("sms", ANN), "/buy credits-10")]),
    ("/balance", [Said(Address("sms", ANN), "/balance")]),
    ("please stop it", [Said(Address("sms", ANN), "please stop it")]),
    ("Zażółć 🎉", [Said(Address("sms", ANN), "Zażółć 🎉")]),
    ("", [Said(Address("sms", ANN), "")]),
]


@pytest.mark.parametrize(("text", "commands"), WORDS, ids=[f"{n}" for n in range(len(WORDS))])
def test_what_people_say(text: str, commands: list[Any]) -> None:
    assert meaning(said(text)) == commands


def test_twilio_says_itself_that_somebody_wants_no_more() -> None:
    assert meaning(said("Arrêt", OptOutType="STOP")) == [Away(Address("sms", ANN), "they replied STOP", for_ever=True)]


async def test_stop_is_respected_until_start(twilio: Twilio) -> None:
    twilio.stopped.add(ANN)
    error = await refused(twilio)
    assert (type(error), getattr(error, "for_ever", None), twilio.messages) == (NeedsUser, True, [])


@pytest.mark.parametrize(
    ("status", "code"), [("undelivered", "30007"), ("undelivered", "30003"), ("failed", "30005"), ("failed", "")]
)
def test_what_did_not_arrive_is_told_with_its_key(status: str, code: str) -> None:
    (command,) = meaning(told(status, code), "paydesk_key=paid%3Aord_1")
    assert isinstance(command, Undelivered)
    assert (command.key, status in command.reason, code in command.reason) == ("paid:ord_1", True, True)
    assert ("30007" in str(command.tell), command.tell is None) == (code == "30007", code != "30007")


async def test_the_callback_that_we_ask_for_leads_back_to_the_message(twilio: Twilio) -> None:
    await send(twilio, key="paid:ord_2?&=#é")
    callback = urlsplit(twilio.callbacks[twilio.messages[0]["sid"]])
    (command,) = meaning(told("failed", "30005"), callback.query)
    assert command.key == "paid:ord_2?&=#é"


@pytest.mark.parametrize("status", ["queued", "sent", "delivered", "accepted"])
def test_what_went_well_is_not_kept(status: str) -> None:
    assert read(called(told(status))).arrivals == ()


def forged() -> dict[str, Raw]:
    good = called(said("hello"))
    other = dict(parse_qsl(good.body.decode(), keep_blank_values=True)) | {"Body": "/cancel"}
    return {
        "another token": called(said("hello"), token="f" * 32),
        "another body": Raw("POST", HOOK, good.headers, "", urlencode(other).encode()),
        "another address": Raw("POST", HOOK + "x", good.headers, "", good.body),
        "a query that was not signed": Raw("POST", HOOK, good.headers, "paydesk_key=x", good.body),
        "no signature": Raw("POST", HOOK, {"content-type": "application/x-www-form-urlencoded"}, "", good.body),
        "letters that no signature has": Raw("POST", HOOK, {"x-twilio-signature": "ł"}, "", good.body),
        "another account": called(said("hello", AccountSid="AC" + "f" * 32)),
    }


@pytest.mark.parametrize("how", sorted(forged()))
def test_forged_calls_are_refused(how: str) -> None:
    refusal = read(forged()[how])
    assert (refusal.status, refusal.arrivals) == (403, ())


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (called(said("x" * 70_000)), 413),
        (called(said("hello", MessageSid="../x")), 400),
        (called(said("a\x00b")), 400),
        (called({**said("hello"), **{f"F{n}": "x" for n in range(300)}}), 400),
        (Raw("POST", HOOK, {}, "", b"\xff\xfe"), 400),
        (Raw("POST", HOOK, {}, "", b"{}"), 400),
        (Raw("POST", HOOK, {}, "", b"a=%ff"), 400),
        (Raw("POST", HOOK, {}, "", b"a"), 400),
        (called(said("hello"), method="GET"), 405),
    ],
    ids=[f"{n}" for n in range(9)],
)
def test_what_cannot_be_read_is_refused(request_: Raw, status: int) -> None:
    refusal = read(request_)
    assert (refusal.status, refusal.arrivals) == (status, ())


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b"{}", b"MessageStatus=new", b"Body=x", b"From=x", b"MessageStatus=failed"]
)
def test_nothing_that_is_stored_breaks_the_reader(body: bytes) -> None:
    channel().understand(body)


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [("TWILIO_ACCOUNT_SID", "AC12"), ("TWILIO_ACCOUNT_SID", ""), ("TWILIO_AUTH_TOKEN", "short"), ("TWILIO_AUTH_TOKEN", ""),
     ("TWILIO_FROM", ""), ("TWILIO_FROM", "somebody with a long name"), ("TWILIO_API_BASE", "api.twilio.com")],
    ids=[f"{n}" for n in range(7)],
)  # fmt: skip
def test_settings_that_cannot_be_meant(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=rf"^{name} is .*") as refusal:
        channel(**{name: value})
    assert "\n" not in refusal.value.message
    assert value not in refusal.value.message or value in ("", "api.twilio.com")
