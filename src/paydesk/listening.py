"""Channels in the background: prepared once, and polled where their platform does not call us, by one process only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from paydesk import alerts, arrivals, outbox
from paydesk.channels.base import Arrival, Channel, DeliveryError, Misconfigured
from paydesk.errors import PaydeskError
from paydesk.leases import RENEW_S, Lease
from paydesk.service import Service

log = logging.getLogger("paydesk.channels")

REST_S = 5.0
BROKEN_REST_S = 60.0


async def run(service: Service) -> None:
    """Prepare every channel, and poll until cancelled those that poll. A channel that fails disturbs no other."""
    async with asyncio.TaskGroup() as group:
        for channel in service.channels.values():
            group.create_task(_live(service, channel), name=f"listen {channel.name}")


async def _live(service: Service, channel: Channel) -> None:
    await _prepare(service, channel)
    if type(channel).poll is Channel.poll:
        return
    lease = Lease(service.store, f"poll:{channel.name}")
    try:
        while True:
            if await _is_ours(lease):
                await asyncio.sleep(await _poll(service, channel, lease))
            else:
                await asyncio.sleep(REST_S)
    finally:
        await asyncio.shield(_let_go(lease))


async def _prepare(service: Service, channel: Channel) -> None:
    """Let a channel prepare itself, and try again what waited for its set-up: it may have been mended meanwhile."""
    try:
        await outbox.wake_all(service.store, f"mend:{channel.name}:")
        await channel.start()
    except Misconfigured as broken:
        await _tell(service, channel, broken)
    except Exception as error:  # nothing depends on it: what is not prepared is told by `paydesk check`
        log.warning("%s could not be prepared: %s", channel.name, error)


async def _poll(service: Service, channel: Channel, lease: Lease) -> float:
    """Poll while the lease is ours; return how long to rest before the next try."""

    async def keep(found: Sequence[Arrival]) -> None:
        await arrivals.keep(service.receiver, channel.name, found, livemode=service.gateway.livemode)

    polling = asyncio.create_task(channel.poll(keep), name=f"poll {channel.name}")
    try:
        while not polling.done() and await _is_still_ours(lease):
            await asyncio.wait([polling], timeout=RENEW_S / 2)
    finally:
        polling.cancel()
        ends = await asyncio.gather(polling, return_exceptions=True)
    return await _why(service, channel, ends[0])


async def _why(service: Service, channel: Channel, end: BaseException | None) -> float:
    """Say why polling has ended, and return how long to rest."""
    if isinstance(end, Misconfigured):
        await _tell(service, channel, end)
        return BROKEN_REST_S
    if isinstance(end, DeliveryError | PaydeskError):
        log.warning("%s: polling waits: %s", channel.name, end)
    elif isinstance(end, Exception):
        log.error("%s: polling failed", channel.name, exc_info=end)
    return REST_S


async def _tell(service: Service, channel: Channel, broken: Misconfigured) -> None:
    log.error("%s: %s; what mends it: %s", channel.name, broken, broken.mend)
    told = alerts.of_channel(
        "misconfigured", channel.name, about=broken.resource, because=str(broken), mend=broken.mend
    )
    try:
        async with service.store.transaction() as tx:
            await outbox.put(tx, [told])
    except PaydeskError as error:
        log.warning("%s: nobody could be told: %s", channel.name, error)


async def _is_ours(lease: Lease) -> bool:
    try:
        return await lease.hold()
    except PaydeskError:
        return False


async def _is_still_ours(lease: Lease) -> bool:
    """Say whether nobody else has taken the lease over: while the database is away nobody can.

    What was fetched and not stored yet is kept through an outage. Should two poll, each arrival is stored once.
    """
    try:
        return await lease.hold()
    except PaydeskError:
        return True


async def _let_go(lease: Lease) -> None:
    try:
        await lease.release()
    except PaydeskError:
        return
