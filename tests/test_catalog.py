"""The catalogue file: read whole and right, or refused whole with file, line and reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paydesk import catalog, catalog_file
from paydesk.catalog import Catalog, Grant, Price
from paydesk.errors import CatalogError, NotFound

GOOD = """\
# A shop.
[products.ten]
name = "Ten"
prices = [{ currency = "usd", amount = "9.99" }]
grants = [{ kind = "credits", amount = 10 }]

[products.more]
name = "More"
prices = [{ key = "more-usd", currency = "usd", amount = "19.99" },
          { key = "more-eur", currency = "eur", amount = "18.00", stripe_price = "price_1" }]
grants = [{ kind = "credits", amount = 5, unit = "tokens", expires_days = 60, priority = 3 },
          { kind = "pass", feature = "premium", days = 30 }, { kind = "feature", feature = "vip" }]
description = "Much more"
goods = "physical"
on_dispute = "wait"
payment_methods = ["card", "ideal"]
"""


def loaded(tmp_path: Path, text: str, **environ: str) -> Catalog:
    path = tmp_path / "catalog.toml"
    path.write_text(text, encoding="utf-8")
    return catalog_file.load(path, environ)


def test_a_good_catalogue_is_read_as_it_is_written(tmp_path: Path) -> None:
    read = loaded(tmp_path, GOOD)
    assert list(read.products) == ["ten", "more"]
    assert read.prices["ten"] == Price("ten", "ten", "usd", 999)
    assert read.prices["more-eur"].stripe_price == "price_1"
    more = read.products["more"]
    assert (more.goods, more.on_dispute, more.payment_methods) == ("physical", "wait", ("card", "ideal"))
    assert more.grants[0] == Grant("credits", unit="tokens", amount=5, expires_days=60, priority=3)
    assert [grant.text(2) for grant in more.grants] == ["10 tokens", "60 days of premium", "vip"]


def test_what_stands_for_a_price_in_discords_shop_stands_for_one(tmp_path: Path) -> None:
    sold = GOOD.replace('amount = "9.99"', 'amount = "9.99", discord_sku = "1180218955160375406"')
    assert loaded(tmp_path, sold).prices["ten"].discord_sku == "1180218955160375406"
    twice = sold.replace('key = "more-usd", ', 'key = "more-usd", discord_sku = "1180218955160375406", ')
    with pytest.raises(CatalogError, match="the SKU 1180218955160375406 stands for two prices"):
        loaded(tmp_path, twice)


def test_what_init_writes_is_a_good_catalogue(tmp_path: Path) -> None:
    assert len(loaded(tmp_path, catalog.TEMPLATE).products) == 4


def test_a_catalogue_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert loaded(tmp_path, "\ufeff" + GOOD).products == loaded(tmp_path, GOOD).products


def test_a_price_is_found_by_its_key_and_by_a_product_that_has_one(tmp_path: Path) -> None:
    read = loaded(tmp_path, GOOD)
    assert read.price("ten").amount == 999
    assert read.price("more-usd").amount == 1999
    with pytest.raises(NotFound, match="name one of them: more-usd, more-eur"):
        read.price("more")
    with pytest.raises(NotFound, match="no price 'nothing'"):
        read.price("nothing")


def test_an_existing_stripe_price_may_be_named_by_the_environment(tmp_path: Path) -> None:
    text = GOOD.replace('stripe_price = "price_1"', 'stripe_price_env = "MORE_EUR"')
    assert loaded(tmp_path, text, MORE_EUR="price_42").prices["more-eur"].stripe_price == "price_42"
    with pytest.raises(
        CatalogError, match=r"catalog\.toml:10: products\.more: stripe_price_env names MORE_EUR, which is not set"
    ):
        loaded(tmp_path, text)


# What is changed in the good catalogue, the line that is named, and the reason.
REFUSALS: list[tuple[str, str, int, str]] = [
    ("[products.ten]", '[products."ten cents"]', 2, "the product key 'ten cents' may have letters"),
    ('name = "Ten"', "", 2, "name must be a text of 1 to 120 characters"),
    ('name = "Ten"', 'name = "  "', 3, "name must be a text"),
    ('name = "Ten"', "name = 10", 3, "name must be a text"),
    ('name = "Ten"', f'name = "{"x" * 121}"', 3, "name must be a text"),
    ('name = "Ten"', 'name = "a\\u0000b"', 3, "name must be a text"),
    ('name = "Ten"', 'name = "Ten"\ncolour = "red"', 4, "unknown key 'colour'"),
    ('name = "Ten"', 'name = "Ten"\ngoods = "virtual"', 4, "goods must be one of digital, physical, real_world_service"),
    ('name = "Ten"', 'name = "Ten"\non_dispute = "ignore"', 4, "on_dispute must be one of hold, wait"),
    ('name = "Ten"', 'name = "Ten"\ndescription = 5', 4, "description must be a text of 1 to 500"),
    ('name = "Ten"', 'name = "Ten"\nimage = ""', 4, "image must be a text"),
    ('name = "Ten"', 'name = "Ten"\npayment_methods = "card"', 4, "payment_methods must be a list"),
    ('name = "Ten"', 'name = "Ten"\npayment_methods = [1]', 4, "payment_methods must be a list"),
    ('prices = [{ currency = "usd", amount = "9.99" }]', "", 2, "a product needs at least one price"),
    ('prices = [{ currency = "usd", amount = "9.99" }]', "prices = []", 4, "a product needs at least one price"),
    ('prices = [{ currency = "usd", amount = "9.99" }]', 'prices = "9.99"', 4, "prices must be a list of tables"),
    ('prices = [{ currency = "usd", amount = "9.99" }]', "prices = [9.99]", 4, "prices must be a list of tables"),
    ('currency = "usd", amount = "9.99"', 'currency = "USD", amount = "9.99"', 4, "currency must be three lower-case letters"),
    ('currency = "usd", amount = "9.99"', 'amount = "9.99"', 4, "currency must be three lower-case letters"),
    ('currency = "usd", amount = "9.99"', 'currency = "usd"', 4, "an amount is written as a decimal string"),
    ('amount = "9.99"', "amount = 9.99", 4, "an amount is written as a decimal string"),
    ('amount = "9.99"', "amount = 999", 4, "an amount is written as a decimal string"),
    ('amount = "9.99"', 'amount = "-9.99"', 4, "an amount is written as a decimal string"),
    ('amount = "9.99"', 'amount = "9.999"', 4, "usd has 2 decimals"),
    ('currency = "usd", amount = "9.99"', 'currency = "jpy", amount = "9.99"', 4, "jpy has 0 decimals"),
    ('amount = "9.99"', 'amount = "0.49"', 4, r"Stripe takes at least \$0.50"),
    ('amount = "9.99"', 'amount = "1000000.00"', 4, "more than"),
    ('amount = "9.99"', 'amount = "9.99", tax = 1', 4, "unknown key 'tax'"),
    ('key = "more-usd", ', "", 9, "each of several prices needs a key"),
    ('key = "more-usd", ', 'key = "a b", ', 9, "each of several prices needs a key"),
    ('key = "more-usd", ', 'key = "more-eur", ', 9, "the price key 'more-eur' is used twice"),
    ('key = "more-usd", ', 'key = "ten", ', 9, "the price key 'ten' is used twice"),
    ('stripe_price = "price_1"', "stripe_price = 1", 10, "stripe_price must be a text"),
    ('kind = "credits", amount = 10', 'kind = "gold", amount = 10', 5, "a grant's kind must be one of credits, pass, feature"),
    ('kind = "credits", amount = 10', "amount = 10", 5, "not None"),
    ('kind = "credits", amount = 10', 'kind = ["credits"], amount = 10', 5, "a grant's kind must be one of"),
    ('kind = "credits", amount = 10', 'kind = "credits"', 5, "amount must be a whole number from 1 to 1,000,000,000"),
    ('kind = "credits", amount = 10', 'kind = "credits", amount = 0', 5, "amount must be a whole number"),
    ('kind = "credits", amount = 10', 'kind = "credits", amount = -1', 5, "amount must be a whole number"),
    ('kind = "credits", amount = 10', 'kind = "credits", amount = 1.5', 5, "amount must be a whole number"),
    ('kind = "credits", amount = 10', 'kind = "credits", amount = true', 5, "amount must be a whole number"),
    ('kind = "credits", amount = 10', 'kind = "credits", amount = "10"', 5, "amount must be a whole number"),
    ('kind = "credits", amount = 10', 'kind = "credits", amount = 10, days = 3', 5, "unknown key 'days'"),
    ("expires_days = 60", "expires_days = 0", 11, "expires_days must be a whole number from 1 to 36,500"),
    ("expires_days = 60", "expires_days = 36501", 11, "expires_days must be a whole number"),
    ("priority = 3", "priority = 101", 11, "priority must be a whole number from -100 to 100"),
    ('unit = "tokens"', 'unit = "to kens"', 11, "unit must be a name"),
    ("days = 30", "days = 0", 12, "days must be a whole number"),
    ("days = 30", "days = 30.0", 12, "days must be a whole number"),
    (', days = 30', "", 12, "days must be a whole number"),
    ('feature = "premium", ', "", 12, "feature must be a name"),
    ('feature = "vip"', 'feature = ""', 12, "feature must be a name"),
    ('feature = "vip"', 'feature = "vip", days = 3', 12, "unknown key 'days'"),
    ('grants = [{ kind = "credits", amount = 10 }]', "grants = 10", 5, "grants must be a list of tables"),
    ("# A shop.", "title = 1", 1, "unknown key 'title'"),
    ('amount = "9.99"', 'amount = "9.99", discord_sku = 1180218955160375406', 4, "discord_sku is the id of a SKU, as a text"),
    ('amount = "9.99"', 'amount = "9.99", discord_sku = "coins"', 4, "discord_sku is the id of a SKU, as a text"),
]  # fmt: skip

NOT_SOLD_YET = [
    ('amount = "9.99"', 'amount = "9.99", minutes = 0', "minutes must be a whole number from 1 to 1,440"),
    ('amount = "9.99"', 'amount = "9.99", segment = "at the weekend"', "segment must be a short name such as weekend"),
    ('name = "Ten"', 'name = "Ten"\nstock = 40', "stock is not sold by this version"),
    ('kind = "credits", amount = 10', 'kind = "booking"', "booking is not sold"),
    ('kind = "credits", amount = 10', 'kind = "ticket"', "ticket is not sold"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "reason"), REFUSALS, ids=[reason for *_, reason in REFUSALS])
def test_a_bad_catalogue_is_refused_with_file_line_and_reason(
    tmp_path: Path, old: str, new: str, line: int, reason: str
) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(CatalogError, match=reason) as refused:
        loaded(tmp_path, GOOD.replace(old, new))
    assert refused.value.message.startswith(f"{tmp_path / 'catalog.toml'}:{line}: ")
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(("old", "new", "reason"), NOT_SOLD_YET, ids=[reason.split()[0] for *_, reason in NOT_SOLD_YET])
def test_what_this_version_does_not_sell_yet_is_refused_and_not_sold_wrongly(
    tmp_path: Path, old: str, new: str, reason: str
) -> None:
    with pytest.raises(CatalogError, match=reason):
        loaded(tmp_path, GOOD.replace(old, new))


def test_no_file_no_text_no_toml_and_no_products_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="there is no catalogue here; make one with: paydesk init"):
        catalog_file.load(tmp_path / "nothing.toml")
    with pytest.raises(CatalogError, match="cannot be read"):
        catalog_file.load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(CatalogError, match="cannot be read"):
        catalog_file.load(tmp_path / "latin.toml")
    with pytest.raises(CatalogError, match=r"catalog\.toml: .*line 2"):
        loaded(tmp_path, "[products.ten]\nname = ten\n")
    for empty in ("", "[products]\n", "products = 5\n"):
        with pytest.raises(CatalogError, match="no products"):
            loaded(tmp_path, empty)
    with pytest.raises(CatalogError, match=r"products\.ten must be a table"):
        loaded(tmp_path, "[products]\nten = 5\n")


@given(st.text(max_size=300) | st.text(alphabet='[]{}=".,\n productsnamekind0123456789', max_size=300))
def test_no_text_makes_anything_but_a_catalogue_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(CatalogError):
        catalog_file.load(path)


# --- subscriptions, roles, memberships -------------------------------------------------------------------------------

CLUB = """
[products.club]
name = "Club"
payment_methods = ["card"]
prices = [{ key = "club-month", currency = "eur", amount = "5.00", interval = "month", trial_days = 7 },
          { key = "club-quarter", currency = "eur", amount = "12.00", interval = "month", interval_count = 3 }]
