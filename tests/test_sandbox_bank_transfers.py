"""Money that comes by bank transfer: where it is sent to, what it pays, and what is left of it."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sandbox_fixtures import Sandbox, sandbox, shared_sandbox
from stripe_shapes import problems
from test_sandbox_sources import call, refusal

_KINDS = [("usd", "us_bank_transfer", "aba"), ("eur", "eu_bank_transfer", "iban"), ("gbp", "gb_bank_transfer", "sort_code"),
          ("jpy", "jp_bank_transfer", "zengin"), ("mxn", "mx_bank_transfer", "spei")]  # fmt: skip


def asked(kind: str = "us_bank_transfer", currency: str = "usd", amount: int = 5000, **more: Any) -> dict[str, Any]:
    """The parameters of an intent that waits for a transfer."""
    option = "payment_method_options[customer_balance]"
    return {
        "amount": amount, "currency": currency, "confirm": "true", "payment_method_types[]": "customer_balance",
        "payment_method_data[type]": "customer_balance", f"{option}[funding_type]": "bank_transfer",
        f"{option}[bank_transfer][type]": kind, **more,
    }  # fmt: skip


def fund(sandbox: Sandbox, customer: str, amount: int, currency: str = "usd") -> dict[str, Any]:
    path = f"test_helpers/customers/{customer}/fund_cash_balance"
    return call(sandbox, "POST", path, amount=amount, currency=currency)


def remaining(intent: dict[str, Any]) -> int:
    return int(intent["next_action"]["display_bank_transfer_instructions"]["amount_remaining"])


@pytest.mark.parametrize(("currency", "kind", "address"), _KINDS)
def test_a_transfer_in_two_parts_pays_an_intent(sandbox: Sandbox, currency: str, kind: str, address: str) -> None:
    customer = call(sandbox, "POST", "customers")["id"]
    intent = call(sandbox, "POST", "payment_intents", **asked(kind, currency, customer=customer))
    shown = intent["next_action"]["display_bank_transfer_instructions"]
    assert (intent["status"], shown["type"], shown["financial_addresses"][0]["type"]) == (
        "requires_action",
        kind,
        address,
    )
    page = httpx.get(shown["hosted_instructions_url"])
    assert (page.status_code, shown["reference"] in page.text) == (200, True)
    assert httpx.get(shown["hosted_instructions_url"].replace("/transfer/", "/bank/")).status_code == 404
    assert fund(sandbox, customer, 2000, currency)["type"] == "funded"
    assert remaining(call(sandbox, "GET", f"payment_intents/{intent['id']}")) == 3000
    fund(sandbox, customer, 4000, currency)
    paid = call(sandbox, "GET", f"payment_intents/{intent['id']}", **{"expand[]": "latest_charge"})
    assert (paid["status"], paid["amount_received"]) == ("succeeded", 5000)
    assert paid["latest_charge"]["payment_method_details"] == {"customer_balance": {}, "type": "customer_balance"}
    assert call(sandbox, "GET", f"customers/{customer}/cash_balance")["available"] == {currency: 1000}
    moves = call(sandbox, "GET", f"customers/{customer}/cash_balance_transactions")["data"]
    assert [(one["type"], one["net_amount"], one["ending_balance"]) for one in moves] == [
        ("applied_to_payment", -3000, 1000), ("funded", 4000, 4000), ("applied_to_payment", -2000, 0), ("funded", 2000, 2000),
    ]  # fmt: skip
    told = sandbox.event_types()
    assert [told.count(f"payment_intent.{one}") for one in ("requires_action", "partially_funded", "succeeded")] == [
        1,
        1,
        1,
    ]
    assert told[-1] == "cash_balance.funds_available"
    objects = [event["data"]["object"] for event in sandbox.events()]
    assert [problem for one in objects for problem in problems(one)] == []


def test_money_that_is_there_already_pays_at_once_and_a_refund_brings_it_back(sandbox: Sandbox) -> None:
    customer = call(sandbox, "POST", "customers")["id"]
    fund(sandbox, customer, 6000)
    paid = call(sandbox, "POST", "payment_intents", **asked(customer=customer))
    assert paid["status"] == "succeeded"
    refund = call(sandbox, "POST", "refunds", payment_intent=paid["id"], amount=500)
    assert (refund["status"], refund["destination_details"]["type"]) == ("succeeded", "customer_cash_balance")
    shown = call(sandbox, "GET", f"customers/{customer}", **{"expand[]": "cash_balance"})["cash_balance"]
    assert shown["available"] == {"usd": 1500}
    newest = call(sandbox, "GET", f"customers/{customer}/cash_balance_transactions", limit=1)["data"][0]
    assert newest["refunded_from_payment"] == {"refund": refund["id"]}
    path = f"customers/{customer}/cash_balance_transactions/{newest['id']}"
    assert call(sandbox, "GET", path) == newest


def test_a_canceled_intent_and_a_second_confirmation_give_the_funds_back(sandbox: Sandbox) -> None:
    customer = call(sandbox, "POST", "customers")["id"]
    intent = call(sandbox, "POST", "payment_intents", **asked(customer=customer))["id"]
    fund(sandbox, customer, 2000)
    again = call(sandbox, "POST", f"payment_intents/{intent}/confirm")
    assert remaining(again) == 3000, "the same money is applied once more, not lost"
    call(sandbox, "POST", f"payment_intents/{intent}/cancel")
    assert call(sandbox, "GET", f"customers/{customer}/cash_balance")["available"] == {"usd": 2000}


def test_with_manual_reconciliation_the_seller_applies_the_funds(sandbox: Sandbox) -> None:
    customer = call(sandbox, "POST", "customers")["id"]
    manual = {"settings[reconciliation_mode]": "manual"}
    settings = call(sandbox, "POST", f"customers/{customer}/cash_balance", **manual)["settings"]
    assert settings == {"reconciliation_mode": "manual", "using_merchant_default": False}
    intent = call(sandbox, "POST", "payment_intents", **asked(customer=customer))["id"]
    fund(sandbox, customer, 5500)
    assert remaining(call(sandbox, "GET", f"payment_intents/{intent}")) == 5000
    path = f"payment_intents/{intent}/apply_customer_balance"
    assert refusal(sandbox, path, amount=5001)[4] == "amount"
    assert remaining(call(sandbox, "POST", path, amount=400)) == 4600
    assert call(sandbox, "POST", path)["status"] == "succeeded"
    assert refusal(sandbox, path)[2] == "payment_intent_unexpected_state"


def test_a_transfer_that_cannot_be_is_refused(sandbox: Sandbox) -> None:
    customer = call(sandbox, "POST", "customers")["id"]
    assert refusal(sandbox, "payment_intents", **asked())[4] == "customer"
    wrong = refusal(sandbox, "payment_intents", **asked("eu_bank_transfer", customer=customer))
    assert wrong[4] == "payment_method_options[customer_balance][bank_transfer][type]"
    bare = {name: value for name, value in asked(customer=customer).items() if "bank_transfer]" not in name}
    assert refusal(sandbox, "payment_intents", **bare)[2] == "parameter_missing"
    sek = asked("eu_bank_transfer", "sek", customer=customer)
    assert refusal(sandbox, "payment_intents", **sek)[4] == "payment_method_types"
    path = f"test_helpers/customers/{customer}/fund_cash_balance"
    assert refusal(sandbox, path, amount=500, currency="sek")[4] == "currency"
    told = call(sandbox, "POST", f"customers/{customer}/funding_instructions", currency="eur", funding_type="bank_transfer",
                **{"bank_transfer[type]": "eu_bank_transfer", "bank_transfer[eu_bank_transfer][country]": "DE"})  # fmt: skip
    assert told["bank_transfer"]["country"] == "DE"
