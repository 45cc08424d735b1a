"""Bookings as iCalendar files (RFC 5545, RFC 5546): events, invitations, a feed, and when a calendar is taken. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from icalendar import Calendar, vCalAddress
from icalendar import Event as VEvent

from paydesk.channels.base import Refused

OURS = "X-PAYDESK-SEQUENCE"
"""A booking's sequence as we wrote it: the event's own also grows when somebody else changes it."""

PRODUCT = "-//Paydesk//Bookings//EN"
TEXT_MAX = 4000
TEXTS = ("summary", "description", "location")
TIMES = ("start", "end")

_MAIL = re.compile(r"[^\s@:;,\"<>\\\x00-\x1f\x7f]+@[^\s@:;,\"<>\\\x00-\x1f\x7f]+")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Booking:
    """What stands in a calendar. Times have a zone; `sequence` grows with every change of a booking.

    The customer's own local time belongs into `description`. Raises `ValueError` when it has no zone or ends before it
    begins. `changed_at` is when this sequence was made.
    """

    id: str
    start: datetime
    end: datetime
    summary: str
    changed_at: datetime
    description: str = ""
    location: str = ""
    sequence: int = 0

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a booking's times need a time zone")
        if self.end <= self.start:
            raise ValueError("a booking ends after it begins")


@dataclass(frozen=True, slots=True)
class Event:
    """A booking as a server has it: the tag of this version, and the whole file with what others added.

    The booking's sequence is ours, -1 where the event is not of our making.
    """

    booking: Booking
    etag: str | None
    content: bytes


@dataclass(frozen=True, slots=True)
class Invitation:
    """A part of a mail: what it contains and its type, for the body and as the attachment `invite.ics`."""

    content: bytes
    content_type: str
    name: str = "invite.ics"


def file_of(booking: Booking) -> bytes:
    """Return a booking as a file with one event."""
    return feed([booking])


def feed(bookings: Iterable[Booking]) -> bytes:
    """Return a file with an event for each booking: what a calendar app subscribes to."""
    calendar = _calendar()
    for booking in bookings:
        calendar.add_component(_event(booking))
    return bytes(calendar.to_ical())


def invitation(booking: Booking, *, organizer: str, attendee: str, cancel: bool = False) -> Invitation:
    """Return the invitation to a booking, or its cancellation, from one mail address to another.

    A calendar app knows by id and sequence which event it is about, so a cancellation needs a higher sequence. Raises
    `Refused` for what is no mail address.
    """
    method = "CANCEL" if cancel else "REQUEST"
    calendar = _calendar()
    calendar.add("method", method)
    event = _event(booking)
    event["organizer"] = _address(organizer)
    guest = _address(attendee)
    guest.params.update({"ROLE": "REQ-PARTICIPANT", "PARTSTAT": "NEEDS-ACTION", "RSVP": "TRUE"})
    event.add("attendee", guest, encode=False)
    event["status"] = "CANCELLED" if cancel else "CONFIRMED"
    calendar.add_component(event)
    return Invitation(bytes(calendar.to_ical()), f"text/calendar; method={method}; charset=utf-8")


def _calendar() -> Calendar:
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    return calendar


def _event(booking: Booking) -> VEvent:
    event = VEvent()
    event.add("uid", booking.id)
    _fill(event, booking)
    return event


def _fill(event: VEvent, booking: Booking) -> None:
    """Write into an event what is ours; what others added stays."""
    values: dict[str, Any] = {
        "dtstamp": booking.changed_at.astimezone(UTC), OURS: str(booking.sequence), "dtstart": booking.start.astimezone(UTC),
        "dtend": booking.end.astimezone(UTC), "summary": _words(booking.summary), "sequence": booking.sequence,
        "description": _words(booking.description), "location": _words(booking.location),
    }  # fmt: skip
    for name in (*values, "duration"):
        event.pop(name, None)
    for name, value in values.items():
        if value != "":
            event.add(name, value)


def _words(text: str) -> str:
    """Return text without what no calendar takes, cut."""
    plain = _CONTROL.sub("", text.replace("\r\n", "\n")).strip()
    return plain if len(plain) <= TEXT_MAX else plain[: TEXT_MAX - 1] + "…"


def _address(mail: str) -> vCalAddress:
    if not _MAIL.fullmatch(mail):
        raise Refused("an invitation needs a mail address", rule="cal-no-mail")
    return vCalAddress(f"mailto:{mail}")


# --- reading ---------------------------------------------------------------------------------------------------------


def event_in(content: bytes, etag: str | None) -> Event | None:
    """Return the event in a file, `None` when it has none that we understand."""
    try:
        event = _first(Calendar.from_ical(content))
        start, end = _moments(event)
        texts = {name: str(event.get(name, "")) for name in TEXTS}
        changed_at = _moment(event["dtstamp"].dt)
        booking = Booking(
            str(event["uid"]), start, end, sequence=int(event.get(OURS, -1)), changed_at=changed_at, **texts
        )
    except (ValueError, KeyError, IndexError):
        return None
    return Event(booking, etag, content)


def _first(calendar: Any) -> Any:
    return calendar.walk("VEVENT")[0]


def _moments(event: Any) -> tuple[datetime, datetime]:
    """Return when an event begins and ends, in UTC; a whole day is one from midnight to midnight."""
    start = _moment(event["dtstart"].dt)
    if "dtend" in event:
        return start, _moment(event["dtend"].dt)
    return start, start + (event["duration"].dt if "duration" in event else timedelta(days=1))


def _moment(value: Any) -> datetime:
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)  # noqa: DTZ001 - below
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def fields_of(booking: Booking) -> dict[str, str]:
    """Return what a booking says, as texts that can be kept and compared."""
    times = {name: getattr(booking, name).astimezone(UTC).isoformat() for name in TIMES}
    return {**times, **{name: _words(getattr(booking, name)) for name in TEXTS}}


def merged(ours: Booking, there: Event, before: Mapping[str, str] | None) -> Event:
    """Return the event as it is to be: what we changed since `before` (our `fields_of` then) is ours, all else as it is there.

    Without `before` we do not know what we changed: then all of ours is.
    """
    now = fields_of(ours)
    changed = {name for name in now if before is None or now[name] != before.get(name)}
    if changed & set(TIMES):
        changed |= set(TIMES)
    booking = replace(ours, **{name: getattr(there.booking, name) for name in (*TIMES, *TEXTS) if name not in changed})
    calendar = Calendar.from_ical(there.content)
    event = _first(calendar)
    sequence = max(ours.sequence, int(event.get("sequence", 0)) + 1)
    _fill(event, booking)
    event["sequence"] = sequence
    return Event(booking, there.etag, bytes(calendar.to_ical()))


def busy_in(content: bytes, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
    """Return the times taken in a free-busy answer, within `start` and `end`, in order and joined where they touch."""
    found = []
    for part in Calendar.from_ical(content).walk("VFREEBUSY"):
        given = part.get("freebusy", [])
        for one in given if isinstance(given, list) else [given]:
            if str(one.params.get("FBTYPE", "BUSY")).upper() != "FREE":
                found.append((max(_moment(one.start), start), min(_moment(one.end), end)))
    return _joined(sorted(pair for pair in found if pair[0] < pair[1]))


def _joined(pairs: list[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    joined: list[tuple[datetime, datetime]] = []
    for start, end in pairs:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
