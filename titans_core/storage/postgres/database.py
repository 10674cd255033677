"""PostgreSQL servers: connections that a process shares, and errors translated into ours."""

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
CONNECTIONS = 8
"""The most that a process opens to one URL, however many logs it has: one is in use only during a call."""


class Url(str):
    """A URL whose password does not get into sentences: only `str()` of it gives the whole.

    Raises:
        UnsupportedUrlError: it is none, or its password has characters that end it.
    """

    __slots__ = ()

    def __new__(cls, url: str) -> Self:  # noqa: D102 - as the class says
        if not _readable(url):
            # The driver's own message would show pieces of the password.
            raise UnsupportedUrlError(
                "The postgresql:// URL cannot be read. It is postgresql://user:password@host:port/database, with "
                "every character of the password but letters and digits as %XX (see urllib.parse.quote)."
            )
        return super().__new__(cls, url)

    def __repr__(self) -> str:
        return repr(format(self))

    def __format__(self, spec: str) -> str:
        parts = conninfo_to_dict(str(self))
        user, host, port, name = (parts.get(part, "") for part in ("user", "host", "port", "dbname"))
        return format(f"postgresql://{user}@{host}{f':{port}' if port else ''}/{name}", spec)


class Database:
    """A server as one process reaches it.

    Attributes:
        process: whose connections these are; a forked process needs its own.
        users: how many logs are open.
    """

    def __init__(self, url: Url) -> None:
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
            # A server that was restarted costs nobody an error.
            check=ConnectionPool.check_connection,
            timeout=BUSY_SECONDS,
            reconnect_timeout=BUSY_SECONDS,
            num_workers=1,
            open=True,
        )

    @classmethod
    def shared(cls, url: Url) -> Database:
        """This process's database of the URL; give it back with `release`.

        Raises:
            StorageError: it cannot be used; the subclass says why.
        """
        with _STATE.lock:
            database = _STATE.databases.get(url) or cls(url)
            _STATE.databases[url] = database
            database.users += 1
            return database

    def release(self) -> None:
        """One user less; the last one closes the connections."""
        if self.process != os.getpid():
            return
        with _STATE.lock:
            self.users -= 1
            if not self.users:
                del _STATE.databases[self._url]
                self._pool.close()

    @contextmanager
    def connection(self) -> Iterator[Connection[Any]]:
        """A connection in autocommit mode; a transaction that was begun is committed, or rolled back on an exception.

        Raises:
            UnwritableError: there is none to be had.
        """
        with translated_errors(self._url), self._pool.connection() as connection:
            yield connection
            # A COMMIT would do the same, and say nothing.
            if connection.info.transaction_status == TransactionStatus.INERROR:
                raise StorageError("A statement failed in this transaction; nothing of it was written.")


@contextmanager
def one_connection(url: Url) -> Iterator[Connection[Any]]:
    """A connection in autocommit mode that is closed afterwards."""
    with translated_errors(url), psycopg.connect(str(url), **_options()) as connection:
        yield connection


@contextmanager
def translated_errors(url: Url) -> Iterator[None]:
    """Turn psycopg's errors into ours."""
    try:
        yield
    except psycopg.Error as error:
        raise _translate(error, url) from error


class _State:
    """What a forked process must not take over: its parent's connections, and a lock that nobody will release."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.databases: dict[str, Database] = {}


_STATE = _State()
_ABANDONED: list[_State] = []
"""Of parent processes: kept, because a pool that is thrown away says goodbye to the server."""


def _after_fork() -> None:
    global _STATE
    _ABANDONED.append(_STATE)
    _STATE = _State()


at_fork("postgres", after_in_child=_after_fork)


def _options() -> dict[str, Any]:
    return {"autocommit": True, "client_encoding": "utf8", "connect_timeout": round(BUSY_SECONDS) or 1}


def _readable(url: str) -> bool:
    """Whether the URL has parts that can be what they are taken for, no piece of a password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return False
    host, port, name = (str(parts.get(part, "")) for part in ("host", "port", "dbname"))
    return "@" not in host + name and re.fullmatch("[0-9,]*", port) is not None


def _translate(error: psycopg.Error, url: Url) -> StorageError:
    code = error.sqlstate or ""
    # Only the first line: the details may hold what somebody said.
    said = error.diag.message_primary or str(error)
    if code == "53100":
        return StorageFullError(f"The server's disk is full: nothing of this call was written to {url!r}. Free some.")
    if code in ("55P03", "40P01", "40001", "57014", "53300"):
        return StorageBusyError(f"{url!r} was busy for {BUSY_SECONDS:g} s, nothing was written ({said}); repeat it.")
    if code in ("42501", "25006"):
        return UnwritableError(
            f"{url!r} may not be written ({said}); see the role's rights, and that it is no replica."
        )
    if code in ("XX001", "XX002") or code.startswith("22"):
        return CorruptMemoryError(f"The memory in {url!r} is damaged ({said}); restore it from a backup.")
    if code.startswith(("42", "3F")):
        return ForeignFileError(f"The schema `titans` in {url!r} is not a memory's ({said}); use another database.")
    if isinstance(error, psycopg.OperationalError):
        return UnwritableError(f"{url!r} cannot be reached ({said}). Repeat the call when it can; nothing is lost.")
    return StorageError(f"The memory in {url!r} could not be used: {said}.")
