"""Async variants of blocking methods."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


def async_twin(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Make the async variant of a method: it runs the method in a worker thread, so that the event loop stays free.

    Args:
        method: The blocking method.

    Returns:
        The async method; its name is the method's name with an `a` before it.
    """

    async def run_in_thread(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.to_thread(method, self, *args, **kwargs)

    run_in_thread.__name__ = f"a{method.__name__}"
    run_in_thread.__doc__ = f"`{method.__name__}` in a worker thread, so that the event loop stays free."
    # So that help and editors show the method's own arguments.
    run_in_thread.__signature__ = inspect.signature(method)  # type: ignore[attr-defined]
    return run_in_thread
