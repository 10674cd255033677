"""The delta rule of a linear memory, exact and in parallel: DeltaNet and Gated DeltaNet.

Each gradient is taken at its own token's weights. Then each error e_t of a block depends only on the errors before it,
so one triangular solve gives all errors (the UT transform, arXiv 2406.06484, Eq. 10–11; with decay, Gated DeltaNet).
Shapes: b = tokens of a block, d = length of a key, v = length of a value; W (v, d).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from titans_core.neural.architecture import Linear
from titans_core.neural.bias import L2
from titans_core.neural.optimizer import GradientDescent
from titans_core.neural.retention import Decay, Keep
from titans_core.neural.surprise import Surprise, residual_share

if TYPE_CHECKING:
    from torch import Tensor

    from titans_core.neural.gates import Gates
    from titans_core.neural.spec import MemorySpec
    from titans_core.neural.state import MemoryState

BLOCK = 64
"""Number of tokens that one triangular solve covers."""


def is_delta_rule(spec: MemorySpec) -> bool:
    """Whether a spec is a linear memory that learns by plain gradient descent, each token at its own weights."""
    return (
        isinstance(spec.architecture, Linear)
        and isinstance(spec.bias, L2)
        and isinstance(spec.retention, Keep | Decay)
        and isinstance(spec.optimizer, GradientDescent)
        and spec.window == spec.chunk == spec.steps == 1
    )


def write_delta(
    spec: MemorySpec, state: MemoryState, keys: Tensor, values: Tensor, gates: Gates
) -> tuple[MemoryState, Surprise]:
    """Write n tokens, in blocks.

    W_t = (1 − α_t) W_{t−1} + β_t e_t k_tᵀ with β = 2θ and e_t = v_t − g_t W_{t−1} k_t, where g_t is 1, or 1 − α_t if
    the gradient is taken at the decayed weights. The unrolled W_{t−1} makes (I + L) E = V − D K W_0ᵀ, with
    L_ti = g_t Γ_{i→t−1} β_i k_iᵀk_t for i < t and Γ_{i→t} = Π_{i<j≤t} (1 − α_j).

    Args:
        spec: The memory's choices; `is_delta_rule` must be true for them.
        state: The memory before the write.
        keys: The keys, (n, d).
        values: The values, (n, v).
        gates: Gates of the n tokens.

    Returns:
        The memory after the write, and each token's surprise, measured at the weights before the token.
    """
    weights = state.weights[0]
    decayed = isinstance(spec.retention, Decay) and spec.retention.gradient == "decayed"
    parts = []
    for start in range(0, len(keys), BLOCK):
        stop = min(start + BLOCK, len(keys))
        block, targets, gate = keys[start:stop], values[start:stop], gates.at(start, stop)
        kept = (1 - gate.forget).to(keys.dtype)
        gradient_decay = kept if decayed else torch.ones_like(kept)  # g_t
        decay = _decay_products(kept)  # [t, i] = Γ_{i→t}, with i = 0 for the state before the block
        before = gradient_decay * torch.cat([torch.ones_like(kept[:1]), decay[:-1, 0]])  # g_t Γ_{0→t−1}
        beta = (2 * gate.step).to(keys.dtype)
        # Γ_{i→t−1} for tokens i of the block, 0 on and above the diagonal.
        earlier = torch.zeros_like(decay[:, 1:])
        earlier[1:] = decay[:-1, 1:]
        coupling = gradient_decay[:, None] * earlier * (block @ block.T) * beta  # L
        eye = torch.eye(len(block), dtype=keys.dtype)
        errors = torch.linalg.solve_triangular(
            eye + coupling, targets - before[:, None] * (block @ weights.T), upper=False, unitriangular=True
        )
        parts.append(residual_share(spec, targets - errors, block, targets))
        weights = decay[-1, 0] * weights + ((decay[-1, 1:] * beta)[:, None] * errors).T @ block
    surprise = Surprise.joined([Surprise(part, torch.zeros_like(part)) for part in parts])
    state = replace(state, weights=(weights,), updates=state.updates + len(keys))
    return state, surprise


def _decay_products(kept: Tensor) -> Tensor:
    """Return Γ, (b, b + 1): row t, column i is the product of kept[i..t], and 0 for i > t + 1, which is the future.

    Column 0 decays the weights from before the block. Column i + 1 decays token i by the tokens after it.
    """
    size = len(kept)
    rows = []
    row = torch.zeros(size + 1, dtype=kept.dtype)
    row[0] = 1
    for token in range(size):
        row = row * kept[token]
        row[token + 1] = 1
        rows.append(row)
    return torch.stack(rows)
