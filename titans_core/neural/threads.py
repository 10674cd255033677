"""How many threads torch may use: one for learning, and one after a fork."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from threadpoolctl import threadpool_limits

from titans_core._utils.fork import at_fork

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def one_thread() -> Iterator[None]:
    """Products are summed in the same order on every machine, so that weights are the same bytes however many cores.

    Products of this size gain little from a second thread, and lose much where another process wants it.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _after_fork() -> None:
    """Stay on one thread from now on: a forked process has none of its parent's, and would wait for them forever."""
    torch.set_num_threads(1)
    threadpool_limits(1)


# At once, in the thread that forked: it is the one that would wait, in a reader or in a memory.
at_fork("threads", after_in_child=_after_fork)
