"""The specification of a memory: the choices of MIRAS, and the constants of the inner loop."""

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
    """The choices of a neural memory M that learns M(k) ≈ v. The default recalls best (`docs/neural-memory.md`).

    The papers learn step, momentum and forgetting together with the model around the memory. Here the model is frozen
    and the three are set by hand, so this package claims no score of the papers.

    Attributes:
        dim: Length d of a key, at least 1.
        values: Length v of a value. 0 stands for a least-squares memory of addresses: there a value says only to which
            turn a key belongs, and the log stores the turn's column of the weights (see `least_squares`).
        architecture: Architecture of M.
        bias: Loss that a write reduces.
        retention: Rule by which old content is forgotten.
        optimizer: Rule by which a write reduces the loss.
        window: Number c of pairs, at least 1. A write reduces the loss of the last c pairs (the Omega rule, ATLAS).
            1 is Titans.
        chunk: Number b of tokens, at least 1. Gradients are taken at the weights before each b tokens (Titans, Eq. 16).
            A write of fewer tokens is learned at once, and a chunk never includes tokens of the next write.
        steps: Number of times that a write repeats each chunk, at least 1.
        gate: Threshold of the surprise gate, in [0, 1]. A write whose surprise is below `gate` times the usual surprise
            adds nothing to the weights, but they still decay. 0 learns everything.
        seed: Seed of the random weights that a deep memory begins with.
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
        for valid, message in (*self._range_checks(), *self._combination_checks()):
            if not valid:
                raise InvalidSpecError(f"{message} Got {self}.")

    @cached_property
    def fingerprint(self) -> str:
        """Hash that identifies the spec; weights that were learned under another spec are rebuilt."""
        return hashlib.sha256(repr(_plain_values(self)).encode()).hexdigest()[:16]

    @property
    def step(self) -> float:
        """The optimizer's constant step θ; 1 for an optimizer without a step."""
        return self.optimizer.step if isinstance(self.optimizer, GradientDescent | Momentum | Muon) else 1.0

    @property
    def momentum(self) -> float:
        """The share η of the past surprise that stays; 0 for an optimizer without momentum."""
        return self.optimizer.momentum if isinstance(self.optimizer, Momentum | Muon) else 0.0

    def _range_checks(self) -> list[tuple[bool, str]]:
        """Return, for each range, whether the spec is inside, and the message if it is not."""
        bias, retention, optimizer, shape = self.bias, self.retention, self.optimizer, self.architecture
        checks = [
            (self.dim >= 1 and self.values >= 0, "A memory needs dim >= 1 and values >= 0."),
            (min(self.window, self.chunk, self.steps) >= 1, "window, chunk and steps must be at least 1."),
            (0 <= self.gate <= 1, "The gate must be in [0, 1]; with a gate above 1, a new memory would never learn."),
            (0 <= retention.forget <= 1, "The retention's forget (1 - keep) must be in [0, 1]."),
            (0 <= self.momentum < 1, "Momentum must be in [0, 1)."),
            (self.step > 0, "The step must be above 0."),
        ]
        if isinstance(shape, MLP):
            checks.append((shape.depth >= 2 and shape.expansion >= 1, "An MLP needs depth >= 2 and expansion >= 1."))
        if isinstance(bias, Lp):
            checks.append((bias.p > 1, "Lp needs p > 1; with a lower p, the gradient jumps at every exact answer."))
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

    def _combination_checks(self) -> list[tuple[bool, str]]:
        """Return, for each rule of combination, whether the spec follows it, and the message if it does not.

        Choices that cannot be combined are refused by name, because nothing may be approximated silently.
        """
        retention, optimizer = self.retention, self.optimizer
        plain = isinstance(retention, Keep | Decay)
        exact = isinstance(optimizer, LeastSquares)
        return [
            (
                not exact or (isinstance(self.architecture, Linear) and isinstance(self.bias, L2)),
                "LeastSquares is exact only for a Linear architecture with an L2 bias.",
            ),
            (
                not exact or (plain and self.window == self.chunk == self.steps == 1),
                "LeastSquares works with Keep or Decay only, and with window = chunk = steps = 1: each write is exact.",
            ),
            (
                exact or self.values > 0,
                "Only LeastSquares works with values = 0, because the log stores its addresses; give values >= 1.",
            ),
            (
                exact or self.gate == 0,
                "Only LeastSquares can have a gate, because only its surprise is known before the write.",
            ),
            (
                not (isinstance(self.architecture, MLP) and self.architecture.residual) or self.values == self.dim,
                "A residual MLP adds the key to the answer and needs values = dim.",
            ),
            (
                not isinstance(optimizer, AdamW | Muon) or plain,
                "AdamW and Muon change the weights directly, once for each chunk; they work with Keep or Decay only.",
            ),
            (
                not isinstance(optimizer, AdamW) or isinstance(retention, Keep),
                "AdamW has its own decay; use it with Keep.",
            ),
            (
                not (isinstance(retention, Decay) and retention.gradient == "decayed")
                or (self.chunk == 1 and isinstance(optimizer, GradientDescent)),
                "A gradient at the decayed weights is defined only for GradientDescent with chunk = 1.",
            ),
        ]


def _plain_values(choice: object) -> object:
    """Convert a choice to plain values that are equal for equal specs: a step of 1 and a step of 1.0 are equal."""
    if isinstance(choice, float) and choice.is_integer():
        return int(choice)
    if isinstance(choice, int | float):
        return choice + 0  # True and 1 are equal, too
    if isinstance(choice, str):
        return choice
    instance = cast("DataclassInstance", choice)
    return type(choice).__name__, [
        (field.name, _plain_values(getattr(choice, field.name))) for field in fields(instance)
    ]
