"""Parts that subscriptions, their schedules, invoices and Checkout have in common: what is printed, how is paid, tax.

No tax is computed here. `automatic_tax` is answered as Stripe answers an account that has no tax registration: it is
enabled, and the tax is zero.
"""

from __future__ import annotations

from .errors import Json
from .params import Kind, Shape, choice, fields, flag, items, text

_THREE_D_SECURE = choice("any", "automatic", "challenge")
_OTHER_METHODS = (
    "acss_debit", "bancontact", "billie", "blik", "customer_balance", "konbini", "payto", "pix", "sepa_debit", "upi",
    "us_bank_account",
)  # fmt: skip

ISSUER: Kind = fields({"type": choice("self")}, ("type",))
CUSTOM_FIELDS: Kind = items(fields({"name": text(40), "value": text(140)}, ("name", "value")), 4)
AUTOMATIC_TAX: Kind = fields({"enabled": flag, "liability": ISSUER}, ("enabled",))
INVOICE_SETTINGS: Shape = {
    "custom_fields": CUSTOM_FIELDS, "description": text(1500), "footer": text(5000), "issuer": ISSUER,
}  # fmt: skip
METHOD_OPTIONS: Kind = fields({"card": fields({"request_three_d_secure": _THREE_D_SECURE}, clearable=True)})
PAYMENT_SETTINGS: Shape = {"payment_method_options": METHOD_OPTIONS, "payment_method_types": items(text(), 20)}


def invoice_settings(old: Json | None, given: Json | None) -> Json:
    """The field `invoice_settings` after an update; without an old one, that of something new."""
    blank = {
        "account_tax_ids": None, "custom_fields": None, "description": None, "footer": None, "issuer": {"type": "self"},
    }  # fmt: skip
    merged = {**blank, **(old or {}), **(given or {})}
    return {**merged, "custom_fields": merged["custom_fields"] or None}


def payment_settings(old: Json | None, given: Json | None) -> Json:
    """The field `payment_settings` of a subscription after an update."""
    blank = {
        "payment_method_options": None, "payment_method_types": None, "save_default_payment_method": "off",
    }  # fmt: skip
    merged = {**blank, **(old or {}), **(given or {})}
    if (given or {}).get("payment_method_options"):
        card: Json = {"mandate_options": None, "network": None, "request_three_d_secure": None}
        merged["payment_method_options"] = _options(merged["payment_method_options"], card)
    return {**merged, "payment_method_types": merged["payment_method_types"] or None}


def invoice_payment_settings(given: Json | None) -> Json:
    """The field `payment_settings` of an invoice, from its own parameters or from those of its subscription."""
    known = given or {}
    options = known.get("payment_method_options")
    card: Json = {"installments": {"enabled": False}, "request_three_d_secure": None}
    return {
        "default_mandate": None,
        "payment_method_options": _options(options, card) if options else None,
        "payment_method_types": known.get("payment_method_types") or None,
    }


def _options(given: Json, card: Json) -> Json:
    """Every method's options; only those of cards can be set here."""
    wanted = given.get("card") or {}
    return {
        **dict.fromkeys(_OTHER_METHODS),
        "card": {**card, **{name: wanted[name] for name in card if name in wanted}},
    }


def automatic_tax(given: Json | None) -> Json:
    """The field `automatic_tax` of a subscription."""
    enabled = bool((given or {}).get("enabled"))
    return {"disabled_reason": None, "enabled": enabled, "liability": {"type": "self"} if enabled else None}


def invoice_tax(given: Json | None) -> Json:
    """The field `automatic_tax` of an invoice: computed, and nothing to collect."""
    known = automatic_tax(given)
    done = {"provider": "stripe", "status": "complete"} if known["enabled"] else {"provider": None, "status": None}
    return known | done
