"""Reading what is left of a damaged file, and copying an intact one."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from titans_core._utils.closeable import Closeable
from titans_core.errors import CorruptMemoryError
from titans_core.storage.checksum import checksum
from titans_core.storage.inspection import inspect_turns
from titans_core.storage.sqlite.connection import Connection
from titans_core.storage.sqlite.database import open_database, translated_errors
from titans_core.storage.sqlite.log import SqliteLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from titans_core.storage.inspection import InspectedTurn
    from titans_core.storage.records import Head

_BACKUP_PAGES = 1024
"""Pages that a backup copies in one step; they have 4 MB."""

_SCANS = ("NOT INDEXED", "INDEXED BY turns_in_order")
"""Two ways to read the table `turns`: one may still work where the other meets damage."""


class SalvagedLog(Closeable):
    """A tenant's part of a damaged file, for reading only.

    It can be opened as long as the file has a readable schema. It finds every turn that can still be reached through
    the table or through any index.

    Attributes:
        tenant: The tenant's name.
    """

    def __init__(self, url: str | Path, tenant: str, number: int) -> None:
        """Open a tenant's part of a file.

        Args:
            url: The path of the file.
            tenant: The tenant's name.
            number: The tenant's number in the file.

        Raises:
            StorageError: Nothing in the file can be read.
        """
        self.tenant = tenant
        self._number = number
        self._log = SqliteLog.unchecked(url, tenant, number)
        self._connection = Connection(url)

    def positions(self) -> list[int]:
        """Return the positions of all turns that can be found, in order."""
        found: set[int] = set()
        for scan in _SCANS:
            for direction in ("ASC", "DESC"):  # damage hides all rows behind it, so read from both ends
                query = f"SELECT position FROM turns {scan} WHERE tenant = ? ORDER BY position {direction}"  # noqa: S608 - only constants
                with suppress(CorruptMemoryError), self._connection.in_use(), translated_errors(self._connection.url):
                    for (position,) in self._connection.execute(query, (self._number,)):
                        found.add(position)
        return sorted(found)

    def turns(self) -> Iterator[InspectedTurn]:
        """Yield all turns that can be found, in order, with what is intact of each."""
        return inspect_turns(self._log, self.positions())

    def head(self) -> Head:
        """Return the tenant's entry in the list of tenants.

        Raises:
            CorruptMemoryError: The entry or the list of rehearsed turns is damaged.
        """
        self._log.rehearsals()
        return self._log.head()

    def lookups_are_intact(self) -> bool:
        """Return whether every turn can be found by its id, its digest and its source."""
        try:
            self._log.check_lookups()
        except CorruptMemoryError:
            return False
        return True

    def reader(self) -> str:
        """Return the fingerprint of the reader that the file was written with; empty if it cannot be read."""
        with suppress(CorruptMemoryError), self._connection.in_use(), translated_errors(self._connection.url):
            for (fingerprint,) in self._connection.execute("SELECT fingerprint FROM readers"):
                return str(fingerprint)
        return ""

    def close(self) -> None:
        """Close the file."""
        self._log.close()
        self._connection.close()


def salvaged_tenants(url: str | Path) -> dict[int, str]:
    """Find the tenants of a damaged file.

    Args:
        url: The path of the file.

    Returns:
        The names by number. A tenant whose name is damaged is called "recovered-" and its number.

    Raises:
        StorageError: Nothing in the file can be read.
    """
    names = {}
    with closing(Connection(url)) as connection, connection.in_use():
        for scan in _SCANS:
            with suppress(sqlite3.DatabaseError):
                for (number,) in connection.execute(f"SELECT DISTINCT tenant FROM turns {scan}"):  # noqa: S608 - only constants
                    names[number] = f"recovered-{number}"
        with suppress(sqlite3.DatabaseError):
            rows = connection.execute("SELECT number, name, identity FROM tenants").fetchall()
            names |= {number: name for number, name, identity in rows if identity == checksum(name)}
    return names


def page_faults(url: str | Path) -> list[str]:
    """Return the faults that SQLite's own check of pages and indexes finds, one message for each.

    Args:
        url: The path of the file.

    Raises:
        StorageError: The file cannot be opened; the subclass says why.
    """
    with closing(Connection(url)) as connection, connection.in_use():
        try:
            rows = connection.execute("PRAGMA integrity_check").fetchall()
        except sqlite3.DatabaseError as error:
            return [str(error)]
    return [row for (row,) in rows if row != "ok"]


def copy_file(url: str | Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """Copy a file in the state of one moment, even while other processes write to it.

    Args:
        url: The path of the file.
        target: The path of the copy; the file there is empty or does not exist.
        progress: Called with (done, total) in pages.

    Raises:
        StorageError: The file cannot be read or the copy cannot be written; the subclass says why.
    """
    with (
        translated_errors(str(url)),
        closing(open_database(url)) as connection,
        closing(sqlite3.connect(target)) as copy,
    ):
        # A read transaction fixes the moment. Without one, each write of another process would restart the backup.
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM tenants").fetchone()
        connection.backup(copy, pages=_BACKUP_PAGES, progress=lambda _, left, total: progress(total - left, total))
        # Otherwise the copy of a memory in use would have a write-ahead log beside it.
        copy.execute("PRAGMA journal_mode = DELETE")
