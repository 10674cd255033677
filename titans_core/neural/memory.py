"""The neural memory as one object, for prototypes: a spec, a state, and the functions that use them."""

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
    """A memory with fast weights, which learns key–value pairs while it is used.

    Attributes:
        spec: The memory's choices.
        state: The memory's current state.

    Example:
        ```python
        memory = NeuralMemory(PRESETS["titans"](384, 384))
        memory.write(keys, values)
        memory.read(keys)
        ```
    """

    state: MemoryState

    def __init__(self, spec: MemorySpec, *, dtype: torch.dtype | None = None) -> None:
        """Make an empty memory.

        Args:
            spec: The memory's choices.
            dtype: Type of the numbers, as in `MemoryState.initial`.
        """
        self.spec = spec
        self._dtype = dtype
        self.reset()

    def write(self, keys: Tensor, values: Tensor | None = None, gates: Gates | None = None) -> Surprise:
        """Learn key–value pairs.

        Args:
            keys: The keys, (n, d).
            values: The values, (n, v); None as in the function `write`.
            gates: Gates of the n tokens; None for the spec's constants.

        Returns:
            The surprise of each token.

        Raises:
            InvalidSpecError: The shapes do not fit the spec, or a gate is out of range.
        """
        self.state, surprised = write(self.spec, self.state, keys, values, gates)
        return surprised

    def read(self, keys: Tensor) -> Tensor:
        """Return the memory's answers (n, v) to keys (n, d)."""
        return read(self.spec, self.state, keys)

    def surprise(self, keys: Tensor, values: Tensor | None = None) -> Tensor:
        """Measure how surprising pairs would be, without learning them.

        Args:
            keys: The keys, (n, d).
            values: The values, (n, v); None as in the function `surprise`.

        Returns:
            The momentary surprise of each pair, float64 (n,).
        """
        return surprise(self.spec, self.state, keys, values)

    def reset(self) -> None:
        """Forget everything: the state then has the same bytes as that of a new memory."""
        self.state = MemoryState.initial(self.spec, self._dtype)

    def save(self, path: str | Path, *, position: int = 0) -> None:
        """Save the state as a safetensors file.

        Args:
            path: Path of the file; an existing file is replaced.
            position: Position in the log, as in `dump_state`.
        """
        Path(path).write_bytes(dump_state(self.spec, self.state, position=position))

    def load(self, path: str | Path) -> int:
        """Load a saved state.

        Args:
            path: Path of a file that `save` wrote.

        Returns:
            The position that was saved with the state.

        Raises:
            CorruptStateError: The file is damaged, or has the state of another spec; the memory stays unchanged.
        """
        self.state, position = load_state(self.spec, Path(path).read_bytes())
        return position
