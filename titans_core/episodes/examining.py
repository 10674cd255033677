"""What is whole in a damaged log, turn by turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from titans_core.episodes.filters import Filters
from titans_core.errors import CorruptMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from titans_core.episodes.log import EpisodeLog
    from titans_core.episodes.records import TurnRecord
    from titans_core.types import Turn


class Examined(NamedTuple):
    """One turn, as far as it is whole.

    Attributes:
        position: its place in the log.
        turn: None if what was said, or anything beside it, is damaged.
        record: with its keys; None if what was read of the turn is damaged.
    """

    position: int
    turn: Turn | None
    record: TurnRecord | None


def examined(log: EpisodeLog) -> Iterator[Examined]:
    """All turns of a log, in order; nothing that is damaged ends it."""
    for position in log.positions(Filters()):
        yield Examined(position, _turn(log, position), _record(log, position))


def _turn(log: EpisodeLog, position: int) -> Turn | None:
    try:
        return log.turn_at(position)
    except (CorruptMemoryError, ValueError):  # no such row, or two of them
        return None


def _record(log: EpisodeLog, position: int) -> TurnRecord | None:
    try:
        record = next(log.records(after=position - 1, keys=True), None)
    except CorruptMemoryError:
        return None
    return record if record is not None and record.position == position else None
