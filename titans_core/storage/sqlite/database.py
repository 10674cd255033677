"""One SQLite file: opened, migrated, and its errors translated."""

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
        """What runs statements: `sqlite3.Connection`, or our `Connection`."""

        @property
        def in_transaction(self) -> bool:
            """Whether a transaction was begun and has not ended."""

        def execute(self, sql: str, /) -> sqlite3.Cursor:
            """Run one statement."""


IN_MEMORY = ":memory:"
BUSY_SECONDS = 5.0

HURRY_SECONDS = 2.0
"""Who has waited for as long as this to write does nothing else meanwhile."""


def open_database(url: str | Path) -> sqlite3.Connection:
    """Open or create a memory's file and bring its schema up to date.

    The connection is in autocommit mode: transactions are begun by hand, see `transaction`.

    Raises:
        StorageError: the subclass says what is wrong with the path or the file.
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
    """All or nothing: commits at the end, rolls back on any exception.

    Args:
        connection: in autocommit mode.
        kind: "IMMEDIATE" to write, "DEFERRED" to read from one moment's state.
        meanwhile: called again and again while another process writes.
    """
    if kind == "IMMEDIATE":
        _wait_to_write(connection, meanwhile)
    else:
        connection.execute(f"BEGIN {kind}")
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
    except sqlite3.Error as error:
        raise _translate(error, url) from error
    # A damaged length asks for more than there is, and an error may quote what is no text.
    except (MemoryError, UnicodeDecodeError) as error:
        raise CorruptMemoryError(f"The memory {url!r} is damaged; restore it from a backup.") from error


def _wait_to_write(connection: Statements, meanwhile: Callable[[], object] | None = None) -> None:
    """Begin a transaction as the only writer.

    SQLite itself asks again after ever longer pauses, up to 100 ms: among many writers, one that has waited for long
    then comes last again and again. Here it asks the more often the longer it has waited, so that it comes first.
    """
    begun = time.monotonic()
    while not _begun_to_write(connection, last=time.monotonic() - begun > BUSY_SECONDS):
        waited = time.monotonic() - begun
        if meanwhile is not None and waited < HURRY_SECONDS:
            meanwhile()
        time.sleep(random.uniform(0, 0.02) / (1 + 50 * waited))  # noqa: S311 - to be out of step


def _begun_to_write(connection: Statements, *, last: bool) -> bool:
    """Whether a transaction was begun; another writer is an error at the last attempt only."""
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or last:
            raise
        return False
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    return True


def _prepare(connection: sqlite3.Connection, url: str) -> None:
    # Asked before the first pragma that writes: a foreign file must not be changed. The tables first, as another
    # process may be making them: the id comes with them.
    [tables] = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    [application_id] = connection.execute("PRAGMA application_id").fetchone()
    if tables and application_id != APPLICATION_ID:
        raise ForeignFileError(f"{url!r} is another program's SQLite file; give the memory a path of its own.")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: an acknowledged turn survives the loss of power too, not only that of the process.
    connection.execute("PRAGMA synchronous = FULL")
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
    connection.create_function("checksum", -1, checksum, deterministic=True)
    # Tables are replaced: that must not delete the rows that refer to them. No pragma of a transaction.
    connection.execute("PRAGMA foreign_keys = OFF")
    with transaction(connection):
        # Read again under the lock: another process may just have done it.
        [version] = connection.execute("PRAGMA user_version").fetchone()
        for migration in MIGRATIONS[version:]:
            for step in migration:
                connection.execute(step) if isinstance(step, str) else step(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _translate(error: sqlite3.Error, url: str) -> StorageError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the primary code
    if code == sqlite3.SQLITE_NOTADB:
        return ForeignFileError(f"{url!r} is not a SQLite file; give the memory a path of its own.")
    # A schema that cannot be understood, or a value that is too big or no text, is damage too: our own SQL is not.
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG):
        return CorruptMemoryError(f"The memory {url!r} is damaged ({error}); restore it from a backup.")
    if code == sqlite3.SQLITE_FULL:
        return StorageFullError(f"The disk is full: nothing of this call was written to {url!r}. Free some space.")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageBusyError(f"Another process has held {url!r} for more than {BUSY_SECONDS:g} s; repeat the call.")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
        return UnwritableError(f"{url!r} cannot be written ({error}); check the path, its permissions and the disk.")
    return StorageError(f"The memory {url!r} could not be used: {error}.")
