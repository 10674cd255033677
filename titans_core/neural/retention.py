"""Retention: how a memory forgets (MIRAS §4 says "retention" for what other papers call forgetting).

A write changes the *dual* Z of the weights W linearly, Z ← (1 − α) Z + S. At the end of a chunk, W is computed from Z:
the mirror-descent view of Ret_t (MIRAS, Eq. 7 and Prop. 3.2). For decay, Z equals W. For other kinds of retention, the
map from Z to W is applied at the chunk's last token only (the "lag token", §5.3), and never approximated in between.

α is the share that is *forgotten* (Titans, Eq. 13). MIRAS (Eq. 9, 24, 26) writes α for the share that is kept, which is
1 − α here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor


class _IdentityMap:
    """Base of every retention: Z = W, unless a subclass overrides a map."""

    __slots__ = ()

    def dual(self, weights: Tensor) -> Tensor:
        """Return Z for the weights W."""
        return weights

    def primal(self, dual: Tensor) -> Tensor:
        """Return the weights W for Z."""
        return dual


@dataclass(frozen=True, slots=True)
class Keep(_IdentityMap):
    """Nothing is forgotten: α = 0, Z = W."""

    forget: ClassVar[float] = 0.0


@dataclass(frozen=True, slots=True)
class Decay(_IdentityMap):
    """Weight decay: M_t = (1 − α_t) M_{t−1} + S_t (Titans, Eq. 13).

    Attributes:
        forget: α, in [0, 1]; 0 keeps everything, 1 clears the memory.
        gradient: Weights at which the gradient of the loss is taken. "current" is M_{t−1}, as in Titans' Eq. 14.
            "decayed" is (1 − α_t) M_{t−1}; with it a linear memory equals Gated DeltaNet exactly. The two results
            differ by 2θα M k kᵀ.
    """

    forget: float = 0.01
    gradient: Literal["current", "decayed"] = "current"


@dataclass(frozen=True, slots=True)
class Lq(_IdentityMap):
    """A_t = (1 − α_t) A_{t−1} − η_t ∇ℓ and W_t = A_t / ‖A_t‖_q^{q−2} (MIRAS, Eq. 24: Moneta).

    The state has to store A, because W can be computed from A, but A cannot be computed from W.

    Attributes:
        q: Exponent, at least 2; 2 is plain decay.
        forget: α, in [0, 1].
        form: "printed" is Eq. 24. "dual" is the exact inverse of the mirror map, Sign(A)|A|^{q−1} / ‖A‖_q^{q−2}.
        floor: Smallest norm that the equation divides by, above 0; without it, A = 0 would divide by zero.
    """

    q: float = 4.0
    forget: float = 0.01
    form: Literal["printed", "dual"] = "printed"
    floor: float = 1.0

    def primal(self, dual: Tensor) -> Tensor:
        """Return the weights W for A = Z."""
        scale = torch.linalg.vector_norm(dual, self.q).clamp(min=self.floor).pow(self.q - 2)
        weights: Tensor = (dual if self.form == "printed" else dual.sign() * dual.abs().pow(self.q - 1)) / scale
        return weights


@dataclass(frozen=True, slots=True)
class KL(_IdentityMap):
    """Each row of the weights stays on the simplex of sum c (MIRAS, Eq. 21 and 27: Memora).

    W_t = c Softmax((1 − λ_t) log W_{t−1} − η'_t ∇ℓ), with λ = `forget` and η' = (1 − λ) θ, as follows from Eq. 21's
    λ = (1/α) / (1/α + 1/η), η' = 1 / (1/α + 1/η). A row holds the weights of one output, and each row is a simplex.

    Attributes:
        scale: Sum c of a row, above 0.
        forget: λ, in [0, 1); a larger λ moves each row closer to the uniform row at every write.
    """

    scale: float = 1.0
    forget: float = 0.01

    def dual(self, weights: Tensor) -> Tensor:
        """Return Z = log W."""
        return weights.clamp(min=torch.finfo(weights.dtype).tiny).log()

    def primal(self, dual: Tensor) -> Tensor:
        """Return W = c Softmax(Z)."""
        return self.scale * dual.softmax(-1)


@dataclass(frozen=True, slots=True)
class ElasticNet(_IdentityMap):
    """W_t = S_γ(λ W_{t−1} − ζ ∇ℓ) with the soft threshold S_γ (MIRAS, Eq. 22–23): small weights become zero.

    Attributes:
        threshold: γ, at least 0; applied once for each chunk.
        forget: 1 − λ, in [0, 1].
    """

    threshold: float = 1e-4
    forget: float = 0.01

    def primal(self, dual: Tensor) -> Tensor:
        """Return W = S_γ(Z)."""
        return dual.sign() * (dual.abs() - self.threshold).clamp(min=0)


Retention = Keep | Decay | Lq | KL | ElasticNet
