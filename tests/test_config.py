"""Settings: well-formed, or one line that names the setting; and a secret is never seen."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from paydesk.config import STRIPE_API_BASE, Secret, load, require_stripe
from paydesk.errors import SettingError

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
GOOD = {
    "DATABASE_URL": "postgresql://paydesk:hunter2hunter2@127.0.0.1/paydesk",
    "PAYDESK_API_KEY": "pdk_0123456789abcdef",
    "PAYDESK_ENCRYPTION_KEYS": f"{KEY},{KEY}",
    "STRIPE_API_KEY": "sk_test_0123456789abcdef",
    "STRIPE_WEBHOOK_SECRET": "whsec_0123456789,whsec_9876543210",
    "PAYDESK_PUBLIC_URL": "https://pay.example.com/",
    "STRIPE_API_BASE": "http://127.0.0.1:12111",
    "PAYDESK_LOG": "JSON",
}

BAD = [
    ("PAYDESK_API_KEY", "secret", "pdk_ and at least 16"),
    ("PAYDESK_API_KEY", "pdk_short", "pdk_ and at least 16"),
    ("PAYDESK_API_KEY", "pdk_pub_0123456789abcdef", "not pdk_pub_"),
    ("STRIPE_API_KEY", "pk_test_0123456789", "sk_test_51Abc…"),
    ("STRIPE_API_KEY", "sk_test_", "sk_test_51Abc…"),
    ("STRIPE_API_KEY", "sk_test_with a space", "sk_test_51Abc…"),
    ("STRIPE_SECRET_KEY", "sk_test_another0123456789", "two different keys"),
    ("STRIPE_PUBLISHABLE_KEY", "sk_test_0123456789abcdef", "a publishable key such as pk_test_51Abc…"),
    ("STRIPE_PUBLISHABLE_KEY", "rk_live_0123456789abcdef", "a publishable key such as pk_test_51Abc…"),
    ("STRIPE_PUBLISHABLE_KEY", "pk_test_", "a publishable key such as pk_test_51Abc…"),
    ("STRIPE_PUBLISHABLE_KEY", "pk_test_with a space", "a publishable key such as pk_test_51Abc…"),
    ("STRIPE_PUBLISHABLE_KEY", "pk_live_0123456789abcdef", "it should begin with pk_test_"),
    ("STRIPE_DEBUG", "perhaps", "false|0|no|off|true|1|yes|on"),
    ("TELEGRAM_MODE", "foo", "poll|webhook"),
    ("STRIPE_WEBHOOK_SECRET", "0123456789", "whsec_…"),
    ("STRIPE_WEBHOOK_SECRET", "whsec_good12345,bad", "whsec_…"),
    ("PAYDESK_ENCRYPTION_KEYS", "short", "URL-safe base64"),
    ("PAYDESK_ENCRYPTION_KEYS", KEY + "," + KEY[:-5], "URL-safe base64"),
    ("DATABASE_URL", "mysql://localhost/paydesk", "only PostgreSQL"),
    ("DATABASE_URL", "/var/lib/paydesk.db", "only PostgreSQL"),
    ("DATABASE_URL", "postgresql://u:p@host:port/paydesk", "postgresql://user:password@host"),
    ("DATABASE_URL", "postgresql://u:p@[host/paydesk", "postgresql://user:password@host"),
    ("PAYDESK_PUBLIC_URL", "pay.example.com", "https://pay.example.com"),
    ("PAYDESK_PUBLIC_URL", "ftp://pay.example.com", "https://pay.example.com"),
    ("PAYDESK_PUBLIC_URL", "https://", "https://pay.example.com"),
    ("PAYDESK_PUBLIC_URL", "https://pay.example.com/?x=1", "https://pay.example.com"),
    ("PAYDESK_PUBLIC_URL", "https://pay.example.com#top", "https://pay.example.com"),
    ("PAYDESK_PUBLIC_URL", "https://me:secret@pay.example.com", "https://pay.example.com"),
    ("PAYDESK_PUBLIC_URL", "https://[pay", "https://pay.example.com"),
    ("PAYDESK_PUBLIC_URL", "https://pay.example.com:99999", "https://pay.example.com"),
    ("PAYDESK_PUBLIC_URL", "https://pay example.com", "https://pay.example.com"),
    ("STRIPE_API_BASE", "localhost:12111", "http://127.0.0.1:12111"),
    ("STRIPE_EVENTS", "push", "webhook|poll|both"),
    ("PAYDESK_LOG", "xml", "text|json"),
    ("PAYDESK_KEEP_DAYS", "3", "at least 14"),
    ("PAYDESK_KEEP_DAYS", "-1", "PAYDESK_KEEP_DAYS=90"),
    ("PAYDESK_KEEP_DAYS", "a year", "PAYDESK_KEEP_DAYS=90"),
]


def test_good_settings_are_read(tmp_path: Path) -> None:
    settings = load(GOOD, folder=tmp_path)
    assert settings.public_url == "https://pay.example.com"
    assert (settings.log, settings.stripe_events, settings.livemode, settings.sandbox) == (
        "json",
        "webhook",
        False,
        True,
    )
    assert [secret.reveal() for secret in settings.stripe_webhook_secrets] == ["whsec_0123456789", "whsec_9876543210"]
    assert settings.data == tmp_path / ".paydesk"
    assert settings.catalog == tmp_path / "catalog.toml"


@pytest.mark.parametrize(("name", "value", "good"), BAD, ids=[f"{name}={value}"[:60] for name, value, _ in BAD])
def test_a_bad_setting_is_named_with_a_good_value_in_one_line(tmp_path: Path, name: str, value: str, good: str) -> None:
    with pytest.raises(SettingError) as refused:
        load({**GOOD, name: value}, folder=tmp_path)
    message = refused.value.message
    assert name in message
    assert good in message
    assert "\n" not in message
    assert value not in message or not name.endswith(("KEY", "KEYS", "SECRET")) or value in ("sk_test_", "pk_test_")


def test_nothing_set_is_enough_to_look_around(tmp_path: Path) -> None:
    settings = load({}, folder=tmp_path)
    assert settings.database_url is None
    assert settings.stripe_webhook_secrets == ()
    assert settings.stripe_api_base == STRIPE_API_BASE
    with pytest.raises(SettingError, match="STRIPE_API_KEY is not set"):
        require_stripe(settings)


def test_an_empty_setting_is_not_set(tmp_path: Path) -> None:
    assert load({"STRIPE_API_KEY": " ", "DATABASE_URL": "", "STRIPE_WEBHOOK_SECRET": ",,"}, folder=tmp_path) == load(
        {}, folder=tmp_path
    )


def test_a_dotenv_file_fills_in_what_the_environment_does_not_say(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('STRIPE_API_KEY="sk_test_from_the_file"\nPAYDESK_LOG=json\n# a comment\nEMPTY\n')
    settings = load({"PAYDESK_LOG": "text"}, folder=tmp_path)
    assert require_stripe(settings).reveal() == "sk_test_from_the_file"
    assert settings.log == "text"


def test_a_dotenv_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"STRIPE_API_KEY=\xff\xfe")
    with pytest.raises(SettingError, match=r"\.env cannot be read"):
        load({}, folder=tmp_path)


@pytest.mark.parametrize(
    ("key", "live"),
    [
        ("sk_live_0123456789", True),
        ("rk_live_0123456789", True),
        ("sk_test_0123456789", False),
        ("sk_test_a_live_one", False),
    ],
)
def test_the_mode_is_what_the_key_begins_with(tmp_path: Path, key: str, live: bool) -> None:
    settings = load({**GOOD, "STRIPE_API_KEY": key}, folder=tmp_path)
    assert settings.livemode is live
    assert settings.sandbox is not live


def test_stripes_other_name_for_the_key_works_too(tmp_path: Path) -> None:
    assert (
        require_stripe(load({"STRIPE_SECRET_KEY": "sk_test_0123456789"}, folder=tmp_path)).reveal()
        == "sk_test_0123456789"
    )


def test_the_same_key_under_both_names_is_one_key(tmp_path: Path) -> None:
    both = {**GOOD, "STRIPE_SECRET_KEY": GOOD["STRIPE_API_KEY"]}
    assert require_stripe(load(both, folder=tmp_path)).reveal() == GOOD["STRIPE_API_KEY"]


@pytest.mark.parametrize(
    ("secret", "publishable"),
    [("sk_test_0123456789", "pk_test_51Abc"), ("rk_live_0123456789", "pk_live_51Abc"), ("", "pk_live_51Abc")],
)
def test_a_publishable_key_of_the_same_mode_is_taken(tmp_path: Path, secret: str, publishable: str) -> None:
    told = {**GOOD, "STRIPE_API_KEY": secret, "STRIPE_PUBLISHABLE_KEY": publishable}
    assert load(told, folder=tmp_path).stripe_publishable_key == publishable


@pytest.mark.parametrize(("told", "meant"), [("TRUE", True), ("on", True), ("0", False), ("no", False), ("", False)])
def test_debugging_is_on_or_off(tmp_path: Path, told: str, meant: bool) -> None:
    assert load({"STRIPE_DEBUG": told}, folder=tmp_path).stripe_debug is meant


def test_no_secret_shows_itself(tmp_path: Path) -> None:
    settings = load(GOOD, folder=tmp_path)
    shown = f"{settings!r} {settings} {Secret('hunter2')} {Secret('hunter2')!r} {[Secret('hunter2')]}"
    for secret in ("hunter2", KEY, "0123456789abcdef", "whsec_0123456789", "whsec_9876543210"):
        assert secret not in shown
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_texts_of_ones_own_lie_beside_the_catalogue_or_where_the_setting_says(tmp_path: Path) -> None:
    assert load({}, folder=tmp_path).texts is None
    assert load({}, folder=tmp_path).language == "en"
    beside = tmp_path / "shop" / "texts"
    beside.mkdir(parents=True)
    assert load({"PAYDESK_CATALOG": "shop/catalog.toml"}, folder=tmp_path).texts == beside
    assert load({"PAYDESK_TEXTS": "shop", "PAYDESK_LANGUAGE": "pl"}, folder=tmp_path).texts == tmp_path / "shop"
    with pytest.raises(SettingError, match=r"PAYDESK_TEXTS: .*/nowhere is no folder"):
        load({"PAYDESK_TEXTS": "nowhere"}, folder=tmp_path)


def test_how_long_bodies_are_kept_is_said_in_days_and_nothing_is_for_ever(tmp_path: Path) -> None:
    assert load({}, folder=tmp_path).keep_days == 90
    assert load({"PAYDESK_KEEP_DAYS": "0"}, folder=tmp_path).keep_days == 0
    assert load({"PAYDESK_KEEP_DAYS": "14"}, folder=tmp_path).keep_days == 14
