"""Subscriptions in the API: create, update, cancel, pause, resume, list; and their items."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .anchors import anchor_of, future
from .billing_parts import automatic_tax, invoice_settings, payment_settings
from .calls import Call, Operation, delete, get, listing, post
from .cards import refused
from .catalog import add_price
from .coupons import check_usable, chosen, coupon_of, deleted_discount, end_discount, in_currency, left_after, redeem
from .customer_discounts import discounts_of_customer
from .errors import Json, StripeError, invalid, missing_parameter, no_such
from .invoice_lines import price_amount
from .invoices import method_for
from .live_customers import live_customer
from .methods import behaviour, refuse_foreign
from .params import merged_metadata
from .payments import OWNERS, Owner, must_authenticate
from .periods import DAY_S
from .present import INCLUDABLE
from .setup_intents import add_setup_intent
from .sources import check_default
from .subscription_changes import (
    add_extras,
    carry_out,
    carry_out_when_paid,
    early_end_parts,
    invoices_at_once,
    work_out,
)
from .subscription_params import CREATE, FILTER, UPDATE
from .subscription_rows import (
    ENDED,
    check_items,
    current_period,
    item_list,
    items_of,
    last_end,
    plan,
    recurring_price,
)
from .subscriptions import Order, change, end_trial, remind_if_near, start, starts_free
from .taxes import check_location

FLEXIBLE_SINCE = "2025-09-30"
# What changes the items or the cycle of a subscription, and so perhaps what is owed for it.
_OF_THE_CYCLE = {"add_invoice_items", "billing_cycle_anchor", "items", "proration_behavior", "proration_date",
                 "trial_end", "trial_from_plan"}  # fmt: skip


def existing(account: Account, subscription_id: str, param: str = "id", status: int = 404) -> Json:
    """The subscription that a path names."""
    return account.get("subscription", subscription_id, param, status=status)


def _create(call: Call) -> Json:
    account, given = call.account, call.params
    if "customer" not in given:
        raise missing_parameter("customer")
    if not given.get("items"):
        raise missing_parameter("items")
    if given.get("payment_behavior") == "pending_if_incomplete":
        raise invalid("`pending_if_incomplete` can only be used to update a subscription.", "payment_behavior")
    if call.version < FLEXIBLE_SINCE:
        given.setdefault("billing_mode", {"type": "classic"})
    customer = live_customer(account, given["customer"])
    check_method(account, customer, given)
    _check_tax(account, customer, given)
    order = ordered(account, customer, given)
    _check_due_days(given, given.get("collection_method", "charge_automatically"), None)
    collects = given.get("payment_behavior") != "default_incomplete"
    sends = given.get("collection_method") == "send_invoice"
    if not sends and collects and not order.trial_end:
        _need_method(account, order)
    subscription = start(account, order, collects=collects)
    _after_create(account, subscription, given)
    return subscription


def _after_create(account: Account, subscription: Json, given: Json) -> None:
    customer = account.get("customer", subscription["customer"], "customer")
    invoice = account.find("invoice", subscription["latest_invoice"] or "")
    bare = (invoice is None or invoice["status"] == "paid") and method_for(account, subscription, customer) is None
    if bare and given.get("payment_behavior") == "default_incomplete":
        intent = add_setup_intent(account, {"customer": customer["id"]})
        account.change(intent, _subscription=subscription["id"])
        account.change(subscription, pending_setup_intent=intent["id"])
    values = cancellation_values(account, subscription, given)
    if values:
        account.change(subscription, **values)
        plan(account, subscription)
    remind_if_near(account, subscription)


def _before_setup(account: Account, intent: Json) -> None:
    """Nothing has to be made before a method is saved."""


def _after_setup(account: Account, intent: Json) -> None:
    """The method of a trial has been saved."""
    subscription = account.find("subscription", intent["_subscription"])
    if subscription is not None and intent["status"] == "succeeded":
        values: Json = {"pending_setup_intent": None}
        if subscription["payment_settings"]["save_default_payment_method"] == "on_subscription":
            values["default_payment_method"] = intent["payment_method"]
        change(account, subscription, **values)


OWNERS["_subscription"] = Owner(_before_setup, _after_setup)


def ordered(account: Account, customer: Json, given: Json) -> Order:
    """Read the parameters that say what is ordered; refuses what cannot be."""
    prices = []
    for place, one in enumerate(given["items"]):
        price = recurring_price(account, one, f"items[{place}]", add_price)
        prices.append((price, one))
    mode = (given.get("billing_mode") or {}).get("type", "flexible")
    check_items([price for price, _ in prices], mixed=mode == "flexible")
    refuse_second_currency(account, customer, prices[0][0]["currency"], "items")
    ends = trial_end(account, given, prices[0][0])
    return Order(
        customer, prices, given, trial_end=ends,
        anchor=anchor_of(account, given, ends, [price for price, _ in prices]),
        item_discounts=_item_discounts(account, customer, given, prices[0][0]["currency"]),
        extras=_extras(account, given, prices[0][0]["currency"]), discounts=_discounts(account, customer, given, prices),
    )  # fmt: skip


def _item_discounts(account: Account, customer: Json, given: Json, currency: str) -> list[list[Json]]:
    """The discounts of the items, in their order; each must be for the currency."""
    places = [(one, f"items[{place}][discounts]") for place, one in enumerate(given["items"])]
    return [in_currency(chosen(account, one.get("discounts"), customer["id"], where), currency, where)
            for one, where in places]  # fmt: skip


def refuse_second_currency(account: Account, customer: Json | None, currency: str, param: str) -> None:
    """Refuse a subscription in another currency than the running ones of its customer."""
    ids = (customer or {}).get("_subscriptions", [])
    rows = [account.get("subscription", one, "subscription") for one in ids]
    others = {row["currency"] for row in rows if row["status"] not in ENDED} - {currency}
    if others:
        raise invalid(
            "You cannot combine currencies on a single customer. This customer has an active subscription or invoice "
            f"item with currency {min(others)}.", param,
        )  # fmt: skip


def _discounts(account: Account, customer: Json, given: Json, prices: list[tuple[Json, Json]]) -> list[Json]:
    """The discounts of a new subscription; each must be for its amount and currency."""
    found = chosen(account, given.get("discounts"), customer["id"])
    amount = sum(price_amount(price, one.get("quantity", 1)) for price, one in prices)
    check_usable(account, found, customer["id"], (amount, prices[0][0]["currency"]))
    return found


def trial_end(account: Account, given: Json, price: Json) -> int | None:
    """When the trial ends that the parameters ask for, or None."""
    now = account.clock.now_s()
    moment = given.get("trial_end")
    if moment is not None and given.get("trial_period_days") is not None:
        raise invalid("You may only specify one of these parameters: trial_end, trial_period_days.", "trial_end")
    if isinstance(moment, int):
        return future(moment, now, "trial_end")
    days = given.get("trial_period_days")
    if days is None and given.get("trial_from_plan"):
        days = price["recurring"]["trial_period_days"]
    return now + days * DAY_S if days else None


def _extras(account: Account, given: Json, currency: str) -> list[tuple[Json, int]]:
    found = []
    for place, one in enumerate(given.get("add_invoice_items") or []):
        param = f"add_invoice_items[{place}]"
        if one.get("price_data"):
            price = add_price(account, one["price_data"], f"{param}[price_data]")
        elif one.get("price"):
            price = account.get("price", one["price"], f"{param}[price]")
        else:
            raise missing_parameter(f"{param}[price]")
        if price["type"] == "recurring":
            raise invalid("The price specified is recurring; only one-time prices can be added.", f"{param}[price]")
        if price["currency"] != currency:
            raise invalid(f"The price specified only supports `{price['currency']}`. This doesn't match the expected "
                          f"currency: `{currency}`.", f"{param}[price]")  # fmt: skip
        found.append((price, one.get("quantity", 1)))
    return found


def check_method(account: Account, customer: Json, given: Json) -> None:
    """A default payment method or source must belong to the customer."""
    if given.get("default_payment_method"):
        method = account.get("payment_method", given["default_payment_method"], "default_payment_method",
                             noun="PaymentMethod")  # fmt: skip
        refuse_foreign(method, customer["id"], "default_payment_method")
    check_default(account, customer, given.get("default_source"))


def _check_tax(account: Account, customer: Json, given: Json) -> None:
    method = account.find("payment_method", given.get("default_payment_method") or "")
    check_location(account, customer, given.get("automatic_tax"), method)


def _need_method(account: Account, order: Order) -> None:
    """A first invoice that costs something needs a method; with `error_if_incomplete` one that will work."""
    named = {name: order.given.get(name) for name in ("default_payment_method", "default_source")}
    holder = {"object": "subscription", **named}
    method = method_for(account, holder, order.customer)
    if method is None and _costs(account, order) > 0:
        raise no_way_to_pay()
    if method is not None and order.given.get("payment_behavior") == "error_if_incomplete":
        refuse_if_declining(method)


def _costs(account: Account, order: Order) -> int:
    """What the first invoice comes to with its discounts, before taxes and the customer's balance."""
    now = account.clock.now_s()
    amounts = [0 if starts_free(order, price, now) else price_amount(price, one.get("quantity", 1))
               for price, one in order.prices] + [price_amount(*extra) for extra in order.extras]  # fmt: skip
    products = [price["product"] for price, _ in [*order.prices, *order.extras]]
    theirs = [] if order.bare else discounts_of_customer(account, order.customer["id"])
    whole = [_coupon(account, one) for one in order.discounts or [{"discount": one} for one in theirs]]
    alone = [(_coupon(account, one), place) for place, found in enumerate(order.item_discounts) for one in found]
    return sum(left_after(whole, list(zip(products, amounts, strict=True)), alone))


