"""Run by an older official SDK in an environment of its own: drives the sandbox and judges every answer by its types.

`python old_sdk_judge.py ADDRESS KEY` reads `{kind: [field, …]}` from stdin, the fields that today's SDK declares, and
prints one problem a line. A field that only the older SDK has must be there: it is what its programs read. Unknown
fields, missing fields that are not optional, and wrong types are problems too. Works with SDK 8 to 12.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import sys
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import requests
import stripe
from stripe import StripeObject

KINDS = {
    "balance_transaction": "BalanceTransaction", "billing_portal.configuration": "billing_portal.Configuration",
    "billing_portal.session": "billing_portal.Session", "charge": "Charge", "checkout.session": "checkout.Session",
    "coupon": "Coupon", "customer": "Customer", "discount": "Discount", "dispute": "Dispute", "event": "Event",
    "invoice": "Invoice", "invoice_payment": "InvoicePayment", "invoiceitem": "InvoiceItem", "item": "LineItem",
    "line_item": "InvoiceLineItem", "payment_intent": "PaymentIntent", "payment_method": "PaymentMethod",
    "plan": "Plan", "price": "Price", "product": "Product", "promotion_code": "PromotionCode", "refund": "Refund",
    "setup_intent": "SetupIntent", "subscription": "Subscription", "subscription_item": "SubscriptionItem",
    "test_helpers.test_clock": "test_helpers.TestClock", "webhook_endpoint": "WebhookEndpoint",
}  # fmt: skip
# What the types call required, though an object that was shown without being asked for lacks it.
# What an older object has only in some cases.
SOMETIMES = {
    "invoice": {"subscription_proration_date"}, "invoiceitem": {"subscription_item"},
    "line_item": {"invoice_item", "subscription_item"},
}  # fmt: skip
# Kinds and event types come without a new version; programs of the time pass them over.
LATER_KINDS = {"invoice_payment"}
ABSENT = {"webhook_endpoint": {"secret"}, "subscription_item": {"plan"}}


def class_of(kind: str) -> Any:
    """The SDK's class for an object, or None."""
    found: Any = stripe
    for part in KINDS.get(kind, "-").split("."):
        found = getattr(found, part, None)
    return found


def hints_of(cls: Any) -> dict[str, Any]:
    """The fields of a class with their types."""
    module = sys.modules[cls.__module__]
    names = {**vars(module), **vars(cls)}
    for node in ast.parse(inspect.getsource(module)).body:
        for line in node.body if isinstance(node, ast.If) else []:
            if isinstance(line, ast.ImportFrom) and ".params." not in f".{line.module}.":
                source = importlib.import_module(str(line.module))
                names.update({one.asname or one.name: getattr(source, one.name) for one in line.names})
    fields = {name: kind for name, kind in cls.__annotations__.items() if "ClassVar" not in str(kind)}
    holder = type("Holder", (), {"__annotations__": fields})
    return {name: kind for name, kind in get_type_hints(holder, names, {}).items() if not name.startswith("_")}


