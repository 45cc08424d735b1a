"""What people may have, by reason: roles that come and go in servers, claims, and why somebody has what they have."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import rooms
from conftest import settings_for
from desk import Buyer, Desk, running_desk
from money_back import advance, calm, refund
from sandbox_fixtures import running_sandbox, until

CATALOG = Path(__file__).with_name("catalog_people.toml")
ROLE = "discord:1001:2001"


@pytest.fixture(scope="module")
def shop(new_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk whose channels discord and telegram are brought by a package, with a sandbox whose clock these tests move."""
    plugged = rooms.installed(tmp_path_factory.mktemp("site"), os.environ.get("PYTHONPATH", ""))
    with running_sandbox() as sandbox:
        settings = settings_for(new_database(), sandbox.url, PAYDESK_CATALOG=str(CATALOG), **plugged)
        with running_desk(settings, sandbox) as desk:
            yield desk


def inside(shop: Desk) -> set[tuple[str, str, str, str]]:
    """Who is in where, by what the channels were told to do."""
    return rooms.inside(Path(shop.settings["ROOMS_FILE"]))


def done(shop: Desk, buyer: Buyer) -> list[str]:
    """What was done for somebody, oldest first."""
    file = Path(shop.settings["ROOMS_FILE"])
    return [one["do"] for one in rooms.lines(file) if one["to"] == buyer.external_id and "space" in one]


def subscribe(buyer: Buyer, price: str) -> str:
    """Subscribe with a card; the subscription's id at Stripe."""
    order = buyer.checkout(price)
    assert buyer.pay(order).status_code == 200
    until(lambda: buyer.desk.get(f"/v1/orders/{order['id']}")["paid_at"] is not None, what="the first payment")
    calm(buyer.desk)
    rows = buyer.desk.sql("SELECT id FROM subscription WHERE customer_id = $1 ORDER BY started_at DESC", buyer.id)
    return str(rows[0]["id"])


def lost(buyer: Buyer, feature: str = ROLE) -> dict[str, str]:
    """The reasons for a feature that somebody has lost, and why."""
    steps = buyer.desk.get(f"/v1/customers/{buyer.id}/timeline", limit=100)["data"]
    return {step["id"]: step["why"] for step in steps if step["what"] == "lost" and step["feature"] == feature}


def test_why_tells_of_three_reasons_and_of_the_one_that_was_lost(shop: Desk) -> None:
    buyer = shop.buyer("discord")
    for_good, month = buyer.buy("role-for-good"), buyer.buy("role-30d")
    subscription = subscribe(buyer, "vip-month")
    here = ("discord", buyer.external_id, "1001", "2001")
    until(lambda: here in inside(shop), what="the role")
    told = buyer.access(ROLE)
    assert [reason["order"] or reason["subscription"] for reason in told["reasons"]] == [
        one.partition(":")[0] for one in told["because"]
    ]
    assert len(told["because"]) == 3
    refund(shop, for_good)
    after = buyer.access(ROLE)
    assert (after["allowed"], len(after["because"])) == (True, 2)
    assert {reason["subscription"]: reason["text"] for reason in after["reasons"]}[
        subscription
    ] == "the subscription VIP"
    assert lost(buyer) == {f"{for_good['id']}:0:0": "refunded"}
    shown = shop.command("why", buyer.id, ROLE)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count(" grant ") == 3
    assert shown.stdout.count(" lost ") == 1
    for word in (
        "subscription",
        "invoice",
        "membership",
        "why=refunded",
        f"feature={ROLE}",
        "template=grant",
        month["id"],
    ):
        assert word in shown.stdout, word
    assert done(shop, buyer) == ["grant"], "the role never fell meanwhile"


def test_t32_the_end_of_a_subscription_takes_nothing_that_something_else_still_gives(shop: Desk) -> None:
    buyer = shop.buyer("discord")
    month = buyer.buy("role-30d")
    subscription = subscribe(buyer, "vip-month")
    assert shop.at_stripe("DELETE", f"/v1/subscriptions/{subscription}").status_code == 200
    calm(shop)
    assert buyer.access(ROLE)["because"] == [f"{month['id']}:0:0"]
    assert lost(buyer) == {f"{subscription}:vip-month:0": "canceled"}
    assert done(shop, buyer) == ["grant"]
    advance(shop, "31d")
    until(lambda: done(shop, buyer) == ["grant", "revoke"], what="the end of the role")
    assert lost(buyer) == {f"{subscription}:vip-month:0": "canceled", f"{month['id']}:0:0": "expired"}
    assert not buyer.access(ROLE)["allowed"]
    assert not [text for text in buyer.told() if "discord:" in text]


def test_t43_the_same_person_in_two_servers_and_a_group_has_the_right_roles_only(shop: Desk) -> None:
    buyer = shop.buyer("discord")
    buyer.buy("role-30d")
    buyer.buy("other-server")
    here = {("discord", buyer.external_id, space, "2001") for space in ("1001", "1002")}
    until(lambda: here <= inside(shop), what="both roles")
    there = {"channel": "telegram", "external_id": f"t{buyer.external_id}"}
    made = shop.post(f"/v1/customers/{buyer.id}/identities", there)
    assert made["identities"] == [buyer.who, there]
    group = ("telegram", there["external_id"], "-100123", "")
    until(lambda: group in inside(shop), what="the group")
    again = shop.post(f"/v1/customers/{buyer.id}/memberships/sync", {})
    assert {one["feature"] for one in again["data"]} == {ROLE, "discord:1002:2001", "telegram:-100123"}
    until(lambda: len(done(shop, buyer)) == 4, what="both roles again")
    gone = shop.call("DELETE", f"/v1/customers/{buyer.id}/identities/telegram/{there['external_id']}")
    assert gone.status_code == 200
    assert gone.json()["identities"] == [buyer.who]
    until(lambda: group not in inside(shop), what="the end of it there")
    listed = shop.get(f"/v1/customers/{buyer.id}/memberships")["data"]
    assert {one["feature"]: one["wanted"] for one in listed}["telegram:-100123"], "they are let in where they come next"


