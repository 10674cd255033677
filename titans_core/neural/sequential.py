"""The definition of a write: one token after the other, as the papers print it.

`chunked` and `delta` compute the same results faster.

Shapes: n = tokens of a write, b = tokens of a chunk, d = length of a key, v = length of a value.
M are the weights, S the momentum, Z the dual of the weights (Z = M under decay), ℓ the attentional bias.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from titans_core.neural.optimizer import AdamW, GradientDescent, Momentum, Muon, orthogonalise
from titans_core.neural.retention import KL, Decay
from titans_core.neural.surprise import Surprise, past_share, residual_share

if TYPE_CHECKING:
    from torch import Tensor

    from titans_core.neural.gates import Gates
    from titans_core.neural.spec import MemorySpec
    from titans_core.neural.state import MemoryState


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens whose gradients are taken at the same weights, and the earlier tokens that the window still covers.

    Attributes:
        keys: Keys of all these tokens, (r + b, d); the first r belong to earlier chunks.
        values: Their values, (r + b, v).
        before: Number r of tokens from earlier chunks.
        gates: Gates of the chunk's own b tokens.
    """

    keys: Tensor
    values: Tensor
    before: int
    gates: Gates

    @property
    def own(self) -> tuple[Tensor, Tensor]:
        """Keys and values of the chunk's own b tokens."""
        return self.keys[self.before :], self.values[self.before :]

    @classmethod
    def following(cls, state: MemoryState, keys: Tensor, values: Tensor, gates: Gates) -> Chunk:
        """Make the next chunk from b tokens and the recent tokens of the state.

        Args:
            state: The memory before the chunk.
            keys: Keys of the chunk's own tokens, (b, d).
            values: Values of the chunk's own tokens, (b, v).
            gates: Gates of the b tokens.
        """
        return cls(
            torch.cat([state.recent_keys, keys]),
            torch.cat([state.recent_values, values]),
            len(state.recent_keys),
            gates,
        )


def write_chunk_sequentially(spec: MemorySpec, state: MemoryState, chunk: Chunk) -> tuple[MemoryState, Surprise]:
    """Write one chunk, token by token.

    Args:
        spec: The memory's choices.
        state: The memory before the chunk.
        chunk: At least one token.

    Returns:
        The memory after the chunk, and the tokens' surprise, measured at the weights before the chunk.
    """
    keys, values = chunk.own
    weights = weights_for_gradients(spec, state.weights, chunk.gates)
    momentary = residual_share(spec, spec.architecture.forward(weights, keys).answers, keys, values)
    momentum, dual = momentum_and_dual(spec, state)
    total = [torch.zeros_like(layer) for layer in weights]
    for token in range(len(keys)):
        step, eta, forget = (
            float(gate[token]) for gate in (chunk.gates.step, chunk.gates.momentum, chunk.gates.forget)
        )
        if isinstance(spec.retention, KL):
            step *= 1 - forget  # η' of MIRAS, Eq. 21
        gradients = _window_gradient(spec, weights, chunk, chunk.before + token)
        total = [summed + step * gradient for summed, gradient in zip(total, gradients, strict=True)]
        # Titans, Eq. 14: S_t = η_t S_{t−1} − θ_t ∇ℓ, with η = 0 Eq. 8. Within a chunk ∇ℓ is taken at M_{t'} (Eq. 18).
        momentum = [eta * past - step * gradient for past, gradient in zip(momentum, gradients, strict=True)]
        if not isinstance(spec.optimizer, Muon):
            # Titans, Eq. 13: M_t = (1 − α_t) M_{t−1} + S_t. In the dual it is MIRAS, Eq. 21 (Z = log W), Eq. 23
            # (before the threshold) and Eq. 24 (Z = A).
            dual = [(1 - forget) * layer + past for layer, past in zip(dual, momentum, strict=True)]
        else:
            dual = [(1 - forget) * layer for layer in dual]
    steps = float(chunk.gates.step.sum())
    mean = [layer / steps if steps else layer for layer in total]
    state = finish_chunk(spec, state, chunk, ChunkUpdate(dual, momentum, mean))
    return state, Surprise(momentary, past_share(spec, state.momentum, keys, values))


@dataclass(frozen=True, slots=True)
class ChunkUpdate:
    """Result of a chunk's linear steps, before the non-linear steps at its last token.

    Attributes:
        dual: Z, one matrix for each layer.
        momentum: S, one matrix for each layer.
        mean: Mean gradient of the tokens, each weighted by its step; `AdamW` uses it.
    """

    dual: list[Tensor]
    momentum: list[Tensor]
    mean: list[Tensor]


