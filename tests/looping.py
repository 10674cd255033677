"""How long a slow memory keeps the event loop waiting."""

import asyncio
import time

READING = 0.5
"""Seconds that the reader of `slow_memory` takes for a text."""


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
