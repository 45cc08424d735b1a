"""The fake Twilio is honest: the official clients drive it unchanged, and what Twilio would not take it does not take."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from fakes.twilio import ACCOUNT, TOKEN, Failure, Twilio, running_twilio
from tools import node, node_package

STORY = Path(__file__).with_name("twilio_story.mjs")


class Redirected(TwilioHttpClient):
    """The official HTTP client, which asks our host instead of Twilio's."""

    def __init__(self, base_url: str) -> None:
        super().__init__(timeout=5)
        self._base_url = base_url

    def request(self, method: str, url: str, **options: Any) -> Any:
        return super().request(method, url.replace("https://api.twilio.com", self._base_url), **options)


@pytest.fixture
def twilio() -> Iterator[Twilio]:
    with running_twilio() as running:
        yield running


def client(twilio: Twilio, token: str = TOKEN) -> Client:
    return Client(ACCOUNT, token, http_client=Redirected(twilio.url))


def test_the_official_client_sends_and_lists(twilio: Twilio) -> None:
    api = client(twilio)
    made = api.messages.create(
        to="+48600100200", from_="+15005550006", body="Zażółć", status_callback="https://a.example/x"
    )
    assert (made.status, made.direction, made.body) == ("queued", "outbound-api", "Zażółć")
    assert made.sid is not None
    assert made.date_created is not None
    since = datetime.now(UTC) - timedelta(days=1)
    assert api.messages.list(to="+48600100200", date_sent_after=since, limit=20) == [], "it is queued"
    twilio.send_queued()
    (listed,) = api.messages.list(to="+48600100200", date_sent_after=since, limit=20)
    assert (listed.sid, twilio.complaints) == (made.sid, [])


@pytest.mark.parametrize(
    ("form", "code"),
    [({"body": ""}, 21602), ({"body": "x" * 1601}, 21617), ({"to": "+15005550009"}, 21610), ({"from_": None}, 21603)],
    ids=["empty", "long", "stopped", "nobody"],
)
def test_the_official_client_is_refused_as_by_twilio(twilio: Twilio, form: dict[str, Any], code: int) -> None:
    twilio.stopped.add("+15005550009")
    asked = {"to": "+48600100200", "from_": "+15005550006", "body": "hello", **form}
    with pytest.raises(TwilioRestException) as refusal:
        client(twilio).messages.create(**{name: value for name, value in asked.items() if value is not None})
    assert (refusal.value.status, refusal.value.code, twilio.complaints) == (400, code, [])


def test_the_official_client_sees_failures(twilio: Twilio) -> None:
    with pytest.raises(TwilioRestException) as refusal:
        client(twilio, token="another").messages.create(to="+48600100200", from_="+15005550006", body="hello")
    assert (refusal.value.status, refusal.value.code) == (401, 20003)
    twilio.fail_next(Failure(429, 20429))
    with pytest.raises(TwilioRestException) as limited:
        client(twilio).messages.create(to="+48600100200", from_="+15005550006", body="hello")
    assert (limited.value.status, limited.value.code) == (429, 20429)


def test_the_official_node_client_tells_the_same_story(twilio: Twilio) -> None:
    twilio.stopped.add("+15005550009")
    folder = node_package("twilio", "6.2.0")
    command = [node(), str(STORY), twilio.url, ACCOUNT, TOKEN, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "made": ["queued", "outbound-api", "Zażółć", True],
        "listed": [True],
        "refused": [[400, 21602], [400, 21610], [401, 20003]],
    }
    assert (twilio.sent_to("+48600100200"), twilio.complaints) == (["Zażółć"], [])


@pytest.mark.parametrize(
    ("path", "options"),
    [
        (f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", {"data": {"From": "+15005550006", "Body": "no one"}}),
        ("/2010-04-01/Accounts/AC12/Messages.json", {"data": {"To": "+48600100200", "Body": "x"}}),
        (f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", {"json": {"To": "+48600100200", "Body": "x"}}),
        (f"/2010-04-01/Accounts/{ACCOUNT}/Letters.json", {"data": {"To": "+48600100200", "Body": "x"}}),
        (f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", {"data": {"To": "+48600100200", "Body": "x"}, "auth": None}),
    ],
    ids=["no To", "no account", "JSON", "no such path", "no password"],
)
def test_what_twilio_does_not_understand_is_noticed(twilio: Twilio, path: str, options: dict[str, Any]) -> None:
    answer = httpx.post(twilio.url + path, **{"auth": (ACCOUNT, TOKEN), **options})
    assert answer.status_code >= 400
    assert (len(twilio.complaints), twilio.messages) == (1, [])
