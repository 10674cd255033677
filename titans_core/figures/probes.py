"""The memories that a history follows: each learns turn by turn, and notes what happens in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from titans_core.neural import MLP, MemorySpec, MemoryState, SurpriseMetric, address_codes, fullness, read, write
from titans_core.storage import decode_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from titans_core.storage import TurnRecord

CODES = 512
"""Numbers of a code, the value of the least-squares memories."""

BANDS = 48
"""Bands of rows that a first-order memory's updates are shown in, the same number for each layer."""


@dataclass(frozen=True, slots=True)
class TurnKeys:
    """One turn as a memory learns it.

    Attributes:
        position: in the log.
        passages: float32 (t, d), the keys of each passage that has any.
    """

    position: int
    passages: list[Tensor]

    @classmethod
    def of(cls, record: TurnRecord, dim: int) -> TurnKeys:
        """The decoded keys of a record."""
        packed = [passage.keys for passage in record.passages if passage.keys]
        return cls(record.position, [torch.from_numpy(decode_keys(keys, dim)) for keys in packed])

    @property
    def tokens(self) -> int:
        """How many keys there are."""
        return sum(len(keys) for keys in self.passages)

    def code(self, size: int) -> Tensor:
        """The turn's address, (1, size)."""
        return address_codes([self.position], size)


class LeastSquaresProbe:
    """The memory itself: learns as `TitansMemory` does, passage by passage.

    Attributes:
        tokens: for each turn looked at the momentary surprise of its tokens, float64 (t,).
        relative: its mean surprise against what was usual; NaN without tokens.
        learned: the share of its tokens that were written.
        fullness: after it.
        norm: ‖W‖ after it.
    """

    def __init__(self, spec: MemorySpec) -> None:
        """A memory that has learned nothing, of a least-squares spec with `CODES` values."""
        self._spec = spec
        self._state = MemoryState.initial(spec)
        self.tokens: list[NDArray[np.float64]] = []
        self.relative: list[float] = []
        self.learned: list[float] = []
        self.fullness: list[float] = []
        self.norm: list[float] = []

    def learn(self, turn: TurnKeys, *, repeated: bool, look: bool) -> None:
        """Learn the next turn.

        Args:
            turn: the turn.
            repeated: whether it only surprises, and is not written.
            look: whether to note what it was like.
        """
        surprises, relatives, written = [np.zeros(0)], [np.zeros(0)], 0
        code = turn.code(CODES).double()
        for keys in turn.passages:
            usual = SurpriseMetric.of(self._state.usual)
            after, surprised = write(self._spec, self._state, keys.double(), code.expand(len(keys), -1))
            surprises.append(surprised.momentary.numpy())
            relatives.append(usual.relative(surprised.momentary).numpy())
            if not repeated:
                self._state = after
                written += len(keys) * usual.opens(self._spec.gate, surprised.momentary)
        if look:
            self.tokens.append(np.concatenate(surprises))
            self.relative.append(mean(np.concatenate(relatives)))
            self.learned.append(written / max(turn.tokens, 1))
            self.fullness.append(fullness(self._spec, self._state))
            # In float32, since this product is most of the work of looking.
            self.norm.append(float((self._state.inverse.float() @ self._state.weights[0].float()).norm()))


class MomentumProbe:
    """A first-order memory, whose weights move by momentum.

    Attributes:
        rows: for each turn its mean momentary and past surprise, and the norms of weights and momentum after it.
        updates: for each turn the norm of what it changed in each band.
        layers: how many layers share the bands.
        bands: how many bands there are in all.
    """

    def __init__(self, spec: MemorySpec) -> None:
        """A memory that has learned nothing."""
        self._spec = spec
        self._state = MemoryState.initial(spec)
        # Layer normalisation answers at length √v: only values of that length can be learned.
        shape = spec.architecture
        self._length = spec.values**0.5 if isinstance(shape, MLP) and shape.norm else 1.0
        self.layers = len(self._state.weights)
        self.bands = BANDS // self.layers * self.layers
        self.rows: list[tuple[float, float, float, float]] = []
        self.updates: list[list[float]] = []

    def learn(self, turn: TurnKeys) -> None:
        """Learn the next turn."""
        before = self._state.weights
        value = self._length * turn.code(self._spec.values)
        momentary, past = [np.zeros(0)], [np.zeros(0)]
        for keys in turn.passages:
            self._state, surprised = write(self._spec, self._state, keys, value.expand(len(keys), -1))
            momentary.append(surprised.momentary.numpy())
            past.append(surprised.past.numpy())
        norms = (_norm(self._state.weights), _norm(self._state.momentum))
        self.rows.append((mean(np.concatenate(momentary)), mean(np.concatenate(past)), *norms))
        self.updates.append(
            [
                float(band.norm())
                for new, old in zip(self._state.weights, before, strict=True)
                for band in torch.tensor_split(new - old, BANDS // self.layers)
            ]
        )


class RetentionProbe:
    """A memory that is asked for each turn twice: when the turn was written, and at the end."""

    def __init__(self, spec: MemorySpec) -> None:
        """A memory that has learned nothing, of a least-squares spec with `CODES` values."""
        self._spec = spec
        self._state = MemoryState.initial(spec)
        self._keys: list[Tensor] = [torch.zeros(0, spec.dim).double()]
        self._codes: list[Tensor] = [torch.zeros(0, CODES).double()]
        self._first: list[Tensor] = [torch.zeros(0).double()]
        self._written: list[int] = []

    def learn(self, turn: TurnKeys) -> None:
        """Learn the next turn."""
        code = turn.code(CODES).double()
        for keys in turn.passages:
            self._state, _ = write(self._spec, self._state, keys.double(), code.expand(len(keys), -1))
        key = torch.cat([torch.zeros(0, self._spec.dim), *turn.passages]).double().mean(0, keepdim=True)
        self._keys.append(key)
        self._codes.append(code)
        self._first.append(self._answers(key, code))
        self._written.append(self._state.updates)

    def writes(self) -> NDArray[np.int64]:
        """For each turn the writes since, (n,)."""
        return self._state.updates - np.array(self._written, np.int64)

    def left(self) -> NDArray[np.float64]:
        """For each turn the answer now against the first, (n,); NaN where the first was nothing."""
        first = torch.cat(self._first)
        now = self._answers(torch.cat(self._keys), torch.cat(self._codes))
        share: NDArray[np.float64] = torch.where(first > 0, now / first, torch.nan).numpy()
        return share

    def _answers(self, keys: Tensor, codes: Tensor) -> Tensor:
        """⟨W k, code⟩ for each key, (n,)."""
        return (read(self._spec, self._state, keys) * codes).sum(-1)


def mean(values: NDArray[np.float64]) -> float:
    """The mean; NaN of nothing."""
    return float(values.mean()) if len(values) else math.nan


def _norm(tensors: tuple[Tensor, ...]) -> float:
    return math.hypot(*(float(tensor.norm()) for tensor in tensors))
