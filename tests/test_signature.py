"""Bytes from outside: what is read, what is refused, and that nothing but our own errors comes out of it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import hmac
import json
import socket
import time
from collections.abc import AsyncIterator

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from desk import Desk
from paydesk.config import Secret
from paydesk.errors import Invalid
from paydesk.service import Service
from paydesk.stripe.envelope import envelope
from paydesk.stripe.signature import BODY_BYTES_MAX, DEPTH_MAX, DIGITS_MAX, BadSignature, depth, read_json, verify
from paydesk.web.hooks import StripeHook

SECRET = b"whsec_test_secret"
NOW_S = 1_800_000_000


def header(body: bytes, *, stamp: int = NOW_S, secret: bytes = SECRET) -> str:
    """A header as Stripe makes it, computed here from its definition."""
    return f"t={stamp},v1={hmac.new(secret, str(stamp).encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def test_a_good_signature_is_accepted_wherever_it_stands_in_the_header() -> None:
    body = b'{"id": "evt_1"}'
    good = header(body)
    stamp, _, digest = good.partition(",")
    for line in (
        good,
        f"{digest},{stamp}",
        f"{stamp},v0=abc,v1=00,{digest}",
        f" {stamp} , {digest} ",
        f"{good},x=y,,=",
    ):
        verify(body, line, [b"whsec_other", SECRET], NOW_S)


@pytest.mark.parametrize("away_s", [-300, 0, 300])
def test_three_hundred_seconds_both_ways_are_tolerated(away_s: int) -> None:
    verify(b"{}", header(b"{}", stamp=NOW_S + away_s), [SECRET], NOW_S)


@pytest.mark.parametrize("away_s", [-301, 301, -NOW_S, 10**9])
def test_more_than_three_hundred_seconds_are_not(away_s: int) -> None:
    with pytest.raises(BadSignature, match="300 seconds"):
        verify(b"{}", header(b"{}", stamp=NOW_S + away_s), [SECRET], NOW_S)


@pytest.mark.parametrize(
    "line",
    ["", ",", "t=", "t=1", "v1=00", "t=abc,v1=00", "t=-5,v1=00", "t=+5,v1=00", "t=0005,v1=00", "t=5.5,v1=00",
     "t=٣,v1=00", "t=9999999999999,v1=00", "t=²,v1=00", f"t={NOW_S},v0=00", f"t={NOW_S},v1=ü"],
)  # fmt: skip
def test_a_malformed_header_is_refused(line: str) -> None:
    with pytest.raises(BadSignature):
        verify(b"{}", line, [SECRET], NOW_S)


def test_without_a_secret_nothing_is_accepted() -> None:
    with pytest.raises(BadSignature):
        verify(b"{}", header(b"{}"), [], NOW_S)


def test_the_first_time_stamp_counts_so_that_a_second_cannot_refresh_an_old_event() -> None:
    old = header(b"{}", stamp=NOW_S - 900)
    with pytest.raises(BadSignature):
        verify(b"{}", f"t={NOW_S},{old}", [SECRET], NOW_S)


@given(st.binary(max_size=200), st.text(max_size=200), st.lists(st.binary(max_size=40), max_size=3))
def test_no_header_and_no_body_gets_past_or_makes_anything_but_a_bad_signature(
    body: bytes, line: str, keys: list[bytes]
) -> None:
    with pytest.raises(BadSignature):
        verify(body, line, keys, NOW_S)


@given(st.binary(max_size=200), st.binary(min_size=1, max_size=4), st.integers(0, 199))
def test_a_signed_body_is_accepted_and_one_changed_byte_is_not(body: bytes, other: bytes, place: int) -> None:
    verify(body, header(body), [SECRET], NOW_S)
    changed = body[:place] + other + body[place:]
    with pytest.raises(BadSignature):
        verify(changed, header(body), [SECRET], NOW_S)


# --- the JSON in it --------------------------------------------------------------------------------------------------

BAD_JSON: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not the JSON we take"),
    "not JSON": (b"hello=world", "not the JSON we take"),
    "a list": (b"[]", "must be a JSON object"),
    "null": (b"null", "must be a JSON object"),
    "a number": (b"42", "must be a JSON object"),
    "more after it": (b"{} {}", "not the JSON we take"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "not the JSON we take"),
    "UTF-16": ('{"id": "evt_1"}'.encode("utf-16"), "not the JSON we take"),
    "bytes that are no UTF-8": (b'{"id": "\xff"}', "not the JSON we take"),
    "a lone surrogate": (b'{"id": "\\ud800"}', "not the JSON we take"),
    "a key twice": (b'{"id": "evt_1", "id": "evt_2"}', "not the JSON we take"),
    "a key twice inside": (b'{"data": {"object": {"amount": 1, "amount": 2}}}', "not the JSON we take"),
    "a key twice beside escaped quotes": (rb'{"a": "\"\"", "b": "x\u0022", "b": 1}', "not the JSON we take"),
    "a key twice, once as codes": (rb'{"amount": 1, "amoun\u0074": 2}', "not the JSON we take"),
    "two empty keys": (rb'{"": 1, "": "\u0022\u0022"}', "not the JSON we take"),
    "a number that is infinite": (b'{"amount": 1e999}', "not the JSON we take"),
    "NaN": (b'{"amount": NaN}', "not the JSON we take"),
    "Infinity": (b'{"amount": -Infinity}', "not the JSON we take"),
    "a huge integer": (b'{"data": [{"amount": ' + b"9" * (DIGITS_MAX + 1) + b"}]}", f"more than {DIGITS_MAX} digits"),
    "a very huge integer": (b'{"amount": ' + b"9" * 6000 + b"}", "out of range"),
    "too deep": (b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1), "deeper than 64"),
    "far too deep": (b'{"a":' + b"[" * 100_000, "deeper than 64"),
}


@pytest.mark.parametrize(("body", "reason"), BAD_JSON.values(), ids=BAD_JSON)
def test_bad_json_is_refused_with_a_reason(body: bytes, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        read_json(body)


def test_what_only_looks_deep_or_huge_is_taken() -> None:
    many = b'{"a": "' + b"[{" * 500 + rb"\"[" * 100 + b'", "b": [' + b",".join([b"[]"] * 200) + b"]}"
    assert len(read_json(many)["b"]) == 200
    assert read_json(b'{"a": "' + b"9" * 400 + b'", "b": ' + b"9" * DIGITS_MAX + b"}")["b"] == 10**DIGITS_MAX - 1
    assert read_json(b'{"a":' * DEPTH_MAX + b"1" + b"}" * DEPTH_MAX)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON, max_size=5), st.sampled_from([None, 2]))
def test_every_honest_object_is_read_as_it_was_written(value: dict[str, object], indent: int | None) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "replace")
    assert read_json(body) == json.loads(body)


def _escaped(text: str, codes: list[bool]) -> str:
    """Write a JSON string, some of its characters as codes."""
    letters = (
        rf"\u{ord(letter):04x}" if code else json.dumps(letter)[1:-1] for letter, code in zip(text, codes, strict=True)
    )
    return '"' + "".join(letters) + '"'


@given(st.data())
def test_a_key_given_twice_is_found_however_its_letters_are_written(data: st.DataObject) -> None:
    letters = st.text(alphabet='ab"\\', max_size=2)
    pairs = data.draw(st.lists(st.tuples(letters, letters), max_size=4))
    codes = st.lists(st.booleans(), min_size=2, max_size=2)
    written = [[_escaped(text, data.draw(codes)[: len(text)]) for text in pair] for pair in pairs]
    body = ("{" + ",".join(f"{key}:{value}" for key, value in written) + "}").encode()
    if len({key for key, _ in pairs}) < len(pairs):
        with pytest.raises(Invalid):
            read_json(body)
    else:
        assert read_json(body) == dict(pairs)


@given(
    st.binary(max_size=300) | st.text(alphabet='{}[]",:\\0123456789eE+-.untrfalse \x00', max_size=200).map(str.encode)
)
def test_no_bytes_make_anything_but_an_object_or_a_refusal(body: bytes) -> None:
    with contextlib.suppress(Invalid):
        assert isinstance(read_json(body), dict)
    assert depth(body) >= 0


EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "x.y",
    "livemode": False,
    "created": 1,
    "data": {"object": {"id": "x"}},
}


@pytest.mark.parametrize(
    "changes",
    [{"id": None}, {"id": 5}, {"id": ""}, {"id": "evt_\x00"}, {"id": "evt ü"}, {"id": "e" * 300}, {"type": None},
     {"type": "\x00"}, {"type": "a" * 200}, {"livemode": None}, {"livemode": "false"}, {"object": "v2.core.event"}],
)  # fmt: skip
def test_an_object_that_is_no_event_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        envelope(json.dumps({**EVENT, **changes}).encode())


@given(st.dictionaries(st.sampled_from(["id", "object", "type", "livemode", "data", "account", "created"]), JSON))
def test_no_object_makes_anything_but_an_envelope_or_a_refusal(changes: dict[str, object]) -> None:
    body = json.dumps({**EVENT, **changes}).encode()
    try:
        made = envelope(body)
    except Invalid:
        return
    assert made.body == body
    assert 0 <= made.lane < 1024
    assert "\x00" not in made.external_id + made.kind


# --- at the door -----------------------------------------------------------------------------------------------------


def rows(desk: Desk) -> int:
    return int(desk.sql("SELECT count(*) AS n FROM inbox")[0]["n"])


@pytest.mark.parametrize(("body", "_reason"), BAD_JSON.values(), ids=BAD_JSON)
def test_a_bad_body_gets_400_even_when_well_signed_and_nothing_is_stored(desk: Desk, body: bytes, _reason: str) -> None:
    desk.quiet()
    before = rows(desk)
    sent = desk.deliver(body)
    assert sent.status_code == 400, sent.text
    assert sent.json()["error"]["code"] == "invalid_request"
    assert rows(desk) == before


def test_a_body_too_large_gets_413_whether_it_tells_its_length_or_not(desk: Desk) -> None:
    desk.quiet()
    before = rows(desk)
    body = json.dumps({**EVENT, "id": "evt_large", "padding": "x" * BODY_BYTES_MAX}).encode()
    assert desk.deliver(body).status_code == 413
    pieces = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
    headers = {"Stripe-Signature": desk.signed(body)}
    assert httpx.post(desk.url + "/webhooks/stripe", content=pieces, headers=headers).status_code == 413
    assert rows(desk) == before


def test_a_body_just_small_enough_is_taken(desk: Desk) -> None:
    event = desk.event_of("x.padded", {"id": "x"}, padding="")
    event["padding"] = "x" * (BODY_BYTES_MAX - len(json.dumps(event)))
    assert desk.deliver(json.dumps(event).encode()).status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "gzip, identity"])
def test_a_compressed_body_gets_400(desk: Desk, encoding: str) -> None:
    desk.quiet()
    before = rows(desk)
    body = gzip.compress(json.dumps(desk.event_of("x.y", {"id": "x"})).encode())
    headers = {"Stripe-Signature": desk.signed(body), "Content-Encoding": encoding}
    sent = httpx.post(desk.url + "/webhooks/stripe", content=body, headers=headers)
    assert (sent.status_code, sent.json()["error"]["code"]) == (400, "unsupported_encoding")
    assert rows(desk) == before


def test_only_post_is_answered(desk: Desk) -> None:
    for method in ("GET", "PUT", "DELETE", "HEAD"):
        assert httpx.request(method, desk.url + "/webhooks/stripe").status_code == 405


@pytest.fixture
async def impatient(service: Service) -> AsyncIterator[int]:
    """The port of a webhook that waits half a second for a body, on a real server."""
    hook = StripeHook(service.receiver, [Secret("whsec_test_secret")], body_s_max=0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(hook, lifespan="off", log_level="critical"))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()[1]
        server.should_exit = True
        await running


async def post(port: int, body: bytes, *, wait_s: float, length: int | None = None) -> bytes:
    """Send a body byte by byte; return the first line of the answer."""
    signature = header(body, stamp=int(time.time()))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"POST / HTTP/1.1\r\nHost: x\r\nStripe-Signature: {signature}\r\n"
                 f"Content-Length: {length or len(body)}\r\n\r\n".encode())  # fmt: skip
    answered = asyncio.create_task(reader.readline())
    for place in range(len(body)):
        if answered.done():
            break
        writer.write(body[place : place + 1])
        await asyncio.sleep(wait_s)
    line = await asyncio.wait_for(answered, 10)
    writer.close()
    return line


async def test_a_sender_of_a_byte_now_and_then_is_refused_after_the_deadline(service: Service, impatient: int) -> None:
    body = json.dumps(EVENT).encode()
    assert b" 200 " in await post(impatient, body, wait_s=0)
    slow = json.dumps({**EVENT, "id": "evt_slow"}).encode()
    assert b" 400 " in await post(impatient, slow, wait_s=0.1)
    assert b" 400 " in await post(impatient, b"{", wait_s=0, length=500)
    assert await service.store.fetchval("SELECT array_agg(external_id) FROM inbox") == ["evt_1"]
