"""Buying in the conversation: products to tap through, their prices, and the offer with its pay link.

Chat never waits for Stripe: an offer is a link of ours; the Checkout session is made when its button is pressed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from paydesk import checkout, money
from paydesk.catalog import Catalog, Price, Product
from paydesk.channels.base import Button
from paydesk.chat import billing, naming
from paydesk.chat.reply import Reply, Said, page, within
from paydesk.chat.texts import LABEL_MAX, Texts, Words, one_line
from paydesk.customers import Thread
from paydesk.errors import Conflict

IN_STARS = ("telegram",)
"""Where people can pay in the platform's own money."""

IN_SHOP = ("discord",)
"""Where people can buy in the platform's own shop."""

PAGE = 8
"""How many buttons stand under a list at most."""

Gone = Callable[[], Awaitable[Collection[str]]]
"""Returns the keys of products and prices that nobody can buy just now."""

_PAGE = re.compile(r"#(\d{1,4})", re.ASCII)


async def nothing_gone() -> Collection[str]:
    """Return that everything can be bought."""
    return ()


class Shop:
    """Answers what people want to buy. Made once; holds nothing about anybody."""

    def __init__(self, desk: Callable[[], billing.Desk], texts: Texts, *, livemode: bool, gone: Gone) -> None:
        self._desk = desk
        self._texts = texts
        self._livemode = livemode
        self._gone = gone

    async def buy(self, said: Said) -> list[Reply]:
        """Show what there is, the prices of what was named, or offer it; ask where it is not plain what is meant."""
        desk, gone = self._desk(), await self._gone()
        key, _, rest = said.argument.partition(" ")
        number = _PAGE.fullmatch(rest or key)
        if not said.argument or (number and not rest):
            return [self._shelf(said.words, desk.catalog, gone, int(number[1]) if number else 1)]
        if (number or not rest) and _knows(desk.catalog, key):
            return [await self._chosen(said, desk, gone, key, int(number[1]) if number else 1)]
        price = _told_apart(desk.catalog, key, rest.split())
        if price is not None:
            return [await self._chosen(said, desk, gone, price.key, 1)]
        found = await self.wanted(said)
        if found is not None:
            return found
        return [self._shelf(said.words, desk.catalog, gone, 1, said.words.say("no_product"))]

    async def wanted(self, said: Said) -> list[Reply] | None:
        """Answer words that name products: with an offer where it is one, with a question where it is not plain which."""
        desk, gone = self._desk(), await self._gone()
        asked = naming.read(said.text)
        offered = _offered(desk.catalog, gone)
        keys = naming.named(asked, offered, self._gives(said.words, asked.language))
        if len(keys) == 1:
            return [await self._chosen(said, desk, gone, keys[0], 1)]
        keys = keys or naming.near(asked, offered)
        if not keys:
            return None
        buttons = [_button(desk.catalog, key) for key in keys[:PAGE]]
        return [Reply(said.words.say("which_product"), tuple(buttons))]

    def _gives(self, words: Words, language: str | None) -> Callable[[Product], list[str]]:
        """Return what says in words what a product gives, in English, the person's language and the one they wrote."""
        spoken = {one.language: one for one in (words, self._texts.words("en"), self._texts.words(language or "en"))}

        def gives(product: Product) -> list[str]:
            if len(product.grants) != 1 or product.grants[0].kind != "credits":
                return []
            grant = product.grants[0]
            return [one.count(grant.amount, grant.unit) for one in spoken.values()]

        return gives

    # --- lists ---------------------------------------------------------------------------------------------------------

    def _shelf(self, words: Words, catalog: Catalog, gone: Collection[str], number: int, intro: str = "") -> Reply:
        """Return a page of products, each with a button."""
        offered = _offered(catalog, gone)
        if not offered:
            return Reply(words.say("shelf_empty"))
        number = within(number, len(offered), PAGE)
        each = len(offered) if len(offered) <= PAGE else PAGE - 2
        lines = [intro] if intro else []
        for product in offered[(number - 1) * each : number * each]:
            prices = words.join((words.price(price) for price in _prices(product, gone)), "list_or")
            lines.append(words.say("shelf_line", name=one_line(product.name), prices=prices))
        buttons = [_button(catalog, product.key) for product in offered]
        return Reply("\n".join(lines), page(buttons, number, PAGE, "/buy", words))

    async def _chosen(self, said: Said, desk: billing.Desk, gone: Collection[str], key: str, number: int) -> Reply:
        """Return the offer of what was chosen, or its prices where it has several."""
        product = desk.catalog.products.get(key)
        price = desk.catalog.find_price(key)
        sold = product or desk.catalog.products[desk.catalog.prices[key].product]
        prices = _prices(sold, gone)
        if not prices or (price is not None and price not in prices):
            intro = said.words.say("not_available", name=one_line(sold.name))
            return self._shelf(said.words, desk.catalog, gone, 1, intro)
        if price is None and len(prices) > 1:
            buttons = [Button(said.words.price(one), command=f"/buy {one.key}") for one in prices]
            text = said.words.say("which_price", name=one_line(sold.name))
            return Reply(text, page(buttons, number, PAGE, f"/buy {key}", said.words))
        return await self._offer(said, desk, (price or prices[0]).key)

    async def _offer(self, said: Said, desk: billing.Desk, price_key: str) -> Reply:
        """Return a pay button for one unit of a price, on the person's open order for it if there is one."""
        words = said.words
        line = checkout.line_of(desk.catalog, price_key, 1)
        thread = Thread(said.where.channel, said.where.external_id, said.where.conversation)
        new = checkout.NewOrder(said.customer, (line,), thread)
        name = one_line(line.name)
        try:
            order = await checkout.create_order(desk.store, new, livemode=self._livemode, reuse=True)
        except Conflict as conflict:
            if conflict.code != "already_subscribed":
                raise
            answer = await billing.billing(desk, said.customer, words)
            return Reply(f"{words.say('have_already', name=name)}\n{answer.text}", answer.buttons)
        row = await checkout.get(desk.store, order)
        price = words.every(words.money(line.unit_amount, line.currency), line.price)
        text, button = words.say("offer", name=name, price=price), words.button("button_pay", amount=price)
        if row["trial_days"]:
            text = words.say_of("offer_trial", row["trial_days"], name=name, price=price)
            button = words.button("button_begin")
        link = f"{desk.public_url}/r/{row['link_token']}"
        buttons = [Button(button, url=link)]
        if said.where.channel in IN_STARS and row["stars"] and line.price is not None:
            amount = words.money(row["stars"], money.STARS)
            buttons.append(Button(words.button("button_pay", amount=amount), command=f"/stars {line.price.key}"))
        if said.where.channel in IN_SHOP and line.price is not None and line.price.discord_sku is not None:
            buttons.append(Button(name, article=line.price.discord_sku))
        return Reply(text, tuple(buttons), "offer", _facts(order, line, link))

    async def stars(self, said: Said) -> list[Reply]:
        """Show an invoice in the platform's own money, for what is sold for it there."""
        desk = self._desk()
        price = desk.catalog.find_price(said.argument)
        if price is None or not price.stars or said.where.channel not in IN_STARS:
            return await self.buy(said)
        offered = await self._chosen(said, desk, await self._gone(), price.key, 1)
        if offered.kind != "offer":
            return [offered]
        row = await checkout.get(desk.store, offered.facts["order"])
        if not row["stars"]:
            return [offered]
        name = one_line(desk.catalog.products[price.product].name)
        facts = {**offered.facts, "stars": row["stars"], "title": name}
        return [Reply(said.words.say("stars_invoice", name=name), (), "stars", facts)]


