"""TitansRetriever gives LlamaIndex the recalled turns as scored nodes, and none when nothing is known."""

import asyncio
from datetime import UTC, datetime

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.schema import MetadataMode, QueryBundle
from locked import locked

from titans_core import TitansMemory, Turn
from titans_core.errors import InvalidQueryError
from titans_llamaindex import TitansRetriever

SAID_AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
QUERY = "What is the secret code?"
TURNS = [
    Turn(
        "The secret code is X-8-DELTA-9.",
        speaker="user",
        session="monday",
        at=SAID_AT,
        metadata={"topic": "code", "confidence": "of the caller"},
        id="code",
    ),
    Turn("Alice's favorite color is turquoise.", speaker="user", session="monday"),
    Turn("The meeting is scheduled for 3pm on Friday."),
    Turn("Bruno has moved to Lisbon with two cats.", speaker="user"),
]


@pytest.fixture(scope="module")
def memory(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        memory.memorize_many(TURNS)
        yield memory


def test_a_node_is_the_turn_with_its_label_and_scores(memory):
    [best, *_] = TitansRetriever(memory).retrieve(QUERY)
    recall = memory.recall(QUERY).best
    assert best.node.node_id == "code"
    assert best.node.get_content(MetadataMode.NONE) == "The secret code is X-8-DELTA-9."
    assert best.score == recall.probability
    assert best.node.metadata == {
        "topic": "code",
        "confidence": "high",
        "similarity": recall.similarity,
        "session_id": "monday",
        "speaker": "user",
        "created_at": "2026-03-02T09:30:00+00:00",
    }


def test_nodes_come_in_the_order_of_the_recalls(memory):
    nodes = TitansRetriever(memory).retrieve(QUERY)
    assert [node.node.node_id for node in nodes] == [recall.id for recall in memory.recall(QUERY)]
    scores = [node.score for node in nodes]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


async def test_async_gives_the_same(memory):
    retriever = TitansRetriever(memory)
    assert await retriever.aretrieve(QUERY) == retriever.retrieve(QUERY)


def test_k_limits_the_nodes(memory):
    assert len(TitansRetriever(memory, k=2).retrieve(QUERY)) == 2


def test_low_is_labelled_low(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        memory.memorize_many(["The secret code is X-8-DELTA-9.", "The secret code is K-2-OMEGA-1."])
        nodes = TitansRetriever(memory).retrieve(QUERY)  # which of the two?
    assert [node.metadata["confidence"] for node in nodes] == ["low", "low"]


async def test_none_gives_no_nodes(memory, reader):
    assert TitansRetriever(memory).retrieve("Who won the football world cup?") == []
    assert await TitansRetriever(memory).aretrieve("Who won the football world cup?") == []
    with TitansMemory.open(":memory:", tenant="nobody", reader=reader) as empty:
        assert TitansRetriever(empty).retrieve(QUERY) == []
        assert await TitansRetriever(empty).aretrieve(QUERY) == []


def test_metadata_are_not_embedded_and_the_model_sees_what_helps(memory):
    nodes = {node.node.text: node.node for node in TitansRetriever(memory).retrieve(QUERY)}
    code = nodes["The secret code is X-8-DELTA-9."]
    assert code.get_content(MetadataMode.EMBED) == "topic: code\n\nThe secret code is X-8-DELTA-9."
    assert code.get_content(MetadataMode.LLM).splitlines()[:4] == [
        "topic: code",
        "confidence: high",
        "speaker: user",
        "created_at: 2026-03-02T09:30:00+00:00",
    ]
    nobody = nodes["The meeting is scheduled for 3pm on Friday."]
    assert nobody.metadata["speaker"] is None
    assert "None" not in nobody.get_content(MetadataMode.LLM)


def test_a_query_bundle_is_a_query_too(memory):
    assert TitansRetriever(memory).retrieve(QueryBundle(QUERY))[0].node.node_id == "code"


def test_an_empty_query_is_refused(memory):
    with pytest.raises(InvalidQueryError):
        TitansRetriever(memory).retrieve(" ")


def test_a_query_engine_answers_from_it(memory):
    synthesizer = get_response_synthesizer(llm=MockLLM(), response_mode=ResponseMode.COMPACT)
    engine = RetrieverQueryEngine(TitansRetriever(memory), response_synthesizer=synthesizer)
    response = engine.query(QUERY)  # the model echoes its prompt
    assert "X-8-DELTA-9" in str(response)
    assert response.source_nodes[0].node.node_id == "code"


async def test_async_leaves_the_event_loop_free(memory):
    with locked(memory) as release:
        task = asyncio.create_task(TitansRetriever(memory).aretrieve(QUERY))
        await asyncio.sleep(0.1)
        assert not task.done()
        release()
        assert await task