def _coupon(account: Account, one: Json) -> Json:
    """The coupon of a discount that is chosen, or that exists already."""
    return one.get("coupon") or coupon_of(account, one["discount"])


def no_way_to_pay() -> StripeError:
    """The refusal for a customer who has no payment method."""
    return invalid(
        "This customer has no attached payment source or default payment method. Please consider adding a default "
        "payment method. For more information, visit https://stripe.com/docs/billing/subscriptions/payment-methods-"
        "setting#payment-method-priority.", None, "resource_missing",
    )  # fmt: skip


def refuse_if_declining(method: Json) -> None:
    """Refuse with 402 a method whose charge would fail now."""
    if method["type"] != "card":
        return
    card = behaviour(method)
    decline = card.charge or card.attach
    if decline is not None:
        raise refused(decline)
    if must_authenticate(method, off_session=False):
        raise StripeError(
            "Payment for this subscription requires additional user action before it can be completed successfully. "
            "Payment can be completed using the PaymentIntent associated with `subscription.latest_invoice`.",
            status=402, kind="card_error", code="subscription_payment_intent_requires_action",
        )  # fmt: skip


def cancellation_values(account: Account, subscription: Json, given: Json) -> Json:
    """What `cancel_at_period_end` and `cancel_at` change: ending later, or the taking back of it."""
    if given.get("cancel_at") is not None and given.get("cancel_at_period_end"):
        raise invalid("You may only specify one of these parameters: cancel_at, cancel_at_period_end.", "cancel_at")
    now, details = account.clock.now_s(), subscription["cancellation_details"]
    moment: int | None = None
    if given.get("cancel_at_period_end"):
        moment = current_period(subscription)[1]
    elif given.get("cancel_at"):
        at = given["cancel_at"]
        ends = {"min_period_end": current_period(subscription)[1]}
        moment = future(at, now, "cancel_at") if isinstance(at, int) else ends.get(at, last_end(subscription))
    elif "cancel_at_period_end" not in given and "cancel_at" not in given:
        moves = subscription["cancel_at_period_end"] and subscription["cancel_at"] != current_period(subscription)[1]
        return {"cancel_at": current_period(subscription)[1]} if moves else {}
    if moment is None:
        return {"cancel_at": None, "cancel_at_period_end": False, "canceled_at": None,
                "cancellation_details": {**details, "reason": None}}  # fmt: skip
    return {"cancel_at": moment, "cancel_at_period_end": bool(given.get("cancel_at_period_end")), "canceled_at": now,
            "cancellation_details": {**details, "reason": "cancellation_requested"}}  # fmt: skip


