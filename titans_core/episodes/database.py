"""One SQLite file: opened, migrated, and its errors translated."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from titans_core.episodes.schema import APPLICATION_ID, MIGRATIONS
from titans_core.errors import (
    CorruptMemoryError,
    ForeignFileError,
    StorageBusyError,
    StorageError,
    StorageFullError,
    UnsupportedUrlError,
    UnwritableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_MEMORY = ":memory:"
BUSY_SECONDS = 5.0


def open_database(url: str | Path) -> sqlite3.Connection:
    """Open or create a memory's file and bring its schema up to date.

    The connection is in autocommit mode: transactions are begun by hand, see `transaction`.

    Raises:
        StorageError: the subclass says what is wrong with the path or the file.
    """
    url = str(url)
    if "://" in url:
        raise UnsupportedUrlError(f"This version stores in SQLite: give a path or {IN_MEMORY!r}, not {url!r}.")
    if url != IN_MEMORY and not Path(url).absolute().parent.is_dir():
        raise UnwritableError(f"The folder of {url!r} does not exist; create it first.")
    with translated_errors(url):
        connection = sqlite3.connect(url, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection, url)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing: commits at the end, rolls back on any exception."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors (a full disk); a second one would be an error.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated_errors(url: str) -> Iterator[None]:
    """Turn sqlite3's errors into ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _translate(error, url) from error


def _prepare(connection: sqlite3.Connection, url: str) -> None:
    # Asked before the first pragma that writes: a foreign file must not be changed.
    [application_id] = connection.execute("PRAGMA application_id").fetchone()
    [tables] = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application_id != APPLICATION_ID:
        raise ForeignFileError(f"{url!r} is another program's SQLite file; give the memory a path of its own.")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: an acknowledged turn survives the loss of power too, not only that of the process.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # What is forgotten is overwritten in the file, not only unlinked.
    connection.execute("PRAGMA secure_delete = ON")
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise ForeignFileError(
            f"{url!r} was written by a newer version (schema {version}, this one knows {len(MIGRATIONS)}); "
            "upgrade titans-core."
        )
    if version < len(MIGRATIONS):
        _migrate(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        # Read again under the lock: another process may just have done it.
        [version] = connection.execute("PRAGMA user_version").fetchone()
        for migration in MIGRATIONS[version:]:
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _translate(error: sqlite3.DatabaseError, url: str) -> StorageError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the primary code
    if code == sqlite3.SQLITE_NOTADB:
        return ForeignFileError(f"{url!r} is not a SQLite file; give the memory a path of its own.")
    if code == sqlite3.SQLITE_CORRUPT:
        return CorruptMemoryError(f"The memory {url!r} is damaged ({error}); restore it from a backup.")
    if code == sqlite3.SQLITE_FULL:
        return StorageFullError(f"The disk is full: nothing of this call was written to {url!r}. Free some space.")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageBusyError(f"Another process has held {url!r} for more than {BUSY_SECONDS:g} s; repeat the call.")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
        return UnwritableError(f"{url!r} cannot be written ({error}); check the path, its permissions and the disk.")
    return StorageError(f"The memory {url!r} could not be used: {error}.")
