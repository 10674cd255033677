"""`ChatTitansLM` passes LangChain's test suites, streams, stops, takes turns and parses tool calls."""

import asyncio
import copy
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_chunk_to_message,
)
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import BaseModel, ValidationError

from support.looping import slow_work, stops_the_loop
from titans_core.errors import InvalidQueryError, ModelNotFoundError
from titans_core.readers import DEFAULT_LANGUAGE_MODEL, CausalLM
from titans_langchain.chat_model import ChatTitansLM

QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."


class Titans:
    """Properties that both suites read."""

    @pytest.fixture(autouse=True)
    def loaded(self, language_model):
        self.lm = language_model

    @property
    def chat_model_class(self):
        return ChatTitansLM

    @property
    def chat_model_params(self):
        return {"lm": self.lm, "max_new_tokens": 6}

    @property
    def has_tool_calling(self):
        return False  # the model is too small, and its template knows no tools

    @property
    def has_structured_output(self):
        return False


# Tests that the suites would skip by themselves: see `lacks` in conftest.py.
UNIT = {"test_init_from_env", "test_serdes"}  # the model has no key, and a loaded model cannot be serialized
TOOLS = {
    "test_agent_loop",
    "test_bind_runnables_as_tools",
    "test_structured_few_shot_examples",
    "test_structured_output",
    "test_structured_output_async",
    "test_structured_output_optional_param",
    "test_structured_output_pydantic_2_v1",
    "test_json_mode",
    "test_tool_calling",
    "test_tool_calling_async",
    "test_tool_calling_with_no_arguments",
    "test_tool_choice",
    "test_tool_message_error_status",
    "test_tool_message_histories_list_content",
    "test_tool_message_histories_string_content",
    "test_unicode_tool_call_integration",
}
OTHER_PARTS = {
    "test_anthropic_inputs",
    "test_audio_inputs",
    "test_image_inputs",
    "test_image_tool_message",
    "test_pdf_inputs",
    "test_pdf_tool_message",
}
ANOTHER_MODEL = {
    "test_ainvoke_with_model_override",
    "test_astream_with_model_override",
    "test_invoke_with_model_override",
    "test_stream_with_model_override",
}
RECORDINGS = {"test_stream_time"}  # this test replays recorded answers of a server


class TestUnit(Titans, ChatModelUnitTests):
    lacks = UNIT


class TestUnitWithTools(Titans, ChatModelUnitTests):
    lacks = UNIT
    has_tool_calling = has_structured_output = True

    @pytest.fixture(autouse=True)
    def loaded(self, language_model, tokenizer):
        self.lm = CausalLM(language_model.model, tokenizer)


class TestIntegration(Titans, ChatModelIntegrationTests):
    lacks = TOOLS | OTHER_PARTS | ANOTHER_MODEL | RECORDINGS


TEMPLATE = """{%- if tools %}<|im_start|>system
Call tools as <tool_call>{"name": ..., "arguments": {...}}</tool_call>: {{ tools | tojson }}<|im_end|>
{% endif -%}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor -%}
<|im_end|>
{% endfor %}<|im_start|>assistant{{ "\\n" }}"""


@pytest.fixture(scope="module")
def tokenizer(language_model):
    """A tokenizer whose chat template knows tools."""
    tokenizer = copy.deepcopy(language_model.tokenizer)
    tokenizer.chat_template = TEMPLATE
    return tokenizer


class Scripted:
    """A model that always generates the same answer, token by token, and keeps its prompts."""

    device, name_or_path = "cpu", "scripted"

    def __init__(self, tokenizer, answer, error=None):
        self.tokenizer, self.error, self.prompts = tokenizer, error, []
        self.answer = [*tokenizer(answer)["input_ids"], tokenizer.eos_token_id]
        self.generation_config = SimpleNamespace(eos_token_id=tokenizer.eos_token_id)

    def generate(self, input_ids, max_new_tokens, streamer, stopping_criteria, **kwargs):
        self.prompts.append(self.tokenizer.decode(input_ids[0]))
        streamer.put(input_ids)
        for token in self.answer[:max_new_tokens]:
            streamer.put(torch.tensor([token]))
            input_ids = torch.cat([input_ids, torch.tensor([[token]])], dim=1)
            if any(criterion(input_ids, None).all() for criterion in stopping_criteria):
                break
        if self.error:
            raise self.error
        streamer.end()
        return input_ids


