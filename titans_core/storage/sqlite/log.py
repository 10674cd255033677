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

GIVE_WAY = 0.1
"""Seconds: after a write the next one of the same log waits for as long as it took, but no longer than this.

Others get their turn. Reading a turn takes longer, so that it costs only who has nothing to read.
"""

LOOKUPS = {"turns_by_id": ("id",), "turns_by_digest": ("digest",), "turns_by_source": ("source", "stored")}
"""The indexes through which some of the turns are found, and the columns that they are sorted by."""

POSITIONS = 1 << 40
"""More than any file has: a passage's number, a million times its turn's position, stays within 64 bits."""


class SqliteLog(SqlLog):
    """A log in a file with the schema of `schema`."""

    def __init__(self, url: str | Path, tenant: str, *, reader: str, dim: int) -> None:
        """Open a file, and the tenant's part of it.

        Args:
            url: a path or ":memory:".
            tenant: the tenant's name.
            reader: fingerprint of the reader; a file takes the keys of one reader only.
            dim: length of its keys.

        Raises:
            StorageError: the file cannot be used; the subclass says why.
            ReaderMismatchError: the file holds the keys of another reader.
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
        """Open a tenant's part of a damaged file, to be read only: nothing is checked, nothing is written.

        Args:
            url: The path of the file.
            tenant: The tenant's name.
            number: The tenant's number in the file.

        Raises:
            StorageError: The file has no readable schema.
        """
        log = cls.__new__(cls)
        log._connect(url)  # noqa: SLF001 - of this class
        log.tenant, log._number = tenant, number  # noqa: SLF001 - likewise
        return log

    def _connect(self, url: str | Path) -> None:
        self.url = str(url)
        self._connection = Connection(url)
        self._inside = False
        self._unscrubbed = False
        self._others_until = 0.0  # of the monotonic clock: until then this log lets others write

    @contextmanager
    def transaction(self, *, meanwhile: Callable[[], object] | None = None) -> Iterator[None]:
        if self._unscrubbed:
            self.scrub()
        time.sleep(max(0.0, self._others_until - time.monotonic()))
        with (
            self._connection.in_use(),
            translated_errors(self.url),
            transaction(self._connection, meanwhile=meanwhile),
            self._entered(),
        ):
            begun = time.monotonic()
            yield
        ended = time.monotonic()
        self._others_until = ended + min(ended - begun, GIVE_WAY)

    @contextmanager
    def reading(self) -> Iterator[None]:
        if self._inside:
            yield
            return
        with (
            self._connection.in_use(),
            translated_errors(self.url),
            transaction(self._connection, "DEFERRED"),
            self._entered(),
        ):
            yield

    def scrub(self) -> None:
        # `secure_delete` has overwritten the file's pages; older ones stand in the write-ahead log until it is emptied.
        self._unscrubbed = True
        [(busy, _, _)] = self._rows("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise StorageBusyError(
                f"It is forgotten, but another process has been reading {self.url!r} for so long that its bytes could "
                "not be overwritten yet. The next write tries again."
            )
        self._unscrubbed = False

    def size(self) -> int:
        """Bytes on disk, write-ahead log included; 0 for ":memory:"."""
        if self.url == IN_MEMORY:
            return 0
        files = (Path(self.url + suffix) for suffix in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Close the connection; the last one to close empties the write-ahead log."""
        self._connection.close()

    # ── ──

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        with self._connection.in_use(), translated_errors(self.url):
            return self._connection.execute(sql, values).fetchall()

    def _stream(self, sql: str, values: Sequence[object]) -> Iterator[Any]:
        with self._connection.in_use(), translated_errors(self.url):
            # No `yield from`: it would close the cursor of a stream that is given up, perhaps after its connection.
            for row in self._connection.execute(sql, values):  # noqa: UP028
                yield row

    def _next_position(self) -> int:
        query = "SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'turns'), (SELECT max(position) FROM turns)"
        [(given, last)] = self._rows(query)
        if not (given is last is None or (isinstance(given, int) and (last or 0) <= given < POSITIONS)):
            raise self._damaged("the last position")
        return int(given or 0) + 1

    def _register(self) -> int:
        # A damaged index would give an old tenant a new, empty memory.
        if not self._registered() and self._rows("PRAGMA integrity_check(tenants)") != [("ok",)]:
            raise self._damaged("the list of tenants")
        return super()._register()

    def _among(self, column: str, texts: Collection[str]) -> tuple[str, list[object]]:
        # SQLite's JSON functions end a text at NUL, and there is a limit to the number of parameters.
        cut = [text for text in texts if "\0" in text]
        whole = json.dumps([text for text in texts if "\0" not in text])
        condition = f"({column} IN (SELECT value FROM json_each(?)){f' OR {column} = ?' * len(cut)})"
        return condition, [whole, *cut]

    def _holds(self, key: str, value: object) -> tuple[str, list[object]]:
        # The key is a parameter too: no text of the caller's becomes SQL or a JSON path. SQLite's JSON functions end a
        # text at NUL: no key or value that they give has one.
        return "EXISTS (SELECT 1 FROM json_each(metadata) WHERE key = ? AND value IS ?)", [key, value]

    def check_lookups(self) -> None:
        """Rows have checksums, indexes have not: see that every turn is found through those that single turns use."""
        for index, columns in LOOKUPS.items():
            same = " AND ".join(f"found.{column} = turn.{column}" for column in ("tenant", *columns, "position"))
            [(lost,)] = self._rows(
                "SELECT count(*) FROM turns AS turn INDEXED BY turns_in_order "
                f"WHERE tenant = ? AND {columns[0]} IS NOT NULL AND NOT EXISTS ("
                f"SELECT 1 FROM turns AS found INDEXED BY {index} WHERE {same})",
                (self._number,),
            )
            if lost:
                raise self._damaged("an index")

    @contextmanager
    def _entered(self) -> Iterator[None]:
        self._inside = True
        try:
            yield
        finally:
            self._inside = False


def stored_tenants(url: str | Path) -> list[str]:
    """The names of the tenants of a file that have a turn; none if there is no file.

    Raises:
        StorageError: the file cannot be used; the subclass says why.
    """
    if not Path(url).exists():
        return []
    has_turns = "EXISTS (SELECT 1 FROM turns INDEXED BY turns_in_order WHERE tenant = number)"
    with translated_errors(str(url)), closing(Connection(url)) as connection, connection.in_use():
        rows = connection.execute(f"SELECT name, identity, turns > 0, {has_turns} FROM tenants").fetchall()
        found = connection.execute("PRAGMA integrity_check(tenants)").fetchall()
    if found != [("ok",)] or any(identity != checksum(name) or say != have for name, identity, say, have in rows):
        raise CorruptMemoryError(f"The list of tenants in {str(url)!r} is damaged; restore a backup.")
    return [name for name, _, _, have in rows if have]
