"""The parts that texts are put together from: sentences, lists, buttons, and nouns with their plurals. No logic.

A part stands where what it tells of is there, and a space follows it.
"""

from __future__ import annotations

PARTS = {
    "part_thanks": "Thank you!",
    "part_given": "You got {things}.",
    "part_paid_off": "That paid the {amount} you owed.",
    "part_now": "You now have {amount}.",
    "part_owed": "You owe {amount}; what comes in next pays that first.",
    "part_taken": "Taken back: {things}.",
    "part_held": "Held back until then: {things}.",
    "part_restored": "Yours again: {things}.",
    "part_paid": "Paid {amount}.",
    "part_renews": "It renews on {renews}.",
    "part_renews_for": "It renews on {renews} for {price}.",
    "part_ends": "It ends on {until}.",
    "part_name_renews": "{name} renews on {renews}.",
    "part_name_renews_for": "{name} renews on {renews} for {price}.",
    "part_changes": "{name} changes to another plan on {renews}.",
    "part_changes_to": "{name} changes to {plan} on {renews}.",
    "part_trial": "It ends on {trial_end}.",
    "part_trial_for": "It ends on {trial_end}; then {name} costs {price}. Cancel before, and you pay nothing.",
    "part_trial_stops": "It ends on {trial_end}, and nothing will be charged.",
    "part_kept": "You keep it until {until}.",
    "part_kept_by_them": "Access stays until {until}.",
    "part_on_hold": "Until it is paid, you do not have what it gives.",
    "part_on_hold_for_them": "They do not have what it gives.",
    "part_retry": "It is tried again on {retry_at}.",
    "part_paused": "You keep it until {until}.",
    "part_resumes": "It goes on by itself on {resumes}.",
}
"""Sentences within messages."""

WORDS = {
    "counted": "{number} {noun}",
    "list_and": "{first} and {last}",
    "list_or": "{first} or {last}",
    "time_of_feature": "{time} of {feature}",
    "a_role": "a role on {channel}",
    "a_place": "a place on {channel}",
    "your_role": "your role on {channel}",
    "the_group": "the group on {channel}",
    "moment": "{day}, {time} UTC",
    "no_reason": "the bank did not say why.",
    "no_cause": "no reason given",
    "no_day": "a day not told yet",
    "reason_declined": "Your card was declined.",
    "reason_funds": "Your card has insufficient funds.",
    "reason_expired": "Your card has expired.",
    "reason_code": "Your card's security code is incorrect.",
    "reason_number": "Your card number is incorrect.",
    "reason_unsupported": "Your card does not support this type of purchase.",
    "reason_not_confirmed": "The payment was not confirmed with the bank.",
}
"""Pieces of sentences."""

STRIPE_SAYS = {
    "Your card was declined.": "reason_declined",
    "Your card has insufficient funds.": "reason_funds",
    "Insufficient funds.": "reason_funds",
    "Your card has expired.": "reason_expired",
    "Your card's security code is incorrect.": "reason_code",
    "Your card's security code is invalid.": "reason_code",
    "Your card number is incorrect.": "reason_number",
    "Your card does not support this type of purchase.": "reason_unsupported",
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.":
        "reason_not_confirmed",
}  # fmt: skip
"""What Stripe says most often when a card fails, in its words, and the text that says it in the reader's language."""

BUTTONS = {
    "button_buy": "Buy",
    "button_join": "Ask to join",
    "button_buy_again": "Buy again",
    "button_buy_more": "Buy more",
    "button_subscribe_again": "Subscribe again",
    "button_balance": "Balance",
    "button_help": "Help",
    "button_more": "More ›",
    "button_back": "‹ Back",
    "button_pay": "Pay {amount}",
    "button_begin": "Begin for free",
    "button_confirm": "Confirm {amount}",
    "button_pay_missing": "Pay",
    "button_pay_name": "Pay {name}",
    "button_keep": "Keep it",
    "button_keep_name": "Keep {name}",
    "button_cancel": "Cancel",
    "button_cancel_name": "Cancel {name}",
    "button_cancel_yes": "Yes, cancel it",
    "button_cancel_no": "No, keep it",
    "button_change_name": "Change {name}",
    "button_plan": "Change plan",
    "button_count": "Change quantity",
    "button_stay": "Stay with this plan",
    "button_pause": "Pause",
    "button_resume": "Go on",
    "button_end": "End now",
    "button_change_yes": "Yes, change it",
    "button_change_no": "No, leave it",
    "button_pause_yes": "Yes, pause it",
    "button_resume_yes": "Yes, go on",
    "button_end_yes": "Yes, end it now",
    "button_end_later": "End it with its period",
    "button_other_card": "Use another card",
    "button_on_their_page": "To Stripe's page",
    "button_try_again": "Try again",
    "button_manage": "Cards, invoices, plan",
    "button_that_is_me": "Yes, that is me",
    "button_come_in": "Come into the server",
}

OF_MESSAGES = {
    "pass_ended": "button_buy_again",
    "low_balance": "button_buy_more",
    "topup_failed": "button_buy_more",
    "topup_limit": "button_buy_more",
    "subscription_ended": "button_subscribe_again",
    "turned_away": "button_buy",
}
"""Which button leads to the shelf, by the message that it stands under."""

WAYS_IN = {"come_in": "button_join", "join_first": "button_come_in"}
"""Which button leads to where somebody's place is, by the message that it stands under."""

PAY_BUTTONS = {
    "renewal_failed": "button_pay",
    "action_required": "button_confirm",
    "grace_72": "button_pay",
    "grace_24": "button_pay",
    "subscription_unpaid": "button_pay",
    "change_declined": "button_other_card",
    "change_to_confirm": "button_on_their_page",
}
"""Which button leads to where it is mended, by the message that it stands under: an invoice's page, or the portal."""

PLURALS = {
    "every_day": ("{price} a day", "{price} every {number} days"),
    "every_week": ("{price} a week", "{price} every {number} weeks"),
    "every_month": ("{price} a month", "{price} every {number} months"),
    "every_year": ("{price} a year", "{price} every {number} years"),
    "offer_trial": (
        "{name} for {price}, the first day for free. You can cancel at any time.",
        "{name} for {price}, the first {number} days for free. You can cancel at any time.",
    ),
}
"""Texts that depend on a number: for one, and for more."""

NOUNS = {
    "credits": ("credit", "credits"),
    "coins": ("coin", "coins"),
    "days": ("day", "days"),
    "downloads": ("download", "downloads"),
    "generations": ("generation", "generations"),
    "hours": ("hour", "hours"),
    "images": ("image", "images"),
    "lessons": ("lesson", "lessons"),
    "messages": ("message", "messages"),
    "minutes": ("minute", "minutes"),
    "points": ("point", "points"),
    "questions": ("question", "questions"),
    "requests": ("request", "requests"),
    "tickets": ("ticket", "tickets"),
    "tokens": ("token", "tokens"),
    "videos": ("video", "videos"),
    "words": ("word", "words"),
}
"""Units whose names are known in every language, for one and for more."""
