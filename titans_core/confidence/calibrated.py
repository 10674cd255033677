"""The calibrated label: probabilities with a promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titans_core.confidence.calibration import PROMISES, Calibration
from titans_core.confidence.evidence import Verdict
from titans_core.errors import CalibrationError
from titans_core.types import Confidence

if TYPE_CHECKING:
    from titans_core.confidence.evidence import Evidence

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
        if promise not in PROMISES:
            raise CalibrationError(f"`high` can promise {', '.join(map(str, PROMISES))}, not {promise!r}.")
        self.calibration = calibration or Calibration.shipped()
        self.promise = promise
        self._high = self.calibration.high.get(str(promise))
        self._none = self.calibration.none

    def judge(self, evidence: Evidence) -> Verdict:
        """See `Strategy.judge`."""
        features, made = evidence.features, self.calibration
        if not features:
            return Verdict(Confidence.NONE, probability=0.0, among=0.0)
        first = made.probability(made.first, features)
        # One of three is at least as likely as the first of them, whatever two separate fits say.
        among = max(first, made.probability(made.among, features))
        absent = 1 - made.probability(made.stored, features)
        label = Confidence.LOW
        if self._high is not None and first >= self._high["value"]:
            label = Confidence.HIGH
        elif self._none is not None and absent >= self._none["value"]:
            label = Confidence.NONE
        told = sorted(made.contributions(made.first, features).items(), key=lambda one: -abs(one[1]))[:_TOLD]
        return Verdict(label, probability=first, among=among, reasons=dict(told))
