"""The chunk-parallel form of a write: equal to `sequential`, but with matrix products instead of loops.

All gradients of a chunk are taken at the same weights (Titans, Eq. 16). Within the chunk, M and S are linear functions
of these gradients (Eq. 18). So the end of a chunk is Z_b = K Z_0 + e S_0 − Σ_i d_i u_i, where the numbers K, e and d_i
depend on the gates alone. The weighted sum of the gradients u_i is one product for each layer, so no token needs its
own copy of the weights. A backward recurrence gives K, e and d_i. Unlike the quotients β_t / β_i, it cannot underflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from titans_core.neural.optimizer import AdamW, Muon
from titans_core.neural.retention import KL
from titans_core.neural.sequential import Chunk, ChunkUpdate, finish_chunk, momentum_and_dual, weights_for_gradients
from titans_core.neural.surprise import Surprise, past_share, residual_share

if TYPE_CHECKING:
    from torch import Tensor

    from titans_core.neural.gates import Gates
    from titans_core.neural.spec import MemorySpec
    from titans_core.neural.state import MemoryState


class Coefficients(NamedTuple):
    """Factors that give Z_b and S_b, the end of a chunk of b tokens, from Z_0, S_0 and the gradients u_i.

    Attributes:
        dual_to_dual: K = Π_t (1 − α_t), the factor of Z_0 in Z_b.
        momentum_to_dual: e, the factor of S_0 in Z_b.
        momentum_to_momentum: Π_t η_t, the factor of S_0 in S_b.
        gradient_to_dual: d_i, the factors of −u_i in Z_b; b numbers.
        gradient_to_momentum: c_i, the factors of −u_i in S_b; b numbers.
    """

    dual_to_dual: float
    momentum_to_dual: float
    momentum_to_momentum: float
    gradient_to_dual: list[float]
    gradient_to_momentum: list[float]


def coefficients(gates: Gates, *, scale_by_kept: bool = False) -> Coefficients:
    """Unroll Titans' Eq. 13–14 over a chunk.

    Args:
        gates: Gates of the b tokens.
        scale_by_kept: Whether each step is multiplied by 1 − α, as in Memora's η' (MIRAS, Eq. 21).

    Returns:
        The factors of Z_0, S_0 and the gradients.
    """
    steps, etas, kept = gates.step.tolist(), gates.momentum.tolist(), (1 - gates.forget).tolist()
    if scale_by_kept:
        steps = [step * keep for step, keep in zip(steps, kept, strict=True)]
    to_dual, to_momentum = [0.0] * len(steps), [0.0] * len(steps)
    # Π_{j>i} (1 − α_j); the share of S_i in Z_b; Π_{j>i} η_j
    kept_after, past_to_dual, eta_after = 1.0, 0.0, 1.0
    for token in reversed(range(len(steps))):
        past_to_dual = kept_after + (etas[token + 1] * past_to_dual if token + 1 < len(steps) else 0.0)
        to_dual[token], to_momentum[token] = steps[token] * past_to_dual, steps[token] * eta_after
        kept_after *= kept[token]
        eta_after *= etas[token]
    return Coefficients(kept_after, etas[0] * past_to_dual, eta_after, to_dual, to_momentum)


def write_chunk(spec: MemorySpec, state: MemoryState, chunk: Chunk) -> tuple[MemoryState, Surprise]:
    """Write one chunk at once. Arguments and result are those of `write_chunk_sequentially`."""
    keys, values = chunk.own
    weights = weights_for_gradients(spec, state.weights, chunk.gates)
    with torch.enable_grad():
        forward = spec.architecture.forward([layer.detach() for layer in weights], chunk.keys.detach())
        gradient = spec.bias.gradient(forward.answers.detach(), chunk.values)
        signals = torch.autograd.grad(forward.answers, forward.preactivations, grad_outputs=gradient)
    inputs = [layer.detach() for layer in forward.inputs]
    momentary = residual_share(spec, forward.answers[chunk.before :], keys, values)

    factors = coefficients(chunk.gates, scale_by_kept=isinstance(spec.retention, KL))

    def combine(per_token: list[float], starts: list[Tensor], start_factor: float) -> list[Tensor]:
        """Return start_factor · start − Σ_i w_i u_i for each layer, the sum as one matrix product."""
        per_pair = _sum_over_windows(per_token, chunk.before, spec.window).to(keys.dtype)[:, None]
        return [
            torch.addmm(start, (per_pair * signal).T, layer_input, beta=start_factor, alpha=-1)
            for start, signal, layer_input in zip(starts, signals, inputs, strict=True)
        ]

    momentum, dual = momentum_and_dual(spec, state)
    mean: list[Tensor] = []
    if isinstance(spec.optimizer, AdamW):
        steps = chunk.gates.step
        mean = combine((-steps / steps.sum().clamp(min=torch.finfo(steps.dtype).tiny)).tolist(), momentum, 0.0)
    elif isinstance(spec.optimizer, Muon):
        dual = [factors.dual_to_dual * layer for layer in dual]
    else:
        changes = combine(factors.gradient_to_dual, momentum, factors.momentum_to_dual)
        dual = [change.add_(before, alpha=factors.dual_to_dual) for change, before in zip(changes, dual, strict=True)]
    if state.momentum and not isinstance(spec.optimizer, AdamW):
        momentum = combine(factors.gradient_to_momentum, momentum, factors.momentum_to_momentum)
    state = finish_chunk(spec, state, chunk, ChunkUpdate(dual, momentum, mean))
    return state, Surprise(momentary, past_share(spec, state.momentum, keys, values))


def _sum_over_windows(per_token: list[float], before: int, window: int) -> Tensor:
    """Return the weight of each of the r + b pairs: the sum over the tokens whose window contains the pair.

    A token's window holds the token itself and the window − 1 pairs before it.
    """
    own = torch.tensor([0.0] * before + per_token, dtype=torch.float64)
    padded = torch.cat([own, torch.zeros(window - 1, dtype=torch.float64)])
    return padded.unfold(0, window, 1).sum(-1)
