"""What a customer has to their credit (below zero) or owes (above zero), and each change of it."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing, post
from .customers import CONSEQUENCES
from .errors import Json, invalid, no_such
from .events import emit
from .live_customers import live_customer
from .money import currency_code
from .params import Shape, integer, merged_metadata, metadata, text

_CREATE: Shape = {
    "amount": integer, "currency": text(3, clearable=False), "description": text(350), "metadata": metadata,
}  # fmt: skip


def move_balance(
    account: Account, customer: Json, amount_minor: int, currency: str, kind: str, *, invoice: str | None = None,
    description: str | None = None, metadata_given: Json | None = None, tell: bool = True,
) -> Json:  # fmt: skip
    """Change a customer's balance by an amount (negative is credit) and note why; tells the customer's update."""
    ending = customer["balance"] + amount_minor
    transaction = account.add("customer_balance_transaction", {
        "amount": amount_minor,
        "credit_note": None,
        "currency": currency,
        "customer": customer["id"],
        "customer_account": None,
        "checkout_session": None,
        "description": description,
        "ending_balance": ending,
        "invoice": invoice,
        "metadata": merged_metadata({}, metadata_given),
        "type": kind,
    })  # fmt: skip
    previous = account.change(customer, balance=ending, currency=customer["currency"] or currency)
    if tell:
        emit(account, "customer.updated", customer, previous)
    return transaction


def _create(call: Call) -> Json:
    customer = live_customer(call.account, call.id)
    currency = currency_code(call.params["currency"])
    if customer["currency"] not in (None, currency):
        raise invalid(f"The currency of the customer's balance is {customer['currency']}, not {currency}.", "currency")
    return move_balance(call.account, customer, call.params["amount"], currency, "adjustment",
                        description=call.params.get("description"),
                        metadata_given=call.params.get("metadata"))  # fmt: skip


def _retrieve(call: Call) -> Json:
    transaction = call.account.find("customer_balance_transaction", call.path["transaction"])
    if transaction is None or transaction["customer"] != call.id:
        raise no_such("customer balance transaction", call.path["transaction"], "transaction", 404)
    return transaction


def _update(call: Call) -> Json:
    transaction = _retrieve(call)
    values = {"description": call.params["description"]} if "description" in call.params else {}
    if "metadata" in call.params:
        values["metadata"] = merged_metadata(transaction["metadata"], call.params["metadata"])
    call.account.change(transaction, **values)
    return transaction


def _list(call: Call) -> Json:
    call.account.get("customer", call.id, "customer", status=404)
    url = f"/v1/customers/{call.id}/balance_transactions"
    return lists.page(call.account, "customer_balance_transaction", call.params, url,
                      lists.same({"customer": call.id, **call.params}, "customer", "invoice"))  # fmt: skip


def _adjust(account: Account, customer: Json, amount_minor: int) -> None:
    """`balance` set on the customer itself is noted as well."""
    move_balance(account, customer, amount_minor, customer["currency"] or "usd", "adjustment")


CONSEQUENCES["balance"] = _adjust
OPERATIONS: list[Operation] = [
    post("/v1/customers/{id}/balance_transactions", _create, _CREATE, ("amount", "currency")),
    listing("/v1/customers/{id}/balance_transactions", _list, {"invoice": text()}),
    get("/v1/customers/{id}/balance_transactions/{transaction}", _retrieve),
    post(
        "/v1/customers/{id}/balance_transactions/{transaction}",
        _update,
        {"description": text(350), "metadata": metadata},
    ),
]
