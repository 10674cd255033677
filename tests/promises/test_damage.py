"""A damaged file gives right data or a typed error, never another exception, a wrong answer or a hang."""

import random
import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.damage import PAGE, flipped, parts_of
from support.recorded import RecordedReader
from support.soundness import equals_a_replay
from titans_core import MemoryBank, TitansMemory, Turn
from titans_core.errors import TitansError, UnknownTurnError
from titans_core.readers import split_passages

AT = datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=UTC)
WHO, WHERE = ["Ada", "Tom", "Maria", "my uncle", "the neighbour"], ["Lisbon", "the cellar", "Porto", "the shed"]
WHAT = ["bicycle", "violin", "passport", "ladder", "blue coat", "old camera", "boat", "telescope", "drill", "kite"]
QUESTIONS = ["Where is the violin?", "Who was in Porto?", "Ada's passport", "the drill in the shed", "boat?"]
AGAIN, NEW, CHANGED = "The kite of Tom is in Porto.", "The train leaves at 7:40.", "The ladder was sold."
MAX_SECONDS = 2.0
"""Most seconds for one answer. CPU time, because the machine may be busy with other tests."""


def make_turns(tenant, count):
    """Turns of a few words to some thousand words, with and without each field."""
    chance = random.Random(tenant)  # noqa: S311 - must be reproducible
    for number in range(count):
        facts = [
            f"The {chance.choice(WHAT)} of {chance.choice(WHO)} is in {chance.choice(WHERE)}."
            for _ in range(chance.choice([1, 1, 2, 3, 60 if number % 13 == 5 else 8]))
        ]
        yield Turn(
            AGAIN if number == 3 else " ".join(facts),
            speaker=chance.choice(["user", "assistant", "Zoë", None]),
            at=AT + timedelta(hours=number, microseconds=number),
            session=chance.choice(["monday", "tuesday", None]),
            metadata={"topic": chance.choice(WHERE), "n": number} if number % 3 else {},
            id=f"{tenant}-{number}",
            source="import" if number % 5 == 0 else None,
        )


TURNS = {"alice": list(make_turns("alice", 42)), "bob": list(make_turns("bob", 20))}
FILTERS = [
    {"speaker": "user"},
    {"session": "monday"},
    {"source": "import"},
    {"where": {"topic": "Porto"}},
    {"since": AT + timedelta(hours=9), "until": AT + timedelta(hours=15)},
    {"ids": ["alice-7", "bob-7", "nobody-7"]},
]


@pytest.fixture(scope="module")
def recorded(reader):
    turns = [*TURNS["alice"], *TURNS["bob"], *(Turn(text) for text in [*QUESTIONS, AGAIN, NEW])]
    turns += [Turn(CHANGED, speaker=turn.speaker) for turn in TURNS["alice"][:1]]
    inputs = [
        (f"{turn.speaker}: " if turn.speaker else "", span.of(turn.text))
        for turn in turns
        for span in split_passages(turn.text)
    ]
    return RecordedReader(reader, inputs)


@pytest.fixture(scope="module")
def whole(recorded, tmp_path_factory):
    """The bytes of a file with all kinds of rows: two tenants, rehearsals, an updated turn and forgotten turns."""
    path = tmp_path_factory.mktemp("whole") / "memory.db"
    with MemoryBank(path, reader=recorded) as bank:
        for name, turns in TURNS.items():
            memory = bank.tenant(name)
            memory.memorize_many(turns[:-4])
            memory.consolidate(share=0.2)
            for turn in turns[-4:]:
                memory.memorize(turn)
        bank.tenant("alice").update("alice-0", CHANGED)
        bank.tenant("alice").forget("alice-18")  # a long turn: its pages become free
    return path.read_bytes()


@pytest.fixture(scope="module")
def right(whole, recorded, tmp_path_factory):
    path = tmp_path_factory.mktemp("right") / "memory.db"
    path.write_bytes(whole)
    return list(answers(path, recorded))


