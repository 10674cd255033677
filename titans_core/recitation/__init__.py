"""Recitation: facts in fast weights, recited through a frozen language model with no stored text in the context."""

from titans_core.recitation.recitation import Recitation, Recited

__all__ = ["Recitation", "Recited"]
