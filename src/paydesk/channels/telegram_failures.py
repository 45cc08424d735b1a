"""Telegram's refusals: the closed table that says which error of the contract each of them is.

The texts are those of the Bot API server's source (`Client.cpp`) and of its users' reports; they match by "contains",
upper and lower case alike, the first row that fits. What no row knows: another 4xx is a mistake of ours and final, a
5xx may have happened.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from paydesk.channels.base import (
    DeliveryError,
    Gone,
    Misconfigured,
    Moved,
    NeedsUser,
    Refused,
    RetryLater,
    Unknown,
)
from paydesk.channels.http import Answer

ALREADY_IN = "tg-400-already-participant"
NOT_IN = "tg-400-not-participant"
NO_REQUEST = "tg-400-requester-missing"
SPURIOUS = "tg-400-participant-invalid"
TARGET_ADMIN = "tg-400-target-admin"
TARGET_OWNER = "tg-400-target-owner"
TOO_OLD = "tg-400-query-too-old"
NOT_MODIFIED = "tg-400-not-modified"

SPURIOUS_WAIT_S = 20 * 60.0
"""Three repeats of a refusal that is sometimes wrong lie within the hour (telegram-bot-api#802)."""

FLOOD_WAIT_S = 5.0
"""How long we rest when a rate limit does not say how long."""

RIGHTS = {
    "banChatMember": "“Ban users” (can_restrict_members)",
    "unbanChatMember": "“Ban users” (can_restrict_members)",
    "approveChatJoinRequest": "“Invite users via link” (can_invite_users)",
    "declineChatJoinRequest": "“Invite users via link” (can_invite_users)",
    "createChatInviteLink": "“Invite users via link” (can_invite_users)",
    "editChatInviteLink": "“Invite users via link” (can_invite_users)",
}
"""The administrator's right that a call needs, as Telegram's apps and its API call it."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What was asked: the method, the chat it was about, and whether asking twice is asking once."""

    method: str
    chat: str | None = None
    repeatable: bool = True

    @property
    def to_person(self) -> bool:
        """Tell whether the chat is a person's: groups and channels have numbers below zero, or a name."""
        return self.chat is not None and self.chat.isdigit()

    @property
    def resource(self) -> str:
        """Return what waits when it is broken: the chat, or the whole channel where there is none."""
        return self.chat or "*"


def failure(asking: Asking, answer: Answer) -> DeliveryError:
    """Return the error that an answer other than a success is; its message never holds the token."""
    if answer.status in (401, 404):
        return _token(_told(answer), asking)
    parsed = answer.parsed
    if not isinstance(parsed, dict) or "ok" not in parsed:
        return _not_telegram(asking, answer)
    if answer.status == 429:
        return flood(answer, parsed)
    if answer.status >= 500:
        return _server(asking, answer.status, _told(answer))
    parameters = parsed.get("parameters")
    moved = parameters.get("migrate_to_chat_id") if isinstance(parameters, Mapping) else None
    if moved is not None:
        return Moved(_told(answer), asking.chat or "", str(moved), rule="tg-400-migrated")
    return _by_text(asking, answer)


def flood(answer: Answer, parsed: Mapping[str, Any]) -> RetryLater:
    """Return the error of a rate limit: not before the stated seconds, and a little more so that not all come at once."""
    parameters = parsed.get("parameters")
    stated = parameters.get("retry_after") if isinstance(parameters, Mapping) else answer.retry_after_s
    wait_s = float(stated) if isinstance(stated, int | float) else FLOOD_WAIT_S
    jitter_s = random.uniform(0.1, 1.0)  # noqa: S311 - no secret, only a spread
    return RetryLater(_told(answer), wait_s + jitter_s, counted=False, rule="tg-429-flood")


def _told(answer: Answer) -> str:
    """Return what Telegram said, short and on one line."""
    parsed = answer.parsed
    said = parsed.get("description") if isinstance(parsed, dict) else None
    return f"{answer.status}: {' '.join(str(said or 'no reason given').split())[:300]}"


def _not_telegram(asking: Asking, answer: Answer) -> DeliveryError:
    """Return the error of an answer that is not the Bot API's own: something stands between Telegram and us."""
    if answer.status >= 500 or answer.status < 300:
        return _server(asking, answer.status, f"{answer.status}: not an answer of the Bot API")
    return RetryLater(f"{answer.status}: not an answer of the Bot API: a proxy stands between", rule="tg-not-sent")


def _server(asking: Asking, status: int, reason: str) -> Unknown:
    rule = "tg-500" if status == 500 else "tg-502"
    return Unknown(reason, repeatable=asking.repeatable, rule=rule)


def _by_text(asking: Asking, answer: Answer) -> DeliveryError:
    reason = _told(answer)
    for row in ROWS:
        if row.status == answer.status and any(text.lower() in reason.lower() for text in row.texts):
            error = row.becomes(reason, asking)
            if isinstance(error, Misconfigured) and error.resource == "*" and answer.status in (400, 403):
                error = Refused(
                    reason, tell=f"Telegram refused {asking.method}: {reason}."
                )  # one unknown payer is no outage
            error.rule = row.rule
            return error
    tell = f"Telegram refused {asking.method}: {reason}. This will not work when it is repeated."
    return Refused(reason, tell=tell, rule="tg-4xx")


# --- what a row becomes ----------------------------------------------------------------------------------------------


def _token(reason: str, asking: Asking) -> DeliveryError:
    mend = "ask @BotFather for the bot's token (/token), put it into TELEGRAM_BOT_TOKEN, and start again"
    if reason.startswith("404"):
        mend += "; TELEGRAM_API_BASE, if it is set, must be a Bot API server"
    return Misconfigured(reason, resource="*", mend=mend, rule=f"tg-{reason[:3]}")


def _conflict(reason: str, asking: Asking) -> DeliveryError:
    if "webhook" in reason.lower():
        mend = "a webhook is set: `paydesk check --fix` removes it, or set TELEGRAM_MODE=webhook"
    else:
        mend = "another program reads this bot's updates with the same token: stop it, or give it a bot of its own"
    return Misconfigured(reason, resource="*", mend=mend)


def _away(reason: str, asking: Asking) -> DeliveryError:
    return NeedsUser(reason)


def _dead(reason: str, asking: Asking) -> DeliveryError:
    return NeedsUser(reason, deleted=True)


def _not_found(reason: str, asking: Asking) -> DeliveryError:
    return NeedsUser(reason) if asking.to_person else _outside(reason, asking)


def _outside(reason: str, asking: Asking) -> DeliveryError:
    mend = f"add the bot to the chat {asking.resource} again, as administrator if people pay to be in there"
    return Misconfigured(reason, resource=asking.resource, mend=mend)


def _deleted(reason: str, asking: Asking) -> DeliveryError:
    mend = f"the group {asking.resource} was deleted: name another one in the catalogue or in TELEGRAM_ADMIN_CHAT"
    return Misconfigured(reason, resource=asking.resource, mend=mend)


def _rights(reason: str, asking: Asking) -> DeliveryError:
    right = RIGHTS.get(asking.method, "the right that this needs")
    mend = f"make the bot administrator of the chat {asking.resource}, with {right}"
    return Misconfigured(reason, resource=asking.resource, mend=mend)


def _by_hand(reason: str, asking: Asking) -> DeliveryError:
    tell = f"Somebody runs the chat {asking.resource} and is not put out of it: take their rights first, by hand."
    return Refused(reason, tell=tell, done=True)


def _spurious(reason: str, asking: Asking) -> DeliveryError:
    return RetryLater(reason, SPURIOUS_WAIT_S)


def _fine(reason: str, asking: Asking) -> DeliveryError:
    return Refused(reason, done=True)


def _not_done(reason: str, asking: Asking) -> DeliveryError:
    return Refused(reason)


def _gone(reason: str, asking: Asking) -> DeliveryError:
    return Gone(reason)


def _bug(reason: str, asking: Asking) -> DeliveryError:
    return Refused(reason, tell=f"Telegram cannot read a message of ours: {reason}. Please report this.")


@dataclass(frozen=True, slots=True)
class Row:
    """One refusal: its id in the failure list, its status, the texts that tell it, and the error it becomes."""

    rule: str
    status: int
    texts: tuple[str, ...]
    becomes: Callable[[str, Asking], DeliveryError]


ROWS = (
    Row("tg-409-conflict", 409, ("conflict",), _conflict),
    Row("tg-403-blocked", 403, ("bot was blocked by the user",), _away),
    Row("tg-403-never-started", 403, ("bot can't initiate conversation with a user",), _away),
    Row("tg-403-deactivated", 403, ("user is deactivated",), _dead),
    Row("tg-403-kicked", 403, ("bot was kicked from the",), _outside),
    Row("tg-403-not-member", 403, ("bot is not a member of the",), _outside),
    Row("tg-403-group-deleted", 403, ("the group chat was deleted",), _deleted),
    Row("tg-400-chat-not-found", 400, ("chat not found", "PEER_ID_INVALID"), _not_found),
    Row("tg-400-no-rights", 400, ("not enough rights", "have no rights"), _rights),
    Row("tg-400-admin-required", 400, ("CHAT_ADMIN_REQUIRED", "need administrator rights"), _rights),
    Row(TARGET_ADMIN, 400, ("user is an administrator of the chat",), _by_hand),
    Row(TARGET_OWNER, 400, ("can't remove chat owner",), _by_hand),
    Row(SPURIOUS, 400, ("PARTICIPANT_ID_INVALID", "user not found"), _spurious),
    Row(NOT_IN, 400, ("USER_NOT_PARTICIPANT",), _fine),
    Row(NO_REQUEST, 400, ("HIDE_REQUESTER_MISSING",), _not_done),
    Row(ALREADY_IN, 400, ("USER_ALREADY_PARTICIPANT",), _fine),
    Row(NOT_MODIFIED, 400, ("message is not modified",), _fine),
    Row(TOO_OLD, 400, ("query is too old",), _fine),
    Row("tg-400-bad-entities", 400, ("can't parse entities",), _bug),
    Row("tg-400-edit-gone", 400, ("message to edit not found", "message can't be edited", "MESSAGE_ID_INVALID"), _gone),
    Row("tg-400-refunded", 400, ("CHARGE_ALREADY_REFUNDED",), _fine),
)
