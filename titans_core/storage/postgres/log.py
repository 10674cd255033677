"""One tenant's part of a PostgreSQL database."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from pgvector import HalfVector

from titans_core.errors import CorruptMemoryError, InvalidTenantError, InvalidTurnError, StorageError
from titans_core.storage.checksum import checksum
from titans_core.storage.postgres import database
from titans_core.storage.postgres.database import Database, Url, one_connection, translated_errors
from titans_core.storage.postgres.schema import LOCKS, stored_version
from titans_core.storage.sql import SqlLog

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from psycopg import Connection

    from titans_core.storage.records import PassageRecord, TurnRecord
    from titans_core.types import Turn

_NUL_IN_JSON = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_BATCH = 500  # rows that are fetched at once
_STREAMS = count()


class PostgresLog(SqlLog):
    """A log in the schema `titans` of a database.

    A turn that was acknowledged is as durable as the server makes a commit: with `synchronous_commit = off` a crash of
    the server may lose the last ones, with `fsync = off` all of them.

    PostgreSQL's texts hold no NUL character: turns with one are refused, and nothing is found by one.
    """

    url: Url

    def __init__(self, url: str, tenant: str, *, reader: str, dim: int) -> None:
        """Open a database, and the tenant's part of it.

        Args:
            url: "postgresql://…", of an ordinary role: superusers see through row-level security (see `schema`).
            tenant: the tenant's name.
            reader: fingerprint of the reader; a database takes the keys of one reader only.
            dim: length of its keys.

        Raises:
            StorageError: the database cannot be used; the subclass says why.
            ReaderMismatchError: the database holds the keys of another reader.
            InvalidTenantError: the name holds a NUL character.
        """
        if "\0" in tenant:
            raise InvalidTenantError("A tenant's name in PostgreSQL holds no NUL character; leave it out.")
        self._connection: Connection[Any] | None = None  # of the transaction that is open
        self._closed = False
        self._database = Database.shared(Url(url))
        try:
            super().__init__(Url(url), tenant, reader=reader, dim=dim)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self, *, meanwhile: Callable[[], object] | None = None) -> Iterator[None]:  # noqa: ARG002 - it queues
        # One writer for each tenant; while its number is unknown, one that registers a tenant.
        with self._entered(f"{self._begin('READ COMMITTED')}; SELECT pg_advisory_xact_lock({LOCKS + self._number})"):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        if self._here():  # a writer's statements see the same moment: it is the only one
            yield
            return
        with self._entered(self._begin("REPEATABLE READ READ ONLY")):
            yield

    def append(self, turn: Turn, passages: Sequence[PassageRecord], *, position: int | None = None) -> TurnRecord:
        for name in ("text", "speaker", "session", "source", "id"):
            if "\0" in (getattr(turn, name) or ""):
                raise _nul(name)
        _check_metadata(turn.metadata)
        return super().append(turn, passages, position=position)

    def set_metadata(self, position: int, metadata: Mapping[str, object]) -> None:
        _check_metadata(metadata)
        super().set_metadata(position, metadata)

    def scrub(self) -> None:
        """Vacuum the tables: what was deleted is no longer in any row, and its room is free.

        The server overwrites that room when it writes something else there. Until then its bytes may remain in the
        tables' files, as they do in the server's write-ahead log and its archive, in replicas, backups and the blocks
        of the file system. Rows that a transaction begun earlier may still see stay until the server's own vacuum, and
        so they all do if the role does not own the tables.
        """
        with self._pool().connection() as connection:
            connection.execute("VACUUM (TRUNCATE false) titans.turns, titans.passages, titans.keys, titans.snapshots")

    def size(self) -> int:
        query = (
            "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class "
            "WHERE relnamespace = 'titans'::regnamespace AND relkind = 'r'"
        )
        return int(self._rows(query)[0][0])

    def close(self) -> None:
        """Let go of the database; the last log of a URL to close closes the connections."""
        if not self._closed:
            self._closed = True
            self._database.release()

    # ── ──

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        with self._joined() as connection, translated_errors(self.url):
            cursor = connection.execute(*_statement(sql, values), binary=True)
            return cursor.fetchall() if cursor.description else []

    def _stream(self, sql: str, values: Sequence[object]) -> Iterator[Any]:
        # Nobody needs to close the cursor: it ends with the transaction, also if its rows are not read to the end.
        name = f"stream_{next(_STREAMS)}"
        statement, given = _statement(f"DECLARE {name} NO SCROLL CURSOR FOR {sql}", values)
        with self._joined() as connection, translated_errors(self.url):
            connection.execute(statement, given)
            fetch = f"FETCH {_BATCH} FROM {name}".encode()
            while rows := connection.execute(fetch, binary=True, prepare=False).fetchall():
                yield from rows

    def _next_position(self) -> int:
        return int(self._rows("SELECT nextval('positions')")[0][0])

    def _register(self) -> int:
        query = "INSERT INTO tenants (name, identity) VALUES (?, ?) ON CONFLICT DO NOTHING"
        self._rows(query, (self.tenant, checksum(self.tenant)))
        number = self._registered()
        # From here on the transaction is this tenant's, also if it began as that of a forgotten one.
        become = "SELECT set_config('titans.tenant', ?, true), pg_advisory_xact_lock(?)"
        self._rows(become, (str(number), LOCKS + number))
        return number

    def _among(self, column: str, texts: Collection[str]) -> tuple[str, list[object]]:
        return f"{column} = ANY(?)", [[text for text in texts if "\0" not in text]]

    def _holds(self, key: str, value: object) -> tuple[str, list[object]]:
        # As SQLite: 1, 1.0 and true are the same.
        alike = [json.dumps(value)]
        if not isinstance(value, str) and value in (0, 1):
            alike = [str(int(value)), json.dumps(bool(value))]
        if "\0" in key or any(map(_NUL_IN_JSON.search, alike)):
            return "FALSE", []
        return "metadata::jsonb -> ?::text = ANY(?::jsonb[])", [key, alike]

    def _packed(self, vector: NDArray[np.float16]) -> object:
        return HalfVector(vector)

    def _unpacked(self, value: Any) -> NDArray[np.float16]:
        if not isinstance(value, HalfVector):
            raise TypeError
        return value.to_numpy()

    def _begin(self, mode: str) -> str:
        """Statements that begin a transaction: its settings end with it, as connections are shared."""
        patience = int(database.BUSY_SECONDS * 1000)
        return (
            f"BEGIN ISOLATION LEVEL {mode}; SELECT set_config('search_path', 'titans', true), "
            f"set_config('titans.tenant', '{self._number}', true), set_config('lock_timeout', '{patience}', true)"
        )

    @contextmanager
    def _entered(self, begin: str) -> Iterator[None]:
        """A transaction that the statements inside are part of."""
        with self._pool().connection() as connection:
            connection.execute(begin.encode())
            self._connection = connection
            try:
                yield
            finally:
                self._connection = None

    @contextmanager
    def _joined(self) -> Iterator[Connection[Any]]:
        """The connection of the transaction that is open; else one for this statement alone."""
        if connection := self._here():
            yield connection
            return
        with self._pool().connection() as connection:
            connection.execute(self._begin("REPEATABLE READ READ ONLY").encode())
            yield connection

    def _here(self) -> Connection[Any] | None:
        """The connection of the transaction that is open in this process."""
        return self._connection if self._database.process == os.getpid() else None

    def _pool(self) -> Database:
        """The connections; new ones in a process that has forked, where the parent's must not be used."""
        if self._closed:
            raise StorageError(f"This log of {self.url!r} was closed; open it again.")
        if self._database.process != os.getpid():
            self._database, self._connection = Database.shared(Url(self.url)), None
        return self._database


