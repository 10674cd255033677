"""Progress of work that takes long: the same argument everywhere."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Advance: TypeAlias = Callable[[int, int], None]
"""A function that takes the number of steps done and the number of all steps."""

Progress: TypeAlias = bool | Advance
"""True shows a bar on standard error, False shows nothing; a function is called after each step."""


@contextmanager
def progress_bar(progress: Progress, *, unit: str, description: str) -> Iterator[Advance]:
    """Report the progress of the work inside the block.

    Args:
        progress: How to report it.
        unit: What one step is, for the bar.
        description: What the work is, for the bar.

    Yields:
        The function to call after each step.
    """
    if callable(progress):
        yield progress
        return
    if not progress:
        yield _no_progress  # a bar that is not shown would still start a thread
        return
    from tqdm import tqdm  # only who wants a bar waits for it to be imported

    with tqdm(unit=unit, desc=description) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance


def _no_progress(done: int, total: int) -> None:
    """Report nothing."""
