"""What a strategy sees of a recall, and what it says of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from titans_core.types import Confidence, Recall


@dataclass(frozen=True, slots=True)
class Evidence:
    """A query, and what was found for it.

    Attributes:
        query: what was asked.
        similarities: cosines in [-1, 1] between the query and each turn that was asked for: the first recall's at
            position 0, the others in any order. Empty if there is none.
        features: the ranking in numbers that do not depend on its scale, by name (see `recalling/features.py`); empty
            if nothing was found.
        top: gives the first so many recalls, best first; texts are read when it is called.
    """

    query: str
    similarities: NDArray[np.floating]
    features: Mapping[str, float]
    top: Callable[[int], tuple[Recall, ...]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a strategy says.

    Attributes:
        confidence: the label of the first recall.
        recalls: the recalls in a better order, or fewer of them; None leaves them as they are.
        probability: in [0, 1], that the first recall answers the query; None if the strategy does not say.
        probability_top3: in [0, 1], that one of the first three does; None likewise.
        reasons: what the label rests on, by name; for `Recollection.explain`.
    """

    confidence: Confidence
    recalls: tuple[Recall, ...] | None = None
    probability: float | None = None
    probability_top3: float | None = None
    reasons: Mapping[str, float] = field(default_factory=dict)


class Strategy(Protocol):
    """Sets the label of a recollection; any object with this method will do."""

    def judge(self, evidence: Evidence) -> Verdict:
        """Label what was found. It is called for every recall, also when nothing was found."""


def speaker_and_passage(recall: Recall) -> str:
    """What a second model reads of a recall: "speaker: passage", or the passage alone if nobody is named."""
    return f"{recall.turn.speaker}: {recall.passage}" if recall.turn.speaker else recall.passage
