"""The calibrated label: probabilities with a promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titans_core.confidence.calibration import Calibration, check_promise
from titans_core.confidence.strategy import Verdict
from titans_core.types import Confidence

if TYPE_CHECKING:
    from titans_core.confidence.strategy import Evidence

_TOLD = 4


class Calibrated:
    """`high` and `none` are promises; `low` is everything between, and promises nothing.

    `high`: of the first recalls under this label at least the promised share answers the query. `none`: at most a
    tenth of such queries had an answer stored. Both hold with a probability of 95 % over the questions that the
    calibration was tested on, for questions like those; `docs/confidence.md` has the figures. Where no threshold keeps
    a promise, its label is never given.
    """

    def __init__(self, calibration: Calibration | None = None, *, promise: float = 0.8) -> None:
        """Choose the promise.

        Args:
            calibration: None for the one that ships with the package.
            promise: of `high`: 0.95, 0.9 or 0.8.

        Raises:
            CalibrationError: there is no such promise.
        """
        check_promise(promise)
        self.calibration = calibration or Calibration.shipped()
        self.promise = promise

    def judge(self, evidence: Evidence) -> Verdict:
        """See `Strategy.judge`."""
        features, made = evidence.features, self.calibration
        if not features:
            return Verdict(Confidence.NONE, probability=0.0, probability_top3=0.0)
        found = made.probabilities(features)
        told = sorted(made.contributions(made.first, features).items(), key=lambda one: -abs(one[1]))[:_TOLD]
        return Verdict(made.label(found, self.promise), None, found.first, found.top3, dict(told))


class Uncalibrated:
    """For a reader that no calibration is known for: never `high`, and `none` only if nothing was found."""

    def judge(self, evidence: Evidence) -> Verdict:
        """See `Strategy.judge`."""
        return Verdict(Confidence.LOW if evidence.features else Confidence.NONE)
