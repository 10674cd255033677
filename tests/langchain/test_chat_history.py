"""`TitansChatMessageHistory` keeps the exact transcript of a session, and memorizes every message of it."""

import json
from datetime import date

import pytest
from langchain_core.language_models import FakeMessagesListChatModel
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory

from titans_core import TitansMemory
from titans_core.errors import DuplicateTurnError, InvalidQueryError
from titans_langchain import TitansChatMessageHistory

WEATHER = {"name": "weather", "args": {"city": "Malmö"}, "id": "call-1", "type": "tool_call"}
TRANSCRIPT = [
    SystemMessage("You are a helpful assistant."),
    HumanMessage("What is the weather in Malmö?", id="h-1", additional_kwargs={"channel": "web"}),
    AIMessage("", id="a-1", tool_calls=[WEATHER], response_metadata={"model_name": "small"}),
    ToolMessage("Rain, 7 degrees.", tool_call_id="call-1", name="weather", artifact={"mm": [1.5, None]}),
    AIMessage("It rains.", usage_metadata={"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}),
    HumanMessage("I am Bruno, by the way.", name="Bruno"),
    ChatMessage("They should bring umbrellas.", role="critic"),
    FunctionMessage("done", name="remind"),
    AIMessageChunk("I will remind you."),
    HumanMessage(
        [
            {
                "type": "text",
                "text": "My new boat,\nseen from the pier:",
                "cache_control": {"type": "ephemeral"},
            },
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            "It is called Ondina.",
        ]
    ),
    HumanMessage([{"type": "image_url", "image_url": {"url": "data:image/png;base64,BBBB"}}]),
    AIMessage(""),
    AIMessage([]),
    HumanMessage("  "),
    AIMessage(
        "",
        invalid_tool_calls=[{"name": "w", "args": "{", "id": "x", "error": "no JSON", "type": "invalid_tool_call"}],
    ),
    HumanMessage("  Spaces and\r\nline breaks stay. \n"),
]


@pytest.fixture
def history(memory):
    return TitansChatMessageHistory(memory, "monday")


def test_every_kind_of_message_comes_back_equal_and_in_order(history):
    history.add_messages(TRANSCRIPT[:5])
    history.add_messages(TRANSCRIPT[5:])
    assert history.messages == TRANSCRIPT
    assert [type(message) for message in history.messages] == [type(message) for message in TRANSCRIPT]


async def test_the_async_twins_do_the_same(history):
    await history.aadd_messages(TRANSCRIPT)
    assert await history.aget_messages() == TRANSCRIPT
    await history.aclear()
    assert await history.aget_messages() == []


def test_messages_are_a_list_of_their_own(history):
    history.add_user_message("Hello")
    history.add_ai_message("Hello, how can I help?")
    history.messages.clear()
    assert history.messages.copy() == [HumanMessage("Hello"), AIMessage("Hello, how can I help?")]


def test_a_new_session_is_empty(history):
    assert history.messages == []
    history.clear()
    assert history.messages == []


def test_the_transcript_survives_the_process(reader, tmp_path):
    path = tmp_path / "memory.db"
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        TitansChatMessageHistory(memory, "monday").add_messages(TRANSCRIPT)
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        assert TitansChatMessageHistory(memory, "monday").messages == TRANSCRIPT


def test_what_is_added_can_be_recalled(memory, history):
    history.add_messages(TRANSCRIPT)
    best = memory.recall("What is the name of the boat?").best
    assert best.text == "My new boat,\nseen from the pier:\nIt is called Ondina."
    assert best.turn.session == "monday"
    assert memory.recall("Was the weather tool called for Malmö?", speaker="assistant").best.turn.id == "a-1"


def test_the_speaker_is_the_role_or_the_name_of_a_person(memory, history):
    history.add_messages(TRANSCRIPT[:9])
    speakers = [turn.speaker for turn in memory.turns()]
    assert speakers == [
        "system", "user", "assistant", "tool", "assistant", "Bruno", "critic", "function", "assistant",
    ]  # fmt: skip


def test_a_message_that_says_nothing_gets_a_description_as_its_turns_text(memory, history):
    history.add_messages([TRANSCRIPT[2], TRANSCRIPT[10], TRANSCRIPT[11], TRANSCRIPT[14]])
    texts = [turn.text for turn in memory.turns()]
    assert texts == ['Called weather({"city": "Malmö"})', "[image_url]", "[no text]", "Called w({)"]


def test_values_that_json_does_not_hold_come_back_as_the_nearest(history):
    artifact = {
        "day": date(2026, 3, 2),
        "pair": (1, 2),
        "raw": b"\x00\xff",
        "share": float("inf"),
        "kind": object,
    }
    history.add_messages([ToolMessage("done", tool_call_id="call-1", artifact=artifact)])
    assert history.messages[0].artifact == {
        "day": "2026-03-02", "pair": [1, 2], "raw": "AP8=", "share": "Infinity", "kind": "<class 'object'>",
    }  # fmt: skip


async def test_a_retry_memorizes_nothing_twice(memory, history):
    messages = [
        HumanMessage("My code is X-8.", id="h-1"),
        AIMessage("Noted.", id="a-1", tool_calls=[WEATHER]),
    ]
    history.add_messages(messages[:1])
    history.add_messages(messages)
    await history.aadd_messages(messages)
    assert history.messages == messages
    assert [turn.id for turn in memory.turns()] == ["h-1", "a-1"]


def test_a_message_without_an_id_may_be_said_again(history):
    history.add_messages([HumanMessage("Yes."), HumanMessage("Yes.")])
    assert history.messages == [HumanMessage("Yes."), HumanMessage("Yes.")]


def test_another_text_under_a_known_id_is_refused_and_nothing_is_stored(history):
    history.add_messages([HumanMessage("My code is X-8.", id="h-1")])
    with pytest.raises(DuplicateTurnError):
        history.add_messages([AIMessage("Noted."), HumanMessage("My code is Y-9.", id="h-1")])
    assert history.messages == [HumanMessage("My code is X-8.", id="h-1")]


async def test_a_transcript_can_be_copied_to_another_session(memory, history):
    history.add_messages(TRANSCRIPT)
    copy = TitansChatMessageHistory(memory, "tuesday")
    copy.add_messages(history.messages)
    await copy.aadd_messages([message for message in TRANSCRIPT if message.id])
    assert copy.messages == history.messages == TRANSCRIPT


def test_clear_forgets_this_session_only(memory, history):
    other = TitansChatMessageHistory(memory, "tuesday")
    history.add_messages([HumanMessage("The secret code is X-8-DELTA-9.")])
    other.add_messages([HumanMessage("We fly to Oslo in May.")])
    memory.memorize("Alice's favorite color is turquoise.")
    history.clear()
    assert history.messages == []
    assert other.messages == [HumanMessage("We fly to Oslo in May.")]
    found = memory.recall("What is the secret code?")
    assert {recall.text for recall in found} == {
        "We fly to Oslo in May.",
        "Alice's favorite color is turquoise.",
    }


@pytest.mark.parametrize("session_id", ["", "  ", None, 7])
def test_a_history_needs_a_session(memory, session_id):
    with pytest.raises(InvalidQueryError, match="session_id"):
        TitansChatMessageHistory(memory, session_id)


def test_an_updated_turn_keeps_its_place_and_kind_and_says_the_new_text_only(memory, history):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    history.add_messages(
        [
            HumanMessage("My code is X-8.", id="h-1"),
            AIMessage("Noted: X-8.", id="a-1", tool_calls=[WEATHER]),
            HumanMessage([{"type": "text", "text": "Code X-8\non paper:"}, picture], id="h-2"),
        ]
    )
    for id_ in ("h-1", "a-1", "h-2"):
        memory.update(id_, "(withdrawn)")
    assert history.messages == [
        HumanMessage("(withdrawn)", id="h-1"),
        AIMessage("(withdrawn)", id="a-1", tool_calls=[WEATHER]),
        HumanMessage(["(withdrawn)", picture], id="h-2"),
    ]
    assert "X-8" not in json.dumps([dict(turn.metadata) for turn in memory.turns()])


def test_turns_that_came_another_way_are_messages_by_their_speaker(memory, history):
    for speaker in ("user", "assistant", "system", None, "Bruno"):
        memory.memorize("Hello there.", speaker=speaker, session="monday", id=f"by-{speaker}")
    assert history.messages == [
        HumanMessage("Hello there.", id="by-user"),
        AIMessage("Hello there.", id="by-assistant"),
        SystemMessage("Hello there.", id="by-system"),
        HumanMessage("Hello there.", id="by-None"),
        HumanMessage("Hello there.", id="by-Bruno", name="Bruno"),
    ]


# RunnableWithMessageHistory is deprecated until LangChain 2.0, but chains still use a chat history through it.
@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated:DeprecationWarning")
async def test_a_chain_with_message_history_remembers(memory):
    model = FakeMessagesListChatModel(responses=[AIMessage(text) for text in ("One.", "Two.", "Three.", "Four.")])
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{question}")])
    chain = RunnableWithMessageHistory(
        prompt | model,
        lambda session_id: TitansChatMessageHistory(memory, session_id),
        input_messages_key="question",
        history_messages_key="history",
    )
    plain = RunnableWithMessageHistory(model, lambda session_id: TitansChatMessageHistory(memory, session_id))
    config = {"configurable": {"session_id": "monday"}}
    chain.invoke({"question": "First?"}, config)
    await chain.ainvoke({"question": "Second?"}, config)
    plain.invoke([HumanMessage("Third?")], config)
    await plain.ainvoke([HumanMessage("Fourth?")], config)
    contents = [message.content for message in TitansChatMessageHistory(memory, "monday").messages]
    assert contents == ["First?", "One.", "Second?", "Two.", "Third?", "Three.", "Fourth?", "Four."]
    assert TitansChatMessageHistory(memory, "tuesday").messages == []
