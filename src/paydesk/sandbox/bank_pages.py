"""The banks' pages: 3-D Secure for cards, the bank's own page for P24 and iDEAL, what a bank transfer is sent to, and where
the buyer goes afterwards.
"""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from . import checkout_pay
from .accounts import Account
from .confirming import finish_action
from .embedded_pages import is_embedded, return_address
from .errors import Json
from .html import framed, notice, page
from .method_rules import RULES
from .params import decode
from .setup_intents import finish_setup
from .world import World


def routes(world: World) -> list[Route]:
    """The routes of the banks' pages."""

    async def bank(request: Request) -> Response:
        found = world.intent_of_ticket(request.path_params["ticket"])
        if found is None or found[1].get("_transfer"):
            return framed(notice("This authentication is over", "It was completed or given up already.", status=404))
        if request.method == "GET":
            return _bank_page(*found)
        passed = decode((await request.body()).decode("latin-1")).get("result") == "complete"
        return RedirectResponse(_finished(world, *found, passed=passed), 303)

    async def transfer(request: Request) -> Response:
        found = world.intent_of_ticket(request.path_params["ticket"])
        if found is None or not found[1].get("_transfer"):
            return notice("There is nothing to send", "This payment was made or given up already.", status=404)
        return page("transfer.html", shown=found[1]["next_action"]["display_bank_transfer_instructions"])

    return [
        Route("/c/transfer/{ticket}", transfer, methods=["GET"]),
        Route("/c/3ds/{ticket}", bank, methods=["GET", "POST"]),
        Route("/c/bank/{ticket}", bank, methods=["GET", "POST"]),
    ]


def _bank_page(account: Account, intent: Json) -> Response:
    method = account.get("payment_method", intent["payment_method"], "payment_method")
    if method["type"] != "card":
        return page("bank.html", intent=intent, bank=RULES[method["type"]].name)
    return framed(page("secure.html", intent=intent, card=method["card"], saving=intent["object"] == "setup_intent"))


def _finished(world: World, account: Account, intent: Json, *, passed: bool) -> str:
    """Go on after the bank's page; gives the address to which the buyer returns."""
    action = intent["next_action"] or {}
    target = (action.get("redirect_to_url") or {}).get("return_url")
    try:
        (finish_setup if intent["object"] == "setup_intent" else finish_action)(account, intent, passed=passed)
        if intent.get("_session"):
            return _back_to_checkout(world, account, intent)
        return _back_to_seller(account, intent, target)
    finally:
        world.flush()


def _back_to_checkout(world: World, account: Account, intent: Json) -> str:
    session = world.session_of_page(account, intent["_session"])
    page_ = f"{account.public_url}/c/pay/{session['id']}"
    if not is_embedded(session):
        return (checkout_pay.success_address(session) or page_) if session["status"] == "complete" else page_
    method = account.find("payment_method", intent["payment_method"] or "")
    in_frame = method is None or method["type"] == "card"
    return page_ if in_frame else return_address(session)


def _back_to_seller(account: Account, intent: Json, target: str | None) -> str:
    """For an intent of the API's: its `return_url` with the result, or a plain page of ours."""
    if target is None:
        return f"{account.public_url}/c/3ds/over"
    done = intent["status"] in ("succeeded", "requires_capture", "processing")
    result = {
        intent["object"]: intent["id"],
        f"{intent['object']}_client_secret": intent["client_secret"],
        "redirect_status": "succeeded" if done else "failed",
    }
    return str(target) + ("&" if "?" in target else "?") + urlencode(result)
