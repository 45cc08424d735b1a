"""Billing portal: configurations, and sessions that lead a customer to the portal's page."""

from __future__ import annotations

from typing import Any

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing, post
from .errors import Json, invalid, missing_parameter
from .events import emit, emit_update
from .ids import random_text
from .live_customers import live_customer
from .params import Kind, Shape, choice, fields, flag, items, merged_metadata, metadata, text, url, whole
from .words import PORTAL_LOCALES

_UPDATES = ("address", "email", "name", "phone", "shipping", "tax_id")
_REASONS = (
    "customer_service", "low_quality", "missing_features", "other", "switched_service", "too_complex", "too_expensive",
    "unused",
)  # fmt: skip
_PRORATION = choice("always_invoice", "create_prorations", "none")
_QUANTITY = fields({"enabled": flag, "maximum": whole(1), "minimum": whole(0)}, ("enabled",))
_PRODUCT: Shape = {"adjustable_quantity": _QUANTITY, "prices": items(text(clearable=False)), "product": text()}
_SCHEDULE: Shape = {
    "conditions": items(fields({"type": choice("decreasing_item_amount", "shortening_interval")}, ("type",)))
}
_CUSTOMER_UPDATE: Shape = {"allowed_updates": items(choice(*_UPDATES)), "enabled": flag}
_CANCEL: Shape = {
    "cancellation_reason": fields({"enabled": flag, "options": items(choice(*_REASONS))}, ("enabled",)),
    "enabled": flag,
    "mode": choice("at_period_end", "immediately"),
    "proration_behavior": _PRORATION,
}
_CHANGE: Shape = {
    "billing_cycle_anchor": choice("now", "unchanged"),
    "default_allowed_updates": items(choice("price", "promotion_code", "quantity")),
    "enabled": flag,
    "products": items(fields(_PRODUCT, ("prices", "product")), 10),
    "proration_behavior": _PRORATION,
    "schedule_at_period_end": fields(_SCHEDULE),
    "trial_update_behavior": choice("continue_trial", "end_trial"),
}
_FEATURES: Shape = {
    "customer_update": fields(_CUSTOMER_UPDATE),
    "invoice_history": fields({"enabled": flag}, ("enabled",)),
    "payment_method_update": fields({"enabled": flag}, ("enabled",)),
    "subscription_cancel": fields(_CANCEL),
    "subscription_pause": fields({"enabled": flag}),
    "subscription_update": fields(_CHANGE),
}
# A new configuration says of each feature whether it is on; an update may leave that as it is.
_REASON = fields({"enabled": flag, "options": items(choice(*_REASONS))}, ("enabled", "options"))
_NEW_FEATURES: Shape = {
    **_FEATURES,
    "customer_update": fields(_CUSTOMER_UPDATE, ("enabled",)),
    "subscription_cancel": fields({**_CANCEL, "cancellation_reason": _REASON}, ("enabled",)),
    "subscription_update": fields(_CHANGE, ("enabled",)),
}
_PROFILE: Shape = {"headline": text(60), "privacy_policy_url": url, "terms_of_service_url": url}
_COMMON: Shape = {
    "business_profile": fields(_PROFILE),
    "default_return_url": url,
    "features": fields(_FEATURES),
    "login_page": fields({"enabled": flag}, ("enabled",)),
    "metadata": metadata,
    "name": text(100),
}
_FEATURE_DEFAULTS: Json = {
    "customer_update": {"allowed_updates": [], "enabled": False},
    "invoice_history": {"enabled": False},
    "payment_method_update": {"enabled": False, "payment_method_configuration": None},
    "subscription_cancel": {
        "cancellation_reason": {"enabled": False, "feedback_options": None, "options": []},
        "enabled": False, "mode": "at_period_end", "proration_behavior": "none",
    },
    "subscription_pause": {"duration": {"interval_options": [], "type": "indefinite"}, "enabled": False},
    "subscription_update": {
        "billing_cycle_anchor": None, "default_allowed_updates": [], "enabled": False, "products": None,
        "proration_behavior": "none", "schedule_at_period_end": {"conditions": []},
        "trial_update_behavior": "end_trial",
    },
}  # fmt: skip
# There is no dashboard here in which the default configuration could be saved, so it is there from the beginning.
_USUAL: Json = {
    "customer_update": {"allowed_updates": ["email", "name", "address"], "enabled": True},
    "invoice_history": {"enabled": True},
    "payment_method_update": {"enabled": True},
    "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
    "subscription_update": {"default_allowed_updates": ["price"], "enabled": True,
                            "proration_behavior": "create_prorations"},
}  # fmt: skip

