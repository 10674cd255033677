"""Surprise: the part of new tokens that the memory did not predict."""

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
"""Number of tokens after which the weight of an old surprise in the usual surprise is halved; about 100 chat turns."""


@dataclass(frozen=True, slots=True)
class Surprise:
    """The surprise of n tokens, in units that compare between tenants, readers and specs of one kind.

    Attributes:
        momentary: Momentary surprise, float64 (n,), at least 0. For a least-squares memory it is λ kᵀP k / kᵀk, the
            share of the key that the memory has not learned, in (0, 1]. For other memories it is
            ‖M(k) − v‖² / ‖M_0(k) − v‖², the error divided by the error of an empty memory: 1 is entirely new, 0 is
            known, and above 1 the memory knows something wrong.
        past: Past surprise, float64 (n,), at least 0. It is the momentum after the token's chunk,
            (1 − η) ‖S‖ / (2cθ‖k‖‖v‖) for a window c: about 1 if the last tokens were all new and all alike, 0 without
            momentum.
    """

    momentary: Tensor
    past: Tensor

    @property
    def turn(self) -> float:
        """The mean momentary surprise of the tokens; 0 without tokens."""
        return float(self.momentary.mean()) if len(self.momentary) else 0.0

    @classmethod
    def joined(cls, parts: Sequence[Surprise]) -> Surprise:
        """Concatenate the surprises of consecutive chunks."""
        empty = torch.zeros(0, dtype=torch.float64)
        return cls(
            torch.cat([empty, *(part.momentary for part in parts)]),
            torch.cat([empty, *(part.past for part in parts)]),
        )


@dataclass(frozen=True, slots=True)
class SurpriseMetric:
    """The usual surprise: an exponentially weighted mean of past surprises, against which a new one is judged.

    Attributes:
        total: Weighted sum of past surprises; the weight of each is halved after `half_life` more tokens.
        weight: Sum of these weights.
        half_life: Half-life of a weight, in tokens; above 0.
    """

    total: float = 0.0
    weight: float = 0.0
    half_life: float = HALF_LIFE

    @property
    def usual(self) -> float:
        """The weighted mean of past surprises; 0 before the first token."""
        return self.total / self.weight if self.weight else 0.0

    def after(self, surprises: Tensor) -> SurpriseMetric:
        """Return the metric that includes more surprises.

        Args:
            surprises: Momentary surprises, float (n,), oldest first.
        """
        weights = torch.pow(0.5, torch.arange(len(surprises) - 1, -1, -1, dtype=torch.float64) / self.half_life)
        decay = 0.5 ** (len(surprises) / self.half_life)
        return SurpriseMetric(
            total=decay * self.total + float(weights @ surprises.double()),
            weight=decay * self.weight + float(weights.sum()),
            half_life=self.half_life,
        )

    @classmethod
    def of(cls, usual: Tensor) -> SurpriseMetric:
        """Make the metric from the tensor that a state stores, `MemoryState.usual`."""
        return cls(*usual.tolist())

    @property
    def tensor(self) -> Tensor:
        """The metric as a state stores it, float64 (2,)."""
        return torch.tensor([self.total, self.weight], dtype=torch.float64)

    def opens(self, gate: float, surprises: Tensor) -> bool:
        """Return whether a write of tokens passes the surprise gate; False without tokens.

        Args:
            gate: Threshold, as in `MemorySpec.gate`.
            surprises: Momentary surprises of the tokens, float (n,).
        """
        return len(surprises) > 0 and (gate == 0 or float(self.relative(surprises).mean()) >= gate)

    def relative(self, surprises: Tensor) -> Tensor:
        """Divide surprises by the usual surprise; all are 1 before the first token.

        Args:
            surprises: Momentary surprises, float (n,).

        Returns:
            Relative surprises, float (n,); 1 is as usual.
        """
        return surprises / self.usual if self.usual else torch.ones_like(surprises)


def residual_share(spec: MemorySpec, answers: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return the momentary surprise of a first-order memory, as defined in `Surprise.momentary`.

    Args:
        spec: The memory's choices.
        answers: The memory's answers to the keys, (n, v).
        keys: The keys, (n, d).
        values: The values, (n, v).

    Returns:
        The surprise of each token, float64 (n,).
    """
    with torch.no_grad():
        empty_answers = spec.architecture.forward(empty_weights(spec, keys.dtype), keys).answers
        error = answers.detach().double().sub(values).square().sum(-1)
        empty_error = empty_answers.double().sub(values).square().sum(-1)
    return error / empty_error.clamp(min=torch.finfo(torch.float32).tiny)


def past_share(spec: MemorySpec, momentum: Sequence[Tensor], keys: Tensor, values: Tensor) -> Tensor:
    """Return the past surprise of a chunk, as defined in `Surprise.past`.

    Args:
        spec: The memory's choices.
        momentum: S after the chunk, one matrix for each layer; empty without momentum.
        keys: The chunk's keys, (n, d).
        values: The chunk's values, (n, v).

    Returns:
        The same number for each token of the chunk, float64 (n,).
    """
    if not momentum or not len(keys):
        return torch.zeros(len(keys), dtype=torch.float64)
    length = torch.stack([torch.linalg.vector_norm(layer) for layer in momentum]).double().norm()
    unit = 2 * spec.step * spec.window * (keys.double().norm(dim=-1) * values.double().norm(dim=-1)).mean()
    share: Tensor = (1 - spec.momentum) * length / unit.clamp(min=torch.finfo(torch.float32).tiny)
    return share.expand(len(keys)).clone()
