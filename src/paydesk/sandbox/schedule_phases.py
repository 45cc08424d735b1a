"""The phases of subscription schedules: what they take, and their fields. What happens in them is in `schedules`."""

from __future__ import annotations

from typing import Any

from .accounts import Account
from .billing_parts import AUTOMATIC_TAX, INVOICE_SETTINGS, automatic_tax, invoice_settings
from .coupons import DISCOUNTS, chosen
from .errors import Json, invalid, missing_parameter
from .methods import refuse_foreign
from .params import Kind, Shape, choice, fields, flag, integer, items, metadata, text, whole
from .periods import boundary
from .subscription_params import moment_or
from .subscription_rows import check_items, current_period, items_of, recurring_price

MOMENT: Kind = moment_or("now")
PRORATION = choice("always_invoice", "create_prorations", "none")
SETTINGS: Shape = {
    "automatic_tax": AUTOMATIC_TAX,
    "billing_cycle_anchor": choice("automatic", "phase_start"),
    "collection_method": choice("charge_automatically", "send_invoice"),
    "default_payment_method": text(clearable=False),
    "description": text(500),
    "invoice_settings": fields({**INVOICE_SETTINGS, "days_until_due": whole(0, 730)}),
}
_ITEM: Shape = {
    "discounts": DISCOUNTS, "metadata": metadata, "plan": text(clearable=False), "price": text(clearable=False),
    "quantity": whole(0, 999_999),
}  # fmt: skip
_EXTRA: Shape = {"metadata": metadata, "price": text(clearable=False), "quantity": whole(1, 999_999)}
PHASE: Shape = {
    **SETTINGS,
    "add_invoice_items": items(fields(_EXTRA), 20),
    "currency": text(3, clearable=False),
    "discounts": DISCOUNTS,
    "duration": fields({"interval": choice("day", "month", "week", "year"), "interval_count": whole(1)}, ("interval",)),
    "end_date": integer,
    "items": items(fields(_ITEM), 20),
    "iterations": whole(1),  # the word of older versions: so many periods of the first price
    "metadata": metadata,
    "proration_behavior": PRORATION,
    "trial": flag,
    "trial_end": integer,
}
CHANGED_PHASE: Shape = {**PHASE, "end_date": MOMENT, "start_date": MOMENT, "trial_end": MOMENT}
_DISCOUNT = ("coupon", "discount", "promotion_code")


def default_settings(old: Json | None, given: Json | None) -> Json:
    """The field `default_settings` after an update; without an old one, that of something new."""
    names = (
        "application_fee_percent", "automatic_tax", "billing_thresholds", "default_payment_method", "description",
        "on_behalf_of", "transfer_data",
    )  # fmt: skip
    blank: Json = dict.fromkeys(names) | {
        "billing_cycle_anchor": "automatic",
        "collection_method": "charge_automatically",
        "invoice_settings": printed(None, None),
    }
    known = {**blank, **(old or {}), **(given or {})}
    if given and "automatic_tax" in given:
        known["automatic_tax"] = automatic_tax(given["automatic_tax"])
    if given and "invoice_settings" in given:
        known["invoice_settings"] = printed((old or blank)["invoice_settings"], given["invoice_settings"])
    return known


def printed(old: Json | None, given: Json | None) -> Json:
    """The field `invoice_settings` of a phase, or of all of them."""
    return {"days_until_due": None, **invoice_settings(old, given)}


def phases_of(account: Account, customer: str, given: list[Json], begins_at: int) -> list[Json]:
    """The phases one after the other; each begins where the one before it ends. Refuses what cannot be one."""
    made: list[Json] = []
    for place, one in enumerate(given):
        param, start = f"phases[{place}]", made[-1]["end_date"] if made else begins_at
        if made and "start_date" in one and _moment(account, one["start_date"]) != start:
            raise invalid("The phase must begin where the phase before it ends.", f"{param}[start_date]")
        prices = _prices(account, one, param)
        _check_discounts(account, customer, one, param)
        check_default_method(account, customer, one, param)
        rows = [{**item, "price": price["id"]} for item, price in zip(one["items"], prices, strict=True)]
        end = _end(account, one, start, prices[0], param)
        trial = _trial_end(account, one, (start, end), param)
        made.append(phase({**one, "items": rows, "trial_end": trial}, start, end, prices[0]["currency"]))
    return made


def _moment(account: Account, given: int | str) -> int:
    return account.clock.now_s() if given == "now" else int(given)


def _prices(account: Account, given: Json, param: str) -> list[Json]:
    if not given["items"]:
        raise missing_parameter(f"{param}[items]")
    prices = [recurring_price(account, item, f"{param}[items][{number}]", _no_maker)
              for number, item in enumerate(given["items"])]  # fmt: skip
    check_items(prices, mixed=True)
    for number, one in enumerate(given.get("add_invoice_items") or []):
        if not one.get("price"):
            raise missing_parameter(f"{param}[add_invoice_items][{number}][price]")
        if account.get("price", one["price"], f"{param}[add_invoice_items][{number}][price]")["recurring"]:
            raise invalid("The price specified is recurring; only one-time prices can be added.",
                          f"{param}[add_invoice_items][{number}][price]")  # fmt: skip
    return prices


