"""Two nodes give a graph a memory: one thread recalls what another thread said, and `messages` do not change."""

import asyncio
import runpy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.channels.untracked_value import UntrackedValue
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import RetryPolicy

from support.custom_events import EventRecorder
from support.looping import stops_the_loop
from titans_core import TitansMemory
from titans_core.errors import ClosedMemoryError, InvalidTenantError
from titans_langchain import memorize_node, recall_node

CODE = "The secret code is X-8-DELTA-9."
ASKED = "What is the secret code?"
EXAMPLE = Path(__file__).parents[2] / "examples" / "langchain_graph.py"


class State(MessagesState):
    memory: str


@dataclass
class Context:
    user_id: str


def answer(state):
    return {"messages": [AIMessage("Noted.")]}


def graph_with(source, schema=State, model=answer, roles=("user", "assistant"), **limits):
    graph = StateGraph(schema, context_schema=Context)
    graph.add_node("recall", recall_node(source, **limits))
    graph.add_node("model", model)
    graph.add_node("memorize", memorize_node(source, roles=roles))
    for edge in [(START, "recall"), ("recall", "model"), ("model", "memorize")]:
        graph.add_edge(*edge)
    return graph.compile(checkpointer=InMemorySaver())


def config_of(user, thread, **more):
    return {"configurable": {"user_id": user, "thread_id": thread}, **more}


async def say(graph, text, config, mode, **more):
    if mode == "sync":
        return graph.invoke({"messages": text}, config, **more)
    return await graph.ainvoke({"messages": text}, config, **more)


sync_and_async = pytest.mark.parametrize("mode", ["sync", "async"])


@sync_and_async
async def test_a_new_thread_knows_what_an_old_one_said(bank, mode):
    graph = graph_with(bank)
    assert (await say(graph, CODE, config_of("alice", "monday"), mode))["memory"] == ""
    state = await say(graph, ASKED, config_of("alice", "tuesday"), mode)
    assert state["memory"].startswith('<memory confidence="')
    assert CODE in state["memory"]
    turns = [(turn.text, turn.speaker, turn.session) for turn in bank.tenant("alice").turns()]
    assert turns == [
        (CODE, "user", "monday"),
        ("Noted.", "assistant", "monday"),
        (ASKED, "user", "tuesday"),
        ("Noted.", "assistant", "tuesday"),
    ]


@sync_and_async
async def test_what_was_recalled_is_not_among_the_messages(bank, mode):
    graph, config = graph_with(bank), config_of("alice", "tuesday")
    bank.tenant("alice").memorize(CODE)
    state = await say(graph, ASKED, config, mode)
    assert CODE in state["memory"]
    assert [message.text for message in state["messages"]] == [ASKED, "Noted."]
    assert [message.text for message in graph.get_state(config).values["messages"]] == [ASKED, "Noted."]


@sync_and_async
async def test_one_users_thread_never_sees_another_users(bank, mode):
    graph = graph_with(bank)
    await say(graph, CODE, config_of("alice", "monday"), mode)
    assert (await say(graph, ASKED, config_of("bruno", "tuesday"), mode))["memory"] == ""
    assert [turn.text for turn in bank.tenant("bruno").turns()] == [ASKED, "Noted."]


@sync_and_async
async def test_the_user_may_come_from_the_context(bank, mode):
    graph, thread = graph_with(bank), {"configurable": {"thread_id": "monday"}}
    await say(graph, CODE, thread, mode, context=Context("alice"))
    assert bank.tenants() == ["alice"]
    assert CODE in (await say(graph, ASKED, config_of(None, "tuesday"), mode, context=Context("alice")))["memory"]
    with pytest.raises(InvalidTenantError, match="more than one user"):
        await say(graph, ASKED, config_of("bruno", "wednesday"), mode, context=Context("alice"))


