"""The embedded PostgreSQL: shared, private, stopped by the last user, and up again after everything that kills it.

Each test has a data folder of its own and real processes. As root, `tmp_path` lies below folders of mode 0700.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import asyncpg
import pytest

from paydesk.store import embedded, places, postmaster

ROOT = os.geteuid() == 0
only_root = pytest.mark.skipif(not ROOT, reason="needs root: it acts as other users of the system")
STRANGER = pwd.getpwnam("nobody") if ROOT else pwd.getpwuid(os.geteuid())
DEAD_PID = 2**22 - 3

USER = """
import os, signal, sys, threading
from pathlib import Path
from paydesk.store import embedded

data, uid, wait_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
if uid != os.geteuid():
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
os.umask(0o022)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
try:
    server = embedded.start(data, say=lambda line: print("say", line, flush=True), wait_s=wait_s)
except embedded.EmbeddedError as error:
    print(type(error).__name__, error.message, flush=True)
    sys.exit(1)
print("ready", server.pid, server.dsn, flush=True)
for line in sys.stdin:
    try:
        print("did", getattr(server, line.strip())(), flush=True)
    except embedded.EmbeddedError as error:
        print("did", error.message, type(error).__name__, flush=True)
"""


class User:
    """A process that uses the embedded database and does as it is told."""

    def __init__(self, data: Path, *, uid: int | None = None, wait_s: float = 60, path: str = "") -> None:
        command = [sys.executable, "-c", USER, str(data), str(os.geteuid() if uid is None else uid), str(wait_s)]
        environment = os.environ | {"STRIPE_API_KEY": "sk_test_canary"} | ({"PYTHONPATH": path} if path else {})
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)

    def line(self) -> list[str]:
        """Return its next line in words: `ready PID DSN`, `say …`, `did …` or the name of an error and its text."""
        return self.process.stdout.readline().split()

    def result(self) -> list[str]:
        """Return its next line that is no `say`, of which a busy machine may bring some."""
        words = self.line()
        while words[:1] == ["say"]:
            words = self.line()
        return words

    def says_nothing_for(self, seconds: float) -> bool:
        return not select.select([self.process.stdout], [], [], seconds)[0]

    def ready(self) -> int:
        """Wait until it has the database; return the server's process id."""
        words = self.result()
        assert words[:1] == ["ready"], words
        return int(words[1])

    def do(self, what: str) -> str:
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self.result()[-1]

    def end(self, how: signal.Signals | None = None) -> None:
        """Let it end by itself, or send a signal; wait for it."""
        if how is not None:
            self.process.send_signal(how)
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture
def users() -> Iterator[list[User]]:
    found: list[User] = []
    yield found
    for user in found:
        if user.process.poll() is None:
            user.process.kill()
        with contextlib.suppress(BrokenPipeError):
            user.end()


@pytest.fixture
def data(tmp_path: Path, users: list[User]) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    for user in users:
        user.process.kill()
        user.process.wait()
    if (folder / "pg").exists():
        embedded.remove(folder)


