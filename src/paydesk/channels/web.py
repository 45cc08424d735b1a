"""The web channel: messages are kept in the thread, where the chat page and polling agents find them.

It also serves every channel name that has no adapter of its own: such callers fetch their messages. A message with
the same key is kept once, so this channel delivers exactly once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from paydesk.channels.base import Action, Address, Channel, Edit, Gone, Receipt, Refused, Send

Append = Callable[[Address, str, list[dict[str, str]], str], Awaitable[int]]
"""Keeps a message in a thread under a key, and returns its number."""

Change = Callable[[Address, int, str, list[dict[str, str]], int], Awaitable[bool]]
"""Changes the message with a number, unless newer news (the last argument) changed it; `False` when it is not there."""


class WebChannel(Channel):
    """Delivers by keeping. Without `change` nothing is edited: who fetches messages by number sees only new ones."""

    name = "web"

    def __init__(self, append: Append, change: Change | None = None) -> None:
        self._append = append
        self._change = change
        self.edits = change is not None

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Keep the message in its thread, or change it there. Raises `Gone` when it is not there any more."""
        if not isinstance(action, Send | Edit):
            raise Refused("the web chat has neither roles nor groups, and no money of its own")
        buttons = [button.as_json() for button in action.buttons]
        if isinstance(action, Edit):
            return await self._edit(action, buttons, last)
        number: Any = await self._append(action.to, action.text, buttons, action.key)
        return Receipt({"message": number})

    async def _edit(self, edit: Edit, buttons: list[dict[str, str]], last: Receipt | None) -> Receipt:
        number = last.data.get("message") if last is not None else None
        if self._change is None or type(number) is not int:
            raise Gone("there is no message to edit")
        if not await self._change(edit.to, number, edit.text, buttons, edit.number):
            raise Gone(f"message {number} is not there any more")
        return Receipt({"message": number})
