"""What a subscription's people are told, and when: about what has changed, and before something will. Pure."""

from __future__ import annotations

from datetime import datetime

from paydesk.desk import Desk
from paydesk.inbox import Row
from paydesk.subscriptions import Bill

TIMERS: tuple[str, ...] = ()
"""Kinds of timers whose subject is `<customer>|<subscription>`."""


def tell(desk: Desk, before: Bill | None, after: Bill, at: datetime, row: Row) -> None:
    """Say what is news, and set the timers of what is to be said later."""
