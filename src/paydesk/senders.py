"""Sending: each channel has a sender of its own, so that none waits for another.

A sender takes what is due as fast as its platform allows, so many at once, and not two to one chat within its gap.
When the platform does not answer it rests, longer each time, and then tries a single message: what waits meanwhile
uses up no attempts, however long that lasts. A channel with `one_sender` is served by one process, by lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from time import monotonic

from paydesk import alerts, outbox, outcomes, turns
from paydesk.channels.base import Channel, Limits
from paydesk.deliver import Deliverer
from paydesk.errors import StoreUnavailable
from paydesk.leases import Lease
from paydesk.outbox import Delivery
from paydesk.store import Store
from paydesk.store.bell import Bell
from paydesk.store.pool import AWAY, ROLLED_BACK
from paydesk.telemetry import DELIVERED

log = logging.getLogger("paydesk.senders")

IDLE_S = 1.0
UNLIMITED = Limits(per_s=100_000.0, at_once=32)
"""For what is kept to be fetched, and for what we ask of Stripe, which has limits of its own."""

FAILURES_MAX = 5
"""So many attempts in a row that the platform did not answer, and it is taken to be away."""

REST_S_MIN, REST_S_MAX = 2.0, 60.0
STOP_S_MAX = 5.0
FINISHES_MAX = 20

NOT_COMMITTED = (*ROLLED_BACK, *AWAY)
"""Others were in the way, or it took too long: the same may be stored in a moment."""


class Pace:
    """Lets so many through a second; after a rest a fifth of a second's worth at once."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s / 5)
        self._left = self._most
        self._at = monotonic()

    def left(self) -> int:
        """Return how many may go now."""
        now = monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        return int(self._left)

    def spend(self, number: int) -> None:
        """Note that so many went."""
        self._left -= number

    def wait_s(self) -> float:
        """Return the seconds until the next may go."""
        return max(0.0, (1.0 - self._left) / self._per_s)

    async def take(self) -> None:
        """Let one go, as soon as it may."""
        if not self.left():
            await asyncio.sleep(self.wait_s())
            self.left()
        self.spend(1)


