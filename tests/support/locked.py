"""A memory that is busy: for tests of what waits for it, and what must not."""

import threading
from contextlib import contextmanager


@contextmanager
def locked(memory):
    """Another thread holds the memory's lock until the block calls what it is given, or ends."""
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
