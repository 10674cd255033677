"""PostgreSQL databases: connections that a process shares, and translation of errors."""

from __future__ import annotations

import os
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import psycopg
from pgvector.psycopg.halfvec import register_halfvec_info
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool

from titans_core._utils.fork import at_fork
from titans_core.errors import (
    CorruptMemoryError,
    ForeignFileError,
    StorageBusyError,
    StorageError,
    StorageFullError,
    UnsupportedUrlError,
    UnwritableError,
)
from titans_core.storage.postgres.schema import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

BUSY_SECONDS = 5.0
"""Seconds to wait for a connection, or for a lock that another process holds, before a call fails."""

CONNECTIONS = 8
"""The most connections that a process opens to one URL, for any number of logs. A log uses one only during a call."""


class ServerUrl(str):
    """A postgresql:// URL that hides its password in messages.

    Beware: it is a `str`, but its string forms differ.

    * `repr()`, `format()` and f-strings give the URL without its password and without its options. Use them in
      messages. The result is not good for connecting.
    * `str()`, `print`, `%s`, `+`, `str.join` and all other uses of a string see the whole URL, **with the password**.
      Use `str()` only to connect, and never write the result to a message or a log.
    * A comparison compares whole URLs: the same database with another password is another URL.
    """

    __slots__ = ()

    def __new__(cls, url: str) -> Self:
        """Check that a URL can be taken apart without ambiguity.

        Args:
            url: "postgresql://user:password@host:port/database".

        Raises:
            UnsupportedUrlError: The text is not such a URL, or the password has characters that must be escaped.
        """
        if not _is_unambiguous(url):
            # The driver's own message would show parts of the password.
            raise UnsupportedUrlError(
                "The postgresql:// URL cannot be read. The form is postgresql://user:password@host:port/database. "
                "In the password, write every character except letters and digits as %XX (see urllib.parse.quote)."
            )
        return super().__new__(cls, url)

    def __repr__(self) -> str:
        return repr(format(self))

    def __format__(self, spec: str) -> str:
        parts = conninfo_to_dict(str(self))
        user, host, port, name = (parts.get(part, "") for part in ("user", "host", "port", "dbname"))
        return format(f"postgresql://{user}@{host}{f':{port}' if port else ''}/{name}", spec)


class Database:
    """The connections of one process to one database.

    Attributes:
        process: Id of the process that owns the connections. A forked process needs its own `Database`.
        users: Number of open logs that use the connections.
    """

    def __init__(self, url: ServerUrl) -> None:
        """Use `shared`."""
        self.process = os.getpid()
        self._url = url
        self.users = 0
        with one_connection(url) as connection:
            vectors = prepare(connection, url, patience=int(BUSY_SECONDS * 1000))
        self._pool = ConnectionPool(
            str(url),
            kwargs=_options(),
            min_size=0,
            max_size=CONNECTIONS,
            configure=lambda connection: register_halfvec_info(connection, vectors),
            # Check each connection before use, so that a restart of the server does not make a call fail.
            check=ConnectionPool.check_connection,
            timeout=BUSY_SECONDS,
            reconnect_timeout=BUSY_SECONDS,
            num_workers=1,
            open=True,
        )

    @classmethod
    def shared(cls, url: ServerUrl) -> Database:
        """Return this process's `Database` for a URL. The caller must call `release` when it is done.

        Args:
            url: URL of the database.

        Raises:
            StorageError: The database cannot be used; the subclass says why.
        """
        with _STATE.lock:
            database = _STATE.databases.get(url) or cls(url)
            _STATE.databases[url] = database
            database.users += 1
            return database

    def release(self) -> None:
        """End one use; the end of the last use closes the connections."""
        if self.process != os.getpid():
            return
        with _STATE.lock:
            self.users -= 1
            if not self.users:
                del _STATE.databases[self._url]
                self._pool.close()

    @contextmanager
    def connection(self) -> Iterator[Connection[Any]]:
        """Lend a connection in autocommit mode.

        If the block leaves a transaction open, the transaction is committed. On an exception it is rolled back.

        Raises:
            UnwritableError: No connection is available.
        """
        with translated_errors(self._url), self._pool.connection() as connection:
            yield connection
            # A COMMIT would roll back too, but without an error.
            if connection.info.transaction_status == TransactionStatus.INERROR:
                raise StorageError("A statement failed in this transaction, and nothing of it was written.")


@contextmanager
def one_connection(url: ServerUrl) -> Iterator[Connection[Any]]:
    """Open a connection in autocommit mode, and close it after the block."""
    with translated_errors(url), psycopg.connect(str(url), **_options()) as connection:
        yield connection


@contextmanager
def translated_errors(url: ServerUrl) -> Iterator[None]:
    """Translate psycopg's errors into subclasses of `StorageError`.

    Args:
        url: URL of the database, for messages.
    """
    try:
        yield
    except psycopg.Error as error:
        raise _translate(error, url) from error


class _ProcessState:
    """The databases of one process.

    A forked child must not use its parent's connections. The lock may be held by a thread that the child does not have.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.databases: dict[ServerUrl, Database] = {}


_STATE = _ProcessState()
_ABANDONED: list[_ProcessState] = []
"""States of parent processes. They are kept, because a deleted pool would close the parent's connections."""


def _after_fork() -> None:
    global _STATE
    _ABANDONED.append(_STATE)
    _STATE = _ProcessState()


at_fork("postgres", after_in_child=_after_fork)


def _options() -> dict[str, Any]:
    return {"autocommit": True, "client_encoding": "utf8", "connect_timeout": round(BUSY_SECONDS) or 1}


def _is_unambiguous(url: str) -> bool:
    """Return whether the URL can be parsed, and no part of a password is taken for its host, port or database."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return False
    host, port, name = (str(parts.get(part, "")) for part in ("host", "port", "dbname"))
    return "@" not in host + name and re.fullmatch("[0-9,]*", port) is not None


def _translate(error: psycopg.Error, url: ServerUrl) -> StorageError:
    code = error.sqlstate or ""
    # Only the first line, because the details may contain the text of a turn.
    reason = error.diag.message_primary or str(error)
    if code == "53100":
        return StorageFullError(f"The server's disk is full, and this call wrote nothing to {url!r}. Free some space.")
    if code in ("55P03", "40P01", "40001", "57014", "53300"):
        return StorageBusyError(
            f"{url!r} was busy for {BUSY_SECONDS:g} s, and nothing was written ({reason}); repeat the call."
        )
    if code in ("42501", "25006"):
        return UnwritableError(
            f"{url!r} cannot be written ({reason}); check the rights of the role, and that the server is no replica."
        )
    if code in ("XX001", "XX002") or code.startswith("22"):
        return CorruptMemoryError(f"The memory in {url!r} is damaged ({reason}); restore it from a backup.")
    if code.startswith(("42", "3F")):
        return ForeignFileError(f"The schema `titans` in {url!r} is not a memory's ({reason}); use another database.")
    if isinstance(error, psycopg.OperationalError):
        return UnwritableError(
            f"{url!r} cannot be reached ({reason}). Repeat the call when the server is back; no stored turn is lost."
        )
    return StorageError(f"The memory in {url!r} cannot be used: {reason}.")
