"""Labels for recalls."""

from titans_core.confidence.calibrated import Calibrated
from titans_core.confidence.calibration import PROMISES, Calibration, Case, Probabilities
from titans_core.confidence.choosing import STRATEGIES, make_strategy
from titans_core.confidence.evidence import Evidence, Strategy, Verdict
from titans_core.confidence.reranking import CrossEncoderReranker, LLMDecides
from titans_core.confidence.strategies import FixedThreshold, GapAndSimilarity, RelativeGap, Softmax

__all__ = [
    "PROMISES",
    "STRATEGIES",
    "Calibrated",
    "Calibration",
    "Case",
    "CrossEncoderReranker",
    "Evidence",
    "FixedThreshold",
    "GapAndSimilarity",
    "LLMDecides",
    "Probabilities",
    "RelativeGap",
    "Softmax",
    "Strategy",
    "Verdict",
    "make_strategy",
]
