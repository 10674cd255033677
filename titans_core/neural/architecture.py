"""The architecture of a memory M: how it computes an answer from a key.

Shapes: n = number of keys, d = length of a key, v = length of a value, h = width of a hidden layer.
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
    """The result of one forward pass, with the intermediate tensors that a gradient needs.

    The gradient of a loss by the weights of layer l is Σ_t (∂ℓ_t/∂preactivations_l,t) ⊗ inputs_l,t. This is one outer
    product for each key, so no key needs its own copy of the weights.

    Attributes:
        answers: The memory's answers, (n, v).
        inputs: For each layer, the tensor that its weights multiply, (n, columns of the weights).
        preactivations: For each layer, the product of its input and its weights, (n, rows of the weights).
    """

    answers: Tensor
    inputs: list[Tensor]
    preactivations: list[Tensor]


@dataclass(frozen=True, slots=True)
class Linear:
    """M(k) = W k, with W (v, d), zero at the start (Titans §3.1 for the linear case; DeltaNet, TTT-Linear)."""

    def shapes(self, dim: int, values: int) -> list[tuple[int, int]]:
        """Return the shape of the weights of each layer.

        Args:
            dim: Length d of a key.
            values: Length v of a value.

        Returns:
            One (rows, columns) pair: (v, d).
        """
        return [(values, dim)]

    def initial(self, dim: int, values: int, generator: torch.Generator) -> list[Tensor]:
        """Return the weights of an empty memory.

        Args:
            dim: Length d of a key.
            values: Length v of a value.
            generator: Source of random numbers; not used, because a linear memory starts at zero.

        Returns:
            One float64 matrix of zeros, (v, d).
        """
        del generator
        return [torch.zeros(shape, dtype=torch.float64) for shape in self.shapes(dim, values)]

    def forward(self, weights: Sequence[Tensor], keys: Tensor) -> Forward:
        """Compute the answers to keys.

        Args:
            weights: One matrix for each layer, with the shapes that `shapes` returns.
            keys: The keys, (n, d).

        Returns:
            The answers (n, v) and the intermediate tensors.
        """
        answers = _multiply(keys, weights[0])
        return Forward(answers, [keys], [answers])


@dataclass(frozen=True, slots=True)
class MLP:
    """Layers with GELU between them; by default M(x) = x + LN(W_1 σ(W_2 x)), the memory of MIRAS §5.3.

    Attributes:
        depth: Number of layers of weights, at least 2.
        expansion: Ratio h / d, at least 1.
        residual: Whether the key is added to the answer; this needs v = d.
        norm: Whether the last layer's product is layer-normalised. The normalisation has no weights of its own.
        bias: Whether each layer has a constant input. With neither residual nor norm this is `Linear–GELU–Linear`.
    """

    depth: int = 2
    expansion: int = 4
    residual: bool = True
    norm: bool = True
    bias: bool = False

    def shapes(self, dim: int, values: int) -> list[tuple[int, int]]:
        """Return the shape of the weights of each layer.

        Args:
            dim: Length d of a key.
            values: Length v of a value.

        Returns:
            One (rows, columns) pair for each layer, the layer that reads the key first. A bias adds one column.
        """
        widths = [dim, *[self.expansion * dim] * (self.depth - 1), values]
        return [(widths[layer + 1], widths[layer] + self.bias) for layer in range(self.depth)]

    def initial(self, dim: int, values: int, generator: torch.Generator) -> list[Tensor]:
        """Return the weights of an empty memory.

        Args:
            dim: Length d of a key.
            values: Length v of a value.
            generator: Source of the random numbers.

        Returns:
            One float64 matrix for each layer, normally distributed with variance 1 / columns.
        """
        return [
            torch.randn(shape, generator=generator, dtype=torch.float64) / math.sqrt(shape[1])
            for shape in self.shapes(dim, values)
        ]

    def forward(self, weights: Sequence[Tensor], keys: Tensor) -> Forward:
        """Compute the answers to keys, as `Linear.forward` does, through all layers."""
        inputs, preactivations = [], []
        signal = keys
        for layer, matrix in enumerate(weights):
            if layer:
                signal = functional.gelu(signal)
            if self.bias:
                signal = torch.cat([signal, torch.ones_like(signal[:, :1])], dim=1)
            inputs.append(signal)
            signal = _multiply(signal, matrix)
            preactivations.append(signal)
        answers = functional.layer_norm(signal, signal.shape[-1:]) if self.norm else signal
        return Forward(keys + answers if self.residual else answers, inputs, preactivations)


def _multiply(signal: Tensor, matrix: Tensor) -> Tensor:
    """Return a layer's product as a tensor for which `torch.autograd.grad` can compute the gradient."""
    product = signal @ matrix.T
    if torch.is_grad_enabled() and not product.requires_grad:
        product.requires_grad_()
    return product


Architecture = Linear | MLP
