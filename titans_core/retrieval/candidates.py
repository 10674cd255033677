"""Finds candidate turns for a query, and ranks them."""

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
"""The number of passages that each of the two searches contributes; with 100, R@10 did not change."""

WITH_NEIGHBOURS = 25
"""The number of best passages of each search whose neighbouring turns become candidates as well."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The c turns that may answer a query, in the order of the log.

    Attributes:
        rows: (c,), the rows of the turns in the index.
        texts: The text of each turn's best passage.
        parts: The parts of the score.
        surprises: (q,), the surprise of each query token.
        unknown_words: The share of the query's words that no passage holds, in [0, 1].
        own_matches: (c, q), the match of each query token in the best passage of each turn.
        context_matches: (c, q), the match in the best passage or its neighbours, see `in_context`.
    """

    rows: NDArray[np.int64]
    texts: list[str]
    parts: Parts
    surprises: NDArray[np.float32]
    unknown_words: float
    own_matches: NDArray[np.float32]
    context_matches: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The c candidate turns, best first.

    Attributes:
        rows: (c,), the rows of the turns in the index.
        order: (c,), the places of the candidates.
        scores: (c,), the sums of the parts.
        parts: The parts of the score by name, (c,) each.
    """

    rows: NDArray[np.int64]
    order: NDArray[np.int64]
    scores: NDArray[np.float64]
    parts: Mapping[str, NDArray[np.float64]]


def rank_candidates(candidates: Candidates, weights: Weights) -> Ranking:
    """Order the candidates, best first.

    Args:
        candidates: The candidates.
        weights: The weights of the score.
    """
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
    allowed: NDArray[np.bool_],
    hidden: NDArray[np.bool_] | None = None,
) -> Candidates | None:
    """Find the turns that may answer a query.

    Candidates come from BM25 and from the neural memory, with the turns next to them. Late interaction reads the token
    keys of the candidates and of their neighbours only.

    Args:
        query: The question.
        reading: The reading of the question.
        known: What the memory knows.
        allowed: bool (n,), the turns that may be candidates.
        hidden: bool (n,), the turns that are not used as context either, as if they had not been said; None for none.

    Returns:
        The candidates; None if there are none.
    """
    index, state = known.index, known.state
    turns, passages = index.turns(), index.passages()
    surprises = token_weights(known.spec, state, reading.keys)
    words = index.words.frequencies(query)
    lexical = index.words.scores(words)
    associative = associative_scores(
        state,
        passages.columns,
        reading.keys,
        surprises,
        lengths=passages.lengths,
        retention_factors=index.retention_factors(state.updates, 1 - known.spec.retention.forget),
        passages=turns.passages[passages.turn],
    )
    chosen = _candidates(lexical, associative, turns, passages, allowed)
    if not len(chosen):
        return None
    own_matches, context_matches, salience = _match(reading, surprises, known, chosen, hidden)
    late = maxsim_scores(context_matches, salience)
    rows, starts = np.unique(passages.turn[chosen], return_index=True)
    # `chosen` ascends, and the passages of a turn are neighbours, so that each turn is one run.
    best = [int(run[np.argmax(late[run])]) for run in np.split(np.arange(len(chosen)), starts[1:])]
    texts = known.log.texts(passages.numbers[chosen[best]].tolist())
    asks_for_time = wants_time(query)
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
        timely=np.array([asks_for_time and tells_time(text) for text in texts]),
        dated=date_agreement(turns.at[rows], periods),
    )
    unknown_words = sum(count == 0 for count in words.values()) / max(len(words), 1)
    return Candidates(rows, texts, parts, surprises, unknown_words, own_matches[best], context_matches[best])


def _match(
    reading: Reading,
    surprises: NDArray[np.float32],
    known: Knowledge,
    chosen: NDArray[np.int64],
    hidden: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The matches of the query's tokens in the passages, (c, q), alone and in context; the tokens' salience, (q,)."""
    turns, passages, state = known.index.turns(), known.index.passages(), known.state
    before, after = _neighbours(chosen, turns, passages)
    if hidden is not None:
        before, after = (np.where(hidden[passages.turn[near]], -1, near) for near in (before, after))
    read = np.unique(np.concatenate([chosen, before, after]))
    read = read[read >= 0]
    mean = (state.key_sum / max(state.tokens, 1)).float().numpy()
    matches = token_matches(reading.keys, mean, known.log.keys(passages.numbers[read].tolist()))
    places = [_places(rows, read) for rows in (chosen, before, after)]
    return matches[places[0]], in_context(matches, *places), token_salience(matches, surprises)


def _neighbours(
    chosen: NDArray[np.int64], turns: TurnArrays, passages: PassageArrays
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of the passages before and after each chosen passage in its session; -1 for none."""
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
    allowed: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """The rows of the candidate passages, ascending."""
    tops = [_top(np.where(allowed[passages.turn], scores, 0)) for scores in (lexical, associative)]
    found = np.union1d(*tops)
    near = passages.turn[np.union1d(*(top[:WITH_NEIGHBOURS] for top in tops))]
    near = np.setdiff1d(np.concatenate([turns.before[near], turns.after[near]]), passages.turn[found])
    near = near[near >= 0]
    near = near[allowed[near]]
    # Of a neighbouring turn only the passage with the highest association is a candidate.
    first = np.searchsorted(passages.turn, near)
    ends = np.searchsorted(passages.turn, near, side="right")
    of_neighbours = [
        start + int(np.argmax(associative[start:end])) for start, end in zip(first, ends, strict=True) if end > start
    ]
    return np.union1d(found, np.array(of_neighbours, np.int64))


def _top(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The rows of the `CANDIDATES` highest scores above 0, best first."""
    count = min(CANDIDATES, len(scores))
    top = np.argpartition(-scores, count - 1)[:count] if count else np.zeros(0, np.int64)
    top = top[np.argsort(-scores[top], kind="stable")]
    return top[scores[top] > 0].astype(np.int64)


def _places(wanted: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of the wanted rows among ascending rows; -1 for a row that is not there."""
    places = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return np.where(rows[places] == wanted, places, -1)
