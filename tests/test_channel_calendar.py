"""The calendar against a real Radicale: shown once, moved, taken out, and what its owner does to an event stands."""

from __future__ import annotations

import asyncio
import email
import email.message
import json
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import policy
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import uvicorn
from aiosmtpd.controller import Controller
from icalendar import Calendar as Parsed
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from paydesk.channels.base import Misconfigured, Receipt, Refused, RetryLater, Unknown
from paydesk.channels.calendar import Calendar, Cancel, Put, make, settings_of
from paydesk.channels.calendar_files import Booking, feed, invitation
from paydesk.errors import SettingError

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
TUTOR = ("tutor@example.com", "pa/ss:wörd")
PLACE = "/tutor@example.com/lessons/"
TEN = datetime(2026, 7, 1, 10, 0, tzinfo=AMSTERDAM)
HOUR = timedelta(hours=1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def radicale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Radicale of its own in a temporary folder, with one calendar, and its address."""
    folder = tmp_path_factory.mktemp("radicale")
    (folder / "users").write_text(f"{TUTOR[0]}:{TUTOR[1]}\n", encoding="utf-8")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "radicale", "--config", "", "--server-hosts", f"127.0.0.1:{port}", "--auth-type", "htpasswd",
         "--auth-htpasswd-filename", str(folder / "users"), "--auth-htpasswd-encryption", "plain", "--auth-delay", "0",
         "--storage-filesystem-folder", str(folder / "files"), "--logging-level", "error"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        until_there(url)
        for place in ("/tutor@example.com/", PLACE):
            httpx.request("MKCOL" if place != PLACE else "MKCALENDAR", url + place, auth=TUTOR, timeout=10)
        yield url
    finally:
        server.terminate()
        server.wait(10)


def until_there(url: str) -> None:
    for _ in range(300):
        try:
            httpx.get(url, timeout=5)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("Radicale did not start")


class Between:
    """A real server between us and Radicale: somebody else writes, or an answer goes wrong, just before a call is passed on."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.first: list[Callable[[], Awaitable[Any]]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.broken = False
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.url = ""

    async def handle(self, request: Request) -> Response:
        body = await request.body()
        self.asked.append((request.method, dict(request.headers), body))
        if self.answers:
            status, more = self.answers.pop(0)
            return Response(b"", status, more)
        if request.method == "PUT" and self.first:
            await self.first.pop(0)()
        headers = {k: v for k, v in request.headers.items() if k not in ("host", "content-length")}
        async with httpx.AsyncClient() as client:
            given = await client.request(
                request.method, self.target + request.url.path, headers=headers, content=b"BEGIN" if self.broken else body
            )  # fmt: skip
        return Response(
            given.content, given.status_code, {k: v for k, v in given.headers.items() if k in ("etag", "content-type")}
        )


@pytest.fixture(scope="module")
def between(radicale: str) -> Iterator[Between]:
    server = Between(radicale)
    methods = ["GET", "PUT", "DELETE", "REPORT"]
    listening = socket.create_server(("127.0.0.1", 0))
    server.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    app = Starlette(routes=[Route("/{path:path}", server.handle, methods=methods)])
    running = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield server
    running.should_exit = True
    thread.join(10)
    listening.close()


def setting(url: str, password: str = "pa%2Fss%3Aw%C3%B6rd") -> str:
    return f"{url.replace('://', f'://tutor%40example.com:{password}@')}{PLACE}"


@pytest.fixture
async def calendar(between: Between) -> AsyncIterator[Calendar]:
    between.asked.clear()
    made = make({"CALDAV_URL": setting(between.url)})
    assert made is not None
    yield made
    await made.close()
    assert (between.first, between.answers) == ([], [])


class Tutor:
    """The owner of the calendar, with an app of their own."""

    def __init__(self, url: str) -> None:
        self.client = httpx.AsyncClient(base_url=url + PLACE, auth=httpx.BasicAuth(*(part.encode() for part in TUTOR)))

    async def sees(self, id_: str) -> Any:
        answer = await self.client.get(f"{id_}.ics")
        return None if answer.status_code == 404 else Parsed.from_ical(answer.content).walk("VEVENT")[0]

    async def writes(self, id_: str, change: Callable[[Any], None]) -> None:
        """Change an event as calendar apps do: the sequence grows."""
        whole = Parsed.from_ical((await self.client.get(f"{id_}.ics")).content)
        event = whole.walk("VEVENT")[0]
        change(event)
        event["sequence"] = int(event["sequence"]) + 1
        answer = await self.client.put(
            f"{id_}.ics", content=whole.to_ical(), headers={"content-type": "text/calendar"}
        )  # fmt: skip
        assert answer.status_code == 201 or answer.status_code == 204

    async def moves(self, id_: str, start: datetime) -> None:
        def move(event: Any) -> None:
            for name, moment in (("dtstart", start), ("dtend", start + HOUR)):
                event.pop(name)
                event.add(name, moment)

        await self.writes(id_, move)


@pytest.fixture
async def tutor(radicale: str) -> AsyncIterator[Tutor]:
    tutor = Tutor(radicale)
    yield tutor
    await tutor.client.aclose()


def booking(id_: str, start: datetime = TEN, **more: Any) -> Booking:
    return Booking(id_, start, start + HOUR, "Wiskunde met Ada ✏️", changed_at=datetime(2026, 6, 1, tzinfo=UTC), **more)


# --- an event --------------------------------------------------------------------------------------------------------


async def test_a_booking_is_shown_once_and_in_utc(calendar: Calendar, tutor: Tutor, between: Between) -> None:
    one = booking("bk_once", description="10:00 in Amsterdam", location="Keizersgracht 1")
    first = await calendar.deliver(Put(one), None)
    again = await calendar.deliver(Put(one), None)
    known = await calendar.deliver(Put(one), first)
    assert first == again == known
    event = await tutor.sees("bk_once")
    assert event["dtstart"].dt == datetime(2026, 7, 1, 8, 0, tzinfo=UTC)
    assert str(event["dtstart"].dt.tzinfo) == "UTC"
    assert (str(event["uid"]), int(event["sequence"]), str(event["summary"])) == ("bk_once", 0, "Wiskunde met Ada ✏️")
    assert [method for method, _, _ in between.asked] == ["PUT", "PUT", "GET", "GET"]
    assert between.asked[0][1]["if-none-match"] == "*"
    assert json.loads(json.dumps(first.data)) == first.data


async def test_a_change_is_written_and_late_news_are_not(calendar: Calendar, tutor: Tutor) -> None:
    old, new = booking("bk_moved"), booking("bk_moved", TEN + 3 * HOUR, sequence=1)
    first = await calendar.deliver(Put(old), None)
    second = await calendar.deliver(Put(new), first)
    assert (await tutor.sees("bk_moved"))["dtstart"].dt == datetime(2026, 7, 1, 11, 0, tzinfo=UTC)
    for last in (None, first, second):
        await calendar.deliver(Put(old), last)
        await calendar.deliver(Put(new), last)
    event = await tutor.sees("bk_moved")
    assert (event["dtstart"].dt.hour, int(event["sequence"])) == (11, 1)
    assert "moved" not in second.data


async def test_a_change_whose_first_receipt_was_lost_is_written_too(calendar: Calendar, tutor: Tutor) -> None:
    await calendar.deliver(Put(booking("bk_lost")), None)
    await calendar.deliver(Put(booking("bk_lost", TEN + HOUR, sequence=1)), None)
    assert (await tutor.sees("bk_lost"))["dtstart"].dt.hour == 9


async def test_a_booking_is_taken_out_and_again(calendar: Calendar, tutor: Tutor) -> None:
    await calendar.deliver(Put(booking("bk_off")), None)
    assert await calendar.deliver(Cancel("bk_off"), None) == Receipt()
    assert await tutor.sees("bk_off") is None
    assert await calendar.deliver(Cancel("bk_off"), None) == Receipt()
    assert await calendar.deliver(Cancel("bk_never"), None) == Receipt()


# --- what the owner does ---------------------------------------------------------------------------------------------


async def test_the_owners_time_and_additions_stand_and_the_customer_is_told(calendar: Calendar, tutor: Tutor) -> None:
    first = await calendar.deliver(Put(booking("bk_own")), None)
    await tutor.moves("bk_own", datetime(2026, 7, 1, 15, 30, tzinfo=AMSTERDAM))
    await tutor.writes("bk_own", lambda event: event.add("comment", "bring the red book"))
    told = await calendar.deliver(Put(booking("bk_own", sequence=1, description="Room 4")), first)
    event = await tutor.sees("bk_own")
    assert event["dtstart"].dt == datetime(2026, 7, 1, 13, 30, tzinfo=UTC)
    assert (str(event["comment"]), str(event["description"])) == ("bring the red book", "Room 4")
    assert int(event["sequence"]) == 3
    assert told.data["moved"] == {"start": "2026-07-01T13:30:00+00:00", "end": "2026-07-01T14:30:00+00:00"}
    await calendar.deliver(Put(booking("bk_own", TEN + 24 * HOUR, sequence=2)), told)
    event = await tutor.sees("bk_own")
    assert event["dtstart"].dt == datetime(2026, 7, 2, 8, 0, tzinfo=UTC)
    assert str(event["comment"]) == "bring the red book"


async def test_who_writes_between_our_look_and_our_change_is_not_overwritten(
    calendar: Calendar, tutor: Tutor, between: Between
) -> None:
    first = await calendar.deliver(Put(booking("bk_race")), None)
    between.first.append(lambda: tutor.writes("bk_race", lambda event: event.add("comment", "mind the dog")))
    await calendar.deliver(Put(booking("bk_race", TEN + HOUR, sequence=1)), first)
    event = await tutor.sees("bk_race")
    assert (str(event["comment"]), event["dtstart"].dt.hour) == ("mind the dog", 9)
    assert [m for m, _, _ in between.asked] == ["PUT", "GET", "PUT", "GET", "PUT"]


async def test_an_event_that_the_owner_took_out_comes_back_with_a_change(calendar: Calendar, tutor: Tutor) -> None:
    first = await calendar.deliver(Put(booking("bk_gone")), None)
    await tutor.client.delete("bk_gone.ics")
    await calendar.deliver(Put(booking("bk_gone", TEN + HOUR, sequence=1)), first)
    assert (await tutor.sees("bk_gone"))["dtstart"].dt.hour == 9


async def test_who_writes_all_the_time_makes_us_wait(calendar: Calendar, tutor: Tutor, between: Between) -> None:
    first = await calendar.deliver(Put(booking("bk_busy")), None)
    between.first += [lambda: tutor.moves("bk_busy", TEN)] * 3
    with pytest.raises(RetryLater) as later:
        await calendar.deliver(Put(booking("bk_busy", TEN + HOUR, sequence=1)), first)
    assert later.value.rule == "cal-412-update"


# --- when it is taken ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("month", "day"), [(1, 15), (3, 28), (7, 1), (10, 31)],
    ids=["winter", "the clocks go forward", "summer", "the clocks go back"],
)  # fmt: skip
async def test_taken_times_are_right_on_every_day_of_the_year(calendar: Calendar, month: int, day: int) -> None:
    start = datetime(2027, month, day, 11, tzinfo=AMSTERDAM)
    name = f"bk_{month}_{day}"
    await calendar.deliver(Put(booking(name, start)), None)
    await calendar.deliver(Put(booking(f"{name}b", start + HOUR)), None)
    await calendar.deliver(Put(booking(f"{name}c", start + 5 * HOUR)), None)
    morning = start.replace(hour=0)
    utc = start.astimezone(UTC)
    assert await calendar.busy(morning, morning + timedelta(days=1)) == [
        (utc, utc + 2 * HOUR), (utc + 5 * HOUR, utc + 6 * HOUR),
    ]  # fmt: skip
    assert await calendar.busy(start + HOUR / 2, start + HOUR) == [(utc + HOUR / 2, utc + HOUR)]
    assert await calendar.busy(morning, morning + HOUR) == []


