"""Charges: one try to take money for a payment intent, whether it worked or not."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .balance import book_charge
from .calls import Call, Operation, get, listing, post
from .cards import Decline
from .errors import Json, invalid
from .events import emit, emit_update
from .exchange import share
from .ids import new_id, random_text
from .lists import list_of
from .live_customers import live_customer
from .local_methods import charge_details
from .methods import behaviour
from .params import SHIPPING, Shape, choice, email, fields, full_shipping, merged_metadata, metadata, text
from .present import INCLUDABLE


def add_charge(account: Account, intent: Json, method: Json, decline: Decline | None, *, authenticated: bool) -> Json:
    """Try to charge: the charge is `succeeded`, or `failed` with the decline. Tells the result.

    With manual capture the money is only held. The balance transaction follows with `settle_charge`, as Stripe's
    asynchronous capture has it.
    """
    paid = decline is None
    if method["type"] == "card":
        card = _card_details(intent, method, paid=paid, authenticated=authenticated)
        details = {"card": card, "type": "card"}
    else:
        details = charge_details(account, method)
    charge = _stored(account, intent, method, decline, details)
    if paid:
        charge["receipt_url"] = f"{account.public_url}/c/receipt/{charge['id']}"
    if paid and intent["capture_method"] == "automatic":
        charge["balance_transaction"] = book_charge(account, charge)["id"]
    emit(account, "charge.succeeded" if paid else "charge.failed", charge)
    return charge


def add_pending_charge(account: Account, intent: Json, method: Json) -> Json:
    """A debit that takes days: the charge is `pending` until `end_pending_charge`."""
    charge = _stored(account, intent, method, None, charge_details(account, method))
    account.change(charge, paid=False, status="pending")
    emit(account, "charge.pending", charge)
    return charge


def end_pending_charge(account: Account, charge: Json, decline: Decline | None) -> None:
    """The bank's answer to a debit: paid, or failed with the reason. Tells it."""
    if decline is None:
        account.change(charge, paid=True, status="succeeded",
                       receipt_url=f"{account.public_url}/c/receipt/{charge['id']}")  # fmt: skip
    else:
        account.change(charge, **_failure(decline), amount_captured=0, captured=False, status="failed")
    emit(account, "charge.succeeded" if decline is None else "charge.failed", charge)


def _failure(decline: Decline | None, risk: str = "normal") -> Json:
    """The fields that tell why a charge failed."""
    return {
        "failure_code": None if decline is None else decline.failure_code or decline.code,
        "failure_message": None if decline is None else decline.message,
        "outcome": _outcome(decline, risk),
    }


def _stored(account: Account, intent: Json, method: Json, decline: Decline | None, details: Json) -> Json:
    paid = decline is None
    captured = paid and intent["capture_method"] != "manual"
    card = behaviour(method) if method["type"] == "card" else None
    kind = "charge" if card else "payment"
    return account.add("charge", {
        **_unset(),
        **share(intent, intent["amount"], intent["amount"]),
        **_failure(decline, card.risk if card else "normal"),
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if captured else 0,
        "billing_details": method["billing_details"],
        "captured": captured,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "metadata": dict(intent["metadata"]),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": details,
        **{name: intent[name] for name in _TAKEN_OVER},
        "status": "succeeded" if paid else "failed",
        "_bypass_pending": card is not None and card.at_once,
    }, object_id=new_id(kind))  # fmt: skip


# What a charge has as its payment intent has it.
_TAKEN_OVER = (
    "receipt_email", "shipping", "source", "statement_descriptor", "statement_descriptor_suffix", "transfer_group",
)  # fmt: skip


def settle_charge(account: Account, charge: Json) -> None:
    """Book a paid charge, once its money is taken; tells `charge.updated`. One captured in step is booked already."""
    if not (charge["paid"] and charge["captured"]) or charge["balance_transaction"]:
        return
    transaction = book_charge(account, charge)
    previous = account.change(charge, balance_transaction=transaction["id"])
    emit_update(account, "charge.updated", charge, previous)


_RISK_SCORES = {"normal": 20, "elevated": 66, "highest": 92}


