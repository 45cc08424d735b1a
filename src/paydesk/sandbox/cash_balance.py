"""A customer's cash balance: money that came by bank transfer, and the payment intents that it pays.

Unless the customer's settings say otherwise, what arrives goes to the oldest intent that waits for it; a part of what is
due is taken too (`payment_intent.partially_funded`). What nobody waits for stays, and is told as funds that are available.
"""

from __future__ import annotations

from . import lists
from .accounts import Account
from .bank_transfers import (
    BANK_TRANSFER,
    CURRENCIES,
    addresses,
    check_kind,
    checked_transfer,
    country_of,
    funded_by,
    instructions,
)
from .calls import Call, Operation, get, listing, post
from .confirming import STARTS, How
from .errors import Json, invalid, no_such
from .events import emit
from .ids import random_text
from .intent_parts import existing_intent, unexpected_state
from .live_customers import live_customer
from .method_rules import TRANSFER
from .money import currency_code
from .params import Kind, Shape, choice, fields, text, whole
from .payments import pay
from .present import INCLUDABLE
from .refunds import MADE_FOLLOWERS

_KIND = "customer_cash_balance_transaction"
_SETTINGS: Kind = fields({"reconciliation_mode": choice("automatic", "manual", "merchant_default")})


def shown_balance(account: Account, customer: Json) -> Json:
    """The object `cash_balance` of a customer; it has no id of its own."""
    mode = customer.get("_cash_mode")
    available = {currency: amount for currency, amount in customer.get("_cash", {}).items() if amount}
    return {
        "object": "cash_balance",
        "available": available or None,
        "customer": customer["id"],
        "customer_account": None,
        "livemode": False,
        "settings": {"reconciliation_mode": mode or "automatic", "using_merchant_default": mode is None},
    }


def _book(account: Account, customer: Json, amount: int, currency: str, kind: str, details: Json) -> Json:
    """Move a customer's cash balance by an amount and tell it."""
    ending = customer.get("_cash", {}).get(currency, 0) + amount
    account.change(customer, _cash={**customer.get("_cash", {}), currency: ending})
    row = account.add(_KIND, {
        "currency": currency,
        "customer": customer["id"],
        "customer_account": None,
        "ending_balance": ending,
        "net_amount": amount,
        "type": kind,
        kind: details,
    })  # fmt: skip
    emit(account, f"{_KIND}.created", row)
    return row


def _waiting(account: Account, customer: Json, currency: str) -> list[Json]:
    """The intents that wait for this customer's money, the oldest first."""
    return [
        row for row in account.all("payment_intent")
        if row["customer"] == customer["id"] and row["currency"] == currency and row.get("_transfer")
        and row["status"] == "requires_action"
    ]  # fmt: skip


def _reconcile(account: Account, customer: Json, currency: str) -> None:
    """Give what there is to the intents that wait for it; the rest is told as available."""
    if customer.get("_cash_mode") != "manual":
        for intent in _waiting(account, customer, currency):
            if customer["_cash"][currency] > 0:
                _apply(account, customer, intent, customer["_cash"][currency])
    if customer["_cash"][currency] > 0:
        emit(account, "cash_balance.funds_available", shown_balance(account, customer))


def _apply(account: Account, customer: Json, intent: Json, most: int) -> None:
    """Pay an intent out of the cash balance, with at most so much: whole, or a part that it keeps."""
    funded = intent.get("_funded", 0)
    part = min(most, intent["amount"] - funded)
    account.change(intent, _funded=funded + part)
    _book(account, customer, -part, intent["currency"], "applied_to_payment", {"payment_intent": intent["id"]})
    if funded + part == intent["amount"]:
        account.change(intent, _ticket=None, _transfer=None)
        method = account.get("payment_method", intent["payment_method"], "payment_method")
        pay(account, intent, method, authenticated=False)
        return
    _ask(account, intent)
    emit(account, "payment_intent.partially_funded", intent)


def _ask(account: Account, intent: Json) -> None:
    """Show on an intent what is still to be sent, and where to."""
    reference, remaining = intent["_reference"], intent["amount"] - intent.get("_funded", 0)
    url = f"{account.public_url}/c/transfer/{intent['_ticket']}"
    action = instructions(intent["_transfer"], intent["currency"], remaining, reference, url)
    account.change(intent, next_action=action)


def _start(account: Account, intent: Json, method: Json, how: How) -> None:
    """Confirm an intent with the cash balance: paid at once where there is enough, else it waits for a transfer."""
    if not intent["customer"]:
        raise invalid("A customer is required to pay with `customer_balance`.", "customer", "parameter_missing")
    known = {**(intent["payment_method_options"].get("customer_balance") or {}),
             **(how.options.get("customer_balance") or {})}  # fmt: skip
    customer = account.get("customer", intent["customer"], "customer")
    release_funds(account, intent)
    there = customer.get("_cash", {}).get(intent["currency"], 0)
    enough = there >= intent["amount"] and customer.get("_cash_mode") != "manual"
    transfer = known.get("bank_transfer") if enough else checked_transfer(known, intent["currency"])
    account.change(intent, status="requires_action", payment_method=method["id"], last_payment_error=None, _funded=0,
                   _transfer=transfer, _reference=random_text(12).upper(), _ticket=random_text(40))  # fmt: skip
    if enough:
        _apply(account, customer, intent, there)
        return
    _ask(account, intent)
    emit(account, "payment_intent.requires_action", intent)
    if there > 0 and customer.get("_cash_mode") != "manual":
        _apply(account, customer, intent, there)


