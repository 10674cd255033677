"""Members of the family by name. A preset is nothing but a name for a spec; each equation stands where it is computed.

The constants are ours, set by hand for keys of unit length and measured (`docs/neural-memory.md`): in the papers they
are learned. The deep ones are for values of length √v, as their layer normalisation answers in that length; the linear
ones with an L2 bias are for learning what is usual, keys as their own values.
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
    """MIRAS' Yaad: Huber bias, so that outliers are followed rather than squared (arXiv 2504.13173, Eq. 26)."""
    return MemorySpec(dim, values, MLP(), Huber(10.0), Decay(1e-5), GradientDescent(6e-6), chunk=16)


def moneta(dim: int, values: int) -> MemorySpec:
    """MIRAS' Moneta: an L3 bias under L4 retention (arXiv 2504.13173, Eq. 24)."""
    return MemorySpec(dim, values, MLP(), Lp(3.0), Lq(4.0, 1e-5), GradientDescent(2e-6), chunk=16)


def memora(dim: int, values: int) -> MemorySpec:
    """MIRAS' Memora: weights on a simplex, held by KL retention (arXiv 2504.13173, Eq. 27)."""
    return MemorySpec(dim, values, MLP(), L2(), KL(1.0, 1e-3), GradientDescent(0.01), chunk=16)


def omega(dim: int, values: int) -> MemorySpec:
    """ATLAS: the Omega rule over the last 16 pairs (arXiv 2505.23735).

    `Muon` in the place of `Momentum` goes too, at ten times the price.
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
    """Second order: the exact minimum after every write. The default of `TitansMemory`."""
    return MemorySpec(dim, values, Linear(), L2(), Keep(), LeastSquares())


def tutorial(dim: int, values: int) -> MemorySpec:
    """What a first implementation does: Linear–GELU–Linear, trained on each turn by AdamW."""
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
"""Every preset by name; each is called with the lengths of a key and of a value."""
