"""The calibrated strategy: probabilities, and labels that are promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titans_core.confidence.calibration import Calibration, check_promise
from titans_core.confidence.strategy import Verdict
from titans_core.types import Confidence

if TYPE_CHECKING:
    from titans_core.confidence.strategy import Evidence

_REASONS = 4


class Calibrated:
    """Labels by calibrated probabilities: `high` and `none` are promises, `low` promises nothing.

    Under `high`, at least the promised share of the first recalls answers the query. Of the queries whose answer is
    stored, at most four in a hundred get `none`. Both promises hold with a probability of 95 % over the questions
    that the calibration was tested on, for questions like those; `docs/confidence.md` has the figures. If no threshold
    keeps a promise, its label is never given. If two turns contradict each other, neither is `high`.

    Attributes:
        calibration: The calibration.
        promise: The promise of `high`.
    """

    def __init__(self, calibration: Calibration | None = None, *, promise: float = 0.8) -> None:
        """Choose the promise.

        Args:
            calibration: The calibration; None for the one that ships with the package.
            promise: The promise of `high`: 0.95, 0.9 or 0.8.

        Raises:
            CalibrationError: There is no such promise.
        """
        check_promise(promise)
        self.calibration = calibration or Calibration.shipped()
        self.promise = promise

    def judge(self, evidence: Evidence) -> Verdict:
        """See `Strategy.judge`."""
        features, calibration = evidence.features, self.calibration
        if not features:
            return Verdict(Confidence.NONE, probability=0.0, probability_top3=0.0)
        if not evidence.readable:
            return Verdict(Confidence.LOW, reasons={"unread": evidence.unread})
        found = calibration.probabilities(features)
        contributions = calibration.contributions(calibration.first, features)
        reasons = sorted(contributions.items(), key=lambda item: -abs(item[1]))[:_REASONS]
        label = calibration.label(found, self.promise)
        if evidence.contradicted and label is Confidence.HIGH:
            label = Confidence.LOW
        return Verdict(label, None, found.first, found.top3, dict(reasons))


class Uncalibrated:
    """The strategy for a reader without a calibration: never `high`, and `none` only if nothing was found."""

    def judge(self, evidence: Evidence) -> Verdict:
        """See `Strategy.judge`."""
        return Verdict(Confidence.LOW if evidence.features else Confidence.NONE)
