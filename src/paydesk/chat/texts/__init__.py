"""What Paydesk says: named templates with allowed placeholders.

A placeholder is a plain name in braces; values are put in as they are and never read as templates again, so braces,
mark-up or commands in a name do no harm. Channels escape for themselves.

Each text about an order stands alone, because it may take the place of the one before: it tells totals, not steps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from paydesk import money
from paydesk.channels.base import Button
from paydesk.chat.texts import channels, subscriptions

TEMPLATES = {
    "paid": "✅ Paid {amount}. {given}Reference {reference}.",
    "pending": "⏳ Your payment of {amount} is on its way. You will hear here as soon as it has arrived. Reference {reference}.",
    "payment_failed": "Your payment of {amount} did not go through: {reason} Nothing was charged, and the link still works.",
    "paid_twice": "You paid order {reference} twice. The second payment of {amount} is on its way back to you.",
    "refunded": "↩️ Refunded: {paid}, all of it. {taken}{now}Your bank may take some days to show it. Reference {reference}.",
    "refunded_in_part": "↩️ Refunded: {refunded} of {paid}. {taken}{now}Your bank may take some days to show it. "
    "Reference {reference}.",
    "refund_failed": "The refund of {amount} did not reach you, and we know of it. {restored}{now}Reference {reference}.",
    "disputed": "⏳ Your bank asks for {amount} back, and will decide. {held}{now}Reference {reference}.",
    "dispute_won": "Your bank has decided: the payment of {amount} stands. {restored}{now}Reference {reference}.",
    "dispute_lost": "Your bank has decided: {amount} is yours again. {taken}{now}Reference {reference}.",
    "low_balance": "You have {left} left. /buy gets you more.",
    "topup_failed": "Your automatic top-up could not be paid: {because} It is turned off now; /buy gets you more.",
    "topup_limit": "Your automatic top-up has reached its limit for this month. /buy gets you more.",
    "alert_topup_failed": "⚠️ An automatic top-up of {unit} failed and is turned off: {because} Customer {customer}.",
    "alert_topup_limit": "An automatic top-up of {unit} has reached its limit for this month. Customer {customer}.",
    "subscribed_twice": "You had subscribed to {name} twice. The second subscription has ended at once, and what you paid "
    "for it, {amount}, is on its way back to you. The first one goes on.",
    "alert_subscribed_twice": "⚠️ Subscribed twice: {subscription} of {name} has ended at once, and {amount} went back; "
    "{stays} goes on. Order {order}.",
    "alert_plan_change_failed": "⚠️ {subscription} could not change to {price} at the end of its period: {because} "
    "It stays as it is.",
    "pass_ended": "Your access to {feature} has ended. /buy brings it back.",
    "alert_fraud_warning": "⚠️ Early fraud warning ({cause}): {amount}, order {order}. A refund now may spare you a dispute.",
    "alert_dispute_opened": "⚠️ Dispute opened ({cause}): {amount}, order {order}. Evidence is due by {due}. {held}",
    "alert_inquiry_opened": "⚠️ A bank inquires ({cause}): {amount}, order {order}. Evidence is due by {due}.",
    "alert_dispute_won": "✅ Dispute won: {amount}, order {order}. {restored}",
    "alert_dispute_lost": "⚠️ Dispute lost: {amount}, order {order}. {taken}",
    "alert_refund_failed": "⚠️ Refund failed ({cause}): {amount}, order {order}. The buyer does not have the money; "
    "pay it back another way. {restored}",
    **subscriptions.TEMPLATES,
    **channels.TEMPLATES,
}
"""English is the language of the source; a translation is looked up by the English text."""

BUY_BUTTONS = {
    "pass_ended": "Buy again",
    "low_balance": "Buy more",
    "topup_failed": "Buy more",
    "topup_limit": "Buy more",
    "subscription_ended": "Subscribe again",
    "turned_away": "Buy",
}

PLAIN = ("feature", "name", "subscription", "stays", "price")
"""Parameters that stand in texts as they are."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def fill(template: str, values: Mapping[str, object]) -> str:
    """Return `template` with its placeholders filled; one that has no value stays empty."""
    return _PLACEHOLDER.sub(lambda found: str(values.get(found.group(1), "")), template)


def render(
    template: str, params: Mapping[str, Any], locale: str | None, link: str | None = None
) -> tuple[str, tuple[Button, ...]]:
    """Return the text and buttons of a message; `link` is where the order is paid that its `params` name.

    Raises `KeyError` for a template that does not exist.
    """
    values: dict[str, object] = {name: params.get(name, "") for name in PLAIN}
    values["because"] = _sentence(params.get("because", ""))
    if template in channels.TEMPLATES:
        values |= {name: params.get(name, "") for name in channels.PLAIN}
    if "amount" in params:
        values |= _of_order(params)
        if template == "refunded" and params.get("refunded", 0) < params.get("paid", 0):
            template = "refunded_in_part"
    if "unit" in params:
        values |= {"unit": params["unit"], "left": count(params.get("balance", 0), params["unit"]),
                   "customer": params.get("customer", "")}  # fmt: skip
    if "subscription" in params:
        values |= _of_subscription(params, values)
    return fill(TEMPLATES[template], values).strip(), _buttons(template, values, link)


def _buttons(template: str, values: Mapping[str, object], link: str | None) -> tuple[Button, ...]:
    if template in BUY_BUTTONS:
        return (Button(BUY_BUTTONS[template], command="/buy"),)
    if link is not None and template in subscriptions.BUTTONS:
        return (Button(fill(subscriptions.BUTTONS[template], values), url=link),)
    return ()


