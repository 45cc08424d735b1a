"""What people can say, the same on every channel: /start /buy /balance /history /billing /cancel /keep /help.

Chat never waits for Stripe: /buy answers at once with a link of ours; the Checkout session is made when its button
is pressed. Nothing about money is taken from what was typed: words only choose from the catalogue.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from paydesk import books, checkout, customers, entitlements, money
from paydesk.catalog import Catalog, Product
from paydesk.channels.base import Address, Button
from paydesk.chat import billing
from paydesk.chat.texts import count, short
from paydesk.clock import Clock
from paydesk.customers import Identity, Thread
from paydesk.errors import Conflict, Invalid
from paydesk.privacy import Vault
from paydesk.shelf import Shelf
from paydesk.store import Store

TEXT_MAX = 4000
HISTORY_MAX = 10


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer in the conversation."""

    text: str
    buttons: tuple[Button, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Return the reply as the API shows it."""
        return {"text": self.text, "buttons": [button.as_json() for button in self.buttons]}


@dataclass(frozen=True, slots=True)
class Said:
    """Who said it, where, and the word after the command."""

    customer: str
    where: Address
    argument: str


def _has(unit: str, wallet: books.Wallet) -> str:
    """Return in words what a person can spend of a unit, what is held of it, and what they owe."""
    held = f" {count(wallet.held, unit)} more are held until what they are for has its price." if wallet.held else ""
    owed = f" You owe {count(wallet.debt, unit)}; what comes in next pays that first." if wallet.debt else ""
    return f"You have {count(wallet.balance, unit)}.{held}{owed}"


class Conversation:
    """Answers commands. Made once; holds nothing about anybody."""

    def __init__(
        self, store: Store, shelf: Shelf, clock: Clock, vault: Vault, *, public_url: str, livemode: bool,
        more: Mapping[str, Callable[[Said], Awaitable[list[Reply]]]] | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._vault = vault
        self._sold = shelf
        self._clock = clock
        self._public_url = public_url
        self._livemode = livemode
        self._commands: dict[str, Callable[[Said], Awaitable[list[Reply]]]] = {
            "start": self._start,
            "buy": self._buy,
            "balance": self._balance,
            "history": self._history,
            "billing": self._billing,
            "cancel": self._cancel,
            "keep": self._keep,
            "help": self._help,
            **(more or {}),
        }

    async def answer(self, where: Address, text: str, *, locale: str | None = None) -> list[Reply]:
        """Return the answers to what somebody said. A person nobody knows yet is made."""
        if not isinstance(text, str) or len(text) > TEXT_MAX or "\x00" in text:
            raise Invalid(f"text must be a text of at most {TEXT_MAX} characters", param="text")
        who: Identity = customers.identity(where.channel, where.external_id)
        customer = await customers.find_or_make(self._store, who, locale=locale)
        word, _, argument = text.strip().partition(" ")
        command = word.removeprefix("/").partition("@")[0].lower()  # in groups Telegram adds @thebot
        handler = self._commands.get(command, self._anything)
        return await handler(Said(customer, where, (argument if handler != self._anything else text).strip()))

    async def _start(self, said: Said) -> list[Reply]:
        if said.argument.startswith("link_") and "link" in self._commands:
            return await self._commands["link"](said)
        hello = Reply("Hello! Here you can buy, and see what you have. What would you like?", self._menu())
        return [hello]

    async def _help(self, said: Said) -> list[Reply]:
        lines = [
            "/buy – what there is, with a pay link",
            "/balance – your credits and passes",
            "/history – your latest orders",
            "/billing – your subscriptions, cards and invoices",
            "/cancel – end a subscription with its period",
            "/help – this list",
        ]
        return [Reply("\n".join(lines))]

    async def _anything(self, said: Said) -> list[Reply]:
        product = self._named(said.argument)
        if product is not None:
            return await self._buy(Said(said.customer, said.where, product.key))
        return [Reply("I did not understand that. Try /buy, /balance, /history or /help.", self._menu())]

    async def _buy(self, said: Said) -> list[Reply]:
        if not said.argument:
            return [Reply(self._shelf(), self._product_buttons())]
        product = self._named(said.argument)
        if product is not None and len(product.prices) > 1 and self._catalog.find_price(said.argument) is None:
            buttons = tuple(Button(price.display(), command=f"/buy {price.key}") for price in product.prices)
            return [Reply(f"{product.name}: which price?", buttons)]
        price = self._catalog.find_price(product.key if product is not None else said.argument)
        if price is None:
            return [
                Reply("There is no such product. This is what there is:\n" + self._shelf(), self._product_buttons())
            ]
        return [await self._offer(said, price.key)]

    async def _offer(self, said: Said, price_key: str) -> Reply:
        """Return a pay button for one unit of a price, on the person's open order for it if there is one."""
        line = checkout.line_of(self._catalog, price_key, 1)
        thread = Thread(said.where.channel, said.where.external_id, said.where.conversation)
        new = checkout.NewOrder(said.customer, (line,), thread)
        try:
            order = await checkout.create_order(self._store, new, livemode=self._livemode, reuse=True)
        except Conflict as conflict:
            if conflict.code != "already_subscribed":
                raise
            answer = await billing.billing(self._billing_desk(), said.customer)
            return Reply(f"You have {line.name} already:\n{answer.text}", answer.buttons)
        row = await checkout.get(self._store, order)
        price = money.display(line.unit_amount, line.currency) + (line.price.every() if line.price else "")
        text = f"{line.name} for {price}. Pay with the button; you will hear here when it has arrived."
        button = f"Pay {price}"
        if row["trial_days"]:
            text = f"{line.name} for {price}, the first {row['trial_days']} days for free. You can cancel at any time."
            button = "Begin for free"
        return Reply(text, (Button(button, url=f"{self._public_url}/r/{row['link_token']}"),))

    async def _billing(self, said: Said) -> list[Reply]:
        return [_reply(await billing.billing(self._billing_desk(), said.customer))]

    async def _cancel(self, said: Said) -> list[Reply]:
        return [_reply(await billing.cancel(self._billing_desk(), said.customer, said.argument))]

    async def _keep(self, said: Said) -> list[Reply]:
        return [_reply(await billing.keep(self._billing_desk(), said.customer, said.argument))]

    def _billing_desk(self) -> billing.Desk:
        return billing.Desk(self._store, self._catalog, self._vault, self._public_url)

    async def _balance(self, said: Said) -> list[Reply]:
        now = self._clock.now()
        async with self._store.transaction() as tx:
            wallets = await books.wallets(tx, said.customer, now)
            reasons = await entitlements.load(tx, [said.customer])
        lines = [_has(unit, wallet) for unit, wallet in sorted(wallets.items())]
        for feature in sorted({held.feature for held in reasons}):
            access = entitlements.access([held for held in reasons if held.feature == feature], now)
            if access.allowed:
                until = f" until {access.until:%-d %B %Y, %H:%M} UTC" if access.until is not None else ""
                lines.append(f"You have {feature}{until}.")
        return [Reply("\n".join(lines) or "You have nothing yet. /buy shows what there is.")]

    async def _history(self, said: Said) -> list[Reply]:
        rows = await self._store.fetch(
            "SELECT o.id, o.status, o.amount, o.currency, o.created_at, "
            "(SELECT string_agg(l.name, ', ' ORDER BY l.position) FROM order_line l WHERE l.order_id = o.id) AS names "
            "FROM orders o WHERE o.customer_id = $1 AND o.status NOT IN ('open', 'expired') "
            "ORDER BY o.created_at DESC, o.id LIMIT $2",
            said.customer,
            HISTORY_MAX,
        )
        lines = [
            f"{row['created_at']:%Y-%m-%d}  {row['names']}  {money.display(row['amount'], row['currency'])}  "
            f"{'paid' if row['status'] == 'fulfilled' else row['status']}  {short(row['id'])}"
            for row in rows
        ]
        return [Reply("\n".join(lines) or "You have not bought anything yet. /buy shows what there is.")]

    # --- the catalogue in words ------------------------------------------------------------------------------------

    @property
    def _catalog(self) -> Catalog:
        return self._sold.catalog

    def _named(self, words: str) -> Product | None:
        """Return the product that the words plainly name: its key or its name."""
        wanted = words.strip().lower()
        for product in self._catalog.products.values():
            if wanted in (product.key.lower(), product.name.lower()):
                return product
        return None

    def _shelf(self) -> str:
        return "\n".join(
            f"• {product.name} – {' or '.join(price.display() for price in product.prices)}"
            for product in self._catalog.products.values()
        )

    def _product_buttons(self) -> tuple[Button, ...]:
        return tuple(
            Button(product.name, command=f"/buy {product.key}")
            for product in list(self._catalog.products.values())[:20]
        )

    @staticmethod
    def _menu() -> tuple[Button, ...]:
        return (Button("Buy", command="/buy"), Button("Balance", command="/balance"), Button("Help", command="/help"))


def _reply(answer: billing.Answer) -> Reply:
    return Reply(answer.text, answer.buttons)
