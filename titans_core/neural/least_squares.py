"""Recursive least squares: one pass learns the exact minimum of the associative loss.

Shapes: d = length of a key, v = length of a value, n = keys of one write (the tokens of a passage).

The weights W minimise the associative loss over everything written, Σ_t κ^(age of t) θ_t ‖W k_t − v_t‖² + λ‖W‖²
(Titans, arXiv 2501.00663, Eq. 12, whose gradient step, Eq. 8, is taken here in the metric of the inverse Hessian;
retention as in Eq. 13 with κ = 1 − α, once for each write). The minimum factorises: Wᵀ = P·Y, with
P = (λI + Σ θ k kᵀ)⁻¹ and Y = Σ θ k vᵀ. A write is a small update of both.

With one-hot addresses as values (`values=0`), the column of Y for an address is the sum of the address's keys. This
column never changes after the write. So the log stores it, and learning changes only P.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch

from titans_core.neural.surprise import Surprise, SurpriseMetric

if TYPE_CHECKING:
    from torch import Tensor

    from titans_core.neural.gates import Gates
    from titans_core.neural.optimizer import LeastSquares
    from titans_core.neural.spec import MemorySpec
    from titans_core.neural.state import MemoryState

BLOCK = 256
"""Number of keys in one update of P. A larger block costs the square of its keys; smaller ones cost d² more often."""


def leverage(spec: MemorySpec, state: MemoryState, keys: Tensor) -> Tensor:
    """Return how much of each key the memory has not learned: λ kᵀP k / kᵀk.

    Under the ridge prior this is the share of the key's variance that is still unexplained. P k is the direction in
    which a write moves the weights, so a key without surprise changes nothing.

    Args:
        spec: The memory's choices.
        state: The memory so far.
        keys: The keys, (n, d).

    Returns:
        The shares, float64 (n,), in (0, 1]: 1 in a direction never seen, near 0 in one seen often. A share does not
        depend on the length of its key, so shares compare between tenants and readers.
    """
    return _leverage(spec, keys.double() @ state.inverse, keys.double())


def write_least_squares_sequentially(
    spec: MemorySpec, state: MemoryState, keys: Tensor, values: Tensor, gates: Gates
) -> tuple[MemoryState, Surprise]:
    """Write keys one after the other: the definition.

    P ← P − θ (P k)(P k)ᵀ / (1 + θ kᵀP k) and Y ← Y + θ k vᵀ for each key (the Sherman–Morrison identity), after
    retention has been applied once. A write below the spec's gate changes neither P nor Y.

    Args:
        spec: The memory's choices.
        state: The memory so far.
        keys: The keys, (n, d).
        values: The values, (n, v).
        gates: Gates of the n tokens.

    Returns:
        The new state, and the surprise of each key, measured before the first key is written (as the chunk of
        Titans, Eq. 16, takes all gradients at its start).
    """
    keys, values = keys.double(), values.double()
    state, momentary, is_open, _ = _begin_write(spec, state, keys, gates)
    if is_open:
        inverse, cross = state.inverse, state.weights[0]
        for key, value, step in zip(keys, values, gates.step, strict=True):
            direction = inverse @ key
            inverse = inverse - step * torch.outer(direction, direction) / (1 + step * (key @ direction))
            cross = cross + step * torch.outer(key, value)
        state = replace(state, inverse=inverse, weights=(cross,))
    return state, Surprise(momentary, torch.zeros_like(momentary))


def write_least_squares(
    spec: MemorySpec, state: MemoryState, keys: Tensor, values: Tensor, gates: Gates
) -> tuple[MemoryState, Surprise]:
    """Write keys at once: equal to the definition up to rounding, and P stays symmetric to the bit.

    P ← P − CᵀC with C = L⁻¹KP and LLᵀ = I + KPKᵀ (the Woodbury identity); K is the keys times √θ.
    Arguments and result are those of `write_least_squares_sequentially`.
    """
    keys, values = keys.double(), values.double()
    state, momentary, is_open, projected = _begin_write(spec, state, keys, gates)
    if is_open:
        root = gates.step.sqrt()[:, None]
        weighted, targets = root * keys, root * values
        inverse, cross = state.inverse, state.weights[0]
        for start in range(0, len(keys), BLOCK):
            block = weighted[start : start + BLOCK]
            # The surprise needed K P already, so the first block reuses it. Each block changes P for the next ones.
            projected = (root * projected)[: len(block)] if start == 0 else block @ inverse
            gram = torch.addmm(torch.eye(len(block), dtype=torch.float64), projected, block.T)
            lower = torch.linalg.cholesky(gram)
            correction = torch.linalg.solve_triangular(lower, projected, upper=False)
            inverse = torch.addmm(inverse, correction.T, correction, alpha=-1)
            if spec.values:
                cross = torch.addmm(cross, block.T, targets[start : start + BLOCK])
        state = replace(state, inverse=inverse, weights=(cross,))
    return state, Surprise(momentary, torch.zeros_like(momentary))


def _begin_write(
    spec: MemorySpec, state: MemoryState, keys: Tensor, gates: Gates
) -> tuple[MemoryState, Tensor, bool, Tensor]:
    """Do the first part of every write: apply retention, measure surprise, and update what is usual.

    Returns:
        The new state, the surprise of each key, whether the gate is open, and K P.
    """
    state = _apply_retention(spec, state, gates)
    projected = keys @ state.inverse
    momentary = _leverage(spec, projected, keys)
    metric = SurpriseMetric.of(state.usual)
    updated = replace(state, usual=metric.after(momentary).tensor, updates=state.updates + (len(keys) > 0))
    return updated, momentary, metric.opens(spec.gate, momentary), projected


def _leverage(spec: MemorySpec, projected: Tensor, keys: Tensor) -> Tensor:
    # A key of zeros has no direction that could be new; the clamp gives it a surprise of 0.
    lengths = (keys * keys).sum(-1).clamp(min=torch.finfo(keys.dtype).tiny)
    shares: Tensor = cast("LeastSquares", spec.optimizer).ridge * (projected * keys).sum(-1) / lengths
    return shares


def _apply_retention(spec: MemorySpec, state: MemoryState, gates: Gates) -> MemoryState:
    """Decay what was learned by κ = 1 − α, but not the prior: A ← κA + (1 − κ)λI for A = P⁻¹, and Y ← κY.

    Without this restored prior, P would grow without limit in directions that are not written for long (windup).
    """
    keep = 1 - float(gates.forget[0]) if len(gates.forget) else 1.0
    if keep == 1:
        return state
    prior = cast("LeastSquares", spec.optimizer).ridge * torch.eye(spec.dim, dtype=torch.float64)
    decayed = _invert(keep * _invert(state.inverse) + (1 - keep) * prior)
    cross = keep * state.weights[0]
    return replace(state, inverse=(decayed + decayed.T) / 2, weights=(cross,))


def _invert(matrix: Tensor) -> Tensor:
    """Return the inverse of a symmetric positive definite matrix."""
    inverse: Tensor = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
    return inverse
