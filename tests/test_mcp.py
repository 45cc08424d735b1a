"""`paydesk mcp`: a client of the official SDK sells, a hostile one gets nowhere, and refunds wait for a person."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio.from_thread
import jsonschema
import pytest
from mcp import Client, StdioServerParameters

from conftest import settings_for
from desk import Buyer, Desk, clean_environ, running_desk
from paydesk import refund_requests
from paydesk.app import open_service
from paydesk.config import load
from paydesk.errors import Conflict, SettingError
from paydesk.mcp_stdio import LINE_BYTES_MAX, split
from paydesk.mcp_tools import TOOLS, offered
from paydesk.service import Service
from paydesk.web import auth
from sandbox_fixtures import Sandbox, until

NAMED = ("order", "hold", "refund_request")
STEERING = ("\u009b", "\u202e", "\u2028")
"""A terminal takes the first for an order, the others turn or break the line."""

READING = {"search_catalog", "get_order", "list_orders", "get_customer", "check_access", "explain"}
SELLING = {"create_pay_link", "cancel_order"}
SPENDING = {"spend_credits", "hold_credits", "settle_hold", "release_hold"}
REFUNDING = {"request_refund", "get_refund_request"}


@dataclass
class Agent:
    """A client that has started `paydesk mcp` as a process, to be used without waiting."""

    portal: Any
    client: Client

    def ask(self, tool: str, **arguments: Any) -> Any:
        return self.portal.call(self.client.call_tool, tool, arguments)

    def done(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a call answers; the text says the same as the structure."""
        answer = self.ask(tool, **arguments)
        assert not answer.is_error, answer.content[0].text
        assert json.loads(answer.content[0].text) == answer.structured_content
        return dict(answer.structured_content)

    def refused(self, tool: str, **arguments: Any) -> str:
        """The text of a refusal: it has an end, and tells nothing of our insides."""
        answer = self.ask(tool, **arguments)
        assert answer.is_error, answer.structured_content
        text = answer.content[0].text
        assert len(text) < 1500
        assert not any(word in text for word in ("Traceback", "asyncpg", "SELECT", "pydantic", ".py"))
        return str(text)

    @property
    def tools(self) -> dict[str, Any]:
        return {tool.name: tool for tool in self.portal.call(self.client.list_tools).tools}


def command(*options: str) -> list[str]:
    return ["-m", "paydesk", "mcp", *options]


@contextmanager
def agent_of(settings: dict[str, str], *options: str, mode: str = "auto") -> Iterator[Agent]:
    """An agent whose client has these settings in its configuration."""
    environ = {**clean_environ(), **settings}
    server = StdioServerParameters(command=sys.executable, args=command(*options), env=environ)
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Client(server, mode=mode)) as client,
    ):
        yield Agent(portal, client)


@pytest.fixture(scope="module")
def shop(new_database: Callable[[], str], stripe_sandbox: Sandbox) -> Iterator[Desk]:
    """A desk where agents may ask for up to $5.00 at once, and $12.00 a day."""
    limits = {"PAYDESK_MCP_REFUND_MAX": "5.00 usd", "PAYDESK_MCP_REFUND_DAY_MAX": "12.00 usd"}
    with running_desk(settings_for(new_database(), stripe_sandbox.url, **limits), stripe_sandbox) as running:
        yield running


@pytest.fixture(scope="module")
def agent(shop: Desk) -> Iterator[Agent]:
    """An agent of the desk itself, on its database."""
    with agent_of({**shop.settings, "PAYDESK_PUBLIC_URL": shop.url}) as running:
        yield running


@pytest.fixture
def buyer(shop: Desk) -> Buyer:
    return shop.buyer("telegram")


def met(buyer: Buyer) -> str:
    return f"{buyer.channel}:{buyer.external_id}"


def far(shop: Desk, *scopes: str) -> dict[str, str]:
    """The settings of an agent elsewhere, with a key that may do this."""
    key = f"pdk_{secrets.token_hex(32)}"
    new = "INSERT INTO api_key (id, name, hash, scopes) VALUES ($1, 'an agent', $2, $3)"
    shop.sql(new, f"key_{secrets.token_hex(8)}", auth.digest(key), list(scopes))
    return {"PAYDESK_URL": shop.url, "PAYDESK_MCP_KEY": key}


