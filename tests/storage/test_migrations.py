"""A file of an older version is brought up to date when it is opened."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from support.soundness import equals_a_replay
from titans_core import TitansMemory, Turn
from titans_core.memory.ingest import read_passages
from titans_core.storage.sqlite import database
from titans_core.storage.sqlite.schema import APPLICATION_ID, MIGRATIONS

OLD = {
    "alice": [
        Turn("The key is under the mat.", "user", datetime(2026, 3, 1, 7, 40, 0, 123457, UTC), "s", {"n": 1}, "key"),
        Turn("My PIN is xylophone-7731.", None, datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), None, {}, "pin"),
        Turn("Ada has a boat in Exeter. " * 40, "Zoë", datetime(1, 1, 1, tzinfo=UTC), "s", {"é": ["a", None]}, "boat"),
    ],
    "bob": [Turn("The boiler leaks.", "user", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "s", {}, "boiler")],
    "silent": [],
}
"""Turns of a file of version 2, by tenant. The last turn that was stored after them was forgotten."""


@pytest.fixture
def path(tmp_path, reader):
    path = tmp_path / "memory.db"
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        memory.memorize("The key is under the mat.")
    return path


def pragma(path, name):
    """Return the value of a pragma of a file."""
    connection = sqlite3.connect(path)
    [value] = connection.execute(f"PRAGMA {name}").fetchone()
    connection.close()
    return value


def test_a_file_says_whose_and_how_old_it_is(path):
    assert pragma(path, "application_id") == APPLICATION_ID
    assert pragma(path, "user_version") == len(MIGRATIONS)
    assert pragma(path, "journal_mode") == "wal"


def test_only_the_migrations_that_a_file_lacks_are_run(path, reader, monkeypatch):
    later = ("CREATE TABLE remarks (id TEXT) STRICT", "INSERT INTO remarks VALUES ('migrated')")
    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, later))
    for _ in range(2):  # the second time there is nothing to do
        with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
            assert [turn.text for turn in memory.turns()] == ["The key is under the mat."]
            assert memory._learned.log._connection.execute("SELECT * FROM remarks").fetchall() == [("migrated",)]
    assert pragma(path, "user_version") == len(MIGRATIONS) + 1


def test_a_migration_that_fails_changes_nothing(path, reader, monkeypatch):
    broken = ("CREATE TABLE remarks (id TEXT) STRICT", "this is no SQL")
    with monkeypatch.context() as patched:
        patched.setattr(database, "MIGRATIONS", (*MIGRATIONS, broken))
        with pytest.raises(Exception, match="syntax error"):
            TitansMemory.open(path, tenant="alice", reader=reader)
    assert pragma(path, "user_version") == len(MIGRATIONS)
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        assert len(memory.turns()) == 1
        assert memory._learned.log._rows("SELECT * FROM sqlite_schema WHERE name = 'remarks'") == []


@pytest.fixture
def old(tmp_path, reader):
    """A file as version 2 of the schema wrote it."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in [*MIGRATIONS[0], *MIGRATIONS[1]]:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 2")
        connection.execute("INSERT INTO readers VALUES (?, ?)", (reader.fingerprint, reader.dim))
        for number, (name, turns) in enumerate(OLD.items(), 1):
            connection.execute("INSERT INTO tenants VALUES (?, ?, ?)", (number, name, 4))
            connection.execute(f"CREATE VIRTUAL TABLE words_{number} USING fts5(text, content='')")
            for turn, passages in zip(turns, read_passages(reader, turns), strict=True):
                insert(connection, number, turn, passages)
        connection.execute("INSERT INTO rehearsals VALUES (3, 1, 3), (1, 1, 3)")
        connection.execute("UPDATE sqlite_sequence SET seq = 5 WHERE name = 'turns'")
    return path


def insert(connection, tenant, turn, passages):
    """Insert a turn and its passages into a file of version 2."""
    row = (tenant, turn.id, turn.text, turn.speaker, turn.session, turn.at.timestamp(), json.dumps(turn.metadata))
    columns = "tenant, id, text, speaker, session, at, metadata, digest"
    query = f"INSERT INTO turns ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - only constants
    cursor = connection.execute(query, (*row, turn.id.encode()))
    for number, passage in enumerate(passages, cursor.lastrowid << 20):
        vectors = (passage.column.tobytes(), passage.pooled.tobytes())
        values = (number, cursor.lastrowid, passage.start, passage.end, *vectors)
        connection.execute("INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)", values)
        connection.execute("INSERT INTO keys VALUES (?, ?)", (number, passage.keys))
        connection.execute(f"INSERT INTO words_{tenant} (rowid, text) VALUES (?, ?)", (number, turn.text))  # noqa: S608


def test_a_file_of_version_2_is_the_same_memory(old, reader, tmp_path):
    for name, turns in OLD.items():
        with (
            TitansMemory.open(old, tenant=name, reader=reader) as memory,
            TitansMemory.open(tmp_path / "new.db", tenant=name, reader=reader) as new,
        ):
            assert memory.turns() == turns
            assert memory._learned.log.head().epoch == 4
            assert memory._learned.log.rehearsals() == ((3, [1, 3]) if name == "alice" else (0, []))
            assert equals_a_replay(memory)
            new.memorize_many(turns)
            if name != "alice":  # only alice's weights have learned rehearsed turns
                assert memory.recall("What leaks?") == new.recall("What leaks?")
            if turns:
                assert memory.memorize(turns[0].text, speaker=turns[0].speaker).duplicate_of == turns[0].id


def test_a_file_of_version_2_gives_no_position_twice_and_keeps_no_words_but_the_turns(old, reader):
    with TitansMemory.open(old, tenant="silent", reader=reader) as memory:
        memory.memorize("Good morning.", id="morning")
        assert memory._learned.log.position_of("morning") == 6
        tables = memory._learned.log._rows(
            "SELECT name FROM sqlite_schema WHERE name LIKE 'words%' OR name LIKE 'old%'"
        )
        assert tables == []


def test_a_file_of_version_2_whose_turns_were_all_forgotten_gives_no_position_twice(old, reader):
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        for table in ("rehearsals", "keys", "passages", "turns"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - only constants
    with TitansMemory.open(old, tenant="alice", reader=reader) as memory:
        memory.memorize("Good morning.", id="morning")
        assert memory._learned.log.position_of("morning") == 6
