"""The pages people see: hosted Checkout, 3-D Secure, a receipt, and the page that watches the sandbox."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from . import bank_pages, invoice_pages
from .checkout_page import checkout_page
from .html import HERE, notice, page
from .world import World


def routes(world: World) -> list[Route | Mount]:
    """The routes of the pages and their files."""

    async def home(request: Request) -> Response:
        return page("home.html", public_url=world.public_url)

    async def pay(request: Request) -> Response:
        return checkout_page(world, request.path_params["id"])

    async def receipt(request: Request) -> Response:
        return _receipt(world, request.path_params["id"])

    return [
        Route("/", home, methods=["GET"]),
        Route("/c/pay/{id}", pay, methods=["GET"]),
        *bank_pages.routes(world),
        *invoice_pages.routes(world),
        Route("/c/receipt/{id}", receipt, methods=["GET"]),
        Mount("/c/static", StaticFiles(directory=HERE / "static")),
    ]


def _receipt(world: World, charge_id: str) -> Response:
    for account in world.accounts.values():
        charge = account.find("charge", charge_id)
        if charge is not None and charge["paid"]:
            return page("receipt.html", charge=charge, method=charge["payment_method_details"])
    return notice("No such receipt", "There is no paid charge with this number.", status=404)
