"""Typed words name a product plainly or are asked about: never guessed, never read for money."""

from __future__ import annotations

from pathlib import Path

import pytest

from paydesk import catalog_file
from paydesk.catalog import Catalog, Product
from paydesk.chat import naming
from paydesk.chat.texts import BUILT_IN

SOLD = """
[products.credits-10]
name = "10 credits"
prices = [{ currency = "usd", amount = "9.99" }]
grants = [{ kind = "credits", amount = 10 }]
[products.credits-50]
name = "Big pack"
prices = [{ currency = "usd", amount = "39.99" }]
grants = [{ kind = "credits", amount = 50 }]
[products.kilo]
name = "1,000 tokens"
prices = [{ currency = "usd", amount = "5.00" }]
grants = [{ kind = "credits", amount = 1000, unit = "tokens" }]
[products.cafe]
name = "Zażółć Café – Ticket!"
prices = [{ currency = "usd", amount = "5.00" }]
[products.section-101]
name = "Lakers vs Warriors, Section 101"
prices = [{ currency = "usd", amount = "200.00" }]
[products.section-102]
name = "Lakers vs Warriors, Section 102"
prices = [{ currency = "usd", amount = "150.00" }]
[products.vip]
name = "VIP"
prices = [{ key = "vip-month", currency = "pln", amount = "19.99", interval = "month" },
          { key = "vip-year", currency = "pln", amount = "199.00", interval = "year" }]
[products.twin-a]
name = "Twin"
prices = [{ currency = "usd", amount = "1.00" }]
[products.twin-b]
name = "twin"
prices = [{ currency = "usd", amount = "2.00" }]
[products.order]
name = "The Order"
prices = [{ currency = "usd", amount = "2.00" }]
"""


@pytest.fixture(scope="module")
def sold(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    path: Path = tmp_path_factory.mktemp("sold") / "catalog.toml"
    path.write_text(SOLD, encoding="utf-8")
    return catalog_file.load(path)


def gives(product: Product) -> list[str]:
    return [
        BUILT_IN.words(language).count(grant.amount, grant.unit)
        for grant in product.grants
        for language in ("en", "pl", "nl")
    ]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("10 credits", ["credits-10"]), ("credits-10", ["credits-10"]), ("CREDITS 10", ["credits-10"]),
        ("buy 10 credits", ["credits-10"]), ("/buy 10 credits", ["credits-10"]),
        ("I'd like to buy 10 credits, please!", ["credits-10"]),
        ("kup 10 kredytów", ["credits-10"]), ("Poproszę 10 KREDYTOW", ["credits-10"]),
        ("Chciałbym kupić 50 kredytów", ["credits-50"]),
        ("ik wil graag 50 credits kopen", ["credits-50"]), ("big pack", ["credits-50"]), ("1000 tokens", ["kilo"]),
        ("koop 1.000 tokens", ["kilo"]), ("1 000 tokenów", ["kilo"]),
        ("zazolc cafe ticket", ["cafe"]), ("vip year", ["vip-year"]),
        ("vip", ["vip"]), ("lakers vs. warriors section 101", ["section-101"]), ("twin", ["twin-a", "twin-b"]),
        ("twin-a", ["twin-a"]),
        ("the order", ["order"]), ("10", []), ("", []), ("credits", []), ("100 credits", []), ("10 credits and 50 credits", []),
        ("?!", []), ("buy", []), ("-10 credits for $1", []), ("10 credits for 0.01 usd", []),
    ],
)  # fmt: skip
def test_words_name_a_product_plainly(sold: Catalog, text: str, keys: list[str]) -> None:
    assert naming.named(naming.read(text), sold.products.values(), gives) == keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("I'd like to buy 2 tickets for the Lakers game", ["section-101", "section-102"]),
        ("lakers", ["section-101", "section-102"]),
        ("buy credits", ["credits-10", "credits-50"]), ("cafe", ["cafe"]), ("what is this?", []), ("hello there", []),
        ("thank you for the ticket", []), ("101", []), ("buy 7", []), ("gold; DROP TABLE orders", []), ("", []),
    ],
)  # fmt: skip
def test_words_that_name_in_part_are_asked_about(sold: Catalog, text: str, keys: list[str]) -> None:
    assert naming.near(naming.read(text), sold.products.values()) == keys


def test_the_word_that_wants_tells_its_language() -> None:
    assert [naming.read(text).language for text in ("kup vip", "koop vip", "buy vip", "vip")] == [
        "pl",
        "nl",
        "en",
        None,
    ]
