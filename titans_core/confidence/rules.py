"""Rules that turn similarities into a label.

Each rule is a `Strategy`. No rule is calibrated: they are the simple rules of the tutorials, and the baseline for
calibrated labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from titans_core.confidence.strategy import Verdict
from titans_core.types import Confidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from titans_core.confidence.strategy import Evidence


class _Rule:
    """A strategy that uses only similarities."""

    __slots__ = ()

    def judge(self, evidence: Evidence) -> Verdict:
        """See `Strategy.judge`."""
        similarities = evidence.similarities
        reasons = {}
        if len(similarities):
            first, second = _first_and_next(similarities)
            reasons = {"similarity": first} if second is None else {"similarity": first, "next": second}
            if not evidence.readable:
                return Verdict(Confidence.LOW, reasons={**reasons, "unread": evidence.unread})
        return Verdict(self.label(similarities), reasons=reasons)

    def label(self, similarities: Sequence[float] | NDArray[np.floating]) -> Confidence:
        """The label for the first recall.

        Args:
            similarities: The similarities of `Evidence`.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class GapAndSimilarity(_Rule):
    """The tutorial's rule: the first recall is similar enough, and clearly more similar than any other turn.

    The label is `high` if the similarity is above `min_similarity` and exceeds the next best by more than
    `gap_threshold`; a single turn needs only the similarity. Otherwise it is `low`; `none` if nothing is stored.

    If the first recall is not the most similar turn, its gap is negative, so that it is never `high`.
    """

    min_similarity: float = 0.65
    gap_threshold: float = 0.1

    def label(self, similarities: Sequence[float] | NDArray[np.floating]) -> Confidence:
        """See `_Rule.label`."""
        if not len(similarities):
            return Confidence.NONE
        first, second = _first_and_next(similarities)
        clear = second is None or first - second > self.gap_threshold
        return Confidence.HIGH if first > self.min_similarity and clear else Confidence.LOW


@dataclass(frozen=True, slots=True)
class FixedThreshold(_Rule):
    """The label is `high` if the similarity is above `min_similarity`, otherwise `low`; `none` if nothing is stored."""

    min_similarity: float = 0.65

    def label(self, similarities: Sequence[float] | NDArray[np.floating]) -> Confidence:
        """See `_Rule.label`."""
        if not len(similarities):
            return Confidence.NONE
        return Confidence.HIGH if similarities[0] > self.min_similarity else Confidence.LOW


@dataclass(frozen=True, slots=True)
class RelativeGap(_Rule):
    """The label is `high` if the gap to the next best turn is more than `min_ratio` of the similarity.

    Otherwise it is `low`; `none` if nothing is stored. A single turn has no gap and is `low`.
    """

    min_ratio: float = 0.2

    def label(self, similarities: Sequence[float] | NDArray[np.floating]) -> Confidence:
        """See `_Rule.label`."""
        if not len(similarities):
            return Confidence.NONE
        first, second = _first_and_next(similarities)
        clear = second is not None and first > 0 and (first - second) / first > self.min_ratio
        return Confidence.HIGH if clear else Confidence.LOW


@dataclass(frozen=True, slots=True)
class Softmax(_Rule):
    """The label is `high` if the first recall's share of softmax(similarity / temperature) is above `min_share`.

    Otherwise it is `low`; `none` if nothing is stored. A single turn always has the whole share.
    """

    min_share: float = 0.5
    temperature: float = 0.05

    def label(self, similarities: Sequence[float] | NDArray[np.floating]) -> Confidence:
        """See `_Rule.label`."""
        if not len(similarities):
            return Confidence.NONE
        logits = np.asarray(similarities) / self.temperature
        shares = np.exp(logits - logits.max())
        return Confidence.HIGH if shares[0] / shares.sum() > self.min_share else Confidence.LOW


def _first_and_next(similarities: Sequence[float] | NDArray[np.floating]) -> tuple[float, float | None]:
    first = float(similarities[0])
    return first, float(np.max(similarities[1:])) if len(similarities) > 1 else None
