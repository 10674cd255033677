"""Exported turns: a file of JSON lines, with one turn on each line after a line that names the format.

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
"""The most bytes of a line: more than the longest turn takes with every character escaped."""


def readings_path(path: str | Path) -> Path:
    """The path of the readings of exported turns: `turns.jsonl.readings.safetensors` for `turns.jsonl`."""
    path = Path(path)
    return path.with_name(f"{path.name}.readings.safetensors")


def write_export(
    path: str | Path,
    said: Iterable[tuple[Turn, Sequence[PassageRecord]]],
    *,
    turns: int,
    reader: str,
    dim: int,
) -> None:
    """Write turns to one file and their readings to another. Old files are replaced once both are on disk.

    Args:
        path: Path of the file of turns; the readings go to `readings_path(path)`.
        said: The turns with their passages.
        turns: The number of turns.
        reader: Fingerprint of the reader.
        dim: The length of the reader's keys.

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
            for turn, passages in said:
                write(_to_dict(turn))
                writer.add(turn, passages)
        writer.save(readings, reader=reader, turns_sha256=digest.hexdigest())


def inspect_export(path: str | Path) -> tuple[int, str]:
    """Check all of a file that `write_export` has written.

    Args:
        path: Path of the file of turns.

    Returns:
        The number of turns, and the SHA-256 of the file.

    Raises:
        ForeignFileError: As in `read_turns`.
    """
    digest = hashlib.sha256()
    turns = sum(1 for _ in read_turns(path, digest))
    return turns, digest.hexdigest()


def read_turns(path: str | Path, digest: Digest | None = None) -> Iterator[Turn]:
    """Read the turns of a file that `write_export` has written.

    Args:
        path: Path of the file of turns.
        digest: A hash that all bytes of the file are added to; None for no hash.

    Yields:
        The turns, in order.

    Raises:
        ForeignFileError: The file is no export, or is truncated; the message names the line.
    """
    number, ids = 1, set[str]()
    try:
        with Path(path).open("rb") as file:
            lines = _lines(file, digest)
            version, total = _format(json.loads(next(lines, b"").decode()))
            for number, line in enumerate(lines, 2):  # noqa: B007 - for the message below
                turn = _to_turn(json.loads(line.decode()), version)
                _add(ids, turn.id or "")
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


def _format(entry: Any) -> tuple[int, int | None]:
    """The version, and the number of turns if the line holds it."""
    if entry == {"format": _NAME, "version": 1}:
        return 1, None
    total = entry.get("turns") if isinstance(entry, dict) else None
    if not isinstance(total, int) or entry != {"format": _NAME, "version": _VERSION, "turns": total}:
        raise ValueError(f'the first line should be {{"format": "{_NAME}", "version": {_VERSION}, "turns": …}}')
    return _VERSION, total


def _add(ids: set[str], new: str) -> None:
    if new in ids:
        raise ValueError(f"the id {new!r} was there before")
    ids.add(new)


def _check_total(exported: int | None, found: int) -> None:
    if exported not in (None, found):
        raise ValueError(f"{exported} turns were exported, and here are {found}")


def _to_turn(entry: Any, version: int) -> Turn:
    if not isinstance(entry, dict) or entry.keys() != _FIELDS[version] or not isinstance(entry["id"], str):
        raise ValueError(f"a turn has exactly these fields, an id among them: {', '.join(sorted(_FIELDS[version]))}")
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
