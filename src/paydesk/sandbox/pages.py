"""The pages people see: hosted Checkout, 3-D Secure, a receipt, and the page that watches the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from . import checkout_pay
from .accounts import Account
from .cards import CARDS, Card
from .charges import settle_charge
from .errors import Json, StripeError
from .money import written
from .params import decode
from .payments import fail_authentication, take_payment
from .world import World

_HERE = Path(__file__).parent
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' https: http: data:; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_CARDS_SHOWN = 8

_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["money"] = written
_templates.filters["spaced"] = lambda digits: " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def routes(world: World) -> list[Route | Mount]:
    """The routes of the pages and their files."""

    async def home(request: Request) -> Response:
        return _page("home.html", public_url=world.public_url)

    async def pay(request: Request) -> Response:
        return _checkout_page(world, request.path_params["id"])

    async def secure(request: Request) -> Response:
        found = world.intent_of_ticket(request.path_params["ticket"])
        if found is None:
            return _notice("This authentication is over", "It was completed or given up already.", status=404)
        if request.method == "GET":
            return _secure_page(*found)
        passed = decode((await request.body()).decode("latin-1")).get("result") == "complete"
        return RedirectResponse(_authenticated(world, *found, passed=passed), 303)

    async def receipt(request: Request) -> Response:
        return _receipt(world, request.path_params["id"])

    return [
        Route("/", home, methods=["GET"]),
        Route("/c/pay/{id}", pay, methods=["GET"]),
        Route("/c/3ds/{ticket}", secure, methods=["GET", "POST"]),
        Route("/c/receipt/{id}", receipt, methods=["GET"]),
        Mount("/c/static", StaticFiles(directory=_HERE / "static")),
    ]


def _page(name: str, status: int = 200, **values: Any) -> Response:
    return HTMLResponse(_templates.get_template(name).render(values), status, _HEADERS)


def _notice(title: str, text: str, *, status: int = 200, link: str | None = None, link_text: str = "") -> Response:
    return _page("notice.html", status, title=title, text=text, link=link, link_text=link_text)


def _checkout_page(world: World, session_id: str) -> Response:
    """The payment form of an open session; a plain page for one that is over."""
    account = world.account_of_page(session_id)
    if account is None:
        text = "The page you were looking for could not be found. Please check the link or contact the seller."
        return _notice("Something went wrong", text, status=404)
    session = world.session_of_page(account, session_id)
    if session["status"] == "complete":
        link = checkout_pay.success_address(session)
        text = "This checkout session has been paid already. You will not be charged again."
        return _notice("You're all done here", text, link=link, link_text="Continue")
    if session["status"] == "expired":
        text = "No payment was made. Go back to the seller to start again."
        return _notice("This checkout session has expired", text, link=session["cancel_url"], link_text="Go back")
    page = checkout_pay.payment_page(account, session)
    return _page("checkout.html", page=page, lines=_lines(account, session), error=_last_error(page),
                 cards=_shown_cards(), now_s=world.clock.now_s(), submit_type=session["submit_type"])  # fmt: skip


def _lines(account: Account, session: Json) -> list[Json]:
    """The order's lines with what the page shows of their products."""
    shown = []
    for line in session["_lines"]:
        price = account.get("price", line["price"], "price")
        product = account.find("product", price["product"]) or {"images": [], "description": None}
        shown.append({**line, "unit_amount": price["unit_amount"], "image": next(iter(product["images"]), None),
                      "text": product["description"]})  # fmt: skip
    return shown


def _last_error(page: Json) -> str | None:
    intent = page["payment_intent"]
    return intent["last_payment_error"]["message"] if intent and intent["last_payment_error"] else None


def _shown_cards() -> list[Card]:
    return list(CARDS.values())[:_CARDS_SHOWN]


def _secure_page(account: Account, intent: Json) -> Response:
    method = account.get("payment_method", intent["payment_method"], "payment_method")
    return _page("secure.html", intent=intent, card=method["card"])


def _authenticated(world: World, account: Account, intent: Json, *, passed: bool) -> str:
    """Go on after 3-D Secure; gives the address to which the buyer returns."""
    try:
        if intent.get("_session"):
            return _back_to_checkout(world, account, intent, passed=passed)
        return _back_to_seller(account, intent, passed=passed)
    finally:
        world.flush()


def _back_to_checkout(world: World, account: Account, intent: Json, *, passed: bool) -> str:
    session = world.session_of_page(account, intent["_session"])
    if passed:
        checkout_pay.authenticated(account, session["id"], intent)
    else:
        fail_authentication(account, intent)
    if session["status"] == "complete":
        return checkout_pay.success_address(session)
    return f"{account.public_url}/c/pay/{session['id']}"


def _back_to_seller(account: Account, intent: Json, *, passed: bool) -> str:
    """For an intent of the API's: its `return_url` with the result, or a plain page of ours."""
    action = intent["next_action"] or {}
    target = (action.get("redirect_to_url") or {}).get("return_url")
    if passed:
        passed = _charged(account, intent)
    else:
        fail_authentication(account, intent)
    if target is None:
        return f"{account.public_url}/c/3ds/over"
    result = {
        "payment_intent": intent["id"],
        "payment_intent_client_secret": intent["client_secret"],
        "redirect_status": "succeeded" if passed else "failed",
    }
    return str(target) + ("&" if "?" in target else "?") + urlencode(result)


def _charged(account: Account, intent: Json) -> bool:
    method = account.get("payment_method", intent["payment_method"], "payment_method")
    try:
        settle_charge(account, take_payment(account, intent, method, authenticated=True))
    except StripeError:
        return False
    return True


def _receipt(world: World, charge_id: str) -> Response:
    for account in world.accounts.values():
        charge = account.find("charge", charge_id)
        if charge is not None and charge["paid"]:
            return _page("receipt.html", charge=charge, card=charge["payment_method_details"]["card"])
    return _notice("No such receipt", "There is no paid charge with this number.", status=404)
