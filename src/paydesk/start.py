"""`paydesk init`: the two files that a new shop begins with."""

from __future__ import annotations

from pathlib import Path

from paydesk.catalog import TEMPLATE
from paydesk.errors import SettingError

ENVIRONMENT = """\
# Copy this file to .env and fill in what you have. Every line may stay a comment at first.

# --- Stripe: https://dashboard.stripe.com/apikeys (or any sk_test_… with the sandbox) ---
#STRIPE_API_KEY=sk_test_…
# For the payment form on your own pages: docs/payment-form.md
#STRIPE_PUBLISHABLE_KEY=pk_test_…
# One endpoint, https://YOUR-ADDRESS/webhooks/stripe; several secrets, comma-separated, during a rotation.
#STRIPE_WEBHOOK_SECRET=whsec_…
# No public address? Events are then read from Stripe's list: webhook (default), poll or both.
#STRIPE_EVENTS=poll
# Offline: run `paydesk sandbox` and point here.
#STRIPE_API_BASE=http://127.0.0.1:12111

# --- Paydesk ---
# Where buyers reach this installation: links in chat begin with it.
#PAYDESK_PUBLIC_URL=https://pay.example.com
# A first API key with every scope, for set-up: pdk_ and at least 16 letters or digits of your own.
# Later make keys with fewer scopes: paydesk keys create
#PAYDESK_API_KEY=pdk_…
# The folder of the embedded database. Unset: ./.paydesk
#PAYDESK_DATA=./.paydesk
# A PostgreSQL of your own, when one machine is not enough; then set the encryption keys too.
#DATABASE_URL=postgresql://paydesk:secret@db.example.com/paydesk
#PAYDESK_ENCRYPTION_KEYS=
# text or json
#PAYDESK_LOG=text
# What people are told who have told no language: en, pl, nl, or one that your texts bring.
#PAYDESK_LANGUAGE=en
# Your own texts: en.toml, pl.toml, de.toml, … Unset: the folder texts beside the catalogue, if it is there.
#PAYDESK_TEXTS=./texts
# For how many days the bodies of events and the words of messages are kept; 0: for ever.
#PAYDESK_KEEP_DAYS=90

# AI agents (`paydesk mcp`): the key that bounds what they may do, and how much they may ask a person to give back.
#PAYDESK_MCP_KEY=pdk_…
#PAYDESK_MCP_REFUND_MAX=50.00 usd
#PAYDESK_MCP_REFUND_DAY_MAX=200.00 usd

# --- Channels: each is off until its first line is set; `paydesk check` says what is missing ---
# Telegram: the token of @BotFather. poll needs no public address; with webhook, set a secret too.
#TELEGRAM_BOT_TOKEN=123456789:AA…
#TELEGRAM_MODE=poll
#TELEGRAM_WEBHOOK_SECRET=
# The chat where you are told what needs you: a group's id begins with -100.
#TELEGRAM_ADMIN_CHAT=-1001234567890
# Discord: from the developer portal; its interactions go to https://YOUR-ADDRESS/webhooks/discord
#DISCORD_BOT_TOKEN=
#DISCORD_APPLICATION_ID=
#DISCORD_PUBLIC_KEY=
#DISCORD_ADMIN_CHANNEL=
# Chatwoot: an agent's access token; its webhook goes to https://YOUR-ADDRESS/webhooks/chatwoot
#CHATWOOT_URL=https://chat.example.com
#CHATWOOT_ACCOUNT_ID=1
#CHATWOOT_API_TOKEN=
#CHATWOOT_WEBHOOK_SECRET=
#CHATWOOT_ADMIN_CONVERSATION=
# SMS by Twilio, mail by any SMTP server.
#TWILIO_ACCOUNT_SID=AC…
#TWILIO_AUTH_TOKEN=
#TWILIO_FROM=+15005550006
#SMTP_URL=smtps://user:password@mail.example.com:465
#MAIL_FROM=Shop <shop@example.com>
"""


def write_files(folder: Path) -> list[str]:
    """Write `catalog.toml` and `.env.example` where they are missing; return a line for each."""
    lines = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (("catalog.toml", TEMPLATE), (".env.example", ENVIRONMENT)):
            path = folder / name
            if path.exists():
                lines.append(f"{path} is there already and stays")
            else:
                path.write_text(text, encoding="utf-8")
                lines.append(f"{path} written")
    except OSError as error:
        raise SettingError(f"{folder}: cannot write there: {error.strerror}") from error
    return lines
