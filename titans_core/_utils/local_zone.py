"""The time zone of this machine, with its clock changes; Python's own `datetime.astimezone()` gives a fixed offset."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, tzinfo


class LocalZone(tzinfo):
    """The zone of this machine, as the operating system tells it at the time of each question."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        """How far the clock of this machine is ahead of UTC at a moment of that clock; None for the standard offset."""
        offset = None if moment is None else _known_offset(moment.replace(tzinfo=None))
        return timedelta(seconds=-time.timezone) if offset is None else offset

    def dst(self, moment: datetime | None) -> timedelta | None:  # noqa: ARG002 - Python's interface
        """None: how much of the offset is summer time is not known."""
        return None

    def tzname(self, moment: datetime | None) -> str:  # noqa: ARG002 - Python's interface
        """The name of the zone."""
        return "local"

    def __repr__(self) -> str:
        return "local"

    def fromutc(self, moment: datetime) -> datetime:
        """The local time of a moment in UTC that is marked with this zone, as Python passes it."""
        offset = _known_offset(moment.replace(tzinfo=UTC))
        if offset is None:
            return moment + self.utcoffset(None)
        there = (moment + offset).replace(fold=0)
        # After the clock was turned back, it shows an hour a second time.
        return there if self.utcoffset(there) == offset else there.replace(fold=1)


LOCAL = LocalZone()


def with_zone(moment: datetime) -> datetime:
    """The moment with a zone; one without a zone is the machine's local time, as `datetime.now()` gives it."""
    return moment if moment.tzinfo else moment.replace(tzinfo=LOCAL)


def _known_offset(moment: datetime) -> timedelta | None:
    """The machine's offset at a moment without a zone or in UTC; None where the system knows none."""
    try:
        return moment.astimezone().utcoffset()
    except (OverflowError, ValueError, OSError):  # the ends of the calendar; on Windows, also the years before 1970
        return None
