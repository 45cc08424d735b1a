"""`GET /v1/account`: who the key belongs to."""

from __future__ import annotations

from .calls import Call, Operation, get
from .errors import Json


def _retrieve(call: Call) -> Json:
    return {
        "id": call.account.id,
        "object": "account",
        "business_profile": {"name": "Paydesk sandbox", "url": None},
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "country": "US",
        "default_currency": "usd",
        "details_submitted": True,
        "email": "sandbox@example.com",
        "payouts_enabled": True,
        "settings": {
            "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
            "card_payments": {"statement_descriptor_prefix": None},
            "dashboard": {"display_name": "Paydesk sandbox", "timezone": "Etc/UTC"},
            "payments": {"statement_descriptor": "PAYDESK SANDBOX"},
        },
        "type": "standard",
    }


OPERATIONS: list[Operation] = [get("/v1/account", _retrieve)]
