"""Starting: how long until `paydesk serve` answers 200 at /readyz, with its own embedded database."""

import statistics
import time
from pathlib import Path

from bench.outcome import Outcome, at_most
from bench.processes import Server, free_port
from bench.report import aligned
from bench.variants import SERVICE, server_env
from paydesk.store import embedded


def measure(folder: Path, *, runs: int) -> Outcome:
    """Measure one start in a new folder, then `runs` with the server stopped and `runs` with it running, in turn."""
    folder.mkdir()
    env = server_env(None, folder)
    new_s = _start_s(env, folder)
    warm_s, joined_s = [], []
    for number in range(1, runs + 1):
        warm_s.append(_start_s(env, folder))
        beside = embedded.start(Path(env["PAYDESK_DATA"]))  # another user of the server, so that it keeps running
        try:
            joined_s.append(_start_s(env, folder))
        finally:
            beside.release()
        print(f"  start, run {number}/{runs}: {warm_s[-1]:.2f} s, joined {joined_s[-1]:.2f} s", flush=True)
    cases = {"new folder": [new_s], "database stopped": warm_s, "database running": joined_s}
    rows: list[tuple[str, ...]] = [("start with", "runs", "median s", "longest s")]
    rows += [(case, str(len(s)), f"{statistics.median(s):.2f}", f"{max(s):.2f}") for case, s in cases.items()]
    goals = [at_most("serve ready, warm start, embedded database, median", statistics.median(warm_s), 3, "s")]
    text = "From the command to 200 at /readyz, embedded database (Stripe not reachable, so not asked)\n" + aligned(
        rows
    )
    return Outcome("start", text, {"seconds": cases}, goals)


def _start_s(env: dict[str, str], folder: Path) -> float:
    """Start the service, wait until it is ready, stop it; return how long it took to be ready."""
    port = free_port()
    command = [part.format(port=port) for part in SERVICE.command]
    start_s = time.perf_counter()
    with Server("paydesk", command, env, f"http://127.0.0.1:{port}{SERVICE.ready_path}", folder):
        return time.perf_counter() - start_s
