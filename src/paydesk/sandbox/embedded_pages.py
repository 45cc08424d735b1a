"""Checkout inside the seller's own page: `ui_mode` `embedded_page`, which Stripe.js shows in a frame.

Such a session has a client secret instead of an address. After payment Stripe.js goes to `return_url`, or tells the
page when `redirect_on_completion` leaves it where it is.
"""

from __future__ import annotations

from .errors import Json, missing_parameter, unreadable
from .ids import random_text
from .method_rules import REDIRECT, RULES

_WORDS = ("embedded", "embedded_page")


def is_embedded(session: Json) -> bool:
    """Whether a session is shown inside the seller's page."""
    return bool(session["ui_mode"] == "embedded_page")


def refuse_wrong_embedding(params: Json) -> None:
    """Refuse addresses that do not go with the kind of page, and the lack of those that it needs."""
    embedded = params.get("ui_mode") in _WORDS
    unfit = ("cancel_url", "success_url") if embedded else ("redirect_on_completion", "return_url")
    for name in unfit:
        if params.get(name):
            raise unreadable(
                f"You can not pass `{name}` when `ui_mode` is `{params.get('ui_mode', 'hosted_page')}`.", name
            )
    if not embedded:
        if not params.get("success_url"):
            raise missing_parameter("success_url")
    elif params.get("redirect_on_completion") == "never":
        _refuse_redirects(params)
    elif not params.get("return_url"):
        raise missing_parameter("return_url")


def _refuse_redirects(params: Json) -> None:
    if params.get("return_url"):
        raise unreadable("You can not pass `return_url` when `redirect_on_completion` is `never`.", "return_url")
    for name in params.get("allowed_payment_method_types") or params.get("payment_method_types") or []:
        if RULES[name].flow == REDIRECT:
            raise unreadable(f"The payment method `{name}` redirects, so it cannot be used when `redirect_on_completion` "
                             "is `never`.", "payment_method_types")  # fmt: skip


def embedded_fields(params: Json, session_id: str) -> Json:
    """The fields in which an embedded session differs; none for a hosted one."""
    if params.get("ui_mode") not in _WORDS:
        return {}
    return {
        "client_secret": f"{session_id}_secret_{random_text(48)}",
        "redirect_on_completion": params.get("redirect_on_completion", "always"),
        "return_url": params.get("return_url"),
        "ui_mode": "embedded_page",
        "url": None,
    }


def page_address(session: Json) -> str | None:
    """Where a bank's page leads back to: the hosted page, or the seller's; None for one that is never left."""
    return str(session["url"]) if session["url"] else return_address(session) if session.get("return_url") else None


def return_address(session: Json) -> str:
    """Where a buyer comes back to who had to leave the seller's page."""
    return str(session["return_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])
