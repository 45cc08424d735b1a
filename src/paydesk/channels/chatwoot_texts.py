"""How words are put into a Chatwoot message, so that they mean only themselves.

The server reads an outgoing message twice: as a Liquid template (`{{contact.email}}` would be filled in; see
app/models/concerns/liquidable.rb of its source) and as Markdown. What people typed, and names they chose, is neither.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from paydesk.channels.base import Button

TEXT_MAX = 4000
"""Characters of a message: the server takes 150,000, the apps behind its inboxes (WhatsApp, Telegram) about 4,096."""

LABEL_MAX = 80

_LIQUID = re.compile(r"\{(?=[{%])")
_MARKUP = re.compile(
    r"[\\`*\[]"  # code, stress, links and pictures
    r"|~(?=~)|<(?=[A-Za-z/!?])|&(?=#?\w+;)"  # struck out, tags, entities
    r"|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"  # stress; inside a word it is none
    r"|(?m:^(?=[ ]{0,3}[-=]+[ ]*$))|(?m:(?<=^)[#>+-](?=\s))"  # headings, quotations, lists
)
_NUMBERED = re.compile(r"(?m)^(\d{1,9})([.)])(?=\s)")


def plain(text: str) -> str:
    """Return `text` so that the server shows it as it is."""
    opened = _LIQUID.sub("{ ", text.replace("\x00", ""))
    return _NUMBERED.sub(r"\1\\\2", _MARKUP.sub(lambda found: "\\" + found[0], opened))


def message(text: str, buttons: Sequence[Button]) -> str:
    """Return a message's content of at most `TEXT_MAX` characters: the words, and a line for each button.

    Not every inbox has buttons, so none is used: a link is a line `Pay $9.99: https://…`, a command one to type. The
    words are cut where it is too long, never a line with a link.
    """
    lines = [_line(button) for button in buttons]
    room = max(TEXT_MAX - sum(len(line) + 1 for line in lines), 200)
    words = _cut(plain(text.strip()), room)
    return "\n".join(part for part in (words, *lines) if part)


def _line(button: Button) -> str:
    label = _cut(plain(" ".join(button.label.split())), LABEL_MAX)
    return f"{label}: {button.url}" if button.url else f"{label}: {plain(button.command or '')}"


def _cut(escaped: str, room: int) -> str:
    """Return `escaped` cut to `room` characters, never behind a backslash that belongs to what follows."""
    if len(escaped) <= room:
        return escaped
    return escaped[: room - 1].rstrip("\\").rstrip() + "…"
