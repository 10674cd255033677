"""The chunk-parallel form: equals `sequential`, with matrix products in the place of its loops.

All gradients of a chunk are taken at the same weights (Titans, Eq. 16), and between its first and its last token M and
S move linearly in them (Eq. 18). So the end of a chunk is Z_b = K Z_0 + e S_0 − Σ_i d_i u_i with numbers K, e, d_i that
depend on the gates alone, and the weighted sum of the gradients u_i is one product for each layer: no copy of the
weights for each token. The coefficients come from a backward recurrence, which cannot underflow as β_t / β_i does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from titans_core.neural.optimizer import AdamW, Muon
from titans_core.neural.retention import KL
from titans_core.neural.sequential import Chunk, Moved, anchored, finished, moving
from titans_core.neural.surprise import Surprise, past_share, residual_share

if TYPE_CHECKING:
    from torch import Tensor

    from titans_core.neural.gates import Gates
    from titans_core.neural.spec import MemorySpec
    from titans_core.neural.state import MemoryState


class Coefficients(NamedTuple):
    """What a chunk of b tokens multiplies.

    Attributes:
        kept: K = Π_t (1 − α_t), of Z_0.
        carried: e, of S_0 in Z_b.
        lingering: Π_t η_t, of S_0 in S_b.
        dual: d_i (b,), of −u_i in Z_b.
        momentum: c_i (b,), of −u_i in S_b.
    """

    kept: float
    carried: float
    lingering: float
    dual: list[float]
    momentum: list[float]


def coefficients(gates: Gates, *, scale_by_kept: bool = False) -> Coefficients:
    """Unroll Titans' Eq. 13–14 over a chunk.

    Args:
        gates: of the b tokens.
        scale_by_kept: multiply each step by 1 − α, as Memora's η' (MIRAS, Eq. 21).
    """
    steps, etas, kept = gates.step.tolist(), gates.momentum.tolist(), (1 - gates.forget).tolist()
    if scale_by_kept:
        steps = [step * keep for step, keep in zip(steps, kept, strict=True)]
    dual, momentum = [0.0] * len(steps), [0.0] * len(steps)
    keeps, reach, lingering = 1.0, 0.0, 1.0  # Π_{j>i} (1 − α_j); what S_i adds to Z_b; Π_{j>i} η_j
    for token in reversed(range(len(steps))):
        reach = keeps + (etas[token + 1] * reach if token + 1 < len(steps) else 0.0)
        dual[token], momentum[token] = steps[token] * reach, steps[token] * lingering
        keeps *= kept[token]
        lingering *= etas[token]
    return Coefficients(keeps, etas[0] * reach, lingering, dual, momentum)


def write_chunk(spec: MemorySpec, state: MemoryState, chunk: Chunk) -> tuple[MemoryState, Surprise]:
    """Write one chunk at once; arguments and result as `write_chunk_sequentially`."""
    keys, values = chunk.own
    anchor = anchored(spec, state.weights, chunk.gates)
    with torch.enable_grad():
        passed = spec.architecture.forward([one.detach() for one in anchor], chunk.keys.detach())
        gradient = spec.bias.gradient(passed.answers.detach(), chunk.values)
        signals = torch.autograd.grad(passed.answers, passed.preactivations, grad_outputs=gradient)
    inputs = [one.detach() for one in passed.inputs]
    momentary = residual_share(spec, passed.answers[chunk.before :], keys, values)

    weigh = coefficients(chunk.gates, scale_by_kept=isinstance(spec.retention, KL))

    def moved_by(per_token: list[float], starts: list[Tensor], keep: float) -> list[Tensor]:
        """A share of the start less Σ_i w_i u_i: for each layer one product of the weighted signals and the inputs."""
        reached = _spread(per_token, chunk.before, spec.window).to(keys.dtype)[:, None]
        return [
            torch.addmm(start, (reached * signal).T, one, beta=keep, alpha=-1)
            for start, signal, one in zip(starts, signals, inputs, strict=True)
        ]

    momentum, dual = moving(spec, state)
    mean: list[Tensor] = []
    if isinstance(spec.optimizer, AdamW):
        steps = chunk.gates.step
        mean = moved_by((-steps / steps.sum().clamp(min=torch.finfo(steps.dtype).tiny)).tolist(), momentum, 0.0)
    elif isinstance(spec.optimizer, Muon):
        dual = [weigh.kept * one for one in dual]
    else:
        carried = moved_by(weigh.dual, momentum, weigh.carried)
        dual = [one.add_(before, alpha=weigh.kept) for one, before in zip(carried, dual, strict=True)]
    if state.momentum and not isinstance(spec.optimizer, AdamW):
        momentum = moved_by(weigh.momentum, momentum, weigh.lingering)
    state = finished(spec, state, chunk, Moved(dual, momentum, mean))
    return state, Surprise(momentary, past_share(spec, state.momentum, keys, values))


def _spread(per_token: list[float], before: int, window: int) -> Tensor:
    """Weights of the r + b pairs: each of the b tokens passes its own on to the window − 1 pairs before it."""
    own = torch.tensor([0.0] * before + per_token, dtype=torch.float64)
    padded = torch.cat([own, torch.zeros(window - 1, dtype=torch.float64)])
    return padded.unfold(0, window, 1).sum(-1)
