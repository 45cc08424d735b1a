"""What sending costs in a Checkout session: the ways to choose from, and the one that is chosen."""

from __future__ import annotations

from .accounts import Account
from .errors import Json, invalid, missing_parameter, unreadable
from .money import written
from .params import ADDRESS, Shape, fields, full_address, full_shipping, items, text
from .shipping_rates import RATE_DATA, add_rate, amount_in

_OPTION: Shape = {"shipping_rate": text(clearable=False), "shipping_rate_data": fields(RATE_DATA, ("display_name",))}
SHIPPING_OPTIONS = items(fields(_OPTION), 5)
# What the page sends of where an order goes.
SHIPPED_TO = fields(
    {"address": fields(ADDRESS, ("country", "line1")), "name": text(clearable=False)}, ("address", "name")
)


def shipping_fields(account: Account, params: Json, currency: str | None) -> Json:
    """The fields `shipping_options` and `shipping_cost` of a new session; the first way is chosen until the buyer says so."""
    given = params.get("shipping_options") or []
    if given and params["mode"] != "payment":
        raise unreadable("`shipping_options` can only be used in `payment` mode.", "shipping_options")
    options = [_option(account, one, str(currency), f"shipping_options[{place}]") for place, one in enumerate(given)]
    return {"shipping_options": options, "shipping_cost": _cost(options[0]) if options else None}


def _option(account: Account, given: Json, currency: str, param: str) -> Json:
    if ("shipping_rate" in given) == bool(given.get("shipping_rate_data")):
        if "shipping_rate" in given:
            raise invalid("You may only specify one of these parameters: shipping_rate, shipping_rate_data.", param)
        raise missing_parameter(f"{param}[shipping_rate]")
    if "shipping_rate" in given:
        rate = account.get("shipping_rate", given["shipping_rate"], f"{param}[shipping_rate]", noun="shipping rate")
        if not rate["active"]:
            raise invalid(f"The shipping rate {rate['id']} is not active.", f"{param}[shipping_rate]")
    else:
        rate = add_rate(account, given["shipping_rate_data"], f"{param}[shipping_rate_data]")
    return {"shipping_amount": amount_in(rate, currency, param), "shipping_rate": rate["id"]}


def _cost(option: Json) -> Json:
    amount = option["shipping_amount"]
    return {
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "shipping_rate": option["shipping_rate"],
    }


def chosen_cost(session: Json, rate_id: str) -> Json:
    """The field `shipping_cost` when the buyer chooses a way; one that the session does not offer is refused."""
    option = next((one for one in session["shipping_options"] if one["shipping_rate"] == rate_id), None)
    if option is None:
        raise invalid(f"No such shipping rate: '{rate_id}'", "shipping_rate", "resource_missing")
    return _cost(option)


def shipping_minor(session: Json) -> int:
    """What sending costs, in the smallest unit; 0 for a session that has no shipping."""
    return int((session["shipping_cost"] or {"amount_total": 0})["amount_total"])


def collected(session: Json, given: Json | None) -> Json:
    """The field `collected_information` from what the buyer says of where the order goes; refused where it must be said."""
    wanted = session["shipping_address_collection"]
    if not wanted:
        return {}
    if not given:
        raise invalid("Please provide a complete shipping address.", "shipping", "parameter_missing")
    if given["address"]["country"] not in wanted["allowed_countries"]:
        raise invalid("The seller does not send to this country.", "shipping[address][country]")
    details = {"address": full_address(given["address"]), "name": given["name"]}
    information = {"business_name": None, "individual_name": None, "shipping_details": details}
    return {"collected_information": information}


def shipped_to(session: Json) -> Json | None:
    """Where the order of a session goes, as `shipping` of its intent shows it; None where nobody asked."""
    details = (session["collected_information"] or {}).get("shipping_details")
    return full_shipping(details) if details else None


def shown_options(account: Account, session: Json) -> list[Json]:
    """The ways to choose from as the page shows them."""
    chosen = (session["shipping_cost"] or {}).get("shipping_rate")
    return [_shown(account.get("shipping_rate", one["shipping_rate"], "shipping_rate"), one, session["currency"], chosen)
            for one in session["shipping_options"]]  # fmt: skip


def _shown(rate: Json, option: Json, currency: str, chosen: str | None) -> Json:
    amount = option["shipping_amount"]
    return {
        "amount": written(amount, currency) if amount else "Free",
        "chosen": rate["id"] == chosen,
        "id": rate["id"],
        "name": rate["display_name"],
        "takes": _span(rate["delivery_estimate"] or {}),
    }


def _span(estimate: Json) -> str:
    """`3–5 business days`, `At least 2 days`; empty when nothing is promised."""
    least, most = estimate.get("minimum"), estimate.get("maximum")
    if least and most:
        return f"{least['value']}–{_units(most)}"
    if most:
        return f"At most {_units(most)}"
    return f"At least {_units(least)}" if least else ""


def _units(span: Json) -> str:
    return f"{span['value']} {span['unit'].replace('_', ' ')}{'' if span['value'] == 1 else 's'}"
