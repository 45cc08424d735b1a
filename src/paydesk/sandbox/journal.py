"""Where the sandbox keeps its objects on disk: one row per object, written when the object changes.

SQLite with a write-ahead log: a crash in the middle leaves the last complete request. Nothing is ever rewritten whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    account TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, position INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (account, kind, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_PUT = """INSERT INTO object VALUES (?, ?, ?, ?, ?)
          ON CONFLICT (account, kind, id) DO UPDATE SET body = excluded.body"""

Row = tuple[str, str, str, int, dict[str, Any]]


class Journal:
    """The data file; with no path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the file; a file that is no journal raises `sqlite3.DatabaseError`."""
        self._file: sqlite3.Connection | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.executescript(_SCHEMA)

    def rows(self) -> Iterator[Row]:
        """Every object `(account, kind, id, position, body)`, in the order of creation."""
        if self._file is not None:
            for row in self._file.execute("SELECT account, kind, id, position, body FROM object ORDER BY position"):
                yield (*row[:4], orjson.loads(row[4]))

    def write(self, rows: Iterable[Row], removed: Iterable[tuple[str, str, str]] = ()) -> None:
        """Store changed rows and remove others, all or nothing."""
        if self._file is None:
            return
        self._file.execute("BEGIN")
        try:
            self._file.executemany(_PUT, [(*row[:4], orjson.dumps(row[4])) for row in rows])
            self._file.executemany("DELETE FROM object WHERE account = ? AND kind = ? AND id = ?", list(removed))
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")

    def setting(self, name: str) -> str | None:
        """A stored setting, or None."""
        if self._file is None:
            return None
        row = self._file.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_setting(self, name: str, value: str) -> None:
        """Store a setting."""
        if self._file is not None:
            self._file.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))

    def erase(self) -> None:
        """Remove every object and setting."""
        if self._file is not None:
            self._file.executescript("BEGIN; DELETE FROM object; DELETE FROM setting; COMMIT;")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
