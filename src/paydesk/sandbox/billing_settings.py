"""What an account has settled about billing: retries of failed renewals, and what is told before and after a due date.

By default there are eight further tries within two weeks of the first failure, then the subscription is canceled. A
renewal is told seven days before. `/_sandbox/billing` changes all of it for one account.
"""

from __future__ import annotations

from typing import Any

from .accounts import Account
from .errors import Json

INVOICE_OUTCOMES = ("open", "uncollectible")
OUTCOMES = ("canceled", "unpaid", "past_due", "paused")
_DEFAULTS: Json = {
    "after_retries": "canceled",
    "invoice_after_retries": "open",
    "overdue_days": 0,
    "retry_days": [1, 2, 3, 5, 7, 9, 11, 14],
    "upcoming_days": 7,
    "will_be_due_days": 3,
}
_MOST_DAYS = {"overdue_days": 90, "upcoming_days": 45, "will_be_due_days": 90}


def rules(account: Account) -> Json:
    """`retry_days` after the first failure; the status `after_retries` of the subscription, and that of its invoice,
    `invoice_after_retries`; and when `invoice.upcoming`, `invoice.will_be_due` and `invoice.overdue` are told: so many
    days before or after; None for never."""
    row = account.find("_account", account.id) or {}
    return {**_DEFAULTS, **(row.get("_billing") or {})}


def set_rules(account: Account, given: dict[str, Any]) -> Json:
    """Change the rules of an account; ValueError says what is wrong."""
    unknown = set(given) - set(_DEFAULTS)
    if unknown:
        raise ValueError(f"There is no setting {min(unknown)!r}; there are {', '.join(_DEFAULTS)}.")
    if given.get("after_retries", OUTCOMES[0]) not in OUTCOMES:
        raise ValueError(f"after_retries is one of {', '.join(OUTCOMES)}.")
    if given.get("invoice_after_retries", INVOICE_OUTCOMES[0]) not in INVOICE_OUTCOMES:
        raise ValueError(f"invoice_after_retries is one of {', '.join(INVOICE_OUTCOMES)}.")
    days = given.get("retry_days", [])
    whole = isinstance(days, list) and all(_is_days(day) and 0 < day <= 62 for day in days)
    if not whole or days != sorted(days):
        raise ValueError("retry_days is a list of rising numbers of days after the first failure, at most 62.")
    for name, most in _MOST_DAYS.items():
        value = given.get(name)
        if value is not None and not (_is_days(value) and 0 <= value <= most):
            raise ValueError(f"{name} is a number of days from 0 to {most}, or null for never.")
    row = account.get("_account", account.id, "account")
    account.change(row, _billing={**(row.get("_billing") or {}), **given})
    return rules(account)


def _is_days(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
