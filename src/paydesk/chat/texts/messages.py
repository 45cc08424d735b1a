"""What is told of orders, credits and passes, and to the people who run the desk (`alert_…`). Texts only, no logic.

Each text about an order stands alone, because it may take the place of the one before: it tells totals, not steps.
"""

from __future__ import annotations

TEMPLATES = {
    "paid": "✅ Paid {amount}. {given}Reference {reference}.",
    "pending": "⏳ Your payment of {amount} is on its way. You will hear here as soon as it has arrived. Reference {reference}.",
    "payment_failed": "Your payment of {amount} did not go through: {reason} Nothing was charged, and the link still works.",
    "paid_twice": "You paid order {reference} twice. The second payment of {amount} is on its way back to you.",
    "refunded": "↩️ Refunded: {paid}, all of it. {taken}{now}Your bank may take some days to show it. Reference {reference}.",
    "refunded_in_part": "↩️ Refunded: {refunded} of {paid}. {taken}{now}Your bank may take some days to show it. "
    "Reference {reference}.",
    "refunded_there": "↩️ Refunded: {paid}, all of it. {taken}{now}Reference {reference}.",
    "refund_failed": "The refund of {amount} did not reach you, and we know of it. {restored}{now}Reference {reference}.",
    "disputed": "⏳ Your bank asks for {amount} back, and will decide. {held}{now}Reference {reference}.",
    "dispute_won": "Your bank has decided: the payment of {amount} stands. {restored}{now}Reference {reference}.",
    "dispute_won_refunded": "Your bank has decided: of the {paid} that you paid, {refunded} stay refunded, and nothing more "
    "goes back. {restored}{now}Reference {reference}.",
    "dispute_lost": "Your bank has decided: {amount} is yours again. {taken}{now}Reference {reference}.",
    "low_balance": "You have {left} left. /buy gets you more.",
    "topup_failed": "Your automatic top-up could not be paid: {because} It is turned off now; /buy gets you more.",
    "topup_limit": "Your automatic top-up has reached its limit for this month. /buy gets you more.",
    "alert_topup_failed": "⚠️ An automatic top-up of {unit} failed and is turned off: {because} Customer {customer}.",
    "alert_topup_limit": "An automatic top-up of {unit} has reached its limit for this month. Customer {customer}.",
    "subscribed_twice": "You had subscribed to {name} twice. The second subscription has ended at once, and what you paid "
    "for it, {amount}, is on its way back to you. The first one goes on.",
    "alert_subscribed_twice": "⚠️ Subscribed twice: {subscription} of {name} has ended at once, and {amount} went back; "
    "{stays} goes on. Order {order}.",
    "alert_plan_change_failed": "⚠️ {subscription} could not change to {price} at the end of its period: {because} "
    "It stays as it is.",
    "pass_ended": "Your access to {feature} has ended. /buy brings it back.",
    "alert_payment_failed": "A payment did not go through ({cause}): {amount}, order {order}. "
    "The buyer knows, and can try again.",
    "alert_fraud_warning": "⚠️ Early fraud warning ({cause}): {amount}, order {order}. A refund now may spare you a dispute.",
    "alert_dispute_opened": "⚠️ Dispute opened ({cause}): {amount}, order {order}. Evidence is due by {due}. {held}",
    "alert_inquiry_opened": "⚠️ A bank inquires ({cause}): {amount}, order {order}. Evidence is due by {due}.",
    "alert_dispute_won": "✅ Dispute won: {amount}, order {order}. {restored}",
    "alert_dispute_lost": "⚠️ Dispute lost: {amount}, order {order}. {taken}",
    "alert_refund_failed": "⚠️ Refund failed ({cause}): {amount}, order {order}. The buyer does not have the money; "
    "pay it back another way. {restored}",
}
