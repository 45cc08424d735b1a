"""Channels keep the contract: ours on Chatwoot, the one of the tests, and the example that docs/channels.md writes."""

from __future__ import annotations

import html
import importlib.util
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from markdown_it import MarkdownIt

from fakes.chatwoot import ADMIN_TOKEN, Fake, running_chatwoot, signed
from fakes.mattermost import CHANNEL, Mattermost, running_mattermost
from paydesk.channels import plugged
from paydesk.channels.base import Address, Channel, Edit, Raw, RetryLater, Send, Start
from paydesk.channels.chatwoot import ChatwootChannel
from paydesk.channels.chatwoot_settings import settings_of
from paydesk.channels.conformance import ChannelContract
from talk import SECRET, Talk

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "mattermost_channel.py"
PUBLIC = "https://pay.example.com"
MARKDOWN = MarkdownIt("commonmark", {"breaks": True}).enable("strikethrough")


def rendered(markdown: str) -> str:
    """What people read of Markdown: tags are gone, what looks like one and is not is there."""
    return html.unescape(re.sub(r"<[^>]*>", "", MARKDOWN.render(markdown))).strip()


def addresses(markdown: str) -> list[str]:
    """What people can press in Markdown, or read as an address."""
    page = MARKDOWN.render(markdown)
    return re.findall(r'href="([^"]+)"', page) + re.findall(r"https?://\S+", rendered(markdown))


def raw(body: bytes, headers: Mapping[str, str], name: str) -> Raw:
    return Raw("POST", f"{PUBLIC}/webhooks/{name}", headers, "", body)


# --- Chatwoot --------------------------------------------------------------------------------------------------------


class TestChatwoot(ChannelContract):
    person = Address("", "42", "17")
    token = ADMIN_TOKEN

    @pytest.fixture(autouse=True)
    def server(self, chatwoot: Fake) -> None:
        chatwoot.reset()
        chatwoot.conversation(17)
        chatwoot.down = None
        self.fake = chatwoot

    def make(self) -> Channel:
        environ = {
            "CHATWOOT_URL": self.fake.url, "CHATWOOT_ACCOUNT_ID": "1", "CHATWOOT_API_TOKEN": self.token,
            "CHATWOOT_WEBHOOK_SECRET": "webhook-secret-1",
        }  # fmt: skip
        return ChatwootChannel(settings_of(environ), PUBLIC, call_s_max=0.5)

    def told(self) -> bytes:
        return json.dumps(self.fake.told(17, "/buy")).encode()

    def genuine(self) -> Sequence[Raw]:
        """Made once: another time would be another message."""
        if not hasattr(self, "_genuine"):
            bodies = [self.told(), self.told()]
            self._genuine = [raw(body, signed(body, "webhook-secret-1"), "chatwoot") for body in bodies]
        return self._genuine

    def forged(self) -> Sequence[Raw]:
        body = self.told()
        return [
            raw(body, headers, "chatwoot")
            for headers in ({}, signed(body, "a guess"), signed(body, "webhook-secret-1", at=1), signed(b"", "a guess"))
        ]

    def seen(self) -> list[str]:
        return [rendered(text) for text in self.fake.conversations[17].reached]

    def cut_off(self) -> None:
        self.fake.down = "hangs"

    def shut_out(self) -> bool:
        self.token = "another-token"
        return True

    def secrets(self) -> Sequence[str]:
        return (ADMIN_TOKEN, "another-token", "webhook-secret-1")


@pytest.fixture(scope="module")
def chatwoot() -> Iterator[Fake]:
    with running_chatwoot() as fake:
        yield fake
        fake.down = None


# --- the tests' own --------------------------------------------------------------------------------------------------


class TestTalk(ChannelContract):
    space, role = "-7", "gold"

    @pytest.fixture(autouse=True)
    def platform(self) -> None:
        self.talk = Talk()

    def make(self) -> Channel:
        return self.talk

    def genuine(self) -> Sequence[Raw]:
        said = [{"id": "1", "who": "42", "text": "/buy"}, {"id": "2", "who": "42", "do": "ask", "space": "-7"}]
        return [raw(json.dumps(one).encode(), {"x-secret": SECRET}, "talk") for one in said]

    def forged(self) -> Sequence[Raw]:
        return [raw(self.genuine()[0].body, {"x-secret": "guess"}, "talk")]

    def seen(self) -> list[str]:
        texts: list[str] = []
        for one in self.talk.said:
            texts[len(texts) - isinstance(one, Edit) :] = [one.text]
        return texts

    def links(self) -> list[str]:
        return [button.url for one in self.talk.said for button in one.buttons if button.url]

    def cut_off(self) -> None:
        self.talk.refuse_all = RetryLater("cut off")


