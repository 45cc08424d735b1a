"""A chat platform inside the process: it remembers what it was told, and answers as a test wants it to."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from paydesk.channels.base import (
    Action,
    Address,
    Arrival,
    Asked,
    Away,
    Channel,
    Command,
    DeliveryError,
    Edit,
    Grant,
    Here,
    Inbound,
    Keep,
    Limits,
    Mended,
    Raw,
    Receipt,
    Revoke,
    Said,
    Send,
    Undelivered,
)

SECRET = "sesame"


@dataclass
class Talk(Channel):
    """`refusals` are raised first, one at each action; `hangs` lets every action wait until it is set."""

    name: str = "talk"
    edits: bool = True
    admits: bool = True
    one_sender: bool = False
    limits: Limits = field(default_factory=lambda: Limits(per_s=1000.0, at_once=16))
    admin: Address | None = None
    said: list[Send | Edit] = field(default_factory=list)
    roles: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    refusals: list[DeliveryError] = field(default_factory=list)
    refuse_all: DeliveryError | None = None
    hangs: asyncio.Event | None = None
    tries: int = 0
    arriving: list[Arrival] = field(default_factory=list)

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Remember it."""
        self.tries += 1
        if self.hangs is not None:
            await self.hangs.wait()
        if self.refusals:
            raise self.refusals.pop(0)
        if self.refuse_all is not None:
            raise self.refuse_all
        if isinstance(action, Grant):
            self.roles[action.to.external_id, action.space].add(action.role)
        elif isinstance(action, Revoke):
            self.roles[action.to.external_id, action.space].discard(action.role)
        else:
            self.said.append(action)
        return Receipt({"message": len(self.said)})

    def read(self, request: Raw) -> Inbound | None:
        """Take in what bears the secret."""
        if request.headers.get("x-secret") != SECRET:
            return Inbound(401, b"{}")
        parsed = _parsed(request.body)
        if not {"id", "who"} <= parsed.keys():
            return Inbound(400, b"{}")
        if parsed.get("do") == "trip":
            raise ValueError("a bug in the channel")
        return Inbound(200, b'{"ok":true}', arrivals=(Arrival(parsed["id"], "said", parsed["who"], request.body),))

    async def poll(self, keep: Keep) -> None:
        """Hand over what has arrived, for ever."""
        while True:
            if self.arriving:
                await keep(self.arriving)
                self.arriving.clear()
            await asyncio.sleep(0.05)

    def understand(self, body: bytes) -> Sequence[Command]:
        """Read what a test has written."""
        told = json.loads(body)
        if "who" not in told:
            return []
        who = Address(self.name, told["who"])
        match told.get("do", "say"):
            case "say":
                return [Said(who, told["text"], answers=told.get("answers"))]
            case "ask":
                return [Asked(who, told["space"])]
            case "here":
                return [Here(who, told.get("space"))]
            case "away":
                return [Away(who, "blocked us", for_ever=told.get("for_ever", False))]
            case "undelivered":
                return [Undelivered(told["key"], told["reason"])]
            case "mended":
                return [Mended(told["resource"])]
            case "crash":
                raise ValueError("a bug in the channel")
        return []

    async def actual(self, person: Address, space: str) -> set[str]:
        """What they have there."""
        return set(self.roles[person.external_id, space])

    def texts(self, who: str) -> list[str]:
        """What somebody was told, oldest first."""
        return [one.text for one in self.said if one.to.external_id == who]


def _parsed(body: bytes) -> dict[str, str]:
    """The object in a body, an empty one where there is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
