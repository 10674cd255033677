"""SQLite files: opening, migration, transactions, and translation of errors."""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from titans_core.errors import (
    CorruptMemoryError,
    ForeignFileError,
    StorageBusyError,
    StorageError,
    StorageFullError,
    UnwritableError,
)
from titans_core.storage.checksum import checksum
from titans_core.storage.sqlite.schema import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    class Statements(Protocol):
        """An object that runs statements: `sqlite3.Connection`, or our own `Connection`."""

        @property
        def in_transaction(self) -> bool:
            """Whether a transaction is open."""

        def execute(self, sql: str, /) -> sqlite3.Cursor:
            """Run one statement."""


IN_MEMORY = ":memory:"
BUSY_SECONDS = 5.0
"""Seconds that a write waits for other writers before it fails."""

MEANWHILE_SECONDS = 2.0
"""Seconds of waiting during which a writer may do other work; after them it only waits, to be next."""


def open_database(url: str | Path) -> sqlite3.Connection:
    """Open or create a memory's file, and bring its schema up to date.

    Args:
        url: The path of the file, or ":memory:".

    Returns:
        A connection in autocommit mode; transactions are begun with `transaction`.

    Raises:
        StorageError: The file cannot be used; the subclass says why.
    """
    url = str(url)
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
def transaction(
    connection: Statements,
    kind: str = "IMMEDIATE",
    *,
    meanwhile: Callable[[], object] | None = None,
) -> Iterator[None]:
    """Run the block in a transaction: commit at the end, roll back on any exception.

    Args:
        connection: A connection in autocommit mode.
        kind: "IMMEDIATE" for a transaction that writes, "DEFERRED" for reads that all see the same state.
        meanwhile: Called repeatedly while the transaction waits for another writer.
    """
    if kind == "IMMEDIATE":
        _run_when_free(connection, "BEGIN IMMEDIATE", meanwhile)
    else:
        connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors, such as a full disk, SQLite has already rolled back. A second rollback would be an error.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translated_errors(url: str) -> Iterator[None]:
    """Translate sqlite3's errors into subclasses of `StorageError`.

    Args:
        url: The path of the file, for messages.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _translate(error, url) from error
    # A damaged length can request more memory than there is, and SQLite's error message can contain bytes that are no
    # valid text.
    except (MemoryError, UnicodeDecodeError) as error:
        raise CorruptMemoryError(f"The memory {url!r} is damaged; restore it from a backup.") from error


def _run_when_free(connection: Statements, sql: str, meanwhile: Callable[[], object] | None = None) -> None:
    """Run a statement that no other writer may disturb, as soon as no other one writes.

    SQLite's own busy handler retries after longer and longer pauses, up to 100 ms. So among many writers, the one that
    has waited longest loses again and again. Here the pauses get shorter with the time waited, so that it comes first.
    For some statements SQLite calls no busy handler at all.
    """
    start = time.monotonic()
    while not _try(connection, sql, last=time.monotonic() - start > BUSY_SECONDS):
        waited = time.monotonic() - start
        if meanwhile is not None and waited < MEANWHILE_SECONDS:
            meanwhile()
        # A random pause, so that waiting writers do not retry at the same moments.
        time.sleep(random.uniform(0, 0.02) / (1 + 50 * waited))  # noqa: S311 - no cryptography


def _try(connection: Statements, sql: str, *, last: bool) -> bool:
    """Try to run a statement.

    Args:
        connection: A connection in autocommit mode.
        sql: The statement.
        last: Whether this is the last attempt. Only then another writer is an error.

    Returns:
        Whether the statement was run.
    """
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute(sql)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or last:
            raise
        return False
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    return True


def _prepare(connection: sqlite3.Connection, url: str) -> None:
    # Both queries run before the first pragma that writes, because a foreign file must not be changed. The tables are
    # counted before the id is read, because another process may be creating the file: it commits both together.
    [tables] = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    [application_id] = connection.execute("PRAGMA application_id").fetchone()
    if tables and application_id != APPLICATION_ID:
        raise ForeignFileError(f"{url!r} is the SQLite file of another program; give the memory a path of its own.")
    # Two processes may create the file at once. While one of them writes, the other cannot change the journal.
    _run_when_free(connection, "PRAGMA journal_mode = WAL")
    # FULL: an acknowledged turn survives a loss of power, not only the death of the process.
    connection.execute("PRAGMA synchronous = FULL")
    # Deleted content is overwritten in the file, not only unlinked.
    connection.execute("PRAGMA secure_delete = ON")
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise ForeignFileError(
            f"{url!r} was written by a newer version of titans-core (schema {version}; this version knows "
            f"{len(MIGRATIONS)}); upgrade titans-core."
        )
    if version < len(MIGRATIONS):
        _migrate(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    connection.create_function("checksum", -1, checksum, deterministic=True)
    # Migrations replace tables, and this must not delete the rows that refer to them. SQLite ignores this pragma inside
    # a transaction, so it comes before.
    connection.execute("PRAGMA foreign_keys = OFF")
    with transaction(connection):
        # Read the version again under the lock, because another process may have just migrated the file.
        [version] = connection.execute("PRAGMA user_version").fetchone()
        for migration in MIGRATIONS[version:]:
            for step in migration:
                connection.execute(step) if isinstance(step, str) else step(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _translate(error: sqlite3.Error, url: str) -> StorageError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # primary result code
    if code == sqlite3.SQLITE_NOTADB:
        return ForeignFileError(f"{url!r} is not a SQLite file; give the memory a path of its own.")
    # SQLITE_ERROR (an unreadable schema, a value that is no text) and SQLITE_TOOBIG (an impossible size) also mean
    # damage, because the SQL of this package is correct.
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG):
        return CorruptMemoryError(f"The memory {url!r} is damaged ({error}); restore it from a backup.")
    if code == sqlite3.SQLITE_FULL:
        return StorageFullError(f"The disk is full, and this call wrote nothing to {url!r}. Free some space.")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageBusyError(
            f"Another process has locked {url!r} for more than {BUSY_SECONDS:g} s; repeat the call."
        )
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
        return UnwritableError(f"{url!r} cannot be written ({error}); check the path, its permissions and the disk.")
    return StorageError(f"The memory {url!r} cannot be used: {error}.")
