"""Tokens, charges without a payment intent, and the cards of customers that came by tokens."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import pytest
import stripe

from sandbox_fixtures import Sandbox, sandbox, shared_sandbox
from stripe_shapes import problems

_CARD = {"number": "4242424242424242", "exp_month": "12", "exp_year": "2040", "cvc": "123", "name": "Jo",
         "address_line1": "Main street 1", "address_zip": "12345"}  # fmt: skip


def call(sandbox: Sandbox, method: str, path: str, **params: Any) -> dict[str, Any]:
    """An answer that succeeds and has the SDK's shape."""
    answer = sandbox.call(method, f"/v1/{path}", params)
    assert answer.status_code == 200, answer.text
    found = dict(answer.json())
    assert problems(found) == []
    return found


def refusal(sandbox: Sandbox, path: str, **params: Any) -> tuple[Any, ...]:
    """Status, type, code, decline code and param of a refusal."""
    answer = sandbox.call("POST", f"/v1/{path}", params)
    error = answer.json()["error"]
    return (answer.status_code, *(error.get(name) for name in ("type", "code", "decline_code", "param")))


def token(sandbox: Sandbox, **changes: str) -> dict[str, Any]:
    return call(sandbox, "POST", "tokens", **{f"card[{name}]": value for name, value in {**_CARD, **changes}.items()})


def assert_events_have_shapes(sandbox: Sandbox) -> None:
    assert [problem for event in sandbox.events() for problem in problems(event)] == []


def test_a_token_shows_its_card_and_pays_once(sandbox: Sandbox) -> None:
    made = token(sandbox)
    card = made["card"]
    assert (made["type"], made["used"], card["brand"], card["last4"]) == ("card", False, "Visa", "4242")
    assert (card["name"], card["address_zip"], card["cvc_check"], card["customer"]) == (
        "Jo",
        "12345",
        "unchecked",
        None,
    )
    charge = call(sandbox, "POST", "charges", amount=500, currency="usd", source=made["id"], description="d")
    assert (charge["status"], charge["captured"], charge["payment_intent"]) == ("succeeded", True, None)
    assert charge["source"]["id"] == charge["payment_method"] == card["id"]
    assert charge["billing_details"]["name"] == "Jo"
    booked = call(sandbox, "GET", f"balance_transactions/{charge['balance_transaction']}")
    assert (booked["amount"], booked["source"]) == (500, charge["id"])
    again = refusal(sandbox, "charges", amount=500, currency="usd", source=made["id"])
    assert again == (400, "invalid_request_error", "token_already_used", None, "source")
    assert call(sandbox, "GET", f"tokens/{made['id']}")["used"] is True
    assert call(sandbox, "GET", "tokens/tok_mastercard")["card"]["brand"] == "MasterCard"
    assert sandbox.event_types() == ["charge.succeeded"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"number": "4242424242424241"}, (402, "card_error", "incorrect_number", None, "number")),
        ({"exp_month": "13"}, (402, "card_error", "invalid_expiry_month", None, "exp_month")),
        ({"exp_year": "2001"}, (402, "card_error", "invalid_expiry_year", None, "exp_year")),
        ({"cvc": "12"}, (402, "card_error", "invalid_cvc", None, "cvc")),
    ],
)
def test_a_card_that_cannot_be_right_makes_no_token(
    sandbox: Sandbox, changes: dict[str, str], expected: tuple[Any, ...]
) -> None:
    params = {f"card[{name}]": value for name, value in {**_CARD, **changes}.items()}
    assert refusal(sandbox, "tokens", **params) == expected
    assert refusal(sandbox, "tokens")[:3] == (400, "invalid_request_error", "parameter_missing")


DECLINES = [
    ("tok_chargeDeclined", "card_declined", "generic_decline", None),
    ("tok_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds", None),
    ("tok_visa_chargeDeclinedLostCard", "card_declined", "lost_card", None),
    ("tok_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card", None),
    ("tok_chargeDeclinedExpiredCard", "expired_card", "expired_card", "exp_month"),
    ("tok_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc", "cvc"),
    ("tok_chargeDeclinedProcessingError", "processing_error", "processing_error", None),
    ("tok_chargeDeclinedFraudulent", "card_declined", "fraudulent", None),
    ("tok_chargeCustomerFail", "card_declined", "generic_decline", None),
    ("tok_threeDSecure2Required", "authentication_required", "authentication_required", None),
]


