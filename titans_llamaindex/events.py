"""What a memory does, as events of LlamaIndex's instrumentation: labels and times, never the text."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from llama_index.core.instrumentation.events import BaseEvent
from llama_index_instrumentation import get_dispatcher

from titans_core import integration
from titans_core.integration import memorize_event, recall_event

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from titans_core import Memorized, Recollection, TitansMemory, Turn

_DISPATCHER = get_dispatcher("titans_llamaindex")


class TitansRecallEvent(BaseEvent):
    """A memory was asked.

    Attributes:
        tenant: whose memory.
        confidence: the label, "high", "low" or "none".
        probability: in [0, 1], that the first recall answers; None if the label comes without one.
        recalls: how many came back.
        seconds: what it took.
    """

    tenant: str
    confidence: str
    probability: float | None
    recalls: int
    seconds: float

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex knows it by."""
        return "TitansRecallEvent"


class TitansMemorizeEvent(BaseEvent):
    """Turns were memorized.

    Attributes:
        tenant: whose memory.
        turns: how many.
        surprise: in [0, 1], the mean of theirs.
        seconds: what it took.
    """

    tenant: str
    turns: int
    surprise: float
    seconds: float

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex knows it by."""
        return "TitansMemorizeEvent"


class TitansFailureEvent(BaseEvent):
    """A memory failed, and the conversation went on without it.

    Attributes:
        what: it was to do, "recall" or "memorize".
        error: the class of the error.
    """

    what: str
    error: str

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex knows it by."""
        return "TitansFailureEvent"


def recall(memory: TitansMemory, query: str, **limits: Any) -> Recollection:
    """`memory.recall`, told to the dispatcher."""
    start = time.perf_counter()
    return _recalled(memory, memory.recall(query, **limits), start)


async def arecall(memory: TitansMemory, query: str, **limits: Any) -> Recollection:
    """`recall` off the event loop."""
    start = time.perf_counter()
    return _recalled(memory, await memory.arecall(query, **limits), start)


def memorize(memory: TitansMemory, turns: Sequence[Turn]) -> list[Memorized]:
    """`memory.memorize_many`, told to the dispatcher."""
    start = time.perf_counter()
    return _memorized(memory, memory.memorize_many(turns), start)


async def amemorize(memory: TitansMemory, turns: Sequence[Turn]) -> list[Memorized]:
    """`memorize` off the event loop."""
    start = time.perf_counter()
    return _memorized(memory, await memory.amemorize_many(turns), start)


def log_failures(what: str, *, raise_errors: bool) -> AbstractContextManager[None]:
    """Log and tell whatever fails inside: the conversation goes on without the memory.

    Args:
        what: the memory was to do.
        raise_errors: whether to raise it instead.
    """
    but = (Exception,) if raise_errors else ()
    return integration.log_failures(what, *but, logger="titans_llamaindex", tell=partial(_failed, what))


def _failed(what: str, error: Exception) -> None:
    _DISPATCHER.event(TitansFailureEvent(what=what, error=type(error).__name__))


def _recalled(memory: TitansMemory, found: Recollection, start: float) -> Recollection:
    _DISPATCHER.event(TitansRecallEvent(**recall_event(memory, found, start)))
    return found


def _memorized(memory: TitansMemory, receipts: list[Memorized], start: float) -> list[Memorized]:
    if receipts:
        _DISPATCHER.event(TitansMemorizeEvent(**memorize_event(memory, receipts, start)))
    return receipts
