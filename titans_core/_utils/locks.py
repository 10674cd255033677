"""Locks that a forked process finds open."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakSet

from titans_core._utils.fork import at_fork

if TYPE_CHECKING:
    from types import TracebackType

_LOCKS: WeakSet[Lock] = WeakSet()


class Lock:
    """As `threading.Lock`, but a forked process does not wait for a thread of its parent's, which it has not got.

    For what another thread can be interrupted in at any moment without harm to those that come after it. A thread
    that holds it must not fork.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _LOCKS.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def locked(self) -> bool:
        """Whether a thread holds it."""
        return self._lock.locked()

    def renew(self) -> None:
        """Open it, whoever holds it."""
        self._lock = threading.Lock()


def _after_fork() -> None:
    for lock in list(_LOCKS):
        lock.renew()


at_fork("locks", after_in_child=_after_fork)
