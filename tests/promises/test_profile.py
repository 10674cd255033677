"""A profile is what a person has told: current statements, each once, most surprising first, within a budget."""

from datetime import UTC, datetime, timedelta

import pytest

from titans_core import Confidence, TitansMemory
from titans_core.readers import load_reader

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOLD = (
    ("user", "Hi, my name is Sam."),
    ("assistant", "Hello Sam, what can I do for you?"),
    ("user", "What's the weather like?"),
    ("assistant", "I'm sorry, I don't know that."),
    ("user", "I live in Berlin."),
    ("user", "I'm allergic to hazelnuts."),
    ("user", "thanks!"),
    ("user", "My sister Clara studies veterinary medicine in Vienna."),
    ("user", "I'm allergic to hazelnuts."),
    ("user", "I moved, I live in Munich now."),
)
HOLDS = {
    "Hi, my name is Sam.",
    "I'm allergic to hazelnuts.",
    "My sister Clara studies veterinary medicine in Vienna.",
    "I moved, I live in Munich now.",
}


@pytest.fixture
def memory():
    with TitansMemory.open(":memory:", tenant="alice") as opened:
        for day, (speaker, text) in enumerate(TOLD):
            opened.memorize(text, speaker=speaker, session=f"d{day // 5}", at=START + timedelta(days=day))
        yield opened


def test_a_profile_holds_what_was_told_once_and_still_holds(memory):
    found = memory.profile()
    assert {recall.text for recall in found} == HOLDS
    assert found.confidence is Confidence.LOW
    scores = [recall.score for recall in found]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("question", ["What do you know about me?", "Tell me everything about me.", "Who am I?"])
def test_a_question_about_everything_gets_the_profile(memory, question):
    found = memory.recall(question, k=10)
    assert {recall.text for recall in found} == HOLDS
    assert found.as_text()


def test_a_question_about_a_subject_is_not_none(memory):
    found = memory.recall("Tell me about my sister.")
    assert "Clara" in found.best.text
    assert found.confidence is not Confidence.NONE


def test_a_profile_keeps_its_budget_and_its_count(memory):
    found = memory.profile(max_tokens=60)
    assert found.recalls
    assert load_reader().count_tokens(found.as_text()) <= 60
    assert len(memory.profile(k=2)) == 2


def test_a_profile_of_one_speaker(memory):
    memory.memorize("I play the lute.", speaker="Ben", session="x")
    assert [recall.text for recall in memory.profile(speaker="Ben")] == ["I play the lute."]
    assert not memory.profile(speaker="Nobody").recalls


def test_an_empty_memory_has_no_profile():
    with TitansMemory.open(":memory:", tenant="bob") as opened:
        assert opened.profile().confidence is Confidence.NONE
        assert opened.profile().as_text() == ""


async def test_a_profile_can_be_awaited(memory):
    assert {recall.text for recall in await memory.aprofile()} == HOLDS
