"""Puts what is known of the candidates together into one score."""

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
"""Turns of a session that stand for it."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What each part of the score counts. One setting for all data; 0 leaves a part out.

    Attributes:
        lexical: BM25, in standard deviations of the candidates.
        associative: the neural memory's answer, likewise.
        late: late interaction in context, likewise.
        session: what the three strongest turns of its session have in words and late interaction, likewise.
        speaker: for a turn by somebody whom the query names.
        novelty: for a turn whose tokens were rare when it was written, in standard deviations.
        length: against long turns, which have more passages to match by chance (times the log of their number).
        asking: against the share of the passage that is questions.
        timely: for a passage that speaks of a time, where the query asks for one.
        dated: for a turn whose date agrees with a time that the query names.
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
        """The weights by the names of the parts."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True, slots=True)
class Parts:
    """What is known of c candidate turns, one entry each.

    Attributes:
        lexical: BM25 of the best passage.
        associative: the neural memory's answer for the best passage.
        late: late interaction of the best passage, in its context.
        session: any number that is the same for turns of one session.
        named: whether the query names the speaker.
        rarity: in (0, 1], of the turn's tokens when it was written.
        passages: how many the turn has.
        asking: in [0, 1], the share of the best passage that is questions.
        timely: whether the best passage speaks of a time and the query asks for one.
        dated: in [0, 1], how well the turn's date agrees with the times that the query names.
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
        """The parts by name, (c,) each, as the weights count them."""
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
    """The weighted parts by name, (c,) each; their sum is the score."""
    return {name: weight * scaled[name] for name, weight in weights.by_name.items()}


def zscore(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean 0, standard deviation 1; all 0 where the values do not differ."""
    values = np.asarray(values, np.float64)
    spread = values.std()
    return (values - values.mean()) / spread if spread > 1e-9 else np.zeros_like(values)


def group_top_mean(values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each value the mean of the `TOP_TURNS` highest in its group."""
    order = np.lexsort((-values, groups))
    _, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    means = [
        values[order[start : start + min(count, TOP_TURNS)]].mean() for start, count in zip(starts, counts, strict=True)
    ]
    found = np.empty_like(values)
    found[order] = np.repeat(means, counts)
    return found