@dataclass
class Person:
    """Somebody who decides, in a service on the desk's database."""

    portal: Any
    service: Service

    def approve(self, id_: str, by: str = "ann") -> str:
        decide = partial(refund_requests.approve, self.service.store, self.service.gateway, id_, by=by)
        return str(self.portal.call(decide)["state"])

    def refuse(self, id_: str, because: str | None = None) -> str:
        decide = partial(refund_requests.refuse, self.service.store, id_, by="ann", because=because)
        return str(self.portal.call(decide)["state"])


@pytest.fixture(scope="module")
def person(shop: Desk) -> Iterator[Person]:
    settings = load(shop.settings, folder=Path(shop.settings["PAYDESK_CATALOG"]).parent)
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_service(settings)) as service,
    ):
        yield Person(portal, service)


def approvals(shop: Desk, *arguments: str) -> subprocess.CompletedProcess[str]:
    said = shop.command("approvals", *arguments)
    assert "Traceback" not in said.stderr
    return said


def paid(shop: Desk, agent: Agent, buyer: Buyer, price: str = "credits-10") -> str:
    """The id of an order that the agent has sold and the buyer has paid."""
    order = agent.done("create_pay_link", customer=met(buyer), items=[{"price": price}])
    assert buyer.pay(shop.get(f"/v1/orders/{order['id']}")).status_code == 200
    shop.settled(order["id"])
    return str(order["id"])


def given_back(shop: Desk, order: str) -> list[int]:
    """The amounts that Stripe has given back of an order."""
    payment = shop.sql("SELECT paid_by FROM orders WHERE id = $1", order)[0]["paid_by"]
    return [one["amount"] for one in shop.at_stripe("GET", "/v1/refunds", {"payment_intent": payment}).json()["data"]]


# --- selling ---------------------------------------------------------------------------------------------------------


def test_an_agent_sells_and_believes_the_desk_alone(shop: Desk, agent: Agent, buyer: Buyer) -> None:
    found = agent.done("search_catalog", query="CREDITS 10", currency="usd", kind="credits")["offers"]
    assert [(one["price"], one["amount"], one["costs"]) for one in found] == [("credits-10", 999, "$9.99")]
    items = [{"price": found[0]["price"]}, {"price": "access-30d", "quantity": 1}]
    order = agent.done("create_pay_link", customer=met(buyer), items=items)
    assert (order["status"], order["amount"], order["costs"]) == ("open", 999 + 2999, "$39.98")
    assert order["pay_link"].startswith(f"{shop.url}/r/")
    with ThreadPoolExecutor(4) as several:  # a model that repeats itself sells once
        again = list(several.map(lambda _: agent.done("create_pay_link", customer=met(buyer), items=items), range(4)))
    assert {one["id"] for one in again} == {order["id"]}
    assert agent.done("get_order", order=order["id"])["status"] == "open"
    assert not agent.done("check_access", customer=met(buyer), feature="premium")["allowed"]

    assert buyer.pay(shop.get(f"/v1/orders/{order['id']}")).status_code == 200
    until(lambda: agent.done("get_order", order=order["id"])["status"] == "fulfilled", what="the payment")
    assert agent.done("check_access", customer=met(buyer), feature="premium")["allowed"]
    for _ in range(2):
        spent = agent.done("spend_credits", customer=met(buyer), amount=1, idempotency_key="message 1")
        assert (spent["amount"], spent["balance"]) == (1, 9)
    person = agent.done("get_customer", customer=met(buyer))
    assert person["met_at"] == [met(buyer)]
    assert person["credits"] == [{"unit": "credits", "balance": 9, "held": 0, "debt": 0}]
    assert [(one["feature"], one["allowed"]) for one in person["access"]] == [("premium", True)]
    steps = agent.done("explain", customer=person["id"], limit=200)["steps"]
    assert {"order", "payment", "entry", "grant", "delivery"} <= {step["what"] for step in steps}

    new = agent.done("create_pay_link", customer=met(buyer), items=items)
    assert new["id"] != order["id"]
    # The shop has become dearer: a link at yesterday's price is not given out again.
    shop.sql("UPDATE order_line SET unit_amount = unit_amount - 9 WHERE order_id = $1", new["id"])
    yesterdays, new = new, agent.done("create_pay_link", customer=met(buyer), items=items)
    assert new["id"] != yesterdays["id"]
    assert agent.done("create_pay_link", customer=met(buyer), items=items)["id"] == new["id"]
    listed = agent.done("list_orders", customer=met(buyer), limit=1)
    assert ([one["id"] for one in listed["orders"]], listed["more"]) == ([new["id"]], True)
    assert agent.done("cancel_order", order=new["id"])["status"] == "canceled"
    assert "conflict" in agent.refused("cancel_order", order=order["id"])


