"""Rules that turn similarities into a label.

Each is an object with one method, so that a memory takes any of them, or the caller's own. None of these rules is
calibrated: they are the simple ones of the tutorials, and the baseline for what comes after them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from titans_core.errors import InvalidQueryError
from titans_core.types import Confidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Strategy(Protocol):
    """Sets the label of a recollection."""

    def label(self, similarities: Sequence[float] | NDArray[np.floating]) -> Confidence:
        """The label for the first recall.

        Args:
            similarities: cosines in [-1, 1] between the query and each turn that was asked for, the first
                recall's at position 0, the others in any order.
        """


@dataclass(frozen=True, slots=True)
class GapAndSimilarity:
    """The tutorial's rule, and the default: similar enough, and clearly more so than anything else.

    `high` iff the similarity is above `min_similarity` and exceeds the next best by more than `gap_threshold`; a
    single turn needs only the similarity. Else `low`; `none` if nothing is stored.

    Where the first recall is not the most similar turn its gap is negative: then it is never `high`.
    """

    min_similarity: float = 0.65
    gap_threshold: float = 0.1

    def label(self, similarities: Sequence[float] | NDArray[np.floating]) -> Confidence:
        """See `Strategy.label`."""
        if not len(similarities):
            return Confidence.NONE
        first, second = _first_and_next(similarities)
        clear = second is None or first - second > self.gap_threshold
        return Confidence.HIGH if first > self.min_similarity and clear else Confidence.LOW


@dataclass(frozen=True, slots=True)
class FixedThreshold:
    """`high` iff the similarity is above `min_similarity`, else `low`; `none` if nothing is stored."""

    min_similarity: float = 0.65

    def label(self, similarities: Sequence[float] | NDArray[np.floating]) -> Confidence:
        """See `Strategy.label`."""
        if not len(similarities):
            return Confidence.NONE
        return Confidence.HIGH if similarities[0] > self.min_similarity else Confidence.LOW


@dataclass(frozen=True, slots=True)
class RelativeGap:
    """`high` iff the gap to the next best is more than `min_ratio` of the similarity.

    Else `low`; `none` if nothing is stored. A single turn has no gap to show and is `low`.
    """

    min_ratio: float = 0.2

    def label(self, similarities: Sequence[float] | NDArray[np.floating]) -> Confidence:
        """See `Strategy.label`."""
        if not len(similarities):
            return Confidence.NONE
        first, second = _first_and_next(similarities)
        clear = second is not None and first > 0 and (first - second) / first > self.min_ratio
        return Confidence.HIGH if clear else Confidence.LOW


@dataclass(frozen=True, slots=True)
class Softmax:
    """`high` iff the first recall's share of softmax(similarity / temperature) is above `min_share`.

    Else `low`; `none` if nothing is stored. A single turn always has the whole share.
    """

    min_share: float = 0.5
    temperature: float = 0.05

    def label(self, similarities: Sequence[float] | NDArray[np.floating]) -> Confidence:
        """See `Strategy.label`."""
        if not len(similarities):
            return Confidence.NONE
        logits = np.asarray(similarities) / self.temperature
        shares = np.exp(logits - logits.max())
        return Confidence.HIGH if shares[0] / shares.sum() > self.min_share else Confidence.LOW


STRATEGIES: dict[str, type[Strategy]] = {
    "gap_and_similarity": GapAndSimilarity,
    "fixed_threshold": FixedThreshold,
    "relative_gap": RelativeGap,
    "softmax": Softmax,
}
"""The rules by name, with their default thresholds."""


def make_strategy(strategy: Strategy | str | None) -> Strategy:
    """A strategy from its name, from itself, or the default from None.

    Raises:
        InvalidQueryError: no strategy has this name.
    """
    if strategy is None:
        return GapAndSimilarity()
    if not isinstance(strategy, str):
        return strategy
    if strategy not in STRATEGIES:
        raise InvalidQueryError(f"No strategy is named {strategy!r}; there are {', '.join(STRATEGIES)}.")
    return STRATEGIES[strategy]()


def _first_and_next(similarities: Sequence[float] | NDArray[np.floating]) -> tuple[float, float | None]:
    first = float(similarities[0])
    return first, float(np.max(similarities[1:])) if len(similarities) > 1 else None
