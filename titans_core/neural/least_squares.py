"""Recursive least squares: learns by the error that is left, exactly, in one pass.

Shapes: d = length of a key, n = keys of one write (the tokens of a passage).

The weights W minimise the associative loss over everything written,
Σ_t keep^(age of t) ‖W k_t − v_t‖² + λ‖W‖², where k_t is a token's state and v_t the address of its passage
(Titans, arXiv 2501.00663, Eq. 12, whose gradient step, Eq. 8, is taken here in the metric of the inverse Hessian;
retention as in Eq. 13). With one-hot addresses the minimum factorises into W = P·Yᵀ, see `MemoryState`.
`write_sequentially` is the definition, `write` the same in one matrix update; a test holds them together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from titans_core.neural.state import MemoryState

if TYPE_CHECKING:
    from torch import Tensor

    from titans_core.neural.spec import MemorySpec


def surprise(spec: MemorySpec, state: MemoryState, keys: Tensor) -> Tensor:
    """How much of each key the memory cannot predict: λ kᵀP k / kᵀk.

    Under the ridge prior this is the share of the key's variance that is still unexplained, and P k is the
    direction in which a write moves the weights: no surprise, no learning.

    Args:
        spec: the memory's constants.
        state: what it has learned.
        keys: float64 (n, d); not zero.

    Returns:
        float64 (n,), in (0, 1]: 1 in a direction never seen, towards 0 in one seen often. It does not depend on
        the length of a key, so that it compares between tenants and readers.
    """
    return _surprise(spec, keys @ state.inverse, keys)


def write_sequentially(spec: MemorySpec, state: MemoryState, keys: Tensor) -> tuple[MemoryState, Tensor]:
    """Write keys one after the other: the definition.

    P ← P − (P k)(P k)ᵀ / (1 + kᵀP k) for each key (the Sherman–Morrison identity), after retention has acted once.

    Args:
        spec: the memory's constants.
        state: the memory so far.
        keys: float64 (n, d).

    Returns:
        The new state, and the surprise of each key, float64 (n,): measured before the first of them is written
        (as the chunk of Titans, Eq. 16, takes all gradients at its start).
    """
    inverse = _retain(spec, state.inverse)
    before = _surprise(spec, keys @ inverse, keys)
    for key in keys:
        direction = inverse @ key
        inverse = inverse - torch.outer(direction, direction) / (1 + key @ direction)
    return MemoryState(inverse, state.key_sum + keys.sum(0), state.tokens + len(keys)), before


def write(spec: MemorySpec, state: MemoryState, keys: Tensor) -> tuple[MemoryState, Tensor]:
    """Write keys at once: equals `write_sequentially` up to rounding, and keeps P symmetric to the bit.

    P ← P − CᵀC with C = L⁻¹KP and LLᵀ = I + KPKᵀ (the Woodbury identity).

    Args:
        spec: the memory's constants.
        state: the memory so far.
        keys: float64 (n, d); n may be 0.

    Returns:
        As `write_sequentially`.
    """
    inverse = _retain(spec, state.inverse)
    projected = keys @ inverse
    lower = torch.linalg.cholesky(torch.eye(len(keys), dtype=keys.dtype) + projected @ keys.T)
    correction = torch.linalg.solve_triangular(lower, projected, upper=False)
    written = torch.addmm(inverse, correction.T, correction, alpha=-1)
    state = MemoryState(written, state.key_sum + keys.sum(0), state.tokens + len(keys))
    return state, _surprise(spec, projected, keys)


def _surprise(spec: MemorySpec, projected: Tensor, keys: Tensor) -> Tensor:
    shares: Tensor = spec.ridge * (projected * keys).sum(-1) / (keys * keys).sum(-1)
    return shares


def _retain(spec: MemorySpec, inverse: Tensor) -> Tensor:
    """Fade what was learned by `keep`, but not the prior: A ← keep·A + (1 − keep)·λI for A = P⁻¹.

    Without restoring the prior, directions that are not written for long would blow up (windup).
    """
    if spec.keep == 1:
        return inverse
    prior = spec.ridge * torch.eye(spec.dim, dtype=inverse.dtype)
    faded = torch.linalg.inv(spec.keep * torch.linalg.inv(inverse) + (1 - spec.keep) * prior)
    symmetric: Tensor = (faded + faded.T) / 2
    return symmetric
