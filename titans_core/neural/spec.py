"""What kind of memory: the choices of MIRAS, and the constants of the inner loop."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, cast

from titans_core.errors import InvalidSpecError
from titans_core.neural.architecture import MLP, Architecture, Linear
from titans_core.neural.bias import L2, Bias, Huber, Lp
from titans_core.neural.optimizer import AdamW, GradientDescent, LeastSquares, Momentum, Muon, Optimizer
from titans_core.neural.retention import KL, Decay, ElasticNet, Keep, Lq, Retention

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class MemorySpec:
    """A neural memory M that learns M(k) ≈ v. The default is the one that recalls best (`docs/neural-memory.md`).

    Step, momentum and forgetting are learned in the papers, together with the model around them. Here the model is
    frozen and they are set by hand, so no score of the papers is claimed for any of this.

    Attributes:
        dim: d, the length of a key; at least 1.
        values: v, the length of a value. 0 for a least-squares memory of addresses: there a value says only which
            turn a key belongs to, and its column of the weights stands in the log (see `least_squares`).
        architecture: the shape of M.
        bias: the loss that a write reduces.
        retention: how old content is let go.
        optimizer: how a write reduces the loss.
        window: c, at least 1; a write reduces the loss of the last c pairs (the Omega rule, ATLAS). 1 is Titans.
        chunk: b, at least 1; gradients are taken at the weights before each b tokens (Titans, Eq. 16). A write of
            fewer tokens is learned at once, and a chunk never reaches into the next write.
        steps: how often a write repeats its chunk; at least 1.
        gate: in [0, 1]; a write that surprises less than `gate` times what is usual adds nothing to the weights (they
            fade all the same). 0 learns all.
        seed: of the random weights that a deep memory begins with.
    """

    dim: int
    values: int = 0
    architecture: Architecture = Linear()
    bias: Bias = L2()
    retention: Retention = Keep()
    optimizer: Optimizer = LeastSquares()
    window: int = 1
    chunk: int = 1
    steps: int = 1
    gate: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for right, message in (*self._ranges(), *self._combinations()):
            if not right:
                raise InvalidSpecError(f"{message} Got {self}.")

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the spec: weights that were learned under another one are rebuilt."""
        return hashlib.sha256(repr(_canonical(self)).encode()).hexdigest()[:16]

    @property
    def step(self) -> float:
        """θ, the constant step of the optimizer; 1 where it has none."""
        return self.optimizer.step if isinstance(self.optimizer, GradientDescent | Momentum | Muon) else 1.0

    @property
    def momentum(self) -> float:
        """η, the share of the past surprise that stays; 0 without momentum."""
        return self.optimizer.momentum if isinstance(self.optimizer, Momentum | Muon) else 0.0

    def _ranges(self) -> list[tuple[bool, str]]:
        bias, retention, optimizer, shape = self.bias, self.retention, self.optimizer, self.architecture
        checks = [
            (self.dim >= 1 and self.values >= 0, "A memory needs dim >= 1 and values >= 0."),
            (min(self.window, self.chunk, self.steps) >= 1, "window, chunk and steps begin at 1."),
            (0 <= self.gate <= 1, "The gate lies in [0, 1]: above, a new memory would never learn."),
            (0 <= retention.forget <= 1, "A retention's forget (1 - keep) lies in [0, 1]."),
            (0 <= self.momentum < 1, "Momentum lies in [0, 1)."),
            (self.step > 0, "A step is above 0."),
        ]
        if isinstance(shape, MLP):
            checks.append((shape.depth >= 2 and shape.expansion >= 1, "An MLP needs depth >= 2 and expansion >= 1."))
        if isinstance(bias, Lp):
            checks.append((bias.p > 1, "Lp needs p > 1: below, the gradient has a jump at every exact answer."))
        if isinstance(bias, Huber):
            checks.append((bias.delta > 0, "Huber needs delta > 0."))
        if isinstance(retention, Lq):
            checks.append((retention.q >= 2 and retention.floor > 0, "Lq needs q >= 2 and floor > 0."))
        if isinstance(retention, KL):
            checks.append((retention.scale > 0 and retention.forget < 1, "KL needs scale > 0 and forget < 1."))
        if isinstance(retention, ElasticNet):
            checks.append((retention.threshold >= 0, "ElasticNet needs threshold >= 0."))
        if isinstance(optimizer, AdamW):
            betas = all(0 <= beta < 1 for beta in (optimizer.first, optimizer.second))
            checks.append(
                (
                    betas and optimizer.rate > 0 and 0 <= optimizer.decay < 1 and optimizer.epsilon > 0,
                    "AdamW needs rate > 0, first, second and decay in [0, 1), epsilon > 0.",
                )
            )
        if isinstance(optimizer, Muon):
            checks.append((optimizer.iterations >= 1, "Muon needs at least one iteration."))
        if isinstance(optimizer, LeastSquares):
            checks.append((optimizer.ridge > 0, "LeastSquares needs ridge > 0."))
        return checks

    def _combinations(self) -> list[tuple[bool, str]]:
        """What does not go together, by name; nothing is ever approximated silently."""
        retention, optimizer = self.retention, self.optimizer
        plain = isinstance(retention, Keep | Decay)
        exact = isinstance(optimizer, LeastSquares)
        return [
            (
                not exact or (isinstance(self.architecture, Linear) and isinstance(self.bias, L2)),
                "LeastSquares is exact for a Linear architecture with an L2 bias only.",
            ),
            (
                not exact or (plain and self.window == self.chunk == self.steps == 1),
                "LeastSquares knows Keep or Decay, and needs neither window, chunk nor steps: every write is exact.",
            ),
            (exact or self.values > 0, "Only LeastSquares can leave the addresses to the log; give values >= 1."),
            (exact or self.gate == 0, "The gate is for LeastSquares, whose surprise is known before the write."),
            (
                not (isinstance(self.architecture, MLP) and self.architecture.residual) or self.values == self.dim,
                "A residual MLP adds the key to the answer and needs values = dim.",
            ),
            (
                not isinstance(optimizer, AdamW | Muon) or plain,
                "AdamW and Muon step once a chunk in the weights themselves; they go with Keep or Decay only.",
            ),
            (
                not isinstance(optimizer, AdamW) or isinstance(retention, Keep),
                "AdamW has its own decay; use it with Keep.",
            ),
            (
                not (isinstance(retention, Decay) and retention.gradient == "decayed")
                or (self.chunk == 1 and isinstance(optimizer, GradientDescent)),
                "A gradient at the decayed weights is defined for GradientDescent and chunk = 1.",
            ),
        ]


def _canonical(choice: object) -> object:
    """A choice as plain values, equal for equal specs: 1 and 1.0 are one step."""
    if isinstance(choice, float) and choice.is_integer():
        return int(choice)
    if isinstance(choice, int | float):
        return choice + 0  # True and 1 are one choice, too
    if isinstance(choice, str):
        return choice
    instance = cast("DataclassInstance", choice)
    return type(choice).__name__, [(field.name, _canonical(getattr(choice, field.name))) for field in fields(instance)]
