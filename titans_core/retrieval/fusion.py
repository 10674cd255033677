"""Adds the parts of the candidates into one score."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

TOP_TURNS = 3
"""The number of best turns of a session whose mean is the session's strength."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weight of each part of the score. There is one setting for all data; 0 leaves a part out.

    Attributes:
        lexical: Of BM25, in standard deviations of the candidates.
        associative: Of the neural memory's answer, in standard deviations.
        late: Of late interaction in context, in standard deviations.
        session: Of the strength of the turn's session: the mean of BM25 and late interaction of its best turns, in
            standard deviations.
        speaker: Of a turn by a speaker whom the query names.
        novelty: Of the rarity of the turn's tokens when it was learned, in standard deviations.
        length: Of minus the log of the number of passages, because long turns match by chance more often.
        asking: Of minus the share of the passage that is questions.
        timely: Of a passage that states a time, if the query asks for a time.
        dated: Of the agreement of the turn's date with the times that the query names.
    """

    lexical: float
    associative: float
    late: float
    session: float
    speaker: float
    novelty: float
    length: float
    asking: float
    timely: float
    dated: float

    @classmethod
    @cache
    def fitted(cls) -> Self:
        """The weights that ship with the package, fitted by `benchmarks/fit/ranking.py`."""
        found = json.loads(files("titans_core.retrieval").joinpath("weights.json").read_text(encoding="utf-8"))
        return cls(**found["weights"])

    @property
    def by_name(self) -> dict[str, float]:
        """The weights by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of c candidate turns, with one entry for each turn.

    Attributes:
        lexical: BM25 of the best passage.
        associative: The neural memory's answer to the best passage.
        late: Late interaction of the best passage, in context.
        session: A number that is the same for turns of one session.
        named: Whether the query names the speaker.
        rarity: The rarity of the turn's tokens when it was learned, in (0, 1].
        passages: The number of the turn's passages.
        asking: The share of the best passage that is questions, in [0, 1].
        timely: Whether the best passage states a time and the query asks for one.
        dated: The agreement of the turn's date with the times that the query names, in [0, 1].
    """

    lexical: NDArray[np.float32]
    associative: NDArray[np.float32]
    late: NDArray[np.float32]
    session: NDArray[np.int64]
    named: NDArray[np.bool_]
    rarity: NDArray[np.float32]
    passages: NDArray[np.int32]
    asking: NDArray[np.float64]
    timely: NDArray[np.bool_]
    dated: NDArray[np.float64]

    def scaled(self) -> dict[str, NDArray[np.float64]]:
        """The parts by name, (c,) each, in the scale that the weights expect."""
        lexical, late = zscore(self.lexical), zscore(self.late)
        return {
            "lexical": lexical,
            "associative": zscore(self.associative),
            "late": late,
            "session": group_top_mean((lexical + late) / 2, self.session),
            "speaker": self.named.astype(np.float64),
            "novelty": zscore(np.log(self.rarity + 1e-6)),
            "length": -np.log(np.maximum(self.passages, 1)),
            "asking": -self.asking,
            "timely": self.timely.astype(np.float64),
            "dated": self.dated,
        }


def fuse(scaled: Mapping[str, NDArray[np.float64]], weights: Weights) -> dict[str, NDArray[np.float64]]:
    """Weight the parts.

    Args:
        scaled: The parts of `Parts.scaled`.
        weights: The weights.

    Returns:
        The weighted parts by name, (c,) each; their sum is the score.
    """
    return {name: weight * scaled[name] for name, weight in weights.by_name.items()}


def zscore(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The values with mean 0 and standard deviation 1; all 0 if they do not differ."""
    values = np.asarray(values, np.float64)
    spread = values.std()
    return (values - values.mean()) / spread if spread > 1e-9 else np.zeros_like(values)


def group_top_mean(values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each value the mean of the `TOP_TURNS` highest values of its group."""
    order = np.lexsort((-values, groups))
    _, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    means = [
        values[order[start : start + min(count, TOP_TURNS)]].mean() for start, count in zip(starts, counts, strict=True)
    ]
    found = np.empty_like(values)
    found[order] = np.repeat(means, counts)
    return found
