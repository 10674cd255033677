"""The fast-weight memory: pure functions over (spec, state). Knows torch, and of the package only its errors."""

from titans_core.neural.least_squares import surprise, write, write_sequentially
from titans_core.neural.spec import MemorySpec
from titans_core.neural.state import MemoryState

__all__ = [
    "MemorySpec",
    "MemoryState",
    "surprise",
    "write",
    "write_sequentially",
]