# --- what goes wrong -------------------------------------------------------------------------------------------------

LIST = Path(__file__).parent / "specs" / "channel-failure-cases.json"

TESTED_ABOVE = {"cal-412-create", "cal-412-update", "cal-404-delete"}
TESTED_BELOW = {"cal-401", "cal-400"}


def test_the_list_of_failures_is_whole() -> None:
    rows = json.loads(LIST.read_text(encoding="utf-8"))["rules"]
    assert {row["id"] for row in rows if row["channel"] == "caldav"} == TESTED_ABOVE | TESTED_BELOW


async def test_a_wrong_password_is_a_matter_of_settings(between: Between) -> None:
    calendar = make({"CALDAV_URL": setting(between.url, "wrong-password")})
    assert calendar is not None
    for act in (
        calendar.deliver(Put(booking("bk_1")), None),
        calendar.deliver(Cancel("bk_1"), None),
        calendar.busy(TEN, TEN + HOUR),
    ):
        with pytest.raises(Misconfigured) as broken:
            await act
        assert (broken.value.rule, broken.value.resource) == ("cal-401", "calendar")
        assert (
            "wrong-password"
            not in f"{broken.value} {broken.value.mend} {calendar!r} {settings_of(setting('http://h', 'wrong-password'))!r}"
        )
    (finding,) = await calendar.preflight()
    assert not finding.ok
    assert "CALDAV_URL" in str(finding.mend)
    await calendar.close()


