"""Understanding which product typed words plainly name. Pure: words only choose from the catalogue.

Case, accents and punctuation do not matter, nor words of courtesy around the name: "Kup 10 kredytów, proszę!". Where two
products fit, both are returned, and the person is asked.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from paydesk.catalog import Product

WANTING = {
    "en": ("buy", "purchase", "order", "get", "want"),
    "pl": ("kup", "kupic", "kupie", "kupuje", "zamow", "zamawiam", "poprosze", "chce"),
    "nl": ("koop", "kopen", "bestel", "bestellen", "wil"),
}
"""Words by which people say that they want something, by the language that this shows."""

_LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ß": "ss", "æ": "ae", "œ": "oe"})
_GROUPS = re.compile(r"(?<=\d)[.,\s'’](?=\d{3}(?!\d))")
_WORD = re.compile(r"[^\W_]+")

Tokens = tuple[str, ...]


def plain(text: str) -> Tokens:
    """Return the words of a text without case, accents, punctuation and grouping of digits.

    >>> plain("Kup 1.000 Kredytów!")
    ('kup', '1000', 'kredytow')
    """
    spread = unicodedata.normalize("NFKD", text.casefold().translate(_LETTERS))
    bare = "".join(sign for sign in spread if not unicodedata.combining(sign))
    return tuple(_WORD.findall(_GROUPS.sub("", bare)))


_COURTESY = frozenset(
    plain("""
    plans a an the some i d id ll would like to have can could you me my for please of hi hello hey and so
    ja bym chciałbym chciałabym proszę mi mnie o jeden jedną dzień dobry cześć
    ik zou graag een de het alsjeblieft alstublieft mij voor van hoi hallo dag
    """)
)
_WANTING = {word: language for language, words in WANTING.items() for word in words}
_AROUND = _COURTESY | set(_WANTING)


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks for: all words, those without courtesy around them, and whether they said that they want it.

    `language` is the one in which they said so.
    """

    tokens: Tokens
    core: Tokens
    wants: bool
    language: str | None


def read(text: str) -> Asked:
    """Return what somebody asks for."""
    tokens = plain(text)
    first = next((place for place, token in enumerate(tokens) if token not in _AROUND), len(tokens))
    last = next((place for place in range(len(tokens), first, -1) if tokens[place - 1] not in _AROUND), first)
    said = [_WANTING[token] for token in (*tokens[:first], *tokens[last:]) if token in _WANTING]
    return Asked(tokens, tokens[first:last], bool(said), said[0] if said else None)


def named(asked: Asked, products: Iterable[Product], gives: Callable[[Product], Sequence[str]]) -> list[str]:
    """Return the keys of the products or prices that the words name wholly: by key or name, else by what they give.

    `gives` says in words what a product gives, where that is one thing: "10 credits".
    """
    sold = list(products)
    for tokens in (asked.tokens, asked.core):
        by_name = [key for product in sold for key in _by_name(tokens, product)] if tokens else []
        if by_name:
            return by_name
    return [product.key for product in sold if asked.core and asked.core in [plain(what) for what in gives(product)]]


def _by_name(tokens: Tokens, product: Product) -> list[str]:
    if tokens in (plain(product.key), plain(product.name)):
        return [product.key]
    return [price.key for price in product.prices if tokens == plain(price.key)]


def near(asked: Asked, products: Iterable[Product]) -> list[str]:
    """Return the keys of products that the words name in part, so that the person can be asked which one they mean.

    Whoever says that they want something is asked about products that share the most words with it; whoever only
    mentions it, about those that have all of its words.
    """
    wanted = {token for token in asked.core if not token.isdigit() and token not in _AROUND}
    shared = {product.key: len(wanted & _words_of(product)) for product in products}
    most = max(shared.values(), default=0)
    if not most or (most < len(wanted) and not asked.wants):
        return []
    return [key for key, count in shared.items() if count == most]


def _words_of(product: Product) -> set[str]:
    return {word for text in (product.key, product.name) for word in plain(text)}
