"""Paydesk as a library: `PaymentManager`, for programs that wait for an answer.

    from paydesk import PaymentItem, PaymentManager

    payments = PaymentManager()
    session = payments.create_checkout_session([PaymentItem("Ticket", "50.00", 2)], success_url=…, cancel_url=…)

What each call takes, answers and raises is written where it is made: `library_selling`, `library_people`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from paydesk import config
from paydesk.clock import wall_s
from paydesk.config import Settings
from paydesk.errors import SettingError
from paydesk.library_asking import Answer, Line, run
from paydesk.library_people import People
from paydesk.library_selling import Selling

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT_S = 30.0


class Calls(Selling, People):
    """Every call of the library, as what it asks and what it makes of the answers."""


def _waits(call: Callable[Concatenate[Calls, P], Answer[T]]) -> Callable[Concatenate[PaymentManager, P], T]:
    """Return a call as a method that returns when it is answered."""

    def method(self: PaymentManager, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(self._line, call(self._calls, *args, **kwargs))

    return update_wrapper(method, call)


class PaymentManager:
    """Takes payments and knows what was bought: in this process, or at a Paydesk that runs elsewhere.

    With `url` (or `PAYDESK_URL`) and `api_key` (`PAYDESK_API_KEY`) it speaks to that one. Else it is the service itself,
    with `settings` (default: from the environment and `.env`) and their database, which `paydesk serve` may use at the
    same time; with `work` it also does what `paydesk work` does, so that nothing else has to run.

    `currency` counts where a call says none. `timeout_s` is how long a far Paydesk may take. Use it from any number of
    threads, also from one with a running event loop (which then waits; `AsyncPaymentManager` does not). Close it, or use
    it by `with`. Raises `SettingError` that names the setting which is missing or malformed.
    """

    def __init__(
        self, *, url: str | None = None, api_key: str | None = None, currency: str = "usd",
        settings: Settings | None = None, work: bool = False, timeout_s: float = TIMEOUT_S,
    ) -> None:  # fmt: skip
        self._calls = Calls(currency)
        self._line = _line(url, api_key, settings, work, timeout_s)

    def close(self) -> None:
        """Let go of connections, or take the service down. Nothing can be asked any more."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def construct_event(self, payload: bytes | str, signature: str, secret: str | None = None) -> dict[str, Any]:
        """Return the event in `payload` if Stripe signed it; see `construct_event` of this module."""
        return construct_event(payload, signature, secret)

    products = _waits(Calls.products)

    create_payment_intent = _waits(Calls.create_payment_intent)
    retrieve_payment_intent = _waits(Calls.retrieve_payment_intent)
    payment_status = _waits(Calls.payment_status)
    cancel_payment_intent = _waits(Calls.cancel_payment_intent)
    capture_payment_intent = _waits(Calls.capture_payment_intent)
    refund = _waits(Calls.refund)
    retrieve_refund = _waits(Calls.retrieve_refund)

    create_checkout_session = _waits(Calls.create_checkout_session)
    retrieve_order = _waits(Calls.retrieve_order)
    cancel_order = _waits(Calls.cancel_order)

    create_subscription = _waits(Calls.create_subscription)
    retrieve_subscription = _waits(Calls.retrieve_subscription)
    subscriptions = _waits(Calls.subscriptions)
    change_subscription = _waits(Calls.change_subscription)
    cancel_subscription = _waits(Calls.cancel_subscription)
    portal_url = _waits(Calls.portal_url)

    create_customer = _waits(Calls.create_customer)
    retrieve_customer = _waits(Calls.retrieve_customer)
    find_customer = _waits(Calls.find_customer)

    credits = _waits(Calls.credits)
    spend = _waits(Calls.spend)
    grant = _waits(Calls.grant)
    hold = _waits(Calls.hold)
    settle = _waits(Calls.settle)
    release = _waits(Calls.release)
    retrieve_hold = _waits(Calls.retrieve_hold)
    access = _waits(Calls.access)

    say = _waits(Calls.say)
    messages = _waits(Calls.messages)
    call = _waits(Calls.call)


def _line(url: str | None, api_key: str | None, settings: Settings | None, work: bool, timeout_s: float) -> Line:
    """Return the way to the Paydesk that is meant. What serves in this process is imported only where it is needed."""
    remote = remote_of(url, api_key, settings, work)
    if remote is None:
        from paydesk.library_local import LocalLine

        return LocalLine(settings or config.load(), work=work)
    from paydesk.library_remote import RemoteLine

    return RemoteLine(remote, timeout_s)


def remote_of(url: str | None, api_key: str | None, settings: Settings | None, work: bool) -> config.Remote | None:
    """Return the far Paydesk that is meant, `None` for this process; raises `SettingError` for what is contradictory."""
    if settings is not None:
        if url is not None or api_key is not None:
            raise SettingError(
                "settings are for a service in this process, url and api_key for one elsewhere: give one"
            )
        return None
    remote = config.remote(url, api_key)
    if remote is not None and work:
        raise SettingError("work=True is for a service in this process, and PAYDESK_URL names another: unset one")
    if remote is None and api_key is not None:
        raise SettingError("PAYDESK_URL is not set: an api_key goes with the address of the Paydesk that it opens")
    return remote


def construct_event(payload: bytes | str, signature: str, secret: str | None = None) -> dict[str, Any]:
    """Return the event in the body of a webhook if Stripe signed it within the last five minutes.

    `payload` is the body as it came, `signature` the header `Stripe-Signature`, `secret` the endpoint's (`whsec_…`;
    default: `STRIPE_WEBHOOK_SECRET`, several comma-separated). Paydesk's own webhook does this by itself: it is for an
    endpoint of yours beside it. Raises `BadSignature` and `Invalid` for a body that is no JSON object, and `SettingError`
    when there is no secret.
    """
    from paydesk.stripe import signature as signatures

    told = secret or config.told(None, config.here()).get("STRIPE_WEBHOOK_SECRET", "")
    secrets = [part.strip().encode() for part in told.split(",") if part.strip()]
    if not secrets:
        raise SettingError("STRIPE_WEBHOOK_SECRET is not set: STRIPE_WEBHOOK_SECRET=whsec_… of the endpoint")
    body = payload.encode() if isinstance(payload, str) else payload
    signatures.verify(body, signature, secrets, wall_s())
    return signatures.read_json(body)
