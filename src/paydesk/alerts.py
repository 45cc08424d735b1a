"""What the people of the desk are told of troubles outside of money: at most once an hour for each of them."""

from __future__ import annotations

import time

from paydesk import customers, manners
from paydesk.inbox import Row
from paydesk.outbox import Delivery, Message

HOUR_S = 3600


def of(template: str, about: str, **params: object) -> Message:
    """Return an alert about something; more of the same within the hour are one."""
    key = f"alert:{template}:{about}:{int(time.time()) // HOUR_S}"
    return Message(key, None, customers.ADMIN, "desk", f"alert_{template}", dict(params))


def of_channel(template: str, channel: str, *, about: str = "*", **params: object) -> Message:
    """Return an alert about a channel, or a space or role of it."""
    return of(template, f"{channel}:{about}", channel=channel, resource=about, **params)


def of_delivery(delivery: Delivery, reason: str) -> Message:
    """Return an alert about a message that cannot be delivered, or an action that cannot be done.

    Of alerts themselves that a channel does not take, one an hour tells: this one may not be taken either.
    """
    about = f"{delivery.id}"
    if delivery.template == manners.NOTICES:
        about = f"{manners.NOTICES}:{delivery.channel}:{int(time.time()) // HOUR_S}"
    params = {"channel": delivery.channel, "number": delivery.id, "what": delivery.template, "because": reason[:300]}
    return Message(
        f"alert:undelivered:{about}", delivery.customer, customers.ADMIN, "desk", "alert_undelivered", params
    )


def of_row(row: Row, reason: str) -> Message:
    """Return an alert about something that came in and cannot be handled: a person must look."""
    params = {"what": row.kind, "resource": row.external_id, "because": reason[:300]}
    return Message(
        f"alert:quarantined:{row.id}", None, customers.ADMIN, "desk", "alert_quarantined", params, inbox_id=row.id
    )
