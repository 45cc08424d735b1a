"""What Paydesk says: named texts with allowed placeholders, in English, Polish, Dutch and whatever a folder brings.

`messages`, `subscriptions`, `parts` and `replies` are the texts in English; `pl.po` and `nl.po` translate them; `words`
is one language, `languages` is all of them, `folder` reads texts of one's own, and `rendering` puts messages together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paydesk.chat.texts import rendering
from paydesk.chat.texts.languages import Texts, load
from paydesk.chat.texts.rendering import short
from paydesk.chat.texts.words import LABEL_MAX, TEMPLATES, TEXTS, Words, fill, one_line, placeholders

__all__ = [
    "BUILT_IN", "ENGLISH", "LABEL_MAX", "TEMPLATES", "TEXTS", "Texts", "Words", "count", "fill", "given", "load", "one_line",
    "placeholders", "render", "short",
]  # fmt: skip

BUILT_IN = Texts()
"""The texts as they are delivered, without anybody's own."""

ENGLISH: Words = BUILT_IN.words("en")

render = BUILT_IN.render
count = ENGLISH.count


def given(grants: Any, balances: Mapping[str, int], paid_off: Mapping[str, int] | None = None) -> str:
    """Return in English what an order gave, how much of it paid what was owed, and what the buyer has now."""
    return rendering.given(ENGLISH, grants, balances, paid_off)
