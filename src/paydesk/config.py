"""Settings, from the environment or `.env`.

A missing or malformed setting raises `SettingError` with one line that names it and shows a good value.
A secret never shows itself: not in a `repr`, a log or a traceback.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from paydesk import money
from paydesk.errors import SettingError

STRIPE_API_BASE = "https://api.stripe.com"
EVENT_MODES = ("webhook", "poll", "both")
YES = ("true", "1", "yes", "on")
NO = ("false", "0", "no", "off")
UNUSED = ("SENTRY_DSN", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Settings that have their name already and that nothing reads yet: `paydesk check` says so where one is set."""
KEEP_DAYS_MIN = 14

_PLAIN_ADDRESS = re.compile(r"[^\s?#@\\]+")


class Secret:
    """A value that is used, never shown."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself: only where it is handed to whom it is meant for."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one process. Times are seconds, paths absolute, addresses without a trailing slash."""

    data: Path
    catalog: Path
    database_url: Secret | None = None
    public_url: str = "http://127.0.0.1:8000"
    api_key: Secret | None = None
    encryption_keys: tuple[Secret, ...] = ()
    log: str = "text"
    stripe_api_key: Secret | None = None
    stripe_publishable_key: str | None = None
    stripe_webhook_secrets: tuple[Secret, ...] = ()
    stripe_api_base: str = STRIPE_API_BASE
    stripe_events: str = "webhook"
    stripe_debug: bool = False
    environ: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Everything that was set, secrets too: each channel reads its own settings from it."""
    texts: Path | None = None
    language: str = "en"
    refund_max: Mapping[str, int] = field(default_factory=dict)
    """How much a program may ask to give back at once, in the smallest unit of each currency; none: not at all."""
    refund_day_max: Mapping[str, int] = field(default_factory=dict)
    """How much all of them together within 24 hours."""
    keep_days: int = 90
    """For how many days bodies of events and words of messages are kept; 0: for ever."""

    @property
    def livemode(self) -> bool:
        """Tell whether the Stripe key is a live one."""
        key = self.stripe_api_key
        return key is not None and key.reveal().startswith(("sk_live_", "rk_live_"))

    @property
    def sandbox(self) -> bool:
        """Tell whether Stripe's part is played by a sandbox, in test mode: only then may the clock be moved."""
        return self.stripe_api_base != STRIPE_API_BASE and not self.livemode


def load(environ: Mapping[str, str] | None = None, *, folder: Path | None = None, port: int = 8000) -> Settings:
    """Read the settings from `environ` (default: the process's own), and `.env` in `folder` for what is not set there.

    `port` is where we listen, for the public address when none is set. Guarantees that what it returns is well-formed;
    raises `SettingError` otherwise.
    """
    folder = folder or here()
    values = told(environ, folder)
    _choice(values, "TELEGRAM_MODE", ("poll", "webhook"))  # also while Telegram is off: its typing error shows at once
    catalog = (folder / values.get("PAYDESK_CATALOG", "catalog.toml")).absolute()
    return Settings(
        data=(folder / values.get("PAYDESK_DATA", ".paydesk")).absolute(),
        catalog=catalog,
        database_url=_database_url(values),
        public_url=_address(values, "PAYDESK_PUBLIC_URL", f"http://127.0.0.1:{port}", "https://pay.example.com"),
        api_key=_api_key(values),
        encryption_keys=_encryption_keys(values),
        log=_choice(values, "PAYDESK_LOG", ("text", "json")),
        stripe_api_key=_stripe_key(values),
        stripe_publishable_key=_publishable_key(values),
        stripe_webhook_secrets=_webhook_secrets(values),
        stripe_api_base=_address(values, "STRIPE_API_BASE", STRIPE_API_BASE, "http://127.0.0.1:12111"),
        stripe_events=_choice(values, "STRIPE_EVENTS", EVENT_MODES),
        stripe_debug=_choice(values, "STRIPE_DEBUG", (*NO, *YES)) in YES,
        environ=values,
        texts=_texts(values, folder, catalog),
        language=values.get("PAYDESK_LANGUAGE", "en"),
        refund_max=_amounts(values, "PAYDESK_MCP_REFUND_MAX"),
        refund_day_max=_amounts(values, "PAYDESK_MCP_REFUND_DAY_MAX"),
        keep_days=_keep_days(values),
    )


