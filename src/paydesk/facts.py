"""Our own words for what is now a fact, whoever told us.

A fact says how something *is*, never what to add. Each may arrive many times, in any order, and once is enough.
`at` is the fact's own time, as its teller gives it. Amounts are in the smallest unit of `currency`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SessionIs:
    """A Checkout session's state. `complete` alone is not paid: `payment_status` decides."""

    at: datetime
    session: str
    order: str
    status: str
    payment_status: str
    intent: str | None
    stripe_customer: str | None
    amount: int
    currency: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class IntentIs:
    """A payment intent's state: `succeeded`, `failed` (a try was refused, another may follow) or `canceled`."""

    at: datetime
    intent: str
    order: str
    status: str
    stripe_customer: str | None
    amount: int
    currency: str
    charge: str | None
    failure_code: str | None = None
    failure_message: str | None = None


@dataclass(frozen=True, slots=True)
class ChargeIs:
    """A successful charge, with the card as a buyer knows it and where its fee is written."""

    at: datetime
    charge: str
    order: str
    intent: str
    stripe_customer: str | None
    amount: int
    currency: str
    balance_transaction: str | None
    card_brand: str | None
    card_last4: str | None


@dataclass(frozen=True, slots=True)
class TimerFired:
    """Desk time has reached `due` for `subject`."""

    at: datetime
    kind: str
    subject: str


Fact = SessionIs | IntentIs | ChargeIs | TimerFired


# --- what a reader may say instead of a fact -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """The envelope does not say enough: look at this object first (`kind` as Stripe names it)."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing to do, and why: an unhandled type, a foreign object, another mode."""

    reason: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """Verified, but not what its kind must look like: a person has to see it."""

    reason: str


Reading = Fact | Look | Ignored | Impossible
