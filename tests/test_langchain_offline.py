"""A whole agent, offline: a real language model of 135M parameters, and what it knows of an earlier thread."""

import pytest
from langchain.agents import create_agent

from titans_core import MemoryBank
from titans_langchain import ChatTitansLM, TitansMemoryMiddleware

FACTS = [
    ("My dog is called Biscuit.", "What is my dog called?", "Biscuit"),
    ("The meeting is on Friday at 3pm.", "When is the meeting?", "Friday"),
]


@pytest.fixture(scope="module")
def model(language_model):
    return ChatTitansLM(lm=language_model, max_new_tokens=24)


def answers(model, middleware):
    """What an agent answers in one thread, after it was told in another."""
    for user, (told, asked, _) in enumerate(FACTS):
        agent = create_agent(model, middleware=middleware)
        config = {"user_id": f"user {user}"}
        agent.invoke({"messages": told}, {"configurable": {**config, "thread_id": "monday"}})
        yield agent.invoke({"messages": asked}, {"configurable": {**config, "thread_id": "tuesday"}})["messages"][
            -1
        ].text


def test_an_agent_with_the_memory_answers_in_a_new_thread_and_without_it_cannot(model, reader):
    with MemoryBank(":memory:", reader=reader) as bank:
        remembered = list(answers(model, [TitansMemoryMiddleware(bank)]))
    forgotten = list(answers(model, []))
    for (_, _, value), with_memory, without in zip(FACTS, remembered, forgotten, strict=True):
        assert value in with_memory
        assert value not in without
