"""What goes in and out of the conversation: what somebody said, and an answer with its buttons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paydesk.channels.base import Address, Button
from paydesk.chat.texts import Words


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer in the conversation. `kind` and `facts` tell channels that show more than words what it is about."""

    text: str
    buttons: tuple[Button, ...] = ()
    kind: str = "reply"
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the reply as the API shows it: a button of a platform's own shop is none elsewhere."""
        return {"text": self.text, "buttons": [button.as_json() for button in self.buttons if not button.article]}


@dataclass(frozen=True, slots=True)
class Said:
    """Who said it, where, the words after the command, everything that was said, and the language they read."""

    customer: str
    where: Address
    argument: str
    text: str
    words: Words


def page(buttons: list[Button], number: int, size: int, command: str, words: Words) -> tuple[Button, ...]:
    """Return a page of buttons, counted from 1, with those that lead to the pages around it; all of them where they fit.

    `size` is how many a page has at most, with the two that lead on; `command` is what these say before the page's number.
    """
    if len(buttons) <= size:
        return tuple(buttons)
    each = size - 2
    number = within(number, len(buttons), size)
    around = []
    if number > 1:
        around.append(Button(words.button("button_back"), command=f"{command} #{number - 1}"))
    if number * each < len(buttons):
        around.append(Button(words.button("button_more"), command=f"{command} #{number + 1}"))
    return (*buttons[(number - 1) * each : number * each], *around)


def within(number: int, count: int, size: int) -> int:
    """Return the page nearest to a number, counted from 1, where `count` things stand on pages as `page` makes them."""
    each = count if count <= size else size - 2
    return max(1, min(number, -(-count // max(each, 1))))
