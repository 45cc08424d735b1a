"""The customer portal: what a customer does alone. Every change goes through the same calls that the API has."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from .accounts import Account
from .calls import Operation
from .errors import Json, StripeError, unknown_url
from .events import emit
from .html import notice, paid_with, typed_card
from .methods import add_method
from .params import decode
from .payments import OWNERS, Owner
from .portal_information import allowed_changes, form_fields, may_change
from .portal_plans import confirm_page, current_offer, plan_change, plan_page, proration, wanted_change
from .portal_visit import Visit, portal_page
from .setup_intents import add_setup_intent, confirm_setup
from .world import World

_LIVES_S = 3600
_RUNNING = ("active", "past_due", "trialing")


def routes(world: World, operations: Sequence[Operation]) -> list[Route]:
    """The routes of the portal; `operations` are the calls of the API."""

    async def portal(request: Request) -> Response:
        visit = _visit(world, request.path_params["ticket"], operations)
        if isinstance(visit, Response):
            return visit
        part = request.path_params.get("part", "")
        form = decode((await request.body()).decode("utf-8", "replace")) if request.method == "POST" else {}
        try:
            if request.method == "POST":
                return _changed(visit, part, form)
            return _shown(visit, part, dict(request.query_params))
        except StripeError as error:
            if request.method == "POST" and part == "card":
                return _card_page(visit, error)
            return notice("Something went wrong", error.message, status=error.status, link=visit.home,
                          link_text="Return to the overview")  # fmt: skip
        finally:
            world.flush()

    async def login(request: Request) -> Response:
        return notice("Billing login", "No e-mail leaves the sandbox, so nobody can log in here. Make a portal session "
                      "with POST /v1/billing_portal/sessions and open its url.")  # fmt: skip

    return [
        Route("/p/login/{id}", login, methods=["GET"]),
        Route("/p/session/{ticket}", portal, methods=["GET"]),
        Route("/p/session/{ticket}/{part:path}", portal, methods=["GET", "POST"]),
    ]


def _visit(world: World, ticket: str, operations: Sequence[Operation]) -> Visit | Response:
    for account in world.accounts.values():
        session = account.find_named("billing_portal.session", ticket)
        if session is not None:
            if account.clock.now() < session["created"] + _LIVES_S:
                return Visit(world, account, session, operations)
            text = "Go back to the seller and open your billing page again."
            return notice("Your session has expired", text, link=session["return_url"], link_text="Go back")
    return notice(
        "Something went wrong", "This billing page does not exist. Ask the seller for a new link.", status=404
    )


def _shown(visit: Visit, part: str, query: Json) -> Response:
    """One page of the portal."""
    kind, _, rest = part.partition("/")
    if part == "":
        flow = visit.session["flow"]
        if flow and not visit.session.get("_flow_done"):
            return RedirectResponse(f"{visit.home}/{_start_of(flow)}", 303)
        return _overview(visit)
    if part == "card" and visit.features["payment_method_update"]["enabled"]:
        return _card_page(visit, None)
    if part == "information" and may_change(visit.features):
        return _information_page(visit, None, None)
    if kind == "cancel" and visit.features["subscription_cancel"]["enabled"]:
        cancel = visit.features["subscription_cancel"]
        reasons = cancel["cancellation_reason"]["options"] if cancel["cancellation_reason"]["enabled"] else []
        return portal_page("portal_cancel.html", visit, subscription=visit.subscription(rest), mode=cancel["mode"],
                           reasons=reasons)  # fmt: skip
    if kind == "confirm":
        return confirm_page(visit, visit.subscription(rest))
    if kind == "plan":
        subscription_id, _, price = rest.partition("/")
        return plan_page(visit, visit.subscription(subscription_id), price, query)
    if kind == "invoices" and visit.features["invoice_history"]["enabled"]:
        return _invoice_page(visit, rest)
    raise unknown_url("GET", part)


def _start_of(flow: Json) -> str:
    kind = flow["type"]
    if kind == "payment_method_update":
        return "card"
    if kind == "subscription_cancel":
        return f"cancel/{flow[kind]['subscription']}"
    first = "confirm" if kind == "subscription_update_confirm" else "plan"
    return f"{first}/{flow[kind]['subscription']}"


def _overview(visit: Visit) -> Response:
    customer = visit.call("GET", f"/v1/customers/{visit.session['customer']}")
    methods = visit.call("GET", f"/v1/customers/{customer['id']}/payment_methods", limit="10")["data"]
    invoices: list[Json] = []
    if visit.features["invoice_history"]["enabled"]:
        found = visit.call("GET", "/v1/invoices", customer=customer["id"], limit="24")["data"]
        invoices = [row for row in found if row["status"] not in ("draft", "void")]
    default = customer["invoice_settings"]["default_payment_method"]
    subscriptions = visit.subscriptions()
    return portal_page(
        "portal.html", visit, customer=customer, invoices=invoices, subscriptions=subscriptions,
        methods=[{"name": paid_with(row), "default": row["id"] == default, "card": row.get("card")} for row in methods],
        changeable={row["id"]: bool(visit.offers(row) or current_offer(visit, row)["quantities"])
                    for row in subscriptions},
        pausable={row["id"]: _may_pause(visit, row) for row in subscriptions}, editable=bool(may_change(visit.features)),
    )  # fmt: skip


def _may_pause(visit: Visit, subscription: Json) -> bool:
    """Whether the customer may pause a subscription: allowed, running, and of the kind that can be paused."""
    allowed = bool(visit.features["subscription_pause"]["enabled"])
    return allowed and _is_flexible(subscription) and subscription["status"] in _RUNNING


def _is_flexible(subscription: Json) -> bool:
    return bool(subscription["billing_mode"]["type"] == "flexible")


def _information_page(visit: Visit, given: Json | None, error: StripeError | None) -> Response:
    customer = visit.call("GET", f"/v1/customers/{visit.session['customer']}")
    shown = form_fields(visit.features, customer, given)
    return portal_page("portal_information.html", visit, fields=shown, error=error.message if error else None)


def _card_page(visit: Visit, error: StripeError | None) -> Response:
    return portal_page("portal_card.html", visit, error=error.message if error else _setup_error(visit))


def _setup_error(visit: Visit) -> str | None:
    intent = visit.account.find("setup_intent", visit.session.get("_setup") or "")
    failed = intent and intent["last_setup_error"]
    return failed["message"] if failed else None


def _invoice_page(visit: Visit, invoice_id: str) -> Response:
    invoice = visit.call("GET", f"/v1/invoices/{invoice_id}")
    if invoice["customer"] != visit.session["customer"]:
        raise StripeError("No such invoice.", status=404)
    lines = visit.call("GET", f"/v1/invoices/{invoice_id}/lines", limit="100")["data"]
    customer = visit.call("GET", f"/v1/customers/{invoice['customer']}")
    return portal_page("portal_invoice.html", visit, invoice=invoice, lines=lines, customer=customer)


def _changed(visit: Visit, part: str, form: Json) -> Response:
    """One change by the customer; leads back to the overview, or to where the seller wants it."""
    kind, _, rest = part.partition("/")
    if part == "card" and visit.features["payment_method_update"]["enabled"]:
        return _saved_card(visit, form)
    if part == "information" and may_change(visit.features):
        return _saved_information(visit, form)
    subscription = visit.subscription(rest)
    path = f"/v1/subscriptions/{subscription['id']}"
    if kind == "cancel" and visit.features["subscription_cancel"]["enabled"]:
        _cancel(visit, subscription, path, form)
    elif kind == "resume" and subscription["status"] == "paused" and visit.features["subscription_pause"]["enabled"]:
        visit.call("POST", f"{path}/resume")
    elif kind == "resume":
        visit.call(
            "POST", path, **({"cancel_at": ""} if _is_flexible(subscription) else {"cancel_at_period_end": "false"})
        )
    elif kind == "pause" and _may_pause(visit, subscription):
        visit.call("POST", f"{path}/pause")
    elif kind == "confirm":
        visit.call("POST", path, **wanted_change(visit, subscription), proration_behavior=proration(visit))
    elif kind == "plan":
        _change_plan(visit, subscription, path, form)
    else:
        raise unknown_url("POST", part)
    return RedirectResponse(_after(visit), 303)


def _change_plan(visit: Visit, subscription: Json, path: str, form: Json) -> None:
    """Another price or quantity, of those that are offered."""
    now = current_offer(visit, subscription)
    offers = visit.offers(subscription) + ([now] if now["quantities"] else [])
    chosen = next((row for row in offers if row["id"] == form.get("price")), None)
    if chosen is None:
        raise unknown_url("POST", "plan")
    changed = {"0": plan_change(subscription, chosen, form)}
    visit.call("POST", path, items=changed, proration_behavior=proration(visit))


def _cancel(visit: Visit, subscription: Json, path: str, form: Json) -> None:
    """End a subscription as the configuration has it, with the reason that was picked.

    With flexible billing the end is a fixed time, that of the longest period."""
    cancel = visit.features["subscription_cancel"]
    reason = form.get("feedback")
    details = (
        {"cancellation_details": {"feedback": reason}} if reason in cancel["cancellation_reason"]["options"] else {}
    )
    if cancel["mode"] != "immediately":
        end = {"cancel_at": "max_period_end"} if _is_flexible(subscription) else {"cancel_at_period_end": "true"}
        visit.call("POST", path, **end, **details)
        return
    prorates, invoices = cancel["proration_behavior"] != "none", cancel["proration_behavior"] == "always_invoice"
    visit.call("DELETE", path, prorate=str(prorates).lower(), invoice_now=str(invoices).lower(), **details)


def _saved_information(visit: Visit, form: Json) -> Response:
    """The customer's own words about name, address and the like; what Stripe refuses is said on the page."""
    try:
        visit.call("POST", f"/v1/customers/{visit.session['customer']}", **allowed_changes(visit.features, form))
    except StripeError as error:
        return _information_page(visit, form, error)
    return RedirectResponse(_after(visit), 303)


