"""What time does: passes end exactly, links outlive their sessions, expired credits cannot be spent."""

from __future__ import annotations

import httpx

from desk import Desk
from sandbox_fixtures import until


def advance(desk: Desk, span: str) -> None:
    """Move the sandbox's clock, and wait until the desk has followed."""
    desk.sandbox.advance(span)
    offset_s = httpx.get(f"{desk.sandbox.url}/_sandbox/clock").json()["offset_s"]
    until(lambda: desk.sql("SELECT clock_offset_s FROM desk")[0]["clock_offset_s"] == offset_s, what="the desk's clock")


def test_t42_a_pass_ends_exactly_at_its_end_and_the_buyer_is_told_once(timed: Desk) -> None:
    buyer = timed.buyer()
    buyer.buy("access-30d")
    buyer.buy("access-30d")
    advance(timed, "59d")
    assert buyer.access("premium")["allowed"]
    advance(timed, "25h")
    until(lambda: not buyer.access("premium")["allowed"], what="the end of access")
    until(lambda: [text for text in buyer.told() if "has ended" in text], what="the message")
    timed.quiet()
    assert len([text for text in buyer.told() if "has ended" in text]) == 1


def test_expired_credits_are_not_in_the_balance(timed: Desk) -> None:
    buyer = timed.buyer()
    buyer.buy("credits-50")
    buyer.buy("credits-10")
    assert buyer.balance() == 60
    advance(timed, "31d")
    until(lambda: buyer.balance() == 10, what="the expiry")


def test_a_link_never_dies_an_expired_session_gives_way_to_a_fresh_one(timed: Desk) -> None:
    buyer = timed.buyer()
    link = buyer.say("/buy credits-10")[0]["buttons"][0]["url"]
    first = httpx.post(link, headers={"Origin": timed.url}).headers["location"]
    assert httpx.post(link, headers={"Origin": timed.url}).headers["location"] == first, "an open session is used again"
    advance(timed, "25h")
    order = timed.sql("SELECT id FROM orders WHERE link_token = $1", link.rsplit("/", 1)[1])[0]["id"]
    timed.settled(order, "expired")
    second = httpx.post(link, headers={"Origin": timed.url}).headers["location"]
    assert second != first
    assert buyer.pay(timed.get(f"/v1/orders/{order}")).status_code == 200
    timed.settled(order)
    assert buyer.balance() == 10