@pytest.fixture
def scripted(tokenizer):
    """Make a chat model that always gives the same answer; its chat template knows tools."""
    return lambda answer, **fields: ChatTitansLM(
        lm=CausalLM(Scripted(tokenizer, answer, fields.pop("error", None)), tokenizer), **fields
    )


@pytest.fixture
def chat(language_model):
    return ChatTitansLM(lm=language_model, max_new_tokens=16)


async def all_four(chat, messages, **kwargs):
    """Return the answers of the four ways to call the model, and the chunks of the two ways that stream."""
    chunks = list(chat.stream(messages, **kwargs))
    achunks = [chunk async for chunk in chat.astream(messages, **kwargs)]
    answers = [chat.invoke(messages, **kwargs), await chat.ainvoke(messages, **kwargs), join(chunks), join(achunks)]
    return answers, chunks, achunks


def join(chunks):
    return message_chunk_to_message(chunks[0] + chunks[1:])


def writers():
    return [thread for thread in threading.enumerate() if thread.name == "ChatTitansLM"]


def wait_until(condition):
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def wait_for(writers):
    for thread in writers:
        thread.join(timeout=5)
        assert not thread.is_alive()


async def test_all_four_ways_give_the_same_answer(chat):
    answers, chunks, achunks = await all_four(chat, QUESTION)
    assert {answer.text for answer in answers} == {ANSWER}
    for answer in answers:
        assert answer.response_metadata["finish_reason"] == "stop"
        assert answer.response_metadata["model_name"] == DEFAULT_LANGUAGE_MODEL
        assert answer.usage_metadata["output_tokens"] == 8
        assert answer.usage_metadata == answers[0].usage_metadata
    assert [chunk.text for chunk in chunks] == [chunk.text for chunk in achunks]
    assert len(chunks) > 4


async def test_a_stop_text_ends_all_four(scripted):
    chat = scripted("The capital of France is Paris, of course.")
    answers, chunks, achunks = await all_four(chat, QUESTION, stop=["France is P", "course"])
    assert {answer.text for answer in answers} == {"The capital of "}
    assert {answer.response_metadata["finish_reason"] for answer in answers} == {"stop"}
    assert "".join(chunk.text for chunk in chunks) == "".join(chunk.text for chunk in achunks) == "The capital of "


async def test_an_answer_that_is_cut_by_its_length_says_so(chat):
    answers, _, _ = await all_four(chat.model_copy(update={"max_new_tokens": 3}), QUESTION)
    assert {answer.text for answer in answers} == {"The capital of"}
    assert {answer.response_metadata["finish_reason"] for answer in answers} == {"length"}


async def test_callbacks_see_each_piece(scripted):
    chat = scripted(ANSWER)

    class Seen(BaseCallbackHandler):
        def on_llm_new_token(self, token, **kwargs):
            self.pieces.append(token)

    seen = Seen()
    for work in (lambda config: chat.stream(QUESTION, config), lambda config: chat.astream(QUESTION, config)):
        seen.pieces = []
        stream = work({"callbacks": [seen]})
        _ = [chunk async for chunk in stream] if hasattr(stream, "__aiter__") else list(stream)
        assert "".join(seen.pieces) == ANSWER


async def test_a_run_manager_sees_each_piece(scripted):
    chat = scripted(ANSWER)

    class Seen:
        def on_llm_new_token(self, token, chunk):
            pieces.append(token)

    class AsyncSeen:
        async def on_llm_new_token(self, token, chunk):
            pieces.append(token)

    pieces = []
    assert len(list(chat._stream([HumanMessage(QUESTION)], run_manager=Seen()))) == len(pieces)
    chunks = [chunk async for chunk in chat._astream([HumanMessage(QUESTION)], run_manager=AsyncSeen())]
    assert len(pieces) == 2 * len(chunks)
    assert "".join(pieces) == 2 * ANSWER


@pytest.mark.parametrize("leave", ["close", "break", "throw"])
def test_a_stream_that_is_left_ends_the_generation(language_model, leave):
    stream = ChatTitansLM(lm=language_model, max_new_tokens=1000).stream("Tell me a very long story.")
    next(stream)
    assert language_model.lock.locked()
    [writer] = writers()
    if leave == "close":
        stream.close()
    elif leave == "break":
        del stream
    else:
        with pytest.raises(KeyboardInterrupt):
            stream.throw(KeyboardInterrupt())
    wait_for([writer])
    assert not language_model.lock.locked()


