"""Whether an answer has the shape that the official SDK's own typed classes declare.

The SDK does not say which of its optional fields may be absent and which are only nullable; `MAY_BE_ABSENT` says it for
the top-level objects. Everything else follows from the annotations: unknown fields, missing fields, types, closed
words, nested objects, lists, expandable fields.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import stripe
from stripe import StripeObject
from stripe._stripe_object import UntypedStripeObject

CLASSES: dict[str, type] = {
    "account": stripe.Account,
    "balance": stripe.Balance,
    "balance_transaction": stripe.BalanceTransaction,
    "billing_portal.configuration": stripe.billing_portal.Configuration,
    "billing_portal.session": stripe.billing_portal.Session,
    "card": stripe.Card,
    "cash_balance": stripe.CashBalance,
    "charge": stripe.Charge,
    "coupon": stripe.Coupon,
    "credit_note": stripe.CreditNote,
    "credit_note_line_item": stripe.CreditNoteLineItem,
    "customer_cash_balance_transaction": stripe.CustomerCashBalanceTransaction,
    "customer_balance_transaction": stripe.CustomerBalanceTransaction,
    "discount": stripe.Discount,
    "funding_instructions": stripe.FundingInstructions,
    "invoice": stripe.Invoice,
    "invoice_payment": stripe.InvoicePayment,
    "invoiceitem": stripe.InvoiceItem,
    "line_item": stripe.InvoiceLineItem,
    "promotion_code": stripe.PromotionCode,
    "subscription": stripe.Subscription,
    "subscription_item": stripe.SubscriptionItem,
    "subscription_schedule": stripe.SubscriptionSchedule,
    "shipping_rate": stripe.ShippingRate,
    "tax_rate": stripe.TaxRate,
    "token": stripe.Token,
    "test_helpers.test_clock": stripe.test_helpers.TestClock,
    "checkout.session": stripe.checkout.Session,
    "customer": stripe.Customer,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
    "item": stripe.LineItem,
    "mandate": stripe.Mandate,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "plan": stripe.Plan,
    "price": stripe.Price,
    "product": stripe.Product,
    "radar.early_fraud_warning": stripe.radar.EarlyFraudWarning,
    "refund": stripe.Refund,
    "setup_attempt": stripe.SetupAttempt,
    "setup_intent": stripe.SetupIntent,
    "webhook_endpoint": stripe.WebhookEndpoint,
}
MAY_BE_ABSENT: dict[str, set[str]] = {
    name: set(fields.split())
    for name, fields in {
        "balance": "connect_reserved instant_available issuing refund_and_dispute_prefunding",
        "balance_transaction": "",
        "billing_portal.configuration": "",
        "billing_portal.session": "after_expiration",
        "card": """account available_payout_methods currency default_for_currency deleted description iin issuer networks
            status""",
        "cash_balance": "",
        "charge": "authorization_code level3 presentment_details radar_options refunds transfer",
        "checkout.session": """branding_settings excluded_payment_method_types line_items name_collection optional_items
            phone_number_collection presentment_details redirect_on_completion return_url tax_id_collection""",
        "customer": """address business_name cash_balance currency customer_account deleted delinquent discount
            individual_name invoice_credit_balance invoice_prefix name next_invoice_sequence phone preferred_locales
            sources subscriptions tax tax_exempt tax_ids test_clock""",
        "coupon": "applies_to currency_options deleted",
        "credit_note": "",
        "credit_note_line_item": "",
        "customer_balance_transaction": "",
        "customer_cash_balance_transaction": """adjusted_for_overdraft applied_to_payment funded refunded_from_payment
            transferred_to_balance unapplied_from_payment""",
        "funding_instructions": "",
        "discount": "deleted",
        "dispute": "",
        "invoice": "amount_paid_off_stripe confirmation_secret deleted payments",
        "invoice_payment": "",
        "invoiceitem": "deleted invoicing_rules",
        "line_item": "",
        "promotion_code": "",
        "subscription": "presentment_details",
        "subscription_item": "deleted",
        "subscription_schedule": "",
        "shipping_rate": "",
        "tax_rate": "",
        "test_helpers.test_clock": "deleted",
        "token": "bank_account",
        "event": "account context",
        "item": "discounts taxes",
        "mandate": "multi_use on_behalf_of single_use",
        "payment_intent": "amount_details hooks payment_details presentment_details transfer_data",
        "payment_method": "allow_redisplay radar_options",
        "plan": "deleted tiers",
        "price": "currency_options deleted tiers",
        "product": "default_price deleted statement_descriptor tax_code unit_label",
        "radar.early_fraud_warning": "",
        "refund": """description destination_details failure_balance_transaction failure_reason instructions_email
            next_action pending_reason presentment_details""",
        "setup_attempt": "attach_to_self",
        "setup_intent": "attach_to_self",
        "webhook_endpoint": "deleted secret",
    }.items()
}
# A payment method has a field for each kind; an object carries its own kind only.
_OF_EVERY_METHOD = {
    "billing_details", "created", "customer", "customer_account", "id", "livemode", "metadata", "object", "type",
}  # fmt: skip
MAY_BE_ABSENT["payment_method"] |= set(stripe.PaymentMethod.__annotations__) - _OF_EVERY_METHOD


def problems(answer: dict[str, Any]) -> list[str]:
    """What is wrong with an answer (an object, a list of objects, a deleted object or an event); empty when nothing."""
    if answer.get("object") == "list":
        return _list_problems(answer, "list")
    kind = answer.get("object")
    if kind not in CLASSES:
        return [f"{kind}: no class of the SDK for this object"]
    found = _object_problems(answer, CLASSES[kind], str(kind))
    if kind == "event":
        found += [f"event {answer.get('type')}: {problem}" for problem in problems(_with_id(answer))]
    return found


def _with_id(event: dict[str, Any]) -> dict[str, Any]:
    """The object of an event; the invoice of `invoice.upcoming` alone has no id, because it does not exist yet."""
    told: dict[str, Any] = event["data"]["object"]
    return {"id": "", **told} if event.get("type") == "invoice.upcoming" and "id" not in told else told


def _list_problems(answer: dict[str, Any], path: str) -> list[str]:
    found = [f"{path}: wrong fields {sorted(answer)}"] if set(answer) != {"object", "data", "has_more", "url"} else []
    return found + [problem for item in answer["data"] for problem in problems(item)]


@cache
def _hints(cls: type) -> dict[str, Any]:
    """The fields of a class of the SDK with their types, names under TYPE_CHECKING resolved."""
    module = sys.modules[cls.__module__]
    names = {**vars(module), **_checking_imports(cls.__module__)}
    fields = {name: kind for name, kind in cls.__annotations__.items() if get_origin(kind) is not ClassVar}
    holder = type("Holder", (), {"__annotations__": fields})
    hints = get_type_hints(holder, globalns=names, localns={})
    return {name: kind for name, kind in hints.items() if not name.startswith("_")}


@cache
def _checking_imports(module_name: str) -> dict[str, Any]:
    """What a module imports for type checkers only."""
    tree = ast.parse(inspect.getsource(sys.modules[module_name]))
    names: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.If):
            for line in node.body:
                if isinstance(line, ast.ImportFrom) and ".params." not in f".{line.module}.":
                    source = importlib.import_module(str(line.module))
                    names |= {alias.asname or alias.name: getattr(source, alias.name) for alias in line.names}
    return names


def _object_problems(value: Any, cls: type, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is no object"]
    hints = _hints(cls)
    kind = value.get("object")
    if value.get("deleted") is True:
        extra = set(value) - {"id", "object", "deleted"}
        return [f"{path}: a deleted object with {sorted(extra)}"] if extra else []
    found = [f"{path}.{name}: unknown field" for name in value if name not in hints]
    absent_ok = MAY_BE_ABSENT.get(str(kind)) if CLASSES.get(str(kind)) is cls else None
    if cls is stripe.PaymentMethod and value.get("type") not in value:
        found.append(f"{path}.{value.get('type')}: missing")
    for name, hint in hints.items():
        if name in value:
            found += _value_problems(value[name], hint, f"{path}.{name}")
        elif (absent_ok is None and not _is_optional(hint)) or (absent_ok is not None and name not in absent_ok):
            found.append(f"{path}.{name}: missing")
    return found


def _is_optional(hint: Any) -> bool:
    return get_origin(hint) is Union and type(None) in get_args(hint)


def _value_problems(value: Any, hint: Any, path: str) -> list[str]:
    origin = get_origin(hint)
    if hint is Any:
        return []
    if origin is Union:
        return _union_problems(value, get_args(hint), path)
    if origin is Literal:
        return [] if value in get_args(hint) else [f"{path}: {value!r} is none of {get_args(hint)}"]
    if origin is list:
        return _sequence_problems(value, get_args(hint)[0], path)
    if origin is dict or origin is UntypedStripeObject:
        return _mapping_problems(value, get_args(hint)[-1], path)
    if origin is stripe.ListObject:
        return _list_problems(value, path) if isinstance(value, dict) else [f"{path}: {value!r} is no list object"]
    if isinstance(hint, type) and issubclass(hint, StripeObject):
        return _object_problems(value, hint, path)
    return _plain_problems(value, hint, path)


def _union_problems(value: Any, options: tuple[Any, ...], path: str) -> list[str]:
    """The problems with the option that fits best; words that the SDK leaves open count as closed here."""
    if any(get_origin(option) is Literal for option in options):
        options = tuple(option for option in options if option is not str)
    attempts = [(option, _value_problems(value, option, path)) for option in options]
    if any(not found for _, found in attempts):
        return []
    objects = [found for option, found in attempts if option not in (str, type(None))]
    return objects[0] if objects and isinstance(value, dict) else attempts[0][1]


def _sequence_problems(value: Any, each: Any, path: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{path}: {value!r} is no list"]
    return [problem for place, one in enumerate(value) for problem in _value_problems(one, each, f"{path}[{place}]")]


def _mapping_problems(value: Any, each: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {value!r} is no hash"]
    return [problem for name, one in value.items() for problem in _value_problems(one, each, f"{path}.{name}")]


def _plain_problems(value: Any, hint: Any, path: str) -> list[str]:
    if hint is type(None):
        fits = value is None
    elif hint is Decimal:
        fits = isinstance(value, str) and _is_decimal(value)
    elif hint is bool:
        fits = isinstance(value, bool)
    elif hint is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    elif hint is int:
        fits = isinstance(value, int) and not isinstance(value, bool)
    elif hint is str:
        fits = isinstance(value, str)
    else:
        return [f"{path}: no rule for {hint}"]
    return [] if fits else [f"{path}: {value!r} is no {getattr(hint, '__name__', hint)}"]


def _is_decimal(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False
