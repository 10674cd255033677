"""`TitansMemoryMiddleware` recalls for an agent what was said in other threads, and memorizes the current thread."""

import asyncio
import logging
import threading
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from support.scripted import ScriptedModel, calls
from titans_core import MemoryBank, TitansMemory
from titans_core.errors import InvalidQueryError, InvalidTenantError
from titans_langchain import TitansMemoryMiddleware, TitansRetriever

pytestmark = pytest.mark.compat

ASK = "What is my dog called?"
TELL = "My dog is called Biscuit."


@pytest.fixture
def bank(reader):
    with MemoryBank(":memory:", reader=reader) as bank:
        yield bank


@pytest.fixture
def model():
    return ScriptedModel()


def config(user="alice", thread="monday"):
    return {"configurable": {"user_id": user, "thread_id": thread}}


def agent(model, memory, **options):
    agent_options = {
        name: options.pop(name) for name in ("tools", "context_schema", "system_prompt") if name in options
    }
    middleware = TitansMemoryMiddleware(memory, **options)
    return create_agent(model, middleware=[middleware], checkpointer=InMemorySaver(), **agent_options)


def texts(memory):
    return [(turn.speaker, turn.text) for turn in memory.turns()]


def test_a_new_thread_is_given_what_an_earlier_one_said(bank, model):
    chat = agent(model, bank, system_prompt="Be brief.")
    chat.invoke({"messages": TELL}, config(thread="monday"))
    chat.invoke({"messages": ASK}, config(thread="tuesday"))
    before, after = model.systems
    assert before == "Be brief."
    assert after.startswith('Be brief.\n\n<memory confidence="high">')
    assert TELL in after


def test_what_was_said_is_memorized_under_its_thread(bank, model):
    agent(model, bank).invoke({"messages": TELL}, config())
    turns = bank.tenant("alice").turns()
    assert texts(bank.tenant("alice")) == [("user", TELL), ("assistant", f"You said: {TELL}")]
    assert {turn.session for turn in turns} == {"monday"}


def test_without_a_system_prompt_the_block_is_the_system_message(bank, model):
    bank.tenant("alice").memorize(TELL, speaker="user")
    agent(model, bank).invoke({"messages": ASK}, config())
    assert model.systems[0].startswith("<memory")


def test_a_system_message_of_several_parts_keeps_them(bank, model):
    bank.tenant("alice").memorize(TELL, speaker="user")
    parts = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    agent(model, bank, system_prompt=SystemMessage(parts)).invoke({"messages": ASK}, config())
    content = model.requests[0][0].content
    assert content[0] == parts[0]
    assert TELL in content[1]["text"]


def test_nothing_relevant_adds_nothing(bank, model):
    bank.tenant("alice").memorize("The boiler was serviced in March.", speaker="user")
    agent(model, bank).invoke({"messages": "Who won the football world cup?"}, config())
    assert model.systems == [""]


def test_inject_when_high_leaves_out_what_may_be_irrelevant(reader, model):
    question = "Which pet food do I need?"
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy="fixed_threshold") as memory:
        memory.memorize(TELL, speaker="user")
        assert memory.recall(question).confidence == "low"
        agent(model, memory, inject_when="high").invoke({"messages": question}, config())
        agent(model, memory, inject_when="low").invoke({"messages": question}, config(thread="tuesday"))
    assert model.systems[0] == ""
    assert '<memory confidence="low">' in model.systems[1]


def test_the_block_keeps_to_its_budget_and_template(bank, model, reader):
    memory = bank.tenant("alice")
    memory.memorize_many([f"My dog number {n} is called {name}." for n, name in enumerate(("Biscuit", "Rex", "Otto"))])
    agent(model, bank, max_tokens=45, template="* {text}").invoke({"messages": ASK}, config())
    assert 0 < reader.count_tokens(model.systems[0]) <= 45
    assert "\n* My dog" in model.systems[0]


def test_what_the_conversation_holds_is_not_recalled_again(bank, model):
    chat = agent(model, bank)
    chat.invoke({"messages": TELL}, config())
    chat.invoke({"messages": ASK}, config())
    assert TELL not in model.systems[1]


