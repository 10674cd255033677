"""What a verifier says of the candidates: which of them answer the query."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from titans_core.retrieval.candidates import passages_beside
from titans_core.verification import Pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from titans_core.retrieval.candidates import Candidates, Ranking
    from titans_core.retrieval.knowledge import Knowledge
    from titans_core.retrieval.question import Question
    from titans_core.verification import Verifier

VERIFIED = 5
"""The number of best candidates that are verified; with 10, the first is right as often, and it takes twice as long."""


class Answers:
    """The verifier's log odds that candidates answer a query; each candidate is read once, when it is needed."""

    def __init__(
        self,
        verifier: Verifier,
        question: Question,
        candidates: Candidates,
        known: Knowledge,
        hidden: NDArray[np.bool_] | None,
    ) -> None:
        """Read nothing yet.

        Args:
            verifier: Reads the query and a candidate together.
            question: The query.
            candidates: The candidates.
            known: What the memory knows.
            hidden: bool (n,), the turns that are not read as the text before either; None for none.
        """
        self._verifier, self._question, self._candidates, self._known = verifier, question, candidates, known
        self._hidden = hidden
        self._log_odds: dict[int, float] = {}

    def log_odds(self, places: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
        """The log odds that each of these candidates answers, (n,).

        Args:
            places: The places of the candidates, (n,).
        """
        new = [int(place) for place in places if int(place) not in self._log_odds]
        if new:
            found = self._verifier.log_odds(pairs_of(new, self._question, self._candidates, self._known, self._hidden))
            self._log_odds.update(zip(new, found.tolist(), strict=True))
        return np.array([self._log_odds[int(place)] for place in places])

    def rerank(self, ranking: Ranking, weight: float) -> Ranking:
        """The ranking with the part "verified": the log odds of its first candidates.

        Candidates that are not read get the lowest log odds of those that are, so that none passes them unread.

        Args:
            ranking: The ranking.
            weight: The weight of the part.
        """
        read = self.log_odds(ranking.order[:VERIFIED])
        values = np.full(len(ranking.order), read.min())
        values[: len(read)] = read
        return ranking.with_part("verified", weight * values)


def pairs_of(
    places: Sequence[int],
    question: Question,
    candidates: Candidates,
    known: Knowledge,
    hidden: NDArray[np.bool_] | None = None,
) -> list[Pair]:
    """What a verifier reads of candidates.

    Args:
        places: The places of the candidates.
        question: The query.
        candidates: The candidates.
        known: What the memory knows.
        hidden: bool (n,), the turns that are not read as the text before either; None for none.
    """
    turns, passages = known.index.turns(), known.index.passages()
    names = {number: name for name, number in known.index.speakers.items()}
    rows = candidates.passages[list(places)]
    before, _ = passages_beside(rows, turns, passages)
    if hidden is not None:
        before = np.where(hidden[passages.turn[before]], -1, before)
    texts = iter(known.log.texts(passages.numbers[before[before >= 0]].tolist()))

    def speaker(row: int) -> str | None:
        return names.get(int(turns.speaker[passages.turn[row]]))

    return [
        Pair(
            question.text,
            candidates.texts[place],
            speaker(row),
            next(texts) if earlier >= 0 else "",
            speaker(earlier) if earlier >= 0 else None,
        )
        for place, row, earlier in zip(places, rows.tolist(), before.tolist(), strict=True)
    ]
