"""The smallest messaging agent: a terminal that speaks to Paydesk over HTTP.

Run `paydesk demo`, then: python examples/agent.py --key pdk_… (the key that the demo prints). Type /buy credits-10.
"""

from __future__ import annotations

import argparse
import getpass
import sys
import threading
import time

import httpx


def main() -> None:
    """Pass what is typed to Paydesk, print what comes back, and what comes later."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", required=True)
    options = parser.parse_args()
    who = {"channel": "terminal", "external_id": getpass.getuser()}
    desk = httpx.Client(base_url=options.url, headers={"Authorization": f"Bearer {options.key}"}, timeout=20)
    threading.Thread(target=listen, args=(desk, who), daemon=True).start()
    say(desk, who, "/start")
    for line in sys.stdin:
        say(desk, who, line.strip())


def say(desk: httpx.Client, who: dict[str, str], text: str) -> None:
    """Say something and print the replies with their buttons."""
    answer = desk.post("/v1/chat", json={**who, "text": text})
    answer.raise_for_status()
    for reply in answer.json()["replies"]:
        show(reply)


def listen(desk: httpx.Client, who: dict[str, str]) -> None:
    """Print messages that come later, each once."""
    after = 0
    while True:
        for message in desk.get("/v1/chat/messages", params={**who, "after": after}).json()["data"]:
            after = message["id"]
            show(message)
        time.sleep(1)


def show(message: dict[str, object]) -> None:
    """Print a message and where its buttons lead."""
    buttons = message["buttons"]
    lines = [str(message["text"])]
    if isinstance(buttons, list):
        lines += [f"  [{button['label']}] {button.get('url') or button.get('command')}" for button in buttons]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
