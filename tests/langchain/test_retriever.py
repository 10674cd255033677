"""`TitansRetriever` returns the recalls of a memory as documents, and no documents if nothing relevant is known."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.runnables import ConfigurableField
from pydantic import ValidationError

from titans_core import MemoryBank, TitansMemory, Turn
from titans_core.errors import ClosedMemoryError, InvalidQueryError
from titans_langchain import TitansChatMessageHistory, TitansRetriever

SAID_AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
LATER = SAID_AT + timedelta(days=60)
COLOR = {"topic": "color"}
TURNS = [
    Turn("The secret code is X-8-DELTA-9.", speaker="user", session="monday", at=SAID_AT, id="code"),
    Turn("Alice's favorite color is turquoise.", speaker="user", session="monday", metadata={"topic": "color"}),
    Turn("Turquoise it is, I will remember the color.", speaker="assistant", session="monday"),
    Turn("The meeting is scheduled for 3pm on Friday.", speaker="user", session="tuesday"),
    Turn("I painted the kitchen in a warm color.", speaker="user", session="tuesday"),
    Turn("Bruno has moved to Lisbon with two cats.", speaker="user"),
]
KEYS = {
    "relevance_score",
    "similarity",
    "confidence",
    "memory_id",
    "tenant",
    "session",
    "speaker",
    "created_at",
    "superseded_by",
}


@pytest.fixture(scope="module")
def memory(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        memory.memorize_many(TURNS)
        yield memory


@pytest.fixture(scope="module")
def lenient(reader):
    """A memory that labels no stored turn `none`, for tests that need every turn that passes a filter."""
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy="fixed_threshold") as memory:
        memory.memorize_many(TURNS)
        yield memory


@pytest.fixture
def empty(reader):
    with TitansMemory.open(":memory:", tenant="nobody", reader=reader) as memory:
        yield memory


def test_documents_are_the_recalled_turns_in_order(memory):
    query = "What is the secret code?"
    documents = TitansRetriever(memory=memory).invoke(query)
    assert documents[0].page_content == "The secret code is X-8-DELTA-9."
    found = memory.recall(query)
    assert [document.id for document in documents] == [recall.id for recall in found]
    assert [document.page_content for document in documents] == [recall.text for recall in found]
    assert {document.metadata["confidence"] for document in documents} == {found.confidence.value}


def test_metadata_says_where_a_document_comes_from(memory):
    document = TitansRetriever(memory=memory, k=1).invoke("What is the secret code?")[0]
    assert set(document.metadata) == KEYS
    assert document.id == document.metadata["memory_id"] == "code"
    assert document.metadata["tenant"] == "alice"
    assert document.metadata["session"] == "monday"
    assert document.metadata["speaker"] == "user"
    assert datetime.fromisoformat(document.metadata["created_at"]) == SAID_AT


def test_metadata_is_json_and_always_complete(memory):
    for document in TitansRetriever(memory=memory, k=len(TURNS)).invoke("Who has moved to Lisbon?"):
        assert set(document.metadata) >= KEYS
        assert json.loads(json.dumps(document.metadata)) == document.metadata


def test_relevance_is_in_range_and_falls(memory):
    documents = TitansRetriever(memory=memory, k=len(TURNS)).invoke("What color does Alice like?")
    scores = [document.metadata["relevance_score"] for document in documents]
    assert len(scores) > 1
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert all(-1 <= document.metadata["similarity"] <= 1 for document in documents)


def test_the_turns_own_metadata_is_kept_but_cannot_pose_as_ours(empty):
    mine = {"topic": "travel", "tags": ["a", "b"], "confidence": "certain", "tenant": "mallory"}
    empty.memorize("We fly to Oslo in May.", metadata=mine)
    metadata = TitansRetriever(memory=empty).invoke("When do we fly?")[0].metadata
    assert metadata["topic"] == "travel"
    assert metadata["tags"] == ["a", "b"]
    assert metadata["tenant"] == "nobody"
    assert metadata["confidence"] in {"high", "low"}


def test_turns_of_a_chat_history_look_like_any_other(empty):
    TitansChatMessageHistory(empty, "monday").add_messages([HumanMessage("We fly to Oslo in May.")])
    assert set(TitansRetriever(memory=empty).invoke("When do we fly?")[0].metadata) == KEYS


def test_a_document_that_no_longer_holds_names_its_successor(empty):
    first = Turn("The door code of the office is 5513.", speaker="user", id="first", at=SAID_AT)
    later = Turn("The door code of the office is 8870 now.", speaker="user", id="later", at=LATER)
    empty.memorize_many([*TURNS, first, later])
    found = TitansRetriever(memory=empty, min_confidence="none").invoke("What is the door code of the office?")
    successors = {document.id: document.metadata["superseded_by"] for document in found}
    assert (successors["later"], successors["first"]) == (None, "later")


async def test_k_limits_in_the_constructor_and_in_every_call(memory):
    query = "What color does Alice like?"
    retriever = TitansRetriever(memory=memory, k=2)
    assert len(retriever.invoke(query)) == 2
    assert len(retriever.invoke(query, k=3)) == 3
    assert len(await retriever.ainvoke(query)) == 2
    assert len(await retriever.ainvoke(query, k=3)) == 3
    assert len(retriever.bind(k=1).invoke(query)) == 1


async def test_limits_that_make_no_sense_are_refused(memory):
    with pytest.raises(ValidationError, match="k\n"):
        TitansRetriever(memory=memory, k=0)
    retriever = TitansRetriever(memory=memory)
    with pytest.raises(InvalidQueryError):
        retriever.invoke("color", k=0)
    with pytest.raises(InvalidQueryError):
        await retriever.ainvoke("color", k=0)
    with pytest.raises(TypeError, match="top_k"):
        retriever.invoke("color", top_k=3)


async def test_an_empty_memory_gives_no_documents(empty):
    retriever = TitansRetriever(memory=empty)
    assert retriever.invoke("What is the secret code?") == []
    assert await retriever.ainvoke("What is the secret code?") == []


async def test_a_filter_that_nothing_passes_gives_no_documents(memory):
    retriever = TitansRetriever(memory=memory, session="never")
    assert retriever.invoke("What is the secret code?") == []
    assert await retriever.ainvoke("What is the secret code?") == []


@pytest.mark.parametrize(
    ("limits", "passes"),
    [
        ({"session": "tuesday"}, lambda turn: turn.session == "tuesday"),
        ({"speaker": "assistant"}, lambda turn: turn.speaker == "assistant"),
        ({"where": COLOR}, lambda turn: turn.metadata.get("topic") == "color"),
    ],
)
async def test_filters_keep_the_other_turns_out(lenient, limits, passes):
    retriever = TitansRetriever(memory=lenient, k=len(TURNS), **limits)
    expected = {turn.text for turn in TURNS if passes(turn)}
    query = "What is her favorite color?"
    assert {document.page_content for document in retriever.invoke(query)} == expected
    assert {document.page_content for document in await retriever.ainvoke(query)} == expected


def test_one_chain_serves_many_sessions(lenient):
    retriever = TitansRetriever(memory=lenient).configurable_fields(session=ConfigurableField("session_id"))
    for session in ("monday", "tuesday"):
        documents = retriever.invoke("What color?", {"configurable": {"session_id": session}})
        assert {document.metadata["session"] for document in documents} == {session}


async def test_what_was_never_said_gives_no_documents(memory):
    retriever = TitansRetriever(memory=memory)
    assert retriever.invoke("Who won the football world cup?") == []
    assert await retriever.ainvoke("Who won the football world cup?") == []


async def test_batches_answer_like_single_calls(memory):
    retriever = TitansRetriever(memory=memory)
    queries = [turn.text for turn in TURNS]
    single = [[document.id for document in retriever.invoke(query)] for query in queries]
    assert [[d.id for d in documents] for documents in retriever.batch(queries)] == single
    assert [[d.id for d in documents] for documents in await retriever.abatch(queries)] == single


def test_it_is_a_link_of_a_chain(memory):
    chain = TitansRetriever(memory=memory, k=1) | (lambda documents: documents[0].page_content)
    assert chain.invoke("When is the meeting?") == "The meeting is scheduled for 3pm on Friday."


def test_one_tenants_documents_never_reach_another(reader, tmp_path):
    bank = MemoryBank(tmp_path / "memory.db", reader=reader)
    bank.tenant("alice").memorize("The secret code is X-8-DELTA-9.")
    bank.tenant("bruno").memorize("The secret code is B-2.")
    for name, text in [("alice", "The secret code is X-8-DELTA-9."), ("bruno", "The secret code is B-2.")]:
        documents = TitansRetriever(memory=bank.tenant(name)).invoke("What is the secret code?")
        assert [(d.page_content, d.metadata["tenant"]) for d in documents] == [(text, name)]
    bank.close()


def test_the_memory_stays_out_of_what_is_printed_and_dumped(memory):
    retriever = TitansRetriever(memory=memory)
    assert "memory" not in retriever.model_dump()
    assert "memory=" not in repr(retriever)


def test_traces_name_the_retriever(memory):
    class Seen(BaseCallbackHandler):
        def on_retriever_start(self, serialized, query, *, metadata=None, **kwargs):
            self.metadata = metadata

        def on_retriever_end(self, documents, **kwargs):
            self.documents = documents

    seen = Seen()
    documents = TitansRetriever(memory=memory).invoke("What color?", {"callbacks": [seen]})
    assert seen.metadata["ls_retriever_name"] == "titans"
    assert seen.metadata["ls_embedding_provider"] == "titans"
    assert seen.documents == documents


async def test_a_closed_memory_says_so(reader):
    memory = TitansMemory.open(":memory:", tenant="alice", reader=reader)
    memory.close()
    with pytest.raises(ClosedMemoryError):
        TitansRetriever(memory=memory).invoke("What color?")
    with pytest.raises(ClosedMemoryError):
        await TitansRetriever(memory=memory).ainvoke("What color?")
