"""A whole agent, offline: a real language model of 135M parameters, and what it knows of an earlier thread."""

import pytest
from langchain.agents import create_agent

from titans_core import MemoryBank
from titans_langchain import ChatTitansLM, TitansMemoryMiddleware

TOLD, ASKED, KNOWN = "The meeting is on Friday at 3pm.", "When is the meeting?", "Friday"


@pytest.fixture(scope="module")
def model(language_model):
    return ChatTitansLM(lm=language_model, max_new_tokens=24)


def answer(model, middleware):
    """What an agent answers in one thread, after it was told in another."""
    agent = create_agent(model, middleware=middleware)
    monday, tuesday = ({"configurable": {"user_id": "alice", "thread_id": day}} for day in ("monday", "tuesday"))
    agent.invoke({"messages": TOLD}, monday)
    return agent.invoke({"messages": ASKED}, tuesday)["messages"][-1].text


def test_an_agent_with_the_memory_answers_in_a_new_thread_and_without_it_cannot(model, reader):
    with MemoryBank(":memory:", reader=reader) as bank:
        assert KNOWN in answer(model, [TitansMemoryMiddleware(bank)])
    assert KNOWN not in answer(model, [])