def _of_order(params: Mapping[str, Any]) -> dict[str, object]:
    """Return what texts about an order may name, in words."""
    grants, balances, debts = params.get("grants", ()), params.get("balances", {}), params.get("debts", {})
    currency = params["currency"]
    gone = _listed(grants, "whole", "worth")
    return {
        "amount": money.display(params["amount"], currency),
        "paid": money.display(params.get("paid", params["amount"]), currency),
        "refunded": money.display(params.get("refunded", 0), currency),
        "order": params["order"],
        "reference": short(params["order"]),
        "given": given(grants, balances, params.get("paid_off", {})) + _owed(debts),
        "now": _now(balances) + _owed(debts),
        "taken": f"Taken back: {gone}. " if gone else "",
        "held": f"Held back until then: {gone}. " if gone else "",
        "restored": f"Yours again: {back}. " if (back := _listed(grants, "worth", "before")) else "",
        "reason": _sentence(params.get("reason") or "the bank did not say why."),
        "cause": params.get("reason") or "no reason given",
        "due": _moment(params.get("due")),
    }


_MOMENTS = ("renews", "until", "trial_end", "resumes", "card_ends", "retry_at", "ends")


def _of_subscription(params: Mapping[str, Any], values: Mapping[str, object]) -> dict[str, object]:
    """Return what texts about a subscription may name, in words; `values` are those of its order."""
    price = params.get("price")
    own: dict[str, object] = {
        **values,
        **{name: params.get(name, "") for name in ("name", "subscription", "customer", "stripe_price")},
        **{name: _moment(params[name]) for name in _MOMENTS if params.get(name) is not None},
        "price": money.display(price, params["price_currency"]) if type(price) is int else price or "",
    }
    held = "on_hold" if params.get("over") else "kept" if "until" in own else None
    parts = {
        "paid_note": "paid_note" if params.get("amount") else None,
        "next": _next(own, ""),
        "next_of_name": _next(own, "name_"),
        "trial_note": _trial(own),
        "kept": held,
        "kept_by_them": {"on_hold": "on_hold_for_them", "kept": "kept_by_them", None: None}[held],
        "retry": "retry" if "retry_at" in own else None,
        "paused_note": "paused" if held == "kept" else held,
        "resumes_note": "resumes" if "resumes" in own else None,
    }
    return {**own, **{name: fill(subscriptions.PARTS[part], own) if part else "" for name, part in parts.items()}}


def _next(own: Mapping[str, object], begin: str) -> str | None:
    """Return which part says what comes next: a renewal, or the end."""
    if "renews" in own:
        return begin + ("renews_for" if own["price"] else "renews")
    return "ends" if "until" in own else None


def _trial(own: Mapping[str, object]) -> str | None:
    if "trial_end" not in own:
        return None
    if "renews" not in own:
        return "trial_stops"
    return "trial_for" if own["price"] else "trial"


def short(order: str) -> str:
    """Return an order's reference as people can read it to each other: eight characters."""
    return order.rpartition("_")[2][:8].upper()


def given(grants: Any, balances: Mapping[str, int], paid_off: Mapping[str, int] | None = None) -> str:
    """Return in words what an order gave, how much of it paid what was owed, and what the buyer has now."""
    parts = [_thing(grant, grant["worth"]) for grant in grants if grant["worth"]]
    if not parts:
        return "Thank you! "
    paid = _join([count(amount, unit) for unit, amount in sorted((paid_off or {}).items())])
    return f"You got {_join(parts)}. " + (f"That paid the {paid} you owed. " if paid else "") + _now(balances)


def count(number: int, unit: str) -> str:
    """Return a number of things in words: `1 credit`, `10 credits`."""
    name = unit[:-1] if number == 1 and unit.endswith("s") and len(unit) > 1 else unit
    return f"{number:,} {name}"


def _listed(grants: Any, more: str, less: str) -> str:
    """Return the difference between two worths of what was given, in words; nothing where there is none."""
    differences = ((grant, grant.get(more, 0) - grant.get(less, 0)) for grant in grants)
    return _join([_thing(grant, amount) for grant, amount in differences if amount > 0])


def _thing(grant: Mapping[str, Any], worth: int) -> str:
    """Return so much of what was given, in words: credits, the nearest days or hours of a pass, or the feature."""
    if grant["kind"] == "credits":
        return count(worth, grant["unit"])
    if grant["kind"] == "role":
        return f"a role on {grant['channel'].capitalize()}"
    if grant["kind"] == "member":
        return f"a place on {grant['channel'].capitalize()}"
    if grant["kind"] != "pass":
        return str(grant["feature"])
    days, hours = round(worth / 86_400), round(worth / 3600)
    return f"{count(days, 'days') if hours >= 24 else count(hours, 'hours')} of {grant['feature']}"


def _now(balances: Mapping[str, int]) -> str:
    has = _join([count(balance, unit) for unit, balance in sorted(balances.items())])
    return f"You now have {has}. " if has else ""


def _owed(debts: Mapping[str, int]) -> str:
    owed = _join([count(debt, unit) for unit, debt in sorted(debts.items()) if debt])
    return f"You owe {owed}; what comes in next pays that first. " if owed else ""


def _moment(iso: str | None) -> str:
    return "a day not told yet" if iso is None else f"{datetime.fromisoformat(iso):%-d %B %Y, %H:%M} UTC"


def _join(parts: list[str]) -> str:
    return "".join(parts) if len(parts) < 2 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
