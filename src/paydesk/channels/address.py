"""Where somebody is reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """Whom to reach: the person's id on the channel, and the conversation if the channel has several."""

    channel: str
    external_id: str
    conversation: str | None = None