@pytest.fixture
def strangers_folder(users: list[User]) -> Iterator[Path]:
    """A folder of the user `nobody` that he can reach, since he cannot pass pytest's own; unless root, just ours."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    os.chown(folder, STRANGER.pw_uid, STRANGER.pw_gid)
    yield folder
    for user in users:
        if user.process.poll() is None:
            user.end()
    shutil.rmtree(folder)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def fetch(dsn: str, sql: str) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()


async def value(dsn: str, sql: str) -> object:
    return (await fetch(dsn, sql))[0][0]


def run_as(account: places.Account, *command: object) -> subprocess.CompletedProcess:
    """Run a program as another user, if we may."""
    who = places.run_as(account) if ROOT else {}
    return subprocess.run(command, capture_output=True, text=True, cwd="/", check=False, **who)


def connects_as(name: str, dsn: str, binaries: Path) -> subprocess.CompletedProcess:
    entry = pwd.getpwnam(name)
    return run_as(places.Account(entry.pw_uid, entry.pw_gid), binaries / "psql", "-XAtqc", "select 1", dsn)


# --- the database that one gets -------------------------------------------------------------------------------------


async def test_first_start_gives_a_database_of_our_own_to_a_role_that_is_no_superuser(data: Path) -> None:
    server = embedded.start(data)
    try:
        row = (await fetch(server.dsn, "select current_user, current_database(), current_setting('is_superuser')"))[0]
        assert tuple(row) == ("paydesk", "paydesk", "off")
        await fetch(server.dsn, "create table made_by_us (id int)")
        assert await value(server.admin_dsn, "select current_setting('is_superuser')") == "on"
        psql = subprocess.run(
            [server.binaries / "psql", "-XAtc", "select 6 * 7", server.dsn], capture_output=True, text=True
        )
        assert psql.stdout == "42\n", psql.stderr
    finally:
        server.release()
    assert server.pid == 0


async def test_what_is_acknowledged_is_durable_and_sessions_are_limited(data: Path) -> None:
    server = embedded.start(data)
    try:
        rows = await fetch(server.dsn, "select name, current_setting(name) as value from pg_settings")
        found = {row["name"]: row["value"] for row in rows}
        expected = {
            "fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "data_checksums": "on",
            "listen_addresses": "", "unix_socket_permissions": "0700", "server_encoding": "UTF8", "TimeZone": "UTC",
            "max_wal_size": "256MB", "shared_buffers": "128MB", "max_connections": "100", "autovacuum": "on",
            "idle_in_transaction_session_timeout": "10s", "statement_timeout": "30s", "lock_timeout": "5s",
        }  # fmt: skip
        assert {name: found.get(name) for name in expected} == expected
        hba = await fetch(server.admin_dsn, "select type, auth_method from pg_hba_file_rules")
        assert [tuple(row) for row in hba] == [("local", "trust")]
    finally:
        server.release()


def test_nobody_else_can_read_a_file_and_the_server_inherits_nothing(data: Path, users: list[User]) -> None:
    users.append(User(data))
    pid = users[0].ready()
    places_of_data = [
        data,
        (data / "pg").resolve(),
        places.socket_folder(data, (data / "pg").resolve(), _account(pid) if ROOT else None),
    ]
    for place in places_of_data:
        assert stat.S_IMODE(place.stat().st_mode) == 0o700, place
    for place in places_of_data[:2]:
        assert [path for path in place.rglob("*") if not path.is_symlink() and path.lstat().st_mode & 0o077] == []
    opened = run_as(_account(pid), "ls", "-l", f"/proc/{pid}/fd").stdout
    assert "postgres.log" in opened
    assert str(data / "users.lock") not in opened
    assert str(data / "start.lock") not in opened
    environment = run_as(_account(pid), "cat", f"/proc/{pid}/environ").stdout
    assert "LC_ALL" in environment
    assert "canary" not in environment
    assert os.getsid(pid) == pid


def _account(pid: int) -> places.Account:
    owner = Path(f"/proc/{pid}").stat()
    return places.Account(owner.st_uid, owner.st_gid)


# --- several users, and how they leave ------------------------------------------------------------------------------


def test_two_processes_share_one_server_and_the_last_stops_it(data: Path, users: list[User]) -> None:
    users += [User(data), User(data)]
    pid = users[0].ready()
    assert users[1].ready() == pid
    users[0].end()
    assert alive(pid)
    users[1].end()
    assert not alive(pid)


def test_a_killed_user_leaves_the_server_and_the_next_one_takes_it_over(data: Path, users: list[User]) -> None:
    users.append(User(data))
    pid = users[0].ready()
    users[0].end(signal.SIGKILL)
    assert alive(pid)
    users.append(User(data))
    assert users[1].ready() == pid
    users[1].end()
    assert not alive(pid)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_user_that_handles_a_signal_stops_the_server(data: Path, users: list[User], how: signal.Signals) -> None:
    users.append(User(data))
    pid = users[0].ready()
    os.killpg(users[0].process.pid, how)
    users[0].end()
    assert users[0].process.returncode == 0
    assert not alive(pid)


def test_a_start_while_the_last_user_leaves_ends_with_a_running_server(data: Path, users: list[User]) -> None:
    for _ in range(5):
        users.append(User(data))
        users[-1].ready()
        users.append(User(data))
        users[-2].process.stdin.close()
        assert alive(users[-1].ready())
        assert users[-1].do("ensure_running") == "False"
        users[-1].end()


def test_a_start_killed_while_it_makes_the_cluster_is_made_good_by_the_next(data: Path, users: list[User]) -> None:
    users.append(User(data))
    while not list(data.glob("pg.*.new/PG_VERSION")):
        time.sleep(0.005)
    half = next(data.glob("pg.*.new"))
    home = half.resolve()
    users[0].end(signal.SIGKILL)
    must_start(data)
    time.sleep(1)  # the orphaned initdb has ended by now, and cleaned up after itself
    must_start(data)
    assert not half.is_symlink()
    assert not home.exists()


def test_a_forked_child_is_a_user_of_its_own(data: Path) -> None:
    server = embedded.start(data)
    pid = server.pid
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        os.read(heard, 1)
        server.release()
        os._exit(0)
    os.close(heard)
    server.release()
    assert alive(pid)
    os.close(told)
    os.waitpid(child, 0)
    assert not alive(pid)


def test_released_is_released(data: Path) -> None:
    server = embedded.start(data)
    server.release()
    server.release()
    assert server.ensure_running() is False
    assert server.pid == 0


# --- pid files that lie ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder whose server has run and was stopped; the tests that share it leave it so."""
    data = tmp_path_factory.mktemp("stopped") / "data"
    embedded.start(data).release()
    yield data
    embedded.remove(data)


