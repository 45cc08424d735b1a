"""A channel for Mattermost, as a package of your own would bring it; docs/channels.md tells it line by line."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from urllib.parse import parse_qs

import orjson

from paydesk.channels.base import (
    Action,
    Address,
    Arrival,
    Channel,
    Command,
    Inbound,
    Misconfigured,
    Raw,
    Receipt,
    Refused,
    RetryLater,
    Said,
    Send,
    Start,
)  # fmt: skip
from paydesk.channels.http import Wire


class Mattermost(Channel):
    """Answers an outgoing webhook's words, and writes into the person's channel there."""

    name = "mattermost"

    def __init__(self, url: str, token: str, hook_token: str) -> None:
        self._hook_token = hook_token
        self._wire = Wire(url, "mm", {"authorization": f"Bearer {token}"})

    def read(self, request: Raw) -> Inbound | None:
        """Take in what bears the hook's token."""
        form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        if not hmac.compare_digest(form.get("token", ""), self._hook_token) or "post_id" not in form:
            return Inbound(401)
        return Inbound(200, b"{}", arrivals=(Arrival(form["post_id"], "said", form["user_id"], orjson.dumps(form)),))

    def understand(self, body: bytes) -> Sequence[Command]:
        """Return what somebody said."""
        form = orjson.loads(body)
        if "text" not in form:
            return ()
        return (Said(Address(self.name, form["user_id"], form["channel_id"]), form["text"]),)

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Post a message; the pending id lets Mattermost drop a repeat."""
        if not isinstance(action, Send):
            raise Refused("this channel only says things")
        links = [f"[{button.label}]({button.url})" for button in action.buttons if button.url]
        text = "\n".join([action.text.replace("@", "@\u200b")[:16_000], *links])
        post = {"channel_id": action.to.conversation, "message": text, "pending_post_id": action.key}
        answer = await self._wire.call("POST", "/api/v4/posts", json=post)
        if answer.status == 201:
            return Receipt({"post": answer.parsed["id"]})
        if answer.status == 401:
            raise Misconfigured("the token is not taken", resource="*", mend="set MATTERMOST_TOKEN to a bot's token")
        if answer.status == 429 or answer.status >= 500:
            raise RetryLater(f"answered {answer.status}", answer.retry_after_s, counted=answer.status != 429)
        raise Refused(f"answered {answer.status}")

    async def close(self) -> None:
        """Close the connection."""
        await self._wire.close()


def make(start: Start) -> Mattermost | None:
    """Return the channel, if it is set up: what the entry point names."""
    url = start.environ.get("MATTERMOST_URL")
    if url is None:
        return None
    return Mattermost(url, start.environ["MATTERMOST_TOKEN"], start.environ["MATTERMOST_HOOK_TOKEN"])
