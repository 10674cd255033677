"""Turns to a file and back: JSON lines, one turn each, after a line that names the format."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from titans_core.errors import ForeignFileError, UnwritableError
from titans_core.types import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORMAT = {"format": "titans-turns", "version": 1}


def write_turns(turns: Sequence[Turn], path: str | Path) -> None:
    """Write turns to a file.

    Raises:
        UnwritableError: the file cannot be written.
    """
    lines = [_FORMAT, *(_to_dict(turn) for turn in turns)]
    try:
        with Path(path).open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    except OSError as error:
        raise UnwritableError(f"{str(path)!r} cannot be written: {error}.") from error


def read_turns(path: str | Path) -> list[Turn]:
    """Read a file that `write_turns` has written.

    Raises:
        ForeignFileError: it is not such a file; the message names the line.
    """
    turns = []
    number = 1
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                entry = json.loads(line)
                if number == 1:
                    _check_format(entry)
                else:
                    turns.append(Turn(**{**entry, "at": datetime.fromisoformat(entry["at"])}))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ForeignFileError(f"{str(path)!r} is no export of turns: line {number}: {error!r}.") from error
    return turns


def _check_format(entry: object) -> None:
    if entry != _FORMAT:
        raise ValueError(f"the first line should be {json.dumps(_FORMAT)}")


def _to_dict(turn: Turn) -> dict[str, object]:
    return {
        "id": turn.id,
        "at": turn.at.isoformat() if turn.at else None,
        "session": turn.session,
        "speaker": turn.speaker,
        "text": turn.text,
        "metadata": dict(turn.metadata),
    }
