"""The features of a ranking, on which a calibrated label rests.

No feature depends on the scale of the scores or on their source, so that one calibration fits every memory.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from titans_core.retrieval.answers import VERIFIED
from titans_core.retrieval.bm25 import content_stems
from titans_core.retrieval.fusion import Weights, growth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from titans_core.retrieval.answers import Answers
    from titans_core.retrieval.candidates import Candidates, Ranking
    from titans_core.retrieval.question import Question

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
    "said",
    "adds",
    "rival",
    "personal",
    "rarest",
    "length",
    "number",
    "name",
    "current",
    "size",
)
"""Names of the features, in the order in which a calibration keeps its coefficients.

* odds: log odds of the first candidate under softmax(scores). The weights of the score are fitted by likelihood, so
  that the softmax is a probability if an answer is stored.
* three: log of the share of softmax(scores) that the first three candidates have.
* speaker: the distance of the first to the best turn by a speaker whom the query does not name, without the weight of
  named speakers. Below 0, another speaker has said what was asked for. 0 if the query names nobody.
* other speaker: 1 if the query names a speaker, and the first is by another.
* lexical, associative, late, session: these parts of the first candidate's score, without their weights, which depend
  on the size of the memory.
* matched: the share of the query, weighted by squared surprise here and below, that the first matches well in context.
* weakest: the worst match of the query's four most surprising tokens in the first's own passage; in [0, 1].
* context: the share of the first's match that stands in its neighbours and not in itself; in [0, 1].
* lead: how much better the first matches the query's tokens than the second does, in context; in [-1, 1].
* elsewhere: how much better the best of the first five matches each token than the first does, in context; in [0, 1].
* anywhere: how well the best candidate for each token matches it, in context; in [0, 1].
* timely: 1 if the query asks for a time and the first states one.
* dated: the agreement of the first's date with the times that the query names; in [0, 1].
* cosine: the cosine between the sentence vectors of the first and of the query.
* familiarity: log of the mean of the neural memory's five highest answers.
* unsaid: the share of the query's words that no passage holds.
* said: the share of the query's content words that the first's own passage holds, by their stems; in [0, 1].
* adds: log(1 + the number of content words of this passage that the query has not): a statement of the query's words
  and one more is its answer.
* rival: the largest share of the query's content words that the passage of one of the next four holds; in [0, 1]. If
  the first holds as many, two statements answer, perhaps with different values.
* personal: 1 if the query is about its asker, the assistant or a speaker; a question of general knowledge is not.
* rarest: the surprise of the query's most surprising token; in [0, 1].
* length: log of the number of the query's tokens.
* number: 1 if the query asks for a number and the first holds one, -1 if it asks and the first holds none, 0 otherwise.
* name: the same for a name.
* current: 1 if the first leads because it supersedes another.
* size: `growth` of the memory.

Some features are left out because they help on one kind of chat and mislead on another: the share of questions in the
first, its length, the query's question word, the distance of its cosine to the next. A calibration that is fitted on
one kind of chat has to hold on another.
"""

VERIFIED_FEATURES = ("verified", "verified three", "verified best")
"""Names of the features that a verifier adds, after the others.

