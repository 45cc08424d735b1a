"""The shop's name, logo, colour and addresses: what may be written, and that every page of a buyer's shows them."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import CATALOG, settings_for
from desk import Desk, running_desk
from paydesk import catalog_file, portal, storefront
from paydesk.config import Secret
from paydesk.errors import CatalogError
from paydesk.privacy import Vault
from paydesk.web.pages.assets import FOLDER
from sandbox_fixtures import Sandbox, until

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="4" fill="#7a3cff"/></svg>'
SHOP = """
[shop]
name = "Ania & <Lessons>"
logo = "{logo}"
accent = "{accent}"
terms = "https://ania.example/terms?a=1&b=2"
privacy = "https://ania.example/privacy"
support = "help@ania.example"
"""
BROWSER = {"Accept": "text/html,*/*"}


def catalogue(folder: Path, logo: str = "logo.svg", accent: str = "#7a3cff") -> Path:
    """The tests' catalogue with a shop, and its logo beside it."""
    (folder / "logo.svg").write_text(SVG)
    written = folder / "catalog.toml"
    written.write_text(CATALOG.read_text() + SHOP.format(logo=logo, accent=accent))
    return written


# --- what may be written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["<svg\n", "<!--Ania--><svg ", '\ufeff<?xml version="1.0"?>\n<svg '])
def test_a_picture_may_begin_as_programs_write_it(tmp_path: Path, head: str) -> None:
    (tmp_path / "logo.svg").write_text(SVG.replace("<svg ", head, 1))
    assert storefront.read_logo("logo.svg", tmp_path).media_type == "image/svg+xml"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('logo = "logo.gif"', ".svg, .webp"),
        ('logo = "../logo.svg"', "beside the catalogue"),
        ('logo = "/etc/logo.svg"', "beside the catalogue"),
        ('logo = "http://ania.example/logo.svg"', "https://shop.example"),
        ('logo = "javascript://x"', "https://shop.example"),
        ('logo = "none.png"', "No such file"),
        ('logo = "fake.png"', "no png picture"),
        ('logo = "pipe.svg"', "no file of the catalogue's folder"),
        ('logo = "away.svg"', "no file of the catalogue's folder"),
        ('logo = "large.svg"', "256 KiB"),
        ('accent = "red"', "#0a6b4b"),
        ('accent = "#fff"', "#0a6b4b"),
        ('accent = "#123456; } body { display: none"', "#0a6b4b"),
        ('terms = "javascript:alert(1)"', "https://shop.example/terms"),
        ('terms = "https://user@ania.example"', "without a user"),
        ('terms = "https://ania.example:99999"', "a port that exists"),
        ('privacy = "https://"', "https://shop.example/terms"),
        ('support = "me"', "e-mail address"),
        ('support = "a@b.example?bcc=c@d.example"', "e-mail address"),
        ("terms = 7", "text of 1 to"),
        ('motto = "?"', "unknown key 'motto'"),
    ],
    ids=lambda value: value if "=" in value else "",
)
def test_what_no_page_could_show_is_refused_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "fake.png").write_text(SVG)
    os.mkfifo(tmp_path / "pipe.svg")
    (tmp_path / "away.svg").symlink_to(CATALOG)
    (tmp_path / "large.svg").write_text(SVG + " " * storefront.LOGO_BYTES_MAX)
    written = tmp_path / "catalog.toml"
    above = CATALOG.read_text() + '\n[shop]\nname = "Ania"\n'
    written.write_text(f"{above}{line}\n")
    with pytest.raises(CatalogError) as refused:
        catalog_file.load(written)
    assert refused.value.message.startswith(f"{written}:{above.count(chr(10)) + 1}: [shop]: ")
    assert told in refused.value.message


def test_a_shop_without_a_name_is_refused_and_one_that_is_no_table(tmp_path: Path) -> None:
    written = tmp_path / "catalog.toml"
    written.write_text(CATALOG.read_text() + '\n[shop]\naccent = "#123456"\n')
    with pytest.raises(CatalogError, match="name must be a text"):
        catalog_file.load(written)
    written.write_text("shop = 3\n" + CATALOG.read_text())
    with pytest.raises(CatalogError, match="shop must be a table"):
        catalog_file.load(written)
    assert catalog_file.load(CATALOG).shop == storefront.NOBODY


