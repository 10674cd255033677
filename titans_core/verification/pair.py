"""What a verifier reads: a question, and a passage with what was said before it."""

from __future__ import annotations

from dataclasses import dataclass

BEFORE_CHARACTERS = 120
"""The characters of the text before a passage that are read with it: its end says what "Friday, half past six" is."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and a passage that may answer it.

    Attributes:
        question: The question.
        passage: The passage.
        speaker: Who says it; None if nobody is named.
        before: The text before the passage in its session, of the same turn or of the turn before; "" for none.
        speaker_before: Who says the text before; None if nobody is named.
    """

    question: str
    passage: str
    speaker: str | None = None
    before: str = ""
    speaker_before: str | None = None

    @property
    def statement(self) -> str:
        """What is read beside the question: "end of the text before | speaker: passage"."""
        said = _named(self.speaker, self.passage)
        return f"{_named(self.speaker_before, self.before)[-BEFORE_CHARACTERS:]} | {said}" if self.before else said


def _named(speaker: str | None, text: str) -> str:
    return f"{speaker}: {text}" if speaker else text
