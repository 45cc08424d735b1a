"""The main job: somebody buys in a chat, and has it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from desk import Desk


def test_credits_bought_in_the_chat_are_there_and_told_in_the_same_thread(desk: Desk) -> None:
    buyer = desk.buyer()
    button = buyer.say("/buy credits-10")[0]["buttons"][0]
    assert button["label"] == "Pay $9.99"
    assert button["url"].startswith(f"{desk.url}/r/")
    order = buyer.checkout("credits-10")
    assert buyer.pay(order).status_code == 200
    desk.settled(order["id"])
    assert buyer.balance() == 10
    assert [text for text in buyer.told() if "Paid $9.99" in text and "10 credits" in text]
    assert buyer.say("/balance")[0]["text"] == "You have 10 credits."
    assert "10 credits  $9.99  paid" in buyer.say("/history")[0]["text"]


def test_a_pass_gives_access_until_its_exact_end_and_two_add_up(desk: Desk) -> None:
    buyer = desk.buyer()
    first = buyer.buy("access-30d")
    assert buyer.access("premium")["because"] == [f"{first['id']}:0:0"]
    buyer.buy("access-30d")
    until = datetime.fromisoformat(buyer.access("premium")["until"])
    paid = datetime.fromisoformat(first["paid_at"])
    assert until == paid + timedelta(days=60)
    assert until.tzinfo == UTC


def test_t16_one_purchase_one_grant_whichever_of_three_event_types_tell_of_it(desk: Desk) -> None:
    buyer = desk.buyer()
    order = buyer.buy("bundle")
    events = desk.get(f"/v1/customers/{buyer.id}/timeline", what="event")["data"]
    kinds = {step["type"] for step in events}
    assert kinds
    done = desk.sql(
        "SELECT kind FROM inbox WHERE state = 'done' AND position($1::bytea in body) > 0", order["id"].encode()
    )
    assert {"checkout.session.completed", "payment_intent.succeeded", "charge.succeeded"} <= {
        row["kind"] for row in done
    }
    assert buyer.balance() == 100
    badge = buyer.access("badge")
    assert (badge["allowed"], badge["until"], badge["because"]) == (True, None, [f"{order['id']}:0:2"])
    assert len([text for text in buyer.told() if "Paid $49.99" in text]) == 1
