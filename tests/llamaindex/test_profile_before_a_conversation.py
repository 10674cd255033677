"""With `profile_tokens`, the first question of a conversation comes with what the user has told about as a whole."""

import json
import logging
from functools import partial

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.chat_engine import ContextChatEngine, SimpleChatEngine
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.schema import NodeWithScore, TextNode
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from support.llamaindex_events import recorded_events
from support.llamaindex_models import ScriptedLLM
from support.strategies import NeverSure
from titans_core import TitansMemory, Turn
from titans_llamaindex import LearningMemory, TitansChatMemory, TitansMemoryBlock

pytestmark = pytest.mark.usefixtures("loop")

TOLD = ["My dog is called Biscuit.", "I am allergic to nuts.", "I work as a nurse in Lisbon."]
ASK = "What is my dog called?"
AGAIN = "And which pet food do I need?"


class Manual(BaseRetriever):
    """Always finds the same page, which does not answer the question."""

    def _retrieve(self, query_bundle):
        return [NodeWithScore(node=TextNode(text="Press the green button to start."), score=0.5)]


def user(text):
    return ChatMessage(text, role="user")


def assistant(text):
    return ChatMessage(text, role="assistant")


def tool_call():
    return [
        ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_call_id="1", tool_name="weather", tool_kwargs={})]),
        ChatMessage("sunny", role="tool", additional_kwargs={"tool_call_id": "1"}),
    ]


def blocks(messages):
    """Return the blocks of recalls in messages."""
    text = "\n".join(message.content or "" for message in messages)
    parts = text.split("<memory confidence")[1:]
    return [f"<memory confidence{part.partition('</memory>')[0]}</memory>" for part in parts]


@pytest.fixture
def memory(reader, tmp_path):
    with TitansMemory.open(tmp_path / "m.db", tenant="alice", reader=reader, strategy="fixed_threshold") as memory:
        memory.memorize_many(Turn(text, speaker="user", session="old") for text in TOLD)
        yield memory


def chat_memory(memory, tmp_path, **options):
    return TitansChatMemory.from_defaults(memory, **{"profile_tokens": 200, **options})


def memory_of_blocks(memory, tmp_path, **options):
    block = TitansMemoryBlock(memory, **{"profile_tokens": 200, **options})
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/messages.db", poolclass=NullPool)
    return LearningMemory.from_defaults(memory_blocks=[block], async_engine=engine)


@pytest.fixture(params=[chat_memory, memory_of_blocks])
def build(request, memory, tmp_path):
    """Builds a conversation with either class."""
    return partial(request.param, memory, tmp_path)


@pytest.fixture(params=["sync", "async"])
def do(request, loop):
    """Calls a method of a conversation, or its async twin."""

    def do(chat, name, *args):
        if request.param == "sync":
            return getattr(chat, name)(*args)
        return loop.run_until_complete(getattr(chat, f"a{name}")(*args))

    return do


def test_it_stands_before_the_recalls(build, do):
    chat = build(k=1)
    do(chat, "put", user(ASK))
    given = do(chat, "get")
    profile, recalls = blocks(given)
    assert f"{profile}\n\n{recalls}" in given[0].content
    assert all(text in profile for text in TOLD)
    assert profile.startswith('<memory confidence="low">')
    assert [text for text in TOLD if text in recalls] == TOLD[:1]


def test_only_the_first_question_gets_it(build, do):
    chat = build()
    do(chat, "put", user(ASK))
    assert len(blocks(do(chat, "get"))) == 2
    do(chat, "put", assistant("Biscuit."))
    assert len(blocks(do(chat, "get", AGAIN))) == 1
    do(chat, "put", user(AGAIN))
    assert len(blocks(do(chat, "get"))) == 1


def test_in_a_tool_loop_it_stays(build, do):
    chat = build()
    do(chat, "put", user(ASK))
    first = blocks(do(chat, "get"))
    do(chat, "put_messages", tool_call())
    assert blocks(do(chat, "get")) == first
    assert len(first) == 2


def test_without_the_option_there_is_none(build, do):
    chat = build(profile_tokens=None)
    do(chat, "put", user(ASK))
    assert len(blocks(do(chat, "get"))) == 1


@pytest.mark.parametrize("kind", [chat_memory, memory_of_blocks])
def test_without_recalls_it_stands_alone(reader, tmp_path, kind, do):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy=NeverSure()) as memory:
        empty = kind(memory, tmp_path)
        do(empty, "put", user(ASK))
        assert do(empty, "get") == [user(ASK)]
        memory.memorize(TOLD[1], speaker="user")
        chat = kind(memory, tmp_path, min_confidence="high")
        do(chat, "put", user(ASK))
        [profile] = blocks(do(chat, "get"))
        assert TOLD[1] in profile


def test_it_keeps_to_its_tokens(memory, build, do):
    chat, tokenizer = build(profile_tokens=50), TitansChatMemory(memory=memory).tokenizer_fn
    do(chat, "put", user(ASK))
    profile = blocks(do(chat, "get"))[0]
    assert 1 <= profile.count("\n- ") < len(TOLD)
    assert len(tokenizer(profile)) <= 50


