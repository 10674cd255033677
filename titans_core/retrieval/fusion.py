"""Adds the parts of the candidates into one score."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Self

import numpy as np

from titans_core.retrieval.english import Tense

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_RECENT = (Tense.NOW, Tense.PRESENT, Tense.BEFORE)

TOP_TURNS = 3
"""The number of best turns of a session whose mean is the session's strength."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weight of each part of the score. There is one setting for all data; 0 leaves a part out.

    The parts are:

    * lexical: BM25, in standard deviations of the candidates.
    * associative: the neural memory's answer, in standard deviations.
    * late: late interaction in context, in standard deviations.
    * session: the strength of the turn's session: the mean of BM25 and late interaction of its best turns, in standard
      deviations.
    * speaker: 1 for a turn by a speaker whom the query names.
    * novelty: the rarity of the turn's tokens when it was learned, in standard deviations.
    * length: minus the log of the number of passages, because long turns match by chance more often.
    * asking: minus the share of the passage that is questions.
    * timely: 1 for a passage that states a time, if the query asks for a time.
    * dated: the agreement of the turn's date with the times that the query names.
    * number: 1 for a passage that holds a number, if the query asks for one.
    * name: 1 for a passage that holds a name that the query does not, if the query asks for one.
    * recency_now: the rank of the turn's time among the candidates, if the query says that it asks for today's state.
    * recency_present: the same if the query is in the present tense.
    * recency_before: the same if the query asks for an earlier state; its weight is below 0.

    Attributes:
        parts: The weight of each part by name, in a memory of 100 passages.
        growth: What is added to the weight of some parts in a larger memory; see `growth`.
        verified: The weight of a verifier's log odds.
    """

    parts: Mapping[str, float]
    growth: Mapping[str, float]
    verified: float = 0.0

    @classmethod
    @cache
    def fitted(cls) -> Self:
        """The weights that ship with the package, fitted by `benchmarks/fit/ranking.py`."""
        found = json.loads(files("titans_core.retrieval").joinpath("weights.json").read_text(encoding="utf-8"))
        return cls(found["weights"], found["growth"], found["verified"])

    def at_size(self, passages: int) -> dict[str, float]:
        """The weight of each part by name, in a memory of a certain size.

        Args:
            passages: The number of passages in the memory.
        """
        size = growth(passages)
        # No part of a young memory counts against a turn because of what it means in larger ones.
        grown = {name: max(self.parts[name] + slope * size, 0.0) for name, slope in self.growth.items()}
        return {**self.parts, **grown}


def growth(passages: int) -> float:
    """The size of a memory as the weights see it: 0 for 100 passages, 1 for 1,000 and more, -1 for 10 and fewer.

    In a memory of a few turns every turn is of one session and by the speaker who asks, and every token is new: such
    parts tell the turns apart only in larger memories.

    Args:
        passages: The number of passages in the memory.
    """
    return float(np.clip(np.log10(max(passages, 1) / 100), -1, 1))


@dataclass(frozen=True)
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
        number: Whether the query asks for a number and the best passage holds one.
        name: Whether the query asks for a name and the best passage holds one that the query does not.
        recency: The rank of the turn's time among the candidates, in [0, 1]; 1 is the latest.
        tense: The time of the state that the query asks for.
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
    number: NDArray[np.bool_]
    name: NDArray[np.bool_]
    recency: NDArray[np.float64]
    tense: Tense

    @cached_property
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
            "number": self.number.astype(np.float64),
            "name": self.name.astype(np.float64),
            **{f"recency_{tense}": self.recency * (self.tense is tense) for tense in _RECENT},
        }


def fuse(scaled: Mapping[str, NDArray[np.float64]], weights: Weights, passages: int) -> dict[str, NDArray[np.float64]]:
    """Weight the parts.

    Args:
        scaled: The parts of `Parts.scaled`.
        weights: The weights.
        passages: The number of passages in the memory.

    Returns:
        The weighted parts by name, (c,) each; their sum is the score.
    """
    return {name: weight * scaled[name] for name, weight in weights.at_size(passages).items()}


def zscore(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """The values with mean 0 and standard deviation 1; all 0 if they do not differ."""
    values = np.asarray(values, np.float64)
    spread = values.std()
    return (values - values.mean()) / spread if spread > 1e-9 else np.zeros_like(values)


def time_rank(at: NDArray[np.float64], positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """The rank of each time among the others, in [0, 1]; 1 is the latest, and the log's order decides between equals.

    Args:
        at: (c,), times in seconds since 1970.
        positions: (c,), positions in the log.
    """
    ranks = np.empty(len(at))
    ranks[np.lexsort((positions, at))] = np.arange(len(at))
    return ranks / max(len(at) - 1, 1)


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