@sync_and_async
async def test_a_missing_user_stops_the_graph_before_the_model(bank, mode):
    states = []
    graph = graph_with(bank, model=lambda state: states.append(state))
    with pytest.raises(InvalidTenantError, match="user_id"):
        await say(graph, CODE, {"configurable": {"thread_id": "monday"}}, mode)
    only_memorizing = StateGraph(State).add_node("memorize", memorize_node(bank)).add_edge(START, "memorize").compile()
    with pytest.raises(InvalidTenantError, match="user_id"):
        await say(only_memorizing, CODE, None, mode)
    assert states == bank.tenants() == []


@sync_and_async
async def test_a_memory_that_fails_stops_the_graph(reader, mode):
    memory = TitansMemory.open(":memory:", tenant="alice", reader=reader)
    graph = graph_with(memory)
    memory.close()
    with pytest.raises(ClosedMemoryError):
        await say(graph, CODE, config_of("alice", "monday"), mode)


@sync_and_async
async def test_what_the_messages_hold_is_not_recalled(bank, mode):
    graph, config = graph_with(bank), config_of("alice", "monday")
    await say(graph, CODE, config, mode)
    assert CODE not in (await say(graph, ASKED, config, mode))["memory"]
    assert CODE in (await say(graph, ASKED, config_of("alice", "tuesday"), mode))["memory"]


@sync_and_async
async def test_a_node_that_runs_twice_memorizes_once(bank, mode):
    node, config = memorize_node(bank), config_of("alice", "monday")
    state = {"messages": [HumanMessage(CODE, id="h-1"), AIMessage("Noted.", id="a-1")]}
    for _ in range(2):
        assert (node.invoke(state, config) if mode == "sync" else await node.ainvoke(state, config)) == {}
    assert [turn.id for turn in bank.tenant("alice").turns()] == ["h-1", "a-1"]


@sync_and_async
async def test_a_retried_graph_memorizes_once(bank, mode):
    failures = [ConnectionError("after memorizing")]
    graph = StateGraph(State)
    memorize = memorize_node(bank)

    def sync(state, config):
        memorize.invoke(state, config)
        if failures:
            raise failures.pop()

    async def other(state, config):
        await memorize.ainvoke(state, config)
        if failures:
            raise failures.pop()

    retry = RetryPolicy(initial_interval=0.01, jitter=False, retry_on=ConnectionError)
    graph.add_node("memorize", sync if mode == "sync" else other, retry_policy=retry)
    graph.add_edge(START, "memorize")
    await say(graph.compile(checkpointer=InMemorySaver()), CODE, config_of("alice", "monday"), mode)
    assert not failures
    assert [turn.text for turn in bank.tenant("alice").turns()] == [CODE]


@sync_and_async
async def test_only_what_is_new_is_memorized_and_nothing_empty(bank, mode):
    graph, config = graph_with(bank, model=lambda state: {"messages": [AIMessage("")]}), config_of("alice", "monday")
    await say(graph, CODE, config, mode)
    await say(graph, ASKED, config, mode)
    assert [turn.text for turn in bank.tenant("alice").turns()] == [CODE, ASKED]


@sync_and_async
async def test_the_roles_that_are_memorized_can_be_chosen(memory, mode):
    def use_tool(state):
        call = {"name": "weather", "args": {}, "id": "c-1", "type": "tool_call"}
        answers = [AIMessage("", tool_calls=[call]), ToolMessage("Rain.", tool_call_id="c-1"), AIMessage("It rains.")]
        return {"messages": answers}

    graph = graph_with(memory, model=use_tool, roles=["user", "tool"])
    await say(graph, "What is the weather?", config_of("alice", "monday"), mode)
    assert [(turn.speaker, turn.text) for turn in memory.turns()] == [
        ("user", "What is the weather?"),
        ("tool", "Rain."),
    ]


