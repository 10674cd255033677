"""What a ranking says about itself: the features that a calibrated label rests on.

None depends on the scale of the scores or on what they are scores of, so that one calibration serves every memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from titans_core.recalling.recaller import Candidates, Ranking

FEATURES = (
    "odds",
    "named odds",
    "speaker",
    "late",
    "weakest",
    "lead",
    "timely",
    "similarity",
    "familiarity",
    "rarest",
    "length",
    "cosine",
    "other speaker",
    "dated",
    "associative",
)
"""Names of the features, in the order in which a calibration keeps its coefficients.

* odds: of the first among the candidates, log of softmax(scores) against the rest. The weights of the score are fitted
  by likelihood, so that its softmax is a probability, if an answer is stored.
* named odds: the same where the query names a speaker; 0 elsewhere.
* speaker: how far the first is above the best turn by somebody whom the query does not name, when the bonus for named
  speakers is taken off: below 0, somebody else said what was asked for. 0 where nobody is named.
* late: late interaction of the first, in standard deviations of the candidates.
* weakest: the worst match, in the first's passage itself, among the query's four most surprising tokens; in [0, 1].
* lead: how much better the first matches the query's tokens than the second does, in context; in [-1, 1].
* timely: 1 if the query asks for a time and the first speaks of one.
* similarity: cosine of the first's sentence vector, less the mean of the ten most similar turns after the best one.
* familiarity: log of the neural memory's mean answer for the five passages that it knows best.
* rarest: surprise of the query's most surprising token; in [0, 1].
* length: log of the number of the query's tokens.
* cosine: of the first's sentence vector with the query's.
* other speaker: 1 if the query names a speaker, and the first is by another.
* dated: in [0, 1], how well the first's date agrees with the times that the query names.
* associative: the neural memory's answer for the first, in standard deviations of the candidates.

Left out on purpose: features that help on one kind of chat and mislead on the other (the share of questions in the
first, the size of the memory, the query's question word). A calibration fitted on one kind has to hold on another.
"""

_TELLING = 4
_NEXT = 10
_KNOWN = 5


def features_of(
    candidates: Candidates, ranking: Ranking, similarities: NDArray[np.float32], asked: NDArray[np.bool_]
) -> dict[str, float]:
    """The features of a ranking, by name.

    Args:
        candidates: what was found.
        ranking: the same in order; not empty.
        similarities: (n,), cosine between the query and each turn.
        asked: bool (n,), the turns that were asked for.
    """
    scores, parts = ranking.scores, candidates.parts
    first = ranking.order[0]
    shares = np.exp(scores - scores[0])
    odds = -float(np.log(max(shares[1:].sum(), 1e-6)))
    named = parts.named[ranking.order]
    content = scores - ranking.parts["speaker"]
    others = content[~named]
    weights = candidates.surprises**2
    weights = weights / max(float(weights.sum()), 1e-9)
    telling = np.argsort(-weights, kind="stable")[:_TELLING]
    lead = 0.0
    if len(scores) > 1:
        lead = float(weights @ (candidates.beside[first] - candidates.beside[ranking.order[1]]))
    next_best = np.sort(similarities[asked])[::-1][1 : 1 + _NEXT]
    known = np.sort(parts.associative)[::-1][:_KNOWN]
    return {
        "odds": odds,
        "named odds": odds * bool(named.any()),
        "speaker": float(content[0] - others.max()) if named[0] and len(others) else 0.0,
        "late": float(ranking.parts["late"][0]),
        "weakest": float(candidates.alone[first, telling].min()) if len(telling) else 0.0,
        "lead": lead,
        "timely": float(parts.timely[first]),
        "similarity": float(similarities[ranking.rows[0]] - next_best.mean()) if len(next_best) else 0.0,
        "familiarity": float(np.log(max(known.mean(), 1e-6))),
        "rarest": float(candidates.surprises.max(initial=0.0)),
        "length": float(np.log(max(len(weights), 1))),
        "cosine": float(similarities[ranking.rows[0]]),
        "other speaker": float(named.any() and not named[0]),
        "dated": float(parts.dated[first]),
        "associative": float(ranking.parts["associative"][0]),
    }
