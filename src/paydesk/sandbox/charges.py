"""Charges: one try to take money for a payment intent, whether it worked or not."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .balance import book_charge
from .calls import Call, Operation, get, listing, post
from .cards import Decline
from .errors import Json
from .events import emit, emit_update
from .ids import random_text
from .lists import list_of
from .methods import behaviour
from .params import email, merged_metadata, metadata, text
from .present import INCLUDABLE


def add_charge(account: Account, intent: Json, method: Json, decline: Decline | None, *, authenticated: bool) -> Json:
    """Try to charge: the charge is `succeeded`, or `failed` with the decline. Tells the result.

    The balance transaction follows with `settle_charge`, as Stripe's asynchronous capture has it.
    """
    card = behaviour(method)
    paid = decline is None
    details = _card_details(intent, method, paid=paid, authenticated=authenticated)
    charge = account.add("charge", {
        **_unset(),
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if paid else 0,
        "billing_details": method["billing_details"],
        "captured": paid,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "failure_code": None if decline is None else decline.code,
        "failure_message": None if decline is None else decline.message,
        "metadata": dict(intent["metadata"]),
        "outcome": _outcome(decline),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {"card": details, "type": "card"},
        "receipt_email": intent["receipt_email"],
        "shipping": intent["shipping"],
        "status": "succeeded" if paid else "failed",
        "_bypass_pending": card.number == "4000000000000077",
    })  # fmt: skip
    if paid:
        charge["receipt_url"] = f"{account.public_url}/c/receipt/{charge['id']}"
    emit(account, "charge.succeeded" if paid else "charge.failed", charge)
    return charge


def settle_charge(account: Account, charge: Json) -> None:
    """Book a paid charge; tells `charge.updated`."""
    transaction = book_charge(account, charge)
    previous = account.change(charge, balance_transaction=transaction["id"])
    emit_update(account, "charge.updated", charge, previous)


def _unset() -> Json:
    """The fields of a charge that have no value, or none yet."""
    names = (
        "application", "application_fee", "application_fee_amount", "balance_transaction",
        "failure_balance_transaction", "on_behalf_of", "receipt_number", "receipt_url", "review", "source",
        "source_transfer", "statement_descriptor", "statement_descriptor_suffix", "transfer_data", "transfer_group",
    )  # fmt: skip
    return dict.fromkeys(names) | {
        "amount_refunded": 0,
        "calculated_statement_descriptor": "PAYDESK SANDBOX",
        "disputed": False,
        "fraud_details": {},
        "radar_options": {},
        "refunded": False,
    }


def _outcome(decline: Decline | None) -> Json:
    outcome = {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": "Payment complete.",
        "type": "authorized",
    }
    if decline is None:
        return outcome
    return outcome | {
        "advice_code": decline.advice_code,
        "network_decline_code": decline.network_decline_code,
        "network_status": "declined_by_network",
        "reason": decline.decline_code or decline.code,
        "seller_message": "The bank did not return any further details with this decline.",
        "type": "issuer_declined",
    }


def _card_details(intent: Json, method: Json, *, paid: bool, authenticated: bool) -> Json:
    card = method["card"]
    checked = "pass" if paid else "fail"
    details = {
        name: card[name] for name in ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    }
    return details | {
        "amount_authorized": intent["amount"] if paid else None,
        "authorization_code": random_text(6).upper() if paid else None,
        "checks": {**card["checks"], "cvc_check": card["checks"]["cvc_check"] and checked},
        "electronic_commerce_indicator": "05" if authenticated else None,
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card["brand"],
        "network_token": {"used": False},
        "network_transaction_id": random_text(15) if paid else None,
        "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
        "regulated_status": card["regulated_status"],
        "three_d_secure": _three_d_secure() if authenticated else None,
        "transaction_link_id": None,
        "wallet": None,
    }


def _three_d_secure() -> Json:
    return {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": random_text(36).lower(),
        "version": "2.2.0",
    }


def _refunds_of(account: Account, charge: Json) -> Json:
    """The refunds of a charge, newest first, as `expand[]=refunds` shows them."""
    mine = [refund for refund in account.all("refund") if refund["charge"] == charge["id"]]
    return list_of(mine[::-1][:10], f"/v1/charges/{charge['id']}/refunds", has_more=len(mine) > 10)


INCLUDABLE["charge", "refunds"] = _refunds_of


def _retrieve(call: Call) -> Json:
    return call.account.get("charge", call.id, "id", status=404)


def _update(call: Call) -> Json:
    charge = call.account.get("charge", call.id, "id", status=404)
    values = {name: value for name, value in call.params.items() if name not in ("expand", "metadata")}
    if "metadata" in call.params:
        values["metadata"] = merged_metadata(charge["metadata"], call.params["metadata"])
    previous = call.account.change(charge, **values)
    emit_update(call.account, "charge.updated", charge, previous)
    return charge


def _list(call: Call) -> Json:
    keep = lists.same(call.params, "customer", "payment_intent", "transfer_group")
    return lists.page(call.account, "charge", call.params, "/v1/charges", keep)


OPERATIONS: list[Operation] = [
    listing("/v1/charges", _list, {"customer": text(), "payment_intent": text(), "transfer_group": text()}),
    get("/v1/charges/{id}", _retrieve),
    post("/v1/charges/{id}", _update, {"description": text(), "metadata": metadata, "receipt_email": email}),
]
