"""Answers that our server takes whole are like all others: the same headers, in order, on any connection."""

from __future__ import annotations

import re
import socket

import pytest

from desk import Desk

ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r]*\r\n(.*?)\r\n\r\n", re.DOTALL)


def path(desk: Desk, feature: str = "premium") -> str:
    """The address of a check of somebody's access."""
    buyer = desk.buyer()
    buyer.say("/start")
    return f"/v1/customers/{buyer.id}/access?feature={feature}"


def talked(desk: Desk, sent: bytes, answers_max: int = 1000) -> bytes:
    """Send bytes on a connection of their own; what came back until that many answers, or until the server closed it."""
    host, port = desk.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as line:
        line.sendall(sent)
        received = b""
        while len(ANSWER.findall(received)) < answers_max and (data := line.recv(65536)):
            received += data
    return received


def request(desk: Desk, target: str, *more: str, version: str = "1.1") -> bytes:
    lines = (f"GET {target} HTTP/{version}", "Host: desk", f"Authorization: Bearer {desk.key}", *more)
    return "\r\n".join((*lines, "", "")).encode()


def test_a_page_and_a_server_get_the_same_headers(desk: Desk) -> None:
    """What a page is sent goes by messages, for there is more to it."""
    check = path(desk)
    whole, by_messages = desk.call("GET", check), desk.call("GET", check, headers={"Origin": "https://shop.example"})
    assert [name for name, _ in whole.headers.multi_items()] == [name for name, _ in by_messages.headers.multi_items()]
    differs = {"request-id", "ratelimit-remaining", "ratelimit-reset", "date"}
    for name, value in whole.headers.items():
        assert value == by_messages.headers[name] or name in differs, name
    assert whole.content == by_messages.content
    assert whole.headers["content-length"] == str(len(whole.content))


def test_what_is_asked_in_one_go_is_answered_in_order(desk: Desk) -> None:
    check, nobody = path(desk), "/v1/customers/cst_00000000000000000000000000/access?feature=premium"
    targets = [check, "/healthz", check, nobody, check, check, "/v1/products", check]
    answers = ANSWER.findall(talked(desk, b"".join(request(desk, one) for one in targets), len(targets)))
    assert [int(status) for status, _ in answers] == [200, 200, 200, 404, 200, 200, 200, 200]
    assert [b"ratelimit-limit" in head for _, head in answers] == [one != "/healthz" for one in targets]
    numbers = [re.search(rb"request-id: (\S+)", head) for _, head in answers]
    assert len({number[1] for number in numbers if number is not None}) == len(targets)


@pytest.mark.parametrize(("version", "more"), [("1.1", ("Connection: close",)), ("1.0", ())])
def test_a_connection_is_closed_for_who_wants_no_more(desk: Desk, version: str, more: tuple[str, ...]) -> None:
    received = talked(desk, request(desk, path(desk), *more, version=version))
    (found,) = ANSWER.findall(received)
    assert found[0] == b"200"
    assert b"connection: close" in found[1].lower()
    assert received.endswith(b"}")
