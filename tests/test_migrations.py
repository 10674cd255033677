"""A file of an older version is brought up to date when it is opened."""

import sqlite3

import pytest

from titans_core import TitansMemory
from titans_core.episodes import database
from titans_core.episodes.schema import APPLICATION_ID, MIGRATIONS


@pytest.fixture
def path(tmp_path, reader):
    path = tmp_path / "memory.db"
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        memory.memorize("The key is under the mat.")
    return path


def pragma(path, name):
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
            assert memory._log._connection.execute("SELECT * FROM remarks").fetchall() == [("migrated",)]
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
        assert memory._log._connection.execute("SELECT * FROM sqlite_schema WHERE name = 'remarks'").fetchall() == []
