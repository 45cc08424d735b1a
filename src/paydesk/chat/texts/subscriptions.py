"""What is told of subscriptions. Texts only, no logic."""

from __future__ import annotations

TEMPLATES = {
    "subscribed": "✅ You are subscribed to {name}. {paid_note}{given}{next}Reference {reference}.",
    "trial_started": "✅ Your trial of {name} has begun. {given}{trial_note}",
    "trial_paid": "✅ Your trial is over, and {name} goes on. {paid_note}{given}{next}Reference {reference}.",
    "renewed": "✅ {name} is renewed. {paid_note}{given}{next}Reference {reference}.",
    "recovered": "✅ Thank you, all is well with {name} again. {paid_note}{given}{next}Reference {reference}.",
    "change_paid": "✅ Paid {amount} for the change to {name}. {given}Reference {reference}.",
    "credited": "✅ {name}: {amount} of what you had paid is left over, and counts towards your next bills. {given}"
    "Reference {reference}.",
    "bill_paid": "✅ Paid {amount} for {name}. {given}Reference {reference}.",
    "renewal_failed": "⚠️ Your payment of {amount} for {name} did not go through: {reason} {kept}{retry}"
    "Pay with the button, and all is well.",
    "action_required": "⚠️ Your bank wants you to confirm the payment of {amount} for {name}. {kept}"
    "Confirm it with the button, and all is well.",
    "grace_72": "⚠️ {name} is still not paid. You keep it until {until}. Pay {amount} with the button, and it stays.",
    "grace_24": "⚠️ Last day: {name} is still not paid. You keep it until {until}. "
    "Pay {amount} with the button, and it stays.",
    "subscription_unpaid": "Your access to {name} has ended: {amount} was not paid. "
    "Pay with the button, and it comes back at once.",
    "subscription_ended": "Your subscription to {name} has ended. Thank you for having been with us. /buy brings it back.",
    "plan_changed": "Your subscription is now {name}. {next}",
    "cancels": "{name} will end on {ends}. You keep it until then, and no further renewal is charged.",
    "cancel_undone": "{name} goes on, and nothing ends. {next}",
    "wish_refused": "⚠️ {name} could not be changed: it stays as it was, and we have been told. "
    "/billing shows how it stands, /support leads to somebody who helps.",
    "wish_done": "Done. /billing shows how {name} stands.",
    "wish_outdated": "What it costs has changed in the meantime, so {name} stays as it was. /plan shows what there is now.",
    "change_declined": "⚠️ {name} stays as it was, and nothing was charged: {because} Put in another card with the button, and "
    "try again.",
    "change_to_confirm": "⚠️ {name} stays as it was, and nothing was charged: your bank wants you to confirm the payment "
    "yourself, which cannot be done in a chat. Change it on Stripe's page, or put in another card there and try again.",
    "change_planned": "Noted: {name} stays as it is until {ends}, and from then on it is {plan}. Nothing is charged now.",
    "planned_outdated": "⚠️ The change to {plan} that was noted is not made, because it is not what you agreed to any more: your "
    "plan or a price has changed since. {name} goes on as it is, and /plan shows what there is now.",
    "change_withdrawn": "Your plan is {name}, and it stays so.",
    "paused": "{name} is paused: nothing is charged. {paused_note}{resumes_note}",
    "resumed": "{name} goes on after its pause. {on_hold}{next}",
    "renewal_soon": "{next_of_name}There is nothing you have to do.",
    "change_soon": "{plan_note}There is nothing you have to do. /billing shows how it stands.",
    "trial_ends_soon": "Your trial of {name} is almost over. {trial_note}",
    "card_ends": "The card that pays for {name} is valid until {card_ends}. It is needed again on {renews}: "
    "please put in a new one before then.",
    "alert_renewal_failed": "⚠️ A renewal was not paid ({cause}): {amount} for {name}, customer {customer}. "
    "{kept_by_them}",
    "alert_subscription_unpaid": "⚠️ Access has ended unpaid: {amount} for {name}, customer {customer}.",
    "alert_wish_refused": "⚠️ Customer {customer} wished in the chat to change {subscription} ({name}), and it cannot be: "
    "{because} They were told, and wait for you.",
    "alert_unknown_price": "⚠️ Subscription {subscription} is billed by {stripe_price}, which is not in the catalogue: "
    "it gives nothing. Put the price in as stripe_price. Customer {customer}.",
}
