"""What people can say, the same on every channel, in the language they read: the commands, and what they are called.

/start /buy /balance /status /history /billing /plan /pause /resume /cancel /keep /support /terms /lang /help, and those that
others bring.
Nothing about money is taken from what was typed: words only choose from the catalogue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from paydesk import books, customers, entitlements, money
from paydesk.catalog import Catalog
from paydesk.channels.base import Address, Button
from paydesk.chat import billing, texts
from paydesk.chat.plans import Plans
from paydesk.chat.reply import Reply, Said
from paydesk.chat.shop import Gone, Shop, nothing_gone
from paydesk.chat.texts import Texts, Words, one_line, short
from paydesk.clock import Clock
from paydesk.customers import Identity
from paydesk.errors import Invalid
from paydesk.privacy import Vault
from paydesk.shelf import Shelf
from paydesk.store import Store

__all__ = ["Conversation", "Reply", "Said"]

TEXT_MAX = 4000
NOT_UNDERSTOOD = "not_understood"
"""The kind of the answer to words that mean nothing here."""

HISTORY_MAX = 10
DEEP_LINK = "buy_"
"""How the start parameter begins that leads from a shop's page to a product: `/start buy_credits-10`."""

Command = Callable[[Said], Awaitable[list[Reply]]]

ALSO = {
    "plans": "buy", "kup": "buy", "kupic": "buy", "koop": "buy", "kopen": "buy",
    "saldo": "balance", "stan": "balance", "tegoed": "balance",
    "historia": "history", "geschiedenis": "history",
    "zmien": "plan", "zmień": "plan", "wijzig": "plan", "wijzigen": "plan",
    "wstrzymaj": "pause", "pauza": "pause", "pauze": "pause", "pauzeren": "pause",
    "wznow": "resume", "wznów": "resume", "hervat": "resume", "hervatten": "resume",
    "subskrypcje": "billing", "abonnementen": "billing",
    "anuluj": "cancel", "annuleer": "cancel", "opzeggen": "cancel",
    "paysupport": "support", "kontakt": "support", "contact": "support",
    "regulamin": "terms", "voorwaarden": "terms",
    "language": "lang", "jezyk": "lang", "język": "lang", "taal": "lang",
    "pomoc": "help", "hulp": "help",
}  # fmt: skip
"""What else commands are called."""


