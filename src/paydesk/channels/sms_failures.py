"""What Twilio's errors mean: another address of the person, a setting to mend, a rest, or never. Pure.

Codes are those of Twilio's error dictionary. An answer that is no refusal (5xx) leaves it open whether it was sent.
"""

from __future__ import annotations

from collections.abc import Callable

from paydesk.channels.base import DeliveryError, Misconfigured, NeedsUser, Refused, RetryLater, Unknown
from paydesk.channels.http import Answer

FILTERED = 30007
RATE_S = 1.0

MEND_SIGN_IN = "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN must be those of one account: https://console.twilio.com"
MEND_FROM = "TWILIO_FROM must be a number or messaging service (MG…) of this account that can send SMS"
MEND_COUNTRY = "allow the country in Twilio's console: Messaging > Settings > Geo permissions"
MEND_TRIAL = "a trial account sends to verified numbers only: upgrade it, or verify the number"
MEND_ADDRESS = "PAYDESK_PUBLIC_URL must be an address that Twilio can call, such as https://pay.example.com"

Make = Callable[[str, str], DeliveryError]
"""Makes the error from what was said and the rule's id."""


def _dead(reason: str, rule: str) -> DeliveryError:
    return NeedsUser(reason, for_ever=True, rule=rule)


def _now(reason: str, rule: str) -> DeliveryError:
    return NeedsUser(reason, rule=rule)


def _mend(resource: str, mend: str) -> Make:
    return lambda reason, rule: Misconfigured(reason, resource=resource, mend=mend, rule=rule)


CODES: dict[int, Make] = {
    21610: _dead,  # they replied STOP: the law wants that to be respected
    21211: _dead,
    21614: _dead,
    21635: _dead,  # a landline
    21612: _now,  # no way to this number from ours
    21408: _mend("country", MEND_COUNTRY),
    21608: _mend("trial", MEND_TRIAL),
    21609: _mend("*", MEND_ADDRESS),
    20003: _mend("*", MEND_SIGN_IN),
    20404: _mend("*", MEND_SIGN_IN),
    20005: _mend("*", MEND_SIGN_IN),  # the account is suspended
    21212: _mend("*", MEND_FROM),
    21603: _mend("*", MEND_FROM),
    21606: _mend("*", MEND_FROM),
    21659: _mend("*", MEND_FROM),
    21660: _mend("*", MEND_FROM),
    21703: _mend("*", MEND_FROM),
}


def failure_of(answer: Answer) -> DeliveryError | None:
    """Return what is wrong with an answer, `None` when the message was taken."""
    if 200 <= answer.status < 300:
        return None
    code = _code(answer)
    reason = f"Twilio answered {answer.status}{f', error {code}' if code else ''}"
    if answer.status == 429 or code in (20429, 14107):
        return RetryLater(reason, answer.retry_after_s or RATE_S, counted=False, everyone=True, rule="sms-20429")
    if code in CODES:
        return CODES[code](reason, f"sms-{code}")
    if answer.status in (401, 403, 404):
        return CODES[20003](reason, "sms-20003")
    if answer.status >= 500:
        return Unknown(reason, rule="sms-unknown-outcome")
    return Refused(reason, tell=f"Twilio refuses an SMS: {reason}.", rule="sms-4xx")


def _code(answer: Answer) -> int | None:
    parsed = answer.parsed
    code = parsed.get("code") if isinstance(parsed, dict) else None
    return code if isinstance(code, int) else None


def undelivered(status: str, code: str) -> tuple[str, str | None]:
    """Return why a message did not arrive, and what the people of the desk are told: of filters, for those are about us."""
    reason = f"{status}, error {code}" if code else status
    if code == str(FILTERED):
        return reason, (
            "Carriers filter our SMS (error 30007): it is not sent again. When it is more than a few, register the sender "
            "(A2P 10DLC, toll-free verification) and look at the texts."
        )
    return reason, None