@pytest.fixture
def outcome(right, recorded, tmp_path):
    """A function that tells how a file with some bytes behaves: "right", or the name of the error that it raises."""

    def outcome(data):
        path = tmp_path / "damaged.db"
        path.write_bytes(data)
        try:
            start = time.process_time()
            for found, expected in zip(answers(path, recorded), right, strict=True):
                assert found == expected
                assert time.process_time() - start < MAX_SECONDS
                start = time.process_time()
        except TitansError as error:
            assert time.process_time() - start < MAX_SECONDS
            return type(error).__name__
        finally:
            for file in tmp_path.glob("damaged.db*"):
                file.unlink()
        return "right"

    return outcome


@pytest.fixture
def changed(whole, tmp_path):
    """A function that returns the bytes of the file after an SQL statement."""

    def changed(statement):
        path = tmp_path / "changed.db"
        path.write_bytes(whole)
        execute(path, statement)
        return path.read_bytes()

    return changed


def execute(path, statement):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(statement).rowcount > 0


def answers(path, reader):
    """Call every method of a bank and its memories on a file, and yield the results."""
    with MemoryBank(path, reader=reader) as bank:
        yield bank.tenants()
        for name in TURNS:
            yield from read_answers(bank.tenant(name))
        yield bank.tenant("carol").turns()
        alice = bank.tenant("alice")
        yield alice.memorize(AGAIN, speaker=TURNS["alice"][3].speaker, at=AT, id="again")
        yield alice.memorize(NEW, at=AT, id="new")
        yield alice.forget(source="import")
    with MemoryBank(path, reader=reader) as bank:
        yield bank.tenants()
        for name in TURNS:
            yield bank.tenant(name).turns()
            yield bank.tenant(name).recall(QUESTIONS[0])


def read_answers(memory):
    turns = memory.turns()
    yield turns
    yield [memory.get(turn.id) for turn in turns]
    with pytest.raises(UnknownTurnError):
        memory.get("never")
    yield from (memory.turns(**filters) for filters in FILTERS)
    yield from (memory.recall(question) for question in QUESTIONS)
    yield [memory.recall(QUESTIONS[0], **filters) for filters in FILTERS[:2]]


# ── one bit, one cut ──


