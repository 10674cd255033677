"""The interface of a tenant's log, which every storage implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from titans_core.storage.filters import Filters
    from titans_core.storage.records import Head, PassageRecord, Snapshot, TurnRecord
    from titans_core.types import Turn


class TurnLog(ABC):
    """The turns of one tenant, in the order in which they were memorized.

    Weights and indexes are rebuilt from the log whenever they are lost. Any number of processes may open a tenant's
    log. Within one process it is not thread-safe; the memory holds a lock. `titans_core.testing.TurnLogContract` tests
    the promises of each method, also for your own storage.

    A method that fails raises a `StorageError`, whose subclass says what is wrong. It raises `CorruptMemoryError`
    instead of returning values that differ from those that were written.

    Attributes:
        url: URL or path of the storage.
        tenant: Name of the tenant; no method reads or changes another tenant's turns.
    """

    url: str
    tenant: str

    # ── transactions ──

    @abstractmethod
    def transaction(self, *, meanwhile: Callable[[], object] | None = None) -> AbstractContextManager[None]:
        """Run the block as the tenant's only writer. After it, all of its writes are on disk; after an error, none are.

        Args:
            meanwhile: Called any number of times, or never, while another process writes. It can do work in advance
                that would otherwise be done inside the block, where other writers wait for it.

        Raises:
            StorageBusyError: Another process has been writing for more than five seconds.
        """

    @abstractmethod
    def reading(self) -> AbstractContextManager[None]:
        """Make all reads of the block see the log at the same moment. The block may be inside a transaction."""

    # ── writing, inside a transaction ──

    @abstractmethod
    def append(self, turn: Turn, passages: Sequence[PassageRecord], *, position: int | None = None) -> TurnRecord:
        """Append one checked turn with its passages.

        Args:
            turn: The turn, with an id and a time.
            passages: Passages of the turn, without numbers.
            position: Free position to use instead of the next one, for a turn that is updated.

        Returns:
            The record, with the position and the numbers of the passages.
        """

    @abstractmethod
    def delete(self, positions: Iterable[int]) -> None:
        """Delete the turns at these positions and start a new epoch, in which all weights are rebuilt."""

    @abstractmethod
    def delete_tenant(self) -> int:
        """Delete all data of the tenant and its name. The log must not be used afterwards.

        Returns:
            Number of deleted turns.
        """

    @abstractmethod
    def set_metadata(self, position: int, metadata: Mapping[str, object]) -> None:
        """Replace the metadata of a turn by valid metadata. The weights do not depend on metadata."""

    @abstractmethod
    def rehearse(self, positions: Sequence[int]) -> None:
        """Let the weights learn these turns once more, in a new epoch."""

    @abstractmethod
    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Replace the saved weights."""

    # ── reading ──

    @abstractmethod
    def head(self) -> Head:
        """Return the state of the log."""

    @abstractmethod
    def find(self, id: str) -> Turn | None:  # noqa: A002 - the name that callers use
        """Return the turn with this id; None if there is none."""

    @abstractmethod
    def find_duplicate(self, turn: Turn) -> str | None:
        """Return the id of the first turn with the speaker and text of `turn`; None if there is none.

        Composed and decomposed accents are equal.
        """

    @abstractmethod
    def select(self, filters: Filters) -> list[Turn]:
        """Return the turns that pass the filters, in order."""

    @abstractmethod
    def positions(self, filters: Filters) -> list[int]:
        """Return the positions of the turns that pass the filters, in order."""

    @abstractmethod
    def position_of(self, id: str) -> int | None:  # noqa: A002 - the name that callers use
        """Return the position of the turn with this id; None if there is none."""

    @abstractmethod
    def turn_at(self, position: int) -> Turn:
        """Return the turn at this position, which must exist."""

    @abstractmethod
    def records(self, *, after: int, keys: bool) -> Iterator[TurnRecord]:
        """Yield the records of all turns after a position, in order.

        Args:
            after: The position; 0 for all turns.
            keys: Whether to read the packed keys. If not, the keys in the records are empty.
        """

    @abstractmethod
    def keys(self, numbers: Sequence[int]) -> list[bytes]:
        """Return the packed keys of the passages with these numbers, in the same order."""

    @abstractmethod
    def texts(self, numbers: Sequence[int]) -> list[str]:
        """Return the texts of the passages with these numbers, in the same order."""

    @abstractmethod
    def written_by(self, source: str, *, since: float) -> int:
        """Return how many turns of a source were written at a time or later.

        Args:
            source: Name of the source.
            since: The time, in seconds since 1970.
        """

    # ── weights ──

    @abstractmethod
    def rehearsals(self) -> tuple[int, list[int]]:
        """Return what the last consolidation chose.

        Returns:
            The position of the last turn at that time (0 without a consolidation), and the positions of the rehearsed
            turns, in order.
        """

    @abstractmethod
    def load_snapshot(self) -> Snapshot | None:
        """Return the saved weights; None if there are none, or if their checksum is wrong."""

    # ── the storage ──

    @abstractmethod
    def scrub(self) -> None:
        """Overwrite deleted data in all files of the storage that still contain it."""

    @abstractmethod
    def size(self) -> int:
        """Return the bytes that all tenants together use on disk; 0 for a storage without a disk."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; closing twice is no error."""
