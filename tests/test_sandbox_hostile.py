"""Input that nobody should send: the answer is always one of Stripe's, never a broken sandbox."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from money_steps import call, now
from paydesk.sandbox.app import OPERATIONS
from paydesk.sandbox.calls import Operation
from paydesk.sandbox.errors import StripeError
from paydesk.sandbox.events import emit
from paydesk.sandbox.params import Fields, Items
from paydesk.sandbox.world import World
from sandbox_fixtures import Sandbox, sandbox, session_of, shared_sandbox

ODD = ["", " ", "x", "-1", "0", "1", "1.5", "1e3", "99999999999999999999", "NaN", "null", "true", "\x00", "é", "🦊", "a" * 6000,
       "2147483648", "٣", "²", "{}", "[]", "cus_x", "now", "usd"]  # fmt: skip
SHAPES = ["{name}", "{name}[]", "{name}[0]", "{name}[a]", "{name}[0][a]", "{name}[a][b]", "{name}[-1]", "{name}[99]"]


@pytest.fixture
def things(sandbox: Sandbox) -> dict[str, str]:
    """One object of most kinds, so that a call goes beyond "no such object"."""
    customer = call(sandbox, "/v1/customers", email="jo@example.com", payment_method="pm_card_visa",
                    **{"invoice_settings[default_payment_method]": "pm_card_visa"})  # fmt: skip
    price = call(sandbox, "/v1/prices", currency="usd", unit_amount="900",
                 **{"product_data[name]": "x", "recurring[interval]": "month"})  # fmt: skip
    subscription = call(sandbox, "/v1/subscriptions", customer=customer["id"], **{"items[0][price]": price["id"]})
    paid = call(
        sandbox, "/v1/payment_intents", amount="900", currency="usd", confirm="true", payment_method="pm_card_visa"
    )
    refund = call(sandbox, "/v1/refunds", payment_intent=paid["id"], amount="100")
    endpoint = call(sandbox, "/v1/webhook_endpoints", url="http://127.0.0.1:9/x", **{"enabled_events[]": "*"})
    portal = call(sandbox, "/v1/billing_portal/configurations", **{"features[invoice_history][enabled]": "true"})
    return {
        "customers": customer["id"], "prices": price["id"], "products": price["product"],
        "subscriptions": subscription["id"], "subscription_items": subscription["items"]["data"][0]["id"],
        "invoices": subscription["latest_invoice"], "payment_intents": paid["id"], "charges": paid["latest_charge"],
        "refunds": refund["id"], "payment_methods": customer["invoice_settings"]["default_payment_method"],
        "setup_intents": call(sandbox, "/v1/setup_intents")["id"], "sessions": session_of(sandbox)["id"],
        "coupons": call(sandbox, "/v1/coupons", percent_off="10", duration="once")["id"],
        "webhook_endpoints": endpoint["id"], "configurations": portal["id"], "events": sandbox.events()[0]["id"],
    }  # fmt: skip


def path_of(operation: Operation, things: dict[str, str]) -> str:
    """The path with an object that is there, where there is one."""
    kind = next((part for part in reversed(operation.path.split("/")) if part in things), "")
    return re.sub(r"{\w+}", things.get(kind, "x_1"), operation.path)


def nested(shape: Any, prefix: str = "") -> Iterator[str]:
    """The names of all parameters below a table."""
    for name, kind in dict(shape).items():
        full = f"{prefix}[{name}]" if prefix else name
        yield full
        while isinstance(kind, Items):
            kind, full = kind.each, f"{full}[0]"
            yield full
        if isinstance(kind, Fields):
            yield from nested(kind.shape, full)


CHANGING = [one for one in OPERATIONS if "stripecli" not in one.path and one.method != "DELETE"]


def good(path: str, things: dict[str, str]) -> dict[str, str]:
    """Parameters with which a call that makes something succeeds, so that the odd one is what it is about."""
    customer, price = things["customers"], things["prices"]
    return {
        "/v1/checkout/sessions": {"mode": "payment", "success_url": "https://shop.example", "line_items[0][quantity]": "1",
                                  "line_items[0][price_data][currency]": "usd",
                                  "line_items[0][price_data][unit_amount]": "500",
                                  "line_items[0][price_data][product_data][name]": "x"},
        "/v1/payment_intents": {"amount": "500", "currency": "usd", "confirm": "true", "payment_method": "pm_card_visa",
                                "customer": customer},
        "/v1/setup_intents": {"confirm": "true", "payment_method": "pm_card_visa"},
        "/v1/payment_methods": {"type": "card", "card[token]": "tok_visa"},
        "/v1/prices": {"currency": "usd", "unit_amount": "500", "product": things["products"]},
        "/v1/products": {"name": "x"},
        "/v1/coupons": {"percent_off": "10", "duration": "once"},
        "/v1/promotion_codes": {"promotion[type]": "coupon", "promotion[coupon]": things["coupons"]},
        "/v1/subscriptions": {"customer": customer, "items[0][price]": price},
        "/v1/invoices": {"customer": customer},
        "/v1/invoiceitems": {"customer": customer, "amount": "500", "currency": "usd"},
        "/v1/invoices/create_preview": {"customer": customer, "subscription": things["subscriptions"]},
        "/v1/refunds": {"payment_intent": things["payment_intents"], "amount": "1"},
        "/v1/webhook_endpoints": {"url": "http://127.0.0.1:9/x", "enabled_events[]": "*"},
        "/v1/billing_portal/configurations": {"features[invoice_history][enabled]": "true"},
        "/v1/billing_portal/sessions": {"customer": customer},
        "/v1/test_helpers/test_clocks": {"frozen_time": "1700000000"},
    }.get(path, {})  # fmt: skip


def odd_requests(operation: Operation, things: dict[str, str]) -> Iterator[dict[str, str]]:
    """Each parameter at any depth with some of the odd values, and the outer ones under odd names."""
    base = good(operation.path, things) if operation.method == "POST" else {}
    for place, name in enumerate(nested(operation.shape)):
        rest = {one: value for one, value in base.items() if not one.startswith(name) and not name.startswith(one)}
        for step in range(4):
            yield {**rest, name: ODD[(place + 6 * step) % len(ODD)]}
    for place, name in enumerate(operation.shape):
        yield {**base, SHAPES[place % len(SHAPES)].format(name=name): "1"}


@pytest.mark.parametrize("part", range(8))
def test_no_odd_value_breaks_a_call(sandbox: Sandbox, things: dict[str, str], part: int) -> None:
    with sandbox.http() as client:
        for operation in CHANGING[part::8]:
            path, place = path_of(operation, things), "data" if operation.method == "POST" else "params"
            for given in odd_requests(operation, things):
                answer = client.request(operation.method, path, **{place: given})
                assert answer.status_code in (200, 400, 402, 404), (operation.method, path, given, answer.text[:300])
                if answer.status_code == 200:
                    assert "error" not in answer.json()
                else:
                    assert answer.json()["error"]["type"] in ("invalid_request_error", "card_error"), given


def raw(sandbox: Sandbox, method: str, path: str, body: bytes = b"", **headers: str) -> httpx.Response:
    """A request whose bytes nobody puts right."""
    named = {"Authorization": f"Bearer {sandbox.key}", "Content-Type": "application/x-www-form-urlencoded", **headers}
    with httpx.Client() as client:
        request = client.build_request(method, sandbox.url, content=body, headers=named)
        request.url = request.url.copy_with(raw_path=path.encode())
        return client.send(request)


@pytest.mark.parametrize(
    "query",
    ["&".join(f"a{number}=1" for number in range(5001)), "email=%FF%FE", "limit=%ZZ", "created[gt]=1&created=2",
     "created=2&created[gt]=1", "[]=1", "=1", "a]b=1", "a" + "[b]" * 20 + "=1", "created[foo]=1", "limit=0", "limit=101",
     "starting_after=x&ending_before=y", "expand=data", "expand[]=", "email=%ED%A0%80%40x.yz"],
)  # fmt: skip
def test_a_query_that_cannot_be_read_is_refused(sandbox: Sandbox, query: str) -> None:
    answer = raw(sandbox, "GET", f"/v1/customers?{query}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe=1", b"name=\xff", b"name=%FF", b"metadata[a][b]=1", b"metadata[a]=1&metadata=", b"a" * 1_000_001],
)
def test_a_body_that_cannot_be_read_is_refused(sandbox: Sandbox, body: bytes) -> None:
    answer = raw(sandbox, "POST", "/v1/customers", body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert sandbox.event_types() == []


def test_any_text_is_kept_as_it_came(sandbox: Sandbox) -> None:
    for name in ("🦊", "%00", "a\tb", "&=+%", "Ω" * 256):
        customer = call(sandbox, "/v1/customers", name=name, **{"metadata[x y]": name})
        shown = now(sandbox, f"/v1/customers/{customer['id']}")
        assert (shown["name"], shown["metadata"]) == (name, {"x y": name})


def test_an_address_that_stripe_does_not_have(sandbox: Sandbox) -> None:
    for path in ("/v1/customers/", "/v1//customers", "/v1/customers/%00", "/v1/nothing", "/v1/customers/cus_1/x/y"):
        answer = raw(sandbox, "GET", path)
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "invalid_request_error")
    assert "remove the trailing slash" in raw(sandbox, "GET", "/v1/customers/").json()["error"]["message"]
    assert raw(sandbox, "PUT", "/v1/customers").status_code == 404


def test_an_empty_key_of_idempotency_is_none(sandbox: Sandbox) -> None:
    first, second = (raw(sandbox, "POST", "/v1/customers", **{"Idempotency-Key": ""}).json()["id"] for _ in "ab")
    assert first != second


def test_no_account_stands_behind_another(sandbox: Sandbox) -> None:
    own = sandbox.call("GET", "/v1/account").json()["id"]
    assert sandbox.call("GET", "/v1/customers", Stripe_Account=own).status_code == 200
    answer = sandbox.call("GET", "/v1/customers", Stripe_Account="acct_1Another")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "account_invalid")


def test_work_that_breaks_off_is_taken_back_whole(tmp_path: Path) -> None:
    world = World(public_url="http://127.0.0.1:1", data=tmp_path / "sandbox.db", webhook=None, gap_factor=1.0)
    account = world.account_of_key("sk_test_1")
    kept = account.add("price", {"lookup_key": "gold", "metadata": {"a": "1"}})
    gone = account.add("price", {"lookup_key": None})
    world.flush()
    before = orjson.dumps([kept, gone])

    def breaks_off() -> None:
        account.get("price", kept["id"], "price")["metadata"]["a"] = "2"  # changed, and not said so
        account.change(kept, lookup_key=None)
        new = account.add("price", {"lookup_key": "gold"})
        account.remove("price", gone["id"])
        emit(account, "price.created", new)
        raise ZeroDivisionError

    def is_declined() -> None:
        account.change(kept, metadata={"tried": "1"})
        raise StripeError("Your card was declined.", status=402)

    with pytest.raises(ZeroDivisionError), account.whole():
        breaks_off()
    assert orjson.dumps(list(account.all("price"))) == before
    assert account.find_named("price", "gold") is kept
    assert (account.changed, account.fresh_events, list(account.all("event"))) == ({}, [], [])
    with pytest.raises(StripeError), account.whole():
        is_declined()
    assert kept["metadata"] == {"tried": "1"}
    world.journal.close()