* verified: the log odds that the first candidate answers, as the verifier reads it.
* verified three: the highest log odds of the first three.
* verified best: the highest log odds of all candidates that are verified.
"""

MATCHED = 0.65
"""The least match of a query token that counts as matched."""

_SALIENT = 4
_KNOWN = 5
_THREE = 3
_FIVE = 5


@cache
def ranking_fingerprint(verifier: str | None) -> str:
    """Fingerprint of the ranking's weights and features: a calibration fits one ranking only.

    Args:
        verifier: Fingerprint of the verifier; None for a ranking without one.
    """
    weights = Weights.fitted()
    made_of: list[Any] = [weights.parts, weights.growth, FEATURES]
    if verifier is not None:
        made_of += [weights.verified, VERIFIED_FEATURES, verifier]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def features_of(
    candidates: Candidates,
    ranking: Ranking,
    similarities: NDArray[np.float32],
    question: Question,
    passages: int,
    answers: Answers | None = None,
) -> dict[str, float]:
    """The features of a ranking, by name.

    Args:
        candidates: The candidates.
        ranking: The candidates in order; not empty.
        similarities: (n,), the cosine between the query and each turn.
        question: The query.
        passages: The number of passages in the memory.
        answers: What a verifier says of the candidates; None without one.
    """
    parts, shares = candidates.parts, np.exp(ranking.scores - ranking.scores[0])
    first, scaled = ranking.order[0], parts.scaled
    known = np.sort(parts.associative)[::-1][:_KNOWN]
    found = {
        "odds": -float(np.log(max(shares[1:].sum(), 1e-6))),
        "three": float(np.log(shares[:_THREE].sum() / shares.sum())),
        **{name: float(scaled[name][first]) for name in ("lexical", "associative", "late", "session")},
        **_speakers(ranking, parts.named[ranking.order]),
        **_matches(candidates, ranking),
        "timely": float(parts.timely[first]),
        "dated": float(parts.dated[first]),
        "cosine": float(similarities[ranking.rows[0]]),
        "familiarity": float(np.log(max(known.mean(), 1e-6))),
        "unsaid": candidates.unknown_words,
        **_words(question.text, [candidates.texts[place] for place in ranking.order[:_FIVE]]),
        "personal": float(candidates.personal),
        "rarest": float(candidates.surprises.max(initial=0.0)),
        "length": float(np.log(max(len(candidates.surprises), 1))),
        "number": (2.0 * parts.number[first] - 1) * question.wants_number,
        "name": (2.0 * parts.name[first] - 1) * question.wants_name,
        "current": float(ranking.parts["current"][0] > 0),
        "size": growth(passages),
    }
    ordered = {name: found[name] for name in FEATURES}
    return ordered if answers is None else ordered | _verified(answers.log_odds(ranking.order[:VERIFIED]))


def _verified(log_odds: NDArray[np.float64]) -> dict[str, float]:
    """The features of a verifier's log odds of the first candidates, best first."""
    found = float(log_odds[0]), float(log_odds[:_THREE].max()), float(log_odds.max())
    return dict(zip(VERIFIED_FEATURES, found, strict=True))


def _speakers(ranking: Ranking, named: NDArray[np.bool_]) -> dict[str, float]:
    """The features of the speakers; `named` is in the order of the ranking."""
    content = ranking.scores - ranking.parts["speaker"]
    others = content[~named]
    return {
        "speaker": float(content[0] - others.max()) if named[0] and len(others) else 0.0,
        "other speaker": float(named.any() and not named[0]),
    }


def _words(query: str, passages: Sequence[str]) -> dict[str, float]:
    """The features of the words that the query and the best passages have in common."""
    asked, told, *others = map(content_stems, (query, *passages))
    said, *elsewhere = (len(asked & words) / max(len(asked), 1) for words in (told, *others))
    return {"said": said, "adds": float(np.log1p(len(told - asked))), "rival": max(elsewhere, default=0.0)}


def _matches(candidates: Candidates, ranking: Ranking) -> dict[str, float]:
    """The features of the matches with the query's tokens."""
    weights = candidates.surprises**2
    weights = weights / max(float(weights.sum()), 1e-9)
    salient = np.argsort(-weights, kind="stable")[:_SALIENT]
    context = candidates.context_matches[ranking.order[:_FIVE]]
    first, alone = context[0], candidates.own_matches[ranking.order[0]]
    return {
        "matched": float(weights @ (first > MATCHED)),
        "weakest": float(alone[salient].min()) if len(salient) else 0.0,
        "context": float(weights @ (first - alone)),
        "lead": float(weights @ (first - context[1])) if len(context) > 1 else 0.0,
        "elsewhere": float(weights @ (context.max(axis=0) - first)),
        "anywhere": float(weights @ candidates.context_matches.max(axis=0)),
    }
