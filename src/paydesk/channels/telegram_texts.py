"""What we show on Telegram: plain texts that fit, keyboards, and the menu of commands.

Texts are sent without a parse mode: nothing in them is markup, so nothing has to be escaped and no name can break a
message. Lengths are Telegram's: UTF-16 units for texts, bytes for what a button sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from paydesk.channels.base import Button

TEXT_MAX = 4096
LABEL_MAX = 64
COMMAND_BYTES_MAX = 64
BUTTONS_MAX = 100
LINES_MAX = 2048

ELLIPSIS = "…"

_CONTROL = dict.fromkeys([*(n for n in range(32) if n not in (9, 10)), 127])

COMMANDS = {
    "en": {
        "buy": "See what there is, and buy it",
        "balance": "What you have",
        "history": "Your latest orders",
        "billing": "Subscriptions, cards and invoices",
        "plan": "Change or pause a subscription",
        "cancel": "End a subscription",
        "support": "Write to us",
        "help": "What I can do",
    },
    "pl": {
        "buy": "Zobacz ofertę i kup",
        "balance": "Co masz na koncie",
        "history": "Twoje ostatnie zamówienia",
        "billing": "Subskrypcje, karty i faktury",
        "plan": "Zmień lub wstrzymaj subskrypcję",
        "cancel": "Zakończ subskrypcję",
        "support": "Napisz do nas",
        "help": "Co potrafię",
    },
    "nl": {
        "buy": "Bekijk het aanbod en koop",
        "balance": "Wat je hebt",
        "history": "Je laatste bestellingen",
        "billing": "Abonnementen, kaarten en facturen",
        "plan": "Een abonnement wijzigen of pauzeren",
        "cancel": "Een abonnement beëindigen",
        "support": "Schrijf ons",
        "help": "Wat ik kan",
    },
}
"""The menu, by language; English is what everybody else sees."""


def units(text: str) -> int:
    """Return the length of a text as Telegram counts it: an emoji is two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def fit(text: str, limit: int) -> str:
    """Return `text` in at most `limit` units, cut between words where it can be, so that no link is cut in two."""
    text = _clean(text)
    if units(text) <= limit:
        return text
    head = text.encode("utf-16-le")[: (limit - 1) * 2].decode("utf-16-le", "ignore")
    words = "".join(head.rsplit(maxsplit=1)[:1])
    kept = words if units(words) > limit // 2 else head
    return kept.rstrip() + ELLIPSIS


def _clean(text: str) -> str:
    """Return `text` without control characters and halves of characters, which Telegram or JSON would refuse."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.translate(_CONTROL)


def message(text: str, buttons: Sequence[Button]) -> dict[str, Any]:
    """Return a text and its buttons as parameters of a call.

    A button that Telegram would refuse (an address on this machine, a command of more than 64 bytes, more than 100)
    becomes a line of the text. The lines stay whole; the text before them is cut.
    """
    whole = [Button(_clean(b.label), _clean(b.url or "") or None, _clean(b.command or "") or None) for b in buttons]
    pressable = [button for button in whole if _pressable(button)][:BUTTONS_MAX]
    tail = _lines(button for button in whole if button not in pressable)
    shown = (fit(text, TEXT_MAX - units(tail)) + tail).strip()
    params: dict[str, Any] = {"text": shown or ELLIPSIS, "link_preview_options": {"is_disabled": True}}
    if pressable:
        params["reply_markup"] = {"inline_keyboard": [[_key(button)] for button in pressable]}
    return params


def _pressable(button: Button) -> bool:
    if button.url:
        return openable(button.url)
    return 0 < len((button.command or "").encode()) <= COMMAND_BYTES_MAX


def openable(url: str) -> bool:
    """Tell whether Telegram takes the address for a button: web pages, on hosts that have a dot in their name."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = parts.hostname or ""
    return parts.scheme in ("http", "https") and ("." in host or ":" in host)


def _key(button: Button) -> dict[str, str]:
    label = fit(" ".join(button.label.split()), LABEL_MAX) or ELLIPSIS
    return {"text": label, **({"url": button.url} if button.url else {"callback_data": button.command or ""})}


def _lines(buttons: Iterable[Button]) -> str:
    """Return buttons as lines below a text, as many as there is room for."""
    tail = ""
    for button in buttons:
        line = f"\n{fit(' '.join(button.label.split()), LABEL_MAX)}: {button.url or button.command or ''}"
        if units(tail + line) <= LINES_MAX:
            tail += line
    return f"\n{tail}" if tail else ""


def come_in(link: str) -> dict[str, Any]:
    """Return what a person is told who may come in and has not asked to yet."""
    return {"kind": "come_in", "url": link}
