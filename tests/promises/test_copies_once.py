"""Statements that say the same are one recall: the latest, with how often it was said and when first."""

from datetime import UTC, datetime, timedelta

import pytest

from titans_core import TitansMemory

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SIBLINGS = (
    "My brother Jonas plays the oboe.",
    "My brother Till plays the drums.",
    "My sister Ida plays the harp.",
)


@pytest.fixture
def memory():
    with TitansMemory.open(":memory:", tenant="alice") as opened:
        for text in ("I need to buy stamps.", "The train was late again.", "Lunch was a lentil soup."):
            opened.memorize(text, speaker="user", session="old", at=START - timedelta(days=9))
        yield opened


def test_a_sentence_said_eight_times_takes_one_place(memory):
    for day in range(8):
        text = "My sister Clara plays the cello." if day % 2 else "my sister Clara plays cello"
        memory.memorize(text, speaker="user", session=f"d{day}", at=START + timedelta(days=day))
    for day, text in enumerate(SIBLINGS):
        memory.memorize(text, speaker="user", session=f"e{day}", at=START + timedelta(days=20 + day))
    found = memory.recall("Which instruments do my siblings play?", now=START + timedelta(days=30))
    assert {*SIBLINGS, "My sister Clara plays the cello."} <= {recall.text for recall in found}
    [clara] = [recall for recall in found if "Clara" in recall.text]
    assert (clara.times, clara.first_at) == (8, START)
    assert clara.turn.at == START + timedelta(days=7)


def test_another_number_name_or_not_is_no_copy(memory):
    texts = ("I can eat nuts.", "I can not eat nuts.", "I have 2 cats.", "I have 3 cats.", "Ana has 2 cats.")
    for text in texts:
        memory.memorize(text, speaker="user", session="s")
    found = memory.recall("How many cats do I have, and can I eat nuts?", k=20)
    assert set(texts) <= {recall.text for recall in found}
    assert {recall.times for recall in found if recall.text in texts} == {1}


def test_two_people_who_say_the_same_are_two_recalls(memory):
    for speaker in ("Ana", "Ben"):
        memory.memorize("I play the cello.", speaker=speaker, session="s")
    assert [r.turn.speaker for r in memory.recall("Who plays the cello?") if "cello" in r.text].count("Ana") == 1


def test_a_filter_that_excludes_the_latest_copy_finds_an_earlier_one(memory):
    for day in range(3):
        memory.memorize("The key is under the pot.", speaker="user", session=f"s{day}", at=START + timedelta(days=day))
    [found] = [r for r in memory.recall("Where is the key?", session="s1") if "key" in r.text]
    assert found.turn.session == "s1"


def test_a_forgotten_copy_leaves_the_others(memory):
    ids = [memory.memorize("The key is under the pot.", speaker="user", session=f"s{day}").id for day in range(3)]
    memory.forget(ids[-1])
    best = memory.recall("Where is the key?").best
    assert (best.id, best.times) == (ids[1], 2)
