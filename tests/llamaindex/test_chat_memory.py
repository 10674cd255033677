"""TitansChatMemory memorizes each message, recalls it in later conversations, and never changes its arguments."""

import asyncio
import copy
import json
import pickle
import threading
from urllib.parse import quote

import pytest
from llama_index.core.base.llms.types import ImageBlock, MessageRole, TextBlock, ToolCallBlock
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.prompts import ChatPromptTemplate
from llama_index.core.workflow import Context, JsonSerializer, StartEvent, StopEvent, Workflow, step
from pydantic import ValidationError

from support.locked import locked
from support.postgres import PASSWORD
from titans_core import TitansMemory
from titans_core.errors import InvalidTurnError, StorageError, UnsupportedUrlError
from titans_llamaindex import TitansChatMemory

FACT = "The secret code is X-8-DELTA-9."
QUESTION = "What is the secret code?"


def user(text):
    return ChatMessage(text, role="user")


def assistant(text):
    return ChatMessage(text, role="assistant")


def call():
    block = ToolCallBlock(tool_call_id="1", tool_name="weather", tool_kwargs={"city": "Rome"})
    return ChatMessage(role="assistant", blocks=[block])


def result(text="sunny"):
    return ChatMessage(text, role="tool", additional_kwargs={"tool_call_id": "1"})


def roles(messages):
    return " ".join(message.role.value for message in messages)


def texts(memory):
    return [turn.text for turn in memory.turns()]


@pytest.fixture
def chat(memory):
    """A new conversation of a user who told the secret code in an earlier conversation."""
    earlier = TitansChatMemory.from_defaults(memory=memory, session_id="earlier")
    earlier.put_messages([user(FACT), assistant("Noted.")])
    return TitansChatMemory.from_defaults(memory=memory, session_id="now")


# --- recall


def test_a_fact_of_an_earlier_conversation_comes_with_the_question(chat):
    chat.put(user(QUESTION))
    [message] = chat.get()
    assert message.role == MessageRole.USER
    assert FACT in message.content
    assert message.content.endswith("</memory>\n" + QUESTION)


async def test_async_gives_the_same(chat):
    await chat.aput(user(QUESTION))
    assert await chat.aget() == chat.get()
    assert await chat.aget(QUESTION) == chat.get(QUESTION)
    assert await chat.aget_all() == chat.get_all() == [user(QUESTION)]


def test_every_message_is_memorized_at_once(chat, memory):
    chat.put(user("I moved to Lisbon."))
    chat.put(assistant("How do you like it?"))
    assert [(turn.speaker, turn.text, turn.session) for turn in memory.turns(session="now")] == [
        ("user", "I moved to Lisbon.", "now"),
        ("assistant", "How do you like it?", "now"),
    ]


def test_the_question_may_be_text_or_a_message(chat):
    assert FACT in chat.get(QUESTION)[0].content
    assert chat.get(user(QUESTION)) == chat.get(QUESTION)


def test_a_clear_recall_is_labelled_high_an_unclear_one_low_and_no_answer_is_none(chat, memory):
    assert '<memory confidence="high">' in chat.get(QUESTION)[0].content
    memory.memorize("The secret code is K-2-OMEGA-1.", speaker="user")  # two codes, so the answer is unclear
    assert '<memory confidence="low">' in chat.get(QUESTION)[0].content
    assert chat.get("Who won the football world cup?") == []


def test_the_label_is_not_that_of_the_messages_own_turn(chat):
    statement = "The plumber said that the boiler is too old."
    chat.put(user(statement))
    assert chat.memory.recall(statement).best.text == statement  # the statement finds itself
    assert chat.get() == [user(statement)]


def test_the_label_is_set_by_the_memorys_own_strategy(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy="fixed_threshold") as memory:
        # The default rule would say low, because there is no gap between the two turns.
        memory.memorize_many([FACT, "The secret code was X-8-DELTA-9."])
        chat = TitansChatMemory.from_defaults(memory=memory)
        chat.put(user(QUESTION))
        assert '<memory confidence="high">' in chat.get()[0].content


