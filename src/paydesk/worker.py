"""The loop: inbox, outbox, timers. Any number of workers share the work; a dead one's is taken over.

A batch that fails is halved until the bad row stands alone; only then is it blamed, at most five times, then it is
set aside for a person. Database and Stripe being away, and our own shutdown, are nobody's fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from paydesk import alerts, inbox, low, outbox, premium, seal, stars, stats_days, timers
from paydesk.arrivals import Reception
from paydesk.errors import NotFound, PaydeskError, StaleClaim, StoreUnavailable
from paydesk.facts import Ignored, Impossible, Look
from paydesk.inbox import LANES, Claim, Row
from paydesk.senders import Senders
from paydesk.settle import Settled, Work, settle
from paydesk.store import Store
from paydesk.store.bell import Bell
from paydesk.store.pool import ROLLED_BACK
from paydesk.stripe import events
from paydesk.stripe.envelope import ANSWER
from paydesk.stripe.gateway import Gateway
from paydesk.stripe.signature import read_json
from paydesk.telemetry import SETTLE_SECONDS, SETTLED

log = logging.getLogger("paydesk.worker")

LANES_MAX = 256
ROWS_MAX = 500
ANSWERS_MAX = 16
TOLD = ("stripe", ANSWER)
"""The sources of what Stripe tells, by itself or as an answer."""
IDLE_S = 1.0
STRIPE_AWAY_S = 15.0
LOOKS_MAX = 50
LOOK_S_MAX = 5.0
LOOKS_IN_A_ROW_MAX = 4  # the dispute, its intent, the invoice this pays, and one more


class Worker:
    """Moves what is due. `run` until cancelled, or `drain` once (tests, demo, commands)."""

    def __init__(
        self, store: Store, gateway: Gateway, senders: Senders, reception: Reception, bell: Bell, *, livemode: bool,
        marks: low.Marks = low.nobody,
    ) -> None:  # fmt: skip
        """`marks(unit)`: whoever falls below that of a unit is told."""
        self._marks = marks
        self._store = store
        self._gateway = gateway
        self._senders = senders
        self._reception = reception
        self._bell = bell
        self._livemode = livemode
        self._next_lane = 0
        self._blameless: set[int] = set()

    async def run(self) -> None:
        """Work until cancelled. A lost database is waited for; nothing is lost meanwhile."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._loop("inbox", self.work_inbox), name="inbox")
            group.create_task(self._senders.run(), name="outbox")
            group.create_task(self._loop("timers", self.work_timers), name="timers")
            group.create_task(self._loop("seal", self.work_seals), name="seal")
            group.create_task(stats_days.follow(self._store), name="statistics")

    async def drain(self) -> None:
        """Work until nothing is due any more."""
        while await self.work_timers() + await self.work_inbox() + await self.work_outbox():
            pass
        while await self.work_seals(at_once=True):
            pass

    async def _loop(self, topic: str, step: Callable[[], Awaitable[int]]) -> None:
        rung = self._bell.subscribe(topic)
        while True:
            rung.clear()
            try:
                done = await step()
            except StoreUnavailable as error:
                log.warning("%s waits: %s", topic, error)
                done = 0
            except Exception:
                log.exception("%s: a step failed", topic)
                done = 0
            if not done:
                try:
                    async with asyncio.timeout(IDLE_S):  # `wait_for` may swallow the end of the task
                        await rung.wait()
                except TimeoutError:
                    continue

    # --- inbox -----------------------------------------------------------------------------------------------------

    async def work_inbox(self) -> int:
        """Lease lanes, settle what is due in them, give them back; return how many rows were handled."""
        held = await inbox.claim(self._store, start_lane=self._next_lane, lanes_max=LANES_MAX, rows_max=ROWS_MAX)
        if held is None:
            return 0
        self._next_lane = (held.lanes[-1] + 1) % LANES
        heartbeat = asyncio.create_task(self._keep(held), name="heartbeat")
        try:
            rows = await inbox.read(self._store, held)
            await self._handle(held, rows)
        except StaleClaim:
            log.warning("lanes were taken over; their work is done by somebody else")
            return 1
        finally:
            heartbeat.cancel()
            with contextlib.suppress(StoreUnavailable):  # then the lease runs out by itself
                await inbox.release(self._store, held)
        return len(rows)

    async def _keep(self, held: Claim) -> None:
        while await asyncio.sleep(inbox.LEASE_S / 3, True):
            try:
                await inbox.renew(self._store, held)
            except StoreUnavailable:
                continue

    async def _handle(self, held: Claim, rows: Sequence[Row]) -> None:
        """Settle what needs no look, together; then look where one is needed, and settle that. Nobody waits for Stripe.

        What people said is answered meanwhile.
        """
        needing: list[tuple[Row, Look]] = []
        ready: list[Work] = []
        said = [row for row in rows if self._reception.takes(row)]
        for row in rows:
            if self._reception.takes(row):
                continue
            reading = self._read(row)
            if isinstance(reading, Look):
                needing.append((row, reading))
            else:
                ready.append(Work(row, reading))
        await self._settle_all(held, ready)
        await self._answer_all(held, said)
        if needing:
            await self._settle_all(held, await self._looked(needing))

    async def _answer_all(self, held: Claim, said: Sequence[Row]) -> None:
        """Answer what arrived on channels: each person's in order, many people's at once."""
        lanes: dict[int, list[Row]] = defaultdict(list)
        for row in said:
            lanes[row.lane].append(row)
        room = asyncio.Semaphore(ANSWERS_MAX)

        async def answer(rows: Sequence[Row]) -> None:
            async with room:
                for row in rows:
                    await self._alone(row, partial(self._answer_once, held, row))

        ends = await asyncio.gather(*(answer(rows) for rows in lanes.values()), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    async def _answer_once(self, held: Claim, row: Row) -> None:
        outcome = await self._reception.handle(held, row)
        SETTLED.labels(outcome.state).inc()
        self._bell.ring("outbox")

    async def _settle_all(self, held: Claim, works: Sequence[Work]) -> None:
        """Settle together; rows known to have failed run alone."""
        together: list[Work] = []
        alone: list[Work] = []
        for work in works:
            (alone if work.row.alone or held.rows_max == 1 else together).append(work)
        await self._settle(held, together)
        for work in alone:
            await self._settle_alone(held, work)

    def _read(self, row: Row, looked: events.Looked | None = None) -> Settled | Look:
        """Return what a row tells. Never raises: what cannot be read is for a person."""
        if row.livemode != self._livemode:
            return Ignored("foreign mode: a test event in live mode, or the reverse")
        try:
            if row.source == timers.SOURCE:
                return timers.read(row.body)
            if row.source == inbox.QUESTION:
                return events.answer(read_json(row.body), row.received_at, looked or {})
            if row.source == stars.SOURCE:
                return stars.read(row.body)
            if row.source == premium.SOURCE:
                return premium.read(row.body)
            if row.source not in TOLD:
                return Ignored(f"there is no channel {row.source} now")
            return events.read(read_json(row.body), looked)
        except Exception as error:  # a bug in a reader must not stop the lane
            return Impossible(f"unreadable: {type(error).__name__}: {error}"[:400])

    async def _looked(self, needing: Sequence[tuple[Row, Look]]) -> list[Work]:
        """Look at Stripe, as often as a reader needs it to know what a row tells."""
        works: list[Work] = []
        found: dict[Look, dict[str, object]] = {}
        for _ in range(LOOKS_IN_A_ROW_MAX):
            needing, strangers = await self._without_strangers(needing)
            works += strangers
            rows = await self._look_for(needing, found)
            needing = []
            for row in rows:
                again = self._read(row, found)
                if isinstance(again, Look):
                    needing.append((row, again))
                else:
                    works.append(Work(row, again))
            if not needing:
                break
        return [*works, *(Work(row, Ignored("foreign: looked in vain")) for row, _ in needing)]

    async def _without_strangers(
        self, needing: Sequence[tuple[Row, Look]]
    ) -> tuple[list[tuple[Row, Look]], list[Work]]:
        """Leave out what names a Stripe customer that we do not know: another product's sales cost no looks."""
        named = {look.whose for _, look in needing if look.whose is not None}
        if not named:
            return list(needing), []
        rows = await self._store.fetch("SELECT id FROM stripe_customer WHERE id = ANY($1::text[])", sorted(named))
        known = {row["id"] for row in rows}
        ours = [(row, look) for row, look in needing if look.whose is None or look.whose in known]
        strangers = [row for row, look in needing if look.whose is not None and look.whose not in known]
        return ours, [Work(row, Ignored("foreign: of nobody who is known here")) for row in strangers]

    async def _look_for(self, needing: Sequence[tuple[Row, Look]], found: dict[Look, dict[str, object]]) -> list[Row]:
        """Look once per object, so many at a time; return the rows whose look was answered.

        Those that Stripe could not answer wait, and nobody is blamed; those whose turn has not come stay due.
        """
        waiting: dict[Look, list[Row]] = defaultdict(list)
        for row, look in needing:
            waiting[look].append(row)
        looks = list(waiting)[:LOOKS_MAX]
        asked_at = await self._store.fetchval("SELECT clock_timestamp()")
        answers = await asyncio.gather(*(self._look(look) for look in looks))
        answered = {look: answer for look, answer in zip(looks, answers, strict=True) if answer is not None}
        found |= {look: {**answer, "asked_at": asked_at} if answer else answer for look, answer in answered.items()}
        late = [row.id for look in looks if look not in found for row in waiting[look]]
        if late:
            await inbox.postpone(self._store, late, STRIPE_AWAY_S, "waits for a look at Stripe")
        return [row for look, rows in waiting.items() if look in found for row in rows]

    async def _look(self, look: Look) -> dict[str, object] | None:
        """Return the object, `{}` when Stripe does not know it, `None` when it could not be asked now."""
        try:
            async with asyncio.timeout(LOOK_S_MAX):
                return await self._gateway.look(look.kind, look.id)
        except NotFound:
            return {}
        except (PaydeskError, TimeoutError) as error:
            log.warning("%s %s could not be looked at: %s", look.kind, look.id, error or type(error).__name__)
            return None

    async def _settle(self, held: Claim, batch: Sequence[Work]) -> None:
        """Settle a batch; when it fails, its halves, down to rows that stand alone."""
        if not batch:
            return
        if len(batch) == 1:
            await self._settle_alone(held, batch[0])
            return
        try:
            await self._settle_patiently(held, batch)
        except (StaleClaim, StoreUnavailable):
            raise
        except Exception as error:
            log.warning("a batch of %d failed (%s), halving it", len(batch), type(error).__name__)
            middle = len(batch) // 2
            await self._settle(held, batch[:middle])
            await self._settle(held, batch[middle:])

    async def _settle_patiently(self, held: Claim, batch: Sequence[Work]) -> None:
        """Settle, and once more after a clash with another transaction."""
        try:
            await self._settle_once(held, batch)
        except ROLLED_BACK:
            await asyncio.sleep(0.05)
            await self._settle_once(held, batch)

    async def _settle_alone(self, held: Claim, work: Work) -> None:
        await self._alone(work.row, partial(self._settle_once, held, [work]))

    async def _alone(self, row: Row, step: Callable[[], Awaitable[None]]) -> None:
        """Do one row, its attempt counted first; the only place where a row is blamed for a failure."""
        attempts = await self._count(row)
        if attempts > inbox.ATTEMPTS_MAX:  # it took its worker down each time
            await self._blame(row, attempts, "its worker died each time it was tried")
            return
        try:
            await step()
        except (StaleClaim, StoreUnavailable):
            self._blameless.add(row.id)
            raise
        except ROLLED_BACK as error:
            await inbox.give_back_attempt(self._store, row, wait_s=1, detail=type(error).__name__)
        except asyncio.CancelledError:
            await asyncio.shield(inbox.give_back_attempt(self._store, row, wait_s=0, detail="stopped"))
            raise
        except Exception as error:
            log.exception("inbox row %s (%s) failed", row.id, row.kind)
            await self._blame(row, attempts, f"{type(error).__name__}: {error}")

    async def _blame(self, row: Row, attempts: int, reason: str) -> None:
        """Note that a row failed alone; after the last time the people of the desk hear of it."""
        if await inbox.fail(self._store, row, attempts, reason):
            SETTLED.labels("quarantined").inc()
            async with self._store.transaction() as tx:
                await outbox.put(tx, [alerts.of_row(row, reason)])

    async def _count(self, row: Row) -> int:
        """Count an attempt, unless the last one was given up because the database was away: that one is still open."""
        if row.id in self._blameless:
            self._blameless.discard(row.id)
            return max(row.attempts, 1)
        return await inbox.count_attempt(self._store, row)

    async def _settle_once(self, held: Claim, batch: Sequence[Work]) -> None:
        with SETTLE_SECONDS.time():
            outcomes = await settle(self._store, held, batch, marks=self._marks)
        for outcome in outcomes:
            SETTLED.labels(outcome.state).inc()
            if outcome.state == "quarantined":
                log.error("quarantined: %s", outcome.detail)
        self._bell.ring("outbox")

    # --- outbox and timers -----------------------------------------------------------------------------------------

    async def work_outbox(self) -> int:
        """Send what is due on every channel, and wait for its end; return how many messages that were."""
        return await self._senders.once()

    async def work_timers(self) -> int:
        """Move due timers into the inbox; return how many."""
        fired = await timers.fire(self._store)
        if fired:
            self._bell.ring("inbox")
        return fired

    # --- the chain over the ledger -----------------------------------------------------------------------------------

    async def work_seals(self, *, at_once: bool = False) -> int:
        """Seal entries that are due, or all that can be sealed now; return how many. Nothing waits for it."""
        return await seal.seal(self._store, at_once=at_once)
