"""Tokens that were made of a card: each can be used once."""

from __future__ import annotations

from .accounts import Account
from .errors import Json, StripeError, no_such


def add_token(account: Account, card: Json) -> Json:
    """A token that nobody has used yet; `card` is the object that it shows."""
    return account.add("token", {"card": card, "client_ip": "127.0.0.1", "type": "card", "used": False})


def spent(account: Account, token_id: str, param: str) -> Json:
    """The token with this id, used from now on; one that is unknown or used already is refused."""
    token = account.find("token", token_id)
    if token is None:
        raise no_such("token", token_id, param)
    if token["used"]:
        raise StripeError(
            f"You cannot use a Stripe token more than once: {token_id}.", code="token_already_used", param=param
        )
    account.change(token, used=True)
    return token