def _facts(order: str, line: checkout.Line, link: str) -> dict[str, Any]:
    """Return what is known of an offer, for channels that show it in places of their own."""
    price = line.price
    return {
        "order": order,
        "link": link,
        "amount": line.unit_amount,
        "currency": line.currency,
        "price": price.key if price else None,
        "segment": price.segment if price else None,
        "minutes": price.minutes if price else None,
    }


def _knows(catalog: Catalog, key: str) -> bool:
    return key in catalog.products or key in catalog.prices


def _told_apart(catalog: Catalog, key: str, words: list[str]) -> Price | None:
    """Return the one price of a product that has these minutes and segment: `/buy lesson 60 weekend`."""
    product = catalog.products.get(key)
    if product is None or not words:
        return None
    wanted = {word.lower() for word in words}
    fits = [one for one in product.prices if wanted <= {str(one.minutes), (one.segment or "").lower()}]
    return fits[0] if len(fits) == 1 else None


def _prices(product: Product, gone: Collection[str]) -> tuple[Price, ...]:
    """Return the prices of a product that can be bought just now."""
    return () if product.key in gone else tuple(price for price in product.prices if price.key not in gone)


def _offered(catalog: Catalog, gone: Collection[str]) -> list[Product]:
    return [product for product in catalog.products.values() if _prices(product, gone)]


def _button(catalog: Catalog, key: str) -> Button:
    """Return a button that asks for a product or price."""
    product = catalog.products.get(key) or catalog.products[catalog.prices[key].product]
    return Button(one_line(product.name, LABEL_MAX), command=f"/buy {key}")
