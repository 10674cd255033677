"""With TitansChatMemory, a fact told in one session is what LlamaIndex's engines and agents give the model in the next.

Every model here is offline and only records what it was given.
"""

import asyncio

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine, SimpleChatEngine
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.mock import MockFunctionCallingLLM, MockLLMWithChatMemoryOfLastCall
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.schema import NodeWithScore, TextNode

from titans_core import TitansMemory
from titans_llamaindex import TitansChatMemory, TitansRetriever

FACT = "The secret code is X-8-DELTA-9."
QUESTION = "What is the secret code?"
CODE = "X-8-DELTA-9"
ANSWER = "text text text"  # of LlamaIndex's fake model


class Manual(BaseRetriever):
    """Always finds the same page, which does not help."""

    def _retrieve(self, query_bundle):
        return [NodeWithScore(node=TextNode(text="Press the green button to start."), score=0.5)]


@pytest.fixture(autouse=True)
def loop():
    """In its synchronous calls LlamaIndex begins an event loop where the thread has none, and never closes it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


def model():
    return MockLLMWithChatMemoryOfLastCall(max_tokens=3, is_chat_model=True)


def simple(memory, llm):
    return SimpleChatEngine.from_defaults(llm=llm, memory=memory, system_prompt="Be brief.")


def context(memory, llm):
    return ContextChatEngine.from_defaults(Manual(), llm=llm, memory=memory, system_prompt="Be brief.")


def condense(memory, llm):
    return CondensePlusContextChatEngine.from_defaults(Manual(), llm=llm, memory=memory, system_prompt="Be brief.")


engines = pytest.mark.parametrize("engine", [simple, context, condense])


def chat(memory, session):
    return TitansChatMemory.from_defaults(memory=memory, session_id=session)


def given(llm):
    """What the model was given last, if the chat template of a local model would take it."""
    messages = list(llm.last_chat_messages)
    expected = ["system", *["user", "assistant"] * len(messages)]
    assert [message.role.value for message in messages] == expected[: len(messages)]
    assert messages[-1].role == "user"
    return "\n".join(message.content for message in messages)


@engines
def test_chat_gives_the_model_what_an_earlier_session_told(memory, engine):
    engine(chat(memory, "one"), model()).chat(FACT)
    llm = model()
    two = engine(chat(memory, "two"), llm)
    two.chat("Good morning!")
    two.chat(QUESTION)
    assert CODE in given(llm)
    assert [said.content for said in two.chat_history] == ["Good morning!", ANSWER, QUESTION, ANSWER]


@engines
def test_without_it_the_model_is_not_given_the_fact(engine):
    engine(ChatMemoryBuffer.from_defaults(), model()).chat(FACT)
    llm = model()
    engine(ChatMemoryBuffer.from_defaults(), llm).chat(QUESTION)
    assert CODE not in given(llm)


@engines
def test_the_first_message_of_a_session_gets_it_too(memory, engine):
    memory.memorize(FACT, speaker="user")
    llm = model()
    engine(chat(memory, "two"), llm).chat(QUESTION)
    assert CODE in given(llm)


@engines
def test_streams_do_as_well(memory, engine):
    memory.memorize(FACT, speaker="user")
    llm = model()
    two = engine(chat(memory, "two"), llm)
    stream = two.stream_chat(QUESTION)
    answer = "".join(stream.response_gen)
    assert CODE in given(llm)
    assert [turn.text for turn in memory.turns(session="two")] == [QUESTION, answer.strip()]
    assert len(two.chat_history) == 2


@engines
async def test_async_chat_does_as_well(memory, engine):
    memory.memorize(FACT, speaker="user")
    llm = model()
    two = engine(chat(memory, "two"), llm)
    await two.achat(QUESTION)
    assert CODE in given(llm)
    stream = await two.astream_chat("And what is it for?")
    answer = "".join([token async for token in stream.async_response_gen()])
    assert [turn.text for turn in memory.turns(session="two")] == [
        QUESTION,
        ANSWER,
        "And what is it for?",
        answer.strip(),
    ]


@engines
def test_a_stored_template_variable_is_not_filled_in(memory, engine):
    memory.memorize("The secret code is {context_str}.", speaker="user")
    llm = model()
    engine(chat(memory, "two"), llm).chat(QUESTION)
    assert "secret code is { context_str}" in given(llm)


def test_chat_with_a_history_memorizes_it_once(memory):
    engine = simple(chat(memory, "one"), model())
    history = [ChatMessage(FACT, role="user"), ChatMessage("Noted.", role="assistant")]
    engine.chat("Thanks.", chat_history=history)
    engine.chat("Bye.", chat_history=history)
    assert [turn.text for turn in memory.turns()].count(FACT) == 1
    engine.reset()
    assert engine.chat_history == []
    assert FACT in [turn.text for turn in memory.turns()]


def test_the_retriever_serves_a_context_engine(memory):
    memory.memorize(FACT, speaker="user")
    llm = model()
    engine = ContextChatEngine.from_defaults(TitansRetriever(memory), llm=llm, memory=ChatMemoryBuffer.from_defaults())
    response = engine.chat(QUESTION)
    assert CODE in given(llm)
    assert response.source_nodes[0].metadata["confidence"] == "high"


def test_a_reopened_file_gives_it_too(reader, tmp_path):
    with TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=reader) as memory:
        simple(chat(memory, "one"), model()).chat(FACT)
    llm = model()
    with TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=reader) as memory:
        simple(chat(memory, "two"), llm).chat(QUESTION)
    assert CODE in given(llm)


class Recorder:
    """Answers for the model of an agent: calls a tool, then says good-bye; keeps what it was given."""

    def __init__(self):
        self.calls = []

    def __call__(self, messages, **kwargs):
        self.calls.append(list(messages))
        if messages[-1].role == "user":
            block = ToolCallBlock(tool_call_id="1", tool_name="today", tool_kwargs={})
            return ChatMessage(role="assistant", blocks=[block])
        return ChatMessage("Here you are.", role="assistant")


def today():
    """The day of the week."""
    return "Friday"


# LlamaIndex looks at every attribute of an agent for steps, pydantic's deprecated ones too.
agents = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")


async def run_agent(memory, text):
    recorder = Recorder()
    llm = MockFunctionCallingLLM(response_generator=recorder, is_chat_model=True)
    agent = FunctionAgent(
        tools=[today], llm=llm, system_prompt="Be brief.", initial_state={"mood": "good"}, streaming=False
    )
    await agent.run(text, memory=memory)
    return recorder.calls


@agents
async def test_an_agent_gives_the_model_what_an_earlier_session_told(memory):
    await run_agent(chat(memory, "one"), FACT)
    two = chat(memory, "two")
    first, second = await run_agent(two, QUESTION)
    assert [message.role.value for message in first] == ["system", "user"]
    assert [message.role.value for message in second] == ["system", "user", "assistant", "tool"]
    for messages in (first, second):
        assert CODE in messages[1].content
    # What the agent wrote into its copy of the message is not in the memory.
    assert [turn.text for turn in memory.turns(session="two")] == [QUESTION, "Here you are."]
    assert [message.role.value for message in two.get_all()] == ["user", "assistant", "tool", "assistant"]
    assert two.get_all()[0].content == QUESTION


@agents
async def test_without_it_the_agents_model_is_not_given_the_fact():
    await run_agent(ChatMemoryBuffer.from_defaults(), FACT)
    for messages in await run_agent(ChatMemoryBuffer.from_defaults(), QUESTION):
        assert CODE not in "\n".join(message.content or "" for message in messages)
