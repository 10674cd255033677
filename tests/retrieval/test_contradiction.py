"""Two turns that answer with different values contradict each other, unless the later one is an update."""

from datetime import UTC, datetime, timedelta

import pytest

from titans_core import Confidence, TitansMemory

MORNING = datetime(2026, 5, 4, 9, tzinfo=UTC)
QUESTION = "What is the secret code?"
FIRST, SECOND = "The secret code is X-8-DELTA-9.", "The secret code is K-2-OMEGA-1."


def label(*texts, apart=timedelta(minutes=1), question=QUESTION):
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        for number, text in enumerate(texts):
            memory.memorize(text, at=MORNING + number * apart)
        return memory.recall(question, now=MORNING + timedelta(days=30)).confidence


@pytest.mark.parametrize("order", [(FIRST, SECOND), (SECOND, FIRST)])
def test_two_values_of_one_day_are_not_trusted(order):
    assert label(*order) is Confidence.LOW


def test_one_value_is_trusted_also_if_it_is_said_twice():
    assert label(FIRST) is label(FIRST, FIRST) is Confidence.HIGH


def test_the_value_of_a_later_day_is_an_update():
    assert label(FIRST, SECOND, apart=timedelta(days=7)) is Confidence.HIGH


def test_another_subject_contradicts_nothing():
    assert label(FIRST, "The code of the garage is 4711.") is Confidence.HIGH