@pytest.mark.parametrize("count", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_after_a_flipped_bit_every_answer_is_right_or_a_typed_error(whole, outcome, count, record_property):
    parts, outcomes = parts_of(whole), Counter()
    assert all(parts.values())
    chance = random.Random(count)  # noqa: S311 - must be reproducible
    for number in range(count):
        where = chance.choice(chance.choice([*parts.values()][number % len(parts)]))
        outcomes[outcome(flipped(whole, where, chance.randrange(8)))] += 1
    record_property("outcomes", dict(outcomes))
    assert outcomes["CorruptMemoryError"] > count / 10
    assert outcomes["right"] > count / 10  # the bit was in free space, or in weights that can be learned again


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_a_file_that_was_cut_off_is_a_typed_error(whole, outcome, count):
    chance, pages = random.Random(count), len(whole) // PAGE  # noqa: S311 - must be reproducible
    cuts = [PAGE * chance.randrange(1, pages) + chance.choice([-1, 0, 1]) for _ in range(count // 2)]
    cuts += [15, 99, 100, 511, *(chance.randrange(1, len(whole)) for _ in range(count - count // 2 - 4))]
    for cut in cuts:
        assert outcome(whole[:cut]) in ("CorruptMemoryError", "ForeignFileError"), cut


@pytest.mark.parametrize("left", [b"", b"S"])
def test_a_file_that_was_cut_to_nothing_is_a_new_memory(recorded, tmp_path, left):
    path = tmp_path / "memory.db"
    path.write_bytes(left)
    with TitansMemory.open(path, tenant="alice", reader=recorded) as memory:
        assert memory.turns() == []


# ── rows that are readable, but wrong ──


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("UPDATE tenants SET epoch = -1", "CorruptMemoryError"),
        ("UPDATE tenants SET epoch = epoch + 1", "right"),
        ("UPDATE tenants SET turns = 0", "CorruptMemoryError"),
        ("UPDATE tenants SET checksum = checksum + 1", "CorruptMemoryError"),
        ("UPDATE sqlite_sequence SET seq = 1 << 50", "CorruptMemoryError"),
        ("UPDATE sqlite_sequence SET seq = 7", "CorruptMemoryError"),
        ("UPDATE sqlite_sequence SET seq = 'many'", "CorruptMemoryError"),
        ("DELETE FROM sqlite_sequence", "CorruptMemoryError"),
        ("DELETE FROM turns WHERE id = 'alice-7'", "CorruptMemoryError"),
        ("DELETE FROM keys WHERE passage IN (SELECT max(passage) FROM keys)", "CorruptMemoryError"),
        ("DELETE FROM rehearsals", "CorruptMemoryError"),
        ("UPDATE rehearsals SET positions = '[1]'", "CorruptMemoryError"),
        ("UPDATE turns SET digest = zeroblob(16)", "right"),
    ],
)
def test_a_row_that_was_changed_or_lost(whole, outcome, changed, damage, expected):
    assert outcome(changed(damage)) == expected


def test_weights_of_another_tenant_are_learned_again(outcome, changed):
    other = "(SELECT {0} FROM snapshots AS other WHERE other.tenant != snapshots.tenant)"
    names = ("position", "epoch", "spec", "sha256", "state")
    sets = ", ".join(f"{name} = {other.format(name)}" for name in names)
    assert outcome(changed(f"UPDATE snapshots SET {sets}")) == "right"  # noqa: S608 - the names are constants


def test_weights_of_another_tenant_do_not_fit_even_where_the_position_does(recorded, tmp_path):
    path = tmp_path / "memory.db"
    with MemoryBank(path, reader=recorded) as bank:
        for name in TURNS:
            bank.tenant(name).memorize(TURNS["bob"][0] if name == "bob" else TURNS["alice"][0])
    execute(
        path,
        "UPDATE snapshots SET state = (SELECT state FROM snapshots AS b WHERE b.tenant != snapshots.tenant),"
        "sha256 = (SELECT sha256 FROM snapshots AS b WHERE b.tenant != snapshots.tenant)",
    )
    with TitansMemory.open(path, tenant="alice", reader=recorded) as memory:
        assert memory._learned.learner._saved == 0  # rebuilt, not loaded
        assert equals_a_replay(memory)


def test_sealed_weights_that_claim_more_than_there_is_are_learned_again(whole, recorded, right, outcome, tmp_path):
    path = tmp_path / "memory.db"
    path.write_bytes(whole)
    for name in TURNS:
        with TitansMemory.open(path, tenant=name, reader=recorded) as memory, memory._learned.log.transaction():
            saved = memory._learned.log.load_snapshot()
            memory._learned.log.save_snapshot(replace(saved, state=(2**63).to_bytes(8, "little") + saved.state[8:]))
    assert outcome(path.read_bytes()) == "right"


# ── the write-ahead log after a crash ──


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_a_damaged_write_ahead_log_leaves_a_moment_of_before(recorded, tmp_path, count):
    crashed = tmp_path / "crashed.db"
    with TitansMemory.open(crashed, tenant="alice", reader=recorded) as memory:
        for turn in TURNS["alice"][:12]:
            memory.memorize(turn)
        file, log = crashed.read_bytes(), Path(f"{crashed}-wal").read_bytes()
    chance, lengths = random.Random(count), set()  # noqa: S311 - must be reproducible
    for number in range(count):
        path = tmp_path / f"{number}.db"
        path.write_bytes(file)
        where = chance.randrange(len(log))
        Path(f"{path}-wal").write_bytes(log[:where] if number % 2 else flipped(log, where, chance.randrange(8)))
        with TitansMemory.open(path, tenant="alice", reader=recorded) as memory:
            turns = memory.turns()
            assert turns == TURNS["alice"][: len(turns)]
            assert equals_a_replay(memory)
        lengths.add(len(turns))
    assert len(lengths) > 5
