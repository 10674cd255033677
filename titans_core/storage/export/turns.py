"""Exported turns: a file of JSON lines. The first line names the format, and each other line holds one turn.

The first line of version 2 holds the number of turns, so that a truncated file is detected. Version 1 had neither that
number nor a turn's `source`.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from titans_core._utils.atomic import atomic_write
from titans_core.errors import ForeignFileError
from titans_core.storage.export.readings import ReadingsWriter
from titans_core.types import Turn
from titans_core.validation import validate_turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Protocol

    from titans_core.storage.records import PassageRecord

    class Digest(Protocol):
        """A hash that is being computed."""

        def update(self, data: bytes, /) -> None:
            """Add bytes to the hash."""


_NAME = "titans-turns"
_VERSION = 2
_FIELDS = {
    1: {"id", "at", "session", "speaker", "text", "metadata"},
    2: {"id", "at", "session", "speaker", "source", "text", "metadata"},
}

MAX_LINE_BYTES = 32_000_000
"""Most bytes of a line; the longest valid turn takes fewer, even with every character escaped."""


def readings_path(path: str | Path) -> Path:
    """Return the path of the readings of exported turns: `turns.jsonl.readings.safetensors` for `turns.jsonl`."""
    path = Path(path)
    return path.with_name(f"{path.name}.readings.safetensors")


def write_export(
    path: str | Path,
    turns_and_passages: Iterable[tuple[Turn, Sequence[PassageRecord]]],
    *,
    turns: int,
    reader: str,
    dim: int,
) -> None:
    """Write turns to one file and their readings to another file. Old files are replaced when both are on disk.

    Args:
        path: Path of the file of turns. The path of the readings is `readings_path(path)`.
        turns_and_passages: Turns, each with its passages.
        turns: Number of turns.
        reader: Fingerprint of the reader.
        dim: Length of the reader's keys.

    Raises:
        UnwritableError: A file cannot be written.
    """
    with atomic_write(path, readings_path(path)) as [lines, readings], ReadingsWriter(dim, lines.parent) as writer:
        digest = hashlib.sha256()
        with lines.open("wb") as file:

            def write(entry: dict[str, object]) -> None:
                line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
                digest.update(line)
                file.write(line)

            write({"format": _NAME, "version": _VERSION, "turns": turns})
            for turn, passages in turns_and_passages:
                write(_to_dict(turn))
                writer.add(turn, passages)
        writer.save(readings, reader=reader, turns_sha256=digest.hexdigest())


def inspect_export(path: str | Path) -> tuple[int, str]:
    """Check every line of a file that `write_export` has written.

    Args:
        path: Path of the file of turns.

    Returns:
        The number of turns, and the SHA-256 of the file in hexadecimal.

    Raises:
        ForeignFileError: The file is no export, or is truncated; the message names the line.
    """
    digest = hashlib.sha256()
    turns = sum(1 for _ in read_turns(path, digest))
    return turns, digest.hexdigest()


def read_turns(path: str | Path, digest: Digest | None = None) -> Iterator[Turn]:
    """Read the turns of a file that `write_export` has written.

    Args:
        path: Path of the file of turns.
        digest: Hash to which all bytes of the file are added; None for no hash.

    Yields:
        The turns, in order.

    Raises:
        ForeignFileError: The file is no export, or is truncated; the message names the line.
    """
    number, ids = 1, set[str]()
    try:
        with Path(path).open("rb") as file:
            lines = _lines(file, digest)
            version, total = _parse_first_line(json.loads(next(lines, b"").decode()))
            for number, line in enumerate(lines, 2):  # noqa: B007 - the message below names the line
                turn = _to_turn(json.loads(line.decode()), version)
                _add_id(ids, turn.id or "")
                yield turn
            _check_total(total, len(ids))
    # Invalid turns raise a ValueError, and deeply nested JSON raises a RecursionError.
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ForeignFileError(f"{str(path)!r} is no export of turns: line {number}: {repr(error)[:300]}.") from error


def _lines(file: IO[bytes], digest: Digest | None) -> Iterator[bytes]:
    while line := file.readline(MAX_LINE_BYTES):
        if digest is not None:
            digest.update(line)
        yield line


def _parse_first_line(entry: Any) -> tuple[int, int | None]:
    """Return the version in the first line, and the number of turns; None if the version has no such number."""
    if entry == {"format": _NAME, "version": 1}:
        return 1, None
    total = entry.get("turns") if isinstance(entry, dict) else None
    if not isinstance(total, int) or entry != {"format": _NAME, "version": _VERSION, "turns": total}:
        raise ValueError(f'the first line should be {{"format": "{_NAME}", "version": {_VERSION}, "turns": …}}')
    return _VERSION, total


def _add_id(ids: set[str], new: str) -> None:
    if new in ids:
        raise ValueError(f"an earlier turn has the id {new!r} too")
    ids.add(new)


def _check_total(exported: int | None, found: int) -> None:
    if exported not in (None, found):
        raise ValueError(f"the first line says {exported} turns, but the file has {found}")


def _to_turn(entry: Any, version: int) -> Turn:
    if not isinstance(entry, dict) or entry.keys() != _FIELDS[version] or not isinstance(entry["id"], str):
        raise ValueError(
            f"a turn has exactly these fields, and its id is a text: {', '.join(sorted(_FIELDS[version]))}"
        )
    return validate_turn(Turn(**{**entry, "at": datetime.fromisoformat(entry["at"])}))


def _to_dict(turn: Turn) -> dict[str, object]:
    return {
        "id": turn.id,
        "at": turn.at.isoformat() if turn.at else None,
        "session": turn.session,
        "speaker": turn.speaker,
        "source": turn.source,
        "text": turn.text,
        "metadata": dict(turn.metadata),
    }
