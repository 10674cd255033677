"""What a ranking says about itself: the features that a calibrated label rests on.

None depends on the scale of the scores or on what they are scores of, so that one calibration serves every memory.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from titans_core.retrieval.fusion import Weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from titans_core.retrieval.candidates import Candidates, Ranking

FEATURES = (
    "odds",
    "three",
    "speaker",
    "other speaker",
    "lexical",
    "associative",
    "late",
    "session",
    "matched",
    "weakest",
    "context",
    "lead",
    "elsewhere",
    "anywhere",
    "timely",
    "dated",
    "cosine",
    "familiarity",
    "unsaid",
    "rarest",
    "length",
)
"""Names of the features, in the order in which a calibration keeps its coefficients.

* odds: of the first among the candidates, log of softmax(scores) against the rest. The weights of the score are fitted
  by likelihood, so that its softmax is a probability, if an answer is stored.
* three: log of the share of softmax(scores) that the first three have.
* speaker: how far the first is above the best turn by somebody whom the query does not name, when the bonus for named
  speakers is taken off: below 0, somebody else said what was asked for. 0 where nobody is named.
* other speaker: 1 if the query names a speaker, and the first is by another.
* lexical, associative, late, session: these parts of the first's score, in standard deviations of the candidates.
* matched: share of the query's telling that the first matches well, in context. What a token tells is its squared
  surprise, here and below.
* weakest: the worst match, in the first's passage itself, among the query's four most surprising tokens; in [0, 1].
* context: how much of the first's match stands beside it and not in it; in [0, 1].
* lead: how much better the first matches the query's tokens than the second does, in context; in [-1, 1].
* elsewhere: how much better the best of the first five match each token than the first does, likewise; in [0, 1].
* anywhere: how well each token is matched by whichever candidate matches it best, likewise; in [0, 1].
* timely: 1 if the query asks for a time and the first speaks of one.
* dated: in [0, 1], how well the first's date agrees with the times that the query names.
* cosine: of the first's sentence vector with the query's.
* familiarity: log of the neural memory's mean answer for the five passages that it knows best.
* unsaid: share of the query's words that were never said.
* rarest: surprise of the query's most surprising token; in [0, 1].
* length: log of the number of the query's tokens.

Left out on purpose: features that help on one kind of chat and mislead on the other (the share of questions in the
first, its length, the query's question word; how far its cosine is above the next ones'). A calibration fitted on one
kind has to hold on another. The size of the memory adds nothing to these.
"""

MATCHED = 0.65
"""From this match on a token of the query counts as matched."""

_SALIENT = 4
_KNOWN = 5
_THREE = 3
_FIVE = 5


@cache
def ranking_fingerprint() -> str:
    """Tells this ranking and its features from others: what was calibrated with one says nothing about another."""
    return hashlib.sha256(json.dumps([Weights.fitted().by_name, FEATURES]).encode()).hexdigest()[:16]


def features_of(candidates: Candidates, ranking: Ranking, similarities: NDArray[np.float32]) -> dict[str, float]:
    """The features of a ranking, by name.

    Args:
        candidates: what was found.
        ranking: the same in order; not empty.
        similarities: (n,), cosine between the query and each turn.
    """
    parts, shares = candidates.parts, np.exp(ranking.scores - ranking.scores[0])
    first = ranking.order[0]
    known = np.sort(parts.associative)[::-1][:_KNOWN]
    found = {
        "odds": -float(np.log(max(shares[1:].sum(), 1e-6))),
        "three": float(np.log(shares[:_THREE].sum() / shares.sum())),
        **{name: float(ranking.parts[name][0]) for name in ("lexical", "associative", "late", "session")},
        **_speakers(ranking, parts.named[ranking.order]),
        **_matches(candidates, ranking),
        "timely": float(parts.timely[first]),
        "dated": float(parts.dated[first]),
        "cosine": float(similarities[ranking.rows[0]]),
        "familiarity": float(np.log(max(known.mean(), 1e-6))),
        "unsaid": candidates.unsaid,
        "rarest": float(candidates.surprises.max(initial=0.0)),
        "length": float(np.log(max(len(candidates.surprises), 1))),
    }
    return {name: found[name] for name in FEATURES}


def _speakers(ranking: Ranking, named: NDArray[np.bool_]) -> dict[str, float]:
    """What is to say about the speakers; `named` in the order of the ranking."""
    content = ranking.scores - ranking.parts["speaker"]
    others = content[~named]
    return {
        "speaker": float(content[0] - others.max()) if named[0] and len(others) else 0.0,
        "other speaker": float(named.any() and not named[0]),
    }


def _matches(candidates: Candidates, ranking: Ranking) -> dict[str, float]:
    """What is to say about the matches with the query's tokens."""
    weights = candidates.surprises**2
    weights = weights / max(float(weights.sum()), 1e-9)
    salient = np.argsort(-weights, kind="stable")[:_SALIENT]
    beside = candidates.beside[ranking.order[:_FIVE]]
    first, alone = beside[0], candidates.alone[ranking.order[0]]
    return {
        "matched": float(weights @ (first > MATCHED)),
        "weakest": float(alone[salient].min()) if len(salient) else 0.0,
        "context": float(weights @ (first - alone)),
        "lead": float(weights @ (first - beside[1])) if len(beside) > 1 else 0.0,
        "elsewhere": float(weights @ (beside.max(axis=0) - first)),
        "anywhere": float(weights @ candidates.beside.max(axis=0)),
    }
