"""What an answer of Discord's means for what was asked: the closed table, with the ids of its rows as `rule`.

The codes are those of Discord's documentation (Opcodes and Status Codes). A code that is not in the table is our own
mistake: it is not repeated, and the people of the desk are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from paydesk.channels.base import DeliveryError, Gone, Misconfigured, NeedsUser, Refused, RetryLater, Unknown
from paydesk.channels.http import Answer

SHUT_OUT_S = 600.0
OPENING_S = 600.0

ALREADY_ACKNOWLEDGED, NO_MEMBER, NO_RIGHT, NO_USER = 40060, 10007, 50013, 10013
TAKING = ("revoke", "remove")


@dataclass(frozen=True, slots=True)
class Aim:
    """What a call is for: `what` it does, the `resource` that is broken if Discord says so, whether it may be repeated.

    `what` is one of grant, revoke, remove, open, message, edit, answer, look, list, consume, commands.
    """

    what: str
    resource: str = "*"
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that whoever runs the desk must mend; with `space`, all of the server is broken, not only a role."""

    reason: str
    mend: str
    space: bool = False


BROKEN: Mapping[int, Broken] = {
    NO_RIGHT: Broken(
        "the bot lacks a permission, or its role is not high enough",
        "give the bot Manage Roles, and drag its role above the roles that are sold (Server Settings → Roles)",
    ),
    10011: Broken("the role was deleted", "put the id of an existing role into the catalogue"),
    50028: Broken("this role cannot be given", "sell a role that no integration manages, and not @everyone"),
    10004: Broken("the bot is not in the server", "invite the bot to the server", space=True),
    50001: Broken("the bot cannot see it", "invite the bot to the server, or let it see the channel", space=True),
    10003: Broken("the channel does not exist", "set DISCORD_ADMIN_CHANNEL to the id of a channel the bot can see"),
    10002: Broken("the application does not exist", "set DISCORD_APPLICATION_ID to the id in General Information"),
    40333: Broken("Cloudflare does not let us through", "look at what stands between this host and Discord"),
}

CLOSED: Mapping[int, str] = {
    50007: "their direct messages are closed, or they blocked the bot",
    50278: "they share no server with the bot",
}

DEAD: Mapping[int, str] = {NO_USER: "there is no such user", 50033: "this user cannot be written to"}

OVER: Mapping[int, str] = {
    10008: "the message is not there any more",
    10015: "the interaction is over",
    10062: "the interaction was not answered in time",
    50027: "the interaction is over",
    50005: "the message is somebody else's",
}

LATER: Mapping[int, tuple[str, float | None, bool]] = {
    40003: ("direct messages were opened too fast", OPENING_S, False),
    30046: ("an old message was edited too often", 3600.0, False),
    40004: ("Discord has turned messages off for a while", OPENING_S, True),
    40006: ("Discord has turned this off for a while", OPENING_S, True),
    40062: ("Discord limits this", None, True),
    130000: ("Discord is overloaded", None, True),
}
"""Reason, seconds to wait (`None`: as the queue thinks best), and whether it counts as an attempt."""

REFUSED: Mapping[int, str] = {
    50035: "Discord says that the message is malformed: please report it",
    50006: "Discord takes no empty message",
    200000: "the server's AutoMod blocked a message: let the bot's role pass its rules",
    240000: "Discord takes the link in a message for harmful: look at PAYDESK_PUBLIC_URL",
}


def code_of(answer: Answer) -> int:
    """Return Discord's own code for what went wrong, 0 where there is none."""
    told = answer.parsed
    code = told.get("code") if isinstance(told, dict) else None
    return code if type(code) is int else 0


def failure(answer: Answer, aim: Aim) -> DeliveryError | None:
    """Return what an answer means when it is no success; `None`: it was done, or is so already."""
    if 200 <= answer.status < 300:
        return None
    code = code_of(answer)
    if code in LATER:
        return _later(answer, code)
    if answer.status == 429:
        return too_fast(answer)
    if code == ALREADY_ACKNOWLEDGED or (code == NO_MEMBER and aim.what in TAKING):
        return None
    return _named(code, aim) or _by_status(answer, aim)


