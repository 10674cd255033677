"""A connection that a fork does not carry over.

SQLite notes in the process which locks it holds, and a fork copies the notes without the locks. In the child, a new
connection to the same file would rely on them: what it writes can be lost, and what was locked at that moment stays
locked to it. So all connections are closed before a fork, and both processes open new ones when they need them.
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
"""Seconds that a fork waits for other threads to finish what they do with their connections."""

_CONNECTIONS: WeakSet[Connection] = WeakSet()
_REGISTER = threading.RLock()
_ABANDONED: list[sqlite3.Connection] = []
"""What a child took over from a parent that did not finish in time: closing it would meddle with the parent's file."""
_UNUSABLE: set[str] = set()
"""The files of these."""


class Connection:
    """A file, opened and migrated; in autocommit mode.

    Safe to use in a process that has forked. If a thread of the parent was in the middle of something, and did not
    finish within `PATIENCE`, the child cannot use the file.

    Attributes:
        url: the path or ":memory:", as it was given.
    """

    def __init__(self, url: str | Path) -> None:
        """Open or create the file.

        Raises:
            StorageError: the subclass says what is wrong with the path or the file.
        """
        self.url = str(url)
        self._path = self.url if self.url == IN_MEMORY else str(Path(url).absolute())  # the folder may change
        self._lock = threading.RLock()
        self._open: sqlite3.Connection | None = None
        self._closed = self._lost = False
        with _REGISTER:
            _CONNECTIONS.add(self)
        with self._lock:
            self._here(self.url)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """A fork waits for the end of the block, and so do other threads."""
        with self._lock:
            yield

    def execute(self, sql: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run one statement; its rows have to be fetched within the same `in_use`."""
        with self._lock:
            return self._here(self._path).execute(sql, values)

    @property
    def in_transaction(self) -> bool:
        """Whether one was begun and has not ended."""
        return self._open is not None and self._open.in_transaction

    def close(self) -> None:
        """Close it; the last connection to close empties the write-ahead log. Closing twice is no error."""
        with self._lock:
            self._closed = True
            self._let_go()

    def before_fork(self, until: float) -> None:
        """Wait until no other thread uses it, and close it; but keep what is in memory.

        Args:
            until: when to give up, in seconds of the monotonic clock.
        """
        self._held = self._lock.acquire(timeout=max(0.0, until - time.monotonic()))
        self._quiet = self._held and not self.in_transaction
        if self._quiet and self._path != IN_MEMORY:
            self._let_go()

    def after_fork(self, *, child: bool) -> None:
        """Let others use it again; not in a child that was born while another thread was using it."""
        if self._held:
            self._lock.release()
        if child and not self._quiet:
            self._lock, self._lost = threading.RLock(), True
            if self._open is not None:
                _ABANDONED.append(self._open)
            if self._path != IN_MEMORY:
                _UNUSABLE.add(os.path.realpath(self._path))
            self._open = None

    def _here(self, path: str) -> sqlite3.Connection:
        if self._closed:
            raise StorageError(f"This log of {self.url!r} was closed; open it again.")
        if self._open is None:
            if self._lost or os.path.realpath(path) in _UNUSABLE:
                raise StorageError(
                    f"This process was forked while another thread was using {self.url!r}, for more than "
                    f"{PATIENCE:g} s. It cannot use the file; fork when no call is running, or start a new process."
                )
            self._open = open_database(path)
        return self._open

    def _let_go(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


def _before() -> None:
    until = time.monotonic() + PATIENCE
    _REGISTER.acquire()
    for connection in _CONNECTIONS:
        connection.before_fork(until)


def _after(*, child: bool) -> None:
    for connection in _CONNECTIONS:
        connection.after_fork(child=child)
    _REGISTER.release()


at_fork(
    "sqlite",
    before=_before,
    after_in_parent=lambda: _after(child=False),
    after_in_child=lambda: _after(child=True),
)