def told(environ: Mapping[str, str] | None, folder: Path) -> dict[str, str]:
    """Return what is set, unchecked: `environ` (default: the process's own) before `.env` in `folder`; nothing empty."""
    own = os.environ if environ is None else environ
    return {k: v.strip() for k, v in {**_stored(folder / ".env"), **own}.items() if v.strip()}


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a Paydesk is that runs elsewhere, and the key to speak to it with."""

    url: str
    api_key: Secret


def remote(url: str | None = None, api_key: str | None = None, *, folder: Path | None = None) -> Remote | None:
    """Return the Paydesk that `PAYDESK_URL` and `PAYDESK_API_KEY` (or these arguments) name, `None` without an address.

    Raises `SettingError` for an address that is none, or a missing key. No other setting is looked at: they may be
    somebody else's.
    """
    given = {name: text for name, text in (("PAYDESK_URL", url), ("PAYDESK_API_KEY", api_key)) if text is not None}
    values = {**told(None, folder or here()), **given}
    if "PAYDESK_URL" not in values:
        return None
    address = _address(values, "PAYDESK_URL", "", "https://pay.example.com")
    key = _api_key(values)
    if key is None:
        raise SettingError("PAYDESK_API_KEY is not set: it goes with PAYDESK_URL; make one with paydesk keys create")
    return Remote(address, key)


def log_style(*, folder: Path | None = None) -> str:
    """Return how to log, whatever the other settings say: `text` or `json`; raises `SettingError`."""
    return _choice(told(None, folder or here()), "PAYDESK_LOG", ("text", "json"))


def mcp_key(*, folder: Path | None = None) -> Secret | None:
    """Return the key that bounds what `paydesk mcp` may do, `None` when none is set; raises `SettingError`."""
    return _key(told(None, folder or here()), "PAYDESK_MCP_KEY")


def _api_key(values: Mapping[str, str]) -> Secret | None:
    return _key(values, "PAYDESK_API_KEY")


def _key(values: Mapping[str, str], name: str) -> Secret | None:
    good = "pdk_ and at least 16 letters or digits, not pdk_pub_"
    return _secret(values, name, r"pdk_(?!pub_)[A-Za-z0-9_]{16,}", good)


def here() -> Path:
    """Return the folder where the command runs; raises `SettingError` when somebody has removed it."""
    try:
        return Path.cwd()
    except OSError as error:
        raise SettingError("the folder you are in was removed: go to another one (cd)") from error


def _stored(path: Path) -> dict[str, str]:
    try:
        return {name: value for name, value in dotenv_values(path).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} cannot be read: {error}") from error


def require_stripe(settings: Settings) -> Secret:
    """Return the Stripe key, or raise `SettingError` that tells where to get one."""
    if settings.stripe_api_key is None:
        raise SettingError(
            "STRIPE_API_KEY is not set: STRIPE_API_KEY=sk_test_… (from the Stripe dashboard, or any for the sandbox)"
        )
    return settings.stripe_api_key


def _secret(values: Mapping[str, str], name: str, pattern: str, good: str) -> Secret | None:
    text = values.get(name)
    if text is None:
        return None
    if not re.fullmatch(pattern, text):
        raise SettingError(f"{name} is malformed: it should be {good}")
    return Secret(text)


def _stripe_key(values: Mapping[str, str]) -> Secret | None:
    """Return the secret key: it has two names, and which of two different keys is meant nobody can tell."""
    name = "STRIPE_API_KEY" if "STRIPE_API_KEY" in values else "STRIPE_SECRET_KEY"
    if values.get("STRIPE_SECRET_KEY", values.get(name)) != values.get(name):
        raise SettingError("STRIPE_API_KEY and STRIPE_SECRET_KEY are two different keys: set one of them alone")
    return _secret(values, name, r"(sk|rk)_(test|live)_[A-Za-z0-9_]{6,}", "a secret key such as sk_test_51Abc…")


def _publishable_key(values: Mapping[str, str]) -> str | None:
    """Return the key that every visitor is shown, so it must be no other: publishable, and of the secret key's mode."""
    name, secret = "STRIPE_PUBLISHABLE_KEY", _stripe_key(values)
    mode = "test" if secret is None else secret.reveal().split("_")[1]
    key = _secret(values, name, r"pk_(test|live)_[A-Za-z0-9_]{1,}", f"a publishable key such as pk_{mode}_51Abc…")
    if key is None:
        return None
    if secret is not None and not key.reveal().startswith(f"pk_{mode}_"):
        raise SettingError(f"{name} is of the other mode than the secret key: it should begin with pk_{mode}_")
    return key.reveal()


