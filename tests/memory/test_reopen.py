"""A memory that was closed and opened again is the same memory."""

import sqlite3
import subprocess
import sys

import numpy as np
import pytest
import torch

from titans_core import TitansMemory, Turn
from titans_core.memory.learner import Learner

TURNS = [
    Turn(text, speaker=speaker, session=session)
    for session, speaker, text in [
        ("s1", "user", "My sister Ada moved to Lisbon in March."),
        ("s1", "assistant", "How nice! Does she like the city?"),
        ("s1", "user", "She loves the trams, but her flat has a leaking boiler."),
        ("s2", "user", "I planted tomatoes and basil on the balcony."),
        ("s2", "assistant", "Basil likes warmth. " * 60),
        ("s2", "user", "The train to Porto leaves at 7:40 on Sunday."),
    ]
]
QUESTIONS = ["Where does Ada live?", "When does the train leave?", "What grows on my balcony?", "trams"]


@pytest.fixture
def path(tmp_path, reader):
    path = tmp_path / "memory.db"
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        memory.memorize_many(TURNS)
    return path


def asked(memory):
    return [memory.recall(question, k=10) for question in QUESTIONS]


def replayed(memory):
    """The cache that replaying the whole log gives."""
    memory._learned.log._connection.execute("DELETE FROM snapshots")
    return Learner(memory._learned.log, memory._learned.learner.spec)


def test_recall_is_the_same_after_reopening(tmp_path, reader):
    path = tmp_path / "memory.db"
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        memory.memorize_many(TURNS)
        before = asked(memory)
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        after = asked(memory)
    assert before == after  # turns, scores, parts and labels, to the last bit


def test_recall_is_the_same_in_another_process(path, reader):
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        expected = [[recall.id for recall in found] for found in asked(memory)]
    program = (
        "import sys; from titans_core import TitansMemory\n"
        "with TitansMemory.open(sys.argv[1], tenant='alice') as memory:\n"
        "    for question in sys.argv[2:]: print(*(r.id for r in memory.recall(question, k=10)))"
    )
    done = subprocess.run([sys.executable, "-c", program, path, *QUESTIONS], capture_output=True, text=True, check=True)
    assert [line.split() for line in done.stdout.splitlines()] == expected


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM snapshots",
        "UPDATE snapshots SET state = x'00'",
        "UPDATE snapshots SET state = zeroblob(length(state))",
        "UPDATE snapshots SET position = position - 1",
        "UPDATE snapshots SET epoch = 7",
        "UPDATE snapshots SET spec = 'another'",
    ],
)
def test_weights_that_are_missing_older_or_damaged_are_rebuilt(path, reader, damage):
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        expected = asked(memory)
    connection = sqlite3.connect(path)
    connection.execute(damage)
    connection.commit()
    connection.close()
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        assert asked(memory) == expected
        assert memory._learned.learner._saved == 0  # rebuilt, not loaded


def test_a_good_snapshot_is_used_and_only_the_rest_is_replayed(path, reader):
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        assert memory._learned.learner._saved == len(TURNS)
        memory.memorize("One more turn.")
        memory._learned.learner._saved = len(TURNS) + 1  # pretend it was saved, so that closing does not
        expected = asked(memory)
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        assert memory._learned.learner._saved == len(TURNS)
        assert asked(memory) == expected


def test_snapshots_are_taken_while_memorizing(tmp_path, reader, monkeypatch):
    monkeypatch.setattr("titans_core.memory.memory.SNAPSHOT_EVERY", 4)
    path = tmp_path / "memory.db"
    memory = TitansMemory.open(path, tenant="alice", reader=reader)
    for turn in TURNS:
        memory.memorize(turn)
    other = sqlite3.connect(path)  # as after a crash: nothing was closed
    assert other.execute("SELECT position FROM snapshots").fetchone() == (4,)
    other.close()
    memory.close()


def test_weights_equal_a_replay_of_the_log(path, reader):
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        memory.memorize("Generation alone, after the batch.")
        memory.forget(speaker="assistant")
        memory.memorize("And another one.", speaker="user")
        fresh = replayed(memory)
        assert torch.equal(fresh.state.inverse, memory._learned.learner.state.inverse)
        assert torch.equal(fresh.state.key_sum, memory._learned.learner.state.key_sum)
        np.testing.assert_array_equal(fresh.index.turns().surprise, memory._learned.learner.index.turns().surprise)
        np.testing.assert_array_equal(fresh.index.passages().columns, memory._learned.learner.index.passages().columns)


def test_two_open_memories_of_one_file_see_each_other(path, reader):
    with (
        TitansMemory.open(path, tenant="alice", reader=reader) as one,
        TitansMemory.open(path, tenant="alice", reader=reader) as two,
    ):
        one.memorize("The wifi password is heron-42.")
        assert two.recall("What is the wifi password?").best.text == "The wifi password is heron-42."
        two.memorize("The bins are collected on Tuesday.")
        one.forget(where=None, speaker="assistant")
        two.memorize("The spare key is with Maria.")
        assert [r.text for r in one.recall("Who has the spare key?", k=1)] == ["The spare key is with Maria."]
        assert asked(one) == asked(two)
        assert torch.equal(one._learned.learner.state.inverse, two._learned.learner.state.inverse)
