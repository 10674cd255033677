"""One tenant's part of a SQLite file."""

from __future__ import annotations

import json
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from titans_core.errors import CorruptMemoryError, StorageBusyError
from titans_core.storage.checksum import checksum
from titans_core.storage.sql import SqlLog
from titans_core.storage.sqlite.connection import Connection
from titans_core.storage.sqlite.database import IN_MEMORY, transaction, translated_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

MAX_PAUSE = 0.1
"""Longest pause of a log after its own write, in seconds; the pause is as long as the write was.

It lets other processes write. It costs nothing when the next turn must be read first, because that takes longer.
"""

LOOKUP_INDEXES = {"turns_by_id": ("id",), "turns_by_digest": ("digest",), "turns_by_source": ("source", "stored")}
"""Indexes that find turns by id, digest or source, with the columns of each index (after the tenant)."""

POSITION_LIMIT = 1 << 40
"""No position reaches this limit, so a passage's number (2^20 times the position) stays within 64 bits."""


class SqliteLog(SqlLog):
    """A log in a SQLite file with the schema of `sqlite.schema`."""

    def __init__(self, url: str | Path, tenant: str, *, reader: str, dim: int) -> None:
        """Open or create a file, and open the tenant's part of it.

        Args:
            url: The path of the file, or ":memory:".
            tenant: The tenant's name.
            reader: Fingerprint of the reader. A file holds the keys of one reader only.
            dim: Length of the reader's keys.

        Raises:
            StorageError: The file cannot be used; the subclass says why.
            ReaderMismatchError: The file holds the keys of another reader.
        """
        self._connect(url)
        try:
            super().__init__(self.url, tenant, reader=reader, dim=dim)
            self.check_lookups()
        except BaseException:
            self._connection.close()
            raise

    @classmethod
    def unchecked(cls, url: str | Path, tenant: str, number: int) -> Self:
        """Open a tenant's part of a damaged file for reading. Nothing is checked on opening, and nothing is written.

        Args:
            url: The path of the file.
            tenant: The tenant's name.
            number: The tenant's number in the file.

        Raises:
            StorageError: The file has no readable schema.
        """
        log = cls.__new__(cls)
        log._connect(url)  # noqa: SLF001 - a method of this class
        log.tenant, log._number = tenant, number  # noqa: SLF001 - an attribute of this class
        return log

    def _connect(self, url: str | Path) -> None:
        self.url = str(url)
        self._connection = Connection(url)
        self._in_transaction = False
        self._scrub_pending = False
        self._pause_until = 0.0  # in seconds of the monotonic clock; until then this log lets other processes write

    @contextmanager
    def transaction(self, *, meanwhile: Callable[[], object] | None = None) -> Iterator[None]:
        if self._scrub_pending:
            self.scrub()
        time.sleep(max(0.0, self._pause_until - time.monotonic()))
        with (
            self._connection.in_use(),
            translated_errors(self.url),
            transaction(self._connection, meanwhile=meanwhile),
            self._mark_transaction(),
        ):
            start = time.monotonic()
            yield
        end = time.monotonic()
        self._pause_until = end + min(end - start, MAX_PAUSE)

    @contextmanager
    def reading(self) -> Iterator[None]:
        if self._in_transaction:
            yield
            return
        with (
            self._connection.in_use(),
            translated_errors(self.url),
            transaction(self._connection, "DEFERRED"),
            self._mark_transaction(),
        ):
            yield

    def scrub(self) -> None:
        # `secure_delete` has overwritten the pages of the file. Older pages remain in the write-ahead log until it is
        # emptied.
        self._scrub_pending = True
        [(busy, _, _)] = self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise StorageBusyError(
                f"The old turns are deleted, but their bytes in {self.url!r} could not be overwritten yet, because "
                "another process has been reading the file for too long. The next write tries again."
            )
        self._scrub_pending = False

    def size(self) -> int:
        """Return the size of the file and its write-ahead log in bytes; 0 for ":memory:"."""
        if self.url == IN_MEMORY:
            return 0
        files = (Path(self.url + suffix) for suffix in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Close the connection. The last connection to a file also empties the write-ahead log."""
        self._connection.close()

    # ── private helpers ──

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        with self._connection.in_use(), translated_errors(self.url):
            return self._connection.execute(sql, values).fetchall()

    def _stream(self, sql: str, values: Sequence[object]) -> Iterator[Any]:
        with self._connection.in_use(), translated_errors(self.url):
            # Not `yield from`: if the caller drops the stream early, `yield from` would close the cursor, perhaps after
            # its connection.
            for row in self._connection.execute(sql, values):  # noqa: UP028
                yield row

    def _next_position(self) -> int:
        query = "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'turns'), (SELECT max(position) FROM turns)"
        [(highest, last)] = self._rows(query)
        if not (highest is last is None or (isinstance(highest, int) and (last or 0) <= highest < POSITION_LIMIT)):
            raise self._damage_error("the last position")
        return int(highest or 0) + 1

    def _register(self) -> int:
        # With a damaged index, an existing tenant would not be found, and would get a new, empty memory.
        if not self._tenant_number() and self._rows("PRAGMA integrity_check(tenants)") != [("ok",)]:
            raise self._damage_error("the list of tenants")
        return super()._register()

    def _text_condition(self, column: str, texts: Collection[str]) -> tuple[str, list[object]]:
        # A JSON array, because the number of parameters is limited. Texts with a NUL character are parameters, because
        # SQLite's JSON functions end a text at NUL.
        with_nul = [text for text in texts if "\0" in text]
        without_nul = json.dumps([text for text in texts if "\0" not in text])
        condition = f"({column} IN (SELECT value FROM json_each(?)){f' OR {column} = ?' * len(with_nul)})"
        return condition, [without_nul, *with_nul]

    def _metadata_condition(self, key: str, value: object) -> tuple[str, list[object]]:
        # The key is a parameter too, so that no text of the caller becomes SQL or a JSON path. SQLite's JSON functions
        # end a text at NUL, so a key or value with a NUL character never matches.
        return "EXISTS (SELECT 1 FROM json_each(metadata) WHERE key = ? AND value IS ?)", [key, value]

    def check_lookups(self) -> None:
        """Check that every turn can be found by its id, its digest and its source.

        The rows have checksums, but the indexes have none.

        Raises:
            CorruptMemoryError: An index is damaged.
        """
        for index, columns in LOOKUP_INDEXES.items():
            same = " AND ".join(f"found.{column} = turn.{column}" for column in ("tenant", *columns, "position"))
            [(lost,)] = self._rows(
                "SELECT count(*) FROM turns AS turn INDEXED BY turns_in_order "
                f"WHERE tenant = ? AND {columns[0]} IS NOT NULL AND NOT EXISTS ("
                f"SELECT 1 FROM turns AS found INDEXED BY {index} WHERE {same})",
                (self._number,),
            )
            if lost:
                raise self._damage_error("an index over the turns")

    @contextmanager
    def _mark_transaction(self) -> Iterator[None]:
        """Mark that a transaction is open, until the end of the block."""
        self._in_transaction = True
        try:
            yield
        finally:
            self._in_transaction = False


def stored_tenants(url: str | Path) -> list[str]:
    """Return the names of all tenants in a file that have at least one turn.

    Args:
        url: The path of the file.

    Returns:
        The names; empty if the file does not exist.

    Raises:
        StorageError: The file cannot be used; the subclass says why.
    """
    if not Path(url).exists():
        return []
    has_turns = "EXISTS (SELECT 1 FROM turns INDEXED BY turns_in_order WHERE tenant = number)"
    with translated_errors(str(url)), closing(Connection(url)) as connection, connection.in_use():
        rows = connection.execute(f"SELECT name, identity, turns > 0, {has_turns} FROM tenants").fetchall()
        faults = connection.execute("PRAGMA integrity_check(tenants)").fetchall()
    if faults != [("ok",)] or any(
        identity != checksum(name) or counted != present for name, identity, counted, present in rows
    ):
        raise CorruptMemoryError(f"The list of tenants in {str(url)!r} is damaged; restore a backup.")
    return [name for name, _, _, present in rows if present]
