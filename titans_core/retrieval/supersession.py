"""Finds which candidate supersedes which: a later statement of the same subject with another value.

"I live in Bonn" is superseded by "We moved, it's Ulm now". The two are alike under the neural memory, the query matches
both, they differ in what they add to it, and the later one often says that something changed. A logistic model weighs
these signs; it was fitted by `benchmarks/fit/supersession.py` to conversations that were written for this.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from titans_core.retrieval.duplicates import overlaps_under
from titans_core.retrieval.english import Cue, Tense, content_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from titans_core.neural import MemoryState
    from titans_core.retrieval.candidates import Candidates, Ranking
    from titans_core.retrieval.index import Index
    from titans_core.retrieval.question import Question

EARLIER = 5
"""The number of best candidates that may be superseded."""

LATER = 30
"""The number of best candidates that may supersede one of them."""

LEAST_OVERLAP = 0.15
"""The least overlap of two passages of one subject: their cosine under P."""

MOST_PASSAGES = 3
"""The most passages of a turn that is compared."""

LEADS = {Tense.NOW: -3.0, Tense.PRESENT: -1.0, Tense.BEFORE: -2.0}
"""The least log odds at which the later statement leads, by the tense of the query; for `BEFORE` the earlier one leads.
A query that says "now" or "before" is nearly always about something that changed. In the past tense the order stays."""

MARKS = 0.5
"""The least log odds at which a recall says that it is superseded: 77 % of such pairs are right."""

RESTATED = 1.0
"""The least log odds of a statement that is said again with a change: "I live in Bonn", "I live in Ulm now"."""

RESTATED_OVERLAP = 0.4
"""The least overlap of such a pair."""

OWN_WORDS = 2
"""The fewest words of its own with which a later statement can be about another thing."""

WHOLE_STATEMENT = 4
"""Content words with which a statement says what it is about."""

_MARGIN = 0.01
_DAY = 86400.0
_SAME_TALK = 3600.0
_NEXT_TURNS = 3

SIGNS = (
    "overlap",
    "later match",
    "earlier match",
    "behind",
    "corrects",
    "change",
    "speaker",
    "days",
    "next",
    "both match",
    "number",
    "both numbers",
    "shared",
    "other words",
    "lost words",
    "new words",
    "one value",
    "length",
    "restated",
)
"""Names of the signs, in the order of the model's weights.