@pytest.mark.parametrize("way", ["ainvoke", "astream"])
async def test_cancelling_ends_the_generation(language_model, way):
    chat = ChatTitansLM(lm=language_model, max_new_tokens=1000)

    async def work():
        if way == "ainvoke":
            await chat.ainvoke("Tell me a very long story.")
        async for _ in chat.astream("Tell me a very long story."):
            pass

    task = asyncio.create_task(work())
    await asyncio.to_thread(wait_until, language_model.lock.locked)
    running = writers()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    wait_for(running)
    assert not language_model.lock.locked()


async def test_who_is_cancelled_while_waiting_generates_nothing(scripted):
    chat = scripted(ANSWER)
    with chat.lm.lock:
        task = asyncio.create_task(chat.ainvoke(QUESTION))
        await asyncio.to_thread(wait_until, writers)
        waiting = writers()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    wait_for(waiting)
    assert chat.lm.model.prompts == []
    assert (await chat.ainvoke(QUESTION)).text == ANSWER


def test_two_streams_take_turns_in_one_thread(scripted):
    chat = scripted(ANSWER)
    first, second = chat.stream(QUESTION), chat.stream(QUESTION)
    assert next(first).text
    assert "".join(chunk.text for chunk in second) == ANSWER
    assert list(first)


def test_threads_take_turns(scripted):
    chat = scripted(ANSWER)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(chat.invoke, [QUESTION] * 3))
    assert [answer.text for answer in answers] == [ANSWER] * 3


async def test_an_error_while_generating_reaches_who_asked(scripted):
    chat = scripted("One two three", error=RuntimeError("out of memory"))
    with pytest.raises(RuntimeError, match="out of memory"):
        chat.invoke(QUESTION)
    with pytest.raises(RuntimeError, match="out of memory"):
        await chat.ainvoke(QUESTION)
    stream = chat.stream(QUESTION)
    assert next(stream).text.strip() == "One"
    with pytest.raises(RuntimeError, match="out of memory"):
        list(stream)
    with pytest.raises(RuntimeError, match="out of memory"):
        _ = [chunk async for chunk in chat.astream(QUESTION)]
    assert not chat.lm.lock.locked()


@pytest.mark.parametrize("way", ["ainvoke", "astream"])
async def test_the_event_loop_stays_free(language_model, monkeypatch, way):
    generate = language_model.model.generate

    def slow(**kwargs):
        slow_work()
        return generate(**kwargs)

    monkeypatch.setattr(language_model.model, "generate", slow)
    chat = ChatTitansLM(lm=language_model, max_new_tokens=4)

    async def work():
        if way == "ainvoke":
            return await chat.ainvoke(QUESTION)
        return [chunk async for chunk in chat.astream(QUESTION)]

    assert not await stops_the_loop(work())


def test_the_same_name_is_the_same_copy(language_model):
    assert ChatTitansLM.from_pretrained().lm is language_model
    chat = ChatTitansLM.from_pretrained(DEFAULT_LANGUAGE_MODEL, max_new_tokens=3)
    assert chat.lm is language_model
    assert chat.max_new_tokens == 3


def test_the_model_survives_a_copy_and_stays_out_of_dumps(chat):
    warm = chat.model_copy(update={"temperature": 0.5})
    assert warm.lm is chat.lm
    assert "lm" not in warm.model_dump()
    assert "lm=" not in repr(warm)
    assert warm._identifying_params == {
        "model_name": DEFAULT_LANGUAGE_MODEL,
        "max_new_tokens": 16,
        "temperature": 0.5,
    }
    assert warm._llm_type == "titans"


def test_a_temperature_makes_answers_differ(chat):
    hot = chat.model_copy(update={"temperature": 100.0, "max_new_tokens": 4})
    assert hot.invoke(QUESTION).text != hot.invoke(QUESTION).text


@pytest.mark.parametrize("field", [{"max_new_tokens": 0}, {"temperature": -0.1}])
def test_a_field_out_of_range_is_refused(language_model, field):
    with pytest.raises(ValidationError, match=next(iter(field))):
        ChatTitansLM(lm=language_model, **field)


