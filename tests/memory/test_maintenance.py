"""A file can be verified, what is whole of it saved, and a copy made while others write to it."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from typer.testing import CliRunner

from support.recorded import RecordedReader
from titans_core import MemoryBank, TitansMemory, Turn, cli
from titans_core.errors import CorruptMemoryError, StorageError, UnsupportedUrlError, UnwritableError
from titans_core.memory.maintenance import backup, repair, verify
from titans_core.storage import stored_tenants

TURNS = [
    Turn("My sister Ada moved to Lisbon.", speaker="user", session="a", id="ada", source="import"),
    Turn("My PIN is xylophone-7731.", speaker="user", id="pin", metadata={"secret": True}),
    Turn("The boiler was repaired in March. " * 90, id="boiler"),
]


@pytest.fixture(scope="module")
def saved(reader, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "memory.db"
    with MemoryBank(path, reader=reader) as bank:
        for name in ("alice", "bob"):
            bank.tenant(name).memorize_many(TURNS)
        bank.tenant("alice").consolidate(share=0.5)
    return path.read_bytes()


@pytest.fixture
def path(saved, tmp_path):
    path = tmp_path / "memory.db"
    path.write_bytes(saved)
    return path


def execute(path, statement):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(statement).rowcount > 0


def overwrite(path, text):
    """Change a text in the file itself, below SQLite."""
    data = path.read_bytes()
    assert text in data
    path.write_bytes(data.replace(text, text.swapcase()))


def run(*arguments):
    return CliRunner().invoke(cli.build_app(), [*map(str, arguments)])


def found(report):
    return [(finding.tenant, finding.what, finding.count) for finding in report.damage]


# ── verify ──


def test_a_whole_file_has_no_findings(path):
    told = []
    report = verify(path, progress=lambda done, total: told.append((done, total)))
    assert (report.turns, report.damage) == (6, ())
    assert told == [(1, 3), (2, 3), (3, 3)] * 2


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("UPDATE turns SET text = 'My PIN is 0.' WHERE id = 'pin' AND tenant = 1", "turns are damaged"),
        ("UPDATE keys SET packed = zeroblob(384) WHERE passage = 1 << 20", "their texts are whole"),
        ('UPDATE passages SET "end" = 7 WHERE number = 1 << 20', "their texts are whole"),
        ("DELETE FROM turns WHERE id = 'pin' AND tenant = 1", "have been lost"),
        ("UPDATE tenants SET turns = 7 WHERE number = 1", "have been lost"),
        ("UPDATE rehearsals SET positions = '[1]'", "rehearsed"),
        ("DELETE FROM rehearsals", "have been lost"),
        ("UPDATE tenants SET epoch = -1 WHERE number = 1", "its entry"),
    ],
)
def test_damage_is_found_and_named(path, damage, what):
    execute(path, damage)
    findings = found(verify(path))
    assert [(tenant, count) for tenant, _, count in findings] == [("alice", 1)] * len(findings)
    assert any(what in found for _, found, _ in findings)


def test_a_damaged_page_is_found(path):
    data = bytearray(path.read_bytes())
    [root] = sqlite3.connect(path).execute("SELECT rootpage FROM sqlite_schema WHERE name = 'turns_by_id'").fetchone()
    data[(root - 1) * 4096 + 3] ^= 4  # the number of its cells
    path.write_bytes(data)
    assert {tenant for tenant, _, _ in found(verify(path))} >= {None}


def test_the_command_tells_what_is_damaged_and_fails(path):
    whole = run("verify", path)
    assert (whole.exit_code, whole.output.splitlines()[-1]) == (0, "Everything is whole.")
    overwrite(path, b"xylophone")
    broken = run("verify", path)
    assert broken.exit_code == 1
    assert "problem  'alice': turns are damaged (1)" in broken.output
    assert "titans repair" in broken.output


# ── repair ──


def test_what_is_whole_is_copied_and_the_old_file_is_left_alone(path, reader, tmp_path):
    execute(path, "UPDATE turns SET text = 'My PIN is 0.' WHERE id = 'pin' AND tenant = 1")
    before = path.read_bytes()
    report = repair(path, tmp_path / "new.db", reader=reader)
    assert (report.turns, found(report)) == (5, [("alice", "turns are lost", 1)])
    assert path.read_bytes() == before
    assert not verify(tmp_path / "new.db").damage
    with MemoryBank(tmp_path / "new.db", reader=reader) as bank:
        assert [turn.id for turn in bank.tenant("alice").turns()] == ["ada", "boiler"]
        with TitansMemory.open(path, tenant="bob", reader=reader) as old:
            assert bank.tenant("bob").turns() == old.turns()
            assert bank.tenant("bob").recall("Where is Ada?") == old.recall("Where is Ada?")


def test_a_turn_whose_keys_are_damaged_is_read_again(path, reader, tmp_path):
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        turns = memory.turns()
    execute(path, "UPDATE keys SET packed = zeroblob(384) WHERE passage = 1 << 20")
    assert found(repair(path, tmp_path / "new.db", reader=reader)) == [("alice", "turns were read again", 1)]
    with TitansMemory.open(tmp_path / "new.db", tenant="alice", reader=reader) as memory:
        assert memory.turns() == turns
        assert memory.recall("Where did Ada move?").best.id == "ada"


def test_a_damaged_name_of_the_reader_costs_a_reading(path, reader, tmp_path):
    execute(path, "UPDATE readers SET fingerprint = 'another'")
    report = repair(path, tmp_path / "new.db", reader=reader)
    assert (report.turns, sum(finding.count for finding in report.damage)) == (6, 6)


def test_the_turns_of_a_lost_tenant_are_kept_under_a_number(path, reader, tmp_path):
    execute(path, "DELETE FROM tenants WHERE name = 'alice'")
    assert repair(path, tmp_path / "new.db", reader=reader).turns == 6
    assert sorted(stored_tenants(tmp_path / "new.db")) == ["bob", "recovered-1"]


def test_a_damaged_leaf_costs_only_what_stood_there(path, reader, tmp_path):
    with MemoryBank(path, reader=reader) as bank:
        bank.tenant("alice").memorize_many(Turn(f"The number {n} is {n * 7}. " * 10, id=f"n{n}") for n in range(60))
    data = path.read_bytes()
    page = data.index(b"The number 30 is") // 4096 * 4096
    path.write_bytes(data[:page] + bytes(4096) + data[page + 4096 :])
    with pytest.raises(CorruptMemoryError):
        TitansMemory.open(path, tenant="alice", reader=reader)
    report = repair(path, tmp_path / "new.db", reader=reader)
    assert 45 < report.turns < 66
    with TitansMemory.open(tmp_path / "new.db", tenant="alice", reader=reader) as memory:
        ids = [turn.id for turn in memory.turns()]
    assert {"ada", "n0", "n59"} <= {*ids}
    assert "n30" not in ids


def test_the_command_repairs(path, tmp_path):
    overwrite(path, b"xylophone")
    done = run("repair", path, tmp_path / "new.db")
    assert (done.exit_code, done.output.splitlines()[0]) == (1, f"4 turns copied to {tmp_path / 'new.db'}")


# ── backup ──

WRITER = """
import sys, itertools
from support.recorded import RecordedReader
from titans_core import TitansMemory
with TitansMemory.open(sys.argv[1], tenant="carol", reader=RecordedReader.load(sys.argv[2])) as memory:
    for n in itertools.count():
        memory.memorize(sys.argv[3], id=str(n))
        print(n, flush=True)
