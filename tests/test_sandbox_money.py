"""Money in the sandbox: cards, holds and captures, setup intents, refunds that wait or fail, disputes."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from typing import Any

import httpx
import pytest

from money_steps import GOOD_IBAN, ONLINE, assert_event_shapes, call, clocked, now, ours, pay, refused
from sandbox_fixtures import Sandbox, sandbox, shared_sandbox, until

# Cards and their tokens


@pytest.mark.parametrize(
    ("token", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_visa_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
    ],
)
def test_a_token_declines_as_its_number_does(sandbox: Sandbox, token: str, code: str, decline_code: str) -> None:
    base = {"amount": "2000", "currency": "usd", "confirm": "true"}
    by_token = {**base, "payment_method_data[type]": "card",
                "payment_method_data[card][token]": token.replace("pm_card_", "tok_")}  # fmt: skip
    for params in ({**base, "payment_method": token}, by_token):
        answer = sandbox.call("POST", "/v1/payment_intents", params)
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["code"], error["decline_code"]) == (
            402, "card_error", code, decline_code,
        )  # fmt: skip
        assert {"advice_code", "network_decline_code", "charge", "payment_method", "payment_intent"} <= set(error)


@pytest.mark.parametrize(
    ("token", "on_session", "off_session"),
    [
        ("pm_card_authenticationRequiredOnSetup", "requires_action", None),
        ("pm_card_authenticationRequired", "requires_action", None),
        ("pm_card_threeDSecure2Required", "requires_action", None),
        ("pm_card_authenticationRequiredSetupForOffSession", "requires_action", "succeeded"),
        ("pm_card_bypassPending", "succeeded", "succeeded"),
    ],
)
def test_a_token_asks_for_3d_secure(sandbox: Sandbox, token: str, on_session: str, off_session: str | None) -> None:
    assert pay(sandbox, token)["status"] == on_session
    base = {"amount": "2000", "currency": "usd", "confirm": "true", "payment_method": token, "off_session": "true"}
    answer = sandbox.call("POST", "/v1/payment_intents", base)
    if off_session:
        assert answer.json()["status"] == off_session
    else:
        assert (answer.status_code, answer.json()["error"]["code"]) == (402, "authentication_required")


@pytest.mark.parametrize("kind", ["blik", "p24", "ideal", "sepa_debit"])
def test_a_local_method_is_made_attached_and_changed_where_it_can_be(sandbox: Sandbox, kind: str) -> None:
    given = {"type": kind} | ({"sepa_debit[iban]": GOOD_IBAN} if kind == "sepa_debit" else {})
    method = call(sandbox, "/v1/payment_methods", **given)
    assert kind in method
    path, named = f"/v1/payment_methods/{method['id']}", {"billing_details[name]": "Jo"}
    assert refused(sandbox, path, **named)["param"] == "payment_method", "nobody has it yet"
    customer = call(sandbox, "/v1/customers")["id"]
    attached = sandbox.call("POST", f"{path}/attach", {"customer": customer})
    assert attached.status_code == (200 if kind == "sepa_debit" else 400)
    if kind == "sepa_debit":
        assert call(sandbox, path, **named)["billing_details"]["name"] == "Jo"
        assert "card" in refused(sandbox, path, **{"card[exp_month]": "2"})["param"]


# Holds and captures


def test_money_is_held_and_captured_in_part(sandbox: Sandbox) -> None:
    intent = pay(sandbox, capture_method="manual")
    assert (intent["status"], intent["amount_capturable"], intent["amount_received"]) == ("requires_capture", 2000, 0)
    charge = now(sandbox, f"/v1/charges/{intent['latest_charge']}")
    assert (charge["captured"], charge["paid"], charge["amount_captured"]) == (False, True, 0)
    assert charge["balance_transaction"] is None
    error = refused(sandbox, f"/v1/payment_intents/{intent['id']}/capture", amount_to_capture="2001")
    assert (error["code"], error["param"]) == ("amount_too_large", "amount_to_capture")
    assert refused(sandbox, "/v1/refunds", charge=charge["id"])["param"] == "charge"
    captured = call(sandbox, f"/v1/payment_intents/{intent['id']}/capture", amount_to_capture="1500")
    assert (captured["status"], captured["amount_received"], captured["amount_capturable"]) == ("succeeded", 1500, 0)
    assert sandbox.event_types() == [
        "payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated", "charge.captured",
        "payment_intent.succeeded", "charge.updated",
    ]  # fmt: skip
    booked = now(sandbox, "/v1/balance_transactions")["data"]
    assert [row["amount"] for row in booked] == [1500]
    assert refused(sandbox, "/v1/refunds", charge=charge["id"], amount="1501")["param"] == "amount"
    again = refused(sandbox, f"/v1/payment_intents/{intent['id']}/capture")
    assert again["code"] == "payment_intent_unexpected_state"
    assert_event_shapes(sandbox)


def test_a_hold_is_given_back_when_it_is_cancelled(sandbox: Sandbox) -> None:
    intent = pay(sandbox, capture_method="manual")
    canceled = call(sandbox, f"/v1/payment_intents/{intent['id']}/cancel", cancellation_reason="abandoned")
    assert (canceled["status"], canceled["amount_capturable"]) == ("canceled", 0)
    charge = now(sandbox, f"/v1/charges/{intent['latest_charge']}")
    assert (charge["refunded"], charge["amount_refunded"]) == (True, 2000)
    assert now(sandbox, "/v1/balance_transactions")["data"] == []
    assert sandbox.event_types()[-2:] == ["charge.refunded", "payment_intent.canceled"]


def test_a_hold_ends_after_a_week(ours: Sandbox) -> None:
    intent = pay(ours, capture_method="manual")
    ours.advance("6d")
    assert now(ours, f"/v1/payment_intents/{intent['id']}")["status"] == "requires_capture"
    ours.advance("25h")
    ended = now(ours, f"/v1/payment_intents/{intent['id']}")
    assert (ended["status"], ended["cancellation_reason"]) == ("canceled", "automatic")
    assert ours.event_types()[-2:] == ["charge.expired", "payment_intent.canceled"]


def test_a_hold_grows_only_where_that_was_asked_for(sandbox: Sandbox) -> None:
    plain = pay(sandbox, capture_method="manual")
    path = f"/v1/payment_intents/{plain['id']}/increment_authorization"
    assert refused(sandbox, path, amount="3000")["code"] == "payment_intent_invalid_parameter"
    option = {"payment_method_options[card][request_incremental_authorization]": "if_available"}
    intent = pay(sandbox, capture_method="manual", **option)
    path = f"/v1/payment_intents/{intent['id']}/increment_authorization"
    assert refused(sandbox, path, amount="2000")["param"] == "amount"
    assert call(sandbox, path, amount="3000")["amount_capturable"] == 3000
    assert call(sandbox, f"/v1/payment_intents/{intent['id']}/capture")["amount_received"] == 3000


# Setup intents


def test_a_card_is_saved_and_used_off_session(sandbox: Sandbox) -> None:
    customer = call(sandbox, "/v1/customers")["id"]
    intent = call(sandbox, "/v1/setup_intents", customer=customer, **{"payment_method_types[]": "card"})
    assert intent["status"] == "requires_payment_method"
    path = f"/v1/setup_intents/{intent['id']}"
    assert refused(sandbox, f"{path}/confirm")["code"] == "setup_intent_unexpected_state"
    done = call(sandbox, f"{path}/confirm", payment_method="pm_card_visa")
    assert done["status"] == "succeeded"
    method = now(sandbox, f"/v1/payment_methods/{done['payment_method']}")
    assert method["customer"] == customer
    paid = pay(sandbox, method["id"], customer=customer, off_session="true")
    assert paid["status"] == "succeeded"
    assert sandbox.event_types()[:4] == [
        "customer.created", "setup_intent.created", "payment_method.attached", "setup_intent.succeeded",
    ]  # fmt: skip
    assert refused(sandbox, f"{path}/cancel")["code"] == "setup_intent_unexpected_state"
    assert [row["id"] for row in now(sandbox, "/v1/setup_intents", customer=customer)["data"]] == [intent["id"]]
    assert_event_shapes(sandbox)


def test_a_card_that_asks_is_free_once_it_is_set_up(sandbox: Sandbox) -> None:
    customer = call(sandbox, "/v1/customers")["id"]
    intent = call(sandbox, "/v1/setup_intents", customer=customer, confirm="true",
                  payment_method="pm_card_authenticationRequiredOnSetup", return_url="https://shop.example/r")  # fmt: skip
    assert intent["status"] == "requires_action"
    back = httpx.post(intent["next_action"]["redirect_to_url"]["url"], data={"result": "complete"})
    assert "setup_intent=seti_" in back.headers["location"]
    assert "redirect_status=succeeded" in back.headers["location"]
    method = now(sandbox, f"/v1/setup_intents/{intent['id']}")["payment_method"]
    assert pay(sandbox, method, customer=customer, off_session="true")["status"] == "succeeded"
    fresh = call(sandbox, "/v1/setup_intents", confirm="true", payment_method="pm_card_authenticationRequired",
                 return_url="https://shop.example/r")  # fmt: skip
    httpx.post(fresh["next_action"]["redirect_to_url"]["url"], data={"result": "fail"})
    failed = now(sandbox, f"/v1/setup_intents/{fresh['id']}")
    assert failed["last_setup_error"]["code"] == "setup_intent_authentication_failure"
    assert sandbox.event_types()[-1] == "setup_intent.setup_failed"


def test_a_card_that_declines_is_not_saved(sandbox: Sandbox) -> None:
    answer = sandbox.call("POST", "/v1/setup_intents", {"confirm": "true", "payment_method": "pm_card_chargeDeclined"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["setup_intent"]["status"]) == (
        402, "card_declined", "requires_payment_method",
    )  # fmt: skip
    intent = call(sandbox, "/v1/setup_intents")
    assert call(sandbox, f"/v1/setup_intents/{intent['id']}/cancel")["status"] == "canceled"
    assert refused(sandbox, "/v1/setup_intents", **{"payment_method_types[]": "p24"})["param"] == "payment_method_types"


def test_a_bank_account_is_saved_with_a_mandate(sandbox: Sandbox) -> None:
    customer = call(sandbox, "/v1/customers")["id"]
    given = {"payment_method_types[]": "sepa_debit", "payment_method_data[type]": "sepa_debit",
             "payment_method_data[sepa_debit][iban]": GOOD_IBAN, "customer": customer, "confirm": "true"}  # fmt: skip
    assert refused(sandbox, "/v1/setup_intents", **given)["param"] == "mandate_data"
    intent = call(sandbox, "/v1/setup_intents", **given, **ONLINE)
    mandate = now(sandbox, f"/v1/mandates/{intent['mandate']}")
    assert (mandate["status"], mandate["type"]) == ("active", "multi_use")
    debit = pay(sandbox, intent["payment_method"], currency="eur", customer=customer, off_session="true",
                **{"payment_method_types[]": "sepa_debit"})  # fmt: skip
    assert debit["status"] == "processing"


# Refunds


def test_a_refund_that_fails_later_gives_the_money_back_to_the_seller(ours: Sandbox) -> None:
    charge = pay(ours, "pm_card_refundFail")["latest_charge"]
    refund = call(ours, "/v1/refunds", charge=charge, amount="500")
    assert refund["status"] == "succeeded"
    ours.advance("2h")
    failed = now(ours, f"/v1/refunds/{refund['id']}", **{"expand[]": "failure_balance_transaction"})
    assert (failed["status"], failed["failure_reason"]) == ("failed", "expired_or_canceled_card")
    assert failed["failure_balance_transaction"]["amount"] == 500
    assert now(ours, f"/v1/charges/{charge}")["amount_refunded"] == 0
    assert ours.event_types()[-4:] == [
        "charge.refund.updated", "refund.updated", "charge.refund.updated", "refund.failed",
    ]  # fmt: skip
    assert_event_shapes(ours)


def test_a_refund_names_its_payment_once(ours: Sandbox) -> None:
    intent = pay(ours, "pm_card_visa")
    both = refused(ours, "/v1/refunds", charge=intent["latest_charge"], payment_intent=intent["id"])
    assert both["message"] == "You may only specify one of these parameters: charge, payment_intent."
    neither = refused(ours, "/v1/refunds")["message"]
    assert neither == "One of the following params should be provided for this request: payment_intent or charge."


def test_a_cards_pending_refund_succeeds_and_cannot_be_canceled(ours: Sandbox) -> None:
    charge = pay(ours, "pm_card_pendingRefund")["latest_charge"]
    refund = call(ours, "/v1/refunds", charge=charge, amount="500")
    assert refund["status"] == "pending"
    assert "status of pending" in refused(ours, f"/v1/refunds/{refund['id']}/cancel")["message"]
    assert "Cards" in asked(ours, charge).json()["error"]["message"]
    ours.advance("2h")
    assert now(ours, f"/v1/refunds/{refund['id']}")["status"] == "succeeded"
    assert now(ours, f"/v1/charges/{charge}")["amount_refunded"] == 500


def asked(sandbox: Sandbox, charge: str, amount: int = 500) -> httpx.Response:
    """A refund that waits until the buyer has said where the money shall go."""
    return httpx.post(f"{sandbox.url}/_sandbox/refunds", json={"charge": charge, "amount": amount, "asks_buyer": True})


def test_a_refund_that_asks_its_buyer_is_answered_canceled_or_expires(ours: Sandbox) -> None:
    debit = {"payment_method_data[type]": "sepa_debit", "payment_method_data[sepa_debit][iban]": GOOD_IBAN,
             "payment_method_data[billing_details][name]": "Jo",
             "payment_method_data[billing_details][email]": "jo@example.com"}  # fmt: skip
    intent = call(ours, "/v1/payment_intents", amount="2000", currency="eur", confirm="true",
                  **{"payment_method_types[]": "sepa_debit"}, **ONLINE, **debit)  # fmt: skip
    ours.advance("6d")
    charge = now(ours, f"/v1/payment_intents/{intent['id']}")["latest_charge"]
    answered, canceled, expired, helped = (str(asked(ours, charge).json()["id"]) for _ in range(4))
    shown = now(ours, f"/v1/refunds/{answered}")
    assert (shown["status"], shown["instructions_email"]) == ("requires_action", "jo@example.com")
    assert shown["next_action"]["display_details"]["expires_at"] == shown["created"] + 45 * 86400
    assert now(ours, f"/v1/charges/{charge}")["amount_refunded"] == 2000
    undone = call(ours, f"/v1/refunds/{canceled}/cancel")
    assert (undone["status"], undone["failure_reason"]) == ("canceled", "merchant_request")
    assert undone["failure_balance_transaction"]
    assert now(ours, f"/v1/charges/{charge}")["amount_refunded"] == 1500
    assert "status of canceled" in refused(ours, f"/v1/refunds/{canceled}/cancel")["message"]
    assert httpx.post(f"{ours.url}/_sandbox/refunds", json={"refund": answered}).json()["status"] == "pending"
    assert call(ours, f"/v1/test_helpers/refunds/{helped}/expire")["status"] == "failed"
    ours.advance("4d")
    assert now(ours, f"/v1/refunds/{answered}")["status"] == "succeeded"
    ours.advance("42d")
    assert now(ours, f"/v1/refunds/{expired}")["status"] == "failed"
    assert now(ours, f"/v1/charges/{charge}")["amount_refunded"] == 500
    assert_event_shapes(ours)


# Disputes


def test_a_dispute_takes_the_money_and_brings_it_back_when_it_is_won(sandbox: Sandbox) -> None:
    intent = pay(sandbox, "pm_card_createDispute")
    dispute = until(lambda: now(sandbox, "/v1/disputes", payment_intent=intent["id"])["data"])[0]
    assert (dispute["status"], dispute["amount"], dispute["reason"]) == ("needs_response", 2000, "fraudulent")
    assert [(row["amount"], row["fee"], row["net"]) for row in dispute["balance_transactions"]] == [
        (-2000, 1500, -3500)
    ]
    assert now(sandbox, f"/v1/charges/{intent['latest_charge']}")["disputed"] is True
    assert refused(sandbox, "/v1/refunds", payment_intent=intent["id"])["code"] == "charge_disputed"
    path = f"/v1/disputes/{dispute['id']}"
    staged = call(sandbox, path, submit="false", **{"evidence[product_description]": "Credits", "metadata[a]": "b"})
    assert (staged["status"], staged["evidence_details"]["has_evidence"]) == ("needs_response", True)
    sent = call(sandbox, path, **{"evidence[uncategorized_text]": "winning_evidence"})
    assert (sent["status"], sent["evidence_details"]["submission_count"]) == ("won", 1)
    assert sum(row["net"] for row in sent["balance_transactions"]) == 0
    assert refused(sandbox, path, **{"evidence[receipt]": "file_1"})["type"] == "invalid_request_error"
    assert [kind for kind in sandbox.event_types() if "dispute" in kind] == [
        "charge.dispute.created", "charge.dispute.funds_withdrawn", "charge.dispute.updated", "charge.dispute.updated",
        "charge.dispute.funds_reinstated", "charge.dispute.closed",
    ]  # fmt: skip
    assert_event_shapes(sandbox)


def test_a_dispute_that_nobody_answers_is_lost(ours: Sandbox) -> None:
    pay(ours, "pm_card_createDispute")
    dispute = until(lambda: now(ours, "/v1/disputes")["data"])[0]
    ours.advance("10d")
    ended = now(ours, f"/v1/disputes/{dispute['id']}")
    assert (ended["status"], ended["evidence_details"]["past_due"]) == ("lost", True)
    assert ours.event_types()[-1] == "charge.dispute.closed"


def test_an_inquiry_takes_no_money(sandbox: Sandbox) -> None:
    intent = pay(sandbox, "pm_card_createDisputeInquiry")
    dispute = until(lambda: now(sandbox, "/v1/disputes")["data"])[0]
    assert (dispute["status"], dispute["balance_transactions"]) == ("warning_needs_response", [])
    assert call(sandbox, f"/v1/disputes/{dispute['id']}/close")["status"] == "warning_closed"
    assert refused(sandbox, f"/v1/disputes/{dispute['id']}/close")["code"] == "dispute_already_closed"
    assert call(sandbox, "/v1/refunds", payment_intent=intent["id"])["status"] == "succeeded"


@pytest.mark.parametrize(
    ("status", "kinds"),
    [
        ("needs_response", ["created", "funds_withdrawn"]),
        ("lost", ["created", "funds_withdrawn", "closed"]),
        ("won", ["created", "funds_withdrawn", "funds_reinstated", "closed"]),
        ("warning_closed", ["created", "closed"]),
    ],
)
def test_disputes_are_made_by_the_sandboxs_own_call(sandbox: Sandbox, status: str, kinds: list[str]) -> None:
    charge = pay(sandbox)["latest_charge"]
    address = f"{sandbox.url}/_sandbox/disputes"
    made = httpx.post(address, json={"charge": charge, "status": status})
    assert (made.status_code, made.json()["status"]) == (200, status)
    told = [kind.removeprefix("charge.dispute.") for kind in sandbox.event_types() if "dispute" in kind]
    assert told == kinds
    assert httpx.post(address, json={"charge": charge, "status": "odd"}).status_code == 400
    assert httpx.post(address, json={"charge": "ch_0", "status": "lost"}).status_code == 404
    assert httpx.post(address, content=b"{").status_code == 400
    assert httpx.post(address, json={"charge": charge, "stat": "lost"}).status_code == 400


def test_a_suspicious_payment_is_warned_of(sandbox: Sandbox) -> None:
    intent = pay(sandbox, "pm_card_createIssuerFraudRecord")
    warning = until(lambda: now(sandbox, "/v1/radar/early_fraud_warnings")["data"])[0]
    assert (warning["charge"], warning["actionable"]) == (intent["latest_charge"], True)
    assert sandbox.event_types()[-1] == "radar.early_fraud_warning.created"


# The sandbox's buttons


def test_refund_and_resend_by_button(sandbox: Sandbox) -> None:
    charge = pay(sandbox)["latest_charge"]
    made = httpx.post(f"{sandbox.url}/_sandbox/refunds", json={"charge": charge, "amount": 100})
    assert made.json()["amount"] == 100
    assert httpx.post(f"{sandbox.url}/_sandbox/refunds", json={"charge": charge}).json()["amount"] == 1900
    assert httpx.post(f"{sandbox.url}/_sandbox/refunds", json={"charge": charge}).status_code == 400
    call(sandbox, "/v1/webhook_endpoints", url="http://127.0.0.1:9/x", **{"enabled_events[]": "*"})
    event = sandbox.events()[0]["id"]
    again = httpx.post(f"{sandbox.url}/_sandbox/events/{event}/resend", json={})
    assert again.json() == {"event": event, "deliveries": 1}
