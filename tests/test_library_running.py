"""The library where it lives: in the process of a running aiogram bot, and of a running FastAPI application."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command
from aiogram.types import Message
from fastapi import FastAPI, Request

import paydesk
from conftest import settings_for
from desk import endpoint
from fakes.telegram import TOKEN, TelegramFake
from paydesk import AsyncPaymentManager, PaymentItem
from paydesk.config import Settings, load
from paydesk.errors import InsufficientCredits, NotFound, PaymentRefused
from sandbox_fixtures import Sandbox, free_port, until

HERE = {"success_url": "https://shop.example/yes", "cancel_url": "https://shop.example/no"}
PERSON = 4242


def pay(settings: dict[str, str], session: str, amount: int) -> None:
    """Pay as the hosted page does."""
    answer = httpx.post(
        f"{settings['STRIPE_API_BASE']}/v1/payment_pages/{session}/confirm",
        data={"payment_method": "pm_card_visa", "expected_amount": str(amount)},
        headers={"Authorization": f"Bearer {settings['STRIPE_API_KEY']}"}, timeout=30,
    )  # fmt: skip
    assert answer.status_code == 200, answer.text


async def eventually(found: Callable[[], Any], what: str) -> Any:
    """What is found, as soon as there is something."""
    async with asyncio.timeout(30):
        while not (seen := found()):
            await asyncio.sleep(0.05)
    assert seen, what
    return seen


# --- a bot -----------------------------------------------------------------------------------------------------------


def shop(payments: AsyncPaymentManager, sold: list[Any]) -> Dispatcher:
    """A bot that draws for credits, sells them, and knows nothing else of money."""
    dispatcher = Dispatcher()

    @dispatcher.message(Command("draw"))
    async def draw(message: Message) -> None:
        key = f"draw:{message.message_id}"
        try:
            done = await payments.spend(("telegram", message.chat.id), 1, reason="a picture", idempotency_key=key)
        except (InsufficientCredits, NotFound):
            await message.answer("You have no credits: /topup")
        else:
            await message.answer(f"( •_•) {done.balance} left")

    @dispatcher.message(Command("topup"))
    async def topup(message: Message) -> None:
        session = await payments.create_checkout_session(
            ["credits-10"],
            customer=("telegram", message.chat.id),
            idempotency_key=f"topup:{message.message_id}",
            **HERE,
        )
        sold.append(session)
        await message.answer(session.url)

    return dispatcher


@asynccontextmanager
async def running_bot(telegram: TelegramFake, payments: AsyncPaymentManager, sold: list[Any]) -> AsyncIterator[None]:
    """The bot, polling, until the block ends."""
    server = TelegramAPIServer.from_base(telegram.url)
    dispatcher = shop(payments, sold)
    async with Bot(TOKEN, session=AiohttpSession(api=server)) as bot:
        polling = asyncio.create_task(dispatcher.start_polling(bot, handle_signals=False))
        yield
        await dispatcher.stop_polling()
        await polling


async def test_a_bot_sells_and_spends_with_the_library_in_its_own_process(
    database: str, stripe_sandbox: Sandbox, tmp_path: Path
) -> None:
    """Nothing else runs: events are fetched, settled and told by the manager, on the bot's own event loop."""
    settings = settings_for(database, stripe_sandbox.url, PAYDESK_DATA=str(tmp_path / "data"), STRIPE_EVENTS="poll")
    sold: list[Any] = []
    with TelegramFake() as telegram:
        telegram.person(PERSON)

        def types(text: str) -> None:
            telegram.says(PERSON, text, entities=[{"type": "bot_command", "offset": 0, "length": len(text)}])

        def said(count: int) -> list[str]:
            texts = [one["text"] for one in telegram.said_to(PERSON)]
            return texts if len(texts) == count else []

        async with AsyncPaymentManager(settings=load(settings, folder=tmp_path), work=True) as payments:
            async with running_bot(telegram, payments, sold):
                types("/draw")
                assert (await eventually(lambda: said(1), "the offer"))[-1] == "You have no credits: /topup"
                types("/topup")
                assert (await eventually(lambda: said(2), "the link"))[-1] == sold[0].url
                await asyncio.to_thread(pay, settings, sold[0].id, 999)
                async with asyncio.timeout(60):
                    while (await payments.retrieve_order(sold[0].order)).status != "fulfilled":
                        await asyncio.sleep(0.1)
                for number in range(3):
                    types("/draw")
                    texts = await eventually(lambda count=3 + number: said(count), "a picture")
                    assert texts[-1] == f"( •_•) {9 - number} left"
                told = await payments.messages("telegram", PERSON)
                assert "10 credits" in told[-1].text
            assert telegram.complaints == []


