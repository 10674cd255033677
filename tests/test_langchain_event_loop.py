"""The LangChain adapter's async methods leave the event loop free while the model reads."""

import asyncio
import time

import pytest
from langchain_core.messages import HumanMessage

from titans_core import TitansMemory
from titans_langchain import TitansChatMessageHistory, TitansRetriever

READING = 0.5  # seconds


@pytest.fixture
def memory(reader):
    class SlowReader:
        """The real reader, on a slow machine."""

        dim, fingerprint = reader.dim, reader.fingerprint

        def read(self, *args, **kwargs):
            time.sleep(READING)
            return reader.read(*args, **kwargs)

    with TitansMemory.open(":memory:", tenant="alice", reader=SlowReader()) as memory:
        yield memory


async def longest_stop_during(work):
    """Seconds for which nothing else could run on the loop."""
    task = asyncio.create_task(work)
    longest, last = 0.0, time.perf_counter()
    while not task.done():
        await asyncio.sleep(0.01)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    await task
    return longest


async def test_ainvoke(memory):
    assert await longest_stop_during(TitansRetriever(memory=memory).ainvoke("When do we fly?")) < 0.8 * READING


async def test_aadd_messages(memory):
    history = TitansChatMessageHistory(memory, "monday")
    messages = [HumanMessage("We fly to Oslo in May.")]
    assert await longest_stop_during(history.aadd_messages(messages)) < 0.8 * READING
    assert await history.aget_messages() == messages