def test_t42_a_clock_that_starts_when_it_is_claimed(shop: Desk) -> None:
    buyer = shop.buyer("discord")
    buyer.buy("later")
    advance(shop, "40d")
    assert not buyer.access("lessons")["allowed"]
    steps = shop.get(f"/v1/customers/{buyer.id}/timeline", limit=100)["data"]
    assert {step.get("why") for step in steps if step["what"] == "grant"} == {"waits to be claimed"}
    path = f"/v1/customers/{buyer.id}/claims"
    (started,) = shop.post(path, {"feature": "lessons"}, Idempotency_Key=buyer.external_id)["data"]
    assert span(started) == timedelta(days=30)
    assert shop.post(path, {"feature": "lessons"}, Idempotency_Key=buyer.external_id)["data"] == [started]
    assert shop.post(path, {"feature": "lessons"})["data"] == []
    assert buyer.access("lessons")["until"] == started["until"]
    assert done(shop, buyer) == []
    assert buyer.say("/claim")[0]["text"].startswith("Started: your role on Discord. It lasts until ")
    until(lambda: done(shop, buyer) == ["grant"], what="the role")
    assert buyer.say("/claim")[0]["text"].startswith("Nothing waits to be started.")
    key = shop.command("keys", "create", "reader", "--scope", "read").stdout.split()[1]
    assert shop.call("POST", path, json={}, key=key).status_code == 403
    assert shop.call("POST", path, json={"feature": ""}).status_code == 422
    assert shop.call("POST", "/v1/customers/cst_nobody/claims", json={}).status_code == 404


def test_what_is_refunded_before_it_is_claimed_cannot_be_claimed(shop: Desk) -> None:
    buyer = shop.buyer("discord")
    refund(shop, buyer.buy("later"))
    assert shop.post(f"/v1/customers/{buyer.id}/claims", {})["data"] == []
    assert buyer.say("/claim")[0]["text"].startswith("Nothing waits to be started.")
    assert not buyer.access("lessons")["allowed"]
    assert done(shop, buyer) == []
    steps = shop.get(f"/v1/customers/{buyer.id}/timeline", limit=100)["data"]
    assert "waits to be claimed" not in {step.get("why") for step in steps}


def test_what_is_refunded_in_part_before_it_is_claimed_is_shorter(shop: Desk) -> None:
    buyer = shop.buyer("discord")
    order = buyer.buy("later")
    refund(shop, order, 333)
    (started,) = shop.post(f"/v1/customers/{buyer.id}/claims", {"feature": "lessons"})["data"]
    assert span(started) == timedelta(days=20)
    refund(shop, order, 333)
    assert buyer.say("/claim")[0]["text"].startswith("Started: your role on Discord. It lasts until ")
    shorter = {**started, "until": buyer.access("lessons")["until"]}
    assert span(shorter) == timedelta(days=10), "what runs already is shortened too"
    assert buyer.access("discord:1001:2003")["until"] > shorter["until"], "what was claimed later ends later"
    until(lambda: done(shop, buyer) == ["grant"], what="the role")
    refund(shop, order)
    assert not buyer.access("lessons")["allowed"]
    until(lambda: done(shop, buyer) == ["grant", "revoke"], what="the end of the role")


def span(started: dict[str, Any]) -> timedelta:
    return datetime.fromisoformat(started["until"]) - datetime.fromisoformat(started["since"])


def test_the_access_check_refuses_what_it_cannot_answer(shop: Desk) -> None:
    buyer = shop.buyer()
    buyer.say("/start")
    path = f"/v1/customers/{buyer.id}/access"
    for query in ("", "?feature=", f"?feature={65 * 'x'}", "?feature=%ff"):
        assert shop.call("GET", path + query).status_code == 422, query
    other = shop.call("GET", f"{path}?other=premium")
    assert (other.status_code, other.json()["error"]["param"]) == (400, "other")
    assert shop.call("GET", f"{path}?feature=premium").json() == {
        "allowed": False, "until": None, "because": [], "reasons": [],
    }  # fmt: skip
    for unknown in ("cst_nobody", f"cst_{26 * '0'}", "%00", "x"):
        answer = shop.call("GET", f"/v1/customers/{unknown}/access?feature=premium")
        assert answer.status_code == 404, unknown
        assert answer.json()["error"]["param"] == "customer"
    posted = shop.call("POST", f"{path}?feature=premium")
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET")
    assert shop.call("GET", f"{path}?feature=premium", key="pdk_wrong").status_code == 401
    key = shop.command("keys", "create", "spender", "--scope", "spend").stdout.split()[1]
    assert shop.call("GET", f"{path}?feature=premium", key=key).status_code == 403
