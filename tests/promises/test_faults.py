"""A write that fails at any step leaves the old state or the new one, and the memory remains usable."""

import ctypes
import itertools
import os
import resource
import shutil
import sqlite3
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest

from support.faulty_disk import faulty_disk
from support.recorded import RecordedReader
from support.soundness import inspected
from support.writes import AFTERWARDS, BEFORE, GONE, NEW, QUESTION, TEXTS, WRITES, steps_of, store_before
from titans_core import TitansMemory
from titans_core.errors import StorageFullError, UnwritableError


@pytest.fixture(scope="module")
def recorded(reader):
    return RecordedReader(reader, [("", text) for text in TEXTS])


@pytest.fixture(scope="module")
def saved(recorded, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "memory.db"
    store_before(path, recorded)
    return path


@pytest.fixture
def path(saved, tmp_path):
    return shutil.copy(saved, tmp_path / "memory.db")


FAULTS = {
    "I/O error": (sqlite3.SQLITE_IOERR_WRITE, False, UnwritableError),
    "dead disk": (sqlite3.SQLITE_IOERR_WRITE, True, UnwritableError),
    "full disk": (sqlite3.SQLITE_FULL, True, StorageFullError),
}


def act_on_a_faulty_disk(path, reader, name, fault, number):
    """Run one call with a fault at its n-th step, and check every promise."""
    act, new = WRITES[name]
    code, forever, error = FAULTS[fault]
    with faulty_disk(path) as disk, TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        disk.fail_at(number, code, forever=forever)
        try:
            act(memory)
            possible = [new]
        except error:
            possible = [BEFORE, new]
        assert len(disk.operations) >= number
        disk.heal()
        assert memory.recall(QUESTION).best.id == "ada"
        memory.memorize(AFTERWARDS, id="afterwards")
    assert [*path.parent.iterdir()] == [path]
    found = inspected(path, reader)
    assert dict(found["turns"]) in [turns | {"afterwards": AFTERWARDS} for turns in possible]
    assert (found["integrity"], found["replayed"], found["recalled"]) == ("ok", True, True)
    assert (GONE in path.read_bytes()) == (["pin", BEFORE["pin"]] in found["turns"])


@pytest.mark.parametrize("stride", [263, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", WRITES)
def test_a_fault_leaves_the_old_state_or_the_new_one(saved, tmp_path, recorded, name, fault, stride):
    path = tmp_path / "memory.db"
    for number in steps_of(name, shutil.copy(saved, path), recorded, stride=stride):
        act_on_a_faulty_disk(shutil.copy(saved, path), recorded, name, fault, number)


@pytest.mark.parametrize("name", WRITES)
def test_a_write_that_returned_had_the_disk_keep_it(path, recorded, name):
    act, _ = WRITES[name]
    with faulty_disk(path) as disk, TitansMemory.open(path, tenant="alice", reader=recorded) as memory:
        disk.heal()
        act(memory)
        assert "sync" in itertools.takewhile(lambda step: step != "write", reversed(disk.operations))


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_could_not_be_begun_can_be_begun_again(tmp_path, recorded, fault, stride):
    code, forever, error = FAULTS[fault]
    for number in itertools.count(1, stride):
        path = tmp_path / f"{number}.db"
        with faulty_disk(path) as disk:
            disk.fail_at(number, code, forever=forever)
            with suppress(error):
                TitansMemory.open(path, tenant="alice", reader=recorded).close()
            if len(disk.operations) < number:
                break
        with TitansMemory.open(path, tenant="alice", reader=recorded) as memory:
            memory.memorize(AFTERWARDS, id="afterwards")
        assert inspected(path, recorded)["turns"] == [["afterwards", AFTERWARDS]]
    assert number > 20  # it creates the tables and the tenant, and moves the journal into the file


@contextmanager
def no_file_larger_than(size):
    """Limit the file size, which acts like a full disk. Python ignores the signal that comes with the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room_can_still_be_read_and_is_written_again_when_there_is_room(path, recorded):
    with no_file_larger_than(1 << 16), TitansMemory.open(path, tenant="alice", reader=recorded) as memory:
        with pytest.raises(UnwritableError, match="the disk"):
            memory.memorize_many([*NEW.values()] * 10)
        stored = memory.turns()
        assert [turn.text for turn in stored] == [*BEFORE.values()]
        assert memory.recall(QUESTION).best.id == "ada"
    with TitansMemory.open(path, tenant="alice", reader=recorded) as memory:
        assert memory.turns() == stored
        memory.memorize(AFTERWARDS)
    assert len(inspected(path, recorded)["turns"]) == len(BEFORE) + 1
    assert [*path.parent.iterdir()] == [path]


@contextmanager
def bound_by_permissions():
    """Make root obey file permissions: give up the Linux capability CAP_DAC_OVERRIDE, and take it back afterwards."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, capabilities = (ctypes.c_uint32 * 2)(0x20080522), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, capabilities) == 0
    original = capabilities[0]
    capabilities[0] = original & ~(1 << 1)
    assert libc.capset(header, capabilities) == 0
    try:
        yield
    finally:
        capabilities[0] = original
        assert libc.capset(header, capabilities) == 0


def test_a_read_only_folder_is_refused_and_left_as_it_was(path, recorded):
    path.parent.chmod(0o555)
    with bound_by_permissions(), pytest.raises(UnwritableError, match="permissions"):
        TitansMemory.open(path, tenant="alice", reader=recorded)
    assert [*path.parent.iterdir()] == [path]
    path.parent.chmod(0o755)
    assert dict(inspected(path, recorded)["turns"]) == BEFORE


def test_a_read_only_file_can_be_read_and_is_left_as_it_was(path, recorded):
    before = path.read_bytes()
    path.chmod(0o444)
    with bound_by_permissions(), TitansMemory.open(path, tenant="alice", reader=recorded) as memory:
        assert memory.recall(QUESTION).best.id == "ada"
        for act, _ in WRITES.values():
            with pytest.raises(UnwritableError, match="permissions"):
                act(memory)
        assert {turn.id: turn.text for turn in memory.turns()} == BEFORE
    assert path.read_bytes() == before
    path.chmod(0o644)
    assert dict(inspected(path, recorded)["turns"]) == BEFORE
    assert [*path.parent.iterdir()] == [path]


def test_a_clock_that_goes_back_changes_neither_the_order_nor_what_is_recalled(tmp_path, recorded, monkeypatch):
    answers = {}
    for name, days in {"forward": [1, 2, 3], "back": [3, 2, 1]}.items():

        class Clock(datetime):
            times = iter(days)

            @classmethod
            def now(cls, zone=None):
                return cls(2026, 3, next(cls.times, 5), tzinfo=UTC)  # and the 5th for every recall

        monkeypatch.setattr("titans_core.validation.datetime", Clock)
        with TitansMemory.open(tmp_path / name, tenant="alice", reader=recorded) as memory:
            for text in BEFORE.values():
                memory.memorize(text)
            assert [(turn.at.day, turn.text) for turn in memory.turns()] == [*zip(days, BEFORE.values(), strict=True)]
            answers[name] = {recall.text: without_times(recall.why) for recall in memory.recall(QUESTION)}
            assert memory.recall(QUESTION).best.id == memory.turns()[0].id
        assert inspected(tmp_path / name, recorded)["replayed"]
    assert answers["forward"] == answers["back"]


def without_times(why):
    """The parts of a score that do not depend on when a turn was said."""
    return {name: value for name, value in why.items() if name != "current" and not name.startswith("recency")}
