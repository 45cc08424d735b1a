"""The texts of whoever runs the desk: `texts/en.toml`, `texts/pl.toml`, …: a text's name and what it says instead.

A file is taken whole or refused with one line that says where and why: a name or placeholder that does not exist would
otherwise be found by a buyer.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from paydesk.chat.texts import parts
from paydesk.chat.texts.words import TEXTS, Forms, category, placeholders
from paydesk.errors import SettingError

CATEGORIES = ("zero", "one", "two", "few", "many", "other")
"""Plural categories of Unicode's CLDR."""

BUILT_IN = ("en", "pl", "nl")
TEXT_MAX = 2000
UNITS = "units"

_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][A-Za-z]{2,4})?", re.ASCII)
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Own:
    """What one file says: texts by name, those that depend on a number, and what units are called."""

    texts: Mapping[str, str] = field(default_factory=dict)
    forms: Mapping[str, Forms] = field(default_factory=dict)
    units: Mapping[str, Forms] = field(default_factory=dict)


def read(folder: Path) -> dict[str, Own]:
    """Return what each file of a folder says, by language such as `de` or `pt_BR`.

    Raises `SettingError` with file, line and reason.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except OSError as error:
        raise SettingError(f"PAYDESK_TEXTS: {folder} cannot be read: {error.strerror}") from error
    return {_language_of(path): _File(path).own() for path in paths}


def _language_of(path: Path) -> str:
    """Return the language that a file is named after, as Unicode's CLDR writes it."""
    name = path.stem.replace("-", "_")
    if name in BUILT_IN:
        return name
    from babel import Locale, UnknownLocaleError  # only other languages than the built-in ones need it

    try:
        if _LANGUAGE.fullmatch(name):
            return str(Locale.parse(name))
    except (ValueError, UnknownLocaleError):
        pass
    raise SettingError(f"{path}:1: a file of texts is called by a language: en.toml, de.toml or pt-BR.toml")


class _File:
    """Checks one file; knows its lines, to name the one that it refuses."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._language = _language_of(path)
        try:
            raw = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingError(f"{path}: cannot be read: {error}") from error
        self._lines = raw.splitlines()
        try:
            self._tree = tomllib.loads(raw)
        except tomllib.TOMLDecodeError as error:
            raise SettingError(f"{path}: {error}") from error

    def own(self) -> Own:
        """Return what the file says, checked."""
        units = self._tree.pop(UNITS, {})
        if not isinstance(units, dict):
            self._refuse(UNITS, 'units are a table: [units] and under it gems = { one = "gem", other = "gems" }')
        for name in self._tree:
            if name not in TEXTS and name not in parts.PLURALS:
                self._refuse(name, f"there is no text {name!r}{_meant(name)}; docs/texts.md lists them all")
        return Own(
            texts={name: self._text(name, told, TEXTS[name]) for name, told in self._tree.items() if name in TEXTS},
            forms={name: self._forms(name, told) for name, told in self._tree.items() if name in parts.PLURALS},
            units={unit: self._unit(unit, told) for unit, told in units.items()},
        )

    def _text(self, name: str, told: Any, *english: str) -> str:
        """Return a text that has no placeholder but those of the English ones."""
        if not isinstance(told, str) or not 0 < len(told.strip()) <= TEXT_MAX or "\x00" in told:
            self._refuse(name, f"{name} must be a text of 1 to {TEXT_MAX} characters")
        known = set().union(*(placeholders(text) for text in english))
        for unknown in sorted(placeholders(told) - known):
            has = ", ".join(f"{{{one}}}" for one in sorted(known)) or "none"
            self._refuse(name, f"{name} has no placeholder {{{unknown}}}; it has {has}")
        if re.search(r"[{}]", re.sub(r"\{\w+\}", "", told)):
            self._refuse(name, f"{name} has a brace that belongs to no placeholder")
        return told

    def _forms(self, name: str, told: Any) -> Forms:
        if isinstance(told, str):
            told = {"other": told}
        self._check_categories(name, told)
        return {form: self._text(name, text, *parts.PLURALS[name]) for form, text in told.items()}

    def _unit(self, unit: str, told: Any) -> Forms:
        if not _UNIT.fullmatch(unit):
            self._refuse(unit, f"the unit {unit!r} is none that a catalogue can have")
        self._check_categories(unit, told)
        return {form: self._text(unit, text) for form, text in told.items()}

    def _check_categories(self, name: str, told: Any) -> None:
        """Refuse forms that do not cover every number."""
        if not isinstance(told, dict) or not told or not set(told) <= set(CATEGORIES):
            self._refuse(name, f'{name} has forms: {name} = {{ one = "…", other = "…" }} of {", ".join(CATEGORIES)}')
        missing = {category(self._language, number) for number in range(201)} - set(told)
        if missing and "other" not in told:
            self._refuse(name, f"{name} lacks a form for {', '.join(sorted(missing))}, and has no other")

    def _refuse(self, name: str, reason: str) -> NoReturn:
        raise SettingError(f"{self._path}:{self._line_of(name)}: {reason}")

    def _line_of(self, name: str) -> int:
        pattern = re.compile(rf"\s*\[?\s*([\w.]+\.)?[\"']?{re.escape(name)}[\"']?\s*[\].=]")
        return next((number for number, line in enumerate(self._lines, 1) if pattern.match(line)), 1)


def _meant(name: str) -> str:
    near = get_close_matches(name, [*TEXTS, *parts.PLURALS], n=1)
    return f", perhaps {near[0]}" if near else ""
