"""Checkout sessions of all modes: made, listed, changed, expired. Paying them is in `checkout_pay`."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing, post
from .catalog import PRICE_DATA, add_price, refuse_inactive
from .checkout_orders import (
    DISCOUNT_FIELDS,
    SUBSCRIPTION_DATA,
    anchor_fields,
    intent_id,
    order_amount,
    reckoned,
    refuse_short_trial,
    refuse_too_small,
    refuse_without_recurring,
    refuse_wrong_subscription,
    session_discounts,
    setup_id,
)
from .checkout_shipping import SHIPPING_OPTIONS, shipping_fields
from .checkout_tax import refuse_wrong_update, tax_fields
from .embedded_pages import embedded_fields, refuse_wrong_embedding
from .errors import Json, StripeError, invalid, missing_parameter, unreadable
from .events import emit
from .ids import new_id
from .intents import CAPTURE_METHOD, DESCRIPTIVE, cancel_intent
from .invoice_lines import price_amount
from .later import DEEDS, later
from .live_customers import live_customer
from .method_rules import PAGE_TYPES, check_capture, check_currency, check_future, check_mode
from .money import MAXIMUM_MINOR, check_steps, currency_code
from .params import (
    ADDRESS,
    LIST,
    SHIPPING,
    Shape,
    choice,
    email,
    fields,
    flag,
    integer,
    items,
    merged_metadata,
    metadata,
    text,
    url,
    whole,
)
from .present import INCLUDABLE
from .session_extras import EXTRAS, shown_extras
from .setup_intents import add_setup_intent, cancel_setup
from .subscription_calls import refuse_second_currency
from .words import LOCALES

_SHORTEST_S = 30 * 60
_LONGEST_S = 24 * 3600

_LINE: Shape = {
    "adjustable_quantity": fields({"enabled": flag, "maximum": whole(1), "minimum": whole(0)}, ("enabled",)),
    "metadata": metadata,
    "price": text(clearable=False),
    "price_data": fields(PRICE_DATA, ("currency",)),
    "quantity": whole(1, 999_999),
}
_CUSTOM_TEXT: Shape = {
    name: fields({"message": text(1200)}, ("message",), clearable=True)
    for name in ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
}
_CREATE: Shape = {
    **EXTRAS,
    "allow_promotion_codes": flag,
    "allowed_payment_method_types": items(choice(*PAGE_TYPES), 20),
    "billing_address_collection": choice("auto", "required"),
    "cancel_url": url,
    "client_reference_id": text(200),
    "currency": text(3, clearable=False),
    "custom_text": fields(_CUSTOM_TEXT),
    "customer": text(clearable=False),
    "customer_creation": choice("always", "if_required"),
    "customer_email": email,
    "discounts": items(DISCOUNT_FIELDS, 1),
    "expires_at": integer,
    "line_items": items(fields(_LINE), 100),
    "locale": choice(*LOCALES),
    "metadata": metadata,
    "mode": choice("payment", "setup", "subscription"),
    "origin_context": choice("mobile_app", "web"),
    "payment_intent_data": fields(
        {
            **DESCRIPTIVE,
            "capture_method": CAPTURE_METHOD,
            "shipping": fields({**SHIPPING, "address": fields(ADDRESS, ("line1",))}, ("address", "name")),
        }
    ),
    "payment_method_collection": choice("always", "if_required"),
    "payment_method_types": items(choice(*PAGE_TYPES), 20),
    "phone_number_collection": fields({"enabled": flag}, ("enabled",)),
    "setup_intent_data": fields({"description": text(1000), "metadata": metadata}),
    "redirect_on_completion": choice("always", "if_required", "never"),
    "return_url": url,
    "shipping_options": SHIPPING_OPTIONS,
    "submit_type": choice("auto", "book", "donate", "pay", "subscribe"),
    "subscription_data": fields(SUBSCRIPTION_DATA),
    "success_url": url,
    "ui_mode": choice("embedded", "embedded_page", "hosted", "hosted_page"),
}


def session_with(account: Account, session_id: str) -> Json:
    """The session that a path names."""
    return account.get("checkout.session", session_id, "session", status=404)


def _create(call: Call) -> Json:
    params = call.params
    _refuse_wrong_use(params)
    expires_at = _expiry(call.account, params)
    customer = live_customer(call.account, params["customer"]) if params.get("customer") else None
    session_id = new_id("checkout.session")
    given_lines = params.get("line_items") or []
    lines = [
        _line(call.account, given, f"line_items[{place}]", params["mode"]) for place, given in enumerate(given_lines)
    ]
    currency, total = _total(lines, params.get("currency")) if lines else (params.get("currency"), None)
    if params["mode"] == "subscription":
        refuse_without_recurring(call.account, lines)
        refuse_second_currency(call.account, customer, str(currency), "line_items")
    _check_methods(params, currency)
    values = {
        **_settings(params),
        "adaptive_pricing": {"enabled": call.account.settings.adaptive_pricing},
        **shown_extras(params),
        **tax_fields(call.account, customer, params),
        "amount_subtotal": total,
        "amount_total": total,
        "created": call.account.clock.now_s(),
        "currency": currency,
        "customer": customer["id"] if customer else None,
        "customer_creation": params.get("customer_creation", _customer_creation(params)),
        "customer_details": _details(params, customer),
        "discounts": session_discounts(call.account, params, (order_amount(lines), str(currency))),
        "expires_at": expires_at,
        "metadata": merged_metadata({}, params.get("metadata", {})),
        "payment_status": "unpaid" if total else "no_payment_required",
        "status": "open",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "url": f"{call.account.public_url}/c/pay/{session_id}",
        **shipping_fields(call.account, params, currency),
        **embedded_fields(params, session_id),
        **anchor_fields(call.account, params, lines),
        "_intent_data": params.get("payment_intent_data") or {},
        "_lines": lines,
        "_page": new_id("payment_page"),
        "_subscription_data": params.get("subscription_data") or {},
    }  # fmt: skip
    if lines:
        refuse_short_trial(call.account, values)
        values |= reckoned(call.account, values)
        refuse_too_small(values, values["amount_total"])
    session = call.account.add("checkout.session", values, object_id=session_id)
    if params["mode"] == "setup":
        _add_setup(call.account, session, params)
    later(call.account, expires_at, "session_expires", session_id)
    return session


def _customer_creation(params: Json) -> str | None:
    if params.get("customer"):
        return None
    return "always" if params["mode"] == "subscription" else "if_required"


def _check_methods(params: Json, currency: str | None) -> None:
    """Refuse methods that cannot be used in this mode, with this currency, or as the payment is to go."""
    types = params.get("allowed_payment_method_types") or params.get("payment_method_types") or []
    data = params.get("payment_intent_data") or {}
    check_mode(types, params["mode"])
    if currency is not None:
        check_currency(types, currency)
    check_future(types, data.get("setup_future_usage"), "payment_intent_data[setup_future_usage]")
    check_capture(types, data.get("capture_method"))


def _add_setup(account: Account, session: Json, params: Json) -> None:
    """The setup intent of a session in setup mode, which is there from the beginning."""
    data = params.get("setup_intent_data") or {}
    types = session["payment_method_types"]
    intent = add_setup_intent(
        account, {**data, "customer": session["customer"], "payment_method_types": types, "_session": session["id"]}
    )
    account.change(session, setup_intent=intent["id"])


def _refuse_wrong_use(params: Json) -> None:
    """What Stripe refuses before it looks at any object."""
    refuse_wrong_subscription(params)
    refuse_wrong_embedding(params)
    refuse_wrong_update(params)
    if params["mode"] == "setup":
        _refuse_wrong_setup(params)
    elif not params.get("line_items"):
        raise unreadable("The `line_items` parameter is required in payment mode.", "line_items", "parameter_missing")
    if params.get("customer") and params.get("customer_email"):
        raise unreadable("You may only specify one of these parameters: customer, customer_email.", "customer")
    if params.get("customer") and params.get("customer_creation"):
        raise unreadable("`customer_creation` can only be used if `customer` is not provided.", "customer_creation")


def _refuse_wrong_setup(params: Json) -> None:
    for name in ("line_items", "payment_intent_data", "submit_type"):
        if params.get(name):
            raise unreadable(f"You can not pass `{name}` in `setup` mode.", name)
    if not params.get("currency") and not params.get("payment_method_types"):
        raise missing_parameter("currency")


def _expiry(account: Account, params: Json) -> int:
    """When the session expires, in seconds: a day after now unless set, at least half an hour."""
    now = account.clock.now_s()
    moment = int(params.get("expires_at", now + _LONGEST_S))
    if moment < now + _SHORTEST_S - 5:
        message = "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation."
        raise invalid(message, "expires_at")
    if moment > now + _LONGEST_S + 5:
        message = "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation."
        raise invalid(message, "expires_at")
    return moment


def _line(account: Account, given: Json, param: str, mode: str) -> Json:
    """One line of the order, in the shape of Stripe's line item."""
    quantity = given.get("quantity")
    if quantity is None:
        raise invalid(f"Quantity is required. Add `quantity` to `{param}`", f"{param}[quantity]", "parameter_missing")
    price = _line_price(account, given, param, mode)
    product = account.get("product", price["product"], param)
    amount = price_amount(price, quantity)
    return {
        "id": new_id("item"),
        "object": "item",
        "adjustable_quantity": given.get("adjustable_quantity"),
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": product["name"],
        "metadata": merged_metadata({}, given.get("metadata", {})),
        "price": price["id"],
        "quantity": quantity,
    }


