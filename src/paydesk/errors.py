"""Every error Paydesk raises on purpose, in one tree.

```
PaydeskError                    status 500  something we know how to name
├── SettingError                exit 2      a setting or the catalogue is missing or malformed
│   ├── CatalogError
│   └── StripeKeyRefused        503         Stripe does not take our key: whoever runs Paydesk mends it
├── Invalid                     400         the caller sent something we refuse, `param` names it
├── Unauthorized                401         no key, or one we do not know
├── InsufficientCredits         402         spending more than there is; nothing changed
├── Forbidden                   403         the key lacks the scope
├── NotFound                    404         no such thing, or not the caller's
├── Conflict                    409         the same key with another body, or still under way
├── TooLarge                    413
├── TooMany                     429         more than we take at once: wait as long as it says
├── StoreUnavailable            503         the database is away: nothing was stored, try again
├── StripeRefused               402         Stripe said no
│   ├── PaymentRefused                      the card or bank did; the payment can still be paid
│   └── StripeClash             409         one of our own keys at Stripe stands for something else
├── StripeUnavailable           503         Stripe did not answer: the same call is safe to repeat
│   ├── StripeBusy                          Stripe takes no more calls just now, and has done nothing
│   └── StripeFailed                        Stripe failed, and will say so again under the same key
└── Unreachable                 503         the library did not reach the Paydesk that it speaks to
```

The docstring of a class says what the reader should do; `message` says what happened.
"""

from __future__ import annotations


class PaydeskError(Exception):
    """The root: has an HTTP status, a stable code, a sentence a person can read, and perhaps the parameter."""

    status = 500
    code = "internal_error"
    resumable = False
    """Whether the same key goes on with what it has begun, instead of beginning anew."""
    retry_after_s: int | None = None
    """After how many seconds the same request makes sense again."""
    request_id: str | None = None
    """The number of the request that was refused, which stands in the log; `None` before there is one."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code

    def body(self, request_id: str | None = None) -> dict[str, object]:
        """Return the error as CONTRACT's JSON: `{"error": {"code", "message", "param"?, "request_id"}}`."""
        error: dict[str, object] = {"code": self.code, "message": self.message}
        if self.param is not None:
            error["param"] = self.param
        error |= self.details()
        if request_id is not None:
            error["request_id"] = request_id
        return {"error": error}

    def details(self) -> dict[str, object]:
        """Return what a kind of error says besides; nothing here."""
        return {}


class SettingError(PaydeskError):
    """Mend the setting that the message names, then start again."""

    code = "setting_error"


class CatalogError(SettingError):
    """Mend the catalogue at the line that the message names."""

    code = "catalog_error"


class StripeKeyRefused(SettingError):
    """Nothing that a caller can mend: whoever runs Paydesk finds the reason in its log, and with `paydesk check`."""

    status = 503
    code = "stripe_not_configured"
    retry_after_s = 60

    def body(self, request_id: str | None = None) -> dict[str, object]:
        """Return the error without what Stripe said of the key: that is for whoever runs Paydesk."""
        told = "this Paydesk cannot speak to Stripe: its key is refused; whoever runs it finds more in its log"
        return PaydeskError(told, code=self.code).body(request_id)


class Invalid(PaydeskError):
    """Change the request: `param` names what we refuse."""

    status = 400
    code = "invalid_request"


class Unauthorized(PaydeskError):
    """Send a valid key as `Authorization: Bearer pdk_…`."""

    status = 401
    code = "unauthorized"


class InsufficientCredits(PaydeskError):
    """Top up, then repeat: nothing was taken."""

    status = 402
    code = "insufficient_credits"


class Forbidden(PaydeskError):
    """Use a key that has the scope named in the message."""

    status = 403
    code = "forbidden"


class NotFound(PaydeskError):
    """Check the id; what belongs to somebody else is not found either."""

    status = 404
    code = "not_found"


class Conflict(PaydeskError):
    """Another request holds or held this key or object: read the message before repeating."""

    status = 409
    code = "conflict"


class TooLarge(PaydeskError):
    """Send less."""

    status = 413
    code = "too_large"


class TooMany(PaydeskError):
    """Wait for `retry_after_s` seconds, then repeat: nothing was done."""

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(f"{message}: wait {retry_after_s} second{'s' if retry_after_s != 1 else ''} and try again")
        self.retry_after_s = retry_after_s


class StoreUnavailable(PaydeskError):
    """Repeat later: the database is away and nothing was stored."""

    status = 503
    code = "store_unavailable"
    retry_after_s = 5


class StripeUnavailable(PaydeskError):
    """Repeat later with the same key: the call may or may not have reached Stripe."""

    status = 503
    code = "stripe_unavailable"
    retry_after_s = 5


class StripeBusy(StripeUnavailable):
    """Wait for `retry_after_s` seconds, then repeat: Stripe has done nothing."""

    code = "stripe_busy"


class StripeFailed(StripeUnavailable):
    """Stripe ended the call with an error of its own, and repeats that under the same key for a day: look first."""


class StripeRefused(PaydeskError):
    """Stripe understood and said no: the message may be shown to a buyer, repeating changes nothing.

    `about` is the parameter that Stripe names (such as `customer`), `reason` its own code (such as `resource_missing`),
    `decline_code` the bank's reason (such as `insufficient_funds`) where a card was declined.
    """

    status = 402
    code = "stripe_refused"
    decline_code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        about: str | None = None,
        reason: str | None = None,
        code: str | None = None,
        decline_code: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.about = about
        self.reason = reason
        self.decline_code = decline_code

    def coded(self) -> StripeRefused:
        """Return the same refusal under Stripe's own code."""
        return StripeRefused(
            self.message, about=self.about, reason=self.reason, code=self.reason, decline_code=self.decline_code
        )

    def details(self) -> dict[str, object]:
        """Return the bank's reason, where there is one."""
        return {} if self.decline_code is None else {"decline_code": self.decline_code}


class StripeClash(StripeRefused):
    """Repeat under another `Idempotency-Key`: Stripe knows the one of this operation as another request's."""

    status = 409
    code = "stripe_idempotency_clash"


class PaymentRefused(StripeRefused):
    """The buyer's card or bank said no: `code` and `message` are Stripe's, and `payment` can still be paid."""

    resumable = True

    def __init__(self, message: str, *, payment: str, code: str | None, decline_code: str | None = None) -> None:
        super().__init__(message, code=code, decline_code=decline_code)
        self.payment = payment

    def details(self) -> dict[str, object]:
        """Return the bank's reason and the payment's id."""
        return {**super().details(), "payment": self.payment}


class Unreachable(PaydeskError):
    """Repeat with the same idempotency key: the call may or may not have arrived, and takes effect once."""

    status = 503
    code = "unreachable"
    retry_after_s = 5


class StaleClaim(PaydeskError):
    """Our lease ended and another worker took over: drop the work, it is being done."""

    code = "stale_claim"
