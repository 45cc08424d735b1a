"""Everything that knows Stripe: signatures, shapes, the event table, and the gateway to its API."""