def _line_price(account: Account, given: Json, param: str, mode: str) -> Json:
    """The price of a line, made on the spot when `price_data` describes one."""
    if ("price" in given) == bool(given.get("price_data")):
        if "price" in given:
            raise invalid("You may only specify one of these parameters: price, price_data.", param)
        raise missing_parameter(f"{param}[price]")
    if "price" not in given:
        if given["price_data"].get("recurring") and mode != "subscription":
            raise _recurring_in_payment_mode(param)
        price = add_price(account, given["price_data"], f"{param}[price_data]")
        account.change(price, active=False)
        return price
    price = account.get("price", given["price"], f"{param}[price]")
    refuse_inactive(account, price, f"{param}[price]")
    if price["type"] == "recurring" and mode != "subscription":
        raise _recurring_in_payment_mode(param)
    return price


def _recurring_in_payment_mode(param: str) -> StripeError:
    return invalid(
        "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use only "
        "one-time prices.",
        f"{param}[price]",
    )


def _total(lines: list[Json], wanted: str | None) -> tuple[str, int]:
    """Currency (the wanted one, if any) and sum of the lines, in the smallest unit; refuses what cannot be charged."""
    currencies = {line["currency"] for line in lines}
    if len(currencies) > 1:
        listed = ", ".join(sorted(currencies))
        raise invalid(f"You cannot combine currencies on a single Checkout Session: {listed}.", "line_items")
    currency = currency_code(currencies.pop())
    if wanted is not None and currency_code(wanted) != currency:
        raise invalid(f"The price specified only supports `{currency}`. This doesn't match the expected currency: "
                      f"`{wanted.lower()}`.", "line_items[0][price]")  # fmt: skip
    total = sum(line["amount_total"] for line in lines)
    check_steps(total, currency, "line_items")
    refuse_too_small({"currency": currency}, total)
    if total > MAXIMUM_MINOR:
        raise invalid("The Checkout Session's total amount is too large.", "line_items", "amount_too_large")
    return currency, total


