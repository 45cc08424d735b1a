"""The example front ends as their READMEs say: with the package that a desk serves, built, and shown by their own servers.

What npm would fetch besides comes from the cache of `tools`.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from desk import Desk
from tools import node, node_package

EXAMPLES = Path(__file__).parent.parent / "examples"
REACT, ESBUILD = "19.3.1", "0.28.2"


def built(desk: Desk, name: str, folder: Path) -> Path:
    """A copy of an example in a folder, built by its own script."""
    example = folder / name
    shutil.copytree(EXAMPLES / name, example, ignore=shutil.ignore_patterns("node_modules", "public"))
    modules = example / "node_modules"
    modules.mkdir()
    with tarfile.open(fileobj=io.BytesIO(httpx.get(f"{desk.url}/static/paydesk.tgz").content)) as package:
        package.extractall(modules, filter="data")
    (modules / "package").rename(modules / "paydesk")
    for needed in ("react", "react-dom", "scheduler"):
        (modules / needed).symlink_to(node_package("react-dom", REACT) / "node_modules" / needed)
    build = json.loads((example / "package.json").read_text())["scripts"]["build"].split()
    assert build[0] == "esbuild"
    command = [str(node_package("esbuild", ESBUILD) / "node_modules" / ".bin" / "esbuild"), *build[1:]]
    ran = subprocess.run([*command, "--preserve-symlinks"], cwd=example, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return example


@contextmanager
def shown(example: Path, **environ: str) -> Iterator[str]:
    """The address that an example's own server prints, while it runs."""
    start = json.loads((example / "package.json").read_text())["scripts"]["start"].split()
    assert start[0] == "node"
    command = [node(), *start[1:]]
    environ = {**os.environ, **environ, "PORT": "0"}
    with subprocess.Popen(command, cwd=example, env=environ, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()
