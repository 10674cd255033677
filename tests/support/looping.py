"""Whether slow work keeps the event loop waiting; its thread tells, a stopwatch would tell about the machine."""

import asyncio
import time

_loops = []


def slow_work():
    """Stands for what takes long: a model's reading, a file's opening."""
    try:
        _loops.append(asyncio.get_running_loop())
    except RuntimeError:  # in a thread of its own, as it should
        _loops.append(None)


async def stops_the_loop(work):
    """Whether this loop had to wait for slow work, of which there must be some."""
    _loops.clear()
    await work
    assert _loops, "nothing slow was done"
    return asyncio.get_running_loop() in _loops


async def longest_stop_during(work):
    """Seconds for which nothing else could run on the loop."""
    task = asyncio.ensure_future(work)
    longest, last = 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await task
    return longest
