"""Balance transactions: what a charge brings after fees, and what a refund takes."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing
from .errors import Json
from .params import choice, text

_FEE_SHARE_PER_MILLE = 29
_FEE_FIXED_MINOR = 30
_DISPUTE_FEE_MINOR = 1500
_CATEGORIES = {"payment": "charge", "payment_refund": "refund", "payment_failure_refund": "refund_failure"}
_TYPES = (
    "charge", "refund", "adjustment", "payment", "payment_refund", "refund_failure", "payment_failure_refund",
)  # fmt: skip
_SETTLES_AFTER_S = 2 * 24 * 3600


def book_charge(account: Account, charge: Json) -> Json:
    """The transaction of a paid charge, less a fee of 2.9 % + 30 (rounded half up)."""
    amount = charge["amount_captured"]
    fee = min(amount, (amount * _FEE_SHARE_PER_MILLE + 500) // 1000 + _FEE_FIXED_MINOR)
    detail = {
        "amount": fee, "application": None, "currency": charge["currency"], "description": "Stripe processing fees",
        "type": "stripe_fee",
    }  # fmt: skip
    at_once = charge["_bypass_pending"]
    kind = "charge" if charge["id"].startswith("ch_") else "payment"
    return _book(account, charge, amount, fee, [detail], kind, at_once=at_once)


def book_refund(account: Account, refund: Json) -> Json:
    """The transaction of a refund; the fee of the charge is not given back."""
    kind = "refund" if refund["charge"].startswith("ch_") else "payment_refund"
    return _book(account, refund, -refund["amount"], 0, [], kind, at_once=True)


def book_failed_refund(account: Account, refund: Json) -> Json:
    """The transaction that brings back the money of a refund that failed or was cancelled."""
    kind = "refund_failure" if refund["charge"].startswith("ch_") else "payment_failure_refund"
    return _book(account, refund, refund["amount"], 0, [], kind, at_once=True)


def book_dispute(account: Account, dispute: Json, *, withdrawn: bool) -> Json:
    """The transaction of a dispute: its amount and a fee of 15 leave; when won both come back."""
    sign = -1 if withdrawn else 1
    fee = -sign * _DISPUTE_FEE_MINOR
    detail = {
        "amount": fee, "application": None, "currency": dispute["currency"], "description": "Dispute fee",
        "type": "stripe_fee",
    }  # fmt: skip
    return _book(account, {**dispute, "description": f"Chargeback {'withdrawal' if withdrawn else 'reversal'} for "
                                                     f"{dispute['charge']}"},
                 sign * dispute["amount"], fee, [detail], "adjustment", at_once=True,
                 category="dispute" if withdrawn else "dispute_reversal")  # fmt: skip


def _book(
    account: Account, source: Json, amount: int, fee: int, details: list[Json], kind: str, *, at_once: bool,
    category: str = "",
) -> Json:  # fmt: skip
    transaction = account.add("balance_transaction", {
        "amount": amount,
        "available_on": account.clock.now_s() + (0 if at_once else _SETTLES_AFTER_S),
        "balance_type": "payments",
        "currency": source["currency"],
        "description": source.get("description"),
        "exchange_rate": None,
        "fee": fee,
        "fee_details": details,
        "net": amount - fee,
        "reporting_category": category or _CATEGORIES.get(kind, kind),
        "source": source["id"],
        "status": "available" if at_once else "pending",
        "type": kind,
    })  # fmt: skip
    del transaction["livemode"]  # this one object of Stripe's has no such field
    return transaction


def _retrieve(call: Call) -> Json:
    return _as_of_now(call, call.account.get("balance_transaction", call.id, "id", status=404))


def _list(call: Call) -> Json:
    keep = lists.same(call.params, "currency", "source", "type")
    page = lists.page(call.account, "balance_transaction", call.params, "/v1/balance_transactions", keep)
    return {**page, "data": [_as_of_now(call, row) for row in page["data"]]}


def _as_of_now(call: Call, transaction: Json) -> Json:
    available = transaction["available_on"] <= call.account.clock.now_s()
    return {**transaction, "status": "available" if available else "pending"}


OPERATIONS: list[Operation] = [
    listing("/v1/balance_transactions", _list,
            {"currency": text(3), "source": text(), "type": choice(*_TYPES)}),
    get("/v1/balance_transactions/{id}", _retrieve),
]  # fmt: skip
