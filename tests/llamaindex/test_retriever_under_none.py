"""`TitansRetriever(min_confidence="none")` leaves it to the application what to do with nodes labelled `none`."""

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine

from support.strategies import NeverSure
from titans_core import TitansMemory
from titans_core.errors import InvalidQueryError
from titans_llamaindex import TitansRetriever

FACT = "Bruno has moved to Lisbon with two cats."
QUESTION = "Who won the football world cup?"


@pytest.fixture
def memory(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy=NeverSure()) as memory:
        memory.memorize(FACT, speaker="user")
        yield memory


async def test_nodes_come_with_the_label_none(memory):
    retriever = TitansRetriever(memory, min_confidence="none")
    [found] = retriever.retrieve(QUESTION)
    assert (found.text, found.metadata["confidence"], found.score) == (FACT, "none", 0.1)
    assert await retriever.aretrieve(QUESTION) == [found]


async def test_only_if_that_is_asked_for(memory):
    for options in ({}, {"min_confidence": "low"}, {"min_confidence": "high"}):
        retriever = TitansRetriever(memory, **options)
        assert retriever.retrieve(QUESTION) == await retriever.aretrieve(QUESTION) == []


async def test_a_query_engine_asks_its_model_instead_of_answering_empty_response(memory):
    silent = RetrieverQueryEngine.from_args(TitansRetriever(memory), llm=MockLLM())
    assert str(silent.query(QUESTION)) == "Empty Response"
    engine = RetrieverQueryEngine.from_args(TitansRetriever(memory, min_confidence="none"), llm=MockLLM())
    for response in (engine.query(QUESTION), await engine.aquery(QUESTION)):
        assert "Empty Response" not in str(response)
        assert "confidence: none" in str(response)  # the mock model repeats its prompt
        assert QUESTION in str(response)
        assert [node.metadata["confidence"] for node in response.source_nodes] == ["none"]


def test_small_talk_finds_nothing_under_any_label(memory):
    assert TitansRetriever(memory, min_confidence="none").retrieve("Thanks!") == []


def test_no_other_word_is_a_label(memory):
    with pytest.raises(InvalidQueryError, match='"high", "likely", "low" or "none"'):
        TitansRetriever(memory, min_confidence="all")
