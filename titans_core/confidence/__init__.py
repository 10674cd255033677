"""Labels for recalls: rules, calibrated probabilities, and second models that read the recalls."""

from titans_core.confidence.calibrated import Calibrated
from titans_core.confidence.calibration import PROMISES, Calibration, Case, Probabilities
from titans_core.confidence.cross_encoder import CrossEncoderReranker
from titans_core.confidence.llm import LLMDecides
from titans_core.confidence.registry import STRATEGIES, make_strategy
from titans_core.confidence.rules import FixedThreshold, GapAndSimilarity, RelativeGap, Softmax
from titans_core.confidence.strategy import MOST_UNREAD, Evidence, Strategy, Verdict

__all__ = [
    "MOST_UNREAD",
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