def _settings(params: Json) -> Json:
    """The fields of a session that follow from the parameters alone, or have no value."""
    names = (
        "after_expiration", "client_secret", "collected_information", "consent", "consent_collection",
        "currency_conversion", "customer_account", "integration_identifier", "invoice", "managed_payments",
        "payment_intent", "payment_link", "payment_method_configuration_details", "permissions",
        "recovered_from", "saved_payment_method_options", "setup_intent", "shipping_address_collection",
        "subscription",
    )  # fmt: skip
    echoed = (
        "allow_promotion_codes", "billing_address_collection", "cancel_url", "client_reference_id", "customer_email",
        "locale", "origin_context", "submit_type", "success_url",
    )  # fmt: skip
    allowed = params.get("allowed_payment_method_types") or params.get("payment_method_types")
    return dict.fromkeys(names) | {name: params.get(name) for name in echoed} | {
        "allowed_payment_method_types": allowed,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "custom_fields": [],
        "custom_text": dict.fromkeys(_CUSTOM_TEXT) | (params.get("custom_text") or {}),
        "invoice_creation": _invoice_creation(),
        "mode": params["mode"],
        "payment_method_collection": params.get(
            "payment_method_collection", "always" if params["mode"] == "subscription" else "if_required"
        ),
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": allowed or ["card"],
        "phone_number_collection": params.get("phone_number_collection") or {"enabled": False},
        "ui_mode": "hosted_page",
        "wallet_options": None,
    }  # fmt: skip


def _invoice_creation() -> Json:
    data = dict.fromkeys(("account_tax_ids", "custom_fields", "description", "footer", "issuer", "rendering_options"))
    return {"enabled": False, "invoice_data": {**data, "metadata": {}}}