def write_pid_file(data: Path, content: str) -> None:
    """Write what a dead server leaves: its number stands in two files, both the server account's."""
    cluster = (data / "pg").resolve()
    owner = cluster.stat()
    for file in (cluster / "postmaster.pid", cluster.parent / f"{places.SOCKET_NAME}.lock"):
        file.write_text(content)
        os.chown(file, owner.st_uid, owner.st_gid)
        file.chmod(0o600)


def must_start(data: Path) -> None:
    server = embedded.start(data, wait_s=20)
    try:
        assert alive(server.pid)
    finally:
        server.release()


@pytest.mark.parametrize("content", ["", "\n", "not a number\n", f"{DEAD_PID}\n/x\n1700000000\n", f"{DEAD_PID}\n"])
def test_a_pid_file_without_a_living_process_is_no_obstacle(stopped: Path, content: str) -> None:
    write_pid_file(stopped, content)
    must_start(stopped)


@pytest.mark.parametrize("rest", ["", "/x\n1700000000\n"])
def test_a_pid_file_with_the_number_of_a_stranger_is_no_obstacle(stopped: Path, rest: str) -> None:
    owner = (stopped / "pg").stat().st_uid
    with subprocess.Popen(["sleep", "600"], **({"user": owner} if ROOT else {})) as stranger:
        try:
            write_pid_file(stopped, f"{stranger.pid}\n{rest}")
            must_start(stopped)
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_pid_file_with_the_number_of_another_folders_server_is_no_obstacle(stopped: Path, tmp_path: Path) -> None:
    other = embedded.start(tmp_path / "other")
    try:
        write_pid_file(stopped, f"{other.pid}\n")
        must_start(stopped)
        assert other.ensure_running() is False
    finally:
        other.release()
        embedded.remove(tmp_path / "other")


def test_a_pid_file_with_the_number_of_a_zombie_is_no_obstacle(stopped: Path) -> None:
    child = "p = subprocess.Popen(['true'], user=int(sys.argv[1])); print(p.pid, flush=True)"
    code = f"import subprocess, sys; {child}; sys.stdin.read()"
    owner = str((stopped / "pg").stat().st_uid)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code, owner], **pipes) as parent:
        zombie = int(parent.stdout.readline())
        while alive(zombie):
            time.sleep(0.01)
        os.kill(zombie, 0)  # as PostgreSQL asks: it is still there
        write_pid_file(stopped, f"{zombie}\n")
        must_start(stopped)


def test_a_pid_file_broken_under_a_living_server_does_not_start_a_second(data: Path, users: list[User]) -> None:
    users.append(User(data))
    pid = users[0].ready()
    write_pid_file(data, "")
    users.append(User(data))
    assert users[1].ready() == pid
    users[0].end()
    users[1].end()
    assert not alive(pid)


def test_processes_are_found_without_proc_too(data: Path) -> None:
    server = embedded.start(data)
    try:
        cluster = (data / "pg").resolve()
        by_ps = list(postmaster.members_by_ps(cluster))
        assert [process.pid for process in by_ps if process.program == "postgres"] == [server.pid]
        assert {p.pid for p in by_ps} <= {p.pid for p in postmaster.members_by_proc(cluster)}
    finally:
        server.release()


