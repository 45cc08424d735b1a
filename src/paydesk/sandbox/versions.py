"""Older API versions: how an object of the newest shape looks to a client of its time.

A version is known by its date. Each step below belongs to the date of the release that brought a change; an older
version gets every step that is newer than itself, the newest first. Steps work on a copy and only read the account.
Additions between the releases that are told apart here stay visible: Stripe's own rule says that they hurt nobody.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import Json
from .exchange import as_it_was_presented
from .older_invoices import INVOICE_STEPS, invoice_of_intent, newer_billing_params

if TYPE_CHECKING:
    from .accounts import Account

LATEST = "2026-10-28.endive"
OLDEST = "2023-10-16"
VERSION_FORMAT = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(\.[a-z]+)?")

_FEATURES_RENAMED = "2024-04-10"
_ACACIA, _BASIL, _CLOVER, _DAHLIA = "2024-09-30", "2025-03-31", "2025-09-30", "2026-03-25"
_UI_MODES = {"hosted_page": "hosted", "embedded_page": "embedded", "elements": "custom", "form": "custom"}

Step = Callable[[Json, "Account"], None]

# Fields that came with a release: (date, kind of object) → names, dotted inside hashes and lists.
_CAME = {
    (_CLOVER, "balance_transaction"): "balance_type",
    (_CLOVER, "billing_portal.configuration"): """name features.subscription_pause
        features.payment_method_update.payment_method_configuration features.subscription_update.billing_cycle_anchor
        features.subscription_update.trial_update_behavior features.subscription_cancel.cancellation_reason.feedback_options
        features.subscription_update.products.adjustable_quantity""",
    (_CLOVER, "billing_portal.session"): "after_expiration customer_account flow.customer_update flow.subscription_pause",
    (_CLOVER, "charge"): """billing_details.tax_id payment_method_details.card.electronic_commerce_indicator
        payment_method_details.card.setup_credential_usage payment_method_details.card.stored_credential_usage
        payment_method_details.card.transaction_link_id payment_method_details.blik.decline_code""",
    (_CLOVER, "checkout.session"): """allowed_payment_method_types automatic_tax.provider branding_settings
        collected_information.business_name collected_information.individual_name customer_account
        customer_details.business_name customer_details.individual_name excluded_payment_method_types
        integration_identifier invoice_creation.invoice_data.rendering_options.template managed_payments name_collection
        origin_context payment_method_options.card.capture_method
        payment_method_options.card.restrictions.funding_types_blocked wallet_options""",
    (_CLOVER, "credit_note"): "customer_account post_payment_amount pre_payment_amount",
    (_CLOVER, "credit_note_line_item"): "metadata",
    (_CLOVER, "customer"): "business_name customer_account individual_name tax.provider",
    (_CLOVER, "discount"): "customer_account source",
    (_CLOVER, "dispute"): """evidence_details.submission_method intended_submission_method
        payment_method_details.card.network evidence.appeal""",
    (_CLOVER, "event"): "context",
    (_CLOVER, "invoice"): "amount_paid_off_stripe automatic_tax.provider customer_account status_details",
    (_CLOVER, "invoice_payment"): "payment.payment_record",
    (_CLOVER, "invoiceitem"): "customer_account frozen_fields invoicing_rules net_amount proration_details quantity_decimal",
    (_CLOVER, "item"): "adjustable_quantity metadata",
    (_CLOVER, "line_item"): "quantity_decimal subtotal",
    (_CLOVER, "payment_intent"): """allowed_payment_method_types amount_details.discount_amount amount_details.error
        amount_details.line_items amount_details.shipping amount_details.tax customer_account
        excluded_payment_method_types hooks managed_payments payment_details payment_record
        payment_method_options.card.setup_credential_usage payment_method_options.card.stored_credential_usage""",
    (_CLOVER, "payment_method"): "billing_details.tax_id blik.buyer_id customer_account",
    (_CLOVER, "product"): "tax_details",
    (_CLOVER, "promotion_code"): "customer_account promotion",
    (_CLOVER, "refund"): "customer customer_account payment_method pending_reason",
    (_CLOVER, "setup_intent"): """allowed_payment_method_types customer_account excluded_payment_method_types
        managed_payments payment_method_options.card.setup_credential_usage""",
    (_CLOVER, "subscription"): """billing_mode billing_schedules billing_thresholds customer_account managed_payments
        cancellation_details.feedback_option invoice_settings.custom_fields invoice_settings.description
        invoice_settings.footer presentment_details status_details pending_update.cancel_at_period_end
        pending_update.discount pending_update.discounts pending_update.metadata
        trial_settings.end_behavior.billing_cycle_anchor""",
    (_CLOVER, "subscription_item"): "billed_until billing_thresholds current_trial",
    (_BASIL, "billing_portal.configuration"): "features.subscription_update.schedule_at_period_end",
    (_BASIL, "card"): "allow_redisplay regulated_status",
    (_BASIL, "charge"): """outcome.advice_code outcome.network_advice_code outcome.network_decline_code
        payment_method_details.card.network_transaction_id payment_method_details.card.regulated_status
        presentment_details""",
    (_BASIL, "checkout.session"): """adaptive_pricing collected_information discounts optional_items permissions
        payment_method_options.card.request_extended_authorization payment_method_options.card.restrictions
        payment_method_options.card.request_incremental_authorization
        payment_method_options.card.request_multicapture payment_method_options.card.request_overcapture
        presentment_details""",
    (_BASIL, "credit_note"): "refunds total_taxes",
    (_BASIL, "credit_note_line_item"): "taxes",
    (_BASIL, "dispute"): "enhanced_eligibility_types evidence.enhanced_evidence evidence_details.enhanced_eligibility",
    (_BASIL, "invoice"): """amount_overpaid automatic_tax.disabled_reason confirmation_secret payments parent total_taxes
        last_finalization_error.advice_code last_finalization_error.network_advice_code
        last_finalization_error.network_decline_code""",
    (_BASIL, "invoiceitem"): "parent pricing",
    (_BASIL, "line_item"): "parent pricing taxes",
    (_BASIL, "payment_intent"): """last_payment_error.advice_code last_payment_error.network_advice_code
        last_payment_error.network_decline_code presentment_details""",
    (_BASIL, "payment_method"): "card.regulated_status",
    (_BASIL, "refund"): "presentment_details",
    (_BASIL, "setup_intent"): """last_setup_error.advice_code last_setup_error.network_advice_code
        last_setup_error.network_decline_code""",
    (_BASIL, "subscription"): "automatic_tax.disabled_reason",
    (_BASIL, "tax_rate"): "flat_amount rate_type",
    (_BASIL, "subscription_item"): "current_period_end current_period_start",
    (_ACACIA, "charge"): "payment_method_details.card.authorization_code",
    (_ACACIA, "checkout.session"): "saved_payment_method_options tax_id_collection.required",
    (_ACACIA, "credit_note"): "pretax_credit_amounts",
    (_ACACIA, "credit_note_line_item"): "pretax_credit_amounts",
    (_ACACIA, "customer"): "invoice_settings.rendering_options.template",
    (_ACACIA, "dispute"): "payment_method_details.card.case_type",
    (_ACACIA, "invoice"): """automatically_finalizes_at rendering.template rendering.template_version
        total_pretax_credit_amounts""",
    (_ACACIA, "line_item"): "pretax_credit_amounts",
    (_ACACIA, "payment_method"): "allow_redisplay card.generated_from",
    (_ACACIA, "subscription"): "invoice_settings",
    (_ACACIA, "test_helpers.test_clock"): "status_details",
    (_FEATURES_RENAMED, "product"): "marketing_features",
}  # fmt: skip


def is_version(version: str) -> bool:
    """Whether this has the form of a version of Stripe's, however old: an account or endpoint may stand at it."""
    return VERSION_FORMAT.fullmatch(version) is not None