def _update(call: Call) -> Json:
    subscription = existing(call.account, call.id)
    if subscription["schedule"] and {"cancel_at", "cancel_at_period_end"} & set(call.params):
        raise invalid(f"The subscription is managed by the subscription schedule `{subscription['schedule']}`, and "
                      "updating any cancellation behavior directly is not allowed. Please update the schedule instead.",
                      min({"cancel_at", "cancel_at_period_end"} & set(call.params)))  # fmt: skip
    return update(call.account, subscription, call.params)


def update(account: Account, subscription: Json, given: Json) -> Json:
    """Change a subscription as the parameters say; also what the customer portal does."""
    if subscription["status"] in ENDED and set(given) - {"cancellation_details", "metadata"}:
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    _refuse_unfit(subscription, given)
    _check_due_days(
        given, given.get("collection_method", subscription["collection_method"]), subscription["days_until_due"]
    )
    _check_pause(account, given)
    customer = account.get("customer", subscription["customer"], "customer")
    check_method(account, customer, given)
    _check_tax(account, customer, given)
    if _trial_ends_unpaid(account, subscription, customer, given):
        account.change(subscription, trial_end=account.clock.now_s())
        end_trial(account, subscription)
        return subscription
    worked_out = work_out(account, subscription, given)
    if isinstance(given.get("trial_end"), int):
        future(given["trial_end"], account.clock.now_s(), "trial_end")
    extras = _extras(account, given, subscription["currency"])
    if given.get("payment_behavior") == "error_if_incomplete" and invoices_at_once(worked_out, given):
        method = method_for(account, subscription, customer)
        if method is None:
            raise no_way_to_pay()
        refuse_if_declining(method)
    if given.get("payment_behavior") == "pending_if_incomplete":
        add_extras(account, subscription, extras)
        carry_out_when_paid(account, subscription, worked_out, given)
        return subscription
    values = _plain_values(account, subscription, customer, given)
    after = {**subscription, **values, "items": item_list(subscription["id"], worked_out.items)}
    values |= cancellation_values(account, after, given)
    worked_out.parts += early_end_parts(account, after, values, given)
    add_extras(account, subscription, extras)
    carry_out(account, subscription, worked_out, given, values,
              collects=given.get("payment_behavior") != "default_incomplete")  # fmt: skip
    return subscription


