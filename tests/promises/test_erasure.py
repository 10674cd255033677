"""After `forget` and `update` no byte is left in any file, and the state is that of a memory that never had it."""

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
    """Turns of a sentence to several pages, each marked in all its fields by words that nothing else holds."""
    drawn = np.random.default_rng(seed)
    for _ in range(count):
        marks = {field: drawn.bytes(8).hex() for field in ("text", "speaker", "session", "source", "meta", "id")}
        body = " ".join(drawn.choice(FACTS, drawn.choice([1, 1, 2, 5, 40])))
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
    """What the log holds of a turn, as bytes: its fields, and its readings."""
    [position] = memory._learned.log.positions(Filters(ids=[turn.id]))
    [record] = [record for record in memory._learned.log.records(after=0, keys=True) if record.position == position]
    for passage in record.passages:
        yield passage.column.tobytes()
        yield passage.pooled.tobytes()
        yield passage.keys


def left_in(folder, traces):
    """The traces, whole or their halves, that any file holds."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    halves = [half for trace in traces for half in (trace[: len(trace) // 2], trace[len(trace) // 2 :])]
    return [(name, half) for name, content in files.items() for half in halves if half in content]


def learned(memory):
    """All that a memory has learned, without the places in its log."""
    memory.stats()
    return memory._learned.learner.state.tensors() | memory._learned.learner.index.saved()


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_no_byte_of_a_forgotten_turn_is_left_in_any_file(reader, tmp_path, seed):
    said = list(turns(30, seed))
    doomed = said[::3]
    with TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=reader) as memory:
        memory.memorize_many([turn for _, turn in said], progress=False)
        memory._learned.learner.save_snapshot()
        found = [trace for _, turn in doomed for trace in traces(memory, turn)]
        found += [mark.encode() for marks, _ in doomed for mark in marks.values()]
        assert len(left_in(tmp_path, found)) >= len(found)  # the search finds what is there
        for _, turn in doomed[:5]:
            memory.forget(turn.id)
        memory.forget(ids=[turn.id for _, turn in doomed[5:]])
        assert left_in(tmp_path, found) == []
        stay = [marks["text"].encode() for marks, _ in said if marks not in [gone for gone, _ in doomed]]
        assert len(left_in(tmp_path, stay)) >= len(stay)
    assert left_in(tmp_path, found) == []


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_state_is_byte_for_byte_that_of_a_memory_that_never_had_it(reader, tmp_path, seed):
    said = [turn for _, turn in turns(20, seed)]
    doomed = said[1::3]
    with (
        TitansMemory.open(tmp_path / "with.db", tenant="alice", reader=reader) as with_them,
        TitansMemory.open(tmp_path / "without.db", tenant="alice", reader=reader) as without,
    ):
        with_them.memorize_many(said)
        with_them.forget(ids=[turn.id for turn in doomed])
        without.memorize_many([turn for turn in said if turn not in doomed])
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
