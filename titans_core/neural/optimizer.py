"""The learning algorithm of the inner loop (MIRAS' fourth choice)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class GradientDescent:
    """M_t = M_{t−1} − θ ∇ℓ(M_{t−1}; x_t) (Titans, Eq. 8).

    Attributes:
        step: θ, above 0. A linear memory without decay needs 2θ‖k‖² < 2; with unit keys, θ ≤ ½ does not overshoot.
    """

    step: float = 0.5


@dataclass(frozen=True, slots=True)
class Momentum:
    """S_t = η S_{t−1} − θ ∇ℓ(M_{t−1}; x_t), past and momentary surprise (Titans, Eq. 10 and 14).

    Attributes:
        step: θ, above 0.
        momentum: η in [0, 1).
    """

    step: float = 0.1
    momentum: float = 0.9


@dataclass(frozen=True, slots=True)
class AdamW:
    """Adam with decoupled weight decay, one step for each chunk on the mean gradient of its tokens.

    Attributes:
        rate: the step's length, above 0.
        first: β₁ in [0, 1), of the running mean of gradients.
        second: β₂ in [0, 1), of the running mean of their squares.
        decay: in [0, 1); the share of the weights lost at each step, times `rate`.
        epsilon: above 0; added to the root of the squares.
    """

    rate: float = 1e-3
    first: float = 0.9
    second: float = 0.999
    decay: float = 0.01
    epsilon: float = 1e-8


@dataclass(frozen=True, slots=True)
class Muon:
    """A step along the orthogonalised momentum, once for each chunk (ATLAS §3; S as in Titans, Eq. 14).

    Attributes:
        step: θ, above 0; the length of the step in every direction.
        momentum: η in [0, 1).
        iterations: of Newton–Schulz, at least 1.
    """

    step: float = 0.02
    momentum: float = 0.9
    iterations: int = 5


@dataclass(frozen=True, slots=True)
class LeastSquares:
    """Recursive least squares: each write lands on the exact minimum of Σ ‖W k − v‖² + λ‖W‖² (see `least_squares`).

    Attributes:
        ridge: λ, above 0; how strongly the weights are held at zero.
    """

    ridge: float = 100.0


Optimizer = GradientDescent | Momentum | AdamW | Muon | LeastSquares

# The quintic of Muon's published code: it pulls singular values into about [0.7, 1.2] within five iterations.
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrix: Tensor, iterations: int) -> Tensor:
    """The matrix with its singular values pulled towards 1 (Newton–Schulz; ATLAS §3), and √(rows/columns) if tall.

    Args:
        matrix: (r, c).
        iterations: at least 1.
    """
    linear, cubic, quintic = _NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    signal = matrix.T if tall else matrix
    signal = signal / signal.norm().clamp(min=torch.finfo(signal.dtype).tiny ** 0.5)
    for _ in range(iterations):
        gram = signal @ signal.T
        signal = linear * signal + (cubic * gram + quintic * gram @ gram) @ signal
    turned: Tensor = (matrix.shape[0] / matrix.shape[1]) ** 0.5 * signal.T if tall else signal
    return turned