def _refuse_unfit(subscription: Json, given: Json) -> None:
    """Refuse what the state of the subscription or the chosen behaviour does not allow."""
    if subscription["status"] == "incomplete" and _OF_THE_CYCLE & set(given):
        raise invalid("A subscription with status `incomplete` cannot be changed until its first invoice is paid.",
                      min(_OF_THE_CYCLE & set(given)))  # fmt: skip
    if given.get("payment_behavior") != "pending_if_incomplete":
        return
    if subscription["collection_method"] != "charge_automatically":
        raise invalid("`pending_if_incomplete` needs `collection_method=charge_automatically`.", "payment_behavior")
    unfit = set(given) - _OF_THE_CYCLE - {"payment_behavior", "off_session"}
    unfit |= {f"items[{place}][{name}]" for place, one in enumerate(given.get("items") or [])
              for name in set(one) - {"id", "plan", "price", "price_data", "quantity", "deleted"}}  # fmt: skip
    if unfit:
        raise invalid(f"`{min(unfit)}` cannot be updated with `payment_behavior=pending_if_incomplete`.", min(unfit))


def _check_due_days(given: Json, collection_method: str | None, known: int | None) -> None:
    """Only what is sent has days until it is due, and that must have them; `known` are those there are."""
    if given.get("collection_method") == "send_invoice" and given.get("days_until_due", known) is None:
        raise missing_parameter("days_until_due")
    if "days_until_due" in given and collection_method != "send_invoice":
        raise invalid("You can only set `days_until_due` when `collection_method` is `send_invoice`.", "days_until_due")


def _check_pause(account: Account, given: Json) -> None:
    """A pause of collection ends in the future."""
    until = (given.get("pause_collection") or {}).get("resumes_at")
    if until is not None:
        future(until, account.clock.now_s(), "pause_collection[resumes_at]")


def _trial_ends_unpaid(account: Account, subscription: Json, customer: Json, given: Json) -> bool:
    """Whether the trial is ended now, without a method, where that pauses or cancels."""
    behavior = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    ended = subscription["status"] == "trialing" and given.get("trial_end") == "now"
    return ended and behavior != "create_invoice" and method_for(account, subscription, customer) is None


