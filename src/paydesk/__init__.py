"""Paydesk, the pay desk for chat products: payments and entitlements on Stripe, inside the conversation."""
