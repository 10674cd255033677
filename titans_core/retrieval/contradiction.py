"""Finds out whether two turns answer a query with different values, and nothing tells which of them is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titans_core.retrieval.bm25 import content_stems

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from titans_core.retrieval.candidates import Candidates, Ranking
    from titans_core.retrieval.question import Question

COMPARED = 5
"""The number of best candidates that are compared with the first."""

LONGER = 2
"""The most content words by which one of two statements of the same thing is longer."""

A_DAY = 86400.0
"""Seconds within which the later of two values is no update: after a day, the newest leads."""


def is_contradicted(
    question: Question,
    candidates: Candidates,
    ranking: Ranking,
    at: NDArray[np.float64],
    superseded: Sequence[int],
) -> bool:
    """Whether another candidate says the same as the first with another value, within a day.

    "The code is 12" and "The code is 34" hold every content word of the query, are about as long, and each has words of
    its own.

    Args:
        question: The query.
        candidates: The candidates.
        ranking: The candidates in order.
        at: float64 (n,), the times of all turns, in seconds.
        superseded: The rows of turns of which it is known which later one supersedes them.
    """
    asked = content_stems(question.text)
    places = [place for place, row in enumerate(ranking.rows[:COMPARED]) if row not in superseded]
    if not asked or not places or places[0] != 0:
        return False
    first = content_stems(candidates.texts[ranking.order[0]])
    for place in places[1:]:
        other = content_stems(candidates.texts[ranking.order[place]])
        values = first - other, other - first
        apart = abs(float(at[ranking.rows[place]] - at[ranking.rows[0]]))
        if asked <= first & other and all(values) and abs(len(first) - len(other)) <= LONGER and apart < A_DAY:
            return True
    return False
