"""Events of LlamaIndex's instrumentation that report what a memory does: labels and times, never texts."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from llama_index.core.instrumentation.events import BaseEvent
from llama_index_instrumentation import get_dispatcher

from titans_core.integration import log_failures, memorize_event, recall_event

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from titans_core import Memorized, Recollection, TitansMemory, Turn

_NAME = "titans_llamaindex"  # of the dispatcher and of the logger
_DISPATCHER = get_dispatcher(_NAME)


class _NamedEvent(BaseEvent):
    """An event that LlamaIndex shows under the name of its class."""

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex shows the event."""
        return cls.__name__


class TitansRecallEvent(_NamedEvent):
    """A memory has answered a query.

    Attributes:
        tenant: Tenant of the memory.
        confidence: Label of the answer: "high", "low" or "none".
        probability: Probability in [0, 1] that the first recall answers the query; None if the label comes without
            one.
        recalls: Number of recalls.
        seconds: Duration of the recall.
    """

    tenant: str
    confidence: str
    probability: float | None
    recalls: int
    seconds: float


class TitansMemorizeEvent(_NamedEvent):
    """A memory has memorized turns.

    Attributes:
        tenant: Tenant of the memory.
        turns: Number of turns, >= 1.
        surprise: Mean surprise of the turns, in [0, 1].
        seconds: Duration of the call.
    """

    tenant: str
    turns: int
    surprise: float
    seconds: float


class TitansFailureEvent(_NamedEvent):
    """A memory has failed, and the conversation continues without it.

    Attributes:
        what: The operation that failed: "recall", "recall the profile" or "memorize".
        error: Name of the error's class.
    """

    what: str
    error: str


def recall(memory: TitansMemory, query: str, **limits: Any) -> Recollection:
    """Call `memory.recall` and send a `TitansRecallEvent`.

    Args:
        memory: Memory to search.
        query: Query text.
        **limits: Options of `TitansMemory.recall`.
    """
    start = time.perf_counter()
    return _send_recall(memory, memory.recall(query, **limits), start)


async def arecall(memory: TitansMemory, query: str, **limits: Any) -> Recollection:
    """Like `recall`, without blocking the event loop."""
    start = time.perf_counter()
    return _send_recall(memory, await memory.arecall(query, **limits), start)


def memorize(memory: TitansMemory, turns: Sequence[Turn]) -> list[Memorized]:
    """Call `memory.memorize_many` and send a `TitansMemorizeEvent`.

    Args:
        memory: Memory to write to.
        turns: Turns to memorize. Without turns, no event is sent.
    """
    start = time.perf_counter()
    return _send_memorize(memory, memory.memorize_many(turns), start)


async def amemorize(memory: TitansMemory, turns: Sequence[Turn]) -> list[Memorized]:
    """Like `memorize`, without blocking the event loop."""
    start = time.perf_counter()
    return _send_memorize(memory, await memory.amemorize_many(turns), start)


def report_failures(what: str, *, raise_errors: bool) -> AbstractContextManager[None]:
    """Log an error of the enclosed block and send a `TitansFailureEvent`, so that the conversation can continue.

    Args:
        what: The operation inside the block: "recall", "recall the profile" or "memorize".
        raise_errors: Whether to raise the error instead. An `InvalidTenantError` is always raised.
    """
    raised = (Exception,) if raise_errors else ()
    return log_failures(what, *raised, logger=_NAME, tell=partial(_send_failure, what))


def _send_failure(what: str, error: Exception) -> None:
    _DISPATCHER.event(TitansFailureEvent(what=what, error=type(error).__name__))


def _send_recall(memory: TitansMemory, found: Recollection, start: float) -> Recollection:
    _DISPATCHER.event(TitansRecallEvent(**recall_event(memory, found, start)))
    return found


def _send_memorize(memory: TitansMemory, receipts: list[Memorized], start: float) -> list[Memorized]:
    if receipts:
        _DISPATCHER.event(TitansMemorizeEvent(**memorize_event(memory, receipts, start)))
    return receipts
