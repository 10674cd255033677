"""The strategies by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titans_core._utils.warn import warn_caller
from titans_core.confidence.calibrated import Calibrated, Uncalibrated
from titans_core.confidence.calibration import Calibration
from titans_core.confidence.cross_encoder import CrossEncoderReranker
from titans_core.confidence.llm import LLMDecides
from titans_core.confidence.rules import FixedThreshold, GapAndSimilarity, RelativeGap, Softmax
from titans_core.errors import CalibrationError, InvalidQueryError, UncalibratedWarning

if TYPE_CHECKING:
    from collections.abc import Callable

    from titans_core.confidence.strategy import Strategy

STRATEGIES: dict[str, Callable[[], Strategy]] = {
    "calibrated": Calibrated,
    "gap_and_similarity": GapAndSimilarity,
    "fixed_threshold": FixedThreshold,
    "relative_gap": RelativeGap,
    "softmax": Softmax,
    "cross_encoder": CrossEncoderReranker,
    "llm_decides": LLMDecides,
}
"""The strategies by name, each with its default model and thresholds."""


def make_strategy(strategy: Strategy | str | None, *, reader: str, ranking: str) -> Strategy:
    """Make a strategy.

    Args:
        strategy: The name of a strategy, or a strategy; None for `Calibrated`, if the shipped calibration fits.
        reader: Fingerprint of the memory's reader.
        ranking: Fingerprint of the ranking and its features.

    Raises:
        InvalidQueryError: No strategy has this name.
        CalibrationError: The strategy was calibrated with another reader or another ranking.
    """
    if strategy is None:
        if Calibration.shipped().fits(reader, ranking):
            return Calibrated()
        rules = ", ".join(name for name in STRATEGIES if name != "calibrated")
        warn_caller(
            f"No calibration is known for the reader {reader} with this verifier: no recall will be labelled `high`. "
            f"Make one with `calibrate`, or choose a strategy without promises: {rules}.",
            UncalibratedWarning,
        )
        return Uncalibrated()
    if isinstance(strategy, str):
        if strategy not in STRATEGIES:
            raise InvalidQueryError(f"No strategy is named {strategy!r}; there are {', '.join(STRATEGIES)}.")
        strategy = STRATEGIES[strategy]()
    if isinstance(strategy, Calibrated):
        calibration = strategy.calibration
        if not calibration.fits(reader, ranking):
            raise CalibrationError(
                f"This calibration was made with the reader {calibration.reader} and the ranking "
                f"{calibration.ranking}; this memory has {reader} and {ranking}. Make one with `calibrate`, or choose "
                "another strategy."
            )
    return strategy
