"""A small sale with a client that was generated from the description; prints what it saw as JSON.

Run in an environment of its own: `generated_client_story.py FOLDER URL KEY`, where FOLDER holds the package `made`.
"""

from __future__ import annotations

import json
import sys

folder, url, key = sys.argv[1:]
sys.path.insert(0, folder)

from made import AuthenticatedClient  # noqa: E402
from made.api.checkouts import create_checkout  # noqa: E402
from made.api.credits_ import spend_credits  # noqa: E402
from made.api.orders import get_order, list_orders  # noqa: E402
from made.models import CheckoutGiven, IdentityGiven, ItemGiven, SpendGiven  # noqa: E402

client = AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)
wish = CheckoutGiven(
    customer=IdentityGiven(channel="telegram", external_id="generated-42"), items=[ItemGiven(price="credits-10")]
)
made = create_checkout.sync(client=client, body=wish, idempotency_key="generated-sale")
again = create_checkout.sync(client=client, body=wish, idempotency_key="generated-sale")
assert again.id == made.id, "the key of a call takes effect"
found = get_order.sync(made.id, client=client)
missing = get_order.sync("ord_unknown", client=client)
listed = list_orders.sync(client=client, customer=made.customer, limit=5)
refused = spend_credits.sync(made.customer, client=client, body=SpendGiven(amount=1))
sys.stdout.write(json.dumps({
    "order": made.id,
    "customer": made.customer,
    "status": found.status,
    "listed": [one.id for one in listed.data],
    "missing": [missing.error.code, missing.error.param],
    "spent": refused.error.code,
}))  # fmt: skip
