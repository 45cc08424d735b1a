"""Early fraud warnings: the issuer of a card suspects a payment before anybody disputes it."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing
from .errors import Json
from .events import emit
from .later import DEEDS
from .params import text


def add_warning(account: Account, charge_id: str) -> Json:
    """The issuer warns of a charge; told."""
    charge = account.get("charge", charge_id, "charge")
    warning = account.add("radar.early_fraud_warning", {
        "actionable": not charge["refunded"],
        "charge": charge["id"],
        "fraud_type": "made_with_stolen_card",
        "payment_intent": charge["payment_intent"],
    })  # fmt: skip
    emit(account, "radar.early_fraud_warning.created", warning)
    return warning


def _warn_by_itself(account: Account, charge_id: str) -> None:
    add_warning(account, charge_id)


def _retrieve(call: Call) -> Json:
    return call.account.get("radar.early_fraud_warning", call.id, "early_fraud_warning", status=404)


def _list(call: Call) -> Json:
    keep = lists.same(call.params, "charge", "payment_intent")
    return lists.page(call.account, "radar.early_fraud_warning", call.params, "/v1/radar/early_fraud_warnings", keep)


DEEDS["fraud_warning"] = _warn_by_itself
OPERATIONS: list[Operation] = [
    listing("/v1/radar/early_fraud_warnings", _list, {"charge": text(), "payment_intent": text()}),
    get("/v1/radar/early_fraud_warnings/{id}", _retrieve),
]
