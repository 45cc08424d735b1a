"""Distinct, signed `payment_intent.succeeded` events of about 3 KB, laid out as Stripe sends them."""

import hashlib
import hmac
import json
import random
import string
import time
from typing import Any

WEBHOOK_SECRET = "whsec_benchmark"
CUSTOMERS = 10_000
API_VERSION = "2026-10-28.endive"

_ALPHABET = string.ascii_letters + string.digits
_ACCOUNT = "Lt4dXK03v5"  # the ids of one Stripe account share a middle part

_NO_SHIPPING = {"amount": 0, "from_postal_code": None, "to_postal_code": None}

# Every "@…@" is replaced per event; the rest is the same for all of them.
PAYMENT_INTENT: dict[str, Any] = {
    "id": "pi_@INTENT@",
    "object": "payment_intent",
    "allowed_payment_method_types": None,
    "amount": 999,
    "amount_capturable": 0,
    "amount_details": {"discount_amount": 0, "shipping": _NO_SHIPPING, "tax": {"total_tax_amount": 0}, "tip": {}},
    "amount_received": 999,
    "application": None,
    "application_fee_amount": None,
    "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
    "canceled_at": None,
    "cancellation_reason": None,
    "capture_method": "automatic_async",
    "client_secret": "pi_@INTENT@_secret_@NONCE@",
    "confirmation_method": "automatic",
    "created": 0,
    "currency": "usd",
    "customer": "cus_@CUSTOMER@",
    "customer_account": None,
    "description": "10 credits",
    "excluded_payment_method_types": None,
    "last_payment_error": None,
    "latest_charge": "ch_@INTENT@",
    "livemode": False,
    "managed_payments": None,
    "metadata": {"order": "@NONCE@", "product": "credits-10", "channel": "web"},
    "next_action": None,
    "on_behalf_of": None,
    "payment_details": {"customer_reference": None, "order_reference": "@NONCE@"},
    "payment_method": "pm_@INTENT@",
    "payment_method_configuration_details": {"id": "pmc_1MqqbKLt4dXK03v5qaIbiNCC", "parent": None},
    "payment_method_options": {
        "card": {
            "installments": None,
            "mandate_options": None,
            "network": None,
            "request_three_d_secure": "automatic",
        },
        "ideal": {},
        "link": {"persistent_token": None},
    },
    "payment_method_types": ["card", "ideal", "link"],
    "payment_record": None,
    "presentment_details": {"presentment_amount": 999, "presentment_currency": "usd"},
    "processing": None,
    "receipt_email": "buyer-@CUSTOMER@@example.com",
    "review": None,
    "setup_future_usage": None,
    "shipping": {
        "address": {
            "city": "Springfield",
            "country": "US",
            "line1": "742 Evergreen Terrace",
            "line2": None,
            "postal_code": "97477",
            "state": "OR",
        },
        "carrier": None,
        "name": "Buyer @CUSTOMER@",
        "phone": None,
        "tracking_number": None,
    },
    "source": None,
    "statement_descriptor": None,
    "statement_descriptor_suffix": None,
    "status": "succeeded",
    "transfer_data": None,
    "transfer_group": None,
}


def _template(created_s: int) -> str:
    event = {
        "id": "evt_@EVENT@",
        "object": "event",
        "api_version": API_VERSION,
        "created": created_s,
        "data": {"object": {**PAYMENT_INTENT, "created": created_s - 1}},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": "req_@NONCE@", "idempotency_key": "5f1c6a0e-7c9b-4d0e-9a57-@NONCE@"},
        "type": "payment_intent.succeeded",
    }
    return json.dumps(event, indent=2)


def bodies(count: int, customers: int = CUSTOMERS) -> list[bytes]:
    """Return `count` event bodies; ids never repeat within or between calls, customers are the same ones every time."""
    randomness = random.SystemRandom()
    prefix = "3" + "".join(randomness.choices(_ALPHABET, k=5)) + _ACCOUNT
    quick = random.Random(randomness.getrandbits(64))
    template = _template(int(time.time()))
    return [_body(template, prefix, number, quick, customers) for number in range(count)]


def _body(template: str, prefix: str, number: int, quick: random.Random, customers: int) -> bytes:
    nonce = "".join(quick.choices(_ALPHABET, k=14))
    ident = f"{prefix}{nonce[:4]}{number:06d}"
    customer = f"Bench{quick.randrange(customers):09d}"
    text = template.replace("@EVENT@", ident).replace("@INTENT@", ident)
    return text.replace("@NONCE@", nonce).replace("@CUSTOMER@", customer).encode()


def signature(body: bytes, secret: str = WEBHOOK_SECRET) -> str:
    """Return a `Stripe-Signature` header for `body`, signed now."""
    signed_at_s = str(int(time.time()))
    digest = hmac.digest(secret.encode(), signed_at_s.encode() + b"." + body, hashlib.sha256)
    return f"t={signed_at_s},v1={digest.hex()}"


def post(path: str, body: bytes, secret: str = WEBHOOK_SECRET) -> bytes:
    """Return the bytes of one signed POST with the headers that Stripe sends."""
    head = (
        f"POST {path} HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        "User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n"
        "Accept: */*; q=0.5, application/xml\r\n"
        "Cache-Control: no-cache\r\n"
        "Content-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Stripe-Signature: {signature(body, secret)}\r\n"
        "\r\n"
    )
    return head.encode() + body


def requests(count: int, path: str) -> list[bytes]:
    """Return `count` signed POSTs of distinct events to `path`, good for five minutes."""
    return [post(path, body) for body in bodies(count)]
