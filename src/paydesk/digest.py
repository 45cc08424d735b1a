"""What the people of the desk are told, brought to where they are: a line for each alert, bursts in one message.

Every alert stands in the thread `admin`, and goes on from there to the chat that each channel names for them. Alerts
that come within some seconds of each other are told together, equal ones once with their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from paydesk import alerts, manners
from paydesk.channels.base import Channel
from paydesk.chat.texts import Texts
from paydesk.outbox import Delivery, Message
from paydesk.store import Store

BURST_S = 3.0
"""So long the first alert waits for others."""

LINES_MAX = 20

WITH = f"""
UPDATE outbox SET params = params || jsonb_build_object('with', ARRAY(
    SELECT peer.id FROM outbox peer
    WHERE peer.channel = $1 AND peer.address = $2 AND peer.conversation IS NOT DISTINCT FROM $3
      AND peer.template = '{manners.NOTICES}' AND peer.state = 'ready' AND peer.id > $4
    ORDER BY peer.id LIMIT 500))
WHERE id = $4 AND claim_id = $5 RETURNING params -> 'with'
"""
"""Written down before it is told: an attempt that may have arrived is repeated with the same alerts, no others."""

TOLD = "SELECT params FROM outbox WHERE id = ANY($1::bigint[]) ORDER BY id"


def fan_out(delivery: Delivery, channels: Mapping[str, Channel]) -> tuple[Message, ...]:
    """Return an alert once more for every channel where the people of the desk can be told it."""
    params = {"template": delivery.template, "params": delivery.params}
    return tuple(
        Message(f"{delivery.key}|at:{name}", None, name, channel.admin.external_id, manners.NOTICES, params,
                channel.admin.conversation)
        for name, channel in channels.items() if channel.admin is not None
    )  # fmt: skip


def rest_of_burst_s(delivery: Delivery) -> float:
    """Return for how long an alert still waits for others."""
    age_s = (datetime.now(UTC) - delivery.created_at).total_seconds()
    return max(0.0, BURST_S - age_s)


async def together(store: Store, spoken: Texts, delivery: Delivery) -> tuple[str, tuple[int, ...]]:
    """Return the text that tells an alert and those that wait behind it, and the ids of the latter."""
    also = delivery.params.get("with")
    if also is None:
        here = (delivery.channel, delivery.address, delivery.conversation)
        also = await store.fetchval(WITH, *here, delivery.id, delivery.claim_id) or []
    rows = await store.fetch(TOLD, also)
    told = [delivery.params, *(row["params"] for row in rows)]
    counted = [{**one, "params": await alerts.counted(store, one["template"], one["params"])} for one in told]
    return text_of(spoken, counted), tuple(also)


def text_of(spoken: Texts, told: Sequence[Mapping[str, Any]]) -> str:
    """Return alerts as lines, oldest first; more than there is room for are only counted."""
    lines = Counter(spoken.render(one["template"], one["params"], None)[0] for one in told)
    shown = [line if number == 1 else f"{line} (×{number})" for line, number in list(lines.items())[:LINES_MAX]]
    more = sum(lines.values()) - sum(list(lines.values())[:LINES_MAX])
    return "\n".join([*shown, *([f"… and {more} more: paydesk events list, paydesk deliveries list"] if more else [])])
