"""What stands on the pages that links of ours lead to: the payable link, and the link to Stripe's portal. Texts only."""

from __future__ import annotations

LINKS = {
    "shop_terms": "Terms",
    "shop_privacy": "Privacy",
    "shop_support": "Help and contact",
    "link_bill": "Your bill",
    "link_elsewhere": "This order is paid on another page",
    "link_elsewhere_more": "The shop takes this payment on its own page, where you began it. It has not arrived yet, "
    "and there is nothing to pay here.",
    "link_go_on": "Go on with the payment",
    "link_nothing": "There is nothing to pay",
    "link_bill_refunded": "This bill was refunded",
    "link_away": "The payment page does not open just now",
    "link_away_more": "Stripe did not answer. Nothing was charged. What you ordered is kept, and trying again is safe: "
    "you cannot pay twice.",
    "link_refused": "This order cannot be paid",
    "link_bill_refused": "This bill cannot be paid",
    "link_refused_more": "Stripe does not take it as it is. Nothing was charged. Ask the shop, and name the reference below.",
    "link_bill_open": "It is not paid yet. Pay it here, and your subscription goes on as it was.",
    "link_bill_canceled": "The shop asks for this bill no more: nothing was charged for it.",
    "link_fresh": "Say /buy in the chat and you get a fresh link.",
    "link_start_again": "Start again in the chat",
    "link_safe": "You pay on Stripe’s secure page. We never see your card.",
    "link_just_paid": "Just paid? Then this page turns to “Paid” by itself.",
    "link_quiet": "Nothing new yet. You can close this page; news comes in your chat.",
    "link_back": "Back to the chat",
    "link_close": "You can close this page.",
    "billing_open": "Your cards, invoices and plan are on Stripe’s secure page. This link is for you alone: do not pass it on.",
    "billing_manage": "Manage subscriptions",
    "billing_away": "The page does not open just now",
    "billing_away_more": "Stripe did not answer. Nothing has changed, and trying again is safe.",
    "billing_refused": "This page cannot be opened",
    "billing_refused_more": "Stripe does not open this page. Ask the shop: it sets the customer portal up in Stripe.",
    "billing_unknown": "This link leads nowhere any more",
    "billing_unknown_more": "Such a link lasts for a day. Say /billing in the chat where you got it, and you get a fresh one.",
    "onward_title": "On to the payment page",
    "onward_more": "If nothing happens within a moment, go on with the button.",
}
"""Named after the page they stand on."""
