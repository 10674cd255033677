"""The LangChain adapter's async methods leave the event loop free while the model reads."""

import asyncio
import gc
import time

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage

from support.looping import longest_stop_during, stops_the_loop
from support.scripted import ScriptedModel
from titans_core.types import Confidence, Recollection
from titans_langchain import TitansChatMessageHistory, TitansMemoryMiddleware, TitansRetriever

pytestmark = [pytest.mark.compat, pytest.mark.serial]


async def test_ainvoke(slow_memory):
    assert not await stops_the_loop(TitansRetriever(memory=slow_memory).ainvoke("When do we fly?"))


async def test_aadd_messages(slow_memory):
    history = TitansChatMessageHistory(slow_memory, "monday")
    messages = [HumanMessage("We fly to Oslo in May.")]
    assert not await stops_the_loop(history.aadd_messages(messages))
    assert await history.aget_messages() == messages


class MemoryOf20Milliseconds:
    """A memory whose recall takes 20 ms."""

    tenant, reader = "alice", "slow"

    def recall(self, query, **limits):
        time.sleep(0.02)
        return Recollection(query, (), Confidence.NONE)

    async def arecall(self, query, **limits):
        return await asyncio.to_thread(self.recall, query, **limits)


@pytest.fixture
def frozen():
    """Exclude loaded objects from garbage collection, as docs/langchain.md recommends for servers."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def test_a_hundred_concurrent_retrievers_leave_the_loop_free(frozen):
    retriever = TitansRetriever(memory=MemoryOf20Milliseconds())
    stops = [
        await longest_stop_during(asyncio.gather(*(retriever.ainvoke(f"Question {n}?") for n in range(100))))
        for _ in range(5)
    ]
    assert min(stops) <= 0.05, stops


async def test_no_step_of_a_hundred_concurrent_agents_stops_the_loop(frozen, monkeypatch):
    """The steps are measured one by one, because LangGraph itself needs more than 50 ms to start a hundred agents."""
    agent = create_agent(
        ScriptedModel(), middleware=[TitansMemoryMiddleware(MemoryOf20Milliseconds(), roles=(), timeout=60)]
    )
    steps, run = [], asyncio.Handle._run

    def timed(handle):
        start = time.perf_counter()
        run(handle)
        steps.append(time.perf_counter() - start)

    longest = []
    for _ in range(5):
        with monkeypatch.context() as patch:
            patch.setattr(asyncio.Handle, "_run", timed)
            await asyncio.gather(*(agent.ainvoke({"messages": f"Question {n}?"}) for n in range(100)))
        longest.append(max(steps))
        steps.clear()
    assert min(longest) <= 0.05, longest
