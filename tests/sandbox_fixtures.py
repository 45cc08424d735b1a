"""The sandbox as a process of its own, and a small server that receives its webhooks. Import what you need."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import stripe


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_key() -> str:
    """A secret key of an account that nobody has used yet."""
    return "sk_test_" + secrets.token_hex(12)


def until(found: Callable[[], Any], *, patience_s: float = 10, what: str = "it", gap_s: float = 0.02) -> Any:
    """The first true result of `found`; the test fails when it does not come."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        result = found()
        if result:
            return result
        time.sleep(gap_s)
    raise AssertionError(f"{what} did not come within {patience_s} s")


@dataclass
class Sandbox:
    """A running sandbox. `key` is a fresh account for each test that asks for its own."""

    port: int
    process: subprocess.Popen[str]
    key: str = field(default_factory=new_key)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sdk(self, key: str | None = None, **options: Any) -> stripe.StripeClient:
        """The official SDK, pointed here; no retries of its own."""
        options.setdefault("max_network_retries", 0)
        return stripe.StripeClient(key or self.key, base_addresses={"api": self.url}, **options)

    def http(self, key: str | None = None) -> httpx.Client:
        """Plain HTTP with the key; close it."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {key or self.key}"}, timeout=20)

    def call(self, method: str, path: str, params: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
        """One request, form-encoded, with the key."""
        with self.http() as client:
            place = "params" if method in ("GET", "DELETE") else "data"
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return client.request(method, path, headers=named, **{place: params or {}})

    def advance(self, span: str) -> None:
        """Move the clock forward. All that happens on the way has happened when this returns: with thousands, in minutes."""
        answer = httpx.post(f"{self.url}/_sandbox/clock", json={"advance": span}, timeout=600)
        assert answer.status_code == 200, answer.text

    def state(self) -> dict[str, Any]:
        return dict(httpx.get(f"{self.url}/_sandbox/state", timeout=60).json())

    def events(self) -> list[dict[str, Any]]:
        """All events of the account, oldest first."""
        data = self.call("GET", "/v1/events", {"limit": "100"}).json()["data"]
        return list(data[::-1])

    def event_types(self) -> list[str]:
        return [event["type"] for event in self.events()]

    def other(self) -> Sandbox:
        """The same sandbox with an account of its own."""
        return Sandbox(self.port, self.process)

    def stop(self, sig: int = signal.SIGTERM) -> int:
        """Stop the process; gives its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(15)


@contextmanager
def running_sandbox(*arguments: str, port: int | None = None) -> Iterator[Sandbox]:
    """A sandbox with these arguments, stopped at the end."""
    port = port or free_port()
    command = [sys.executable, "-m", "paydesk.sandbox", "--port", str(port), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    with process.stdout:
        line = process.stdout.readline()
        assert "ready" in line, f"the sandbox did not start: {line!r}"
        sandbox = Sandbox(port, process)
        try:
            yield sandbox
        finally:
            sandbox.stop()


@pytest.fixture(scope="session")
def shared_sandbox() -> Iterator[Sandbox]:
    """One sandbox for all tests of a run."""
    with running_sandbox("--gap-factor", "0.1") as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Sandbox:
    """The shared sandbox, with an account of this test's own."""
    return shared_sandbox.other()


@dataclass
class Hook:
    """One request that arrived."""

    headers: dict[str, str]
    body: bytes
    at: float

    def signed_with(self, secret: str) -> bool:
        """Whether the signature holds, computed here from its definition."""
        parts = dict(part.split("=", 1) for part in self.headers["Stripe-Signature"].split(","))
        mac = hmac.new(secret.encode(), parts["t"].encode() + b"." + self.body, hashlib.sha256).hexdigest()
        return mac == parts["v1"]


class Receiver:
    """An HTTP server that keeps what it gets. `answers` are the statuses to give first; then 200.

    One that is told `much` keeps connections open: a new one for each hook costs more than all else.
    """

    def __init__(self, *, much: bool = False) -> None:
        self._protocol = "HTTP/1.1" if much else "HTTP/1.0"
        self.hooks: list[Hook] = []
        self.answers: list[int] = []
        self.pause_s = 0.0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = receiver._protocol

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = receiver.answers.pop(0) if receiver.answers else 200
                receiver.hooks.append(Hook(dict(self.headers), body, time.time()))
                time.sleep(receiver.pause_s)
                self.send_response(status)
                if status in (301, 302, 307, 308):
                    self.send_header("Location", receiver.url)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        return Handler


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server for webhooks."""
    server = Receiver()
    yield server
    server.close()


def price_of(sandbox: Sandbox, amount: int = 999, currency: str = "usd") -> str:
    """A fresh one-time price; gives its id."""
    answer = sandbox.call("POST", "/v1/prices", {
        "currency": currency, "unit_amount": str(amount), "product_data[name]": "10 credits",
    })  # fmt: skip
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def session_of(sandbox: Sandbox, **more: str) -> dict[str, Any]:
    """A fresh Checkout session for 9.99 USD."""
    answer = sandbox.call("POST", "/v1/checkout/sessions", {
        "mode": "payment",
        "line_items[0][price]": price_of(sandbox),
        "line_items[0][quantity]": "1",
        "success_url": "http://127.0.0.1:9/thanks?s={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://127.0.0.1:9/back",
        **more,
    })  # fmt: skip
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def confirm(sandbox: Sandbox, session_id: str, number: str = "4242424242424242", **more: str) -> httpx.Response:
    """Pay as the hosted page does: with card data, without a key."""
    card = {"number": number, "exp_month": "12", "exp_year": "2040", "cvc": "123"}
    values = {f"payment_method_data[card][{name}]": value for name, value in card.items()}
    values |= {"payment_method_data[type]": "card", "payment_method_data[billing_details][name]": "Jo Buyer"}
    values |= {"customer_email": "jo@example.com", **more}
    return httpx.post(f"{sandbox.url}/v1/payment_pages/{session_id}/confirm", data=values)
