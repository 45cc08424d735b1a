"""What follows from how an attempt ended: the closed table from a channel's errors to what becomes of the message.

Pure but for one look at where else a person can be told things.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime

from paydesk import alerts, manners, outbox
from paydesk.channels.base import (
    Address,
    DeliveryError,
    Gone,
    Misconfigured,
    NeedsUser,
    Refused,
    RetryLater,
    Unknown,
)
from paydesk.outbox import Delivery, Message, Result
from paydesk.reaching import Unreachable, waiting_for, waiting_for_mend

AGAIN_S = 60.0
"""A receipt that may not have arrived is said once more after this, or a repeat that changes nothing is made."""

LONG_REST_S = 300.0
"""Whoever runs the desk hears of a channel that rests for longer."""

MAY_HAVE = "may have arrived"

COME_IN = "come_in"
"""What somebody is told whose place is ready, with the link that leads to it."""

Elsewhere = Callable[[list[list[str]]], Awaitable[Address | None]]
"""Finds another address of the same person, where a message has not been tried."""


async def of(error: DeliveryError, delivery: Delivery, to: Address, elsewhere: Elsewhere) -> Result:
    """Return what becomes of a message whose attempt ended with `error`."""
    match error:
        case RetryLater():
            return _later(error, delivery)
        case Unknown():
            return _unknown(error, delivery)
        case NeedsUser() if delivery.template in ("grant", "revoke"):
            return _join_first(error, delivery, to)
        case NeedsUser() if delivery.template in manners.REPEATABLE:  # nobody else can be given back somebody's money
            return Result("dead", f"NeedsUser: {error}", messages=alerts.of_dead(delivery, str(error)))
        case NeedsUser():
            return await _needs_user(error, delivery, to, elsewhere)
        case Misconfigured():
            return _misconfigured(error, delivery)
        case Refused():
            return _refused(error, delivery)
        case Gone():
            return Result("dead", f"gone: {error}")
        case _:
            return Result("later", str(error), away=True)


def _later(error: RetryLater, delivery: Delivery) -> Result:
    rest_s = error.after_s if error.everyone else None
    told: tuple[Message, ...] = ()
    if rest_s is not None and rest_s >= LONG_REST_S:
        told = (alerts.of_channel("channel_away", delivery.channel, because=str(error)),)
    return Result(
        "later",
        str(error),
        wait_s=error.after_s,
        counted=error.counted,
        away=error.counted and error.after_s is None,
        rest_s=rest_s,
        messages=told,
    )


def _unknown(error: Unknown, delivery: Delivery) -> Result:
    """It may have arrived: repeat what changes nothing, a receipt or warning once, and nothing else."""
    repeatable = error.repeatable or delivery.template in manners.REPEATABLE
    again = repeatable or (not delivery.unknown and delivery.template != manners.REPLY)
    if not again:
        return Result("sent", f"{MAY_HAVE}: {error}", away=True)
    wait_s = None if repeatable and delivery.attempts > 1 else AGAIN_S
    return Result("later", f"{outbox.UNKNOWN}: {error}", wait_s=wait_s, away=True)


def kept(result: Result) -> Result:
    """Return what becomes of a message that may have arrived, while its platform answers nobody: it is said again.

    Then it most likely has not arrived, and nothing may be lost.
    """
    if result.outcome == "sent" and result.away:
        return Result("later", result.detail, wait_s=AGAIN_S, counted=False, away=True)
    return result


async def _needs_user(error: NeedsUser, delivery: Delivery, to: Address, elsewhere: Elsewhere) -> Result:
    """Keep it until they are there again, and tell them elsewhere meanwhile; reminders are dropped."""
    lost = (to.channel, to.external_id, str(error)[:200], error.for_ever, error.deleted)
    reason = f"NeedsUser: {error}"
    if delivery.template in manners.REMINDERS:
        return Result("sent", f"dropped: {reason}", lost=lost)
    tried = [*delivery.params.get("tried", []), [to.channel, to.external_id]]
    other = await elsewhere(tried) if delivery.customer is not None else None
    via = () if other is None else (_via(delivery, other, tried),)
    if "instead_of" in delivery.params or error.for_ever:
        told = via or alerts.of_dead(delivery, str(error))
        return Result(
            "dead" if not via else "sent", f"{reason}{': told elsewhere' if via else ''}", lost=lost, messages=told
        )
    aside = () if error.aside is None else (_aside(delivery, to, error.aside),)
    return Result("waiting", reason, waits_for=waiting_for(to), lost=lost, messages=via + aside)


def _via(delivery: Delivery, other: Address, tried: list[list[str]]) -> Message:
    """Return the same message to another address of the same person."""
    first = delivery.params.get("instead_of", delivery.key)
    without_answers = {name: value for name, value in delivery.params.items() if name != "answers"}
    return Message(
        key=f"{first}|via:{other.channel}:{other.external_id}",
        customer=delivery.customer,
        channel=other.channel,
        address=other.external_id,
        template=delivery.template,
        params={**without_answers, "tried": tried, "instead_of": first},
    )


def _aside(delivery: Delivery, to: Address, conversation: str) -> Message:
    """Return what calls them to look, in front of others: nothing of what it is about, and once a day."""
    key = f"aside:{to.channel}:{to.external_id}:{datetime.now(UTC):%Y-%m-%d}"
    return Message(key, delivery.customer, to.channel, to.external_id, manners.ASIDE, {}, conversation)


def _join_first(error: NeedsUser, delivery: Delivery, to: Address) -> Result:
    """Whoever is not in there yet has it on arrival; they are told so."""
    space = str(delivery.params["space"])
    told = Message(
        key=f"join:{delivery.key}",
        customer=delivery.customer,
        channel=to.channel,
        address=to.external_id,
        template="join_first",
        params={"channel": to.channel.capitalize(), "url": error.way_in_url},
    )
    return Result("waiting", f"NeedsUser: {error}", waits_for=waiting_for(to, space), messages=(told,))


def _misconfigured(error: Misconfigured, delivery: Delivery) -> Result:
    told = alerts.of_channel(
        "misconfigured", delivery.channel, about=error.resource, because=str(error), mend=error.mend
    )  # fmt: skip
    return Result(
        "waiting", f"Misconfigured: {error}", waits_for=waiting_for_mend(delivery.channel, error.resource),
        messages=(told,), rest_s=LONG_REST_S if error.resource == "*" else None,
    )  # fmt: skip


def _refused(error: Refused, delivery: Delivery) -> Result:
    if error.done:
        told = () if error.tell is None else alerts.of_dead(delivery, error.tell)
        return Result("sent", f"nothing more to do: {error}", messages=told)
    return Result("dead", f"Refused: {error}", messages=alerts.of_dead(delivery, error.tell or str(error)))


async def still_lost(why: Unreachable, delivery: Delivery, to: Address, elsewhere: Elsewhere) -> Result:
    """Return what becomes of a message to somebody who is known to be out of reach: it is not tried.

    It waits for who may come back, also for who said STOP; nobody comes back to an account that was deleted.
    """
    error = NeedsUser(why.reason, deleted=why.deleted)
    return replace(await _needs_user(error, delivery, to, elsewhere), lost=None, asked=False)


def sent(delivery: Delivery, receipt: dict[str, object], to: Address) -> Result:
    """Return what follows from success: what waited for the same set-up is tried, what it stood for need not be."""
    result = Result("sent", receipt=receipt)
    if "instead_of" in delivery.params:
        result = replace(result, withdraws=str(delivery.params["instead_of"]))
    if delivery.attempts > 1 or delivery.template in ("grant", "revoke"):
        result = replace(result, wakes=_mended(delivery))
    if delivery.waited_for is not None:  # it was tried to see whether that is mended, and it is
        result = replace(result, wakes=(*result.wakes, delivery.waited_for))
    tell = receipt.pop("tell", None)
    if isinstance(tell, dict):
        result = replace(result, messages=(_tell(delivery, tell, to),))
    return result


def _mended(delivery: Delivery) -> tuple[str, ...]:
    """Return what this success shows to be set up well."""
    resources = ["*"]
    if delivery.template in ("grant", "revoke"):
        space, role = delivery.params["space"], delivery.params["role"]
        resources += [str(space), f"{space}|{role}"]
    return tuple(waiting_for_mend(delivery.channel, resource) for resource in resources)


def _tell(delivery: Delivery, tell: dict[str, object], to: Address) -> Message:
    template, params = manners.REPLY, {"text": tell.get("text", ""), "buttons": tell.get("buttons", [])}
    if tell.get("kind") == COME_IN:
        template, params = COME_IN, {"url": tell["url"]}
    return Message(f"tell:{delivery.key}", delivery.customer, to.channel, to.external_id, template, params)
