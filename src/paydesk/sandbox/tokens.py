"""Tokens: a card on its way to become the source of a charge or of a customer, or a payment method.

The ready names (`tok_visa`) are tokens that never wear out; `cards.py` knows them.
"""

from __future__ import annotations

from .calls import Call, Operation, get, post
from .card_tokens import add_token
from .cards import card_of_token
from .errors import Json, invalid
from .ids import new_id
from .methods import add_card, checked_card, method_of_token
from .params import Shape, fields, integer, text
from .source_cards import OWNER, billing_of, card_view

_CARD: Shape = {
    **OWNER,
    "currency": text(3),
    "cvc": text(8),
    "exp_month": integer,
    "exp_year": integer,
    "number": text(40, clearable=False),
}


def _create(call: Call) -> Json:
    given = call.params.get("card")
    if not given:
        raise invalid(
            "You must supply either a card, customer, PII data, bank account, or account to create a token.", None,
            "parameter_missing",
        )  # fmt: skip
    card, expiry, cvc = checked_card(call.account, given)
    billing = {"billing_details": billing_of(given)}
    method = add_card(call.account, card, expiry, has_cvc=bool(cvc), given=billing, object_id=new_id("card"))
    return add_token(call.account, card_view(method))


def _retrieve(call: Call) -> Json:
    """A token; one of the ready names gives a fresh token of its card."""
    if call.id.startswith("tok_") and card_of_token(call.id) is not None:
        return add_token(call.account, card_view(method_of_token(call.account, call.id)))
    return call.account.get("token", call.id, "token", status=404)


OPERATIONS: list[Operation] = [
    post("/v1/tokens", _create, {"card": fields(_CARD, ("exp_month", "exp_year", "number"))}),
    get("/v1/tokens/{id}", _retrieve),
]
