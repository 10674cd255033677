"""A question about nothing but a time gets the telling turns of that time, and exactly those."""

from datetime import UTC, datetime, timedelta

import pytest

from titans_core import Confidence, TitansMemory

NOW = datetime(2026, 6, 18, 12, tzinfo=UTC)  # a Thursday
SAID = {
    "We planted three apple trees behind the barn.": datetime(2026, 5, 4, 9, tzinfo=UTC),
    "The vet says Biscuit needs new teeth.": datetime(2026, 5, 20, 9, tzinfo=UTC),
    "I signed up for a pottery class.": datetime(2026, 6, 9, 18, tzinfo=UTC),
    "My uncle sold his boat.": datetime(2026, 6, 11, 8, tzinfo=UTC),
    "The boiler broke down.": datetime(2026, 6, 17, 20, tzinfo=UTC),
    "I had waffles for breakfast.": datetime(2026, 6, 18, 8, tzinfo=UTC),
}


@pytest.fixture
def memory():
    with TitansMemory.open(":memory:", tenant="alice") as opened:
        for text, at in SAID.items():
            opened.memorize(text, speaker="user", session=str(at.date()), at=at)
            opened.memorize("Noted.", speaker="assistant", session=str(at.date()), at=at + timedelta(seconds=9))
            opened.memorize("Anything else?", speaker="assistant", session=str(at.date()), at=at + timedelta(seconds=9))
        yield opened


def said_between(start, end):
    return {text for text, at in SAID.items() if start <= at < end}


@pytest.mark.parametrize(
    ("question", "start", "end"),
    [
        ("What did I say last week?", datetime(2026, 6, 8, tzinfo=UTC), datetime(2026, 6, 15, tzinfo=UTC)),
        ("What happened in May?", datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)),
        ("What did I tell you yesterday?", datetime(2026, 6, 17, tzinfo=UTC), datetime(2026, 6, 18, tzinfo=UTC)),
        ("What did we talk about on 9 June?", datetime(2026, 6, 9, tzinfo=UTC), datetime(2026, 6, 10, tzinfo=UTC)),
        ("What happened this week?", datetime(2026, 6, 15, tzinfo=UTC), datetime(2026, 6, 22, tzinfo=UTC)),
    ],
)
def test_a_period_gets_its_turns(memory, question, start, end):
    found = memory.recall(question, now=NOW, timezone="UTC")
    assert {recall.text for recall in found} == said_between(start, end)
    assert found.confidence is not Confidence.NONE
    assert found.as_text()


def test_the_most_surprising_comes_first(memory):
    found = memory.recall("What happened in May and June?", now=NOW, timezone="UTC", k=10)
    surprises = [recall.score for recall in found]
    assert surprises == sorted(surprises, reverse=True)


def test_explicit_bounds_are_kept(memory):
    start, end = datetime(2026, 6, 9, tzinfo=UTC), datetime(2026, 6, 18, tzinfo=UTC)
    found = memory.recall("What did I say?", since=start, until=end, now=NOW, k=10)
    assert {recall.text for recall in found} == said_between(start, end)
    assert found.confidence is not Confidence.NONE


def test_a_time_in_which_nothing_was_said_is_none_or_low(memory):
    found = memory.recall("What did I say in January 2020?", now=NOW, timezone="UTC")
    assert found.confidence is not Confidence.HIGH


def test_a_time_with_a_subject_is_searched(memory):
    assert memory.recall("What did I say about the vet in May?", now=NOW).best.text.startswith("The vet says")
