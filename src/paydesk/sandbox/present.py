"""How an object leaves the sandbox: without its own fields, with the asked-for fields expanded.

`EXPANDABLE` says which field of which kind holds the id of another object; `INCLUDABLE` which lists come when asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import orjson

from .accounts import Account
from .errors import Json, invalid
from .versions import LATEST, in_version

_DEEPEST = 4
_LISTS = ("list", "search_result")

# (kind of object, field) → the kind that the id in this field names.
EXPANDABLE: dict[tuple[str, str], str] = {
    ("balance_transaction", "source"): "charge",
    ("billing_portal.session", "configuration"): "billing_portal.configuration",
    ("card", "customer"): "customer",
    ("charge", "balance_transaction"): "balance_transaction",
    ("charge", "customer"): "customer",
    ("charge", "failure_balance_transaction"): "balance_transaction",
    ("charge", "payment_intent"): "payment_intent",
    ("charge", "payment_method_details.card.mandate"): "mandate",
    ("charge", "payment_method_details.ideal.generated_sepa_debit"): "payment_method",
    ("charge", "payment_method_details.ideal.generated_sepa_debit_mandate"): "mandate",
    ("checkout.session", "customer"): "customer",
    ("checkout.session", "discounts.coupon"): "coupon",
    ("checkout.session", "discounts.promotion_code"): "promotion_code",
    ("checkout.session", "invoice"): "invoice",
    ("checkout.session", "payment_intent"): "payment_intent",
    ("checkout.session", "shipping_cost.shipping_rate"): "shipping_rate",
    ("checkout.session", "shipping_options.shipping_rate"): "shipping_rate",
    ("checkout.session", "setup_intent"): "setup_intent",
    ("checkout.session", "subscription"): "subscription",
    ("credit_note", "customer"): "customer",
    ("credit_note", "customer_balance_transaction"): "customer_balance_transaction",
    ("credit_note", "discount_amounts.discount"): "discount",
    ("credit_note", "invoice"): "invoice",
    ("credit_note", "pretax_credit_amounts.discount"): "discount",
    ("credit_note", "refunds.refund"): "refund",
    ("credit_note", "shipping_cost.shipping_rate"): "shipping_rate",
    ("credit_note_line_item", "discount_amounts.discount"): "discount",
    ("credit_note_line_item", "pretax_credit_amounts.discount"): "discount",
    ("customer", "default_source"): "card",
    ("customer", "invoice_settings.default_payment_method"): "payment_method",
    ("customer", "test_clock"): "test_helpers.test_clock",
    ("customer_cash_balance_transaction", "adjusted_for_overdraft.balance_transaction"): "balance_transaction",
    ("customer_cash_balance_transaction", "applied_to_payment.payment_intent"): "payment_intent",
    ("customer_cash_balance_transaction", "customer"): "customer",
    ("customer_cash_balance_transaction", "refunded_from_payment.refund"): "refund",
    ("customer_cash_balance_transaction", "unapplied_from_payment.payment_intent"): "payment_intent",
    ("customer_balance_transaction", "checkout_session"): "checkout.session",
    ("customer_balance_transaction", "credit_note"): "credit_note",
    ("customer_balance_transaction", "customer"): "customer",
    ("customer_balance_transaction", "invoice"): "invoice",
    ("discount", "customer"): "customer",
    ("discount", "promotion_code"): "promotion_code",
    ("discount", "source.coupon"): "coupon",
    ("dispute", "charge"): "charge",
    ("dispute", "payment_intent"): "payment_intent",
    ("invoice", "customer"): "customer",
    ("invoice", "default_payment_method"): "payment_method",
    ("invoice", "default_source"): "card",
    ("invoice", "discounts"): "discount",
    ("invoice", "from_invoice.invoice"): "invoice",
    ("invoice", "latest_revision"): "invoice",
    ("invoice", "parent.subscription_details.subscription"): "subscription",
    ("invoice", "shipping_cost.shipping_rate"): "shipping_rate",
    ("invoice", "test_clock"): "test_helpers.test_clock",
    ("invoice", "total_discount_amounts.discount"): "discount",
    ("invoice", "total_pretax_credit_amounts.discount"): "discount",
    ("invoice_payment", "invoice"): "invoice",
    ("invoice_payment", "payment.charge"): "charge",
    ("invoice_payment", "payment.payment_intent"): "payment_intent",
    ("invoiceitem", "customer"): "customer",
    ("invoiceitem", "discounts"): "discount",
    ("invoiceitem", "invoice"): "invoice",
    ("invoiceitem", "pricing.price_details.price"): "price",
    ("invoiceitem", "proration_details.discount_amounts.discount"): "discount",
    ("invoiceitem", "test_clock"): "test_helpers.test_clock",
    ("item", "price.product"): "product",
    ("line_item", "discount_amounts.discount"): "discount",
    ("line_item", "discounts"): "discount",
    ("line_item", "pretax_credit_amounts.discount"): "discount",
    ("line_item", "pricing.price_details.price"): "price",
    ("line_item", "subscription"): "subscription",
    ("mandate", "payment_method"): "payment_method",
    ("payment_intent", "customer"): "customer",
    ("payment_intent", "latest_charge"): "charge",
    ("payment_intent", "payment_method"): "payment_method",
    ("payment_intent", "source"): "card",
    ("payment_method", "card.generated_from.setup_attempt"): "setup_attempt",
    ("payment_method", "customer"): "customer",
    ("payment_method", "sepa_debit.generated_from.charge"): "charge",
    ("payment_method", "sepa_debit.generated_from.setup_attempt"): "setup_attempt",
    ("plan", "product"): "product",
    ("price", "product"): "product",
    ("product", "default_price"): "price",
    ("promotion_code", "customer"): "customer",
    ("promotion_code", "promotion.coupon"): "coupon",
    ("radar.early_fraud_warning", "charge"): "charge",
    ("radar.early_fraud_warning", "payment_intent"): "payment_intent",
    ("refund", "balance_transaction"): "balance_transaction",
    ("refund", "charge"): "charge",
    ("refund", "customer"): "customer",
    ("refund", "failure_balance_transaction"): "balance_transaction",
    ("refund", "payment_intent"): "payment_intent",
    ("refund", "payment_method"): "payment_method",
    ("setup_attempt", "customer"): "customer",
    ("setup_attempt", "payment_method"): "payment_method",
    ("setup_attempt", "payment_method_details.ideal.generated_sepa_debit"): "payment_method",
    ("setup_attempt", "payment_method_details.ideal.generated_sepa_debit_mandate"): "mandate",
    ("setup_attempt", "setup_intent"): "setup_intent",
    ("setup_intent", "customer"): "customer",
    ("setup_intent", "latest_attempt"): "setup_attempt",
    ("setup_intent", "mandate"): "mandate",
    ("setup_intent", "payment_method"): "payment_method",
    ("setup_intent", "single_use_mandate"): "mandate",
    ("subscription", "billing_schedules.applies_to.price"): "price",
    ("subscription", "customer"): "customer",
    ("subscription", "default_payment_method"): "payment_method",
    ("subscription", "default_source"): "card",
    ("subscription", "discounts"): "discount",
    ("subscription", "latest_invoice"): "invoice",
    ("subscription", "pending_setup_intent"): "setup_intent",
    ("subscription", "pending_update.discounts"): "discount",
    ("subscription", "schedule"): "subscription_schedule",
    ("subscription", "test_clock"): "test_helpers.test_clock",
    ("subscription_item", "discounts"): "discount",
    ("subscription_item", "price.product"): "product",
    ("subscription_schedule", "customer"): "customer",
    ("subscription_schedule", "default_settings.default_payment_method"): "payment_method",
    ("subscription_schedule", "phases.add_invoice_items.discounts.coupon"): "coupon",
    ("subscription_schedule", "phases.add_invoice_items.discounts.discount"): "discount",
    ("subscription_schedule", "phases.add_invoice_items.discounts.promotion_code"): "promotion_code",
    ("subscription_schedule", "phases.add_invoice_items.price"): "price",
    ("subscription_schedule", "phases.default_payment_method"): "payment_method",
    ("subscription_schedule", "phases.discounts.coupon"): "coupon",
    ("subscription_schedule", "phases.discounts.discount"): "discount",
    ("subscription_schedule", "phases.discounts.promotion_code"): "promotion_code",
    ("subscription_schedule", "phases.items.discounts.coupon"): "coupon",
    ("subscription_schedule", "phases.items.discounts.discount"): "discount",
    ("subscription_schedule", "phases.items.discounts.promotion_code"): "promotion_code",
    ("subscription_schedule", "phases.items.plan"): "plan",
    ("subscription_schedule", "phases.items.price"): "price",
    ("subscription_schedule", "subscription"): "subscription",
    ("subscription_schedule", "test_clock"): "test_helpers.test_clock",
}
# (kind of object, field) → what makes the list or hash; filled by the modules that own them.
INCLUDABLE: dict[tuple[str, str], Callable[[Account, Json], Json | None]] = {}
# A kind whose objects are kept as another kind → what shows one of them by its id; filled by the modules that own them.
VIEWS: dict[str, Callable[[Account, str], Json | None]] = {}
# What the source of a balance transaction can be, beside a charge.
_OTHER_SOURCES = ("refund", "dispute")
# What older versions could expand beside that.
_EXPANDABLE_BEFORE = {
    ("charge", "invoice"): "invoice",
    ("invoice", "charge"): "charge",
    ("invoice", "payment_intent"): "payment_intent",
    ("invoice", "subscription"): "subscription",
    ("payment_intent", "invoice"): "invoice",
}


def public(row: Json) -> Json:
    """A copy of an object without the sandbox's own fields."""
    kept = {name: value for name, value in row.items() if not name.startswith("_")}
    return cast("Json", orjson.loads(orjson.dumps(kept)))


