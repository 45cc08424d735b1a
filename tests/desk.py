"""A running desk, driven from outside: HTTP to the service, the hosted page's calls at the sandbox, SQL to look."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx

from paydesk import ids
from sandbox_fixtures import Sandbox, free_port, until

CARD = "pm_card_visa"


@dataclass
class Buyer:
    """Somebody in the chat."""

    desk: Desk
    channel: str = "web"
    external_id: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def who(self) -> dict[str, str]:
        return {"channel": self.channel, "external_id": self.external_id}

    @property
    def id(self) -> str:
        """The customer's id; they must have spoken before."""
        return str(self.desk.get("/v1/customers", **self.who)["data"][0]["id"])

    def say(self, text: str) -> list[dict[str, Any]]:
        """Say something and return the replies."""
        return list(self.desk.post("/v1/chat", {**self.who, "text": text})["replies"])

    def checkout(self, price: str, quantity: int = 1) -> dict[str, Any]:
        """Order something by the API and return the order."""
        items = [{"price": price, "quantity": quantity}]
        return self.desk.post("/v1/checkouts", {"customer": self.who, "items": items})

    def pay(self, order: dict[str, Any], card: str = CARD) -> httpx.Response:
        """Pay an order's session as the hosted page does, and return what the page was told."""
        path = f"/v1/payment_pages/{order['session']}/confirm"
        form = {"payment_method": card, "expected_amount": str(order["amount"])}
        return self.desk.at_stripe("POST", path, form)

    def buy(self, price: str) -> dict[str, Any]:
        """Order, pay and wait until it is settled."""
        order = self.checkout(price)
        assert self.pay(order).status_code == 200
        return self.desk.settled(order["id"])

    def balance(self, unit: str = "credits") -> int:
        """What can be spent."""
        return int(self.desk.get(f"/v1/customers/{self.id}/credits", unit=unit)["balance"])

    def access(self, feature: str) -> dict[str, Any]:
        """Whether they may."""
        return self.desk.get(f"/v1/customers/{self.id}/access", feature=feature)

    def told(self) -> list[str]:
        """What they were told in the thread, besides answers."""
        said = self.desk.get("/v1/chat/messages", **self.who, limit=100)["data"]
        return [one["text"] for one in said if one["direction"] == "out"]


