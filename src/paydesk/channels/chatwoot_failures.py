"""What Chatwoot's answers mean when something is wrong: each one error of the contract, a closed table."""

from __future__ import annotations

from paydesk.channels.base import DeliveryError, Misconfigured, NeedsUser, Refused, RetryLater, Unknown
from paydesk.channels.http import Answer

PAUSE_S = 60.0
"""How long we wait when the server says "too many" and not for how long."""

EVERYTHING = "*"

TOKEN = "put the access token of an agent (Profile settings, at the end) into CHATWOOT_API_TOKEN"  # noqa: S105 - advice

UNAUTHORIZED = (
    ("not authorized for bots", "cw-401-bot-token", f"an agent bot's token may not do this: {TOKEN}"),
    ("not authorized to access this account", "cw-401-wrong-account",
     "put the number of the account that the token belongs to into CHATWOOT_ACCOUNT_ID"),
    ("not authorized to do this action", "cw-401-not-allowed",
     "let the agent whose token we use into the inbox (Settings, Inboxes, Collaborators), or make them an administrator"),
    ("", "cw-401-bad-token", f"Chatwoot does not know the token: {TOKEN}"),
)  # fmt: skip
"""Part of the answer's text, row, and what mends it; the first that fits (server source: access token check)."""


def failure(answer: Answer, asked: str, *, repeatable: bool) -> DeliveryError:
    """Return the error that an answer of 300 or more is; `asked` says in words what we wanted."""
    text = _said(answer)
    what = f"{asked}: {answer.status} {text}"[:300]
    match answer.status:
        case 401:
            rule, mend = next((rule, mend) for part, rule, mend in UNAUTHORIZED if part in text.lower())
            resource = _about(asked) if rule == "cw-401-not-allowed" else EVERYTHING
            return Misconfigured(what, resource=resource, mend=mend, rule=rule)
        case 404:
            return NeedsUser(what, rule="cw-404")
        case 422 if "too many messages" in text.lower():
            return RetryLater(what, PAUSE_S, counted=False, rule="cw-422")
        case 422:
            return Refused(what, tell=f"Chatwoot refused a message: {text}"[:300], rule="cw-422")
        case 429:
            return RetryLater(what, answer.retry_after_s or PAUSE_S, counted=False, everyone=True, rule="cw-429")
    return _of_group(answer, what, repeatable)


def _of_group(answer: Answer, what: str, repeatable: bool) -> DeliveryError:
    if answer.status >= 500:
        return Unknown(what, repeatable=repeatable, rule="cw-500")
    if answer.status < 400:
        return elsewhere(what)
    return Refused(what, tell=f"Chatwoot refused: {what}"[:300], rule="cw-4xx")


def elsewhere(what: str) -> Misconfigured:
    """Return the error for an answer that is not of Chatwoot's API: a redirect, or a page for people."""
    mend = "put the address of Chatwoot itself, without a path such as /app, into CHATWOOT_URL"
    return Misconfigured(what, resource=EVERYTHING, mend=mend, rule="cw-elsewhere")


def _about(asked: str) -> str:
    """Return what a call was about: `conversations 17`, `labels`."""
    return " ".join(asked.partition("/")[2].split("/")[:2])


def _said(answer: Answer) -> str:
    """Return what the server says is wrong; the fields differ by version."""
    body = answer.parsed
    found = (body.get(name) for name in ("error", "description", "message")) if isinstance(body, dict) else ()
    return " ".join(str(next((text for text in found if text), "")).split())[:200]