class Judge:
    """Collects what is wrong with answers. `newer` are the fields that today's SDK declares, by kind."""

    def __init__(self, newer: dict[str, list[str]]) -> None:
        self.newer = {kind: set(names) for kind, names in newer.items()}
        self.problems: list[str] = []
        self.kinds: set[str] = set()
        self._hints: dict[Any, dict[str, Any]] = {}

    def answer(self, body: Any) -> None:
        """Judge an object, a list of objects, a deleted object or an error."""
        if "error" in body:
            for name in ("payment_intent", "payment_method"):
                if name in body["error"]:
                    self.answer(body["error"][name])
        elif body.get("object") in ("list", "search_result"):
            for one in body["data"]:
                self.answer(one)
        elif not body.get("deleted"):
            self.named(body, str(body.get("object")))
            if body.get("object") == "event":
                self.answer(body["data"]["object"])

    def named(self, body: Any, kind: str) -> None:
        """Judge an object by the class of its kind."""
        cls = class_of(kind)
        if cls is None and kind in LATER_KINDS:
            return
        if cls is None:
            self.problems.append(f"{kind}: the SDK has no class for it")
            return
        self.kinds.add(kind)
        for name in (
            set(self.hints(cls)) - self.newer.get(kind, set(self.hints(cls))) - set(body) - SOMETIMES.get(kind, set())
        ):
            self.problems.append(f"{kind}.{name}: missing, and only the older version has it")
        self.fields(body, cls, kind)

    def hints(self, cls: Any) -> dict[str, Any]:
        """The fields of a class, looked up once."""
        if cls not in self._hints:
            self._hints[cls] = hints_of(cls)
        return self._hints[cls]

    def fields(self, body: Any, cls: Any, path: str) -> None:
        """Judge the fields of an object of a class."""
        if not isinstance(body, dict):
            self.problems.append(f"{path}: {body!r} is no object")
            return
        hints = self.hints(cls)
        self.problems += [f"{path}.{name}: unknown field" for name in set(body) - set(hints)]
        for name, hint in hints.items():
            if name in body and path + name != "eventtype":
                self.value(body[name], hint, f"{path}.{name}")
            elif (
                name not in body
                and type(None) not in get_args(hint)
                and name not in ABSENT.get(path, ())
                and name != "deleted"
            ):
                self.problems.append(f"{path}.{name}: missing")

    def value(self, value: Any, hint: Any, path: str) -> None:
        """Judge a value by its type; of several types the first that fits is enough."""
        before = len(self.problems)
        if get_origin(hint) is Union:
            options = [one for one in get_args(hint) if (one is type(None)) == (value is None)]
            tried = []
            for option in options:
                self.value(value, option, path)
                if len(self.problems) == before:
                    return
                tried.append(self.problems[before:])
                del self.problems[before:]
            fitting = zip(options, tried, strict=True) if isinstance(value, dict) else ()
            objects = [found for option, found in fitting if option is not str]
            self.problems += (objects or tried or [[f"{path}: {value!r} is not allowed"]])[0]
        elif get_origin(hint) is Literal:
            if value not in get_args(hint):
                self.problems.append(f"{path}: {value!r} is none of {get_args(hint)}")
        else:
            self.plain(value, hint, path)

    def plain(self, value: Any, hint: Any, path: str) -> None:
        """Judge a list, a hash, an object of the SDK or a simple value."""
        origin = get_origin(hint) or hint
        if origin is stripe.ListObject:
            self.answer(value)
        elif origin is list:
            for place, one in enumerate(value if isinstance(value, list) else [None]):
                self.value(one, get_args(hint)[0], f"{path}[{place}]")
        elif origin is dict:
            for name, one in (value if isinstance(value, dict) else {"": None}).items():
                self.value(one, get_args(hint)[-1], f"{path}.{name}")
        elif isinstance(hint, type) and issubclass(hint, StripeObject):
            kind = value.get("object") if isinstance(value, dict) else None
            if kind and class_of(str(kind)) is hint:
                self.named(value, str(kind))
            else:
                self.fields(value, hint, path)
        elif hint in (int, str, bool, float) and not (type(value) is hint or (hint is float and type(value) is int)):
            self.problems.append(f"{path}: {value!r} is no {hint.__name__}")


class Recorder(stripe.RequestsClient):
    """The SDK's own HTTP client, which also keeps each answer."""

    answers: ClassVar[list[Any]] = []

    def request(self, *arguments: Any, **named: Any) -> Any:
        answer = super().request(*arguments, **named)
        self.answers.append(json.loads(answer[0]))
        return answer


def card_error(**params: Any) -> None:
    """A payment that must be declined."""
    try:
        stripe.PaymentIntent.create(**params)
    except stripe.CardError:
        return
    raise AssertionError(f"not declined: {params}")


