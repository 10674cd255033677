"""Labels for recalls."""

from titans_core.confidence.strategies import (
    STRATEGIES,
    FixedThreshold,
    GapAndSimilarity,
    RelativeGap,
    Softmax,
    Strategy,
    make_strategy,
)

__all__ = [
    "STRATEGIES",
    "FixedThreshold",
    "GapAndSimilarity",
    "RelativeGap",
    "Softmax",
    "Strategy",
    "make_strategy",
]
