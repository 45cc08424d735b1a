"""The channel contract: how a chat product is read, told things, and made to let people in.

A channel knows its platform and nothing else: no database, no money, no catalogue. It turns what comes in into
`Arrival`s (verified, not yet acted on), says later what an arrival means in our words (`Said`, `Asked`, `Here`, …), and
carries out actions (`Send`, `Edit`, `Grant`, `Revoke`), returning a receipt or raising the one error that says what
is to be done next. Everything that must survive a crash lies outside of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from paydesk.channels.address import Address as Address
from paydesk.channels.failures import DeliveryError as DeliveryError
from paydesk.channels.failures import Gone as Gone
from paydesk.channels.failures import Misconfigured as Misconfigured
from paydesk.channels.failures import Moved as Moved
from paydesk.channels.failures import NeedsUser as NeedsUser
from paydesk.channels.failures import Refused as Refused
from paydesk.channels.failures import RetryLater as RetryLater
from paydesk.channels.failures import Unknown as Unknown
from paydesk.channels.own_money import AnswerPaying as AnswerPaying
from paydesk.channels.own_money import Article as Article
from paydesk.channels.own_money import BoughtThere as BoughtThere
from paydesk.channels.own_money import GiveBack as GiveBack
from paydesk.channels.own_money import Invoice as Invoice
from paydesk.channels.own_money import PaidThere as PaidThere
from paydesk.channels.own_money import Paying as Paying
from paydesk.channels.own_money import RefundedThere as RefundedThere
from paydesk.channels.own_money import UseUp as UseUp

# --- who and what ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Button:
    """A button under a message: opens `url`, sends `command` as if it were typed, or sells an `article` of the platform's

    own shop, which says by itself what it is and costs.
    """

    label: str
    url: str | None = None
    command: str | None = None
    article: str | None = None

    def as_json(self) -> dict[str, str]:
        """Return the button as it is kept, and as the API shows it."""
        if self.article:
            return {"label": self.label, "article": self.article}
        return {"label": self.label, **({"url": self.url} if self.url else {"command": self.command or ""})}


# --- out: actions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Say `text` to `to`. `key` is the same at every repeat: where the channel can, it drops the repeat.

    `text` and labels are plain words: the channel escapes and cuts them. `answers` is what the arrival had said that
    this answers (`Said.answers`), where it answers one. `kind` is the message's template, and `facts` what is known of
    what it tells, for channels that show more than words (a label, an attribute); most need neither.
    """

    key: str
    to: Address
    text: str
    buttons: Sequence[Button] = ()
    answers: Mapping[str, Any] | None = None
    kind: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 1


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
    kind: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


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


Action = Send | Edit | Grant | Revoke | Invoice | AnswerPaying | GiveBack | UseUp


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the channel gave back: ids that a later edit needs. `data["tell"]`, if there, is said to the person next:

    `{"text": …, "buttons": [{"label", "url"}]}`, or `{"kind": "come_in", "url": …}`, the link by which they come in.
    """

    data: dict[str, Any] = field(default_factory=dict)


# --- in: what arrives ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Raw:
    """A request as it came: `headers` with lower-case names; `url` is the public address that was called."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something that came in, verified: stored under `external_id` (the platform's own, unique for ever) before anything.

    `whose` is the person's external id (their arrivals are handled in order), `body` the raw bytes, at most 64 KiB.
    """

    external_id: str
    kind: str
    whose: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Inbound:
    """How a request is answered, once its arrivals are durable. With a status of 400 or more nothing is stored."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    arrivals: tuple[Arrival, ...] = ()


Keep = Callable[[Sequence[Arrival]], Awaitable[None]]
"""Stores arrivals; when it returns they are durable, now or since an earlier time."""


# --- in: what an arrival means ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """Somebody said `text` (a pressed button says its command), where the answer goes to `who`.

    `answers` is whatever the channel needs to answer just this (a token): it comes back in `Send.answers`. `edited`: they
    have changed what they had said, and mean it anew if it is anything that is understood.
    """

    who: Address
    text: str
    locale: str | None = None
    answers: Mapping[str, Any] | None = None
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """Somebody asks to be let into `space`: who may is granted it, who may not is turned away and told how to."""

    who: Address
    space: str


@dataclass(frozen=True, slots=True)
class Here:
    """Somebody can be reached (again), or has come into `space`: what waited for them goes out now.

    `roles` are those that they have in there, if the platform tells: they need not be given again.
    """

    who: Address
    space: str | None = None
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Away:
    """Somebody does not want to be told things here (blocked us, said STOP): other addresses of theirs are used."""

    who: Address
    reason: str
    for_ever: bool = False


@dataclass(frozen=True, slots=True)
class Mended:
    """A right was given or a set-up changed: what waited for `resource` is tried again now."""

    resource: str


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The platform tells later that a message did not arrive. `key` is that of its `Send`, or `None` if it is not known."""

    key: str | None
    reason: str
    tell: str | None = None


