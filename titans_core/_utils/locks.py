"""Locks that are open in a forked process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from weakref import WeakSet

from titans_core._utils.fork import at_fork

if TYPE_CHECKING:
    from types import TracebackType

_LOCKS: WeakSet[Lock] = WeakSet()


class Lock:
    """Like `threading.Lock`, but open in a forked process, whatever thread of the parent held it.

    Use it only for code that may stop at any moment without harm to later users of the lock. A thread that holds the
    lock must not fork.
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
        """Whether a thread holds the lock."""
        return self._lock.locked()

    def renew(self) -> None:
        """Open the lock, whichever thread holds it."""
        self._lock = threading.Lock()


def _after_fork() -> None:
    for lock in list(_LOCKS):
        lock.renew()


at_fork("locks", after_in_child=_after_fork)
