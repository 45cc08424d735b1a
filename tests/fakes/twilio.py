"""Twilio's message API on loopback: every request and answer is checked against its own description.

It keeps messages, knows who has replied STOP, and fails as it is told. `complaints` are requests that Twilio would not
have understood, and answers that it would not have given: there must be none.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse

SPEC = Path(__file__).parent.parent / "specs" / "twilio-messages-openapi.json"
ACCOUNT = "AC" + "0123456789abcdef" * 2
TOKEN = "0123456789abcdef0123456789abcdef"
BODY_MAX = 1600
Json = dict[str, Any]


@dataclass
class Failure:
    """How the next request ends: an answer, silence (`hangs`) or a broken line (`cut`); `after`: it is sent all the same."""

    status: int = 500
    code: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    cut: bool = False
    after: bool = False


class Refusal(Exception):
    """What Twilio refuses: HTTP status and its own code."""

    def __init__(self, status: int, code: int) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code


class Twilio:
    """The state, and what was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.messages: list[Json] = []
        self.callbacks: dict[str, str] = {}
        self.stopped: set[str] = set()
        self.requests: list[tuple[str, str, Json]] = []
        self.complaints: list[str] = []
        self._next: deque[Failure] = deque()
        self._over = threading.Event()
        self._api: OpenAPI

    def fail_next(self, *failures: Failure) -> None:
        """Let the next requests fail, one each."""
        self._next.extend(failures)

    def sent_to(self, number: str) -> list[str]:
        """The texts that went to a number."""
        return [one["body"] for one in self.messages if one["to"] == number]

    def send_queued(self) -> None:
        """Let what is queued leave."""
        for message in self.messages:
            message |= {"status": "sent", "date_sent": format_datetime(datetime.now(UTC))}

    def listen(self, url: str) -> None:
        spec = json.loads(SPEC.read_text())
        spec["servers"] = [{"url": url}]
        for item in spec["paths"].values():
            item.pop("servers", None)
        self._api = OpenAPI.from_dict(spec)
        self.url = url

    def end(self) -> None:
        self._over.set()

    # --- answering -------------------------------------------------------------------------------------------------

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request as Twilio does, or fail as told."""
        body = handler.rfile.read(int(handler.headers.get("content-length", "0")))
        failure = self._next.popleft() if self._next else None
        if failure is None or failure.after:
            status, content = self._answered(handler, body)
        if failure is not None:
            if failure.hangs:
                self._over.wait(30)
            if failure.hangs or failure.cut:
                handler.close_connection = True
                return
            status, content = failure.status, _error(failure.status, failure.code)
        self._send(handler, status, content, failure.headers if failure is not None else {})

    def _answered(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Json]:
        parts = urlsplit(handler.path)
        kind = handler.headers.get("content-type", "")
        asked = MockRequest(
            self.url, handler.command.lower(), parts.path, args=parse_qs(parts.query), data=body or None,
            headers=dict(handler.headers.items()), content_type=kind.partition(";")[0],
        )  # fmt: skip
        try:
            self._api.validate_request(asked)
            form = dict(parse_qsl(body.decode() if body else parts.query, keep_blank_values=True))
            self.requests.append((handler.command, parts.path, form))
            self._let_in(handler, parts.path)
            status, content = (201, self._create(form)) if handler.command == "POST" else (200, self._list(form))
        except Refusal as refusal:
            return refusal.status, _error(refusal.status, refusal.code)
        except Exception as error:
            self.complaints.append(f"{handler.command} {handler.path}: {error!r} {error.__cause__!r}")
            return 400, _error(400, 20001)
        self._check(asked, status, content)
        return status, content

    def _check(self, asked: MockRequest, status: int, content: Json) -> None:
        answer = MockResponse(json.dumps(content).encode(), status_code=status, content_type="application/json")
        try:
            self._api.validate_response(asked, answer)
        except Exception as error:
            self.complaints.append(f"our own answer to {asked.path}: {error!r} {error.__cause__!r}")

    def _let_in(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        expected = "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        if handler.headers.get("authorization") != expected:
            raise Refusal(401, 20003)
        if ACCOUNT not in path:
            raise Refusal(404, 20404)

    def _create(self, form: Json) -> Json:
        if not ("From" in form or "MessagingServiceSid" in form):
            raise Refusal(400, 21603)
        if not form.get("Body"):
            raise Refusal(400, 21602)
        if len(form["Body"]) > BODY_MAX:
            raise Refusal(400, 21617)
        if form["To"] in self.stopped:
            raise Refusal(400, 21610)
        now = format_datetime(datetime.now(UTC))
        sid = "SM" + secrets.token_hex(16)
        made = {
            "sid": sid, "account_sid": ACCOUNT, "to": form["To"], "from": form.get("From"), "body": form["Body"],
            "status": "queued", "direction": "outbound-api", "num_segments": "1", "num_media": "0", "date_created": now,
            "date_updated": now, "date_sent": None, "error_code": None, "error_message": None, "price": None,
            "price_unit": "USD", "api_version": "2010-04-01", "messaging_service_sid": form.get("MessagingServiceSid"),
            "uri": f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}.json", "subresource_uris": {},
        }  # fmt: skip
        self.messages.append(made)
        if "StatusCallback" in form:
            self.callbacks[sid] = form["StatusCallback"]
        return made

    def _list(self, query: Json) -> Json:
        found = [one for one in self.messages if one["to"] == query.get("To", one["to"])]
        if "DateSent>" in query:
            since = datetime.fromisoformat(query["DateSent>"].replace("Z", "+00:00"))
            sent = [one for one in found if one["date_sent"] is not None]
            found = [one for one in sent if parsedate_to_datetime(one["date_sent"]) >= since]
        path = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
        return {
            "messages": found[::-1][: int(query.get("PageSize", "50"))], "page": 0, "page_size": 50, "start": 0,
            "end": max(0, len(found) - 1), "uri": path, "first_page_uri": self.url + path, "next_page_uri": None,
            "previous_page_uri": None,
        }  # fmt: skip

    def _send(self, handler: BaseHTTPRequestHandler, status: int, content: Json, headers: Mapping[str, str]) -> None:
        body = json.dumps(content).encode()
        handler.send_response(status)
        for name, value in {**headers, "content-type": "application/json", "content-length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


def _error(status: int, code: int | None) -> Json:
    """An error as Twilio writes it."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    return {"status": status, "code": code, "message": f"error {code}", "more_info": more}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: connections that break are what is tested."""


@contextmanager
def running_twilio() -> Iterator[Twilio]:
    """A Twilio that listens until the end of the block, and then has nothing to complain of."""
    twilio = Twilio()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_POST(self) -> None:
            twilio.take(self)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    twilio.listen(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield twilio
    finally:
        twilio.end()
        server.shutdown()
        server.server_close()