def _named(code: int, aim: Aim) -> DeliveryError | None:
    rule = f"dc-{code}"
    if code == NO_MEMBER:
        return NeedsUser("they are not in the server", rule=rule)
    if code in CLOSED:
        return NeedsUser(CLOSED[code], rule=rule)
    if code in DEAD:
        return NeedsUser(DEAD[code], for_ever=True, deleted=code == NO_USER, rule=rule)
    if code in OVER or (code == 10003 and aim.what == "edit"):
        return Gone(OVER.get(code, "the channel is not there any more"), rule=rule)
    if code in BROKEN:
        return _broken(BROKEN[code], aim, rule)
    if code in REFUSED:
        return Refused(REFUSED[code], tell=f"Discord ({code}): {REFUSED[code]}", rule=rule)
    return None


def _broken(row: Broken, aim: Aim, rule: str) -> Misconfigured:
    resource = aim.resource.partition("|")[0] if row.space else aim.resource
    mend = row.mend
    if aim.what in ("message", "edit") and rule == f"dc-{NO_RIGHT}":
        mend = "let the bot View Channel and Send Messages in the channel"
    return Misconfigured(f"{row.reason} ({resource})", resource=resource, mend=mend, rule=rule)


def _later(answer: Answer, code: int) -> RetryLater:
    reason, after_s, counted = LATER[code]
    asked_s = asked_wait_s(answer)
    longest_s = max(filter(None, (after_s, asked_s)), default=None)
    return RetryLater(reason, longest_s, counted=counted, rule=f"dc-{code}")


def asked_wait_s(answer: Answer) -> float | None:
    """Return how many seconds Discord asks to wait: the body says it more exactly than the header."""
    told = answer.parsed
    after_s = told.get("retry_after") if isinstance(told, dict) else None
    return float(after_s) if isinstance(after_s, int | float) else answer.retry_after_s


def too_fast(answer: Answer) -> RetryLater:
    """Return what a 429 asks for. One that is no JSON comes from Cloudflare, which has shut this address out."""
    told = answer.parsed
    if "retry_after" not in (told if isinstance(told, dict) else {}):
        after_s = max(SHUT_OUT_S, answer.retry_after_s or 0)
        reason = "Cloudflare has shut this address out: too many calls were refused"
        return RetryLater(reason, after_s, counted=False, everyone=True, rule="dc-429-html")
    everyone = told.get("global") is True
    scope = "global" if everyone else answer.headers.get("x-ratelimit-scope", "user")
    after_s = asked_wait_s(answer) or 1.0
    return RetryLater(f"rate limit ({scope})", after_s, counted=False, everyone=everyone, rule=f"dc-429-{scope}")


def _by_status(answer: Answer, aim: Aim) -> DeliveryError:
    """Return what an answer means that has no code we know."""
    status, code = answer.status, code_of(answer)
    if status == 401:
        mend = "make a new token (Developer Portal → Bot → Reset Token) and set DISCORD_BOT_TOKEN"
        return Misconfigured("Discord does not know the bot's token", resource="*", mend=mend, rule="dc-401")
    if status < 400:
        mend = "set DISCORD_API_BASE=https://discord.com/api/v10, or remove it"
        return Misconfigured(f"Discord answered {status}", resource="*", mend=mend, rule="dc-3xx")
    if status == 503:
        return RetryLater("Discord is away", rule="dc-503")
    if status >= 500:
        return Unknown(f"Discord answered {status}", repeatable=aim.repeatable, rule="dc-5xx")
    told = f"Discord refused to {aim.what} with {status}" + (f" ({code})" if code else "")
    return Refused(told, tell=f"{told}: please report it", rule="dc-4xx")
