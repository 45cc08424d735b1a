"""One language: its texts, its plurals, and how it writes numbers, money and moments.

A placeholder is a plain name in braces; values are put in as they are and never read as templates again, so braces,
mark-up or commands in a name do no harm. Channels escape for themselves.
"""

from __future__ import annotations

import gettext
import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from paydesk import customers, memberships, money
from paydesk.catalog import Price
from paydesk.chat.texts import channels, forms, links, messages, parts, replies, subscriptions

TEMPLATES = {**messages.TEMPLATES, **subscriptions.TEMPLATES, **channels.TEMPLATES}
"""What the outbox may tell, by name. English is the language of the source; translations are found by name and English."""

TEXTS = {**TEMPLATES, **parts.PARTS, **parts.WORDS, **parts.BUTTONS, **replies.REPLIES, **forms.FORMS, **links.LINKS}
"""Every text that does not depend on a number, by name."""

NAME_MAX = 200
LABEL_MAX = 64
REASON_MAX = 300

Forms = Mapping[str, str]
"""What is said for each plural category of a language: `one`, `few`, `many`, `other`, as Unicode's CLDR has them."""

BREAKS = ("Cc", "Zl", "Zp")
"""Unicode's categories of control characters, and of what ends a line or a paragraph."""

_SPACES = re.compile(" {2,}")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Characters that turn the direction of what follows: with them a name could rewrite the sentence around it."""


def fill(template: str, values: Mapping[str, object]) -> str:
    """Return `template` with its placeholders filled; one that has no value stays empty."""
    pieces = _pieces(template)
    return "".join([str(values.get(piece, "")) if place % 2 else piece for place, piece in enumerate(pieces)])


@lru_cache(maxsize=2048)
def _pieces(template: str) -> tuple[str, ...]:
    """Return what stands around the placeholders of a template, and between them their names."""
    return tuple(_PLACEHOLDER.split(template))


def placeholders(template: str) -> set[str]:
    """Return the names of the placeholders of a template."""
    return set(_PLACEHOLDER.findall(template))


def one_line(text: object, length_max: int = NAME_MAX) -> str:
    """Return what somebody else has called something as one line of at most `length_max` characters, cut with `…`.

    Every character of it stays as it is, but for line breaks, other control characters and those that turn the direction.
    """
    short = str(text)[: 2 * length_max]
    if len(short) <= length_max and short.isprintable() and "  " not in short:  # nearly every name there is
        return short.strip()
    plain = _TURNS.sub("", short)
    line = _SPACES.sub(" ", "".join(" " if unicodedata.category(sign) in BREAKS else sign for sign in plain)).strip()
    return line if len(line) <= length_max else line[: length_max - 1].rstrip() + "…"


def category(language: str, number: int) -> str:
    """Return the plural category of a number in a language: `one`, `few`, `many` or `other`."""
    if language == "en":
        return "one" if number == 1 else "other"
    from babel import Locale  # only other languages than English need it

    return str(Locale.parse(language).plural_form(number))


class Words:
    """What is said in one language, from `own` texts and forms, from the translations, and else in English.

    `own` has the texts of whoever runs the desk, `forms` what they say of numbers, `units` how they call units.
    """

    def __init__(
        self,
        language: str,
        translations: gettext.NullTranslations | None = None,
        own: Mapping[str, str] | None = None,
        forms: Mapping[str, Forms] | None = None,
        units: Mapping[str, Forms] | None = None,
    ) -> None:
        self.language = language
        self._translations = translations or gettext.NullTranslations()
        translated = {name: self._translations.pgettext(name, text) for name, text in TEXTS.items()}
        self._texts = {**translated, **(own or {})}
        self._forms = forms or {}
        self._units = units or {}

    def say(self, name: str, /, **values: object) -> str:
        """Return a text with its values put in; raises `KeyError` for one that does not exist."""
        return fill(self._texts[name], values)

    def say_with(self, name: str, values: Mapping[str, object]) -> str:
        """Return a text with those of the values put in that it names."""
        return fill(self._texts[name], values)

    def say_of(self, name: str, number: int, /, **values: object) -> str:
        """Return a text that depends on a number."""
        form = self._form(self._forms.get(name), number)
        text = form if form is not None else self._translations.npgettext(name, *parts.PLURALS[name], number)
        return fill(text, {"number": self.number(number), **values})

    def button(self, name: str, /, **values: object) -> str:
        """Return what stands on a button, cut to what every channel can show."""
        return one_line(self.say(name, **values), LABEL_MAX)

    def _form(self, forms: Forms | None, number: int) -> str | None:
        if forms is None:
            return None
        return forms.get(category(self.language, number)) or forms.get("other") or [*forms.values()][-1]

    # --- numbers, money, time ------------------------------------------------------------------------------------------

    def number(self, number: int) -> str:
        """Return a number as people of this language write it."""
        return money.number(number, self.language)

    def money(self, amount_minor: int, currency: str) -> str:
        """Return an amount as people of this language write it."""
        return money.display(amount_minor, currency, self.language)

    def price(self, price: Price) -> str:
        """Return a price, with how often it is paid."""
        return self.every(self.money(price.amount, price.currency), price)

    def every(self, amount: str, price: Price | None) -> str:
        """Return an amount in words with how often a price of the catalogue is paid."""
        if price is None or price.interval is None:
            return amount
        return self.say_of(f"every_{price.interval}", price.interval_count, price=amount)

    def day(self, moment: datetime) -> str:
        """Return a day, such as `21 November 2026`."""
        if self.language == "en":
            return f"{moment:%-d %B %Y}"
        from babel.dates import format_date

        return format_date(moment, "long", locale=self.language)

    def date(self, moment: datetime) -> str:
        """Return a day in few characters, for a list."""
        if self.language == "en":
            return f"{moment:%Y-%m-%d}"
        from babel.dates import format_date

        return format_date(moment, "medium", locale=self.language)

    def moment(self, at: datetime | str | None) -> str:
        """Return a time, given as one or in ISO 8601, such as `21 November 2026, 14:05 UTC`."""
        if at is None:
            return self.say("no_day")
        when = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(UTC)
        return self.say("moment", day=self.day(when), time=f"{when:%H:%M}")

    # --- things --------------------------------------------------------------------------------------------------------

    def count(self, number: int, unit: str) -> str:
        """Return a number of things: `1 credit`, `10 credits`. A unit nobody has told us of is called as the catalogue does."""
        return self.say("counted", number=self.number(number), noun=self.noun(unit, number))

    def noun(self, unit: str, number: int) -> str:
        """Return how so many things of a unit are called, without their number: `credit`, `credits`."""
        own = self._form(self._units.get(unit), number)
        if own is not None:
            return own
        if unit in parts.NOUNS:
            return self._translations.npgettext("noun", *parts.NOUNS[unit], number)
        return unit[:-1] if number == 1 and unit.endswith("s") and len(unit) > 1 else unit

    def counts(self, amounts: Mapping[str, int]) -> str:
        """Return amounts of several units, by unit: `5 credits and 2 tokens`."""
        return self.join(self.count(amount, unit) for unit, amount in sorted(amounts.items()))

    def thing(self, grant: Mapping[str, Any], worth: int) -> str:
        """Return so much of what was given: credits, the nearest days or hours of a pass, or the feature."""
        kind = grant["kind"]
        if kind == "credits":
            return self.count(worth, grant["unit"])
        if kind in ("role", "member"):
            return self.say("a_role" if kind == "role" else "a_place", channel=grant["channel"].capitalize())
        feature = one_line(grant["feature"])
        if kind != "pass":
            return feature
        days, hours = round(worth / 86_400), round(worth / 3600)
        time = self.count(days, "days") if hours >= 24 else self.count(hours, "hours")
        return self.say("time_of_feature", time=time, feature=feature)

    def feature(self, feature: str) -> str:
        """Return a feature for its buyer to read: `your role on Discord`."""
        place = memberships.place_of(feature)
        if place is None or not customers.CHANNEL.fullmatch(place.channel):
            return one_line(feature)
        return self.say("your_role" if place.role else "the_group", channel=place.channel.capitalize())

    def join(self, several: Iterable[str], name: str = "list_and") -> str:
        """Return several things as a list in words; `name` is the text that joins the last two."""
        things = list(several)
        if len(things) < 2:
            return "".join(things)
        return self.say(name, first=", ".join(things[:-1]), last=things[-1])

    def sentence(self, text: str) -> str:
        """Return what a bank or Stripe says as a sentence, in this language where it is one that is often said."""
        known = parts.STRIPE_SAYS.get(text)
        if known is not None and self.language != "en":
            return self.say(known)
        line = one_line(text, REASON_MAX)
        return line if line.endswith((".", "!", "?", "…")) else f"{line}."
