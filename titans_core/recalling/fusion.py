"""Puts the parts of a score together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Weights:
    """What each part counts, in standard deviations of the candidates. One setting for all data.

    Attributes:
        lexical: BM25.
        associative: the neural memory's answer.
        late: late interaction.
        neighbour: the share of the score of the turn before, and of the one after, that a turn gets.
        speaker: for a turn by somebody whom the query names.
        novelty: for a turn whose tokens were rare when it was written.
        length: against long turns, which have more passages to match by chance (times the log of their number).
    """

    lexical: float = 0.2
    associative: float = 0.1
    late: float = 0.7
    neighbour: float = 0.2
    speaker: float = 1.0
    novelty: float = 0.1
    length: float = 0.2


@dataclass(frozen=True, slots=True)
class Parts:
    """The raw parts of c candidate turns, one entry each.

    Attributes:
        lexical: BM25 of the best passage.
        associative: the neural memory's answer for the best passage.
        late: late interaction of the best passage.
        named: whether the query names the speaker.
        rarity: in (0, 1], of the turn's tokens when it was written.
        passages: how many the turn has.
        before: place of the turn before it among the candidates, -1 if it is none.
        after: place of the turn after it, likewise.
    """

    lexical: NDArray[np.float32]
    associative: NDArray[np.float32]
    late: NDArray[np.float32]
    named: NDArray[np.bool_]
    rarity: NDArray[np.float32]
    passages: NDArray[np.int32]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


def fuse(parts: Parts, weights: Weights) -> dict[str, NDArray[np.float64]]:
    """The weighted parts by name, (c,) each; their sum is the score."""
    scored = {
        "lexical": weights.lexical * standardised(parts.lexical),
        "associative": weights.associative * standardised(parts.associative),
        "late": weights.late * standardised(parts.late),
    }
    content = np.sum(list(scored.values()), axis=0)
    # A neighbour that was not even found says as little as the worst that was.
    padded = np.append(content, content.min())
    scored["neighbours"] = weights.neighbour * (padded[parts.before] + padded[parts.after])
    scored["speaker"] = weights.speaker * parts.named.astype(np.float64)
    scored["novelty"] = weights.novelty * standardised(np.log(parts.rarity + 1e-6))
    scored["length"] = -weights.length * np.log(np.maximum(parts.passages, 1))
    return scored


def standardised(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean 0, standard deviation 1; all 0 where the values do not differ."""
    values = np.asarray(values, np.float64)
    spread = values.std()
    return (values - values.mean()) / spread if spread > 1e-9 else np.zeros_like(values)
