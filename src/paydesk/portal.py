"""Stripe's customer portal: a short-lived address for one person, and the signed link of ours that leads to it.

The link goes out in chats, where nobody waits for Stripe; the portal's session is made when its button is pressed. It
is not the link of an order, which people hand to whoever pays for them: it opens cards and invoices, so it is signed,
for one person, for a day.
"""

from __future__ import annotations

import re
import time

from paydesk import customers, payers, refusals
from paydesk.errors import NotFound, StripeRefused
from paydesk.privacy import Vault
from paydesk.store import Store
from paydesk.stripe.gateway import Gateway

LINK_S = 86_400
PURPOSE = "billing"
_TOKEN = re.compile(r"(cst_[0-9a-z]{1,60})\.(\d{1,12})\.([0-9a-f]{32})", re.ASCII)

PAYER = """
SELECT stripe_customer FROM subscription WHERE customer_id = $1
ORDER BY ended_at IS NULL DESC, started_at DESC, id LIMIT 1
"""


def link(vault: Vault, public_url: str, customer: str) -> str:
    """Return a link that leads one person to their billing, for a day."""
    until = int(time.time()) + LINK_S
    return f"{public_url}/billing/{customer}.{until}.{vault.signature(PURPOSE, f'{customer}.{until}')}"


def who(vault: Vault, token: str) -> str:
    """Return whose link it is; raises `NotFound` for one that is malformed, not ours, or too old."""
    found = _TOKEN.fullmatch(token)
    if found is None or not vault.signed(PURPOSE, f"{found[1]}.{found[2]}", found[3]) or int(found[2]) < time.time():
        raise NotFound("this link leads nowhere any more: say /billing in the chat for a new one")
    return found[1]


async def address(store: Store, gateway: Gateway, customer: str, return_url: str) -> str:
    """Return the address of the portal for a person, with the Stripe customer who has their newest subscription.

    Raises `NotFound`, `StripeRefused` when the portal is not set up in Stripe, and `StripeUnavailable`.
    """
    person = await customers.resolve(store, customer)
    payer = await store.fetchval(PAYER, person) or await payers.stripe_customer(store, gateway, person)
    try:
        return await _made(gateway, payer, return_url)
    except StripeRefused as refused:
        if not (refused.about == "customer" and refused.reason == "resource_missing"):
            raise refusals.told(refused) from refused
    return await _made(gateway, await payers.replace(store, gateway, person, payer), return_url)


async def _made(gateway: Gateway, payer: str, return_url: str) -> str:
    session = await gateway.create_portal_session({"customer": payer, "return_url": return_url})
    return str(session["url"])
