"""Reading the events list: money works without a public address, and what a webhook missed is found.

Windows of time are read oldest first and overlap the last one by fifteen minutes, because events may become visible
late; the unique event id makes the overlap harmless. The watermark moves only after a window's events are durable.
Stripe keeps events for 30 days (docs.stripe.com/webhooks/process-undelivered-events).
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Any

import orjson

from paydesk.errors import Invalid, PaydeskError
from paydesk.inbox import Envelope
from paydesk.service import Service
from paydesk.stripe.envelope import envelope

log = logging.getLogger("paydesk.poll")

OVERLAP = timedelta(minutes=15)
WINDOW = timedelta(hours=1)
KEPT = timedelta(days=30)
CHUNK = 500
GAP_S = {"poll": 2.0, "both": 60.0}


async def run(service: Service) -> None:
    """Poll until cancelled, if `STRIPE_EVENTS` asks for it; Stripe or the database being away only delays it."""
    gap_s = GAP_S.get(service.settings.stripe_events)
    if gap_s is None:
        return
    while True:
        try:
            await poll_once(service)
        except PaydeskError as error:
            log.warning("polling waits: %s", error.message)
        except Exception:  # whatever it was, the next round starts afresh
            log.exception("polling failed")
        await asyncio.sleep(gap_s)


async def poll_once(service: Service) -> int:
    """Read everything from the watermark to now; return how many events were new. The first poll starts at install."""
    row = await service.store.fetchrow(
        "SELECT coalesce(polled_until, created_at) AS since, desk_now() AS now FROM desk"
    )
    if row is None:
        return 0
    now: datetime = row["now"]
    start = max(row["since"] - OVERLAP, now - KEPT)
    new = 0
    while start < now:
        end = min(start + WINDOW + OVERLAP, now + timedelta(seconds=1))
        new += await _take_in(service, start, end)
        await service.store.execute(
            "UPDATE desk SET polled_until = greatest(coalesce(polled_until, created_at), $1)", min(end, now)
        )
        start = end if end >= now else end - OVERLAP
    return new


async def _take_in(service: Service, start: datetime, end: datetime) -> int:
    """Receive the events created in a window, oldest first; return how many were new."""
    events = await service.gateway.events_between(int(start.timestamp()), int(end.timestamp()) + 1)
    envelopes = [letter for event in reversed(events) if (letter := _readable(event)) is not None]
    new = 0
    for start_at in range(0, len(envelopes), CHUNK):
        chunk = envelopes[start_at : start_at + CHUNK]
        new += sum(await asyncio.gather(*(service.receiver.receive(letter) for letter in chunk)))
    return new


def _readable(event: dict[str, Any]) -> Envelope | None:
    """Return an event's envelope; one that cannot be read is told and left out, it must not hold the others up."""
    try:
        return envelope(orjson.dumps(event))
    except Invalid as error:
        log.error("event %s cannot be read: %s", event.get("id"), error.message)
        return None
