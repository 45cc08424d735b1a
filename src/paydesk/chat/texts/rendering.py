"""From what the outbox holds to the text and buttons of a message, in a language. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paydesk import money
from paydesk.channels.base import Button
from paydesk.chat.texts import parts
from paydesk.chat.texts.words import TEMPLATES, Words, one_line

NAMES = (
    "name", "subscription", "stays", "price", "customer", "stripe_price", "channel", "resource", "mend", "number", "what",
    "taken_number", "given_number", "url", "plan",
)  # fmt: skip
"""Parameters that stand in texts as they are."""

MOMENTS = ("renews", "until", "trial_end", "resumes", "card_ends", "retry_at", "ends")


def render(
    words: Words, template: str, params: Mapping[str, Any], link: str | None = None
) -> tuple[str, tuple[Button, ...]]:
    """Return the text and buttons of a message; `link` is where what its `params` name is paid or managed.

    Raises `KeyError` for a template that does not exist.
    """
    if template not in TEMPLATES:
        raise KeyError(template)
    values: dict[str, object] = {name: one_line(_known(params, name)) for name in NAMES}
    values["feature"] = words.feature(params.get("feature", ""))
    values["because"] = words.sentence(params.get("because", ""))
    if "amount" in params:
        values |= _of_order(words, params)
        if template == "refunded" and params.get("refunded", 0) < params.get("paid", 0):
            template = "refunded_in_part"
        elif template == "refunded" and params["currency"] in money.THEIRS:  # no bank has a part in it
            template = "refunded_there"
        elif template == "dispute_won" and params.get("refunded", 0) > 0:
            template = "dispute_won_refunded"
    if "unit" in params:
        values |= {"unit": params["unit"], "left": words.count(params.get("balance", 0), params["unit"])}
    if "subscription" in params:
        values |= _of_subscription(words, params, values)
    again = () if not params.get("again") else (Button(words.button("button_try_again"), command=params["again"]),)
    return words.say_with(template, values).strip(), (*_buttons(words, template, values, link), *again)


def _known(params: Mapping[str, Any], name: str) -> object:
    """Return a parameter, nothing where it is not known; a zero is known."""
    value = params.get(name)
    return "" if value is None else value


def _buttons(words: Words, template: str, values: Mapping[str, object], link: str | None) -> tuple[Button, ...]:
    if template in parts.WAYS_IN:
        return (Button(words.button(parts.WAYS_IN[template]), url=str(values["url"])),) if values["url"] else ()
    if template in parts.OF_MESSAGES:
        return (Button(words.button(parts.OF_MESSAGES[template]), command="/buy"),)
    if link is not None and template in parts.PAY_BUTTONS:
        return (Button(words.button(parts.PAY_BUTTONS[template], amount=values.get("amount", "")), url=link),)
    return ()


def _of_order(words: Words, params: Mapping[str, Any]) -> dict[str, object]:
    """Return what texts about an order may name, in words."""
    grants, balances, debts = params.get("grants", ()), params.get("balances", {}), params.get("debts", {})
    currency = params["currency"]
    gone, back = _listed(words, grants, "whole", "worth"), _listed(words, grants, "worth", "before")
    held = _listed(words, grants, "before", "worth")  # what had gone back before is not held back
    owed = _owed(words, debts)
    return {
        "amount": words.money(params["amount"], currency),
        "paid": words.money(params.get("paid", params["amount"]), currency),
        "refunded": words.money(params.get("refunded", 0), currency),
        "order": params["order"],
        "reference": short(params["order"]),
        "given": given(words, grants, balances, params.get("paid_off", {})) + owed,
        "now": _now(words, balances) + owed,
        "taken": _part(words, "part_taken", things=gone) if gone else "",
        "held": _part(words, "part_held", things=held) if held else "",
        "restored": _part(words, "part_restored", things=back) if back else "",
        "reason": words.sentence(params.get("reason") or words.say("no_reason")),
        "cause": one_line(params.get("reason") or words.say("no_cause")),
        "due": words.moment(params.get("due")),
    }


def _of_subscription(words: Words, params: Mapping[str, Any], values: Mapping[str, object]) -> dict[str, object]:
    """Return what texts about a subscription may name, in words; `values` are those of its order."""
    price = params.get("price")
    own: dict[str, object] = {
        **values,
        **{name: words.moment(params[name]) for name in MOMENTS if params.get(name) is not None},
        "price": words.money(price, params["price_currency"]) if type(price) is int else one_line(price or ""),
    }
    held = "part_on_hold" if params.get("over") else "part_kept" if "until" in own else None
    by_them = {"part_on_hold": "part_on_hold_for_them", "part_kept": "part_kept_by_them", None: None}
    named = {
        "paid_note": "part_paid" if params.get("amount") else None,
        "next": _next(own, "part_"),
        "next_of_name": _next(own, "part_name_"),
        "trial_note": _trial(own),
        "plan_note": ("part_changes_to" if own["plan"] else "part_changes") if "renews" in own else None,
        "kept": held,
        "on_hold": "part_on_hold" if held == "part_on_hold" else None,
        "kept_by_them": by_them[held],
        "retry": "part_retry" if "retry_at" in own else None,
        "paused_note": "part_paused" if held == "part_kept" else held,
        "resumes_note": "part_resumes" if "resumes" in own else None,
    }
    return {**own, **{name: _part(words, part, **own) if part else "" for name, part in named.items()}}


def _next(own: Mapping[str, object], begin: str) -> str | None:
    """Return which part says what comes next: a renewal, or the end."""
    if "renews" in own:
        return begin + ("renews_for" if own["price"] else "renews")
    return "part_ends" if "until" in own else None


def _trial(own: Mapping[str, object]) -> str | None:
    if "trial_end" not in own:
        return None
    if "renews" not in own:
        return "part_trial_stops"
    return "part_trial_for" if own["price"] else "part_trial"


def short(order: str) -> str:
    """Return an order's reference as people can read it to each other: eight characters."""
    return order.rpartition("_")[2][:8].upper()


def given(words: Words, grants: Any, balances: Mapping[str, int], paid_off: Mapping[str, int] | None = None) -> str:
    """Return in words what an order gave, how much of it paid what was owed, and what the buyer has now."""
    things = [words.thing(grant, grant["worth"]) for grant in grants if grant["worth"]]
    if not things:
        return _part(words, "part_thanks")
    paid = _part(words, "part_paid_off", amount=words.counts(paid_off)) if paid_off else ""
    return _part(words, "part_given", things=words.join(things)) + paid + _now(words, balances)


def _part(words: Words, part: str, /, **values: object) -> str:
    """Return a part of a text with the space that follows it."""
    return f"{words.say_with(part, values)} "


def _listed(words: Words, grants: Any, more: str, less: str) -> str:
    """Return the difference between two worths of what was given, in words; nothing where there is none."""
    differences = ((grant, grant.get(more, 0) - grant.get(less, 0)) for grant in grants)
    return words.join(words.thing(grant, amount) for grant, amount in differences if amount > 0)


def _now(words: Words, balances: Mapping[str, int]) -> str:
    return _part(words, "part_now", amount=words.counts(balances)) if balances else ""


def _owed(words: Words, debts: Mapping[str, int]) -> str:
    owed = words.counts({unit: debt for unit, debt in debts.items() if debt})
    return _part(words, "part_owed", amount=owed) if owed else ""
