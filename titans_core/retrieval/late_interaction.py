"""Late interaction: compares the query's tokens with the tokens of passages and of their neighbours.

Shapes: q = tokens of the query, c = passages, d = length of a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from titans_core.storage import unpack_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CONTEXT = 0.9
"""The weight of a match in the passage before or after; a match in the passage itself has weight 1."""

ANSWERED = 1.0
"""The weight of a match in a question just before: what a question matches goes to the turn that answers it."""

CONTEXT_TWO = 0.7
"""The weight of a match two passages before: an announcement, whose detail comes two turns later."""


class Neighbours(NamedTuple):
    """The neighbours of n passages in one place.

    Attributes:
        rows: (n,), their rows among the matches; −1 for none.
        weights: float32 (n,), the weight of a match in each, in [0, 1].
    """

    rows: NDArray[np.int64]
    weights: NDArray[np.float32]


@np.errstate(invalid="ignore")  # see `maxsim_scores`
def token_matches(
    query: NDArray[np.float32], mean: NDArray[np.float32], packed: Sequence[bytes]
) -> NDArray[np.float32]:
    """The match of each query token in each passage: max(0, max_k cos(q − μ, k − μ)) over the passage's keys k.

    This is the inner part of MaxSim (ColBERT, arXiv 2004.12832, Eq. 3), after the tenant's mean key is subtracted.

    Args:
        query: float32 (q, d), the keys of the query.
        mean: float32 (d,), μ, the tenant's mean key.
        packed: The packed keys of c passages.

    Returns:
        float32 (c, q), in [0, 1]; 0 for a passage without keys. A negative cosine counts as no match.
    """
    counts = np.array([len(keys) * 2 // len(mean) for keys in packed])
    matches = np.zeros((len(packed), len(query)), np.float32)
    if not counts.any():
        return matches
    # The codes are proportional to the keys. One product gives the cosines and the centring, so that no centred copy of
    # the keys is made.
    codes = torch.from_numpy(unpack_codes(b"".join(packed), len(mean)))
    centred = _unit(query - mean)
    products = codes @ torch.from_numpy(np.concatenate([centred, mean[None]])).T
    products /= torch.linalg.vector_norm(codes, dim=1, keepdim=True)
    distances = (1 - 2 * products[:, -1:] + float(mean @ mean)).clamp_(min=1e-9).sqrt_()
    cosines = ((products[:, :-1] - torch.from_numpy(centred @ mean)) / distances).numpy()
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    found = counts > 0
    matches[found] = np.maximum.reduceat(cosines, starts[found], axis=0).clip(0)
    return matches


def token_salience(matches: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The salience of each query token for these passages.

    It is the token's squared surprise times the distance between its best and its average match: a token that no
    passage matches, or that all passages match, cannot choose between them (R@10 on person-to-person chat .813 against
    .804 with the surprise alone, MRR .631 against .623).

    Args:
        matches: float32 (c, q), see `token_matches`; c is at least 1.
        weights: float32 (q,), at least 0; see `token_weights`.

    Returns:
        float32 (q,), at least 0.
    """
    salience: NDArray[np.float32] = weights**2 * (matches.max(axis=0) - matches.mean(axis=0))
    return salience


def in_context(
    matches: NDArray[np.float32], chosen: NDArray[np.int64], neighbours: Sequence[Neighbours]
) -> NDArray[np.float32]:
    """The match of each query token in each chosen passage, or, with a lower weight, in its neighbours.

    An answer seldom repeats the words of the question, and the passages of a long turn share their subject: the missing
    words stand in the neighbours. Token by token this is better than adding the neighbours' scores (R@10 on
    person-to-person chat .778 against .761, MRR .586 against .578), so no neighbour's score is added anywhere.

    Args:
        matches: float32 (c, q), see `token_matches`.
        chosen: (n,), the rows of the passages.
        neighbours: For each place beside the chosen passages, the neighbours there and their weights.

    Returns:
        float32 (n, q), in [0, 1]: the highest of m and of each neighbour's weight times its m.
    """
    padded = np.concatenate([matches, np.zeros((1, matches.shape[1]), np.float32)])
    found: NDArray[np.float32] = matches[chosen]
    for beside in neighbours:
        found = np.maximum(found, beside.weights[:, None] * padded[beside.rows])
    return found


# On CPUs with AVX-512, OpenBLAS very rarely reports an invalid value in a product of finite numbers although the result
# is right (see NumPy's issue 24067). Users should not see that warning.
@np.errstate(invalid="ignore")
def maxsim_scores(matches: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """MaxSim of passages: Σ_q w_q m_q / Σ_q w_q.

    Args:
        matches: float32 (n, q), see `token_matches` and `in_context`.
        weights: float32 (q,), at least 0.

    Returns:
        float32 (n,), in [0, 1].
    """
    if not weights.sum() > 0:
        return np.zeros(len(matches), np.float32)
    scores: NDArray[np.float32] = matches @ weights / weights.sum()
    return scores


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, 1e-9)
    return unit
