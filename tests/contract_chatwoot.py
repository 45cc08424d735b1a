"""The fake Chatwoot is honest: a Python and a JavaScript SDK of other people's, and a plain client, use it unchanged.

The plain one below is urllib and the spec, nothing of ours: it makes the calls that the SDKs lack.
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chatwoot import AsyncChatwootClient
from chatwoot.exceptions import ChatwootAPIError, ChatwootAuthError, ChatwootNotFoundError

from fakes.chatwoot import ADMIN_TOKEN, BOT_TOKEN, STRANGER_TOKEN, Fake, running_chatwoot
from tools import node, node_package

STORY = Path(__file__).with_name("chatwoot_story.mjs")


@pytest.fixture(scope="module")
def chatwoot() -> Iterator[Fake]:
    with running_chatwoot() as fake:
        yield fake


@pytest.fixture
def fake(chatwoot: Fake) -> Iterator[Fake]:
    chatwoot.conversation(17)
    chatwoot.requests.clear()
    chatwoot.complaints.clear()
    yield chatwoot
    chatwoot.troubles.clear()


def asked(
    fake: Fake, method: str, path: str, body: Any = None, token: str | None = ADMIN_TOKEN
) -> tuple[int, Any]:  # fmt: skip
    """What the fake answers to a plain client: status and JSON."""
    headers = {"Content-Type": "application/json", **({"api_access_token": token} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(fake.url + path, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


ONE = "/api/v1/accounts/1/conversations/17"


async def test_the_sdk_says_reads_and_finds_what_it_said(fake: Fake) -> None:
    async with AsyncChatwootClient(base_url=fake.url, api_token=ADMIN_TOKEN) as client:
        profile = await client.profile.get()
        assert [account.id for account in profile.accounts] == [1]
        said = await client.messages.create(1, 17, "Hello", content_attributes={"paydesk": "paid:ord_1"})
        note = await client.messages.create(1, 17, "Only for us", private=True)
        assert (said.private, note.private, said.conversation_id) == (False, True, 17)
        listed = await client.messages.list(1, 17)
        assert [(one.content, one.content_attributes) for one in listed] == [
            ("Hello", {"paydesk": "paid:ord_1"}),
            ("Only for us", {}),
        ]
        shown = await client.conversations.get(1, 17)
        assert (shown.id, shown.labels, shown.meta.sender.id) == (17, [], 42)
        assert [one.id for one in await client.contacts.conversations(1, 42)] == [17]
        await client.conversations.toggle_status(1, 17, "resolved")
        await client.contacts.update(1, 42, custom_attributes={"segment": "urgent"})
    assert fake.contacts[42]["custom_attributes"]["segment"] == "urgent"
    assert fake.complaints == []


async def test_the_sdk_reads_the_errors_of_the_fake(fake: Fake) -> None:
    async with AsyncChatwootClient(base_url=fake.url, api_token="wrong-token") as client:
        with pytest.raises(ChatwootAuthError):
            await client.profile.get()
    async with AsyncChatwootClient(base_url=fake.url, api_token=BOT_TOKEN) as client:
        with pytest.raises(ChatwootAuthError):
            await client.messages.list(1, 17)
        assert (await client.messages.create(1, 17, "I am a bot")).id
    async with AsyncChatwootClient(base_url=fake.url, api_token=ADMIN_TOKEN) as client:
        with pytest.raises(ChatwootNotFoundError):
            await client.conversations.get(1, 99)
        with pytest.raises(ChatwootAPIError):
            await client.messages.create(1, 17, "   ")
        fake.fail_next("POST", "/messages", 429, {"error": "Retry later"})
        with pytest.raises(ChatwootAPIError):
            await client.messages.create(1, 17, "Too fast")
    assert fake.complaints == []


def test_another_peoples_sdk_tells_the_same_story(fake: Fake) -> None:
    folder = node_package("@figuro/chatwoot-sdk", "1.1.17")
    command = [node(), str(STORY), fake.url, ADMIN_TOKEN, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "said": ["Zażółć", False, 17],
        "note": True,
        "listed": ["Zażółć", "Only for us"],
        "labels": [["vip", "big"], ["payment-paid"], ["payment-paid"]],
        "shown": [17, "resolved", 42],
        "refused": [401, 404, 422],
    }
    assert fake.contacts[42]["custom_attributes"]["segment"] == "urgent"
    assert fake.complaints == []


def test_a_plain_client_sees_labels_replaced_and_attributes_merged_only_when_asked(fake: Fake) -> None:
    assert asked(fake, "POST", f"{ONE}/labels", {"labels": ["vip", "big"]}) == (200, {"payload": ["vip", "big"]})
    assert asked(fake, "POST", f"{ONE}/labels", {"labels": ["payment-paid"]}) == (200, {"payload": ["payment-paid"]})
    assert asked(fake, "GET", f"{ONE}/labels")[1] == {"payload": ["payment-paid"]}
    path = f"{ONE}/custom_attributes"
    asked(fake, "POST", path, {"custom_attributes": {"service": "tutoring"}})
    asked(fake, "POST", path, {"custom_attributes": {"order_id": "o1"}, "merge": True})
    assert asked(fake, "GET", ONE)[1]["custom_attributes"] == {"service": "tutoring", "order_id": "o1"}
    asked(fake, "POST", path, {"custom_attributes": {"order_id": "o2"}})
    assert asked(fake, "GET", ONE)[1]["custom_attributes"] == {"order_id": "o2"}
    assert fake.complaints == []


def test_a_plain_client_makes_labels_that_are_lower_case_and_there_once(fake: Fake) -> None:
    fake.labels.clear()
    status, made = asked(fake, "POST", "/api/v1/accounts/1/labels", {"title": "Payment-Paid", "color": "#16a34a"})
    assert (status, made["title"]) == (200, "payment-paid")
    assert asked(fake, "POST", "/api/v1/accounts/1/labels", {"title": "payment-paid"})[0] == 422
    assert [one["title"] for one in asked(fake, "GET", "/api/v1/accounts/1/labels")[1]["payload"]] == ["payment-paid"]
    assert asked(fake, "GET", ONE, token=STRANGER_TOKEN) == (
        401, {"error": "You are not authorized to access this account"}
    )  # fmt: skip
    assert fake.complaints == []


def test_a_message_with_a_source_id_reaches_nobody_on_whatsapp(fake: Fake) -> None:
    whatsapp = fake.conversation(18, channel="Channel::Whatsapp")
    widget = fake.conversation(19)
    for number in (18, 19):
        path = f"/api/v1/accounts/1/conversations/{number}/messages"
        assert asked(fake, "POST", path, {"content": "Paid", "source_id": "paid:ord_1"})[0] == 200
    assert (whatsapp.reached, widget.reached) == ([], ["Paid"])


@pytest.mark.parametrize(
    ("method", "path", "body", "token"),
    [
        ("POST", f"{ONE}/messages", {"private": False}, ADMIN_TOKEN),
        ("POST", f"{ONE}/messages", {"content": ""}, ADMIN_TOKEN),
        ("POST", f"{ONE}/messages", {"content": 7}, ADMIN_TOKEN),
        ("POST", f"{ONE}/messages", {"content": "x", "message_type": "note"}, ADMIN_TOKEN),
        ("POST", f"{ONE}/labels", {"labels": "payment-paid"}, ADMIN_TOKEN),
        ("POST", f"{ONE}/labels", {"payload": ["payment-paid"]}, ADMIN_TOKEN),
        ("POST", "/api/v1/accounts/1/labels", {"title": "payment:paid"}, ADMIN_TOKEN),
        ("POST", f"{ONE}/custom_attributes", {"custom_attributes": "paid"}, ADMIN_TOKEN),
        ("GET", "/api/v1/accounts/1/conversations/seventeen", None, ADMIN_TOKEN),
        ("GET", "/api/v1/accounts/1/no-such-thing", None, ADMIN_TOKEN),
        ("GET", ONE, None, None),
    ],
    ids=["no content", "empty content", "a number", "unknown type", "labels as text", "labels misnamed", "a colon",
         "attributes as text", "an id in words", "unknown path", "no token"],
)  # fmt: skip
def test_the_spec_check_refuses_what_is_wrong(fake: Fake, method: str, path: str, body: Any, token: str | None) -> None:
    status, _ = asked(fake, method, path, body, token)
    assert status >= 400
    assert len(fake.complaints) == 1