grants = [{ kind = "credits", amount = 500, per = "cycle", expires_days = 60, trial_amount = 20 },
          { kind = "role", channel = "discord", space = "10", role = "20" },
          { kind = "member", channel = "telegram", space = "-1001234567890" }]
grace_days = 5
reminders = false
"""


def test_a_subscription_is_read_whole(tmp_path: Path) -> None:
    product = loaded(tmp_path, CLUB).products["club"]
    month, quarter = product.prices
    assert (month.interval, month.interval_count, month.trial_days) == ("month", 1, 7)
    assert (month.display(), quarter.display()) == ("€5.00 a month", "€12.00 every 3 months")
    each, role, member = product.grants
    assert (each.per, each.trial_amount, each.text()) == ("cycle", 20, "500 credits each cycle")
    assert (role.feature, member.feature) == ("discord:10:20", "telegram:-1001234567890")
    assert (product.grace_days, product.reminders, product.starts) == (5, False, "purchase")


ILL_CLUBS = [
    ('interval = "month", trial', 'interval = "fortnight", trial', "interval must be one of day, week, month, year"),
    ("trial_days = 7", 'trial_days = 7, discord_sku = "118"', "Discord does not tell when a cycle is paid"),
    ("interval_count = 3", "interval_count = 37", "interval_count must be a whole number from 1 to 36"),
    ("trial_days = 7", "trial_days = 0", "trial_days must be a whole number from 1"),
    ('payment_methods = ["card"]', 'payment_methods = ["card", "blik"]', "blik cannot pay for the subscription club-month"),
    ('payment_methods = ["card"]', 'payment_methods = ["p24"]', "single payments only"),
    ('per = "cycle"', 'per = "month"', 'per must be "cycle"'),
    ('amount = 500, per = "cycle"', "amount = 500", 'trial_amount needs per = "cycle"'),
    ('amount = 500, per = "cycle", expires_days = 60, trial_amount = 20', "amount = 500", 'come with per = "cycle"'),
    ('space = "10"', "space = 10", "space must be the id of a server or group"),
    (', role = "20"', "", "role must be a name"),
    ('role = "20"', 'role = "20", days = 30', "a subscription gives for as long as it lasts"),
    ("grace_days = 5", "grace_days = -1", "grace_days must be a whole number from 0"),
    ("reminders = false", 'reminders = "no"', "reminders is true or false"),
    ("grace_days = 5", 'grace_days = 5\nstarts = "claim"', 'starts = "claim" is for what is paid once'),
    (', interval = "month", trial_days = 7', "", 'per = "cycle" needs an interval on every price'),
    ('interval = "month", trial_days = 7', "trial_days = 7", "trial_days needs an interval"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "reason"), ILL_CLUBS, ids=[reason for *_, reason in ILL_CLUBS])
def test_a_subscription_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert CLUB.count(old) >= 1
    with pytest.raises(CatalogError, match=re.escape(reason)):
        loaded(tmp_path, CLUB.replace(old, new, 1))
