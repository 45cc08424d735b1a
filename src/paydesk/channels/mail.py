"""Mail by SMTP: receipts and notices to an address, one connection each. Nothing is read here.

A mail may arrive twice only when the connection broke after the last dot; it then bears the same Message-ID.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address as Mailbox
from email.utils import parseaddr
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from paydesk.channels import mail_failures
from paydesk.channels.base import (
    Action,
    Channel,
    DeliveryError,
    Finding,
    Limits,
    NeedsUser,
    Receipt,
    Refused,
    Send,
    Start,
)
from paydesk.channels.mail_letters import checked_mailbox, letter
from paydesk.config import Secret
from paydesk.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiosmtplib

logging.getLogger("aiosmtplib").setLevel(logging.WARNING)

CALL_S_MAX = 15.0
GOOD_URL = "SMTP_URL=smtps://user:password@smtp.example.com:465"
GOOD_FROM = "MAIL_FROM=My Shop <pay@example.com>"


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server. `tls`: from the first byte (`smtps`); else it is begun where the server can."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: Secret | None

    @property
    def here(self) -> bool:
        """Say whether it runs on this machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class MailChannel(Channel):
    """Sends mail. `external_id` is the address. `trust` says whose certificates count, the usual ones without it."""

    name = "mail"
    limits = Limits(per_s=5.0, at_once=4)

    def __init__(
        self, server: Server, sender: Mailbox, *, trust: ssl.SSLContext | None = None, call_s_max: float = CALL_S_MAX
    ) -> None:
        self._server = server
        self._sender = sender
        self._trust = trust
        self._call_s_max = call_s_max

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Send a mail. Its receipt has the Message-ID."""
        if not isinstance(action, Send):
            raise Refused("mail has neither roles nor edits")
        try:
            to = checked_mailbox(action.to.external_id)
        except (ValueError, UnicodeError):
            raise NeedsUser("this is no mail address", for_ever=True, rule="mail-bad-address") from None
        made = letter(self._sender, to, action.key, action.text, action.buttons, datetime.now(UTC))
        means: Callable[[Exception], DeliveryError] | None = mail_failures.before_data
        try:
            async with asyncio.timeout(self._call_s_max), self._connected() as client:
                await self._introduce(client, to)
                means = mail_failures.after_data
                await client.data(made.as_bytes())
                means = None
        except DeliveryError:
            raise
        except Exception as error:
            if means is not None:  # else only the goodbye was missed
                raise means(error) from error
        return Receipt({"message_id": str(made["Message-ID"])})

    async def _introduce(self, client: aiosmtplib.SMTP, to: Mailbox) -> None:
        """Say who sends to whom."""
        encoding = "ascii" if to.username.isascii() else "utf-8"
        if client.is_ehlo_or_helo_needed:
            await client.ehlo()
        if encoding == "utf-8" and not client.supports_extension("smtputf8"):
            raise NeedsUser("the mail server takes no such address", for_ever=True, rule="mail-bad-address")
        options = ["smtputf8"] if encoding == "utf-8" else []
        await client.mail(self._sender.addr_spec, options=options, encoding=encoding)
        await client.rcpt(to.addr_spec, encoding=encoding)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiosmtplib.SMTP]:
        """Connect and sign in; a password goes over an encrypted connection only, unless the server is this machine."""
        import aiosmtplib

        server = self._server
        needed = server.password is not None and not server.here
        client = aiosmtplib.SMTP(
            hostname=server.host, port=server.port, use_tls=server.tls, start_tls=_start_tls(server, needed=needed),
            username=server.user, password=None if server.password is None else server.password.reveal(),
            local_hostname=self._sender.domain, tls_context=self._trust, timeout=self._call_s_max,
        )  # fmt: skip
        try:
            await client.connect()
            yield client
            with suppress(Exception):
                await client.quit()
        finally:
            client.close()

    async def preflight(self, spaces: Mapping[str, set[str]], *, fix: bool) -> list[Finding]:
        """Look whether the server lets us in, and takes mail from our address."""
        what = f"mail by {self._server.host}:{self._server.port} from {self._sender.addr_spec}"
        try:
            async with asyncio.timeout(self._call_s_max), self._connected() as client:
                await client.mail(self._sender.addr_spec)
                secure = client.get_transport_info("ssl_object") is not None
        except Exception as error:
            told = mail_failures.before_data(error)
            return [Finding(ok=False, what=what, seen=str(told), mend=getattr(told, "mend", None) or GOOD_URL)]
        findings = [Finding(ok=True, what=what, seen="it lets us in")]
        if not secure and not self._server.here:
            findings.append(Finding(ok=False, what="mail is encrypted on its way", seen="it is not", mend=GOOD_URL))
        return findings


def _start_tls(server: Server, *, needed: bool) -> bool | None:
    """Return whether an encrypted connection is begun: it must be, or it is where the server can (`None`)."""
    if server.tls or server.here:
        return False
    return True if needed else None


# --- settings --------------------------------------------------------------------------------------------------------


def make(start: Start) -> MailChannel:
    """Return the channel that the settings describe; raises `SettingError`."""
    return MailChannel(_server(start.environ["SMTP_URL"]), _sender(start.environ.get("MAIL_FROM", "")))


def _server(url: str) -> Server:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or port == 0 or not plain:
        raise SettingError(f"SMTP_URL is malformed: {GOOD_URL} (or smtp:// and port 587)")
    if (parts.username is None) != (parts.password is None):
        raise SettingError(f"SMTP_URL has a user without a password, or the reverse: {GOOD_URL}")
    tls = parts.scheme == "smtps"
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else Secret(unquote(parts.password))
    return Server(parts.hostname, port or (465 if tls else 587), tls, user, password)


def _sender(text: str) -> Mailbox:
    name, address = parseaddr(text)
    try:
        if not address or "\n" in text or "\r" in text:
            raise ValueError("no address")
        mailbox = checked_mailbox(address)
        if not mailbox.username.isascii():
            raise ValueError("not every server takes it")
    except (ValueError, UnicodeError):
        raise SettingError(f"MAIL_FROM is missing or malformed: {GOOD_FROM}") from None
    named: dict[str, Any] = {"username": mailbox.username, "domain": mailbox.domain}
    return Mailbox(name, **named)