def test_credits_are_held_settled_and_released_once(shop: Desk, agent: Agent, buyer: Buyer) -> None:
    paid(shop, agent, buyer)
    who = {"customer": met(buyer)}
    held = agent.done("hold_credits", **who, amount=4, idempotency_key="answer 7", lasts_s=60)
    assert (held["status"], held["balance"]) == ("held", 6)
    assert agent.done("hold_credits", **who, amount=4, idempotency_key="answer 7", lasts_s=60)["id"] == held["id"]
    assert "idempotency_key" in agent.refused("hold_credits", **who, amount=5, idempotency_key="answer 7", lasts_s=60)
    for _ in range(2):
        assert agent.done("settle_hold", hold=held["id"], amount=3)["balance"] == 7
    other = agent.done("hold_credits", **who, amount=7, idempotency_key="answer 8")
    text = agent.refused("spend_credits", **who, amount=1, idempotency_key="message 9")
    assert text.startswith("insufficient_credits")
    assert "create_pay_link" in text
    assert agent.done("release_hold", hold=other["id"])["balance"] == 7
    assert agent.done("spend_credits", **who, amount=1, idempotency_key="message 9")["balance"] == 6


def test_every_tool_tells_its_schema_its_nature_and_what_it_is_for(agent: Agent) -> None:
    tools = agent.tools
    assert set(tools) == READING | SELLING | SPENDING | REFUNDING
    for name, tool in tools.items():
        assert len(tool.description) > 20
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        jsonschema.Draft202012Validator.check_schema(tool.output_schema)
        assert tool.input_schema["additionalProperties"] is False
        assert tool.annotations.read_only_hint is (name in READING or name == "get_refund_request")
        assert tool.annotations.idempotent_hint
    destructive = {name for name, tool in tools.items() if tool.annotations.destructive_hint}
    assert destructive == {"spend_credits", "settle_hold", "cancel_order"}


# --- what a hostile model tries --------------------------------------------------------------------------------------

HUGE = "x" * 300_000