def is_spoken(version: str) -> bool:
    """Whether the sandbox can answer in a version: one not older than the oldest one known."""
    return is_version(version) and _date(version) >= OLDEST


def in_version(value: Any, version: str, account: Account) -> Any:
    """JSON with every object in it as this version shows it; the newest version leaves it as it is."""
    return value if _date(version) >= _date(LATEST) else _walked(value, _date(version), account)


def event_in_version(event: Json, version: str, account: Account) -> Json:
    """An event whose object, former values and `api_version` are those of a version."""
    data = {**event["data"], "object": in_version(event["data"]["object"], version, account)}
    if "previous_attributes" in data:
        before = in_version({**event["data"]["object"], **data["previous_attributes"]}, version, account)
        data["previous_attributes"] = {name: value for name, value in before.items()
                                       if name not in data["object"] or data["object"][name] != value}  # fmt: skip
    return {**event, "api_version": version, "data": data}


def _date(version: str) -> str:
    return version[:10]


def _walked(value: Any, date: str, account: Account) -> Any:
    """Objects first, then what is inside them: a step may read the parts of its object in their newest shape."""
    if isinstance(value, list):
        return [_walked(one, date, account) for one in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("object")
    if kind == "event":
        return _dropped(event_in_version(value, value["api_version"], account), kind, date)
    if isinstance(kind, str) and not value.get("deleted"):
        value = _stepped(copy.deepcopy(value), kind, date, account)
    return {name: _walked(one, date, account) for name, one in value.items()}


def _stepped(row: Json, kind: str, date: str, account: Account) -> Json:
    """One object, taken back release by release."""
    for release in _RELEASES:
        if date < release:
            step = _CHANGED.get((release, kind))
            if step is not None:
                step(row, account)
            for name in _NAMES.get((release, kind), ()):
                _drop(row, name)
    return row


def _dropped(row: Json, kind: str, date: str) -> Json:
    for release in _RELEASES:
        for name in _NAMES.get((release, kind), ()) if date < release else ():
            _drop(row, name)
    return row


def _drop(value: Any, name: str) -> None:
    """Remove a dotted field, in each item where a list is on the way."""
    if isinstance(value, list):
        for one in value:
            _drop(one, name)
    elif isinstance(value, dict):
        first, _, rest = name.partition(".")
        if rest:
            _drop(value.get(first), rest)
        else:
            value.pop(first, None)


def _session_before_dahlia(row: Json, _: Account) -> None:
    row["ui_mode"] = _UI_MODES.get(row["ui_mode"], row["ui_mode"])


def _promotion_code_before_clover(row: Json, account: Account) -> None:
    row["coupon"] = _coupon(row["promotion"]["coupon"], account)


def _discount_before_clover(row: Json, account: Account) -> None:
    row["coupon"] = _coupon((row.get("source") or {}).get("coupon"), account)


def _coupon(coupon: Json | str | None, account: Account) -> Json | str | None:
    """A coupon as an object: older versions show it whole."""
    row = account.find("coupon", coupon) if isinstance(coupon, str) else None
    return coupon if row is None else {name: value for name, value in row.items() if not name.startswith("_")}


def _session_before_basil(row: Json, _: Account) -> None:
    as_it_was_presented(row)
    row["shipping_details"] = (row.get("collected_information") or {}).get("shipping_details")


def _payment_before_basil(row: Json, account: Account) -> None:
    """Charges and payment intents told their invoice, and their amount as the buyer was shown it."""
    as_it_was_presented(row)
    intent = row["id"] if row["object"] == "payment_intent" else row["payment_intent"]
    row["invoice"] = invoice_of_intent(account, intent)


def _refund_before_basil(row: Json, _: Account) -> None:
    as_it_was_presented(row)


def _credit_note_before_basil(row: Json, _: Account) -> None:
    """A note had one refund at most."""
    first: Json = next(iter(row["refunds"]), {})
    row |= {"refund": first.get("refund"), "tax_amounts": []}


def _credit_line_before_basil(row: Json, _: Account) -> None:
    row |= {
        "amount_excluding_tax": row["amount"], "tax_amounts": [], "unit_amount_excluding_tax": row["unit_amount_decimal"],
    }  # fmt: skip


def _price_before_basil(row: Json, _: Account) -> None:
    if row["recurring"]:
        row["recurring"]["aggregate_usage"] = None


def _subscription_before_basil(row: Json, account: Account) -> None:
    """The period stood on the subscription, and its one discount as an object."""
    items = (row.get("items") or {}).get("data") or []
    periods = [(item["current_period_end"], -item["current_period_start"]) for item in items]
    end, start = min(periods, default=(row["created"], -row["created"]))
    row["current_period_start"], row["current_period_end"] = -start, end
    row["discount"] = _first_discount(row, account)
    row["billing_thresholds"] = None


def _first_discount(row: Json, account: Account) -> Json | None:
    first = next(iter(row.get("discounts") or []), None)
    found = account.find("discount", first) if isinstance(first, str) else first
    return None if found is None else {name: value for name, value in found.items() if not name.startswith("_")}


def _item_before_basil(row: Json, _: Account) -> None:
    row["billing_thresholds"] = None


def _invoice_before_basil(row: Json, account: Account) -> None:
    INVOICE_STEPS["invoice"](row, account)
    row["discount"] = _first_discount(row, account)


def _product_before_renaming(row: Json, _: Account) -> None:
    row["features"] = row["marketing_features"]


def _invoice_before_renaming(row: Json, _: Account) -> None:
    row["rendering_options"] = row.get("rendering") and {"amount_tax_display": row["rendering"]["amount_tax_display"]}


# What moved or was renamed with a release, beside the fields that came.
_CHANGED: dict[tuple[str, str], Step] = {
    (_DAHLIA, "checkout.session"): _session_before_dahlia,
    (_CLOVER, "promotion_code"): _promotion_code_before_clover,
    (_CLOVER, "discount"): _discount_before_clover,
    (_BASIL, "checkout.session"): _session_before_basil,
    (_BASIL, "charge"): _payment_before_basil,
    (_BASIL, "payment_intent"): _payment_before_basil,
    (_BASIL, "refund"): _refund_before_basil,
    (_BASIL, "credit_note"): _credit_note_before_basil,
    (_BASIL, "credit_note_line_item"): _credit_line_before_basil,
    (_BASIL, "price"): _price_before_basil,
    (_BASIL, "subscription"): _subscription_before_basil,
    (_BASIL, "subscription_item"): _item_before_basil,
    (_BASIL, "invoice"): _invoice_before_basil,
    (_BASIL, "line_item"): INVOICE_STEPS["line_item"],
    (_BASIL, "invoiceitem"): INVOICE_STEPS["invoiceitem"],
    (_BASIL, "plan"): INVOICE_STEPS["plan"],
    (_FEATURES_RENAMED, "product"): _product_before_renaming,
    (_FEATURES_RENAMED, "invoice"): _invoice_before_renaming,
}
_NAMES = {place: names.split() for place, names in _CAME.items()}
_RELEASES = sorted({date for date, _ in (*_CAME, *_CHANGED)}, reverse=True)


def newer_params(path: str, given: Json, version: str, *, unnamed: bool = False) -> Json:
    """The parameters of a request in today's words: older versions had other names for some.

    The official CLI names no version and still says `coupon` for a promotion code: so may who names none.
    """
    renamed = newer_billing_params(path, given, _date(version))
    older = _date(version) < _CLOVER or unnamed
    if path == "/v1/promotion_codes" and older and "coupon" in renamed and "promotion" not in renamed:
        renamed["promotion"] = {"type": "coupon", "coupon": renamed.pop("coupon")}
    if _date(version) < _BASIL and path.startswith(("/v1/subscriptions", "/v1/invoices/create_preview")):
        for name in ("coupon", "promotion_code"):
            if name in renamed and "discounts" not in renamed:
                value = renamed.pop(name)
                renamed["discounts"] = {"0": {name: value}} if value else ""
    if _date(version) < _FEATURES_RENAMED and path.startswith("/v1/products") and "features" in renamed:
        renamed["marketing_features"] = renamed.pop("features")
    return renamed