_AFTER = fields({
    "hosted_confirmation": fields({"custom_message": text(500)}),
    "redirect": fields({"return_url": url}, ("return_url",)),
    "type": choice("hosted_confirmation", "portal_homepage", "redirect"),
}, ("type",))  # fmt: skip
_OF_SUBSCRIPTION: Shape = {"subscription": text(clearable=False)}
_COUPON_OFFER: Kind = fields({"coupon": text()}, ("coupon",))
_FLOW: Shape = {
    "after_completion": _AFTER,
    "subscription_cancel": fields({
        **_OF_SUBSCRIPTION,
        "retention": fields({"coupon_offer": _COUPON_OFFER, "type": choice("coupon_offer")}, ("coupon_offer", "type")),
    }, ("subscription",)),
    "subscription_update": fields(_OF_SUBSCRIPTION, ("subscription",)),
    "subscription_update_confirm": fields({
        **_OF_SUBSCRIPTION,
        "discounts": items(fields({"coupon": text(), "promotion_code": text()})),
        "items": items(fields({"id": text(), "price": text(), "quantity": whole(0)}, ("id",))),
    }, ("items", "subscription")),
    "type": choice("payment_method_update", "subscription_cancel", "subscription_update",
                   "subscription_update_confirm"),
}  # fmt: skip


def _merged(old: Json, new: Json) -> Json:
    """`old` with the values of `new`, hash by hash."""
    return {**old, **{name: _merged(old[name], value) if isinstance(value, dict) and isinstance(old.get(name), dict)
                      else value for name, value in new.items()}}  # fmt: skip


def _add_configuration(account: Account, given: Json, *, is_default: bool) -> Json:
    profile = dict.fromkeys(_PROFILE)
    features = _merged(_FEATURE_DEFAULTS, given.get("features") or {})
    _fill_products(features)
    configuration = account.add("billing_portal.configuration", {
        "active": True,
        "application": None,
        "business_profile": {**profile, **(given.get("business_profile") or {})},
        "default_return_url": given.get("default_return_url"),
        "features": features,
        "is_default": is_default,
        "login_page": {"enabled": False, "url": None},
        "metadata": merged_metadata({}, given.get("metadata")),
        "name": given.get("name"),
        "updated": account.clock.now_s(),
    })  # fmt: skip
    _set_login(account, configuration, given.get("login_page"))
    emit(account, "billing_portal.configuration.created", configuration)
    return configuration


def _fill_products(features: Json) -> None:
    """Say of every offered product how many may be had; the quantity stays as it is unless that is allowed."""
    update = features["subscription_update"]
    allowed = "quantity" in update["default_allowed_updates"]
    for product in update["products"] or []:
        blank = {"enabled": allowed, "maximum": None, "minimum": 1}
        product["adjustable_quantity"] = {**blank, **(product.get("adjustable_quantity") or {})}


def _set_login(account: Account, configuration: Json, given: Json | None) -> None:
    if given is not None:
        address = f"{account.public_url}/p/login/{configuration['id']}" if given["enabled"] else None
        configuration["login_page"] = {"enabled": given["enabled"], "url": address}


def _default_configuration(account: Account) -> Json:
    known = next((row for row in account.all("billing_portal.configuration") if row["is_default"]), None)
    return known or _add_configuration(account, {"features": _USUAL}, is_default=True)


def _create_configuration(call: Call) -> Json:
    for place, product in enumerate(
        ((call.params["features"] or {}).get("subscription_update") or {}).get("products") or []
    ):
        for price in product["prices"]:
            call.account.get("price", price, f"features[subscription_update][products][{place}][prices]")
    return _add_configuration(call.account, call.params, is_default=False)


def _configuration(call: Call) -> Json:
    return call.account.get("billing_portal.configuration", call.id, "configuration", status=404)


def _retrieve_configuration(call: Call) -> Json:
    return _configuration(call)


