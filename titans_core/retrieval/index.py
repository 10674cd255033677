"""What recall needs of every turn, in memory: a cache of the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from titans_core.neural import address_codes
from titans_core.retrieval.bm25 import BM25Index

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from titans_core.storage import TurnRecord

_NOBODY = -1

SKETCH = 32
"""Numbers of a sketch: enough to have a near-duplicate among the first few, at a twelfth of the price."""


@dataclass(frozen=True, slots=True)
class LearnOutcome:
    """What learning one turn was like.

    Attributes:
        surprise: in [0, 1]; the mean over the turn's tokens of how rare the token was for the memory (`rarity`), times
            the share of its passage that no earlier passage had said. 0 for a turn that is repeated.
        rarity: in (0, 1]; the mean momentary surprise of the tokens; 0 without tokens.
        moved: whether the weights moved; they do not for what the memory predicts (the surprise gate).
        duplicate: row of the earlier turn that says the same in the same words, -1 if none does.
        written: for each passage the writes that the memory had made with it.
    """

    surprise: float
    rarity: float
    moved: bool
    duplicate: int
    written: tuple[int, ...]


class Index:
    """Columns of the tenant's turns (n of them) and passages (m), in the order of the log.

    Rows are positions in these arrays, from 0; the log's positions and numbers may have gaps.
    """

    def __init__(self, dim: int) -> None:
        """An empty index for keys of length `dim`."""
        self.speakers: dict[str, int] = {}
        self.words = BM25Index()
        self._sessions: dict[str | None, int] = {}
        self._last_of_session: dict[str | None, int] = {}
        self._positions = _Column(np.int64)
        self._at = _Column(np.float64)
        self._speaker = _Column(np.int32)
        self._session = _Column(np.int64)
        self._surprise = _Column(np.float32)
        self._rarity = _Column(np.float32)
        self._before = _Column(np.int64)
        self._after = _Column(np.int64)
        self._passages = _Column(np.int32)
        self._numbers = _Column(np.int64)
        self._turn_of = _Column(np.int64)
        self._columns = _Column(np.float32, dim)
        self._lengths = _Column(np.float32)
        self._pooled = _Column(np.float32, dim)
        self._sketches = _Column(np.float32, SKETCH)
        self._strength = _Column(np.float64)
        self._written = _Column(np.int64)
        self._sketching = address_codes(range(SKETCH), dim).numpy()

    def add(self, record: TurnRecord, lesson: LearnOutcome, sketches: Sequence[NDArray[np.float32]]) -> None:
        """Add the next turn of the log, what learning it was like, and the sketch of each of its passages."""
        self._place([record])
        self._surprise.extend([lesson.surprise])
        self._rarity.extend([lesson.rarity])
        self._sketches.extend(sketches)
        self._strength.extend([1.0] * len(sketches))
        self._written.extend(lesson.written)

    def _place(self, records: Sequence[TurnRecord]) -> None:
        """Add what the log holds of the next turns."""
        first = self._positions.size
        self._place_in_sessions(records)
        self._positions.extend([record.position for record in records])
        self._at.extend([record.at for record in records])
        names = [record.speaker for record in records]
        numbers = [_NOBODY if name is None else self.speakers.setdefault(name, len(self.speakers)) for name in names]
        self._speaker.extend(numbers)
        self._passages.extend([len(record.passages) for record in records])
        passages = [passage for record in records for passage in record.passages]
        if not passages:
            return
        columns = np.stack([passage.column for passage in passages]).astype(np.float32)
        self._numbers.extend([passage.number for passage in passages])
        self._turn_of.extend([row for row, record in enumerate(records, first) for _ in record.passages])
        self._columns.extend(columns)
        self._lengths.extend(np.linalg.norm(columns, axis=1))
        self._pooled.extend([passage.pooled for passage in passages])

    def _place_in_sessions(self, records: Sequence[TurnRecord]) -> None:
        first = self._positions.size
        self._after.extend([_NOBODY] * len(records))
        before = []
        for row, record in enumerate(records, first):
            before.append(self._last_of_session.get(record.session, _NOBODY))
            if before[-1] != _NOBODY:
                self._after.view()[before[-1]] = row
            self._last_of_session[record.session] = row
        self._before.extend(before)
        self._session.extend([self._sessions.setdefault(record.session, len(self._sessions)) for record in records])

    def add_words(self, record: TurnRecord) -> None:
        """Add the words of the turn that was added last, each passage's with the speaker's name."""
        for passage in record.passages:
            self.words.add(f"{record.speaker or ''} {record.text[passage.start : passage.end]}")

    def rehearse(self, passage: int, written: int, retention: float) -> None:
        """Add what a second writing of a passage (a row) leaves to what is left of the first.

        Args:
            passage: the row.
            written: the writes that the memory had made then.
            retention: what one write leaves of all before it, in (0, 1].
        """
        strength, times = self._strength.view(), self._written.view()
        strength[passage] = 1 + strength[passage] * retention ** (written - times[passage])
        times[passage] = written

    def retention_factors(self, writes: int, retention: float) -> NDArray[np.float32]:
        """What is left of each passage after so many writes: float32 (m,), above 0; 1 for one that was just written."""
        strength, written = self._strength.view(), self._written.view()
        left: NDArray[np.float32] = (strength * retention ** (writes - written).astype(np.float64)).astype(np.float32)
        return left

    @np.errstate(invalid="ignore")  # see `maxsim_scores`
    def sketch(self, column: NDArray[np.floating]) -> NDArray[np.float32]:
        """A column's direction in few numbers, float32 (`SKETCH`,), to find the passages that are like it."""
        sketched: NDArray[np.float32] = self._sketching @ column.astype(np.float32)
        sketched /= max(float(np.linalg.norm(sketched)), 1e-12)
        return sketched

    def saved(self) -> dict[str, torch.Tensor]:
        """What the log does not hold, for a snapshot."""
        learned = {name: torch.from_numpy(column.view().copy()) for name, column in self._learned().items()}
        return learned | self.words.saved()

    def restore(self, records: Sequence[TurnRecord], tensors: Mapping[str, torch.Tensor]) -> bool:
        """Fill an empty index with the records of a snapshot, and what it had `saved`.

        Returns:
            Whether the two fit; if not, the index is of no use.
        """
        self._place(records)
        sizes = {"index.surprise": len(records), "index.rarity": len(records)}
        for name, column in self._learned().items():
            found = tensors.get(name)
            rows = sizes.get(name, self._numbers.size)
            if found is None or found.shape != (rows, *column.view().shape[1:]):
                return False
            column.extend(found.numpy())
        return self.words.restore(tensors) and len(self.words) == self._numbers.size

    def _learned(self) -> dict[str, _Column]:
        """The columns that the log does not hold, or that take long to make of it."""
        return {
            "index.surprise": self._surprise,
            "index.rarity": self._rarity,
            "index.strength": self._strength,
            "index.written": self._written,
            "index.sketches": self._sketches,
        }

    def turns(self) -> TurnArrays:
        """The turns' columns; views, valid until the next `add`."""
        return TurnArrays(
            positions=self._positions.view(),
            at=self._at.view(),
            session=self._session.view(),
            speaker=self._speaker.view(),
            surprise=self._surprise.view(),
            rarity=self._rarity.view(),
            before=self._before.view(),
            after=self._after.view(),
            passages=self._passages.view(),
        )

    def passages(self) -> PassageArrays:
        """The passages' columns; views, valid until the next `add`."""
        return PassageArrays(
            numbers=self._numbers.view(),
            turn=self._turn_of.view(),
            columns=self._columns.view(),
            lengths=self._lengths.view(),
            pooled=self._pooled.view(),
            sketches=self._sketches.view(),
        )