class Sender:
    """Sends what is due on one channel."""

    def __init__(self, name: str, limits: Limits, store: Store, deliverer: Deliverer, lease: Lease | None) -> None:
        self.name = name
        self.wanted = asyncio.Event()
        self._limits = limits
        self._store = store
        self._deliverer = deliverer
        self._lease = lease
        self._pace = Pace(limits.per_s)
        self._under_way: dict[asyncio.Task[None], Delivery] = {}
        self._spoken: dict[str, float] = {}
        self._failures = 0
        self._rests = 0
        self._rests_until = 0.0

    async def run(self) -> None:
        """Send until cancelled; what is under way then has some seconds to end."""
        heartbeat = asyncio.create_task(self._keep(), name=f"{self.name} heartbeat")
        try:
            while True:
                self.wanted.clear()
                if not await self._step_safely():  # else as many as could begin did: there may be more
                    await self._something_new()
        finally:
            heartbeat.cancel()
            await self.end()

    async def _step_safely(self) -> bool:
        """Begin what may be sent now; say whether that was as many as may go. What comes later rings, or an end does."""
        free = self._free()
        try:
            begun = await self._begin(free)
            return begun > 0 and begun >= free
        except StoreUnavailable as error:
            log.warning("%s waits: %s", self.name, error)
        except Exception:
            log.exception("%s: a step failed", self.name)
        return False

    def _free(self) -> int:
        """Return how many more may be under way now."""
        room = 1 if self._failures >= FAILURES_MAX else self._limits.at_once
        free = min(room - len(self._under_way), self._pace.left())
        # Where each address has a limit, one at a time: so each claim knows how much every address has under way.
        return min(free, 1) if self._limits.at_once_each else free

    async def _begin(self, free: int) -> int:
        """Begin what may be sent now, so many at most; return how many."""
        if (
            self._lease is not None and not await self._lease.hold()
        ):  # also while it rests: nobody else need find out why
            return 0
        if free < 1 or monotonic() < self._rests_until:
            return 0
        claimed = await turns.claim(self._store, self.name, rows_max=free, resting=self._resting())
        self._pace.spend(len(claimed))
        for delivery in claimed:
            task = asyncio.create_task(self._deliver(delivery), name=f"deliver {delivery.id}")
            self._under_way[task] = delivery
            task.add_done_callback(self._ended)
        return len(claimed)

    async def step_patiently(self) -> int:
        """Send what is due now, as soon as pace and gaps allow it, and wait for its end; return how many."""
        self._resting()
        ready_at = max([monotonic(), *self._spoken.values()])
        await asyncio.sleep(max(ready_at - monotonic(), self._pace.wait_s()))
        sent = await self._begin(self._free())
        while self._under_way:
            await asyncio.wait(self._under_way)
        return sent

    async def end(self) -> None:
        """Let what is under way end, cancel what does not, and give the lease back."""
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=STOP_S_MAX)
            for task in late:
                task.cancel()
        if self._lease is not None:
            with contextlib.suppress(StoreUnavailable):
                await self._lease.release()

    async def _something_new(self) -> None:
        """Wait for something due, for the end of what is under way, for the pace, or for the end of a rest."""
        now = monotonic()
        wait_s = max(self._rests_until - now, self._pace.wait_s())
        if wait_s > 0:
            await asyncio.sleep(min(wait_s, IDLE_S))
            return
        gaps = [until - now for until in self._spoken.values() if until > now]
        with contextlib.suppress(TimeoutError):  # `wait_for` may swallow the end of the task
            async with asyncio.timeout(min([IDLE_S, *gaps])):
                await self.wanted.wait()

    def _resting(self) -> list[str]:
        """Return the chats that have been told something less than a gap ago, or have as much under way as they may."""
        now = monotonic()
        self._spoken = {address: until for address, until in self._spoken.items() if until > now}
        busy = Counter(delivery.address for delivery in self._under_way.values())
        full = [address for address, number in busy.items() if number >= (self._limits.at_once_each or 10_000)]
        return [*self._spoken, *full]

    def _ended(self, task: asyncio.Task[None]) -> None:
        delivery = self._under_way.pop(task)
        if self._limits.chat_gap_s:
            self._spoken[delivery.address] = monotonic() + self._limits.chat_gap_s
        self.wanted.set()

    async def _deliver(self, delivery: Delivery) -> None:
        result = await self._deliverer.attempt(delivery)
        if result.away and self._failures >= FAILURES_MAX - 1:
            result = outcomes.kept(result)
        if outbox.exhausted(delivery, result):
            result = replace(result, outcome="dead")
        if result.outcome == "dead" and not result.messages:
            result = replace(result, messages=alerts.of_dead(delivery, str(result.detail)))
        DELIVERED.labels(delivery.channel, result.outcome).inc()
        if result.outcome == "dead":
            log.error("delivery %s to %s is dead: %s", delivery.id, delivery.channel, result.detail)
        await self._finish(delivery, result)
        await self._note(result)

    async def _finish(self, delivery: Delivery, result: outbox.Result) -> None:
        """Note how it ended, as long as the lease lasts: what was sent and is not noted would be sent again."""
        result = outbox.storable(result)
        for _ in range(FINISHES_MAX):
            try:
                if not await outbox.finish(self._store, delivery, result):
                    log.warning("delivery %s had been taken over", delivery.id)
                return
            except (StoreUnavailable, *NOT_COMMITTED) as error:
                log.warning("the end of delivery %s waits: %s", delivery.id, error)
                await asyncio.sleep(IDLE_S)
            except Exception:  # something in it cannot be stored: then the rest is
                log.exception("the end of delivery %s could not be noted as it is", delivery.id)
                result = outbox.lessened(result)
        log.error("delivery %s is tried again: its end could not be noted", delivery.id)

    async def _note(self, result: outbox.Result) -> None:
        """Rest when the platform asked for it, or has not answered too often in a row."""
        if result.rest_s is not None:
            self._rests_until = max(self._rests_until, monotonic() + result.rest_s)
        if not result.asked:
            return
        if not result.away:
            self._failures = self._rests = 0
            return
        self._failures += 1
        if self._failures < FAILURES_MAX or monotonic() < self._rests_until:  # what had begun before the rest
            return
        self._rests_until = monotonic() + min(REST_S_MIN * 2**self._rests, REST_S_MAX)
        self._rests = min(self._rests + 1, 10)
        if self._rests == 1:
            log.warning("%s does not answer: %s", self.name, result.detail)
            await self._deliverer.note_away(self.name, result.detail)

    async def _keep(self) -> None:
        """Lengthen the leases of what is still under way."""
        while await asyncio.sleep(outbox.LEASE_S / 3, True):
            if self._under_way:
                with contextlib.suppress(StoreUnavailable, *NOT_COMMITTED):
                    await outbox.renew(self._store, list(self._under_way.values()))


class Senders:
    """All senders of a process, made as channels have something to send."""

    def __init__(self, store: Store, bell: Bell, deliverer: Deliverer, channels: Mapping[str, Channel]) -> None:
        self._store = store
        self._bell = bell
        self._deliverer = deliverer
        self._channels = channels
        self._senders: dict[str, Sender] = {}

    async def run(self) -> None:
        """Send until cancelled."""
        rung = self._bell.subscribe("outbox")
        async with asyncio.TaskGroup() as group:
            while True:
                rung.clear()
                for name in await self._due():
                    if name not in self._senders:
                        group.create_task(self._sender(name).run(), name=f"send {name}")
                    self._sender(name).wanted.set()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_S):
                        await rung.wait()

    async def once(self) -> int:
        """Send what is due now and wait for its end; return how many."""
        sent = 0
        for name in await self._due():
            sent += await self._sender(name).step_patiently()
        return sent

    async def _due(self) -> list[str]:
        try:
            return await turns.due(self._store)
        except StoreUnavailable as error:
            log.warning("outbox waits: %s", error)
            return []

    def _sender(self, name: str) -> Sender:
        if name not in self._senders:
            channel = self._channels.get(name)
            limits = channel.limits if channel is not None and name != "web" else UNLIMITED
            lease = Lease(self._store, f"send:{name}") if channel is not None and channel.one_sender else None
            self._senders[name] = Sender(name, limits, self._store, self._deliverer, lease)
        return self._senders[name]
