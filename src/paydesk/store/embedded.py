"""The embedded PostgreSQL: a real server, started for us, shared by every process of ours, stopped by the last one.

**Who uses it.** Each user holds a shared lock on `users.lock` in the data folder. The kernel drops the lock of a
process that dies, however it dies, so the dead never count. Who leaves asks for the exclusive lock: whoever gets it
was the last, and stops the server while still holding it, so nobody can join a server that is going down.

**Who starts it.** Only the holder of `start.lock`. A start first asks the server itself; a living one is joined,
whatever its pid file says. One that recovers from a crash is waited for, and nothing is deleted meanwhile.

The caller handles SIGTERM and SIGINT and calls `release`; an ordinary exit of the program does it too.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

from paydesk.store import cluster as clusters
from paydesk.store import places, postmaster
from paydesk.store.cluster import ROLE_TIMEOUTS, Answer, Cluster
from paydesk.store.places import EmbeddedError

__all__ = ["ROLE_TIMEOUTS", "Embedded", "EmbeddedError", "StillStarting", "remove", "start"]

Say = Callable[[str], None]
BACK_OFF_S = (0.0, 0.5, 1.0, 2.0, 5.0)  # before the n-th restart in a row: back soon after a full disk has space again
STEADY_S = 60.0  # a server that ran this long has earned a fresh count
SLOW_S = 1.0  # a start that takes longer is a recovery, and is told
_SLOW = "The database is starting; after a crash it recovers first, which may take some minutes."
_POLL_S, _SLOW_POLL_S = 0.02, 0.2


class StillStarting(EmbeddedError):
    """The server is not ready yet and was left alone: it goes on by itself, start again later."""


def start(
    data: Path, *, say: Say = lambda _line: None, wait_s: float = 300, leaving: threading.Event | None = None
) -> Embedded:
    """Start or join the embedded server of a data folder, and return it once it has answered a query.

    The folder is made when missing. `say` is given one line for a human when something takes long. Raises
    `EmbeddedError` with one helpful line when the folder cannot be used or the server does not start, and
    `StillStarting` when it is still recovering after `wait_s` seconds. Another thread that sets `leaving` ends the
    start soon, at any moment: nothing that we have started is left, and it raises `EmbeddedError`.
    """
    server = Embedded(places.data_folder(data), say, wait_s, leaving or threading.Event())
    try:
        server._join()
    except StillStarting:
        server._leave()
        raise
    except OSError as error:
        server.release()
        raise EmbeddedError(f"the embedded database in {server.data} cannot be used: {error}") from error
    except BaseException:
        server.release()
        raise
    atexit.register(server.release)
    return server


def remove(data: Path) -> None:
    """Delete the database of a data folder for ever. Raises `EmbeddedError` while anybody uses it."""
    folder = places.data_folder(data)
    users = _open(folder / "users.lock")
    try:
        if not _try(users, fcntl.LOCK_EX):
            raise EmbeddedError(f"the database in {folder} is in use: stop every Paydesk on it first")
        clusters.remove(folder)
    finally:
        os.close(users)


class Embedded:
    """A running server that we use, until `release`. Safe to call from several threads."""

    def __init__(self, data: Path, say: Say, wait_s: float, leaving: threading.Event) -> None:
        self.data = data
        self._say = say
        self._wait_s = wait_s
        self._users: int | None = None
        self._cluster: Cluster | None = None
        self._child: Popen[Any] | None = None
        self._busy = threading.Lock()
        self._leaving = leaving
        self._restarts = 0
        self._restarted_at = 0.0

    @property
    def dsn(self) -> str:
        """Where Paydesk's own role, no superuser, finds Paydesk's database, over the private socket."""
        return self._known().url(clusters.ROLE, clusters.DATABASE)

    @property
    def admin_dsn(self) -> str:
        """Where the superuser finds the database `postgres`, over the same socket: for set-up and backups only."""
        return self._known().url(clusters.SUPERUSER, clusters.SUPERUSER)

    @property
    def binaries(self) -> Path:
        """The folder of `psql`, `pg_dump`, `pg_restore` and the rest, of the server's own version."""
        return self._known().binaries

    @property
    def pid(self) -> int:
        """The process id of the postmaster, or 0 while none runs."""
        return postmaster.postmaster(self._known().folder) or 0

    def release(self) -> None:
        """Stop using the server. The last user stops it and waits for its end; calling it again does nothing.

        It ends a waiting `ensure_running` in another thread. Do not call it inside a signal handler, which may have
        interrupted that very wait: end the program from there.
        """
        self._leaving.set()
        with self._busy:
            atexit.unregister(self.release)
            if self._users is not None and self._leave():
                self._stop_if_last()

    def ensure_running(self) -> bool:
        """Start the server again if it is dead, and return True if we had to. For when connections fail.

        Restarts in a row wait longer each time. Raises `EmbeddedError` when it does not come up (a full disk): call
        again later. Returns False after `release`.
        """
        with self._busy:
            if self._leaving.is_set() or self._known().answer() is Answer.READY:
                return False
            self._back_off()
            with self._starting():
                return self._bring_up(self._known())

    def _known(self) -> Cluster:
        if self._cluster is None:
            raise EmbeddedError("the embedded database was not started")
        return self._cluster

    def _join(self) -> None:
        with self._starting():
            self._users = _open(self.data / "users.lock")
            self._wait_for(self._users, fcntl.LOCK_SH, "the database is just being stopped")
            self._cluster = clusters.opened(self.data) or clusters.made(self.data, self._leaving)
            self._bring_up(self._cluster)

    def _leave(self) -> bool:
        """Drop our share by closing it: a forked child of ours that lives on keeps its own."""
        users, self._users = self._users, None
        if users is not None:
            os.close(users)
        return users is not None

    def _stop_if_last(self) -> None:
        users = _open(self.data / "users.lock")
        try:
            if self._cluster is not None and _try(users, fcntl.LOCK_EX):
                postmaster.stop(self._cluster.folder)
                self._reap()
        finally:
            os.close(users)

    def _back_off(self) -> None:
        if time.monotonic() - self._restarted_at > STEADY_S:
            self._restarts = 0
        self._leaving.wait(BACK_OFF_S[min(self._restarts, len(BACK_OFF_S) - 1)])
        self._restarts += 1
        self._restarted_at = time.monotonic()

    def _bring_up(self, cluster: Cluster) -> bool:
        """Make the server answer, under the start lock; return True if it had to be launched."""
        launched = False
        for _ in self._patience(_SLOW):
            answer = cluster.answer()
            if answer is Answer.READY:
                break
            if answer is Answer.SILENT and not postmaster.members(cluster.folder):
                self._reap()
                if launched:
                    raise EmbeddedError(f"the embedded database did not start: {cluster.last_words()}")
                cluster.clear_stale()
                self._child, launched = cluster.launch(), True
        if launched or not cluster.furnished():
            cluster.furnish()
        return launched

    def _reap(self) -> None:
        """Let a dead child of ours go: as process 1 of a container nobody else would."""
        if self._child is not None and self._child.poll() is not None:
            self._child = None

    @contextmanager
    def _starting(self) -> Iterator[None]:
        lock = _open(self.data / "start.lock")
        try:
            self._wait_for(lock, fcntl.LOCK_EX, "another process is starting the database")
            yield
        finally:
            os.close(lock)

    def _wait_for(self, lock: int, how: int, why: str) -> None:
        for _ in self._patience(f"Waiting: {why}."):
            if _try(lock, how):
                return

    def _patience(self, line: str) -> Iterator[None]:
        """Yield until the wait is over, saying once what it is about; raise when it took too long or we leave."""
        begun, told = time.monotonic(), False
        while True:
            yield
            waited_s = time.monotonic() - begun
            if waited_s > self._wait_s:
                raise StillStarting(
                    f"the embedded database is not ready after {self._wait_s:.0f} s; it goes on, start again later"
                )
            if waited_s > SLOW_S and not told:
                self._say(line)
                told = True
            if self._leaving.wait(_POLL_S if waited_s < SLOW_S else _SLOW_POLL_S):
                raise EmbeddedError("the embedded database was released while it started")


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _try(lock: int, how: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(lock, how | fcntl.LOCK_NB)
        return True
    return False
