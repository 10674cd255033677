"""A connection that is closed before a fork, and opened again after it.

SQLite stores in the process which locks it holds. A fork copies this record, but not the locks. In the child, a new
connection to the same file would rely on the record: its writes can be lost, and a lock that was held at that moment
blocks it for ever. So all connections are closed before a fork, and both processes open new ones when they need them.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from titans_core._utils.fork import at_fork
from titans_core.errors import StorageError
from titans_core.storage.sqlite.database import IN_MEMORY, open_database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

PATIENCE = 5.0
"""Seconds that a fork waits for other threads to finish their work with the connections."""

_CONNECTIONS: WeakSet[Connection] = WeakSet()
_CONNECTIONS_LOCK = threading.RLock()
_ABANDONED: list[sqlite3.Connection] = []
"""Connections that a child has copied from a parent that did not finish in time.

They are kept open, because closing them in the child would interfere with the parent's file.
"""
_UNUSABLE_FILES: set[str] = set()
"""Real paths of the files of the abandoned connections."""


class Connection:
    """A connection to a file with an up-to-date schema, in autocommit mode.

    It can be used after a fork, in both processes. There is one exception: if another thread of the parent was using
    the file and did not finish within `PATIENCE`, the child cannot use the file.

    Attributes:
        url: The path of the file, or ":memory:", as it was given.
    """

    def __init__(self, url: str | Path) -> None:
        """Open or create the file.

        Args:
            url: The path of the file, or ":memory:".

        Raises:
            StorageError: The file cannot be used; the subclass says why.
        """
        self.url = str(url)
        # An absolute path, because the working directory may change.
        self._path = self.url if self.url == IN_MEMORY else str(Path(url).absolute())
        self._lock = threading.RLock()
        self._sqlite: sqlite3.Connection | None = None
        self._closed = self._lost_in_fork = False
        with _CONNECTIONS_LOCK:
            _CONNECTIONS.add(self)
        with self._lock:
            self._ensure_open(self.url)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Make forks and other threads wait until the end of the block."""
        with self._lock:
            yield

    def execute(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run one statement. Its rows must be fetched inside the same `in_use` block."""
        with self._lock:
            return self._ensure_open(self._path).execute(sql, values)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._sqlite is not None and self._sqlite.in_transaction

    def close(self) -> None:
        """Close the connection. The last connection to a file also empties the write-ahead log.

        A second call does nothing.
        """
        with self._lock:
            self._closed = True
            self._disconnect()

    def before_fork(self, until: float) -> None:
        """Wait until no other thread uses the connection, and close it. A database in memory stays open.

        Args:
            until: The time at which to stop waiting, in seconds of the monotonic clock.
        """
        self._locked = self._lock.acquire(timeout=max(0.0, until - time.monotonic()))
        self._idle = self._locked and not self.in_transaction
        if self._idle and self._path != IN_MEMORY:
            self._disconnect()

    def after_fork(self, *, child: bool) -> None:
        """Allow the use of the connection again, except in a child that was forked while a thread was using it.

        Args:
            child: Whether this process is the child.
        """
        if self._locked:
            self._lock.release()
        if child and not self._idle:
            self._lock, self._lost_in_fork = threading.RLock(), True
            if self._sqlite is not None:
                _ABANDONED.append(self._sqlite)
            if self._path != IN_MEMORY:
                _UNUSABLE_FILES.add(os.path.realpath(self._path))
            self._sqlite = None

    def _ensure_open(self, path: str) -> sqlite3.Connection:
        """Return SQLite's connection; open it if necessary."""
        if self._closed:
            raise StorageError(f"This log of {self.url!r} was closed; open it again.")
        if self._sqlite is None:
            if self._lost_in_fork or os.path.realpath(path) in _UNUSABLE_FILES:
                raise StorageError(
                    f"This process cannot use {self.url!r}, because it was forked while another thread was using the "
                    f"file for more than {PATIENCE:g} s. Fork when no call is running, or start a new process."
                )
            self._sqlite = open_database(path)
        return self._sqlite

    def _disconnect(self) -> None:
        if self._sqlite is not None:
            self._sqlite.close()
            self._sqlite = None


def _before_fork() -> None:
    until = time.monotonic() + PATIENCE
    _CONNECTIONS_LOCK.acquire()
    for connection in _CONNECTIONS:
        connection.before_fork(until)


def _after_fork(*, child: bool) -> None:
    for connection in _CONNECTIONS:
        connection.after_fork(child=child)
    _CONNECTIONS_LOCK.release()


at_fork(
    "sqlite",
    before=_before_fork,
    after_in_parent=lambda: _after_fork(child=False),
    after_in_child=lambda: _after_fork(child=True),
)
