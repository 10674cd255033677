"""The columns of an index: arrays that grow, and views of them for turns and passages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


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

    def later(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the turn of each column was said later than that of each row; the log's order decides between equals.

        Args:
            rows: (r,), rows of turns.

        Returns:
            bool (r, r).
        """
        at, positions = self.at[rows], self.positions[rows]
        found: NDArray[np.bool_] = at[None] > at[:, None]
        found |= (at[None] == at[:, None]) & (positions[None] > positions[:, None])
        return found


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
        acts: uint8 (m,), what each passage does (see `SpeechAct`).
        cues: uint8 (m,), what each holds (see `Cue`).
        asking: float32 (m,), the share of each that is questions, in [0, 1].
        repeated: bool (m,), whether a later passage by the same speaker says the same.
    """

    numbers: NDArray[np.int64]
    turn: NDArray[np.int64]
    columns: NDArray[np.float32]
    lengths: NDArray[np.float32]
    pooled: NDArray[np.float32]
    sketches: NDArray[np.float32]
    acts: NDArray[np.uint8]
    cues: NDArray[np.uint8]
    asking: NDArray[np.float32]
    repeated: NDArray[np.bool_]


class Column:
    """An array that grows at its end, in amortised constant time."""

    def __init__(self, dtype: type[np.generic], *shape: int) -> None:
        """Make an empty array of rows of a shape."""
        self.size = 0
        self._data = np.zeros((64, *shape), dtype)

    def extend(self, values: Sequence[Any] | NDArray[Any]) -> None:
        """Add rows at the end."""
        end = self.size + len(values)
        if end > len(self._data):
            grown = np.zeros((max(end, 2 * len(self._data)), *self._data.shape[1:]), self._data.dtype)
            grown[: self.size] = self.view()
            self._data = grown
        self._data[self.size : end] = values
        self.size = end

    def view(self) -> NDArray:  # type: ignore[type-arg]
        """The rows, until the next `extend`."""
        return self._data[: self.size]
