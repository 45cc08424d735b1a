"""The page of an invoice at its `hosted_invoice_url`, where it is shown and paid by card, and the one to print."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from .accounts import Account
from .errors import Json, StripeError
from .html import notice, page, typed_card
from .invoices import attempt
from .methods import add_method
from .params import decode
from .test_clocks import time_of
from .world import World

_PAYABLE = ("open", "uncollectible")


def routes(world: World) -> list[Route]:
    """The routes of the pages of invoices."""

    async def invoice_page(request: Request) -> Response:
        found = _found(world, request.path_params["id"])
        if found is None:
            return notice("No such invoice", "There is no finalized invoice with this address.", status=404)
        if request.method == "GET":
            return _shown(*found, printed=request.url.path.endswith("/pdf"))
        form = decode((await request.body()).decode("utf-8", "replace"))
        try:
            return _paid(*found, form)
        finally:
            world.flush()

    return [
        Route("/i/{id}", invoice_page, methods=["GET", "POST"]),
        Route("/i/{id}/pdf", invoice_page, methods=["GET"]),
    ]


def _found(world: World, invoice_id: str) -> tuple[Account, Json] | None:
    """The finalised invoice with this id, and its account."""
    for account in world.accounts.values():
        invoice = account.find("invoice", invoice_id)
        if invoice is not None:
            return (account, invoice) if invoice["hosted_invoice_url"] else None
    return None


def _shown(account: Account, invoice: Json, *, printed: bool = False, error: str | None = None) -> Response:
    customer = account.get("customer", invoice["customer"], "customer")
    waiting = _intent(account, invoice).get("status") == "processing"
    payable = invoice["status"] in _PAYABLE and invoice["amount_remaining"] > 0 and not waiting
    return page("hosted_invoice.html", invoice=invoice, lines=invoice["lines"]["data"], customer=customer,
                printed=printed, payable=payable, waiting=waiting, error=error)  # fmt: skip


def _intent(account: Account, invoice: Json) -> Json:
    return account.find("payment_intent", invoice.get("_intent") or "") or {}


def _paid(account: Account, invoice: Json, form: Json) -> Response:
    """One try with the card of the form; what goes wrong is said on the page, and 3-D Secure comes in between."""
    address = str(invoice["hosted_invoice_url"])
    if invoice["status"] not in _PAYABLE or _intent(account, invoice).get("status") == "processing":
        return RedirectResponse(address, 303)
    try:
        with account.whole(), time_of(account, invoice["test_clock"]):
            method = add_method(account, typed_card(form))
            refusal = attempt(account, invoice, method, return_url=address)
    except StripeError as problem:
        refusal = problem
    if refusal is not None:
        return _shown(account, invoice, error=refusal.message)
    asked = (_intent(account, invoice).get("next_action") or {}).get("redirect_to_url")
    return RedirectResponse(asked["url"] if asked else address, 303)
