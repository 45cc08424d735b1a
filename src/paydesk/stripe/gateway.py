"""The gateway to Stripe's API: the only module that imports the SDK.

Every call passes `_call`: never while a transaction is open, within the rate Stripe allows, with our own
deterministic idempotency key on what creates something, and with Stripe's errors turned into ours (`failures`). The SDK
repeats 409, 5xx and broken connections twice with the same key (measured on 16.1.0); 429 it does not, so we do.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import httpx
import orjson
import stripe

from paydesk import edge
from paydesk.config import STRIPE_API_BASE, Settings, require_stripe
from paydesk.errors import NotFound, StripeUnavailable
from paydesk.stripe import failures

log = logging.getLogger("paydesk.stripe")

T = TypeVar("T")
TIMEOUT_S = 20
RATE_TEST_PER_S = 20.0  # Stripe allows 25 in its test sandboxes and 100 in live mode
RATE_LIVE_PER_S = 80.0
RATE_SANDBOX_PER_S = 500.0
BUSY_S = (0.25, 0.5, 1.0)
"""How long is waited before a call that Stripe was too busy for is made again: it has not been carried out."""

PAYABLE_PARTS = ["latest_invoice.confirmation_secret", "pending_setup_intent"]
"""What a page needs to let a buyer pay the first invoice of a subscription, or save a card for its trial."""

PARTS_OF_A_BILL = (
    "payments.data.payment.payment_intent",
    "parent.subscription_details.subscription.default_payment_method",
    "parent.subscription_details.subscription.schedule",
)
PLACES = {
    "payment_intent": "/v1/payment_intents",
    "charge": "/v1/charges",
    "checkout.session": "/v1/checkout/sessions",
    "dispute": "/v1/disputes",
    "refund": "/v1/refunds",
    "balance_transaction": "/v1/balance_transactions",
    "subscription": "/v1/subscriptions",
    "invoice": "/v1/invoices",
}
"""Where a look finds what a reader asks for."""


class Gateway:
    """Speaks with Stripe (or the sandbox) by one key. Methods return plain dictionaries as Stripe sent them."""

    def __init__(self, settings: Settings) -> None:
        key = require_stripe(settings)
        addresses: Any = {"api": settings.stripe_api_base}
        self._http = stripe.HTTPXClient(timeout=TIMEOUT_S)
        self._client = stripe.StripeClient(
            key.reveal(), base_addresses=addresses, http_client=self._http, max_network_retries=2
        )
        self.key = key
        self.livemode = settings.livemode
        self.base = settings.stripe_api_base
        real = RATE_LIVE_PER_S if settings.livemode else RATE_TEST_PER_S
        self._bucket = Bucket(real if settings.stripe_api_base == STRIPE_API_BASE else RATE_SANDBOX_PER_S)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def account(self) -> str:
        """Return the id of the account that the key belongs to."""
        account = await self._call("account", lambda: self._client.v1.accounts.retrieve_current_async())
        return str(account["id"])

    async def default_version(self) -> str | None:
        """Return the account's default API version: what Stripe answers in when a request names none."""
        headers = {"Authorization": f"Bearer {self.key.reveal()}"}
        edge.outside_transaction("a call to Stripe (version)")
        try:
            async with httpx.AsyncClient(base_url=self.base, timeout=TIMEOUT_S, headers=headers) as client:
                answer = await client.get("/v1/events", params={"limit": 1})
        except httpx.HTTPError as error:
            raise StripeUnavailable(f"Stripe did not answer (version): {type(error).__name__}") from error
        return str(answer.headers["Stripe-Version"]) if "Stripe-Version" in answer.headers else None

    async def create_customer(self, params: Mapping[str, Any], key: str) -> str:
        """Make a Stripe customer and return its id; the same key makes one."""
        made = await self._create("customer", self._client.v1.customers.create_async, params, key)
        return str(made["id"])

    async def create_session(self, params: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Make a Checkout session; the same key makes one."""
        return await self._create("session", self._client.v1.checkout.sessions.create_async, params, key)

    async def session(self, id_: str) -> dict[str, Any]:
        """Return a Checkout session as it is now; raises `NotFound`."""
        return await self._call("session", lambda: self._client.v1.checkout.sessions.retrieve_async(id_))

    async def expire_session(self, id_: str) -> dict[str, Any]:
        """Expire an open Checkout session; raises `StripeRefused` when it is open no more."""
        return await self._call("session", lambda: self._client.v1.checkout.sessions.expire_async(id_))

    async def find_session(self, stripe_customer: str, order: str, attempt: str) -> dict[str, Any] | None:
        """Look among a customer's sessions for the one made by `attempt` of `order`; a customer who is gone has none."""
        params: Any = {"customer": stripe_customer, "limit": 100}
        try:
            page = await self._call("sessions", lambda: self._client.v1.checkout.sessions.list_async(params))
        except NotFound:
            return None
        for session in page["data"]:
            metadata = session.get("metadata") or {}
            if metadata.get("paydesk_order") == order and metadata.get("paydesk_attempt") == attempt:
                return dict(session)
        return None

    async def look(self, kind: str, id_: str) -> dict[str, Any]:
        """Return the object that a reader asked for; raises `NotFound` when Stripe does not know it."""
        if kind == "refunds":
            return await self._raw(kind, "/v1/refunds", {"charge": id_, "limit": 100})
        if kind in ("subscription", "invoice", "invoice_of"):
            return await self._bill(kind, id_)
        return await self._one(kind, id_, *(["payment_intent"] if kind == "dispute" else []))

    async def _one(self, kind: str, id_: str, *expand: str) -> dict[str, Any]:
        """Return an object as Stripe wrote it, with what is to be opened in it; raises `NotFound`."""
        return await self._raw(kind, f"{PLACES[kind]}/{quote(id_, safe='')}", {"expand": expand})

    async def _bill(self, kind: str, id_: str) -> dict[str, Any]:
        """Return a subscription with its newest invoice, or an invoice (also that of a payment) with its subscription.

        `{}` for what belongs to no subscription. Stripe opens four levels at most: docs.stripe.com/expand.
        """
        if kind == "invoice_of":
            params = {"payment": {"type": "payment_intent", "payment_intent": id_}, "limit": 1}
            page = await self._raw(kind, "/v1/invoice_payments", params)
            return await self._bill("invoice", page["data"][0]["invoice"]) if page["data"] else {}
        if kind == "subscription":
            found = await self._one(kind, id_, "default_payment_method", "schedule")
            newest = found.get("latest_invoice")
            return {"subscription": found, "invoices": [await self._invoice(newest)] if newest else []}
        invoice = await self._invoice(id_)
        details = (invoice.get("parent") or {}).get("subscription_details") or {}
        own = details.get("subscription")
        return {"subscription": own, "invoices": [invoice]} if own else {}

    async def _invoice(self, id_: str) -> dict[str, Any]:
        """Return an invoice with all its lines, its payments and its subscription."""
        invoice = await self._one("invoice", id_, *PARTS_OF_A_BILL)
        lines = invoice["lines"]
        while lines["has_more"]:
            params = {"limit": 100, "starting_after": lines["data"][-1]["id"]}
            page = await self._raw("lines", f"{PLACES['invoice']}/{quote(id_, safe='')}/lines", params)
            lines = {"data": lines["data"] + page["data"], "has_more": page["has_more"]}
        return {**invoice, "lines": lines}

    # --- payments and refunds --------------------------------------------------------------------------------------

    async def create_intent(self, params: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Make a payment intent; the same key makes one."""
        return await self._create("payment", self._client.v1.payment_intents.create_async, params, key)

    async def find_intent(self, stripe_customer: str, order: str, made_after_s: int) -> dict[str, Any] | None:
        """Look among a customer's intents of a time for the one made for `order`, newest first."""
        params = {"customer": stripe_customer, "created": {"gte": made_after_s}}
        return await self._find("/v1/payment_intents", params, "paydesk_order", order)

    async def intent(self, id_: str) -> dict[str, Any]:
        """Return a payment intent as it is now; raises `NotFound`."""
        return await self._call("payment", lambda: self._client.v1.payment_intents.retrieve_async(id_))

    async def confirm_intent(self, id_: str, params: Any, key: str) -> dict[str, Any]:
        """Let an intent be paid with its payment method; the same key tries once. A declined card is `StripeRefused`."""
        confirm = self._client.v1.payment_intents.confirm_async
        return await self._call("payment", lambda: confirm(id_, params, options={"idempotency_key": key}))

    async def cards(self, stripe_customer: str) -> list[str]:
        """Return the ids of a customer's saved cards, the newest first."""
        params: Any = {"type": "card", "limit": 100}
        v1 = self._client.v1
        page = await self._call("cards", lambda: v1.customers.payment_methods.list_async(stripe_customer, params))
        return [str(card["id"]) for card in page["data"]]

    async def capture_intent(self, id_: str, amount: int | None) -> dict[str, Any]:
        """Take what an intent has reserved, or a part; Stripe refuses a second time by itself."""
        params: Any = {} if amount is None else {"amount_to_capture": amount}
        return await self._call("payment", lambda: self._client.v1.payment_intents.capture_async(id_, params))

    async def cancel_intent(self, id_: str) -> dict[str, Any]:
        """Let nobody pay an intent any more, and let go what it has reserved; Stripe refuses a second time by itself."""
        return await self._call("payment", lambda: self._client.v1.payment_intents.cancel_async(id_))

    async def create_refund(self, params: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Give money back; the same key gives it back once."""
        return await self._create("refund", self._client.v1.refunds.create_async, params, key)

    async def find_refund(self, intent: str, operation: str) -> dict[str, Any] | None:
        """Look among an intent's refunds for the one that `operation` of ours has made."""
        return await self._find("/v1/refunds", {"payment_intent": intent}, "paydesk_refund", operation)

    async def refund_now(self, id_: str) -> dict[str, Any]:
        """Return a refund as it is now; raises `NotFound`."""
        return await self._call("refund", lambda: self._client.v1.refunds.retrieve_async(id_))

    async def _find(self, path: str, params: dict[str, Any], name: str, value: str) -> dict[str, Any] | None:
        """Walk through a list, newest first, for the object with this in its metadata."""
        params = {**params, "limit": 100}
        while True:
            page = await self._raw(path, path, params)
            for one in page["data"]:
                if (one.get("metadata") or {}).get(name) == value:
                    return dict(one)
            if not page["has_more"]:
                return None
            params["starting_after"] = page["data"][-1]["id"]

    # --- subscriptions ---------------------------------------------------------------------------------------------

    async def create_subscription(self, params: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Make a subscription; the same key makes one. What pays its first invoice comes with it."""
        opened = {**params, "expand": PAYABLE_PARTS}
        return await self._create("subscription", self._client.v1.subscriptions.create_async, opened, key)

    async def subscription(self, id_: str) -> dict[str, Any]:
        """Return a subscription as it is now, with what pays its newest invoice; raises `NotFound`."""
        opened: Any = {"expand": PAYABLE_PARTS}
        return await self._call("subscription", lambda: self._client.v1.subscriptions.retrieve_async(id_, opened))

    async def find_subscription(self, stripe_customer: str, order: str) -> dict[str, Any] | None:
        """Look among a customer's subscriptions for the one made for `order`."""
        params = {"customer": stripe_customer, "status": "all"}
        found = await self._find("/v1/subscriptions", params, "paydesk_order", order)
        return await self.subscription(found["id"]) if found is not None else None

    async def update_subscription(self, id_: str, params: Any, key: str) -> dict[str, Any]:
        """Change a subscription; the same key changes it once."""
        update = self._client.v1.subscriptions.update_async
        return await self._call("subscription", lambda: update(id_, params, options={"idempotency_key": key}))

    async def resume_subscription(self, id_: str, params: Any, key: str) -> dict[str, Any]:
        """Begin again a subscription whose trial ended without a way to pay; the same key does it once."""
        resume = self._client.v1.subscriptions.resume_async
        return await self._call("subscription", lambda: resume(id_, params, options={"idempotency_key": key}))

    async def release_schedule(self, id_: str) -> dict[str, Any]:
        """Let a schedule go, so that its subscription goes on as it is; raises `StripeRefused` when it is over already."""
        release = self._client.v1.subscription_schedules.release_async
        return await self._call("subscription_schedule", lambda: release(id_))

    async def cancel_subscription(self, id_: str) -> dict[str, Any]:
        """End a subscription now; raises `NotFound` or `StripeRefused` when it is over already."""
        return await self._call("subscription", lambda: self._client.v1.subscriptions.cancel_async(id_))

    async def void_invoice(self, id_: str) -> dict[str, Any]:
        """Make an open invoice worth nothing; raises `StripeRefused` for one that is paid, or void already."""
        return await self._call("invoice", lambda: self._client.v1.invoices.void_invoice_async(id_))

    async def invoice_now(self, id_: str) -> dict[str, Any]:
        """Return an invoice as it is now; raises `NotFound`."""
        return await self._call("invoice", lambda: self._client.v1.invoices.retrieve_async(id_))

    async def promotion_code(self, code: str) -> str | None:
        """Return the id of the active promotion code that buyers type as `code`, `None` when there is none."""
        params: Any = {"code": code, "active": True, "limit": 1}
        page = await self._call("promotion_code", lambda: self._client.v1.promotion_codes.list_async(params))
        return str(page["data"][0]["id"]) if page["data"] else None

    async def create_portal_session(self, params: Any) -> dict[str, Any]:
        """Make a session of the customer portal: a short-lived address for one person."""
        create = self._client.v1.billing_portal.sessions.create_async
        return await self._call("portal", lambda: create(params))

    # --- the catalogue ---------------------------------------------------------------------------------------------

    async def prices_by_lookup_key(self, lookup_keys: list[str]) -> dict[str, dict[str, Any]]:
        """Return prices by lookup key, those that exist; an archived one only where none is active."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(lookup_keys), 10):  # Stripe takes ten lookup keys at a time
            params: Any = {"lookup_keys": lookup_keys[start : start + 10], "limit": 100}
            page = await self._call("prices", partial(self._client.v1.prices.list_async, params))
            found |= {price["lookup_key"]: price for price in sorted(page["data"], key=lambda price: price["active"])}
        return found

    async def price(self, id_: str) -> dict[str, Any]:
        """Return a price; raises `NotFound`."""
        return await self._call("price", lambda: self._client.v1.prices.retrieve_async(id_))

    async def products(self, ids: list[str]) -> dict[str, dict[str, Any]]:
        """Return products by id, those that exist, archived ones too."""
        found: dict[str, dict[str, Any]] = {}
        for start in range(0, len(ids), 100):
            params: Any = {"ids": ids[start : start + 100], "limit": 100}
            page = await self._call("products", partial(self._client.v1.products.list_async, params))
            found |= {product["id"]: product for product in page["data"]}
        return found

    async def create_product(self, params: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Make a product."""
        return await self._create("product", self._client.v1.products.create_async, params, key)

    async def update_product(self, id_: str, params: Any) -> dict[str, Any]:
        """Change a product."""
        return await self._call("product", lambda: self._client.v1.products.update_async(id_, params))

    async def create_price(self, params: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Make a price."""
        return await self._create("price", self._client.v1.prices.create_async, params, key)

    async def sell_again(self, id_: str) -> dict[str, Any]:
        """Make an archived price active."""
        return await self._call("price", lambda: self._client.v1.prices.update_async(id_, {"active": True}))

    async def webhook_endpoints(self) -> list[dict[str, Any]]:
        """Return the account's webhook endpoints."""
        params: Any = {"limit": 100}
        page = await self._call("endpoints", lambda: self._client.v1.webhook_endpoints.list_async(params))
        return [dict(endpoint) for endpoint in page["data"]]

    async def events_between(self, start_s: int, end_s: int) -> list[dict[str, Any]]:
        """Return all events created from `start_s` up to before `end_s`, newest first, as Stripe wrote them."""
        events: list[dict[str, Any]] = []
        params: dict[str, Any] = {"limit": 100, "created": {"gte": start_s, "lt": end_s}}
        while True:
            page = await self._raw("events", "/v1/events", params)
            events += page["data"]
            if not page["has_more"]:
                return events
            params["starting_after"] = page["data"][-1]["id"]

    async def _raw(self, what: str, path: str, params: dict[str, Any]) -> dict[str, Any]:
        """Read from Stripe without the SDK's own types: what is stored must be what Stripe wrote.

        Making those types of a bill takes a third of the time of a look.
        """
        query = urlencode(sorted(_flat(params)))
        response = await self._guarded(what, lambda: self._client.raw_request_async("get", f"{path}?{query}"))
        found: dict[str, Any] = orjson.loads(response.body)
        return found

    # --- how a call is made ----------------------------------------------------------------------------------------

    async def _create(
        self, what: str, create: Callable[..., Awaitable[Any]], params: Mapping[str, Any], key: str
    ) -> dict[str, Any]:
        return await self._call(what, lambda: create(dict(params), options={"idempotency_key": key}))

    async def _call(self, what: str, call: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
        plain: dict[str, Any] = (await self._guarded(what, call)).to_dict()
        return plain

    async def _guarded(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        edge.outside_transaction(f"a call to Stripe ({what})")
        await self._bucket.take()
        edge.point("stripe:before")
        answer = await self._answered(what, call)
        edge.point("stripe:after")
        return answer

    async def _answered(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """Return what Stripe answers; what it was too busy for it has not done, so that is asked again, a few times."""
        for pause_s in (*BUSY_S, None):
            try:
                return await call()
            except stripe.RateLimitError as error:
                if pause_s is None:
                    raise _raised(error, what) from error
                log.info("Stripe is busy (%s): asked again in %s s", what, pause_s)
                await asyncio.sleep(pause_s)
            except stripe.StripeError as error:
                raise _raised(error, what) from error
        raise AssertionError  # the last try returns or raises


KINDS = (
    stripe.CardError, stripe.RateLimitError, stripe.AuthenticationError, stripe.PermissionError, stripe.IdempotencyError,
    stripe.InvalidRequestError, stripe.APIConnectionError,
)  # fmt: skip


def _raised(error: stripe.StripeError, what: str) -> Exception:
    """Return our error for one of the SDK's; Stripe's own words stand in the log."""
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    failure = failures.Failure(
        kind=next((kind.__name__ for kind in KINDS if isinstance(error, kind)), "APIError"),
        what=what,
        message=f"{error.user_message or error}".strip() or type(error).__name__,
        status=error.http_status,
        code=error.code,
        param=getattr(error, "param", None),
        decline_code=getattr(error.error, "decline_code", None),
        request=error.request_id,
        retry_after=headers.get("retry-after"),
        replayed=headers.get("idempotent-replayed") == "true",
    )
    log.info("%s", failure.line())
    return failures.meaning(failure)


def _flat(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return parameters as Stripe wants them in a query: `created[gte]=…`, `expand[]=…`."""
    pairs: list[tuple[str, str]] = []
    for name, value in params.items():
        if isinstance(value, Mapping):
            pairs += [(f"{name}[{key}]", str(inner)) for key, inner in value.items()]
        elif isinstance(value, tuple):
            pairs += [(f"{name}[]", inner) for inner in value]
        else:
            pairs.append((name, str(value)))
    return pairs


class Bucket:
    """Lets so many calls a second pass, and makes the others wait their turn."""

    def __init__(self, rate_per_s: float) -> None:
        self._gap_s = 1 / rate_per_s
        self._next_s = 0.0

    async def take(self) -> None:
        """Wait until the next call may start."""
        now = time.monotonic()
        start = max(now, self._next_s)
        self._next_s = start + self._gap_s
        if start > now:
            await asyncio.sleep(start - now)
