"""One visit to the customer portal: who is there, what the configuration allows, and the API's calls on their behalf."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response
from starlette.routing import compile_path

from .accounts import Account, Cause
from .calls import Call, Operation
from .checkout_page import every
from .errors import Json, StripeError, unknown_url
from .html import page
from .ids import random_text
from .params import read
from .present import rendered
from .world import World

_OVER = ("canceled", "incomplete_expired")
_MOST = 999_999


class Visit:
    """One customer at the portal: who, with which configuration, and the API's calls on the customer's behalf."""

    def __init__(self, world: World, account: Account, session: Json, operations: Sequence[Operation]) -> None:
        self.world = world
        self.account = account
        self.session = session
        self.features: Json = account.get("billing_portal.configuration", session["configuration"], "configuration")[
            "features"
        ]
        self._operations = operations

    @property
    def home(self) -> str:
        """The address of the portal's first page."""
        return str(self.session["url"])

    def call(self, method: str, path: str, **given: Any) -> Json:
        """A call of the API with parameters as they come on the wire; refusals are raised."""
        for operation in self._operations:
            match = compile_path(operation.path)[0].match(path) if operation.method == method else None
            if match:
                return self._perform(operation, match.groupdict(), given)
        raise unknown_url(method, path)

    def _perform(self, operation: Operation, path: dict[str, str], given: Json) -> Json:
        params = read(given, operation.shape, operation.required)
        expand = params.pop("expand", [])
        self.account.cause = Cause("req_" + random_text(14), None)
        try:
            with self.account.whole():
                row = operation.handler(Call(self.world, self.account, path, params, given))
                return rendered(self.account, row, expand)
        finally:
            self.account.cause = Cause()
            self.world.flush()

    def subscription(self, subscription_id: str) -> Json:
        """A subscription of this customer's; another's does not exist."""
        found = self.call("GET", f"/v1/subscriptions/{subscription_id}")
        if found["customer"] != self.session["customer"]:
            raise StripeError("No such subscription.", status=404)
        return self.shown(found)

    def subscriptions(self) -> list[Json]:
        """The customer's subscriptions that are not over, newest first."""
        found = self.call("GET", "/v1/subscriptions", customer=self.session["customer"], limit="20", status="all")
        return [self.shown(row) for row in found["data"] if row["status"] not in _OVER]

    def shown(self, subscription: Json) -> Json:
        """A subscription with the words of its first item."""
        item = subscription["items"]["data"][0]
        return {**subscription, "item": item, "name": self.product_name(item["price"]), "every": every(item["price"])}

    def product_name(self, price: Json) -> str:
        """The name of a price's product."""
        return str((self.account.find("product", price["product"]) or {}).get("name", price["product"]))

    def offers(self, subscription: Json) -> list[Json]:
        """The prices to which a subscription may change."""
        update = self.features["subscription_update"]
        if not update["enabled"] or "price" not in update["default_allowed_updates"]:
            return []
        chosen = [price for product in update["products"] or [] for price in product["prices"]]
        now = subscription["item"]["price"]
        rows = [self.account.find("price", one) for one in chosen] if chosen else list(self.account.all("price"))
        return [
            self.offered(row) for row in rows
            if row and row["active"] and row["recurring"] and row["unit_amount"] is not None
            and row["currency"] == now["currency"] and row["id"] != now["id"]
        ]  # fmt: skip

    def offered(self, price: Json) -> Json:
        """A price with its words, and how many of it may be had: `quantities` are the least and the most, or None."""
        return {**price, "name": self.product_name(price), "every": every(price), "quantities": self._quantities(price)}

    def _quantities(self, price: Json) -> tuple[int, int] | None:
        update = self.features["subscription_update"]
        listed = [one for one in update["products"] or [] if price["id"] in one["prices"]]
        own: Json = listed[0]["adjustable_quantity"] if listed else {}
        allowed = own["enabled"] if own else "quantity" in update["default_allowed_updates"]
        if not update["enabled"] or not allowed:
            return None
        return max(1, own.get("minimum") or 1), own.get("maximum") or _MOST


def portal_page(name: str, visit: Visit, **values: Any) -> Response:
    """A page of the portal, with what every one of them shows."""
    return page(name, home=visit.home, return_url=visit.session["return_url"], features=visit.features, **values)
