"""Every text in every language: translated, with the same placeholders, in the right plural, and as a shop wants it."""

from __future__ import annotations

import ast
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from paydesk import catalog_file, money
from paydesk.chat.texts import BUILT_IN, TEMPLATES, TEXTS, Texts, load, one_line, parts, placeholders
from paydesk.errors import SettingError

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "paydesk"
FOLDER = SOURCE / "chat" / "texts"
SAYING = ("say", "button", "say_with", "say_of")
SAME = {
    "counted", "shelf_line", "history_line", "subscription_line", "subscription_line_for",
    "reason_declined",  # never looked up in English
}  # fmt: skip
"""Texts that consist of placeholders alone."""


def plain(text: str) -> str:
    """Amounts have spaces at which no line breaks; a test reads better with plain ones."""
    return text.replace("\u00a0", " ").replace("\u202f", " ")


# --- translations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["pl", "nl"])
def test_every_text_is_translated_with_the_placeholders_of_the_english_one(language: str) -> None:
    with (FOLDER / f"{language}.po").open("rb") as source:
        catalog = read_po(source, locale=language)
    told = {name: getattr(catalog.get(text, name), "string", "") for name, text in TEXTS.items()}
    assert [name for name, text in told.items() if not text] == []
    assert {n for n in told if told[n] == TEXTS[n]} <= SAME
    assert {n: told[n] for n in told if placeholders(told[n]) != placeholders(TEXTS[n])} == {}
    for name, (one, more) in [*parts.PLURALS.items(), *(("noun", forms) for forms in parts.NOUNS.values())]:
        forms = getattr(catalog.get(one, name), "string", ())
        assert len(forms) == (3 if language == "pl" else 2), name
        assert all(forms), name
        assert placeholders(forms[0]) in (placeholders(one), placeholders(more)), name
        assert {frozenset(placeholders(form)) for form in forms[1:]} == {frozenset(placeholders(more))}, name
    assert [message.id for message in catalog if message.fuzzy and message.id] == []


def test_no_name_is_used_twice() -> None:
    groups = [TEMPLATES, parts.PARTS, parts.WORDS, parts.BUTTONS, parts.PLURALS]
    assert len(set().union(*groups)) == sum(map(len, groups))
    assert not set(parts.PLURALS) & set(TEXTS)


def test_whatever_is_said_is_a_text_and_every_text_is_said() -> None:
    """Every name that stands in the conversation's code is one of a text, and no text is without use."""
    named, begun = set(), set()
    for path in (SOURCE / "chat").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            said = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SAYING
            if said and node.args and isinstance(node.args[0], ast.Constant):
                assert {node.args[0].value} <= {*TEXTS, *parts.PLURALS}, path.name
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                named.add(node.value)
            if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                begun.add(node.values[0].value)
    used = {"help_", "status_", "button_", "every_"} & begun
    unsaid = {name for name in {*TEXTS, *parts.PLURALS} if name not in named and not name.startswith(tuple(used))}
    assert unsaid <= {"part_renews", "part_renews_for", "part_name_renews", "part_name_renews_for"}, unsaid


def test_catalogues_and_the_page_follow_the_code() -> None:
    checked = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "texts.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, ""), checked.stderr


def test_english_needs_no_library_of_languages() -> None:
    script = (
        "import sys, paydesk.app\n"
        "from paydesk.chat import texts\n"
        "texts.render('low_balance', {'unit': 'credits', 'balance': 3}, 'en-GB')\n"
        "print('babel' in sys.modules)\n"
        "texts.render('low_balance', {'unit': 'credits', 'balance': 3}, 'pl')\n"
        "print('babel' in sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "True"]


# --- plurals, money, days --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "polish", "dutch"),
    [
        (0, "0 kredytów", "0 credits"), (1, "1 kredyt", "1 credit"), (2, "2 kredyty", "2 credits"),
        (4, "4 kredyty", "4 credits"), (5, "5 kredytów", "5 credits"), (11, "11 kredytów", "11 credits"),
        (12, "12 kredytów", "12 credits"), (21, "21 kredytów", "21 credits"), (22, "22 kredyty", "22 credits"),
        (25, "25 kredytów", "25 credits"), (112, "112 kredytów", "112 credits"), (1002, "1 002 kredyty", "1.002 credits"),
    ],
)  # fmt: skip
def test_a_number_of_things_is_in_the_right_plural(number: int, polish: str, dutch: str) -> None:
    assert plain(BUILT_IN.words("pl").count(number, "credits")) == polish
    assert plain(BUILT_IN.words("nl").count(number, "credits")) == dutch
    assert BUILT_IN.words("en").count(number, "credits") == f"{number:,} credit{'' if number == 1 else 's'}"