# --- the example -----------------------------------------------------------------------------------------------------


def example() -> Any:
    """The example's module."""
    spec = importlib.util.spec_from_file_location("mattermost_channel", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class NoNotes:
    async def get(self, key: str) -> Any:
        return None

    async def put(self, key: str, value: Any) -> None:
        return None


class TestMattermost(ChannelContract):
    person = Address("", "u1", CHANNEL)

    @pytest.fixture(autouse=True)
    def server(self) -> Iterator[None]:
        with running_mattermost() as (server, url):
            self.state: Mattermost = server
            self.url = url
            yield

    def make(self) -> Channel:
        environ = {
            "MATTERMOST_URL": self.url, "MATTERMOST_TOKEN": "bot-token-1", "MATTERMOST_HOOK_TOKEN": "hook-token-1",
            "MATTERMOST_BOT_NAME": "paydesk",
        }  # fmt: skip
        channel = example().make(Start(environ, lambda name: NoNotes(), PUBLIC))
        assert isinstance(channel, Channel)
        return channel

    def told(self, post: str, **more: str) -> Raw:
        form = {
            "token": "hook-token-1", "channel_id": CHANNEL, "user_id": "u1", "user_name": "ada", "post_id": post,
            "text": "buy lesson 60", **more,
        }  # fmt: skip
        return raw(urlencode(form).encode(), {"content-type": "application/x-www-form-urlencoded"}, "mattermost")

    def genuine(self) -> Sequence[Raw]:
        return [self.told("p1"), self.told("p2", text="🎾" * 16_000), self.told("p3", user_name="paydesk")]

    def forged(self) -> Sequence[Raw]:
        return [self.told("p1", token="a guess"), self.told("p1", token=""), self.told("p1", token="é")]

    def seen(self) -> list[str]:
        return [rendered(message) for message in self.state.posts.values()]

    def links(self) -> list[str]:
        return [address for message in self.state.posts.values() for address in addresses(message)]

    def cut_off(self) -> None:
        self.state.down = True

    def shut_out(self) -> bool:
        self.state.token = "another"
        return True

    def secrets(self) -> Sequence[str]:
        return ("bot-token-1", "hook-token-1")

    def test_what_we_said_ourselves_is_not_heard(self) -> None:
        inbound = self.make().read(self.told("p3", user_name="paydesk"))
        assert inbound is not None
        assert (inbound.status, inbound.arrivals) == (200, ())


def test_the_example_is_off_without_its_setting_and_named_when_one_is_missing() -> None:
    assert example().make(Start({}, lambda name: NoNotes(), PUBLIC)) is None
    with pytest.raises(KeyError, match="MATTERMOST_TOKEN"):
        example().make(Start({"MATTERMOST_URL": "https://chat.example.com"}, lambda name: NoNotes(), PUBLIC))


# --- the page --------------------------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    page = (ROOT / "docs" / "channels.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_page_shows_the_example_as_it_is_and_it_is_fifty_lines() -> None:
    code = EXAMPLE.read_text(encoding="utf-8")
    assert code in blocks("python")
    body = code[code.index("SETTINGS =") :]
    lines = [line for line in body.splitlines() if line.strip() and not line.strip().startswith('"""')]
    assert len(lines) <= 50


def test_the_pages_other_code_compiles_and_names_the_group_that_is_read() -> None:
    for block in blocks("python"):
        compile(block, "docs/channels.md", "exec")
    assert any(f'[project.entry-points."{plugged.GROUP}"]' in block for block in blocks("toml"))
    page = (ROOT / "docs" / "channels.md").read_text(encoding="utf-8")
    for name in ("deliver", "read", "understand", "poll", "actual", "preflight", "start", "close"):
        assert f"`{name}`" in page
        assert hasattr(Channel, name)
    assert Send.__name__ in page
