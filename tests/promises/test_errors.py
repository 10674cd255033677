"""Each kind of failure has its own error class, a message that says what to do, and loses nothing."""

import inspect
import os
import sqlite3

import pytest

from titans_core import TitansError, TitansMemory, Turn, errors
from titans_core.errors import (
    ClosedMemoryError,
    CorruptMemoryError,
    DuplicateTurnError,
    EmptyTurnError,
    ForeignFileError,
    InvalidQueryError,
    InvalidTenantError,
    InvalidTurnError,
    ReaderMismatchError,
    StorageBusyError,
    StorageFullError,
    UnknownTurnError,
    UnsupportedUrlError,
    UnwritableError,
)


@pytest.fixture
def path(tmp_path, reader):
    path = tmp_path / "memory.db"
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        memory.memorize("The key is under the mat.", speaker="user", id="mat")
    return path


def stored_texts(path, reader):
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        return [turn.text for turn in memory.turns()]


def test_every_error_is_in_one_tree_and_in_its_picture():
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert all(issubclass(value, TitansError | Warning) for value in classes)
    assert all(value.__name__ in errors.__doc__ for value in classes)
    assert all(value.__doc__ for value in classes)


@pytest.mark.parametrize("text", ["", "   ", "\n\t\u2003"])
def test_an_empty_turn(memory, text):
    with pytest.raises(EmptyTurnError, match="needs text"):
        memory.memorize(text)
    assert memory.turns() == []


@pytest.mark.parametrize(
    "turn",
    [
        Turn(None),
        Turn(b"bytes"),
        Turn(7),
        Turn("a lone surrogate \ud800"),
        Turn("hello", speaker=""),
        Turn("hello", speaker=3),
        Turn("hello", session="\udfff"),
        Turn("hello", id=""),
        Turn("hello", at="yesterday"),
        Turn("hello", metadata={"when": object()}),
        Turn("hello", metadata={"nan": float("nan")}),
        Turn("hello", metadata={"surrogate": "\ud800"}),
        Turn("hello", metadata=["no", "dict"]),
    ],
)
def test_a_turn_that_cannot_be_stored_exactly(memory, turn):
    with pytest.raises(InvalidTurnError):
        memory.memorize(turn)
    assert memory.turns() == []


def test_one_bad_turn_among_many_stores_none(memory):
    with pytest.raises(EmptyTurnError):
        memory.memorize_many(["good", "also good", " "])
    assert memory.turns() == []


def test_an_id_that_is_taken(memory):
    memory.memorize("The key is under the mat.", id="key")
    with pytest.raises(DuplicateTurnError, match=r"update\(\)"):
        memory.memorize("The key is in the shed.", id="key")
    with pytest.raises(DuplicateTurnError):
        memory.memorize_many(["another", Turn("third", id="key")])
    assert [turn.text for turn in memory.turns()] == ["The key is under the mat."]


def test_an_unknown_id(memory):
    for method in (memory.get, memory.forget, lambda name: memory.update(name, "text")):
        with pytest.raises(UnknownTurnError, match=r"'nobody'.*lists them"):
            method("nobody")


@pytest.mark.parametrize(
    "call",
    [
        lambda memory: memory.recall(""),
        lambda memory: memory.recall("  "),
        lambda memory: memory.recall(None),
        lambda memory: memory.recall("a lone surrogate \ud800"),
        lambda memory: memory.recall("what?", k=0),
        lambda memory: memory.recall("what?", k=2.5),
        lambda memory: memory.recall("what?", since="May"),
        lambda memory: memory.recall("what?", speaker=1),
        lambda memory: memory.recall("what?", where={"tags": ["a"]}),
        lambda memory: memory.recall("what?", strategy="guess"),
        lambda memory: memory.forget(),
        lambda memory: memory.forget("id", session="also"),
    ],
)
def test_a_question_that_cannot_be_answered(memory, call):
    memory.memorize("The key is under the mat.")
    with pytest.raises(InvalidQueryError):
        call(memory)
    assert len(memory.turns()) == 1


