"""From ranked turns to a labelled recollection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from titans_core.recalling.fusion import Weights
from titans_core.recalling.recaller import rank
from titans_core.types import Recall, Recollection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from titans_core.confidence import Strategy
    from titans_core.episodes import EpisodeLog, Filters
    from titans_core.neural import MemorySpec, MemoryState
    from titans_core.recalling.index import Index
    from titans_core.recalling.recaller import Ranked
    from titans_core.types import Reading


def recollect(
    query: str,
    reading: Reading,
    *,
    k: int,
    filters: Filters,
    strategy: Strategy,
    log: EpisodeLog,
    index: Index,
    spec: MemorySpec,
    state: MemoryState,
) -> Recollection:
    """Recall at most k turns that pass the filters, and label the first.

    Args:
        query: the question.
        reading: what the reader makes of it.
        k: the most recalls to return.
        filters: which turns to consider.
        strategy: sets the label, from the cosines of the turns considered.
        log: the tenant's log.
        index: its cache.
        spec: the neural memory's constants.
        state: what it has learned.
    """
    allowed = np.isin(index.turns().positions, log.positions(filters)) if filters else None
    ranked = rank(
        query,
        reading,
        log=log,
        index=index,
        spec=spec,
        state=state,
        allowed=allowed,
        weights=Weights(),
    )
    if not ranked:
        return Recollection(query, (), strategy.label([]))
    similarities = _similarities(index, reading.pooled)
    others = np.ones(len(similarities), bool) if allowed is None else allowed.copy()
    others[ranked[0].row] = False
    label = strategy.label([similarities[ranked[0].row], *similarities[others]])
    probabilities = _softmax(np.array([candidate.score for candidate in ranked]))
    spans = log.spans([candidate.passage for candidate in ranked[:k]])
    recalls = (
        _recall(log, index, candidate, span, probability, similarities)
        for candidate, span, probability in zip(ranked[:k], spans, probabilities[:k], strict=True)
    )
    return Recollection(query, tuple(recalls), label)


def _recall(
    log: EpisodeLog,
    index: Index,
    candidate: Ranked,
    span: tuple[int, int],
    probability: float,
    similarities: NDArray[np.float32],
) -> Recall:
    turn = log.turn_at(int(index.turns().positions[candidate.row]))
    return Recall(
        turn=turn,
        score=candidate.score,
        probability=float(probability),
        similarity=float(similarities[candidate.row]),
        passage=turn.text[slice(*span)],
        why=candidate.why,
    )


def _similarities(index: Index, query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine between the query and each turn: its best passage's."""
    passages = index.passages()
    starts = np.searchsorted(passages.turn, np.arange(len(index.turns().positions)))
    similarities: NDArray[np.float32] = np.maximum.reduceat(passages.pooled @ query, starts)
    return similarities


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.exp(scores - scores.max())
    share: NDArray[np.float64] = shares / shares.sum()
    return share
