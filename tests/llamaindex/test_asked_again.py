"""What was asked before, and was answered or not, never stands in the way of the fact that was told."""

import pytest
from llama_index.core.chat_engine import SimpleChatEngine

from support.everyday import ASK, DOOR, OTHERS, TELL
from support.llamaindex_models import ScriptedLLM
from titans_core import Turn
from titans_llamaindex import TitansChatMemory

pytestmark = pytest.mark.usefixtures("loop")


@pytest.fixture(params=["chat", "achat"])
def say(request, bank, loop):
    """Ask a model in a new session; return its prompt."""

    def say(text, session, answer):
        llm = ScriptedLLM(lambda messages: answer)
        memory = TitansChatMemory.from_defaults(bank, user_id="alice", session_id=session)
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory)
        if request.param == "chat":
            engine.chat(text)
        else:
            loop.run_until_complete(engine.achat(text))
        return llm.prompts[-1]

    return say


def test_the_same_question_on_a_second_and_third_day_gets_the_fact(say):
    say(TELL, "monday", "Nice!")
    assert TELL in say(ASK, "tuesday", "Your dog is called Biscuit.")
    third = say(ASK, "wednesday", "Biscuit, as ever.")
    assert TELL in third
    assert third.count(ASK) == 1  # only this day's


def test_after_five_refusals_the_fact_is_still_recalled(bank, say):
    bank.tenant("alice").memorize_many([*OTHERS, Turn(DOOR, speaker="user", session="first")])
    refusal = "I'm sorry, I don't know the door code of the office."
    for day in range(5):
        say("What is the door code of the office?", f"day {day}", refusal)
    prompt = say("what's the office door code?", "today", refusal)
    assert DOOR in prompt
    assert refusal not in prompt


@pytest.mark.parametrize("again", ["What is my passport number?", "what's my passport number?"])
def test_what_was_only_asked_and_declined_is_not_known(bank, say, again):
    bank.tenant("alice").memorize_many(OTHERS)
    say("What is my passport number?", "monday", "I'm sorry, I don't have your passport number.")
    prompt = say(again, "tuesday", "I'm sorry.")
    assert prompt.count("passport") == 1  # only in this question
    assert 'confidence="high"' not in prompt