# --- servers that die -----------------------------------------------------------------------------------------------


async def test_a_server_killed_while_we_run_comes_back_with_every_committed_row(data: Path) -> None:
    server = embedded.start(data)
    try:
        await fetch(server.dsn, "create table paid as select generate_series(1, 100) as id")
        for wait_s in (0.0, 0.5):
            killed, begun = server.pid, time.monotonic()
            os.kill(killed, signal.SIGKILL)
            assert server.ensure_running() is True
            assert time.monotonic() - begun >= wait_s
            assert server.pid not in (0, killed)
            assert await value(server.dsn, "select count(*) from paid") == 100
        assert server.ensure_running() is False
    finally:
        server.release()


def test_two_supervisors_start_one_server(data: Path, users: list[User]) -> None:
    users += [User(data), User(data)]
    pid = users[0].ready()
    users[1].ready()
    os.kill(pid, signal.SIGKILL)
    for user in users:
        user.process.stdin.write("ensure_running\n")
        user.process.stdin.flush()
    assert sorted(user.result()[-1] for user in users) == ["False", "True"]
    assert users[0].do("ensure_running") == "False"


async def test_a_slow_recovery_is_waited_for_told_and_left_alone(data: Path, users: list[User]) -> None:
    server = embedded.start(data)
    await fetch(server.dsn, "create table paid (id bigint, note text)")
    await fetch(server.admin_dsn, "checkpoint")
    await fetch(server.dsn, "insert into paid select n, repeat('x', 100) from generate_series(1, 600000) n")
    killed = server.pid
    os.kill(killed, signal.SIGKILL)
    cluster = (data / "pg").resolve()
    while postmaster.members(cluster):
        time.sleep(0.01)
    server.release()
    users.append(User(data, wait_s=1.5))
    frozen = freeze_recovery(cluster)
    try:
        assert users[0].line()[0] == "say"
        assert users[0].result()[0] == "StillStarting"
        users += [User(data), User(data)]
        assert [user.line()[0] for user in users[1:]] == ["say", "say"]
        assert users[1].says_nothing_for(0.5)
        assert alive(frozen)
    finally:
        os.kill(frozen, signal.SIGCONT)
    assert users[1].ready() == users[2].ready() != killed
    assert await value(server.dsn, "select count(*) from paid") == 600000


