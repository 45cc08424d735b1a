"""Where the bill of an order can be paid: the page that Stripe has for each invoice."""

from __future__ import annotations

from paydesk.errors import NotFound
from paydesk.store import Record, Store
from paydesk.stripe.gateway import Gateway
from paydesk.subscriptions import UNPAID

BILL = "SELECT id, status FROM invoice WHERE order_id = $1"
ASKED = "SELECT EXISTS (SELECT FROM stripe_call WHERE subject = $1 AND kind = 'subscription' AND state <> 'refused')"


async def page(store: Store, gateway: Gateway, order: Record) -> tuple[str, str | None] | None:
    """Return where the buyer of a billed order goes: `open` with the invoice's page, `pending` or `canceled`.

    `None` when nothing bills it yet: then a Checkout session begins its subscription. Raises `StripeUnavailable`.
    """
    if order["mode"] == "payment":
        return None
    bill = await store.fetchrow(BILL, order["id"])
    if bill is None:
        asked = order["mode"] == "invoice" or await store.fetchval(ASKED, order["id"])
        return ("pending", None) if asked else None
    if bill["status"] == "paid":
        return "pending", None
    try:
        invoice = await gateway.invoice_now(bill["id"])
    except NotFound:
        return "canceled", None
    if invoice["status"] not in UNPAID:
        return ("pending" if invoice["status"] == "paid" else "canceled"), None
    return "open", invoice["hosted_invoice_url"]
