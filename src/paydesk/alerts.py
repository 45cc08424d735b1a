"""What the people of the desk are told of troubles outside of money: at most once an hour for each of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from paydesk import customers, manners, outbox
from paydesk.inbox import Row
from paydesk.outbox import Delivery, Message
from paydesk.reaching import waiting_for_mend
from paydesk.store import Store

HOUR_S = 3600
MISCONFIGURED = "alert_misconfigured"

QUIET = (manners.NOTICES, manners.REPLY)
"""What nobody is alerted of: alerts themselves, and answers to what was said."""


def of(template: str, about: str, **params: object) -> Message:
    """Return an alert about something; more of the same within the hour are one."""
    key = f"alert:{template}:{about}:{int(time.time()) // HOUR_S}"
    return Message(key, None, customers.ADMIN, "desk", f"alert_{template}", dict(params))


def of_channel(template: str, channel: str, *, about: str = "*", **params: object) -> Message:
    """Return an alert about a channel, or a space or role of it."""
    return of(template, f"{channel}:{about}", channel=channel, resource=about, **params)


async def counted(store: Store, template: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of an alert with what is counted when it is told: how much waits for what is broken."""
    if template != MISCONFIGURED:
        return params
    whom = waiting_for_mend(params["channel"], params["resource"])
    return {**params, "number": await outbox.held_number(store, whom)}


def of_deleted(delivery: Delivery, subscription: str, name: str) -> Message:
    """Return an alert, once for ever, that somebody is billed whose account on a channel was deleted."""
    params = {"customer": delivery.customer, "channel": delivery.channel, "subscription": subscription, "name": name}
    key = f"alert:billed_for_nobody:{delivery.channel}:{delivery.address}:{subscription}"
    return Message(key, delivery.customer, customers.ADMIN, "desk", "alert_billed_for_nobody", params)


def of_dead(delivery: Delivery, reason: str) -> tuple[Message, ...]:
    """Return an alert about a message that cannot be delivered, or an action that cannot be done.

    Of one channel and kind one an hour is told, of a role or place one for each change of it. An alert that a channel
    does not take is no reason for another one: it stands in the thread `admin`.
    """
    if delivery.channel == customers.ADMIN or delivery.template in QUIET:
        return ()
    about = f"{delivery.channel}:{delivery.template}:{int(time.time()) // HOUR_S}"
    if delivery.template in ("grant", "revoke"):
        params = delivery.params
        about = f"{delivery.channel}:{delivery.address}:{params['space']}|{params['role']}:{params['version']}"
    params = {"channel": delivery.channel, "number": delivery.id, "what": delivery.template, "because": reason[:300]}
    key = f"alert:undelivered:{about}"
    return (Message(key, delivery.customer, customers.ADMIN, "desk", "alert_undelivered", params),)


def of_row(row: Row, reason: str) -> Message:
    """Return an alert about something that came in and cannot be handled: a person must look."""
    params = {"what": row.kind, "resource": row.external_id, "because": reason[:300]}
    return Message(
        f"alert:quarantined:{row.id}", None, customers.ADMIN, "desk", "alert_quarantined", params, inbox_id=row.id
    )
