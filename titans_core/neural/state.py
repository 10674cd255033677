"""What a memory has learned."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from titans_core.neural.optimizer import AdamW, LeastSquares, Momentum, Muon
from titans_core.neural.retention import Lq

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from titans_core.neural.spec import MemorySpec


@dataclass(frozen=True, slots=True)
class MemoryState:
    """The fast weights and all that the next write needs; immutable, a write returns a new one.

    Its size depends on the spec alone, never on how much was written.

    Attributes:
        weights: M, one matrix for each layer. Of a least-squares memory Σ k vᵀ, (d, v): its weights are P times it.
        dual: A of Moneta, which its weights follow from; empty for all others, whose weights say everything.
        momentum: S, the past surprise, or Adam's first moment; empty without.
        squares: Adam's second moment; empty without.
        inverse: float64 (d, d), P = (λI + Σ k kᵀ)⁻¹ of a least-squares memory; (0, 0) for all others.
        recent_keys: the last window − 1 keys, (r, d).
        recent_values: their values, (r, v).
        usual: float64 (2,), the surprise of recent tokens and their number, both fading (see `SurpriseMetric`).
        key_sum: (d,), Σ k; divided by `tokens`, the mean that late interaction centres by.
        tokens: the number of keys written.
        updates: how many steps the optimizer has taken (Adam's bias correction; the age of what fades).
    """

    weights: tuple[Tensor, ...]
    dual: tuple[Tensor, ...]
    momentum: tuple[Tensor, ...]
    squares: tuple[Tensor, ...]
    inverse: Tensor
    recent_keys: Tensor
    recent_values: Tensor
    usual: Tensor
    key_sum: Tensor
    tokens: int = 0
    updates: int = 0

    @classmethod
    def initial(cls, spec: MemorySpec, dtype: torch.dtype | None = None) -> MemoryState:
        """The state that has learned nothing; the same bytes each time.

        Args:
            spec: the memory's choices.
            dtype: of keys, values and first-order weights; those of least squares are float64, as the inverse needs.
                None for float64 with least squares and float32 else.
        """
        dtype = dtype or (torch.float64 if isinstance(spec.optimizer, LeastSquares) else torch.float32)
        generator = torch.Generator().manual_seed(spec.seed)
        if isinstance(spec.optimizer, LeastSquares):
            start = [torch.zeros(spec.dim, spec.values, dtype=torch.float64)]
            inverse = torch.eye(spec.dim, dtype=torch.float64) / spec.optimizer.ridge
        else:
            start = [one.to(dtype) for one in spec.architecture.initial(spec.dim, spec.values, generator)]
            inverse = torch.zeros(0, 0, dtype=torch.float64)
        # Retention says which weights can be: on Memora's simplex, say, there is no other beginning.
        weights = tuple(spec.retention.primal(one) for one in start)
        return cls(
            weights=weights,
            dual=tuple(start) if isinstance(spec.retention, Lq) else (),
            momentum=_zeros(start) if isinstance(spec.optimizer, Momentum | Muon | AdamW) else (),
            squares=_zeros(start) if isinstance(spec.optimizer, AdamW) else (),
            inverse=inverse,
            recent_keys=torch.zeros(0, spec.dim, dtype=dtype),
            recent_values=torch.zeros(0, spec.values, dtype=dtype),
            usual=torch.zeros(2, dtype=torch.float64),
            key_sum=torch.zeros(spec.dim, dtype=dtype),
        )

    def tensors(self) -> dict[str, Tensor]:
        """The state by name, for saving; `from_tensors` gives it back bit for bit."""
        named: dict[str, Tensor] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                named |= {f"{field.name}.{layer}": tensor.contiguous() for layer, tensor in enumerate(value)}
            else:
                named[field.name] = torch.tensor(value) if isinstance(value, int) else value.contiguous()
        return named

    @classmethod
    def from_tensors(cls, spec: MemorySpec, tensors: Mapping[str, Tensor]) -> MemoryState | None:
        """A saved state, or None if the tensors are none of this spec: weights are a cache and can be rebuilt."""
        if "key_sum" not in tensors or not tensors["key_sum"].is_floating_point():
            return None
        empty = cls.initial(spec, tensors["key_sum"].dtype)
        expected = empty.tensors()
        for name, one in expected.items():
            found = tensors.get(name)
            growing = name.startswith("recent_") and found is not None and found.dim() == 2 and len(found) < spec.window
            shape = found.shape[1:] == one.shape[1:] if growing and found is not None else None
            if found is None or found.dtype != one.dtype or not (shape or found.shape == one.shape):
                return None
        if len(tensors["recent_keys"]) != len(tensors["recent_values"]):
            return None
        values: dict[str, object] = {}
        for field in fields(cls):
            value = getattr(empty, field.name)
            if isinstance(value, tuple):
                values[field.name] = tuple(tensors[f"{field.name}.{layer}"] for layer in range(len(value)))
            else:
                values[field.name] = int(tensors[field.name]) if isinstance(value, int) else tensors[field.name]
        return cls(**values)  # type: ignore[arg-type]

    @property
    def nbytes(self) -> int:
        """Size of the tensors in bytes."""
        return sum(tensor.nbytes for tensor in self.tensors().values())


def _zeros(like: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(torch.zeros_like(one) for one in like)


@lru_cache(maxsize=8)
def empty_weights(spec: MemorySpec, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """M_0: what every surprise is measured against."""
    return MemoryState.initial(spec, dtype).weights
