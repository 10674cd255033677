"""One tenant's append-only log: what every storage must promise."""

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

    Everything else, weights and indexes, is made of it again whenever it is lost. Any number of processes may have a
    tenant's log open; within one process it is not thread-safe, its memory holds a lock. What each method promises is
    tested by `titans_core.testing.TurnLogContract`, for a storage of your own too.

    Every method raises a `StorageError`, whose subclass says what is wrong, and `CorruptMemoryError` rather than
    return what differs from what was written.

    Attributes:
        url: where it is stored.
        tenant: whose it is; no method sees or touches another tenant's turns.
    """

    url: str
    tenant: str

    # ── transactions ──

    @abstractmethod
    def transaction(self, *, meanwhile: Callable[[], object] | None = None) -> AbstractContextManager[None]:
        """The tenant's only writer: all writes inside happen, on disk, or none.

        Args:
            meanwhile: may be called while another process writes, any number of times, to do what would otherwise be
                done inside and keep others waiting.

        Raises:
            StorageBusyError: another process has been writing for more than five seconds.
        """

    @abstractmethod
    def reading(self) -> AbstractContextManager[None]:
        """All reads inside see the log at one moment, whatever others write meanwhile. May stand in a transaction."""

    # ── writing, inside a transaction ──

    @abstractmethod
    def append(self, turn: Turn, passages: Sequence[PassageRecord], *, position: int | None = None) -> TurnRecord:
        """Append one checked turn with its passages.

        Args:
            turn: the turn, with id and time.
            passages: its passages, not numbered yet.
            position: a free position to take instead of the next one, when a turn is updated.

        Returns:
            The record with the position and the passages' numbers.
        """

    @abstractmethod
    def delete(self, positions: Iterable[int]) -> None:
        """Delete turns and start a new epoch, in which all weights are rebuilt."""

    @abstractmethod
    def delete_tenant(self) -> int:
        """Delete all that the tenant has, the name too; the log is of no use afterwards.

        Returns:
            How many turns there were.
        """

    @abstractmethod
    def set_metadata(self, position: int, metadata: Mapping[str, object]) -> None:
        """Replace a turn's checked metadata, of which the weights know nothing."""

    @abstractmethod
    def rehearse(self, positions: Sequence[int]) -> None:
        """Have the weights learn these turns once more from now on, in a new epoch."""

    @abstractmethod
    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Replace the saved weights."""

    # ── reading ──

    @abstractmethod
    def head(self) -> Head:
        """How far the log has come."""

    @abstractmethod
    def find(self, id: str) -> Turn | None:  # noqa: A002 - the name that callers use
        """The turn with this id."""

    @abstractmethod
    def find_duplicate(self, turn: Turn) -> str | None:
        """The id of the first turn with this speaker and text; composed and decomposed accents are the same."""

    @abstractmethod
    def select(self, filters: Filters) -> list[Turn]:
        """The turns that pass the filters, in order."""

    @abstractmethod
    def positions(self, filters: Filters) -> list[int]:
        """The positions of the turns that pass the filters, in order."""

    @abstractmethod
    def position_of(self, id: str) -> int | None:  # noqa: A002 - as above
        """The position of the turn with this id."""

    @abstractmethod
    def turn_at(self, position: int) -> Turn:
        """The turn at this position, which must exist."""

    @abstractmethod
    def records(self, *, after: int, keys: bool) -> Iterator[TurnRecord]:
        """The records of all turns after a position, in order.

        Args:
            after: 0 for all.
            keys: whether to read the packed keys; without them the records' are empty.
        """

    @abstractmethod
    def keys(self, numbers: Sequence[int]) -> list[bytes]:
        """The packed keys of passages, in the order asked for."""

    @abstractmethod
    def texts(self, numbers: Sequence[int]) -> list[str]:
        """The texts of passages, in the order asked for."""

    @abstractmethod
    def written_by(self, source: str, *, since: float) -> int:
        """How many turns of a source were written since a time, in seconds since 1970."""

    # ── weights ──

    @abstractmethod
    def rehearsals(self) -> tuple[int, list[int]]:
        """The last turn at the last consolidation (0 without one), and the positions of those rehearsed, in order."""

    @abstractmethod
    def load_snapshot(self) -> Snapshot | None:
        """The saved weights, if there are any and their checksum is right."""

    # ── the storage ──

    @abstractmethod
    def scrub(self) -> None:
        """Overwrite what was deleted, wherever copies of it remain in the storage's own files."""

    @abstractmethod
    def size(self) -> int:
        """Bytes on disk, all tenants together; 0 where that makes no sense."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; closing twice is no error."""
