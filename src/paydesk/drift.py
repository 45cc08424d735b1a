"""Once an hour: what people really have on each channel against what they are to have, repaired and reported.

Somebody takes a role away by hand, a server is restored, an answer was lost: what is wanted is what counts. Whoever
is not in a space at all is left alone (they have it on arrival), and what was never ours to give is never taken.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from paydesk import alerts, memberships, outbox, reaching
from paydesk.channels.base import Address, Channel, DeliveryError, Moved, RetryLater
from paydesk.errors import PaydeskError
from paydesk.leases import Lease
from paydesk.memberships import Membership, Place
from paydesk.notebook import Notebook, note_move, now_at
from paydesk.outbox import Message
from paydesk.senders import Pace
from paydesk.service import Service
from paydesk.store import Record

log = logging.getLogger("paydesk.drift")

HOUR_S = 3600.0
FIRST_S = 300.0
PAGE = 200
ENDPOINTS = "webhook"
"""What waits for an endpoint that is disabled waits until somebody enables it."""

SHARE = 4
"""Looks take at most one in so many of the calls that a platform allows: messages go first."""

ROWS = """
SELECT m.customer_id, m.space, m.role, m.wanted, m.version, i.external_id
FROM membership m JOIN identity i ON i.customer_id = m.customer_id AND i.channel = m.channel
WHERE m.channel = $1 AND (m.wanted OR m.changed_at > desk_now() - interval '7 days')
  AND (i.external_id, m.space, m.role, m.customer_id) > ($2, $3, $4, $5)
  AND NOT EXISTS (
    SELECT FROM outbox o WHERE o.channel = $1 AND o.address = i.external_id AND o.conversation = m.space || '|' || m.role
      AND o.template IN ('grant','revoke') AND o.state IN ('ready','leased','waiting') AND o.waits_for IS DISTINCT FROM
      'join:' || $1 || ':' || m.space || ':' || i.external_id)
ORDER BY i.external_id, m.space, m.role, m.customer_id LIMIT $6
"""

LATE_PARKED = """
SELECT count(*) FROM inbox WHERE state = 'parked' AND received_at < now() - interval '1 hour'
"""


@dataclass(slots=True)
class Report:
    """What a look found: how many people and spaces were looked at, what was given and taken, what failed."""

    looked: int = 0
    given: int = 0
    taken: int = 0
    failed: int = 0


async def run(service: Service) -> None:
    """Look every hour until cancelled, in one process only."""
    lease = Lease(service.store, "drift")
    await asyncio.sleep(FIRST_S)
    while True:
        try:
            if await lease.hold() and await _is_time(service):
                await once(service)
        except PaydeskError as error:
            log.warning("drift was not looked for: %s", error)
        except Exception:
            log.exception("the look for drift failed")
        await asyncio.sleep(HOUR_S)


async def _is_time(service: Service) -> bool:
    """Say whether the last look is an hour old, whichever process looked, and note this one."""
    notes = Notebook(service.store, "drift")
    last, now = await notes.get("looked"), time.time()
    if last is not None and now - last["at"] < HOUR_S * 0.9:
        return False
    await notes.put("looked", {"at": now})
    return True


async def once(service: Service) -> dict[str, Report]:
    """Look at every channel that lets people in, try again what waits for a set-up, and tell what was found."""
    reports = {}
    for channel in service.channels.values():
        if channel.name != ENDPOINTS:
            await outbox.probe(service.store, f"mend:{channel.name}:")
        if channel.admits:
            reports[channel.name] = await look(service, channel)
    told = [_told(name, report) for name, report in reports.items() if report.given or report.taken]
    parked = await service.store.fetchval(LATE_PARKED)
    if parked:
        told.append(alerts.of("parked", "inbox", number=parked))
    async with service.store.transaction() as tx:
        await outbox.put(tx, told)
    return reports


def _told(channel: str, report: Report) -> Message:
    return alerts.of_channel("drift", channel, given_number=report.given, taken_number=report.taken)


async def look(service: Service, channel: Channel) -> Report:
    """Compare and repair one channel, a page of people at a time."""
    report = Report()
    pace = Pace(channel.limits.per_s / SHARE)
    after = ("", "", "", "")
    while rows := await service.store.fetch(ROWS, channel.name, *after, PAGE):
        last = rows[-1]
        after = (last["external_id"], last["space"], last["role"], last["customer_id"])
        for (external_id, space), held in groupby(rows, key=lambda row: (row["external_id"], row["space"])):
            await _compare(service, channel, Address(channel.name, external_id), space, list(held), pace, report)
    return report


async def _compare(
    service: Service, channel: Channel, who: Address, space: str, rows: Iterable[Record], pace: Pace, report: Report
) -> None:  # fmt: skip
    await pace.take()
    try:
        roles = await _actual(service, channel, who, space)
    except RetryLater as later:
        report.failed += 1
        await asyncio.sleep(min(later.after_s or 0.0, 60.0))
        return
    except DeliveryError as error:
        report.failed += 1
        log.info("%s: %s in %s could not be looked at: %s", channel.name, who.external_id, space, error)
        return
    report.looked += 1
    if "" in roles:
        await reaching.arrived(service.store, who, space)
    wrong = [one for row in rows if (one := _membership(channel.name, row)) and _is_wrong(one, roles)]
    await _repair(service, who, wrong, report)


async def _actual(service: Service, channel: Channel, who: Address, space: str) -> set[str]:
    """Return the roles of a person in a space, under the id that it has now."""
    try:
        return await channel.actual(who, await now_at(service.store, channel.name, space))
    except Moved as moved:
        await note_move(service.store, channel.name, moved.old, moved.new)
        return await channel.actual(who, moved.new)


def _membership(channel: str, row: Record) -> Membership:
    return Membership(row["customer_id"], Place(channel, row["space"], row["role"]), row["wanted"], row["version"])


def _is_wrong(one: Membership, roles: set[str]) -> bool:
    """Say whether somebody who is in a space lacks a role they are to have, or still has what they are not to have."""
    if one.wanted:
        return bool(one.place.role) and "" in roles and one.place.role not in roles
    return one.place.role in roles


async def _repair(service: Service, who: Address, wrong: Iterable[Membership], report: Report) -> None:
    because = f":drift:{int(time.time() // HOUR_S)}"
    messages = []
    for one in wrong:
        messages.append(memberships.told(one, who.external_id, because=because))
        report.given += one.wanted
        report.taken += not one.wanted
    if messages:
        async with service.store.transaction() as tx:
            await outbox.put(tx, messages)
        service.bell.ring("outbox")
