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
from titans_core.storage.postgres.database import Database, ServerUrl, one_connection, translated_errors
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
_FETCH_ROWS = 500
"""Rows that a stream fetches at once."""
_CURSOR_NUMBERS = count()


class PostgresLog(SqlLog):
    """A log in the schema `titans` of a database.

    An acknowledged turn is as durable as a commit of the server. With `synchronous_commit = off`, a crash of the server
    may lose the last turns; with `fsync = off` it may lose all turns.

    Texts in PostgreSQL cannot contain a NUL character. So a turn with one is refused, and a search for a text with one
    finds nothing.
    """

    url: ServerUrl

    def __init__(self, url: str, tenant: str, *, reader: str, dim: int) -> None:
        """Open a database, and the tenant's part of it.

        Args:
            url: "postgresql://…", with an ordinary role: row-level security does not limit superusers (see `schema`).
            tenant: The tenant's name.
            reader: Fingerprint of the reader. A database holds the keys of one reader only.
            dim: Length of the reader's keys.

        Raises:
            StorageError: The database cannot be used; the subclass says why.
            ReaderMismatchError: The database holds the keys of another reader.
            InvalidTenantError: The name has a NUL character.
        """
        if "\0" in tenant:
            raise InvalidTenantError("PostgreSQL cannot store the NUL character in a tenant's name; remove it.")
        self._connection: Connection[Any] | None = None  # the connection of the open transaction
        self._closed = False
        self._database = Database.shared(ServerUrl(url))
        try:
            super().__init__(ServerUrl(url), tenant, reader=reader, dim=dim)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self, *, meanwhile: Callable[[], object] | None = None) -> Iterator[None]:  # noqa: ARG002 - never called
        # `meanwhile` is not called, because this thread waits in the server's queue for the lock.
        # The lock allows one writer for each tenant. Before the tenant has a number, the lock allows one process that
        # registers a tenant.
        with self._run_transaction(
            f"{self._begin_statements('READ COMMITTED')}; SELECT pg_advisory_xact_lock({LOCKS + self._number})"
        ):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        if self._current_connection():  # all reads in a transaction see the same state, because it is the only writer
            yield
            return
        with self._run_transaction(self._begin_statements("REPEATABLE READ READ ONLY")):
            yield

    def append(self, turn: Turn, passages: Sequence[PassageRecord], *, position: int | None = None) -> TurnRecord:
        for name in ("text", "speaker", "session", "source", "id"):
            if "\0" in (getattr(turn, name) or ""):
                raise _nul_error(name)
        _check_metadata(turn.metadata)
        return super().append(turn, passages, position=position)

    def set_metadata(self, position: int, metadata: Mapping[str, object]) -> None:
        _check_metadata(metadata)
        super().set_metadata(position, metadata)

    def scrub(self) -> None:
        """Vacuum the tables, so that no row has the deleted content any more and its space is free.

        The server overwrites this space when it writes new rows there. Until then the deleted bytes may remain in the
        files of the tables. They may also remain in the server's write-ahead log and its archive, in replicas, in
        backups and in blocks of the file system.

        A row that an earlier transaction may still see stays until the server's own vacuum. If the role does not own
        the tables, all deleted rows stay until then.
        """
        with self._current_database().connection() as connection:
            connection.execute("VACUUM (TRUNCATE false) titans.turns, titans.passages, titans.keys, titans.snapshots")

    def size(self) -> int:
        query = (
            "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class "
            "WHERE relnamespace = 'titans'::regnamespace AND relkind = 'r'"
        )
        return int(self._rows(query)[0][0])

    def close(self) -> None:
        """Stop using the database. Closing the last log of a URL closes the connections."""
        if not self._closed:
            self._closed = True
            self._database.release()

    # ── private helpers ──

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        with self._lend_connection() as connection, translated_errors(self.url):
            cursor = connection.execute(*_statement(sql, values), binary=True)
            return cursor.fetchall() if cursor.description else []

    def _stream(self, sql: str, values: Sequence[object]) -> Iterator[Any]:
        # The cursor needs no explicit close: it ends with the transaction, even if not all rows were read.
        name = f"stream_{next(_CURSOR_NUMBERS)}"
        statement, parameters = _statement(f"DECLARE {name} NO SCROLL CURSOR FOR {sql}", values)
        with self._lend_connection() as connection, translated_errors(self.url):
            connection.execute(statement, parameters)
            fetch = f"FETCH {_FETCH_ROWS} FROM {name}".encode()
            while rows := connection.execute(fetch, binary=True, prepare=False).fetchall():
                yield from rows

    def _next_position(self) -> int:
        return int(self._rows("SELECT nextval('positions')")[0][0])

    def _register(self) -> int:
        query = "INSERT INTO tenants (name, identity) VALUES (?, ?) ON CONFLICT DO NOTHING"
        self._rows(query, (self.tenant, checksum(self.tenant)))
        number = self._tenant_number()
        # From now on the transaction writes for this number, even if it began with the number of a forgotten tenant.
        switch = "SELECT set_config('titans.tenant', ?, true), pg_advisory_xact_lock(?)"
        self._rows(switch, (str(number), LOCKS + number))
        return number

    def _text_condition(self, column: str, texts: Collection[str]) -> tuple[str, list[object]]:
        return f"{column} = ANY(?)", [[text for text in texts if "\0" not in text]]

    def _metadata_condition(self, key: str, value: object) -> tuple[str, list[object]]:
        # As in SQLite, the values 1, 1.0 and true are equal.
        equal = [json.dumps(value)]
        if not isinstance(value, str) and value in (0, 1):
            equal = [str(int(value)), json.dumps(bool(value))]
        if "\0" in key or any(map(_NUL_IN_JSON.search, equal)):
            return "FALSE", []
        return "metadata::jsonb -> ?::text = ANY(?::jsonb[])", [key, equal]

    def _encode_vector(self, vector: NDArray[np.float16]) -> object:
        return HalfVector(vector)

    def _decode_vector(self, value: Any) -> NDArray[np.float16]:
        if not isinstance(value, HalfVector):
            raise TypeError
        return value.to_numpy()

    def _begin_statements(self, mode: str) -> str:
        """Return the statements that begin a transaction.

        Their settings end with the transaction, because other logs use the connection afterwards.
        """
        patience = int(database.BUSY_SECONDS * 1000)
        return (
            f"BEGIN ISOLATION LEVEL {mode}; SELECT set_config('search_path', 'titans', true), "
            f"set_config('titans.tenant', '{self._number}', true), set_config('lock_timeout', '{patience}', true)"
        )

    @contextmanager
    def _run_transaction(self, begin: str) -> Iterator[None]:
        """Run a transaction on one connection. All statements inside the block are part of it.

        Args:
            begin: The statements that begin the transaction.
        """
        with self._current_database().connection() as connection:
            connection.execute(begin.encode())
            self._connection = connection
            try:
                yield
            finally:
                self._connection = None

    @contextmanager
    def _lend_connection(self) -> Iterator[Connection[Any]]:
        """Lend the connection of the open transaction; if there is none, begin a transaction for one statement."""
        if connection := self._current_connection():
            yield connection
            return
        with self._current_database().connection() as connection:
            connection.execute(self._begin_statements("REPEATABLE READ READ ONLY").encode())
            yield connection

    def _current_connection(self) -> Connection[Any] | None:
        """Return the connection of the transaction that is open in this process; None if there is none."""
        return self._connection if self._database.process == os.getpid() else None

    def _current_database(self) -> Database:
        """Return the database. A forked child gets new connections, because it must not use those of its parent."""
        if self._closed:
            raise StorageError(f"This log of {self.url!r} was closed; open it again.")
        if self._database.process != os.getpid():
            self._database, self._connection = Database.shared(ServerUrl(self.url)), None
        return self._database


