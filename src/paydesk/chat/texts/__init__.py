"""What Paydesk says: named templates with allowed placeholders.

A placeholder is a plain name in braces; values are put in as they are and never read as templates again, so braces,
mark-up or commands in a name do no harm. Channels escape for themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from paydesk import money
from paydesk.channels.base import Button

TEMPLATES = {
    "paid": "✅ Paid {amount}. {given}Reference {reference}.",
    "pending": "⏳ Your payment of {amount} is on its way. You will hear here as soon as it has arrived. Reference {reference}.",
    "payment_failed": "Your payment of {amount} did not go through: {reason} Nothing was charged, and the link still works.",
    "paid_twice": "You paid order {reference} twice. The second payment of {amount} is on its way back to you.",
    "pass_ended": "Your access to {feature} has ended. /buy brings it back.",
}
"""English is the language of the source; a translation is looked up by the English text."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def fill(template: str, values: Mapping[str, object]) -> str:
    """Return `template` with its placeholders filled; one that has no value stays empty."""
    return _PLACEHOLDER.sub(lambda found: str(values.get(found.group(1), "")), template)


def render(template: str, params: Mapping[str, Any], locale: str | None) -> tuple[str, tuple[Button, ...]]:
    """Return the text and buttons of a message; raises `KeyError` for a template that does not exist."""
    values: dict[str, object] = {"feature": params.get("feature", "")}
    if "amount" in params:
        values["amount"] = money.display(params["amount"], params["currency"])
        values["reference"] = short(params["order"])
        values["given"] = given(params.get("grants", ()), params.get("balances", {}))
        values["reason"] = _sentence(params.get("reason") or "the bank did not say why.")
    buttons = (Button("Buy again", command="/buy"),) if template == "pass_ended" else ()
    return fill(TEMPLATES[template], values).strip(), buttons


def short(order: str) -> str:
    """Return an order's reference as people can read it to each other: eight characters."""
    return order.removeprefix("ord_")[:8].upper()


def given(grants: Any, balances: Mapping[str, int]) -> str:
    """Return in words what an order gave, and what the buyer has now."""
    parts = []
    for grant in grants:
        if grant["kind"] == "credits":
            parts.append(count(grant["worth"], grant["unit"]))
        elif grant["kind"] == "pass":
            parts.append(f"{count(grant['worth'] // 86_400, 'days')} of {grant['feature']}")
        else:
            parts.append(str(grant["feature"]))
    if not parts:
        return "Thank you! "
    has = " and ".join(count(balance, unit) for unit, balance in sorted(balances.items()))
    return f"You got {_join(parts)}. " + (f"You now have {has}. " if has else "")


def count(number: int, unit: str) -> str:
    """Return a number of things in words: `1 credit`, `10 credits`."""
    name = unit[:-1] if number == 1 and unit.endswith("s") and len(unit) > 1 else unit
    return f"{number:,} {name}"


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
