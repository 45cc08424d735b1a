"""`expand[]`: every field that Stripe expands, four levels deep and no deeper."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

import httpx
from stripe import StripeObject

import paydesk.sandbox.app
from money_steps import call, now, pay
from paydesk.sandbox.present import EXPANDABLE, INCLUDABLE
from sandbox_fixtures import Sandbox, sandbox, session_of, shared_sandbox
from stripe_shapes import CLASSES, _hints

# Fields that the sandbox never fills: Connect, tax, reviews, methods that it does not play.
_NEVER = re.compile(
    r"application|on_behalf_of|transfer|\baccount\b|account_tax|review|tax|application_fee|bank|acss|affirm|alipay|amazon|"
    r"bacs|bancontact|bizum|boleto|card_present|cash|interac|kakao|klarna|konbini|kr_card|link|naver|nz_|pay_by|payco|paypal|"
    r"payto|pix|revolut|samsung|satispay|sofort|twint|upi|wechat"
)


def options(hint: Any) -> Iterator[Any]:
    """The kinds a field can have, those of its list's items where it is a list."""
    for one in get_args(hint) if get_origin(hint) is Union else (hint,):
        if get_origin(one) is list:
            yield from options(get_args(one)[0])
        else:
            yield one


def expandable(
    kind: str, cls: type, prefix: str = "", inside: frozenset[type] = frozenset()
) -> Iterator[tuple[str, str]]:
    """The fields of a kind that hold an id or the object, dotted inside plain hashes."""
    for name, hint in _hints(cls).items():
        full = f"{prefix}.{name}" if prefix else name
        kinds = list(options(hint))
        hashes = [one for one in kinds if isinstance(one, type) and issubclass(one, StripeObject)]
        objects = [one for one in hashes if "object" in _hints(one)]
        if str in kinds and any(one in CLASSES.values() for one in objects):
            yield kind, full
        for one in hashes:
            if one not in objects and one not in inside:
                yield from expandable(kind, one, full, inside | {one})


def test_every_field_that_stripe_expands_is_known() -> None:
    known = set(EXPANDABLE) | set(INCLUDABLE)
    declared = {field for kind, cls in CLASSES.items() for field in expandable(kind, cls)}
    assert len(declared) > 100
    assert sorted(field for field in declared - known if not _NEVER.search(field[1])) == []


def test_a_field_in_each_hash_of_a_list_is_expanded(sandbox: Sandbox) -> None:
    coupon = call(sandbox, "/v1/coupons", percent_off="10", duration="once")["id"]
    session = session_of(sandbox, **{"discounts[0][coupon]": coupon})
    shown = now(sandbox, f"/v1/checkout/sessions/{session['id']}", **{"expand[]": "discounts.coupon"})
    assert shown["discounts"][0]["coupon"]["percent_off"] == 10


def test_what_is_deleted_is_expanded_to_its_stone(sandbox: Sandbox) -> None:
    customer = call(sandbox, "/v1/customers")["id"]
    intent = pay(sandbox, customer=customer)["id"]
    sandbox.call("DELETE", f"/v1/customers/{customer}")
    shown = now(sandbox, f"/v1/payment_intents/{intent}", **{"expand[]": "customer"})
    assert shown["customer"] == {"id": customer, "object": "customer", "deleted": True}


def test_the_source_of_a_booking_is_whatever_it_was(sandbox: Sandbox) -> None:
    charge = pay(sandbox)["latest_charge"]
    httpx.post(f"{sandbox.url}/_sandbox/disputes", json={"charge": charge})
    shown = now(sandbox, "/v1/balance_transactions", **{"expand[]": "data.source"})
    assert [one["source"]["object"] for one in shown["data"]] == ["dispute", "charge"]


def test_four_levels_and_no_deeper(sandbox: Sandbox) -> None:
    charge = pay(sandbox, customer=call(sandbox, "/v1/customers")["id"])["latest_charge"]
    path = f"/v1/charges/{charge}"
    four = now(sandbox, path, **{"expand[]": "payment_intent.latest_charge.payment_intent.customer"})
    assert four["payment_intent"]["latest_charge"]["payment_intent"]["customer"]["object"] == "customer"
    five = "payment_intent.latest_charge.payment_intent.latest_charge.customer"
    error = sandbox.call("GET", path, {"expand[]": five}).json()["error"]
    assert (error["code"], error["param"]) == ("property_too_deep", "expand")
    for wrong in ("amount", "nothing", "customer.nothing", "data.customer", "payment_intent.", ".", ".customer"):
        answer = sandbox.call("GET", path, {"expand[]": wrong})
        assert answer.status_code == 400, wrong
        assert answer.json()["error"]["param"] == "expand"
