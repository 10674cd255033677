"""What a memory does, as custom events of the run: labels and times, never the text.

A callback handler sees them in `on_custom_event`, `astream_events` as `on_custom_event`:

* `titans_recall`: see `titans_core.integration.recall_event`;
* `titans_memorize`: see `titans_core.integration.memorize_event`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event

from titans_core.integration import memorize_event, recall_event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.runnables import RunnableConfig

    from titans_core import Memorized, Recollection, TitansMemory, Turn

LOGGER = "titans_langchain"
"""Where a memory that fails is told of."""

RECALLED = "titans_recall"
MEMORIZED = "titans_memorize"


def recall(memory: TitansMemory, query: str, config: RunnableConfig | None, **limits: Any) -> Recollection:
    """`memory.recall`, told to the run's callbacks."""
    start = time.perf_counter()
    found = memory.recall(query, **limits)
    _tell(RECALLED, recall_event(memory, found, start), config)
    return found


async def arecall(memory: TitansMemory, query: str, config: RunnableConfig | None, **limits: Any) -> Recollection:
    """`recall` off the event loop."""
    start = time.perf_counter()
    found = await memory.arecall(query, **limits)
    await _atell(RECALLED, recall_event(memory, found, start), config)
    return found


def memorize(memory: TitansMemory, turns: Sequence[Turn], config: RunnableConfig | None) -> list[Memorized]:
    """`memory.memorize_many`, told to the run's callbacks."""
    start = time.perf_counter()
    receipts = memory.memorize_many(turns)
    _tell(MEMORIZED, memorize_event(memory, receipts, start), config)
    return receipts


async def amemorize(memory: TitansMemory, turns: Sequence[Turn], config: RunnableConfig | None) -> list[Memorized]:
    """`memorize` off the event loop."""
    start = time.perf_counter()
    receipts = await memory.amemorize_many(turns)
    await _atell(MEMORIZED, memorize_event(memory, receipts, start), config)
    return receipts


def _tell(name: str, data: dict[str, Any], config: RunnableConfig | None) -> None:
    # An event belongs to a run. Outside of one, as in a tool that is called by hand, nobody listens.
    if _in_run(config):
        dispatch_custom_event(name, data, config=config)


async def _atell(name: str, data: dict[str, Any], config: RunnableConfig | None) -> None:
    if _in_run(config):
        await adispatch_custom_event(name, data, config=config)


def _in_run(config: RunnableConfig | None) -> bool:
    return getattr((config or {}).get("callbacks"), "parent_run_id", None) is not None
