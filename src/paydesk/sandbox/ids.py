"""Ids and secrets in the formats of Stripe."""

from __future__ import annotations

import hashlib
import secrets
import string

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_OF_BYTE = (_ALPHABET * 5)[:256].encode()  # a character for each byte

# Prefix and number of random characters, by the `object` field of what is named.
_FORMATS = {
    "balance_transaction": ("txn_3", 23),
    "card": ("card_1", 23),
    "charge": ("ch_3", 23),
    "checkout.session": ("cs_test_a1", 56),
    "customer": ("cus_", 14),
    "event": ("evt_1", 23),
    "item": ("li_1", 23),
    "payment_intent": ("pi_3", 23),
    "payment_method": ("pm_1", 23),
    "payment_page": ("ppage_1", 23),
    "price": ("price_1", 23),
    "product": ("prod_", 14),
    "refund": ("re_3", 23),
    "webhook_endpoint": ("we_1", 23),
    "_deed": ("deed_", 20),
    "_delivery": ("dlv_", 20),
    "billing_portal.configuration": ("bpc_1", 23),
    "billing_portal.session": ("bps_1", 23),
    "dispute": ("du_1", 23),
    "mandate": ("mandate_1", 23),
    "payment": ("py_3", 23),
    "radar.early_fraud_warning": ("issfr_1", 23),
    "setup_attempt": ("setatt_1", 23),
    "setup_intent": ("seti_1", 23),
    "coupon": ("", 8),
    "credit_note": ("cn_1", 23),
    "credit_note_line_item": ("cnli_1", 23),
    "customer_cash_balance_transaction": ("ccsbtxn_1", 23),
    "customer_balance_transaction": ("cbtxn_1", 23),
    "discount": ("di_1", 23),
    "invoice": ("in_1", 23),
    "invoice_payment": ("inpay_1", 23),
    "invoiceitem": ("ii_1", 23),
    "line_item": ("il_1", 23),
    "promotion_code": ("promo_1", 23),
    "shipping_rate": ("shr_1", 23),
    "subscription": ("sub_1", 23),
    "subscription_item": ("si_", 14),
    "subscription_schedule": ("sub_sched_1", 23),
    "tax_rate": ("txr_1", 23),
    "test_helpers.test_clock": ("clock_1", 23),
    "token": ("tok_1", 23),
}


def random_text(length: int) -> str:
    """`length` unguessable letters and digits."""
    return secrets.token_bytes(length).translate(_OF_BYTE).decode()


def new_id(kind: str) -> str:
    """A fresh id for an object of this kind (its `object` field)."""
    prefix, length = _FORMATS[kind]
    return prefix + random_text(length)


def derived_text(seed: str, length: int) -> str:
    """Letters and digits that are the same each time for the same seed (at most 40 of them)."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest(), "big")
    characters = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[digit])
    return "".join(characters)
