"""Plain words and buttons as a Discord message: escaped, cut, nobody pinged.

Discord reads a dialect of Markdown in which a backslash before any sign that is neither letter, digit nor space shows
that sign. A message has at most 2,000 characters, 5 rows of 5 buttons, a label 80, a button's id 100, a link 512.
(Discord's documentation, Create Message; Component Reference.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from paydesk.channels.base import Button
from paydesk.channels.discord_ids import SNOWFLAKE

TEXT_MAX = 2000
TAIL_MAX = 1000
LABEL_MAX = 80
CUSTOM_ID_MAX = 100
URL_MAX = 512
ROW_BUTTONS = 5
ROWS = 5

ACTION_ROW, BUTTON = 1, 2
SECONDARY, LINK, PREMIUM = 2, 5, 6

_ADDRESS = r"https?://[^\s<>`|*~\\\[\]]*[^\s<>`|*~\\\[\].,:;!?\"'()]"
_ATOM = re.compile(rf"({_ADDRESS})|(@(?=everyone|here)|[\\*_~`|<\[])|(.)", re.IGNORECASE)
_LINE = re.compile(r"\A(\s*)(?:([#>+-])|(\d+)\.(?=\s))?(.*)\Z", re.DOTALL)

NOBODY: dict[str, list[str]] = {"parse": []}
"""Whatever stands in the text, nobody is pinged."""


def message(text: str, buttons: Sequence[Button]) -> dict[str, Any]:
    """Return the body of a message that says `text` with `buttons`; what is no button here stands below the text."""
    rows, left = components(buttons)
    tail = _tail(left)
    shown = fitted(text, TEXT_MAX - length(tail)) + tail
    return {"content": shown.strip() or "…", "components": rows, "allowed_mentions": NOBODY}


def length(text: str) -> int:
    """Return the length as Discord may count it at most: a sign beyond the first 65,536 counts twice."""
    return len(text) + sum(1 for sign in text if ord(sign) > 0xFFFF)


def fitted(text: str, room: int) -> str:
    """Return `text` escaped, cut to `room` with an ellipsis, never inside an escape or an address."""
    atoms = list(_atoms(text[: TEXT_MAX + 1]))
    escaped = "".join(atoms)
    if len(text) <= TEXT_MAX and length(escaped) <= room:
        return escaped
    kept, used = [], 1  # the ellipsis
    for atom in atoms:
        used += length(atom)
        if used > room:
            break
        kept.append(atom)
    return "".join(kept).rstrip() + "…"


def _atoms(text: str) -> Iterator[str]:
    """Yield pieces of the escaped text that must not be parted."""
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n")):
        if number:
            yield "\n"
        ((space, sign, digits, rest),) = _LINE.findall(line)
        yield from space
        if sign:
            yield "\\" + sign
        elif digits:
            yield digits + "\\."
        for address, special, other in _ATOM.findall(rest):
            yield address or ("\\" + special if special else other)


# --- buttons ---------------------------------------------------------------------------------------------------------


def components(buttons: Iterable[Button]) -> tuple[list[dict[str, Any]], list[Button]]:
    """Return the rows of buttons, and the buttons that fit into none."""
    shown: list[dict[str, Any]] = []
    left, seen = [], set()
    for button in buttons:
        target = button.article or button.url or button.command or ""
        if not target or target in seen:
            continue  # Discord refuses a message with the same button twice
        seen.add(target)
        if len(shown) < ROWS * ROW_BUTTONS and _fits(button):
            shown.append(_component(button))
        else:
            left.append(button)
    rows = [shown[start : start + ROW_BUTTONS] for start in range(0, len(shown), ROW_BUTTONS)]
    return [{"type": ACTION_ROW, "components": row} for row in rows], left


def _fits(button: Button) -> bool:
    if button.article:
        return SNOWFLAKE.fullmatch(button.article) is not None
    if not button.url:
        return length(button.command or "") <= CUSTOM_ID_MAX
    host = urlsplit(button.url).hostname or ""
    return length(button.url) <= URL_MAX and button.url.startswith(("http://", "https://")) and "." in host


def _component(button: Button) -> dict[str, Any]:
    if button.article:  # Discord writes on it what it is and costs
        return {"type": BUTTON, "style": PREMIUM, "sku_id": button.article}
    label = _label(button)
    if button.url:
        return {"type": BUTTON, "style": LINK, "label": label, "url": button.url}
    return {"type": BUTTON, "style": SECONDARY, "label": label, "custom_id": button.command}


def _label(button: Button) -> str:
    """Return the label on one line, cut to what Discord takes: labels know no Markdown."""
    label = " ".join(button.label.split()) or button.command or "…"
    if length(label) <= LABEL_MAX:
        return label
    while length(label) > LABEL_MAX - 1:
        label = label[: LABEL_MAX - 1] if len(label) >= LABEL_MAX else label[:-1]
    return label.rstrip() + "…"


def _tail(buttons: Iterable[Button]) -> str:
    """Return lines that say what the buttons would have done, as many as there is room for."""
    tail = ""
    for button in buttons:
        line = f"\n{fitted(_label(button), 2 * LABEL_MAX)}: {fitted(button.url or button.command or '', TAIL_MAX)}"
        if length(tail + line) <= TAIL_MAX:
            tail += line
    return tail
