"""Paydesk, the pay desk for chat products: payments and entitlements on Stripe, inside the conversation.

    from paydesk import PaymentItem, PaymentManager, create_app

What is named here is imported when it is first used: `import paydesk` itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from paydesk.app import create_app
    from paydesk.library import PaymentManager, construct_event
    from paydesk.library_async import AsyncPaymentManager
    from paydesk.library_shapes import Identity
    from paydesk.library_sold import PaymentItem

__all__ = ["AsyncPaymentManager", "Identity", "PaymentItem", "PaymentManager", "construct_event", "create_app"]

_HOME = {
    "AsyncPaymentManager": "library_async",
    "Identity": "library_shapes",
    "PaymentItem": "library_sold",
    "PaymentManager": "library",
    "construct_event": "library",
    "create_app": "app",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
