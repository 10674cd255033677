"""The path from a query to ranked turns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from titans_core.retrieval.associative import associative_scores, token_weights
from titans_core.retrieval.english import (
    date_agreement,
    named_speakers,
    periods_in,
    question_share,
    tells_time,
    wants_time,
)
from titans_core.retrieval.fusion import Parts, Weights, fuse
from titans_core.retrieval.late_interaction import in_context, maxsim_scores, token_matches, token_salience

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from titans_core.retrieval.index import PassageArrays, TurnArrays
    from titans_core.retrieval.knowledge import Knowledge
    from titans_core.types import Reading

CANDIDATES = 50
"""Passages that each of the two ways to find contributes; with 100, R@10 did not change."""

WITH_NEIGHBOURS = 25
"""The best of these that bring the turns next to them along."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The c turns that may answer a query, in the order of the log.

    Attributes:
        rows: (c,), of the turns in the index.
        texts: (c,), of their best passages.
        parts: what is known of them.
        surprises: (q,), of the query's tokens.
        unsaid: in [0, 1], the share of the query's words that no passage holds.
        alone: (c, q), how well their best passages match the query's tokens.
        beside: (c, q), likewise in context.
    """

    rows: NDArray[np.int64]
    texts: list[str]
    parts: Parts
    surprises: NDArray[np.float32]
    unsaid: float
    alone: NDArray[np.float32]
    beside: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The c candidate turns, best first.

    Attributes:
        rows: (c,), of the turns in the index.
        order: (c,), of the candidates.
        scores: (c,), the sums of the parts.
        parts: by name, (c,) each.
    """

    rows: NDArray[np.int64]
    order: NDArray[np.int64]
    scores: NDArray[np.float64]
    parts: Mapping[str, NDArray[np.float64]]


def rank_candidates(candidates: Candidates, weights: Weights) -> Ranking:
    """Put the candidates in order, best first."""
    scored = fuse(candidates.parts.scaled(), weights)
    total = np.sum(list(scored.values()), axis=0)
    order = np.argsort(-total, kind="stable")
    return Ranking(
        rows=candidates.rows[order],
        order=order,
        scores=total[order],
        parts={name: values[order] for name, values in scored.items()},
    )


def find_candidates(
    query: str,
    reading: Reading,
    known: Knowledge,
    *,
    asked: NDArray[np.bool_],
    hidden: NDArray[np.bool_] | None = None,
) -> Candidates | None:
    """Find the turns that may answer a query; None if there is none.

    Candidates come from BM25 and from the neural memory, with the turns next to them; late interaction reads the
    token keys of these, and of the passages next to them, only.

    Args:
        query: the question.
        reading: what the reader makes of it.
        known: What the memory knows.
        asked: bool (n,), the turns that may be candidates.
        hidden: bool (n,), turns that are no context either, as if they had not been said; None for none.
    """
    index, state = known.index, known.state
    turns, passages = index.turns(), index.passages()
    surprising = token_weights(known.spec, state, reading.keys)
    words = index.words.frequencies(query)
    lexical = index.words.scores(words)
    associative = associative_scores(
        state,
        passages.columns,
        reading.keys,
        surprising,
        lengths=passages.lengths,
        retention_factors=index.retention_factors(state.updates, 1 - known.spec.retention.forget),
        passages=turns.passages[passages.turn],
    )
    chosen = _candidates(lexical, associative, turns, passages, asked)
    if not len(chosen):
        return None
    alone, beside, told = _matched(reading, surprising, known, chosen, hidden)
    late = maxsim_scores(beside, told)
    rows, starts = np.unique(passages.turn[chosen], return_index=True)
    # `chosen` ascends, and a turn's passages are neighbours: each turn is one run.
    best = [int(run[np.argmax(late[run])]) for run in np.split(np.arange(len(chosen)), starts[1:])]
    texts = known.log.texts(passages.numbers[chosen[best]].tolist())
    wanted = wants_time(query)
    now = datetime.now(UTC)
    first = datetime.fromtimestamp(min(float(turns.at[rows].min()), now.timestamp()), UTC).year
    periods = periods_in(query, now=now, first=first)
    named = [index.speakers[speaker] for speaker in named_speakers(query, index.speakers)]
    parts = Parts(
        lexical=np.maximum.reduceat(lexical[chosen], starts),
        associative=np.maximum.reduceat(associative[chosen], starts),
        late=late[best],
        session=turns.session[rows],
        named=np.isin(turns.speaker[rows], named),
        rarity=turns.rarity[rows],
        passages=turns.passages[rows],
        asking=np.array([question_share(text) for text in texts]),
        timely=np.array([wanted and tells_time(text) for text in texts]),
        dated=date_agreement(turns.at[rows], periods),
    )
    unsaid = sum(count == 0 for count in words.values()) / max(len(words), 1)
    return Candidates(rows, texts, parts, surprising, unsaid, alone[best], beside[best])


def _matched(
    reading: Reading,
    surprising: NDArray[np.float32],
    known: Knowledge,
    chosen: NDArray[np.int64],
    hidden: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """How well passages match the query's tokens, alone and in context, (c, q); what each token tells, (q,)."""
    turns, passages, state = known.index.turns(), known.index.passages(), known.state
    before, after = _beside(chosen, turns, passages)
    if hidden is not None:
        before, after = (np.where(hidden[passages.turn[near]], -1, near) for near in (before, after))
    read = np.unique(np.concatenate([chosen, before, after]))
    read = read[read >= 0]
    mean = (state.key_sum / max(state.tokens, 1)).float().numpy()
    matches = token_matches(reading.keys, mean, known.log.keys(passages.numbers[read].tolist()))
    places = [_where(wanted, read) for wanted in (chosen, before, after)]
    return matches[places[0]], in_context(matches, *places), token_salience(matches, surprising)


def _beside(
    chosen: NDArray[np.int64], turns: TurnArrays, passages: PassageArrays
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the passages before and after each chosen one in its session, -1 where there is none."""
    turn, last = passages.turn[chosen], len(passages.turn) - 1
    same_before = (chosen > 0) & (passages.turn[np.maximum(chosen - 1, 0)] == turn)
    same_after = (chosen < last) & (passages.turn[np.minimum(chosen + 1, last)] == turn)
    earlier, later = turns.before[turn], turns.after[turn]
    last_of_earlier = np.where(earlier < 0, -1, np.searchsorted(passages.turn, earlier, side="right") - 1)
    first_of_later = np.where(later < 0, -1, np.searchsorted(passages.turn, later))
    return np.where(same_before, chosen - 1, last_of_earlier), np.where(same_after, chosen + 1, first_of_later)


def _candidates(
    lexical: NDArray[np.float32],
    associative: NDArray[np.float32],
    turns: TurnArrays,
    passages: PassageArrays,
    asked: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Rows of the passages worth a closer look, ascending."""
    tops = [_top(np.where(asked[passages.turn], scores, 0)) for scores in (lexical, associative)]
    found = np.union1d(*tops)
    near = passages.turn[np.union1d(*(top[:WITH_NEIGHBOURS] for top in tops))]
    near = np.setdiff1d(np.concatenate([turns.before[near], turns.after[near]]), passages.turn[found])
    near = near[near >= 0]
    near = near[asked[near]]
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
    """Places of the wanted rows among these (ascending), -1 where they are not."""
    places = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return np.where(rows[places] == wanted, places, -1)
