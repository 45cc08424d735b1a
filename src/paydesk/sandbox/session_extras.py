"""Parameters of a Checkout session that the sandbox's page does not act upon: checked, kept and shown as Stripe does.

Programs that ask for tax ids, consent, a shop's colours or the like run unchanged; no tax is computed here.
"""

from __future__ import annotations

from .errors import Json
from .params import Kind, Shape, choice, fields, flag, integer, items, merged_metadata, metadata, text, url
from .words import COUNTRIES, FONTS, METHOD_TYPES

_TURNED = choice("auto", "never")
_ON = choice("enabled", "disabled")
_ISSUER = fields({"account": text(), "type": choice("account", "self")}, ("type",))
_NAME = fields({"enabled": flag, "optional": flag}, ("enabled",))
_PICTURE = fields({"file": text(), "type": choice("file", "url"), "url": url}, ("type",))
_LENGTHS: Shape = {"default_value": text(), "maximum_length": integer, "minimum_length": integer}
_OPTION = fields({"label": text(100), "value": text(100)}, ("label", "value"))
_CUSTOM_FIELD: Shape = {
    "dropdown": fields({"default_value": text(), "options": items(_OPTION, 200)}, ("options",)),
    "key": text(200, clearable=False),
    "label": fields({"custom": text(50, clearable=False), "type": choice("custom")}, ("custom", "type")),
    "numeric": fields(_LENGTHS),
    "optional": flag,
    "text": fields(_LENGTHS),
    "type": choice("dropdown", "numeric", "text"),
}
_INVOICE_DATA: Shape = {
    "account_tax_ids": items(text(clearable=False)),
    "custom_fields": items(fields({"name": text(40), "value": text(140)}, ("name", "value")), 4),
    "description": text(1500),
    "footer": text(),
    "issuer": _ISSUER,
    "metadata": metadata,
    "rendering_options": fields(
        {"amount_tax_display": choice("exclude_tax", "include_inclusive_tax"), "template": text()}, clearable=True
    ),
}
_BRANDING: Shape = {
    "background_color": text(7),
    "border_style": choice("pill", "rectangular", "rounded"),
    "button_color": text(7),
    "display_name": text(),
    "font_family": choice(*FONTS),
    "icon": _PICTURE,
    "logo": _PICTURE,
}
_CONSENT: Shape = {
    "payment_method_reuse_agreement": fields({"position": choice("auto", "hidden")}, ("position",)),
    "promotions": choice("auto", "none"),
    "terms_of_service": choice("none", "required"),
}
_SAVED: Shape = {
    "allow_redisplay_filters": items(choice("always", "limited", "unspecified"), 3),
    "payment_method_remove": _ON,
    "payment_method_save": _ON,
}
_RECOVERY: Shape = {"allow_promotion_codes": flag, "enabled": flag}

EXTRAS: dict[str, Kind] = {
    "adaptive_pricing": fields({"enabled": flag}),
    "after_expiration": fields({"recovery": fields(_RECOVERY, ("enabled",))}),
    "automatic_tax": fields({"enabled": flag, "liability": _ISSUER}, ("enabled",)),
    "branding_settings": fields(_BRANDING),
    "consent_collection": fields(_CONSENT),
    "custom_fields": items(fields(_CUSTOM_FIELD, ("key", "label", "type")), 3),
    "customer_update": fields(dict.fromkeys(("address", "name", "shipping"), _TURNED)),
    "excluded_payment_method_types": items(choice(*METHOD_TYPES), 100),
    "integration_identifier": text(200),
    "invoice_creation": fields({"enabled": flag, "invoice_data": fields(_INVOICE_DATA)}, ("enabled",)),
    "name_collection": fields({"business": _NAME, "individual": _NAME}),
    "payment_method_configuration": text(),
    "payment_method_options": fields(
        {"card": fields({"request_three_d_secure": choice("any", "automatic", "challenge")})}
    ),
    "permissions": fields({"update_shipping_details": choice("client_only", "server_only")}),
    "saved_payment_method_options": fields(_SAVED),
    "shipping_address_collection": fields(
        {"allowed_countries": items(choice(*COUNTRIES), 300)}, ("allowed_countries",)
    ),
    "tax_id_collection": fields({"enabled": flag, "required": choice("if_supported", "never")}, ("enabled",)),
    "wallet_options": fields({"link": fields({"display": _TURNED})}),
}
_SAID_BACK = ("adaptive_pricing", "excluded_payment_method_types", "integration_identifier", "payment_method_options",
              "shipping_address_collection", "wallet_options")  # fmt: skip
# What is shown of a hash: its fields, and their values where none was given.
_BLANKS: dict[str, Json] = {
    "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
    "branding_settings": {
        "background_color": "#ffffff", "border_style": "rounded", "button_color": "#0074d4",
        "display_name": "Paydesk sandbox", "font_family": "default", "icon": None, "logo": None,
    },
    "consent_collection": {"payment_method_reuse_agreement": None, "promotions": None, "terms_of_service": None},
    "permissions": {"update_shipping_details": None},
    "saved_payment_method_options": {
        "allow_redisplay_filters": ["always"], "payment_method_remove": None, "payment_method_save": None,
    },
    "tax_id_collection": {"enabled": False, "required": "never"},
}  # fmt: skip


def shown_extras(params: Json) -> Json:
    """The fields of a session that follow from these parameters; only those that were given."""
    given = {name: params[name] for name in EXTRAS if params.get(name) is not None}
    shown = {name: given[name] for name in _SAID_BACK if name in given}
    shown |= {name: {**blank, **given[name]} for name, blank in _BLANKS.items() if name in given}
    if "after_expiration" in given:
        shown["after_expiration"] = {"recovery": _recovery(given["after_expiration"].get("recovery"))}
    if "custom_fields" in given:
        shown["custom_fields"] = [_custom_field(one) for one in given["custom_fields"]]
    if "invoice_creation" in given:
        shown["invoice_creation"] = _invoice_creation(given["invoice_creation"])
    if "name_collection" in given:
        names = given["name_collection"]
        shown["name_collection"] = {name: {"optional": False, **one} for name, one in names.items() if one}
    return shown


def _recovery(given: Json | None) -> Json | None:
    blank = {"allow_promotion_codes": False, "enabled": False, "expires_at": None, "url": None}
    return None if given is None else {**blank, **given}


def _custom_field(given: Json) -> Json:
    """A field of the page's form, with no answer yet."""
    kind = given["type"]
    limits = {} if kind == "dropdown" else {"maximum_length": None, "minimum_length": None}
    details = {"default_value": None, **limits, "value": None, **(given.get(kind) or {})}
    shown = {name: given[name] for name in ("key", "label", "type")}
    return {**shown, "optional": given.get("optional", False), kind: details}


def _invoice_creation(given: Json) -> Json:
    data = given.get("invoice_data") or {}
    blank: Json = dict.fromkeys(("account_tax_ids", "custom_fields", "description", "footer", "issuer"))
    rendering = data.get("rendering_options")
    return {
        "enabled": given["enabled"],
        "invoice_data": {
            **blank, **data,
            "metadata": merged_metadata({}, data.get("metadata")),
            "rendering_options": rendering and {"amount_tax_display": None, "template": None, **rendering},
        },
    }  # fmt: skip
