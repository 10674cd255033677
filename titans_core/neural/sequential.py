"""The definition: one token after the other, as the papers write it. `chunked` and `delta` are this, faster.

Shapes: n = tokens of a write, b = tokens of a chunk, d = length of a key, v = length of a value.
M are the weights, S the momentum, Z the dual of the weights (Z = M under decay), ℓ the attentional bias.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from titans_core.neural.optimizer import AdamW, GradientDescent, Momentum, Muon, orthogonalised
from titans_core.neural.retention import KL, Decay
from titans_core.neural.surprise import Surprise, past_share, residual_share

if TYPE_CHECKING:
    from torch import Tensor

    from titans_core.neural.gates import Gates
    from titans_core.neural.spec import MemorySpec
    from titans_core.neural.state import MemoryState


@dataclass(frozen=True, slots=True)
class Chunk:
    """The tokens that share their gradient's weights, and those before them that the window still reaches.

    Attributes:
        keys: (r + b, d); the first r are of earlier chunks.
        values: (r + b, v).
        before: r.
        gates: of the b tokens.
    """

    keys: Tensor
    values: Tensor
    before: int
    gates: Gates

    @property
    def own(self) -> tuple[Tensor, Tensor]:
        """Keys and values of the b tokens."""
        return self.keys[self.before :], self.values[self.before :]

    @classmethod
    def cut(cls, state: MemoryState, keys: Tensor, values: Tensor, gates: Gates) -> Chunk:
        """The chunk of these tokens in front of this state."""
        return cls(
            torch.cat([state.recent_keys, keys]),
            torch.cat([state.recent_values, values]),
            len(state.recent_keys),
            gates,
        )


def write_chunk_sequentially(spec: MemorySpec, state: MemoryState, chunk: Chunk) -> tuple[MemoryState, Surprise]:
    """Write one chunk, token by token.

    Args:
        spec: the memory's choices.
        state: the memory before it.
        chunk: at least one token.

    Returns:
        The memory after it, and the tokens' surprise, measured at the weights before the chunk.
    """
    keys, values = chunk.own
    anchor = anchored(spec, state.weights, chunk.gates)
    momentary = residual_share(spec, spec.architecture.forward(anchor, keys).answers, keys, values)
    momentum, dual = moving(spec, state)
    total = [torch.zeros_like(one) for one in anchor]
    for token in range(len(keys)):
        step, eta, forget = (
            float(gate[token]) for gate in (chunk.gates.step, chunk.gates.momentum, chunk.gates.forget)
        )
        if isinstance(spec.retention, KL):
            step *= 1 - forget  # η' of MIRAS, Eq. 21
        gradients = _window_gradient(spec, anchor, chunk, chunk.before + token)
        total = [one + step * gradient for one, gradient in zip(total, gradients, strict=True)]
        # Titans, Eq. 14: S_t = η_t S_{t−1} − θ_t ∇ℓ, with η = 0 Eq. 8. Within a chunk ∇ℓ is taken at M_{t'} (Eq. 18).
        momentum = [eta * one - step * gradient for one, gradient in zip(momentum, gradients, strict=True)]
        if not isinstance(spec.optimizer, Muon):
            # Titans, Eq. 13: M_t = (1 − α_t) M_{t−1} + S_t. In the dual it is MIRAS, Eq. 21 (Z = log W), Eq. 23
            # (before the threshold) and Eq. 24 (Z = A).
            dual = [(1 - forget) * one + past for one, past in zip(dual, momentum, strict=True)]
        else:
            dual = [(1 - forget) * one for one in dual]
    steps = float(chunk.gates.step.sum())
    mean = [one / steps if steps else one for one in total]
    state = finished(spec, state, chunk, Moved(dual, momentum, mean))
    return state, Surprise(momentary, past_share(spec, state.momentum, keys, values))


@dataclass(frozen=True, slots=True)
class Moved:
    """Where a chunk has taken the memory, before its last token's non-linear steps.

    Attributes:
        dual: Z.
        momentum: S.
        mean: the tokens' mean gradient, each counting by its step, for `AdamW`.
    """

    dual: list[Tensor]
    momentum: list[Tensor]
    mean: list[Tensor]


def anchored(spec: MemorySpec, weights: tuple[Tensor, ...], gates: Gates) -> tuple[Tensor, ...]:
    """The weights at which a chunk's gradients are taken: M_{t'} (Titans, Eq. 16), or decayed (Gated DeltaNet)."""
    if isinstance(spec.retention, Decay) and spec.retention.gradient == "decayed":
        return tuple((1 - float(gates.forget[0])) * one for one in weights)
    return weights


def moving(spec: MemorySpec, state: MemoryState) -> tuple[list[Tensor], list[Tensor]]:
    """S and Z before a chunk. Without momentum S begins at zero."""
    has_momentum = isinstance(spec.optimizer, Momentum | Muon)
    momentum = list(state.momentum) if has_momentum else [torch.zeros_like(one) for one in state.weights]
    dual = list(state.dual) or [spec.retention.dual(one) for one in state.weights]
    return momentum, dual


def finished(spec: MemorySpec, state: MemoryState, chunk: Chunk, moved: Moved) -> MemoryState:
    """Take the steps that happen once a chunk, at its lag token (MIRAS §5.3): the optimizer's and retention's map."""
    optimizer, dual, squares, momentum = spec.optimizer, moved.dual, state.squares, tuple(moved.momentum)
    updates = state.updates + 1
    if isinstance(optimizer, GradientDescent):
        momentum = ()
    elif isinstance(optimizer, Muon):
        # ATLAS §3: M_t = (1 − α_t) M_{t−1} + θ_t NewtonSchulz(S_t).
        step = float(chunk.gates.step[-1])
        dual = [
            one + step * orthogonalised(past, optimizer.iterations) for one, past in zip(dual, momentum, strict=True)
        ]
    elif isinstance(optimizer, AdamW):
        momentum, squares, dual = _adam_step(optimizer, state, moved.mean, float(chunk.gates.step.mean()))
    recent = max(0, len(chunk.keys) - (spec.window - 1))
    return replace(
        state,
        weights=tuple(spec.retention.primal(one) for one in dual),
        dual=tuple(dual) if state.dual else (),
        momentum=momentum,
        squares=squares,
        recent_keys=chunk.keys[recent:],
        recent_values=chunk.values[recent:],
        updates=updates,
    )


def _window_gradient(spec: MemorySpec, weights: tuple[Tensor, ...], chunk: Chunk, last: int) -> list[Tensor]:
    """Σ_{i=t−c+1..t} ∇ℓ(M; k_i, v_i) at the given weights: the Omega rule (ATLAS), for c = 1 Titans' ∇ℓ."""
    keys, values = (one[max(0, last - spec.window + 1) : last + 1] for one in (chunk.keys, chunk.values))
    with torch.enable_grad():
        leaves = [one.detach().requires_grad_() for one in weights]
        answers = spec.architecture.forward(leaves, keys).answers
        gradient = spec.bias.gradient(answers.detach(), values)
        return list(torch.autograd.grad(answers, leaves, grad_outputs=gradient))


def _adam_step(
    optimizer: AdamW, state: MemoryState, gradients: list[Tensor], step: float
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], list[Tensor]]:
    """Adam with decoupled weight decay (Loshchilov & Hutter, Algorithm 2); `step` scales the rate."""
    count, rate = state.updates + 1, step * optimizer.rate
    first = tuple(
        optimizer.first * one + (1 - optimizer.first) * gradient
        for one, gradient in zip(state.momentum, gradients, strict=True)
    )
    second = tuple(
        optimizer.second * one + (1 - optimizer.second) * gradient.square()
        for one, gradient in zip(state.squares, gradients, strict=True)
    )
    dual = [
        (1 - rate * optimizer.decay) * one
        - rate
        * (mean / (1 - optimizer.first**count))
        / ((square / (1 - optimizer.second**count)).sqrt() + optimizer.epsilon)
        for one, mean, square in zip(state.weights, first, second, strict=True)
    ]
    return first, second, dual