def test_nothing_known_adds_nothing(memory):
    chat = TitansChatMemory.from_defaults(memory=memory)
    assert chat.get() == []
    assert chat.get(QUESTION) == []
    chat.put(user(QUESTION))
    assert chat.get() == [user(QUESTION)]


def test_what_the_history_holds_is_not_recalled_again(memory):
    history = [user(FACT), assistant("Noted."), user(QUESTION)]
    chat = TitansChatMemory.from_defaults(memory=memory, chat_history=history)
    assert chat.get() == history


def test_what_the_history_no_longer_holds_is_recalled(memory):
    small_talk = [message for n in range(8) for message in (user(f"Tell me joke {n}."), assistant(f"Joke {n}! " * 9))]
    chat = TitansChatMemory.from_defaults(memory=memory, token_limit=250)
    chat.put_messages([user(FACT), *small_talk, user(QUESTION)])
    given = chat.get()
    assert FACT not in [message.content for message in given]
    assert FACT in given[-1].content
    assert given[0].role == MessageRole.USER
    assert sum(len(chat.tokenizer_fn(message.content)) for message in given) <= 250


def test_recalls_take_a_quarter_of_the_limit_and_the_best_stay(chat, memory):
    memory.memorize_many([f"The gate code of house {n} is {n}{n}{n}." for n in range(5)])
    wide, narrow = chat.get(QUESTION)[0].content, TitansChatMemory(memory=memory, token_limit=280)
    block = narrow.get(QUESTION)[0].content
    assert FACT in block
    assert len(narrow.tokenizer_fn(block)) <= 70
    assert block.count("\n") < wide.count("\n")
    assert TitansChatMemory(memory=memory, token_limit=40).get(QUESTION) == []


def test_k_limits_the_recalls(chat, memory):
    memory.memorize("The gate code of the house is 4711.", speaker="user")
    one = TitansChatMemory.from_defaults(memory=memory, k=1)
    assert one.get(QUESTION)[0].content.count("\n- ") == 1
    assert chat.get(QUESTION)[0].content.count("\n- ") == 2


def test_get_changes_nothing(chat, memory):
    chat.put(user(QUESTION))
    before = memory.stats(), chat.get_all()
    assert all(chat.get() == chat.get(QUESTION) for _ in range(3))
    assert (memory.stats(), chat.get_all()) == before


def test_tenants_share_nothing(reader, tmp_path):
    with (
        TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=reader) as alice,
        TitansMemory.open(tmp_path / "memory.db", tenant="bruno", reader=reader) as bruno,
    ):
        TitansChatMemory(memory=alice, session_id="same").put(user(FACT))
        assert TitansChatMemory(memory=bruno, session_id="same").get(QUESTION) == []


def test_a_question_without_words_recalls_nothing(chat):
    chat.put(user(" "))
    assert chat.get() == [user(" ")]
    assert chat.get("") == [user(" ")]


# --- place of the recalls


def test_before_an_answer_is_asked_for_the_block_is_an_exchange_at_the_end(chat):
    # As in the context engines, which add the question after `get`.
    assert roles(chat.get(QUESTION)) == "user assistant"
    chat.put_messages([user("Hello!"), assistant("Hi.")])
    given = chat.get(QUESTION)
    assert roles(given) == "user assistant user assistant"
    assert given[:2] == [user("Hello!"), assistant("Hi.")]
    assert FACT in given[2].content


def test_in_a_tool_loop_the_block_stays_with_the_question(chat):
    chat.put_messages([user("Hello!"), assistant("Hi."), user(QUESTION), call(), result()])
    for given in (chat.get(), chat.get(QUESTION)):
        assert roles(given) == "user assistant user assistant tool"
        assert FACT in given[2].content


def test_without_a_question_to_come_the_last_one_is_recalled_for(chat):
    chat.put_messages([user(QUESTION), assistant("Let me see.")])
    given = chat.get()
    assert roles(given) == "user assistant"
    assert FACT in given[0].content


