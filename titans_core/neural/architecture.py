"""The shape of a memory M: how a key becomes an answer.

Shapes: n = keys at once, d = length of a key, v = length of a value, h = width of a hidden layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Forward(NamedTuple):
    """One pass through the memory, with what a gradient needs.

    The gradient of a loss by the weights of layer l is Σ_t (∂ℓ_t/∂preactivations_l,t) ⊗ inputs_l,t: one outer
    product for each key, so that no copy of the weights is made for each key.

    Attributes:
        answers: (n, v).
        inputs: for each layer what its weights multiply, (n, columns of the weights).
        preactivations: for each layer the product, (n, rows of the weights).
    """

    answers: Tensor
    inputs: list[Tensor]
    preactivations: list[Tensor]


@dataclass(frozen=True, slots=True)
class Linear:
    """M(k) = W k, with W (v, d), zero at the start (Titans §3.1 for the linear case; DeltaNet, TTT-Linear)."""

    def shapes(self, dim: int, values: int) -> list[tuple[int, int]]:
        """The layers' weights."""
        return [(values, dim)]

    def initial(self, dim: int, values: int, generator: torch.Generator) -> list[Tensor]:
        """The weights of a memory that has learned nothing, float64."""
        del generator
        return [torch.zeros(shape, dtype=torch.float64) for shape in self.shapes(dim, values)]

    def forward(self, weights: Sequence[Tensor], keys: Tensor) -> Forward:
        """The answers to keys (n, d)."""
        answers = _product(keys, weights[0])
        return Forward(answers, [keys], [answers])


@dataclass(frozen=True, slots=True)
class MLP:
    """Layers with GELU between them; by default M(x) = x + LN(W_1 σ(W_2 x)), the memory of MIRAS §5.3.

    Attributes:
        depth: layers of weights, at least 2.
        expansion: h / d, at least 1.
        residual: adds the key to the answer; needs v = d.
        norm: layer normalisation of the last layer's product, without weights of its own.
        bias: a constant input to each layer. With neither residual nor norm this is `Linear–GELU–Linear`.
    """

    depth: int = 2
    expansion: int = 4
    residual: bool = True
    norm: bool = True
    bias: bool = False

    def shapes(self, dim: int, values: int) -> list[tuple[int, int]]:
        """The layers' weights, from the key's side to the answer's; a bias is one more column."""
        widths = [dim, *[self.expansion * dim] * (self.depth - 1), values]
        return [(widths[layer + 1], widths[layer] + self.bias) for layer in range(self.depth)]

    def initial(self, dim: int, values: int, generator: torch.Generator) -> list[Tensor]:
        """The weights of a memory that has learned nothing: normal, of variance 1 / columns; float64."""
        return [
            torch.randn(shape, generator=generator, dtype=torch.float64) / math.sqrt(shape[1])
            for shape in self.shapes(dim, values)
        ]

    def forward(self, weights: Sequence[Tensor], keys: Tensor) -> Forward:
        """The answers to keys (n, d)."""
        inputs, preactivations = [], []
        signal = keys
        for layer, matrix in enumerate(weights):
            if layer:
                signal = functional.gelu(signal)
            if self.bias:
                signal = torch.cat([signal, torch.ones_like(signal[:, :1])], dim=1)
            inputs.append(signal)
            signal = _product(signal, matrix)
            preactivations.append(signal)
        answers = functional.layer_norm(signal, signal.shape[-1:]) if self.norm else signal
        return Forward(keys + answers if self.residual else answers, inputs, preactivations)


def _product(signal: Tensor, matrix: Tensor) -> Tensor:
    """A layer's product, as a place where `torch.autograd.grad` can be asked for the gradient."""
    product = signal @ matrix.T
    if torch.is_grad_enabled() and not product.requires_grad:
        product.requires_grad_()
    return product


Architecture = Linear | MLP
