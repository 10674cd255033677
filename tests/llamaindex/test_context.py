"""The context of a workflow holds the memory, which stays one object and can continue in another process."""

import json
import subprocess
import sys
import warnings

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.workflow import Context, JsonSerializer
from workflows.context.state_store import UnserializableKeyWarning

from support.llamaindex_models import ScriptedLLM
from titans_core import TitansMemory
from titans_llamaindex import TitansChatMemory

FACT = "The secret code is X-8-DELTA-9."
QUESTION = "What is the secret code?"
CODE = "X-8-DELTA-9"

# LlamaIndex searches all attributes of an agent for steps, and thereby reads deprecated attributes of pydantic.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")

CONTINUE = """
import asyncio, json, sys, warnings
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.workflow import Context, JsonSerializer
from support.llamaindex_models import ScriptedLLM

async def main():
    llm = ScriptedLLM()
    agent = FunctionAgent(llm=llm, system_prompt="Be brief.")
    ctx = Context.from_dict(agent, json.load(open(sys.argv[1])), serializer=JsonSerializer())
    await agent.run(sys.argv[2], ctx=ctx)
    chat = await ctx.store.get("memory")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        saved = ctx.to_dict(serializer=JsonSerializer())
    print(json.dumps([llm.prompts, [message.content for message in chat.get_all()], chat.session_id, saved]))
    chat.memory.close()

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path, reader):
    """A file with a fact from an earlier session."""
    path = tmp_path / "memory.db"
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        memory.memorize(FACT, speaker="user", session="earlier")
    return path


@pytest.fixture
def chat(path, reader):
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        yield TitansChatMemory.from_defaults(memory=memory, session_id="now")


def build():
    return FunctionAgent(llm=ScriptedLLM(), system_prompt="Be brief.")


def in_another_process(saved, question):
    """Ask in another process.

    Returns:
        The prompts of the model, the conversation, the id of the session and the saved context.
    """
    process = subprocess.run(
        [sys.executable, "-c", CONTINUE, saved, question], capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


async def test_trap_09_a_saved_context_goes_on_in_another_process(chat, path, reader, tmp_path):
    context = Context(agent := build())
    await agent.run("Hello!", memory=chat, ctx=context)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnserializableKeyWarning)
        saved = context.to_dict(serializer=JsonSerializer())
    (tmp_path / "context.json").write_text(json.dumps(saved))
    chat.memory.close()

    prompts, conversation, session, again = in_another_process(tmp_path / "context.json", QUESTION)
    assert "Hello!" in prompts[-1]
    assert CODE in prompts[-1]
    assert prompts[-1].endswith(QUESTION)
    assert conversation == ["Hello!", "I see.", QUESTION, "I see."]
    assert session == "now"
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        assert [turn.text for turn in memory.turns(session="now")] == conversation

    # The context that the other process saved continues in this process.
    restored = Context.from_dict(build(), again, serializer=JsonSerializer())
    loaded = await restored.store.get("memory")
    with loaded.memory:
        assert [message.content for message in loaded.get_all()] == conversation
        assert CODE in loaded.get(QUESTION)[-2].content


async def test_trap_07_the_memory_is_one_object_wherever_the_context_has_it(chat):
    context = Context(agent := build())
    await agent.run("Hello!", memory=chat, ctx=context)
    assert await context.store.get("memory") is chat
    async with context.store.edit_state() as state:
        assert state["memory"] is chat
        assert state["memory"].memory is chat.memory
        state["mood"] = "good"
    assert await context.store.get("memory") is chat


async def test_a_used_context_goes_on_with_the_conversation(chat):
    context = Context(agent := build())
    await agent.run("Hello!", memory=chat, ctx=context)
    await agent.run(QUESTION, ctx=context)
    loaded = await context.store.get("memory")
    with loaded.memory:
        assert [message.content for message in loaded.get_all()] == ["Hello!", "I see.", QUESTION, "I see."]
        assert CODE in agent.llm.prompts[-1]


async def test_trap_07_a_used_context_goes_on_with_the_memory_itself(chat):
    """A run on a used context saves and loads the context in the same process. That must not make a second memory."""
    context = Context(agent := build())
    await agent.run("Hello!", memory=chat, ctx=context)
    await agent.run(QUESTION, ctx=context)
    assert await context.store.get("memory") is chat
    assert [message.content for message in chat.get_all()] == ["Hello!", "I see.", QUESTION, "I see."]


async def test_trap_07_a_used_context_keeps_a_memory_that_has_no_file(memory):
    memory.memorize(FACT, speaker="user", session="earlier")
    chat = TitansChatMemory.from_defaults(memory=memory, session_id="now")
    context = Context(agent := build())
    await agent.run("Hello!", memory=chat, ctx=context)
    await agent.run(QUESTION, ctx=context)
    assert CODE in agent.llm.prompts[-1]


async def test_trap_08_a_used_context_keeps_its_memory_whichever_is_given(chat):
    context = Context(agent := build())
    await agent.run("Hello!", memory=chat, ctx=context)
    another = TitansChatMemory.from_defaults(memory=chat.memory, session_id="another")
    await agent.run("Hello again!", memory=another, ctx=context)
    assert await context.store.get("memory") is chat
    assert another.get_all() == []
    assert "begin another context" in " ".join((TitansChatMemory.__doc__ or "").split())


async def test_with_a_chat_memory_buffer_a_saved_context_forgets_with_a_warning():
    context = Context(agent := build())
    await agent.run("Hello!", memory=ChatMemoryBuffer.from_defaults(), ctx=context)
    with pytest.warns(UnserializableKeyWarning, match="memory"):
        saved = context.to_dict(serializer=JsonSerializer())
    restored = Context.from_dict(agent, saved, serializer=JsonSerializer())
    assert await restored.store.get("memory", default=None) is None
