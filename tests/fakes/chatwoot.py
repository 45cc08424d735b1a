"""A Chatwoot for tests: a real HTTP server with one account, which checks every request and answer against the spec.

It behaves as the server's source does, traps too: labels are replaced, attributes are unless `merge` is asked for (and
known), Liquid is filled in, and an outgoing message with a `source_id` reaches nobody on WhatsApp.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from openapi_core import OpenAPI
from openapi_core.testing import MockRequest, MockResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from fakes.chatwoot_spec import contract

FORM = "multipart/form-data"
ACCOUNT = 1
ADMIN_TOKEN, AGENT_TOKEN, BOT_TOKEN, STRANGER_TOKEN = "admin-token-1", "agent-token-1", "bot-token-1", "stranger-token"
BOTS_MAY = ("POST messages", "POST custom_attributes", "POST toggle_status")
REACHED_BY_SOURCE_ID = ("Channel::WebWidget", "Channel::Api")


@dataclass
class Conversation:
    """One conversation: what it shows, and all that was said in it."""

    id: int
    contact: int
    channel: str = "Channel::WebWidget"
    labels: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    status: str = "open"

    @property
    def reached(self) -> list[str]:
        """What the customer got to see."""
        return [
            one["content"] for one in self.messages
            if one["message_type"] == 1 and not one["private"]
            and (one["source_id"] is None or self.channel in REACHED_BY_SOURCE_ID)
        ]  # fmt: skip

    @property
    def notes(self) -> list[str]:
        return [one["content"] for one in self.messages if one["private"]]


@dataclass
class Trouble:
    """What is to happen to the next request that fits, instead of or after what it asks for."""

    method: str
    part: str
    answer: Callable[[], Response]
    done: bool
    wait_s: float = 0.0


class Fake:
    """The account's state, what was asked, and what was wrong with it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spec = contract(url)
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a start."""
        self.complaints: list[str] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.contacts: dict[int, dict[str, Any]] = {}
        self.conversations: dict[int, Conversation] = {}
        self.labels: list[dict[str, Any]] = []
        self.definitions: list[dict[str, Any]] = []
        self.webhooks: list[dict[str, Any]] = []
        self.troubles: list[Trouble] = []
        self.keeps_keys = self.merges = True
        self.drops_unknown_labels = False
        self.down: str | None = None
        """`500`: every request is answered so. `hangs`: none is answered while it lasts."""
        self.after: dict[str, Callable[[Conversation], None]] = {}
        """What an agent does as soon as a call of this name (`labels`) was carried out."""
        self._number = 1000

    # --- what a test does to it --------------------------------------------------------------------------------------

    def conversation(self, number: int, *, contact: int = 42, **more: Any) -> Conversation:
        """Begin a conversation with a contact, who is made if need be."""
        self.contacts.setdefault(contact, {"id": contact, "name": "Ada", "custom_attributes": {}})
        self.conversations[number] = Conversation(number, contact, **more)
        return self.conversations[number]

    def fail_next(
        self, method: str, part: str, status: int, body: Any = None, headers: dict[str, str] | None = None, *,
        done: bool = False,
    ) -> None:  # fmt: skip
        """Answer the next request that fits with this; with `done`, after doing what it asked for."""
        content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        more = {"content-type": "application/json", **(headers or {})}
        self.troubles.append(Trouble(method, part, lambda: Response(content, status, more), done))

    def cut_next(self, method: str, part: str) -> None:
        """Do what the next request that fits asks for, and cut the connection within the answer."""
        self.troubles.append(Trouble(method, part, _cut, done=True))

    def stall_next(self, method: str, part: str, wait_s: float) -> None:
        """Do what the next request that fits asks for, and answer only after a while."""
        self.troubles.append(Trouble(method, part, lambda: Response(b"{}"), done=True, wait_s=wait_s))

    def told(self, conversation: int, content: str | None, **more: Any) -> dict[str, Any]:
        """The payload by which a webhook or an agent bot hears of a message; `more` is what differs."""
        one = self.conversations[conversation]
        person = self.contacts[one.contact]
        self._number += 1
        return {
            "event": "message_created", "id": self._number, "content": content, "message_type": "incoming",
            "content_type": "text", "content_attributes": {}, "private": False, "source_id": None,
            "created_at": "2026-01-15T09:30:00.000Z", "account": {"id": ACCOUNT, "name": "Tutors"},
            "inbox": {"id": 5, "name": "Site"}, "sender": {**person, "additional_attributes": {}},
            "conversation": {
                "id": one.id, "channel": one.channel, "labels": one.labels, "status": one.status,
                "custom_attributes": one.attributes, "additional_attributes": {"browser": {}},
                "contact_inbox": {"contact_id": one.contact, "source_id": "a-b"},
                "meta": {"sender": {**person, "type": "contact"}}, "messages": [{"content": "x" * 90_000}],
            }, **more,
        }  # fmt: skip

    def calls(self, method: str, part: str = "") -> list[Any]:
        """The bodies of requests that fit."""
        return [body for verb, path, body in self.requests if verb == method and path.endswith(part)]

    # --- what it answers -----------------------------------------------------------------------------------------------

    async def handle(self, request: Request) -> Response:
        """Record, check, answer, check the answer."""
        raw = await request.body()
        path = request.url.path
        while self.down == "hangs":
            await asyncio.sleep(0.05)
        if self.down is not None:
            return Response(b'{"error": "Internal Server Error"}', int(self.down), {"content-type": "application/json"})
        kind = (request.headers.get("content-type") or "application/json").split(";")[0]
        if kind == FORM and path.endswith("/messages"):  # messages may have files: the server takes forms, too
            raw, kind = await _of_form(request), "application/json"
        self.requests.append((request.method, path, json.loads(raw) if raw else None))
        asked = MockRequest(
            self.url, request.method.lower(), path, headers=dict(request.headers), args=dict(request.query_params),
            data=raw or None, content_type=kind,
        )  # fmt: skip
        wrong = self._wrong(lambda spec: spec.validate_request(asked))
        trouble = next((t for t in self.troubles if t.method == request.method and path.endswith(t.part)), None)
        if trouble is not None:
            self.troubles.remove(trouble)
            if trouble.done:
                self._answer(request, raw)
            await asyncio.sleep(trouble.wait_s)
            return trouble.answer()
        status, body = (422, {"message": wrong[:200]}) if wrong else self._answer(request, raw)
        content = json.dumps(body).encode()
        if not wrong:
            reply = MockResponse(content, status_code=status, content_type="application/json")
            self._wrong(lambda spec: spec.validate_response(asked, reply))
        return Response(content, status, {"content-type": "application/json; charset=utf-8"})

    def _wrong(self, check: Callable[[OpenAPI], None]) -> str:
        try:
            check(self.spec)
        except Exception as error:
            text = f"{type(error).__name__}: {error} ({error.__cause__})"
            self.complaints.append(text)
            return text
        return ""

    def _answer(self, request: Request, raw: bytes) -> tuple[int, Any]:
        token = request.headers.get("api_access_token")
        path = request.url.path
        *_, last = path.split("/")
        if token not in (ADMIN_TOKEN, AGENT_TOKEN, BOT_TOKEN, STRANGER_TOKEN):
            return 401, {"error": "Invalid Access Token"}
        if token == BOT_TOKEN and f"{request.method} {last}" not in BOTS_MAY:
            return 401, {"error": "Access to this endpoint is not authorized for bots"}
        if path == "/api/v1/profile":
            account = 2 if token == STRANGER_TOKEN else ACCOUNT
            role = "administrator" if token == ADMIN_TOKEN else "agent"
            accounts = [{"id": account, "name": "Tutors", "role": role}]
            return 200, {"id": 3, "name": "Anna", "email": "anna@tutors.example", "account_id": account, "role": role,
                         "accounts": accounts}  # fmt: skip
        if token == STRANGER_TOKEN or not path.startswith(f"/api/v1/accounts/{ACCOUNT}/"):
            return 401, {"error": "You are not authorized to access this account"}
        body = json.loads(raw) if raw else {}
        parts = path.removeprefix(f"/api/v1/accounts/{ACCOUNT}/").split("/")
        if parts[0] == "conversations":
            return self._of_conversation(request, int(parts[1]), parts[2] if len(parts) > 2 else "", body)
        if parts[0] == "contacts":
            return self._of_contact(request.method, int(parts[1]), last, body)
        if request.method == "POST" and token != ADMIN_TOKEN:
            return 401, {"error": "You are not authorized to do this action"}
        return getattr(self, f"_{parts[0]}")(request.method, body)

    def _of_conversation(self, request: Request, number: int, what: str, body: Any) -> tuple[int, Any]:
        one = self.conversations.get(number)
        if one is None:
            return 404, {"error": "Resource could not be found"}
        if what == "":
            return 200, self._shown(one)
        if what == "messages" and request.method == "GET":
            before = int(request.query_params.get("before", "9" * 9))
            page = [message for message in one.messages if message["id"] < before][-20:]
            return 200, {"meta": {"labels": one.labels}, "payload": page}
        if what == "messages":
            return self._say(one, body)
        if what == "labels":
            if request.method == "POST":
                self._put_labels(one, body["labels"])
            answer = {"payload": list(one.labels)}
        elif what == "custom_attributes":
            kept = one.attributes if body.get("merge") and self.merges else {}
            one.attributes = {**kept, **body["custom_attributes"]}
            answer = {"custom_attributes": dict(one.attributes)}
        else:
            one.status = body["status"]
            answer = {"payload": {"success": True, "current_status": one.status, "conversation_id": one.id}}
        if request.method == "POST" and what in self.after:
            self.after[what](one)
        return 200, answer

    def _shown(self, one: Conversation) -> dict[str, Any]:
        return {
            "id": one.id, "account_id": ACCOUNT, "inbox_id": 5, "labels": list(one.labels), "status": one.status,
            "custom_attributes": dict(one.attributes), "last_activity_at": 1_700_000_000 + one.id,
            "meta": {"sender": {**self.contacts[one.contact], "type": "contact"}, "channel": one.channel},
        }  # fmt: skip

    def _say(self, one: Conversation, body: Any) -> tuple[int, Any]:
        if not body["content"].strip():
            return 422, {"error": "Content can't be blank"}
        if body.get("message_type") == "incoming" and one.channel != "Channel::Api":
            return 422, {"error": "Incoming messages are only allowed in Api inboxes"}
        name = str(self.contacts[one.contact]["name"])
        content = re.sub(r"\{\{\s*contact\.name\s*\}\}|\{%.*?%\}", name, body["content"])
        self._number += 1
        message = {
            "id": self._number, "content": content, "content_type": "text",
            "content_attributes": body.get("content_attributes", {}) if self.keeps_keys else {},
            "message_type": 0 if body.get("message_type") == "incoming" else 1, "created_at": int(time.time()),
            "private": bool(body.get("private")), "conversation_id": one.id, "inbox_id": 5, "account_id": ACCOUNT,
            "source_id": body.get("source_id") if self.keeps_keys else None, "status": "sent",
            "sender": {"id": 3, "name": "Anna", "type": "user"},
        }  # fmt: skip
        one.messages.append(message)
        return 200, message

    def _put_labels(self, one: Conversation, labels: list[str]) -> None:
        known = {label["title"] for label in self.labels}
        one.labels = [title for title in labels if title in known or not self.drops_unknown_labels]
        self._number += 1
        noted = {"id": self._number, "content": f"Anna added {', '.join(labels)}", "message_type": 2}
        one.messages.append({**noted, "private": False, "source_id": None, "content_attributes": {}})

    def _of_contact(self, method: str, number: int, last: str, body: Any) -> tuple[int, Any]:
        person = self.contacts.get(number)
        if person is None:
            return 404, {"error": "Resource could not be found"}
        if last == "conversations":
            return 200, {"payload": [self._shown(c) for c in self.conversations.values() if c.contact == number]}
        person["custom_attributes"] = {**person["custom_attributes"], **body.get("custom_attributes", {})}
        person.update({name: value for name, value in body.items() if name != "custom_attributes"})
        return 200, {"payload": dict(person)}

    def _labels(self, method: str, body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, {"payload": self.labels}
        title = body["title"].lower()
        if any(label["title"] == title for label in self.labels):
            return 422, {"message": "Title has already been taken", "attributes": ["title"]}
        self.labels.append({"id": len(self.labels) + 1, **body, "title": title})
        return 200, self.labels[-1]

    def _custom_attribute_definitions(self, method: str, body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, self.definitions
        models = ("conversation_attribute", "contact_attribute")
        made = {**body, "id": len(self.definitions) + 1, "attribute_model": models[body["attribute_model"]]}
        self.definitions.append(made)
        return 200, made

    def _webhooks(self, method: str, body: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, {"payload": {"webhooks": self.webhooks}}
        self.webhooks.append({"id": 1, "account_id": ACCOUNT, "secret": "made-by-the-server", **body})
        return 200, {"payload": {"webhook": self.webhooks[-1]}}


async def _of_form(request: Request) -> bytes:
    """What a form says, as JSON: it has words alone, some of them JSON themselves."""
    told = {name: str(value) for name, value in (await request.form()).items()}
    plain = {name: json.loads(value) for name, value in told.items() if name in ("private", "content_attributes")}
    return json.dumps({**told, **plain}).encode()


def _cut() -> Response:
    """Less than was promised: the server closes the connection."""

    async def part() -> Any:
        yield b'{"id":'

    return StreamingResponse(part(), headers={"content-length": "500", "content-type": "application/json"})


def signed(body: bytes, secret: str, *, at: float | None = None) -> dict[str, str]:
    """The headers by which the server signs what it sends (its pull request 13573)."""
    stamp = str(int(time.time() if at is None else at))
    seal = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"x-chatwoot-signature": f"sha256={seal}", "x-chatwoot-timestamp": stamp, "x-chatwoot-delivery": "d-1"}


@contextmanager
def running_chatwoot() -> Iterator[Fake]:
    """A fake Chatwoot at an address of its own, until the block ends."""
    listening = socket.create_server(("127.0.0.1", 0))
    fake = Fake(f"http://127.0.0.1:{listening.getsockname()[1]}")
    routes = [Route("/{path:path}", fake.handle, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield fake
    server.should_exit = True
    thread.join(10)
    listening.close()
