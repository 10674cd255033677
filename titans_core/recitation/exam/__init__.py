"""The exam known from tutorials: teach facts, clear the context, then ask for them in the same and in other words."""

from titans_core.recitation.exam.facts import Exam, Fact, make_exam
from titans_core.recitation.exam.run import Outcome, total_recall

__all__ = ["Exam", "Fact", "Outcome", "make_exam", "total_recall"]