def rendered(account: Account, row: Json, expand: list[str], version: str = LATEST) -> Json:
    """The answer for an object or a list of objects as `version` shows it, with every path of `expand` followed."""
    view = _View(account, version)
    answer = view.shown_list(row) if "data" in row and row.get("object") in _LISTS else view.shown(row)
    for path in expand:
        if path.count(".") >= _DEEPEST:
            raise invalid(
                f"You cannot expand more than {_DEEPEST} levels of a property. Property: {path}",
                "expand",
                "property_too_deep",
            )
        view.expand(answer, path.split("."), path)
    return answer


@dataclass(frozen=True)
class _View:
    """An account as one API version shows it."""

    account: Account
    version: str

    def shown(self, row: Json) -> Json:
        """A copy of an object for the world."""
        answer: Json = in_version(public(row), self.version, self.account)
        return answer

    def shown_list(self, row: Json) -> Json:
        """A list object with its items for the world."""
        return {**row, "data": [self.shown(item) for item in row["data"]]}

    def expand(self, node: Json, parts: list[str], path: str) -> None:
        """Follow one path from an object; what cannot be expanded is refused by name."""
        if not parts:
            return
        if node.get("object") in _LISTS and parts[0] == "data":
            for item in node["data"]:
                self.expand(item, parts[1:], path)
            return
        for length in range(len(parts), 0, -1):
            if self._expand_field(node, parts[:length], parts[length:], path):
                return
        raise invalid(f"This property cannot be expanded ({path}).", "expand")

    def _expand_field(self, node: Json, field: list[str], rest: list[str], path: str) -> bool:
        """Expand one field (dotted inside plain hashes); False when this kind has no such field."""
        kind = str(node.get("object", ""))
        holders, name = _holders(node, field), field[-1]
        include = INCLUDABLE.get((kind, ".".join(field)))
        if include is not None:
            if name not in node:
                found = include(self.account, node)
                node[name] = self.shown_list(found) if found and "data" in found else found
        elif target := _expandable(node, kind, ".".join(field)):
            for holder in holders:
                holder[name] = self._looked_up(target, holder.get(name))
        elif not any(isinstance(holder.get(name), dict) and "object" in holder[name] for holder in holders):
            return False
        for holder in holders:
            self._expand_inside(holder.get(name), rest, path)
        return True

    def _expand_inside(self, value: Any, rest: list[str], path: str) -> None:
        """Go on from an expanded field, in each object where it holds a list of them."""
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                self.expand(one, rest, path)

    def _looked_up(self, kind: str, value: Any) -> Any:
        """The object with this id, as it is shown; the id itself when it is of another kind and unknown."""
        if isinstance(value, list):
            return [self._looked_up(kind, one) for one in value]
        if not isinstance(value, str):
            return value
        found = (_found(self.account, one, value) for one in (kind, *_OTHER_SOURCES))
        row = next((one for one in found if one is not None), None)
        if row is not None and row.get("deleted"):
            return {"id": row["id"], "object": row["object"], "deleted": True}
        return value if row is None else self.shown(row)


def _found(account: Account, kind: str, object_id: str) -> Json | None:
    """The object of a kind with this id, or None."""
    view = VIEWS.get(kind)
    return account.find(kind, object_id) if view is None else view(account, object_id)


def _expandable(node: Json, kind: str, field: str) -> str | None:
    """The kind that the id in this field names; None when the field cannot be expanded."""
    before = _EXPANDABLE_BEFORE.get((kind, field)) if field in node else None
    return EXPANDABLE.get((kind, field)) or before


def _holders(node: Json, field: list[str]) -> list[Json]:
    """The hashes in which the last part of a dotted field stands: one, or each of a list; none where it is not there."""
    holders: list[Any] = [node]
    for part in field[:-1]:
        inner = [holder.get(part) for holder in holders]
        holders = [one for value in inner for one in (value if isinstance(value, list) else [value])]
        holders = [one for one in holders if isinstance(one, dict)]
    return holders
