"""The index: the columns of all turns and passages that recall needs, in memory; a cache of the log."""

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
"""The length of a sketch: long enough to rank a near-duplicate among the first few, at a twelfth of the cost."""


@dataclass(frozen=True, slots=True)
class LearnOutcome:
    """The outcome of learning one turn.

    Attributes:
        surprise: The mean over the turn's tokens of the token's momentary surprise times the share of its passage that
            no earlier passage has said, in [0, 1]; 0 for a repeated turn.
        rarity: The mean momentary surprise of the tokens, in (0, 1]; 0 without tokens.
        moved: Whether the weights moved. The surprise gate keeps them for a turn that the memory predicts.
        duplicate: The row of the earlier turn with the same words; -1 if there is none.
        written: For each passage the number of writes that the memory had made after it.
    """

    surprise: float
    rarity: float
    moved: bool
    duplicate: int
    written: tuple[int, ...]


class Index:
    """The columns of a tenant's n turns and m passages, in the order of the log.

    A row is a place in these arrays, from 0. The log's positions and numbers may have gaps.

    Attributes:
        speakers: The number of each speaker, by name.
        words: The words of the passages.
    """

    def __init__(self, dim: int) -> None:
        """Make an empty index for keys of length `dim`."""
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
        """Add the columns of the next turns that the log holds."""
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
        """Add the words of the last turn: of each passage, and of the speaker's name with it."""
        for passage in record.passages:
            self.words.add(f"{record.speaker or ''} {record.text[passage.start : passage.end]}")

    def rehearse(self, passage: int, written: int, retention: float) -> None:
        """Note that a passage was written a second time: its strengths add up.

        Args:
            passage: The row of the passage.
            written: The number of writes that the memory had made after it.
            retention: The share that one write leaves of all before it, in (0, 1].
        """
        strength, times = self._strength.view(), self._written.view()
        strength[passage] = 1 + strength[passage] * retention ** (written - times[passage])
        times[passage] = written

    def retention_factors(self, writes: int, retention: float) -> NDArray[np.float32]:
        """The share of each passage that is left in the weights.

        Args:
            writes: The number of writes that the memory has made.
            retention: The share that one write leaves of all before it, in (0, 1].

        Returns:
            float32 (m,), above 0; 1 for a passage that was just written, more for one that was rehearsed.
        """
        strength, written = self._strength.view(), self._written.view()
        left: NDArray[np.float32] = (strength * retention ** (writes - written).astype(np.float64)).astype(np.float32)
        return left

    @np.errstate(invalid="ignore")  # see `maxsim_scores`
    def sketch(self, column: NDArray[np.floating]) -> NDArray[np.float32]:
        """The direction of a column in few numbers, float32 (`SKETCH`,), to find similar passages fast."""
        sketched: NDArray[np.float32] = self._sketching @ column.astype(np.float32)
        sketched /= max(float(np.linalg.norm(sketched)), 1e-12)
        return sketched

    def saved(self) -> dict[str, torch.Tensor]:
        """The tensors that a snapshot saves, because the log does not hold them."""
        learned = {name: torch.from_numpy(column.view().copy()) for name, column in self._learned().items()}
        return learned | self.words.saved()

    def restore(self, records: Sequence[TurnRecord], tensors: Mapping[str, torch.Tensor]) -> bool:
        """Fill an empty index.

        Args:
            records: The records of all turns up to the snapshot.
            tensors: The tensors that `saved` returned.

        Returns:
            Whether the two fit; if not, the index must not be used.
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
        """The columns that the log does not hold, or that take long to compute from it."""
        return {
            "index.surprise": self._surprise,
            "index.rarity": self._rarity,
            "index.strength": self._strength,
            "index.written": self._written,
            "index.sketches": self._sketches,
        }

    def turns(self) -> TurnArrays:
        """The columns of the turns: views that are valid until the next `add`."""
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
        """The columns of the passages: views that are valid until the next `add`."""
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
        positions: The position in the log, ascending.
        at: When the turn was said, in seconds since 1970, UTC.
        session: The number of the session; turns without a session share a number.
        speaker: The number of the speaker (see `Index.speakers`), -1 for none.
        surprise: The surprise when the turn was learned, in [0, 1] (see `LearnOutcome`).
        rarity: The rarity when the turn was learned, in (0, 1] (see `LearnOutcome`).
        before: The row of the turn before it in its session, -1 for none.
        after: The row of the turn after it in its session, -1 for none.
        passages: The number of its passages.
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
        numbers: The number in the log, ascending.
        turn: The row of its turn, ascending.
        columns: float32 (m, d), the sum of its keys.
        lengths: float32 (m,), the norms of the columns.
        pooled: float32 (m, d), the sentence vectors.
        sketches: float32 (m, `SKETCH`), the directions of the columns in few numbers.
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
