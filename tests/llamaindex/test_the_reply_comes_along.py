"""If a recalled turn asks something, the prompt also holds the reply, because the answer often stands there."""

import asyncio

import pytest
from llama_index.core.llms import ChatMessage

from titans_core import TitansMemory, Turn
from titans_llamaindex import TitansChatMemory, TitansMemoryBlock, TitansRetriever, create_recall_tool

ASKED = "My knee hurts since the marathon, what should I do about it?"
REPLY = "Two weeks of swimming instead, and ice in the evening."
QUERY = "What did I say about my knee?"


def sync_chat(memory):
    chat = TitansChatMemory(memory=memory, k=1)
    chat.put(ChatMessage(QUERY, role="user"))
    return chat.get()[0].content


def async_chat(memory):
    return asyncio.run(TitansChatMemory(memory=memory, k=1).aget(QUERY))[0].content


def block(memory):
    return asyncio.run(TitansMemoryBlock(memory, k=1).aget([ChatMessage(QUERY, role="user")]))


def sync_tool(memory):
    return create_recall_tool(memory, k=1).call(query=QUERY).content


def async_tool(memory):
    return asyncio.run(create_recall_tool(memory, k=1).acall(query=QUERY)).content


@pytest.fixture
def memory(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy="fixed_threshold") as memory:
        memory.memorize_many([Turn(ASKED, "user", session="may"), Turn(REPLY, "assistant", session="may")])
        yield memory


@pytest.mark.parametrize("prompt", [sync_chat, async_chat, block, sync_tool, async_tool])
def test_in_every_prompt(memory, prompt):
    text = prompt(memory)
    assert text.index(ASKED) < text.index(REPLY)


def test_nodes_are_only_what_was_recalled(memory):
    assert [node.text for node in TitansRetriever(memory, k=1).retrieve(QUERY)] == [ASKED]
