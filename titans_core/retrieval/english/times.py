"""Times in English: which periods a query names, whether it asks for a time, and whether a text states one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

AFTER = 7 * 86400.0
"""Seconds after a period during which people still talk about it: "yesterday", "last weekend"."""

_MONTH_NAMES = "january february march april may june july august september october november december"
_DAY_NAMES = "monday tuesday wednesday thursday friday saturday sunday"
_NUMBER_NAMES = "one two three four five six seven eight nine ten"
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES.split(), 1)}
_MONTHS |= {name[:3]: number for name, number in _MONTHS.items()} | {"sept": 9}
_DAYS = {name: number for number, name in enumerate(_DAY_NAMES.split())}
_NUMBERS = {name: number for number, name in enumerate(_NUMBER_NAMES.split(), 1)} | {"a": 1, "an": 1}

_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_ORDINAL = r"(\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"((?:19|20)\d\d)"
# ASCII: without it a dotless i would pass for a letter of "April", and other scripts' digits for ours.
_FLAGS = re.IGNORECASE | re.ASCII
_ISO = re.compile(rf"\b{_YEAR}-(\d\d)-(\d\d)\b", _FLAGS)
# "8 May 2023", "the 8th of May", "May 8th, 2023", "May 2023", "in May", "last May". A bare "may" or "march" is a verb.
_DATE = re.compile(
    rf"\b(?:(?P<lead>in|of|last|this|since|until|during|by)\s+)?(?:{_ORDINAL}\s+(?:of\s+)?)?(?P<month>{_MONTH})\b\.?"
    rf"(?:\s+{_ORDINAL}\b(?!\d))?(?:,?\s+(?:of\s+)?{_YEAR})?",
    _FLAGS,
)
_IN_YEAR = re.compile(rf"\b(?:in|of|during|since|for)\s+{_YEAR}\b", _FLAGS)
_AGO = re.compile(rf"\b(\d{{1,6}}|{'|'.join(_NUMBERS)})\s+(day|week|month|year)s?\s+ago\b", _FLAGS)
_NAMED = re.compile(r"\b(today|yesterday|last night|(?:last|this) (?:week|month|year))\b", _FLAGS)
_WEEKDAY = re.compile(rf"\b(?:on|last|this)\s+({'|'.join(_DAYS)})\b", _FLAGS)


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` up to `end`, in seconds since 1970, UTC."""

    start: float
    end: float


def periods_in(query: str, *, now: datetime, first: int) -> list[Period]:
    """The periods that a query names: dates, months, years, and times counted from now.

    A month without a year stands for that month in every year of the memory.

    Args:
        query: The question.
        now: When it is asked, with a zone.
        first: The earliest year in the memory.
    """
    now = now.astimezone(UTC)
    found = [*_dates(query, now, first), *_counted(query, now)]
    if not found:
        found = [_year(int(match[1])) for match in _IN_YEAR.finditer(query)]
    return list(dict.fromkeys(found))


def date_agreement(at: NDArray[np.float64], periods: list[Period]) -> NDArray[np.float64]:
    """The agreement of times with periods: 1 inside a period, falling to 0 in the week after it, otherwise 0.

    Args:
        at: (n,), times in seconds since 1970, UTC.
        periods: The periods, see `periods_in`.

    Returns:
        (n,), in [0, 1].
    """
    best = np.zeros(len(at))
    for period in periods:
        late = np.maximum(at - period.end, 0)
        best = np.maximum(best, np.where(at < period.start, 0, np.maximum(1 - late / AFTER, 0)))
    return best


def _dates(query: str, now: datetime, first: int) -> Iterator[Period]:
    for match in _ISO.finditer(query):
        yield from _day(*map(int, match.groups()))
    for match in _DATE.finditer(query):
        day_before, day_after, year = match[2], match[4], match[5]
        day, month, lead = day_before or day_after, _MONTHS[match["month"].lower()], (match["lead"] or "").lower()
        if match["month"].islower() and not (day or year or lead):
            continue
        years = [int(year)] if year else list(range(first, now.year + 1))
        if lead in ("last", "this") and not year:
            years = [now.year - (month > now.month or (lead == "last" and month == now.month))]
        for each in years:
            yield from _day(each, month, int(day)) if day else [_month(each, month)]


def _counted(query: str, now: datetime) -> Iterator[Period]:
    """Times counted from now."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    for match in _AGO.finditer(query):
        count = _NUMBERS.get(match[1].lower()) or int(match[1])
        unit = match[2].lower()
        days = {"day": 1, "week": 7, "month": 30, "year": 365}[unit]
        slack = timedelta(days=days // 2)  # "two years ago" is half a year off
        if (count + 1) * days < (now - datetime(1, 1, 2, tzinfo=UTC)).days:
            centre = today - timedelta(days=count * days)
            yield _period(centre - slack, centre + slack + timedelta(days=1))
    for match in _NAMED.finditer(query):
        which, _, unit = match[1].lower().partition(" ")
        if which in ("today", "yesterday") or unit == "night":
            start = today - timedelta(days=which != "today")
            yield _period(start, start + timedelta(days=1))
        elif unit == "week":
            monday = today - timedelta(days=today.weekday() + 7 * (which == "last"))
            yield _period(monday, monday + timedelta(days=7))
        elif unit == "month":
            months = now.year * 12 + now.month - 1 - (which == "last")
            yield _month(months // 12, months % 12 + 1)
        else:
            yield _year(now.year - (which == "last"))
    for match in _WEEKDAY.finditer(query):
        back = (today.weekday() - _DAYS[match[1].lower()]) % 7 or 7
        yield _period(today - timedelta(days=back), today - timedelta(days=back - 1))


def _day(year: int, month: int, day: int) -> list[Period]:
    try:
        start = datetime(year, month, day, tzinfo=UTC)
    except ValueError:  # the 31st of February
        return []
    return [_period(start, start + timedelta(days=1))]


def _month(year: int, month: int) -> Period:
    return _period(datetime(year, month, 1, tzinfo=UTC), datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC))


def _year(year: int) -> Period:
    return _period(datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC))


def _period(start: datetime, end: datetime) -> Period:
    return Period(start.timestamp(), end.timestamp())


_WANTS_TIME = re.compile(r"\b(when|how long|(?:what|which) (?:date|year|month|day|time))\b", re.IGNORECASE)

_TELLS_TIME = re.compile(
    r"\b(yesterday|today|tonight|tomorrow|last|next|ago|week(?:end)?s?|months?|years?|days?|hours?|minutes?|morning"
    r"|monday|tuesday|wednesday|thursday|friday|saturday|sunday|january|february|march|april|may|june|july|august"
    r"|september|october|november|december|recently|earlier|since|\d{4})\b",
    re.IGNORECASE,
)


def wants_time(query: str) -> bool:
    """Whether a query asks for a time: "When did…", "How long…", "Which year…"."""
    return _WANTS_TIME.search(query) is not None


def tells_time(text: str) -> bool:
    """Whether a text states a time: "yesterday", "two weeks ago", "in 2022"."""
    return _TELLS_TIME.search(text) is not None
