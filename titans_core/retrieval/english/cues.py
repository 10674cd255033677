"""Cues of an English passage: what its words say that a recall may need. They are found once, when it is learned."""

from __future__ import annotations

from enum import IntFlag

from titans_core.retrieval.english.tense import corrects, tells_change
from titans_core.retrieval.english.times import tells_time
from titans_core.retrieval.english.values import holds_number


class Cue(IntFlag):
    """What a passage holds. Its numbers are saved in snapshots.

    Attributes:
        TIME: It states a time.
        NUMBER: It holds a number or a day.
        CORRECTION: It takes something back.
        CHANGE: It tells a change.
    """

    TIME = 1
    NUMBER = 2
    CORRECTION = 4
    CHANGE = 8


def cues_of(text: str) -> Cue:
    """The cues of a passage."""
    found = Cue(0)
    for cue, holds in _CUES:
        if holds(text):
            found |= cue
    return found


_CUES = (
    (Cue.TIME, tells_time),
    (Cue.NUMBER, holds_number),
    (Cue.CORRECTION, corrects),
    (Cue.CHANGE, tells_change),
)