@dataclass
class Desk:
    """A running service with its sandbox."""

    port: int
    sandbox: Sandbox
    settings: dict[str, str]
    process: subprocess.Popen[bytes]
    _runner: asyncio.Runner = field(default_factory=asyncio.Runner)
    _line: asyncpg.Connection[asyncpg.Record] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        return self.settings["PAYDESK_API_KEY"]

    @property
    def secret(self) -> str:
        return self.settings["STRIPE_WEBHOOK_SECRET"].split(",")[0]

    def buyer(self, channel: str = "web") -> Buyer:
        """Somebody new."""
        return Buyer(self, channel)

    # --- HTTP ------------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, *, key: str | None = None, **options: Any) -> httpx.Response:
        """One request with an API key."""
        headers = {"Authorization": f"Bearer {key or self.key}", **options.pop("headers", {})}
        return httpx.request(method, self.url + path, headers=headers, timeout=30, **options)

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """What the API says; the test fails on anything but 200."""
        answer = self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, path: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        """What the API answers; the test fails on anything but 2xx."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.call("POST", path, json=body, headers=named)
        assert answer.is_success, answer.text
        return dict(answer.json())

    def at_stripe(self, method: str, path: str, params: dict[str, Any] | None = None) -> httpx.Response:
        """One request to the sandbox with our account's key."""
        place = "params" if method == "GET" else "data"
        headers = {"Authorization": f"Bearer {self.settings['STRIPE_API_KEY']}"}
        return httpx.request(method, self.sandbox.url + path, headers=headers, timeout=30, **{place: params or {}})

    # --- events ----------------------------------------------------------------------------------------------------

    def signed(self, body: bytes, *, secret: str | None = None, age_s: int = 0) -> str:
        """A `Stripe-Signature` header for these bytes."""
        stamp = int(time.time()) - age_s
        digest = hmac.new((secret or self.secret).encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        return f"t={stamp},v1={digest}"

    def deliver(self, event: dict[str, Any] | bytes, **signing: Any) -> httpx.Response:
        """Send an event to the webhook, signed as Stripe does."""
        body = event if isinstance(event, bytes) else json.dumps(event, indent=2).encode()
        headers = {"Stripe-Signature": self.signed(body, **signing), "Content-Type": "application/json"}
        return httpx.post(self.url + "/webhooks/stripe", content=body, headers=headers, timeout=30)

    def event_of(self, kind: str, obj: dict[str, Any], **more: Any) -> dict[str, Any]:
        """An event of our own making."""
        return {
            "id": f"evt_{secrets.token_hex(12)}", "object": "event", "api_version": "2026-10-28.endive",
            "created": int(time.time()), "livemode": False, "type": kind, "data": {"object": obj},
            "pending_webhooks": 1, "request": {"id": None, "idempotency_key": None}, **more,
        }  # fmt: skip

    def events_at_stripe(self) -> list[dict[str, Any]]:
        """All events of our account, oldest first."""
        return list(self.at_stripe("GET", "/v1/events", {"limit": 100}).json()["data"][::-1])

    # --- waiting and looking ---------------------------------------------------------------------------------------

    def settled(self, order: str, status: str = "fulfilled") -> dict[str, Any]:
        """The order, once it has that status and nothing waits any more."""
        until(lambda: self.get(f"/v1/orders/{order}")["status"] == status, what=f"{order} {status}")
        self.quiet()
        return self.get(f"/v1/orders/{order}")

    def quiet(self) -> None:
        """Return when nothing waits in the inbox and the outbox any more."""
        until(self._is_quiet, patience_s=40, what="empty queues")

    def _is_quiet(self) -> bool:
        status = self.get("/v1/status")
        return status["inbox"]["waiting"] == 0 and status["outbox"]["waiting"] == 0

    def sql(self, statement: str, *args: Any) -> list[dict[str, Any]]:
        """Look into the database, over a line that stays open: what is waited for is looked at fifty times a second."""
        try:
            return self._runner.run(self._look(statement, *args))
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError):  # the database has been away
            self._line = None
            return self._runner.run(self._look(statement, *args))

    async def _look(self, statement: str, *args: Any) -> list[dict[str, Any]]:
        if self._line is None or self._line.is_closed():
            self._line = await asyncpg.connect(self.settings["DATABASE_URL"], statement_cache_size=0)
        return [dict(row) for row in await self._line.fetch(statement, *args)]

    def look_away(self) -> None:
        """Close the line to the database."""
        if self._line is not None:
            self._line.terminate()
        self._runner.close()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `paydesk …` with the desk's settings."""
        environ = {**clean_environ(), **self.settings}
        command = [sys.executable, "-m", "paydesk", *arguments]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    def stop(self, sig: int = signal.SIGTERM) -> int:
        """Stop the service; gives its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(30)


def clean_environ() -> dict[str, str]:
    """The environment without anybody's settings."""
    ours = ("STRIPE_", "PAYDESK_", "DATABASE_", "TELEGRAM_", "DISCORD_", "CHATWOOT_", "TWILIO_")
    return {k: v for k, v in os.environ.items() if not k.startswith(ours)}


def start_service(settings: dict[str, str], port: int, *arguments: str) -> subprocess.Popen[bytes]:
    """`paydesk serve` as a process, once it answers."""
    command = [sys.executable, "-m", "paydesk", "serve", "--port", str(port), *arguments]
    environ = {**clean_environ(), **settings, "PAYDESK_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    process = subprocess.Popen(command, env=environ)

    def answers() -> bool:
        assert process.poll() is None, "the service did not start"
        try:
            return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    until(answers, patience_s=60, what="the service")
    return process


@contextmanager
def running_desk(settings: dict[str, str], sandbox: Sandbox, *arguments: str, webhooks: bool = True) -> Iterator[Desk]:
    """A desk on these settings, stopped at the end; the sandbox sends it every event of its account."""
    port = free_port()
    settings = {**settings, "PAYDESK_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    if webhooks:
        settings["STRIPE_WEBHOOK_SECRET"] += "," + endpoint(settings, port)
    desk = Desk(port, sandbox, settings, start_service(settings, port, *arguments))
    try:
        yield desk
    finally:
        desk.stop()
        desk.look_away()


def endpoint(settings: dict[str, str], port: int) -> str:
    """Let the sandbox send our account's events to a desk that is about to start; return the secret that signs them."""
    made = httpx.post(
        f"{settings['STRIPE_API_BASE']}/v1/webhook_endpoints",
        headers={"Authorization": f"Bearer {settings['STRIPE_API_KEY']}"},
        data={"url": f"http://127.0.0.1:{port}/webhooks/stripe", "enabled_events[]": "*"},
    )
    assert made.status_code == 200, made.text
    return str(made.json()["secret"])


def new_order_id() -> str:
    """An order id that nobody has."""
    return ids.new("ord")
