"""langmem's memory tools work on a `TitansStore` without changes, in an agent, separately for each user."""

import json
import warnings

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from titans_core import MemoryBank
from titans_langchain.store import TitansStore

with warnings.catch_warnings():
    # langmem needs trustcall, which still imports `Send` from its place before LangGraph 1.0.
    warnings.filterwarnings("ignore", message="Importing Send from langgraph.constants is deprecated")
    from langmem import create_manage_memory_tool, create_search_memory_tool

NAMESPACE = ("memories", "{user_id}")
TEA, COFFEE = "Alice's favorite drink is green tea.", "Alice's favorite drink is black coffee."
QUESTION = "What is Alice's favorite drink?"


class Scripted(GenericFakeChatModel):
    """A model with prepared messages that accepts tools."""

    def bind_tools(self, tools, **kwargs):
        return self


@pytest.fixture
def store(reader, tmp_path):
    with MemoryBank(tmp_path / "memory.db", reader=reader) as bank:
        yield TitansStore(bank)


@pytest.fixture(params=["sync", "async"])
def call(request, store):
    """Let an agent call one tool in a new thread, and return the tool's answer."""
    threads = iter(range(100))
    saver = InMemorySaver()

    async def call(tool, user="alice@example.org", **arguments):
        model = Scripted(
            messages=iter(
                [
                    AIMessage("", tool_calls=[{"name": tool, "args": arguments, "id": "call"}]),
                    AIMessage("Done."),
                ]
            )
        )
        tools = [create_manage_memory_tool(NAMESPACE), create_search_memory_tool(NAMESPACE)]
        agent = create_agent(model, tools, store=store, checkpointer=saver)
        config = {"configurable": {"thread_id": str(next(threads)), "user_id": user}}
        state = {"messages": [HumanMessage("Hello.")]}
        result = agent.invoke(state, config) if request.param == "sync" else await agent.ainvoke(state, config)
        [answer] = [message for message in result["messages"] if isinstance(message, ToolMessage)]
        assert answer.status == "success"
        return answer.content

    return call


async def test_what_one_thread_tells_another_finds(call, store):
    assert (await call("manage_memory", content=TEA)).startswith("created memory ")
    [found] = json.loads(await call("search_memory", query=QUESTION))
    assert found["value"] == {"content": TEA}
    assert found["namespace"] == ["memories", "alice@example.org"]
    assert 0 < found["score"] <= 1
    assert found["confidence"] in {"high", "low"}
    assert [item.key for item in store.search(("memories", "alice@example.org"))] == [found["key"]]


async def test_a_memory_is_updated_and_deleted(call):
    memory_id = (await call("manage_memory", content=TEA)).removeprefix("created memory ")
    assert await call("manage_memory", content=COFFEE, action="update", id=memory_id) == f"updated memory {memory_id}"
    [found] = json.loads(await call("search_memory", query=QUESTION))
    assert (found["key"], found["value"]) == (memory_id, {"content": COFFEE})
    assert found["created_at"] < found["updated_at"]
    assert await call("manage_memory", action="delete", id=memory_id) == f"Deleted memory {memory_id}"
    assert json.loads(await call("search_memory", query=QUESTION)) == []


async def test_another_user_sees_nothing(call, store):
    await call("manage_memory", content=TEA)
    assert json.loads(await call("search_memory", user="mallory", query=QUESTION)) == []
    await call("manage_memory", user="mallory", content="Mallory's favorite drink is rum.")
    found = json.loads(await call("search_memory", user="mallory", query=QUESTION))
    assert TEA not in str(found)
    assert store.list_namespaces() == [("memories", "alice@example.org"), ("memories", "mallory")]


async def test_what_was_never_told_is_not_found(call):
    await call("manage_memory", content=TEA)
    assert json.loads(await call("search_memory", query="Who won the football world cup?")) == []
