"""The behaviour that engines and agents rely on, tested for two memories of LlamaIndex and for TitansChatMemory.

LlamaIndex has no test suite for third-party memories. These tests check the behaviour that LlamaIndex tests in its own
memories, engines and agents. Each method is called in its synchronous and its asynchronous form. Where the three
memories differ, the test states the behaviour of each.
"""

import pytest
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.memory import BaseMemory, ChatMemoryBuffer, Memory
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError

from support.llamaindex_models import call
from titans_llamaindex import TitansChatMemory

pytestmark = [pytest.mark.compat, pytest.mark.usefixtures("loop")]

BUILDERS = {
    "ChatMemoryBuffer": ChatMemoryBuffer.from_defaults,
    "Memory": Memory.from_defaults,
    "TitansChatMemory": TitansChatMemory.from_defaults,
}


def user(text):
    return ChatMessage(text, role="user")


def assistant(text):
    return ChatMessage(text, role="assistant")


def result(text="sunny"):
    return ChatMessage(text, role="tool", additional_kwargs={"tool_call_id": "call-weather"})


LIMITS = [1, 8, 15, 22, 29]  # tokens
TOOL_TURN = [user("weather?"), call("weather", city="Rome"), result(), assistant("It is sunny.")]


@pytest.fixture(params=BUILDERS)
def kind(request):
    return request.param


@pytest.fixture
def build(kind, memory, loop):
    built = []

    def build(**options):
        ours = {"memory": memory} if kind == "TitansChatMemory" else {}
        built.append(BUILDERS[kind](**ours, **options))
        return built[-1]

    yield build
    if kind == "Memory":  # `Memory` does not close its database
        for engine in filter(None, (chat.sql_store._async_engine for chat in built)):
            loop.run_until_complete(engine.dispose())


@pytest.fixture(params=["sync", "async"])
def do(request, loop):
    """Call a method of a memory, or its async form."""
    if request.param == "sync":
        return lambda chat, method, *args, **kwargs: getattr(chat, method)(*args, **kwargs)
    return lambda chat, method, *args, **kwargs: loop.run_until_complete(getattr(chat, f"a{method}")(*args, **kwargs))


def filled(do, chat, messages):
    """Put messages one by one, as engines do."""
    for message in messages:
        do(chat, "put", message)
    return chat


# --- building


def test_it_is_a_memory_with_a_name(build, kind):
    assert isinstance(build(), BaseMemory)
    assert build().class_name() == kind


def test_it_begins_with_a_history_and_a_limit_as_engines_build_it(build, do):
    history = [user("one"), assistant("two")]
    chat = build(chat_history=history, token_limit=3644)
    assert do(chat, "get") == do(chat, "get_all") == history
    assert chat.token_limit == 3644


def test_it_begins_empty(build, do):
    assert do(build(), "get") == do(build(), "get", "anything?") == do(build(), "get_all") == []
    assert do(build(chat_history=[]), "get_all") == []
    assert do(build(chat_history=None), "get_all") == []


def test_an_empty_one_is_true(build):
    assert build()  # `memory or default` replaces a memory that is false


def test_the_limit_is_at_least_one_token(build):
    with pytest.raises(ValidationError):
        build(token_limit=0)


def test_the_limit_without_one(build, kind):
    limits = {"ChatMemoryBuffer": 3000, "Memory": 30_000, "TitansChatMemory": 3000}
    assert build().token_limit == limits[kind]


def test_the_limit_for_a_model(build, kind):
    if kind == "Memory":  # it has no argument `llm`; engines pass a limit instead
        with pytest.raises(TypeError):
            build(llm=MockLLM())
    else:
        assert build(llm=MockLLM()).token_limit == 2925  # three quarters of 3900


def test_an_unknown_option_is_an_error(build, kind):
    errors = {"ChatMemoryBuffer": ValueError, "Memory": TypeError, "TitansChatMemory": TypeError}
    with pytest.raises(errors[kind], match="tokn_limit"):
        build(tokn_limit=100)


# --- the conversation


def test_put_adds_at_the_end(build, do):
    chat = filled(do, build(chat_history=[user("one")]), [assistant("two"), user("three")])
    assert do(chat, "get") == do(chat, "get_all") == [user("one"), assistant("two"), user("three")]


def test_put_messages_adds_them_all(build, do):
    chat = build(chat_history=[user("one")])
    do(chat, "put_messages", [assistant("two"), user("three")])
    assert do(chat, "get_all") == [user("one"), assistant("two"), user("three")]


def test_put_messages_without_any(build, do, kind):
    chat = build(chat_history=[user("one")])
    if kind == "Memory":
        with pytest.raises(IntegrityError):
            do(chat, "put_messages", [])
    else:
        do(chat, "put_messages", [])
    assert do(chat, "get_all") == [user("one")]


def test_set_replaces_what_was_there(build, do):
    chat = build(chat_history=[user("The secret code is X-8-DELTA-9."), assistant("Noted.")])
    do(chat, "set", [user("one"), assistant("two")])
    assert do(chat, "get_all") == [user("one"), assistant("two")]
    do(chat, "set", [])
    assert do(chat, "get_all") == []


def test_what_was_replaced_or_reset_only_ours_recalls(build, do, kind):
    question = user("What is the secret code?")
    chat = build(chat_history=[user("The secret code is X-8-DELTA-9."), assistant("Noted.")])
    do(chat, "set", [question])
    assert ("X-8" in do(chat, "get")[0].content) is (kind == "TitansChatMemory")
    do(chat, "reset")
    do(chat, "put", question)
    assert ("X-8" in do(chat, "get")[0].content) is (kind == "TitansChatMemory")