def test_it_recalls_once_for_a_message_however_often_the_model_is_called(bank):
    bank.tenant("alice").memorize(TELL, speaker="user")
    recalls = []

    @tool
    def weather(city: str) -> str:
        """The weather."""
        return f"Rain in {city}."

    model = ScriptedModel(calls("weather", city="Rome"), calls("weather", city="Oslo"), "Rain everywhere.")
    chat = agent(model, bank, tools=[weather])
    for mode, event in chat.stream({"messages": ASK}, config(), stream_mode=["updates", "custom"]):
        if mode == "updates" and (event.get("TitansMemoryMiddleware.before_model") or {}).get("titans_recalls"):
            recalls.append(event)
    assert len(model.requests) == 3
    assert len(recalls) == 1
    assert all(TELL in system for system in model.systems)


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (("user",), [("user", "Weather in Rome?")]),
        (("assistant",), [("assistant", "It rains.")]),
        (("user", "assistant", "tool"), [("user", "Weather in Rome?"), ("tool", "Rain."), ("assistant", "It rains.")]),
        ((), []),
    ],
)
def test_roles_say_whose_messages_are_memorized(bank, roles, expected):
    @tool
    def weather(city: str) -> str:
        """The weather."""
        return "Rain."

    model = ScriptedModel(calls("weather", city="Rome"), "It rains.")
    agent(model, bank, tools=[weather], roles=roles).invoke({"messages": "Weather in Rome?"}, config())
    assert texts(bank.tenant("alice")) == expected


def test_recall_can_be_left_to_a_tool(bank, model):
    bank.tenant("alice").memorize(TELL, speaker="user")
    agent(model, bank, recall=False).invoke({"messages": ASK}, config())
    assert model.systems == [""]
    assert ("user", ASK) in texts(bank.tenant("alice"))


def test_without_a_checkpointer_an_earlier_conversation_that_is_sent_again_is_not_memorized_again(bank, model):
    chat = create_agent(model, middleware=[TitansMemoryMiddleware(bank)])
    user = {"configurable": {"user_id": "alice"}}
    history = [HumanMessage(TELL)]
    history += chat.invoke({"messages": list(history)}, user)["messages"][-1:]
    history.append(HumanMessage("Biscuit likes cheese."))
    chat.invoke({"messages": [type(m)(m.content) for m in history]}, user)
    said = [text for speaker, text in texts(bank.tenant("alice")) if speaker == "user"]
    assert said == [TELL, "Biscuit likes cheese."]


def test_an_edited_message_replaces_what_it_said(bank, model):
    chat = agent(model, bank)
    chat.invoke({"messages": [HumanMessage("My cat is called Mila.", id="h1")]}, config())
    answer = chat.get_state(config()).values["messages"][-1]
    chat.update_state(config(), {"messages": [RemoveMessage(answer.id)]})
    chat.invoke({"messages": [HumanMessage("My cat is called Lisa.", id="h1")]}, config())
    said = [text for speaker, text in texts(bank.tenant("alice")) if speaker == "user"]
    assert said == ["My cat is called Lisa."]


def test_a_summary_by_another_middleware_is_neither_asked_nor_memorized(bank, model):
    summary = HumanMessage("Summary: the user has a dog.", additional_kwargs={"lc_source": "summarization"})
    chat = create_agent(model, middleware=[TitansMemoryMiddleware(bank)])
    chat.invoke({"messages": [summary, HumanMessage(TELL)]}, config())
    chat.invoke({"messages": [HumanMessage(TELL), summary]}, config())
    assert "Summary: the user has a dog." not in [text for _, text in texts(bank.tenant("alice"))]


def test_messages_that_say_nothing_are_no_reason_to_fail(bank, model):
    image = {"type": "image", "url": "https://example.org/dog.png"}
    agent(model, bank).invoke({"messages": [HumanMessage([image])]}, config())
    assert texts(bank.tenant("alice"))[0][0] == "assistant"


def test_the_memory_of_one_user_serves_that_user_only(memory, model):
    chat = create_agent(model, middleware=[TitansMemoryMiddleware(memory)])
    chat.invoke({"messages": TELL})
    assert ("user", TELL) in texts(memory)
    with pytest.raises(InvalidTenantError, match="memory of 'alice'"):
        chat.invoke({"messages": ASK}, config("mallory"))


@dataclass
class Context:
    user_id: str | None = None


@pytest.mark.parametrize("hook", ["before_model", "after_agent"])
async def test_a_missing_user_is_an_error_and_nobodys_memory_is_opened(bank, model, hook):
    chat = agent(model, bank, recall=hook == "before_model")
    nobody = {"configurable": {"thread_id": "monday"}}
    with pytest.raises(InvalidTenantError, match="names no user"):
        chat.invoke({"messages": ASK}, nobody)
    with pytest.raises(InvalidTenantError, match="names no user"):
        await chat.ainvoke({"messages": ASK}, nobody)
    assert bank.tenants() == []


