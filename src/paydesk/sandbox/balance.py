"""Balance transactions: what a charge brings after fees, and what a refund takes."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing
from .errors import Json
from .exchange import exchanged, rate
from .params import text

_FEE_SHARE_PER_MILLE = 29
_FEE_FIXED_MINOR = 30
_DISPUTE_FEE_MINOR = 1500
_CATEGORIES = {"payment": "charge", "payment_refund": "refund", "payment_failure_refund": "refund_failure"}
_SETTLES_AFTER_S = 2 * 24 * 3600


def book_charge(account: Account, charge: Json) -> Json:
    """The transaction of a paid charge, less a fee of 2.9 % + 30 (rounded half up)."""
    amount, currency, at_rate = _settled(account, charge["amount_captured"], charge["currency"])
    fee = min(amount, (amount * _FEE_SHARE_PER_MILLE + 500) // 1000 + _FEE_FIXED_MINOR)
    kind = "charge" if charge["id"].startswith("ch_") else "payment"
    booking = Booking(amount, currency, at_rate, kind, fee, "Stripe processing fees", at_once=charge["_bypass_pending"])
    return _book(account, charge, booking)


def book_refund(account: Account, refund: Json) -> Json:
    """The transaction of a refund; the fee of the charge is not given back."""
    kind = "refund" if refund["charge"].startswith("ch_") else "payment_refund"
    return _book(account, refund, Booking(*_settled(account, -refund["amount"], refund["currency"]), kind))


def book_failed_refund(account: Account, refund: Json) -> Json:
    """The transaction that brings back the money of a refund that failed or was cancelled."""
    kind = "refund_failure" if refund["charge"].startswith("ch_") else "payment_failure_refund"
    return _book(account, refund, Booking(*_settled(account, refund["amount"], refund["currency"]), kind))


def book_dispute(account: Account, dispute: Json, *, withdrawn: bool) -> Json:
    """The transaction of a dispute: its amount and a fee of 15 leave; when won both come back."""
    sign, word = (-1, "withdrawal") if withdrawn else (1, "reversal")
    settled = _settled(account, sign * dispute["amount"], dispute["currency"])
    booking = Booking(*settled, "adjustment", -sign * _DISPUTE_FEE_MINOR, "Dispute fee",
                      category="dispute" if withdrawn else "dispute_reversal")  # fmt: skip
    return _book(account, {**dispute, "description": f"Chargeback {word} for {dispute['charge']}"}, booking)


@dataclass(frozen=True)
class Booking:
    """What a transaction moves: an amount and a fee in the smallest unit of the currency that the seller is paid in."""

    amount: int
    currency: str
    exchange_rate: Decimal | None
    kind: str
    fee: int = 0
    fee_for: str = ""
    at_once: bool = True
    category: str = ""


def _settled(account: Account, amount: int, currency: str) -> tuple[int, str, Decimal | None]:
    """Amount, currency and rate as the seller is paid: exchanged when the sandbox is set to pay in one currency."""
    target = account.settings.settlement_currency
    at_rate = rate(currency, target) if target and target != currency else None
    if at_rate is None:
        return amount, currency, None
    return exchanged(amount, currency, target, at_rate), target, at_rate


def _book(account: Account, source: Json, booking: Booking) -> Json:
    details = [{
        "amount": booking.fee, "application": None, "currency": booking.currency, "description": booking.fee_for,
        "type": "stripe_fee",
    }]  # fmt: skip
    transaction = account.add("balance_transaction", {
        "amount": booking.amount,
        "available_on": account.clock.now_s() + (0 if booking.at_once else _SETTLES_AFTER_S),
        "balance_type": "payments",
        "currency": booking.currency,
        "description": source.get("description"),
        "exchange_rate": None if booking.exchange_rate is None else float(booking.exchange_rate),
        "fee": booking.fee,
        "fee_details": details if booking.fee_for else [],
        "net": booking.amount - booking.fee,
        "reporting_category": booking.category or _CATEGORIES.get(booking.kind, booking.kind),
        "source": source["id"],
        "status": "available" if booking.at_once else "pending",
        "type": booking.kind,
    })  # fmt: skip
    del transaction["livemode"]  # this one object of Stripe's has no such field
    return transaction


def _retrieve(call: Call) -> Json:
    return _as_of_now(call, call.account.get("balance_transaction", call.id, "id", status=404))


def _list(call: Call) -> Json:
    keep = lists.same(call.params, "currency", "payout", "source", "type")
    page = lists.page(call.account, "balance_transaction", call.params, "/v1/balance_transactions", keep)
    return {**page, "data": [_as_of_now(call, row) for row in page["data"]]}


def _balance(call: Call) -> Json:
    """What the account has by currency: what can be paid out, and what is on its way."""
    sums: dict[str, dict[str, int]] = {"available": {}, "pending": {}}
    for transaction in call.account.all("balance_transaction"):
        row = _as_of_now(call, transaction)
        known = sums[row["status"]]
        known[row["currency"]] = known.get(row["currency"], 0) + row["net"]
    currencies = sorted({*sums["available"], *sums["pending"]}) or [call.account.settings.settlement_currency or "usd"]
    parts = {name: [_part(known.get(currency, 0), currency) for currency in currencies] for name, known in sums.items()}
    return {"object": "balance", "livemode": False, **parts}


def _part(amount: int, currency: str) -> Json:
    return {"amount": amount, "currency": currency, "source_types": {"card": amount}}


def _as_of_now(call: Call, transaction: Json) -> Json:
    available = transaction["available_on"] <= call.account.clock.now_s()
    return {**transaction, "status": "available" if available else "pending"}


OPERATIONS: list[Operation] = [
    get("/v1/balance", _balance),
    listing("/v1/balance_transactions", _list,
            {"currency": text(3), "payout": text(), "source": text(), "type": text()}),
    get("/v1/balance_transactions/{id}", _retrieve),
]  # fmt: skip
