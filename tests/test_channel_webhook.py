"""Outgoing webhooks: signed so that the official library verifies them, by the schedule, and never to a private address."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks.webhooks import WebhookVerificationError

from fakes.receiver import Answer, Receiver, receiving
from paydesk import dialing, endpoints
from paydesk.channels import webhook_failures
from paydesk.channels.base import Address, DeliveryError, Misconfigured, Refused, RetryLater, Send
from paydesk.channels.webhook import WebhookChannel
from paydesk.clock import Clock
from paydesk.config import Secret
from paydesk.endpoints import Directory, Wish
from paydesk.errors import Invalid, SettingError
from paydesk.privacy import Vault
from paydesk.store import Store

CASES = json.loads((Path(__file__).parent / "specs" / "channel-failure-cases.json").read_text())["rules"]
LOOPBACK = frozenset({"127.0.0.1"})


@pytest.fixture(scope="module")
def address(new_database: Callable[[], str]) -> str:
    """A database for the endpoints of these tests."""
    return new_database()


@pytest.fixture(scope="module")
def vault() -> Vault:
    return Vault([Secret(base64.urlsafe_b64encode(os.urandom(32)).decode())])


@pytest.fixture
async def store(address: str) -> AsyncIterator[Store]:
    opened = await Store.open(address, clock=Clock())
    await opened.execute("DELETE FROM webhook_endpoint")
    yield opened
    await opened.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def hooks(store: Store, vault: Vault) -> Hooks:
    return Hooks(store, vault)


@dataclass
class Hooks:
    """Endpoints in a real table, and a channel that sends to them."""

    store: Store
    vault: Vault
    secrets: dict[str, str] = field(default_factory=dict)

    async def at(self, url: str) -> str:
        """A new endpoint there."""
        made, secret = await endpoints.create(
            self.store, self.vault, Wish(url), operation=secrets.token_hex(8), actor="key_1"
        )
        self.secrets[made.id] = secret
        return made.id

    @asynccontextmanager
    async def channel(self, allowed: frozenset[str] = LOOPBACK, **options: Any) -> AsyncIterator[WebhookChannel]:
        channel = WebhookChannel(Directory(self.store, self.vault), allowed, **options)
        try:
            yield channel
        finally:
            await channel.close()

    async def send(self, endpoint: str, attempt: int = 1, text: str | None = None, **options: Any) -> None:
        """Send one event once."""
        async with self.channel(**options) as channel:
            await channel.deliver(event_to(endpoint, attempt, text), None)

    async def refused(self, endpoint: str, attempt: int = 1, **options: Any) -> DeliveryError:
        """Send one event, which must not be taken."""
        with pytest.raises(DeliveryError) as refusal:
            await self.send(endpoint, attempt, **options)
        return refusal.value

    async def row(self, endpoint: str) -> dict[str, Any]:
        found = await self.store.fetchrow("SELECT * FROM webhook_endpoint WHERE id = $1", endpoint)
        assert found is not None
        return dict(found.items())


BODY = '{"id":"evt_1","type":"order.paid","timestamp":"2026-01-02T03:04:05.000Z","data":{"name":"Zażółć 🎉"}}'


def event_to(endpoint: str, attempt: int = 1, text: str | None = None) -> Send:
    return Send(
        f"event:{endpoint}:evt_1", Address("webhook", endpoint), text or BODY, kind="event", attempt=attempt
    )  # fmt: skip


# --- what is sent ----------------------------------------------------------------------------------------------------


async def test_an_event_is_signed_as_the_official_library_verifies_it(hooks: Hooks, receiver: Receiver) -> None:
    endpoint = await hooks.at(receiver.url + "/in?x=1")
    await hooks.send(endpoint)
    (got,) = receiver.requests
    assert (got.path, got.body, got.headers["content-type"]) == ("/in?x=1", BODY.encode(), "application/json")
    assert got.headers["webhook-id"] == got.verified(hooks.secrets[endpoint])["id"] == "evt_1"
    assert abs(int(got.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 30
    assert (got.headers["host"], got.headers["user-agent"]) == (
        receiver.url.removeprefix("http://"),
        "Paydesk-Webhooks/1",
    )
    with pytest.raises(WebhookVerificationError):
        got.verified("whsec_" + base64.b64encode(b"another secret of 32 bytes, or so").decode())
    got.body += b" "
    with pytest.raises(WebhookVerificationError):
        got.verified(hooks.secrets[endpoint])


async def test_for_a_day_after_a_rotation_both_secrets_sign(hooks: Hooks, receiver: Receiver) -> None:
    endpoint = await hooks.at(receiver.url)
    old = hooks.secrets[endpoint]
    _, new = await endpoints.rotate(hooks.store, hooks.vault, endpoint, operation="op_r", actor="key_1")
    again = await endpoints.rotate(hooks.store, hooks.vault, endpoint, operation="op_r", actor="key_1")
    assert (again[1], new == old) == (new, False)
    await hooks.send(endpoint)
    assert receiver.requests[0].verified(old) == receiver.requests[0].verified(new)
    await hooks.store.execute("UPDATE webhook_endpoint SET old_secret_until = old_secret_until - interval '24 hours'")
    await hooks.send(endpoint)
    assert receiver.requests[1].verified(new)
    with pytest.raises(WebhookVerificationError):
        receiver.requests[1].verified(old)
    row = await hooks.row(endpoint)
    assert not any(
        secret.encode() in row[name] for secret in (old, new) for name in ("secret_sealed", "old_secret_sealed")
    )


async def test_only_events_go_to_endpoints(hooks: Hooks, receiver: Receiver) -> None:
    endpoint = await hooks.at(receiver.url)
    async with hooks.channel() as channel:
        with pytest.raises(Refused):
            await channel.deliver(Send("k", Address("webhook", endpoint), "hello", kind="paid"), None)
    assert receiver.connections == 0


# --- what becomes of it ----------------------------------------------------------------------------------------------

ANSWERS: dict[str, list[tuple[Answer, type[DeliveryError] | None, dict[str, Any]]]] = {
    "wh-2xx": [(Answer(status), None, {}) for status in (200, 201, 202, 204)],
    "wh-3xx": [(Answer(status, {"location": "/elsewhere"}), RetryLater, {"after_s": 5.0, "counted": True})
               for status in (301, 302, 303, 307, 308)],
    "wh-410": [(Answer(410), Misconfigured, {})],
    "wh-429": [(Answer(429, {"retry-after": "17"}), RetryLater, {"after_s": 17.0, "counted": False, "everyone": False}),
               (Answer(429, {"retry-after": "99999999"}), RetryLater, {"after_s": 86_400.0, "counted": False}),
               (Answer(429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}), RetryLater, {"after_s": 60.0, "counted": True}),
               (Answer(429), RetryLater, {"after_s": 60.0, "counted": True})],
    "wh-5xx": [(Answer(status), RetryLater, {"after_s": 5.0, "counted": True}) for status in (500, 502, 503, 504)]
    + [(Answer(cut=True), RetryLater, {"after_s": 5.0}), (Answer(hangs=True), RetryLater, {"after_s": 5.0})],
    "wh-4xx": [(Answer(status), RetryLater, {"after_s": 5.0}) for status in (400, 401, 403, 404, 422)],
}  # fmt: skip


def test_every_row_of_the_failure_list_has_a_case() -> None:
    assert {rule["id"] for rule in CASES if rule["channel"] == "webhook_out"} == set(ANSWERS)


@pytest.mark.parametrize("rule", sorted(ANSWERS))
async def test_each_answer_leads_to_its_reaction(hooks: Hooks, receiver: Receiver, rule: str) -> None:
    for answer, error, expected in ANSWERS[rule]:
        endpoint = await hooks.at(receiver.url)
        receiver.answer_next(answer)
        before = len(receiver.requests)
        if error is None:
            await hooks.send(endpoint)
        else:
            refusal = await hooks.refused(endpoint, call_s_max=0.5 if answer.hangs else 15)
            assert (type(refusal), refusal.rule) == (error, rule)
            assert {name: getattr(refusal, name) for name in expected} == expected
            assert hooks.secrets[endpoint] not in str(refusal)
        assert len(receiver.requests) == before + 1, "one request each, no redirect followed"


async def test_it_is_tried_ten_times_in_three_days_and_then_somebody_is_told(hooks: Hooks, receiver: Receiver) -> None:
    receiver.always = Answer(500)
    endpoint = await hooks.at(receiver.url)
    waits = [(await hooks.refused(endpoint, attempt)).after_s for attempt in range(1, 10)]  # type: ignore[attr-defined]
    assert waits == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    last = await hooks.refused(endpoint, 10)
    assert isinstance(last, Refused)
    assert endpoint in str(last.tell)
    assert "500" in str(last.tell)
    assert {request.headers["webhook-id"] for request in receiver.requests} == {"evt_1"}
    assert (await hooks.row(endpoint))["failures"] == 10


async def test_who_is_gone_is_disabled_at_once_and_hears_no_more(hooks: Hooks, receiver: Receiver) -> None:
    endpoint = await hooks.at(receiver.url)
    receiver.answer_next(Answer(410))
    first = await hooks.refused(endpoint)
    assert isinstance(first, Misconfigured)
    assert (first.resource, f"/v1/webhook_endpoints/{endpoint}/enable" in first.mend) == (endpoint, True)
    assert "410" in (await hooks.row(endpoint))["disabled_because"]
    assert isinstance(await hooks.refused(endpoint), Misconfigured)
    assert len(receiver.requests) == 1
    await endpoints.enable(hooks.store, endpoint, actor="key_1")
    await hooks.send(endpoint)
    assert len(receiver.requests) == 2


async def test_nothing_but_failures_for_five_days_disables(hooks: Hooks, receiver: Receiver) -> None:
    receiver.always = Answer(503)
    endpoint = await hooks.at(receiver.url)
    assert isinstance(await hooks.refused(endpoint), RetryLater)
    back = "UPDATE webhook_endpoint SET failing_since = failing_since - $2::interval WHERE id = $1"
    await hooks.store.execute(back, endpoint, timedelta(days=4, hours=23))
    assert isinstance(await hooks.refused(endpoint), RetryLater)
    receiver.answer_next(Answer(200))
    await hooks.send(endpoint)
    row = await hooks.row(endpoint)
    assert (row["failures"], row["failing_since"]) == (0, None)
    assert isinstance(await hooks.refused(endpoint), RetryLater)
    await hooks.store.execute(back, endpoint, timedelta(days=5))
    ended = await hooks.refused(endpoint, 3)
    assert isinstance(ended, Misconfigured)
    assert "503" in str(ended)
    assert (await hooks.row(endpoint))["disabled_at"] is not None


async def test_what_is_left_for_a_deleted_endpoint_is_dropped(hooks: Hooks, receiver: Receiver) -> None:
    endpoint = await hooks.at(receiver.url)
    await endpoints.delete(hooks.store, endpoint, actor="key_1")
    gone = await hooks.refused(endpoint)
    assert (isinstance(gone, Refused), getattr(gone, "done", False), receiver.connections) == (True, True, 0)


async def test_no_more_is_read_of_an_answer_than_it_needs(hooks: Hooks, receiver: Receiver) -> None:
    receiver.always = Answer(200, endless=True)
    endpoint = await hooks.at(receiver.url)
    async with asyncio.timeout(5):
        await hooks.send(endpoint)
    assert receiver.bytes_sent < 20_000_000, "the connection was closed, though more came"


async def test_connections_are_kept_between_events(hooks: Hooks, receiver: Receiver) -> None:
    endpoint = await hooks.at(receiver.url)
    async with hooks.channel() as channel:
        for _ in range(5):
            await channel.deliver(event_to(endpoint), None)
    assert (len(receiver.requests), receiver.connections) == (5, 1)


# --- where it is never sent ------------------------------------------------------------------------------------------


def resolver_of(*answers: list[str]) -> tuple[Any, list[str]]:
    """A resolver that answers one after the other, the last for ever; what it was asked."""
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return resolve, asked


INSIDE = (
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "64:ff9b::7f00:1",
    "localhost",
    "",
)
NEVER = (
    *INSIDE, "10.0.0.5", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1",
    "224.0.0.251", "240.0.0.1", "255.255.255.255", "::", "fe80::1", "fe80::1%lo", "fc00::1", "fd00:ec2::254", "fec0::1",
    "ff02::1", "::ffff:10.0.0.5", "2002:7f00:1::", "2002:a00:5::", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "64:ff9b:1::8.8.8.8", "2001:db8::1",
)  # fmt: skip
PUBLIC = ("8.8.8.8", "93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")


def test_what_is_public() -> None:
    assert [one for one in NEVER if dialing.is_public(one)] == []
    assert [one for one in PUBLIC if not dialing.is_public(one)] == []


@pytest.mark.parametrize("inside", INSIDE, ids=[f"{n}" for n in range(len(INSIDE))])
async def test_a_name_that_leads_inside_is_not_dialled(hooks: Hooks, receiver: Receiver, inside: str) -> None:
    port = receiver.url.rpartition(":")[2]
    endpoint = await hooks.at(f"http://hooks.test:{port}/")
    resolve, asked = resolver_of([inside])
    refusal = await hooks.refused(endpoint, allowed=frozenset(), resolver=resolve)
    assert (type(refusal), refusal.rule, receiver.connections, asked) == (RetryLater, "wh-blocked", 0, ["hooks.test"])


async def test_numbers_are_no_way_in_either(hooks: Hooks, receiver: Receiver) -> None:
    port = receiver.url.rpartition(":")[2]
    for host in ("127.0.0.1", "2130706433", "0x7f.1", "127.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"):
        endpoint = await hooks.at(f"http://{host}:{port}/")
        assert (await hooks.refused(endpoint, allowed=frozenset())).rule in ("wh-blocked", "wh-not-sent")
        await endpoints.delete(hooks.store, endpoint, actor="key_1")
    assert receiver.connections == 0


async def test_a_name_that_changes_its_mind_is_resolved_once_and_checked_each_time(
    hooks: Hooks, receiver: Receiver
) -> None:
    """DNS rebinding: public when it is looked at, ours when it is dialled."""
    port = receiver.url.rpartition(":")[2]
    endpoint = await hooks.at(f"http://rebinding.test:{port}/")
    resolve, asked = resolver_of(["93.184.215.14"], ["127.0.0.1"])
    assert dialing.is_public((await resolve("rebinding.test", 80))[0])
    refusal = await hooks.refused(endpoint, allowed=frozenset(), resolver=resolve)
    assert (refusal.rule, receiver.connections, len(asked)) == ("wh-blocked", 0, 2)


async def test_the_address_that_was_checked_is_the_one_that_is_dialled(hooks: Hooks, receiver: Receiver) -> None:
    port = receiver.url.rpartition(":")[2]
    endpoint = await hooks.at(f"http://hooks.test:{port}/")
    resolve, asked = resolver_of(["127.0.0.1"], ["127.0.0.2"])
    await hooks.send(endpoint, allowed=frozenset({"hooks.test"}), resolver=resolve)
    assert (asked, receiver.connections) == (["hooks.test"], 1)
    assert receiver.requests[0].headers["host"] == f"hooks.test:{port}"
    mixed, _ = resolver_of(["10.0.0.1", "127.0.0.1"])
    assert (await hooks.refused(endpoint, allowed=frozenset(), resolver=mixed)).rule == "wh-blocked"
    assert receiver.connections == 1


async def test_an_endpoint_without_an_address_or_a_listener_is_tried_again(hooks: Hooks) -> None:
    async def nowhere(_host: str, _port: int) -> list[str]:
        raise OSError("no such name")

    endpoint = await hooks.at("http://nowhere.test/")
    assert (await hooks.refused(endpoint, resolver=nowhere)).rule == "wh-not-sent"
    with receiving() as closed:
        url = closed.url
    assert (await hooks.refused(await hooks.at(url))).rule == "wh-not-sent"


@pytest.mark.parametrize("named", ["hooks.test", "other.test"])
async def test_the_certificate_is_asked_for_by_name(hooks: Hooks, tmp_path: Path, named: str) -> None:
    trust, server = certificate_for(named, tmp_path)
    with receiving(server) as receiver:
        port = receiver.url.rpartition(":")[2]
        endpoint = await hooks.at(f"https://hooks.test:{port}/")
        resolve, _ = resolver_of(["127.0.0.1"])
        options: dict[str, Any] = {"allowed": frozenset({"hooks.test"}), "resolver": resolve, "trust": trust}
        if named == "hooks.test":
            await hooks.send(endpoint, **options)
        else:
            assert (await hooks.refused(endpoint, **options)).rule == "wh-not-sent"
        assert receiver.names == ["hooks.test"]
        assert len(receiver.requests) == (1 if named == "hooks.test" else 0)


def certificate_for(name: str, folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a client that trusts a fresh certificate for this name, and of the server that has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return ssl.create_default_context(cadata=made.public_bytes(serialization.Encoding.PEM).decode()), server


# --- settings and addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "https://", "https:///x", "example.com", "https://user:pw@example.com/",
        "https://example.com/#part", "https://127.0.0.1/", "https://[::1]/", "https://10.1.2.3/", "https://169.254.169.254/latest",
        "https://exa mple.com/", "https://example.com/\n", "https://пример.рф/", "https://example.com:0/", "https://[::1/",
        "https://example.com/" + "x" * 2000,
    ],
    ids=[f"{n}" for n in range(17)],
)  # fmt: skip
def test_addresses_that_are_never_dialled_are_not_registered(url: str) -> None:
    with pytest.raises(Invalid) as refusal:
        dialing.checked_url(url, frozenset())
    assert refusal.value.param == "url"


def test_what_may_be_registered_and_allowed() -> None:
    allowed = dialing.allowed_hosts({"PAYDESK_WEBHOOK_ALLOW": "127.0.0.1, hooks.internal,::1"})
    for url in ("https://example.com/in?a=b", "https://xn--e1afmkfd.xn--p1ai:8443/", "https://8.8.8.8/",
                "http://127.0.0.1:9000/", "http://hooks.internal/", "http://[::1]:9000/"):  # fmt: skip
        assert dialing.checked_url(url, allowed) == url
    with pytest.raises(Invalid):
        dialing.checked_url("http://127.0.0.2/", allowed)
    with pytest.raises(SettingError, match=r"PAYDESK_WEBHOOK_ALLOW=127\.0\.0\.1"):
        dialing.allowed_hosts({"PAYDESK_WEBHOOK_ALLOW": "http://127.0.0.1"})


def test_the_schedule_ends_after_ten_attempts() -> None:
    assert [webhook_failures.wait_after(n) is None for n in range(1, 12)] == [False] * 9 + [True] * 2
