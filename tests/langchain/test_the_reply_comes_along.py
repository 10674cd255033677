"""If a recalled turn asks something, the prompt also holds the reply, because the answer often stands there."""

import pytest
from langchain.agents import create_agent
from langchain_core.runnables import RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph

from support.scripted import ScriptedModel
from titans_core import TitansMemory, Turn
from titans_langchain import (
    TitansChainMemory,
    TitansMemoryMiddleware,
    TitansRetriever,
    create_recall_tool,
    recall_node,
    with_memory,
)

ASKED = "My knee hurts since the marathon, what should I do about it?"
REPLY = "Two weeks of swimming instead, and ice in the evening."
QUERY = "What did I say about my knee?"


class State(MessagesState):
    memory: str


def in_an_agent(memory):
    model = ScriptedModel()
    return create_agent(model, middleware=[TitansMemoryMiddleware(memory, k=1, roles=())]), model


def sync_agent(memory):
    agent, model = in_an_agent(memory)
    agent.invoke({"messages": QUERY})
    return model.systems[0]


async def async_agent(memory):
    agent, model = in_an_agent(memory)
    await agent.ainvoke({"messages": QUERY})
    return model.systems[0]


def sync_chain(memory):
    return with_memory(RunnableLambda(str), memory, k=1).invoke(QUERY)


async def async_chain(memory):
    return await with_memory(RunnableLambda(str), memory, k=1).ainvoke(QUERY)


def in_a_graph(memory):
    graph = StateGraph(State).add_node("recall", recall_node(memory, k=1)).add_edge(START, "recall")
    return graph.compile()


def sync_node(memory):
    return in_a_graph(memory).invoke({"messages": QUERY})["memory"]


async def async_node(memory):
    return (await in_a_graph(memory).ainvoke({"messages": QUERY}))["memory"]


def classic_memory(memory):
    return TitansChainMemory(memory=memory, k=1).load_memory_variables({"input": QUERY})["history"]


def sync_tool(memory):
    return create_recall_tool(memory, k=1).invoke({"query": QUERY})


async def async_tool(memory):
    return await create_recall_tool(memory, k=1).ainvoke({"query": QUERY})


@pytest.fixture
def memory(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy="fixed_threshold") as memory:
        memory.memorize_many([Turn(ASKED, "user", session="may"), Turn(REPLY, "assistant", session="may")])
        yield memory


@pytest.mark.parametrize("block", [sync_agent, sync_chain, sync_node, classic_memory, sync_tool])
def test_in_every_prompt(memory, block):
    assert block(memory).index(ASKED) < block(memory).index(REPLY)


@pytest.mark.parametrize("block", [async_agent, async_chain, async_node, async_tool])
async def test_in_every_prompt_of_an_asynchronous_application(memory, block):
    shown = await block(memory)
    assert shown.index(ASKED) < shown.index(REPLY)


def test_documents_are_only_what_was_recalled(memory):
    assert [document.page_content for document in TitansRetriever(memory=memory, k=1).invoke(QUERY)] == [ASKED]
