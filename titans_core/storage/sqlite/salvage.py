"""What can still be read of a damaged file, and copies of a whole one."""

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

_STEP = 1024
"""Pages that a backup copies at a time: 4 MB."""

_SCANS = ("NOT INDEXED", "INDEXED BY turns_in_order")


class SalvagedLog(Closeable):
    """A tenant's part of a damaged file, to be read only.

    It opens as long as the file has a readable schema, and finds every turn that any index or the table still leads
    to.

    Attributes:
        tenant: Whose turns these are.
    """

    def __init__(self, url: str | Path, tenant: str, number: int) -> None:
        """Open a tenant's part of a file.

        Args:
            url: The path of the file.
            tenant: The tenant's name.
            number: The tenant's number in the file.

        Raises:
            StorageError: Nothing at all can be read of it.
        """
        self.tenant = tenant
        self._number = number
        self._log = SqliteLog.unchecked(url, tenant, number)
        self._connection = Connection(url)

    def positions(self) -> list[int]:
        """The positions of all turns that can be found, in order."""
        found: set[int] = set()
        for scan in _SCANS:
            for direction in ("ASC", "DESC"):  # damage in the middle hides what is behind it
                query = f"SELECT position FROM turns {scan} WHERE tenant = ? ORDER BY position {direction}"  # noqa: S608 - our own words
                with suppress(CorruptMemoryError), self._connection.in_use(), translated_errors(self._connection.url):
                    for (position,) in self._connection.execute(query, (self._number,)):
                        found.add(position)
        return sorted(found)

    def turns(self) -> Iterator[InspectedTurn]:
        """All turns that can be found, in order, as far as they are intact."""
        return inspect_turns(self._log, self.positions())

    def head(self) -> Head:
        """The tenant's entry.

        Raises:
            CorruptMemoryError: The entry or the list of rehearsed turns is damaged.
        """
        self._log.rehearsals()
        return self._log.head()

    def lookups_are_intact(self) -> bool:
        """Whether every turn is found by its id, digest and source."""
        try:
            self._log.check_lookups()
        except CorruptMemoryError:
            return False
        return True

    def reader(self) -> str:
        """Fingerprint of the reader that the file was written with; empty if it cannot be read."""
        with suppress(CorruptMemoryError), self._connection.in_use(), translated_errors(self._connection.url):
            for (fingerprint,) in self._connection.execute("SELECT fingerprint FROM readers"):
                return str(fingerprint)
        return ""

    def close(self) -> None:
        """Close the file."""
        self._log.close()
        self._connection.close()


def salvaged_tenants(url: str | Path) -> dict[int, str]:
    """The tenants of a file by their numbers; one whose name is damaged is called "recovered-" and its number.

    Raises:
        StorageError: nothing at all can be read of it.
    """
    names = {}
    with closing(Connection(url)) as connection, connection.in_use():
        for scan in _SCANS:
            with suppress(sqlite3.DatabaseError):
                for (number,) in connection.execute(f"SELECT DISTINCT tenant FROM turns {scan}"):  # noqa: S608 - our own words
                    names[number] = f"recovered-{number}"
        with suppress(sqlite3.DatabaseError):
            rows = connection.execute("SELECT number, name, identity FROM tenants").fetchall()
            names |= {number: name for number, name, identity in rows if identity == checksum(name)}
    return names


def page_faults(url: str | Path) -> list[str]:
    """What SQLite's own check of a file's pages and indexes finds."""
    with closing(Connection(url)) as connection, connection.in_use():
        try:
            rows = connection.execute("PRAGMA integrity_check").fetchall()
        except sqlite3.DatabaseError as error:
            return [str(error)]
    return [row for (row,) in rows if row != "ok"]


def copy_file(url: str | Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """Copy a file as it is at one moment, while others write to it.

    Args:
        url: of the file.
        target: an empty file, or none yet.
        progress: is told how many pages were copied, and how many there are.

    Raises:
        StorageError: the subclass says why.
    """
    with (
        translated_errors(str(url)),
        closing(open_database(url)) as connection,
        closing(sqlite3.connect(target)) as copy,
    ):
        connection.execute("BEGIN")  # one moment: a backup of a connection that holds none begins anew with each write
        connection.execute("SELECT count(*) FROM tenants").fetchone()
        connection.backup(copy, pages=_STEP, progress=lambda _, left, total: progress(total - left, total))
        copy.execute("PRAGMA journal_mode = DELETE")  # else a copy of a memory in use would have files beside it
