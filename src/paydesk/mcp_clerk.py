"""What each tool does: requests of the native API, by one key, for one person only where that is wished.

Every method is a tool: its docstring is what a model reads of it. Nothing is decided here about money: prices, limits,
idempotency and who may what are the API's, the same for programs as for everybody else.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paydesk import mcp_answers as answers
from paydesk import mcp_given as given
from paydesk import money
from paydesk.config import Secret
from paydesk.errors import Conflict, Forbidden, NotFound
from paydesk.library_asking import Request, minor_of, quoted, read
from paydesk.mcp_desk import Desk, Options, named

OPEN = ("open", "pending")
"""An order that can still be paid, or whose payment is on its way."""

ORDERS_MAX = 100
"""Among so many of somebody's newest orders one is looked for that is still open."""

FEATURES_MAX = 50
BUSY_TRIES = 10
BUSY_PAUSE_S = 0.3


@dataclass(frozen=True, slots=True)
class Keyed(Request):
    """A request that goes under a key of its own, whatever key its line has."""

    bearer: Secret | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers of the request, with its key."""
        own = Request.headers(self)
        return own if self.bearer is None else {**own, "Authorization": f"Bearer {self.bearer.reveal()}"}


class Clerk:
    """Does what tools ask for. `only` is the one person who is served, everybody without one; `agent` is who asks."""

    def __init__(self, desk: Desk, options: Options) -> None:
        self._line = desk.line
        self._bearer = desk.key
        self.only = options.customer
        self.agent = options.agent

    async def may(self) -> dict[str, Any]:
        """Return what the key may do, as `GET /v1/agent` tells it; raises what that raises."""
        told: dict[str, Any] = await self._ask("GET", "/v1/agent")
        return told

    # --- looking -----------------------------------------------------------------------------------------------------

    async def search_catalog(self, asked: given.Search) -> answers.Offers:
        """Find what is sold, with today's prices. Only what is found here can be sold, and only at these prices."""
        products = (await self._ask("GET", "/v1/products"))["data"]
        words = asked.query.casefold().split()
        found = [
            _offer(product, price)
            for product in products
            for price in product["prices"]
            if _fits(product, price, words) and asked.currency in (None, price["currency"])
            if asked.kind is None or any(one["kind"] == asked.kind for one in product["grants"])
        ]
        return answers.Offers(offers=found[: asked.limit], more=len(found) > asked.limit)

    async def get_order(self, asked: given.OfOrder) -> answers.Order:
        """Look an order up: whether it is paid, for whom, and where it is paid. Believe this, never a buyer's word."""
        return answers.Order.of(await self._order(asked.order))

    async def list_orders(self, asked: given.Orders) -> answers.OrderList:
        """List the orders of a customer, the newest first."""
        id_ = await self._id(asked.customer)
        steps = await self._steps(id_)
        orders = [_order_step(step) for step in reversed(steps) if step["what"] == "order"]
        return answers.OrderList(orders=orders[: asked.limit], more=len(orders) > asked.limit)

    async def get_customer(self, asked: given.OfCustomer) -> answers.Person:
        """Look a customer up: where they are met, their credits, what they have access to, and live subscriptions."""
        id_ = await self._id(asked.customer)
        person = await self._ask("GET", f"/v1/customers/{id_}")
        wallet = await self._ask("GET", f"/v1/customers/{id_}/credits")
        bills = await self._ask("GET", "/v1/subscriptions", params={"customer": id_, "status": "live", "limit": 20})
        steps = await self._steps(id_)
        features = sorted({step["feature"] for step in steps if step["what"] == "grant"})[:FEATURES_MAX]
        return answers.Person(
            id=person["id"],
            met_at=[f"{one['channel']}:{one['external_id']}" for one in person["identities"]],
            credits=[answers.Wallet.model_validate(one) for one in (wallet, *wallet["units"].values())],
            access=[await self._access(id_, feature) for feature in features],
            subscriptions=[_subscription(one) for one in bills["data"]],
        )

    async def check_access(self, asked: given.Access) -> answers.Allowed:
        """Tell whether a customer may have a feature now, and until when."""
        return await self._access(await self._id(asked.customer), asked.feature)

    async def explain(self, asked: given.Why) -> answers.Trace:
        """Tell why a customer has what they have, or not any more: orders, payments, grants, refunds, messages."""
        id_ = await self._id(asked.customer)
        steps = await self._steps(id_)
        if asked.feature is not None:
            steps = [step for step in steps if step.get("feature") == asked.feature]
        return answers.Trace(steps=steps[-asked.limit :], earlier=max(0, len(steps) - asked.limit))

    async def _steps(self, id_: str) -> list[dict[str, Any]]:
        """Return the whole trace of a customer, oldest first."""
        steps: list[dict[str, Any]] = []
        after: dict[str, Any] = {}
        while True:
            page = await self._ask("GET", f"/v1/customers/{id_}/timeline", params={"limit": 100, **after})
            steps += page["data"]
            if not page["has_more"]:
                return steps[::-1]
            after = {"starting_after": steps[-1]["cursor"]}

    # --- selling -----------------------------------------------------------------------------------------------------

    async def create_pay_link(self, asked: given.PayLink) -> answers.Order:
        """Make an order and the link where the buyer pays it. Give the buyer `pay_link` as it is.

        Prices are the catalogue's; a price of your own, a discount or an amount cannot be given. The same call again
        returns the order that is still open. Nothing is sold before get_order says `paid` or `fulfilled`.
        """
        items = [item.model_dump() for item in asked.items]
        body = {"customer": named(asked.customer), "items": items, "conversation": asked.conversation}
        if asked.idempotency_key is not None:
            return await self._sale(body, _key("sale", asked.idempotency_key))
        lines = _lines((await self._ask("GET", "/v1/products"))["data"], asked.items)
        orders = await self._newest(asked.customer)
        for order in orders:
            same = (order["status"] in OPEN, order["conversation"], _sold(order)) == (True, asked.conversation, lines)
            if same:
                return answers.Order.of(order)
        # Who asks at the same moment sees the same newest order, and so makes the same one.
        before = orders[0]["id"] if orders else ""
        words = (f"{price}*{quantity}*{amount}" for price, quantity, amount in lines)
        return await self._sale(body, _key("sale", asked.customer, asked.conversation or "", before, *words))

    async def cancel_order(self, asked: given.OfOrder) -> answers.Order:
        """Cancel an order that is not paid: its link cannot be paid any more. One that is paid is refused."""
        order = await self._order(asked.order)
        return answers.Order.of(await self._ask("POST", f"/v1/orders/{quoted(order['id'])}/cancel", {}))

    # --- credits -----------------------------------------------------------------------------------------------------

    async def spend_credits(self, asked: given.Spend) -> answers.Spent:
        """Take credits from a customer for something they get. Taken once for each idempotency_key, for ever."""
        return answers.Spent.model_validate(await self._credits("spend", asked))

    async def hold_credits(self, asked: given.Hold) -> answers.Held:
        """Reserve credits for something whose price is known only afterwards; then settle_hold or release_hold."""
        return answers.Held.model_validate(await self._credits("hold", asked, lasts_s=asked.lasts_s))

    async def settle_hold(self, asked: given.Settle) -> answers.Held:
        """Spend what was used of a hold, once; the rest goes back at once."""
        return await self._end_hold(asked.hold, "settle", {"amount": asked.amount})

    async def release_hold(self, asked: given.OfHold) -> answers.Held:
        """Let all of a hold go back."""
        return await self._end_hold(asked.hold, "release", {})

    # --- refunds -----------------------------------------------------------------------------------------------------

    async def request_refund(self, asked: given.Refund) -> answers.RefundRequest:
        """Ask a person of the desk to give money back. Nothing goes back by this call: a person approves or refuses.

        There is a limit for one request and for a day. Tell the buyer that a person decides, and no more.
        """
        order = await self._order(asked.order)
        body = {"order": order["id"], "reason": asked.reason, "agent": self.agent}
        if asked.amount is not None:
            body["amount"] = minor_of(asked.amount, order["currency"])
        return answers.RefundRequest.of(await self._ask("POST", "/v1/refund_requests", body))

    async def get_refund_request(self, asked: given.OfRefundRequest) -> answers.RefundRequest:
        """Look up what became of a refund that was asked for."""
        return answers.RefundRequest.of(await self._own("refund_requests", "refund request", asked.refund_request))

    # --- asking ------------------------------------------------------------------------------------------------------

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *,
        params: Mapping[str, Any] | None = None, key: str | None = None,
    ) -> Any:  # fmt: skip
        """Return what the API answers; waits while the same call, made at the same moment, is under way."""
        full = None if body is None else {name: value for name, value in body.items() if value is not None}
        request = Keyed(method, path, full, params, key, self._bearer)
        for _ in range(BUSY_TRIES):
            try:
                return read(await self._line.ask(request))
            except Conflict as busy:
                if busy.code != "idempotency_key_in_use":
                    raise
            await asyncio.sleep(BUSY_PAUSE_S)
        return read(await self._line.ask(request))

    async def _id(self, customer: str) -> str:
        """Return a person's id, quoted for a path; raises `NotFound`."""
        who = named(customer)
        if isinstance(who, str):
            return quoted((await self._ask("GET", f"/v1/customers/{quoted(who)}"))["id"])
        found = (await self._ask("GET", "/v1/customers", params=who))["data"]
        if not found:
            raise NotFound(f"nobody is known as {customer}: who has bought nothing has nothing", param="customer")
        return quoted(found[0]["id"])

    async def _own(self, where: str, what: str, id_: str) -> dict[str, Any]:
        """Return something by its id; where one person is served, another's is answered as what does not exist."""
        path = f"/v1/{where}/{quoted(id_)}"
        if self.only is None:
            found: dict[str, Any] = await self._ask("GET", path)
            return found
        try:
            served = await self._id(self.only)
        except NotFound:
            served = None
        try:
            found = await self._ask("GET", path)
        except NotFound:
            found = {"customer": None}
        if served is None or found["customer"] != served:
            raise NotFound(f"no {what} {id_}")
        return found

    async def _order(self, id_: str) -> dict[str, Any]:
        return await self._own("orders", "order", id_)

    async def _newest(self, customer: str) -> list[dict[str, Any]]:
        """Return somebody's newest orders; none of somebody who is not known."""
        try:
            params = {"customer": await self._id(customer), "limit": ORDERS_MAX}
        except NotFound:
            return []
        found: list[dict[str, Any]] = (await self._ask("GET", "/v1/orders", params=params))["data"]
        return found

    async def _sale(self, body: Mapping[str, Any], key: str) -> answers.Order:
        """Make an order under a key, or find the one that was made, and return it as it is now."""
        made = await self._ask("POST", "/v1/checkouts", body, key=key)
        return answers.Order.of(await self._ask("GET", f"/v1/orders/{quoted(made['id'])}"))

    async def _access(self, id_: str, feature: str) -> answers.Allowed:
        told = await self._ask("GET", f"/v1/customers/{id_}/access", params={"feature": feature})
        because = [one["text"] for one in told["reasons"]]
        return answers.Allowed(allowed=told["allowed"], feature=feature, until=told["until"], because=because)

    async def _credits(self, what: str, asked: given.Spend, **more: Any) -> Any:
        body = {"amount": asked.amount, "unit": asked.unit, "reason": asked.reason, **more}
        path = f"/v1/customers/{await self._id(asked.customer)}/credits/{what}"
        return await self._ask("POST", path, body, key=_key(what, asked.idempotency_key))

    async def _end_hold(self, hold: str, how: str, body: Mapping[str, Any]) -> answers.Held:
        """End a hold; the ledger itself sees to it that it ends once."""
        if self.only is not None:
            await self._own("holds", "hold", hold)
        return answers.Held.model_validate(await self._ask("POST", f"/v1/holds/{quoted(hold)}/{how}", body))


