"""Long-term memory that learns each conversation turn at test time.

    from titans_core import TitansMemory

    with TitansMemory.open("memory.db", tenant="alice") as memory:
        memory.memorize("The secret code is X-8-DELTA-9.", speaker="user")
        found = memory.recall("What is the secret code?")

`import titans_core` loads no torch: what needs it is imported on first use.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from titans_core import errors
from titans_core._utils.lazy import lazy_names
from titans_core.errors import TitansError
from titans_core.types import Confidence, Memorized, Recall, Recollection, Stats, Turn

if TYPE_CHECKING:
    from titans_core.memory.bank import MemoryBank
    from titans_core.memory.memory import TitansMemory

__version__ = version("titans-core")

__all__ = [
    "Confidence",
    "Memorized",
    "MemoryBank",
    "Recall",
    "Recollection",
    "Stats",
    "TitansError",
    "TitansMemory",
    "Turn",
    "__version__",
    "errors",
]

__getattr__ = lazy_names(
    __name__, {"MemoryBank": "titans_core.memory.bank", "TitansMemory": "titans_core.memory.memory"}
)


def __dir__() -> list[str]:
    return sorted(__all__)