def _update_configuration(call: Call) -> Json:
    configuration, params = _configuration(call), call.params
    values: dict[str, Any] = {name: params[name] for name in ("active", "default_return_url", "name") if name in params}
    for name in ("business_profile", "features"):
        if name in params:
            values[name] = _merged(configuration[name], params[name] or {})
    if "features" in values:
        _fill_products(values["features"])
    if "metadata" in params:
        values["metadata"] = merged_metadata(configuration["metadata"], params["metadata"])
    if configuration["is_default"] and params.get("active") is False:
        raise invalid("You cannot deactivate the default configuration.", "active")
    _set_login(call.account, configuration, params.get("login_page"))
    previous = call.account.change(configuration, **values)
    if previous or "login_page" in params:
        call.account.change(configuration, updated=call.account.clock.now_s())
    emit_update(call.account, "billing_portal.configuration.updated", configuration, previous)
    return configuration


def _list_configurations(call: Call) -> Json:
    keep = lists.same(call.params, "active", "is_default")
    return lists.page(
        call.account, "billing_portal.configuration", call.params, "/v1/billing_portal/configurations", keep
    )


def _create_session(call: Call) -> Json:
    account, params = call.account, call.params
    customer = live_customer(account, params["customer"])
    configuration = _wanted_configuration(account, params)
    ticket = "test_" + random_text(60)
    flow = params.get("flow_data")
    session = account.add("billing_portal.session", {
        "configuration": configuration["id"],
        "customer": customer["id"],
        "customer_account": None,
        "flow": _flow(account, flow, customer["id"]) if flow else None,
        "locale": params.get("locale"),
        "on_behalf_of": None,
        "return_url": params.get("return_url") or configuration["default_return_url"],
        "url": f"{account.public_url}/p/session/{ticket}",
        "_ticket": ticket,
    })  # fmt: skip
    emit(account, "billing_portal.session.created", session)
    return session


def _wanted_configuration(account: Account, params: Json) -> Json:
    if "configuration" not in params:
        return _default_configuration(account)
    configuration = account.get("billing_portal.configuration", params["configuration"], "configuration")
    if not configuration["active"]:
        raise invalid("The configuration is inactive. Provide an active one.", "configuration")
    return configuration


def _flow(account: Account, given: Json, customer: str) -> Json:
    """A flow with all of its fields; its subscription must be one of this customer's."""
    kind = given["type"]
    if kind != "payment_method_update":
        part = given.get(kind)
        if not part:
            raise missing_parameter(f"flow_data[{kind}]")
        param = f"flow_data[{kind}][subscription]"
        if account.get("subscription", part["subscription"], param)["customer"] != customer:
            raise invalid(f"The subscription {part['subscription']} belongs to another customer.", param)
    after = given.get("after_completion") or {"type": "portal_homepage"}
    names = ("customer_update", "subscription_cancel", "subscription_pause", "subscription_update",
             "subscription_update_confirm")  # fmt: skip
    flow = dict.fromkeys(names) | {
        "after_completion": {"hosted_confirmation": None, "redirect": None, **after},
        "type": kind,
    }
    if kind == "subscription_cancel":
        flow[kind] = {"retention": None, **given[kind]}
    elif kind == "subscription_update_confirm":
        blank = {"price": None, "quantity": None}
        flow[kind] = {"discounts": None, **given[kind], "items": [{**blank, **one} for one in given[kind]["items"]]}
    elif kind == "subscription_update":
        flow[kind] = given[kind]
    return flow


OPERATIONS: list[Operation] = [
    post("/v1/billing_portal/configurations", _create_configuration,
         {**_COMMON, "features": fields(_NEW_FEATURES)}, ("features",)),
    listing("/v1/billing_portal/configurations", _list_configurations, {"active": flag, "is_default": flag}, dated=False),
    get("/v1/billing_portal/configurations/{id}", _retrieve_configuration),
    post("/v1/billing_portal/configurations/{id}", _update_configuration, {**_COMMON, "active": flag}),
    post("/v1/billing_portal/sessions", _create_session, {
        "configuration": text(clearable=False), "customer": text(clearable=False),
        "flow_data": fields(_FLOW, ("type",)), "locale": choice(*PORTAL_LOCALES), "return_url": url,
    }, ("customer",)),
]  # fmt: skip
