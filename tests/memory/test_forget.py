"""What is forgotten or replaced is gone: from recall, from the weights and from the file."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import torch

from titans_core import Confidence, TitansMemory, Turn
from titans_core.errors import InvalidTurnError, UnknownTurnError

AT = datetime(2026, 3, 1, tzinfo=UTC)
TURNS = [
    Turn("My sister Ada moved to Lisbon.", at=AT, speaker="user", session="a", id="ada"),
    Turn("My PIN is xylophone-7731.", at=AT, speaker="user", session="a", id="pin", metadata={"secret": True}),
    Turn("I planted tomatoes on the balcony.", at=AT, speaker="user", session="b", id="tomatoes"),
    Turn("Tomatoes need a lot of sun.", at=AT, speaker="assistant", session="b", id="sun"),
]


@pytest.fixture
def memory(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        memory.memorize_many(TURNS)
        yield memory


def inverse(memory):
    return memory._learned.learner.state.inverse


def test_a_forgotten_turn_is_not_recalled(memory):
    assert memory.forget("pin") == 1
    assert [turn.id for turn in memory.turns()] == ["ada", "tomatoes", "sun"]
    assert "pin" not in [recall.id for recall in memory.recall("What is my PIN? xylophone", k=10)]


def test_the_weights_are_those_of_a_memory_that_never_had_it(reader, tmp_path):
    with TitansMemory.open(tmp_path / "a.db", tenant="alice", reader=reader) as with_it:
        for turn in TURNS:
            with_it.memorize(turn)
        with_it.forget("pin")
        with TitansMemory.open(tmp_path / "b.db", tenant="alice", reader=reader) as without:
            for turn in TURNS:
                if turn.id != "pin":
                    without.memorize(turn)
            assert torch.equal(inverse(with_it), inverse(without))
            question = "What did I plant?"
            assert with_it.recall(question, k=10) == without.recall(question, k=10)


def test_the_bytes_are_gone_from_the_file(reader, tmp_path):
    path = tmp_path / "memory.db"
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        memory.memorize_many(TURNS)
        memory.forget("pin")
        files = list(tmp_path.iterdir())
        assert path in files
        # Without the ends of the word: the full-text index keeps stems, and shares the beginnings of words.
        assert not any(b"ylopho" in file.read_bytes() for file in files)
        assert any(b"Lisbon" in file.read_bytes() for file in files)


def test_the_words_are_gone_after_the_whole_session_was_forgotten(memory):
    assert memory.forget(session="b") == 2
    assert [turn.id for turn in memory.turns()] == ["ada", "pin"]


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"speaker": "assistant"}, ["ada", "pin", "tomatoes"]),
        ({"where": {"secret": True}}, ["ada", "tomatoes", "sun"]),
        ({"ids": ["pin", "sun"]}, ["ada", "tomatoes"]),
        ({"session": "nobody's"}, ["ada", "pin", "tomatoes", "sun"]),
    ],
)
def test_forgetting_by_filter(memory, filters, left):
    assert memory.forget(**filters) == 4 - len(left)
    assert [turn.id for turn in memory.turns()] == left


def test_everything_may_be_forgotten_and_the_memory_goes_on(memory):
    for turn in TURNS:
        memory.forget(turn.id)
    assert memory.recall("What did I plant?").confidence is Confidence.NONE
    memory.memorize("I planted beans.")
    assert memory.recall("What did I plant?").best.text == "I planted beans."


def test_a_forgotten_id_may_be_used_again(memory):
    memory.forget("pin")
    assert memory.memorize("My PIN is a secret.", id="pin").learned
    assert memory.get("pin").text == "My PIN is a secret."


def test_an_update_replaces_the_text_in_its_place(memory):
    receipt = memory.update("ada", "My sister Ada moved to Madrid.")
    assert receipt.learned
    assert receipt.surprise > 0
    turn = memory.get("ada")
    assert (turn.text, turn.speaker, turn.session) == ("My sister Ada moved to Madrid.", "user", "a")
    assert [turn.id for turn in memory.turns()] == ["ada", "pin", "tomatoes", "sun"]
    assert memory.recall("Where does Ada live?").best.text == "My sister Ada moved to Madrid."


def test_an_updated_memory_is_one_that_always_said_so(reader):
    with (
        TitansMemory.open(":memory:", tenant="alice", reader=reader) as updated,
        TitansMemory.open(":memory:", tenant="alice", reader=reader) as always,
    ):
        for turn in TURNS:
            updated.memorize(turn)
            always.memorize(
                Turn("My PIN is gone.", at=AT, speaker="user", session="a", id="pin") if turn.id == "pin" else turn
            )
        updated.update("pin", "My PIN is gone.")
        assert torch.equal(inverse(updated), inverse(always))
        found, expected = (memory.recall("What is my PIN?", k=10) for memory in (updated, always))
        assert [(r.id, r.score) for r in found] == [(r.id, r.score) for r in expected]


def test_metadata_can_be_replaced_and_the_weights_are_left_alone(memory):
    before, weights = memory.get("pin"), inverse(memory)
    for arguments in ({}, {"text": before.text}):
        receipt = memory.update("pin", metadata={"secret": False, "n": 1}, **arguments)
        assert (receipt.id, receipt.surprise, receipt.learned) == ("pin", 0.0, False)
    assert memory.get("pin") == replace(before, metadata={"secret": False, "n": 1})
    assert memory.recall("What is my PIN?", where={"n": 1}).best.id == "pin"
    assert inverse(memory) is weights


def test_text_and_metadata_can_be_replaced_together(memory):
    memory.update("ada", "My sister Ada moved to Madrid.", metadata={"city": "Madrid"})
    assert (memory.get("ada").text, memory.get("ada").metadata) == (
        "My sister Ada moved to Madrid.",
        {"city": "Madrid"},
    )
    memory.update("ada", "My sister Ada moved to Rome.")
    assert memory.get("ada").metadata == {"city": "Madrid"}


def test_metadata_that_cannot_be_stored_leave_the_old_ones(memory):
    with pytest.raises(InvalidTurnError, match="JSON"):
        memory.update("pin", metadata={"when": AT})
    with pytest.raises(UnknownTurnError):
        memory.update("never", metadata={})
    assert memory.get("pin").metadata == {"secret": True}
