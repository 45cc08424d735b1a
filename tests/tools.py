"""Official tools that are not part of the project's own environment: fetched once, kept in a cache folder.

A test whose tool cannot be had is skipped with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from outside import ENVIRON

CACHE = Path(os.environ.get("PAYDESK_TEST_TOOLS") or Path.home() / ".cache" / "paydesk-tests")
_PATIENCE_S = 300


def python_with(package: str, version: str) -> Path:
    """The interpreter of an environment of its own that holds one version of a package."""
    folder = CACHE / f"{package}-python-{version}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (folder / ".complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)], "an environment could not be made")
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*install, f"{package}=={version}"], f"{package} {version} could not be had from the package index")
        (folder / ".complete").touch()
    return python


def node() -> str:
    """The program that runs JavaScript."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node.js is not installed")
    return found


def node_package(name: str, version: str) -> Path:
    """The folder in which `npm install` put one version of a package."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("Node.js with npm is not installed")
    folder = CACHE / f"{name.replace('/', '-').lstrip('@')}-node-{version}"
    if not (folder / ".complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        quickly = ["--fetch-timeout=30000", "--fetch-retries=1"]  # what does not answer is not waited for
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", *quickly, "--prefix", str(folder)]
        _run([*command, f"{name}@{version}"], f"{name} {version} could not be had from npm")
        (folder / ".complete").touch()
    return folder


def _run(command: list[str], problem: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, env=ENVIRON)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{problem} within {_PATIENCE_S} s")
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        pytest.skip(f"{problem}: {last}")
