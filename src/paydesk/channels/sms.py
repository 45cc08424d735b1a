"""SMS by Twilio's REST API: short texts to a number, and what people reply.

Twilio has no way to say "this is the same message again", and each copy costs money. So before anything is repeated we
look whether it was sent; where that cannot be told, it is not repeated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from paydesk.channels import sms_updates
from paydesk.channels.base import (
    Action,
    Channel,
    Command,
    DeliveryError,
    Finding,
    Inbound,
    Limits,
    NeedsUser,
    Raw,
    Receipt,
    Refused,
    Send,
    Start,
    Unknown,
)
from paydesk.channels.http import Wire
from paydesk.channels.sms_failures import failure_of
from paydesk.channels.sms_texts import body_of, segments
from paydesk.config import Secret
from paydesk.errors import SettingError

API_BASE = "https://api.twilio.com"
RECENT = timedelta(days=1)
LISTED_MAX = 100
NOT_SENT = ("failed", "undelivered", "canceled")

_ACCOUNT = re.compile(r"AC[0-9a-fA-F]{32}")
_TOKEN = re.compile(r"[0-9a-zA-Z]{16,64}")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|[A-Za-z0-9 &_+-]{1,11}")
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_HERE = ("127.0.0.1", "localhost", "::1")


class SmsChannel(Channel):
    """Sends SMS. `external_id` is a number such as `+48600100200`."""

    name = sms_updates.NAME
    route = "twilio"
    limits = Limits(per_s=10.0, at_once=8, chat_gap_s=1.0)

    def __init__(self, account: str, token: Secret, sender: str, base_url: str, public_url: str) -> None:
        self._account = account
        self._token = token
        self._sender = {"MessagingServiceSid" if _SERVICE.fullmatch(sender) else "From": sender}
        self._callback = None if urlsplit(public_url).hostname in _HERE else f"{public_url}/webhooks/{self.route}"
        self._path = f"/2010-04-01/Accounts/{account}/Messages.json"
        self._wire = Wire(base_url, "sms", auth=(account, token.reveal()))

    async def deliver(self, action: Action, last: Receipt | None) -> Receipt:
        """Send an SMS. Its receipt has Twilio's id of it, and in how many segments it goes."""
        if not isinstance(action, Send):
            raise Refused("SMS has neither roles nor edits")
        to = action.to.external_id
        if not _NUMBER.fullmatch(to):
            raise NeedsUser("this is no number such as +48600100200", for_ever=True, rule="sms-21211")
        body = body_of(action.text, action.buttons)
        if action.attempt > 1:
            before = await self._sent_before(to, body)
            if before is not None:
                return Receipt({"sid": before, "repeated": True})
        form = {"To": to, "Body": body, **self._sender}
        if self._callback is not None:
            form["StatusCallback"] = f"{self._callback}?{urlencode({sms_updates.KEY: action.key})}"
        answer = await self._wire.call("POST", self._path, form=form)
        failure = failure_of(answer)
        if failure is not None:
            raise failure
        return Receipt({"sid": answer.parsed.get("sid"), "segments": segments(body)})

    async def _sent_before(self, to: str, body: str) -> str | None:
        """Return the id of a message with this text that went to this number since yesterday, `None` when none did.

        Raises `Unknown` where that cannot be told: then it is not repeated.
        """
        query = {"To": to, "PageSize": str(LISTED_MAX)}  # not by DateSent: what is queued has none yet
        try:
            answer = await self._wire.call("GET", self._path, query=query)
        except DeliveryError as error:
            raise Unknown(f"whether it was sent cannot be told: {error}", rule="sms-unknown-outcome") from error
        found = answer.parsed.get("messages") if answer.status == 200 else None
        if not isinstance(found, list):
            raise Unknown(f"whether it was sent cannot be told: {answer.status}", rule="sms-unknown-outcome")
        since = datetime.now(UTC) - RECENT
        return next((str(one["sid"]) for one in found if _is_same(one, body, since)), None)

    def read(self, request: Raw) -> Inbound:
        """Verify a call of Twilio's."""
        return sms_updates.read(request, self._account, self._token)

    def understand(self, body: bytes) -> Sequence[Command]:
        """Return what somebody said, or what became of a message of ours."""
        return sms_updates.understand(body)

    async def preflight(self, spaces: Mapping[str, set[str]], *, fix: bool) -> list[Finding]:
        """Look whether Twilio lets us in, and can call us."""
        what = f"SMS by Twilio, from {next(iter(self._sender.values()))}"
        try:
            failure = failure_of(await self._wire.call("GET", self._path, query={"PageSize": "1"}))
        except DeliveryError as error:
            failure = error
        seen = "it lets us in" if failure is None else str(failure)
        findings = [Finding(failure is None, what, seen, getattr(failure, "mend", None))]
        if self._callback is None:
            mend = f"PAYDESK_PUBLIC_URL=https://pay.example.com, and in Twilio's console its /webhooks/{self.route}"
            findings.append(Finding(False, "Twilio can call us", "our address is this machine's own", mend))
        return findings

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()


def _is_same(message: Any, body: str, since: datetime) -> bool:
    """Say whether a message on Twilio's list is this one: made by us lately, and sent or on its way."""
    if not isinstance(message, dict) or not str(message.get("direction", "")).startswith("outbound"):
        return False
    made = _moment(message.get("date_created"))
    return message.get("body") == body and message.get("status") not in NOT_SENT and (made is None or made >= since)


def _moment(text: object) -> datetime | None:
    try:
        return parsedate_to_datetime(str(text))
    except ValueError:
        return None


# --- settings --------------------------------------------------------------------------------------------------------


def make(start: Start) -> SmsChannel:
    """Return the channel that the settings describe; raises `SettingError`."""
    account = _setting(start, "TWILIO_ACCOUNT_SID", _ACCOUNT, "AC and 32 hexadecimal digits")
    token = _setting(start, "TWILIO_AUTH_TOKEN", _TOKEN, "the 32 letters and digits beside the account's SID")
    text = start.environ.get("TWILIO_FROM", "")
    if not (_SENDER.fullmatch(text) or _SERVICE.fullmatch(text)):
        raise SettingError(
            "TWILIO_FROM is missing or malformed: TWILIO_FROM=+15005550006 (or a messaging service, MG…)"
        )
    base_url = start.environ.get("TWILIO_API_BASE", API_BASE).rstrip("/")
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingError(f"TWILIO_API_BASE is malformed: TWILIO_API_BASE={API_BASE}")
    return SmsChannel(account, Secret(token), text, base_url, start.public_url)


def _setting(start: Start, name: str, pattern: re.Pattern[str], good: str) -> str:
    text = start.environ.get(name, "")
    if not pattern.fullmatch(text):
        raise SettingError(f"{name} is missing or malformed: {name} is {good}")
    return text
