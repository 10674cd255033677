"""Ranks what was found: late interaction over token keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from titans_core.episodes import unpack_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def late_scores(
    query: NDArray[np.float32],
    weights: NDArray[np.float32],
    mean: NDArray[np.float32],
    packed: Sequence[bytes],
) -> NDArray[np.float32]:
    """MaxSim (ColBERT, arXiv 2004.12832, Eq. 3) of each passage, weighted and centred.

    Each token of the query looks for the passage's key that is most like it, by cosine after subtracting the
    tenant's mean key: Σ_q w_q max_k cos(q − μ, k − μ) / Σ_q w_q.

    Args:
        query: float32 (q, d), the query's keys.
        weights: float32 (q,), at least 0.
        mean: float32 (d,), μ.
        packed: the packed keys of c passages.

    Returns:
        float32 (c,), in [-1, 1]; -1 for a passage without keys.
    """
    counts = np.array([len(keys) * 2 // len(mean) for keys in packed])
    scores = np.full(len(packed), -1, np.float32)
    if not counts.any() or not weights.sum() > 0:
        return scores
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
    best = np.maximum.reduceat(cosines, starts[found], axis=0)
    scores[found] = best @ weights / weights.sum()
    return scores


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, 1e-9)
    return unit
