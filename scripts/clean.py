"""Delete the embedded databases of data folders for ever: `python scripts/clean.py .paydesk …`. Used by `make clean`.

Ends with status 1 and a line when one of them is in use or belongs to another folder; then it is not deleted.
"""

from __future__ import annotations

import sys
from pathlib import Path

from paydesk.errors import PaydeskError
from paydesk.store import embedded


def main(folders: list[str]) -> int:
    """Delete the database of each folder that has one; return the exit status."""
    for folder in map(Path, folders):
        if not (folder / "pg").is_symlink() and not (folder / "pg").exists():
            continue
        try:
            embedded.remove(folder)
        except PaydeskError as error:
            sys.stderr.write(f"{error.message}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
