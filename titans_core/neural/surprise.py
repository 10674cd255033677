"""Surprise: what the memory did not predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from titans_core.neural.state import empty_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from titans_core.neural.spec import MemorySpec

HALF_LIFE = 2048.0
"""Tokens after which an old surprise counts half for what is usual; about a hundred turns of a chat."""


@dataclass(frozen=True, slots=True)
class Surprise:
    """Of each of n tokens, in units that compare between tenants, readers and specs of one kind.

    Attributes:
        momentary: float64 (n,), at least 0. Of a least-squares memory λ kᵀP k / kᵀk, the share of the key that it
            has not learned, in (0, 1]. Of all others ‖M(k) − v‖² / ‖M_0(k) − v‖², the error against that of a
            memory that has learned nothing: 1 is all new, 0 is known, above 1 is known wrongly.
        past: float64 (n,), at least 0: the momentum after the token's chunk, (1 − η) ‖S‖ / (2cθ‖k‖‖v‖) for a window
            c; about 1 if the last tokens were all new and all alike, 0 without momentum.
    """

    momentary: Tensor
    past: Tensor

    @property
    def turn(self) -> float:
        """The mean momentary surprise; 0 without tokens."""
        return float(self.momentary.mean()) if len(self.momentary) else 0.0

    @classmethod
    def joined(cls, parts: Sequence[Surprise]) -> Surprise:
        """The surprises of one chunk after the other."""
        nothing = torch.zeros(0, dtype=torch.float64)
        return cls(
            torch.cat([nothing, *(part.momentary for part in parts)]),
            torch.cat([nothing, *(part.past for part in parts)]),
        )


@dataclass(frozen=True, slots=True)
class SurpriseMetric:
    """An exponentially smoothed mean of surprises: what is usual, so that one surprise can be judged.

    Attributes:
        total: the surprises seen, each fading by half within `half_life` further tokens.
        weight: their number, fading likewise.
        half_life: in tokens, above 0.
    """

    total: float = 0.0
    weight: float = 0.0
    half_life: float = HALF_LIFE

    @property
    def usual(self) -> float:
        """The smoothed mean; 0 before anything was seen."""
        return self.total / self.weight if self.weight else 0.0

    def after(self, surprises: Tensor) -> SurpriseMetric:
        """The metric once it has seen these, float (n,), oldest first."""
        fading = torch.pow(0.5, torch.arange(len(surprises) - 1, -1, -1, dtype=torch.float64) / self.half_life)
        before = 0.5 ** (len(surprises) / self.half_life)
        return SurpriseMetric(
            total=before * self.total + float(fading @ surprises.double()),
            weight=before * self.weight + float(fading.sum()),
            half_life=self.half_life,
        )

    @classmethod
    def of(cls, usual: Tensor) -> SurpriseMetric:
        """The metric that a state carries, `MemoryState.usual`."""
        return cls(*usual.tolist())

    @property
    def tensor(self) -> Tensor:
        """The metric as a state carries it, float64 (2,)."""
        return torch.tensor([self.total, self.weight], dtype=torch.float64)

    def opens(self, gate: float, surprises: Tensor) -> bool:
        """Whether a write of these tokens passes the surprise gate (see `MemorySpec.gate`); never without tokens."""
        return len(surprises) > 0 and (gate == 0 or float(self.relative(surprises).mean()) >= gate)

    def relative(self, surprises: Tensor) -> Tensor:
        """Surprises against what is usual: 1 is as always; all 1 before anything was seen."""
        return surprises / self.usual if self.usual else torch.ones_like(surprises)


def residual_share(spec: MemorySpec, answers: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Momentary surprise of a first-order memory, float64 (n,): see `Surprise.momentary`."""
    with torch.no_grad():
        untaught = spec.architecture.forward(empty_weights(spec, keys.dtype), keys).answers
        error, start = (one.double().sub(values).square().sum(-1) for one in (answers.detach(), untaught))
    return error / start.clamp(min=torch.finfo(torch.float32).tiny)


def past_share(spec: MemorySpec, momentum: Sequence[Tensor], keys: Tensor, values: Tensor) -> Tensor:
    """Past surprise, float64 (n,), one number for the whole chunk: see `Surprise.past`."""
    if not momentum or not len(keys):
        return torch.zeros(len(keys), dtype=torch.float64)
    length = torch.stack([torch.linalg.vector_norm(one) for one in momentum]).double().norm()
    unit = 2 * spec.step * spec.window * (keys.double().norm(dim=-1) * values.double().norm(dim=-1)).mean()
    share: Tensor = (1 - spec.momentum) * length / unit.clamp(min=torch.finfo(torch.float32).tiny)
    return share.expand(len(keys)).clone()
