"""Mail against a real SMTP server: what arrives, what each answer leads to, and what no name can do to a header."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP as Server
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from paydesk.channels import mail, mail_letters
from paydesk.channels.base import (
    Address,
    Button,
    DeliveryError,
    Misconfigured,
    NeedsUser,
    Receipt,
    Refused,
    RetryLater,
    Send,
    Start,
    Unknown,
)
from paydesk.errors import SettingError
from sandbox_fixtures import free_port
from test_channel_webhook import certificate_for


@dataclass
class Post:
    """A mail server on loopback: keeps what it took, and answers each step as it is told."""

    port: int = 0
    taken: list[Envelope] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    hellos: list[str] = field(default_factory=list)

    def last(self) -> EmailMessage:
        content = cast(bytes, self.taken[-1].content)
        return cast(EmailMessage, email.message_from_bytes(content, policy=email.policy.default))

    async def handle_EHLO(
        self, _server: Server, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.hellos.append(hostname)
        session.host_name = hostname
        return responses

    async def handle_MAIL(self, _s: Server, _n: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if "mail" not in self.answers:
            envelope.mail_from = address
            envelope.mail_options.extend(options)
        return self.answers.get("mail", "250 OK")

    async def handle_RCPT(self, _s: Server, _n: Session, envelope: Envelope, address: str, _o: list[str]) -> str:
        if "rcpt" not in self.answers:
            envelope.rcpt_tos.append(address)
        return self.answers.get("rcpt", "250 OK")

    async def handle_DATA(self, server: Server, _session: Session, envelope: Envelope) -> str:
        answer = self.answers.get("data", "250 OK")
        if answer == "hang":
            await asyncio.sleep(2)
        if answer == "cut":
            self.taken.append(envelope)
            cast(Any, server.transport).abort()
            return ""
        if answer.startswith("250"):
            self.taken.append(envelope)
        return answer


def authenticate(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: LoginPassword) -> AuthResult:
    return AuthResult(success=data == LoginPassword(b"ann@shop", b"s3cr:t/%"), handled=False)


@contextmanager
def office(post: Post, **options: Any) -> Iterator[Post]:
    """The server while it runs."""
    post.port = free_port()
    controller = Controller(post, hostname="127.0.0.1", port=post.port, enable_SMTPUTF8=True, **options)
    controller.start()
    try:
        yield post
    finally:
        controller.stop()


@pytest.fixture(scope="module")
def open_office() -> Iterator[Post]:
    with office(Post()) as running:
        yield running


@pytest.fixture
def post(open_office: Post) -> Post:
    """A server that asks for no password, with nothing in it."""
    open_office.answers.clear()
    open_office.taken.clear()
    return open_office


def channel_to(post: Post, url: str = "smtp://127.0.0.1:{port}", **options: Any) -> mail.MailChannel:
    made = mail.make(start({"SMTP_URL": url.format(port=post.port), "MAIL_FROM": "Żółw & Co <pay@shop.example>"}))
    return mail.MailChannel(made._server, made._sender, **options)


def start(environ: dict[str, str]) -> Start:
    return Start(environ, cast(Any, None), "https://pay.example.com")


async def send(post: Post, text: str = "Paid $9.99. You got 10 credits.", to: str = "ann@example.com", *,
               key: str = "paid:ord_1", buttons: tuple[Button, ...] = (), **options: Any) -> Receipt:  # fmt: skip
    return await channel_to(post, **options).deliver(Send(key, Address("mail", to), text, buttons), None)


async def refused(post: Post, **options: Any) -> DeliveryError:
    with pytest.raises(DeliveryError) as refusal:
        await send(post, **options)
    return refusal.value


def parts_of(message: EmailMessage) -> tuple[str, str]:
    """The plain words and the page."""
    plain, page = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert page is not None
    return plain.get_content(), page.get_content()


# --- what arrives ----------------------------------------------------------------------------------------------------


async def test_a_mail_says_it_in_words_and_as_a_page(post: Post) -> None:
    buttons = (Button("Your account", url="https://pay.example.com/r/1?a=b&c=d"), Button("Buy more", command="/buy"))
    receipt = await send(post, "✅ Paid 19,99 zł. Zażółć!\nSecond line", buttons=buttons)
    envelope, message = post.taken[-1], post.last()
    assert (envelope.mail_from, envelope.rcpt_tos) == ("pay@shop.example", ["ann@example.com"])
    assert (message["From"], message["To"]) == ("Żółw & Co <pay@shop.example>", "ann@example.com")
    assert message["Subject"] == "✅ Paid 19,99 zł."
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"] == receipt.data["message_id"]
    assert post.hellos[-1] == "shop.example"
    plain, page = parts_of(message)
    assert plain.replace("\r\n", "\n") == (
        "✅ Paid 19,99 zł. Zażółć!\nSecond line\n\nYour account: https://pay.example.com/r/1?a=b&c=d\n"
    )
    assert 'href="https://pay.example.com/r/1?a=b&amp;c=d"' in page
    assert "color-scheme" in page
    assert "/buy" not in plain + page
    assert cast(bytes, envelope.content).isascii()


async def test_a_repeat_is_the_same_mail_and_another_is_not(post: Post) -> None:
    for key in ("paid:ord_1", "paid:ord_1", "paid:ord_2"):
        await send(post, key=key)
    first, again, other = (email.message_from_bytes(cast(bytes, one.content))["Message-ID"] for one in post.taken)
    assert (first == again, first == other) == (True, False)
    assert first.endswith("@shop.example>")


HOSTILE = (
    "Hello\r\nBcc: everyone@example.com\r\n\r\nbody",
    "<script>alert(1)</script> & <img src=x onerror=alert(1)> {url} {words} %s",
    "=?utf-8?q?forged?= \x00\x07\u2028Subject: other\u0085X: y",
    "N" * 50_000,
    ".\r\n.\r\nQUIT",
    "@everyone ’\udcff' 🎉",
    " ",
)


@pytest.mark.parametrize("text", HOSTILE, ids=[f"{n}" for n in range(len(HOSTILE))])
async def test_no_text_becomes_a_header_or_markup(post: Post, text: str) -> None:
    await send(post, text, buttons=(Button(text, url="javascript:alert(1)"), Button(text, url="https://a.example/")))
    message = post.last()
    expected = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
    assert sorted(message.keys()) == sorted(expected)
    assert len(message["Subject"]) <= mail_letters.SUBJECT_MAX
    plain, page = parts_of(message)
    assert "<script" not in page
    assert "<img" not in page
    assert "javascript" not in page
    assert len(plain) <= mail_letters.TEXT_MAX + 500
    assert post.taken[-1].rcpt_tos == ["ann@example.com"]


async def test_addresses_of_other_alphabets(post: Post) -> None:
    await send(post, to="ann@żółw.example")
    assert post.taken[-1].rcpt_tos == ["ann@xn--w-uga1v8h.example"]
    await send(post, to="zażółć@example.com")
    assert post.taken[-1].rcpt_tos == ["zażółć@example.com"]
    assert post.last()["To"] == "zażółć@example.com"


BAD = ("", "ann", "ann@", "@example.com", "a b@example.com", "a@b@c.example", "ann@example.com\r\nBcc: x@y.example",
       "a,b@c.example", "Ann <ann@example.com>", "a..b@example.com", "ann@exa mple.com", "ann@-x.example", "ann@[127.0.0.1]",
       f"{'a' * 65}@b.example", f"a@{'b' * 64}.example", "a@..", "<a>@b.example")  # fmt: skip


@pytest.mark.parametrize("address", BAD, ids=[f"{n}" for n in range(len(BAD))])
async def test_what_is_no_address_is_not_tried(post: Post, address: str) -> None:
    error = await refused(post, to=address)
    assert (type(error), error.rule, getattr(error, "for_ever", None)) == (NeedsUser, "mail-bad-address", True)
    assert post.taken == []


# --- what each answer leads to ---------------------------------------------------------------------------------------

ANSWERS: list[tuple[str, str, type[DeliveryError], str, dict[str, Any]]] = [
    ("mail", "451 4.3.0 try later", RetryLater, "mail-4yz", {"counted": True}),
    ("mail", "550 5.7.1 not your address", Misconfigured, "mail-sender", {"resource": "*"}),
    ("rcpt", "450 4.2.1 greylisted", RetryLater, "mail-4yz", {}),
    ("rcpt", "421 4.3.2 closing", RetryLater, "mail-4yz", {}),
    ("rcpt", "550 5.1.1 no such user ann@example.com", NeedsUser, "mail-5yz-address", {"for_ever": True}),
    ("rcpt", "550 no such user", NeedsUser, "mail-5yz-address", {"for_ever": True}),
    ("rcpt", "552 5.2.2 mailbox full", NeedsUser, "mail-5yz-address", {"for_ever": False}),
    ("data", "451 4.7.0 later", RetryLater, "mail-4yz", {}),
    ("data", "554 5.7.1 looks like spam", Refused, "mail-5yz", {"done": False}),
    ("data", "550 5.1.1 no such user", NeedsUser, "mail-5yz-address", {"for_ever": True}),
    ("data", "cut", Unknown, "mail-unknown-outcome", {"repeatable": False}),
    ("data", "hang", Unknown, "mail-unknown-outcome", {"repeatable": False}),
]


@pytest.mark.parametrize(("step", "answer", "error", "rule", "expected"), ANSWERS, ids=[f"{n}" for n in range(12)])
async def test_each_answer_leads_to_its_reaction(
    post: Post, step: str, answer: str, error: type[DeliveryError], rule: str, expected: dict[str, Any]
) -> None:
    post.answers[step] = answer
    refusal = await refused(post, call_s_max=0.7 if answer == "hang" else 15)
    assert (type(refusal), refusal.rule) == (error, rule)
    assert {name: getattr(refusal, name) for name in expected} == expected
    assert "ann@" not in str(refusal)


async def test_nobody_listens_or_somebody_else(post: Post) -> None:
    nobody = await refused(Post(port=free_port()))
    assert (type(nobody), nobody.rule) == (RetryLater, "mail-not-sent")
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as rude:
        cut = await refused(Post(port=rude.sockets[0].getsockname()[1]))
    assert (type(cut), cut.rule) == (RetryLater, "mail-not-sent")


# --- passwords and encryption ----------------------------------------------------------------------------------------

URL = "{scheme}://ann%40shop:{password}@{host}:{{port}}"
RIGHT, WRONG = "s3cr%3At%2F%25", "wrong"


def url(scheme: str = "smtp", password: str = RIGHT, host: str = "127.0.0.1") -> str:
    return URL.format(scheme=scheme, password=password, host=host)


async def test_a_wrong_password_stops_the_channel_and_is_not_shown(tmp_path: Path) -> None:
    with office(Post(), authenticator=authenticate, auth_require_tls=False) as post:
        await send(post, url=url())
        assert len(post.taken) == 1
        error = await refused(post, url=url(password=WRONG))
        assert (type(error), error.rule, getattr(error, "resource", "")) == (Misconfigured, "mail-sign-in", "*")
        assert "SMTP_URL" in getattr(error, "mend", "")
        (finding,) = await channel_to(post, url(password=WRONG)).preflight({}, fix=False)
        assert (finding.ok, "535" in finding.seen) == (False, True)
        (fine,) = await channel_to(post, url()).preflight({}, fix=False)
        assert fine.ok
    shown = repr(channel_to(Post(port=25), url())._server)
    assert "s3cr" not in shown


async def test_encrypted_from_the_first_byte(tmp_path: Path) -> None:
    trust, server = certificate_for("localhost", tmp_path)
    with office(Post(), ssl_context=server) as post:
        await send(post, url="smtps://localhost:{port}", trust=trust)
        assert len(post.taken) == 1
        error = await refused(post, url="smtps://localhost:{port}")
        assert (type(error), error.rule) == (Misconfigured, "mail-no-tls")


async def test_a_password_never_goes_to_a_server_that_does_not_encrypt(tmp_path: Path) -> None:
    trust, server = certificate_for("mail.example", tmp_path)
    with office(Post(), authenticator=authenticate, auth_require_tls=False) as post:
        error = await hand_over_elsewhere(post, trust)
        assert isinstance(error, Misconfigured)
        assert (error.rule, post.taken) == ("mail-no-tls", [])
    with office(Post(), authenticator=authenticate, tls_context=server) as post:
        assert await hand_over_elsewhere(post, trust) is None
        assert len(post.taken) == 1


async def hand_over_elsewhere(post: Post, trust: ssl.SSLContext) -> DeliveryError | None:
    """Send by a server that is not on this machine: the loopback under another address."""
    channel = channel_to(post, url(host="0.0.0.0"), trust=trust)
    trust.check_hostname = False
    try:
        await channel.deliver(Send("k", Address("mail", "ann@example.com"), "Hello"), None)
    except DeliveryError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"SMTP_URL": "http://mail.example", "MAIL_FROM": "a@b.example"}, "SMTP_URL"),
        ({"SMTP_URL": "smtp://", "MAIL_FROM": "a@b.example"}, "SMTP_URL"),
        ({"SMTP_URL": "smtp://mail.example:99999", "MAIL_FROM": "a@b.example"}, "SMTP_URL"),
        ({"SMTP_URL": "smtp://ann@mail.example", "MAIL_FROM": "a@b.example"}, "SMTP_URL"),
        ({"SMTP_URL": "smtp://mail.example/x", "MAIL_FROM": "a@b.example"}, "SMTP_URL"),
        ({"SMTP_URL": "smtp://mail.example"}, "MAIL_FROM"),
        ({"SMTP_URL": "smtp://mail.example", "MAIL_FROM": "Shop"}, "MAIL_FROM"),
        ({"SMTP_URL": "smtp://mail.example", "MAIL_FROM": "Shop\r\nBcc: x@y.example <a@b.example>"}, "MAIL_FROM"),
    ],
    ids=[f"{n}" for n in range(8)],
)
def test_settings_that_cannot_be_meant(environ: dict[str, str], named: str) -> None:
    with pytest.raises(SettingError, match=rf"^{named} .*{named}=\S+") as refusal:
        mail.make(start(environ))
    assert "\n" not in refusal.value.message
