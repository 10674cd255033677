"""The interface of a strategy: the evidence that it gets, and the verdict that it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from titans_core.types import Confidence, Recall


MOST_UNREAD = 0.2
"""The share of a query's characters from which on its reading says too little. A name or an emoji may be unknown."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A query, and the ranking that was found for it.

    Attributes:
        query: The query.
        similarities: Cosines in [-1, 1] between the query and each turn that passes the filters. The first recall's is
            at position 0, the others follow in any order. Empty if nothing was found.
        features: The features of the ranking, by name (see `titans_core.retrieval.features`); empty if nothing was
            found.
        top: A function that returns the first n recalls, best first. It reads their texts when it is called.
        unread: The share of the query that the reader does not know, in [0, 1]. No label of ours rests on a query of
            which more than `MOST_UNREAD` is unknown.
        contradicted: Whether another turn answers with another value, and nothing tells which of them is right.
    """

    query: str
    similarities: NDArray[np.floating]
    features: Mapping[str, float]
    top: Callable[[int], tuple[Recall, ...]]
    unread: float = 0.0
    contradicted: bool = False

    @property
    def readable(self) -> bool:
        """Whether the reader knows enough of the query for a label."""
        return self.unread <= MOST_UNREAD


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of a strategy.

    Attributes:
        confidence: The label of the first recall.
        recalls: The recalls in a better order, or fewer of them; None keeps them as they are.
        probability: The probability in [0, 1] that the first recall answers the query; None if it is unknown.
        probability_top3: The probability in [0, 1] that one of the first three recalls answers it; None if unknown.
        reasons: The numbers that the label rests on, by name; for `Recollection.explain`.
    """

    confidence: Confidence
    recalls: tuple[Recall, ...] | None = None
    probability: float | None = None
    probability_top3: float | None = None
    reasons: Mapping[str, float] = field(default_factory=dict)


class Strategy(Protocol):
    """Sets the label of a recollection. Any object with this method is a strategy."""

    def judge(self, evidence: Evidence) -> Verdict:
        """Label the evidence. It is called for every recall, also if nothing was found."""


def speaker_and_passage(recall: Recall) -> str:
    """What a second model reads of a recall: "speaker: passage", or the passage alone if nobody is named."""
    return f"{recall.turn.speaker}: {recall.passage}" if recall.turn.speaker else recall.passage
