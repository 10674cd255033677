"""Of values that replaced each other, the newest leads; the older ones say until when they held, and can be found."""

from datetime import UTC, datetime, timedelta

import pytest

from support.everyday import DAILY
from titans_core import TitansMemory

NOW = datetime(2026, 6, 20, 12, tzinfo=UTC)


@pytest.fixture
def memory():
    with TitansMemory.open(":memory:", tenant="alice") as opened:
        for day, text in enumerate(DAILY):
            opened.memorize(text, speaker="user", session="old", at=NOW - timedelta(days=200 - day))
        yield opened


def tell(memory, *said):
    """Memorize statements, each some days before now."""
    for days, text in said:
        memory.memorize(text, speaker="user", session=f"{days} days ago", at=NOW - timedelta(days=days))


def recall(memory, question):
    return memory.recall(question, now=NOW)


@pytest.mark.parametrize(
    "question", ["How much do I weigh now?", "What is my current weight?", "What is my latest weight?"]
)
def test_the_latest_of_seven_values_leads(memory, question):
    tell(memory, *((7 * weeks, f"I weigh {77 + weeks} kg.") for weeks in range(7, 0, -1)))
    assert recall(memory, question).best.text == "I weigh 78 kg."


@pytest.mark.parametrize(
    ("older", "newer", "question"),
    [
        ("I live in Bonn.", "We moved, I live in Ulm now.", "Where do I live?"),
        ("My dentist is Dr Abel.", "New dentist: Dr Moor instead of Dr Abel.", "Who is my dentist now?"),
        ("The gate code is 5571.", "The gate code is 5517, not 5571.", "What is the gate code?"),
        ("We rehearse on Tuesdays.", "Rehearsals moved: we rehearse on Mondays now.", "On which day do we rehearse?"),
        ("Rent is 640 a month.", "Rent went up, it's 660 a month now.", "What is my rent at the moment?"),
    ],
)
def test_a_new_value_leads_and_the_old_one_says_until_when(memory, older, newer, question):
    tell(memory, (60, older), (10, newer))
    found = recall(memory, question)
    assert found.best.text == newer
    [old] = [each for each in found if each.text == older]
    assert old.superseded_by == found.best.id
    assert old.superseded_at == found.best.turn.at
    assert found.best.supersedes == (old.id,)
    assert "until 2026-06-10" in found.as_text() or found.as_text() == ""


def test_before_finds_the_old_value(memory):
    tell(memory, (60, "I live in Bonn."), (10, "We moved, I live in Ulm now."))
    assert recall(memory, "Where did I live before?").best.text == "I live in Bonn."


def test_values_of_one_day_are_ordered_by_time(memory):
    for minutes, text in enumerate(("The meeting is at 3.", "No, the meeting is at 4 now.")):
        memory.memorize(text, speaker="user", session="today", at=NOW - timedelta(hours=5 - minutes))
    assert recall(memory, "When is the meeting now?").best.text == "No, the meeting is at 4 now."


def test_a_value_that_returns_is_current(memory):
    tell(
        memory,
        (90, "I drink my coffee black."),
        (50, "I drink my coffee with milk now."),
        (5, "I drink my coffee black."),
    )
    found = recall(memory, "How do I drink my coffee now?")
    assert found.best.text == "I drink my coffee black."
    assert (found.best.times, found.best.first_at) == (2, NOW - timedelta(days=90))
    assert found.best.superseded_by is None


def test_facts_that_do_not_replace_each_other_are_not_marked(memory):
    tell(
        memory,
        (40, "My sister Clara plays the cello."),
        (30, "My brother Jonas plays the oboe."),
        (20, "My brother Till plays the drums."),
    )
    found = recall(memory, "Which instruments do my siblings play?")
    assert not [each.text for each in found if each.superseded_by]


def test_files_that_are_imported_late_do_not_become_the_newest(memory):
    tell(memory, (10, "We moved, I live in Ulm now."), (60, "I live in Bonn."))
    assert recall(memory, "Where do I live now?").best.text == "We moved, I live in Ulm now."