# --- an application --------------------------------------------------------------------------------------------------


def shop_site(settings: Settings, payments: AsyncPaymentManager) -> FastAPI:
    """An application with routes of its own, which call the library; Paydesk is mounted behind them."""
    pay_desk = paydesk.create_app(settings)

    @asynccontextmanager
    async def lives(_app: FastAPI) -> AsyncIterator[None]:
        async with pay_desk.running(), payments:
            yield

    app = FastAPI(lifespan=lives)

    @app.post("/agent/{person}/tickets")
    async def tickets(person: str, request: Request) -> dict[str, str]:
        asked = await request.json()
        items = [PaymentItem(name="Ticket", description="Row 5", amount=asked["amount"], quantity=2), "credits-10"]
        session = await payments.create_checkout_session(
            items, customer=("app", person), metadata={"order_id": asked["order"]}, **HERE
        )
        return {"reply": f"Pay here: {session.url}", "session": session.id, "order": session.order}

    @app.post("/agent/{person}/upgrade")
    async def upgrade(person: str) -> dict[str, str | None]:
        card = "pm_card_authenticationRequired"
        intent = await payments.create_payment_intent(
            amount=19.99, currency="usd", description="A better seat", customer=("app", person), confirm=True,
            payment_method=card, return_url="https://shop.example/back",
        )  # fmt: skip
        return {"status": intent.status, "client_secret": intent.client_secret, "amount": str(intent.amount)}

    @app.post("/agent/{person}/declined")
    async def declined(person: str) -> dict[str, str]:
        try:
            await payments.create_payment_intent("5", customer=("app", person), confirm=True,
                                                 payment_method="pm_card_chargeDeclined")  # fmt: skip
        except PaymentRefused as refused:
            return {"reply": refused.message, "status": await payments.payment_status(refused.payment)}
        return {"reply": "paid"}

    @app.get("/agent/{person}/balance")
    async def balance(person: str) -> int:
        return (await payments.credits(("app", person))).balance

    app.mount("/", pay_desk)
    return app


@contextmanager
def served(app: FastAPI, port: int) -> Iterator[str]:
    """The application under uvicorn, until the block ends."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="on"))
    runs = threading.Thread(target=server.run)
    runs.start()
    try:
        until(lambda: server.started or not runs.is_alive(), patience_s=60, what="the application")
        assert server.started
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        runs.join(30)
    assert not runs.is_alive()


def test_an_application_sells_with_the_library_beside_the_pay_desk_it_mounts(
    database: str, stripe_sandbox: Sandbox, tmp_path: Path
) -> None:
    """Own routes, the API, Stripe's webhook and the background work, all in one process of ours."""
    port = free_port()
    plain = settings_for(database, stripe_sandbox.url, PAYDESK_DATA=str(tmp_path / "data"))
    plain["STRIPE_WEBHOOK_SECRET"] = endpoint(plain, port)
    settings = load(plain, folder=tmp_path)
    payments = AsyncPaymentManager(settings=settings)
    with served(shop_site(settings, payments), port) as base, httpx.Client(base_url=base, timeout=30) as own:
        key = {"Authorization": f"Bearer {plain['PAYDESK_API_KEY']}"}
        made = own.post("/agent/7/tickets", json={"amount": 4.35, "order": "A7"}).json()
        assert made["reply"].startswith(f"Pay here: {stripe_sandbox.url}")
        order = own.get(f"/v1/orders/{made['order']}", headers=key).json()
        assert (order["amount"], order["metadata"]["order_id"]) == (2 * 435 + 999, "A7")
        pay(plain, made["session"], order["amount"])
        until(
            lambda: own.get(f"/v1/orders/{made['order']}", headers=key).json()["status"] == "fulfilled",
            patience_s=60, what="the purchase",
        )  # fmt: skip
        assert own.get("/agent/7/balance").json() == 10
        assert own.get("/api/financial/credits/7", headers=key).json()["data"] == {"user_id": 7, "balance": 10}
        bank = own.post("/agent/7/upgrade").json()
        assert (bank["status"], bank["amount"]) == ("requires_action", "19.99")
        assert "_secret_" in bank["client_secret"]
        refused = own.post("/agent/7/declined").json()
        assert refused["status"] == "requires_payment_method"
        assert "declined" in refused["reply"]
