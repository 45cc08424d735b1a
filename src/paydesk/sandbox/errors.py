"""Stripe's error answers: one exception, and a constructor for each kind of refusal that several places need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

_DOCS = "https://docs.stripe.com/error-codes/"
_LOGS = "https://dashboard.stripe.com/test/logs/"


class StripeError(Exception):
    """An answer that is an error: HTTP status and the fields of Stripe's `error` object."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        extra: Json | None = None,
        executed: bool = True,
    ) -> None:
        """`executed` is false for refusals made before the call began; those are not kept for idempotency."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.extra = extra or {}
        self.executed = executed
        self.noted = False

    @property
    def keeps(self) -> bool:
        """Whether what was done before the refusal stands: a payment was tried, or the failure is `noted` on an object."""
        return self.noted or self.status == 402 or bool({"payment_intent", "setup_intent"} & self.extra.keys())

    def fields(self) -> Json:
        """The fields that also stand in a payment intent's `last_payment_error`."""
        fields: Json = {"message": self.message, "type": self.kind}
        if self.code:
            fields["code"] = self.code
        if self.code and not self.code.startswith("sandbox_"):
            fields["doc_url"] = _DOCS + self.code.replace("_", "-")
        if self.param is not None:
            fields["param"] = self.param
        return fields

    def body(self, request_id: str) -> Json:
        """The whole answer, `{"error": {…}}`."""
        return {"error": self.fields() | self.extra | {"request_log_url": _LOGS + request_id}}


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """A parameter that cannot be accepted."""
    return StripeError(message, param=param, code=code)


def unreadable(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """A request that is refused before its call begins."""
    return StripeError(message, param=param, code=code, executed=False)


def missing_parameter(param: str) -> StripeError:
    """A required parameter that was not sent."""
    return unreadable(f"Missing required param: {param}.", param, "parameter_missing")


def unknown_parameters(params: Iterable[str]) -> StripeError:
    """Parameters that the call does not know; the first one is named in `param`."""
    names = list(params)
    noun = "parameter" if len(names) == 1 else "parameters"
    return unreadable(f"Received unknown {noun}: {', '.join(names)}", names[0], "parameter_unknown")


def no_such(noun: str, object_id: str, param: str, status: int = 400) -> StripeError:
    """An object that does not exist: 404 when the path names it, 400 when the body does."""
    return StripeError(f"No such {noun}: '{object_id}'", status=status, code="resource_missing", param=param)


def unknown_url(method: str, path: str) -> StripeError:
    """An address that Stripe does not have."""
    advice = (
        "If you are trying to list objects, remove the trailing slash. If you are trying to retrieve an object, make sure "
        "you passed a valid (non-empty) identifier in your code. "
        if path.endswith("/")
        else ""
    )
    return StripeError(
        f"Unrecognized request URL ({method}: {path}). {advice}Please see https://stripe.com/docs or we can help at "
        "https://support.stripe.com/.",
        status=404,
        executed=False,
    )


def unauthorized(message: str) -> StripeError:
    """A missing or wrong API key."""
    return StripeError(message, status=401, executed=False)


def secret_key_required() -> StripeError:
    """A publishable key where a secret one is needed."""
    return StripeError(
        "This API call cannot be made with a publishable API key. Please use a secret API key. You can find a list of your "
        "API keys at https://dashboard.stripe.com/account/apikeys.",
        status=401,
        code="secret_key_required",
        executed=False,
    )


def no_access(key: str, account_id: str) -> StripeError:
    """A request on behalf of an account that is not connected to the key's; there are no connected ones here."""
    return StripeError(
        f"The provided key '{key[:8]}***{key[-4:]}' does not have access to account '{account_id}' (or that account does "
        "not exist). Application access may have been revoked.",
        status=403,
        code="account_invalid",
        executed=False,
    )


def rate_limited() -> StripeError:
    """Too many requests in a second; nothing was done."""
    return StripeError(
        "Request rate limit exceeded. Learn more about rate limits here https://docs.stripe.com/rate-limits.",
        status=429,
        code="rate_limit",
        executed=False,
    )


def lock_timeout() -> StripeError:
    """Another request holds the object; nothing was done."""
    return StripeError(
        "This object cannot be accessed right now because another API request or Stripe process is currently "
        "accessing it. If you see this error intermittently, retry the request. If you see this error frequently and "
        "are making multiple concurrent requests to a single object, make your requests serially or at a lower rate.",
        status=429,
        code="lock_timeout",
        executed=False,
    )
