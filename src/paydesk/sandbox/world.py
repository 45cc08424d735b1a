"""Everything a running sandbox holds: its clock, its accounts, its file, its courier and the log of requests."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from pathlib import Path

import orjson

from . import later
from .accounts import NAMES, Account
from .chaos import Chaos
from .clock import Clock, Timeline
from .deliveries import Courier, plan
from .endpoints import use_configured
from .errors import Json, no_such, secret_key_required, unauthorized
from .journal import Journal, Row
from .listening import Listeners
from .settings import Settings

_SECRET_KEY = re.compile(r"(sk|rk)_test_\w+", re.ASCII)
_PUBLISHABLE_KEY = re.compile(r"pk_test_\w+", re.ASCII)
_LOG_LENGTH = 200


class World:
    """One sandbox. All changes happen on the event loop's thread, one request after another."""

    def __init__(
        self, *, public_url: str, data: Path | None, webhook: tuple[str, str] | None, gap_factor: float
    ) -> None:
        self.public_url = public_url.rstrip("/")
        self.webhook = webhook
        self.clock = Clock()
        self.timeline = Timeline(self.clock)
        self.moving = asyncio.Lock()
        self.journal = Journal(data)
        self.settings = Settings()
        self.chaos = Chaos()
        self.listeners = Listeners()
        self.courier = Courier(self, gap_factor)
        self.accounts: dict[str, Account] = {}
        self.requests: deque[Json] = deque(maxlen=_LOG_LENGTH)
        self._position = 0
        self._load()

    def account_of_key(self, key: str) -> Account:
        """The account of a secret key, made when the key is first seen; other keys are refused with 401."""
        account = self.accounts.get(key)
        if account is not None:
            return account
        if _PUBLISHABLE_KEY.fullmatch(key):
            raise secret_key_required()
        if not _SECRET_KEY.fullmatch(key):
            hidden = key[:8] + "*" * max(0, len(key) - 12) + key[-4:] if len(key) > 12 else "*" * len(key)
            raise unauthorized(f"Invalid API Key provided: {hidden}")
        return self._opened(key)

    def _opened(self, key: str) -> Account:
        account = self._account(key)
        account.add("_account", {"_key": key}, object_id=account.id)
        if self.webhook is not None:
            use_configured(account, *self.webhook)
        return account

    def _account(self, key: str) -> Account:
        account = Account(key, self.clock, self.public_url, self.timeline.at, self.settings, self.journal)
        self.accounts[key] = account
        return account

    def account_of_page(self, page_id: str) -> Account | None:
        """The account to which a Checkout session (or its page id) belongs, or None."""
        return next((account for account in self.accounts.values() if _session_of(account, page_id)), None)

    def session_of_page(self, account: Account, page_id: str) -> Json:
        """The session that `cs_…` or `ppage_…` names, in this account."""
        session = _session_of(account, page_id)
        if session is None:
            raise no_such("payment_page", page_id, "session", 404)
        return session

    def intent_of_ticket(self, ticket: str) -> tuple[Account, Json] | None:
        """The payment intent or setup intent that waits for this page of a bank, with its account."""
        for account in self.accounts.values():
            intent = account.find_named("payment_intent", ticket) or account.find_named("setup_intent", ticket)
            if intent is not None:
                return account, intent
        return None

    def flush(self) -> None:
        """Write what changed to the file, then send what is new. Called at the end of each piece of work."""
        for account in list(self.accounts.values()):
            fresh, account.fresh_deliveries = account.fresh_deliveries, []
            journeys = [plan(account, delivery, self.chaos.journey()) for delivery in fresh]
            if account.changed:
                changed, account.changed = account.changed, {}
                rows, removed = self._rows(account, changed)
                self.journal.write(rows, removed)
            told, account.fresh_events = account.fresh_events, []
            for event in told:
                self.listeners.tell(account, event)
            for delivery, journey in zip(fresh, journeys, strict=True):
                self.courier.start(account, delivery, journey)

    def _rows(self, account: Account, changed: dict[tuple[str, str], Json | None]) -> tuple[list[Row], list[int]]:
        """Changed objects as rows of the journal, and the positions of those removed."""
        rows: list[Row] = []
        removed: list[int] = []
        for (kind, object_id), row in changed.items():
            known = account.table(kind).position
            if row is not None:
                position = known.get(object_id) or self._next_position()
                known[object_id] = position
                rows.append((position, account.key, kind, object_id, row.get(NAMES.get(kind, "")) or None, row))
            elif object_id in known:
                removed.append(known.pop(object_id))
        return rows, removed

    def _next_position(self) -> int:
        self._position += 1
        return self._position

    async def move_clock(self, target: float) -> None:
        """Move the clock forward; what is due on the way happens in order, and others are answered meanwhile.

        Hold `moving`: one move ends before the next begins.
        """
        arrived = False
        while not arrived:
            arrived = self.timeline.step_towards(target)
            self.journal.set_setting("offset_s", repr(self.clock.offset_s))
            self.flush()
            await asyncio.sleep(0)

    def take_settings(self, given: Json) -> None:
        """Change settings; ValueError says what is wrong with them."""
        self.settings.take(given)
        self.journal.set_setting("settings", orjson.dumps(self.settings.shown()).decode())

    def disturb(self, given: Json) -> None:
        """Begin a disorder, or end it with {}; ValueError says what is wrong."""
        self.chaos = Chaos(given)

    def reset(self) -> None:
        """Forget everything, settings and disorder too, and set the clock to real time."""
        self.settings.take(Settings().shown())
        self.chaos = Chaos()
        self.accounts.clear()
        self.requests.clear()
        self.timeline.clear()
        self.clock.offset_s = 0.0
        self.journal.erase()

    def _load(self) -> None:
        """Take up what the file holds, and what is still to happen; the clock goes on from its offset."""
        self.clock.offset_s = float(self.journal.setting("offset_s") or 0)
        self.settings.take(orjson.loads(self.journal.setting("settings") or "{}"))
        self._position = self.journal.last_position()
        for key in self.journal.holders("_account"):
            later.resume(self._account(key))
        for account in self.accounts.values():
            if self.webhook is not None:
                use_configured(account, *self.webhook)

    def resume_deliveries(self) -> None:
        """Take up what was waiting when the sandbox stopped; needs the running event loop."""
        for account in self.accounts.values():
            for delivery_id in self.journal.named(account.key, "_delivery", "waiting"):
                self.courier.send_when_due(account, account.get("_delivery", delivery_id, "delivery"))


def _session_of(account: Account, page_id: str) -> Json | None:
    return account.find("checkout.session", page_id) or account.find_named("checkout.session", page_id)