@pytest.mark.parametrize("unit", ["gems", "GB", "s", "class", "🪙"])
def test_a_unit_that_nobody_has_named_is_called_as_in_the_catalogue(unit: str) -> None:
    for language in ("en", "pl", "nl"):
        assert BUILT_IN.words(language).count(7, unit) == f"7 {unit}"
    assert BUILT_IN.words("pl").count(1, "gems") == "1 gem"


@pytest.mark.parametrize(
    ("minor", "currency", "english", "polish", "dutch"),
    [
        (1999, "pln", "19.99 PLN", "19,99 zł", "PLN 19,99"), (6000, "eur", "€60.00", "60,00 €", "€ 60,00"),
        (999, "usd", "$9.99", "9,99 USD", "US$ 9,99"), (123_450, "eur", "€1,234.50", "1 234,50 €", "€ 1.234,50"),
        (500, "jpy", "¥500", "500 JPY", "JP¥ 500"), (5120, "kwd", "5.120 KWD", "5,120 KWD", "KWD 5,120"),
        (10_000, "ugx", "100 UGX", "100 UGX", "UGX 100"), (1234, "rsd", "12.34 RSD", "12,34 RSD", "RSD 12,34"),
        (0, "eur", "€0.00", "0,00 €", "€ 0,00"),
    ],
)  # fmt: skip
def test_an_amount_is_written_as_its_reader_does_with_the_decimals_of_stripe(
    minor: int, currency: str, english: str, polish: str, dutch: str
) -> None:
    assert [plain(money.display(minor, currency, language)) for language in ("en", "pl", "nl")] == [
        english, polish, dutch,
    ]  # fmt: skip


def test_every_currency_is_written_in_every_language_with_all_its_digits() -> None:
    for currency in sorted(money.CURRENCIES):
        for language in ("pl", "nl"):
            digits = "".join(sign for sign in money.display(1_234_500, currency, language) if sign.isdigit())
            assert digits == ("12345" if currency in money.WHOLE_HUNDREDTHS else "1234500"), currency


def test_moments_and_days_are_written_as_the_reader_does_in_utc() -> None:
    at = datetime.fromisoformat("2026-11-21T15:05:00+01:00")
    said = {one: (BUILT_IN.words(one).moment(at), BUILT_IN.words(one).date(at)) for one in ("en", "pl", "nl")}
    assert said == {
        "en": ("21 November 2026, 14:05 UTC", "2026-11-21"),
        "pl": ("21 listopada 2026, godz. 14:05 UTC", "21 lis 2026"),
        "nl": ("21 november 2026 om 14:05 UTC", "21 nov 2026"),
    }
    assert BUILT_IN.words("pl").day(datetime(2026, 3, 1, tzinfo=UTC)) == "1 marca 2026"