def test_the_context_names_the_user_too(bank, model):
    chat = agent(model, bank, context_schema=Context)
    chat.invoke({"messages": TELL}, {"configurable": {"thread_id": "1"}}, context=Context("alice"))
    assert bank.tenants() == ["alice"]
    with pytest.raises(InvalidTenantError, match="more than one user"):
        chat.invoke({"messages": ASK}, config("bruno"), context=Context("alice"))


async def test_a_memory_that_fails_is_logged_and_the_agent_goes_on(reader, model, caplog):
    memory = TitansMemory.open(":memory:", tenant="alice", reader=reader)
    memory.close()
    chat = create_agent(model, middleware=[TitansMemoryMiddleware(memory)])
    with caplog.at_level(logging.WARNING, logger="titans_langchain"):
        assert chat.invoke({"messages": ASK})["messages"][-1].text == f"You said: {ASK}"
        assert (await chat.ainvoke({"messages": ASK}))["messages"][-1].text == f"You said: {ASK}"
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 4
    assert "could not recall" in caplog.text
    assert "could not memorize" in caplog.text
    assert ASK not in caplog.text


async def test_a_memory_that_hangs_is_waited_for_no_longer_than_the_timeout(model, caplog):
    over = threading.Event()

    class Hanging:
        tenant, reader = "alice", "hangs"

        def recall(self, *args, **kwargs):
            assert over.wait(60)

        async def arecall(self, *args, **kwargs):
            await asyncio.to_thread(self.recall)

    chat = create_agent(model, middleware=[TitansMemoryMiddleware(Hanging(), timeout=0.1, roles=())])
    chat.invoke({"messages": ASK})
    await chat.ainvoke({"messages": ASK})
    assert caplog.text.count("TimeoutError") == 2
    over.set()


def test_arguments_that_make_no_sense_are_refused(bank):
    wrong = [{"inject_when": "none"}, {"k": 0}, {"max_tokens": 0}, {"timeout": 0}, {"roles": ("human",)}]
    for options in wrong:
        with pytest.raises(InvalidQueryError):
            TitansMemoryMiddleware(bank, **options)
    with pytest.raises(KeyError, match="speeker"):
        TitansMemoryMiddleware(bank, template="{speeker}")


async def test_events_tell_labels_and_times_but_no_text(bank, model):
    bank.tenant("alice").memorize(TELL, speaker="user")
    events = [
        event
        async for event in agent(model, bank).astream_events({"messages": ASK}, config(), version="v2")
        if event["event"] == "on_custom_event"
    ]
    recalled, memorized = (event["data"] for event in events)
    assert [event["name"] for event in events] == ["titans_recall", "titans_memorize"]
    assert recalled["tenant"] == memorized["tenant"] == "alice"
    assert recalled["confidence"] == "high"
    assert recalled["recalls"] == 1
    assert memorized["turns"] == 2
    assert 0 <= memorized["surprise"] <= 1
    assert recalled["seconds"] > 0 < memorized["seconds"]
    assert "Biscuit" not in str(events)


def test_a_tool_call_and_its_result_are_no_turns_unless_asked_for(bank):
    messages = [HumanMessage("Hi"), calls("weather", city="Rome"), ToolMessage("Rain.", tool_call_id="call-weather")]
    create_agent(ScriptedModel("Take an umbrella."), middleware=[TitansMemoryMiddleware(bank)]).invoke(
        {"messages": messages}, config()
    )
    assert texts(bank.tenant("alice")) == [("user", "Hi"), ("assistant", "Take an umbrella.")]


def test_the_servers_user_counts_and_cannot_be_overruled(bank, model):
    bank.tenant("alice").memorize(TELL, speaker="user")
    # The server passes an object; after JSON it is a dict.
    for user in (SimpleNamespace(identity="alice"), {"identity": "alice"}):
        authenticated = {"configurable": {"langgraph_auth_user": user}}
        agent(model, bank, roles=()).invoke(
            {"messages": ASK}, {"configurable": {"thread_id": "1", **authenticated["configurable"]}}
        )
        assert TELL in model.systems[-1]
        assert TELL in str(TitansRetriever(memory=bank).invoke(ASK, authenticated))
        authenticated["configurable"]["user_id"] = "bruno"
        with pytest.raises(InvalidTenantError, match="more than one user"):
            TitansRetriever(memory=bank).invoke(ASK, authenticated)


@pytest.mark.parametrize("user", ["", "  ", 7, b"alice", 'langgraph:store/"memories"/'])
def test_what_cannot_name_a_user_is_refused(bank, model, user):
    with pytest.raises(InvalidTenantError, match="user's id as text"):
        agent(model, bank).invoke({"messages": ASK}, config(user))
    assert AIMessage not in [type(message) for message in model.requests]
