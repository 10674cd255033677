"""Turns and texts for tests of a log, among them texts that are hard to store exactly."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from titans_core.storage import PassageRecord
from titans_core.types import Turn

if TYPE_CHECKING:
    from titans_core.storage import TurnLog, TurnRecord

DIM = 8
AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)

ODD_TEXTS = [
    "NUL \0 inside",
    "quotes ' \" ` and % _ ? %s $1 \\ \\0 ; --",
    "'; DROP TABLE turns; --",
    "right to left \u202e and back \u202c, joined \u200d, no break \ufeff",
    "e\u0301 and é, ﬁ and fi, ß and ss, İ and i",
    "emoji 👩‍👩‍👧, beyond the plane \U0001d518, no character \uffff and \U0010ffff",
    "line\r\nbreaks\u2028of\u0085all\x1ckinds\t",
    "control \x01\x08\x1b\x7f\x9f",
    "long " * 20_000,
]
METADATA: dict[str, Any] = {
    "text": "a ' \" \\ \u2028 é 👩‍👩‍👧",
    "key ' \" % ? $.a[0]": "odd",
    "": "empty",
    "int": 1,
    "big": 2**53 + 1,
    "float": 0.1,
    "whole": 2.0,
    "tiny": 5e-324,
    "true": True,
    "false": False,
    "none": None,
    "list": [1, "two", {"three": [None]}],
    "dict": {"a": {"b": 1}},
}


def passage(text: str, start: int = 0, end: int | None = None) -> PassageRecord:
    """Make a passage without a number, whose vectors and keys depend only on the text.

    Args:
        text: Text of the turn.
        start: Index of the passage's first character.
        end: Index of the character after its last one; None for the end of the text.
    """
    generator = random.Random(text)  # noqa: S311 - the same numbers for the same text
    vectors = np.array([[generator.gauss(0, 1) for _ in range(DIM)] for _ in range(2)], np.float16)
    return PassageRecord(0, start, len(text) if end is None else end, vectors[0], vectors[1], generator.randbytes(50))


def append(log: TurnLog, *turns: Turn) -> list[TurnRecord]:
    """Append turns with one passage each, in one transaction, and return their records."""
    with log.transaction():
        return [log.append(turn, [passage(turn.text)]) for turn in turns]


def turn(id: str, text: str = "", **fields: Any) -> Turn:  # noqa: A002 - the field's name
    """Make a turn in the form that `validate_turn` returns."""
    return replace(Turn(text or f"The text of {id}.", at=AT, id=id), **fields)


def comparable(record: TurnRecord) -> tuple[Any, ...]:
    """Return all fields of a record in a form that `==` can compare, which arrays are not."""
    parts = [
        (each.number, each.start, each.end, each.column.tobytes(), each.pooled.tobytes(), each.keys)
        for each in record.passages
    ]
    return record.position, record.speaker, record.session, record.at, record.text, record.checksum, parts