def _after(visit: Visit) -> str:
    """Where a customer goes who has done what the session was opened for."""
    flow = visit.session["flow"]
    visit.account.change(visit.session, _flow_done=True)
    redirect = flow and flow["after_completion"]["redirect"]
    return str(redirect["return_url"]) if redirect else visit.home


def _saved_card(visit: Visit, form: Json) -> Response:
    """Save a new card and make it the one that is charged; a card that declines is said on the page."""
    account = visit.account
    method = add_method(account, typed_card(form))
    intent = add_setup_intent(account, {"customer": visit.session["customer"], "payment_method_types": ["card"]})
    account.change(intent, _portal=visit.session["id"])
    account.change(visit.session, _setup=intent["id"])
    confirm_setup(account, intent, method, {"return_url": visit.home})
    if intent["status"] == "requires_action":
        return RedirectResponse(intent["next_action"]["redirect_to_url"]["url"], 303)
    return RedirectResponse(_after(visit), 303)


def _use_card(account: Account, intent: Json) -> None:
    """A card that was saved in the portal is charged from now on."""
    if intent["status"] != "succeeded":
        return
    session = account.find("billing_portal.session", intent["_portal"])
    if session is not None:
        account.change(session, _flow_done=True)
    customer = account.get("customer", intent["customer"], "customer")
    settings = {**customer["invoice_settings"], "default_payment_method": intent["payment_method"]}
    previous = account.change(customer, invoice_settings=settings)
    if previous:
        emit(account, "customer.updated", customer, previous)
    for subscription in account.all("subscription"):
        if subscription["customer"] == customer["id"] and subscription["default_payment_method"]:
            before = account.change(subscription, default_payment_method=intent["payment_method"])
            emit(account, "customer.subscription.updated", subscription, before)


def _nothing(account: Account, intent: Json) -> None:
    """Nothing has to be there before a card is saved."""


OWNERS["_portal"] = Owner(_nothing, _use_card)