@dataclass(frozen=True, slots=True)
class TurnArrays:
    """One entry for each turn.

    Attributes:
        positions: in the log, ascending.
        at: when it was said, in seconds since 1970, UTC.
        session: number of the session; turns without one share a number.
        speaker: number of the speaker (see `Index.speakers`), -1 for none.
        surprise: in [0, 1], when it was written (see `LearnOutcome`).
        rarity: in (0, 1], likewise.
        before: row of the turn before it in its session, -1 for none.
        after: row of the turn after it in its session, -1 for none.
        passages: how many passages it has.
    """

    positions: NDArray[np.int64]
    at: NDArray[np.float64]
    session: NDArray[np.int64]
    speaker: NDArray[np.int32]
    surprise: NDArray[np.float32]
    rarity: NDArray[np.float32]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    passages: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PassageArrays:
    """One entry for each passage.

    Attributes:
        numbers: in the log, ascending.
        turn: row of its turn, ascending.
        columns: float32 (m, d); the memory's values.
        lengths: float32 (m,), of the columns.
        pooled: float32 (m, d); sentence vectors.
        sketches: float32 (m, `SKETCH`); the columns' directions in few numbers.
    """

    numbers: NDArray[np.int64]
    turn: NDArray[np.int64]
    columns: NDArray[np.float32]
    lengths: NDArray[np.float32]
    pooled: NDArray[np.float32]
    sketches: NDArray[np.float32]


class _Column:
    """An array that grows at its end, in amortised constant time."""

    def __init__(self, dtype: type[np.generic], *shape: int) -> None:
        self.size = 0
        self._data = np.zeros((64, *shape), dtype)

    def extend(self, values: Sequence[Any] | NDArray[Any]) -> None:
        end = self.size + len(values)
        if end > len(self._data):
            grown = np.zeros((max(end, 2 * len(self._data)), *self._data.shape[1:]), self._data.dtype)
            grown[: self.size] = self.view()
            self._data = grown
        self._data[self.size : end] = values
        self.size = end

    def view(self) -> NDArray:  # type: ignore[type-arg]
        return self._data[: self.size]