def _webhook_secrets(values: Mapping[str, str]) -> tuple[Secret, ...]:
    text = values.get("STRIPE_WEBHOOK_SECRET", "")
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if any(not re.fullmatch(r"whsec_\S{8,}", part) for part in parts):
        raise SettingError(
            "STRIPE_WEBHOOK_SECRET is malformed: STRIPE_WEBHOOK_SECRET=whsec_… (several: comma-separated)"
        )
    return tuple(Secret(part) for part in parts)


def _encryption_keys(values: Mapping[str, str]) -> tuple[Secret, ...]:
    parts = [part.strip() for part in values.get("PAYDESK_ENCRYPTION_KEYS", "").split(",") if part.strip()]
    if any(not re.fullmatch(r"[A-Za-z0-9_-]{43}=?", part) for part in parts):
        raise SettingError(
            "PAYDESK_ENCRYPTION_KEYS is malformed: each key is 32 random bytes in URL-safe base64, newest first; make one with "
            "python -c 'import base64,os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
        )
    return tuple(Secret(part) for part in parts)


def _address(values: Mapping[str, str], name: str, default: str, good: str) -> str:
    text = values.get(name, default).rstrip("/")
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket too few, a port out of range
        sound = False
    if not sound or not _PLAIN_ADDRESS.fullmatch(text):
        raise SettingError(f"{name} is malformed: {name}={good}")
    return text


def _database_url(values: Mapping[str, str]) -> Secret | None:
    text = values.get("DATABASE_URL")
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("postgresql", "postgres") and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise SettingError(
            "DATABASE_URL is malformed: DATABASE_URL=postgresql://user:password@host/paydesk (only PostgreSQL)"
        )
    return Secret(text)


def _keep_days(values: Mapping[str, str]) -> int:
    """Return for how many days bodies are kept: never fewer than what is still tried, waited for and edited."""
    text = values.get("PAYDESK_KEEP_DAYS", "90")
    if not re.fullmatch(r"[0-9]{1,5}", text) or 0 < int(text) < KEEP_DAYS_MIN:
        raise SettingError(
            f"PAYDESK_KEEP_DAYS is malformed: PAYDESK_KEEP_DAYS=90 (at least {KEEP_DAYS_MIN}; 0 keeps everything for ever)"
        )
    return int(text)


def _texts(values: Mapping[str, str], folder: Path, catalog: Path) -> Path | None:
    """Return the folder with texts of one's own: the one that is set, else `texts` beside the catalogue if it is there."""
    text = values.get("PAYDESK_TEXTS")
    path = catalog.parent / "texts" if text is None else (folder / text).absolute()
    if path.is_dir():
        return path
    if text is not None:
        raise SettingError(f"PAYDESK_TEXTS: {path} is no folder: PAYDESK_TEXTS=./texts with en.toml, pl.toml, … in it")
    return None


def _amounts(values: Mapping[str, str], name: str) -> dict[str, int]:
    """Return amounts by currency, in the smallest unit: `50.00 usd, 200 pln`; raises `SettingError`."""
    found: dict[str, int] = {}
    for part in values.get(name, "0").split(","):
        amount, _, currency = part.strip().lower().partition(" ")
        try:
            if not currency and money.to_minor(amount, "usd") == 0:
                continue  # off, whatever the currency
            if not money.is_currency(currency) or currency in found:
                raise ValueError(f"{part.strip()!r} is no amount with its currency")
            found[currency] = money.to_minor(amount, currency)
        except ValueError as error:
            raise SettingError(f"{name} is malformed: {name}=50.00 usd, 200.00 pln ({error})") from None
    return found


def _choice(values: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    text = values.get(name, choices[0]).lower()
    if text not in choices:
        raise SettingError(f"{name} is malformed: {name}={'|'.join(choices)}")
    return text