def _key(*parts: str) -> str:
    """Return the idempotency key that belongs to what a model said, whatever characters that has."""
    return f"mcp_{hashlib.sha256(chr(31).join(parts).encode()).hexdigest()}"


def _lines(products: list[dict[str, Any]], items: list[given.Item]) -> list[tuple[str, int, int]]:
    """Return price, quantity and today's amount of what is wished for; a product of one price stands for that."""
    amounts = {price["key"]: price["amount"] for product in products for price in product["prices"]}
    sole = {product["key"]: product["prices"][0]["key"] for product in products if len(product["prices"]) == 1}
    keys = [item.price if item.price in amounts else sole.get(item.price, item.price) for item in items]
    return sorted((key, item.quantity, amounts.get(key, -1)) for key, item in zip(keys, items, strict=True))


def _sold(order: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """Return the same of an order; a line of no price of the catalogue is like none."""
    return sorted((item["price"] or "", item["quantity"], item["amount"]) for item in order["items"])


def _fits(product: Mapping[str, Any], price: Mapping[str, Any], words: list[str]) -> bool:
    """Say whether every word is somewhere in a product or its price."""
    text = " ".join(filter(None, (product["key"], product["name"], product["description"], price["key"]))).casefold()
    return all(word in text for word in words)


def _offer(product: Mapping[str, Any], price: Mapping[str, Any]) -> answers.Offer:
    return answers.Offer(
        price=price["key"],
        product=product["key"],
        name=product["name"],
        description=product["description"],
        amount=price["amount"],
        currency=price["currency"],
        costs=price["display"],
        gives=product["grants"],
    )


def _order_step(step: Mapping[str, Any]) -> answers.OrderStep:
    costs = money.display(step["amount"], step["currency"])
    return answers.OrderStep.model_validate({**step, "costs": costs, "created_at": step["at"]})


def _subscription(told: Mapping[str, Any]) -> answers.Subscription:
    prices = [str(item["price"] or item["product"] or item["stripe_price"]) for item in told["items"]]
    return answers.Subscription.model_validate({**told, "prices": prices})


def hint(error: Exception) -> str:
    """Return what a model can do about an error, in a sentence; nothing where the error says it itself."""
    if isinstance(error, Forbidden) and error.code == Forbidden.code:
        return "This key may not do that: tell the person you work for."
    return HINTS.get(getattr(error, "code", ""), "")


HINTS = {
    "not_found": "Check the id or key: search_catalog tells what is sold, get_customer and list_orders what somebody has.",
    "insufficient_credits": "Nothing was taken. Offer more credits: search_catalog with kind credits, then create_pay_link.",
    "idempotency_mismatch": "This idempotency_key stands for another call: use a new one for something new.",
    "not_paid": "An unpaid order is canceled with cancel_order.",
    "refund_limit": "Do not split it into smaller requests; tell the buyer that a person of the desk will look at it.",
    "request_waiting": "Look at it with get_refund_request, and wait for the person.",
    "rate_limited": "Wait as long as it says.",
    "store_unavailable": "Try the same call again in a few seconds: it takes effect once.",
    "stripe_unavailable": "Try the same call again in a few seconds: it takes effect once.",
    "unreachable": "Try the same call again in a few seconds: it takes effect once.",
}