@sync_and_async
async def test_without_a_question_nothing_is_recalled(memory, mode):
    memory.memorize(CODE)
    node = recall_node(memory)
    for messages in ([], [AIMessage(ASKED)], [HumanMessage(" ")]):
        found = node.invoke({"messages": messages}) if mode == "sync" else await node.ainvoke({"messages": messages})
        assert found == {"memory": ""}


@sync_and_async
async def test_key_k_and_max_tokens_are_the_graphs_to_choose(reader, mode):
    class Other(MessagesState):
        known: str

    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy="fixed_threshold") as memory:
        memory.memorize_many(f"The code of door {number} is {number}." for number in range(4))

        async def recalled(**limits):
            graph = graph_with(memory, Other, roles=[], key="known", **limits)
            return (await say(graph, "What are the codes?", config_of("alice", "monday"), mode))["known"]

        assert (await recalled()).count("\n- ") == 4
        assert (await recalled(k=2)).count("\n- ") == 2
        assert 0 < (await recalled(max_tokens=60)).count("\n- ") < 4


@sync_and_async
async def test_a_state_may_be_an_object(bank, mode):
    @dataclass
    class Object:
        messages: Annotated[list[Any], add_messages] = field(default_factory=list)
        memory: str = ""

    graph = graph_with(bank, Object)
    await say(graph, CODE, config_of("alice", "monday"), mode)
    assert CODE in (await say(graph, ASKED, config_of("alice", "tuesday"), mode))["memory"]


def test_a_block_may_be_kept_out_of_the_checkpoints(memory):
    class Untracked(MessagesState):
        memory: Annotated[str, UntrackedValue]

    shown = []
    graph = graph_with(memory, Untracked, model=lambda state: shown.append(state["memory"]))
    memory.memorize(CODE)
    graph.invoke({"messages": ASKED}, config_of("alice", "monday"))
    assert CODE in shown[0]
    assert CODE not in str(list(graph.get_state_history(config_of("alice", "monday"))))


@sync_and_async
async def test_the_runs_callbacks_are_told_without_the_text(bank, mode):
    recorder = EventRecorder()
    await say(graph_with(bank), CODE, config_of("alice", "monday", callbacks=[recorder]), mode)
    assert [name for name, _ in recorder.events] == ["titans_recall", "titans_memorize"]
    assert CODE not in str(recorder.events)


async def test_many_users_at_once_each_get_their_own(bank):
    graph, users = graph_with(bank), [f"user-{number}" for number in range(8)]
    await asyncio.gather(*(say(graph, f"My secret code is {u}.", config_of(u, f"{u}-1"), "async") for u in users))
    states = await asyncio.gather(*(say(graph, ASKED, config_of(u, f"{u}-2"), "async") for u in users))
    for user, state in zip(users, states, strict=True):
        assert [other for other in users if f"code is {other}." in state["memory"]] == [user]


async def test_recalling_leaves_the_event_loop_free(slow_memory):
    work = recall_node(slow_memory).ainvoke({"messages": [HumanMessage(ASKED)]})
    assert not await stops_the_loop(work)


async def test_memorizing_leaves_the_event_loop_free(slow_memory):
    work = memorize_node(slow_memory).ainvoke({"messages": [HumanMessage(CODE)]})
    assert not await stops_the_loop(work)
    assert [turn.text for turn in slow_memory.turns()] == [CODE]


async def test_opening_a_users_memory_leaves_the_event_loop_free(opened_slowly):
    state = {"messages": [HumanMessage(CODE)]}
    for node in (recall_node(opened_slowly), memorize_node(opened_slowly)):
        work = node.ainvoke(state, config_of("alice", "monday"))
        assert not await stops_the_loop(work)


def test_the_example_remembers_across_threads(memory, capsys):
    runpy.run_path(str(EXAMPLE))["demo"](memory)
    monday, tuesday = capsys.readouterr().out.split("LangGraph, tuesday")
    assert "(no memories)" in monday
    assert "Alice's favorite color is turquoise." in tuesday
    assert [turn.session for turn in memory.turns()] == ["monday", "tuesday"]
