"""Finds passages by association: the neural memory's answers to the query's tokens.

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
"""The exponent of the penalty for many passages: a passage's score is divided by their number to this power."""

EXACT = 512
"""The number of best passages whose norm is computed exactly; the others cannot be recalled anyway."""


def token_weights(spec: MemorySpec, state: MemoryState, keys: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weight of each token of the query: its surprise, because a rare token says more than a common one.

    This replaces inverse document frequencies, so that no counts are kept. (Late interaction alone, R@10:
    .730 with surprise, .737 with frequencies, .718 with neither on LoCoMo; .612, .582, .621 on user–assistant chat.)

    Args:
        spec: The neural memory's choices.
        state: The neural memory's weights.
        keys: float32 (q, d), the keys of the query.

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
    """The answer of the query's tokens to each passage: ⟨Σ_q w_q² P q, y⟩ / ‖y‖_P^½, over (passages of its turn)^.4.

    One product gives the answers of all tokens, because W q = Yᵀ P q is linear in q. The two divisors prevent that long
    turns win: a longer column answers more to every query, and a turn of many passages has more chances (R@10 / MRR on
    user–assistant chat .43 / .37 without the second divisor, .55 / .56 with it; a turn of a person-to-person chat is
    one passage). Squared weights and the root of the norm lie on a plateau: from 1 to 3 and from .5 to .7 both figures
    move by .01. With an exponent of .4 instead of .5 for the passages they rise by .001 to .010 in both kinds of chat.

    Args:
        state: The neural memory's weights.
        columns: float32 (m, d), Y, one row for each passage.
        keys: float32 (q, d), the keys of the query.
        weights: float32 (q,), see `token_weights`.
        lengths: float32 (m,), ‖y‖ of each column.
        retention_factors: float32 (m,), the share of each column that retention has left, in (0, 1].
        passages: int32 (m,), the number of passages of the passage's turn.

    Returns:
        float32 (m,), higher is better; about 0 for passages that are unrelated to the query.
    """
    if not len(columns):
        return np.zeros(0, np.float32)
    inverse, stored = state.inverse.float(), torch.from_numpy(columns)
    # The small product comes first. Then a read is a search in columns that never change, which any index for inner
    # products can do.
    query = (torch.from_numpy(weights).square() @ torch.from_numpy(keys)) @ inverse
    answers = stored @ query
    share = torch.from_numpy((np.sqrt(retention_factors) / passages**CHANCES).astype(np.float32))
    length = torch.from_numpy(lengths).clamp(min=1e-6)
    # ‖y‖_P costs d products for each number of the answer, and is about proportional to ‖y‖. It is computed exactly for
    # the best passages by ‖y‖; the others get ‖y‖ times the median ratio of the best.
    best = (answers * share / length.sqrt()).topk(min(EXACT, len(columns))).indices
    near = stored[best]
    measured = ((near @ inverse) * near).sum(-1).clamp(min=1e-12).sqrt()
    length = length * (measured / length[best]).median()
    length[best] = measured
    scores: NDArray[np.float32] = (answers * share / length.sqrt()).numpy()
    return scores
