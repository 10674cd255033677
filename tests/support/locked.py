"""A memory that is busy, for tests of which calls wait for it and which calls do not."""

import threading
from contextlib import contextmanager


@contextmanager
def locked(memory):
    """Hold the memory's lock in another thread.

    Yields:
        A function that releases the lock. The end of the block releases it too.
    """
    held, release = threading.Event(), threading.Event()

    def hold():
        with memory._learned.lock:
            held.set()
            release.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    try:
        yield release.set
    finally:
        release.set()
        holder.join()
