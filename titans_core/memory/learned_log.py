"""A log and what was learned of it, kept in step behind one lock."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

from titans_core._utils.fork import at_fork
from titans_core.errors import ClosedMemoryError, StorageError, UnknownTurnError
from titans_core.memory.learner import Learner
from titans_core.storage import Filters, open_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from titans_core.neural import MemorySpec
    from titans_core.storage import TurnLog

SWEEP_SECONDS = 3600.0
"""Seconds between two searches for turns that have become too old, while the memory is in use."""


class LearnedLog:
    """One tenant's log and the learner that follows it.

    It holds the lock that makes a memory thread-safe, opens the log again after `suspend` and after a fork, and
    forgets the turns that are older than `max_age`.

    Attributes:
        url: Where the log is stored.
        tenant: Whose log it is.
        lock: Held by the thread that uses the log or the learner.
        log: The log. Use it inside `in_use` only.
        learner: The weights and the index. Use it inside `in_use` only.
        suspended: Whether `suspend` was called since the last use.
        closed: Whether `close` was called.
    """

    def __init__(self, log: TurnLog, *, reader: str, spec: MemorySpec, max_age: timedelta | None) -> None:
        """Learn what the log holds, and forget what is too old.

        Args:
            log: The open log; it is closed by `close`.
            reader: Fingerprint of the reader that the log was opened with.
            spec: The neural memory's choices.
            max_age: Turns that were said longer ago are forgotten; None keeps all.
        """
        self.url = log.url
        self.tenant = log.tenant
        self.lock = threading.RLock()
        self.log = log
        self.learner = Learner(log, spec)
        self.suspended = False
        self.closed = False
        self._reader = reader
        self._spec = spec
        self._max_age = max_age
        _LEARNED_LOGS.add(self)
        self._sweep()

    @contextmanager
    def in_use(self) -> Iterator[Self]:
        """Hold the lock; inside the block the log is open and the learner is loaded.

        Raises:
            ClosedMemoryError: The memory was closed.
            StorageError: The log cannot be opened again; the subclass says why.
        """
        with self.lock:
            if self.closed:
                raise ClosedMemoryError("This memory was closed; open it again with TitansMemory.open.")
            if self.suspended:
                self._resume()
            if self._max_age is not None and time.monotonic() - self._swept > SWEEP_SECONDS:
                self._sweep()
            yield self

    def position(self, id: str) -> int:  # noqa: A002 - the word that callers use
        """The position of the turn with this id. Call it inside `in_use`.

        Raises:
            UnknownTurnError: No turn has the id.
        """
        position = self.log.position_of(id)
        if position is None:
            raise UnknownTurnError(f"No turn of {self.tenant!r} has the id {id!r}; `turns()` lists them.")
        return position

    def forget(self, filters: Filters) -> int:
        """Delete the turns that pass the filters and relearn the rest. Call it inside `in_use`.

        Returns:
            How many turns were deleted.
        """
        with self.log.transaction():
            positions = self.log.positions(filters)
            if positions:
                self.log.delete(positions)
        self.relearn()
        return len(positions)

    def relearn(self) -> None:
        """Leave nothing of deleted turns in the weights, in the snapshot and in the file. Call it inside `in_use`."""
        self.learner.catch_up()
        self.learner.save_snapshot()  # so that other processes need not relearn
        self.log.scrub()

    def forget_tenant(self) -> int:
        """Delete all that the tenant has, the name too, and close the log.

        Returns:
            How many turns were deleted.
        """
        with self.in_use():
            with self.log.transaction():
                turns = self.log.delete_tenant()
            self.learner.discard()
            self.log.scrub()
            self.log.close()
            self.closed = True
        return turns

    def suspend(self) -> None:
        """Save the weights, and release them and the connection until the next use."""
        with self.lock:
            if not (self.closed or self.suspended):
                self._release()
                self.suspended = True

    def close(self) -> None:
        """Save the weights and close the log; a second call does nothing."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
            if not self.suspended:
                self._release()

    def after_fork(self) -> None:
        """Give up what a forked process must not take over from its parent."""
        self.lock = threading.RLock()  # another thread of the parent may have held it
        self.learner.discard()  # and may have been learning

    def _resume(self) -> None:
        self.log = open_log(self.url, self.tenant, reader=self._reader, dim=self._spec.dim)
        self.learner = Learner(self.log, self._spec)
        self.suspended = False

    def _release(self) -> None:
        # The weights can be learned again from the log, so a failure to save them is no reason to fail.
        with suppress(StorageError):
            self.learner.save_snapshot()
        self.log.close()

    def _sweep(self) -> None:
        """Forget the turns that are older than `max_age`."""
        self._swept = time.monotonic()
        if self._max_age is None:
            return
        oldest = datetime.now(UTC) - self._max_age
        said = self.learner.index.turns().at
        if len(said) and said.min() < oldest.timestamp():
            self.forget(Filters(until=oldest))


_LEARNED_LOGS: WeakSet[LearnedLog] = WeakSet()


def _after_fork() -> None:
    for learned in list(_LEARNED_LOGS):
        learned.after_fork()


at_fork("memories", after_in_child=_after_fork)
