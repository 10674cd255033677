"""Finds candidate turns for a query, and ranks them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from titans_core.retrieval.associative import associative_scores, token_weights
from titans_core.retrieval.english import (
    Cue,
    SpeechAct,
    content_words,
    date_agreement,
    introduces,
    named_speakers,
    names_in,
    speech_act,
    wants_own_name,
)
from titans_core.retrieval.fusion import Parts, Weights, fuse, time_rank
from titans_core.retrieval.late_interaction import (
    ANSWERED,
    CONTEXT,
    CONTEXT_TWO,
    Neighbours,
    in_context,
    maxsim_scores,
    token_matches,
    token_salience,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from titans_core.retrieval.columns import PassageArrays, TurnArrays
    from titans_core.retrieval.knowledge import Knowledge
    from titans_core.retrieval.question import Question

CANDIDATES = 50
"""The number of passages that each of the two searches contributes; with 100, R@10 did not change."""

MOSTLY_ASKING = 0.5
"""The share of questions from which on a passage is checked for adding something to the query."""

REPEATED_WORDS = 2
"""The most content words that a question of before may have of its own and still be the query once more."""

WITH_NEIGHBOURS = 25
"""The number of best passages of each search whose neighbouring turns become candidates as well."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The c turns that may answer a query, in the order of the log.

    Attributes:
        rows: (c,), the rows of the turns in the index.
        passages: (c,), the row of each turn's best passage.
        texts: The text of each turn's best passage.
        parts: The parts of the score.
        surprises: (q,), the surprise of each query token.
        unknown_words: The share of the query's words that no passage holds, in [0, 1].
        personal: Whether the query is about its asker, the assistant or a speaker.
        own_matches: (c, q), the match of each query token in the best passage of each turn.
        context_matches: (c, q), the match in the best passage or its neighbours, see `in_context`.
    """

    rows: NDArray[np.int64]
    passages: NDArray[np.int64]
    texts: list[str]
    parts: Parts
    surprises: NDArray[np.float32]
    unknown_words: float
    personal: bool
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

    def with_part(self, name: str, values: NDArray[np.float64]) -> Ranking:
        """The ranking with one more part of the score, in the order of the new scores.

        Args:
            name: The name of the part.
            values: (c,), the part of each turn, in the order of this ranking.
        """
        scores = self.scores + values
        order = np.argsort(-scores, kind="stable")
        parts = {key: part[order] for key, part in {**self.parts, name: values}.items()}
        return replace(self, rows=self.rows[order], order=self.order[order], scores=scores[order], parts=parts)


def rank_candidates(candidates: Candidates, weights: Weights, passages: int) -> Ranking:
    """Order the candidates, best first.

    Args:
        candidates: The candidates.
        weights: The weights of the score.
        passages: The number of passages in the memory.
    """
    scored = fuse(candidates.parts.scaled, weights, passages)
    total = np.sum(list(scored.values()), axis=0)
    order = np.argsort(-total, kind="stable")
    return Ranking(
        rows=candidates.rows[order],
        order=order,
        scores=total[order],
        parts={name: values[order] for name, values in scored.items()},
    )


def find_candidates(
    question: Question,
    known: Knowledge,
    *,
    allowed: NDArray[np.bool_],
    hidden: NDArray[np.bool_] | None = None,
) -> Candidates | None:
    """Find the turns that may answer a query.

    Candidates come from BM25 and from the neural memory, with the turns next to them. Late interaction reads the token
    keys of the candidates and of their neighbours only. Only passages that tell something are candidates; if the query
    is about earlier questions, only those are. Of statements that say the same, the latest is a candidate.

    Args:
        question: The query.
        known: What the memory knows.
        allowed: bool (n,), the turns that may be candidates.
        hidden: bool (n,), the turns that are not used as context either, as if they had not been said; None for none.

    Returns:
        The candidates; None if there are none.
    """
    index, state, reading = known.index, known.state, question.reading
    turns, passages = index.turns(), index.passages()
    surprises = token_weights(known.spec, state, reading.keys)
    lexical, unknown_words = index.word_scores(
        question.text, told=not question.about_asking, by_words=question.unread > 0
    )
    associative = associative_scores(
        state,
        passages.columns,
        reading.keys,
        surprises,
        lengths=passages.lengths,
        retention_factors=index.retention_factors(state.updates, 1 - known.spec.retention.forget),
        passages=turns.passages[passages.turn],
    )
    act = SpeechAct.ASK if question.about_asking else SpeechAct.TELL
    usable = allowed[passages.turn] & (passages.acts == act)
    # Of a statement that was made several times, the one of the time that the query names counts.
    dated = date_agreement(turns.at, list(question.periods))
    once = index.without_copies(usable, (dated >= 1)[passages.turn] if question.periods else None)
    chosen = _candidates(lexical, associative, turns, passages, once)
    if not len(chosen):
        return None
    own_matches, context_matches, salience = _match(question, surprises, known, chosen, hidden)
    late = maxsim_scores(context_matches, salience)
    # As far as the reader does not know the query, its words decide alone.
    late += question.unread * (lexical[chosen] / max(float(lexical[chosen].max()), 1e-9) - late)
    rows, starts = np.unique(passages.turn[chosen], return_index=True)
    # `chosen` ascends, and the passages of a turn are neighbours, so that each turn is one run.
    best = [int(run[np.argmax(late[run])]) for run in np.split(np.arange(len(chosen)), starts[1:])]
    texts = known.log.texts(passages.numbers[chosen[best]].tolist())
    best_lexical, best_associative = (np.maximum.reduceat(of[chosen], starts) for of in (lexical, associative))
    asking, cues = passages.asking[chosen[best]], passages.cues[chosen[best]]
    adding = np.array(
        [share < MOSTLY_ASKING or _adds(text, question) for text, share in zip(texts, asking, strict=True)]
    )
    if not adding.all():
        rows, best = rows[adding], np.array(best)[adding].tolist()
        asking, cues = asking[adding], cues[adding]
        texts = [text for text, adds in zip(texts, adding, strict=True) if adds]
    if not texts:
        return None
    # A query can be about its asker or the assistant although neither has spoken yet.
    about = named_speakers(question.text, {*index.speakers, "user", "assistant"})
    named = [index.speakers[speaker] for speaker in about if speaker in index.speakers]
    parts = Parts(
        lexical=best_lexical[adding],
        associative=best_associative[adding],
        late=late[best],
        session=turns.session[rows],
        named=np.isin(turns.speaker[rows], named),
        rarity=turns.rarity[rows] if question.readable else np.ones(len(rows), np.float32),
        passages=turns.passages[rows],
        asking=asking.astype(np.float64),
        timely=question.wants_time & ((cues & Cue.TIME) > 0),
        dated=dated[rows],
        number=question.wants_number & ((cues & Cue.NUMBER) > 0),
        name=np.array([question.wants_name and _names(text, question.text) for text in texts]),
        recency=time_rank(turns.at[rows], turns.positions[rows]) * question.readable,
        tense=question.tense,
    )
    return Candidates(
        rows,
        chosen[best],
        texts,
        parts,
        surprises,
        unknown_words,
        bool(about),
        own_matches[best],
        context_matches[best],
    )


def _names(text: str, query: str) -> bool:
    """Whether a passage holds the kind of name that the query asks for, and that the query does not hold."""
    return introduces(text) if wants_own_name(query) else bool(names_in(text) - set(query.lower().split()))


def _adds(text: str, question: Question) -> bool:
    """Whether a passage says anything beyond the query. A detailed question of before tells something, but not this."""
    if question.about_asking or speech_act(text, details=False) is SpeechAct.TELL:
        return True
    return len(content_words(text) - content_words(question.text)) > REPEATED_WORDS


def _match(
    question: Question,
    surprises: NDArray[np.float32],
    known: Knowledge,
    chosen: NDArray[np.int64],
    hidden: NDArray[np.bool_] | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The matches of the query's tokens in the passages, (c, q), alone and in context; the tokens' salience, (q,)."""
    turns, passages, state = known.index.turns(), known.index.passages(), known.state
    before, after = passages_beside(chosen, turns, passages)
    two_before, _ = passages_beside(before, turns, passages)
    beside = [rows if hidden is None else _without(rows, hidden[passages.turn]) for rows in (before, after, two_before)]
    read = np.unique(np.concatenate([chosen, *beside]))
    read = read[read >= 0]
    mean = (state.key_sum / max(state.tokens, 1)).float().numpy()
    matches = token_matches(question.reading.keys, mean, known.log.keys(passages.numbers[read].tolist()))
    acts = passages.acts
    # A question lends its match forwards, to its answer. Declining and small talk lend nothing.
    weights = [
        np.select([acts[beside[0]] == SpeechAct.TELL, acts[beside[0]] == SpeechAct.ASK], [CONTEXT, ANSWERED], 0),
        np.where(acts[beside[1]] == SpeechAct.TELL, CONTEXT, 0),
        np.where(acts[beside[2]] == SpeechAct.TELL, CONTEXT_TWO, 0),
    ]
    neighbours = [
        Neighbours(_places(rows, read), weight.astype(np.float32)) for rows, weight in zip(beside, weights, strict=True)
    ]
    own = _places(chosen, read)
    return matches[own], in_context(matches, own, neighbours), token_salience(matches, surprises)