def test_a_price_says_how_often_it_is_paid(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        '[products.a]\nname = "A"\nprices = ['
        + ", ".join(
            f'{{ key = "{n}{each}", currency = "eur", amount = "5.00", interval = "{each}", interval_count = {n} }}'
            for each in ("day", "week", "month", "year")
            for n in ((1, 3) if each == "year" else (1, 2, 6))
        )
        + "]\n"
    )
    prices = catalog_file.load(tmp_path / "c.toml").prices

    def said(language: str) -> list[str]:
        words = BUILT_IN.words(language)
        return [
            plain(words.price(price)).replace("5,00 €", "").replace("€ 5,00", "").strip() for price in prices.values()
        ]

    assert said("pl") == [
        "dziennie", "co 2 dni", "co 6 dni", "tygodniowo", "co 2 tygodnie", "co 6 tygodni", "miesięcznie", "co 2 miesiące",
        "co 6 miesięcy", "rocznie", "co 3 lata",
    ]  # fmt: skip
    assert said("nl") == [
        "per dag", "per 2 dagen", "per 6 dagen", "per week", "per 2 weken", "per 6 weken", "per maand", "per 2 maanden",
        "per 6 maanden", "per jaar", "per 3 jaar",
    ]  # fmt: skip
    assert [BUILT_IN.words("en").price(price) for price in prices.values()] == [p.display() for p in prices.values()]


# --- which language --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "language"),
    [("nl-BE", "nl"), ("nl_NL", "nl"), ("PL", "pl"), ("pl", "pl"), ("en-US", "en"), ("de", "en"), (None, "en"), ("", "en"),
     ("zh-hans", "en"), ("n", "en"), ("../nl", "en")],
)  # fmt: skip
def test_a_locale_finds_its_language(locale: str | None, language: str) -> None:
    assert BUILT_IN.words(locale).language == language


def test_the_people_of_the_desk_read_the_default_language() -> None:
    spoken = Texts("nl")
    params = {"unit": "credits", "customer": "cst_1"}
    assert spoken.render("alert_topup_limit", params, "pl")[0].startswith("Een automatische opwaardering van credits")
    assert spoken.render("topup_limit", params, "pl")[0].startswith("Automatyczne doładowanie")
    assert spoken.render("topup_limit", params, "fr")[0].startswith("Je automatische")
    with pytest.raises(SettingError, match="PAYDESK_LANGUAGE: there are no texts in 'fr'; there are en, pl, nl"):
        Texts("fr")


def test_what_stripe_says_most_often_is_translated_and_the_rest_is_told_as_it_is() -> None:
    order = {"order": "ord_1", "amount": 999, "currency": "eur"}
    known = BUILT_IN.render("payment_failed", {**order, "reason": "Your card has expired."}, "nl")[0]
    other = BUILT_IN.render("payment_failed", {**order, "reason": "Your card is haunted."}, "nl")[0]
    assert "niet gelukt: je kaart is verlopen. Er is niets" in known
    assert "niet gelukt: Your card is haunted. Er is niets" in other


def test_a_place_and_a_role_are_named_in_the_readers_words() -> None:
    assert [BUILT_IN.words("en").feature(one) for one in ("premium", "discord:1:2", "telegram:-1")] == [
        "premium", "your role on Discord", "the group on Telegram",
    ]  # fmt: skip
    assert BUILT_IN.words("nl").feature("discord:1:2") == "je rol op Discord"


@pytest.mark.parametrize(
    ("name", "shown"),
    [("10 credits", "10 credits"), ("a\nb\u2028c\td", "a b c d"), ("  wide   name ", "wide name"), ("x" * 201, "x" * 199 + "…"),
     ("x" * 200, "x" * 200), ("@everyone <b>{amount}</b>", "@everyone <b>{amount}</b>"), ("\u202eabc\u2069", "abc"),
     ("👩‍👩‍👧 family", "👩‍👩‍👧 family"), ("a\u00a0b", "a\u00a0b")],
)  # fmt: skip
def test_a_name_is_one_line_that_is_not_too_long_and_else_as_it_is(name: str, shown: str) -> None:
    assert one_line(name) == shown


# --- texts of one's own ----------------------------------------------------------------------------------------------


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder


