"""Servers to measure: start one, wait until it answers, read the processor time of a process tree (Linux)."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PROC = Path("/proc")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
READY_WITHIN_S = 60.0


def free_port() -> int:
    """Return a loopback port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _processes() -> dict[int, tuple[int, int]]:
    """Return (parent, processor ticks with those of its dead children) of every process."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:  # ended meanwhile; its ticks are its parent's now
                continue
            fields = stat.rpartition(")")[2].split()  # the name before the bracket may hold spaces
            found[int(folder.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    return found


def tree_cpu_s(roots: Iterable[int]) -> float:
    """Return the processor seconds that `roots` and everything they started have used, to 10 ms."""
    processes = _processes()
    children: dict[int, list[int]] = {}
    for pid, (parent, _) in processes.items():
        children.setdefault(parent, []).append(pid)
    ticks, waiting = 0, [pid for pid in roots if pid in processes]
    while waiting:
        pid = waiting.pop()
        ticks += processes[pid][1]
        waiting += children.get(pid, [])
    return ticks / TICKS_PER_S


def parent_of(pid: int) -> int:
    """Return the parent of a live process; KeyError when there is no such process on this machine."""
    return _processes()[pid][0]


def name_of(pid: int) -> str:
    """Return the program name of a process on this machine, "" when there is none."""
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


class Server:
    """One server process, ready when `with` is entered and stopped when it is left."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], url: str, folder: Path) -> None:
        """`url` answers 200 when the server is ready; the server runs in `folder` and writes `<name>.log` there."""
        self.name, self.url, self.log = name, url, folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, env=dict(env), cwd=folder, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        """The root of the server's process tree."""
        return self.process.pid

    def __enter__(self) -> Self:
        give_up_at = time.monotonic() + READY_WITHIN_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > give_up_at:
                self.stop()
                raise SystemExit(f"{self.name} is not ready at {self.url}. Its last words:\n{self._last_words()}")
            time.sleep(0.01)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server: kindly, and after ten seconds not."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
