"""The cards of a customer as sources: added by a token, and the default that charges without a source use."""

from __future__ import annotations

from . import lists
from .accounts import Account
from .calls import Call, Operation, get, listing, post
from .errors import Json, no_such
from .events import emit, emit_update
from .lists import list_of
from .live_customers import live_customer
from .methods import DETACH_FOLLOWERS, attach, detach, method_of_token, refuse_if_declined, with_expiry
from .params import Shape, integer, items, merged_metadata, metadata, text
from .present import INCLUDABLE
from .source_cards import OWNER, billing_of, card_view, is_source

_SHOWN = 10  # of a customer's sources in `expand[]=sources`


def new_source(account: Account, token_id: str) -> Json:
    """The card of a token, as a payment method that is still nobody's; a card that declines is refused with 402."""
    method = method_of_token(account, token_id)
    refuse_if_declined(method)
    return method


def give(account: Account, method: Json, customer: Json) -> None:
    """Give a card to a customer; tells it."""
    attach(account, method, customer)
    emit(account, "customer.source.created", card_view(method))


def replace_default(account: Account, customer: Json, method: Json) -> None:
    """Make a new card the default of a customer; the card that was it before is deleted."""
    before = account.find("payment_method", customer["default_source"] or "")
    give(account, method, customer)
    _set_default(account, customer, method["id"])
    if before is not None and is_source(before):
        detach(account, before)


def check_default(account: Account, customer: Json, source_id: str | None) -> None:
    """Refuse as default a source that this customer does not have."""
    method = account.find("payment_method", source_id or "")
    if source_id and (method is None or not is_source(method) or method["customer"] != customer["id"]):
        raise no_such("source", source_id, "default_source")


def _set_default(account: Account, customer: Json, source_id: str | None) -> None:
    emit_update(account, "customer.updated", customer, account.change(customer, default_source=source_id))


def _create(call: Call) -> Json:
    customer = live_customer(call.account, call.id)
    method = new_source(call.account, call.params["source"])
    if call.params.get("metadata"):
        call.account.change(method, metadata=merged_metadata({}, call.params["metadata"]))
    give(call.account, method, customer)
    if customer["default_source"] is None:
        _set_default(call.account, customer, method["id"])
    return card_view(method)


def _of_customer(call: Call) -> Json:
    """The payment method behind the card of the path, which must be the customer's."""
    customer, card_id = live_customer(call.account, call.path["customer"]), call.id
    method = call.account.find("payment_method", card_id)
    if method is None or not is_source(method) or method["customer"] != customer["id"]:
        raise no_such("source", card_id, "id", 404)
    return method


def _retrieve(call: Call) -> Json:
    return card_view(_of_customer(call))


def _update(call: Call) -> Json:
    method, given = _of_customer(call), call.params
    before = card_view(method)
    expiry: Json = {name: given[name] for name in ("exp_month", "exp_year") if name in given}
    call.account.change(
        method,
        billing_details=billing_of(given, method["billing_details"]),
        card=with_expiry(call.account, method["card"], expiry) if expiry else method["card"],
        metadata=merged_metadata(method["metadata"], given.get("metadata", {})),
    )
    card = card_view(method)
    previous = {name: value for name, value in before.items() if card[name] != value}
    emit_update(call.account, "customer.source.updated", card, previous)
    return card


def _delete(call: Call) -> Json:
    method = _of_customer(call)
    detach(call.account, method)
    return {"id": method["id"], "object": "card", "deleted": True}


def _list(call: Call) -> Json:
    customer = call.account.get("customer", call.id, "customer", status=404)
    url = f"/v1/customers/{call.id}/sources"
    if call.params.get("object") not in (None, "card"):
        return list_of([], url)
    page = lists.page(call.account, "payment_method", call.params, url, _keep(customer))
    return {**page, "data": [card_view(method) for method in page["data"]]}


def _keep(customer: Json) -> lists.Filter:
    return lambda row: row["customer"] == customer["id"] and is_source(row)


def _sources_of(account: Account, customer: Json) -> Json:
    """What `expand[]=sources` shows of a customer."""
    page = lists.page(account, "payment_method", {"limit": _SHOWN}, "", _keep(customer))
    data = [card_view(method) for method in page["data"]]
    return list_of(data, f"/v1/customers/{customer['id']}/sources", has_more=page["has_more"])


def _lost(account: Account, method: Json, customer_id: str) -> None:
    """A customer loses a card: it is told, and the newest of the others is the default when this one was it."""
    if not is_source(method):
        return
    emit(account, "customer.source.deleted", card_view({**method, "customer": customer_id}))
    customer = account.get("customer", customer_id, "customer")
    others = lists.page(account, "payment_method", {"limit": 1}, "", _keep(customer))["data"]
    if customer["default_source"] is None and others:
        _set_default(account, customer, others[0]["id"])


DETACH_FOLLOWERS.append(_lost)
INCLUDABLE["customer", "sources"] = _sources_of
_UPDATE: Shape = {**OWNER, "exp_month": integer, "exp_year": integer, "metadata": metadata}

OPERATIONS: list[Operation] = [
    post("/v1/customers/{id}/sources", _create, {"metadata": metadata, "source": text(clearable=False)}, ("source",)),
    listing("/v1/customers/{id}/sources", _list, {"object": text()}, dated=False),
    get("/v1/customers/{customer}/sources/{id}", _retrieve),
    post("/v1/customers/{customer}/sources/{id}", _update, _UPDATE),
    Operation("DELETE", "/v1/customers/{customer}/sources/{id}", _delete, {"expand": items(text(), 20)}),
]