def _no_maker(account: Account, given: Json, param: str) -> Json:
    raise invalid("Phases name prices that exist.", param)


def _check_discounts(account: Account, customer: str, given: Json, param: str) -> None:
    chosen(account, given.get("discounts"), customer, f"{param}[discounts]")
    for number, item in enumerate(given["items"]):
        chosen(account, item.get("discounts"), customer, f"{param}[items][{number}][discounts]")


def check_default_method(account: Account, customer: str, given: Json, param: str) -> None:
    """Refuse a default payment method that the customer of a schedule does not have."""
    if given.get("default_payment_method"):
        name = f"{param}[default_payment_method]"
        method = account.get("payment_method", given["default_payment_method"], name, noun="PaymentMethod")
        refuse_foreign(method, customer, name)


def _end(account: Account, given: Json, begins_at: int, price: Json, param: str) -> int:
    """When a phase ends: as it says, or after one period of its first price."""
    ways = [name for name in ("duration", "end_date", "iterations") if given.get(name) is not None]
    if len(ways) > 1:
        raise invalid(f"You may only specify one of these parameters: {', '.join(ways)}.", f"{param}[{ways[1]}]")
    if "end_date" in ways:
        end = _moment(account, given["end_date"])
        if end <= begins_at:
            raise invalid("The phase must end after it begins.", f"{param}[end_date]")
        return end
    if "duration" in ways:
        return boundary(begins_at, given["duration"]["interval"], given["duration"].get("interval_count", 1), 1)
    recurring = price["recurring"]
    return boundary(begins_at, recurring["interval"], recurring["interval_count"], given.get("iterations", 1))


def _trial_end(account: Account, given: Json, span: tuple[int, int], param: str) -> int | None:
    """When the trial of a phase ends: with the phase, or before it; None without one."""
    trial = given.get("trial_end")
    if given.get("trial") and trial is not None:
        raise invalid("You may only specify one of these parameters: trial, trial_end.", f"{param}[trial_end]")
    if not given.get("trial") and trial is None:
        return None
    if given.get("billing_cycle_anchor") == "phase_start":
        raise invalid("`billing_cycle_anchor` cannot be `phase_start` for a phase with a trial.",
                      f"{param}[billing_cycle_anchor]")  # fmt: skip
    moment = span[1] if trial is None else _moment(account, trial)
    if not span[0] <= moment <= span[1]:
        raise invalid("The trial must end within its phase.", f"{param}[trial_end]")
    return moment if moment > span[0] else None


def phase(given: Json, begins_at: int, ends_at: int, currency: str) -> Json:
    """A phase with all of its fields. Its items name their prices by id."""
    names = (
        "application_fee_percent", "automatic_tax", "billing_cycle_anchor", "billing_thresholds", "collection_method",
        "default_payment_method", "default_tax_rates", "description", "invoice_settings", "on_behalf_of",
        "transfer_data", "trial_end",
    )  # fmt: skip
    known = {name: given[name] for name in names if given.get(name) is not None}
    if "automatic_tax" in known:
        known["automatic_tax"] = automatic_tax(known["automatic_tax"])
    if "invoice_settings" in known:
        known["invoice_settings"] = printed(None, known["invoice_settings"])
    return {
        **dict.fromkeys(names), **known,
        "add_invoice_items": [_extra(one) for one in given.get("add_invoice_items") or []],
        "currency": currency,
        "discounts": _named(given.get("discounts")),
        "end_date": ends_at,
        "items": [_item(one) for one in given["items"]],
        "metadata": given.get("metadata") or {},
        "proration_behavior": given.get("proration_behavior", "create_prorations"),
        "start_date": begins_at,
        "trial": None,
    }  # fmt: skip


def _named(discounts: list[Json] | None) -> list[Json]:
    return [{name: one.get(name) for name in _DISCOUNT} for one in discounts or []]


def _item(given: Json) -> Json:
    return {
        "billing_thresholds": None, "discounts": _named(given.get("discounts")), "metadata": given.get("metadata") or {},
        "plan": given["price"], "price": given["price"], "quantity": given.get("quantity", 1), "tax_rates": [],
    }  # fmt: skip


def _extra(given: Json) -> Json:
    period: dict[str, Any] = {
        "end": {"timestamp": None, "type": "min_item_period_end"},
        "start": {"timestamp": None, "type": "max_item_period_start"},
    }
    return {
        "discountable": None, "discounts": [], "metadata": given.get("metadata") or {}, "period": period,
        "price": given["price"], "quantity": given.get("quantity", 1), "tax_rates": [],
    }  # fmt: skip


def phase_of_now(subscription: Json) -> Json:
    """The phase that a schedule made from a running subscription begins with: as it is until its period ends."""
    begins_at, ends_at = current_period(subscription)
    rows = [{"price": item["price"]["id"], "quantity": item["quantity"], "metadata": item["metadata"],
             "discounts": [{"discount": one} for one in item["discounts"]]}
            for item in items_of(subscription)]  # fmt: skip
    given: Json = {"items": rows, "discounts": [{"discount": one} for one in subscription["discounts"]]}
    if subscription["status"] == "trialing":
        given["trial_end"] = subscription["trial_end"]
    return phase(given, begins_at, ends_at, subscription["currency"])
