"""The web chat: a page with the visitor's thread, and the small JSON calls that its script makes."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from paydesk import books, customers
from paydesk.catalog import CREDITS
from paydesk.channels.base import Address
from paydesk.chat.commands import TEXT_MAX, Reply
from paydesk.chat.texts import count
from paydesk.errors import Invalid, TooLarge
from paydesk.service import Service
from paydesk.web import limits
from paydesk.web.limits import Gate, Rate
from paydesk.web.pages import stream
from paydesk.web.pages.render import ServiceOf, for_people, render
from paydesk.web.pages.visitor import (
    CHANNEL,
    language_of,
    new_visitor,
    remember,
    require_own_page,
    thread_of,
    visitor_of,
)

POSTS = Rate(burst=20, per_s=0.5)
POSTS_OF_ADDRESS = Rate(burst=120, per_s=2)
BODY_BYTES_MAX = 32 * 1024
LATEST = 100
QUICK = (("Buy", "/buy"), ("Balance", "/balance"), ("History", "/history"), ("Help", "/help"))
PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def routes(service_of: ServiceOf) -> list[BaseRoute]:
    """Return the routes of the chat."""
    chat = Chat(service_of)
    return [
        Route("/chat", chat.page, methods=["GET"]),
        Route("/chat/messages", chat.messages, methods=["GET"]),
        Route("/chat/messages", chat.hear, methods=["POST"]),
        Route("/chat/start", chat.start, methods=["POST"]),
        Route("/chat/balance", chat.balance, methods=["GET"]),
        Route("/chat/stream", chat.live, methods=["GET"]),
    ]


class Chat:
    """The chat's handlers. Whose thread is meant is said by the cookie alone, never by the request."""

    def __init__(self, service_of: ServiceOf) -> None:
        self._service_of = service_of
        self._posts = Gate(POSTS, POSTS_OF_ADDRESS)

    @for_people
    async def page(self, request: Request) -> Response:
        """Show the newest messages; a browser that is new here gets its cookie, and nothing is stored."""
        here = self._service_of(request)
        known = visitor_of(request)
        visitor = known or new_visitor()
        who = Address(CHANNEL, visitor)
        said = await here.threads.latest(who, limit=LATEST) if known else []
        balance = await _balance(here, who) if said else _none_yet(here)
        response = render(
            "chat.html", said=said, last=said[-1].id if said else 0, version=max((one.version for one in said), default=0),
            balance=balance, quick=QUICK, text_max=TEXT_MAX, mood=stream.mood, test=not here.gateway.livemode,
            shop=here.catalog.shop,
        )  # fmt: skip
        remember(response, visitor, here.settings)
        return response

    async def messages(self, request: Request) -> Response:
        """Return messages after a number, and edits after a version: for a browser whose stream does not get through."""
        here = self._service_of(request)
        who, seen = thread_of(request), _seen(request)
        said = await here.threads.after(who, seen.after, limit=LATEST + 1)
        edited = [one for one in await here.threads.edited(who, seen.version) if one.id <= seen.after]
        rows = [stream.as_json(one) for one in (*edited, *said[:LATEST])]
        return _json({"data": rows, "has_more": len(said) > LATEST})

    async def hear(self, request: Request) -> Response:
        """Keep what the visitor said, answer it, and return both."""
        here = self._service_of(request)
        require_own_page(request, here.settings)
        who = thread_of(request)
        self._posts.admit(request, who.external_id)
        text = await _text(request)
        heard = await here.threads.hear(who, text)
        await _say(here, who, await here.conversation.answer(who, text, locale=language_of(request)))
        said = await here.threads.after(who, heard - 1)
        return _json({"data": [stream.as_json(one) for one in said], "heard": heard})

    async def start(self, request: Request) -> Response:
        """Greet a visitor in whose thread nothing was said yet; asked twice, it greets once."""
        here = self._service_of(request)
        require_own_page(request, here.settings)
        who = thread_of(request)
        self._posts.admit(request, who.external_id)
        said = await here.threads.latest(who)
        if not said:
            greeting = await here.conversation.answer(who, "/start", locale=language_of(request))
            await _say(here, who, greeting, key=f"greeting:{who.channel}:{who.external_id}")
            said = await here.threads.latest(who)
        return _json({"data": [stream.as_json(one) for one in said]})

    async def balance(self, request: Request) -> Response:
        """Return what the visitor has, in words and numbers."""
        return _json(await _balance(self._service_of(request), thread_of(request)))

    async def live(self, request: Request) -> Response:
        """Stream messages and edits as they come, after what the browser has seen last."""
        here = self._service_of(request)
        return stream.answer(here, thread_of(request), _seen(request), limits.address_of(request))


