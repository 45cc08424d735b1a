"""Which methods there are, and where each may be used: one table, and the refusals that follow from it.

Change `RULES` when Stripe changes its mind; nothing else knows a method's currencies or modes.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import StripeError, invalid

# How the buyer's side of a method goes: a card form, a code and a banking app, a bank's page, a mandate, or money that is
# sent.
CARD, CODE, REDIRECT, DEBIT, TRANSFER = "card", "code", "redirect", "debit", "transfer"


@dataclass(frozen=True)
class Rule:
    """Where a method may be used. No currencies means every one; `future` are the allowed values of future use.
    `saved_as` is what a method becomes when it is kept, because it can itself be used only once."""

    flow: str
    name: str
    currencies: tuple[str, ...] = ()
    modes: tuple[str, ...] = ("payment",)
    future: tuple[str, ...] = ()
    manual_capture: bool = False
    refundable_days: int | None = None
    saved_as: str | None = None


RULES = {
    "card": Rule(CARD, "Card", (), ("payment", "setup", "subscription"), ("off_session", "on_session"), True),
    "link": Rule(CARD, "Link", (), ("payment", "setup", "subscription"), ("off_session", "on_session"), True),
    "blik": Rule(CODE, "BLIK", ("pln",)),
    "p24": Rule(REDIRECT, "Przelewy24", ("eur", "pln"), refundable_days=180),
    "ideal": Rule(
        REDIRECT, "iDEAL", ("eur",), ("payment", "setup", "subscription"), ("off_session",), refundable_days=180,
        saved_as="sepa_debit",
    ),
    "sepa_debit": Rule(
        DEBIT, "SEPA Direct Debit", ("eur",), ("payment", "setup", "subscription"), ("off_session", "on_session"),
        refundable_days=180,
    ),
    # Of payment intents alone: the pages here do not take it.
    "customer_balance": Rule(TRANSFER, "Bank transfer", ("eur", "gbp", "jpy", "mxn", "usd"), ()),
}  # fmt: skip
TYPES = tuple(RULES)
PAGE_TYPES = tuple(name for name, rule in RULES.items() if rule.modes)


def check_currency(types: list[str], currency: str, param: str = "payment_method_types") -> None:
    """Refuse a method that cannot take this currency."""
    for name in types:
        allowed = RULES[name].currencies
        if allowed and currency not in allowed:
            listed = ", ".join(f"`{code}`" for code in allowed)
            raise invalid(
                f"The currency provided ({currency}) is invalid. Payments with {name} support the following "
                f"currencies: {listed}.",
                param,
            )


def check_mode(types: list[str], mode: str, param: str = "payment_method_types") -> None:
    """Refuse a method that cannot be used in a Checkout session of this mode."""
    for name in types:
        if mode not in RULES[name].modes:
            raise invalid(f"The payment method `{name}` cannot be used in `{mode}` mode.", param)


def check_setup(types: list[str]) -> None:
    """Refuse a method that a setup intent cannot save."""
    for name in types:
        if "setup" not in RULES[name].modes:
            raise invalid(f"The payment method type \"{name}\" cannot be set up for future payments.",
                          "payment_method_types")  # fmt: skip


def check_future(types: list[str], usage: str | None, param: str = "setup_future_usage") -> None:
    """Refuse to save a method that can be used only once."""
    for name in types:
        if usage and usage not in RULES[name].future:
            raise invalid(f"The payment method type `{name}` does not support `setup_future_usage` `{usage}`.", param)


def check_capture(types: list[str], capture_method: str | None) -> None:
    """Refuse manual capture for methods that take the money at once."""
    for name in types:
        if capture_method == "manual" and not RULES[name].manual_capture:
            raise invalid(
                f"The payment method type `{name}` does not support `capture_method` `manual`.", "capture_method"
            )


def not_allowed(kind: str, types: list[str], noun: str = "PaymentIntent") -> StripeError:
    """The refusal of a payment method whose type the intent does not take."""
    listed = ", ".join(types)
    return invalid(
        f"The PaymentMethod provided ({kind}) is not allowed for this {noun}. Please attach a PaymentMethod of "
        f"one of the following types: {listed}. Alternatively update the allowed payment_method_types for this "
        f"{noun} to include \"{kind}\".",
        "payment_method",
    )  # fmt: skip