def weights_for_gradients(spec: MemorySpec, weights: tuple[Tensor, ...], gates: Gates) -> tuple[Tensor, ...]:
    """Return the weights at which a chunk's gradients are taken.

    These are M_{t'} (Titans, Eq. 16), or the decayed M_{t'} of Gated DeltaNet.

    Args:
        spec: The memory's choices.
        weights: The weights before the chunk.
        gates: Gates of the chunk's tokens.
    """
    if isinstance(spec.retention, Decay) and spec.retention.gradient == "decayed":
        return tuple((1 - float(gates.forget[0])) * layer for layer in weights)
    return weights


def momentum_and_dual(spec: MemorySpec, state: MemoryState) -> tuple[list[Tensor], list[Tensor]]:
    """Return S and Z before a chunk. S is zero for an optimizer without momentum."""
    has_momentum = isinstance(spec.optimizer, Momentum | Muon)
    momentum = list(state.momentum) if has_momentum else [torch.zeros_like(layer) for layer in state.weights]
    dual = list(state.dual) or [spec.retention.dual(layer) for layer in state.weights]
    return momentum, dual


def finish_chunk(spec: MemorySpec, state: MemoryState, chunk: Chunk, update: ChunkUpdate) -> MemoryState:
    """Take the steps that happen once for each chunk, at its lag token (MIRAS §5.3).

    These steps are the optimizer's own step (Muon, AdamW) and the map of the retention from Z to W.

    Args:
        spec: The memory's choices.
        state: The memory before the chunk.
        chunk: The tokens.
        update: Result of the chunk's linear steps.

    Returns:
        The memory after the chunk.
    """
    optimizer, dual, squares, momentum = spec.optimizer, update.dual, state.squares, tuple(update.momentum)
    updates = state.updates + 1
    if isinstance(optimizer, GradientDescent):
        momentum = ()
    elif isinstance(optimizer, Muon):
        # ATLAS §3: M_t = (1 − α_t) M_{t−1} + θ_t NewtonSchulz(S_t).
        step = float(chunk.gates.step[-1])
        dual = [
            layer + step * orthogonalise(past, optimizer.iterations) for layer, past in zip(dual, momentum, strict=True)
        ]
    elif isinstance(optimizer, AdamW):
        momentum, squares, dual = _adam_step(optimizer, state, update.mean, float(chunk.gates.step.mean()))
    recent = max(0, len(chunk.keys) - (spec.window - 1))
    return replace(
        state,
        weights=tuple(spec.retention.primal(layer) for layer in dual),
        dual=tuple(dual) if state.dual else (),
        momentum=momentum,
        squares=squares,
        recent_keys=chunk.keys[recent:],
        recent_values=chunk.values[recent:],
        updates=updates,
    )


def _window_gradient(spec: MemorySpec, weights: tuple[Tensor, ...], chunk: Chunk, last: int) -> list[Tensor]:
    """Return Σ_{i=t−c+1..t} ∇ℓ(M; k_i, v_i) at the given weights: the Omega rule (ATLAS), for c = 1 Titans' ∇ℓ."""
    first = max(0, last - spec.window + 1)
    keys, values = chunk.keys[first : last + 1], chunk.values[first : last + 1]
    with torch.enable_grad():
        leaves = [layer.detach().requires_grad_() for layer in weights]
        answers = spec.architecture.forward(leaves, keys).answers
        gradient = spec.bias.gradient(answers.detach(), values)
        return list(torch.autograd.grad(answers, leaves, grad_outputs=gradient))


def _adam_step(
    optimizer: AdamW, state: MemoryState, gradients: list[Tensor], step: float
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], list[Tensor]]:
    """Adam with decoupled weight decay (Loshchilov & Hutter, Algorithm 2); `step` scales the rate."""
    count, rate = state.updates + 1, step * optimizer.rate
    first = tuple(
        optimizer.first * moment + (1 - optimizer.first) * gradient
        for moment, gradient in zip(state.momentum, gradients, strict=True)
    )
    second = tuple(
        optimizer.second * moment + (1 - optimizer.second) * gradient.square()
        for moment, gradient in zip(state.squares, gradients, strict=True)
    )
    dual = [
        (1 - rate * optimizer.decay) * layer
        - rate
        * (mean / (1 - optimizer.first**count))
        / ((square / (1 - optimizer.second**count)).sqrt() + optimizer.epsilon)
        for layer, mean, square in zip(state.weights, first, second, strict=True)
    ]
    return first, second, dual
