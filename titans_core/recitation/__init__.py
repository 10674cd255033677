"""Recitation: facts in fast weights, recited by a frozen language model without any stored text in its context."""

from titans_core.recitation.recitation import Recitation, Recited

__all__ = ["Recitation", "Recited"]
