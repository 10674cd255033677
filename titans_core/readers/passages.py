"""Splits long turns into passages that a sentence encoder reads well."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

TARGET_WORDS = 70
"""The number of words of a passage: enough for context, and few enough that a passage has one subject."""

MAX_PASSAGE_BYTES = 480
"""The most bytes of a passage in decomposed UTF-8, for scripts without spaces and for very long words. Accents and the
parts of a Korean syllable count one by one: their tokens are often as short, and encoders read only 256 or 512."""

# The end of a sentence with its closing quotes and white space, in Latin, Arabic, Devanagari and CJK scripts; or a line
# break, for lists and code. It is tried only at the first of several marks, so that a line of marks takes linear time.
_SENTENCE_END = re.compile(r"(?<![.!?؟।])[.!?؟।]++[\"'”’)\]]*+\s+|[。！？]+[」』”’）]*|\n+")
_WORD = re.compile(r"\S+\s*")
_WIDEST = 12  # the most bytes of one character


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a turn's text, without white space around it.

    Attributes:
        start: The first character.
        end: The character after the last one.
    """

    start: int
    end: int

    def of(self, text: str) -> str:
        """The text of the passage.

        Args:
            text: The text of the turn.
        """
        return text[self.start : self.end]


def split_passages(text: str) -> list[Passage]:
    """Split a text at sentence ends into passages of about `TARGET_WORDS` words and at most `MAX_PASSAGE_BYTES` bytes.

    A single sentence that is longer is split between words, and a single word that is longer is cut.

    Args:
        text: Any text.

    Returns:
        The passages in order. Together they hold every character but white space; a text of white space has none.
    """
    passages: list[Passage] = []
    start = end = words = size = 0
    for piece_end, piece_words in _pieces(text):
        piece_size = _size(text[end:piece_end])
        too_long = words + piece_words > TARGET_WORDS or size + piece_size > MAX_PASSAGE_BYTES
        if too_long and end > start:
            passages.append(Passage(start, end))
            start, words, size = end, 0, 0
        end, words, size = piece_end, words + piece_words, size + piece_size
    passages.append(Passage(start, end))
    return [stripped for passage in passages if (stripped := _strip(text, passage))]


def _pieces(text: str) -> list[tuple[int, int]]:
    """The smallest parts of a text that may be joined into passages, as (end, number of words)."""
    pieces: list[tuple[int, int]] = []
    start = 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]:
        words = [(match.start(), match.end()) for match in _WORD.finditer(text, start, end)]
        if len(words) <= TARGET_WORDS and _size(text[start:end]) <= MAX_PASSAGE_BYTES:
            pieces.append((end, len(words)))
        else:
            for word_start, word_end in words:
                step = MAX_PASSAGE_BYTES if text[word_start:word_end].isascii() else MAX_PASSAGE_BYTES // _WIDEST
                cuts = range(word_start + step, word_end, step)
                pieces += [(cut, 1) for cut in [*cuts, word_end]]
        start = end
    return pieces


def _size(part: str) -> int:
    """The bytes that count towards `MAX_PASSAGE_BYTES`; the same for every encoding of accents."""
    return len(unicodedata.normalize("NFD", part).encode("utf-8", "surrogatepass"))


def _strip(text: str, passage: Passage) -> Passage | None:
    part = passage.of(text)
    start = passage.start + len(part) - len(part.lstrip())
    end = passage.end - (len(part) - len(part.rstrip()))
    return Passage(start, end) if end > start else None
