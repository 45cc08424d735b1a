"""The paths that other systems' documents describe, for those who call them already: `/payments` and `/api`.

They do what calls of `/v1` do, in the words and shapes of those systems, and their errors too.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from paydesk.web import documented_api, documented_payments

NAMES = {
    "/payments/": {"payment": "payment_intent_id", "customer": "customer_id"},
    "/api/": {
        "price": "price_id",
        "items": "price_id",
        "customer": "user_id",
        "external_id": "user_id",
        "subscription": "id",
    },
}
"""Under which name these paths know what a call of `/v1` names."""

REASONS = {
    400: "Something is refused: `param` names it",
    401: "No key, or one that is unknown",
    402: "Stripe said no, or there are too few credits: nothing has changed",
    403: "The key lacks the scope",
    404: "There is no such thing",
    409: "It stands otherwise, or the key was used for another request",
    413: "The body is too large",
    422: "A field is missing or malformed: `param` names it",
    429: "Too many requests: wait as long as `Retry-After` says",
    503: "The database or Stripe is away: send the same request with the same key again",
}


class Refusal(BaseModel):
    """What was wrong. `message` may be shown, `param` names the field, `request_id` stands in the log."""

    code: str
    message: str
    param: str | None = Field(None)
    decline_code: str | None = Field(None, description="the bank's reason")
    payment: str | None = Field(None, description="the payment that was declined: it can still be paid")
    request_id: str


class Refused(BaseModel):
    """What every refusal looks like here."""

    success: bool = Field(examples=[False])
    error: Refusal


def tells(path: str) -> bool:
    """Say whether a path is one of these, or lies among them."""
    return path.startswith(tuple(NAMES))


def refusal(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return an error of ours as these paths tell it: with `success`, and with their name for what is refused."""
    error = body["error"]
    names = next(names for prefix, names in NAMES.items() if path.startswith(prefix))
    renamed = {"param": names.get(error["param"], error["param"])} if "param" in error else {}
    return {"success": False, "error": {**error, **renamed}}


router = APIRouter(responses={status: {"model": Refused, "description": text} for status, text in REASONS.items()})
router.include_router(documented_payments.router)
router.include_router(documented_api.router)
