"""Discord's ids: whole numbers of 64 bits, written as text, that say when they were made."""

from __future__ import annotations

import re
from typing import Any, TypeGuard

NAME = "discord"

SNOWFLAKE = re.compile(r"[1-9][0-9]{0,19}")
"""An id at Discord: a whole number of 64 bits, written as text."""

EPOCH_MS = 1_420_070_400_000
"""Discord counts its ids' time from the first second of 2015."""


def is_id(value: Any) -> TypeGuard[str]:
    """Tell whether `value` is an id as Discord writes it."""
    return isinstance(value, str) and SNOWFLAKE.fullmatch(value) is not None


def made_at_s(id_: str) -> float:
    """Return when Discord made the thing with this id, in seconds since 1970."""
    return ((int(id_) >> 22) + EPOCH_MS) / 1000
