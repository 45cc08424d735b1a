"""Naming a customer in a parameter: what nearly every call that charges, bills or saves does first."""

from __future__ import annotations

from .accounts import Account
from .errors import Json


def live_customer(account: Account, customer_id: str, param: str = "customer") -> Json:
    """The customer that a parameter names; a deleted one does not exist."""
    customer = account.get("customer", customer_id, param)
    if customer.get("deleted"):
        account.get("customer", f"{customer_id} (deleted)", param)
    return customer