def test_reset_empties_it_and_it_goes_on(build, do):
    chat = build(chat_history=[user("one")])
    do(chat, "reset")
    assert do(chat, "get") == do(chat, "get_all") == []
    do(chat, "put", user("two"))
    assert do(chat, "get_all") == [user("two")]


def test_both_ways_see_the_same(build, loop):
    chat = build()
    chat.put(user("one"))
    loop.run_until_complete(chat.aput(assistant("two")))
    assert loop.run_until_complete(chat.aget()) == chat.get() == [user("one"), assistant("two")]


def test_every_kind_of_message_is_kept_as_it_is(build, do):
    history = [ChatMessage("Be brief.", role="system"), user(""), *TOOL_TURN, user("Thanks."), assistant("")]
    assert do(filled(do, build(), history), "get_all") == history


def test_the_question_may_be_text_or_a_message(build, do):
    chat = build(chat_history=[user("one"), assistant("two")])
    for question in ("three?", user("three?"), None):
        assert do(chat, "get", question) == do(chat, "get", input=question) == [user("one"), assistant("two")]


def test_get_changes_nothing(build, do):
    chat = build(chat_history=TOOL_TURN, token_limit=40)
    first = do(chat, "get", "three?"), do(chat, "get")
    assert all((do(chat, "get", "three?"), do(chat, "get")) == first for _ in range(3))
    assert do(chat, "get_all") == TOOL_TURN


def test_what_is_done_to_a_message_afterwards(build, do, kind):
    message = user("one")
    chat = build()
    do(chat, "put", message)
    message.blocks[0].text = "changed"
    for given in (do(chat, "get"), do(chat, "get_all")):
        given[0].additional_kwargs["mood"] = "changed"
    # Agents write their state into the last message. This changes a memory that returns its own messages.
    changed = ChatMessage("changed", role="user", additional_kwargs={"mood": "changed"})
    assert do(chat, "get_all") == [changed if kind == "ChatMemoryBuffer" else user("one")]


# --- the token limit


def test_a_history_within_the_limit_is_whole_even_after_a_greeting(build, do):
    history = [assistant("Welcome!"), user("Hi.")]
    assert do(filled(do, build(), history), "get") == history


def test_the_oldest_are_dropped_but_kept_in_get_all(build, do):
    messages = [user(f"number {n}") for n in range(5)]
    chat = filled(do, build(token_limit=5), messages)
    assert do(chat, "get") == messages[-1:]
    assert do(chat, "get_all") == messages


def test_what_is_left_never_begins_with_an_answer_or_a_tool_result(build, do):
    for limit in LIMITS:
        do(chat := build(token_limit=limit), "put_messages", [*TOOL_TURN, *TOOL_TURN, user("bye")])
        assert do(chat, "get")[0].role == "user"


def test_a_tool_result_follows_its_call(build, do):
    history = [user("one"), *TOOL_TURN, user("bye")]
    for limit in LIMITS:
        do(chat := build(token_limit=limit), "put_messages", history)
        given = do(chat, "get")
        assert given == history[-len(given) :]
        assert (TOOL_TURN[1] in given) == (TOOL_TURN[2] in given)


def test_a_history_that_was_set_is_cut_too(build, do, kind):
    chat = build(token_limit=5)
    do(chat, "set", [user(f"number {n}") for n in range(5)])
    assert len(do(chat, "get")) == (5 if kind == "Memory" else 1)  # `Memory` trims only when a message is put


def test_a_message_longer_than_the_limit_is_given_anyway(build, do):
    chat = filled(do, build(token_limit=10), [user("one"), user("two " * 50)])
    assert do(chat, "get") == [user("two " * 50)]


def test_a_last_turn_longer_than_the_limit(build, do, kind):
    turn = [user("weather?"), call("weather", city="Rome"), result("sunny " * 50)]
    chat = filled(do, build(token_limit=10), [user("hello"), *turn])
    # Models refuse a result without its call, so a history over the limit is better.
    expected = {"ChatMemoryBuffer": turn[-1:], "Memory": turn, "TitansChatMemory": turn}
    assert do(chat, "get") == expected[kind]


def test_the_tokens_of_the_system_prompt_are_taken_off(build, do, kind):
    chat = build(chat_history=[user("one"), user("two")], token_limit=10)
    assert len(do(chat, "get", initial_token_count=8)) == 2
    assert len(do(chat, "get", initial_token_count=9)) == (2 if kind == "Memory" else 1)  # `Memory` ignores the count


def test_a_system_prompt_longer_than_the_limit_is_an_error(build, do, kind):
    chat = build(chat_history=[user("one")], token_limit=10)
    assert do(chat, "get", initial_token_count=10)
    if kind == "Memory":
        assert do(chat, "get", initial_token_count=11) == [user("one")]
    else:
        # TitansChatMemory raises InvalidQueryError, which is a ValueError.
        with pytest.raises(ValueError, match="Initial token count exceeds token limit"):
            do(chat, "get", initial_token_count=11)


def test_a_tokenizer_may_be_given(build, do):
    chat = filled(do, build(tokenizer_fn=str.split, token_limit=3), [user("one two three"), user("four five")])
    assert do(chat, "get") == [user("four five")]


def test_the_tokens_of_tool_calls(build, do, kind):
    chat = build(tokenizer_fn=str.split, token_limit=6)
    do(chat, "put_messages", [user("weather?"), call("weather", city="Rome"), *[result("fine")] * 2, user("bye")])
    dropped = {"ChatMemoryBuffer": False, "Memory": True, "TitansChatMemory": True}
    assert (len(do(chat, "get")) == 1) is dropped[kind]
