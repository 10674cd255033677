"""What was only asked, declined or chatted is not told: it takes no place from a statement and is never the answer."""

import pytest

from support.everyday import DAILY
from titans_core import Confidence, TitansMemory, Turn

DECLINED = (
    "I'm sorry, I don't know that yet.",
    "Sorry, I don't have the door code of the office.",
    "You haven't told me the door code of the office.",
    "There is nothing about a door code in my notes.",
    "No idea, sorry.",
    "Hm, I'm not sure about that one.",
)
ASKED = (
    "What is the door code of the office?",
    "what's the office door code",
    "Tell me the door code of the office.",
    "Do you remember the door code?",
    "I wonder what the door code of the office is",
)


@pytest.fixture
def memory():
    with TitansMemory.open(":memory:", tenant="alice") as opened:
        for text in DAILY:
            opened.memorize(text, speaker="user", session="old")
        yield opened


def ask_before(memory, questions=ASKED, answers=DECLINED):
    for day, question in enumerate(questions):
        memory.memorize(question, speaker="user", session=f"day {day}")
        memory.memorize(answers[day % len(answers)], speaker="assistant", session=f"day {day}")


def texts(found):
    return [recall.text for recall in found]


def test_the_fact_stays_first_however_often_it_was_asked_and_declined(memory):
    memory.memorize("The door code of the office is 5513.", speaker="user", session="first")
    before = memory.recall("What's the office door code?")
    ask_before(memory)
    after = memory.recall("What's the office door code?")
    assert before.best.text == after.best.text == "The door code of the office is 5513."
    assert after.confidence is before.confidence
    assert not {*ASKED, *DECLINED} & set(texts(after))


def test_an_earlier_question_without_an_answer_is_never_high(memory):
    ask_before(memory)
    for question in ASKED:
        found = memory.recall(question)
        assert found.confidence is not Confidence.HIGH
        assert not {*ASKED, *DECLINED} & set(texts(found))


def test_a_question_passes_its_match_to_the_answer(memory):
    memory.memorize_many(
        [
            Turn("Which instrument does your daughter play?", speaker="assistant", session="s"),
            Turn("The oboe, since she was nine.", speaker="user", session="s"),
            Turn("And what do you do at weekends?", speaker="assistant", session="s"),
            Turn("I bake bread.", speaker="user", session="s"),
        ]
    )
    assert memory.recall("What instrument does my daughter play?").best.text == "The oboe, since she was nine."


def test_a_question_that_tells_something_is_told(memory):
    memory.memorize("I'm flying to Porto with Ana on Friday, what should we see there?", speaker="user", session="s")
    assert "Porto" in memory.recall("Where am I flying on Friday?").best.text


def test_what_was_asked_can_be_asked_for(memory):
    ask_before(memory)
    memory.memorize("What does a ferry to Rhodes cost?", speaker="user", session="travel")
    found = memory.recall("What did I ask you about Rhodes?")
    assert found.best.text == "What does a ferry to Rhodes cost?"
    assert found.confidence is Confidence.LOW
    assert "What does a ferry to Rhodes cost?" in [turn.text for turn in memory.turns()]


def test_weights_hold_only_what_was_told(memory):
    tokens = memory.stats().tokens
    ask_before(memory)
    assert memory.stats().tokens == tokens
    assert memory.stats().turns == len(DAILY) + 2 * len(ASKED)


@pytest.mark.parametrize("message", ["Thanks!", "ok", "Good morning!", "haha nice", "Great, thank you so much!", "👍"])
def test_small_talk_gets_nothing(memory, message):
    memory.memorize("Thanks to Ana I have a bed in Porto.", speaker="user", session="s")
    found = memory.recall(message)
    assert found.confidence is Confidence.NONE
    assert not found.recalls


def test_a_block_of_recalls_is_not_told(memory):
    block = (
        memory.recall("Was the train late?").as_text() or '<memory confidence="low">\nThe train was late.\n</memory>'
    )
    memory.memorize(block, speaker="user", session="s")
    assert not any("<memory" in text for text in texts(memory.recall("Was the train late?", k=20)))
