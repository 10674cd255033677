"""An export has every turn and its readings, and another memory can import both. It never imports damaged data."""

import io
import itertools
import json
import os
import pickle
import random
import re
import sqlite3
import zipfile
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from support.recorded import RecordedReader
from titans_core import TitansMemory, Turn
from titans_core.cli import app as cli
from titans_core.errors import CorruptMemoryError, ForeignFileError, UnwritableError
from titans_core.readers import split_passages
from titans_core.storage.export.readings import ReadingsWriter
from titans_core.storage.export.turns import readings_path

TURNS = [
    Turn(
        "Café\nwith two lines \x00 and a NUL", speaker="Ada", session="s", id="a", at=datetime(2026, 1, 2, tzinfo=UTC)
    ),
    Turn(
        "漢字 \u2028 separator",
        metadata={"tags": ["x", {"deep": None}]},
        id="b",
        at=datetime(2026, 1, 3, 4, 5, 6, 7, tzinfo=UTC),
        source="tool:web",
    ),
    Turn("The boiler was repaired on Tuesday. " * 30, speaker="Ada", id="c", at=datetime(2026, 1, 4, tzinfo=UTC)),
    Turn("The boiler was repaired on Monday.", session="s", id="d", at=datetime(2026, 1, 4, tzinfo=UTC)),
]

HEAD = '{"format": "titans-turns", "version": 2, "turns": 1}\n'
ENTRY = {
    "id": "a", "at": "2026-01-01", "session": None, "speaker": None, "source": None, "text": "Hi.", "metadata": {}
}  # fmt: skip


def nested(depth):
    return {"n": nested(depth - 1)} if depth else {}


def entry(**changes):
    return json.dumps(ENTRY | changes)


def inputs():
    """Return all texts that a reader reads of the turns, as (prefix, text)."""
    return [
        (f"{turn.speaker}: " if turn.speaker else "", span.of(turn.text))
        for turn in TURNS
        for span in split_passages(turn.text)
    ]


@pytest.fixture(scope="module")
def recorded(reader):
    """A reader with recorded readings. A real reader rounds in another way when the batches are different."""
    return RecordedReader(reader, inputs())


@pytest.fixture
def blind(reader):
    """A reader without readings, which fails if it must read a text."""
    return RecordedReader(reader, [])


@pytest.fixture(scope="module")
def original(recorded):
    with TitansMemory.open(":memory:", tenant="alice", reader=recorded) as memory:
        memory.memorize_many(TURNS)
        yield memory


@pytest.fixture
def exported(original, tmp_path):
    assert original.export(tmp_path / "turns.jsonl") == len(TURNS)
    return tmp_path / "turns.jsonl"


def imported(path, reader):
    """Import an export into a new memory, export this memory, and return the content of both new files."""
    with TitansMemory.open(":memory:", tenant="bob", reader=reader) as other:
        assert other.import_(path) == len(TURNS)
        copy = path.with_name("again.jsonl")
        other.export(copy)
        return both(copy)


def both(path):
    """Return the content of both files of an export."""
    return path.read_bytes(), readings_path(path).read_bytes()


def test_an_export_comes_back_whole_and_nothing_is_read_again(original, exported, blind):
    with TitansMemory.open(":memory:", tenant="bob", reader=blind) as other:
        assert other.import_(exported) == len(TURNS)
        assert other.turns() == original.turns() == TURNS
        assert torch.equal(other._learned.learner.state.inverse, original._learned.learner.state.inverse)
        assert other.import_(exported) == 0  # a second import adds nothing
        assert len(other.turns()) == len(TURNS)
    assert imported(exported, blind) == both(exported)


def test_an_empty_memory_exports_an_empty_file(memory, tmp_path):
    assert memory.export(tmp_path / "turns.jsonl") == 0
    assert memory.import_(tmp_path / "turns.jsonl") == 0


def test_what_is_forgotten_is_not_exported(recorded, tmp_path):
    with TitansMemory.open(":memory:", tenant="alice", reader=recorded) as memory:
        memory.memorize_many(TURNS)
        memory.forget("b")
        assert memory.export(tmp_path / "turns.jsonl") == len(TURNS) - 1
    assert not any("漢字".encode() in file.read_bytes() for file in tmp_path.iterdir())


