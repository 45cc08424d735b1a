"""A desk that talks on the played Telegram: `paydesk serve` as a process, and people who read what they are told there."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from conftest import settings_for
from desk import CARD, Desk, start_service
from fakes.telegram import TOKEN, TelegramFake
from sandbox_fixtures import Sandbox, free_port, until

CATALOG = Path(__file__).parent / "catalog_telegram.toml"
LOUNGE, ATTIC, OFFICE = -1001234567890, -987654, -1009876543210
SECRET = "a-long-enough_secret_0123456789"

Json = dict[str, Any]
_numbers = itertools.count(1001)


@dataclass
class Person:
    """Somebody on Telegram, in their own chat with the bot."""

    fake: TelegramFake
    desk: Desk
    language: str = "en"
    standing: str = "started"
    number: int = field(default_factory=lambda: next(_numbers))

    def __post_init__(self) -> None:
        self.fake.person(self.number, "Ada", self.language, self.standing)

    @property
    def id(self) -> str:
        """The customer's id, once they have been met."""
        found = until(
            lambda: self.desk.get("/v1/customers", channel="telegram", external_id=str(self.number))["data"],
            what="the person",
        )
        return str(found[0]["id"])

    def balance(self) -> int:
        """The credits that can be spent."""
        return int(self.desk.get(f"/v1/customers/{self.id}/credits")["balance"])

    # --- saying and reading --------------------------------------------------------------------------------------------

    def read(self) -> list[Json]:
        """Every message of the bot's in their chat, as it stands now."""
        return [one for one in self.fake.said_to(self.number) if one["from"]["is_bot"]]

    def texts(self) -> list[str]:
        """The words of these."""
        return [one.get("text", "").replace("\u00a0", " ") for one in self.read()]

    def hears(self, words: str, *, patience_s: float = 10) -> Json:
        """The last message with these words in it, once there is one."""

        def found() -> Json | None:
            with_it = [one for one in self.read() if words in one.get("text", "").replace("\u00a0", " ")]
            return with_it[-1] if with_it else None

        found_one: Json = until(found, patience_s=patience_s, what=f"{words!r} for {self.number}")
        return found_one

    def asks(self, text: str, number: int = 1) -> list[Json]:
        """Say something, and return what is answered: so many new messages."""
        before = len(self.read())
        self.fake.says(self.number, text)
        until(lambda: len(self.read()) >= before + number, what=f"an answer to {text}")
        return self.read()[before:]

    def presses(self, message: Json, label: str) -> Json:
        """Press the button whose label has these words, and return the answer."""
        button = next(one for one in keys(message) if label in one["text"])
        before = len(self.read())
        self.fake.presses(self.number, button["callback_data"])
        until(lambda: len(self.read()) > before, what=f"an answer to {label}")
        return self.read()[-1]

    # --- paying --------------------------------------------------------------------------------------------------------

    def order(self) -> Json:
        """Their newest order."""
        row = self.desk.sql("SELECT id FROM orders WHERE customer_id = $1 ORDER BY created_at DESC LIMIT 1", self.id)[0]
        return self.desk.get(f"/v1/orders/{row['id']}")

    def pays(self, offer: Json, card: str = CARD) -> Json:
        """Open the pay link of an offer, press the button there, pay on the hosted page; gives the order."""
        link = next(one["url"] for one in keys(offer) if "url" in one)
        assert self.desk.call("POST", link.removeprefix(self.desk.url)).status_code in (200, 303)
        order = self.order()
        form = {"payment_method": card, "expected_amount": str(order["amount"])}
        answer = self.desk.at_stripe("POST", f"/v1/payment_pages/{order['session']}/confirm", form)
        assert answer.status_code == 200, answer.text
        return order

    def buys(self, key: str) -> Json:
        """Buy by card, and return the fulfilled order."""
        order = self.pays(self.asks(f"/buy {key}")[0])
        return self.desk.settled(order["id"])

    def invoice(self, price: str) -> Json:
        """Ask for an invoice in Stars."""
        return self.asks(f"/stars {price}")[0]


def keys(message: Json) -> list[Json]:
    """The buttons under a message."""
    return [key for row in message.get("reply_markup", {}).get("inline_keyboard", []) for key in row]


def telegram_settings(database: str, sandbox: Sandbox, fake: TelegramFake, **more: str) -> dict[str, str]:
    """The settings of a desk that sells on the played Telegram."""
    return settings_for(
        database, sandbox.url, PAYDESK_CATALOG=str(CATALOG), TELEGRAM_BOT_TOKEN=TOKEN, **{
            "TELEGRAM_API_BASE": fake.url, "TELEGRAM_ADMIN_CHAT": str(OFFICE), **more,
        },
    )  # fmt: skip


@contextmanager
def telegram_desk(database: str, sandbox: Sandbox, **more: str) -> Iterator[tuple[Desk, TelegramFake]]:
    """A played Telegram with two groups that are sold and one for the people of the desk, and a desk there.

    Whatever the bot asked wrongly fails the test.
    """
    with TelegramFake() as fake:
        fake.room(LOUNGE)
        fake.room(ATTIC, "group")
        fake.room(OFFICE)
        desk = started(telegram_settings(database, sandbox, fake, **more), sandbox)
        try:
            yield desk, fake
        finally:
            desk.stop()
        assert fake.complaints == [], fake.complaints


def started(settings: dict[str, str], sandbox: Sandbox, *arguments: str) -> Desk:
    """A desk to which the sandbox sends every event of its account; stop it at the end."""
    port = free_port()
    hook = {"url": f"http://127.0.0.1:{port}/webhooks/stripe", "enabled_events[]": "*"}
    key = {"Authorization": f"Bearer {settings['STRIPE_API_KEY']}"}
    made = httpx.post(f"{sandbox.url}/v1/webhook_endpoints", data=hook, headers=key).raise_for_status().json()
    own = {**settings, "PAYDESK_PUBLIC_URL": f"http://127.0.0.1:{port}"}
    own["STRIPE_WEBHOOK_SECRET"] += "," + made["secret"]
    return Desk(port, sandbox, own, start_service(own, port, *arguments))


class Line:
    """The line between the desk and a server: it can go down, and come back at the same address."""

    def __init__(self, url: str) -> None:
        self._far = urlsplit(url)
        self._port = free_port()
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.up()

    @property
    def url(self) -> str:
        """Where the desk calls."""
        return f"http://127.0.0.1:{self._port}"

    def up(self) -> None:
        """Let everything through from now on."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Break every connection, and take none."""
        assert self._listener is not None
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection((self._far.hostname, self._far.port))
                self._open += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=pair, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def office(fake: TelegramFake) -> list[str]:
    """The lines that the people of the desk were told."""
    return [line for message in fake.said_to(OFFICE) for line in message["text"].splitlines()]
