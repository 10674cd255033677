"""An export holds every turn, and another memory takes it in."""

from datetime import UTC, datetime

import pytest

from titans_core import TitansMemory, Turn
from titans_core.errors import ForeignFileError, UnwritableError

TURNS = [
    Turn(
        "Café\nwith two lines \x00 and a NUL", speaker="Ada", session="s", id="a", at=datetime(2026, 1, 2, tzinfo=UTC)
    ),
    Turn(
        "漢字 \u2028 separator", metadata={"tags": ["x", {"deep": None}]}, id="b", at=datetime(2026, 1, 3, tzinfo=UTC)
    ),
]


def test_an_export_comes_back_whole(memory, reader, tmp_path):
    memory.memorize_many(TURNS)
    assert memory.export(tmp_path / "turns.jsonl") == 2
    with TitansMemory.open(":memory:", tenant="bob", reader=reader) as other:
        assert other.import_(tmp_path / "turns.jsonl") == 2
        assert other.turns() == memory.turns() == TURNS
        assert other.import_(tmp_path / "turns.jsonl") == 0  # twice is once
        assert len(other.turns()) == 2


def test_an_empty_memory_exports_an_empty_file(memory, tmp_path):
    assert memory.export(tmp_path / "turns.jsonl") == 0
    assert memory.import_(tmp_path / "turns.jsonl") == 0


@pytest.mark.parametrize(
    "content",
    [
        "not JSON",
        '{"some": "json"}',
        '{"format": "titans-turns", "version": 2}',
        '{"format": "titans-turns", "version": 1}\n{"id": "a"}',
        '{"format": "titans-turns", "version": 1}\n{"text": "a", "at": "May", "id": "a"}',
        '{"format": "titans-turns", "version": 1}\n[1]',
        '{"format": "titans-turns", "version": 1}\n{"text": "a", "at": "2026-01-01", "colour": "blue"}',
    ],
)
def test_another_file_is_refused_and_nothing_is_memorized(memory, tmp_path, content):
    path = tmp_path / "turns.jsonl"
    path.write_text(content)
    with pytest.raises(ForeignFileError, match="line "):
        memory.import_(path)
    assert memory.turns() == []


def test_bytes_that_are_no_text_are_refused(memory, tmp_path):
    path = tmp_path / "turns.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ForeignFileError):
        memory.import_(path)


def test_a_path_that_cannot_be_written_or_read(memory, tmp_path):
    with pytest.raises(UnwritableError):
        memory.export(tmp_path / "no" / "turns.jsonl")
    with pytest.raises(ForeignFileError):
        memory.import_(tmp_path / "missing.jsonl")