def test_a_source_may_bring_more_turns_than_it_may_write_in_an_hour(recorded, tmp_path):
    turns = [replace(turn, source="tool:web") for turn in TURNS]
    with TitansMemory.open(":memory:", tenant="alice", reader=recorded, max_per_source=None) as memory:
        memory.memorize_many(turns)
        memory.export(tmp_path / "turns.jsonl")
    with TitansMemory.open(":memory:", tenant="bob", reader=recorded, max_per_source=1) as other:
        assert other.import_(tmp_path / "turns.jsonl") == len(turns)


def test_files_of_the_first_version_are_read(exported, original, recorded):
    first, *turns = map(json.loads, exported.read_text().split("\n")[:-1])
    old = [{"format": "titans-turns", "version": 1}]
    old += [{name: value for name, value in turn.items() if name != "source"} for turn in turns]
    exported.write_text("".join(json.dumps(line) + "\n" for line in old))
    assert first["version"] == 2
    with TitansMemory.open(":memory:", tenant="bob", reader=recorded) as other:
        assert other.import_(exported) == len(TURNS)
        assert other.turns() == [replace(turn, source=None) for turn in TURNS]


def test_line_ends_of_another_system_change_nothing(exported, original, recorded):
    exported.write_bytes(exported.read_bytes().replace(b"\n", b"\r\n"))
    with TitansMemory.open(":memory:", tenant="bob", reader=recorded) as other:
        other.import_(exported)
        assert other.turns() == TURNS


# ── another file ──


@pytest.mark.parametrize(
    ("content", "line"),
    {
        "nothing": ("", 1),
        "no JSON": ("not JSON", 1),
        "other JSON": ('{"some": "json"}', 1),
        "no number of turns": ('{"format": "titans-turns", "version": 2}', 1),
        "a newer version": ('{"format": "titans-turns", "version": 3, "turns": 0}', 1),
        "a byte order mark": ("\ufeff" + HEAD + entry(), 1),
        "deep": ("[" * 1_000_000, 1),
        "a turn too few": (HEAD, 1),
        "a turn too many": (HEAD + entry() + "\n" + entry(id="b"), 3),
        "half a line": (HEAD + entry()[:-3], 2),
        "a field too few, version 1": ('{"format": "titans-turns", "version": 1}\n{"id": "a"}', 2),
        "a field too many, version 1": (HEAD.replace('2, "turns": 1', "1") + entry(), 2),
        "a field too few": (HEAD + '{"id": "a"}', 2),
        "a field too many": (HEAD + entry(colour="blue"), 2),
        "a list": (HEAD + "[1]", 2),
        "no time": (HEAD + entry(at="May"), 2),
        "a number as time": (HEAD + entry(at=1), 2),
        "no text": (HEAD + entry(text=" "), 2),
        "a number as text": (HEAD + entry(text=1), 2),
        "no id": (HEAD + entry(id=None), 2),
        "a number as id": (HEAD + entry(id=7), 2),
        "a lone surrogate": (HEAD + entry(text="\ud800"), 2),
        "a raw NUL": (HEAD + entry().replace("Hi.", "Hi\x00"), 2),
        "an infinite number": (HEAD + entry().replace("{}", '{"n": 1e999}'), 2),
        "no number": (HEAD + entry().replace("{}", '{"n": NaN}'), 2),
        "a number of many digits": (HEAD + entry().replace("{}", '{"n": %s}' % ("9" * 100_000)), 2),
        "deep metadata": (HEAD + entry(metadata=nested(500)), 2),
        "deeper metadata": (HEAD + entry().replace("{}", '{"n": %s' % ("[" * 1_000_000)), 2),
        "a long text": (HEAD + entry(text="a" * 1_000_001), 2),
        "an endless line": (HEAD + entry(text="a" * 33_000_000), 2),
        "an id twice": (HEAD.replace("1}", "2}") + entry() + "\n" + entry(), 3),
    }.values(),
)  # fmt: skip
def test_another_file_is_refused_and_nothing_is_memorized(memory, tmp_path, content, line):
    path = tmp_path / "turns.jsonl"
    path.write_text(content)
    with pytest.raises(ForeignFileError, match=f"line {line}: ") as refusal:
        memory.import_(path)
    assert len(str(refusal.value)) < 1000
    assert memory.turns() == []


def test_bytes_that_are_no_text_are_refused(memory, tmp_path):
    path = tmp_path / "turns.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ForeignFileError):
        memory.import_(path)