def freeze_recovery(cluster: Path) -> int:
    """Stop the process that replays the log as soon as it is there; return its process id."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for process in postmaster.members(cluster):
            with contextlib.suppress(OSError):
                if b"startup" in Path(f"/proc/{process.pid}/cmdline").read_bytes():
                    os.kill(process.pid, signal.SIGSTOP)
                    return process.pid
    raise AssertionError("no recovery was seen")


def test_leaving_ends_a_wait_for_a_recovery(data: Path, users: list[User]) -> None:
    users.append(User(data))
    pid = users[0].ready()
    users[0].end(signal.SIGKILL)
    os.kill(pid, signal.SIGSTOP)
    try:
        users.append(User(data))
        assert users[1].line()[0] == "say"
        users[1].process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    finally:
        os.kill(pid, signal.SIGCONT)
    users[1].end()
    assert not alive(pid)


@pytest.fixture
def small_disk(strangers_folder: Path, users: list[User]) -> Iterator[Path]:
    """A disk of 110 MB of its own, for filling it."""
    disk = strangers_folder / "disk"
    disk.mkdir()
    options = f"size=110m,mode=0700,uid={STRANGER.pw_uid},gid={STRANGER.pw_gid}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "paydesk-test", disk], check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a disk, which even root may lack in a container")
    yield disk
    for user in users:
        user.end()
    subprocess.run(["umount", disk], check=True)


@only_root
async def test_a_server_that_a_full_disk_has_ended_comes_back_when_there_is_space(
    small_disk: Path, users: list[User]
) -> None:
    users.append(User(small_disk / "data", uid=STRANGER.pw_uid))
    words = users[0].result()
    pid, dsn = int(words[1]), words[2]
    await fetch(dsn, "create table paid as select generate_series(1, 100) as id")
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1_000_000))
            file.flush()
    with contextlib.suppress(asyncpg.PostgresError, OSError):
        for _ in range(50):  # nothing but the log of changes grows
            await value(dsn, "select pg_logical_emit_message(true, 'filler', repeat('x', 1000000))")
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid), "the full disk did not end the server"
    assert users[0].do("ensure_running") == "EmbeddedError"
    ballast.unlink()
    assert users[0].do("ensure_running") == "True"
    assert await value(dsn, "select count(*) from paid") == 100


def test_release_does_not_wait_for_a_supervisor_that_waits(data: Path) -> None:
    server = embedded.start(data)
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)
    refused: list[str] = []

    def supervise() -> None:
        try:
            server.ensure_running()
        except embedded.EmbeddedError as error:
            refused.append(error.message)

    supervisor, leaver = threading.Thread(target=supervise), threading.Thread(target=server.release)
    supervisor.start()
    time.sleep(4.5)  # it has asked in vain twice by now, and must neither give up nor start a second server
    leaver.start()
    supervisor.join(30)
    ended = not supervisor.is_alive()
    os.kill(pid, signal.SIGCONT)
    leaver.join()
    assert ended
    assert "released" in refused[0]
    assert not alive(pid)


# --- folders --------------------------------------------------------------------------------------------------------


def refusal(data: Path) -> str:
    with pytest.raises(embedded.EmbeddedError) as caught:
        embedded.start(data)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_cluster_of_another_major_version_is_refused(stopped: Path) -> None:
    (stopped / "pg" / "PG_VERSION").write_text("16\n")
    try:
        message = refusal(stopped)
    finally:
        (stopped / "pg" / "PG_VERSION").write_text(f"{places.MAJOR}\n")
    assert "PostgreSQL 16" in message
    assert "PostgreSQL 18" in message
    assert "backup" in message


def test_a_cluster_that_is_gone_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "pg").symlink_to(tmp_path / "unmounted" / "pg")
    assert "is gone" in refusal(data)


def test_an_open_folder_is_closed_unless_it_holds_other_peoples_files(data: Path, tmp_path: Path) -> None:
    data.mkdir(mode=0o755)
    embedded.start(data).release()
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    project = tmp_path / "project"
    project.mkdir()
    project.chmod(0o755)
    (project / "bot.py").touch()
    assert "chmod 700" in refusal(project)
    assert stat.S_IMODE(project.stat().st_mode) == 0o755


def test_a_database_in_use_is_not_removed(data: Path) -> None:
    server = embedded.start(data)
    try:
        with pytest.raises(embedded.EmbeddedError, match="in use"):
            embedded.remove(data)
        assert server.ensure_running() is False
    finally:
        server.release()
    home = (data / "pg").resolve()
    embedded.remove(data)
    assert not home.exists()


def test_a_folder_of_somebody_else_is_refused(strangers_folder: Path) -> None:
    assert "belongs to" in refusal(strangers_folder if ROOT else Path("/"))


def test_a_folder_that_is_not_writable_is_refused(strangers_folder: Path, users: list[User]) -> None:
    strangers_folder.chmod(0o500)
    users.append(User(strangers_folder, uid=STRANGER.pw_uid))
    words = users[0].result()
    assert words[0] == "EmbeddedError"
    assert "not writable" in " ".join(words)


@only_root
def test_as_root_no_folder_is_opened_and_the_server_is_not_root(data: Path) -> None:
    before = {folder: folder.stat().st_mode for folder in data.parents}
    assert any(stat.S_IMODE(mode) == 0o700 for mode in before.values())
    server = embedded.start(data)
    try:
        assert {folder: folder.stat().st_mode for folder in data.parents} == before
        assert Path(f"/proc/{server.pid}").stat().st_uid != 0
        assert connects_as("root", server.dsn, server.binaries).stdout == "1\n"
        stranger = connects_as(STRANGER.pw_name, server.admin_dsn, server.binaries)
        assert stranger.returncode != 0
        assert "Permission denied" in stranger.stderr
    finally:
        server.release()


@only_root
def test_as_root_a_copied_folder_does_not_share_the_database_and_a_moved_one_keeps_it(tmp_path: Path) -> None:
    shop, copy, moved = tmp_path / "shop", tmp_path / "copy", tmp_path / "moved"
    embedded.start(shop).release()
    home = (shop / "pg").resolve()
    copied = ["cp", "-a", str(shop), str(copy)]
    try:
        subprocess.run(copied, check=True)
        for said in (refusal(copy), refusal(copy)):
            assert f"{copy} is a copy of {shop}" in said
            assert f"remove the link {copy}/pg" in said
        with pytest.raises(embedded.EmbeddedError, match="is a copy of"):
            embedded.remove(copy)
        must_start(shop)
        shop.rename(moved)
        must_start(moved)
        assert f"{copy} is a copy of {moved}" in refusal(copy)
        shutil.rmtree(moved)  # the copy is what is left, as when a disk was replaced
        must_start(copy)
        assert (copy / "pg").resolve() == home
    finally:
        embedded.remove(copy)
    assert not list(home.parent.parent.glob(f"{home.parent.name}*"))


def test_cleaning_up_deletes_the_database_wherever_it_lies(data: Path) -> None:
    clean = [sys.executable, str(Path(__file__).parents[1] / "scripts" / "clean.py"), str(data), str(data / "none")]
    server = embedded.start(data)
    home = (data / "pg").resolve()
    used = subprocess.run(clean, capture_output=True, text=True, check=False)
    assert (used.returncode, "in use" in used.stderr, used.stderr.count("\n")) == (1, True, 1), used.stderr
    assert alive(server.pid)
    server.release()
    assert subprocess.run(clean, check=False).returncode == 0
    assert not home.exists()


@only_root
def test_as_root_binaries_in_a_closed_folder_are_copied_for_the_server(
    data: Path, tmp_path: Path, users: list[User]
) -> None:
    package = places.binaries(None).parents[1]
    site = tmp_path / "site"
    for part in (f"{package.name}/pginstall{places.MAJOR}", f"{package.name}.libs"):
        shutil.copytree(package.parent / part, site / part)
    (site / package.name / "__init__.py").touch()
    users.append(User(data, path=f"{site}{os.pathsep}{Path(places.__file__).parents[2]}"))
    program = Path(Path(f"/proc/{users[0].ready()}/cmdline").read_text().split("\0")[0])
    users[0].end()
    try:
        assert program.is_relative_to(places.ROOT_HOME)
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(places.ROOT_HOME / program.relative_to(places.ROOT_HOME).parts[0])


@pytest.mark.parametrize("name", ["short", "x" * 80 + "/" + "y" * 80, "with, comma"])
def test_the_socket_is_private_however_long_the_path(strangers_folder: Path, users: list[User], name: str) -> None:
    data = strangers_folder / name
    users.append(User(data, uid=STRANGER.pw_uid))
    words = users[0].result()
    assert words[0] == "ready", words
    socket = Path(unquote(words[2].partition("?host=")[2].partition("&")[0]))
    assert (socket == data) is (name == "short")
    assert (socket / places.SOCKET_NAME).is_socket()
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    assert socket.stat().st_uid == STRANGER.pw_uid
    binaries = places.binaries(None)
    assert connects_as(STRANGER.pw_name, words[2], binaries).stdout == "1\n"
    other = ROOT and connects_as("daemon", words[2], binaries)
    assert not other or "Permission denied" in other.stderr
    users[0].end()
    if socket != data:
        socket.rmdir()
        with contextlib.suppress(OSError):
            socket.parent.rmdir()


@only_root
@pytest.mark.parametrize(("trap", "name"), [("link", "games"), ("open", "lp"), ("foreign", "mail")])
def test_a_prepared_folder_for_the_socket_is_refused(
    strangers_folder: Path, users: list[User], trap: str, name: str
) -> None:
    victim = pwd.getpwnam(name)
    os.chown(strangers_folder, victim.pw_uid, victim.pw_gid)
    base = Path(f"/tmp/paydesk-{victim.pw_uid}")
    if trap == "link":
        base.symlink_to(strangers_folder)
    else:
        base.mkdir()
        base.chmod(0o777 if trap == "open" else 0o700)
        os.chown(base, victim.pw_uid if trap == "open" else STRANGER.pw_uid, -1)
    try:
        users.append(User(strangers_folder / ("x" * 100), uid=victim.pw_uid))
        words = users[0].result()
        assert words[0] == "EmbeddedError"
        assert "not a private folder" in " ".join(words)
    finally:
        base.unlink() if trap == "link" else base.rmdir()
