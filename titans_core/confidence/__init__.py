"""Labels for recalls."""

from titans_core.confidence.evidence import Evidence, Strategy, Verdict
from titans_core.confidence.strategies import (
    STRATEGIES,
    FixedThreshold,
    GapAndSimilarity,
    RelativeGap,
    Softmax,
    make_strategy,
)

__all__ = [
    "STRATEGIES",
    "Evidence",
    "FixedThreshold",
    "GapAndSimilarity",
    "RelativeGap",
    "Softmax",
    "Strategy",
    "Verdict",
    "make_strategy",
]
