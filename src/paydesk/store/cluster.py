"""One PostgreSQL cluster: made, started, asked, and furnished for Paydesk. Who may do so when is decided elsewhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import quote

from paydesk.store import places, postmaster
from paydesk.store.places import MAJOR, Account, EmbeddedError

ROLE = "paydesk"
DATABASE = "paydesk"
SUPERUSER = "postgres"
ROLE_TIMEOUTS = {"idle_in_transaction_session_timeout": "10s", "statement_timeout": "30s", "lock_timeout": "5s"}
"""Limits on every session of Paydesk's role: a frozen process must not hold others up for ever."""

SETTINGS = {
    # what was acknowledged survives a power cut
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # nobody but us gets in
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    # modest, and quick to recover
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "256MB",
    "min_wal_size": "256MB",  # written segments are kept to be used again: filling a new one holds up every commit
    "autovacuum": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    # the log stays small and free of customers' data: no statements, no values of rows
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
}
"""Given on the server's command line, so neither a file nor ALTER SYSTEM can change them."""

LOG_LIMIT_BYTES = 10_000_000
_HBA = b"# Only through the socket, which lies in a folder that nobody else can enter.\nlocal all all trust\n"
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}  # nothing of ours: it holds secrets
_GLANCE_S = 0.05  # between two looks whether we are to leave
_CAUGHT = "caught signal"  # what `initdb` says when somebody else has ended it
_KNOCK_S, _ENTER_S, _WORK_S = 2, 10, 60  # the longest a client of ours waits: to hear, to connect, for all
_FURNISH = f"""
SELECT 'CREATE ROLE {ROLE} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') \\gexec
ALTER ROLE {ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
{"".join(f"ALTER ROLE {ROLE} SET {name} = '{value}';" for name, value in ROLE_TIMEOUTS.items())}
SELECT 'CREATE DATABASE {DATABASE} OWNER {ROLE}'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec
REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC;
"""


class Answer(Enum):
    """What a server says when asked: `select 1` works; it is up but not yet serving; nothing at all."""

    READY = "ready"
    STARTING = "starting"
    SILENT = "silent"