def _fund(call: Call) -> Json:
    """Money arrives, as a test says it: `amount` in the smallest unit."""
    customer, currency = live_customer(call.account, call.id), currency_code(call.params["currency"])
    if currency not in CURRENCIES:
        raise invalid(f"The currency provided ({currency}) is invalid for bank transfers.", "currency")
    details = funded_by(currency, call.params.get("reference"))
    row = _book(call.account, customer, call.params["amount"], currency, "funded", details)
    _reconcile(call.account, customer, currency)
    return row


def _apply_call(call: Call) -> Json:
    """Pay an intent out of the cash balance where that does not happen by itself."""
    intent = existing_intent(call.account, "payment_intent", call.id)
    if intent["status"] != "requires_action" or not intent.get("_transfer"):
        raise unexpected_state(intent, "This PaymentIntent does not wait for funds of a customer's cash balance.")
    customer = call.account.get("customer", intent["customer"], "customer")
    there = customer.get("_cash", {}).get(intent["currency"], 0)
    amount = call.params.get("amount", min(there, intent["amount"] - intent["_funded"]))
    if str(call.params.get("currency", intent["currency"])).lower() != intent["currency"]:
        raise invalid(f"The currency must be that of the PaymentIntent ({intent['currency']}).", "currency")
    if not 0 < amount <= min(there, intent["amount"] - intent["_funded"]):
        raise invalid("The amount must be at most the funds that are available and the amount that remains.", "amount")
    _apply(call.account, customer, intent, amount)
    return intent


def _given_back(account: Account, refund: Json, charge: Json) -> None:
    """A refund of what was paid by bank transfer goes back to the cash balance."""
    if charge["payment_method_details"]["type"] == "customer_balance":
        customer = account.get("customer", charge["customer"], "customer")
        _book(
            account, customer, refund["amount"], refund["currency"], "refunded_from_payment", {"refund": refund["id"]}
        )


def release_funds(account: Account, intent: Json) -> None:
    """What a canceled intent had of the cash balance goes back to it."""
    if intent.get("_funded"):
        customer = account.get("customer", intent["customer"], "customer")
        funded = intent["_funded"]
        account.change(intent, _funded=0, _transfer=None)
        _book(account, customer, funded, intent["currency"], "unapplied_from_payment", {"payment_intent": intent["id"]})


def _balance(call: Call) -> Json:
    return shown_balance(call.account, call.account.get("customer", call.id, "customer", status=404))


def _update(call: Call) -> Json:
    customer = live_customer(call.account, call.id)
    mode = (call.params.get("settings") or {}).get("reconciliation_mode")
    if mode:
        call.account.change(customer, _cash_mode=None if mode == "merchant_default" else mode)
    return shown_balance(call.account, customer)


def _transactions(call: Call) -> Json:
    call.account.get("customer", call.id, "customer", status=404)
    url = f"/v1/customers/{call.id}/cash_balance_transactions"
    return lists.page(call.account, _KIND, call.params, url, lists.same({"customer": call.id}, "customer"))


def _transaction(call: Call) -> Json:
    row = call.account.find(_KIND, call.id)
    if row is None or row["customer"] != call.path["customer"]:
        raise no_such("cash balance transaction", call.id, "transaction", 404)
    return row


def _funding(call: Call) -> Json:
    """Where a customer may send money to at any time."""
    customer, currency = live_customer(call.account, call.id), currency_code(call.params["currency"])
    given = call.params["bank_transfer"]
    check_kind(given["type"], currency, "bank_transfer[type]")
    shown = {"country": country_of(given, currency), "financial_addresses": addresses(given, currency, customer["id"]),
             "type": given["type"]}  # fmt: skip
    return {"object": "funding_instructions", "bank_transfer": shown, "currency": currency,
            "funding_type": "bank_transfer", "livemode": False}  # fmt: skip


STARTS[TRANSFER] = _start
MADE_FOLLOWERS.append(_given_back)
INCLUDABLE["customer", "cash_balance"] = lambda account, row: shown_balance(
    account, account.get("customer", row["id"], "customer")
)
_AMOUNT: Shape = {"amount": whole(1), "currency": text(3, clearable=False)}
_FUNDING: Shape = {
    "bank_transfer": BANK_TRANSFER,
    "currency": text(3, clearable=False),
    "funding_type": choice("bank_transfer"),
}
OPERATIONS: list[Operation] = [
    get("/v1/customers/{id}/cash_balance", _balance),
    post("/v1/customers/{id}/cash_balance", _update, {"settings": _SETTINGS}),
    listing("/v1/customers/{id}/cash_balance_transactions", _transactions, dated=False),
    get("/v1/customers/{customer}/cash_balance_transactions/{id}", _transaction),
    post("/v1/customers/{id}/funding_instructions", _funding, _FUNDING, ("bank_transfer", "currency", "funding_type")),
    post("/v1/payment_intents/{id}/apply_customer_balance", _apply_call, _AMOUNT),
    post("/v1/test_helpers/customers/{id}/fund_cash_balance", _fund, {**_AMOUNT, "reference": text()},
         ("amount", "currency")),
]  # fmt: skip
