"""`paydesk demo`: the whole job with real parts, offline: database, Stripe sandbox, service, and a tour of one purchase.

The tour is done from outside, as a customer and an operator would: over HTTP, nothing faked. Every step is seen to
happen or the demo says which was not. All of it is on this machine, so a proxy that is set is not asked.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from paydesk.catalog import TEMPLATE
from paydesk.config import here
from paydesk.errors import PaydeskError, SettingError

READY_S_MAX = 120.0
STEP_S_MAX = 30.0
REMAINS_S_MAX = 60.0
"""How long the rest of a killed demo may take to stop by itself before the next one gives up waiting for it."""
TAKEN_OVER = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TMPDIR", "TZ", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
TAKEN_OVER_PREFIXES = ("LC_", "PYTHON", "PAYDESK_MCP_")
CARD = {"number": "4242424242424242", "exp_month": "12", "exp_year": "2034", "cvc": "123"}


class StepFailed(PaydeskError):
    """A step of the tour was not seen to happen: the message says which."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the demo lives: addresses, folder and throw-away secrets."""

    service: str
    sandbox: str
    data: Path
    api_key: str
    stripe_key: str
    webhook_secret: str
    lock: int


def run(port: int, sandbox_port: int, data: Path, *, leave: bool) -> int:
    """Start everything, take the tour, stay until Ctrl-C (or leave); return the exit status.

    Whatever was started is stopped again, however this ends.
    """
    if port == sandbox_port:
        raise SettingError(f"--port and --sandbox-port are both {port}: they must differ")
    if data == Path():
        raise SettingError("--data must name a folder of the demo's own, such as .paydesk/demo")
    data = here() / data
    lock = _locked(data)
    for number, option in ((port, "--port"), (sandbox_port, "--sandbox-port")):
        _refuse_taken(number, option)
    place = _prepare(port, sandbox_port, data, lock)
    _note_process(place, os.getpid())
    try:
        with _started(place, port, sandbox_port) as processes:
            tour(place)
            _invite(place, leave=leave)
            if not leave:
                _stay(processes, place)
    except PaydeskError as error:
        _print(f"✗ {error.message}")
        return 1
    except KeyboardInterrupt:
        _print("\nStopped; the data stays in " + str(place.data))
        return 0 if not leave else 130
    return 0


def _locked(data: Path) -> int:
    """Make the folder if it is missing and lock it for one demo; return the lock, which all that we start shares.

    So a second demo is refused as long as anything of the first one runs. What a killed one has started ends by
    itself; that is waited for.
    """
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data / "demo.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise SettingError(f"--data {data}: cannot be used: {error.strerror}") from error
    deadline = time.monotonic() + REMAINS_S_MAX
    while not _try(lock):
        told = os.pread(lock, 1000, 0).decode().split()
        if not told or _lives(int(told[0])) or time.monotonic() > deadline:
            os.close(lock)
            processes = f" (processes {' '.join(told)})" if told else ""
            raise SettingError(
                f"--data {data}: a demo runs there already{processes}: stop it, or give this one another --data"
            )
        time.sleep(0.1)
    os.ftruncate(lock, 0)
    return lock


