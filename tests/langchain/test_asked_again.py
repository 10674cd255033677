"""What was asked before, and was answered or not, never stands in the way of the fact that was told."""

import pytest
from langchain.agents import create_agent

from support.everyday import ASK, DOOR, OTHERS, TELL
from support.scripted import ScriptedModel
from titans_core import Turn
from titans_langchain import TitansMemoryMiddleware


def config(thread):
    return {"configurable": {"user_id": "alice", "thread_id": thread}}


def agent(bank, *answers):
    model = ScriptedModel(*answers)
    return create_agent(model, middleware=[TitansMemoryMiddleware(bank)]), model


@pytest.fixture(params=["invoke", "ainvoke"])
def say(request):
    async def say(chat, text, thread):
        if request.param == "invoke":
            return chat.invoke({"messages": text}, config(thread))
        return await chat.ainvoke({"messages": text}, config(thread))

    return say


async def test_the_same_question_on_a_second_and_third_day_gets_the_fact(bank, say):
    chat, model = agent(bank, "Nice!", "Your dog is called Biscuit.", "Biscuit, as ever.")
    for day, text in (("monday", TELL), ("tuesday", ASK), ("wednesday", ASK)):
        await say(chat, text, day)
    assert TELL in model.systems[1]
    assert TELL in model.systems[2]
    assert ASK not in model.systems[2]


async def test_after_five_refusals_the_fact_is_still_recalled(bank, say):
    bank.tenant("alice").memorize_many([*OTHERS, Turn(DOOR, speaker="user", session="first")])
    refusal = "I'm sorry, I don't know the door code of the office."
    chat, model = agent(bank, *[refusal] * 6)
    for day in range(6):
        await say(chat, "What is the door code of the office?", f"day {day}")
    assert DOOR in model.systems[-1]
    assert refusal not in model.systems[-1]


async def test_what_was_only_asked_and_declined_is_not_known(bank, say):
    bank.tenant("alice").memorize_many(OTHERS)
    chat, model = agent(bank, "I'm sorry, I don't have your passport number.")
    for day in ("monday", "tuesday"):
        await say(chat, "What is my passport number?", day)
    assert "passport" not in model.systems[-1]
    assert 'confidence="high"' not in model.systems[-1]