def _details(params: Json, customer: Json | None) -> Json | None:
    """What is known of the buyer before the page was opened."""
    known = params.get("customer_email") or (customer or {}).get("email")
    return customer_details(email_address=known) if known else None


def customer_details(*, email_address: str | None, name: str | None = None, address: Json | None = None) -> Json:
    """A session's `customer_details`."""
    return {
        "address": address,
        "business_name": None,
        "email": email_address,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [] if name or address else None,
    }


def _retrieve(call: Call) -> Json:
    return session_with(call.account, call.id)


def _update(call: Call) -> Json:
    session = session_with(call.account, call.id)
    if "metadata" in call.params:
        call.account.change(session, metadata=merged_metadata(session["metadata"], call.params["metadata"]))
    return session


def _expire(call: Call) -> Json:
    session = session_with(call.account, call.id)
    if session["status"] != "open":
        raise invalid(
            "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of "
            f"`{session['status']}`."
        )  # fmt: skip
    expire_session(call.account, session)
    return session


def expire_session(account: Account, session: Json) -> None:
    """End an open session and cancel its payment intent; tells it."""
    account.change(session, status="expired", url=None)
    intent = account.find("payment_intent", intent_id(session))
    if intent is not None and intent["status"] not in ("succeeded", "canceled"):
        cancel_intent(account, intent, "expired")
    setup = account.find("setup_intent", setup_id(session))
    if setup is not None and setup["status"] not in ("succeeded", "canceled"):
        cancel_setup(account, setup, "abandoned")
    emit(account, "checkout.session.expired", session)


def _expire_by_itself(account: Account, session_id: str) -> None:
    session = account.find("checkout.session", session_id)
    if session is not None and session["status"] == "open":
        expire_session(account, session)


def _line_items(call: Call) -> Json:
    session = session_with(call.account, call.id)
    return _page_of_lines(call.account, session, call.params)


def _page_of_lines(account: Account, session: Json, params: Json) -> Json:
    """The lines of a session, in their order, as a list object."""
    lines = session["_lines"]
    ids = [line["id"] for line in lines]
    limit = params.get("limit", 10)
    if params.get("ending_before"):
        end = _place(ids, params["ending_before"], "ending_before")
        window, more = lines[max(0, end - limit) : end], end > limit
    else:
        start = _place(ids, params["starting_after"], "starting_after") + 1 if params.get("starting_after") else 0
        window, more = lines[start : start + limit], start + limit < len(lines)
    url_of_list = f"/v1/checkout/sessions/{session['id']}/line_items"
    return lists.list_of([shown_line(account, line) for line in window], url_of_list, has_more=more)


def _place(ids: list[str], object_id: str, param: str) -> int:
    if object_id not in ids:
        raise invalid(f"No such item: '{object_id}'", param, "resource_missing")
    return ids.index(object_id)


def shown_line(account: Account, line: Json) -> Json:
    """A line with its price as an object, as Stripe shows it."""
    return {**line, "price": account.find("price", line["price"])}


def _included_lines(account: Account, session: Json) -> Json:
    return _page_of_lines(account, session_with(account, session["id"]), {})


INCLUDABLE["checkout.session", "line_items"] = _included_lines


def _list(call: Call) -> Json:
    keep = lists.same(call.params, "customer", "payment_intent", "status", "subscription")
    wanted = (call.params.get("customer_details") or {}).get("email")
    return lists.page(
        call.account, "checkout.session", call.params, "/v1/checkout/sessions",
        lambda row: keep(row) and (not wanted or (row["customer_details"] or {}).get("email") == wanted),
    )  # fmt: skip


_FILTER: Shape = {
    "customer": text(),
    "customer_details": fields({"email": email}, ("email",)),
    "payment_intent": text(),
    "payment_link": text(),
    "status": choice("open", "complete", "expired"),
    "subscription": text(),
}

DEEDS["session_expires"] = _expire_by_itself
OPERATIONS: list[Operation] = [
    post("/v1/checkout/sessions", _create, _CREATE, ("mode",)),
    listing("/v1/checkout/sessions", _list, _FILTER),
    get("/v1/checkout/sessions/{id}", _retrieve),
    post("/v1/checkout/sessions/{id}", _update, {"metadata": metadata}),
    post("/v1/checkout/sessions/{id}/expire", _expire),
    get("/v1/checkout/sessions/{id}/line_items", _line_items, LIST),
]
