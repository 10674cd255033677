"""The neural memory as one object, for prototypes: a spec, a state, and the functions between them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from titans_core.neural.serialization import dump_state, load_state
from titans_core.neural.state import MemoryState
from titans_core.neural.write import read, surprise, write

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from titans_core.neural.gates import Gates
    from titans_core.neural.spec import MemorySpec
    from titans_core.neural.surprise import Surprise


class NeuralMemory:
    """Fast weights that learn key–value pairs while they are used.

    Example:
        memory = NeuralMemory(PRESETS["titans"](384, 384))
        memory.write(keys, values)
        memory.read(keys)

    Attributes:
        spec: the memory's choices.
        state: what it has learned.
    """

    state: MemoryState

    def __init__(self, spec: MemorySpec, *, dtype: torch.dtype | None = None) -> None:
        """A memory that has learned nothing; `dtype` as in `MemoryState.initial`."""
        self.spec = spec
        self._dtype = dtype
        self.reset()

    def write(self, keys: Tensor, values: Tensor | None = None, gates: Gates | None = None) -> Surprise:
        """Learn pairs (see `write`), and return their surprise."""
        self.state, surprised = write(self.spec, self.state, keys, values, gates)
        return surprised

    def read(self, keys: Tensor) -> Tensor:
        """What the memory answers to keys (n, d): (n, v)."""
        return read(self.spec, self.state, keys)

    def surprise(self, keys: Tensor, values: Tensor | None = None) -> Tensor:
        """How much pairs would surprise it, float64 (n,); learns nothing."""
        return surprise(self.spec, self.state, keys, values)

    def reset(self) -> None:
        """Forget everything: the bytes of the state are those of a new memory."""
        self.state = MemoryState.initial(self.spec, self._dtype)

    def save(self, path: str | Path, *, position: int = 0) -> None:
        """Save the state as a safetensors file; `position` as in `dump_state`."""
        Path(path).write_bytes(dump_state(self.spec, self.state, position=position))

    def load(self, path: str | Path) -> int:
        """Take a saved state, and return its position.

        Raises:
            CorruptStateError: the file is damaged, or of another spec; the memory stays as it was.
        """
        self.state, position = load_state(self.spec, Path(path).read_bytes())
        return position