def one_time_payments(address: str) -> None:
    """Catalogue, Checkout, intents, a decline, refunds."""
    customer = stripe.Customer.create(email="a@example.com", address={"city": "Delft"}, name="A")
    product = stripe.Product.create(name="Credits")
    price = stripe.Price.create(currency="usd", unit_amount=999, product=product.id, expand=["product"])
    stripe.Price.create(currency="usd", unit_amount=999, product=product.id, recurring={"interval": "month"})
    session = stripe.checkout.Session.create(
        mode="payment", line_items=[{"price": price.id, "quantity": 1}], success_url="https://example.com",
        customer=customer.id, payment_intent_data={"setup_future_usage": "off_session"}, expand=["line_items"],
    )  # fmt: skip
    assert session.ui_mode == "hosted", session.ui_mode
    page = f"{address}/v1/payment_pages/{session.id}/confirm"
    assert requests.post(page, data={"payment_method": "pm_card_visa"}, timeout=20).status_code == 200
    paid = stripe.checkout.Session.retrieve(session.id, expand=["payment_intent.latest_charge.balance_transaction"])
    charge = paid.payment_intent.latest_charge
    stripe.Refund.create(charge=charge.id, amount=100, expand=["charge", "balance_transaction"])
    money = {"amount": 2000, "currency": "eur", "confirm": True}
    card_error(payment_method="pm_card_chargeDeclined", **money)
    stripe.PaymentIntent.create(payment_method="pm_card_visa", return_url="https://example.com", **money)
    stripe.PaymentIntent.create(payment_method="pm_card_authenticationRequired", return_url="https://e.com", **money)
    stripe.Charge.list(expand=["data.invoice"] if "invoice" in hints_of(stripe.Charge) else [])
    for listed in (stripe.Customer, stripe.PaymentIntent, stripe.Refund, stripe.checkout.Session, stripe.Price):
        listed.list()
    stripe.WebhookEndpoint.create(url="http://127.0.0.1:9/", enabled_events=["charge.succeeded"])
    stripe.Customer.modify(customer.id, name="B")


def subscriptions() -> None:
    """A subscription with a coupon, its invoices, a failed renewal's cousin, and its end."""
    customer = stripe.Customer.create(
        payment_method="pm_card_visa", invoice_settings={"default_payment_method": "pm_card_visa"}
    )
    price = stripe.Price.create(
        currency="usd", unit_amount=2000, recurring={"interval": "month"}, product_data={"name": "Pro"}
    )
    coupon = stripe.Coupon.create(percent_off=25, duration="forever")
    older = stripe.api_version < "2025-03-31"
    discount = {"coupon": coupon.id} if older else {"discounts": [{"coupon": coupon.id}]}
    whole = ["latest_invoice.payment_intent"] if older else ["latest_invoice.payments"]
    subscription = stripe.Subscription.create(
        customer=customer.id, items=[{"price": price.id}], expand=[*whole, "latest_invoice.subscription"][: 1 + older], **discount
    )  # fmt: skip
    invoice = subscription.latest_invoice
    assert invoice.amount_paid == 1500, invoice
    if older:
        assert invoice.paid
        assert invoice.payment_intent.status == "succeeded"
        assert invoice.subscription.id == subscription.id
        assert invoice.payment_intent.invoice == invoice.id
        assert subscription.current_period_end > subscription.current_period_start
        assert subscription.discount.coupon.id == coupon.id
        line = invoice.lines.data[0]
        assert (line.price.id, line.plan.id, line.type, line.proration) == (price.id, price.id, "subscription", False)
        charge = stripe.Charge.retrieve(invoice.charge, expand=["invoice"])
        assert charge.invoice.id == invoice.id
    stripe.Invoice.list(subscription=subscription.id)
    stripe.InvoiceItem.create(customer=customer.id, amount=500, currency="usd")
    stripe.Subscription.modify(subscription.id, metadata={"a": "b"})
    stripe.Subscription.list(customer=customer.id)
    stripe.SubscriptionItem.list(subscription=subscription.id)
    stripe.PromotionCode.create(coupon=coupon.id)
    stripe.SetupIntent.create(customer=customer.id, payment_method_types=["card"])
    stripe.Subscription.cancel(subscription.id)


def main(address: str, key: str) -> None:
    stripe.api_key, stripe.api_base, stripe.max_network_retries = key, address, 0
    stripe.default_http_client = Recorder()
    one_time_payments(address)
    subscriptions()
    events = stripe.Event.list(limit=100)
    assert {event.api_version for event in events} == {stripe.api_version}
    judge = Judge(json.load(sys.stdin))
    for answer in Recorder.answers:
        judge.answer(answer)
    sys.stdout.write(json.dumps({"problems": sorted(set(judge.problems)), "kinds": sorted(judge.kinds),
                      "answers": len(Recorder.answers)}))  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
