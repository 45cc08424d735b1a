"""Local methods in the sandbox, setup mode, and the amounts that currencies take."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import httpx
import pytest

from money_steps import (
    BAD_IBAN,
    DISPUTED_IBAN,
    GOOD_IBAN,
    ONLINE,
    assert_event_shapes,
    call,
    clocked,
    now,
    ours,
    refused,
)
from sandbox_fixtures import Sandbox, price_of, sandbox, session_of, shared_sandbox

# Local methods


def local(sandbox: Sandbox, kind: str, **more: str) -> dict[str, Any]:
    currency = "eur" if kind in ("ideal", "sepa_debit") else "pln"
    return {"amount": "2000", "currency": currency, "payment_method_types[]": kind, "payment_method_data[type]": kind,
            "confirm": "true", "return_url": "https://shop.example/r", **more}  # fmt: skip


@pytest.mark.parametrize("kind", ["p24", "ideal"])
def test_a_banks_page_authorizes_or_fails(sandbox: Sandbox, kind: str) -> None:
    for result, status in (("complete", "succeeded"), ("fail", "requires_payment_method")):
        intent = call(sandbox, "/v1/payment_intents", **local(sandbox, kind))
        assert intent["status"] == "requires_action"
        address = intent["next_action"]["redirect_to_url"]["url"]
        assert "test payment page" in httpx.get(address).text
        back = httpx.post(address, data={"result": result}).headers["location"]
        ended = now(sandbox, f"/v1/payment_intents/{intent['id']}", **{"expand[]": "latest_charge"})
        assert ended["status"] == status
        assert f"redirect_status={'succeeded' if status == 'succeeded' else 'failed'}" in back
        if status == "succeeded":
            assert ended["latest_charge"]["payment_method_details"]["type"] == kind
            assert ended["latest_charge"]["id"].startswith("py_")
            refund = call(sandbox, "/v1/refunds", payment_intent=intent["id"])
            assert refund["status"] == "pending"
        else:
            assert ended["last_payment_error"]["code"] == "payment_intent_payment_attempt_failed"
    wrong = local(sandbox, kind) | {"currency": "usd"}
    assert "support the following currencies" in refused(sandbox, "/v1/payment_intents", **wrong)["message"]
    assert_event_shapes(sandbox)


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("123456", "succeeded", None),
        ("777666", "succeeded", None),
        ("111111", "requires_payment_method", "partner_generic_decline"),
        ("222222", "requires_payment_method", "code_expired"),
        ("333333", "requires_payment_method", "insufficient_funds"),
        ("444444", "requires_payment_method", "customer_declined"),
        ("999999", "requires_payment_method", None),
    ],
)
def test_a_blik_code_is_answered_by_the_banking_app(ours: Sandbox, code: str, status: str, reason: str | None) -> None:
    options = {"payment_method_options[blik][code]": code}
    intent = call(ours, "/v1/payment_intents", **local(ours, "blik", **options))
    assert (intent["status"], intent["next_action"]["type"]) == ("requires_action", "blik_authorize")
    assert code not in str(intent)
    ours.advance("61s")
    ended = now(ours, f"/v1/payment_intents/{intent['id']}")
    assert ended["status"] == status
    if status != "succeeded":
        error = ended["last_payment_error"]
        assert error.get("decline_code") == reason
        assert reason or error["code"] == "payment_intent_payment_attempt_expired"
    assert_event_shapes(ours)


def test_a_blik_code_must_be_six_digits_in_zloty(sandbox: Sandbox) -> None:
    name = "payment_method_options[blik][code]"
    for wrong in ({}, {name: "12345"}, {name: "12345a"}):
        assert refused(sandbox, "/v1/payment_intents", **local(sandbox, "blik", **wrong))["param"] == name
    euro = local(sandbox, "blik", **{name: "123456"}) | {"currency": "eur"}
    assert "`pln`" in refused(sandbox, "/v1/payment_intents", **euro)["message"]
    held = local(sandbox, "blik", **{name: "123456"}) | {"capture_method": "manual"}
    assert refused(sandbox, "/v1/payment_intents", **held)["param"] == "capture_method"
    saved = local(sandbox, "blik", **{name: "123456"}) | {"setup_future_usage": "off_session"}
    assert refused(sandbox, "/v1/payment_intents", **saved)["param"] == "setup_future_usage"


@pytest.mark.parametrize(("mode", "kind"), [("setup", "blik"), ("setup", "p24")])
def test_methods_keep_to_their_modes(sandbox: Sandbox, mode: str, kind: str) -> None:
    error = refused(sandbox, "/v1/checkout/sessions", mode=mode, success_url="https://shop.example",
                    **{"payment_method_types[0]": "card", "payment_method_types[1]": kind})  # fmt: skip
    assert error["message"] == f"The payment method `{kind}` cannot be used in `{mode}` mode."


@pytest.mark.parametrize(("iban", "end"), [(GOOD_IBAN, "succeeded"), (BAD_IBAN, "failed")])
def test_a_session_paid_by_debit_is_complete_at_once_and_paid_days_later(ours: Sandbox, iban: str, end: str) -> None:
    session = session_of(ours, **{"line_items[0][price]": price_of(ours, 999, "eur"),
                                  "payment_method_types[0]": "card", "payment_method_types[1]": "sepa_debit"})  # fmt: skip
    method = {"payment_method_data[type]": "sepa_debit", "payment_method_data[sepa_debit][iban]": iban,
              "payment_method_data[billing_details][name]": "Jo", "customer_email": "jo@example.com"}  # fmt: skip
    assert httpx.post(f"{ours.url}/v1/payment_pages/{session['id']}/confirm", data=method).status_code == 200
    waiting = now(ours, f"/v1/checkout/sessions/{session['id']}", **{"expand[]": "payment_intent.latest_charge"})
    assert (waiting["status"], waiting["payment_status"]) == ("complete", "unpaid")
    assert waiting["payment_intent"]["status"] == "processing"
    assert waiting["payment_intent"]["latest_charge"]["status"] == "pending"
    assert ours.event_types()[-4:] == [
        "payment_intent.created", "charge.pending", "payment_intent.processing", "checkout.session.completed",
    ]  # fmt: skip
    ours.advance("6d")
    ended = now(ours, f"/v1/checkout/sessions/{session['id']}", **{"expand[]": "payment_intent"})
    assert ended["payment_status"] == ("paid" if end == "succeeded" else "unpaid")
    assert f"checkout.session.async_payment_{end}" in ours.event_types()
    assert (ended["payment_intent"]["last_payment_error"] is None) == (end == "succeeded")
    assert_event_shapes(ours)


def test_a_debit_may_be_disputed(ours: Sandbox) -> None:
    given = local(ours, "sepa_debit", **{"payment_method_data[sepa_debit][iban]": DISPUTED_IBAN}, **ONLINE)
    intent = call(ours, "/v1/payment_intents", **given)
    assert refused(ours, f"/v1/payment_intents/{intent['id']}/cancel")["code"] == "payment_intent_unexpected_state"
    ours.advance("6d")
    assert now(ours, "/v1/disputes")["data"][0]["payment_intent"] == intent["id"]
    wrong = local(ours, "sepa_debit", **{"payment_method_data[sepa_debit][iban]": "DE00370400440532013000"}, **ONLINE)
    assert refused(ours, "/v1/payment_intents", **wrong)["code"] == "invalid_bank_account_iban"


def test_a_session_in_setup_mode_saves_a_card(sandbox: Sandbox) -> None:
    customer = call(sandbox, "/v1/customers")["id"]
    session = call(sandbox, "/v1/checkout/sessions", mode="setup", currency="usd", customer=customer,
                   success_url="https://shop.example/{CHECKOUT_SESSION_ID}",
                   **{"setup_intent_data[metadata][a]": "b"})  # fmt: skip
    assert (session["payment_status"], session["amount_total"]) == ("no_payment_required", None)
    assert now(sandbox, f"/v1/setup_intents/{session['setup_intent']}")["metadata"] == {"a": "b"}
    paid = httpx.post(
        f"{sandbox.url}/v1/payment_pages/{session['id']}/confirm", data={"payment_method": "pm_card_visa"}
    )
    assert paid.status_code == 200, paid.text
    ended = now(sandbox, f"/v1/checkout/sessions/{session['id']}", **{"expand[]": "setup_intent.payment_method"})
    assert ended["status"] == "complete"
    assert ended["setup_intent"]["payment_method"]["customer"] == customer
    assert sandbox.event_types()[-3:] == [
        "payment_method.attached", "setup_intent.succeeded", "checkout.session.completed",
    ]  # fmt: skip


# Currencies


@pytest.mark.parametrize(
    ("currency", "least"), [("usd", 50), ("pln", 200), ("jpy", 50), ("gbp", 30), ("kwd", 160), ("isk", 6900)]
)
def test_amounts_begin_at_the_least_of_their_currency(sandbox: Sandbox, currency: str, least: int) -> None:
    small = {"amount": str(least - {"kwd": 10, "isk": 100}.get(currency, 1)), "currency": currency}
    assert sandbox.call("POST", "/v1/payment_intents", small).status_code == 400
    assert call(sandbox, "/v1/payment_intents", amount=str(least), currency=currency)["amount"] == least


@pytest.mark.parametrize(("currency", "amount"), [("kwd", 1005), ("isk", 150), ("ugx", 101)])
def test_digits_that_do_not_exist_are_refused(sandbox: Sandbox, currency: str, amount: int) -> None:
    error = refused(sandbox, "/v1/payment_intents", amount=str(amount), currency=currency)
    assert error["param"] == "amount"
    price = {"currency": currency, "unit_amount": str(amount), "product_data[name]": "x"}
    assert refused(sandbox, "/v1/prices", **price)["param"] == "unit_amount"
    line = {f"line_items[0][price_data][{name}]": value for name, value in price.items() if "[" not in name}
    line |= {"line_items[0][quantity]": "1", "line_items[0][price_data][product_data][name]": "x"}
    error = refused(sandbox, "/v1/checkout/sessions", mode="payment", success_url="https://shop.example", **line)
    assert error["param"] == "line_items[0][price_data][unit_amount]"


@pytest.mark.parametrize(
    ("currency", "amount"), [("huf", 17555), ("twd", 1655), ("jpy", 101), ("pln", 201), ("kwd", 1010)]
)
def test_digits_that_do_exist_are_taken(sandbox: Sandbox, currency: str, amount: int) -> None:
    """HUF and TWD have no decimals only when they are paid out."""
    assert call(sandbox, "/v1/payment_intents", amount=str(amount), currency=currency)["amount"] == amount
    price = {"currency": currency, "unit_amount": str(amount), "product_data[name]": "x"}
    assert call(sandbox, "/v1/prices", **price)["unit_amount"] == amount
