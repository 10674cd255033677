"""TitansRetriever returns the recalled turns as scored nodes, and no nodes if the memory knows nothing relevant."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.schema import MetadataMode, QueryBundle

from support.llamaindex_events import recorded_events
from support.locked import locked
from support.looping import stops_the_loop
from titans_core import TitansMemory, Turn
from titans_core.errors import ClosedMemoryError, InvalidQueryError, InvalidTenantError
from titans_llamaindex import TitansRetriever

SAID_AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
LATER = SAID_AT + timedelta(days=60)
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
    found = memory.recall(QUERY)
    recall = found.best
    assert best.node.node_id == "code"
    assert best.node.get_content(MetadataMode.NONE) == "The secret code is X-8-DELTA-9."
    assert best.score == found.probability
    assert best.node.metadata == {
        "topic": "code",
        "confidence": "high",
        "similarity": recall.similarity,
        "session_id": "monday",
        "speaker": "user",
        "created_at": "2026-03-02T09:30:00+00:00",
        "superseded_by": None,
    }


def test_a_node_that_no_longer_holds_names_its_successor(reader):
    first = Turn("The door code of the office is 5513.", speaker="user", id="first", at=SAID_AT)
    later = Turn("The door code of the office is 8870 now.", speaker="user", id="later", at=LATER)
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        memory.memorize_many([*TURNS, first, later])
        nodes = TitansRetriever(memory, min_confidence="none").retrieve("What is the door code of the office?")
    successors = {found.node_id: found.metadata["superseded_by"] for found in nodes}
    assert (successors["later"], successors["first"]) == (None, "later")
    assert not [found for found in nodes if "superseded_by" in found.node.get_content(MetadataMode.LLM)]


def test_nodes_come_in_the_order_of_the_recalls(memory):
    nodes, found = TitansRetriever(memory).retrieve(QUERY), memory.recall(QUERY)
    assert [node.node.node_id for node in nodes] == [recall.id for recall in found]
    scores = [node.score for node in nodes]
    assert tuple(scores) == found.relevance
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


async def test_async_gives_the_same(memory):
    retriever = TitansRetriever(memory)
    assert await retriever.aretrieve(QUERY) == retriever.retrieve(QUERY)


def test_k_limits_the_nodes(memory):
    assert len(TitansRetriever(memory, k=2).retrieve(QUERY)) == 2


async def test_low_is_labelled_low_or_left_out(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        memory.memorize_many(["The secret code is X-8-DELTA-9.", "The secret code is K-2-OMEGA-1."])
        nodes = TitansRetriever(memory).retrieve(QUERY)  # two codes, so the answer is unclear
        strict = TitansRetriever(memory, min_confidence="high")
        assert strict.retrieve(QUERY) == await strict.aretrieve(QUERY) == []
    assert [node.metadata["confidence"] for node in nodes] == ["low", "low"]


def test_high_passes_under_any_least_confidence(memory):
    assert TitansRetriever(memory, min_confidence="high").retrieve(QUERY)[0].node.node_id == "code"


@pytest.mark.parametrize(
    ("limit", "texts"),
    [
        ({"session_id": "monday"}, {TURNS[0].text, TURNS[1].text}),
        ({"speaker": "user"}, {TURNS[0].text, TURNS[1].text, TURNS[3].text}),
        ({"where": {"topic": "code"}}, {TURNS[0].text}),
        ({"session_id": "sunday"}, set()),
    ],
)
async def test_only_turns_that_pass_the_filters_are_retrieved(memory, limit, texts):
    retriever = TitansRetriever(memory, **limit)
    assert {node.node.text for node in retriever.retrieve(QUERY)} == texts
    assert {node.node.text for node in await retriever.aretrieve(QUERY)} == texts


async def test_trap_20_none_gives_no_nodes(memory, reader):
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
    without_speaker = nodes["The meeting is scheduled for 3pm on Friday."]
    assert without_speaker.metadata["speaker"] is None
    assert "None" not in without_speaker.get_content(MetadataMode.LLM)


def test_a_query_bundle_is_a_query_too(memory):
    assert TitansRetriever(memory).retrieve(QueryBundle(QUERY))[0].node.node_id == "code"


def test_an_empty_query_is_refused(memory):
    with pytest.raises(InvalidQueryError):
        TitansRetriever(memory).retrieve(" ")


def test_a_query_engine_answers_from_it(memory):
    synthesizer = get_response_synthesizer(llm=MockLLM(), response_mode=ResponseMode.COMPACT)
    engine = RetrieverQueryEngine(TitansRetriever(memory), response_synthesizer=synthesizer)
    response = engine.query(QUERY)  # the model repeats its prompt
    assert "X-8-DELTA-9" in str(response)
    assert response.source_nodes[0].node.node_id == "code"


async def test_trap_15_async_leaves_the_event_loop_free(memory):
    with locked(memory) as release:
        task = asyncio.create_task(TitansRetriever(memory).aretrieve(QUERY))
        await asyncio.sleep(0.1)
        assert not task.done()
        release()
        assert await task


async def test_trap_15_opening_a_users_memory_leaves_it_free_too(opened_slowly):
    retriever = TitansRetriever(opened_slowly, user_id="alice")  # opens no memory
    assert opened_slowly.tenants() == []
    assert not await stops_the_loop(retriever.aretrieve(QUERY))


async def test_trap_19_every_user_has_a_retriever_of_their_own(bank):
    bank.tenant("alice").memorize("The secret code is X-8-DELTA-9.")
    alice, bruno = (TitansRetriever(bank, user_id=user) for user in ("alice", "bruno"))
    assert [node.node.text for node in alice.retrieve(QUERY)] == ["The secret code is X-8-DELTA-9."]
    assert bruno.retrieve(QUERY) == await bruno.aretrieve(QUERY) == []
    assert await alice.aretrieve(QUERY) == alice.retrieve(QUERY)


def test_nobodys_memory_and_another_users_are_refused_at_once(bank, memory):
    with pytest.raises(InvalidTenantError, match="user_id"):
        TitansRetriever(bank)
    with pytest.raises(InvalidTenantError, match="'bruno'"):
        TitansRetriever(memory, user_id="bruno")
    assert TitansRetriever(memory, user_id="alice").retrieve(QUERY)


def test_a_closed_memory_says_so(reader):
    memory = TitansMemory.open(":memory:", tenant="alice", reader=reader)
    memory.close()
    with pytest.raises(ClosedMemoryError):
        TitansRetriever(memory).retrieve(QUERY)


async def test_trap_24_the_dispatcher_is_told_of_each_recall_without_the_text(memory):
    with recorded_events() as events:
        TitansRetriever(memory).retrieve(QUERY)
        await TitansRetriever(memory).aretrieve("Who won the football world cup?")
    first, second = events
    assert (first.tenant, first.confidence, first.recalls) == ("alice", "high", 4)
    assert second.confidence == "none"
    assert 0 < first.seconds < 10
    assert "code" not in str(first)
