"""The library's calls about money: the catalogue, payments, refunds, pages to pay on, orders, subscriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from paydesk.errors import Invalid
from paydesk.library_asking import (
    Answer,
    Request,
    currency_of,
    guest,
    id_of,
    minor_of,
    named,
    new_key,
    post,
    quoted,
    texts,
)
from paydesk.library_shapes import Amount, Who
from paydesk.library_sold import CheckoutSession, Order, PaymentIntent, PaymentItem, Product, Refund, Subscription

NAME_MAX = 120
Reason = Literal["duplicate", "fraudulent", "requested_by_customer"]


class Selling:
    """Selling and giving back. `currency` counts where none is said.

    Every call that changes something takes effect once for its `idempotency_key`, however often it is repeated; without
    one it gets one of its own. Every call raises the classes of `paydesk.errors`: `Invalid` with the parameter,
    `NotFound`, `Conflict`, `StripeRefused` when Stripe says no, and `StripeUnavailable`, `StoreUnavailable` or
    `Unreachable` when the same call with the same key is to be made again.
    """

    def __init__(self, currency: str = "usd") -> None:
        self._currency = currency_of(currency)

    def products(self) -> Answer[list[Product]]:
        """Return the catalogue: what is sold, in the order of its file."""
        found = yield Request("GET", "/v1/products")
        return [Product.of(one) for one in found["data"]]

    # --- payments ------------------------------------------------------------------------------------------------------

    def create_payment_intent(
        self, amount: Amount | None = None, currency: str | None = None, description: str | None = None, *,
        items: Sequence[PaymentItem | str] | None = None, customer: Who | None = None,
        customer_email: str | None = None, metadata: Mapping[str, object] | None = None,
        capture: Literal["automatic", "manual"] = "automatic", payment_method: str | None = None,
        confirm: bool = False, off_session: bool = False, return_url: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer[PaymentIntent]:  # fmt: skip
        """Make a payment that your own page or app carries out, with `client_secret`; with `confirm` it is paid now.

        `amount` is in the main unit (`"100.00"`, `Decimal("100")`, `100.0`, `100`), and grants nothing; `items` of the
        catalogue instead grant what they say. Without a customer the payer is a guest. `capture="manual"` only reserves.
        The order of the payment is made first; what is answered is the intent as Stripe has it.

        Raises `Invalid` for an amount with too many decimals or less than Stripe takes, and `PaymentRefused` for a
        declined card: its `payment` can still be paid.
        """
        key = idempotency_key or new_key()
        body: dict[str, Any] = {"description": description, "metadata": texts(metadata), "capture_method": capture,
                                "payment_method": payment_method, "return_url": return_url}  # fmt: skip
        if items is None:
            code = self._code(currency)
            if amount is None:
                raise Invalid("a payment needs an amount, or items", param="amount")
            body |= {"amount": minor_of(amount, code), "currency": code}
        elif amount is not None:
            raise Invalid("a payment has an amount or items, not both", param="amount")
        else:
            body["items"] = self._lines(items, currency)
        body |= {"confirm": confirm or None, "off_session": off_session or None}
        body["customer"] = yield from _buyer(customer, customer_email, key)
        made = yield post("/v1/payments", body, key)
        return PaymentIntent.of(made)

    def retrieve_payment_intent(self, payment: str) -> Answer[PaymentIntent]:
        """Return a payment (`pi_…`) as it is at Stripe now. Raises `NotFound`."""
        found = yield Request("GET", f"/v1/payments/{quoted(payment)}")
        return PaymentIntent.of(found)

    def payment_status(self, payment: str) -> Answer[str]:
        """Return where a payment (`pi_…`) stands at Stripe now, such as `requires_action` or `succeeded`."""
        found = yield from self.retrieve_payment_intent(payment)
        return found.status

    def cancel_payment_intent(self, payment: str, *, idempotency_key: str | None = None) -> Answer[PaymentIntent]:
        """Cancel an unpaid payment and its order; what it has reserved is let go. Again, it is the same answer.

        Raises `Conflict` when it is paid.
        """
        done = yield Request("POST", f"/v1/payments/{quoted(payment)}/cancel", key=idempotency_key or new_key())
        return PaymentIntent.of(done)

    def capture_payment_intent(
        self, payment: str, amount: Amount | None = None, *, idempotency_key: str | None = None
    ) -> Answer[PaymentIntent]:
        """Take what a payment with `capture="manual"` has reserved, or `amount` of it, in the main unit.

        What it bought is then worth its share, and the rest is let go. Raises `Conflict` when nothing is reserved.
        """
        body = {}
        if amount is not None:
            found = yield from self.retrieve_payment_intent(payment)
            body["amount"] = minor_of(amount, found.currency)
        done = yield post(f"/v1/payments/{quoted(payment)}/capture", body, idempotency_key)
        return PaymentIntent.of(done)

    def refund(
        self, of: str, amount: Amount | None = None, *, reason: Reason | None = None, idempotency_key: str | None = None
    ) -> Answer[Refund]:
        """Give money back of a payment (`pi_…`) or an order (`ord_…`): `amount` in the main unit, or all that is left.

        What was bought falls in proportion. All refunds together never exceed what was paid. Raises `Conflict` for
        more than is left, and for what is not paid.
        """
        kind = "order" if isinstance(of, str) and of.startswith("ord_") else "payment"
        body: dict[str, Any] = {kind: of, "reason": reason}
        if amount is not None:
            found = yield Request("GET", f"/v1/{kind}s/{quoted(of)}")
            body["amount"] = minor_of(amount, found["currency"])
        made = yield post("/v1/refunds", body, idempotency_key)
        return Refund.of(made)

    def retrieve_refund(self, refund: str) -> Answer[Refund]:
        """Return a refund (`re_…`), whoever made it: you, or a person in Stripe's dashboard. Raises `NotFound`."""
        found = yield Request("GET", f"/v1/refunds/{quoted(refund)}")
        return Refund.of(found)

    # --- pages to pay on -------------------------------------------------------------------------------------------------

    def create_checkout_session(
        self, items: Sequence[PaymentItem | str], success_url: str | None = None, cancel_url: str | None = None, *,
        currency: str | None = None, customer: Who | None = None, customer_email: str | None = None,
        metadata: Mapping[str, object] | None = None, conversation: str | None = None, save_card: bool = False,
        coupon: str | None = None, promotion_code: str | None = None, allow_promotion_codes: bool = False,
        idempotency_key: str | None = None,
    ) -> Answer[CheckoutSession]:  # fmt: skip
        """Make an order and Stripe's page to pay it on: send the buyer to `url` now, or to `link` at any time.

        An item is a key of the catalogue (`"credits-10"`), `PaymentItem(price="credits-10", quantity=2)`, or a
        `PaymentItem` with a name and an amount of your own, which grants nothing; all have one currency. `customer` may
        be somebody new; without one the buyer is a guest, whom `customer_email` lets you write to. After paying, the
        buyer is told in the conversation where they are met, and led back to `success_url`.
        """
        key = idempotency_key or new_key()
        body = {
            "items": self._lines(items, currency), "success_url": success_url, "cancel_url": cancel_url,
            "metadata": texts(metadata), "conversation": conversation, "save_card": save_card or None,
            "coupon": coupon, "promotion_code": promotion_code, "allow_promotion_codes": allow_promotion_codes or None,
        }  # fmt: skip
        buyer = yield from _buyer(customer, customer_email, key)
        made = yield post("/v1/checkouts", {**body, "customer": buyer}, key)
        return CheckoutSession.of(made)

    def retrieve_order(self, order: str) -> Answer[Order]:
        """Return an order (`ord_…`) with its lines, as it is now. Raises `NotFound`."""
        found = yield Request("GET", f"/v1/orders/{quoted(order)}")
        return Order.of(found)

    def cancel_order(self, order: str, *, idempotency_key: str | None = None) -> Answer[Order]:
        """Cancel an unpaid order; its page is closed first, so nobody can pay it any more. Again, it is the same answer.

        Raises `Conflict` when it is paid, or its payment is on the way.
        """
        done = yield Request("POST", f"/v1/orders/{quoted(order)}/cancel", key=idempotency_key or new_key())
        return Order.of(done)

    # --- subscriptions -------------------------------------------------------------------------------------------------

    def create_subscription(
        self, customer: Who, price: str, quantity: int = 1, *, payment_method: str | None = None,
        trial: bool = True, coupon: str | None = None, promotion_code: str | None = None,
        metadata: Mapping[str, object] | None = None, idempotency_key: str | None = None,
    ) -> Answer[Subscription]:  # fmt: skip
        """Begin a subscription to a price of the catalogue.

        `payment_method` is a saved way to pay: its id, or `"default"`. Without one, or when the bank wants the buyer, the
        status is `incomplete`, and `client_secret` and `url` say how they pay. Raises `Conflict` with the code
        `already_subscribed` for what they have.
        """
        body = {"customer": named(customer), "price": price, "quantity": quantity, "payment_method": payment_method,
                "trial": trial, "coupon": coupon, "promotion_code": promotion_code, "metadata": texts(metadata)}  # fmt: skip
        made = yield post("/v1/subscriptions", body, idempotency_key)
        return Subscription.of(made)

    def retrieve_subscription(self, subscription: str) -> Answer[Subscription]:
        """Return a subscription (`sub_…`) as it is now. Raises `NotFound`."""
        found = yield Request("GET", f"/v1/subscriptions/{quoted(subscription)}")
        return Subscription.of(found)

    def subscriptions(self, customer: Who, *, status: str | None = None) -> Answer[list[Subscription]]:
        """Return a person's newest subscriptions, at most a hundred, newest first; `status="live"` those not over."""
        person = yield from id_of(customer)
        found = yield Request(
            "GET", "/v1/subscriptions", params={"customer": person, "status": status, "limit": 100}
        )  # fmt: skip
        return [Subscription.of(one) for one in found["data"]]

    def change_subscription(
        self, subscription: str, *, price: str | None = None, quantity: int | None = None,
        when: Literal["now", "period_end"] | None = None, proration: Literal["always_invoice", "none"] | None = None,
        pause: bool | None = None, cancel_at_period_end: bool | None = None, idempotency_key: str | None = None,
    ) -> Answer[Subscription]:  # fmt: skip
        """Change one thing: the price or quantity, a pause (`True`) or its end, an end with the period or its taking back.

        What costs more counts now, charged for the rest of the period; what costs less with the next period; `when` says
        otherwise. A declined charge raises `StripeRefused` and leaves everything as it was.
        """
        body = {"price": price, "quantity": quantity, "when": when, "proration": proration, "pause": pause,
                "cancel_at_period_end": cancel_at_period_end}  # fmt: skip
        given = {name: value for name, value in body.items() if value is not None}
        path = f"/v1/subscriptions/{quoted(subscription)}"
        done = yield Request("PATCH", path, given, key=idempotency_key or new_key())
        return Subscription.of(done)

    def cancel_subscription(
        self, subscription: str, *, at: Literal["now", "period_end"] = "now", idempotency_key: str | None = None
    ) -> Answer[Subscription]:
        """End a subscription now, or with its period. Nothing is given back: that is a refund. Again, the same answer."""
        path = f"/v1/subscriptions/{quoted(subscription)}"
        done = yield Request("DELETE", path, params={"at": at}, key=idempotency_key or new_key())
        return Subscription.of(done)

    def portal_url(self, customer: Who, return_url: str | None = None) -> Answer[str]:
        """Return a short-lived address of Stripe's page where a known person sees bills and changes cards."""
        found = yield post("/v1/portal", {"customer": named(customer), "return_url": return_url}, None)
        return str(found["url"])

    # --- what is given -------------------------------------------------------------------------------------------------

    def _code(self, currency: str | None) -> str:
        return self._currency if currency is None else currency_of(currency)

    def _lines(self, items: Sequence[PaymentItem | str], currency: str | None) -> list[dict[str, Any]]:
        if isinstance(items, str | PaymentItem):
            raise Invalid("items is a list: put the one item into brackets", param="items")
        return [self._line(one, currency) for one in items]

    def _line(self, item: PaymentItem | str, currency: str | None) -> dict[str, Any]:
        if isinstance(item, str):
            return {"price": item, "quantity": 1}
        if not isinstance(item, PaymentItem):
            raise Invalid(f"an item is a PaymentItem or a price of the catalogue, not {item!r}", param="items")
        if item.price is not None:
            if item.name is not None or item.amount is not None:
                raise Invalid("an item has a price, or a name and an amount, not both", param="items")
            return {"price": item.price, "quantity": item.quantity}
        if item.name is None or item.amount is None:
            raise Invalid("an item needs a name and an amount, or a price of the catalogue", param="items")
        code = self._code(item.currency or currency)
        shown = item.name if not item.description else f"{item.name}, {item.description}"
        if len(item.name) <= NAME_MAX < len(shown):
            shown = shown[: NAME_MAX - 1] + "…"
        return {
            "name": shown,
            "amount": minor_of(item.amount, code, "items"),
            "currency": code,
            "quantity": item.quantity,
        }


def _buyer(customer: Who | None, email: str | None, key: str) -> Answer[str | dict[str, str]]:
    """Return who buys; a guest with an address is made first, once for each key."""
    if customer is not None:
        if email is not None:
            raise Invalid("give a customer or a customer_email, not both", param="customer_email")
        return named(customer)
    if email is None:
        return guest(key)
    made = yield post("/v1/customers", {"identities": [guest(key)], "email": email}, f"{key[:246]}:customer")
    return str(made["id"])
