"""What is intact in a damaged log, turn by turn."""

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
        position: Its place in the log.
        turn: The turn; None if the text or a value beside it is damaged.
        record: The record with its keys; None if a reading of the turn is damaged.
    """

    position: int
    turn: Turn | None
    record: TurnRecord | None


def inspect_turns(log: TurnLog, positions: Iterable[int]) -> Iterator[InspectedTurn]:
    """Read turns one by one; a damaged turn does not end the iteration.

    Args:
        log: The log.
        positions: The positions of the turns, in order.
    """
    for position in positions:
        yield InspectedTurn(position, _turn(log, position), _record(log, position))


def _turn(log: TurnLog, position: int) -> Turn | None:
    try:
        return log.turn_at(position)
    except (CorruptMemoryError, ValueError):  # no such row, or two of them
        return None


def _record(log: TurnLog, position: int) -> TurnRecord | None:
    try:
        record = next(log.records(after=position - 1, keys=True), None)
    except CorruptMemoryError:
        return None
    return record if record is not None and record.position == position else None
