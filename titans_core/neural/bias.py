"""The attentional bias: the loss that a memory reduces (MIRAS §4; the "associative loss" of Titans).

Each class has the loss ℓ(a; v) of an answer a for a value v, (n, v) each, and the gradient of the loss by the answer.
No loss is averaged over the v numbers of a value, so a step θ has the same meaning as in the papers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor

_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class L2:
    """ℓ = ‖a − v‖² (Titans, Eq. 12; no ½, so that the β of the delta rule is 2θ)."""

    def loss(self, answers: Tensor, values: Tensor) -> Tensor:
        """Return the loss of each answer, (n,)."""
        return (answers - values).square().sum(-1)

    def gradient(self, answers: Tensor, values: Tensor) -> Tensor:
        """Return ∂ℓ/∂a = 2 (a − v), (n, v)."""
        return 2 * (answers - values)


@dataclass(frozen=True, slots=True)
class Lp:
    """ℓ = ‖a − v‖_p^p (MIRAS, Eq. 10: the bias of Moneta).

    Attributes:
        p: Exponent, above 1. A higher exponent gives the largest error more influence.
    """

    p: float = 3.0

    def loss(self, answers: Tensor, values: Tensor) -> Tensor:
        """Return the loss of each answer, (n,)."""
        return (answers - values).abs().pow(self.p).sum(-1)

    def gradient(self, answers: Tensor, values: Tensor) -> Tensor:
        """Return ∂ℓ/∂a = p (Sign(e) ⊙ |e|^{p−1}) with e = a − v, (n, v)."""
        error = answers - values
        return self.p * error.sign() * error.abs().pow(self.p - 1)


@dataclass(frozen=True, slots=True)
class Huber:
    """Squared loss for small errors and linear loss for large errors, so that one outlier cannot rewrite the memory.

    Attributes:
        delta: Length ‖e‖ above which an error e = a − v counts as large; above 0.
        form: "textbook" is ‖e‖² inside and 2δ‖e‖ − δ² outside; the two meet in value and slope. "printed" is the
            gradient of MIRAS, Eq. 26: 2e inside, δ Sign(e) outside. It jumps at δ and is not the gradient of one loss.
    """

    delta: float = 1.0
    form: Literal["textbook", "printed"] = "textbook"

    def loss(self, answers: Tensor, values: Tensor) -> Tensor:
        """Return the loss of each answer, (n,).

        For "printed" the loss is ‖e‖² inside and δ‖e‖₁ outside; the paper prints the gradients of these two.
        """
        error = answers - values
        length = error.norm(dim=-1)
        far = 2 * self.delta * length - self.delta**2 if self.form == "textbook" else self.delta * error.abs().sum(-1)
        return torch.where(length <= self.delta, length.square(), far)

    def gradient(self, answers: Tensor, values: Tensor) -> Tensor:
        """Return ∂ℓ/∂a, (n, v)."""
        error = answers - values
        length = error.norm(dim=-1, keepdim=True)
        if self.form == "textbook":
            clipped: Tensor = 2 * error * (self.delta / length.clamp(min=_TINY)).clamp(max=1)
            return clipped
        return torch.where(length <= self.delta, 2 * error, self.delta * error.sign())


@dataclass(frozen=True, slots=True)
class Dot:
    """ℓ = −2⟨a, v⟩: Hebbian writing, which does not look at the error. At M = 0 its gradient equals that of `L2`."""

    def loss(self, answers: Tensor, values: Tensor) -> Tensor:
        """Return the loss of each answer, (n,)."""
        return -2 * (answers * values).sum(-1)

    def gradient(self, answers: Tensor, values: Tensor) -> Tensor:
        """Return ∂ℓ/∂a = −2v, (n, v); with θ = ½ a step adds v kᵀ, linear attention (TTT, Theorem 1)."""
        return -2 * values.expand_as(answers)


Bias = L2 | Lp | Huber | Dot