@dataclass(frozen=True)
class Cluster:
    """An existing cluster and what is needed to run it."""

    folder: Path
    socket: Path
    binaries: Path
    account: Account | None
    log: Path

    def url(self, user: str, database: str) -> str:
        """Return the address of a database over the private socket, for asyncpg and for libpq."""
        return f"postgresql://{user}@/{database}?host={quote(str(self.socket))}&port={SETTINGS['port']}"

    def launch(self) -> subprocess.Popen[Any]:
        """Start the server and return at once. It gets a session of its own, so Ctrl-C reaches it only through us."""
        own = {"unix_socket_directories": str(self.socket), "cluster_name": postmaster.title(self.folder)}
        command = [str(self.binaries / "postgres"), "-D", str(self.folder), *_as_options(SETTINGS | own)]
        _shorten(self.log)
        with open(self.log, "ab", opener=_private) as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_ENVIRONMENT,
                umask=0o077,
                start_new_session=True,
                **places.run_as(self.account),
            )

    def clear_stale(self) -> None:
        """Remove what a dead server left and the next would stumble over; see `postmaster.clear_stale`."""
        postmaster.clear_stale(self.folder / "postmaster.pid", self.socket / f"{places.SOCKET_NAME}.lock")

    def answer(self) -> Answer:
        """Ask the server, and believe only a real connection."""
        ready = self._run("pg_isready", f"--timeout={_KNOCK_S}", f"--dbname={self.url(SUPERUSER, SUPERUSER)}")
        if ready.returncode == 1:
            return Answer.STARTING
        return Answer.READY if ready.returncode == 0 and self._ask(SUPERUSER, SUPERUSER) else Answer.SILENT

    def furnished(self) -> bool:
        """Say whether Paydesk's role can enter Paydesk's database."""
        return self._ask(ROLE, DATABASE)

    def furnish(self) -> None:
        """Make Paydesk's role and database and set the role's limits; what is there already stays."""
        done = self._sql(SUPERUSER, SUPERUSER, _FURNISH)
        if done.returncode:
            raise EmbeddedError(f"the embedded database could not be set up: {' '.join(done.stderr.split())}")

    def last_words(self) -> str:
        """Return the last lines of the log that tell why the server ended."""
        lines = self.log.read_text(errors="replace").splitlines()[-40:] if self.log.exists() else []
        telling = [
            line for line in lines if ("FATAL" in line or "PANIC" in line) and "the database system is" not in line
        ]
        return (telling or lines or ["no reason given"])[-1]

    def _ask(self, user: str, database: str) -> bool:
        return self._sql(user, database, "select 1").returncode == 0

    def _sql(self, user: str, database: str, sql: str) -> subprocess.CompletedProcess[str]:
        options = ["-XAtq", "-v", "ON_ERROR_STOP=1", "-f", "-", self.url(user, database)]
        return self._run("psql", *options, text=sql)

    def _run(self, program: str, *options: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a client as ourselves; one that gets no answer in time counts as failed."""
        environment = _ENVIRONMENT | {"PGCONNECT_TIMEOUT": str(_ENTER_S)}
        command = [str(self.binaries / program), *options]
        try:
            return subprocess.run(command, input=text, capture_output=True, text=True, env=environment, timeout=_WORK_S)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 2, "", f"{program} got no answer")


def opened(data: Path) -> Cluster | None:
    """Return the cluster of a data folder, or None when there is none yet. Its version and owner are checked."""
    link = data / "pg"
    if link.is_symlink() and not link.exists():
        raise EmbeddedError(
            f"{link} points to {os.readlink(link)}, which is gone: bring it back, or restore a backup elsewhere"
        )
    if not link.exists():
        return None
    folder = link.resolve()
    account = places.server_account(folder)
    if account is not None:
        places.require_no_copy(data, folder)
    _require_version(folder)
    _require_owner(folder, account)
    return Cluster(
        folder, places.socket_folder(data, folder, account), places.binaries(account), account, data / "postgres.log"
    )


def made(data: Path, leaving: Event) -> Cluster:
    """Make the cluster of a data folder. A crash half-way leaves nothing that a later start would take for one.

    Once `leaving` is set it is given up: raises `EmbeddedError`.
    """
    places.discard_half_made(data)
    account = places.server_account(data / "pg")
    half = places.half_made(data, account)
    try:
        _initdb(half.resolve(), account, leaving)
        places.sync(half.resolve().parent)
        half.rename(data / "pg")
    except BaseException:
        places.discard_half_made(data)
        raise
    places.sync(data)
    cluster = opened(data)
    if cluster is None:
        raise EmbeddedError(f"{data}/pg vanished while it was made: does something else write to {data}?")
    return cluster


def _initdb(folder: Path, account: Account | None, leaving: Event) -> None:
    command = [
        str(places.binaries(account) / "initdb"),
        "-D", str(folder), "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "-k", "--no-instructions",
        "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
    ]  # fmt: skip
    status, said = _run_unless(leaving, command, account)
    if status < 0 or _CAUGHT in said:
        raise EmbeddedError("the embedded database was just being made when something stopped that: start again")
    if status:
        reason = [line for line in said.splitlines() if line and "removing data directory" not in line]
        raise EmbeddedError(f"the embedded database could not be made in {folder.parent}: {(reason or [said])[-1]}")
    with open(folder / "pg_hba.conf", "wb") as hba:
        hba.write(_HBA)
        hba.flush()
        os.fsync(hba.fileno())


def _run_unless(leaving: Event, command: list[str], account: Account | None) -> tuple[int, str]:
    """Run a program to its end; return its status and what it said. Nothing of it lives on when we are to leave.

    It has a session of its own: a Ctrl-C in the terminal reaches it only through us.
    """
    options = places.run_as(account)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/",
        env=_ENVIRONMENT, umask=0o077, start_new_session=True, **options,
    )  # fmt: skip
    with process:
        try:
            while True:
                if leaving.is_set():
                    raise EmbeddedError("the embedded database was released while it was made")
                with suppress(subprocess.TimeoutExpired):
                    said, _ = process.communicate(timeout=_GLANCE_S)
                    return process.returncode, said.strip()
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise


def _require_version(folder: Path) -> None:
    try:
        found = (folder / "PG_VERSION").read_text().strip()
    except OSError:
        raise EmbeddedError(f"{folder} is no PostgreSQL cluster: move it away, or set PAYDESK_DATA") from None
    if found != MAJOR:
        raise EmbeddedError(
            f"{folder} was made by PostgreSQL {found}, and this Paydesk brings PostgreSQL {MAJOR}: "
            "make a backup with the Paydesk that made it, then restore it with this one"
        )


def _require_owner(folder: Path, account: Account | None) -> None:
    owner = folder.stat().st_uid
    if account is None and owner != os.geteuid():
        raise EmbeddedError(f"{folder} belongs to {places.account_name(owner)}: run as that user, or set PAYDESK_DATA")


def _as_options(settings: dict[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _shorten(log: Path) -> None:
    """Keep the log within bounds before a new server writes to it: the old one is kept once, beside it."""
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_name("postgres.log.1"))


def remove(data: Path) -> None:
    """Delete the cluster of a data folder for ever, also what lies outside of it. Nobody may be using it."""
    cluster = opened(data)
    if cluster is None:
        return
    postmaster.stop(cluster.folder)
    if cluster.socket not in (data, cluster.folder.parent):
        shutil.rmtree(cluster.socket)
    places.discard(data / "pg")
