"""The web channel: messages are kept in the thread, where the chat page and polling agents find them.

It also serves every channel name that has no adapter of its own: such callers fetch their messages. A message with
the same key is kept once, so this channel delivers exactly once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from paydesk.channels.base import Action, Address, Receipt

Append = Callable[[Address, str, list[dict[str, str]], str], Awaitable[int]]
"""Keeps a message in a thread under a key, and returns its number."""


class WebChannel:
    """Delivers by keeping."""

    name = "web"

    def __init__(self, append: Append) -> None:
        self._append = append

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Keep the message in its thread."""
        buttons = [button.as_json() for button in action.buttons]
        number: Any = await self._append(action.to, action.text, buttons, action.key)
        return Receipt({"message": number})