def test_what_comes_late_in_a_file_keeps_all_of_it_out(exported, blind, monkeypatch):
    monkeypatch.setattr("titans_core.memory.memory.COMMIT_TURNS", 1)
    lines = exported.read_text().split("\n")[:-1]
    exported.write_text("\n".join([*lines[:-1], lines[-1].replace('"d"', '"a"')]))
    with TitansMemory.open(":memory:", tenant="bob", reader=blind) as other:
        with pytest.raises(ForeignFileError, match=r"line 5: .*an earlier turn has the id 'a' too"):
            other.import_(exported)
        assert other.turns() == []


def test_a_part_of_a_file_is_refused_wherever_it_was_cut(exported, blind):
    whole = exported.read_bytes()
    with TitansMemory.open(":memory:", tenant="bob", reader=blind) as other:
        for end in range(len(whole) - 1):  # the last byte ends the last line
            exported.write_bytes(whole[:end])
            with pytest.raises(ForeignFileError):
                other.import_(exported)
        assert other.turns() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner), max_leaves=5
)


def test_any_line_is_a_turn_or_is_refused(tmp_path, reader):
    paths, same = map("{}/{}".format, itertools.repeat(tmp_path), itertools.count()), SameReading(reader)

    @settings(max_examples=60, deadline=None)
    @given(st.fixed_dictionaries({}, optional=dict.fromkeys([*ENTRY, "other"], JSON)), st.binary(max_size=20))
    def holds(changes, noise):
        path = Path(next(paths))
        line = json.dumps(ENTRY | changes).encode()
        path.write_bytes(HEAD.encode() + (noise if len(noise) % 2 else line + noise))
        with TitansMemory.open(":memory:", tenant="alice", reader=same) as memory:
            try:
                assert memory.import_(path) == 1
                assert memory.turns()[0].text == (ENTRY | changes)["text"]
            except ForeignFileError:
                assert memory.turns() == []

    holds()


class SameReading(RecordedReader):
    """A reader that returns the same reading for every text."""

    def __init__(self, reader):
        super().__init__(reader, [("", "Hi.")])

    def read(self, texts, prefixes=None):
        return [self.readings["Hi."]] * len(texts)


# ── missing or damaged readings: the turns are read again, and the memory is the same ──


def test_without_readings_the_turns_are_read(exported, recorded):
    expected = both(exported)
    readings_path(exported).unlink()
    assert imported(exported, recorded) == expected


def test_readings_of_other_turns_are_not_taken(exported, recorded, blind):
    exported.write_text(exported.read_text().replace("on Monday", "on Sunday"))
    with TitansMemory.open(":memory:", tenant="bob", reader=blind) as other, pytest.raises(KeyError):
        other.import_(exported)


def test_readings_of_another_reader_are_not_taken(exported, blind):
    blind.fingerprint = "float32:0123456789abcdef"
    other = TitansMemory.open(":memory:", tenant="bob", reader=blind, strategy="softmax")
    with other, pytest.raises(KeyError):
        other.import_(exported)