@pytest.mark.parametrize("tenant", ["", "  ", None, 5, "\ud800"])
def test_a_missing_tenant_is_never_everyone(reader, tenant):
    with pytest.raises(InvalidTenantError):
        TitansMemory.open(":memory:", tenant=tenant, reader=reader)


def test_a_closed_memory(memory):
    memory.memorize("The key is under the mat.")
    memory.close()
    memory.close()  # a second call is no error
    for call in (memory.turns, memory.stats, lambda: memory.recall("key?"), lambda: memory.memorize("more")):
        with pytest.raises(ClosedMemoryError, match="open it again"):
            call()


def test_a_file_that_is_no_database_is_left_alone(tmp_path, reader):
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes " * 100)
    with pytest.raises(ForeignFileError, match="path of its own"):
        TitansMemory.open(path, tenant="alice", reader=reader)
    assert path.read_text() == "these are my notes " * 100


def test_another_programs_database_is_left_alone(tmp_path, reader):
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE orders (id)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ForeignFileError, match="another program"):
        TitansMemory.open(path, tenant="alice", reader=reader)
    assert path.read_bytes() == before


def test_a_newer_files_schema_asks_for_an_upgrade(path, reader):
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(ForeignFileError, match="upgrade titans-core"):
        TitansMemory.open(path, tenant="alice", reader=reader)


def test_a_damaged_file(path, reader):
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(CorruptMemoryError, match="backup"):
        TitansMemory.open(path, tenant="alice", reader=reader).turns()


def test_another_reader_is_refused_with_the_way_out(path, reader):
    class Other:
        dim, fingerprint, read = reader.dim, "float32:0000", reader.read

    with pytest.raises(ReaderMismatchError, match=r"export\(\).*import_\(\)"):
        TitansMemory.open(path, tenant="alice", reader=Other())
    assert stored_texts(path, reader) == ["The key is under the mat."]


def test_a_folder_that_does_not_exist(tmp_path, reader):
    with pytest.raises(UnwritableError, match="create it first"):
        TitansMemory.open(tmp_path / "no" / "memory.db", tenant="alice", reader=reader)


def test_a_path_that_is_a_folder(tmp_path, reader):
    with pytest.raises(UnwritableError):
        TitansMemory.open(tmp_path, tenant="alice", reader=reader)


def test_a_url_of_another_storage(reader):
    with pytest.raises(UnsupportedUrlError, match=":memory:"):
        TitansMemory.open("mysql://localhost/memories", tenant="alice", reader=reader)
    assert not os.path.exists("mysql:")  # noqa: PTH110 - the string, as SQLite would see it


@pytest.mark.parametrize("path", ["memory\0.db", "memory\ud800.db"])
def test_a_path_that_no_file_can_have(tmp_path, reader, path):
    with pytest.raises(UnsupportedUrlError, match="no path"):
        TitansMemory.open(tmp_path / path, tenant="alice", reader=reader)


def test_a_full_disk_loses_nothing(path, reader):
    memory = TitansMemory.open(path, tenant="alice", reader=reader)
    [pages] = memory._learned.log._connection.execute("PRAGMA page_count").fetchone()
    memory._learned.log._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFullError, match="Free some space"):
        memory.memorize_many(f"Turn number {number} says something of its own." for number in range(40))
    assert [turn.text for turn in memory.turns()] == ["The key is under the mat."]
    memory._learned.log._connection.execute("PRAGMA max_page_count = 1000000")
    memory.memorize("There is space again.")
    memory.close()
    assert stored_texts(path, reader) == ["The key is under the mat.", "There is space again."]


def test_a_file_that_another_process_holds(path, reader, monkeypatch):
    monkeypatch.setattr("titans_core.storage.sqlite.database.BUSY_SECONDS", 0.1)
    memory = TitansMemory.open(path, tenant="alice", reader=reader)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageBusyError, match="repeat the call"):
        memory.memorize("A second turn.")
    other.execute("ROLLBACK")
    other.close()
    memory.memorize("A second turn.")
    memory.close()
    assert stored_texts(path, reader) == ["The key is under the mat.", "A second turn."]
