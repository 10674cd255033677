"""Features say of a ranking what their names say, whatever the size of the memory."""

import math

import pytest

from titans_core.retrieval.features import FEATURES


def features(memory, query):
    [case] = memory.calibration_cases([(query, [])])
    return case.features


def test_they_are_all_there_and_finite_however_small_the_memory(memory):
    memory.memorize("The ferry leaves at nine.", speaker="Ada")
    for query in ("When does the ferry leave?", "?", "ferry", "Who is Zoe?"):
        found = features(memory, query)
        assert tuple(found) == FEATURES
        assert all(math.isfinite(value) for value in found.values())


def test_words_that_were_never_said(memory):
    memory.memorize("The ferry leaves at nine.")
    # "leave" and "leaves" are one stem; "when" and "does" were not said.
    assert features(memory, "When does the ferry leave?")["unsaid"] == pytest.approx(2 / 5)
    assert features(memory, "The ferry leaves at nine.")["unsaid"] == 0


def test_what_stands_beside_the_first_is_told_from_what_stands_in_it(memory):
    memory.memorize("Where did you plant the tomatoes?", speaker="Ada")
    memory.memorize("Behind the old shed.", speaker="Ben")
    memory.memorize("My sister plays the violin.", speaker="Ada")
    itself = features(memory, "My sister plays the violin.")
    assert itself["context"] == pytest.approx(0, abs=0.02)
    assert itself["matched"] > 0.75
    assert itself["weakest"] > 0.5
    beside = features(memory, "What did Ben say of the tomatoes, behind the old shed?")
    assert beside["context"] > 0.05


def test_a_lead_among_many_is_told_from_one_among_two_alike(memory):
    memory.memorize_many([f"Box {number} is full of {what}." for number, what in enumerate(["tea", "salt", "rice"])])
    alike = features(memory, "What is in the box?")
    memory.memorize("The spare key hangs behind the clock.")
    clear = features(memory, "Where is the spare key?")
    assert clear["odds"] > alike["odds"]
    assert clear["lead"] > alike["lead"]
    assert clear["three"] <= 0


def test_who_said_it(memory):
    memory.memorize("I have adopted a dog.", speaker="Ada")
    memory.memorize("The weather is bad.", speaker="Ben")
    assert features(memory, "Which animal has Ada adopted?")["other speaker"] == 0
    assert features(memory, "Which animal has Ada adopted?")["speaker"] > 0
    swapped = features(memory, "Which animal has Ben adopted?")
    assert swapped["other speaker"] == 1 or swapped["speaker"] < 0
    assert features(memory, "Which animal was adopted?")["speaker"] == 0
