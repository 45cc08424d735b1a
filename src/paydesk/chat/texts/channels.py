"""What is said about channels: to people who wait for somewhere, and to those who run the desk. Names only, no logic."""

from __future__ import annotations

TEMPLATES = {
    "join_first": "Your role on {channel} waits for you: come into the server, and you have it.",
    "come_in": "Your place is ready. Press the button and ask to join: you are let in at once.",
    "look_aside": "There is news for you here, and your direct messages are closed to me. Open them for this server, or "
    "type /history: only you see the answer.",
    "turned_away": "This group is for people who have a place in it. /buy shows how to get one.",
    "alert_channel_away": "⚠️ {channel} does not answer: {because} What waits for it goes out when it is back.",
    "alert_misconfigured": "⚠️ {channel} is not set up for {resource}: {because} What mends it: {mend} "
    "What waits for it goes out after that: {number} so far.",
    "alert_undelivered": "⚠️ Could not be delivered ({channel}, {what} {number}): {because}",
    "alert_quarantined": "⚠️ Something came in that cannot be handled ({what} {resource}): {because} "
    "Look with paydesk events show, and try again with paydesk events replay.",
    "alert_parked": "⚠️ {number} events have been waiting for more than an hour for something that they are about. "
    "Look with paydesk events list.",
    "alert_errors": "⚠️ {number} errors within five minutes. The log tells of each; paydesk check looks at everything.",
    "alert_refund_wanted": "⚠️ {name} asks to give back {price} of {resource}: “{because}” Nothing goes back before you say so: "
    "paydesk approvals approve {number}, or paydesk approvals refuse {number}.",
    "alert_billed_for_nobody": "⚠️ There is no account of {customer} on {channel} any more, and {subscription} ({name}) "
    "still bills them. Reach them another way, or end it: DELETE /v1/subscriptions/{subscription}",
    "alert_drift": "{channel} was not as it should be. Roles given again: {given_number}, taken away: {taken_number}.",
}
