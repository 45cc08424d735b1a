"""The calls of Chatwoot's API that we make, each with what it guarantees. Every answer is looked at before it is used.

Paths and shapes: the application API of its swagger files; see tests/specs/chatwoot-openapi-subset.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paydesk.channels import chatwoot_failures as failures
from paydesk.channels.base import NeedsUser, Refused
from paydesk.channels.http import Answer, Wire

KEY = "paydesk"
"""The content attribute in which a message carries its key.

Not `source_id`: the server takes an outgoing message that has one for a copy of what its channel sent already, and
brings it to nobody on WhatsApp, SMS, mail and the like (app/services/base/send_on_channel_service.rb).
"""

ACTIVITY = 2
"""The type of a message by which the server notes what agents do, such as a label that was set."""

PAGES = 3
"""How many pages of twenty messages are looked through for one that may have been sent."""


class Calls:
    """One account of one Chatwoot. Each call raises an error of the contract where the answer is not what it should be."""

    def __init__(self, wire: Wire, account: str) -> None:
        self._wire = wire
        self._account = f"/api/v1/accounts/{account}"
        self.keeps_keys = True
        """Whether the server gives back the key of a message, so that one can be looked for. Learnt from its answers."""

    async def say(self, conversation: str, content: str, key: str, *, private: bool) -> int:
        """Put a message into a conversation, and return its id. Repeating it says it twice: see `find`."""
        body = {"content": content, "message_type": "outgoing", "private": private, "content_attributes": {KEY: key}}
        said = await self._ask("POST", f"{_of(conversation)}/messages", body, repeatable=self.keeps_keys)
        if type(said.get("id")) is not int:
            raise failures.elsewhere("a message was answered by something that is not Chatwoot's API")
        self.keeps_keys = _key(said) == key
        return int(said["id"])

    async def find(self, conversation: str, key: str, content: str) -> int | None:
        """Return the id of the message with a key among the latest ones, `None` if there is none.

        Where the server keeps no keys, it is the last message if that has the same content.
        """
        query: dict[str, str] = {}
        for _ in range(PAGES):
            messages = _list(await self._ask("GET", f"{_of(conversation)}/messages", query=query))
            found = [one["id"] for one in messages if _key(one) == key]
            if not self.keeps_keys and not query:
                found += _last_that_says(content, messages)
            if found or not messages:
                return int(found[0]) if found else None
            query = {"before": str(min(one["id"] for one in messages))}
        return None

    async def conversation(self, conversation: str) -> Mapping[str, Any]:
        """Return a conversation: `custom_attributes`, and `meta.sender` for its contact."""
        return await self._ask("GET", _of(conversation))

    async def labels_of(self, conversation: str) -> list[str]:
        """Return a conversation's labels."""
        return [str(label) for label in _list(await self._ask("GET", f"{_of(conversation)}/labels"), of=str)]

    async def put_labels(self, conversation: str, labels: Sequence[str]) -> None:
        """Let a conversation have these labels and no others: the call replaces them all."""
        await self._ask("POST", f"{_of(conversation)}/labels", {"labels": list(labels)})

    async def put_attributes(self, conversation: str, attributes: Mapping[str, Any]) -> None:
        """Let a conversation have these attributes: all of them, for servers that replace, and `merge` for those that do."""
        body = {"custom_attributes": dict(attributes), "merge": True}
        await self._ask("POST", f"{_of(conversation)}/custom_attributes", body)

    async def put_contact(self, contact: str, attributes: Mapping[str, Any]) -> None:
        """Set attributes of a contact; the server keeps the others."""
        await self._ask("PUT", f"/contacts/{_number(contact)}", {"custom_attributes": dict(attributes)})

    async def open(self, conversation: str) -> None:
        """Give a conversation to the agents, if it was a bot's."""
        await self._ask("POST", f"{_of(conversation)}/toggle_status", {"status": "open"})

    async def conversations_of(self, contact: str) -> list[Mapping[str, Any]]:
        """Return a contact's conversations; raises `NeedsUser` for ever when the contact is not there any more."""
        try:
            return _list(await self._ask("GET", f"/contacts/{_number(contact)}/conversations"))
        except NeedsUser as gone:
            raise NeedsUser(f"the contact is not there any more ({gone})", for_ever=True, rule=gone.rule) from gone

    async def labels(self) -> set[str]:
        """Return the titles of the account's labels."""
        return {str(one.get("title")) for one in _list(await self._ask("GET", "/labels"))}

    async def make_label(self, title: str, color: str) -> None:
        """Make a label; one that is there already is none the worse."""
        await self._make("/labels", {"title": title, "color": color, "show_on_sidebar": True})

    async def attributes(self) -> set[tuple[str, str]]:
        """Return the account's attribute definitions, as (model, key)."""
        answer = await self._get("/custom_attribute_definitions")
        found = answer.parsed
        rows = found if isinstance(found, list) else _list(found)
        return {(str(one.get("attribute_model")), str(one.get("attribute_key"))) for one in rows}

    async def make_attribute(self, definition: Mapping[str, Any]) -> None:
        """Define an attribute, so that agents see it; one that is there already is none the worse."""
        await self._make("/custom_attribute_definitions", dict(definition))

    async def webhooks(self) -> list[Mapping[str, Any]]:
        """Return the account's webhooks: `url`, `subscriptions`, and on newer servers their `secret`."""
        payload = (await self._ask("GET", "/webhooks")).get("payload")
        found = payload.get("webhooks") if isinstance(payload, dict) else payload
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    async def make_webhook(self, url: str) -> None:
        """Let the account call `url` for every new message, and when one fails."""
        await self._ask("POST", "/webhooks", {"url": url, "subscriptions": ["message_created", "message_updated"]})

    async def profile(self) -> Mapping[str, Any]:
        """Return who the token belongs to: `name`, `accounts` with an `id` and a `role` each."""
        answer = await self._wire.call("GET", "/api/v1/profile", repeatable=True)
        return _object(answer, "GET /api/v1/profile", repeatable=True)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._wire.close()

    async def _make(self, path: str, body: Mapping[str, Any]) -> None:
        try:
            await self._ask("POST", path, body)
        except Refused as refused:
            if refused.rule != "cw-422":
                raise

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        answer = await self._wire.call("GET", self._account + path, query=query or None, repeatable=True)
        if answer.status >= 300:
            raise failures.failure(answer, f"GET {path}", repeatable=True)
        return answer

    async def _ask(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, str] | None = None,
        repeatable: bool = True,
    ) -> dict[str, Any]:  # fmt: skip
        """Ask, and return the object that was answered. All but messages can be asked twice."""
        answer = await self._wire.call(
            method, self._account + path, json=body, query=query or None, repeatable=repeatable
        )  # fmt: skip
        return _object(answer, f"{method} {path}", repeatable=repeatable)


