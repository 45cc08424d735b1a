"""Mandates: the buyer's word that an account may be debited."""

from __future__ import annotations

from .accounts import Account
from .calls import Call, Operation, get
from .errors import Json, StripeError
from .ids import random_text
from .params import Shape, choice, fields, integer, text

_ACCEPTANCE: Shape = {
    "accepted_at": integer,
    "offline": fields({}),
    "online": fields({"ip_address": text(), "user_agent": text()}, ("ip_address", "user_agent")),
    "type": choice("offline", "online"),
}
MANDATE_DATA = fields({"customer_acceptance": fields(_ACCEPTANCE, ("type",))}, ("customer_acceptance",), clearable=True)


def mandate_for(account: Account, method: Json, given: Json | None, *, single_use: Json | None = None) -> Json | None:
    """The mandate of a bank account: the one it has, or a new one as `mandate_data` describes it; None for others.

    `single_use` is amount and currency when the account is to be debited once. Without word of the buyer: refused.
    """
    if method["type"] != "sepa_debit":
        return None
    known = account.find("mandate", method.get("_mandate") or "")
    if known is not None and (known["type"] == "multi_use" or given is None):
        return known
    if given is None:
        raise StripeError(
            "This payment method needs a mandate. Provide `mandate_data`, or confirm with a payment method whose "
            "mandate is active.",
            code="parameter_missing",
            param="mandate_data",
        )
    return _added(account, method, given["customer_acceptance"], single_use)


def _added(account: Account, method: Json, acceptance: Json, single_use: Json | None) -> Json:
    mandate = account.add("mandate", {
        "customer_acceptance": _acceptance(account, acceptance),
        "multi_use": None if single_use else {},
        "payment_method": method["id"],
        "payment_method_details": {
            "sepa_debit": {"reference": random_text(16).upper(), "url": f"{account.public_url}/c/mandate"},
            "type": "sepa_debit",
        },
        "single_use": single_use,
        "status": "active",
        "type": "single_use" if single_use else "multi_use",
    })  # fmt: skip
    if not single_use:
        del mandate["single_use"]
    else:
        del mandate["multi_use"]
    del mandate["created"]  # a mandate of Stripe's has no such field
    account.change(method, _mandate=mandate["id"])
    return mandate


def _acceptance(account: Account, given: Json) -> Json:
    kind = given["type"]
    blank = {"ip_address": None, "user_agent": None} if kind == "online" else {}
    return {"accepted_at": given.get("accepted_at", account.clock.now_s()), kind: {**blank, **(given.get(kind) or {})},
            "type": kind}  # fmt: skip


def _retrieve(call: Call) -> Json:
    return call.account.get("mandate", call.id, "mandate", status=404)


OPERATIONS: list[Operation] = [get("/v1/mandates/{id}", _retrieve)]
