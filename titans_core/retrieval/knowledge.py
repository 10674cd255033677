"""What a recall knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from titans_core.neural import MemorySpec, MemoryState
    from titans_core.retrieval.index import Index
    from titans_core.storage import TurnLog


@dataclass(frozen=True, slots=True)
class Knowledge:
    """A tenant's log, and what was learned of it.

    Attributes:
        log: The tenant's log; texts and token keys are read from it.
        index: The columns of all turns and passages in the log.
        spec: The neural memory's choices.
        state: The weights after the last turn of the index.
    """

    log: TurnLog
    index: Index
    spec: MemorySpec
    state: MemoryState