@pytest.mark.parametrize(("name", "code", "decline_code", "param"), DECLINES)
def test_a_declined_charge_is_kept_and_told(
    sandbox: Sandbox, name: str, code: str, decline_code: str, param: str | None
) -> None:
    with pytest.raises(stripe.CardError) as caught:
        sandbox.sdk().v1.charges.create({"amount": 500, "currency": "usd", "source": name})
    error = caught.value.error
    assert (caught.value.http_status, caught.value.code, caught.value.param) == (402, code, param)
    assert error is not None
    assert error.decline_code == decline_code
    failed = call(sandbox, "GET", f"charges/{error.charge}")
    assert (failed["status"], failed["paid"], failed["failure_code"]) == ("failed", False, code)
    assert sandbox.event_types() == ["charge.failed"]
    assert_events_have_shapes(sandbox)


def test_a_charge_that_cannot_be_made_is_refused(sandbox: Sandbox) -> None:
    money = {"amount": 500, "currency": "usd"}
    empty = call(sandbox, "POST", "customers")["id"]
    unknown = (400, "invalid_request_error", "resource_missing", None, "source")
    assert refusal(sandbox, "charges", **money)[:3] == (400, "invalid_request_error", "parameter_missing")
    assert refusal(sandbox, "charges", **money, source="tok_nothing") == unknown
    assert refusal(sandbox, "charges", **money, source="pm_card_visa") == unknown
    assert refusal(sandbox, "charges", **money, customer=empty) == (402, "card_error", "missing", None, "card")
    foreign = refusal(sandbox, "charges", **money, customer=empty, source="tok_visa")
    assert foreign == (400, "invalid_request_error", "missing", None, "source")
    assert refusal(sandbox, "charges", **{**money, "amount": 10}, source="tok_visa")[2] == "amount_too_small"
    assert refusal(sandbox, "charges", **{**money, "amount": 0}, source="tok_visa")[2] == "parameter_invalid_integer"
    assert sandbox.event_types() == ["customer.created"]


def test_a_held_charge_is_captured_in_part_released_or_expires(sandbox: Sandbox) -> None:
    held = {"amount": 700, "currency": "usd", "source": "tok_visa", "capture": "false"}
    charge = call(sandbox, "POST", "charges", **held)
    assert (charge["captured"], charge["amount_captured"], charge["balance_transaction"]) == (False, 0, None)
    assert refusal(sandbox, f"charges/{charge['id']}/capture", amount=701)[2] == "amount_too_large"
    taken = call(sandbox, "POST", f"charges/{charge['id']}/capture", amount=600)
    assert (taken["amount_captured"], taken["amount_refunded"], taken["captured"]) == (600, 100, True)
    assert call(sandbox, "GET", f"balance_transactions/{taken['balance_transaction']}")["amount"] == 600
    assert refusal(sandbox, f"charges/{charge['id']}/capture")[2] == "charge_already_captured"
    given_back = call(sandbox, "POST", "charges", **held)["id"]
    assert refusal(sandbox, "refunds", charge=given_back, amount=100)[4] == "amount"
    assert call(sandbox, "POST", "refunds", charge=given_back)["balance_transaction"] is None
    assert refusal(sandbox, f"charges/{given_back}/capture")[0] == 400
    assert refusal(sandbox, "refunds", charge=given_back)[2] == "charge_already_refunded"
    told = sandbox.event_types()
    assert told[:3] == ["charge.succeeded", "charge.captured", "charge.updated"]
    assert "charge.refunded" in told
    assert_events_have_shapes(sandbox)


