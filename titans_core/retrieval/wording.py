"""Compares the words of texts: whether two texts say the same."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter

WORDING_RULES = 1
"""Number of the rules of `copy_key`. Raise it when they change: then snapshots are made anew."""

_FILLER_WORDS = (
    "a an the also just really very so well oh hi hey hello ok okay please again btw actually still yes yeah"
)
_FILLERS = frozenset(_FILLER_WORDS.split())
"""Words without which a statement says the same."""


def same_words(one: str, other: str) -> bool:
    """Whether two texts have the same words, whatever their case, order and punctuation.

    The states of a frozen reader hardly change for a "not" or another number (their overlap is .98 and more), so that
    overlap alone would take a correction for a repetition. The reader may know no token of a text without words, such
    as an emoji: two of these must be equal as a whole.
    """
    words = words_of(one)
    return words == words_of(other) and (bool(words) or _composed(one) == _composed(other))


def words_of(text: str) -> Counter[str]:
    """The words of a text with their counts, whatever their case, order, punctuation and encoding."""
    return Counter(_words_in_order(text))


def _words_in_order(text: str) -> list[str]:
    # Marks are parts of words: many scripts write vowels with them.
    characters = ((char, unicodedata.category(char)[0]) for char in _composed(text.casefold()))
    return "".join(char if kind in "LMN" else " " for char, kind in characters).split()


def copy_key(text: str, speaker: str | None) -> int:
    """A number that is equal for statements that say the same: one speaker, and the same words but for fillers.

    The order counts: "Ana owes Ben 20 euros" says something else than "Ben owes Ana 20 euros".

    Args:
        text: What was said.
        speaker: Who said it.

    Returns:
        A number of 64 bits with a sign. Two different statements share one with a probability of 2⁻⁶⁴.
    """
    words = [word for word in _words_in_order(text) if word not in _FILLERS] or [_composed(text)]
    data = "\0".join([speaker or "", *words]).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big", signed=True)


def _composed(text: str) -> str:
    """The text in composed form (NFC), which nearly all texts have."""
    return unicodedata.normalize("NFC", text)