def test_there_is_never_a_second_system_message(chat):
    chat.put(ChatMessage("Be brief.", role="system"))
    assert roles(chat.get(QUESTION)) == "system user assistant"
    chat.put(user(QUESTION))
    assert roles(chat.get()) == "system user"
    assert chat.get()[0].content == "Be brief."


def test_images_stay_with_the_question(chat):
    image = ImageBlock(image=b"R0lGODlhAQABAAAAACw=", image_mimetype="image/gif")
    chat.put(ChatMessage(role="user", blocks=[image, TextBlock(text=QUESTION)]))
    [message] = chat.get()
    assert [block.block_type for block in message.blocks] == ["text", "image", "text"]


def test_stored_text_is_no_template_and_cannot_close_the_block(memory):
    text = 'Use {context_str}, {query_str} and {existing_answer} </memory> {context_msg}, never {"a": 1}.'
    memory.memorize(text, speaker="{query_str}")
    [message, _] = TitansChatMemory.from_defaults(memory=memory).get(
        "What shall I use, {context_str} or {context_msg}?"
    )
    names = ("context_str", "query_str", "existing_answer", "context_msg")
    filled = ChatPromptTemplate([message]).format_messages(**dict.fromkeys(names, "FILLED"))
    assert "FILLED" not in filled[0].content
    assert message.content.count("</memory>") == 1
    assert 'never {"a": 1}.' in message.content


def test_a_recalled_turn_keeps_its_lines(memory):
    memory.memorize("Shopping list:\nmilk\neggs", speaker="user")
    [message, _] = TitansChatMemory.from_defaults(memory=memory).get("What is on the shopping list?")
    assert ": Shopping list:\n  milk\n  eggs\n</memory>" in message.content


# --- the history


def test_tool_calls_count(memory):
    chat = TitansChatMemory.from_defaults(memory=memory, tokenizer_fn=str.split, token_limit=5)
    chat.put_messages([user("weather?"), call(), result()])
    chat.put(user("thanks"))
    assert chat.get() == [user("thanks")]
    chat.token_limit = 6
    assert len(chat.get()) == 4


async def test_set_memorizes_only_what_is_new(chat, memory):
    history = [user("I like tea."), assistant("Noted."), user("I like tea.")]
    for _ in range(2):
        chat.set(history)
        await chat.aset(history)
    again = TitansChatMemory.from_defaults(memory=memory, session_id="now", chat_history=history[:2])
    assert [turn.text for turn in memory.turns(session="now")] == ["I like tea.", "Noted.", "I like tea."]
    again.set([*history, user("And coffee.")])
    assert len(memory.turns(session="now")) == 4


async def test_reset_clears_the_conversation_and_keeps_the_memory(chat, memory):
    chat.put(user("I like tea."))
    await chat.areset()
    assert chat.get_all() == []
    assert "I like tea." in texts(memory)
    chat.put(user("I like tea."))  # a repeated message is memorized again
    assert texts(memory).count("I like tea.") == 2
    assert memory.forget(session="now") == 2


def test_what_is_not_said_in_words_is_kept_but_not_memorized(memory):
    history = [
        ChatMessage("Be brief.", role="system"),
        user(""),
        user(" \n"),
        call(),
        result(),
        ChatMessage(role="user", blocks=[ImageBlock(image=b"R0lGODlhAQABAAAAACw=", image_mimetype="image/gif")]),
    ]
    chat = TitansChatMemory.from_defaults(memory=memory, chat_history=history)
    chat.put_messages([ChatMessage("I am a bot.", role="chatbot"), ChatMessage("And I a model.", role="model")])
    assert [(turn.speaker, turn.text) for turn in memory.turns()] == [
        ("assistant", "I am a bot."),
        ("assistant", "And I a model."),
    ]
    assert chat.get_all()[:-2] == history
    assert chat.get() == chat.get_all()


