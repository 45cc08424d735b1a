"""A shop's server that receives our events: real HTTP on loopback, or HTTPS, which answers as it is told."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook


@dataclass
class Answer:
    """How a request is answered: `endless` never stops sending, `hangs` never begins, `cut` closes without a word."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    endless: bool = False
    hangs: bool = False
    cut: bool = False


@dataclass
class Request:
    """A request as it came, headers with lower-case names."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The event that it brings."""
        return dict(json.loads(self.body))

    def verified(self, secret: str) -> dict[str, Any]:
        """The event, if the official library of Standard Webhooks finds it signed with this secret; else it raises."""
        return dict(Webhook(secret).verify(self.body, self.headers))


class Receiver:
    """Records requests and connections; answers 200 unless told otherwise."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.bytes_sent = 0
        self.names: list[str | None] = []
        self.always = Answer()
        self._next: deque[Answer] = deque()
        self._over = threading.Event()
        self.url = ""

    def answer_next(self, *answers: Answer) -> None:
        """Answer the next requests like this, one each."""
        self._next.extend(answers)

    def events(self, type_: str | None = None, **data: Any) -> list[dict[str, Any]]:
        """The events that came, of one type, and with this in their data."""
        all_ = [request.event for request in list(self.requests)]
        return [
            event for event in all_
            if type_ in (None, event["type"]) and all(event["data"].get(name) == value for name, value in data.items())
        ]  # fmt: skip

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """Take in one request and answer it."""
        body = handler.rfile.read(int(handler.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.requests.append(Request(handler.path, headers, body))
        answer = self._next.popleft() if self._next else self.always
        if answer.hangs:
            self._over.wait(30)
        if answer.hangs or answer.cut:
            handler.close_connection = True
            return
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        if not answer.endless:
            handler.send_header("content-length", str(len(answer.body)))
        handler.end_headers()
        self._send(handler, answer)

    def _send(self, handler: BaseHTTPRequestHandler, answer: Answer) -> None:
        try:
            handler.wfile.write(answer.body)
            deadline = time.monotonic() + 10
            while answer.endless and time.monotonic() < deadline and self.bytes_sent < 50_000_000:
                handler.wfile.write(b"x" * 4096)
                self.bytes_sent += 4096
        except OSError:  # the other side has had enough
            pass
        if answer.endless:
            handler.close_connection = True

    def end(self) -> None:
        """Let go of whoever hangs."""
        self._over.set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: connections that break are what is tested."""


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver that listens until the end of the block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def setup(self) -> None:
            receiver.connections += 1
            super().setup()

        def do_POST(self) -> None:
            receiver.take(self)

        def log_message(self, *_: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        tls.sni_callback = lambda _socket, name, _context: receiver.names.append(name)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.end()
        server.shutdown()
        server.server_close()