def test_a_charge_of_old_is_refunded_and_disputed_like_others(sandbox: Sandbox) -> None:
    charge = call(sandbox, "POST", "charges", amount=500, currency="eur", source="tok_createDispute")
    sandbox.advance("1s")
    disputes = call(sandbox, "GET", "disputes", charge=charge["id"])["data"]
    assert [(one["amount"], one["payment_intent"]) for one in disputes] == [(500, None)]
    other = call(sandbox, "POST", "charges", amount=500, currency="eur", source="tok_visa", **{"metadata[a]": "b"})
    refund = call(sandbox, "POST", "refunds", charge=other["id"], amount=200)
    assert (refund["status"], refund["payment_intent"]) == ("succeeded", None)
    expanded = call(sandbox, "GET", f"charges/{other['id']}", **{"expand[]": "refunds"})
    assert [one["amount"] for one in expanded["refunds"]["data"]] == [200]


def test_a_customers_cards_come_change_and_go(sandbox: Sandbox) -> None:
    customer = call(sandbox, "POST", "customers", source="tok_visa")["id"]
    first = call(sandbox, "GET", f"customers/{customer}", **{"expand[]": "default_source"})["default_source"]
    assert (first["object"], first["brand"], first["customer"]) == ("card", "Visa", customer)
    path = f"customers/{customer}/sources"
    second = call(sandbox, "POST", path, source=token(sandbox, number="5555555555554444")["id"], **{"metadata[a]": "b"})
    assert (second["last4"], second["cvc_check"], second["metadata"]) == ("4444", "pass", {"a": "b"})
    changed = call(
        sandbox, "POST", f"{path}/{second['id']}", exp_month=3, exp_year=2041, name="New", **{"metadata[a]": ""}
    )
    assert (changed["exp_month"], changed["name"], changed["metadata"]) == (3, "New", {})
    assert changed == call(sandbox, "GET", f"{path}/{second['id']}")
    told = sandbox.events()[-1]
    assert told["type"] == "customer.source.updated"
    assert told["data"]["previous_attributes"] == {
        "exp_month": 12, "exp_year": 2040, "metadata": {"a": "b"}, "name": "Jo",
    }  # fmt: skip
    assert [one["id"] for one in call(sandbox, "GET", path, limit=1)["data"]] == [second["id"]]
    assert [one["id"] for one in call(sandbox, "GET", path, starting_after=second["id"])["data"]] == [first["id"]]
    shown = call(sandbox, "GET", f"customers/{customer}", **{"expand[]": "sources"})["sources"]
    assert [one["id"] for one in shown["data"]] == [second["id"], first["id"]]
    assert call(sandbox, "GET", path, object="bank_account")["data"] == []
    charge = call(sandbox, "POST", "charges", amount=500, currency="usd", customer=customer, source=second["id"])
    assert charge["source"]["last4"] == "4444"
    deleted = call(sandbox, "DELETE", f"{path}/{first['id']}")
    assert deleted == {"id": first["id"], "object": "card", "deleted": True}
    assert call(sandbox, "GET", f"customers/{customer}")["default_source"] == second["id"]
    assert sandbox.call("GET", f"/v1/{path}/{first['id']}").status_code == 404
    assert_events_have_shapes(sandbox)


def test_a_new_source_replaces_the_default_one(sandbox: Sandbox) -> None:
    customer = call(sandbox, "POST", "customers", source="tok_visa")["id"]
    assert refusal(sandbox, f"customers/{customer}", source="tok_chargeDeclined", name="x")[:3] == (
        402, "card_error", "card_declined",
    )  # fmt: skip
    unchanged = call(sandbox, "GET", f"customers/{customer}")
    assert unchanged["name"] is None, "nothing of a refused update stays"
    changed = call(sandbox, "POST", f"customers/{customer}", source="tok_amex")
    cards = call(sandbox, "GET", f"customers/{customer}/sources")["data"]
    assert [(one["id"], one["brand"]) for one in cards] == [(changed["default_source"], "American Express")]
    assert sandbox.event_types()[-5:] == [
        "payment_method.attached", "customer.source.created", "customer.updated", "payment_method.detached",
        "customer.source.deleted",
    ]  # fmt: skip
    wrong = refusal(sandbox, f"customers/{customer}", default_source=unchanged["default_source"])
    assert wrong == (400, "invalid_request_error", "resource_missing", None, "default_source")