@dataclass(frozen=True, slots=True)
class Renumbered:
    """A space has another id from now on: what is done about the `old` one is done in the `new` one."""

    old: str
    new: str


Command = (
    Said | Asked | Here | Away | Mended | Undelivered | Paying | PaidThere | RefundedThere | BoughtThere | Renumbered
)


# --- the channel -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """How fast the platform may be asked: actions a second in all, at once, and seconds between two in one chat.

    With `at_once_each` not more than so many at once to one address.
    """

    per_s: float = 50.0
    at_once: int = 16
    chat_gap_s: float = 0.0
    at_once_each: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: fine or not, what was seen, and what mends it."""

    ok: bool
    what: str
    seen: str
    mend: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the finding as a command prints it."""
        return {"ok": self.ok, "what": self.what, "seen": self.seen, "mend": self.mend}


class Notes(Protocol):
    """A few words that a channel wants to find again after a restart (an id of a chat, a link), by key."""

    async def get(self, key: str) -> Any:
        """Return what was noted under `key`, `None` if nothing was."""

    async def put(self, key: str, value: Any) -> None:
        """Note JSON under `key`, instead of what was there."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a channel is made of: settings (environment and `.env`), notes by its name, and where we can be reached."""

    environ: Mapping[str, str]
    notes: Callable[[str], Notes]
    public_url: str


class Channel:
    """The plug-in contract. A channel needs a name and `deliver`; all else has a default that means "cannot".

    `edits` says whether it carries out an `Edit`, `admits` a `Grant` and a `Revoke`, `charges` the three actions of its
    platform's own money, `shop` a `UseUp` of what was bought in its platform's own shop. With `one_sender` only one process at a
    time sends and polls, however many there are.
    `lends_answers`: what waited for somebody goes out with the `answers` of what they said, which may be the only way to
    tell them. `admin` is where the people of the desk are told things there; `route` is the last part of the path its
    platform calls, its name where it says none. With `wants_facts` the `facts` of a message about an order also have its
    `link` (ours), `paid_at` and `customer_since` (ISO 8601), `segment` and `minutes`, as far as they are known.
    A package brings its own by an entry point of the group `paydesk.channels`: see `plugged`.
    """

    name: str
    edits: bool = False
    admits: bool = False
    charges: bool = False
    shop: bool = False
    one_sender: bool = False
    wants_facts: bool = False
    lends_answers: bool = False
    limits: Limits = Limits()
    admin: Address | None = None
    route: str | None = None

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Carry out `action` and return a receipt, or raise one of the errors above.

        `last` is the receipt of the message to edit; `None` for every other action. What is not `admits` or `edits`
        is never asked for. Time-outs are the channel's own: at most 15 seconds.
        """
        raise NotImplementedError

    def read(self, request: Raw) -> Inbound | None:
        """Verify a request to `/webhooks/<route>` and say how it is answered; `None`: there is no such route (404).

        Pure and quick: it must not wait for anybody.
        """
        return None

    async def poll(self, keep: Keep) -> None:
        """Fetch what arrives, for ever, where the platform does not call us; one process at a time does.

        What `keep` returned for is durable: only then may the platform be told to forget it.
        """

    def understand(self, body: bytes) -> Sequence[Command]:
        """Return what a stored arrival means; an unknown kind means nothing. Pure."""
        return ()

    async def actual(self, person: Address, space: str) -> set[str]:
        """Return the roles that a person really has in a space, `""` among them for being in there at all."""
        return set()

    async def preflight(self, spaces: Mapping[str, set[str]], *, fix: bool) -> list[Finding]:
        """Look whether everything is set up for the roles sold in each space; with `fix`, mend what can be mended."""
        return []

    async def articles(self) -> Mapping[str, Article]:
        """Return what a `shop` has, by the ids that a catalogue names."""
        return {}

    async def start(self) -> None:
        """Prepare (register commands, make labels), once, when the service starts; a failure is only logged."""

    async def close(self) -> None:
        """Let go of connections."""
