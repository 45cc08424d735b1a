"""What a mail looks like: plain words, and the same with links for buttons. Pure.

Nothing that somebody else wrote becomes a header or mark-up: headers are single lines, and text is escaped.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from html import escape

from paydesk.channels.base import Button

TEXT_MAX = 20_000
SUBJECT_MAX = 90
LABEL_MAX = 80

_SPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_SENTENCE = re.compile(r"(?<=[.!?])\s")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.|\Z))+(?<!\.)", re.ASCII)
_LOCAL = re.compile(r"[^\s\x00-\x1f\x7f@<>()\[\]\\,;:\"]{1,64}")

PAGE = """\
<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
@media (prefers-color-scheme: dark) {{ .words {{ color: #f2f2f4 !important; }} }}
</style>
</head>
<body style="margin:0;padding:24px 16px;">
<div style="max-width:34em;margin:0 auto;font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;">
<div class="words" style="color:#1d1d20;">{words}</div>
{buttons}</div>
</body>
</html>
"""

LINK = (
    '<p style="margin:20px 0 0;"><a href="{url}" style="display:inline-block;padding:12px 20px;border-radius:8px;'
    'background:#3a4fd8;color:#ffffff;text-decoration:none;font-weight:600;">{label}</a></p>\n'
)


def checked_mailbox(text: str) -> Mailbox:
    """Return one mail address, its domain in ASCII; raises `ValueError` for anything else."""
    local, _, domain = text.rpartition("@")
    if not _LOCAL.fullmatch(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        raise ValueError("not a mail address")
    ascii_domain = domain.lower() if domain.isascii() else domain.encode("idna").decode("ascii")
    if len(ascii_domain) > 253 or not _DOMAIN.fullmatch(ascii_domain):
        raise ValueError("not a mail address")
    return Mailbox(username=local, domain=ascii_domain)


def letter(sender: Mailbox, to: Mailbox, key: str, text: str, buttons: Sequence[Button], at: datetime) -> EmailMessage:
    """Return the mail that says `text`; its Message-ID follows from `key`, so that a repeat is the same mail.

    Buttons that only say a command are left out: nobody reads what is answered to a mail.
    """
    words = _cut(_UNSEEN.sub("", text).strip() or " ", TEXT_MAX)
    links = [(_line(button.label, LABEL_MAX), button.url) for button in buttons if button.url is not None]
    subject = subject_of(words)
    made = EmailMessage((SMTP if to.username.isascii() else SMTPUTF8).clone(cte_type="7bit"))
    made["From"] = sender
    made["To"] = to
    made["Subject"] = subject
    made["Date"] = format_datetime(at)
    made["Message-ID"] = f"<{hashlib.sha256(f'{key}|{to.addr_spec}'.encode()).hexdigest()[:40]}@{sender.domain}>"
    made["Auto-Submitted"] = "auto-generated"  # nobody's out-of-office note comes back
    made.set_content("\n\n".join([words, *(f"{label}: {url}" for label, url in links)]) + "\n")
    page = PAGE.format(title=escape(subject), words=_html(words), buttons=_links(links))
    made.add_alternative(page, subtype="html")
    return made


def subject_of(text: str) -> str:
    """Return what a mail is about: its first sentence, on one line.

    >>> subject_of("Paid $9.99. You got 10 credits.")
    'Paid $9.99.'
    """
    first = next((part for part in _SENTENCE.split(text.strip().partition("\n")[0]) if part), "")
    return _line(first, SUBJECT_MAX) or "News"


def _line(text: str, most: int) -> str:
    return _cut(_SPACE.sub(" ", _UNSEEN.sub(" ", text)).strip(), most)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _html(words: str) -> str:
    return "<br>\n".join(escape(line) for line in words.split("\n"))


def _links(links: Sequence[tuple[str, str]]) -> str:
    safe = [(label, url) for label, url in links if url.startswith(("https://", "http://"))]
    return "".join(LINK.format(url=escape(url), label=escape(label)) for label, url in safe)