def _try(lock: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _note_process(place: Place, process: int) -> None:
    """Write down in the lock what runs under it, for whom it keeps out."""
    os.write(place.lock, f"{process}\n".encode())


def _refuse_taken(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SettingError(
                f"{option} {port} cannot be used ({error.strerror}); try {option} {port + 100}"
            ) from error


def _prepare(port: int, sandbox_port: int, data: Path, lock: int) -> Place:
    """Fill the folder with the demo's catalogue and its own secrets; used again the next time."""
    try:
        catalogue = data / "catalog.toml"
        if not catalogue.exists():
            catalogue.write_text(TEMPLATE, encoding="utf-8")
        stripe_key = _kept(data / "stripe.key", f"sk_test_demo{secrets.token_hex(10)}")
        return Place(
            service=f"http://127.0.0.1:{port}",
            sandbox=f"http://127.0.0.1:{sandbox_port}",
            data=data,
            api_key=_kept(data / "api.key", f"pdk_{secrets.token_hex(16)}"),
            stripe_key=stripe_key,
            webhook_secret=_kept(data / "webhook.secret", f"whsec_{secrets.token_hex(16)}"),
            lock=lock,
        )
    except OSError as error:
        raise SettingError(f"--data {data}: cannot be used: {error.strerror}") from error


def _kept(path: Path, fresh: str) -> str:
    """Return the secret kept in a file, made (mode 0600) when there is none."""
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(fresh)
    return path.read_text(encoding="utf-8").strip()


def environ_of(place: Place) -> dict[str, str]:
    """Return the environment of everything the demo runs: nobody's own settings, no database, bot or mailbox of theirs.

    Only what a program needs to run is taken over, and what agents may ask for (`PAYDESK_MCP_…`).
    """
    return {
        **{k: v for k, v in os.environ.items() if k in TAKEN_OVER or k.startswith(TAKEN_OVER_PREFIXES)},
        "PAYDESK_DATA": str(place.data / "service"),
        "PAYDESK_CATALOG": str(place.data / "catalog.toml"),
        "PAYDESK_PUBLIC_URL": place.service,
        "PAYDESK_API_KEY": place.api_key,
        "STRIPE_API_KEY": place.stripe_key,
        "STRIPE_API_BASE": place.sandbox,
        "STRIPE_WEBHOOK_SECRET": place.webhook_secret,
    }


@contextlib.contextmanager
def _started(place: Place, port: int, sandbox_port: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start the sandbox and the service as processes of their own, wait until they answer, stop them at the end.

    Both hold the reading end of a pipe of ours, so they end also when we are killed.
    """
    environ = environ_of(place)
    sandbox = [
        "sandbox", "--port", str(sandbox_port), "--data", str(place.data / "sandbox.db"),
        "--webhook", f"{place.service}/webhooks/stripe", "--webhook-secret", place.webhook_secret,
    ]  # fmt: skip
    starts = (
        (sandbox, f"{place.sandbox}/_sandbox/clock"),
        (["serve", "--port", str(port)], f"{place.service}/readyz"),
    )
    processes: list[subprocess.Popen[bytes]] = []
    log = (place.data / "demo.log").open("ab")
    leash = os.pipe()
    try:
        for arguments, address in starts:
            began = time.monotonic()
            command = [sys.executable, "-m", "paydesk.leash", str(leash[0]), *arguments]
            # A session of its own: Ctrl-C reaches us alone, and we stop the others in order.
            processes.append(
                subprocess.Popen(
                    command, env=environ, cwd=place.data, stdout=log, stderr=log, start_new_session=True,
                    pass_fds=(place.lock, leash[0]),
                )
            )  # fmt: skip
            _note_process(place, processes[-1].pid)
            _wait_until_ready(processes[-1], address, place, arguments[0])
            _tell(f"{arguments[0]} is ready", began)
        yield processes
    finally:
        for process in reversed(processes):
            _stop(process)
        log.close()
        for end in leash:
            os.close(end)


def _wait_until_ready(process: subprocess.Popen[bytes], address: str, place: Place, name: str) -> None:
    deadline = time.monotonic() + READY_S_MAX
    headers = {"Authorization": f"Bearer {place.stripe_key}"}
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StepFailed(f"{name} did not start: {last_words(place.data / 'demo.log')}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(address, headers=headers, timeout=2, trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    raise StepFailed(f"{address} did not answer within {READY_S_MAX:.0f} s")


def last_words(log: Path) -> str:
    """Return the reason at the end of a log: the last line that is one, without its time and level."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    said = [line for line in lines if line and line != "paydesk: stopped"]
    last = said[-1] if said else "it said nothing"
    return re.sub(r"^(?:paydesk: |[\d:]{8} [A-Z]+ +[\w.]+: )", "", last)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# --- the tour --------------------------------------------------------------------------------------------------------


class Tour:
    """One purchase from outside: a customer in the chat, their browser at Stripe, and an operator who looks."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.who = {"channel": "web", "external_id": f"tour-{secrets.token_hex(6)}"}
        self.desk = httpx.Client(
            base_url=place.service, headers={"Authorization": f"Bearer {place.api_key}"}, timeout=20, trust_env=False
        )
        self.browser = httpx.Client(timeout=20, trust_env=False)

    def push(self) -> str:
        """Send the catalogue to Stripe."""
        result = subprocess.run(
            [sys.executable, "-m", "paydesk", "catalog", "push", "--json"],
            cwd=self.place.data, env=environ_of(self.place), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if result.returncode != 0:
            raise StepFailed(f"the catalogue was not pushed: {result.stderr.strip()}")
        news = len(json.loads(result.stdout))
        if news == 0:
            return "catalogue: Stripe has exactly this one"
        return f"catalogue: {news} {'line' if news == 1 else 'lines'} of news for Stripe"

    def ask(self) -> str:
        """Ask in the chat, and get a pay link at once."""
        replies = self.say("/buy credits-10")
        self.link = str(replies[0]["buttons"][0]["url"])
        return f"chat: /buy credits-10  →  {replies[0]['text']}"

    def open_link(self) -> str:
        """Open the link (which makes nothing) and press its button (which makes the Checkout session)."""
        seen = self.browser.get(self.link)
        if seen.status_code != 200:
            raise StepFailed(f"the pay link answered {seen.status_code}")
        pressed = self.browser.post(self.link, headers={"Origin": self.place.service})
        self.page = pressed.headers.get("location", "")
        if pressed.status_code != 303 or "/c/pay/" not in self.page:
            raise StepFailed(f"the pay button answered {pressed.status_code} and led to {self.page or 'nowhere'}")
        return f"link: {self.link}  →  Stripe's page"

    def pay(self) -> str:
        """Pay on the hosted page, through the page's own calls, with the card 4242…"""
        session = self.page.split("/c/pay/")[1].split("#")[0].split("?")[0]
        page = self.browser.get(f"{self.place.sandbox}/v1/payment_pages/{session}").json()
        card = {f"payment_method_data[card][{name}]": value for name, value in CARD.items()}
        form = {"payment_method_data[type]": "card", **card, "expected_amount": str(page["amount_total"])}
        paid = self.browser.post(f"{self.place.sandbox}/v1/payment_pages/{session}/confirm", data=form)
        if paid.status_code != 200:
            raise StepFailed(f"the payment was refused: {paid.text[:200]}")
        return f"paid: {page['amount_total']} {page['currency']} with 4242… on the hosted page"

    def event(self) -> str:
        """See the signed event settled."""
        self.trace = wait_for("the event to be settled", self._settled)
        event = next(step for step in self.trace if step["what"] == "event")
        return f"event: {event['type']} {event['id']} is {event['state']}"

    def entry(self) -> str:
        """See the ledger entry it made."""
        entry = next(step for step in self.trace if step["what"] == "entry" and step["reason"] == "grant")
        return f"ledger: {entry['amount']} {entry['unit']} from {entry['from']} to {entry['to']} for {entry['source']}"

    def grant(self) -> str:
        """See what can be spent."""
        wallet = self.get(f"/v1/customers/{self.customer()}/credits")
        if wallet["balance"] != 10:
            raise StepFailed(f"the balance is {wallet['balance']}, not 10")
        return f"grant: balance {wallet['balance']} {wallet['unit']}"

    def message(self) -> str:
        """See the message in the same thread."""
        said = wait_for("the message in the thread", self._told)
        return f"message: {said['text']}"

    def balance(self) -> str:
        """Ask the bot."""
        return f"chat: /balance  →  {self.say('/balance')[0]['text']}"

    def queues(self) -> str:
        """See that nothing waits any more."""
        wait_for("empty queues", self._empty)
        return "status: nothing waits"

    def say(self, text: str) -> list[dict[str, Any]]:
        """Say something in the chat and return the replies."""
        answer = self.desk.post("/v1/chat", json={**self.who, "text": text})
        if answer.status_code != 200:
            raise StepFailed(f"the chat answered {answer.status_code}: {answer.text[:200]}")
        replies: list[dict[str, Any]] = answer.json()["replies"]
        return replies

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Return what the API says."""
        answer = self.desk.get(path, params=params)
        if answer.status_code != 200:
            raise StepFailed(f"{path} answered {answer.status_code}: {answer.text[:200]}")
        found: dict[str, Any] = answer.json()
        return found

    def customer(self) -> str:
        """Return the id of the customer we play."""
        return str(self.get("/v1/customers", **self.who)["data"][0]["id"])

    def _settled(self) -> list[dict[str, Any]] | None:
        told = self.get(f"/v1/customers/{self.customer()}/timeline", limit=100)["data"]
        steps: list[dict[str, Any]] = told[::-1]  # the oldest first, as it happened
        return steps if any(step["what"] == "entry" and step["reason"] == "grant" for step in steps) else None

    def _told(self) -> dict[str, Any] | None:
        said = self.get("/v1/chat/messages", **self.who)["data"]
        return next((one for one in said if one["direction"] == "out" and "Paid" in one["text"]), None)

    def _empty(self) -> bool:
        status = self.get("/v1/status")
        return not any((*status["inbox"].values(), *status["outbox"].values()))


def tour(place: Place) -> None:
    """Take the tour, a line for each step with its time; raises `StepFailed` at the first that does not happen."""
    guide = Tour(place)
    steps = (
        guide.push, guide.ask, guide.open_link, guide.pay, guide.event, guide.entry, guide.grant, guide.message,
        guide.balance, guide.queues,
    )  # fmt: skip
    for step in steps:
        began = time.monotonic()
        try:
            line = step()
        except (httpx.HTTPError, KeyError, IndexError, StopIteration) as error:
            raise StepFailed(f"{step.__name__}: {type(error).__name__}: {error}") from error
        _tell(line, began)


def wait_for(what: str, look: Any) -> Any:
    """Return what `look` finds as soon as it finds something; raises `StepFailed` after half a minute."""
    deadline = time.monotonic() + STEP_S_MAX
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise StepFailed(f"waited {STEP_S_MAX:.0f} s in vain for {what}")


def _tell(line: str, began: float) -> None:
    _print(f"✓ {(time.monotonic() - began) * 1000:6.0f} ms  {line}")


def _invite(place: Place, *, leave: bool) -> None:
    _print(f"\nThe web chat      {place.service}/chat")
    _print(f"API reference     {place.service}/docs")
    _print(f"The Stripe sandbox {place.sandbox}/")
    _print(f"An API key        {place.api_key}")
    if not leave:
        _print("\nTry it: open the chat, buy ten credits, pay with 4242 4242 4242 4242. Ctrl-C stops everything.")


def _stay(processes: list[subprocess.Popen[bytes]], place: Place) -> None:
    """Wait until interrupted, or until something we started ends by itself."""
    ended = threading.Event()
    while not ended.wait(0.5):
        if any(process.poll() is not None for process in processes):
            raise StepFailed(f"something has stopped by itself: {last_words(place.data / 'demo.log')}")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
