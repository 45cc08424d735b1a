"""What strangers may do is limited: by visitor and by address, in bounded memory, with an answer that says when."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from desk import Desk
from paydesk.web.limits import Buckets, Rate, address_of
from paydesk.web.pages import chat, link, stream
from sandbox_fixtures import until

ENOUGH = 2000


class Watch:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_bucket_gives_its_burst_then_its_rate_and_never_more_than_its_burst() -> None:
    watch = Watch()
    buckets = Buckets(Rate(burst=3, per_s=0.5), now_s=watch)
    for _ in range(3):
        assert buckets.wait_s("a") == 0
        buckets.take("a")
    assert (buckets.wait_s("a"), buckets.wait_s("b")) == (2, 0)
    watch.now_s += 2
    assert buckets.wait_s("a") == 0
    buckets.take("a")
    assert buckets.wait_s("a") == 2
    watch.now_s += 10_000
    for _ in range(3):
        buckets.take("a")
    assert buckets.wait_s("a") == 2


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), max_size=60))
def test_nobody_ever_has_more_than_the_burst_and_the_rate_allow(asked: list[tuple[str, float]]) -> None:
    watch = Watch()
    buckets, had = Buckets(Rate(burst=4, per_s=0.5), now_s=watch), dict.fromkeys("abc", 0)
    for key, gap_s in asked:
        watch.now_s += gap_s
        if buckets.wait_s(key) == 0:
            buckets.take(key)
            had[key] += 1
        assert had[key] <= 4 + (watch.now_s - 1000) * 0.5 + 1e-6


def test_the_memory_is_bounded_and_who_is_busy_is_not_forgotten() -> None:
    buckets = Buckets(Rate(burst=2, per_s=0.001), keys_max=10)
    for number in range(1000):
        buckets.take("busy")
        buckets.take(str(number))
        assert len(buckets) <= 10
    assert buckets.wait_s("busy") > 0
    assert buckets.wait_s("999") == 0


@pytest.mark.parametrize(
    ("peer", "told", "address"),
    [
        ("9.9.9.9", [], "9.9.9.9"),
        ("9.9.9.9", ["198.51.100.1"], "9.9.9.9"),  # a stranger may write what they like
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.1.2.3", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["nonsense"], "127.0.0.1"),
        ("::1", ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        ("2a00:1:2:3:4:5:6:7", [], "2a00:1:2:3::/64"),
        ("::ffff:198.51.100.7", [], "198.51.100.7"),
    ],
)
def test_whose_address_it_is(peer: str, told: list[str], address: str) -> None:
    headers = [(b"x-forwarded-for", value.encode()) for value in told]
    assert address_of(Request({"type": "http", "headers": headers, "client": (peer, 1)})) == address


def stranger(desk: Desk, address: str, visitor: str | None = None) -> httpx.Client:
    """Somebody at an address, as a proxy at this machine tells it."""
    headers = {"X-Forwarded-For": address, "Cookie": f"paydesk_visitor={visitor or secrets.token_urlsafe(24)}"}
    return httpx.Client(base_url=desk.url, headers=headers, timeout=20)


def said(client: httpx.Client) -> httpx.Response:
    return client.post("/chat/messages", json={"text": "/balance"})


def refused(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 429, answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == "rate_limited"
    assert f"wait {answer.headers['Retry-After']} second" in error["message"]
    return error


def until_refused(send: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """Send until it is refused; while one sends slowly a few more than the burst are let in."""
    answers = [send()]
    while answers[-1].status_code != 429:
        assert len(answers) < ENOUGH
        answers.append(send())
    return answers


def test_a_visitor_who_says_too_much_is_told_to_wait_and_nothing_is_kept(desk: Desk) -> None:
    visitor = secrets.token_urlsafe(24)
    with stranger(desk, "198.51.100.10", visitor) as client, stranger(desk, "198.51.100.11", visitor) as elsewhere:
        *heard, last = until_refused(lambda: said(client))
        refused(last)
        assert len(heard) >= chat.POSTS.burst
        assert {answer.status_code for answer in heard} == {200}
        kept = desk.sql("SELECT count(*) AS n FROM message WHERE external_id = $1 AND direction = 'in'", visitor)
        assert kept[0]["n"] == len(heard)
        refused(until_refused(lambda: said(elsewhere))[-1])
        refused(until_refused(lambda: client.post("/chat/start", json={}))[-1])
    with stranger(desk, "198.51.100.10") as other:
        assert said(other).status_code == 200


def test_an_address_that_brings_ever_new_visitors_is_told_to_wait(desk: Desk) -> None:
    def fresh(client: httpx.Client) -> httpx.Response:
        return client.post("/chat/start", json={}, headers={"Cookie": f"paydesk_visitor={secrets.token_urlsafe(24)}"})

    before = desk.sql("SELECT count(*) AS n FROM customer")[0]["n"]
    with stranger(desk, "198.51.100.20") as client:
        *made, last = until_refused(lambda: fresh(client))
    refused(last)
    assert len(made) >= chat.POSTS_OF_ADDRESS.burst
    assert desk.sql("SELECT count(*) AS n FROM customer")[0]["n"] - before == len(made)
    with stranger(desk, "198.51.100.21") as elsewhere:
        assert fresh(elsewhere).status_code == 200


def test_a_button_pressed_without_end_is_told_to_wait_on_a_page_for_people(desk: Desk) -> None:
    buyer = desk.buyer()
    path = "/r/" + buyer.say("/buy credits-10")[0]["buttons"][0]["url"].rpartition("/")[2]
    with stranger(desk, "198.51.100.30") as client:
        *pressed, last = until_refused(lambda: client.post(path))
        assert len(pressed) >= link.PRESSES.burst
        assert {answer.status_code for answer in pressed} == {303}
        assert "That was a lot at once" in last.text
        assert int(last.headers["Retry-After"]) >= 1
        assert f'href="{path}"' in last.text
        *guessed, last = until_refused(lambda: client.post(f"/r/{secrets.token_hex(13)}"))
        assert len(pressed) + len(guessed) >= link.PRESSES_OF_ADDRESS.burst
        assert {answer.status_code for answer in guessed} == {404}
    with stranger(desk, "198.51.100.31") as other:
        assert other.get(path).status_code == 200


def test_a_visitor_has_only_so_many_streams_and_they_count_while_they_are_open(desk: Desk) -> None:
    with stranger(desk, "198.51.100.40") as client, ExitStack() as open_streams:
        lines: list[Iterator[str]] = []
        for _ in range(stream.OF_VISITOR_MAX):
            answer = open_streams.enter_context(client.stream("GET", "/chat/stream"))
            assert answer.status_code == 200
            lines.append(answer.iter_lines())  # kept: it closes the stream when it is forgotten
            assert next(lines[-1]) == "retry: 1000"
        refused(client.get("/chat/stream"))
        open_streams.close()
        until(lambda: opened(client) == 200, what="room for another one")


def opened(client: httpx.Client) -> int:
    with client.stream("GET", "/chat/stream") as answer:
        return answer.status_code
