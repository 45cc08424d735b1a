"""A calendar by CalDAV, where bookings are shown, and the invitations that go with them by mail.

The calendar is an effect, never the truth: what is booked stands in our database, and everything here can be repeated. An
event's id is its booking's; its times are written in UTC, because servers read time zones that a file brings along wrongly.
What the owner of the calendar adds to an event (an alarm, a note) stays, and when they move it, their time stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from paydesk.channels.base import DeliveryError, Finding, Misconfigured, Receipt, Refused, RetryLater
from paydesk.channels.calendar_failures import failure, no_calendar
from paydesk.channels.calendar_files import Booking, Event, busy_in, event_in, fields_of, file_of, merged
from paydesk.channels.http import CALL_S_MAX, Answer, Wire
from paydesk.errors import SettingError

ROUNDS = 3
"""How often an event is read and written again when somebody else writes it at the same time."""

CALENDAR = {"content-type": "text/calendar; charset=utf-8"}

BUSY = """<?xml version="1.0" encoding="utf-8"?>
<C:free-busy-query xmlns:C="urn:ietf:params:xml:ns:caldav"><C:time-range start="{start}" end="{end}"/></C:free-busy-query>"""

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class Put:
    """Let the calendar show a booking as it is now. Repeating it changes nothing; an older sequence never wins."""

    booking: Booking


@dataclass(frozen=True, slots=True)
class Cancel:
    """Take a booking out of the calendar. One that is not there needs nothing."""

    id: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the calendar is, and who we are there."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)


def make(environ: Mapping[str, str]) -> Calendar | None:
    """Build the calendar from its setting, `None` without one; raises `SettingError` when it is malformed."""
    text = environ.get("CALDAV_URL")
    return None if not text else Calendar(settings_of(text))


def settings_of(text: str) -> Settings:
    """Return the address and the sign-in in `CALDAV_URL`; raises `SettingError` that shows a good one, never this one."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:  # a bracket too few, a port out of range
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or port == 0:
        raise SettingError(
            "CALDAV_URL is malformed: CALDAV_URL=https://user:password@cal.example.com/user/lessons/ "
            "(the address of one calendar; in user and password write @ as %40 and / as %2F)"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port is None else f"{host}:{port}"
    url = f"{parts.scheme}://{place}{parts.path.rstrip('/')}/"
    return Settings(url, unquote(parts.username or ""), unquote(parts.password or ""))


class Calendar:
    """One calendar on one CalDAV server."""

    name = "calendar"

    def __init__(self, settings: Settings, *, call_s_max: float = CALL_S_MAX) -> None:
        auth = (settings.user, settings.password) if settings.user else None
        self._wire = Wire(settings.url, "cal", auth=auth, call_s_max=call_s_max)

    async def deliver(self, action: Put | Cancel, last: Receipt | None) -> Receipt:
        """Carry out an action and return a receipt, or raise one of the errors of `base`.

        `last` is the receipt of the booking's `Put` before, if there was one: what has not changed since is not written
        over what the owner of the calendar made of it. Where they moved the event and their time was kept, `data["moved"]`
        of the receipt is `{"start", "end"}` (ISO 8601): the customer is to be told.
        """
        if isinstance(action, Cancel):
            await self._cancel(action.id)
            return Receipt()
        return await self._put(action.booking, None if last is None else last.data.get("wanted"))

    async def busy(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """Return when the calendar is taken between two times: in order, in UTC, joined where they touch."""
        first, latest = (f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}" for moment in (start, end))
        body = BUSY.format(start=first, end=latest).encode()
        headers = {"content-type": "application/xml; charset=utf-8", "depth": "1"}
        answer = await self._ask("REPORT", "", body, headers)
        try:
            return busy_in(answer.body, start.astimezone(UTC), end.astimezone(UTC))
        except ValueError as error:
            raise no_calendar("REPORT: the answer is no calendar file") from error

    async def preflight(self) -> list[Finding]:
        """Look whether the calendar is there, lets us in, and tells when it is taken."""
        now = datetime.now(UTC)
        try:
            await self.busy(now, now + timedelta(days=28))
        except DeliveryError as error:
            mend = (
                error.mend
                if isinstance(error, Misconfigured)
                else "look at the address in CALDAV_URL and at the server"
            )
            return [Finding(False, "The calendar", str(error), mend)]
        return [Finding(True, "The calendar", "it is there and tells when it is taken")]

    async def close(self) -> None:
        """Let go of the connections."""
        await self._wire.close()

    # --- one event -------------------------------------------------------------------------------------------------

    async def _put(self, booking: Booking, before: Mapping[str, str] | None) -> Receipt:
        """Write an event anew, or change the one that is there; look again whenever somebody was quicker."""
        seen = None if before is None else await self._read(booking.id)
        for _ in range(ROUNDS):
            if seen is not None and seen.booking.sequence >= booking.sequence:  # a repeat, or late news
                return _receipt(seen.booking, booking)
            if seen is None:
                event, condition = Event(booking, None, file_of(booking)), {"if-none-match": "*"}
            else:
                event, condition = merged(booking, seen, before), {"if-match": seen.etag or "*"}
            answer = await self._write(booking.id, event.content, condition)
            if answer.status != 412:
                return _receipt(event.booking, booking)
            seen = await self._read(booking.id)
        raise RetryLater("somebody else writes this event all the time", rule="cal-412-update")

    async def _write(self, id_: str, content: bytes, condition: Mapping[str, str]) -> Answer:
        """Write an event on a condition; the answer is a success or 412: the condition does not hold."""
        return await self._ask("PUT", _name(id_), content, {**CALENDAR, **condition}, fine=(412,))

    async def _read(self, id_: str) -> Event | None:
        """Return the event that is there, `None` if there is none."""
        answer = await self._ask("GET", _name(id_), fine=(404,))
        if answer.status == 404:
            return None
        event = event_in(answer.body, answer.headers.get("etag"))
        if event is None:
            raise Refused(
                "what is there is no event", tell=f"Booking {id_} is not an event in the calendar", rule="cal-400"
            )
        return event

    async def _cancel(self, id_: str) -> None:
        await self._ask("DELETE", _name(id_), fine=(404, 410))

    async def _ask(
        self, method: str, path: str, content: bytes | None = None, headers: Mapping[str, str] | None = None,
        fine: tuple[int, ...] = (),
    ) -> Answer:  # fmt: skip
        """Ask, and return an answer that is a success or one of `fine`. Everything here may be asked twice."""
        answer = await self._wire.call(method, path, content=content, headers=headers, repeatable=True)
        if answer.status not in fine and not 200 <= answer.status < 300:
            raise failure(answer, method)
        return answer


def _name(id_: str) -> str:
    """Return an event's file name; raises `Refused` for an id that could lead elsewhere."""
    if not _ID.fullmatch(id_):
        raise Refused(f"{id_[:40]!r} is no id of a booking", rule="cal-400")
    return f"{id_}.ics"


def _receipt(there: Booking, ours: Booking) -> Receipt:
    """Return what the next change needs to know: what we wanted, and whether the owner's time stands instead."""
    data: dict[str, Any] = {"wanted": fields_of(ours)}
    if (there.start, there.end) != (ours.start, ours.end) and there.sequence == ours.sequence:
        data["moved"] = {"start": there.start.isoformat(), "end": there.end.isoformat()}
    return Receipt(data)
