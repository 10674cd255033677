"""The state of a memory: everything that it has learned."""

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
    """The fast weights, and everything else that the next write needs. It is immutable: a write returns a new state.

    The size depends on the spec alone, not on the number of writes.

    Attributes:
        weights: M, one matrix for each layer. For a least-squares memory Σ k vᵀ, (d, v); its weights are P times this.
        dual: A of Moneta, from which its weights are computed; empty for all other memories.
        momentum: S, the past surprise, or Adam's first moment; empty for other optimizers.
        squares: Adam's second moment; empty for other optimizers.
        inverse: P = (λI + Σ k kᵀ)⁻¹ of a least-squares memory, float64 (d, d); (0, 0) for all other memories.
        recent_keys: The last window − 1 keys, (r, d).
        recent_values: Values of the recent keys, (r, v).
        usual: Sum of the recent surprises and their number, both with exponential decay, float64 (2,); see
            `SurpriseMetric`.
        key_sum: Σ k, (d,). Divided by `tokens` it is the mean that late interaction subtracts.
        tokens: Number of keys written.
        updates: Number of steps that the optimizer has taken (Adam's bias correction needs it; it also gives ages).
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
        """Make the state of an empty memory; equal specs give equal bytes.

        Args:
            spec: The memory's choices.
            dtype: Type of keys, values and first-order weights. Weights of least squares are always float64, because
                the inverse needs it. None stands for float64 with least squares, and for float32 otherwise.
        """
        dtype = dtype or (torch.float64 if isinstance(spec.optimizer, LeastSquares) else torch.float32)
        generator = torch.Generator().manual_seed(spec.seed)
        if isinstance(spec.optimizer, LeastSquares):
            start = [torch.zeros(spec.dim, spec.values, dtype=torch.float64)]
            inverse = torch.eye(spec.dim, dtype=torch.float64) / spec.optimizer.ridge
        else:
            start = [layer.to(dtype) for layer in spec.architecture.initial(spec.dim, spec.values, generator)]
            inverse = torch.zeros(0, 0, dtype=torch.float64)
        # Retention limits the possible weights: for example, Memora's first weights must be on the simplex.
        weights = tuple(spec.retention.primal(layer) for layer in start)
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
        """Return all parts of the state as tensors by name, for saving; `from_tensors` restores every bit."""
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
        """Restore a state from the tensors that `tensors` returned.

        Args:
            spec: The memory's choices.
            tensors: The tensors by name.

        Returns:
            The state; None if the tensors do not fit the spec. This is not an error, because the weights are a cache
            that can be rebuilt.
        """
        if "key_sum" not in tensors or not tensors["key_sum"].is_floating_point():
            return None
        empty = cls.initial(spec, tensors["key_sum"].dtype)
        expected = empty.tensors()
        for name, template in expected.items():
            tensor = tensors.get(name)
            if tensor is None or tensor.dtype != template.dtype:
                return None
            # The recent pairs are the only tensors whose length varies.
            may_grow = name.startswith("recent_") and tensor.dim() == 2 and len(tensor) < spec.window
            fits = tensor.shape[1:] == template.shape[1:] if may_grow else tensor.shape == template.shape
            if not fits:
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
    return tuple(torch.zeros_like(tensor) for tensor in like)


@lru_cache(maxsize=8)
def empty_weights(spec: MemorySpec, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Return M_0, the weights of an empty memory; every surprise is measured against them."""
    return MemoryState.initial(spec, dtype).weights