@pytest.mark.parametrize("flips", [60, pytest.param(3000, marks=pytest.mark.slow)])
def test_no_flipped_bit_changes_anything(exported, recorded, flips):
    expected, path = both(exported), readings_path(exported)
    chance = random.Random(1)  # noqa: S311 - reproducible, not secret
    header = int.from_bytes(expected[1][:8], "little") + 8
    for number in range(flips):
        damaged = bytearray(expected[1])
        damaged[chance.randrange(header if number % 2 else len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        assert imported(exported, recorded) == expected


def test_no_truncation_changes_anything(exported, recorded):
    expected, path = both(exported), readings_path(exported)
    for end in [*range(20), *range(20, len(expected[1]), 9973)]:
        path.write_bytes(expected[1][:end])
        assert imported(exported, recorded) == expected


def test_only_the_turn_whose_reading_is_damaged_is_read_again(exported, original, recorded, blind, tmp_path):
    path, expected = readings_path(exported), both(exported)
    keys = original._learned.log.keys([next(original._learned.log.records(after=0, keys=False)).passages[0].number])[0]
    path.write_bytes(expected[1].replace(keys, keys[:-1] + bytes([keys[-1] ^ 1])))
    assert path.read_bytes() != expected[1]
    blind.readings = {("Ada: " + TURNS[0].text): recorded.readings["Ada: " + TURNS[0].text]}
    assert imported(exported, blind) == expected


def zip_bomb():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data.pkl", bytes(100_000_000))
    return file.getvalue()


class Boom:
    def __reduce__(self):
        return os._exit, (99,)


@pytest.mark.parametrize(
    "content",
    [
        (2**63).to_bytes(8, "little") + b"{}",
        (2**64 - 1).to_bytes(8, "little") + b"{}" * 100,
        (9_000_000).to_bytes(8, "little") + b"{" * 9_000_000,
        (200_000).to_bytes(8, "little") + b"[" * 200_000,
        pickle.dumps(Boom()),
        zip_bomb(),
    ],
    ids=["2^63 bytes of header", "2^64 bytes", "a long header", "a deep header", "pickle", "zip bomb"],
)
def test_another_file_in_the_place_of_the_readings_changes_nothing(exported, recorded, content):
    expected = both(exported)
    readings_path(exported).write_bytes(content)
    assert imported(exported, recorded) == expected


def header_of(path):
    """Return the metadata in the header of a safetensors file."""
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]


def without(name):
    """Return a function that removes a tensor."""
    return lambda tensors: tensors.pop(name)


def changed(name, function):
    """Return a function that changes a tensor."""
    return lambda tensors: tensors.update({name: np.ascontiguousarray(function(tensors[name]))})


@pytest.mark.parametrize(
    "forge",
    [
        without("keys"),
        changed("passages", lambda passages: -passages),
        changed("passages", lambda passages: passages + np.int32([1, -1, 0, 0])),
        changed("passages", lambda passages: passages[::-1]),
        changed("passages", lambda passages: passages.astype(np.int64)),
        changed("passages", lambda passages: np.append(passages, np.int32(0))),
        changed("passages", lambda passages: passages.sum(dtype=np.int32)),
        changed("passages", lambda passages: passages + np.int32([2**31 - 2, -(2**31), 0, 2])),
        changed("spans", lambda spans: spans[:, :2]),
        changed("spans", lambda spans: spans[1:]),
        changed("spans", lambda spans: spans + np.int32([0, 0, 1])),
        changed("columns", lambda columns: columns[:, ::2]),
        changed("pooled", lambda pooled: pooled.T),
        changed("keys", lambda keys: keys[:-1]),
        changed("keys", lambda keys: keys.reshape(-1)),
        lambda tensors: tensors.update(more=np.zeros(3)),
    ],
)
def test_tensors_that_do_not_fit_each_other_change_nothing(exported, recorded, forge):
    expected, path = both(exported), readings_path(exported)
    tensors = load_file(path)
    forge(tensors)
    save_file(tensors, path, metadata=header_of(path))
    assert imported(exported, recorded) == expected


def zeros(keys):
    """Return packed keys of the same size in which every number is zero."""
    return b"\x88" * len(keys)


@pytest.mark.parametrize(
    "forge",
    [
        lambda passage: {"start": -1},
        lambda passage: {"end": passage.end + 10_000},
        lambda passage: {"end": passage.start},
        lambda passage: {"start": passage.end, "end": passage.start},
        lambda passage: {"column": passage.column * np.float16("nan")},
        lambda passage: {"column": passage.column + np.float16("inf")},
        lambda passage: {"column": passage.column * np.float16(1.1)},
        lambda passage: {"pooled": passage.pooled * np.float16("nan")},
        lambda passage: {"pooled": passage.pooled * np.float16(100)},
        lambda passage: {"keys": zeros(passage.keys), "column": np.zeros_like(passage.column)},
        lambda passage: {"keys": bytes(len(passage.keys))},
        lambda passage: {"keys": passage.keys[::-1]},
        lambda passage: {"keys": b""},
    ],
)
def test_readings_that_cannot_be_are_not_taken_whatever_their_checksums_say(exported, original, recorded, forge):
    expected, path = both(exported), readings_path(exported)
    about = json.loads(header_of(path)["titans"])
    with ReadingsWriter(recorded.dim, exported.parent) as writer:
        for turn, record in zip(TURNS, original._learned.log.records(after=0, keys=True), strict=True):
            writer.add(turn, [replace(passage, **forge(passage)) for passage in record.passages])
        writer.save(path, reader=about["reader"], turns_sha256=about["turns_sha256"])
    assert path.read_bytes() != expected[1]
    assert imported(exported, recorded) == expected


# ── the files ──


def test_a_path_that_cannot_be_written_or_read(memory, tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "no" / "turns.jsonl", tmp_path / "folder", tmp_path / ("n" * 300), "/dev/null"):
        with pytest.raises(UnwritableError):
            memory.export(path)
    with pytest.raises(ForeignFileError):
        memory.import_(tmp_path / "missing.jsonl")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def failing_at(number, function):
    """Wrap a function so that its n-th call fails, as on a full disk."""
    calls = itertools.count(1)

    def call(*arguments, **named):
        if next(calls) == number:
            raise OSError(28, "No space left on device")
        return function(*arguments, **named)

    return call


STEPS = [
    ("titans_core._utils.atomic.mkstemp", 1),
    ("titans_core._utils.atomic.mkstemp", 2),
    ("titans_core.storage.export.readings.TemporaryFile", 1),
    ("titans_core.storage.export.readings.save_file", 1),
    ("os.fsync", 1),
    ("os.fsync", 2),
    ("pathlib.Path.replace", 1),
]


@pytest.mark.parametrize(("step", "number"), STEPS)
def test_an_export_that_fails_leaves_the_old_files(exported, recorded, monkeypatch, step, number):
    expected = both(exported)
    with TitansMemory.open(":memory:", tenant="bob", reader=recorded) as other, monkeypatch.context() as patched:
        other.memorize(TURNS[3])
        patched.setattr(step, failing_at(number, resolve_name(step)))
        with pytest.raises(UnwritableError, match="No space left"):
            other.export(exported)
    assert both(exported) == expected
    assert len([*exported.parent.iterdir()]) == 2


def test_turns_without_their_readings_are_the_new_ones(exported, recorded, monkeypatch):
    with TitansMemory.open(":memory:", tenant="bob", reader=recorded) as other, monkeypatch.context() as patched:
        other.memorize_many(reversed(TURNS))
        patched.setattr(Path, "replace", failing_at(2, Path.replace))
        with pytest.raises(UnwritableError):
            other.export(exported)
        turns = other.turns()
    with TitansMemory.open(":memory:", tenant="bob", reader=recorded) as other:
        other.import_(exported)
        assert other.turns() == turns


def test_an_export_of_a_damaged_memory_leaves_the_old_files(exported, recorded, tmp_path):
    expected = both(exported)
    with TitansMemory.open(tmp_path / "memory.db", tenant="bob", reader=recorded) as other:
        other.memorize_many(TURNS)
        with closing(sqlite3.connect(tmp_path / "memory.db")) as connection, connection:
            connection.execute("UPDATE turns SET text = 'Other words.' WHERE id = 'd'")
        with pytest.raises(CorruptMemoryError):
            other.export(exported)
    assert both(exported) == expected
    assert {file.name for file in tmp_path.glob(".*")} == set()


def test_a_link_stays_a_link(original, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    original.export(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").is_file()


# ── the commands ──


def run(*arguments):
    """Run a command of the command line."""
    return CliRunner().invoke(cli.build_app(), [*map(str, arguments)])


def test_the_commands_copy_a_memory(reader, tmp_path):
    with TitansMemory.open(tmp_path / "a.db", tenant="alice", reader=reader) as memory:
        memory.memorize_many(TURNS)
    file = tmp_path / "turns.jsonl"
    exporting = run("export", tmp_path / "a.db", file, "--tenant", "alice")
    assert (exporting.exit_code, exporting.stdout) == (
        0,
        f"4 turns in {file}, their readings in {readings_path(file)}\n",
    )
    for new in (4, 0):
        importing = run("import", tmp_path / "b.db", file, "--tenant", "bob", "--workers", 2)
        assert importing.exit_code == 0
        assert re.fullmatch(rf"{new} new turns in \d+\.\d s; 'bob' has 4\n", importing.stdout)
    with TitansMemory.open(tmp_path / "b.db", tenant="bob", reader=reader) as memory:
        assert memory.turns() == TURNS


def test_the_commands_explain_what_they_cannot_do(tmp_path):
    exporting = run("export", tmp_path / "a.db", tmp_path / "turns.jsonl", "--tenant", "alice")
    assert (exporting.exit_code, "has no turns of a tenant 'alice'" in exporting.stderr) == (1, True)
    assert [*tmp_path.iterdir()] == []
    importing = run("import", tmp_path / "a.db", tmp_path / "turns.jsonl", "--tenant", "alice")
    assert (importing.exit_code, "is no export of turns" in importing.stderr) == (1, True)
    assert run("import", tmp_path / "a.db", tmp_path / "turns.jsonl").exit_code == 2
