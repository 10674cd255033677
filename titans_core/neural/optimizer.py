"""The optimizer: the learning algorithm of the inner loop (the fourth choice of MIRAS)."""

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
        step: θ, above 0. A linear memory without decay needs 2θ‖k‖² < 2. With keys of unit length, a step of at most
            ½ does not overshoot.
    """

    step: float = 0.5


@dataclass(frozen=True, slots=True)
class Momentum:
    """S_t = η S_{t−1} − θ ∇ℓ(M_{t−1}; x_t), the sum of past and momentary surprise (Titans, Eq. 10 and 14).

    Attributes:
        step: θ, above 0.
        momentum: η, in [0, 1).
    """

    step: float = 0.1
    momentum: float = 0.9


@dataclass(frozen=True, slots=True)
class AdamW:
    """Adam with decoupled weight decay, one step for each chunk on the mean gradient of its tokens.

    Attributes:
        rate: Learning rate, above 0.
        first: β₁, the decay of the running mean of the gradients, in [0, 1).
        second: β₂, the decay of the running mean of the squared gradients, in [0, 1).
        decay: Weight decay, in [0, 1): each step removes the share `rate` · `decay` of the weights.
        epsilon: Number added to the root of the mean square, above 0.
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
        step: θ, the length of the step in every direction, above 0.
        momentum: η, in [0, 1).
        iterations: Number of Newton–Schulz iterations, at least 1.
    """

    step: float = 0.02
    momentum: float = 0.9
    iterations: int = 5


@dataclass(frozen=True, slots=True)
class LeastSquares:
    """Recursive least squares: each write finds the exact minimum of Σ ‖W k − v‖² + λ‖W‖² (see `least_squares`).

    Attributes:
        ridge: λ, above 0; a larger λ keeps the weights closer to zero.
    """

    ridge: float = 100.0


Optimizer = GradientDescent | Momentum | AdamW | Muon | LeastSquares

# The quintic polynomial of Muon's published code. Five iterations bring singular values into about [0.7, 1.2].
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: Tensor, iterations: int) -> Tensor:
    """Bring the singular values of a matrix near 1 (Newton–Schulz; ATLAS §3), or near √(r / c) for r > c.

    Args:
        matrix: The matrix, (r, c).
        iterations: Number of Newton–Schulz iterations, at least 1.

    Returns:
        The new matrix, (r, c), with the singular vectors of the old one.
    """
    linear, cubic, quintic = _NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    signal = matrix.T if tall else matrix
    signal = signal / signal.norm().clamp(min=torch.finfo(signal.dtype).tiny ** 0.5)
    for _ in range(iterations):
        gram = signal @ signal.T
        signal = linear * signal + (cubic * gram + quintic * gram @ gram) @ signal
    result: Tensor = (matrix.shape[0] / matrix.shape[1]) ** 0.5 * signal.T if tall else signal
    return result