def test_messages_reach_the_template_in_its_form(scripted):
    chat = scripted("Sunny.")
    call = {"name": "weather", "args": {"city": "Rome"}, "id": "1", "type": "tool_call"}
    chat.invoke(
        [
            SystemMessage("Be brief."),
            HumanMessage([{"type": "text", "text": "The weather"}, {"type": "text", "text": " in Rome?"}]),
            AIMessage("Let me see.", tool_calls=[call]),
            ToolMessage([{"type": "text", "text": "25 degrees"}], tool_call_id="1", name="weather"),
            ChatMessage("Any rain?", role="user"),
        ]
    )
    assert chat.lm.model.prompts == [
        """<|im_start|>system
Be brief.<|im_end|>
<|im_start|>user
The weather in Rome?<|im_end|>
<|im_start|>assistant
Let me see.<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call><|im_end|>
<|im_start|>tool
25 degrees<|im_end|>
<|im_start|>user
Any rain?<|im_end|>
<|im_start|>assistant
"""
    ]


def test_other_messages_are_refused(scripted):
    with pytest.raises(InvalidQueryError, match="'function'"):
        scripted("Hi.").invoke([FunctionMessage("25 degrees", name="weather")])


async def test_a_tokenizer_without_a_template_is_named(scripted, tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "chat_template", None)
    chat = scripted("Hi.")
    with pytest.raises(ModelNotFoundError, match="'scripted' has no chat template"):
        chat.invoke(QUESTION)
    with pytest.raises(ModelNotFoundError, match="no chat template"):
        await chat.ainvoke(QUESTION)


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Rain in {city}."


async def test_tool_calls_are_parsed(scripted):
    answer = """Let me look.
<tool_call>
{"name": "weather", "arguments": {"city": "Rome"}}
</tool_call>
<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>"""
    chat = scripted(answer).bind_tools([weather])
    answers, chunks, achunks = await all_four(chat, "The weather in Rome and Oslo?")
    for message in answers:
        assert message.text == "Let me look.\n"
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [
            ("weather", {"city": "Rome"}),
            ("weather", {"city": "Oslo"}),
        ]
        assert len({call["id"] for call in message.tool_calls}) == 2
        assert message.invalid_tool_calls == []
    assert not any("<" in chunk.text for chunk in [*chunks, *achunks])
    assert '"name": "weather"' in chat.bound.lm.model.prompts[0]


@pytest.mark.parametrize(
    "block",
    [
        "<tool_call>weather of Rome</tool_call>",
        '<tool_call>{"name": "weather", "argum',
        '<tool_call>{"name": "weather"}</tool_call>',
        '<tool_call>["weather"]</tool_call>',
    ],
)
async def test_a_call_that_cannot_be_read_is_an_invalid_one(scripted, block):
    answers, _, _ = await all_four(scripted(block).bind_tools([weather]), QUESTION)
    for message in answers:
        assert (message.text, message.tool_calls) == ("", [])
        assert [call["args"] for call in message.invalid_tool_calls] == [block]


async def test_without_tools_an_answer_is_all_text(scripted):
    block = '<tool_call>{"name": "weather", "arguments": {}}</tool_call>'
    answers, _, _ = await all_four(scripted(block), QUESTION)
    assert {message.text for message in answers} == {block}
    assert not any(message.tool_calls for message in answers)


@pytest.mark.parametrize(
    ("choice", "prefix", "answer"),
    [
        ("any", '<tool_call>\n{"name": "', 'weather", "arguments": {"city": "Rome"}}</tool_call>'),
        ("weather", '<tool_call>\n{"name": "weather", "arguments": ', '{"city": "Rome"}}</tool_call>'),
        ("auto", "", '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>'),
    ],
)
async def test_a_choice_begins_the_call(scripted, choice, prefix, answer):
    chat = scripted(answer)
    answers, _, _ = await all_four(chat.bind_tools([weather], tool_choice=choice), QUESTION)
    for message in answers:
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [("weather", {"city": "Rome"})]
        assert message.text == ""
    assert all(prompt.endswith(f"<|im_start|>assistant\n{prefix}") for prompt in chat.lm.model.prompts)


def test_a_tool_that_is_not_there_cannot_be_chosen(scripted):
    with pytest.raises(InvalidQueryError, match=r"'any' or one of \['weather'\], not 'news'"):
        scripted("Hi.").bind_tools([weather], tool_choice="news")


def test_structured_output_is_a_forced_call(scripted):
    class City(BaseModel):
        """A city."""

        name: str

    chat = scripted('City", "arguments": {"name": "Rome"}}</tool_call>')
    assert chat.with_structured_output(City).invoke("Which city?") == City(name="Rome")


def test_a_template_without_tools_says_which_models_know_them(chat):
    with pytest.raises(NotImplementedError, match=r"SmolLM2-135M-Instruct.*Qwen2\.5-Instruct"):
        chat.bind_tools([weather])
