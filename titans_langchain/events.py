"""Custom events of a run that report what a memory does: labels and times, never texts.

A callback handler receives them in `on_custom_event`, and `astream_events` yields them as `on_custom_event`:

* `titans_recall`, with the fields of `titans_core.integration.recall_event`;
* `titans_memorize`, with the fields of `titans_core.integration.memorize_event`.
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
"""Name of the logger for failures of a memory."""

RECALL_EVENT = "titans_recall"
MEMORIZE_EVENT = "titans_memorize"


def recall(memory: TitansMemory, query: str, config: RunnableConfig | None, **limits: Any) -> Recollection:
    """Call `memory.recall` and send a `titans_recall` event.

    Args:
        memory: Memory to search.
        query: Query text.
        config: Config of the run that the event belongs to.
        **limits: Options of `TitansMemory.recall`.
    """
    start = time.perf_counter()
    found = memory.recall(query, **limits)
    _dispatch(RECALL_EVENT, recall_event(memory, found, start), config)
    return found


async def arecall(memory: TitansMemory, query: str, config: RunnableConfig | None, **limits: Any) -> Recollection:
    """Like `recall`, without blocking the event loop."""
    start = time.perf_counter()
    found = await memory.arecall(query, **limits)
    await _adispatch(RECALL_EVENT, recall_event(memory, found, start), config)
    return found


def memorize(memory: TitansMemory, turns: Sequence[Turn], config: RunnableConfig | None) -> list[Memorized]:
    """Call `memory.memorize_many` and send a `titans_memorize` event.

    Args:
        memory: Memory to write to.
        turns: Turns to memorize; at least one.
        config: Config of the run that the event belongs to.
    """
    start = time.perf_counter()
    receipts = memory.memorize_many(turns)
    _dispatch(MEMORIZE_EVENT, memorize_event(memory, receipts, start), config)
    return receipts


async def amemorize(memory: TitansMemory, turns: Sequence[Turn], config: RunnableConfig | None) -> list[Memorized]:
    """Like `memorize`, without blocking the event loop."""
    start = time.perf_counter()
    receipts = await memory.amemorize_many(turns)
    await _adispatch(MEMORIZE_EVENT, memorize_event(memory, receipts, start), config)
    return receipts


def _dispatch(name: str, data: dict[str, Any], config: RunnableConfig | None) -> None:
    if _is_in_run(config):
        dispatch_custom_event(name, data, config=config)


async def _adispatch(name: str, data: dict[str, Any], config: RunnableConfig | None) -> None:
    if _is_in_run(config):
        await adispatch_custom_event(name, data, config=config)


def _is_in_run(config: RunnableConfig | None) -> bool:
    """Whether the config belongs to a run. LangChain refuses events outside a run, such as a direct call of a tool."""
    return getattr((config or {}).get("callbacks"), "parent_run_id", None) is not None
