"""All languages: the built-in ones and those of a folder, found by what a person chose or their channel told."""

from __future__ import annotations

import gettext
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from paydesk.channels.base import Button
from paydesk.chat.texts import folder, rendering
from paydesk.chat.texts.folder import BUILT_IN, Own
from paydesk.chat.texts.words import Forms, Words
from paydesk.errors import SettingError

ENGLISH = "en"
_HERE = Path(__file__).parent


class Texts:
    """What is said, in every language. A language is put together when the first person needs it, and kept."""

    def __init__(self, default: str = ENGLISH, own: Mapping[str, Own] | None = None) -> None:
        """Take texts of one's own, by language. Raises `SettingError` for a default language that there is not."""
        self._own = own or {}
        codes = dict.fromkeys([*BUILT_IN, *self._own])
        self._codes = {code.lower(): code for code in codes}
        self._made: dict[str, Words] = {}
        chosen = self.language(default)
        if chosen is None:
            raise SettingError(
                f"PAYDESK_LANGUAGE: there are no texts in {default!r}; there are {', '.join(self._codes.values())}"
            )
        self._default = chosen

    @property
    def languages(self) -> tuple[str, ...]:
        """Return every language that is spoken, the built-in ones first."""
        return tuple(self._codes.values())

    def language(self, locale: str | None) -> str | None:
        """Return the language spoken to whoever has a locale: `nl` to `nl-BE`; `None` for one that is not spoken."""
        code = (locale or "").replace("-", "_").lower()
        return self._codes.get(code) or self._codes.get(code.partition("_")[0])

    def words(self, locale: str | None) -> Words:
        """Return the words for whoever has a locale, those of the default language where it is not spoken."""
        language = self.language(locale) or self._default
        if language not in self._made:
            self._made[language] = self._make(language)
        return self._made[language]

    def render(
        self, template: str, params: Mapping[str, Any], locale: str | None, link: str | None = None
    ) -> tuple[str, tuple[Button, ...]]:
        """Return the text and buttons of a message; `link` is where the order is paid that its `params` name.

        The people who run the desk are told things in the default language, whatever their buyer reads.
        Raises `KeyError` for a template that does not exist.
        """
        theirs = None if template.startswith("alert_") else locale
        return rendering.render(self.words(theirs), template, params, link)

    def _make(self, language: str) -> Words:
        base = language.partition("_")[0]
        several = [self._own[code] for code in dict.fromkeys((base, language)) if code in self._own]
        texts: dict[str, str] = {}
        forms: dict[str, Forms] = {}
        units: dict[str, Forms] = {}
        for own in several:
            texts |= own.texts
            forms |= own.forms
            units |= own.units
        if base not in BUILT_IN:
            texts = {"language_name": _name_of(language), **texts}
        return Words(language, translations(base), texts, forms, units)


def load(own: Path | None, default: str = ENGLISH) -> Texts:
    """Return all texts, with those of a folder where there is one; raises `SettingError` with file, line and reason."""
    return Texts(default, folder.read(own) if own is not None else None)


def translations(language: str) -> gettext.NullTranslations:
    """Return the translations of a built-in language; none for English, which is the source, and for any other."""
    path = _HERE / f"{language}.po"
    if language not in BUILT_IN or not path.exists():
        return gettext.NullTranslations()
    from babel.messages.mofile import write_mo  # only other languages than English need it
    from babel.messages.pofile import read_po

    compiled = BytesIO()
    with path.open("rb") as source:
        write_mo(compiled, read_po(source, locale=language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def _name_of(language: str) -> str:
    """Return what a language is called in itself."""
    from babel import Locale

    return str(Locale.parse(language).display_name).capitalize()
