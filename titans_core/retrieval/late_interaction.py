"""Ranks what was found: late interaction over token keys, each passage read in its context.

Shapes: q = tokens of the query, c = passages, d = length of a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from titans_core.storage import unpack_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CONTEXT = 0.9
"""What a match counts in the passage before or after, against 1 in the passage itself."""


@np.errstate(invalid="ignore")  # see `maxsim_scores`
def token_matches(
    query: NDArray[np.float32], mean: NDArray[np.float32], packed: Sequence[bytes]
) -> NDArray[np.float32]:
    """How well each token of the query is matched by each passage: max(0, max_k cos(q − μ, k − μ)) over its keys k.

    The inner part of MaxSim (ColBERT, arXiv 2004.12832, Eq. 3), after subtracting the tenant's mean key.

    Args:
        query: float32 (q, d), the query's keys.
        mean: float32 (d,), μ.
        packed: the packed keys of c passages.

    Returns:
        float32 (c, q), in [0, 1]; 0 for a passage without keys. Pointing away says no more than having no match.
    """
    counts = np.array([len(keys) * 2 // len(mean) for keys in packed])
    matches = np.zeros((len(packed), len(query)), np.float32)
    if not counts.any():
        return matches
    # The codes are whole numbers in proportion to the keys: one product serves the cosines and the centring,
    # so that no centred copy of the keys is made.
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
    """How much each token of the query tells about these passages.

    That is its squared surprise, times how far its best match stands out from the average one: a token that nothing
    matches, or that everything matches, cannot choose between them (R@10 on person-to-person chat .813 against .804
    with the surprise alone, MRR .631 against .623).

    Args:
        matches: float32 (c, q), see `token_matches`; c >= 1.
        weights: float32 (q,), at least 0; see `token_weights`.

    Returns:
        float32 (q,), at least 0.
    """
    told: NDArray[np.float32] = weights**2 * (matches.max(axis=0) - matches.mean(axis=0))
    return told


def in_context(
    matches: NDArray[np.float32],
    chosen: NDArray[np.int64],
    before: NDArray[np.int64],
    after: NDArray[np.int64],
) -> NDArray[np.float32]:
    """How well each token of the query is matched by each chosen passage, or nearly as well beside it.

    An answer seldom repeats the question's words, and a long turn's passages share their subject: what is missing
    stands next to them. Token by token this says more than adding the neighbours' scores (R@10 on person-to-person
    chat .778 against .761, MRR .586 against .578), which is why no neighbour's score is added anywhere.

    Args:
        matches: float32 (c, q), see `token_matches`.
        chosen: rows of the passages, (n,).
        before: (n,), rows of the passages before them; -1 for none.
        after: (n,), rows of the passages after them, likewise.

    Returns:
        float32 (n, q), in [0, 1]: max(m, .9 m of the passage before, .9 m of the passage after).
    """
    padded = np.concatenate([matches, np.zeros((1, matches.shape[1]), np.float32)])
    found: NDArray[np.float32] = np.maximum(matches[chosen], CONTEXT * np.maximum(padded[before], padded[after]))
    return found


# On CPUs with AVX-512, OpenBLAS once in a great while reports an invalid value in a product of finite numbers whose
# result is right (compare NumPy's issue 24067): no user should be warned of that.
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
