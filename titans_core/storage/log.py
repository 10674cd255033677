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

    Every method raises a `StorageError`, whose subclass says what is wrong. It raises `CorruptMemoryError` instead of
    returning values that differ from those that were written.

    Attributes:
        url: Where the log is stored.
        tenant: Whose log it is; no method reads or changes another tenant's turns.
    """

    url: str
    tenant: str

    # ── transactions ──

    @abstractmethod
    def transaction(self, *, meanwhile: Callable[[], object] | None = None) -> AbstractContextManager[None]:
        """Be the tenant's only writer: all writes in the block are on disk after it, or none.

        Args:
            meanwhile: A function that may be called any number of times while another process writes. It does work that
                would otherwise be done inside the block and let others wait.

        Raises:
            StorageBusyError: Another process has been writing for more than five seconds.
        """

    @abstractmethod
    def reading(self) -> AbstractContextManager[None]:
        """See the log at one moment in all reads of the block. It may be used inside a transaction."""

    # ── writing, inside a transaction ──

    @abstractmethod
    def append(self, turn: Turn, passages: Sequence[PassageRecord], *, position: int | None = None) -> TurnRecord:
        """Append one checked turn with its passages.

        Args:
            turn: The turn, with id and time.
            passages: Its passages, without numbers.
            position: A free position to use instead of the next one, for a turn that is updated.

        Returns:
            The record, with the position and the numbers of the passages.
        """

    @abstractmethod
    def delete(self, positions: Iterable[int]) -> None:
        """Delete the turns at these positions and start a new epoch, in which all weights are rebuilt."""

    @abstractmethod
    def delete_tenant(self) -> int:
        """Delete all of the tenant, the name too; the log must not be used afterwards.

        Returns:
            The number of deleted turns.
        """

    @abstractmethod
    def set_metadata(self, position: int, metadata: Mapping[str, object]) -> None:
        """Replace the valid metadata of a turn; the weights do not depend on metadata."""

    @abstractmethod
    def rehearse(self, positions: Sequence[int]) -> None:
        """Let the weights learn these turns once more, in a new epoch."""

    @abstractmethod
    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Replace the saved weights."""

    # ── reading ──

    @abstractmethod
    def head(self) -> Head:
        """The state of the log."""

    @abstractmethod
    def find(self, id: str) -> Turn | None:  # noqa: A002 - the name that callers use
        """The turn with this id; None if there is none."""

    @abstractmethod
    def find_duplicate(self, turn: Turn) -> str | None:
        """The id of the first turn with this speaker and text, or None; composed and decomposed accents are equal."""

    @abstractmethod
    def select(self, filters: Filters) -> list[Turn]:
        """The turns that pass the filters, in order."""

    @abstractmethod
    def positions(self, filters: Filters) -> list[int]:
        """The positions of the turns that pass the filters, in order."""

    @abstractmethod
    def position_of(self, id: str) -> int | None:  # noqa: A002 - as above
        """The position of the turn with this id; None if there is none."""

    @abstractmethod
    def turn_at(self, position: int) -> Turn:
        """The turn at this position, which must exist."""

    @abstractmethod
    def records(self, *, after: int, keys: bool) -> Iterator[TurnRecord]:
        """The records of all turns after a position, in order.

        Args:
            after: The position; 0 for all turns.
            keys: Whether to read the packed keys; without them the records' keys are empty.
        """

    @abstractmethod
    def keys(self, numbers: Sequence[int]) -> list[bytes]:
        """The packed keys of the passages with these numbers, in the same order."""

    @abstractmethod
    def texts(self, numbers: Sequence[int]) -> list[str]:
        """The texts of the passages with these numbers, in the same order."""

    @abstractmethod
    def written_by(self, source: str, *, since: float) -> int:
        """The number of turns of a source that were written since a time, in seconds since 1970."""

    # ── weights ──

    @abstractmethod
    def rehearsals(self) -> tuple[int, list[int]]:
        """The last consolidation: the last position before it (0 without one), and the rehearsed positions in order."""

    @abstractmethod
    def load_snapshot(self) -> Snapshot | None:
        """The saved weights; None if there are none or their checksum is wrong."""

    # ── the storage ──

    @abstractmethod
    def scrub(self) -> None:
        """Overwrite deleted data wherever copies of it remain in the storage's own files."""

    @abstractmethod
    def size(self) -> int:
        """The bytes on disk of all tenants together; 0 if there is no disk."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; closing twice is no error."""
