"""The path from a query to ranked turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from titans_core.recalling.associative import associative_scores, token_weights
from titans_core.recalling.fusion import Parts, Weights, fuse
from titans_core.recalling.late import late_scores
from titans_core.recalling.lexical import lexical_scores
from titans_core.recalling.speakers import named_speakers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from titans_core.episodes import EpisodeLog
    from titans_core.neural import MemorySpec, MemoryState
    from titans_core.recalling.index import Index, PassageArrays, TurnArrays
    from titans_core.types import Reading

CANDIDATES = 50
"""Passages that each of the two ways to find contributes; with 100, R@10 did not change."""

WITH_NEIGHBOURS = 25
"""The best of these that bring the turns next to them along."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The c candidate turns, best first.

    Attributes:
        rows: (c,), of the turns in the index.
        passages: (c,), numbers of their best passages.
        scores: (c,), the sums of the parts.
        parts: by name, (c,) each.
    """

    rows: NDArray[np.int64]
    passages: NDArray[np.int64]
    scores: NDArray[np.float64]
    parts: Mapping[str, NDArray[np.float64]]


def rank(
    query: str,
    reading: Reading,
    *,
    log: EpisodeLog,
    index: Index,
    spec: MemorySpec,
    state: MemoryState,
    allowed: NDArray[np.bool_] | None,
    weights: Weights,
) -> Ranking | None:
    """Rank the turns that may answer a query, best first; None if there is none.

    Candidates come from BM25 and from the neural memory, with the turns next to them; late interaction reads the
    token keys of these only.

    Args:
        query: the question.
        reading: what the reader makes of it.
        log: the tenant's log, for words and token keys.
        index: its cache.
        spec: the neural memory's constants.
        state: what it has learned.
        allowed: bool (n,), the turns that pass the filters; None for all.
        weights: of the parts.
    """
    turns, passages = index.turns(), index.passages()
    token = token_weights(spec, state, reading.keys)
    lexical = lexical_scores(log, query, passages.numbers)
    associative = associative_scores(
        state,
        passages.columns,
        reading.keys,
        token,
        fading=index.fading(state.updates, 1 - spec.retention.forget),
        passages=turns.passages[passages.turn],
    )
    chosen = _candidates(lexical, associative, turns, passages, allowed)
    if not len(chosen):
        return None
    mean = (state.key_sum / max(state.tokens, 1)).float().numpy()
    late = late_scores(reading.keys, token, mean, log.keys(passages.numbers[chosen].tolist()))
    rows, starts = np.unique(passages.turn[chosen], return_index=True)
    # `chosen` ascends, and a turn's passages are neighbours: each turn is one run.
    best = [int(run[np.argmax(late[run])]) for run in np.split(np.arange(len(chosen)), starts[1:])]
    named = [index.speakers[speaker] for speaker in named_speakers(query, index.speakers)]
    parts = Parts(
        lexical=np.maximum.reduceat(lexical[chosen], starts),
        associative=np.maximum.reduceat(associative[chosen], starts),
        late=late[best],
        named=np.isin(turns.speaker[rows], named),
        rarity=turns.rarity[rows],
        passages=turns.passages[rows],
        before=_where(turns.before[rows], rows),
        after=_where(turns.after[rows], rows),
    )
    scored = fuse(parts, weights)
    total = np.sum(list(scored.values()), axis=0)
    order = np.argsort(-total, kind="stable")
    return Ranking(
        rows=rows[order],
        passages=passages.numbers[chosen[best]][order],
        scores=total[order],
        parts={name: values[order] for name, values in scored.items()},
    )


def _candidates(
    lexical: NDArray[np.float32],
    associative: NDArray[np.float32],
    turns: TurnArrays,
    passages: PassageArrays,
    allowed: NDArray[np.bool_] | None,
) -> NDArray[np.int64]:
    """Rows of the passages worth a closer look, ascending."""
    open_ = np.ones(len(passages.turn), bool) if allowed is None else allowed[passages.turn]
    tops = [_top(np.where(open_, scores, 0)) for scores in (lexical, associative)]
    found = np.union1d(*tops)
    near = passages.turn[np.union1d(*(top[:WITH_NEIGHBOURS] for top in tops))]
    near = np.setdiff1d(np.concatenate([turns.before[near], turns.after[near]]), passages.turn[found])
    near = near[near >= 0]
    if allowed is not None:
        near = near[allowed[near]]
    # Of a neighbour its most associated passage is enough: it stands there for its context.
    first = np.searchsorted(passages.turn, near)
    ends = np.searchsorted(passages.turn, near, side="right")
    beside = [
        start + int(np.argmax(associative[start:end])) for start, end in zip(first, ends, strict=True) if end > start
    ]
    return np.union1d(found, np.array(beside, np.int64))


def _top(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rows of the `CANDIDATES` highest scores above 0, best first."""
    count = min(CANDIDATES, len(scores))
    top = np.argpartition(-scores, count - 1)[:count] if count else np.zeros(0, np.int64)
    top = top[np.argsort(-scores[top], kind="stable")]
    return top[scores[top] > 0].astype(np.int64)


def _where(wanted: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of the wanted rows among the candidates' rows (ascending), -1 where they are none."""
    places = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return np.where(rows[places] == wanted, places, -1)
