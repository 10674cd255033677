"""With `profile_tokens`, the first request of a thread holds what the user has told about as a whole."""

import logging

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from support.scripted import ScriptedModel, calls
from titans_core import Confidence, TitansMemory, Turn
from titans_core.confidence import Verdict
from titans_core.errors import InvalidQueryError
from titans_langchain import TitansMemoryMiddleware

TOLD = ["My dog is called Biscuit.", "I am allergic to nuts.", "I work as a nurse in Lisbon."]
ASK = "What is my dog called?"


class NeverSure:
    """A strategy that labels everything `none`, so that nothing is recalled."""

    def judge(self, evidence):
        return Verdict(Confidence.NONE)


@pytest.fixture
def memory(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy="fixed_threshold") as memory:
        memory.memorize_many(Turn(text, speaker="user", session="old") for text in TOLD)
        yield memory


@pytest.fixture
def model():
    return ScriptedModel()


@pytest.fixture(params=["invoke", "ainvoke"])
def say(request):
    async def say(chat, message, thread="monday"):
        config = {"configurable": {"thread_id": thread}}
        if request.param == "invoke":
            return chat.invoke({"messages": message}, config)
        return await chat.ainvoke({"messages": message}, config)

    return say


def agent(model, memory, *, tools=(), **options):
    middleware = TitansMemoryMiddleware(memory, **{"profile_tokens": 200, **options})
    return create_agent(
        model, list(tools), system_prompt="Be brief.", middleware=[middleware], checkpointer=InMemorySaver()
    )


def blocks(system):
    """Split a system message into its blocks of recalls."""
    return [f"<memory{part.partition('</memory>')[0]}</memory>" for part in system.split("<memory")[1:]]


async def test_it_stands_before_the_recalls(memory, model, say):
    await say(agent(model, memory, k=1), ASK)
    [system] = model.systems
    profile, recalls = blocks(system)
    assert system == f"Be brief.\n\n{profile}\n\n{recalls}"
    assert all(text in profile for text in TOLD)
    assert profile.startswith('<memory confidence="low">')
    assert [text for text in TOLD if text in recalls] == TOLD[:1]


async def test_only_the_first_message_of_a_thread_gets_it(memory, model, say):
    chat = agent(model, memory)
    for thread, text in (("monday", ASK), ("monday", "And which pet food do I need?"), ("tuesday", ASK)):
        await say(chat, text, thread)
    assert [len(blocks(system)) for system in model.systems] == [2, 1, 2]


async def test_a_history_that_is_sent_along_counts_as_earlier(memory, model, say):
    history = [HumanMessage("Hi, it is me again."), AIMessage("Hello!"), HumanMessage(ASK)]
    await say(agent(model, memory), history)
    assert len(blocks(model.systems[0])) == 1


async def test_each_request_for_this_message_holds_the_same(memory, say):
    @tool
    def weather(city: str) -> str:
        """The weather."""
        return f"Rain in {city}."

    model = ScriptedModel(calls("weather", city="Rome"), "Take an umbrella.")
    await say(agent(model, memory, tools=[weather]), ASK)
    first, second = model.systems
    assert len(blocks(first)) == 2
    assert first == second


async def test_without_the_option_there_is_none(memory, model, say):
    await say(agent(model, memory, profile_tokens=None), ASK)
    assert len(blocks(model.systems[0])) == 1


async def test_without_recalls_it_stands_alone(reader, model, say):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy=NeverSure()) as memory:
        await say(agent(model, memory), ASK, "empty")
        memory.memorize(TOLD[1], speaker="user")
        await say(agent(model, memory, inject_when="high"), ASK)
    assert model.systems[0] == "Be brief."
    [profile] = blocks(model.systems[1])
    assert TOLD[1] in profile


async def test_it_keeps_to_its_tokens_and_the_template(memory, model, reader, say):
    await say(agent(model, memory, profile_tokens=45, template="* {text}"), ASK)
    profile = blocks(model.systems[0])[0]
    assert 1 <= profile.count("\n* ") < len(TOLD)
    assert reader.count_tokens(profile) <= 45
    await say(agent(model, memory, profile_tokens=1), ASK, "too few")
    assert len(blocks(model.systems[1])) == 1


async def test_what_the_message_says_itself_is_left_out(memory, model, say):
    await say(agent(model, memory), TOLD[0])
    assert TOLD[0] not in model.systems[0]
    assert TOLD[1] in model.systems[0]


async def test_it_is_neither_learned_nor_kept(memory, model, say):
    chat = agent(model, memory)
    answer = await say(chat, ASK)
    assert "nurse" in model.systems[0]
    assert [turn.text for turn in memory.turns() if "nurse" in turn.text] == [TOLD[2]]
    assert "nurse" not in str(answer)
    assert "nurse" not in str([*chat.get_state_history({"configurable": {"thread_id": "monday"}})])


async def test_if_it_fails_the_recalls_still_come(memory, model, say, monkeypatch, caplog):
    def fail(**limits):
        raise RuntimeError(TOLD[0])

    async def afail(**limits):
        fail()

    monkeypatch.setattr(memory, "profile", fail)
    monkeypatch.setattr(memory, "aprofile", afail)
    with caplog.at_level(logging.WARNING, logger="titans_langchain"):
        await say(agent(model, memory), ASK)
    [recalls] = blocks(model.systems[0])
    assert TOLD[0] in recalls
    [record] = caplog.records
    assert "could not recall the profile" in record.getMessage()
    assert "Biscuit" not in caplog.text


def test_a_limit_below_one_is_refused(memory):
    with pytest.raises(InvalidQueryError, match="profile_tokens"):
        TitansMemoryMiddleware(memory, profile_tokens=0)
