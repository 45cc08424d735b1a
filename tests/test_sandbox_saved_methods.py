"""Methods that are kept for later: setup attempts, what a payment saves, iDEAL that becomes SEPA debit, test accounts."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import httpx
import pytest

from money_steps import ONLINE, assert_event_shapes, call, clocked, now, ours, refused
from sandbox_fixtures import Sandbox, price_of, sandbox, session_of, shared_sandbox
from stripe_shapes import problems

BACK = "https://shop.example/r"


def attempts(sandbox: Sandbox, intent: str) -> list[dict[str, Any]]:
    """The attempts of a setup intent, oldest first."""
    shown = now(sandbox, "/v1/setup_attempts", setup_intent=intent)
    assert problems(shown) == []
    return list(shown["data"][::-1])


def answer_bank(intent: dict[str, Any], result: str) -> None:
    """Press a button of the bank's page."""
    url = intent["next_action"]["redirect_to_url"]["url"]
    assert httpx.get(url).status_code == 200
    assert httpx.post(url, data={"result": result}).status_code == 303


def test_each_confirmation_of_a_setup_is_an_attempt(sandbox: Sandbox) -> None:
    intent = call(sandbox, "/v1/setup_intents", customer=call(sandbox, "/v1/customers")["id"])
    path = f"/v1/setup_intents/{intent['id']}"
    assert attempts(sandbox, intent["id"]) == []
    assert refused(sandbox, f"{path}/confirm", payment_method="pm_card_chargeDeclined")["code"] == "card_declined"
    waiting = call(sandbox, f"{path}/confirm", payment_method="pm_card_threeDSecure2Required", return_url=BACK)
    assert waiting["status"] == "requires_action"
    again = call(sandbox, f"{path}/confirm", payment_method="pm_card_threeDSecure2Required", return_url=BACK)
    answer_bank(again, "complete")
    made = attempts(sandbox, intent["id"])
    assert [one["status"] for one in made] == ["failed", "abandoned", "succeeded"]
    assert made[0]["setup_error"]["decline_code"] == "generic_decline"
    assert made[2]["payment_method_details"]["card"]["three_d_secure"]["result"] == "authenticated"
    shown = now(sandbox, path, **{"expand[]": "latest_attempt.payment_method"})
    assert shown["latest_attempt"]["id"] == made[2]["id"]
    assert shown["latest_attempt"]["payment_method"]["id"] == shown["payment_method"]


