"""Which server processes of a cluster live, and how they are ended.

`postmaster.pid` is only a hint: its number may belong to another process by now (numbers repeat in containers and
after a reboot), to a zombie, or be missing after a power cut. The truth is the table of processes: a server process
belongs to the cluster's owner and either works in the cluster's folder or bears its name on the command line.
A zombie has neither, so it counts as dead.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FAST_STOP_S = 60.0  # a last checkpoint may write up to max_wal_size worth of pages
IMMEDIATE_STOP_S = 10.0
_POLL_S = 0.01


@dataclass(frozen=True)
class Process:
    """One living process of the cluster: its number, its parent's, and the program it was started as."""

    pid: int
    parent: int
    program: str


def members(cluster: Path) -> list[Process]:
    """Return the living server processes of a cluster, also those that outlive their postmaster for a moment."""
    find = members_by_proc if Path("/proc/self/cwd").exists() else members_by_ps
    return list(find(cluster))


def postmaster(cluster: Path) -> int | None:
    """Return the process id of the cluster's living postmaster, or None.

    It is the process still called `postgres` that no other member has started: children rename themselves.
    """
    found = members(cluster)
    pids = {process.pid for process in found}
    return next((p.pid for p in found if p.program == "postgres" and p.parent not in pids), None)


def written_pid(lock_file: Path) -> int | None:
    """Return the number in a `postmaster.pid` or a socket's lock file; None when it is missing, empty or broken."""
    with suppress(OSError, ValueError, IndexError):
        return abs(int(lock_file.read_text(errors="replace").splitlines()[0])) or None
    return None


def clear_stale(*lock_files: Path) -> None:
    """Remove those lock files of a dead server over which PostgreSQL would stumble.

    Call it under the start lock, with no member alive. A file with a dead number is left alone: PostgreSQL replaces
    it by itself, and reads the shared memory's key in it as one more guard against a second server. Only an empty or
    broken file, and one whose number now belongs to some other process or to a zombie, would stop it for ever.
    """
    for file in lock_files:
        pid = written_pid(file)
        if pid is None or _exists(pid):
            file.unlink(missing_ok=True)


def stop(cluster: Path) -> None:
    """Stop the cluster's server and wait until its last process is gone; nothing happens when none runs.

    First a fast shutdown (open transactions are rolled back, everything is written), and only when that takes too
    long an immediate one, which costs a recovery at the next start and no data.
    """
    for how, patience_s in ((signal.SIGINT, FAST_STOP_S), (signal.SIGQUIT, IMMEDIATE_STOP_S)):
        pid = postmaster(cluster)
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        if _gone(cluster, pid, patience_s):
            return


def reap(pid: int) -> None:
    """Take leave of a dead child, so that it does not stay a zombie; other processes are not touched."""
    with suppress(OSError):
        os.waitpid(pid, os.WNOHANG)


def _gone(cluster: Path, pid: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while members(cluster):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    reap(pid)
    return True


def _exists(pid: int) -> bool:
    """Say whether the kernel knows this number, as PostgreSQL would ask: zombies and strangers count."""
    reap(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def title(cluster: Path) -> str:
    """Return the `cluster_name` our servers run with; PostgreSQL shows it in the title of each of its processes."""
    return f"paydesk-{hashlib.sha256(os.fsencode(cluster)).hexdigest()[:8]}"


def members_by_proc(cluster: Path) -> Iterator[Process]:
    """Yield the members by `/proc`. Folders of other accounts' processes may be closed to us, even as root."""
    home, hint = cluster.stat(), written_pid(cluster / "postmaster.pid")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it ended while we looked
                command = os.fsdecode((entry / "cmdline").read_bytes()).replace("\0", " ")
                named = _bears_name(cluster, int(entry.name) == hint, command)
                if entry.stat().st_uid == home.st_uid and (named or _works_in(entry, home)):
                    yield Process(int(entry.name), _parent(entry), _program(command))


def members_by_ps(cluster: Path) -> Iterator[Process]:
    """Yield the members where there is no `/proc` (macOS), by their command lines alone."""
    listing = ["ps", "-axww", "-o", "pid=,ppid=,uid=,state=,command="]
    answer = subprocess.run(listing, capture_output=True, text=True, check=True, errors="surrogateescape")
    owner, hint = cluster.stat().st_uid, written_pid(cluster / "postmaster.pid")
    for line in answer.stdout.splitlines():
        pid, parent, uid, state, command = line.split(None, 4)
        if int(uid) == owner and not state.startswith("Z") and _bears_name(cluster, int(pid) == hint, command):
            yield Process(int(pid), int(parent), _program(command))


def _bears_name(cluster: Path, hinted: bool, command: str) -> bool:
    """Say whether a command line is that of a server process of this cluster.

    One that was started by hand in the cluster's folder need not tell the folder. So a `postgres` with the number of
    the pid file counts unless it names another folder: a doubtful one is never taken for dead.
    """
    by_hand = hinted and _program(command) == "postgres" and " -D /" not in command
    return by_hand or f" -D {cluster} " in f"{command} " or command.startswith(f"postgres: {title(cluster)}: ")


def _works_in(entry: Path, home: os.stat_result) -> bool:
    in_home = os.path.samestat((entry / "cwd").stat(), home)
    return in_home and (entry / "comm").read_text().startswith("postgres")


def _parent(entry: Path) -> int:
    return int((entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])


def _program(command: str) -> str:
    """Return what a process is called: `postgres` for a postmaster, `postgres:` for one of its children."""
    return os.path.basename(command.split(" ", 1)[0])
