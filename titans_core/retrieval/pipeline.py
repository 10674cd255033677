"""From a query to a labelled recollection: find, rank, describe, judge."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch

from titans_core.confidence import Evidence, Verdict
from titans_core.retrieval.answers import Answers
from titans_core.retrieval.candidates import find_candidates, rank_candidates
from titans_core.retrieval.contradiction import is_contradicted
from titans_core.retrieval.english import (
    asks_for_anything,
    asks_what_was_said,
    named_speakers,
    question_share,
    speakers_meant,
    without_times,
)
from titans_core.retrieval.features import features_of
from titans_core.retrieval.fusion import Weights
from titans_core.retrieval.grounds import grounds_of
from titans_core.retrieval.profile import telling_rows
from titans_core.retrieval.supersession import MARKS, find_supersessions, lead_with_latest
from titans_core.types import Confidence, Recall, Recollection

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from titans_core.confidence import Strategy
    from titans_core.retrieval.candidates import Candidates, Ranking
    from titans_core.retrieval.index import Index
    from titans_core.retrieval.knowledge import Knowledge
    from titans_core.retrieval.question import Question
    from titans_core.storage import Filters
    from titans_core.types import Turn
    from titans_core.verification import Verifier

Context: TypeAlias = int | Literal["reply"]
"""The turns beside a recall that come along: a number on each side, or the turn after a recall that asks something."""


def recollect(
    query: str,
    question: Question,
    known: Knowledge,
    *,
    strategy: Strategy,
    verifier: Verifier | None,
    k: int,
    filters: Filters,
    hidden: Collection[int] = (),
    context: Context = 0,
) -> Recollection:
    """Recall at most k turns that pass the filters, and label the first.

    Args:
        query: The whole query.
        question: What was read of it.
        known: What the memory knows.
        strategy: Sets the label.
        verifier: Reads the best candidates together with the query; None for none.
        k: The most recalls to return.
        filters: The conditions that a turn must meet.
        hidden: Positions of turns to leave out, as if they had not been said.
        context: The turns beside each recall that come along.
    """
    positions = known.index.turns().positions
    allowed = np.isin(positions, known.log.positions(filters)) if filters else np.ones(len(positions), bool)
    hidden_rows = None
    if hidden:
        hidden_rows = np.isin(positions, list(hidden))
        allowed &= ~hidden_rows
    grounds: tuple[str, ...] = ()
    if question.small_talk:  # a memory has nothing to answer
        return Recollection(query, (), Confidence.NONE, 0.0, 0.0, searched=question.text, zone=question.zone)
    whole = _everything(question, known, allowed, k=k, filters=filters)
    if whole is not None:
        recalls, label = whole
        verdict = Verdict(label, reasons={"turns": float(len(recalls))})
    else:
        found, ranked = _search(query, question, known, verifier, allowed, hidden_rows)
        verdict = _judge(strategy, found, question)
        recalls = found.top(k) if verdict.recalls is None else verdict.recalls[:k]
        if ranked is not None:
            recalls = ranked.marked(recalls)
            # A strategy that reads the recalls may have put another one first.
            if recalls and verdict.probability is not None:
                grounds = tuple(
                    grounds_of(
                        found.features,
                        recalls[0],
                        wants_time=question.wants_time,
                        contradicted=found.contradicted,
                        zone=question.zone,
                    )
                )
    if context:
        recalls = tuple(_with_context(recall, known, context) for recall in recalls)
    return Recollection(
        query,
        recalls,
        verdict.confidence,
        verdict.probability,
        verdict.probability_top3,
        verdict.reasons,
        grounds,
        searched=question.text,
        zone=question.zone,
    )


PROFILE_QUERY = "What do you know about me?"
"""The query that a profile answers."""


def profile(known: Knowledge, *, k: int, speaker: str | None) -> Recollection:
    """What a person has told about as a whole, most surprising first; see `TitansMemory.profile`.

    Args:
        known: What the memory knows.
        k: The most recalls to return.
        speaker: The person; None for the user, or for everybody if no user has spoken.
    """
    speakers = [speaker] if speaker is not None else named_speakers("me", known.index.speakers)
    rows = telling_rows(known, np.ones(len(known.index.turns().positions), bool), speakers, current=True)[:k]
    label = Confidence.LOW if len(rows) else Confidence.NONE
    reasons = {"turns": float(len(rows))}
    return Recollection(PROFILE_QUERY, _as_recalls(known, rows), label, reasons=reasons, searched=PROFILE_QUERY)


def _everything(
    question: Question, known: Knowledge, allowed: NDArray[np.bool_], *, k: int, filters: Filters
) -> tuple[tuple[Recall, ...], Confidence] | None:
    """Recalls and label for a query that names nothing to search for but a person or a time; None for other queries."""
    index = known.index
    if question.about_asking:
        return None
    if question.subject is not None:
        speakers = speakers_meant(question.subject, index.speakers)
        if not speakers:
            return None
        rows = telling_rows(known, allowed, speakers, current=True)[:k]
        return (_as_recalls(known, rows), Confidence.LOW) if len(rows) else None
    speakers = named_speakers(question.text, index.speakers)
    if not (question.periods or filters.since or filters.until) or not _asks_for_anything(question, speakers):
        return None
    if question.periods:
        at = index.turns().at
        within = [(at >= period.start) & (at < period.end) for period in question.periods]
        allowed = allowed & np.logical_or.reduce(within)
    rows = telling_rows(known, allowed, speakers, current=False)[:k]
    if not len(rows):
        return None
    return _as_recalls(known, rows), Confidence.HIGH if asks_what_was_said(question.text) else Confidence.LOW


def _asks_for_anything(question: Question, speakers: Sequence[str]) -> bool:
    names = "|".join(re.escape(part) for speaker in speakers for part in speaker.split())
    rest = without_times(question.text)
    return asks_for_anything(re.sub(rf"\b(?:{names})\b", " ", rest, flags=re.IGNORECASE) if names else rest)


def _search(
    query: str,
    question: Question,
    known: Knowledge,
    verifier: Verifier | None,
    allowed: NDArray[np.bool_],
    hidden: NDArray[np.bool_] | None,
) -> tuple[Evidence, _Recalls | None]:
    candidates = find_candidates(question, known, allowed=allowed, hidden=hidden)
    if candidates is None:
        return Evidence(query, np.zeros(0), {}, lambda _: (), unread=question.unread), None
    index = known.index
    passages = len(index.passages().turn)
    weights = Weights.fitted()
    ranking = rank_candidates(candidates, weights, passages)
    answers = None if verifier is None else Answers(verifier, question, candidates, known, hidden)
    if answers is not None and not question.about_asking and question.readable:
        ranking = answers.rerank(ranking, weights.verified)
    # Passages that the reader cannot read are all alike.
    pairs = find_supersessions(question, candidates, ranking, index, known.state) if question.readable else []
    rows = ranking.rows
    marks: dict[int, int] = {}
    for pair in sorted(pairs, key=lambda pair: pair.log_odds):
        if pair.log_odds >= MARKS:
            marks[int(rows[pair.earlier])] = int(rows[pair.later])
    ranking = lead_with_latest(ranking, pairs, question.tense)
    similarities = _similarities(index, question.reading.pooled)
    others = allowed.copy()
    others[ranking.rows[0]] = False
    recalls = _Recalls(known, candidates, ranking, similarities, marks)
    evidence = Evidence(
        query,
        np.concatenate([similarities[ranking.rows[:1]], similarities[others]]),
        features_of(candidates, ranking, similarities, question, passages, answers),
        recalls.top,
        unread=question.unread,
        contradicted=is_contradicted(question, candidates, ranking, index.turns().at, list(marks)),
    )
    return evidence, recalls


def _judge(strategy: Strategy, found: Evidence, question: Question) -> Verdict:
    verdict = strategy.judge(found)
    if question.about_asking and verdict.confidence is not Confidence.NONE:
        # No calibration knows what it is worth to find an earlier question.
        return replace(verdict, confidence=Confidence.LOW, probability=None, probability_top3=None)
    if question.subject is not None and found.features and verdict.confidence is Confidence.NONE:
        return replace(verdict, confidence=Confidence.LOW)
    return verdict


@dataclass(slots=True)
class _Recalls:
    """The recalls of a ranking; each turn is read once, when it is needed."""

    known: Knowledge
    candidates: Candidates
    ranking: Ranking
    similarities: NDArray[np.float32]
    marks: Mapping[int, int]  # the rows of superseded turns, each with the row of the turn that supersedes it
    read: tuple[Recall, ...] = ()
    _turns: dict[int, Turn] = field(default_factory=dict)

    def top(self, count: int) -> tuple[Recall, ...]:
        """The first `count` recalls."""
        if len(self.read) < min(count, len(self.ranking.rows)):
            self.read += tuple(self._recalls(len(self.read), count))
        return self.read[:count]

    def marked(self, recalls: tuple[Recall, ...]) -> tuple[Recall, ...]:
        """The recalls, each with what it supersedes among them."""
        older: dict[str, list[str]] = {}
        for recall in recalls:
            if recall.superseded_by is not None:
                older.setdefault(recall.superseded_by, []).append(recall.id)
        return tuple(replace(each, supersedes=tuple(older[each.id])) if each.id in older else each for each in recalls)

    def _recalls(self, start: int, end: int) -> list[Recall]:
        ranking = self.ranking
        probabilities = _softmax(ranking.scores)
        found = []
        for place in range(start, min(end, len(ranking.rows))):
            row = int(ranking.rows[place])
            copies = self.known.index.copies(int(self.candidates.passages[ranking.order[place]]))
            newer = self._turn(self.marks[row]) if row in self.marks else None
            found.append(
                Recall(
                    turn=self._turn(row),
                    score=float(ranking.scores[place]),
                    probability=float(probabilities[place]),
                    similarity=float(self.similarities[row]),
                    passage=self.candidates.texts[ranking.order[place]],
                    why={name: float(values[place]) for name, values in ranking.parts.items()},
                    times=len(copies),
                    first_at=self._turn(int(copies[0])).at,
                    superseded_by=newer.id if newer else None,
                    superseded_at=newer.at if newer else None,
                )
            )
        return found

    def _turn(self, row: int) -> Turn:
        if row not in self._turns:
            self._turns[row] = self.known.log.turn_at(int(self.known.index.turns().positions[row]))
        return self._turns[row]


def _as_recalls(known: Knowledge, rows: Sequence[int] | NDArray[np.int64]) -> tuple[Recall, ...]:
    """The turns in these rows as recalls that nothing was asked for: their score is their surprise."""
    index = known.index
    turns, passages = index.turns(), index.passages()
    surprises = index.surprises()
    total = max(float(surprises[list(rows)].sum()), 1e-9)
    recalls = []
    for row in map(int, rows):
        turn = known.log.turn_at(int(turns.positions[row]))
        surprise = float(surprises[row])
        copies = index.copies(int(np.searchsorted(passages.turn, row)))
        recalls.append(
            Recall(
                turn=turn,
                score=surprise,
                probability=surprise / total,
                similarity=0.0,
                passage=turn.text,
                why={"surprise": surprise},
                times=len(copies),
                first_at=turn.at if len(copies) == 1 else known.log.turn_at(int(turns.positions[copies[0]])).at,
            )
        )
    return tuple(recalls)


def _with_context(recall: Recall, known: Knowledge, context: Context) -> Recall:
    turns = known.index.turns()
    position = known.log.position_of(recall.id)
    if position is None:
        return recall
    row = int(np.searchsorted(turns.positions, position))
    if context == "reply":
        count_before, count_after = 0, int(question_share(recall.text) > 0)
    else:
        count_before = count_after = int(context)
    return replace(
        recall,
        before=tuple(reversed(_walk(row, turns.before, count_before, known))),
        after=tuple(_walk(row, turns.after, count_after, known)),
    )


def _walk(row: int, following: NDArray[np.int64], count: int, known: Knowledge) -> list[Turn]:
    """At most `count` turns, each next to the one before it in its session."""
    found: list[Turn] = []
    positions = known.index.turns().positions
    while len(found) < count and (row := int(following[row])) >= 0:
        found.append(known.log.turn_at(int(positions[row])))
    return found


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
