"""What a memory has learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from titans_core.neural.spec import MemorySpec


@dataclass(frozen=True, slots=True)
class MemoryState:
    """The learned part of the weights; immutable, a write returns a new one.

    The weights are W = P·Yᵀ: `inverse` is P, and the rows of Y, one for each passage, are the sums of its keys.
    Y never changes once a passage is written, so it stands in the log; P is all that learning moves.

    Attributes:
        inverse: float64 (d, d), symmetric positive definite; P = (λI + Σ k kᵀ)⁻¹ over all keys k written.
        key_sum: float64 (d,); Σ k. Divided by `tokens`, the mean that late interaction centres by.
        tokens: the number of keys written.
    """

    inverse: Tensor
    key_sum: Tensor
    tokens: int = 0

    @classmethod
    def initial(cls, spec: MemorySpec) -> MemoryState:
        """The state that has learned nothing: P = I / λ."""
        return cls(
            inverse=torch.eye(spec.dim, dtype=torch.float64) / spec.ridge,
            key_sum=torch.zeros(spec.dim, dtype=torch.float64),
        )

    def tensors(self) -> dict[str, Tensor]:
        """The state by name, for saving; `from_tensors` gives it back bit for bit."""
        return {"inverse": self.inverse, "key_sum": self.key_sum, "tokens": torch.tensor(self.tokens)}

    @classmethod
    def from_tensors(cls, spec: MemorySpec, tensors: Mapping[str, Tensor]) -> MemoryState | None:
        """A saved state, or None if the tensors are none of this spec: weights are a cache and can be rebuilt."""
        for name, expected in cls.initial(spec).tensors().items():
            found = tensors.get(name)
            if found is None or found.shape != expected.shape or found.dtype != expected.dtype:
                return None
        return cls(tensors["inverse"], tensors["key_sum"], int(tensors["tokens"]))

    @property
    def nbytes(self) -> int:
        """Size of the tensors in bytes."""
        return self.inverse.nbytes + self.key_sum.nbytes
