"""Published memories by name. A preset is only a name for a spec; each equation is cited where it is computed.

The papers learn the constants. Here they are set by hand for keys of unit length, and measured
(`docs/neural-memory.md`). The deep presets need values of length √v, because their layer normalisation gives answers of
that length. The linear presets with an L2 bias are set to learn what is usual: each key is its own value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from titans_core.neural.architecture import MLP, Linear
from titans_core.neural.bias import L2, Dot, Huber, Lp
from titans_core.neural.optimizer import AdamW, GradientDescent, LeastSquares, Momentum
from titans_core.neural.retention import KL, Decay, Keep, Lq
from titans_core.neural.spec import MemorySpec

if TYPE_CHECKING:
    from collections.abc import Callable


def titans(dim: int, values: int) -> MemorySpec:
    """Titans' long-term memory: a deep memory with past surprise and decay (arXiv 2501.00663, Eq. 13–14, 16, 18)."""
    return MemorySpec(dim, values, MLP(), L2(), Decay(1e-5), Momentum(2e-7, 0.9), chunk=16)


def yaad(dim: int, values: int) -> MemorySpec:
    """MIRAS' Yaad: Huber bias, so that the error of an outlier is not squared (arXiv 2504.13173, Eq. 26)."""
    return MemorySpec(dim, values, MLP(), Huber(10.0), Decay(1e-5), GradientDescent(6e-6), chunk=16)


def moneta(dim: int, values: int) -> MemorySpec:
    """MIRAS' Moneta: an L3 bias under L4 retention (arXiv 2504.13173, Eq. 24)."""
    return MemorySpec(dim, values, MLP(), Lp(3.0), Lq(4.0, 1e-5), GradientDescent(2e-6), chunk=16)


def memora(dim: int, values: int) -> MemorySpec:
    """MIRAS' Memora: KL retention keeps the weights on a simplex (arXiv 2504.13173, Eq. 27)."""
    return MemorySpec(dim, values, MLP(), L2(), KL(1.0, 1e-3), GradientDescent(0.01), chunk=16)


def omega(dim: int, values: int) -> MemorySpec:
    """ATLAS: the Omega rule over the last 16 pairs (arXiv 2505.23735).

    `Muon` can replace `Momentum`; a write then takes ten times as long.
    """
    return MemorySpec(dim, values, MLP(), L2(), Decay(1e-5), Momentum(1.2e-8, 0.9), window=16, chunk=16)


def deltanet(dim: int, values: int) -> MemorySpec:
    """The delta rule, β = 2θ (arXiv 2406.06484)."""
    return MemorySpec(dim, values, Linear(), L2(), Keep(), GradientDescent(0.0015))


def gated_deltanet(dim: int, values: int) -> MemorySpec:
    """The delta rule on decayed weights, β = 2θ (arXiv 2412.06464)."""
    return MemorySpec(dim, values, Linear(), L2(), Decay(5e-5, "decayed"), GradientDescent(0.005))


def linear_attention(dim: int, values: int) -> MemorySpec:
    """Hebbian writing, W = Σ v kᵀ: unnormalised linear attention (arXiv 2407.04620, Theorem 1)."""
    return MemorySpec(dim, values, Linear(), Dot(), Keep(), GradientDescent(0.5), chunk=64)


def ttt_linear(dim: int, values: int) -> MemorySpec:
    """TTT-Linear: the delta rule on mini-batches of 16 (arXiv 2407.04620)."""
    return MemorySpec(dim, values, Linear(), L2(), Keep(), GradientDescent(0.002), chunk=16)


def least_squares(dim: int, values: int = 0) -> MemorySpec:
    """Recursive least squares, a second-order method: the exact minimum after every write. `TitansMemory` uses it."""
    return MemorySpec(dim, values, Linear(), L2(), Keep(), LeastSquares())


def tutorial(dim: int, values: int) -> MemorySpec:
    """The memory of a typical tutorial: Linear–GELU–Linear, trained on each turn with AdamW."""
    shape = MLP(depth=2, expansion=2, residual=False, norm=False, bias=True)
    return MemorySpec(dim, values, shape, L2(), Keep(), AdamW(1e-3), chunk=64)


PRESETS: dict[str, Callable[[int, int], MemorySpec]] = {
    "titans": titans,
    "yaad": yaad,
    "moneta": moneta,
    "memora": memora,
    "omega": omega,
    "deltanet": deltanet,
    "gated_deltanet": gated_deltanet,
    "linear_attention": linear_attention,
    "ttt_linear": ttt_linear,
    "least_squares": least_squares,
    "tutorial": tutorial,
}
"""Every preset by name. A preset takes the length of a key and the length of a value, and returns a spec."""