"""


def test_a_copy_made_while_another_process_writes_is_a_whole_moment(path, reader, tmp_path):
    recording = tmp_path / "readings.npz"
    RecordedReader(reader, [("", "Good morning.")]).save(recording)
    command = [sys.executable, "-c", WRITER, path, recording, "Good morning."]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            for number in range(3):
                acknowledged = int(writer.stdout.readline())
                backup(path, tmp_path / f"{number}.db")
                assert not verify(tmp_path / f"{number}.db").damage
                with TitansMemory.open(tmp_path / f"{number}.db", tenant="carol", reader=reader) as memory:
                    ids = [turn.id for turn in memory.turns()]
                assert ids == [str(n) for n in range(len(ids))]
                assert len(ids) > acknowledged
        finally:
            writer.kill()


def test_a_copy_is_one_file_and_replaces_none(path, tmp_path):
    folder = tmp_path / "copies"
    folder.mkdir()
    told = []
    backup(path, folder / "copy.db", progress=lambda done, total: told.append((done, total)))
    assert [file.name for file in folder.iterdir()] == ["copy.db"]
    assert told[-1][0] == told[-1][1] > 0
    with pytest.raises(UnwritableError, match="exists"):
        backup(path, folder / "copy.db")
    assert run("backup", path, folder / "again.db").exit_code == 0


def test_a_copy_that_fails_leaves_nothing(path, tmp_path):
    folder = tmp_path / "copies"
    folder.mkdir()
    path.write_bytes(path.read_bytes()[:8192])
    with pytest.raises(StorageError):
        backup(path, folder / "copy.db")
    assert [*folder.iterdir()] == []


@pytest.mark.parametrize("act", [verify, lambda url: repair(url, "new.db"), lambda url: backup(url, "new.db")])
def test_what_is_no_file_is_refused(act, tmp_path):
    for url in ("postgresql://host/name", ":memory:"):
        with pytest.raises(UnsupportedUrlError, match="pg_dump"):
            act(url)
    with pytest.raises(UnwritableError, match="no file"):
        act(tmp_path / "missing.db")
    assert not (tmp_path / "missing.db").exists()