def test_a_shops_own_texts_take_the_place_of_ours(tmp_path: Path) -> None:
    own = load(
        write(
            tmp_path,
            en='paid = "Got {amount}! {given}"\nsupport = "help@example.com"\nhello = "Hi {name}"\n'.replace(
                " {name}", ""
            ),
            pl='paid = "Jest {amount}."\nevery_month = { one = "{price}/mies.", other = "{price} co {number} mies." }\n'
            '[units]\ngems = { one = "klejnot", few = "klejnoty", many = "klejnotów" }\n',
        )
    )
    order = {"order": "ord_1", "amount": 999, "currency": "usd", "grants": [], "balances": {}}
    assert own.render("paid", order, "en")[0] == "Got $9.99! Thank you!"
    assert plain(own.render("paid", order, "pl")[0]) == "Jest 9,99 USD."
    assert own.words("pl").say("support").startswith("Coś jest nie tak?"), "what is left out stays ours"
    assert [own.words("pl").count(n, "gems") for n in (1, 3, 5)] == ["1 klejnot", "3 klejnoty", "5 klejnotów"]
    assert own.words("pl").say_of("every_month", 2, price="1 zł") == "1 zł co 2 mies."
    assert own.words("nl").say("support").startswith("Klopt er iets niet?")


def test_a_file_brings_a_language_and_english_fills_it_up(tmp_path: Path) -> None:
    own = load(
        write(tmp_path, de='low_balance = "Du hast noch {left}."\n', **{"pt-BR": 'button_buy = "Comprar"\n'}), "de"
    )
    assert own.languages == ("en", "pl", "nl", "de", "pt_BR")
    low = {"unit": "credits", "balance": 2000}
    assert own.render("low_balance", low, "de-AT")[0] == "Du hast noch 2.000 credits."
    assert own.render("low_balance", low, "fr")[0] == "Du hast noch 2.000 credits.", "it is the default language here"
    assert own.words("de").say("hello").startswith("Hello!")
    assert own.words("de").say("language_name") == "Deutsch"
    assert own.words("pt-br").say("button_buy") == "Comprar"
    assert plain(own.words("de").money(123_450, "eur")) == "1.234,50 €"


REFUSED = {
    "an unknown text": ('hello = "Hi"\npiad = "x"\n', "en.toml:2: there is no text 'piad', perhaps paid"),
    "an unknown placeholder": ('\npaid = "{amuont}"', "en.toml:2: paid has no placeholder {amuont}; it has {amount}, {given}"),
    "a placeholder where there is none": ('hello = "Hi {name}"', "en.toml:1: hello has no placeholder {name}; it has none"),
    "a lonely brace": ('hello = "Hi {"', "en.toml:1: hello has a brace that belongs to no placeholder"),
    "no text": ("hello = 3", "en.toml:1: hello must be a text"),
    "an empty text": ('hello = " "', "en.toml:1: hello must be a text"),
    "a text that is too long": (f'hello = "{"x" * 2001}"', "en.toml:1: hello must be a text of 1 to 2000"),
    "no TOML": ("hello =", "en.toml: "),
    "unknown forms": ('[units]\ngems = { some = "gem" }', "en.toml:2: gems has forms"),
    "a form that is missing": ('[units]\ngems = { one = "gem" }', "en.toml:2: gems lacks a form for other"),
    "units that are none": ('units = "gems"', "en.toml:1: units are a table"),
    "a placeholder in a unit": ('[units.gems]\none = "gem"\nother = "{number} gems"', "en.toml:1: gems has no placeholder"),
    "a form of a text": ('every_month = { one = "{x}", other = "" }', "en.toml:1: every_month has no placeholder {x}"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_file_with_a_mistake_is_refused_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SettingError) as refused:
        load(write(tmp_path, en=text))
    assert reason in refused.value.message
    assert refused.value.message.startswith(str(tmp_path))
    assert len(refused.value.message.splitlines()) == 1


@pytest.mark.parametrize("name", ["klingon", "xx", "en-", "texts", "e n"])
def test_a_file_is_called_by_a_language(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingError, match="a file of texts is called by a language"):
        load(write(tmp_path, **{name: ""}))


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("ours")
    assert load(tmp_path).languages == ("en", "pl", "nl")