def test_what_the_message_says_itself_is_left_out(build, do):
    chat = build()
    do(chat, "put", user("My dog is called Biscuit, and my cat is called Mila."))
    given = "".join(blocks(do(chat, "get")))
    assert "Mila" not in given
    assert TOLD[1] in given


def test_it_is_not_learned(memory, build, do):
    chat = build()
    do(chat, "put", user(ASK))
    do(chat, "get")
    do(chat, "put", assistant("Biscuit."))
    assert [turn.text for turn in memory.turns()] == [*TOLD, ASK, "Biscuit."]
    assert [message.content for message in do(chat, "get_all")] == [ASK, "Biscuit."]


def test_if_it_fails_the_recalls_still_come(memory, build, do, monkeypatch, caplog):
    def fail(**options):
        raise RuntimeError(TOLD[0])

    async def afail(**options):
        fail()

    monkeypatch.setattr(memory, "profile", fail)
    monkeypatch.setattr(memory, "aprofile", afail)
    chat = build()
    with caplog.at_level(logging.WARNING, logger="titans_llamaindex"), recorded_events() as events:
        do(chat, "put", user(ASK))
        [recalls] = blocks(do(chat, "get"))
    assert TOLD[0] in recalls
    failures = [(event.what, event.error) for event in events if hasattr(event, "what")]
    assert failures == [("recall the profile", "RuntimeError")]
    assert "Biscuit" not in caplog.text
    strict = build(raise_errors=True)
    with pytest.raises(RuntimeError):
        do(strict, "get", ASK)


@pytest.mark.parametrize("kind", [TitansChatMemory, TitansMemoryBlock])
def test_a_limit_below_one_is_refused(memory, kind):
    with pytest.raises(ValidationError):
        kind(memory=memory, profile_tokens=0)


# --- TitansChatMemory


def test_both_stay_within_the_token_limit(memory):
    for limit in (60, 100, 150, 300):
        chat = TitansChatMemory(memory=memory, token_limit=limit, profile_tokens=1000)
        chat.put(user(ASK))
        [message] = chat.get()
        assert message.content.endswith(ASK)
        assert len(chat.tokenizer_fn("".join(blocks([message])))) <= limit


def test_a_forgotten_turn_is_gone_from_it(memory):
    chat = TitansChatMemory(memory=memory, profile_tokens=200)
    chat.put(user(ASK))
    [nurse] = [turn for turn in memory.turns() if "nurse" in turn.text]
    assert "nurse" in chat.get()[0].content
    memory.forget(nurse.id)
    assert "nurse" not in chat.get()[0].content


def test_engines_pass_it_to_their_model_once(memory):
    for make in (SimpleChatEngine.from_defaults, partial(ContextChatEngine.from_defaults, Manual())):
        llm = ScriptedLLM(lambda messages: "I see.")
        engine = make(llm=llm, memory=TitansChatMemory(memory=memory, k=1, profile_tokens=200))
        engine.chat(ASK)
        engine.chat(AGAIN)
        assert [prompt.count("nurse") for prompt in llm.prompts] == [1, 0]


def test_saved_and_loaded_it_keeps_the_options(memory):
    chat = TitansChatMemory(memory=memory, profile_tokens=200, timezone="Asia/Tokyo")
    data = json.loads(json.dumps(chat.to_dict()))
    assert (data["profile_tokens"], data["timezone"]) == (200, "Asia/Tokyo")
    loaded = TitansChatMemory.from_dict(data, memory=memory)
    assert (loaded.profile_tokens, loaded.timezone) == (200, "Asia/Tokyo")
    loaded.put(user(ASK))
    assert len(blocks(loaded.get())) == 2


def test_what_was_saved_before_there_was_a_profile_can_be_loaded(memory):
    data = TitansChatMemory(memory=memory, llm=MockLLM()).to_dict()
    for option in ("profile_tokens", "timezone"):
        del data[option]
    loaded = TitansChatMemory.from_dict({**data, "handle": "of another process"}, memory=memory)
    assert (loaded.profile_tokens, loaded.timezone) == (None, None)


# --- TitansMemoryBlock


async def test_a_truncated_block_drops_the_profile_before_the_recalls(memory):
    block = TitansMemoryBlock(memory, priority=1, profile_tokens=200)
    content = await block.aget([user(ASK)])
    profile, recalls = blocks([user(content)])
    assert content == f"{profile}\n\n{recalls}"
    count = len(block.tokenizer_fn(content))
    kept = [await block.atruncate(content, tokens) for tokens in range(1, count)]
    shown = list(dict.fromkeys(kept))
    with_profile = [text for text in shown if text and text.count("<memory") == 2]
    assert len(with_profile) == len(TOLD) - 1
    assert all(text.endswith(f"</memory>\n\n{recalls}") for text in with_profile)
    assert shown[len(with_profile)] == recalls
    assert all(text.startswith("<memory") and text.endswith("</memory>") for text in shown[:-1])
    assert shown[-1] is None
    for tokens, text in enumerate(kept, start=1):
        assert text is None or count - len(block.tokenizer_fn(text)) >= tokens
