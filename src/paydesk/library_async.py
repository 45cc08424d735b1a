"""`AsyncPaymentManager`: the same calls as `PaymentManager`, awaited, for bots and servers on an event loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from paydesk import config
from paydesk.config import Settings
from paydesk.library import TIMEOUT_S, Calls, construct_event, remote_of
from paydesk.library_asking import Answer, AsyncLine, run_async

P = ParamSpec("P")
T = TypeVar("T")

Awaited = Callable[Concatenate["AsyncPaymentManager", P], Coroutine[Any, Any, T]]


def _awaits(call: Callable[Concatenate[Calls, P], Answer[T]]) -> Awaited[P, T]:
    """Return a call as a method to await."""

    async def method(self: AsyncPaymentManager, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await run_async(self._line, call(self._calls, *args, **kwargs))

    return update_wrapper(method, call)


class AsyncPaymentManager:
    """What `PaymentManager` is, with every call awaited; make it anywhere, use and close it on one event loop.

    Many calls may be under way at once. Close it with `await payments.close()`, or use it by `async with`.
    """

    def __init__(
        self, *, url: str | None = None, api_key: str | None = None, currency: str = "usd",
        settings: Settings | None = None, work: bool = False, timeout_s: float = TIMEOUT_S,
    ) -> None:  # fmt: skip
        self._calls = Calls(currency)
        self._line = _line(url, api_key, settings, work, timeout_s)

    async def close(self) -> None:
        """Let go of connections, or take the service down. Nothing can be asked any more."""
        await self._line.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def construct_event(self, payload: bytes | str, signature: str, secret: str | None = None) -> dict[str, Any]:
        """Return the event in `payload` if Stripe signed it; nothing to await. See `library.construct_event`."""
        return construct_event(payload, signature, secret)

    products = _awaits(Calls.products)

    create_payment_intent = _awaits(Calls.create_payment_intent)
    retrieve_payment_intent = _awaits(Calls.retrieve_payment_intent)
    payment_status = _awaits(Calls.payment_status)
    cancel_payment_intent = _awaits(Calls.cancel_payment_intent)
    capture_payment_intent = _awaits(Calls.capture_payment_intent)
    refund = _awaits(Calls.refund)
    retrieve_refund = _awaits(Calls.retrieve_refund)

    create_checkout_session = _awaits(Calls.create_checkout_session)
    retrieve_order = _awaits(Calls.retrieve_order)
    cancel_order = _awaits(Calls.cancel_order)

    create_subscription = _awaits(Calls.create_subscription)
    retrieve_subscription = _awaits(Calls.retrieve_subscription)
    subscriptions = _awaits(Calls.subscriptions)
    change_subscription = _awaits(Calls.change_subscription)
    cancel_subscription = _awaits(Calls.cancel_subscription)
    portal_url = _awaits(Calls.portal_url)

    create_customer = _awaits(Calls.create_customer)
    retrieve_customer = _awaits(Calls.retrieve_customer)
    find_customer = _awaits(Calls.find_customer)

    credits = _awaits(Calls.credits)
    spend = _awaits(Calls.spend)
    grant = _awaits(Calls.grant)
    hold = _awaits(Calls.hold)
    settle = _awaits(Calls.settle)
    release = _awaits(Calls.release)
    retrieve_hold = _awaits(Calls.retrieve_hold)
    access = _awaits(Calls.access)

    say = _awaits(Calls.say)
    messages = _awaits(Calls.messages)
    call = _awaits(Calls.call)


def _line(url: str | None, api_key: str | None, settings: Settings | None, work: bool, timeout_s: float) -> AsyncLine:
    """Return the way to the Paydesk that is meant. What serves in this process is imported only where it is needed."""
    remote = remote_of(url, api_key, settings, work)
    if remote is None:
        from paydesk.library_local import AsyncLocalLine

        return AsyncLocalLine(settings or config.load(), work=work)
    from paydesk.library_remote import AsyncRemoteLine

    return AsyncRemoteLine(remote, timeout_s)
