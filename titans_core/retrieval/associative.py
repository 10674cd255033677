"""Finds by association: what the neural memory answers to the query's tokens.

Shapes: q = tokens of the query, m = passages, d = length of a key. P is the memory's inverse, Y its columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from titans_core.neural import surprise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from titans_core.neural import MemorySpec, MemoryState

CHANCES = 0.4
"""How far a turn's many passages count against it: their number to this power divides what each of them answers."""

EXACT = 512
"""Passages whose length is measured in the memory's own metric; the others are out of reach for a recall."""


def token_weights(spec: MemorySpec, state: MemoryState, keys: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each token of the query counts: its surprise, for the rare says more than the common.

    This takes the place of inverse document frequencies: no counts are kept. (Late interaction alone, R@10:
    .730 with surprise, .737 with frequencies, .718 with neither on LoCoMo; .612, .582, .621 on user–assistant chat.)

    Args:
        spec: the memory's choices.
        state: what it has learned.
        keys: float32 (q, d).

    Returns:
        float32 (q,), in (0, 1].
    """
    weights: NDArray[np.float32] = surprise(spec, state, torch.from_numpy(keys).double()).float().numpy()
    return weights


def associative_scores(
    state: MemoryState,
    columns: NDArray[np.float32],
    keys: NDArray[np.float32],
    weights: NDArray[np.float32],
    *,
    lengths: NDArray[np.float32],
    retention_factors: NDArray[np.float32],
    passages: NDArray[np.int32],
) -> NDArray[np.float32]:
    """What the query's tokens bring back of each passage: ⟨Σ_q w_q² P q, y⟩ / ‖y‖_P^½, over (passages of its turn)^.4.

    One product finds all tokens' answers, since the answers W q = Yᵀ P q are linear in them. The two divisors keep
    long turns in their place: a longer column answers more to everything, and a turn of many passages has more
    chances (R@10 / MRR on user–assistant chat .43 / .37 without the second, .55 / .56 with it; a turn of a
    person-to-person chat is one passage). Squared weights and the root of the norm are on a plateau: from 1 to 3 and
    from .5 to .7 both figures move by .01. With an exponent of .4 in place of .5 for the passages they rise by .001 to
    .010 in both kinds of chat.

    Args:
        state: what the memory has learned.
        columns: float32 (m, d), Y; one row for each passage.
        keys: float32 (q, d), the query's.
        weights: float32 (q,), see `token_weights`.
        lengths: float32 (m,), ‖y‖ of each column.
        retention_factors: float32 (m,), in (0, 1]; what retention has left of each column.
        passages: int32 (m,); how many passages the passage's turn has.

    Returns:
        float32 (m,), higher is better; around 0 for passages that have nothing to do with the query.
    """
    if not len(columns):
        return np.zeros(0, np.float32)
    inverse, stored = state.inverse.float(), torch.from_numpy(columns)
    # The small product first: then a read is a search in columns that never change, and any index for inner
    # products could serve it.
    wanted = (torch.from_numpy(weights).square() @ torch.from_numpy(keys)) @ inverse
    answers = stored @ wanted
    share = torch.from_numpy((np.sqrt(retention_factors) / passages**CHANCES).astype(np.float32))
    length = torch.from_numpy(lengths).clamp(min=1e-6)
    # ‖y‖_P costs d products for each number of the answer. It is ‖y‖ times about the same for all: the best by ‖y‖
    # are measured exactly, the others get what these have at the median.
    best = (answers * share / length.sqrt()).topk(min(EXACT, len(columns))).indices
    near = stored[best]
    measured = ((near @ inverse) * near).sum(-1).clamp(min=1e-12).sqrt()
    length = length * (measured / length[best]).median()
    length[best] = measured
    scores: NDArray[np.float32] = (answers * share / length.sqrt()).numpy()
    return scores
