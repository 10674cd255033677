"""After `forget` and `update`, no file has a byte of the old turn, and the state is as if it had never been there."""

import numpy as np
import pytest
import torch

from titans_core import TitansMemory, Turn
from titans_core.storage import Filters

FACTS = [
    "Ada has a boat in Exeter.",
    "The boiler was repaired in March, and again in May.",
    "Tom climbs at Bellever on Sundays, if it does not rain.",
    "Grandmother's recipe needs two lemons and some patience.",
]


def turns(count, seed):
    """Turns of one sentence to several pages. All fields of a turn have marks: words that are nowhere else."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        marks = {field: random.bytes(8).hex() for field in ("text", "speaker", "session", "source", "meta", "id")}
        body = " ".join(random.choice(FACTS, random.choice([1, 1, 2, 5, 40])))
        yield (
            marks,
            Turn(
                f"{marks['text']} {body} {marks['text'][::-1]}",
                speaker=marks["speaker"],
                session=marks["session"],
                source=marks["source"],
                metadata={marks["meta"]: marks["meta"]},
                id=marks["id"],
            ),
        )


def traces(memory, turn):
    """The readings of a turn in the log, as bytes."""
    [position] = memory._learned.log.positions(Filters(ids=[turn.id]))
    [record] = [record for record in memory._learned.log.records(after=0, keys=True) if record.position == position]
    for passage in record.passages:
        yield passage.column.tobytes()
        yield passage.pooled.tobytes()
        yield passage.keys


def left_in(folder, traces):
    """The halves of traces that are in any file, each with the name of the file."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    halves = [half for trace in traces for half in (trace[: len(trace) // 2], trace[len(trace) // 2 :])]
    return [(name, half) for name, content in files.items() for half in halves if half in content]


def learned(memory):
    """Everything that a memory has learned, without positions of the log."""
    memory.stats()
    return memory._learned.learner.state.tensors() | memory._learned.learner.index.saved()


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_no_byte_of_a_forgotten_turn_is_left_in_any_file(reader, tmp_path, seed):
    stored = list(turns(30, seed))
    removed = stored[::3]
    with TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=reader) as memory:
        memory.memorize_many([turn for _, turn in stored], progress=False)
        memory._learned.learner.save_snapshot()
        found = [trace for _, turn in removed for trace in traces(memory, turn)]
        found += [mark.encode() for marks, _ in removed for mark in marks.values()]
        assert len(left_in(tmp_path, found)) >= len(found)  # the search works: before `forget`, it finds the traces
        for _, turn in removed[:5]:
            memory.forget(turn.id)
        memory.forget(ids=[turn.id for _, turn in removed[5:]])
        assert left_in(tmp_path, found) == []
        stay = [marks["text"].encode() for marks, _ in stored if marks not in [gone for gone, _ in removed]]
        assert len(left_in(tmp_path, stay)) >= len(stay)
    assert left_in(tmp_path, found) == []


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_state_is_byte_for_byte_that_of_a_memory_that_never_had_it(reader, tmp_path, seed):
    stored = [turn for _, turn in turns(20, seed)]
    removed = stored[1::3]
    with (
        TitansMemory.open(tmp_path / "with.db", tenant="alice", reader=reader) as with_them,
        TitansMemory.open(tmp_path / "without.db", tenant="alice", reader=reader) as without,
    ):
        with_them.memorize_many(stored)
        with_them.forget(ids=[turn.id for turn in removed])
        without.memorize_many([turn for turn in stored if turn not in removed])
        assert same(learned(with_them), learned(without))
        for fact in FACTS:
            assert [recall.id for recall in with_them.recall(fact, k=20)] == [r.id for r in without.recall(fact, k=20)]


def test_no_byte_of_a_replaced_text_is_left(reader, tmp_path):
    [(marks, turn), *others] = turns(10, seed=5)
    with TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=reader) as memory:
        memory.memorize_many([turn, *(other for _, other in others)])
        found = [marks["text"].encode(), marks["text"][::-1].encode(), *traces(memory, turn)]
        memory.update(turn.id, "It was nothing.")
        assert left_in(tmp_path, found) == []
        memory.update(turn.id, metadata={})
        memory._learned.log.scrub()
        assert left_in(tmp_path, [marks["meta"].encode()]) == []


def test_another_open_memory_does_not_keep_it_in_the_write_ahead_log(reader, tmp_path):
    [(marks, turn), *others] = turns(10, seed=6)
    path = tmp_path / "memory.db"
    with (
        TitansMemory.open(path, tenant="alice", reader=reader) as memory,
        TitansMemory.open(path, tenant="alice", reader=reader) as other,
    ):
        memory.memorize_many([turn, *(another for _, another in others)])
        other.recall(FACTS[0])
        memory.forget(turn.id)
        assert left_in(tmp_path, [marks["text"].encode()]) == []
        assert turn.id not in [found.id for found in other.turns()]
