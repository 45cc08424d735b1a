"""Chatwoot's settings: where it is, who we are there, and how labels and attributes are called. Read once, at the start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from paydesk.config import Secret
from paydesk.errors import SettingError

LABELS = ("payment-pending", "payment-paid", "payment-failed", "payment-refunded", "status-booked")
CONVERSATION = ("order_id", "payment_status", "payment_date", "payment_link", "lesson_minutes", "lesson_status")
CONTACT = ("has_paid_lesson", "customer_since", "segment")
"""The names by default of labels, attributes of a conversation, and attributes of a contact."""

_LABEL = re.compile(r"[^\W_][\w-]+")
_ATTRIBUTE = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class Names:
    """What labels and attributes are called there, by our own names; an empty one is never written."""

    others: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> str:
        """Return what `name` is called there, an empty text when it is turned off."""
        return self.others.get(name, name)

    def all_of(self, names: tuple[str, ...]) -> list[str]:
        """Return what `names` are called there, without those that are turned off."""
        return [own for own in map(self.of, names) if own]


@dataclass(frozen=True, slots=True)
class Settings:
    """All of Chatwoot's settings, well-formed. `secrets` verify webhooks; with none there is no door."""

    url: str
    account: str
    token: Secret
    secrets: tuple[Secret, ...] = ()
    unsigned: bool = False
    admin_conversation: str | None = None
    names: Names = field(default_factory=Names)


def settings_of(environ: Mapping[str, str]) -> Settings:
    """Return the settings in `environ`; raises `SettingError` that names the bad one and shows a good value."""
    return Settings(
        url=_url(environ),
        account=_number(environ, "CHATWOOT_ACCOUNT_ID", "1") or "",
        token=_token(environ),
        secrets=tuple(Secret(part) for part in _listed(environ.get("CHATWOOT_WEBHOOK_SECRET", ""))),
        unsigned=_switch(environ, "CHATWOOT_UNSIGNED"),
        admin_conversation=_number(environ, "CHATWOOT_ADMIN_CONVERSATION", "17", needed=False),
        names=Names(_names(environ.get("CHATWOOT_NAMES", ""))),
    )


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _url(environ: Mapping[str, str]) -> str:
    text = environ.get("CHATWOOT_URL", "").rstrip("/")
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket too few, a port out of range
        sound = False
    if not sound or re.search(r"[\s?#@]", text):
        raise SettingError("CHATWOOT_URL is malformed: CHATWOOT_URL=https://app.chatwoot.com")
    return text


def _number(environ: Mapping[str, str], name: str, good: str, *, needed: bool = True) -> str | None:
    text = environ.get(name)
    if text is None and not needed:
        return None
    if text is None or not re.fullmatch(r"[1-9][0-9]{0,17}", text):
        wrong = "is not set" if text is None else "is malformed"
        raise SettingError(f"{name} {wrong}: {name}={good} (the number in the address of Chatwoot's page)")
    return text


def _token(environ: Mapping[str, str]) -> Secret:
    text = environ.get("CHATWOOT_API_TOKEN")
    if text is None or not re.fullmatch(r"[\x21-\x7e]{8,}", text):
        wrong = "is not set" if text is None else "is malformed"
        raise SettingError(
            f"CHATWOOT_API_TOKEN {wrong}: it is the access token at the end of an agent's profile settings in Chatwoot"
        )
    return Secret(text)


def _switch(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "0").lower()
    if text not in ("0", "1", "false", "true", "no", "yes"):
        raise SettingError(f"{name} is malformed: {name}=1 turns it on, {name}=0 off")
    return text in ("1", "true", "yes")


def _names(text: str) -> dict[str, str]:
    """Return the names in `payment-paid=betaald, segment=`: ours to theirs."""
    found = {}
    for part in _listed(text):
        name, equals, own = (word.strip() for word in part.partition("="))
        if not equals or name not in (*LABELS, *CONVERSATION, *CONTACT):
            raise SettingError(
                f"CHATWOOT_NAMES is malformed at {part!r}: CHATWOOT_NAMES=payment-paid=betaald,has_paid_lesson=has_paid "
                f"(the left ones are {', '.join((*LABELS, *CONVERSATION, *CONTACT))})"
            )
        found[name] = _own_name(name, own)
    return found


def _own_name(name: str, own: str) -> str:
    """Return a name as the server keeps it: label titles are lower-cased there."""
    is_label = name in LABELS
    if own and not (_LABEL if is_label else _ATTRIBUTE).fullmatch(own):
        raise SettingError(
            f"CHATWOOT_NAMES is malformed at {name}={own}: a name has only letters, digits, - and _, "
            f"such as {name}={name.replace('-', '_')}_here"
        )
    return own.lower() if is_label else own
