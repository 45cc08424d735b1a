"""Where the sandbox keeps its objects on disk: one row per object, written when the object changes.

SQLite with a write-ahead log: a crash in the middle leaves the last complete request. Nothing is ever rewritten whole.
Rows stand at the position that their object got when it was new, so new objects go to the end. A start reads only which
accounts there are; which objects of a kind one has, and what is in them, is read when somebody first asks for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import orjson

_FORMAT = 3
_SCHEMA = f"""
CREATE TABLE object (
    position INTEGER PRIMARY KEY, account TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, name TEXT
);
CREATE TABLE body (position INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX object_of_kind ON object (kind, account);
PRAGMA user_version = {_FORMAT};
"""
# What the format before this one had not: the index, and the status of deliveries beside their ids.
_UPGRADE = f"""
CREATE INDEX object_of_kind ON object (kind, account);
UPDATE object SET name = (SELECT json_extract(CAST(body AS TEXT), '$.status') FROM body WHERE body.position = object.position)
    WHERE kind = '_delivery';
PRAGMA user_version = {_FORMAT};
"""
_PUT = "INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?)"
_PUT_BODY = "INSERT OR REPLACE INTO body VALUES (?, ?)"
_TABLES = ("object", "body")
_LOCK_PATIENCE_S = 2

# Position, account, kind, id, name by which it is looked up (or None), and the object.
Row = tuple[int, str, str, str, str | None, dict[str, Any]]
# What is told of an object without reading it: position, id, name.
Head = tuple[int, str, str | None]


class Journal:
    """The data file; with no path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        """Open or create the file, for this process alone; `sqlite3.Error` when it is no journal or in use."""
        self._file: sqlite3.Connection | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_LOCK_PATIENCE_S)
            try:
                self._prepare(self._file)
            except BaseException as problem:
                self._file.close()
                if isinstance(problem, sqlite3.OperationalError) and "locked" in str(problem):
                    raise sqlite3.OperationalError("another process has it open") from problem
                raise

    @staticmethod
    def _prepare(file: sqlite3.Connection) -> None:
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")
        tables = file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        version = file.execute("PRAGMA user_version").fetchone()[0]
        if tables == 0:
            file.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        elif version == _FORMAT - 1:
            file.executescript(f"BEGIN; {_UPGRADE} COMMIT;")
        elif version != _FORMAT:
            raise sqlite3.DatabaseError("it was not written by this version of the sandbox; choose another file")

    def holders(self, kind: str) -> list[str]:
        """The accounts that have objects of a kind, in the order in which the first of these were made."""
        found = self._rows("SELECT account FROM object WHERE kind = ? GROUP BY account ORDER BY min(position)", kind)
        return [account for (account,) in found]

    def kinds(self, account: str) -> list[str]:
        """The kinds of which an account has objects."""
        return [kind for (kind,) in self._rows("SELECT DISTINCT kind FROM object WHERE account = ?", account)]

    def heads(self, account: str, kind: str) -> list[Head]:
        """What is told of every object of one kind, in the order of creation."""
        return self._rows("SELECT position, id, name FROM object WHERE kind = ? AND account = ? ORDER BY position",
                          kind, account)  # fmt: skip

    def named(self, account: str, kind: str, name: str) -> list[str]:
        """The ids of the objects of one kind that have this name, in the order of creation."""
        found = self._rows("SELECT id FROM object WHERE kind = ? AND account = ? AND name = ? ORDER BY position",
                           kind, account, name)  # fmt: skip
        return [object_id for (object_id,) in found]

    def last_position(self) -> int:
        """The highest position that is taken; 0 when there are no objects."""
        found = self._rows("SELECT max(position) FROM object")
        return (found[0][0] if found else None) or 0

    def _rows(self, statement: str, *values: str) -> list[Any]:
        return [] if self._file is None else self._file.execute(statement, values).fetchall()

    def body(self, position: int) -> dict[str, Any]:
        """The object at a position; there must be one."""
        if self._file is None:
            raise LookupError("A journal without a file keeps no objects.")
        row = self._file.execute("SELECT body FROM body WHERE position = ?", (position,)).fetchone()
        return cast("dict[str, Any]", orjson.loads(row[0]))

    def write(self, rows: Iterable[Row], removed: Iterable[int] = ()) -> None:
        """Store changed rows and remove those at other positions, all or nothing."""
        if self._file is None:
            return
        self._file.execute("BEGIN")
        try:
            for row in rows:
                self._file.execute(_PUT, row[:5])
                self._file.execute(_PUT_BODY, (row[0], orjson.dumps(row[5])))
            for position in removed:
                for table in _TABLES:
                    self._file.execute(f"DELETE FROM {table} WHERE position = ?", (position,))
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
            self._file.executescript("BEGIN; DELETE FROM object; DELETE FROM body; DELETE FROM setting; COMMIT;")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