def stored_tenants(url: str) -> list[str]:
    """Return the names of all tenants in a database that have at least one turn.

    Args:
        url: "postgresql://…".

    Returns:
        The names; empty if the database has no memory.

    Raises:
        StorageError: The database cannot be used; the subclass says why.
    """
    url = ServerUrl(url)
    with one_connection(url) as connection:
        if not stored_version(connection, url):
            return []
        rows = connection.execute("SELECT name, identity FROM titans.tenants WHERE turns > 0").fetchall()
    if any(identity != checksum(name) for name, identity in rows):
        raise CorruptMemoryError(f"The list of tenants in {url!r} is damaged; restore a backup.")
    return [name for name, _ in rows]


def _statement(sql: str, values: Sequence[object]) -> tuple[bytes, list[object]]:
    """Convert a statement with `?` and its values into the form that psycopg takes."""
    # No text in the database has a NUL character, so a text with one must equal nothing. NULL equals nothing.
    parameters = [None if isinstance(value, str) and "\0" in value else value for value in values]
    return sql.replace("?", "%s").encode(), parameters


def _check_metadata(metadata: Mapping[str, object]) -> None:
    if _NUL_IN_JSON.search(json.dumps(dict(metadata))):
        raise _nul_error("metadata")


def _nul_error(name: str) -> InvalidTurnError:
    return InvalidTurnError(f"PostgreSQL cannot store the NUL character, but this turn's {name} has one; remove it.")
