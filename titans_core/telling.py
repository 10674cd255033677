"""What adapters tell their framework's listeners: labels and times, never the text."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titans_core.memory import TitansMemory
    from titans_core.types import Memorized, Recollection


def recalled(memory: TitansMemory, found: Recollection, start: float) -> dict[str, Any]:
    """About a recall.

    Args:
        memory: that was asked.
        found: its answer.
        start: when it was asked, by `time.perf_counter`.

    Returns:
        `tenant`, `confidence` ("high", "low" or "none"), `probability` (in [0, 1], that the first recall answers;
        None if the label comes without one), `recalls` (their number) and `seconds`.
    """
    return {
        "tenant": memory.tenant,
        "confidence": found.confidence.value,
        "probability": found.probability,
        "recalls": len(found),
        "seconds": time.perf_counter() - start,
    }


def memorized(memory: TitansMemory, receipts: Sequence[Memorized], start: float) -> dict[str, Any]:
    """About turns that were memorized.

    Args:
        memory: that learned them.
        receipts: theirs, at least one.
        start: when it began, by `time.perf_counter`.

    Returns:
        `tenant`, `turns` (their number), `surprise` (in [0, 1], the mean of theirs) and `seconds`.
    """
    return {
        "tenant": memory.tenant,
        "turns": len(receipts),
        "surprise": sum(receipt.surprise for receipt in receipts) / len(receipts),
        "seconds": time.perf_counter() - start,
    }