async def test_a_file_that_the_server_does_not_take_is_our_mistake(calendar: Calendar, between: Between) -> None:
    between.broken = True
    with pytest.raises(Refused) as refused:
        await calendar.deliver(Put(booking("bk_bad")), None)
    between.broken = False
    assert refused.value.rule == "cal-400"
    assert refused.value.tell is not None


@pytest.mark.parametrize(
    ("status", "headers", "error", "rule"),
    [
        (403, {}, Misconfigured, "cal-403"), (404, {}, Misconfigured, "cal-404"), (405, {}, Misconfigured, "cal-405"),
        (409, {}, Misconfigured, "cal-409"), (501, {}, Misconfigured, "cal-501"),
        (302, {"location": "https://elsewhere.example"}, Misconfigured, "cal-3xx"),
        (415, {}, Refused, "cal-400"), (429, {"retry-after": "9"}, RetryLater, "cal-429"), (423, {}, RetryLater, "cal-423"),
        (503, {}, RetryLater, "cal-503"), (500, {}, Unknown, "cal-5xx"), (507, {}, Unknown, "cal-5xx"),
    ],
)  # fmt: skip
async def test_other_answers_are_one_error_each(
    calendar: Calendar, between: Between, status: int, headers: dict[str, str], error: type[Exception], rule: str
) -> None:
    between.answers.append((status, headers))
    with pytest.raises(error) as raised:
        await calendar.deliver(Put(booking("bk_1")), None)
    assert type(raised.value) is error
    assert raised.value.rule == rule  # type: ignore[attr-defined]
    if isinstance(raised.value, RetryLater):
        assert raised.value.after_s == (9 if headers else 60)
    if isinstance(raised.value, Unknown):
        assert raised.value.repeatable


