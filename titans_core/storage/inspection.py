"""Reads the turns of a damaged log, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from titans_core.errors import CorruptMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from titans_core.storage.log import TurnLog
    from titans_core.storage.records import TurnRecord
    from titans_core.types import Turn


class InspectedTurn(NamedTuple):
    """One turn, as far as it is intact.

    Attributes:
        position: Position of the turn in the log.
        turn: The turn; None if its text or another stored value of the turn is damaged.
        record: The record with its keys; None if the turn's reading is damaged.
    """

    position: int
    turn: Turn | None
    record: TurnRecord | None


def inspect_turns(log: TurnLog, positions: Iterable[int]) -> Iterator[InspectedTurn]:
    """Read turns one by one; a damaged turn does not end the iteration.

    Args:
        log: The log.
        positions: Positions of the turns, in order.

    Yields:
        Each turn, as far as it is intact.
    """
    for position in positions:
        yield InspectedTurn(position, _turn(log, position), _record(log, position))


def _turn(log: TurnLog, position: int) -> Turn | None:
    try:
        return log.turn_at(position)
    except (CorruptMemoryError, ValueError):  # the position has no row, or two rows
        return None


def _record(log: TurnLog, position: int) -> TurnRecord | None:
    try:
        record = next(log.records(after=position - 1, keys=True), None)
    except CorruptMemoryError:
        return None
    return record if record is not None and record.position == position else None
