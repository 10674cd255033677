"""Splits a long turn into passages that a sentence encoder reads well."""

from __future__ import annotations

import re
from dataclasses import dataclass

WORDS = 70
"""Aim for a passage: long enough for its context, short enough that one key still means one thing."""

CHARACTERS = 480
"""Upper bound, for scripts without spaces and for endless words: stays within the 512 tokens of an encoder."""

# The end of a sentence with its closing quotes and white space, in Latin, Arabic, Devanagari and CJK scripts;
# or a line break, for lists and code.
_SENTENCE_END = re.compile(r"[.!?؟।]+[\"'”’)\]]*\s+|[。！？]+[」』”’）]*|\n+")
_WORD = re.compile(r"\S+\s*")


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a turn: characters start to end of its text, without surrounding white space."""

    start: int
    end: int

    def of(self, text: str) -> str:
        """The passage's text, cut from the turn's."""
        return text[self.start : self.end]


def split_passages(text: str) -> list[Passage]:
    """Split a text at sentence ends into passages of about `WORDS` words and at most `CHARACTERS` characters.

    A single sentence that is longer is split between words, and a single word that is longer is cut.

    Args:
        text: any text.

    Returns:
        Passages in order, which together hold every character of the text but white space; empty for white space.
    """
    passages: list[Passage] = []
    start = end = words = 0
    for piece_end, piece_words in _pieces(text):
        too_long = words + piece_words > WORDS or piece_end - start > CHARACTERS
        if too_long and end > start:
            passages.append(Passage(start, end))
            start, words = end, 0
        end, words = piece_end, words + piece_words
    passages.append(Passage(start, end))
    return [stripped for passage in passages if (stripped := _strip(text, passage))]


def _pieces(text: str) -> list[tuple[int, int]]:
    """The smallest parts that may be packed together, as (end, words)."""
    pieces: list[tuple[int, int]] = []
    start = 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]:
        words = [(match.start(), match.end()) for match in _WORD.finditer(text, start, end)]
        if len(words) <= WORDS and end - start <= CHARACTERS:
            pieces.append((end, len(words)))
        else:
            for word_start, word_end in words:
                cuts = range(word_start + CHARACTERS, word_end, CHARACTERS)
                pieces += [(cut, 1) for cut in [*cuts, word_end]]
        start = end
    return pieces


def _strip(text: str, passage: Passage) -> Passage | None:
    part = passage.of(text)
    start = passage.start + len(part) - len(part.lstrip())
    end = passage.end - (len(part) - len(part.rstrip()))
    return Passage(start, end) if end > start else None
