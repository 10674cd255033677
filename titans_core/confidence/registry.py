"""Strategies by name."""

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
"""The strategies by name, with their default models and thresholds."""


def make_strategy(strategy: Strategy | str | None, *, reader: str, ranking: str) -> Strategy:
    """A strategy from its name, from itself, or the default from None: `Calibrated`, if it fits.

    Args:
        strategy: the name, the object, or None.
        reader: fingerprint of the memory's reader.
        ranking: fingerprint of the ranking and its features.

    Raises:
        InvalidQueryError: no strategy has this name.
        CalibrationError: the strategy was calibrated with another reader or another ranking.
    """
    if strategy is None:
        if Calibration.shipped().fits(reader, ranking):
            return Calibrated()
        rules = ", ".join(name for name in STRATEGIES if name != "calibrated")
        warn_caller(
            f"No calibration is known for the reader {reader}: no recall will be labelled `high`. Make one with "
            f"`calibrate`, or choose a strategy that promises nothing: {rules}.",
            UncalibratedWarning,
        )
        return Uncalibrated()
    if isinstance(strategy, str):
        if strategy not in STRATEGIES:
            raise InvalidQueryError(f"No strategy is named {strategy!r}; there are {', '.join(STRATEGIES)}.")
        strategy = STRATEGIES[strategy]()
    if isinstance(strategy, Calibrated):
        made = strategy.calibration
        if not made.fits(reader, ranking):
            raise CalibrationError(
                f"This calibration was made with the reader {made.reader} and the ranking {made.ranking}; this memory "
                f"has {reader} and {ranking}. Make one with `calibrate`, or choose another strategy."
            )
    return strategy
