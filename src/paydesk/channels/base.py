"""The channel contract: a channel delivers an action and returns a receipt, or says in a type why it could not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Address:
    """Whom to reach: the person's id on the channel, and the conversation if the channel has several."""

    channel: str
    external_id: str
    conversation: str | None = None


@dataclass(frozen=True, slots=True)
class Button:
    """A button under a message: opens `url`, or sends `command` as if it were typed."""

    label: str
    url: str | None = None
    command: str | None = None

    def as_json(self) -> dict[str, str]:
        """Return the button as the API shows it."""
        return {"label": self.label, **({"url": self.url} if self.url else {"command": self.command or ""})}


@dataclass(frozen=True, slots=True)
class Send:
    """Say `text` to `to`. `key` is the same at every repeat: where the channel can, it drops the repeat."""

    key: str
    to: Address
    text: str
    buttons: Sequence[Button] = ()


@dataclass(frozen=True, slots=True)
class Edit:
    """Let a message that was sent say `text` from now on. Repeating it changes nothing.

    `number` grows with each piece of news: where the channel can, an edit with a lower number than the message has
    changes nothing, so that a late worker does not bring old news back.
    """

    key: str
    to: Address
    text: str
    buttons: Sequence[Button]
    number: int


@dataclass(frozen=True, slots=True)
class Grant:
    """Let a person into a `space` (a server, a group): give them `role` there; an empty one is being in there at all.

    Repeating it changes nothing. `version` grows with every change of whether they are to have it.
    """

    key: str
    to: Address
    space: str
    role: str
    version: int


@dataclass(frozen=True, slots=True)
class Revoke:
    """Take from a person what `Grant` gave: the role, or being in there. Whoever does not have it need not be there."""

    key: str
    to: Address
    space: str
    role: str
    version: int


Action = Send | Edit | Grant | Revoke


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the channel gave back: ids that a later edit needs."""

    data: dict[str, Any] = field(default_factory=dict)


class DeliveryError(Exception):
    """Why an action was not carried out; the message is for the log, never with a token in it."""


class RetryLater(DeliveryError):
    """Not now: try again after `after_s` seconds (or when the queue thinks best). Nothing was sent."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class NeedsUser(DeliveryError):
    """The person must act first (blocked the bot, closed their messages)."""


class Refused(DeliveryError):
    """Will never work as it is; repeating is useless."""


class Gone(DeliveryError):
    """What was to be edited is not there any more, or cannot be edited: it is then said anew."""


class Unknown(DeliveryError):
    """Sent, but no answer: it may have arrived. Repeated only with the same key."""


class Channel(Protocol):
    """The whole plug-in contract. `edits` says whether it can carry out an `Edit`, `admits` a `Grant` and a `Revoke`.

    A package brings its own by an entry point of the group `paydesk.channels`: see `plugged`.
    """

    name: str
    edits: bool
    admits: bool

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Carry out `action` and return a receipt, or raise one of the errors above.

        `last` is the receipt of the message to edit; `None` for every other action. What is not `admits` or `edits`
        is never asked for.
        """
        ...
