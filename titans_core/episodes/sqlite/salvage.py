"""What can still be read of a damaged file, and copies of a whole one."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from titans_core.episodes.checksum import checksum
from titans_core.episodes.sqlite.connection import Connection
from titans_core.episodes.sqlite.database import open_database, translated_errors
from titans_core.episodes.sqlite.log import SqliteLog
from titans_core.errors import CorruptMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from titans_core.episodes.filters import Filters

_STEP = 1024
"""Pages that a backup copies at a time: 4 MB."""

_SCANS = ("NOT INDEXED", "INDEXED BY turns_in_order")


class SalvagedLog(SqliteLog):
    """A tenant's log that opens as long as its file has a readable schema, and finds every turn that is to be found.

    To be read only.
    """

    def __init__(self, url: str | Path, tenant: str, number: int) -> None:
        """Open a tenant's part of a file.

        Args:
            url: a path.
            tenant: the tenant's name.
            number: the tenant's number in the file.

        Raises:
            StorageError: nothing at all can be read of it.
        """
        self._given = number
        super().__init__(url, tenant, reader="", dim=0)

    def positions(self, filters: Filters) -> list[int]:  # noqa: ARG002 - all turns, whatever is asked for
        """The positions of all turns, in order, as far as any way leads to them."""
        found = set()
        for scan in _SCANS:
            for way in ("ASC", "DESC"):  # damage in the middle hides what is behind it
                query = f"SELECT position FROM turns {scan} WHERE tenant = ? ORDER BY position {way}"  # noqa: S608 - our own words
                with suppress(CorruptMemoryError):
                    found |= {position for (position,) in self._stream(query, (self._number,))}
        return sorted(found)

    def lookups_are_whole(self) -> bool:
        """Whether every turn is found by its id, digest and source."""
        try:
            super()._check_lookups()
        except CorruptMemoryError:
            return False
        return True

    def reader(self) -> str:
        """Fingerprint of the reader that the file was written with; empty if that cannot be read."""
        with suppress(CorruptMemoryError):
            for (fingerprint,) in self._rows("SELECT fingerprint FROM readers"):
                return str(fingerprint)
        return ""

    def _check_lookups(self) -> None:
        pass

    def _claimed(self, reader: str) -> bool:  # noqa: ARG002 - any
        return True

    def _registered(self) -> int:
        return self._given


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


def faults_of_pages(url: str | Path) -> list[str]:
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
