"""What Stripe's errors mean here: one clear answer for each kind, without Stripe's internals. Pure.

| Stripe says | we raise | answer |
|---|---|---|
| a card or bank declines | `StripeRefused`, or `PaymentRefused` | 402, its code, `decline_code`, a text for buyers |
| a parameter is wrong | `StripeRefused`; `refusals.told` makes it 400 with our name of the parameter | 400 or 402 |
| there is no such object | `NotFound` | 404 |
| too many calls | `StripeBusy`, after three more tries | 503 `stripe_busy`, `Retry-After` |
| our key is wrong, or may not | `StripeKeyRefused` | 503 `stripe_not_configured`, `Retry-After` |
| our idempotency key is another request's | `StripeClash` | 409 `stripe_idempotency_clash` |
| the same request is under way | `StripeUnavailable` | 503 `stripe_unavailable`, `Retry-After` |
| no connection, no answer in time | `StripeUnavailable`, after two more tries | 503 `stripe_unavailable`, `Retry-After` |
| an error of its own | `StripeUnavailable`, or `StripeFailed` when it will say so again under the same key | the same |
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from paydesk.errors import (
    NotFound,
    PaydeskError,
    StripeBusy,
    StripeClash,
    StripeFailed,
    StripeKeyRefused,
    StripeRefused,
    StripeUnavailable,
)

RETRY_AFTER_S_MAX = 60
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_INTERNAL = re.compile(
    r"https?://|\breq_|\b[sr]k_|api key|dashboard|stripe\.com|support@"
    r"|\b(?:ch|pi|re|cus|sub|evt|in|pm|cs)_(?:test_|live_)?[a-z0-9]{8,}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """One of Stripe's errors. `kind` is the SDK's name of it, `what` the thing that was asked for."""

    kind: str
    what: str
    message: str
    status: int | None = None
    code: str | None = None
    param: str | None = None
    decline_code: str | None = None
    request: str | None = None
    retry_after: str | None = None
    replayed: bool = False

    def line(self) -> str:
        """Return it in a line for the log: there Stripe's own request id belongs, by which their support finds it."""
        parts = (self.kind, self.status, self.code, self.decline_code, self.param, self.request)
        return f"Stripe said no ({self.what}): {' '.join(str(part) for part in parts if part)}"


def meaning(of: Failure) -> PaydeskError:
    """Return our error for one of Stripe's: repeat later, never, or mend a setting."""
    if of.kind in ("AuthenticationError", "PermissionError"):
        return StripeKeyRefused(f"STRIPE_API_KEY: Stripe refuses the key: {of.message}")
    if of.kind == "RateLimitError":
        return _busy(of)
    if of.kind == "IdempotencyError":
        if of.status == 409:
            return StripeUnavailable(f"Stripe is still at work on the same request ({of.what})")
        return StripeClash(f"this operation's key stands for another request at Stripe ({of.what})")
    if of.kind == "InvalidRequestError" and of.status == 404:
        return NotFound(f"Stripe does not know this {of.what}: {plain(of.message)}", param=of.what)
    if of.kind == "CardError":
        return StripeRefused(plain(of.message), about=of.param, reason=of.code, decline_code=of.decline_code or of.code)
    if of.kind == "InvalidRequestError":
        return StripeRefused(plain(of.message), about=of.param, reason=of.code)
    if of.kind == "APIConnectionError":
        return StripeUnavailable(f"Stripe did not answer ({of.what})")
    return (StripeFailed if of.replayed else StripeUnavailable)(f"Stripe failed ({of.what}), by an error of its own")


def _busy(of: Failure) -> StripeBusy:
    busy = StripeBusy(f"Stripe takes no more calls just now ({of.what})")
    if of.retry_after is not None and of.retry_after.isdigit():
        busy.retry_after_s = min(max(1, int(of.retry_after[:6])), RETRY_AFTER_S_MAX)
    return busy


def plain(message: str) -> str:
    """Return what Stripe says without the sentences that are for whoever has the account: addresses, keys, ids."""
    kept = [sentence for sentence in _SENTENCE.split(message.strip()) if not _INTERNAL.search(sentence)]
    return " ".join(kept) or "Stripe does not take this request"
