"""With TitansChatMemory, LlamaIndex's chat engines give their model a fact that the user told in an earlier session.

Every engine is called in every way. The chat template of the scripted model is strict, so that the tests also fail for
prompts that a local model would refuse.
"""

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    CondenseQuestionChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, TextNode

from support.llamaindex_models import ScriptedLLM, local_llm
from titans_core import TitansMemory
from titans_llamaindex import TitansChatMemory, TitansRetriever

pytestmark = [pytest.mark.compat, pytest.mark.usefixtures("loop")]

FACT = "The secret code is X-8-DELTA-9."
QUESTION = "What is the secret code?"
CODE = "X-8-DELTA-9"
ANSWER = "I see."  # by the scripted model


class Manual(BaseRetriever):
    """Always finds the same page, which does not answer the question."""

    def _retrieve(self, query_bundle):
        return [NodeWithScore(node=TextNode(text="Press the green button to start."), score=0.5)]


def simple(memory, llm):
    return SimpleChatEngine.from_defaults(llm=llm, memory=memory, system_prompt="Be brief.")


def context(memory, llm):
    return ContextChatEngine.from_defaults(Manual(), llm=llm, memory=memory, system_prompt="Be brief.")


def condense(memory, llm):
    return CondensePlusContextChatEngine.from_defaults(Manual(), llm=llm, memory=memory, system_prompt="Be brief.")


def condense_question(memory, llm):
    """Build an engine whose memory reaches only the model call that rewrites the question, not the answering call."""
    query_engine = RetrieverQueryEngine.from_args(Manual(), llm=llm, streaming=True)
    return CondenseQuestionChatEngine.from_defaults(query_engine, llm=llm, memory=memory)


engines = pytest.mark.parametrize("engine", [simple, context, condense, condense_question])
ways = pytest.mark.parametrize("way", ["chat", "stream_chat", "achat", "astream_chat"])


@pytest.fixture
def say(loop, way):
    """Talk to an engine in one of the four ways; return its answer."""

    async def streamed(engine, text):
        stream = await engine.astream_chat(text)
        return "".join([token async for token in stream.async_response_gen()])

    def say(engine, text):
        if way == "chat":
            return engine.chat(text).response
        if way == "stream_chat":
            return "".join(engine.stream_chat(text).response_gen)
        if way == "achat":
            return loop.run_until_complete(engine.achat(text)).response
        return loop.run_until_complete(streamed(engine, text))

    return say


def chat(memory, session):
    return TitansChatMemory.from_defaults(memory=memory, session_id=session)


@engines
@ways
def test_a_fact_told_in_an_earlier_session_reaches_the_model_and_every_turn_is_memorized_once(memory, engine, say):
    say(engine(chat(memory, "one"), ScriptedLLM()), FACT)
    llm = ScriptedLLM()
    two = engine(chat(memory, "two"), llm)
    expected = ["Good morning!", ANSWER, QUESTION, ANSWER]
    assert say(two, expected[0]) == ANSWER
    earlier_prompts = len(llm.prompts)
    assert say(two, QUESTION) == ANSWER
    assert CODE in "".join(llm.prompts[earlier_prompts:])
    if engine is not condense_question:
        assert CODE in llm.prompts[-1]
        assert llm.prompts[-1].endswith(QUESTION)
    # Streamed answers are memorized too; the recalled block is not.
    assert [turn.text for turn in memory.turns(session="two")] == expected
    assert [turn.speaker for turn in memory.turns(session="two")] == ["user", "assistant"] * 2
    assert [message.content for message in two.chat_history] == expected


@engines
@ways
def test_with_a_chat_memory_buffer_it_does_not(engine, say):
    say(engine(ChatMemoryBuffer.from_defaults(), ScriptedLLM()), FACT)
    llm = ScriptedLLM()
    two = engine(ChatMemoryBuffer.from_defaults(), llm)
    say(two, "Good morning!")
    assert say(two, QUESTION) == ANSWER
    assert CODE not in "".join(llm.prompts)


@engines
def test_the_first_message_of_a_session_gets_it_too(memory, engine):
    memory.memorize(FACT, speaker="user")
    llm = ScriptedLLM()
    engine(chat(memory, "two"), llm).chat(QUESTION)
    assert CODE in "".join(llm.prompts)


@engines
def test_an_answer_is_memorized_by_the_streams_own_thread(memory, engine):
    two = engine(chat(memory, "two"), ScriptedLLM())
    stream = two.stream_chat(QUESTION)  # the stream is never read
    stream.write_response_to_history_thread.join()
    assert [turn.text for turn in memory.turns()] == [QUESTION, ANSWER]


@pytest.mark.parametrize("engine", [simple, context, condense])
def test_trap_13_a_history_given_with_the_message_is_memorized_once(memory, engine):
    one = engine(chat(memory, "one"), ScriptedLLM())
    history = [ChatMessage(FACT, role="user"), ChatMessage("Noted.", role="assistant")]
    one.chat("Thanks.", chat_history=history)
    one.chat("Bye.", chat_history=history)
    assert [turn.text for turn in memory.turns()].count(FACT) == 1
    one.reset()
    assert one.chat_history == []
    assert FACT in [turn.text for turn in memory.turns()]


def test_the_retriever_serves_a_context_engine(memory):
    memory.memorize(FACT, speaker="user")
    llm = ScriptedLLM()
    engine = ContextChatEngine.from_defaults(TitansRetriever(memory), llm=llm, memory=ChatMemoryBuffer.from_defaults())
    response = engine.chat(QUESTION)
    assert CODE in llm.prompts[-1]
    assert response.source_nodes[0].metadata["confidence"] == "high"


def test_a_reopened_file_gives_it_too(reader, tmp_path):
    with TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=reader) as memory:
        simple(chat(memory, "one"), ScriptedLLM()).chat(FACT)
    llm = ScriptedLLM()
    with TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=reader) as memory:
        simple(chat(memory, "two"), llm).chat(QUESTION)
    assert CODE in llm.prompts[-1]


# --- with a language model that answers


def answered(language_model, earlier, now):
    """Tell a fact in the earlier session, ask in the present one, and return the answer of the language model."""
    earlier.put(ChatMessage("My dog is called Biscuit.", role="user"))
    return context(now, local_llm(language_model)).chat("What is my dog called?").response


def test_a_language_model_answers_what_an_earlier_session_told(memory, language_model):
    assert "Biscuit" in answered(language_model, chat(memory, "one"), chat(memory, "two"))


def test_with_a_chat_memory_buffer_it_cannot(language_model):
    buffers = ChatMemoryBuffer.from_defaults(), ChatMemoryBuffer.from_defaults()
    assert "Biscuit" not in answered(language_model, *buffers)