def _object(answer: Answer, asked: str, *, repeatable: bool) -> dict[str, Any]:
    """Return the object that was answered; a page for people is not one, whatever its status."""
    if answer.status >= 300:
        raise failures.failure(answer, asked, repeatable=repeatable)
    body = answer.parsed
    if answer.body.strip() and not (isinstance(body, dict) and _is_json(answer)):
        raise failures.elsewhere(f"{asked}: answered by something that is not Chatwoot's API")
    return body if isinstance(body, dict) else {}


def _is_json(answer: Answer) -> bool:
    return "json" in answer.headers.get("content-type", "json")


def _list(body: Mapping[str, Any], of: type = dict) -> list[Any]:
    """Return what an answer lists in `payload`."""
    payload = body.get("payload")
    return [one for one in payload if isinstance(one, of)] if isinstance(payload, list) else []


def _key(message: Mapping[str, Any]) -> object:
    attributes = message.get("content_attributes")
    return attributes.get(KEY) if isinstance(attributes, dict) else None


def _last_that_says(content: str, messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the id of the last message if it has this content; what the server notes by itself is no message."""
    spoken = [one for one in messages if one.get("message_type") not in (ACTIVITY, "activity")]
    return [one["id"] for one in spoken[-1:] if one.get("content") == content]


def _of(conversation: str) -> str:
    return f"/conversations/{_number(conversation)}"


def _number(text: str) -> str:
    """Return an id that may stand in a path; raises `Refused` for any other text."""
    if not (text.isascii() and text.isdigit()):
        raise Refused(f"{text[:40]!r} is no id of Chatwoot's: they are numbers", rule="cw-no-number")
    return text
