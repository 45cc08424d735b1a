"""How many objects a second the sandbox makes, and whether it slows down as it fills.

`python -m bench.sandbox` starts a sandbox in a process of its own, creates objects over one connection, and compares
the first thousand with the last: by the clock, and by the processor time of the sandbox, which neighbours hardly disturb.
`--data` keeps them in a file on the way, `--idempotent` sends a key with each. Processor times need Linux.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

_KEY = "sk_test_bench0123456789abcdefgh"
_HEADERS = {"Authorization": f"Bearer {_KEY}", "Content-Type": "application/x-www-form-urlencoded"}
_PORT = 12190
_SAMPLE = 1000


def started(data: Path | None) -> tuple[subprocess.Popen[str], float]:
    """A running sandbox, and the seconds its start took."""
    command = [sys.executable, "-u", "-m", "paydesk.sandbox", "--port", str(_PORT)]
    began = time.monotonic()
    process = subprocess.Popen(command + (["--data", str(data)] if data else []), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "ready" in process.stdout.readline()
    return process, time.monotonic() - began


def creation_s(connection: http.client.HTTPConnection, number: int, *, idempotent: bool) -> float:
    """Seconds to create one customer."""
    headers = {**_HEADERS, **({"Idempotency-Key": f"key-{number}"} if idempotent else {})}
    body = f"email=someone{number}@example.com&name=Number+{number}&metadata[order]={number}"
    began = time.perf_counter()
    connection.request("POST", "/v1/customers", body, headers)
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, text
    return time.perf_counter() - began


def read_s(connection: http.client.HTTPConnection, path: str) -> float:
    """Seconds of one read, the middle of nine."""
    times = []
    for _ in range(9):
        began = time.perf_counter()
        connection.request("GET", path, headers=_HEADERS)
        json.loads(connection.getresponse().read())
        times.append(time.perf_counter() - began)
    return sorted(times)[4]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=50_000, help="customers to create; each brings an event too")
    parser.add_argument("--data", action="store_true", help="keep them in a file")
    parser.add_argument("--idempotent", action="store_true", help="send an Idempotency-Key with each")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder) / "bench.db" if chosen.data else None, chosen.objects, idempotent=chosen.idempotent)


def processor_s(process: subprocess.Popen[str]) -> float:
    """Processor time of the sandbox so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(data: Path | None, count: int, *, idempotent: bool) -> None:
    """Create, compare, read, start again; prints what was seen."""
    process, start_s = started(data)
    print(f"start                    {start_s:.2f} s")
    try:
        connection = http.client.HTTPConnection("127.0.0.1", _PORT)
        times, marks = [], []
        for number in range(count):
            if number in (0, _SAMPLE, count - _SAMPLE):
                marks.append(processor_s(process))
            times.append(creation_s(connection, number, idempotent=idempotent))
        marks.append(processor_s(process))
        first, last = sum(times[:_SAMPLE]), sum(times[-_SAMPLE:])
        state = json.load(urllib.request.urlopen(f"http://127.0.0.1:{_PORT}/_sandbox/state"))
        print(f"objects                  {sum(state['counts'].values())}")
        print(f"creations per second     {count / sum(times):.0f}")
        print(f"first and last thousand  {_SAMPLE / first:.0f} and {_SAMPLE / last:.0f} per second")
        print(f"last over first          {last / first:.2f} times as slow")
        print(f"by processor time        {(marks[3] - marks[2]) / (marks[1] - marks[0]):.2f} times as slow")
        print(f"a page of 100 customers  {read_s(connection, '/v1/customers?limit=100') * 1000:.1f} ms")
        print(f"a page of 10 events      {read_s(connection, '/v1/events?type=customer.created') * 1000:.1f} ms")
    finally:
        process.terminate()
        process.wait()
    if data is not None:
        process, start_s = started(data)
        print(f"start with all of them   {start_s:.2f} s ({processor_s(process):.2f} s of processor time)")
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
