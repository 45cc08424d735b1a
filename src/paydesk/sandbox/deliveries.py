"""Webhooks on their way: signed, sent beside the API's work, tried again with growing gaps for three days.

A delivery is one event for one endpoint. Its first attempt starts in the order of the events; `status` is `waiting`,
`delivered`, `gave_up`, `canceled` (the endpoint is gone or disabled) or `dropped` (lost by the chaos).
Attempts follow after 0.5 s, 2 s, 5 s, 15 s, 1 min, 5 min, then every hour of the sandbox's clock until three days are over.
An endpoint that fails stays enabled: nothing here is disabled without being asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from .accounts import Account
from .chaos import Journey
from .errors import Json
from .lanes import Lane
from .present import public
from .versions import event_in_version

if TYPE_CHECKING:
    from .posting import Poster
    from .world import World

_GAPS_S = (0.5, 2, 5, 15, 60, 300)
_LATER_GAP_S = 3600
_GIVES_UP_AFTER_S = 3 * 24 * 3600
_AT_ONCE = 20


def signature(payload: bytes, secrets: list[str], moment: int) -> str:
    """The value of the header `Stripe-Signature` for a payload signed at a moment (seconds, real time).

    One `v1` for each secret, and the `v0` that test events carry and nobody shall trust.
    """
    signed = f"{moment}.".encode() + payload
    macs = [f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}" for secret in secrets]
    return ",".join([f"t={moment}", *macs, f"v0={hashlib.sha256(signed).hexdigest()}"])


def secrets_of(endpoint: Json, now: float) -> list[str]:
    """The secrets that sign now: the current one, and rolled ones until they expire."""
    rolled = [old["secret"] for old in endpoint.get("_rolled", []) if old["until"] > now]
    return [*rolled, endpoint["_secret"]]


def plan(account: Account, delivery: Json, journey: Journey | None) -> Journey | None:
    """Note on a delivery how the chaos lets it travel; one without a copy is lost for good."""
    if journey is not None:
        lost = {} if journey.copies else {"status": "dropped", "next_attempt_at": None}
        account.change(delivery, chaos=journey.shown(), **lost)
    return journey


class Courier:
    """Sends what is waiting. `gap_factor` stretches or shrinks the gaps between attempts."""

    def __init__(self, world: World, gap_factor: float) -> None:
        self._world = world
        self._gap_factor = gap_factor
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._lanes: dict[str, Lane] = {}  # of endpoints to which disturbed webhooks are on their way
        self._poster: Poster | None = None

    def send(self, account: Account, delivery: Json) -> None:
        """Start an attempt now; it runs beside everything else."""
        self._run(self._attempt(account, delivery))

    def start(self, account: Account, delivery: Json, journey: Journey | None) -> None:
        """Start the first attempt, disturbed when a journey says so."""
        if journey is None:
            self.send(account, delivery)
            return
        name = delivery["endpoint"]
        for copy, delay_ms in enumerate(journey.delays_ms):
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = Lane()
                self._run(self._drive(name, lane))
            lane.add(partial(self._attempt, account, delivery, again=copy > 0), delay_ms, shuffled=journey.shuffled)

    async def _drive(self, name: str, lane: Lane) -> None:
        try:
            await lane.drive()
        finally:
            del self._lanes[name]

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        if self._poster is None:
            from .posting import Poster  # not before it is needed

            self._poster = Poster()
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def send_when_due(self, account: Account, delivery: Json) -> None:
        """Put a waiting delivery on the time line."""
        self._world.timeline.at(delivery["next_attempt_at"], lambda: self.send(account, delivery))

    async def stop(self) -> None:
        """Break off what is under way; it stays waiting."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._poster is not None:
            await self._poster.close()
            self._poster = None

    async def _attempt(self, account: Account, delivery: Json, *, again: bool = False) -> None:
        """One attempt, noted with its result; plans the next one when it failed. A repeat by chaos plans nothing."""
        async with self._turns.setdefault(delivery["endpoint"], asyncio.Semaphore(_AT_ONCE)):
            endpoint = account.find("webhook_endpoint", delivery["endpoint"])
            event = account.find("event", delivery["event"])
            if endpoint is None or event is None or endpoint["status"] != "enabled":
                account.change(delivery, status="canceled", next_attempt_at=None)
            elif again:
                await self._post(account, endpoint, event)
            elif delivery["status"] == "waiting":
                started = time.monotonic()
                status_code, problem = await self._post(account, endpoint, event)
                self._note(account, delivery, status_code, problem, round((time.monotonic() - started) * 1000))
                self._conclude(account, delivery, event, arrived=status_code is not None and 200 <= status_code < 300)
            self._world.flush()

    async def _post(self, account: Account, endpoint: Json, event: Json) -> tuple[int | None, str | None]:
        """Status code of the endpoint's answer, or what went wrong."""
        version = self._world.chaos.api_version or endpoint["api_version"] or event["api_version"]
        shown = event_in_version(public(event), version, account)
        payload = orjson.dumps(shown, option=orjson.OPT_INDENT_2)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(payload, secrets_of(endpoint, account.clock.now()), int(time.time())),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        if self._poster is None:
            return None, "stopped"
        return await self._poster.post(endpoint["url"], payload, headers)

    def _note(
        self, account: Account, delivery: Json, status_code: int | None, problem: str | None, took_ms: int
    ) -> None:
        attempt = {"at": account.clock.now(), "status_code": status_code, "error": problem, "duration_ms": took_ms}
        account.change(delivery, attempts=[*delivery["attempts"], attempt])

    def _conclude(self, account: Account, delivery: Json, event: Json, *, arrived: bool) -> None:
        if arrived:
            account.change(delivery, status="delivered", next_attempt_at=None)
            account.change(event, pending_webhooks=max(0, event["pending_webhooks"] - 1))
            return
        moment = account.clock.now() + self._gap_s(len(delivery["attempts"]))
        if moment - delivery["created"] > _GIVES_UP_AFTER_S * self._gap_factor:
            account.change(delivery, status="gave_up", next_attempt_at=None)
            return
        account.change(delivery, next_attempt_at=moment)
        self.send_when_due(account, delivery)

    def _gap_s(self, attempts: int) -> float:
        """Seconds to wait after so many attempts."""
        gap_s = _GAPS_S[attempts - 1] if attempts <= len(_GAPS_S) else _LATER_GAP_S
        return gap_s * self._gap_factor
