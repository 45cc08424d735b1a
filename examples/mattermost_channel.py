"""A channel for Mattermost, as a package of your own would bring it; docs/channels.md tells it part by part."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from urllib.parse import parse_qs

import orjson

from paydesk.channels.base import (
    Action,
    Address,
    Arrival,
    Button,
    Channel,
    Command,
    Inbound,
    Misconfigured,
    NeedsUser,
    Raw,
    Receipt,
    Refused,
    RetryLater,
    Said,
    Send,
    Start,
    Unknown,
)  # fmt: skip
from paydesk.channels.http import Wire

SETTINGS = ("MATTERMOST_TOKEN", "MATTERMOST_HOOK_TOKEN", "MATTERMOST_BOT_NAME")
KEPT = ("post_id", "user_id", "channel_id", "text")
MARK_UP = re.compile(r"[\\`*_~\[\]#|!>]")


def make(start: Start) -> Mattermost | None:
    """Return the channel, if it is set up: what the entry point names."""
    url = start.environ.get("MATTERMOST_URL")
    return None if url is None else Mattermost(url, *(start.environ[name] for name in SETTINGS))


def plain(text: str, length_max: int) -> str:
    """Return words that only mean themselves there: no mark-up, no mention."""
    return MARK_UP.sub(r"\\\g<0>", text[:length_max]).replace("@", "@\u200b")


def line(button: Button) -> str:
    """Return a button as a line: a link, or what to type."""
    label = plain(button.label, 80)
    return f"[{label}]({button.url})" if button.url else f"{label}: {plain(button.command or '', 200)}"


class Mattermost(Channel):
    """Hears an outgoing webhook, and answers in the channel where something was said."""

    name = "mattermost"

    def __init__(self, url: str, token: str, hook_token: str, bot_name: str) -> None:
        self._hook_token, self._bot_name = hook_token.encode(), bot_name
        self._wire = Wire(url, "mm", {"authorization": f"Bearer {token}"})

    def read(self, request: Raw) -> Inbound | None:
        """Take in what bears the hook's token, but for what we said ourselves."""
        form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
        if not hmac.compare_digest(form.get("token", "").encode("utf-8", "replace"), self._hook_token):
            return Inbound(401)
        kept = {name: form.get(name, "")[:4000] for name in KEPT}
        if not all(kept.values()) or form.get("user_name") == self._bot_name:
            return Inbound(200, b"{}")
        arrival = Arrival(kept["post_id"], "said", kept["user_id"], orjson.dumps(kept))
        return Inbound(200, b"{}", arrivals=(arrival,))

    def understand(self, body: bytes) -> Sequence[Command]:
        """Return what somebody said."""
        kept = orjson.loads(body)
        return [Said(Address(self.name, kept["user_id"], kept["channel_id"]), kept["text"])] if "text" in kept else []

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Post a message; for half a minute the server drops a repeat that has the same pending id."""
        if not isinstance(action, Send):
            raise Refused("this channel only says things")
        if action.to.conversation is None:
            raise NeedsUser("it is not known in which channel they are")
        text = "\n".join([plain(action.text, 4000), *map(line, action.buttons)])
        post = {"channel_id": action.to.conversation, "message": text, "pending_post_id": action.key}
        answer = await self._wire.call("POST", "/api/v4/posts", json=post)
        match answer.status:
            case 201:
                return Receipt({"post": answer.parsed["id"]})
            case 401:
                raise Misconfigured("the token is not taken", resource="*", mend="set MATTERMOST_TOKEN")
            case 403 | 404:
                raise NeedsUser(f"the channel is closed to us: {answer.status}")
            case 429:
                raise RetryLater("too fast", answer.retry_after_s, counted=False, everyone=True)
        raise Unknown(f"answered {answer.status}") if answer.status >= 500 else Refused(f"answered {answer.status}")

    async def close(self) -> None:
        """Close the connection."""
        await self._wire.close()
