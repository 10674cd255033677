"""From ranked turns to a labelled recollection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from titans_core.recalling.fusion import Weights
from titans_core.recalling.recaller import rank
from titans_core.types import Recall, Recollection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from titans_core.confidence import Strategy
    from titans_core.episodes import EpisodeLog, Filters
    from titans_core.neural import MemorySpec, MemoryState
    from titans_core.recalling.index import Index
    from titans_core.recalling.recaller import Ranking
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
    ranking = rank(
        query,
        reading,
        log=log,
        index=index,
        spec=spec,
        state=state,
        allowed=allowed,
        weights=Weights(),
    )
    if ranking is None:
        return Recollection(query, (), strategy.label([]))
    similarities = _similarities(index, reading.pooled)
    first = ranking.rows[0]
    others = np.ones(len(similarities), bool) if allowed is None else allowed.copy()
    others[first] = False
    label = strategy.label(np.concatenate([similarities[[first]], similarities[others]]))
    return Recollection(query, tuple(_recalls(log, index, ranking, similarities, k)), label)


def _recalls(
    log: EpisodeLog, index: Index, ranking: Ranking, similarities: NDArray[np.float32], k: int
) -> Iterator[Recall]:
    """The first k of the ranking, with their texts."""
    probabilities = _softmax(ranking.scores)
    positions = index.turns().positions
    for place, (start, end) in enumerate(log.spans(ranking.passages[:k].tolist())):
        row = ranking.rows[place]
        turn = log.turn_at(int(positions[row]))
        yield Recall(
            turn=turn,
            score=float(ranking.scores[place]),
            probability=float(probabilities[place]),
            similarity=float(similarities[row]),
            passage=turn.text[start:end],
            why={name: float(values[place]) for name, values in ranking.parts.items()},
        )


def _similarities(index: Index, query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosine between the query and each turn: its best passage's."""
    passages = index.passages()
    # Each turn has a passage at least, and a turn's passages are neighbours.
    starts = np.flatnonzero(np.diff(passages.turn, prepend=-1))
    cosines = (torch.from_numpy(passages.pooled) @ torch.from_numpy(query)).numpy()
    similarities: NDArray[np.float32] = np.maximum.reduceat(cosines, starts)
    return similarities


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.exp(scores - scores.max())
    share: NDArray[np.float64] = shares / shares.sum()
    return share