def test_attempts_are_asked_for_by_their_intent(sandbox: Sandbox) -> None:
    answer = sandbox.call("GET", "/v1/setup_attempts")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "setup_intent")
    answer = sandbox.call("GET", "/v1/setup_attempts", {"setup_intent": "seti_none"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "resource_missing")
    first, second = (
        call(sandbox, "/v1/setup_intents", payment_method="pm_card_visa", confirm="true")["id"] for _ in "ab"
    )
    assert [one["setup_intent"] for one in attempts(sandbox, first)] == [first]
    assert attempts(sandbox, second)[0]["status"] == "succeeded"


def test_a_cancelled_setup_abandons_its_attempt(sandbox: Sandbox) -> None:
    given = {"payment_method": "pm_card_threeDSecure2Required", "confirm": "true", "return_url": BACK}
    intent = call(sandbox, "/v1/setup_intents", **given)["id"]
    call(sandbox, f"/v1/setup_intents/{intent}/cancel")
    assert [one["status"] for one in attempts(sandbox, intent)] == ["abandoned"]


def test_a_payment_keeps_its_card_when_it_is_told_to(sandbox: Sandbox) -> None:
    customer = call(sandbox, "/v1/customers")["id"]
    paid = {
        "amount": "500",
        "currency": "usd",
        "customer": customer,
        "confirm": "true",
        "payment_method": "pm_card_visa",
    }
    plain = call(sandbox, "/v1/payment_intents", **paid)
    assert now(sandbox, f"/v1/payment_methods/{plain['payment_method']}")["customer"] is None
    kept = call(sandbox, "/v1/payment_intents", setup_future_usage="off_session", **paid)
    assert now(sandbox, f"/v1/payment_methods/{kept['payment_method']}")["customer"] == customer
    option = {"payment_method_options[card][setup_future_usage]": "off_session"}
    by_option = call(sandbox, "/v1/payment_intents", **paid, **option)
    assert now(sandbox, f"/v1/payment_methods/{by_option['payment_method']}")["customer"] == customer
    types = sandbox.event_types()
    place = types.index("payment_method.attached")
    assert types[place + 1] == "charge.succeeded"


def test_a_card_that_wants_its_buyer_is_free_once_it_was_set_up(sandbox: Sandbox) -> None:
    customer = call(sandbox, "/v1/customers")["id"]
    given = {"payment_method": "pm_card_authenticationRequiredOnSetup", "customer": customer, "confirm": "true"}
    setup = call(sandbox, "/v1/setup_intents", **given, return_url=BACK)
    answer_bank(setup, "complete")
    method = now(sandbox, f"/v1/setup_intents/{setup['id']}")["payment_method"]
    later = {"amount": "500", "currency": "usd", "customer": customer, "confirm": "true", "off_session": "true"}
    assert call(sandbox, "/v1/payment_intents", **later, payment_method=method)["status"] == "succeeded"
    error = refused(sandbox, "/v1/payment_intents", **later, payment_method="pm_card_authenticationRequired")
    assert (error["code"], error["decline_code"]) == ("authentication_required", "authentication_required")
    assert error["payment_intent"]["status"] == "requires_payment_method"
    assert now(sandbox, f"/v1/charges/{error['charge']}")["outcome"]["type"] == "issuer_declined"


# iDEAL becomes SEPA debit


def ideal(**more: str) -> dict[str, str]:
    return {"payment_method_data[type]": "ideal", "confirm": "true", "return_url": BACK, **more}


def test_ideal_is_kept_as_a_debit_of_the_same_account(sandbox: Sandbox) -> None:
    customer = call(sandbox, "/v1/customers")["id"]
    intent = call(sandbox, "/v1/payment_intents", amount="1000", currency="eur", customer=customer,
                  setup_future_usage="off_session", **ideal(**{"payment_method_types[]": "ideal"}))  # fmt: skip
    answer_bank(intent, "complete")
    shown = now(sandbox, f"/v1/payment_intents/{intent['id']}", **{"expand[]": "latest_charge"})
    details = shown["latest_charge"]["payment_method_details"]["ideal"]
    debit = now(sandbox, f"/v1/payment_methods/{details['generated_sepa_debit']}")
    assert (debit["type"], debit["customer"], debit["sepa_debit"]["last4"]) == ("sepa_debit", customer, "5264")
    assert debit["sepa_debit"]["generated_from"] == {"charge": shown["latest_charge"]["id"], "setup_attempt": None}
    assert now(sandbox, f"/v1/payment_methods/{shown['payment_method']}")["customer"] is None
    later = {"amount": "700", "currency": "eur", "customer": customer, "confirm": "true", "off_session": "true",
             "payment_method": debit["id"], "payment_method_types[]": "sepa_debit"}  # fmt: skip
    assert call(sandbox, "/v1/payment_intents", **later)["status"] == "processing"
    assert_event_shapes(sandbox)


def test_ideal_can_be_set_up_without_a_payment(sandbox: Sandbox) -> None:
    customer = call(sandbox, "/v1/customers")["id"]
    intent = call(sandbox, "/v1/setup_intents", customer=customer, **ideal(**{"payment_method_types[]": "ideal"}))
    assert intent["status"] == "requires_action"
    answer_bank(intent, "fail")
    assert now(sandbox, f"/v1/setup_intents/{intent['id']}")["status"] == "requires_payment_method"
    again = call(
        sandbox, f"/v1/setup_intents/{intent['id']}/confirm", return_url=BACK, **{"payment_method_data[type]": "ideal"}
    )
    answer_bank(again, "complete")
    failed, made = attempts(sandbox, intent["id"])
    assert (failed["status"], made["status"]) == ("failed", "succeeded")
    debit = made["payment_method_details"]["ideal"]["generated_sepa_debit"]
    assert now(sandbox, f"/v1/payment_methods/{debit}")["customer"] == customer
    mandate = now(sandbox, f"/v1/mandates/{made['payment_method_details']['ideal']['generated_sepa_debit_mandate']}")
    assert (mandate["status"], mandate["type"]) == ("active", "multi_use")
    without = ideal(**{"payment_method_types[]": "ideal"})
    del without["return_url"]
    assert refused(sandbox, "/v1/setup_intents", **without)["param"] == "return_url"


def test_a_subscription_bought_by_ideal_is_charged_by_debit(sandbox: Sandbox) -> None:
    price = call(sandbox, "/v1/prices", currency="eur", unit_amount="900",
                 **{"product_data[name]": "x", "recurring[interval]": "month"})["id"]  # fmt: skip
    session = session_of(
        sandbox, mode="subscription", **{"line_items[0][price]": price, "payment_method_types[]": "ideal"}
    )
    given = {"payment_method_data[type]": "ideal", "customer_email": "jo@example.com"}
    page = httpx.post(f"{sandbox.url}/v1/payment_pages/{session['id']}/confirm", data=given).json()
    answer_bank(page["payment_intent"], "complete")
    shown = now(
        sandbox, f"/v1/checkout/sessions/{session['id']}", **{"expand[]": "subscription.default_payment_method"}
    )
    assert shown["payment_status"] == "paid"
    assert shown["subscription"]["default_payment_method"]["type"] == "sepa_debit"
    assert shown["subscription"]["status"] == "active"


# Test accounts and cards


@pytest.mark.parametrize(
    ("token", "code"),
    [("pm_sepaDebit_success_nl", None), ("pm_sepaDebit_failed_nl", "payment_intent_payment_attempt_failed"),
     ("pm_sepaDebit_failedDelayed_es", "payment_intent_payment_attempt_failed"), ("pm_sepaDebit_success_at", None)],
)  # fmt: skip
def test_tokens_of_test_accounts(ours: Sandbox, token: str, code: str | None) -> None:
    given = {"amount": "900", "currency": "eur", "confirm": "true", "payment_method_types[]": "sepa_debit", **ONLINE}
    intent = call(ours, "/v1/payment_intents", **given, payment_method=token)
    assert intent["status"] == "processing"
    ours.advance("6d")
    error = now(ours, f"/v1/payment_intents/{intent['id']}")["last_payment_error"]
    assert (error and error["code"]) == code


@pytest.mark.parametrize(
    ("iban", "code"),
    [("NL27RABO0000343434", "charge_exceeds_source_limit"), ("NL86RABO0000121212", "charge_exceeds_weekly_limit"),
     ("AT981904300002222227", "insufficient_funds")],
)  # fmt: skip
def test_limits_of_test_accounts(ours: Sandbox, iban: str, code: str) -> None:
    given = {"amount": "900", "currency": "eur", "confirm": "true", "payment_method_types[]": "sepa_debit",
             "payment_method_data[type]": "sepa_debit", "payment_method_data[sepa_debit][iban]": iban, **ONLINE}  # fmt: skip
    intent = call(ours, "/v1/payment_intents", **given)
    ours.advance("6d")
    charge = now(ours, f"/v1/payment_intents/{intent['id']}", **{"expand[]": "latest_charge"})["latest_charge"]
    assert (charge["status"], charge["failure_code"]) == ("failed", code)


@pytest.mark.parametrize(
    ("iban", "code"),
    [("DE91370400440000055555", "sepa_debit_bank_not_supported"), ("DE18370400440000066666", "sepa_debit_debits_not_supported"),
     ("DE89370400440532013001", "invalid_bank_account_iban")],
)  # fmt: skip
def test_accounts_that_cannot_be_debited_are_no_methods(sandbox: Sandbox, iban: str, code: str) -> None:
    assert refused(sandbox, "/v1/payment_methods", type="sepa_debit", **{"sepa_debit[iban]": iban})["code"] == code


def paid_with(sandbox: Sandbox, token: str) -> dict[str, Any]:
    given = {
        "amount": "900",
        "currency": "usd",
        "confirm": "true",
        "payment_method": token,
        "expand[]": "latest_charge",
    }
    return dict(call(sandbox, "/v1/payment_intents", **given)["latest_charge"])


def test_risky_cards_are_blocked_or_marked(sandbox: Sandbox) -> None:
    given = {"amount": "900", "currency": "usd", "confirm": "true", "payment_method": "pm_card_radarBlock"}
    error = refused(sandbox, "/v1/payment_intents", **given)
    assert (error["code"], error["decline_code"]) == ("card_declined", "fraudulent")
    outcome = now(sandbox, f"/v1/charges/{error['charge']}")["outcome"]
    assert (outcome["type"], outcome["network_status"], outcome["risk_level"]) == (
        "blocked",
        "not_sent_to_network",
        "highest",
    )
    assert paid_with(sandbox, "pm_card_riskLevelElevated")["outcome"]["risk_level"] == "elevated"
    checks = paid_with(sandbox, "pm_card_cvcCheckFail")["payment_method_details"]["card"]["checks"]
    assert checks["cvc_check"] == "fail"
    assert paid_with(sandbox, "pm_card_it")["payment_method_details"]["card"]["country"] == "IT"


def test_a_dispute_has_the_reason_of_its_card(ours: Sandbox) -> None:
    charge = paid_with(ours, "pm_card_createDisputeProductNotReceived")
    ours.advance("1s")
    assert now(ours, "/v1/disputes", charge=charge["id"])["data"][0]["reason"] == "product_not_received"
    assert_event_shapes(ours)


# Whose a method is, and when it is used up


def default_of(sandbox: Sandbox, customer: str) -> str | None:
    """The default method of a customer."""
    found = now(sandbox, f"/v1/customers/{customer}")["invoice_settings"]["default_payment_method"]
    return None if found is None else str(found)


def monthly(sandbox: Sandbox, **more: str) -> str:
    given = {"currency": "usd", "unit_amount": "1000", "product_data[name]": "x", "recurring[interval]": "month"}
    return str(call(sandbox, "/v1/prices", **{**given, **more})["id"])


def holder(sandbox: Sandbox) -> tuple[str, str]:
    """A customer with a default card: both ids."""
    customer = call(sandbox, "/v1/customers")["id"]
    card = call(sandbox, "/v1/payment_methods/pm_card_visa/attach", customer=customer)["id"]
    call(sandbox, f"/v1/customers/{customer}", **{"invoice_settings[default_payment_method]": card})
    return customer, card


def test_the_settings_that_are_not_given_stay(sandbox: Sandbox) -> None:
    customer, card = holder(sandbox)
    kept = call(sandbox, f"/v1/customers/{customer}", **{"invoice_settings[footer]": "hey"})["invoice_settings"]
    assert (kept["default_payment_method"], kept["footer"]) == (card, "hey")
    cleared = call(sandbox, f"/v1/customers/{customer}", **{"invoice_settings[default_payment_method]": ""})
    assert (cleared["invoice_settings"]["default_payment_method"], cleared["invoice_settings"]["footer"]) == (
        None,
        "hey",
    )


def test_a_default_method_is_the_customers_own(sandbox: Sandbox) -> None:
    field = "invoice_settings[default_payment_method]"
    customer, card = holder(sandbox)
    other, loose = (
        holder(sandbox)[1],
        call(sandbox, "/v1/payment_methods", type="card", **{"card[token]": "tok_visa"})["id"],
    )
    for method in (other, loose):
        for path in (f"/v1/customers/{customer}", "/v1/customers"):
            error = refused(sandbox, path, **{field: method})
            assert (error["code"], error["param"]) == ("resource_missing", field)
    assert default_of(sandbox, customer) == card
    made = call(sandbox, "/v1/customers", payment_method=loose, **{field: loose})
    assert made["invoice_settings"]["default_payment_method"] == loose


def test_a_method_that_was_used_or_detached_is_not_charged_again(sandbox: Sandbox) -> None:
    customer, card = holder(sandbox)
    paid = {"amount": "500", "currency": "usd", "payment_method_types[]": "card"}
    waiting = call(sandbox, "/v1/payment_intents", **paid, customer=customer, payment_method=card)["id"]
    call(sandbox, f"/v1/payment_methods/{card}/detach")
    used = call(sandbox, "/v1/payment_intents", **paid, confirm="true", payment_method="pm_card_visa")["payment_method"]
    item = {"customer": customer, "amount": "700", "currency": "usd"}
    invoice = call(sandbox, "/v1/invoices", customer=customer)["id"]
    call(sandbox, "/v1/invoiceitems", **item, invoice=invoice)
    session = session_of(sandbox)["id"]
    for method in (card, used):
        tries = [
            refused(sandbox, "/v1/payment_intents", **paid, confirm="true", payment_method=method),
            refused(sandbox, f"/v1/invoices/{invoice}/pay", payment_method=method),
            refused(sandbox, f"/v1/payment_pages/{session}/confirm", payment_method=method),
            refused(sandbox, "/v1/setup_intents", payment_method=method, confirm="true"),
            refused(sandbox, "/v1/customers", payment_method=method),
            refused(sandbox, f"/v1/payment_methods/{method}/attach", customer=customer),
        ]
        assert ["not be used again" in error["message"] for error in tries] == [True] * 6
    assert "not be used again" in refused(sandbox, f"/v1/payment_intents/{waiting}/confirm")["message"]
    assert [one["amount"] for one in now(sandbox, "/v1/charges")["data"]] == [500]


def test_a_detached_method_is_nobodys_default(sandbox: Sandbox) -> None:
    customer, card = holder(sandbox)
    price = monthly(sandbox)
    given = {"customer": customer, "items[0][price]": price, "default_payment_method": card}
    subscription = call(sandbox, "/v1/subscriptions", **given)["id"]
    call(sandbox, f"/v1/payment_methods/{card}/detach")
    assert default_of(sandbox, customer) is None
    assert now(sandbox, f"/v1/subscriptions/{subscription}")["default_payment_method"] is None
    assert sandbox.event_types()[-3:] == [
        "payment_method.detached", "customer.updated", "customer.subscription.updated",
    ]  # fmt: skip
    assert_event_shapes(sandbox)


def test_a_method_is_changed_only_while_somebody_has_it(sandbox: Sandbox) -> None:
    card = holder(sandbox)[1]
    assert call(sandbox, f"/v1/payment_methods/{card}", **{"card[exp_year]": "2040"})["card"]["exp_year"] == 2040
    call(sandbox, f"/v1/payment_methods/{card}/detach")
    assert (
        "save this PaymentMethod" in refused(sandbox, f"/v1/payment_methods/{card}", **{"metadata[a]": "b"})["message"]
    )