@pytest.mark.parametrize(
    ("tool", "arguments", "named"),
    [
        ("create_pay_link", {"items": [{"price": "credits-10", "amount": 1}]}, "items.0.amount"),
        ("create_pay_link", {"items": [{"price": "credits-10", "currency": "jpy"}]}, "items.0.currency"),
        ("create_pay_link", {"items": [{"name": "Gold", "amount": 1, "currency": "usd"}]}, "items.0.price"),
        ("create_pay_link", {"items": [{"price": "credits-10"}], "amount": 1}, "amount"),
        ("create_pay_link", {"items": [{"price": "credits-10"}], "coupon": "FREE"}, "coupon"),
        ("create_pay_link", {"items": [{"price": "credits-10", "quantity": -1}]}, "items.0.quantity"),
        ("create_pay_link", {"items": [{"price": "credits-10", "quantity": 0}]}, "items.0.quantity"),
        ("create_pay_link", {"items": [{"price": "credits-10", "quantity": 1.5}]}, "items.0.quantity"),
        ("create_pay_link", {"items": [{"price": "credits-10", "quantity": "1"}]}, "items.0.quantity"),
        ("create_pay_link", {"items": []}, "items"),
        ("create_pay_link", {"items": [{"price": "credits-10"}] * 21}, "items"),
        ("create_pay_link", {"items": [{"price": "gold"}]}, "gold"),
        ("create_pay_link", {"items": [{"price": "vip"}]}, "vip-month"),
        ("create_pay_link", {"items": [{"price": "price_1Abc"}]}, "price_1Abc"),
        ("create_pay_link", {"items": [{"price": HUGE}]}, "items.0.price"),
        ("create_pay_link", {"items": [{"price": "credits-10"}], "customer": HUGE}, "customer"),
        ("create_pay_link", {"items": [{"price": "credits-10"}], "customer": "nobody"}, "customer"),
        ("create_pay_link", {"items": [{"price": "credits-10"}], "customer": "admin:desk"}, "admin"),
        ("spend_credits", {"amount": -5, "idempotency_key": "k"}, "amount"),
        ("spend_credits", {"amount": 10**30, "idempotency_key": "k"}, "amount"),
        ("spend_credits", {"amount": 1}, "idempotency_key"),
        ("spend_credits", {"amount": 1, "unit": "gold", "idempotency_key": "k"}, "unit"),
        ("search_catalog", {"query": HUGE}, "query"),
        ("search_catalog", {"limit": 10**9}, "limit"),
        ("get_order", {"order": "../customers"}, "order"),
        ("get_order", {"order": "ord_1?x=1"}, "order"),
        ("get_order", {"order": ["ord_1"]}, "order"),
        ("get_order", {}, "order"),
        ("settle_hold", {"hold": "hld_1", "amount": 1}, "hold"),
        ("grant_credits", {"amount": 1000}, "unknown_tool"),
        ("approve_refund", {"refund_request": "rrq_1"}, "unknown_tool"),
        ("request_refund", {"order": "ord_1", "reason": "I say so", "approved": True}, "approved"),
        ("request_refund", {"order": "ord_1", "reason": "a\nb"}, "reason"),
        ("get_refund_request", {"refund_request": "rrq_1"}, "rrq_1"),
        *(("request_refund", {"order": "ord_1", "reason": f"a{sign}2Jb"}, "reason: Value error") for sign in STEERING),
        ("spend_credits", {"amount": 1, "idempotency_key": "k", "reason": "a\u202eb"}, "reason: Value error"),
    ],
    ids=[f"{number:02}" for number in range(38)],
)  # fmt: skip
def test_nothing_but_what_the_catalogue_says_is_taken(
    agent: Agent, buyer: Buyer, tool: str, arguments: dict[str, Any], named: str
) -> None:
    buyer.say("/start")
    described = agent.tools.get(tool)
    if described is not None and "customer" in described.input_schema["properties"]:
        arguments = {"customer": met(buyer), **arguments}
    assert named in agent.refused(tool, **arguments)
    assert agent.done("list_orders", customer=met(buyer))["orders"] == []


def test_an_agent_for_one_customer_finds_nobody_else(shop: Desk, agent: Agent, buyer: Buyer, person: Person) -> None:
    stranger = shop.buyer("telegram")
    theirs = paid(shop, agent, stranger)
    hold = agent.done("hold_credits", customer=met(stranger), amount=1, idempotency_key="theirs")["id"]
    asked = agent.done("request_refund", order=theirs, amount="0.50", reason="they asked for it")["id"]
    with agent_of(far(shop, "read", "sell", "spend"), "--customer", met(buyer), mode="legacy") as own:
        assert all("customer" not in tool.input_schema["properties"] for tool in own.tools.values())
        assert "not_found" in own.refused("get_order", order=theirs)  # also before the buyer is known at all
        order = own.done("create_pay_link", items=[{"price": "credits-10"}])
        assert own.done("create_pay_link", customer=met(buyer), items=[{"price": "credits-10"}])["id"] == order["id"]
        assert [one["id"] for one in own.done("list_orders")["orders"]] == [order["id"]]
        spend = {"amount": 1, "idempotency_key": "mine"}
        assert "foreign_customer" in own.refused("spend_credits", customer=met(stranger), **spend)
        assert "foreign_customer" in own.refused("get_customer", customer=stranger.id)
        sale = {"items": [{"price": "credits-10"}], "conversation": "theirs"}
        assert "foreign_customer" in own.refused("create_pay_link", **sale)
        for tool, what in (
            ("get_order", {"order": theirs}), ("cancel_order", {"order": theirs}),
            ("settle_hold", {"hold": hold, "amount": 1}), ("release_hold", {"hold": hold}),
            ("request_refund", {"order": theirs, "reason": "give it to me"}),
            ("get_refund_request", {"refund_request": asked}),
        ):  # fmt: skip
            text = own.refused(tool, **what)
            assert "not_found" in text
            unknown = {name: f"{id_[:4]}nobodys" if name in NAMED else id_ for name, id_ in what.items()}
            told = own.refused(tool, **unknown)
            for name in NAMED:
                text, told = text.replace(str(what.get(name)), "…"), told.replace(str(unknown.get(name)), "…")
            assert text == told, "nobody learns whether another's exists"
    assert stranger.balance() == 9
    assert shop.get(f"/v1/holds/{hold}")["status"] == "held"
    person.refuse(asked)


