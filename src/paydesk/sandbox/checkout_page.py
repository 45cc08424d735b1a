"""The hosted Checkout page: what it shows of its session, in all three modes."""

from __future__ import annotations

from decimal import Decimal

from starlette.responses import Response

from . import checkout_pay
from .accounts import Account
from .cards import CARDS, Card
from .checkout_orders import coupons_of, due_minor, product_of
from .checkout_shipping import shipping_minor, shown_options
from .coupons import left_after
from .embedded_pages import is_embedded
from .errors import Json
from .html import day, framed, notice, page
from .method_rules import RULES
from .money import decimals, written
from .words import COUNTRIES
from .world import World

_CARDS_SHOWN = 8
_DAY_S = 24 * 3600


def checkout_page(world: World, session_id: str) -> Response:
    """The payment form of an open session; a plain page for one that is over."""
    account = world.account_of_page(session_id)
    if account is None:
        text = "The page you were looking for could not be found. Please check the link or contact the seller."
        return notice("Something went wrong", text, status=404)
    session = world.session_of_page(account, session_id)
    if session["status"] == "complete" and is_embedded(session):
        return framed(page("embedded_done.html", address=checkout_pay.success_address(session)))
    if session["status"] == "complete":
        link = checkout_pay.success_address(session)
        text = "This checkout session has been paid already. You will not be charged again."
        return notice("You're all done here", text, link=link, link_text="Continue")
    if session["status"] == "expired":
        text = "No payment was made. Go back to the seller to start again."
        return notice("This checkout session has expired", text, link=session["cancel_url"], link_text="Go back")
    shown = checkout_pay.payment_page(account, session)
    lines = _lines(account, session)
    view = _view(account, session, shown, lines) | _discount(account, session)
    answer = page(
        "checkout.html", page=shown, embedded=is_embedded(session), lines=lines, error=_last_error(shown),
        cards=_shown_cards(), now_s=world.clock.now_s(), methods=_methods(session), view=view,
    )  # fmt: skip
    return framed(answer) if is_embedded(session) else answer


def _lines(account: Account, session: Json) -> list[Json]:
    """The order's lines with what the page shows of their products."""
    shown = []
    for line in session["_lines"]:
        price = account.get("price", line["price"], "price")
        product = account.find("product", price["product"]) or {"images": [], "description": None}
        shown.append({**line, "each": _each(price), "image": next(iter(product["images"]), None),
                      "text": product["description"], "every": every(price)})  # fmt: skip
    return shown


def _each(price: Json) -> str:
    """What one unit costs; a part of the smallest unit is written out."""
    if price["unit_amount"] is not None:
        return written(price["unit_amount"], price["currency"])
    exact = Decimal(price["unit_amount_decimal"]).scaleb(-decimals(price["currency"]))
    return f"{exact.normalize():f} {price['currency'].upper()}"


def every(price: Json) -> str:
    """`per month`, `every 3 months`; empty for a one-time price."""
    recurring = price["recurring"]
    if not recurring:
        return ""
    unit, count = recurring["interval"], recurring["interval_count"]
    return f"per {unit}" if count == 1 else f"every {count} {unit}s"


def _last_error(shown: Json) -> str | None:
    intent = shown["payment_intent"] or {}
    setup = shown["setup_intent"] or {}
    error = intent.get("last_payment_error") or setup.get("last_setup_error")
    return error["message"] if error else None


def _shown_cards() -> list[Card]:
    return list(CARDS.values())[:_CARDS_SHOWN]


def _methods(session: Json) -> list[tuple[str, str]]:
    """Type and name of the methods to choose from; Link is paid by card here."""
    types = [kind for kind in session["payment_method_types"] if kind != "link"] or ["card"]
    return [(kind, RULES[kind].name) for kind in types]