def _without(rows: NDArray[np.int64], hidden: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The rows, with -1 for a hidden one; a row of -1 stays."""
    return np.where(hidden[rows], -1, rows)


def passages_beside(
    chosen: NDArray[np.int64], turns: TurnArrays, passages: PassageArrays
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of the passages before and after each chosen passage in its session; -1 for none, and beside -1.

    Args:
        chosen: (n,), rows of passages.
        turns: The columns of the turns.
        passages: The columns of the passages.
    """
    turn, last = passages.turn[chosen], len(passages.turn) - 1
    same_before = (chosen > 0) & (passages.turn[np.maximum(chosen - 1, 0)] == turn)
    same_after = (chosen < last) & (passages.turn[np.minimum(chosen + 1, last)] == turn)
    earlier, later = turns.before[turn], turns.after[turn]
    last_of_earlier = np.where(earlier < 0, -1, np.searchsorted(passages.turn, earlier, side="right") - 1)
    first_of_later = np.where(later < 0, -1, np.searchsorted(passages.turn, later))
    before = np.where(same_before, chosen - 1, last_of_earlier)
    after = np.where(same_after, chosen + 1, first_of_later)
    return np.where(chosen < 0, -1, before), np.where(chosen < 0, -1, after)


def _candidates(
    lexical: NDArray[np.float32],
    associative: NDArray[np.float32],
    turns: TurnArrays,
    passages: PassageArrays,
    usable: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """The rows of the candidate passages, ascending; only of `usable` ones, bool (m,)."""
    tops = [_top(np.where(usable, scores, 0)) for scores in (lexical, associative)]
    found = np.union1d(*tops)
    near = passages.turn[np.union1d(*(top[:WITH_NEIGHBOURS] for top in tops))]
    near = np.setdiff1d(np.concatenate([turns.before[near], turns.after[near]]), passages.turn[found])
    near = near[near >= 0]
    # Of a neighbouring turn only the passage with the highest association is a candidate.
    first = np.searchsorted(passages.turn, near)
    ends = np.searchsorted(passages.turn, near, side="right")
    of_neighbours = [
        start + int(np.argmax(np.where(usable[start:end], associative[start:end], -np.inf)))
        for start, end in zip(first, ends, strict=True)
        if usable[start:end].any()
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