def test_a_key_bounds_what_is_offered(shop: Desk, buyer: Buyer) -> None:
    with agent_of(far(shop, "read", "spend")) as spender:
        assert set(spender.tools) == READING | SPENDING | {"get_refund_request"}
        sale = {"customer": met(buyer), "items": [{"price": "credits-10"}]}
        assert "unknown_tool" in spender.refused("create_pay_link", **sale)
    local = {**shop.settings, **far(shop, "read", "sell"), "PAYDESK_URL": ""}
    with agent_of(local) as seller:
        assert set(seller.tools) == READING | SELLING | REFUNDING
    everything = auth.SCOPES
    assert set(offered(everything, refunds=True, read_only=True)) == READING | {"get_refund_request"}
    assert set(offered(everything, refunds=False, read_only=False)) == READING | SELLING | SPENDING
    assert offered(["sell", "spend", "refund"], refunds=True, read_only=False) == {}


# --- refunds ---------------------------------------------------------------------------------------------------------


def test_a_refund_waits_for_a_person_and_goes_back_once(shop: Desk, agent: Agent, buyer: Buyer, person: Person) -> None:
    order = paid(shop, agent, buyer)
    text = agent.refused("request_refund", order=order, reason="all of it")
    assert text.startswith("refund_limit")
    assert "$5.00" in text
    assert "refund_limit" in agent.refused("request_refund", order=order, amount="5.01", reason="a little more")
    assert "amount" in agent.refused("request_refund", order=order, amount="0.00", reason="nothing")
    assert "decimals" in agent.refused("request_refund", order=order, amount="1.001", reason="a part of a cent")
    asked = agent.done("request_refund", order=order, amount="4.00", reason="did not work")
    assert (asked["status"], asked["gives_back"], asked["refund"]) == ("waiting", "$4.00", None)
    assert agent.done("request_refund", order=order, amount="4.00", reason="again")["id"] == asked["id"]
    assert "request_waiting" in agent.refused("request_refund", order=order, amount="3.00", reason="less")
    assert given_back(shop, order) == []
    line = next(one for one in approvals(shop, "list").stdout.splitlines() if asked["id"] in one)
    assert "did not work" in line
    assert all(word in line for word in (buyer.id, "1 × 10 credits"))
    shop.sql("UPDATE refund_request SET reason = 'did\u009b2J not work' WHERE id = $1", asked["id"])
    line = next(one for one in approvals(shop, "list").stdout.splitlines() if asked["id"] in one)
    assert r"did\x9b2J not work" in line
    assert "mcp" in line  # what the client calls itself
    told = until(lambda: [one for one in notices(shop) if asked["id"] in one], what="the notice")
    assert "$4.00" in told[0]

    with ThreadPoolExecutor(2) as people:
        both = list(people.map(lambda name: approvals(shop, "approve", asked["id"], "--by", name), ("ann", "bob")))
    assert [one.returncode for one in both] == [0, 0], [one.stderr for one in both]
    assert person.approve(asked["id"], "cid") == "refunded"
    assert given_back(shop, order) == [400]
    now = agent.done("get_refund_request", refund_request=asked["id"])
    assert (now["status"], now["refund"][:3]) == ("refunded", "re_")
    assert now["decided_by"] in ("ann", "bob")
    with pytest.raises(Conflict, match="refunded by"):
        person.refuse(asked["id"])
    step = next(one for one in agent.done("explain", customer=met(buyer))["steps"] if one["what"] == "refund_request")
    assert (step["asked_by"], step["decided_by"], step["status"]) == ("key_env", now["decided_by"], "refunded")
    until(lambda: buyer.balance() == 6, what="the credits")