async def test_a_server_that_is_away_was_sent_nothing() -> None:
    calendar = make({"CALDAV_URL": "http://127.0.0.1:9/a/b/"})
    assert calendar is not None
    with pytest.raises(RetryLater) as later:
        await calendar.deliver(Put(booking("bk_1")), None)
    assert later.value.rule == "cal-not-sent"
    await calendar.close()


@pytest.mark.parametrize("id_", ["../admin", "", "a/b", "a b", "é", "x" * 129, "a.ics?x"])
async def test_only_our_ids_stand_in_an_address(calendar: Calendar, between: Between, id_: str) -> None:
    for action in (Put(booking(id_)), Cancel(id_)):
        with pytest.raises(Refused):
            await calendar.deliver(action, None)
    assert between.asked == []


async def test_names_are_words_never_lines_of_the_file(calendar: Calendar, tutor: Tutor) -> None:
    name = "Ada\r\nATTENDEE:mailto:evil@example.com\nEND:VEVENT; , \\ {{x}} \x00\x07" + "ż" * 5000
    await calendar.deliver(Put(replace(booking("bk_name"), summary=name, description=name)), None)
    event = await tutor.sees("bk_name")
    assert "attendee" not in event
    assert str(event["summary"]).startswith("Ada\nATTENDEE:mailto:evil@example.com\nEND:VEVENT; , \\ {{x}} ż")
    assert len(str(event["summary"])) == 4000
    assert str(event["summary"]).endswith("…")


@pytest.mark.parametrize(
    "text", ["calendar", "ftp://h/a/", "https://", "https://[::1/a", "https://h:99999/a", "https://u:secret-1@h/a?x=1"]
)
def test_a_bad_setting_is_named_with_a_good_value_and_never_shown(text: str) -> None:
    with pytest.raises(SettingError) as refused:
        make({"CALDAV_URL": text})
    assert "CALDAV_URL=https://user:password@cal.example.com" in refused.value.message
    assert "secret-1" not in refused.value.message


