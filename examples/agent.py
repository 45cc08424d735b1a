"""The smallest messaging agent: a terminal that sells over `POST /v1/chat`, which every language can speak.

Run `paydesk demo`, then: python examples/agent.py --key pdk_… (the key that the demo prints). Type /buy, and then the
number of a button. In Python the library does the same: `PaymentManager.say` and `.messages`; see the bots beside this.
"""

from __future__ import annotations

import argparse
import getpass
import locale
import os
import sys
import threading
import time
import uuid
from contextlib import suppress
from typing import Any

import httpx

Json = dict[str, Any]


class Agent:
    """Passes on what one person says, and shows what they are told. `offered` are the commands of the buttons shown."""

    def __init__(self, url: str, key: str, person: str) -> None:
        self._desk = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=20)
        self._who = {"channel": "terminal", "external_id": person}
        self._language = (locale.getlocale()[0] or "en").partition("_")[0]
        self.offered: list[str] = []

    def say(self, text: str) -> None:
        """Say something, or press the button with that number, and show the answers."""
        if text.isdigit() and 0 < int(text) <= len(self.offered):
            text = self.offered[int(text) - 1]
        said = {**self._who, "text": text, "locale": self._language}
        self.offered.clear()
        for reply in self._asked("POST", "/v1/chat", json=said, headers={"Idempotency-Key": uuid.uuid4().hex})[
            "replies"
        ]:
            self.show(reply)

    def listen(self) -> None:
        """Show what comes by itself, each message once, for ever: a payment arrived, a pass ends."""
        after = 0
        while True:
            for message in self._asked("GET", "/v1/chat/messages", params={**self._who, "after": after})["data"]:
                after = message["id"]
                if message["direction"] == "out":
                    self.show(message)
            time.sleep(1)

    def _asked(self, method: str, path: str, **options: Any) -> Json:
        """Ask until there is an answer: with the same key a repeat does nothing twice."""
        while True:
            try:
                answer = self._desk.request(method, path, **options)
            except httpx.TransportError as error:
                sys.stderr.write(f"no answer yet: {error}\n")
            else:
                if answer.status_code not in (429, 503):
                    break
            time.sleep(2)
        told: Json = answer.json()
        if answer.is_error:
            sys.exit(f"{told['error']['message']} ({told['error']['code']}, {told['error'].get('request_id')})")
        return told

    def show(self, message: Json) -> None:
        """Print a message: links as they are, commands with the number to type."""
        lines = [message["text"]]
        for button in message["buttons"]:
            if button.get("url"):
                lines.append(f"  {button['label']}: {button['url']}")
            else:
                self.offered.append(button["command"])
                lines.append(f"  [{len(self.offered)}] {button['label']}")
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Talk until the end of the input, or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default=os.environ.get("PAYDESK_URL", "http://127.0.0.1:8000"))
    parser.add_argument(
        "--key", default=os.environ.get("PAYDESK_API_KEY"), help="an API key with the scopes read and sell"
    )
    options = parser.parse_args()
    if options.key is None:
        parser.error("an API key is needed: --key pdk_… or PAYDESK_API_KEY")
    agent = Agent(options.url, options.key, getpass.getuser())
    threading.Thread(target=agent.listen, daemon=True).start()
    with suppress(KeyboardInterrupt):
        agent.say("/start")
        for line in sys.stdin:
            if line.strip():
                agent.say(line.strip())


if __name__ == "__main__":
    main()
