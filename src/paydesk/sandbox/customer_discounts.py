"""A customer's own discount: `coupon` or `promotion_code` on a customer, and `DELETE /v1/customers/{id}/discount`.

Basil took these parameters away; programs for older versions and the official CLI still send them. The discount counts
for each invoice of the customer whose subscription has none of its own.
"""

from __future__ import annotations

from .accounts import Account
from .calls import Call, Operation, delete
from .coupons import chosen, coupon_of, deleted_discount, end_discount, redeem
from .errors import Json, no_such
from .events import emit
from .present import public


def set_discount(account: Account, customer: Json, given: Json) -> None:
    """Give a customer the discount that the parameters name, in place of the one there was; an empty one takes it."""
    ways = {name: given[name] for name in ("coupon", "promotion_code") if name in given}
    if not ways:
        return
    wanted: list[Json] = [{name: value} for name, value in ways.items() if value]
    found = chosen(account, wanted, customer["id"], "")
    before = customer.get("discount")
    if before is not None and not found:
        _take(account, customer, before)
        return
    for choice in found:
        discount = redeem(account, choice, customer=None if before else customer["id"])
        if before is not None:
            account.change(discount, customer=customer["id"])
            emit(account, "customer.discount.updated", discount, {"source": before["source"]})
        account.change(customer, discount=public(discount))


def discounts_of_customer(account: Account, customer_id: str) -> list[Json]:
    """The discount that a customer has now, in a list; empty when there is none."""
    shown = (account.find("customer", customer_id) or {}).get("discount")
    if shown is None or (shown["end"] is not None and shown["end"] <= account.clock.now_s()):
        return []
    return [account.get("discount", shown["id"], "discount")]


def use_up(account: Account, invoice: Json) -> None:
    """Take a customer's discount that counts once, when an invoice of theirs has had it."""
    customer = account.find("customer", invoice["customer"]) or {}
    shown = customer.get("discount")
    if shown is None or shown["id"] not in invoice["discounts"] or invoice["subtotal"] <= 0:
        return
    if coupon_of(account, shown)["duration"] == "once":
        _take(account, customer, shown)


def _take(account: Account, customer: Json, discount: Json) -> None:
    account.change(customer, discount=None)
    end_discount(account, account.get("discount", discount["id"], "discount"))


def _delete(call: Call) -> Json:
    customer = call.account.get("customer", call.id, "customer", status=404)
    discount = customer.get("discount")
    if discount is None:
        raise no_such("discount for customer", call.id, "customer", 404)
    _take(call.account, customer, discount)
    return deleted_discount(discount)


OPERATIONS: list[Operation] = [delete("/v1/customers/{id}/discount", _delete)]
