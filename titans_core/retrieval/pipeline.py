"""From a query to a labelled recollection: find, rank, describe, judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from titans_core.confidence import Evidence
from titans_core.retrieval.candidates import find_candidates, rank_candidates
from titans_core.retrieval.features import features_of
from titans_core.retrieval.fusion import Weights
from titans_core.types import Recall, Recollection

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from titans_core.confidence import Strategy
    from titans_core.retrieval.candidates import Ranking
    from titans_core.retrieval.index import Index
    from titans_core.retrieval.knowledge import Knowledge
    from titans_core.storage import Filters, TurnLog
    from titans_core.types import Reading


def recollect(
    query: str,
    reading: Reading,
    known: Knowledge,
    *,
    strategy: Strategy,
    k: int,
    filters: Filters,
    hidden: Collection[int] = (),
) -> Recollection:
    """Recall at most k turns that pass the filters, and label the first.

    Args:
        query: The question.
        reading: The reading of the question.
        known: What the memory knows.
        strategy: Sets the label.
        k: The most recalls to return.
        filters: The conditions that a turn must meet.
        hidden: Positions of turns to leave out, as if they had not been said.
    """
    positions = known.index.turns().positions
    allowed = np.isin(positions, known.log.positions(filters)) if filters else np.ones(len(positions), bool)
    hidden_rows = None
    if hidden:
        hidden_rows = np.isin(positions, list(hidden))
        allowed &= ~hidden_rows
    candidates = find_candidates(query, reading, known, allowed=allowed, hidden=hidden_rows)
    if candidates is None:
        found = Evidence(query, np.zeros(0), {}, lambda _: ())
    else:
        ranking = rank_candidates(candidates, Weights.fitted())
        similarities = _similarities(known.index, reading.pooled)
        others = allowed.copy()
        others[ranking.rows[0]] = False
        found = Evidence(
            query,
            np.concatenate([similarities[ranking.rows[:1]], similarities[others]]),
            features_of(candidates, ranking, similarities),
            _Recalls(known.log, known.index, candidates.texts, ranking, similarities).top,
        )
    verdict = strategy.judge(found)
    recalls = found.top(k) if verdict.recalls is None else verdict.recalls[:k]
    return Recollection(
        query, recalls, verdict.confidence, verdict.probability, verdict.probability_top3, verdict.reasons
    )


@dataclass(slots=True)
class _Recalls:
    """The recalls of a ranking; each turn is read once, when it is needed."""

    log: TurnLog
    index: Index
    passages: list[str]  # of the candidates
    ranking: Ranking
    similarities: NDArray[np.float32]
    read: tuple[Recall, ...] = ()

    def top(self, count: int) -> tuple[Recall, ...]:
        """The first `count` recalls."""
        if len(self.read) < min(count, len(self.ranking.rows)):
            self.read += tuple(self._recalls(len(self.read), count))
        return self.read[:count]

    def _recalls(self, start: int, end: int) -> list[Recall]:
        ranking, positions = self.ranking, self.index.turns().positions
        probabilities = _softmax(ranking.scores)
        return [
            Recall(
                turn=self.log.turn_at(int(positions[ranking.rows[place]])),
                score=float(ranking.scores[place]),
                probability=float(probabilities[place]),
                similarity=float(self.similarities[ranking.rows[place]]),
                passage=self.passages[ranking.order[place]],
                why={name: float(values[place]) for name, values in ranking.parts.items()},
            )
            for place in range(start, min(end, len(ranking.rows)))
        ]


def _similarities(index: Index, query: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cosine between the query and the best passage of each turn."""
    passages = index.passages()
    # Each turn has at least one passage, and the passages of a turn are neighbours.
    starts = np.flatnonzero(np.diff(passages.turn, prepend=-1))
    cosines = (torch.from_numpy(passages.pooled) @ torch.from_numpy(query)).numpy()
    similarities: NDArray[np.float32] = np.maximum.reduceat(cosines, starts)
    return similarities


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.exp(scores - scores.max())
    share: NDArray[np.float64] = shares / shares.sum()
    return share