class Conversation:
    """Answers commands. Made once; holds nothing about anybody.

    `more` are the commands that others bring, `spoken` the texts of every language, and `gone` returns what nobody can
    buy just now.
    """

    def __init__(
        self, store: Store, shelf: Shelf, clock: Clock, vault: Vault, *, public_url: str, livemode: bool,
        more: Mapping[str, Command] | None = None, spoken: Texts = texts.BUILT_IN, gone: Gone = nothing_gone,
    ) -> None:  # fmt: skip
        self._store = store
        self._vault = vault
        self._sold = shelf
        self._clock = clock
        self._public_url = public_url
        self._spoken = spoken
        self._shop = Shop(self._desk, spoken, livemode=livemode, gone=gone)
        self._commands: dict[str, Command] = {
            "start": self._start,
            "buy": self._shop.buy,
            "stars": self._shop.stars,
            "balance": self._balance,
            "status": self._status,
            "history": self._history,
            "billing": self._billing,
            "cancel": self._cancel,
            "keep": self._keep,
            **Plans(self._desk, gone).commands(),
            "support": self._support,
            "terms": self._terms,
            "lang": self._lang,
            "help": self._help,
            **(more or {}),
        }

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the languages that it speaks."""
        return self._spoken.languages

    @property
    def texts(self) -> Texts:
        """Return the texts of every language."""
        return self._spoken

    def sentence(self, text: str, locale: str | None) -> str:
        """Return what a bank or Stripe says, in a person's language where it is one of the things often said."""
        return self._spoken.words(locale).sentence(text)

    async def answer(self, where: Address, text: str, *, locale: str | None = None) -> list[Reply]:
        """Return the answers to what somebody said. A person nobody knows yet is made.

        `locale` is the language that the channel tells of them: it counts until they choose one.
        """
        if not isinstance(text, str) or len(text) > TEXT_MAX or "\x00" in text:
            raise Invalid(f"text must be a text of at most {TEXT_MAX} characters", param="text")
        who: Identity = customers.identity(where.channel, where.external_id)
        customer, language = await customers.meet(self._store, who, locale)
        word, _, argument = text.strip().partition(" ")
        command = word.removeprefix("/").partition("@")[0].lower()  # in groups Telegram adds @thebot
        handler = self._commands.get(ALSO.get(command, command), self._anything)
        said = Said(customer, where, argument.strip(), text.strip(), self._spoken.words(language))
        return await handler(said)

    def say(self, name: str, language: str | None) -> str:
        """Return one of our texts in a language."""
        return self._spoken.words(language).say(name)

    # --- around it -----------------------------------------------------------------------------------------------------

    async def _start(self, said: Said) -> list[Reply]:
        if said.argument.startswith("link_") and "link" in self._commands:
            return await self._commands["link"](said)
        if said.argument.startswith(DEEP_LINK):
            wanted = said.argument.removeprefix(DEEP_LINK)
            return await self._shop.buy(replace(said, argument=wanted, text=f"buy {wanted}"))
        return [Reply(said.words.say("hello"), _menu(said.words))]

    async def _help(self, said: Said) -> list[Reply]:
        named = ["buy", "balance", "history", "billing", "plan", "cancel"]
        if "claim" in self._commands and any(one.starts == "claim" for one in self._catalog.products.values()):
            named.append("claim")
        if "link" in self._commands:
            named.append("link")
        return [Reply("\n".join(said.words.say(f"help_{name}") for name in (*named, "lang", "support", "help")))]

    async def _anything(self, said: Said) -> list[Reply]:
        return await self._shop.wanted(said) or [
            Reply(said.words.say("not_understood"), _menu(said.words), NOT_UNDERSTOOD)
        ]

    async def _support(self, said: Said) -> list[Reply]:
        """Tell where help is: an e-mail address stands in the text, because no chat opens one from a button."""
        shop, words = self._catalog.shop, said.words
        lines = [words.say("support"), *([f"{one_line(shop.name)}: {shop.email}"] if shop.email else [])]
        return [Reply("\n".join(lines), _leads(words, {"shop_support": shop.support}), "support")]

    async def _terms(self, said: Said) -> list[Reply]:
        """Lead to the shop's own terms; a shop that names none is asked for them."""
        shop, words = self._catalog.shop, said.words
        if shop.terms is None:
            return [Reply(words.say("terms"), _leads(words, {"shop_privacy": shop.privacy}))]
        text = words.say("terms_shop", shop=one_line(shop.name))
        return [Reply(text, _leads(words, {"shop_terms": shop.terms, "shop_privacy": shop.privacy}))]

    async def _lang(self, said: Said) -> list[Reply]:
        """Ask which language they read, or keep what they chose: from then on no channel changes it."""
        chosen = self._spoken.language(said.argument) if said.argument else None
        if chosen is None:
            buttons = (Button(self._own_name(one), command=f"/lang {one}") for one in self._spoken.languages)
            return [Reply(said.words.say("lang_which"), tuple(buttons))]
        await customers.choose_locale(self._store, said.customer, chosen)
        words = self._spoken.words(chosen)
        return [Reply(words.say("lang_set", language=self._own_name(chosen)), _menu(words))]

    def _own_name(self, language: str) -> str:
        return self._spoken.words(language).button("language_name")

    # --- subscriptions -------------------------------------------------------------------------------------------------

    async def _billing(self, said: Said) -> list[Reply]:
        return [await billing.billing(self._desk(), said.customer, said.words)]

    async def _cancel(self, said: Said) -> list[Reply]:
        return [await billing.cancel(self._desk(), said.customer, said.argument, said.words)]

    async def _keep(self, said: Said) -> list[Reply]:
        return [await billing.keep(self._desk(), said.customer, said.argument, said.words)]

    # --- what one has --------------------------------------------------------------------------------------------------

    async def _balance(self, said: Said) -> list[Reply]:
        now, words = self._clock.now(), said.words
        async with self._store.transaction() as tx:
            wallets = await books.wallets(tx, said.customer, now)
            reasons = await entitlements.load(tx, [said.customer])
        lines = [_has(words, unit, wallet) for unit, wallet in sorted(wallets.items())]
        for feature in sorted({held.feature for held in reasons}):
            access = entitlements.access([held for held in reasons if held.feature == feature], now)
            if access.allowed:
                lines.append(_may(words, feature, access))
        return [Reply("\n".join(lines) or words.say("nothing_yet"))]

    async def _status(self, said: Said) -> list[Reply]:
        """Tell what somebody has, and until when: credits, passes and subscriptions."""
        has = await self._balance(said)
        subscribed = await billing.has_any(self._desk(), said.customer)
        return [*has, *await self._billing(said)] if subscribed else has

    async def _history(self, said: Said) -> list[Reply]:
        words = said.words
        rows = await self._store.fetch(
            "SELECT o.id, o.status, o.created_at, "
            "CASE WHEN p.currency = ANY($3::text[]) THEN p.amount ELSE o.amount END AS amount, "
            "CASE WHEN p.currency = ANY($3::text[]) THEN p.currency ELSE o.currency END AS currency, "
            "(SELECT string_agg(l.name, ', ' ORDER BY l.position) FROM order_line l WHERE l.order_id = o.id) AS names "
            "FROM orders o LEFT JOIN payment p ON p.id = o.paid_by "
            "WHERE o.customer_id = $1 AND o.status NOT IN ('open', 'expired') "
            "ORDER BY o.created_at DESC, o.id LIMIT $2",
            said.customer,
            HISTORY_MAX,
            list(money.THEIRS),
        )
        lines = [
            words.say(
                "history_line",
                date=words.date(row["created_at"]),
                names=one_line(row["names"]),
                amount=words.money(row["amount"], row["currency"]),
                status=words.say(f"status_{'paid' if row['status'] == 'fulfilled' else row['status']}"),
                reference=short(row["id"]),
            )
            for row in rows
        ]
        return [Reply("\n".join(lines) or words.say("history_empty"))]

    # --- what it works with --------------------------------------------------------------------------------------------

    @property
    def _catalog(self) -> Catalog:
        return self._sold.catalog

    def _desk(self) -> billing.Desk:
        return billing.Desk(self._store, self._catalog, self._vault, self._public_url)


def _has(words: Words, unit: str, wallet: books.Wallet) -> str:
    """Return in words what a person can spend of a unit, what is held of it, and what they owe."""
    parts = [words.say("balance", amount=words.count(wallet.balance, unit))]
    if wallet.held:
        parts.append(words.say("balance_held", amount=words.count(wallet.held, unit)))
    if wallet.debt:
        parts.append(words.say("part_owed", amount=words.count(wallet.debt, unit)))
    return " ".join(parts)


def _may(words: Words, feature: str, access: entitlements.Access) -> str:
    """Return in words that a person has a feature, and until when."""
    if access.until is None:
        return words.say("access", feature=words.feature(feature))
    return words.say("access_until", feature=words.feature(feature), until=words.moment(access.until))


def _leads(words: Words, addresses: Mapping[str, str | None]) -> tuple[Button, ...]:
    """Return buttons that lead to a shop's pages, by the names of their texts."""
    return tuple(
        Button(words.button(name), url=address)
        for name, address in addresses.items()
        if address is not None and address.startswith("https://")
    )


def _menu(words: Words) -> tuple[Button, ...]:
    return tuple(Button(words.button(f"button_{name}"), command=f"/{name}") for name in ("buy", "balance", "help"))