@pytest.mark.parametrize("name", ["reason", "agent"])
def test_what_could_steer_a_terminal_is_refused_over_http_too(shop: Desk, name: str) -> None:
    for sign in STEERING:
        given = {"order": "ord_1", "reason": "why", name: f"a{sign}2Jb"}
        answer = shop.call("POST", "/v1/refund_requests", json=given)
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, name)


def notices(shop: Desk) -> list[str]:
    """What the people of the desk were told."""
    return [row["text"] for row in shop.sql("SELECT text FROM message WHERE channel = 'admin'")]


def test_what_is_refused_expired_or_too_much_never_goes_back(
    shop: Desk, agent: Agent, buyer: Buyer, person: Person
) -> None:
    unpaid = agent.done("create_pay_link", customer=met(buyer), items=[{"price": "credits-10"}])["id"]
    assert "not_paid" in agent.refused("request_refund", order=unpaid, amount="1.00", reason="not paid at all")
    assert "not_found" in agent.refused("request_refund", order="ord_0", amount="1.00", reason="no such order")
    order = paid(shop, agent, buyer)
    first = agent.done("request_refund", order=order, amount="5.00", reason="once")["id"]
    said = approvals(shop, "refuse", first, "--by", "ann", "--because", "used up", "--json")
    assert json.loads(said.stdout)["status"] == "refused"
    with pytest.raises(Conflict, match="refused by ann"):
        person.approve(first)
    assert person.refuse(first) == "refused"
    assert agent.done("get_refund_request", refund_request=first)["detail"] == "used up"

    late = agent.done("request_refund", order=order, amount="5.00", reason="twice")["id"]
    shop.sql("UPDATE refund_request SET expires_at = now() - interval '1 s' WHERE id = $1", late)
    assert agent.done("get_refund_request", refund_request=late)["status"] == "expired"
    said = approvals(shop, "approve", late)
    assert (said.returncode, "expired" in said.stderr) == (1, True)
    newest = shop.get("/v1/refund_requests", limit=1)
    assert ([one["id"] for one in newest["data"]], newest["has_more"]) == ([late], True)
    before = shop.get("/v1/refund_requests", limit=1, starting_after=late)["data"]
    assert [(one["id"], one["status"]) for one in before] == [(first, "refused")]
    assert shop.get("/v1/refund_requests", ending_before=first)["data"] == newest["data"]
    assert late in {one["id"] for one in shop.get("/v1/refund_requests", status="expired")["data"]}
    assert late not in {one["id"] for one in shop.get("/v1/refund_requests", status="waiting")["data"]}

    third = agent.done("request_refund", order=order, amount="5.00", reason="a third time")["id"]
    shop.post("/v1/refunds", {"order": order, "amount": 600})  # meanwhile a person has given back most of it
    with pytest.raises(Conflict, match="left to give back"):
        person.approve(third)
    with pytest.raises(Conflict, match="failed"):
        person.approve(third)
    assert agent.done("get_refund_request", refund_request=third)["status"] == "failed"
    assert "only $3.99" in agent.refused("request_refund", order=order, amount="5.00", reason="more than is left")
    assert given_back(shop, order) == [600]