def test_every_colour_is_seen_and_read_on_every_ground_in_light_and_in_dark() -> None:
    chance = random.Random(7)
    fixed = ["#000000", "#ffffff", "#777777", "#ffd400", "#0a1a3a", "#7a3cff", "#ff0000", "#00ff00"]
    for accent in [*fixed, *(f"#{chance.randrange(1 << 24):06x}" for _ in range(300))]:
        for scheme, grounds in storefront.GROUNDS.items():
            shades = storefront.shades(accent, scheme)
            assert shades["--accent"] == accent
            for of, on, least in (
                ("--accent-ink", "--accent", 4.5),
                ("--accent-ink", "--accent-hover", 4.5),
                ("--accent-text", "--accent-soft", 4.5),
            ):
                assert contrast(shades[of], shades[on]) >= least, (accent, scheme, of)
            for ground in grounds:
                assert contrast(shades["--accent-edge"], ground) >= 3, (accent, scheme)
                assert contrast(shades["--accent-text"], ground) >= 4.5, (accent, scheme)


def contrast(one: str, other: str) -> float:
    """WCAG's contrast, worked out beside the code."""
    lights = []
    for colour in (one, other):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        lights.append(sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_the_grounds_are_those_of_the_pages() -> None:
    light, dark = (FOLDER / "paydesk.css").read_text().split("@media (prefers-color-scheme: dark)", 1)
    for scheme, styles in (("light", light), ("dark", dark)):
        found = tuple(re.findall(rf"--{name}: (#[0-9a-f]{{6}})", styles)[0] for name in ("canvas", "surface", "sunken"))
        assert found == storefront.GROUNDS[scheme]


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def shop(new_database: Callable[[], str], stripe_sandbox: Sandbox, folder: Path) -> Iterator[Desk]:
    """A desk of a shop that has everything."""
    more = {"PAYDESK_CATALOG": str(catalogue(folder)), "STRIPE_PUBLISHABLE_KEY": "pk_test_shop"}
    with running_desk(settings_for(new_database(), stripe_sandbox.url, **more), stripe_sandbox) as running:
        yield running


def pages_of(shop: Desk) -> dict[str, httpx.Response]:
    """Every page that a buyer may come to, by its address."""
    buyer = shop.buyer()
    order = buyer.checkout("credits-10")
    paid = buyer.buy("credits-50")
    token = order["link"].rsplit("/", 1)[1]
    vault = Vault([Secret(shop.settings["PAYDESK_ENCRYPTION_KEYS"])])
    paths = [
        "/", "/chat", f"/r/{token}", f"/r/{paid['link'].rsplit('/', 1)[1]}", f"/pay/{token}", "/r/unknown0000000000",
        "/nothing/here", portal.link(vault, "", buyer.id), "/billing/none",
    ]  # fmt: skip
    return {path: httpx.get(shop.url + path, headers=BROWSER) for path in paths}


def test_every_page_of_a_buyers_is_the_shops(shop: Desk) -> None:
    for path, answer in pages_of(shop).items():
        assert answer.status_code in (200, 404), path
        page = answer.text
        assert "Ania &amp; &lt;Lessons&gt;</title>" in page, path
        assert re.search(r'<img class="logo" src="/shop/logo\?v=[0-9a-f]{16}" alt=""', page), path
        assert re.search(r'<link rel="stylesheet" href="/shop/theme.css\?v=[0-9a-f]{16}">', page), path
        for address in (
            "https://ania.example/terms?a=1&amp;b=2",
            "https://ania.example/privacy",
            "mailto:help@ania.example",
        ):
            assert f'href="{address}"' in page, (path, address)
        assert "<Lessons>" not in page
        assert "Paydesk" not in re.sub(r"(?s)<main.*</main>", "", page) or path == "/", path
        assert "ania.example" not in answer.headers["content-security-policy"], (
            "nothing of the shop's is loaded from there"
        )
        assert not re.search(r"\sstyle=", page)


def test_the_words_at_the_foot_are_in_the_buyers_language(shop: Desk) -> None:
    link = shop.buyer().checkout("credits-10")["link"]
    said = httpx.get(link, params={"locale": "pl"}, headers=BROWSER).text
    for word in ("Regulamin", "Prywatność", "Pomoc i kontakt"):
        assert f">{word}</a>" in said


def test_in_the_chat_terms_and_support_lead_to_the_shops(shop: Desk, desk: Desk) -> None:
    def said(on: Desk, text: str, locale: str = "en") -> dict[str, Any]:
        told = {"channel": "telegram", "external_id": str(random.randrange(10**9)), "text": text, "locale": locale}
        (reply,) = on.post("/v1/chat", told)["replies"]
        return dict(reply)

    terms = said(shop, "/regulamin", "pl")
    assert terms["text"].startswith("Kupujesz od: Ania & <Lessons>")
    assert terms["buttons"] == [
        {"label": "Regulamin", "url": "https://ania.example/terms?a=1&b=2"},
        {"label": "Prywatność", "url": "https://ania.example/privacy"},
    ]
    support = said(shop, "/support")
    assert support["text"].splitlines()[1:] == ["Ania & <Lessons>: help@ania.example"]
    assert support["buttons"] == [], "no chat opens an e-mail address from a button"
    assert "Ask them for their terms" in said(desk, "/terms")["text"]
    assert "\n" not in said(desk, "/support")["text"]


def test_a_page_of_the_shops_own_is_told_whose_it_is(shop: Desk, desk: Desk) -> None:
    told = shop.get("/v1/config")["shop"]
    logo = told.pop("logo")
    assert logo.startswith(shop.settings["PAYDESK_PUBLIC_URL"] + "/shop/logo?v=")
    assert httpx.get(shop.url + logo.partition(shop.settings["PAYDESK_PUBLIC_URL"])[2]).status_code == 200
    assert told == {
        "name": "Ania & <Lessons>", "accent": "#7a3cff", "terms": "https://ania.example/terms?a=1&b=2",
        "privacy": "https://ania.example/privacy", "support": "mailto:help@ania.example",
    }  # fmt: skip
    assert desk.get("/v1/config")["shop"] is None


def test_logo_and_colour_are_served_harmlessly_and_kept_by_their_version(shop: Desk) -> None:
    page = httpx.get(f"{shop.url}/chat", headers=BROWSER).text
    for name, kind in (("logo", "image/svg+xml"), (r"theme\.css", "text/css; charset=utf-8")):
        found = re.search(rf"/shop/{name}\?v=[0-9a-f]{{16}}", page)
        assert found is not None
        answer = httpx.get(shop.url + found[0])
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = httpx.get(shop.url + found[0].partition("?")[0], headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.headers["cache-control"]) == (304, "public, no-cache")
    logo = httpx.get(f"{shop.url}/shop/logo")
    assert logo.text == SVG
    assert logo.headers["content-security-policy"].endswith("; sandbox")
    assert "script-src" not in logo.headers["content-security-policy"]


def test_a_desk_of_no_shop_serves_neither(desk: Desk) -> None:
    for path in ("/shop/logo", "/shop/theme.css"):
        assert httpx.get(desk.url + path).status_code == 404
    page = httpx.get(f"{desk.url}/chat", headers=BROWSER).text
    assert "<title>Chat · Paydesk</title>" in page
    assert "/shop/" not in page


def test_a_logo_elsewhere_is_the_only_thing_that_a_page_may_load_from_there(shop: Desk, folder: Path) -> None:
    link = shop.buyer().checkout("credits-10")["link"]
    catalogue(folder, logo="https://cdn.ania.example:8443/logo.png", accent="#ffd400")

    def shown() -> httpx.Response | None:
        answer = httpx.get(link, headers=BROWSER)
        return answer if 'src="https://cdn.ania.example:8443/logo.png"' in answer.text else None

    answer = until(shown, what="the catalogue's new shop")
    for page in (answer, httpx.get(link.replace("/r/", "/pay/"), headers=BROWSER)):
        policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
        assert "https://cdn.ania.example:8443" in policy.pop("img-src").split()
        assert "ania.example" not in str(policy)
    assert httpx.get(f"{shop.url}/shop/logo").status_code == 404
    assert "#ffd400" in httpx.get(f"{shop.url}/shop/theme.css").text