* overlap: the cosine of the two passages under P.
* later match, earlier match: late interaction with the query, in standard deviations of the candidates.
* behind: how much lower the later one scores.
* corrects, change: whether the later one takes something back, or tells a change.
* speaker: whether one speaker said both.
* days: log(1 + the days between them).
* next: whether the later one is among the next three turns, within the hour.
* both match: the share of the query that both match, weighted by squared surprise.
* number, both numbers: whether the later one holds a number, and whether both do.
* shared: the number of content words that both have and the query has not.
* other words: the share of the later one's content words that neither the earlier one nor the query has.
* lost words, new words: log(1 + the number of content words that only the earlier, or only the later one has).
* one value: whether each has at most two words of its own.
* length: log(1 + the number of the later one's words).
* restated: whether the later one takes something back or tells a change, by the same speaker, and repeats all content
  words of the earlier one but one, at least half of them, and all that the query has of it.
"""


class Supersession(NamedTuple):
    """A pair of candidates of which the later one seems to supersede the earlier one.

    Attributes:
        earlier: The place of the earlier one in the ranking.
        later: The place of the later one in the ranking.
        log_odds: The log odds that it does.
    """

    earlier: int
    later: int
    log_odds: float


@dataclass(frozen=True, slots=True)
class SupersessionModel:
    """Log odds = bias + Σ weight · (sign − mean) / scale.

    Attributes:
        mean: The mean of each sign.
        scale: The standard deviation of each sign.
        weights: The weight of each sign.
        bias: The bias.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    @classmethod
    @cache
    def fitted(cls) -> Self:
        """The model that ships with the package."""
        found = json.loads(files("titans_core.retrieval").joinpath("supersession.json").read_text(encoding="utf-8"))
        return cls(**{name: tuple(found[name]) for name in ("mean", "scale", "weights")}, bias=found["bias"])

    def log_odds(self, signs: NDArray[np.float64]) -> NDArray[np.float64]:
        """The log odds of pairs, (n,), from their signs, (n, `SIGNS`)."""
        found: NDArray[np.float64] = self.bias + (signs - np.array(self.mean)) / np.array(self.scale) @ np.array(
            self.weights
        )
        return found


def find_supersessions(
    question: Question, candidates: Candidates, ranking: Ranking, index: Index, state: MemoryState
) -> list[Supersession]:
    """Weigh the pairs of candidates of which one may supersede the other.

    Args:
        question: The query.
        candidates: The candidates.
        ranking: The candidates in order.
        index: The index of the memory.
        state: The weights.
    """
    pairs, signs = supersession_signs(question, candidates, ranking, index, state)
    if not pairs:
        return []
    odds = SupersessionModel.fitted().log_odds(signs)
    # In a memory of a few turns the model sees little: all passages are alike there. But this is plain.
    plain = (signs[:, SIGNS.index("restated")] > 0) & (signs[:, SIGNS.index("overlap")] >= RESTATED_OVERLAP)
    odds = np.where(plain, np.maximum(odds, RESTATED), odds)
    return [Supersession(*pair, float(each)) for pair, each in zip(pairs, odds, strict=True)]


def lead_with_latest(ranking: Ranking, found: Sequence[Supersession], tense: Tense) -> Ranking:
    """Let a later statement lead the one that it supersedes, or follow it, as the query's tense asks.

    Args:
        ranking: The ranking.
        found: The pairs, by their places in this ranking.
        tense: The tense of the query.

    Returns:
        The ranking with the part "current".
    """
    raised = np.zeros(len(ranking.scores))
    for pair in found if tense in LEADS else ():
        if pair.log_odds >= LEADS[tense]:
            first, second = (pair.earlier, pair.later) if tense is Tense.BEFORE else (pair.later, pair.earlier)
            # An update may be as short as "22."; an earlier value that is asked for matches better than most.
            if tense is Tense.BEFORE and ranking.parts["late"][first] <= 0:
                continue
            # The one of the surer pair comes first.
            goal = ranking.scores[second] + _MARGIN + _MARGIN / (1 + np.exp(-pair.log_odds))
            raised[first] = max(raised[first], goal - ranking.scores[first])
    return ranking.with_part("current", raised)


def supersession_signs(
    question: Question, candidates: Candidates, ranking: Ranking, index: Index, state: MemoryState
) -> tuple[list[tuple[int, int]], NDArray[np.float64]]:
    """The pairs that are considered, and their signs; for the arguments see `find_supersessions`.

    Returns:
        The places of the earlier and the later one in the ranking, and float64 (n, `SIGNS`).
    """
    order = ranking.order[:LATER]
    turns = index.turns()
    rows = candidates.rows[order]
    at, positions, speakers = turns.at[rows], turns.positions[rows], turns.speaker[rows]
    overlaps = overlaps_under(state, index.passages().columns[candidates.passages[order]])
    later = turns.later(rows)
    # A turn of many passages is a text about many things, and gives no single subject another value.
    short = turns.passages[rows] <= MOST_PASSAGES
    compared = later & (overlaps >= LEAST_OVERLAP) & short[:, None] & short[None]
    firsts, seconds = np.nonzero(compared[:EARLIER])
    if not len(firsts):
        return [], np.zeros((0, len(SIGNS)))
    weights = candidates.surprises**2
    weights = weights / max(float(weights.sum()), 1e-9)
    own, late = candidates.own_matches[order], candidates.parts.scaled["late"][order]
    asked = content_words(question.text)
    cues = index.passages().cues[candidates.passages[order]]
    described = {
        place: _Description.of(candidates.texts[order[place]], int(cues[place]))
        for place in {*firsts.tolist(), *seconds.tolist()}
    }
    pairs, signs = [], []
    for one, other in zip(firsts.tolist(), seconds.tolist(), strict=True):
        before, after = described[one], described[other]
        if _is_rival(asked, before, after):
            continue
        pairs.append((one, other))
        gap = float(at[other] - at[one])
        lost, new = before.words - asked - after.words, after.words - asked - before.words
        signs.append(
            (
                overlaps[one, other],
                late[other],
                late[one],
                ranking.scores[one] - ranking.scores[other],
                after.corrects,
                after.changes,
                speakers[one] == speakers[other],
                np.log1p(gap / _DAY),
                0 < positions[other] - positions[one] <= _NEXT_TURNS and gap < _SAME_TALK,
                weights @ np.minimum(own[one], own[other]),
                after.number,
                before.number and after.number,
                len((before.words & after.words) - asked),
                len(new) / max(len(after.words), 1),
                np.log1p(len(lost)),
                np.log1p(len(new)),
                len(lost) <= 2 and len(new) <= 2,
                np.log1p(after.length),
                speakers[one] == speakers[other]
                and (after.corrects or after.changes)
                and len(before.words & after.words) >= max(len(before.words) / 2, 1)
                and len(lost) <= 1
                and asked & before.words <= after.words,
            )
        )
    return pairs, np.array(signs, np.float64).reshape(-1, len(SIGNS))


def _is_rival(asked: set[str], before: _Description, after: _Description) -> bool:
    """Whether the later one is about another thing than the earlier one.

    It is about another thing of the kind that is asked for (flat 14, where flat 12 is) if both hold a word of the
    query, but another word of the query stands in the earlier one only; and if the later one says enough of its own,
    and neither tells a change nor says the same in other respects. It is about something else altogether if it is long
    and shares no word with the query and the earlier one: only a short one ("22.") leaves out what it is about.

    Args:
        asked: The content words of the query.
        before: The earlier one.
        after: The later one.
    """
    if len(after.words) >= WHOLE_STATEMENT and not after.words & (asked | before.words):
        return True
    only_earlier, both = (asked & before.words) - after.words, asked & before.words & after.words
    if not only_earlier or not both or len(after.words - asked - before.words) < OWN_WORDS:
        return False
    told_anew = after.changes or after.corrects
    return not told_anew or len(before.words & after.words) >= len(before.words) / 2


class _Description(NamedTuple):
    words: set[str]
    corrects: bool
    changes: bool
    number: bool
    length: int

    @classmethod
    def of(cls, text: str, cues: int) -> Self:
        correction, change, number = (bool(cues & cue) for cue in (Cue.CORRECTION, Cue.CHANGE, Cue.NUMBER))
        return cls(content_words(text), correction, change, number, len(text.split()))
