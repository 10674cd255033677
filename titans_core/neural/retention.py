"""The retention gate: how a memory lets go (MIRAS §4, "retention" for what others call forgetting).

A write moves the *dual* Z of the weights W in a straight line, Z ← (1 − α) Z + S, and W is read back from Z at the
end of a chunk: the mirror-descent view of Ret_t (MIRAS, Eq. 7 and Prop. 3.2). For decay the two are one. Where they
are not, the map is applied at the chunk's last token only (the "lag token", §5.3) and never approximated between.

α is the share that is *forgotten* (Titans, Eq. 13). MIRAS (Eq. 9, 24, 26) writes α for what is kept: 1 − α here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor


class _Straight:
    """Z = W: what a retention is unless it says otherwise."""

    __slots__ = ()

    def dual(self, weights: Tensor) -> Tensor:
        """Z from W."""
        return weights

    def primal(self, dual: Tensor) -> Tensor:
        """W from Z."""
        return dual


@dataclass(frozen=True, slots=True)
class Keep(_Straight):
    """Nothing is let go: α = 0, Z = W."""

    forget: ClassVar[float] = 0.0


@dataclass(frozen=True, slots=True)
class Decay(_Straight):
    """Weight decay: M_t = (1 − α_t) M_{t−1} + S_t (Titans, Eq. 13).

    Attributes:
        forget: α in [0, 1]; 0 keeps everything, 1 clears the memory.
        gradient: where the gradient of the loss is taken: at M_{t−1} as in Titans' Eq. 14, or at the decayed
            (1 − α_t) M_{t−1}, with which a linear memory is Gated DeltaNet exactly. With the first it is not: the
            two differ by 2θα M k kᵀ.
    """

    forget: float = 0.01
    gradient: Literal["current", "decayed"] = "current"


@dataclass(frozen=True, slots=True)
class Lq(_Straight):
    """Keeps A_t = (1 − α_t) A_{t−1} − η_t ∇ℓ and reads W_t = A_t / ‖A_t‖_q^{q−2} (MIRAS, Eq. 24: Moneta).

    A is what has to be saved; W follows from it, and A does not follow from W.

    Attributes:
        q: at least 2; 2 is plain decay.
        forget: α in [0, 1].
        form: "printed" is Eq. 24. "dual" is the exact inverse of the mirror map, Sign(A)|A|^{q−1} / ‖A‖_q^{q−2}.
        floor: above 0; norms below it count as the floor, since the equation divides by zero at A = 0.
    """

    q: float = 4.0
    forget: float = 0.01
    form: Literal["printed", "dual"] = "printed"
    floor: float = 1.0

    def primal(self, dual: Tensor) -> Tensor:
        """W from A = Z."""
        scale = torch.linalg.vector_norm(dual, self.q).clamp(min=self.floor).pow(self.q - 2)
        weights: Tensor = (dual if self.form == "printed" else dual.sign() * dual.abs().pow(self.q - 1)) / scale
        return weights


@dataclass(frozen=True, slots=True)
class KL(_Straight):
    """Each row of the weights stays on the simplex of sum c (MIRAS, Eq. 21 and 27: Memora).

    W_t = c Softmax((1 − λ_t) log W_{t−1} − η'_t ∇ℓ), with λ = `forget` and η' = (1 − λ) θ, as follows from Eq. 21's
    λ = (1/α) / (1/α + 1/η), η' = 1 / (1/α + 1/η). The simplex is a row: the weights into one output.

    Attributes:
        scale: c, above 0.
        forget: λ in [0, 1); how far a write pulls back to the uniform row.
    """

    scale: float = 1.0
    forget: float = 0.01

    def dual(self, weights: Tensor) -> Tensor:
        """Z = log W."""
        return weights.clamp(min=torch.finfo(weights.dtype).tiny).log()

    def primal(self, dual: Tensor) -> Tensor:
        """W = c Softmax(Z)."""
        return self.scale * dual.softmax(-1)


@dataclass(frozen=True, slots=True)
class ElasticNet(_Straight):
    """W_t = S_γ(λ W_{t−1} − ζ ∇ℓ) with the soft threshold S_γ (MIRAS, Eq. 22–23): small weights become zero.

    Attributes:
        threshold: γ, at least 0; once for each chunk.
        forget: 1 − λ in [0, 1].
    """

    threshold: float = 1e-4
    forget: float = 0.01

    def primal(self, dual: Tensor) -> Tensor:
        """W = S_γ(Z)."""
        return dual.sign() * (dual.abs() - self.threshold).clamp(min=0)


Retention = Keep | Decay | Lq | KL | ElasticNet
