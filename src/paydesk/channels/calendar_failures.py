"""What a CalDAV server's answers mean when something is wrong: each one error of the contract, a closed table."""

from __future__ import annotations

from paydesk.channels.base import DeliveryError, Misconfigured, Refused, RetryLater, Unknown
from paydesk.channels.http import Answer

PAUSE_S = 60.0

MENDS = {
    401: ("cal-401", "put the right user and password into CALDAV_URL"),
    403: ("cal-403", "give the user in CALDAV_URL the right to write to this calendar"),
    404: ("cal-404", "put the address of a calendar that is there into CALDAV_URL"),
    405: ("cal-405", "put the address of a calendar, not of a server or a web page, into CALDAV_URL"),
    409: ("cal-409", "make the calendar that CALDAV_URL names, or name one that is there"),
    501: ("cal-501", "use a server that knows CalDAV and free-busy-query"),
}
"""Row and mend of what whoever runs the desk has to put right, by status."""


def failure(answer: Answer, method: str) -> DeliveryError:
    """Return the error that an answer to `method` is, where it is neither a success nor handled by its caller."""
    what = f"{method}: {answer.status} of the calendar's server"
    if 300 <= answer.status < 400:
        return Misconfigured(
            what, resource="calendar", mend="put the address that it leads to into CALDAV_URL", rule="cal-3xx"
        )
    if answer.status in MENDS:
        rule, mend = MENDS[answer.status]
        return Misconfigured(what, resource="calendar", mend=mend, rule=rule)
    if answer.status in (423, 429, 503):
        after_s = answer.retry_after_s or PAUSE_S
        return RetryLater(what, after_s, counted=answer.status != 429, rule=f"cal-{answer.status}")
    if answer.status >= 500:
        return Unknown(what, repeatable=True, rule="cal-5xx")
    return Refused(what, tell=f"The calendar's server refused a booking ({answer.status})", rule="cal-400")


def no_calendar(what: str) -> Misconfigured:
    """Return the error for a success that does not come from a calendar."""
    mend = "put the address of a calendar on a CalDAV server into CALDAV_URL"
    return Misconfigured(what, resource="calendar", mend=mend, rule="cal-elsewhere")
