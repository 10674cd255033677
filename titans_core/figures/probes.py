"""Probes: memories that learn a log turn by turn, and record measurements of themselves for a history."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from titans_core.neural import MLP, MemorySpec, MemoryState, SurpriseMetric, address_codes, fullness, read, write
from titans_core.retrieval import acts_of
from titans_core.retrieval.english import SpeechAct
from titans_core.storage import decode_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from titans_core.storage import TurnRecord

CODE_SIZE = 512
"""Length of an address code, which is the value that a least-squares memory learns."""

BANDS = 48
"""Number of bands of rows, over all layers, for which the updates of a first-order memory are recorded."""


@dataclass(frozen=True, slots=True)
class TurnKeys:
    """The keys of one turn, as a memory learns them.

    Attributes:
        position: Position of the turn in the log.
        passages: Keys of each passage that has keys, float32 (t, d).
        told: Whether each of these passages tells something; the memory does not write the others.
    """

    position: int
    passages: list[Tensor]
    told: list[bool]

    @classmethod
    def from_record(cls, record: TurnRecord, dim: int) -> TurnKeys:
        """Decode the keys of a record.

        Args:
            record: Record of the turn, with its keys.
            dim: Length d of a key.
        """
        pairs = zip(record.passages, acts_of(record), strict=True)
        found = [(passage.keys, act is SpeechAct.TELL) for passage, act in pairs if passage.keys]
        keys = [torch.from_numpy(decode_keys(packed, dim)) for packed, _ in found]
        return cls(record.position, keys, [told for _, told in found])

    @property
    def tokens(self) -> int:
        """Number of keys of the turn."""
        return sum(len(keys) for keys in self.passages)

    def code(self, size: int) -> Tensor:
        """Return the address code of the turn, (1, size)."""
        return address_codes([self.position], size)


class LeastSquaresProbe:
    """A copy of the replayed memory: it learns as `TitansMemory` does, passage by passage.

    Attributes:
        tokens: For each recorded turn, the momentary surprise of its tokens, float64 (t,).
        relative: For each recorded turn, its mean relative surprise; NaN without tokens.
        learned: For each recorded turn, the share of its tokens that were written.
        fullness: For each recorded turn, the fullness of the memory after it.
        norm: For each recorded turn, ‖W‖ after it.
    """

    def __init__(self, spec: MemorySpec) -> None:
        """Make an empty memory.

        Args:
            spec: A least-squares spec with `values=CODE_SIZE`.
        """
        self._spec = spec
        self._state = MemoryState.initial(spec)
        self.tokens: list[NDArray[np.float64]] = []
        self.relative: list[float] = []
        self.learned: list[float] = []
        self.fullness: list[float] = []
        self.norm: list[float] = []

    def learn(self, turn: TurnKeys, *, repeated: bool, record: bool) -> None:
        """Learn the next turn.

        Args:
            turn: The turn.
            repeated: Whether the turn repeats an earlier one; then its surprise is measured, but it is not written.
            record: Whether to record measurements of the turn.
        """
        surprises, relatives, written = [np.zeros(0)], [np.zeros(0)], 0
        code = turn.code(CODE_SIZE).double()
        for keys, told in zip(turn.passages, turn.told, strict=True):
            usual = SurpriseMetric.of(self._state.usual)
            after, surprised = write(self._spec, self._state, keys.double(), code.expand(len(keys), -1))
            surprises.append(surprised.momentary.numpy())
            relatives.append(usual.relative(surprised.momentary).numpy())
            if told and not repeated:
                self._state = after
                written += len(keys) * usual.opens(self._spec.gate, surprised.momentary)
        if record:
            self.tokens.append(np.concatenate(surprises))
            self.relative.append(mean(np.concatenate(relatives)))
            self.learned.append(written / max(turn.tokens, 1))
            self.fullness.append(fullness(self._spec, self._state))
            # float32, because this product takes most of the time of a recorded turn.
            self.norm.append(float((self._state.inverse.float() @ self._state.weights[0].float()).norm()))


class MomentumProbe:
    """A first-order memory, by default one with momentum.

    Attributes:
        rows: For each turn, its mean momentary surprise, its mean past surprise, and the norms of the weights and of
            the momentum after it.
        updates: For each turn, the norm of the change that it made in each band.
        layers: Number of layers; each has the same number of bands.
        bands: Number of bands of all layers together.
    """

    def __init__(self, spec: MemorySpec) -> None:
        """Make an empty memory.

        Args:
            spec: A spec of any first-order memory.
        """
        self._spec = spec
        self._state = MemoryState.initial(spec)
        # Layer normalisation gives answers of length √v, so only values of that length can be learned.
        architecture = spec.architecture
        self._length = spec.values**0.5 if isinstance(architecture, MLP) and architecture.norm else 1.0
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
    """A memory that is asked for each turn twice: right after the turn is written, and at the end."""

    def __init__(self, spec: MemorySpec) -> None:
        """Make an empty memory.

        Args:
            spec: A least-squares spec with `values=CODE_SIZE`.
        """
        self._spec = spec
        self._state = MemoryState.initial(spec)
        self._keys: list[Tensor] = [torch.zeros(0, spec.dim).double()]
        self._codes: list[Tensor] = [torch.zeros(0, CODE_SIZE).double()]
        self._first: list[Tensor] = [torch.zeros(0).double()]
        self._writes_at_turn: list[int] = []

    def learn(self, turn: TurnKeys) -> None:
        """Learn the next turn."""
        code = turn.code(CODE_SIZE).double()
        for keys in turn.passages:
            self._state, _ = write(self._spec, self._state, keys.double(), code.expand(len(keys), -1))
        key = torch.cat([torch.zeros(0, self._spec.dim), *turn.passages]).double().mean(0, keepdim=True)
        self._keys.append(key)
        self._codes.append(code)
        self._first.append(self._answers(key, code))
        self._writes_at_turn.append(self._state.updates)

    def later_writes(self) -> NDArray[np.int64]:
        """Return the number of writes after each turn, (n,)."""
        return self._state.updates - np.array(self._writes_at_turn, np.int64)

    def remaining(self) -> NDArray[np.float64]:
        """Return the present answer divided by the first answer for each turn, (n,).

        A turn whose first answer was not above 0 has NaN.
        """
        first = torch.cat(self._first)
        now = self._answers(torch.cat(self._keys), torch.cat(self._codes))
        share: NDArray[np.float64] = torch.where(first > 0, now / first, torch.nan).numpy()
        return share

    def _answers(self, keys: Tensor, codes: Tensor) -> Tensor:
        """Return ⟨W k, code⟩ for each key, (n,)."""
        return (read(self._spec, self._state, keys) * codes).sum(-1)


def mean(values: NDArray[np.float64]) -> float:
    """Return the mean of the values; NaN without values."""
    return float(values.mean()) if len(values) else math.nan


def _norm(tensors: tuple[Tensor, ...]) -> float:
    return math.hypot(*(float(tensor.norm()) for tensor in tensors))
