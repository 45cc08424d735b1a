"""Everything a running sandbox holds: its clock, its accounts, its file, its courier and the log of requests."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import orjson

from . import later
from .accounts import Account
from .chaos import Chaos
from .checkout import expire_session
from .clock import Clock, Timeline
from .deliveries import Courier, plan
from .endpoints import use_configured
from .errors import Json, no_such, unauthorized
from .journal import Journal, Row
from .listening import Listeners
from .settings import Settings
from .test_clocks import clock_of_request, time_of

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
        self.journal = Journal(data)
        self.settings = Settings()
        self.chaos = Chaos()
        self.listeners = Listeners()
        self.courier = Courier(self, gap_factor)
        self.accounts: dict[str, Account] = {}
        self.requests: deque[Json] = deque(maxlen=_LOG_LENGTH)
        self._pages: dict[str, tuple[Account, str]] = {}
        self._position = 0
        self._load()

    def account_of_key(self, key: str) -> Account:
        """The account of a secret key, made when the key is first seen; other keys are refused with 401."""
        account = self.accounts.get(key)
        if account is not None:
            return account
        if not _SECRET_KEY.fullmatch(key):
            hidden = key[:8] + "*" * max(0, len(key) - 12) + key[-4:] if len(key) > 12 else "*" * len(key)
            raise unauthorized(f"Invalid API Key provided: {hidden}")
        return self._opened(key)

    def _opened(self, key: str) -> Account:
        account = Account(key, self.clock, self.public_url, self.timeline.at, self.settings)
        self.accounts[key] = account
        account.add("_account", {"_key": key}, object_id=account.id)
        if self.webhook is not None:
            use_configured(account, *self.webhook)
        return account

    def account_of_page(self, page_id: str) -> Account | None:
        """The account to which a Checkout session (or its page id) belongs, or None."""
        found = self._pages.get(page_id)
        return found[0] if found else None

    def session_of_page(self, account: Account, page_id: str) -> Json:
        """The session that `cs_…` or `ppage_…` names, in this account."""
        owner, session_id = self._pages.get(page_id, (None, ""))
        if owner is not account:
            raise no_such("payment_page", page_id, "session", 404)
        return account.get("checkout.session", session_id, "session", status=404)

    def intent_of_ticket(self, ticket: str) -> tuple[Account, Json] | None:
        """The payment intent or setup intent that waits for this page of a bank, with its account."""
        for account in self.accounts.values():
            intent = account.find_named("payment_intent", ticket) or account.find_named("setup_intent", ticket)
            if intent is not None:
                return account, intent
        return None

    def know_session(self, account: Account, session: Json) -> None:
        """Make a session findable by its page, and have it expire by itself."""
        self._pages[session["id"]] = self._pages[session["_page"]] = (account, session["id"])
        if session["status"] == "open":
            account.at(session["expires_at"], partial(self._expire, account, session))

    def _expire(self, account: Account, session: Json) -> None:
        if session["status"] == "open":
            expire_session(account, session)

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

    def _rows(
        self, account: Account, changed: dict[tuple[str, str], Json | None]
    ) -> tuple[list[Row], list[tuple[str, str, str]]]:
        """Changed objects as rows of the journal, and the keys of those removed."""
        rows: list[Row] = []
        for (kind, object_id), row in changed.items():
            if row is not None:
                self._position += 1
                rows.append((account.key, kind, object_id, self._position, row))
        return rows, [(account.key, kind, object_id) for (kind, object_id), row in changed.items() if row is None]

    def move_clock(self, target: float) -> None:
        """Move the clock forward; what is due on the way happens in order."""
        self.timeline.move_to(target)
        self.journal.set_setting("offset_s", repr(self.clock.offset_s))
        self.flush()

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
        self._pages.clear()
        self.requests.clear()
        self.timeline.clear()
        self.clock.offset_s = 0.0
        self.journal.erase()

    def _load(self) -> None:
        """Take up what the file holds: objects, sessions still open; the clock goes on from its offset."""
        self.clock.offset_s = float(self.journal.setting("offset_s") or 0)
        self.settings.take(orjson.loads(self.journal.setting("settings") or "{}"))
        for key, _, _, position, row in self.journal.rows():
            account = self.accounts.get(key) or Account(
                key, self.clock, self.public_url, self.timeline.at, self.settings
            )
            self.accounts[key] = account
            account.restore(row)
            self._position = max(self._position, position)
        for account in self.accounts.values():
            for session in account.all("checkout.session"):
                with time_of(account, clock_of_request(account, session["id"], {})):
                    self.know_session(account, session)
            later.resume(account)
            if self.webhook is not None:
                use_configured(account, *self.webhook)

    def resume_deliveries(self) -> None:
        """Take up what was waiting when the sandbox stopped; needs the running event loop."""
        for account, delivery in self.waiting_deliveries():
            self.courier.send_when_due(account, delivery)

    def waiting_deliveries(self) -> Iterator[tuple[Account, Json]]:
        """Every delivery that has neither arrived nor been given up."""
        for account in self.accounts.values():
            for delivery in account.all("_delivery"):
                if delivery["status"] == "waiting":
                    yield account, delivery