def _plain_values(account: Account, subscription: Json, customer: Json, given: Json) -> Json:
    """The fields that change just as they are given."""
    names = ("collection_method", "days_until_due", "default_payment_method", "default_source", "description")
    values: Json = {name: given[name] for name in names if name in given}
    if "metadata" in given:
        values["metadata"] = merged_metadata(subscription["metadata"], given["metadata"])
    if "pause_collection" in given:
        pause = given["pause_collection"]
        values["pause_collection"] = pause and {"resumes_at": None, **pause}
    if "payment_settings" in given:
        values["payment_settings"] = payment_settings(subscription["payment_settings"], given["payment_settings"])
    if "invoice_settings" in given:
        values["invoice_settings"] = invoice_settings(subscription["invoice_settings"], given["invoice_settings"])
    if "automatic_tax" in given:
        values["automatic_tax"] = automatic_tax(given["automatic_tax"])
    if given.get("trial_settings"):
        behavior = {**subscription["trial_settings"]["end_behavior"], **given["trial_settings"]["end_behavior"]}
        values["trial_settings"] = {"end_behavior": behavior}
    if given.get("cancellation_details"):
        values["cancellation_details"] = {**subscription["cancellation_details"], **given["cancellation_details"]}
    if "discounts" in given:
        values["discounts"] = _new_discounts(account, subscription, customer, given["discounts"])
    return values


def _new_discounts(account: Account, subscription: Json, customer: Json, given: list[Json]) -> list[str]:
    picked = chosen(account, given, customer["id"])
    amount = sum(price_amount(item["price"], item["quantity"]) for item in items_of(subscription))
    check_usable(account, picked, customer["id"], (amount, subscription["currency"]))
    kept = {one["discount"]["id"] for one in picked if "discount" in one}
    for discount_id in subscription["discounts"]:
        if discount_id not in kept:
            end_discount(account, account.get("discount", discount_id, "discount"))
    made = [redeem(account, one, customer=customer["id"], subscription=subscription["id"]) for one in picked]
    return [discount["id"] for discount in made]


def _delete_discount(call: Call) -> Json:
    """Take the discounts from a subscription; gives the last one."""
    account, subscription = call.account, existing(call.account, call.id)
    if not subscription["discounts"]:
        raise no_such("discount for subscription", call.id, "id", 404)
    found = [account.get("discount", one, "discount") for one in subscription["discounts"]]
    for discount in found:
        end_discount(account, discount)
    change(account, subscription, discounts=[])
    return deleted_discount(found[-1])


def _list(call: Call) -> Json:
    given = call.params
    status, price = given.get("status"), given.get("price") or given.get("plan")
    keep = lists.same(given, "collection_method", "customer", "test_clock")
    timeless = not given.get("customer") and not given.get("test_clock")

    def wanted(row: Json) -> bool:
        if (timeless and row["test_clock"]) or not keep(row) or not _status_matches(row["status"], status):
            return False
        if price and all(item["price"]["id"] != price for item in items_of(row)):
            return False
        begin, finish = current_period(row)
        return lists.in_range(begin, given.get("current_period_start", {})) and lists.in_range(
            finish, given.get("current_period_end", {})
        )

    return lists.page(call.account, "subscription", given, "/v1/subscriptions", wanted)


def _status_matches(status: str, wanted: str | None) -> bool:
    if wanted is None:
        return status != "canceled"
    if wanted == "ended":
        return status in ENDED
    return wanted in ("all", status)


def _of_customer(account: Account, customer: Json) -> Json:
    """The running subscriptions of a customer, as `expand[]=subscriptions` shows them."""
    ids = (account.find("customer", customer["id"]) or {}).get("_subscriptions", [])
    rows = [account.get("subscription", one, "subscription") for one in ids[::-1]]
    running = [row for row in rows if row["status"] != "canceled"]
    url = f"/v1/customers/{customer['id']}/subscriptions"
    return lists.list_of(running[:10], url, has_more=len(running) > 10)


def _list_of_customer(call: Call) -> Json:
    """Where the list that `expand[]=subscriptions` shows goes on."""
    call.account.get("customer", call.id, "customer", status=404)
    return lists.page(call.account, "subscription", call.params, f"/v1/customers/{call.id}/subscriptions",
                      lambda row: row["customer"] == call.id and row["status"] != "canceled")  # fmt: skip


INCLUDABLE["customer", "subscriptions"] = _of_customer

OPERATIONS: list[Operation] = [
    post("/v1/subscriptions", _create, CREATE),
    listing("/v1/subscriptions", _list, FILTER),
    get("/v1/subscriptions/{id}", lambda call: existing(call.account, call.id)),
    post("/v1/subscriptions/{id}", _update, UPDATE),
    delete("/v1/subscriptions/{id}/discount", _delete_discount),
    listing("/v1/customers/{id}/subscriptions", _list_of_customer),
]
