"""Buyers' pages in a shop's own colours, as people see them: in light and dark, on a phone, with nothing from elsewhere."""

# ruff: noqa: F401, F811 (fixtures are imported and then named as arguments)

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

from browser import browser, page
from browser_form import AXE
from desk import Desk
from sandbox_fixtures import until
from test_storefront import catalogue, folder, shop
from tools import node_package


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_sees_the_shop_and_can_read_its_pages(shop: Desk, folder: Path, page: Page, scheme: str) -> None:
    axe = (node_package("axe-core", AXE) / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    catalogue(folder, accent="#ffd400")  # the hardest: no light page shows a line of it
    until(lambda: "#ffd400" in httpx.get(f"{shop.url}/shop/theme.css").text, what="the catalogue's new colour")
    buyer = shop.buyer()
    link = buyer.checkout("credits-10")["link"]
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).netloc))
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size({"width": 360, "height": 780})
    for address in (f"{shop.url}/chat", link, link.replace("/r/", "/pay/")):
        page.goto(address)
        expect(page.locator(".brand-name")).to_have_text("Ania & <Lessons>")
        logo = page.locator(".brand .logo")
        expect(logo).to_be_visible()
        assert logo.evaluate("image => image.complete && image.naturalWidth > 0")
        expect(page.get_by_role("link", name="Terms")).to_have_attribute("href", "https://ania.example/terms?a=1&b=2")
        if "/chat" not in address:
            expect(page.get_by_role("button", name="Pay $9.99")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.evaluate(axe)
        found = page.evaluate("axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] })")
        assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
    page.goto(link)
    expect(page.locator(".pay .button-primary")).to_have_css("background-color", "rgb(255, 212, 0)")
    expect(page.locator(".pay .button-primary")).to_have_css("color", "rgb(0, 0, 0)")
    assert set(asked) <= {urlsplit(shop.url).netloc, urlsplit(shop.sandbox.url).netloc}