async def test_a_failed_put_changes_nothing_if_errors_are_raised(memory):
    chat = TitansChatMemory.from_defaults(memory=memory, session_id="now", raise_errors=True)
    before = texts(memory)
    with pytest.raises(InvalidTurnError):
        chat.put_messages([user("fine"), user("\ud800")])
    with pytest.raises(InvalidTurnError):
        await chat.aset([user("\ud800")])
    assert (chat.get_all(), texts(memory)) == ([], before)


def test_messages_are_copied_in_and_out(chat):
    message = user(QUESTION)
    chat.put(message)
    message.blocks[0].text = "changed"
    for given in (chat.get(), chat.get_all(), chat.get(QUESTION)):
        given[0].blocks[-1].text = "changed"
        given[0].additional_kwargs["session_id"] = "changed"
    assert chat.get_all() == [user(QUESTION)]


def test_threads_may_put_at_the_same_time(memory):
    chat = TitansChatMemory.from_defaults(memory=memory)
    said = [f"Thread {n} says {word}." for n in range(8) for word in ("one", "two")]
    threads = [
        threading.Thread(target=chat.put_messages, args=([user(text) for text in said[n : n + 2]],))
        for n in range(0, 16, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(texts(memory)) == sorted(message.content for message in chat.get_all()) == sorted(said)


@pytest.mark.parametrize("method", ["aput", "aput_messages", "aget", "aset"])
async def test_async_methods_leave_the_event_loop_free(chat, memory, method):
    argument = {"aput": user(FACT), "aget": QUESTION}.get(method, [user(FACT)])
    with locked(memory) as release:
        task = asyncio.create_task(getattr(chat, method)(argument))
        await asyncio.sleep(0.1)
        assert not task.done()
        release()
        await task


# --- building and saving


def test_it_takes_three_quarters_of_the_models_context(memory):
    assert TitansChatMemory.from_defaults(memory=memory, llm=MockLLM()).token_limit == 2925  # of 3900
    assert TitansChatMemory.from_defaults(memory=memory).token_limit == 3000
    assert TitansChatMemory.from_defaults(memory=memory, llm=MockLLM(), token_limit=7).token_limit == 7


def test_wrong_options_are_refused(memory):
    with pytest.raises(TypeError, match="as `memory=`"):
        TitansChatMemory.from_defaults(chat_history=[], token_limit=100)
    with pytest.raises(TypeError, match="sesion_id"):
        TitansChatMemory.from_defaults(memory=memory, sesion_id="now")
    for wrong_option in ({"token_limit": 0}, {"k": 0}, {"session_id": ""}):
        with pytest.raises(ValidationError):
            TitansChatMemory.from_defaults(memory=memory, **wrong_option)


def test_engines_and_workflows_keep_the_object_itself(chat):
    assert chat  # `memory or default` must not replace an empty one
    assert not hasattr(chat, "__len__")
    assert copy.deepcopy({"state": [chat]})["state"][0] is chat


@pytest.fixture
def saved(reader, tmp_path):
    """A conversation in a file. The default reader of the file is already loaded."""
    with TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=reader) as memory:
        TitansChatMemory(memory=memory, session_id="earlier").put(user(FACT))
        chat = TitansChatMemory.from_defaults(memory=memory, session_id="now", token_limit=500, k=2)
        chat.put_messages([user("Hello!"), call(), result()])
        yield chat


def test_saved_as_json_and_loaded_it_is_the_same(saved, reader):
    data = json.loads(json.dumps(saved.to_dict()))
    saved.memory.close()
    loaded = TitansChatMemory.from_dict(data)
    with loaded.memory:
        assert loaded.get_all() == saved.get_all()
        assert (loaded.session_id, loaded.token_limit, loaded.k) == ("now", 500, 2)
        assert loaded.memory.tenant == "alice"
        assert FACT in loaded.get(QUESTION)[0].content
        assert data == loaded.to_dict()


def test_loaded_over_an_open_memory(saved):
    loaded = TitansChatMemory.from_dict(saved.to_dict(), memory=saved.memory, k=3)
    assert loaded.memory is saved.memory
    assert (loaded.get_all(), loaded.k) == (saved.get_all(), 3)


def test_pickled_it_opens_the_file_again(saved):
    loaded = pickle.loads(pickle.dumps(saved))  # noqa: S301 - the test made these bytes
    with loaded.memory:
        assert loaded.get_all() == saved.get_all()
        assert FACT in loaded.get(QUESTION)[0].content


def test_loading_never_begins_an_empty_memory(chat, saved, tmp_path):
    data = saved.to_dict()
    with pytest.raises(UnsupportedUrlError, match="open a path"):
        TitansChatMemory.from_dict({**chat.to_dict(), "handle": "of another process"})
    with pytest.raises(StorageError, match="restore its file"):
        TitansChatMemory.from_dict({**data, "url": str(tmp_path / "gone.db")})
    with pytest.raises(StorageError, match="pass `memory=`"):
        TitansChatMemory.from_dict(saved.model_dump())


class StoringWorkflow(Workflow):
    """Stores the memory in its context and does nothing else."""

    @step
    async def store_memory(self, ctx: Context, event: StartEvent) -> StopEvent:
        await ctx.store.set("memory", event.memory)
        async with ctx.store.edit_state():
            pass
        return StopEvent(result=await ctx.store.get("memory"))


async def test_a_workflow_context_keeps_and_saves_it(saved):
    workflow = StoringWorkflow()
    handler = workflow.run(memory=saved)
    assert await handler is saved
    data = json.loads(json.dumps(handler.ctx.to_dict(serializer=JsonSerializer())))
    loaded = await Context.from_dict(workflow, data, serializer=JsonSerializer()).store.get("memory")
    with loaded.memory:
        assert loaded.get_all() == saved.get_all()
        assert FACT in (await loaded.aget(QUESTION))[0].content


def test_loaded_in_the_same_process_it_is_the_same_until_one_goes_on(chat):
    before = chat.to_dict()
    assert TitansChatMemory.from_dict(before) is chat
    chat.put(user("I like green tea."))
    earlier = TitansChatMemory.from_dict(before)
    assert earlier is not chat
    assert earlier.memory is chat.memory
    assert len(earlier.get_all()) == len(chat.get_all()) - 1
    other = TitansChatMemory.from_dict({**chat.to_dict(), "handle": earlier.to_dict()["handle"]}, k=1)
    assert (other.k, other.memory is chat.memory) == (1, True)


def test_a_question_is_asked_once_until_something_changes(chat, memory, monkeypatch):
    queries = []
    recall = memory.recall
    monkeypatch.setattr(memory, "recall", lambda query, **limits: queries.append(query) or recall(query, **limits))
    chat.put(user(QUESTION))
    assert chat.get() == chat.get(QUESTION) == chat.get()
    assert queries == [QUESTION]
    memory.memorize("The secret code is not to be told.", speaker="user")
    chat.get()
    chat.get()
    assert queries == [QUESTION] * 2
    [fact_id] = [turn.id for turn in memory.turns() if turn.text == FACT]
    memory.forget(fact_id)
    assert FACT not in chat.get()[-1].content
    chat.put(assistant("I cannot tell."))
    chat.get(QUESTION)
    assert queries == [QUESTION] * 4


def test_a_saved_conversation_over_a_server_names_it_without_the_password(postgres_url, reader, monkeypatch):
    with TitansMemory.open(postgres_url, tenant="alice", reader=reader) as memory:
        saved = TitansChatMemory.from_defaults(memory=memory)
        saved.put(user(FACT))
        data = saved.to_dict()
    quoted = quote(PASSWORD, safe="")
    assert data["url"] == postgres_url.replace(f":{quoted}", "")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with TitansChatMemory.from_dict(data).memory as again:
        assert again.recall(QUESTION).best.text == FACT
