"""The telling turns of a person or a time: what is worth showing if nothing special is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from titans_core.retrieval.duplicates import overlaps_under
from titans_core.retrieval.english import SpeechAct, content_words, corrects, tells_change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from titans_core.retrieval.knowledge import Knowledge

CHECKED = 200
"""The number of most surprising turns among which superseded ones are looked for."""

SAME_SUBJECT = 0.5
"""The least overlap under P of two statements of one speaker that may be about one subject."""

SAME_STATEMENT = 0.8
"""The share of common words from which on the later of two statements is the earlier one with another value."""


def telling_rows(
    known: Knowledge, allowed: NDArray[np.bool_], speakers: Sequence[str], *, current: bool
) -> NDArray[np.int64]:
    """The turns that tell something, most surprising first; of those that say the same, only the latest.

    Args:
        known: What the memory knows.
        allowed: bool (n,), the turns that may be returned.
        speakers: Only their turns; empty for all turns.
        current: Whether statements are left out that a later one of the same speaker supersedes.

    Returns:
        The rows of the turns.
    """
    index = known.index
    turns, passages = index.turns(), index.passages()
    if not len(passages.turn):
        return np.zeros(0, np.int64)
    if speakers:
        numbers = [index.speakers[speaker] for speaker in speakers if speaker in index.speakers]
        allowed = allowed & np.isin(turns.speaker, numbers)
    telling = index.without_copies(allowed[passages.turn] & (passages.acts == SpeechAct.TELL))
    rows = np.unique(passages.turn[telling])
    rows = rows[np.lexsort((-rows, -index.surprises()[rows]))]
    return _without_superseded(known, rows) if current else rows


def _without_superseded(known: Knowledge, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    index = known.index
    turns, passages = index.turns(), index.passages()
    checked = rows[:CHECKED]
    first = np.searchsorted(passages.turn, checked)
    overlaps = overlaps_under(known.state, passages.columns[first])
    speaker = turns.speaker[checked]
    alike = turns.later(checked) & (overlaps >= SAME_SUBJECT) & (speaker[None] == speaker[:, None])
    texts = known.log.texts(passages.numbers[first].tolist())
    superseded = np.zeros(len(rows), bool)
    for one, other in zip(*np.nonzero(alike), strict=True):
        superseded[one] |= _supersedes(texts[int(other)], texts[int(one)])
    return rows[~superseded]


def _supersedes(later: str, earlier: str) -> bool:
    """Whether the later of two statements of one subject gives it another value."""
    before, after = content_words(earlier), content_words(later)
    same = len(before & after) / max(min(len(before), len(after)), 1)
    told_anew = tells_change(later) or corrects(later)
    one_value = len(before - after) == 1 == len(after - before) and same >= 0.5
    return one_value or (told_anew and same >= SAME_STATEMENT / 2)