def test_a_card_that_came_by_a_token_pays_intents_and_subscriptions(sandbox: Sandbox) -> None:
    customer = call(sandbox, "POST", "customers", source="tok_visa")
    card = customer["default_source"]
    shown = call(sandbox, "GET", f"payment_methods/{card}")
    assert (shown["id"], shown["type"], shown["customer"]) == (card, "card", customer["id"])
    money = {"amount": 500, "currency": "usd", "confirm": "true"}
    paid = call(sandbox, "POST", "payment_intents", customer=customer["id"], payment_method=card, **money)
    assert paid["status"] == "succeeded"
    described = {"payment_method_data[type]": "card", "payment_method_data[card][token]": token(sandbox)["id"]}
    once = call(sandbox, "POST", "payment_intents", **money, **described, **{"expand[]": "payment_method"})
    assert once["payment_method"]["billing_details"]["name"] == "Jo"
    assert refusal(sandbox, "payment_intents", **money, **described)[2] == "token_already_used"
    price = call(sandbox, "POST", "prices", currency="usd", unit_amount=500, **{
        "recurring[interval]": "month", "product_data[name]": "x",
    })["id"]  # fmt: skip
    subscription = call(sandbox, "POST", "subscriptions", customer=customer["id"], **{"items[0][price]": price})
    assert subscription["status"] == "active", "the default source is the last of the ways to pay"
    call(sandbox, "POST", f"payment_methods/{card}/detach")
    assert call(sandbox, "GET", f"customers/{customer['id']}")["default_source"] is None
    assert sandbox.event_types()[-3:] == ["payment_method.detached", "customer.updated", "customer.source.deleted"]


def test_a_card_of_two_networks_says_so(sandbox: Sandbox) -> None:
    for name, brand in (("cartesBancaires", "visa"), ("visa_cartesBancaires", "visa"),
                        ("mastercard_cartesBancaires", "mastercard")):  # fmt: skip
        card = call(sandbox, "GET", f"payment_methods/pm_card_{name}")["card"]
        assert card["networks"]["available"] == ["cartes_bancaires", brand]


def test_an_older_version_shows_the_card_without_what_came_later(sandbox: Sandbox) -> None:
    made = token(sandbox)["id"]
    answer = sandbox.call("GET", f"/v1/tokens/{made}", Stripe_Version="2024-09-30.acacia").json()
    assert not {"allow_redisplay", "regulated_status"} & set(answer["card"])


def test_a_source_is_named_as_default_and_to_pay_one_invoice(sandbox: Sandbox) -> None:
    customer = call(sandbox, "POST", "customers")["id"]
    card = call(sandbox, "POST", f"customers/{customer}/sources", source="tok_mastercard")["id"]
    other = call(sandbox, "POST", f"customers/{customer}/sources", source="tok_amex")["id"]
    price = call(sandbox, "POST", "prices", currency="usd", unit_amount=500, **{
        "recurring[interval]": "month", "product_data[name]": "x",
    })["id"]  # fmt: skip
    wanted = {"customer": customer, "items[0][price]": price}
    foreign = call(sandbox, "POST", "customers", source="tok_visa")["default_source"]
    assert refusal(sandbox, "subscriptions", **wanted, default_source=foreign)[4] == "default_source"
    subscription = call(sandbox, "POST", "subscriptions", **wanted, default_source=other)
    assert (subscription["default_source"], subscription["default_payment_method"]) == (other, None)
    changed = call(sandbox, "POST", f"subscriptions/{subscription['id']}", default_source=card)
    assert changed["default_source"] == card
    call(sandbox, "POST", "invoiceitems", customer=customer, amount=700, currency="usd")
    draft = call(sandbox, "POST", "invoices", customer=customer, default_source=other,
                 pending_invoice_items_behavior="include")  # fmt: skip
    assert draft["default_source"] == other
    assert call(sandbox, "POST", f"invoices/{draft['id']}/pay", source=card)["status"] == "paid"
    charges = call(sandbox, "GET", "charges", customer=customer)["data"]
    assert [one["payment_method"] for one in charges] == [card, other]
    moved = call(sandbox, "POST", f"customers/{customer}/balance_transactions", amount=-5, currency="usd")["id"]
    path = f"customers/{customer}/balance_transactions/{moved}"
    assert call(sandbox, "POST", path, description="d", **{"metadata[a]": "b"})["description"] == "d"
    assert call(sandbox, "GET", path)["metadata"] == {"a": "b"}