def test_a_refund_whose_approval_was_interrupted_is_gone_on_with(
    shop: Desk, agent: Agent, buyer: Buyer, person: Person
) -> None:
    order = paid(shop, agent, buyer)
    asked = agent.done("request_refund", order=order, amount="1.00", reason="did not work")["id"]
    dead = "UPDATE refund_request SET state = 'approved', decided_by = 'bob', busy_until = now() + $2 WHERE id = $1"
    shop.sql(dead, asked, timedelta(seconds=2))  # bob's machine goes down now
    assert agent.done("get_refund_request", refund_request=asked)["status"] == "approved"
    with pytest.raises(Conflict, match="approved by bob"):
        person.refuse(asked)
    assert person.approve(asked) == "refunded"
    shop.sql(dead, asked, timedelta(seconds=-1))  # and once more, after the refund and before its end was noted
    assert person.approve(asked) == "refunded"
    assert given_back(shop, order) == [100]


def test_all_agents_together_never_pass_the_total_of_a_day(shop: Desk, agent: Agent) -> None:
    orders = [paid(shop, agent, shop.buyer("telegram")) for _ in range(4)]
    before = int(shop.sql(ASKED)[0]["sum"])
    with ThreadPoolExecutor(4) as several:
        answers = list(
            several.map(lambda one: agent.ask("request_refund", order=one, amount="5.00", reason="now"), orders)
        )
    taken = [one for one in answers if not one.is_error]
    assert len(taken) == (1200 - before) // 500 < len(orders)
    assert all("refund_limit" in one.content[0].text for one in answers if one.is_error)
    assert int(shop.sql(ASKED)[0]["sum"]) <= 1200


ASKED = "SELECT coalesce(sum(amount), 0) AS sum FROM refund_request WHERE state IN ('waiting', 'approved', 'refunded')"


def test_without_a_limit_refunds_are_not_offered(desk: Desk) -> None:
    with agent_of({"PAYDESK_URL": desk.url, "PAYDESK_API_KEY": desk.key}) as running:
        assert set(running.tools) == READING | SELLING | SPENDING
        assert "unknown_tool" in running.refused("request_refund", order="ord_1", reason="please")
    answer = desk.call("POST", "/v1/refund_requests", json={"order": "ord_1", "reason": "please"})
    assert answer.status_code == 404
    order = desk.buyer().buy("credits-10")
    answer = desk.call("POST", "/v1/refund_requests", json={"order": order["id"], "reason": "please"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "refund_limit")


def test_the_guide_names_every_tool_and_its_blocks_can_be_copied(agent: Agent) -> None:
    guide = (Path(__file__).parents[1] / "docs" / "agents.md").read_text()
    rows = [line.split("|") for line in guide.splitlines() if line.startswith("| `")]
    named = {name: row[2].strip() for row in rows for name in re.findall(r"`(\w+)`", row[1]) if name in agent.tools}
    assert named == {tool.name: tool.scope for tool in TOOLS}
    blocks = re.findall(r"```json\n(.*?)```", guide, re.DOTALL)
    assert [json.loads(block)["mcpServers"]["paydesk"]["command"] for block in blocks] == ["paydesk", "paydesk"]


# --- the process -----------------------------------------------------------------------------------------------------

HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}},
}  # fmt: skip