def _discount(account: Account, session: Json) -> Json:
    """What the page shows of a discount: its code or name, what it takes off, and whether the buyer may take it away."""
    coupon = next(iter(coupons_of(account, session)), None)
    if coupon is None:
        return {"coupon": None, "coupon_terms": "", "coupon_typed": False}
    code = account.find("promotion_code", next((one["promotion_code"] or "" for one in session["discounts"]), ""))
    percent, months = coupon["percent_off"], coupon["duration_in_months"]
    off = written(coupon["amount_off"], coupon["currency"]) if percent is None else f"{percent:g}%"
    often = {"once": " once", "repeating": f" for {months} month{'' if months == 1 else 's'}"}.get(
        coupon["duration"], ""
    )
    return {
        "coupon": code["code"] if code else coupon["name"] or coupon["id"],
        "coupon_terms": f"{off} off{often if session['mode'] == 'subscription' else ''}",
        "coupon_typed": bool(session["allow_promotion_codes"] and session["discounts"]),
    }


def _recurring(account: Account, lines: list[Json], coupons: list[Json]) -> int:
    """What a period costs with these coupons."""
    return sum(
        left_after(coupons, [(product_of(account, one), one["amount_subtotal"]) for one in lines if one["every"]])
    )


def _later(account: Account, session: Json, lines: list[Json], first: str | None) -> str | None:
    """What is paid after today, where that is another amount: `first` is the day on which a trial ends, if there is one.

    Discounts that do not last count for the first payment."""
    coupons = coupons_of(account, session)
    due = _recurring(account, lines, coupons)
    whole = _recurring(account, lines, [coupon for coupon in coupons if coupon["duration"] == "forever"])
    each = f"{written(whole, session['currency'])} {next(line['every'] for line in lines if line['every'])}"
    if first is None:
        once = any(not line["every"] for line in lines)
        return f"Later {each}" if once or due != whole or due_minor(account, session) != due else None
    if due == whole:
        return f"Then {each} starting {first}"
    return f"Then {written(due, session['currency'])} on {first}, later {each}"


def _view(account: Account, session: Json, shown: Json, lines: list[Json]) -> Json:
    """The words of the page that depend on its mode."""
    mode, currency, due = session["mode"], session["currency"], shown["total_summary"]["due"]
    trial_days = _trial_days(account, session)
    view = {
        "needs_method": mode == "setup" or bool(due) or (
            mode == "subscription" and (bool(trial_days) or session["payment_method_collection"] == "always")
        ),
        "coupon_field": bool(session["allow_promotion_codes"]),
        "shipping": shown_options(account, session),
        "ship_countries": (session["shipping_address_collection"] or {}).get("allowed_countries", []),
        "sending": shipping_minor(session),
        "discount": session["total_details"]["amount_discount"],
        "balance": due - session["amount_total"] if due is not None else 0,
        "countries": COUNTRIES if session["automatic_tax"]["enabled"] else (),
        "trial": None,
        "every": next((line["every"] for line in lines if line["every"]), ""),
    }  # fmt: skip
    if mode == "setup":
        return view | {"label": "Set up for later payments", "amount": "Save a method", "button": "Save payment method"}
    told = shown["presentment_details"]
    amount = written(told["presentment_amount"], told["presentment_currency"]) if told else written(due, currency)
    if mode == "payment":
        words = {"donate": "Donate", "book": "Book", "subscribe": "Subscribe"}
        button = words.get(session["submit_type"] or "", f"Pay {amount}") if due else "Complete order"
        return view | {"label": "Pay Paydesk sandbox", "amount": amount, "button": button}
    name = lines[0]["description"] if lines else "Paydesk sandbox"
    if not trial_days:
        later = _later(account, session, lines, None)
        return view | {"label": f"Subscribe to {name}", "amount": amount, "trial": later, "button": "Subscribe"}
    first = day(account.clock.now_s() + trial_days * _DAY_S)
    return view | {
        "label": f"Try {name}",
        "amount": f"{trial_days} days free",
        "trial": _later(account, session, lines, first),
        "button": "Start trial",
    }


def _trial_days(account: Account, session: Json) -> int:
    """The whole days of a subscription's trial; 0 when there is none."""
    given = session.get("_subscription_data") or {}
    if given.get("trial_period_days"):
        return int(given["trial_period_days"])
    end = given.get("trial_end")
    return max(0, round((end - account.clock.now_s()) / _DAY_S)) if isinstance(end, int) else 0
