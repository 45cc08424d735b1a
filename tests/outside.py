"""What lies outside the tests: the network, which nothing but the fetching of tools may use."""

from __future__ import annotations

import os
from pathlib import Path

ENVIRON = dict(os.environ)
"""The environment that the tests were started with, for programs that fetch something."""

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def trust_nobody(empty: Path) -> None:
    """Let HTTP clients made from now on, here and in processes begun here, read no certificates: an `empty` folder of them.

    Tests speak plain HTTP with this machine alone, and each of their thousands of clients would read a hundred
    certificates first, which takes longer than all that it is made for.
    """
    for name in CERTIFICATES:
        os.environ.pop(name, None)
    os.environ["SSL_CERT_DIR"] = str(empty)
