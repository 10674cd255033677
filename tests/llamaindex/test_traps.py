"""The traps in LlamaIndex's interfaces for chat memories, engines and agents; each has at least one test.

In a trap, the obvious implementation passes a manual test and fails in an application. The number stands in the
name of the test. Traps 01, 21 and 24 concern blocks, traps 07 to 09 a workflow's context, trap 15 the event loop: their
tests are in other files of this folder, beside further tests of the traps below.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from jinja2 import TemplateError
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.chat_engine import ContextChatEngine, SimpleChatEngine
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.llms.mock import MockLLMWithNonyieldingChatStream
from llama_index.core.memory import Memory, StaticMemoryBlock
from llama_index.core.schema import NodeWithScore, TextNode

from support.llamaindex_models import ScriptedLLM, call, local_llm, rendered
from titans_core import MemoryBank, TitansMemory
from titans_llamaindex import TitansChatMemory

FACT = "The secret code is X-8-DELTA-9."
QUESTION = "What is the secret code?"
CODE = "X-8-DELTA-9"
ANSWER = "I see."  # by the scripted model

pytestmark = [
    pytest.mark.compat,
    pytest.mark.usefixtures("loop"),
    # LlamaIndex searches all attributes of an agent for steps, and thereby reads deprecated attributes of pydantic.
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    # ReActAgent raises this warning.
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]


class Manual(BaseRetriever):
    """Always finds the same page, which does not answer the question. Without a page, engines call no model."""

    def _retrieve(self, query_bundle):
        return [NodeWithScore(node=TextNode(text="Press the green button to start."), score=0.5)]


def user(text):
    return ChatMessage(text, role="user")


def assistant(text):
    return ChatMessage(text, role="assistant")


def texts(memory):
    return [turn.text for turn in memory.turns()]


@pytest.fixture
def chat(memory):
    """A new conversation of a user who told the secret code in an earlier conversation."""
    memory.memorize(FACT, speaker="user", session="earlier")
    return TitansChatMemory.from_defaults(memory=memory, session_id="now", raise_errors=True)


def test_trap_02_without_a_question_the_last_user_message_is_it(chat):
    chat.put_messages([user(QUESTION), call("search"), ChatMessage("nothing", role="tool")])
    assert CODE in chat.get()[0].content
    assert chat.get(None, initial_token_count=7, session_id="now", anything=1) == chat.get()


def test_trap_02_the_label_does_not_depend_on_whether_the_question_was_put_before(chat, memory):
    """Simple engines and agents put the question before they get the history; context engines put it afterwards."""
    memory.memorize_many(["Noted.", *(f"On day {n} it rained." for n in range(9))])
    context_engine = chat.get(QUESTION)[0].content
    chat.put(user(QUESTION))
    assert chat.get()[0].content == context_engine + "\n" + QUESTION


def test_trap_03_chat_the_question_may_be_a_message(chat):
    blocks = [TextBlock(text="What is"), TextBlock(text="the secret code?")]
    assert CODE in chat.get(ChatMessage(role="user", blocks=blocks))[0].content
    assert chat.get(input=user(QUESTION)) == chat.get(input=QUESTION)


async def test_trap_04_getting_learns_nothing(chat, memory):
    chat.put(user(QUESTION))
    before = memory.stats(), texts(memory), chat.get_all(), chat.get()
    for _ in range(5):
        chat.get()
        await chat.aget(QUESTION)
    assert (memory.stats(), texts(memory), chat.get_all(), chat.get()) == before


async def test_trap_05_an_agents_state_stays_out_of_the_memory(chat, memory):
    llm = ScriptedLLM()
    await FunctionAgent(llm=llm, initial_state={"mood": "good"}).run(QUESTION, memory=chat)
    assert "mood" in llm.prompts[-1]  # the agent writes its state into the messages that `get` returns
    assert chat.get_all() == [user(QUESTION), assistant(ANSWER)]
    assert texts(memory)[1:] == [QUESTION, ANSWER]


def test_trap_06_an_empty_memory_is_not_replaced(chat):
    assert chat.get_all() == []
    assert SimpleChatEngine.from_defaults(llm=ScriptedLLM(), memory=chat)._memory is chat
    assert ContextChatEngine.from_defaults(Manual(), llm=ScriptedLLM(), memory=chat)._memory is chat


async def test_trap_10_a_strict_chat_template_takes_the_recalls(chat):
    llm = ScriptedLLM()
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=chat, system_prompt="Be brief.")
    await engine.achat(QUESTION)
    await engine.achat(QUESTION)
    assert CODE in llm.prompts[0]
    other = Memory.from_defaults(memory_blocks=[StaticMemoryBlock(static_content=FACT)])
    with pytest.raises(TemplateError, match="first message"):  # the block is a second system message
        await SimpleChatEngine.from_defaults(llm=llm, memory=other, system_prompt="Be brief.").achat(QUESTION)
    await other.sql_store._async_engine.dispose()


@pytest.mark.parametrize("length", [0, 1, 20])
def test_trap_11_recalls_stand_with_the_question_not_with_an_earlier_one(chat, length):
    for n in range(length):
        chat.put_messages([user(f"Tell me joke {n}."), assistant(f"Joke {n}!")])
    given = chat.get(QUESTION)  # as in a context engine, which adds the question afterwards
    assert [message for message in given if CODE not in message.content][: 2 * length] == chat.get_all()
    assert CODE in given[-2].content
    assert rendered([*given, user(QUESTION)])
    chat.put(user(QUESTION))
    assert [CODE in message.content for message in chat.get()] == [False] * 2 * length + [True]


@pytest.mark.parametrize("name", ["context_str", "query_str", "existing_answer", "context_msg"])
def test_trap_12_stored_template_variables_are_not_filled_in(memory, name):
    memory.memorize(f"The secret code is {{{name}}}.", speaker="user")
    chat = TitansChatMemory.from_defaults(memory=memory)
    llm = ScriptedLLM()
    ContextChatEngine.from_defaults(Manual(), llm=llm, memory=chat).chat(QUESTION)
    assert f"secret code is {{ {name}}}" in llm.prompts[-1]


async def test_trap_13_the_same_history_set_again_is_memorized_once(chat, memory):
    history = [user("I like tea."), assistant("Noted."), user("I like tea.")]
    chat.set(history)
    await chat.aset(history)
    TitansChatMemory.from_defaults(memory=memory, session_id="now", chat_history=history)
    assert texts(memory)[1:] == ["I like tea.", "Noted.", "I like tea."]


def test_trap_14_threads_and_their_streams_may_share_a_memory(chat, memory):
    engine = SimpleChatEngine.from_defaults(llm=MockLLM(max_tokens=3), memory=chat)

    def talk(n):
        return "".join(engine.stream_chat(f"I am number {n}.").response_gen)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(talk, range(8)))
    assert answers == ["text text text"] * 8
    said = sorted([*(f"I am number {n}." for n in range(8)), *answers])
    assert sorted(message.content for message in chat.get_all()) == said
    assert sorted(texts(memory)[1:]) == said


async def test_trap_16_of_an_agents_reasoning_only_the_answer_is_memorized(chat, memory):
    def think(messages):
        if "Observation:" in messages[-1].content:
            return "Thought: I know.\nAnswer: It is X-8.\nTake care."
        return "Thought: I need a tool.\nAction: look_up\nAction Input: {}"

    def look_up():
        """Look it up."""
        return "X-8"

    agent = ReActAgent(llm=ScriptedLLM(think), tools=[look_up])
    await agent.run(QUESTION, memory=chat)
    reasoning = chat.get_all()[-1].content
    assert reasoning.startswith("Thought: I need a tool.")  # the conversation keeps the reasoning
    assert reasoning.endswith("Answer: It is X-8.\nTake care.")
    assert texts(memory)[1:] == [QUESTION, "It is X-8.\nTake care."]


def test_trap_16_an_answer_that_is_no_reasoning_is_memorized_whole(chat, memory):
    said = ["Question: how many?\nAnswer: three", "Thought: it rains."]
    chat.put_messages([assistant(text) for text in said])
    assert texts(memory)[1:] == said


def test_trap_17_what_has_no_words_is_kept_and_not_memorized(chat, memory):
    image = ImageBlock(image=b"R0lGODlhAQABAAAAACw=", image_mimetype="image/gif")
    silent = [user("Hi."), call("search"), ChatMessage("", role="tool"), ChatMessage(role="user", blocks=[image])]
    chat.put_messages([*silent, ChatMessage(role="user", blocks=[TextBlock(text="Look: "), image])])
    assert chat.get_all()[:4] == silent
    assert texts(memory)[1:] == ["Hi.", "Look: "]
    assert chat.get()


def test_trap_17_an_empty_stream_leaves_no_answer(chat, memory):
    engine = SimpleChatEngine.from_defaults(llm=MockLLMWithNonyieldingChatStream(), memory=chat)
    assert list(engine.stream_chat(QUESTION).response_gen) == [""]
    assert chat.get_all() == [user(QUESTION)]
    assert texts(memory)[1:] == [QUESTION]


def test_trap_18_a_system_prompt_that_leaves_no_room_says_so(memory):
    chat = TitansChatMemory.from_defaults(memory=memory, token_limit=5)
    engine = SimpleChatEngine.from_defaults(llm=ScriptedLLM(), memory=chat, system_prompt="Be brief. " * 5)
    with pytest.raises(ValueError, match="shorten the system prompt or raise `token_limit`"):
        engine.chat(QUESTION)


def test_trap_19_users_and_their_conversations_do_not_mix(reader, tmp_path):
    with MemoryBank(tmp_path / "memory.db", reader=reader) as bank:
        alice, again, bruno = (
            TitansChatMemory.from_defaults(bank, user_id=user_id, session_id=session_id)
            for user_id, session_id in [("alice", "monday"), ("alice", "tuesday"), ("bruno", "monday")]
        )
        alice.put_messages([user(FACT), assistant("Noted.")])
        assert CODE in again.get(QUESTION)[0].content
        assert again.get_all() == bruno.get_all() == bruno.get(QUESTION) == []


def test_trap_20_chat_without_anything_relevant_the_messages_are_the_history(chat):
    history = [user("Hello!"), assistant("Hi."), user("Who won the football world cup?")]
    chat.put_messages(history)
    assert chat.get() == history
    assert chat.get("Who won the football world cup?") == history


def test_trap_22_reset_keeps_what_was_said_and_erase_removes_it_from_the_disk(reader, tmp_path):
    def stored():
        return any(CODE.encode() in path.read_bytes() for path in tmp_path.iterdir())

    with TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=reader) as memory:
        engine = SimpleChatEngine.from_defaults(llm=ScriptedLLM(), memory=TitansChatMemory(memory=memory))
        engine.chat(FACT)
        engine.reset()
        assert engine.chat_history == []
        assert stored()
        assert CODE in TitansChatMemory(memory=memory).get(QUESTION)[0].content
        TitansChatMemory(memory=memory).erase()
        assert texts(memory) == []
        assert TitansChatMemory(memory=memory).get(QUESTION) == []
    assert not stored()


def test_trap_23_a_language_model_may_write_while_the_memory_reads(chat, language_model):
    engine = SimpleChatEngine.from_defaults(llm=local_llm(language_model), memory=chat)
    stream = engine.stream_chat("Tell me about the sea.")
    recalls = 0
    while not stream.is_done:  # one thread generates, another thread puts the answer
        assert any(CODE in message.content for message in chat.get(QUESTION))
        recalls += 1
    assert recalls > 1
    assert "".join(stream.response_gen)
    assert [message.role.value for message in chat.get_all()] == ["user", "assistant"]
