"""Where a customer is to send money by bank transfer: the accounts of each country, as Stripe shows them in test mode."""

from __future__ import annotations

import string

from .errors import Json, StripeError, invalid
from .ids import derived_text
from .params import Kind, Shape, choice, fields, items, text

# The kind of transfer that belongs to a currency, and the country of its account.
_KINDS = {
    "eur": ("eu_bank_transfer", "IE"), "gbp": ("gb_bank_transfer", "GB"), "jpy": ("jp_bank_transfer", "JP"),
    "mxn": ("mx_bank_transfer", "MX"), "usd": ("us_bank_transfer", "US"),
}  # fmt: skip
# What the official CLI still says for Japan.
_OLD_JAPAN = "jp_bank_account"
CURRENCIES = tuple(_KINDS)
_WORDS = tuple(kind for kind, _ in _KINDS.values())


def _transfer(address_types: tuple[str, ...], kinds: tuple[str, ...]) -> Kind:
    """The parameters of a bank transfer, with the words that a call takes."""
    return fields({
        "eu_bank_transfer": fields({"country": text(2, clearable=False)}, ("country",)),
        "requested_address_types": items(choice(*address_types), 5),
        "type": choice(*kinds),
    }, ("type",))  # fmt: skip


BANK_TRANSFER: Kind = _transfer(("iban", "sort_code", "spei", "zengin"), _WORDS)
OPTIONS: Shape = {
    "bank_transfer": _transfer(("aba", "iban", "sepa", "sort_code", "spei", "swift", "zengin"), (*_WORDS, _OLD_JAPAN)),
    "funding_type": choice("bank_transfer"), "setup_future_usage": choice("none"),
}  # fmt: skip
_HOLDER = "Paydesk sandbox"
_DIGITS = str.maketrans({character: str(ord(character) % 10) for character in string.ascii_letters})


def checked_transfer(options: Json, currency: str) -> Json:
    """The `bank_transfer` of a method's options; refused where it is missing or belongs to another currency."""
    param = "payment_method_options[customer_balance]"
    if options.get("funding_type") is None:
        raise StripeError(f"You must provide `{param}[funding_type]` when confirming with `customer_balance`.",
                          code="parameter_missing", param=f"{param}[funding_type]")  # fmt: skip
    given: Json = options.get("bank_transfer") or {}
    if not given:
        raise StripeError(f"You must provide `{param}[bank_transfer]` when confirming with `customer_balance`.",
                          code="parameter_missing", param=f"{param}[bank_transfer]")  # fmt: skip
    named = {**given, "type": "jp_bank_transfer"} if given["type"] == _OLD_JAPAN else given
    check_kind(named["type"], currency, f"{param}[bank_transfer][type]")
    return named


def check_kind(kind: str, currency: str, param: str) -> None:
    """Refuse a kind of transfer that does not take this currency."""
    if _KINDS.get(currency, ("", ""))[0] != kind:
        raise invalid(f"The currency provided ({currency}) is invalid for bank transfers of type `{kind}`.", param)


def instructions(given: Json, currency: str, remaining: int, reference: str, url: str) -> Json:
    """The next action of an intent: how much is to be sent, and where to."""
    return {
        "display_bank_transfer_instructions": {
            "amount_remaining": remaining,
            "currency": currency,
            "financial_addresses": addresses(given, currency, reference),
            "hosted_instructions_url": url,
            "reference": reference,
            "type": given["type"],
        },
        "type": "display_bank_transfer_instructions",
    }


def country_of(given: Json, currency: str) -> str:
    """The country of the account to which a transfer goes."""
    return str((given.get("eu_bank_transfer") or {}).get("country") or _KINDS[currency][1])


def addresses(given: Json, currency: str, reference: str) -> list[Json]:
    """The accounts that take such a transfer; their numbers are the same each time for the same reference."""
    country = country_of(given, currency)
    place = {
        "city": "Dublin",
        "country": country,
        "line1": "1 Test Street",
        "line2": None,
        "postal_code": "1",
        "state": None,
    }
    common = {"account_holder_address": place, "account_holder_name": _HOLDER, "bank_address": place}
    number = derived_text(reference, 12).translate(_DIGITS)
    known: dict[str, list[Json]] = {
        "eur": [_address("iban", ["sepa"], {**common, "bic": "AGRIFRPP", "country": country,
                                           "iban": f"{country}00{number}{number[:8]}"})],
        "gbp": [_address("sort_code", ["bacs", "fps"], {**common, "account_number": number[:8], "sort_code": "200000"})],
        "jpy": [_address("zengin", ["zengin"], {**common, "account_number": number[:7], "account_type": "futsu",
                                               "bank_code": "0001", "bank_name": "Test bank", "branch_code": "001",
                                               "branch_name": "Test branch"})],
        "mxn": [_address("spei", ["spei"], {**common, "bank_code": "002", "bank_name": "Test bank",
                                           "clabe": f"002180{number}"})],
        "usd": [_address("aba", ["ach", "domestic_wire_us"], {**common, "account_number": number,
                                                              "account_type": "checking", "bank_name": "Test bank",
                                                              "routing_number": "110000000"})],
    }  # fmt: skip
    return known[currency]


def _address(kind: str, networks: list[str], shown: Json) -> Json:
    return {kind: shown, "supported_networks": networks, "type": kind}


def funded_by(currency: str, reference: str | None) -> Json:
    """What a booking of arrived money tells of the transfer."""
    kind = _KINDS[currency][0]
    details: Json = {
        "eu_bank_transfer": {"bic": "AGRIFRPP", "iban_last4": "7061", "sender_name": "Jenny Rosen"},
        "gb_bank_transfer": {"account_number_last4": "1234", "sender_name": "Jenny Rosen", "sort_code": "200000"},
        "jp_bank_transfer": {"sender_bank": None, "sender_branch": None, "sender_name": "Jenny Rosen"},
        "us_bank_transfer": {"network": "ach", "sender_name": "Jenny Rosen"},
    }
    shown = {kind: details[kind]} if kind in details else {}
    return {"bank_transfer": {**shown, "reference": reference, "type": kind}}
