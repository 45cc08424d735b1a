"""What an SMS says: short words, links on lines of their own, commands as a word to reply. Pure.

A text that only has letters of the GSM alphabet takes 160 to a segment, any other 70: each segment is paid for. So
typographic marks become plain ones, and pictures are left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from paydesk.channels.base import Button

TEXT_MAX = 1600
"""What Twilio takes at most (error 21617 beyond it)."""

REPLY_MAX = 24
LABEL_MAX = 40

GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_TWICE = frozenset("^{}\\[~]|€\f")
"""These take two places."""

PLAIN = str.maketrans({
    "\u2018": "'", "\u2019": "'", "\u201a": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2013": "-", "\u2014": "-",
    "\u2026": "...", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2022": "-", "\u00d7": "x",
})  # fmt: skip
PICTURES = ("So", "Sk", "Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Me")
"""Kinds of characters that are left out: pictures, their colours and joiners, and what cannot be seen."""

_SPACES = re.compile(r"[ \t]+")


def body_of(text: str, buttons: Sequence[Button]) -> str:
    """Return the text with its buttons, at most 1,600 characters: links are never cut, the words are."""
    lines = "".join(f"\n{line}" for button in buttons if (line := _line(button)) is not None)
    while len(lines) > TEXT_MAX - 100:  # a catalogue of links: those at the end are left out
        lines = lines.rpartition("\n")[0]
    return (cut(plain(text), TEXT_MAX - len(lines)) + lines).strip() or "-"


def _line(button: Button) -> str | None:
    label = cut(plain(button.label).replace("\n", " "), LABEL_MAX)
    if button.url is not None:
        return f"{label}: {button.url}"
    word = (button.command or "").removeprefix("/").strip()
    if not word or len(word) > REPLY_MAX or not word.isascii() or not word.isprintable():
        return None
    command, _, rest = word.partition(" ")
    return f"{label}: reply {command.upper()}{' ' + rest if rest else ''}"


def plain(text: str) -> str:
    """Return text without what makes an SMS dear.

    >>> plain("✅ Paid $9.99 – thank you…")
    'Paid $9.99 - thank you...'
    """
    kept = "".join(
        one
        for one in unicodedata.normalize("NFC", text).translate(PLAIN)
        if one == "\n" or one in GSM or one in GSM_TWICE or unicodedata.category(one) not in PICTURES
    )
    return "\n".join(_SPACES.sub(" ", line).strip() for line in kept.split("\n")).strip()


def cut(text: str, most: int) -> str:
    """Return text of at most so many characters, with three dots where it was cut."""
    return text if len(text) <= most else text[: max(0, most - 3)].rstrip() + "..."


def segments(text: str) -> int:
    """Return in how many segments a text is sent.

    >>> segments("a" * 160), segments("a" * 161), segments("ł" * 70), segments("ł" * 71)
    (1, 2, 1, 2)
    """
    if all(one in GSM or one in GSM_TWICE for one in text):
        places = len(text) + sum(one in GSM_TWICE for one in text)
        return 1 if places <= 160 else -(-places // 153)
    places = len(text.encode("utf-16-le")) // 2
    return 1 if places <= 70 else -(-places // 67)
