"""What recall needs of every turn, in memory: a cache of the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from titans_core.episodes import TurnRecord

_NOBODY = -1


class Index:
    """Columns of the tenant's turns (n of them) and passages (m), in the order of the log.

    Rows are positions in these arrays, from 0; the log's positions and numbers may have gaps.
    """

    def __init__(self, dim: int) -> None:
        """An empty index for keys of length `dim`."""
        self.speakers: dict[str, int] = {}
        self._last_of_session: dict[str | None, int] = {}
        self._positions = _Column(np.int64)
        self._speaker = _Column(np.int32)
        self._surprise = _Column(np.float32)
        self._before = _Column(np.int64)
        self._after = _Column(np.int64)
        self._passages = _Column(np.int32)
        self._numbers = _Column(np.int64)
        self._turn_of = _Column(np.int64)
        self._columns = _Column(np.float32, dim)
        self._pooled = _Column(np.float32, dim)

    def add(self, record: TurnRecord, surprise: float) -> None:
        """Add the next turn of the log, and how much it surprised the memory."""
        row = self._positions.size
        before = self._last_of_session.get(record.session, _NOBODY)
        if before != _NOBODY:
            self._after.view()[before] = row
        self._last_of_session[record.session] = row
        self._positions.append(record.position)
        self._speaker.append(
            _NOBODY if record.speaker is None else self.speakers.setdefault(record.speaker, len(self.speakers))
        )
        self._surprise.append(surprise)
        self._before.append(before)
        self._after.append(_NOBODY)
        self._passages.append(len(record.passages))
        for passage in record.passages:
            self._numbers.append(passage.number)
            self._turn_of.append(row)
            self._columns.append(passage.column)
            self._pooled.append(passage.pooled)

    def turns(self) -> TurnArrays:
        """The turns' columns; views, valid until the next `add`."""
        return TurnArrays(
            positions=self._positions.view(),
            speaker=self._speaker.view(),
            surprise=self._surprise.view(),
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
            pooled=self._pooled.view(),
        )


@dataclass(frozen=True, slots=True)
class TurnArrays:
    """One entry for each turn.

    Attributes:
        positions: in the log, ascending.
        speaker: number of the speaker (see `Index.speakers`), -1 for none.
        surprise: in [0, 1], when it was written.
        before: row of the turn before it in its session, -1 for none.
        after: row of the turn after it in its session, -1 for none.
        passages: how many passages it has.
    """

    positions: NDArray[np.int64]
    speaker: NDArray[np.int32]
    surprise: NDArray[np.float32]
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
        pooled: float32 (m, d); sentence vectors.
    """

    numbers: NDArray[np.int64]
    turn: NDArray[np.int64]
    columns: NDArray[np.float32]
    pooled: NDArray[np.float32]


class _Column:
    """An array that grows at its end, in amortised constant time."""

    def __init__(self, dtype: type[np.generic], *shape: int) -> None:
        self.size = 0
        self._data = np.zeros((64, *shape), dtype)

    def append(self, value: float | Sequence[float] | NDArray[np.floating]) -> None:
        if self.size == len(self._data):
            self._data = np.concatenate([self._data, np.zeros_like(self._data)])
        self._data[self.size] = value
        self.size += 1

    def view(self) -> NDArray:  # type: ignore[type-arg]
        return self._data[: self.size]
