"""What a mail server's answer means: try later, another address of the person, a setting to mend, or never. Pure.

Codes are those of RFC 5321 (4yz: not now, 5yz: never) and, where a server tells them, of RFC 3463 (`5.1.1`).
"""

from __future__ import annotations

import re
import ssl

from paydesk.channels.base import DeliveryError, Misconfigured, NeedsUser, Refused, RetryLater, Unknown

_ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")

MEND_SIGN_IN = "SMTP_URL needs the user and password that the mail server knows"
MEND_SENDER = "MAIL_FROM must be an address that the mail server lets you send from"
MEND_TLS = "use smtps:// in SMTP_URL, or a server that encrypts and has a certificate for its name"


def before_data(error: Exception) -> DeliveryError:
    """Return what follows when the mail itself was not sent yet: it has certainly not arrived."""
    import aiosmtplib

    match error:
        case DeliveryError():
            return error
        case aiosmtplib.SMTPNotSupported():
            return Misconfigured(_words(error), resource="*", mend=MEND_TLS, rule="mail-no-tls")
        case aiosmtplib.SMTPAuthenticationError() if error.code >= 500:
            return Misconfigured(f"sign-in refused: {error.code}", resource="*", mend=MEND_SIGN_IN, rule="mail-sign-in")
        case aiosmtplib.SMTPSenderRefused() if error.code >= 500:
            return Misconfigured(_said(error), resource="*", mend=MEND_SENDER, rule="mail-sender")
        case aiosmtplib.SMTPRecipientRefused() if error.code >= 500:
            return _address(error)
        case aiosmtplib.SMTPResponseException() if error.code < 500:
            return RetryLater(_said(error), rule="mail-4yz")
        case aiosmtplib.SMTPResponseException():
            return Misconfigured(_said(error), resource="*", mend=MEND_SIGN_IN, rule="mail-5yz-server")
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError) or "STARTTLS" in _words(error):
        told = f"no encrypted connection: {_words(error)}"
        return Misconfigured(told, resource="*", mend=MEND_TLS, rule="mail-no-tls")
    return RetryLater(f"not sent: {type(error).__name__}", rule="mail-not-sent")


def after_data(error: Exception) -> DeliveryError:
    """Return what follows when the mail was sent: only an answer says that it was not taken."""
    import aiosmtplib

    if not isinstance(error, aiosmtplib.SMTPResponseException):
        return Unknown(f"no answer to the mail: {type(error).__name__}", rule="mail-unknown-outcome")
    if error.code < 500:
        return RetryLater(_said(error), rule="mail-4yz")
    if _enhanced(error.message) == "1":
        return _address(error)
    reason = _said(error)
    return Refused(reason, tell=f"The mail server did not take a mail: {reason}", rule="mail-5yz")


def _address(error: Exception) -> NeedsUser:
    """An address that the server refuses: one that does not exist is dead, a full one may be emptied."""
    message = str(getattr(error, "message", ""))
    return NeedsUser(_said(error), for_ever=_enhanced(message) in (None, "1"), rule="mail-5yz-address")


def _enhanced(message: str) -> str | None:
    """Return what the server's own code is about (`1`: the address, `2`: the mailbox), `None` where it has none."""
    found = _ENHANCED.search(message)
    return None if found is None else found.group(2)


def _said(error: Exception) -> str:
    code = getattr(error, "code", 0)
    return f"the mail server answered {code}: {_words(error)}"


def _words(error: Exception) -> str:
    """Return what a server said, without the addresses in it, on one short line."""
    text = " ".join(str(getattr(error, "message", error)).split())
    return re.sub(r"\S+@\S+", "…", text)[:160]