@contextmanager
def process(settings: dict[str, str], *options: str, folder: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """`paydesk mcp`, spoken to by hand."""
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environ = {**clean_environ(), **settings}
    running = subprocess.Popen([sys.executable, *command(*options)], env=environ, cwd=folder, **pipes)
    watchdog = threading.Timer(60, running.kill)
    watchdog.start()
    try:
        yield running
    finally:
        watchdog.cancel()
        running.kill()
        running.communicate()


def line(running: subprocess.Popen[bytes], content: bytes | dict[str, Any]) -> None:
    assert running.stdin is not None
    running.stdin.write((content if isinstance(content, bytes) else json.dumps(content).encode()) + b"\n")
    running.stdin.flush()


def answer(running: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The next line of the protocol: everything on standard output is one."""
    assert running.stdout is not None
    told = json.loads(running.stdout.readline())
    assert told["jsonrpc"] == "2.0"
    return dict(told)


BROKEN = (b"{", b"[]", b"null", b"\xff\xfe\x00", b'{"jsonrpc": "1.0"}', b"y" * 2 * LINE_BYTES_MAX, b"", b"[" * 5000)


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, None], ids=["ctrl-c", "terminated", "closed"])
def test_broken_lines_do_not_kill_it_and_it_ends_cleanly(shop: Desk, sign: signal.Signals | None) -> None:
    settings = {**shop.settings, "PAYDESK_LOG": "json"} if sign is signal.SIGINT else far(shop, "read")
    with process(settings) as running:
        line(running, HELLO)
        assert answer(running)["result"]["serverInfo"]["name"] == "paydesk"
        line(running, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        for broken in BROKEN:
            line(running, broken)
        line(running, {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "search_catalog"}})
        told = answer(running)
        while told.get("id") != 2:  # what was broken may be answered too, by an error
            assert "error" in told
            told = answer(running)
        assert told["result"]["structuredContent"]["offers"]
        if sign is not None:
            running.send_signal(sign)
            running.wait(20)  # although its client has not closed anything
        out, err = running.communicate(timeout=20)
        assert (running.returncode, out) == (0, b"")
        assert b"Traceback" not in err
        assert b"pdk_" not in err


def test_lines_come_whole_however_they_are_cut() -> None:
    text = 'one\n{"two": "zwei ⭐"}\n\nthree'.encode()
    for size in (1, 2, 7, 1000):
        chunks = iter([text[at : at + size] for at in range(0, len(text), size)])
        assert list(split(chunks)) == ["one", '{"two": "zwei ⭐"}', "", "three"]
    long = [b"x" * LINE_BYTES_MAX, b"x", b"x" * LINE_BYTES_MAX, b"\nnext\n"]
    assert list(split(iter(long))) == ["", "next"]


@pytest.mark.parametrize(
    ("settings", "options", "status", "said"),
    [
        ({}, (), 2, "STRIPE_API_KEY is not set"),
        ({"PAYDESK_URL": "http://127.0.0.1:9"}, (), 2, "PAYDESK_API_KEY is not set"),
        ({"PAYDESK_URL": "http://127.0.0.1:9", "PAYDESK_MCP_KEY": f"pdk_{'a' * 32}"}, (), 1, "does not answer"),
        ({"PAYDESK_MCP_KEY": "secret"}, (), 2, "PAYDESK_MCP_KEY is malformed"),
        ({}, ("--customer", "telegram"), 2, "telegram"),
        ({}, ("--folder", "/nope"), 2, "/nope: No such file or directory"),
    ],
    ids=["nothing", "no key", "nobody there", "no key's form", "nobody", "no folder"],
)
def test_what_is_wrong_with_its_settings_is_said_in_one_line(
    tmp_path: Path, settings: dict[str, str], options: tuple[str, ...], status: int, said: str
) -> None:
    with process(settings, *options, folder=tmp_path) as running:
        out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (status, b"")
    assert said in err.decode().splitlines()[-1]
    assert b"Traceback" not in err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["all", "5.00", "5.00 xyz", "5.001 usd", "-5 usd", "5 usd, 6 usd", "5,00 usd"])
def test_a_limit_that_is_none_stops_the_start(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingError, match="PAYDESK_MCP_REFUND_MAX is malformed"):
        load({"PAYDESK_MCP_REFUND_MAX": text}, folder=tmp_path)


def test_limits_are_exact_in_every_currency(tmp_path: Path) -> None:
    limits = {"PAYDESK_MCP_REFUND_MAX": "50 USD, 200.5 pln,500 jpy", "PAYDESK_MCP_REFUND_DAY_MAX": "0"}
    settings = load(limits, folder=tmp_path)
    assert settings.refund_max == {"usd": 5000, "pln": 20050, "jpy": 500}
    assert settings.refund_day_max == {}
    assert refund_requests.Limits.of(settings).of_day("jpy") == 500
    assert load({}, folder=tmp_path).refund_max == {}


def test_a_key_that_may_not_look_is_told_so(shop: Desk) -> None:
    for settings, said in (
        (far(shop, "sell"), "lacks the scope read"),
        ({"PAYDESK_URL": shop.url, "PAYDESK_MCP_KEY": f"pdk_{'a' * 32}"}, "API key is unknown"),
    ):
        with process(settings) as running:
            _, err = running.communicate(timeout=30)
        assert running.returncode in (1, 2)
        assert said in err.decode().splitlines()[-1]
