"""Answers with no stored text in the context: facts in fast weights, recited through a frozen language model."""

from titans_core.recitation.engine import MODES, HybridEngine, Reply, statements
from titans_core.recitation.examination import Outcome, total_recall
from titans_core.recitation.facts import Exam, Fact, make_exam
from titans_core.recitation.next_state import NextStateMemory
from titans_core.recitation.recitation import Recitation, Recited
from titans_core.recitation.soft_prompt import SoftPromptMemory, Training

__all__ = [
    "MODES",
    "Exam",
    "Fact",
    "HybridEngine",
    "NextStateMemory",
    "Outcome",
    "Recitation",
    "Recited",
    "Reply",
    "SoftPromptMemory",
    "Training",
    "make_exam",
    "statements",
    "total_recall",
]