def _json(body: dict[str, Any]) -> Response:
    return JSONResponse(body, headers=PRIVATE)


def _seen(request: Request) -> stream.Seen:
    """Return what the browser has already: the last event's id says it, else the address; raises `Invalid`."""
    last_event = request.headers.get("last-event-id")
    if last_event:
        after, _, version = last_event.partition("-")
        return stream.Seen.read(after, version or "0")
    return stream.Seen.read(request.query_params.get("after", "0"), request.query_params.get("version", "0"))


async def _text(request: Request) -> str:
    """Return what was said, from a JSON body `{"text"}`; raises `Invalid` or `TooLarge`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Invalid("send JSON: Content-Type: application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise TooLarge(f"at most {BODY_BYTES_MAX} bytes")
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Invalid("the body is not JSON") from None
    text = given.get("text") if isinstance(given, dict) and set(given) == {"text"} else None
    if not isinstance(text, str) or not 0 < len(text.strip()) <= TEXT_MAX or "\x00" in text:
        raise Invalid(f'the body must be {{"text": …}} with 1 to {TEXT_MAX} characters', param="text")
    return text.strip()


async def _say(here: Service, who: Address, replies: list[Reply], key: str | None = None) -> None:
    for number, reply in enumerate(replies):
        buttons = [button.as_json() for button in reply.buttons]
        await here.threads.say(who, reply.text, buttons, key and f"{key}:{number}")


async def _balance(here: Service, who: Address) -> dict[str, Any]:
    """Return the visitor's wallets, the default unit first; a visitor who is nobody yet has none."""
    customer = await customers.find(here.store, customers.identity(who.channel, who.external_id))
    if customer is None:
        return _none_yet(here)
    async with here.store.transaction() as tx:
        wallets = await books.wallets(tx, customer, here.clock.now())
    return _shown(wallets) if wallets else _none_yet(here)


def _none_yet(here: Service) -> dict[str, Any]:
    """Return an empty balance: zero credits where credits are sold, nothing to show where they are not."""
    sold = any(grant.kind == "credits" for product in here.catalog.products.values() for grant in product.grants)
    return _shown({CREDITS: books.Wallet(0, 0, 0, ())} if sold else {})


def _shown(wallets: dict[str, books.Wallet]) -> dict[str, Any]:
    units = sorted(wallets, key=lambda unit: (unit != CREDITS, unit))
    return {
        "text": " · ".join(_words(unit, wallets[unit]) for unit in units),
        "balances": {unit: wallet.balance for unit, wallet in wallets.items()},
        "held": {unit: wallet.held for unit, wallet in wallets.items() if wallet.held},
        "debts": {unit: wallet.debt for unit, wallet in wallets.items() if wallet.debt},
    }


def _words(unit: str, wallet: books.Wallet) -> str:
    """Return what can be spent of a unit, and what is held and owed where that is something."""
    besides = [f"{amount:,} {what}" for amount, what in ((wallet.held, "held"), (wallet.debt, "owed")) if amount]
    return count(wallet.balance, unit) + (f" ({', '.join(besides)})" if besides else "")
