"""How much waits where: for `/v1/status`, for the metrics, and for anybody who wants to see empty queues."""

from __future__ import annotations

from typing import Any

from paydesk import inbox, outbox
from paydesk.store import Store
from paydesk.telemetry import WAITING


async def queues(store: Store) -> dict[str, Any]:
    """Return the numbers of rows that wait in the inbox, the outbox and the timers."""
    received = await inbox.counts(store)
    leaving = await outbox.counts(store)
    timed = await store.fetchrow(
        "SELECT count(*) AS waiting, count(*) FILTER (WHERE due <= desk_now()) AS due FROM timer WHERE state = 'waiting'"
    )
    return {
        "inbox": dict(received.items()),
        "outbox": dict(leaving.items()),
        "timers": dict(timed.items()) if timed is not None else {},
    }


async def measure(store: Store) -> None:
    """Set the figures of waiting rows for Prometheus."""
    for queue, numbers in (await queues(store)).items():
        for state, number in numbers.items():
            WAITING.labels(queue, state).set(number)
