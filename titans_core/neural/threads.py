"""The number of threads that torch may use: one while it learns, and one after a fork."""

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
    """Run the block with one thread of torch, so that the weights have the same bytes on any number of cores.

    With one thread, matrix products are summed in the same order on every machine. Products of this size gain little
    from a second thread, and become much slower when another process needs that core.
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
    """Use one thread from now on: a forked process lacks its parent's threads, and would wait for them forever."""
    torch.set_num_threads(1)
    threadpool_limits(1)


# This must run at once, in the thread that forked, because that thread would wait, in a reader or in a memory.
at_fork("threads", after_in_child=_after_fork)