def stored_tenants(url: str) -> list[str]:
    """The names of the tenants of a database that have a turn; none if there is no memory in it.

    Raises:
        StorageError: the database cannot be used; the subclass says why.
    """
    url = Url(url)
    with one_connection(url) as connection:
        if not stored_version(connection, url):
            return []
        rows = connection.execute("SELECT name, identity FROM titans.tenants WHERE turns > 0").fetchall()
    if any(identity != checksum(name) for name, identity in rows):
        raise CorruptMemoryError(f"The list of tenants in {url!r} is damaged; restore a backup.")
    return [name for name, _ in rows]


def _statement(sql: str, values: Sequence[object]) -> tuple[bytes, list[object]]:
    """A statement with `?` as psycopg takes it."""
    # No text in the database has a NUL: nothing equals one, as nothing equals NULL.
    given = [None if isinstance(value, str) and "\0" in value else value for value in values]
    return sql.replace("?", "%s").encode(), given


def _check_metadata(metadata: Mapping[str, object]) -> None:
    if _NUL_IN_JSON.search(json.dumps(dict(metadata))):
        raise _nul("metadata")


def _nul(name: str) -> InvalidTurnError:
    return InvalidTurnError(f"PostgreSQL holds no NUL character, and this turn's {name} has one; leave it out.")