def test_the_setting_is_read_and_without_it_there_is_no_calendar() -> None:
    found = settings_of("https://tutor%40example.com:p%2Fw@[::1]:5232/tutor/lessons")
    assert (found.url, found.user, found.password) == ("https://[::1]:5232/tutor/lessons/", "tutor@example.com", "p/w")
    assert make({}) is None


async def test_the_doctor_finds_a_calendar_that_is_there(calendar: Calendar, between: Between) -> None:
    (finding,) = await calendar.preflight()
    assert finding.ok
    for wrong in (500, 200, 401):
        between.answers.append((wrong, {}))
        (finding,) = await calendar.preflight()
        assert (finding.ok, bool(finding.mend)) == (False, True)


# --- files and invitations -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end"),
    [(TEN, TEN), (TEN, TEN - HOUR), (TEN.replace(tzinfo=None), TEN), (TEN, TEN.replace(day=2, tzinfo=None))],
)
def test_a_booking_has_times_that_can_be(start: datetime, end: datetime) -> None:
    with pytest.raises(ValueError, match="booking"):
        Booking("bk_1", start, end, "x", TEN)


def test_a_feed_has_an_event_for_each_booking() -> None:
    events = Parsed.from_ical(feed([booking("bk_a"), booking("bk_b", TEN + HOUR)])).walk("VEVENT")
    assert [str(event["uid"]) for event in events] == ["bk_a", "bk_b"]
    assert feed([]).startswith(b"BEGIN:VCALENDAR")


@pytest.mark.parametrize(
    "mail", ["", "ada", "ada@x\r\nBCC:all@example.com", "a@b;c", "ada lovelace@x", "<ada@x>", "a@b@c "]
)
def test_an_invitation_goes_to_a_mail_address_only(mail: str) -> None:
    with pytest.raises(Refused):
        invitation(booking("bk_1"), organizer="desk@example.com", attendee=mail)


class Postbox:
    """What a real SMTP server got."""

    def __init__(self) -> None:
        self.mails: list[email.message.EmailMessage] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(email.message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"


@pytest.mark.parametrize("cancel", [False, True], ids=["REQUEST", "CANCEL"])
async def test_an_invitation_survives_a_real_mail_server(cancel: bool) -> None:
    one = booking("bk_mail", description="Zażółć gęślą jaźń, 10:00", sequence=3 if cancel else 2)
    part = invitation(one, organizer="desk@example.com", attendee="ada@example.com", cancel=cancel)
    mail = email.message.EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Wiskunde ✏️", "desk@example.com", "ada@example.com"
    mail.set_content("10:00 in Amsterdam")
    kind, _, params = part.content_type.partition("; ")
    more = dict(item.split("=") for item in params.split("; "))
    mail.add_alternative(part.content.decode(), subtype=kind.removeprefix("text/"), params={"method": more["method"]})
    mail.add_attachment(part.content, maintype="application", subtype="ics", filename=part.name)
    box = Postbox()
    post = Controller(box, hostname="127.0.0.1", port=free_port())
    post.start()
    try:
        await asyncio.to_thread(posted, mail, post.port)
    finally:
        post.stop()
    (got,) = box.mails
    shown = next(one for one in got.walk() if one.get_content_type() == "text/calendar")
    assert shown.get_param("method") == more["method"] == ("CANCEL" if cancel else "REQUEST")
    attached = next(got.iter_attachments()).get_content()
    for content in (shown.get_content().encode(), attached):
        whole = Parsed.from_ical(content)
        event = whole.walk("VEVENT")[0]
        assert str(whole["method"]) == more["method"]
        assert str(event["description"]) == "Zażółć gęślą jaźń, 10:00"
        assert (str(event["uid"]), int(event["sequence"])) == ("bk_mail", one.sequence)
        assert (str(event["attendee"]), str(event["organizer"])) == (
            "mailto:ada@example.com",
            "mailto:desk@example.com",
        )
        assert str(event["status"]) == ("CANCELLED" if cancel else "CONFIRMED")


def posted(mail: email.message.EmailMessage, port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
        client.send_message(mail)
