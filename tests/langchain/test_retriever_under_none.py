"""`TitansRetriever(min_confidence="none")` leaves it to the application what to do with documents labelled `none`."""

import pytest
from pydantic import ValidationError

from support.strategies import NeverSure
from titans_core import TitansMemory
from titans_langchain import TitansRetriever

FACT = "Bruno has moved to Lisbon with two cats."
QUESTION = "Who won the football world cup?"


@pytest.fixture
def memory(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy=NeverSure()) as memory:
        memory.memorize(FACT, speaker="user")
        yield memory


async def test_documents_come_with_the_label_none(memory):
    retriever = TitansRetriever(memory=memory, min_confidence="none")
    [document] = retriever.invoke(QUESTION)
    assert document.page_content == FACT
    assert document.metadata["confidence"] == "none"
    assert document.metadata["relevance_score"] == 0.1
    assert await retriever.ainvoke(QUESTION) == [document]


async def test_only_if_that_is_asked_for(memory):
    for options in ({}, {"min_confidence": "low"}, {"min_confidence": "high"}):
        retriever = TitansRetriever(memory=memory, **options)
        assert retriever.invoke(QUESTION) == await retriever.ainvoke(QUESTION) == []


def test_a_threshold_still_counts(memory):
    assert TitansRetriever(memory=memory, min_confidence="none", score_threshold=0.2).invoke(QUESTION) == []


def test_small_talk_finds_nothing_under_any_label(memory):
    assert TitansRetriever(memory=memory, min_confidence="none").invoke("Thanks!") == []


def test_no_other_word_is_a_label(memory):
    with pytest.raises(ValidationError):
        TitansRetriever(memory=memory, min_confidence="all")