def _unset() -> Json:
    """The fields of a charge that have no value, or none yet."""
    names = (
        "application", "application_fee", "application_fee_amount", "balance_transaction",
        "failure_balance_transaction", "on_behalf_of", "receipt_number", "receipt_url", "review", "source_transfer",
        "transfer_data",
    )  # fmt: skip
    return dict.fromkeys(names) | {
        "amount_refunded": 0,
        "calculated_statement_descriptor": "PAYDESK SANDBOX",
        "disputed": False,
        "fraud_details": {},
        "radar_options": {},
        "refunded": False,
    }


def _outcome(decline: Decline | None, risk: str) -> Json:
    outcome = {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": risk,
        "risk_score": _RISK_SCORES[risk],
        "seller_message": "Payment complete.",
        "type": "authorized",
    }
    if decline is None:
        return outcome
    if decline.blocked:
        return outcome | {
            "network_status": "not_sent_to_network",
            "reason": "highest_risk_level",
            "seller_message": "Stripe blocked this payment as too risky.",
            "type": "blocked",
        }
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
    details = {
        name: card[name] for name in ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4")
    }
    return details | {
        "amount_authorized": intent["amount"] if paid else None,
        "authorization_code": random_text(6).upper() if paid else None,
        "checks": _checks(method, "pass" if paid else "fail"),
        "electronic_commerce_indicator": "05" if authenticated else None,
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "available" if _may_grow(intent) else "unavailable"},
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


def _checks(method: Json, cvc: str) -> Json:
    """What the bank says of the CVC and of the address, as far as they were given."""
    given, failing = method["card"]["checks"], behaviour(method).fails
    address = method["billing_details"]["address"]
    asked = {
        "address_line1_check": address["line1"] and "pass",
        "address_postal_code_check": address["postal_code"] and "pass",
        "cvc_check": given["cvc_check"] and cvc,
    }
    return {name: "fail" if result and name in failing else result for name, result in asked.items()}


def _may_grow(intent: Json) -> bool:
    """Whether the held amount may be raised: asked for by the seller, and only for money that is held."""
    options = intent["payment_method_options"].get("card") or {}
    return intent["capture_method"] == "manual" and options.get("request_incremental_authorization") == "if_available"


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


def _refunds(call: Call) -> Json:
    """All refunds of a charge: where the list that `expand[]=refunds` shows goes on."""
    charge = call.account.get("charge", call.id, "charge", status=404)
    return lists.page(call.account, "refund", call.params, f"/v1/charges/{charge['id']}/refunds",
                      lambda row: bool(row["charge"] == charge["id"]))  # fmt: skip


def _retrieve(call: Call) -> Json:
    return call.account.get("charge", call.id, "id", status=404)


def _update(call: Call) -> Json:
    charge = call.account.get("charge", call.id, "id", status=404)
    values = {name: value for name, value in call.params.items() if name not in ("expand", "metadata")}
    if "metadata" in call.params:
        values["metadata"] = merged_metadata(charge["metadata"], call.params["metadata"])
    if "customer" in values:
        live_customer(call.account, values["customer"])
        if charge["customer"] not in (None, values["customer"]):
            raise invalid("This charge already has a customer; it cannot be changed.", "customer")
    if values.get("shipping"):
        values["shipping"] = full_shipping(values["shipping"])
    if "fraud_details" in values:
        values["fraud_details"] = values["fraud_details"] or {}
    previous = call.account.change(charge, **values)
    emit_update(call.account, "charge.updated", charge, previous)
    return charge


def _list(call: Call) -> Json:
    keep = lists.same(call.params, "customer", "payment_intent", "transfer_group")
    return lists.page(call.account, "charge", call.params, "/v1/charges", keep)


_UPDATE: Shape = {
    "customer": text(clearable=False),
    "description": text(),
    "fraud_details": fields({"user_report": choice("fraudulent", "safe")}, ("user_report",)),
    "metadata": metadata,
    "receipt_email": email,
    "shipping": fields(SHIPPING, ("address", "name")),
    "transfer_group": text(),
}
OPERATIONS: list[Operation] = [
    listing("/v1/charges", _list, {"customer": text(), "payment_intent": text(), "transfer_group": text()}),
    get("/v1/charges/{id}", _retrieve),
    post("/v1/charges/{id}", _update, _UPDATE),
    listing("/v1/charges/{id}/refunds", _refunds),
]
