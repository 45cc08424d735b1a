"""Changing the plan in the portal: the offers, the change to confirm, and what it will cost."""

from __future__ import annotations

from starlette.responses import Response

from .checkout_page import every
from .errors import Json, StripeError, invalid, unknown_url
from .portal_visit import Visit, portal_page


def proration(visit: Visit) -> str:
    """How the configuration has changes of plan prorated."""
    return str(visit.features["subscription_update"]["proration_behavior"])


def plan_page(visit: Visit, subscription: Json, price: str, query: Json) -> Response:
    """The offers; or, with the id of one of them, the page on which the change to it is confirmed."""
    now, offers = current_offer(visit, subscription), visit.offers(subscription)
    chosen = next((row for row in [now, *offers] if row["id"] == price), None)
    if chosen is None:
        return portal_page("portal_plan.html", visit, subscription=subscription, offers=offers, now=now, chosen=None)
    change = plan_change(subscription, chosen, query)
    return portal_page(
        "portal_plan.html", visit, subscription=subscription, chosen=chosen, confirm="plan",
        quantity=int(change["quantity"]), preview=_preview(visit, subscription, {"items": {"0": change}}),
    )  # fmt: skip


def current_offer(visit: Visit, subscription: Json) -> Json:
    """The price that a subscription has, as an offer of another quantity."""
    return visit.offered(visit.account.get("price", subscription["item"]["price"]["id"], "price"))


def plan_change(subscription: Json, chosen: Json, form: Json) -> Json:
    """The update of an item to another price or quantity; refused where the configuration does not allow so many."""
    had, limits = subscription["item"]["quantity"] or 1, chosen["quantities"]
    given = str(form.get("quantity") or had).strip()
    quantity = int(given) if given.isdecimal() and len(given) < 8 else 0
    least, most = limits or (had, had)
    if not least <= quantity <= most:
        wanted = f"between {least:,} and {most:,}" if most > least else f"{least:,}"
        raise invalid(f"The quantity must be {wanted}.", "quantity")
    return {"id": subscription["item"]["id"], "price": chosen["id"], "quantity": str(quantity)}


def confirm_page(visit: Visit, subscription: Json) -> Response:
    """The page on which a customer confirms the change that the session was opened for."""
    change = wanted_change(visit, subscription)
    first = change["items"]["0"]
    row = visit.account.get("price", first.get("price") or subscription["item"]["price"]["id"], "price")
    chosen = {**row, "name": visit.product_name(row), "every": every(row)}
    return portal_page(
        "portal_plan.html", visit, subscription=subscription, offers=[], chosen=chosen, confirm="confirm",
        quantity=int(first.get("quantity") or subscription["item"]["quantity"] or 1),
        preview=_preview(visit, subscription, change),
    )  # fmt: skip


def wanted_change(visit: Visit, subscription: Json) -> Json:
    """The change of a `subscription_update_confirm` flow as an update of its subscription takes it."""
    flow = (visit.session["flow"] or {}).get("subscription_update_confirm")
    if not flow or flow["subscription"] != subscription["id"] or not visit.features["subscription_update"]["enabled"]:
        raise unknown_url("GET", "confirm")
    change = {"items": _numbered(flow["items"])}
    return {**change, "discounts": _numbered(flow["discounts"])} if flow["discounts"] else change


def _numbered(rows: list[Json]) -> Json:
    """A list as the wire has it, without what was not given."""
    return {str(place): {name: str(value) for name, value in row.items() if value is not None}
            for place, row in enumerate(rows)}  # fmt: skip


def _preview(visit: Visit, subscription: Json, change: Json) -> Json | None:
    """What the next invoice will be after the change; None where no preview can be made."""
    discounts = {"discounts": change["discounts"]} if "discounts" in change else {}
    details = {"items": change["items"], "proration_behavior": proration(visit)}
    try:
        return visit.call("POST", "/v1/invoices/create_preview", customer=subscription["customer"], **discounts,
                          subscription=subscription["id"], subscription_details=details)  # fmt: skip
    except StripeError:
        return None
