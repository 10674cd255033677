"""Checks whether slow work blocks the event loop.

The check looks at the thread in which the work runs. A measured time would depend on how busy the machine is.
"""

import asyncio
import time

_loops = []


def slow_work():
    """Record the event loop of this thread.

    Tests call it in place of slow work, such as reading a text or opening a file.
    """
    try:
        _loops.append(asyncio.get_running_loop())
    except RuntimeError:  # the work runs in a thread without an event loop, as it should
        _loops.append(None)


async def stops_the_loop(work):
    """Await `work`, which must call `slow_work`. Return whether slow work ran on this event loop."""
    _loops.clear()
    await work
    assert _loops, "nothing slow was done"
    return asyncio.get_running_loop() in _loops


async def longest_stop_during(work):
    """Await `work`. Return the longest time in seconds for which nothing else could run on the event loop."""
    task = asyncio.ensure_future(work)
    longest, last = 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await task
    return longest
