"""What a conversation and its contact show of a payment: which labels, which attributes. Pure but for `show`.

Only what is ours is ever taken away or changed: labels and attributes of others stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from paydesk.channels.base import Refused
from paydesk.channels.chatwoot_calls import Calls
from paydesk.channels.chatwoot_settings import Names

ROUNDS = 3
"""How often we write what somebody else writes at the same time, before we say so and let it be."""

COLOR = "#1f93ff"

STATES = {
    "offer": "pending",
    "pending": "pending",
    **dict.fromkeys(("payment_failed", "renewal_failed", "action_required", "subscription_unpaid"), "failed"),
    **dict.fromkeys(("grace_72", "grace_24"), "failed"),
    **dict.fromkeys(("paid", "subscribed", "trial_paid", "renewed", "recovered", "change_paid", "bill_paid"), "paid"),
    **dict.fromkeys(("trial_started", "dispute_won", "refund_failed"), "paid"),
    **dict.fromkeys(("refunded", "dispute_lost"), "refunded"),
}
"""What a message's template says of the payment; others (a part refunded, a dispute that is open) change nothing."""

LESSONS = {"trial": "trial_lesson", "standard": "definitief"}
"""What a lesson of a segment is called in its status; others are called like their segment."""


@dataclass(frozen=True, slots=True)
class Status:
    """What is to be shown: labels on and off, attributes of the conversation and the contact.

    `first` are attributes of the contact that are written only where it has none: what an agent chose stays.
    """

    on: frozenset[str]
    off: frozenset[str]
    conversation: Mapping[str, Any]
    contact: Mapping[str, Any] = field(default_factory=dict)
    first: Mapping[str, Any] = field(default_factory=dict)


def status_of(kind: str, facts: Mapping[str, Any], names: Names) -> Status | None:
    """Return what a message of `kind` lets be shown, `None` when it tells nothing of a payment's state.

    `facts` may name `order`, `link` (our /r/ link), `paid_at` and `customer_since` (ISO 8601), `grants` (each with its
    `kind`), `segment` and `minutes` of the price, `paid` (or `amount`) and `refunded` (smallest unit). What was free
    makes nobody a customer: the contact stays as it is.
    """
    state = STATES.get(kind)
    if state is None or (kind == "refunded" and facts.get("refunded", 0) < facts.get("paid", 0)):
        return None
    on = {f"payment-{state}"}
    off = {f"payment-{other}" for other in STATES.values() if other != state}
    if state == "paid" and any(grant.get("kind") == "booking" for grant in facts.get("grants", ())):
        on.add("status-booked")
    if state == "refunded":
        off.add("status-booked")
    paid = state == "paid" and (facts.get("paid") or facts.get("amount") or 0) > 0
    return Status(
        on=frozenset(names.all_of(tuple(on))),
        off=frozenset(names.all_of(tuple(off))),
        conversation=_named(names, _of_conversation(state, facts)),
        contact=_named(names, {"has_paid_lesson": True} if paid else {}),
        first=_named(names, _of_customer(facts) if paid else {}),
    )


def _of_conversation(state: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    segment = facts.get("segment")
    paid = state == "paid"
    return {
        "order_id": facts.get("order"),
        "payment_status": state,
        "payment_date": facts.get("paid_at") if paid else None,
        "payment_link": facts.get("link"),
        "lesson_minutes": facts.get("minutes"),
        "lesson_status": LESSONS.get(str(segment), segment) if paid else None,
    }


def _of_customer(facts: Mapping[str, Any]) -> dict[str, Any]:
    since = facts.get("customer_since") or facts.get("paid_at")
    return {"customer_since": since, "segment": facts.get("segment")}


def _named(names: Names, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by the names they have there; what is not known or turned off is left out."""
    return {names.of(name): value for name, value in values.items() if value is not None and names.of(name)}


def satisfied(labels: Iterable[str], status: Status) -> bool:
    """Tell whether labels are as they are to be."""
    has = set(labels)
    return status.on <= has and not status.off & has


def merged(labels: Iterable[str], status: Status) -> list[str]:
    """Return labels with ours put right, those of others as they are and in their order."""
    kept = [label for label in labels if label not in status.off]
    return [*kept, *sorted(status.on - set(kept))]


# --- making it so ----------------------------------------------------------------------------------------------------


async def show(calls: Calls, conversation: str, contact: str, status: Status) -> None:
    """Let a conversation and its contact show `status`. Repeating it changes nothing.

    One at a time in a conversation, which the queue sees to. Raises `Refused` of the row cw-labels-differ when somebody
    undoes it each time.
    """
    sender = await _show_attributes(calls, conversation, status)
    await _show_labels(calls, conversation, status)
    has = sender.get("custom_attributes") or {}
    wanted = {**status.contact, **{name: value for name, value in status.first.items() if not has.get(name)}}
    if any(has.get(name) != value for name, value in wanted.items()):
        await calls.put_contact(str(sender.get("id") or contact), wanted)


async def _show_attributes(calls: Calls, conversation: str, status: Status) -> Mapping[str, Any]:
    """Set the conversation's attributes, and return its contact as it was read."""
    for turn in range(ROUNDS + 1):
        seen = await calls.conversation(conversation)
        has = seen.get("custom_attributes") or {}
        if all(has.get(name) == value for name, value in status.conversation.items()):
            return (seen.get("meta") or {}).get("sender") or {}
        if turn < ROUNDS:
            await calls.put_attributes(conversation, {**has, **status.conversation})
    raise _differ("attributes", status.conversation)


async def _show_labels(calls: Calls, conversation: str, status: Status) -> None:
    for turn in range(ROUNDS + 1):
        has = await calls.labels_of(conversation)
        if satisfied(has, status):
            return
        if turn:  # the server may have dropped a label that the account does not have
            for title in status.on - await calls.labels():
                await calls.make_label(title, COLOR)
        if turn < ROUNDS:
            await calls.put_labels(conversation, merged(has, status))
    raise _differ("labels", status.on)


def _differ(what: str, wanted: Iterable[str]) -> Refused:
    text = f"the {what} {', '.join(sorted(wanted))} could not be set: somebody or something changes them back"
    return Refused(text, rule="cw-labels-differ")
