"""Times in English: which periods a query names, whether it asks for a time, and whether a text states one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from math import inf
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from datetime import tzinfo

    from numpy.typing import NDArray

AFTER = 7 * 86400.0
"""Seconds after a period during which people still talk about it: "yesterday", "last weekend"."""

_Span: TypeAlias = tuple[datetime, datetime]  # from the first up to the second on the user's clock, without a zone

_MONTH_NAMES = "january february march april may june july august september october november december"
_DAY_NAMES = "monday tuesday wednesday thursday friday saturday sunday"
_NUMBER_NAMES = "one two three four five six seven eight nine ten"
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES.split(), 1)}
_MONTHS |= {name[:3]: number for name, number in _MONTHS.items()} | {"sept": 9}
_DAYS = {name: number for number, name in enumerate(_DAY_NAMES.split())}
_NUMBERS = {name: number for number, name in enumerate(_NUMBER_NAMES.split(), 1)}
_NUMBERS |= {"a": 1, "an": 1, "couple": 2, "few": 3}
_UNITS = {"day": 1, "week": 7, "month": 30, "year": 365}  # days
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}  # the first month, in the north

# These are names of people or verbs as well: a capital letter alone does not make them months.
_PEOPLE = {"jan", "march", "april", "may", "june", "jun"}

# Before a time, these make a period without an end, or without a beginning.
_OPEN = {"since", "after", "before", "until", "till"}
# What stands before the first and before the last time of a range.
_RANGES = {"between": {"and"}, "from": {"to", "until", "till", "through"}}
# These belong to no single time.
_JOINS = {"and", "or", "between", "from", "to", "through"}
# Before these kinds of times one of these words must stand; without it "May" is a name and "fall" a verb.
_NEEDS = {
    "month": {"in", "of", "during", "by"},
    "season": {"in", "during", "over"},
    "christmas": {"at", "on", "over", "during"},
    "weekday": {"on"},
    "day": {"on"},
    "year": {"in", "of", "during", "for"},
}
# Days after which these kinds of times come again. A day of a month comes once in 28 days, or not at all.
_RETURNS = {"month": 366, "season": 366, "christmas": 366, "weekday": 7, "day": 28}
_KINDS = ("iso", "ago", "rolling", "named", *_NEEDS)

_LEADS = "in|on|at|of|by|for|over|during|within|since|after|before|until|till|from|between|to|through|and|or"
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_COUNT = rf"\d{{1,6}}|(?:an?\s+)?(?:few|couple(?:\s+of)?)|{_NUMBER_NAMES.replace(' ', '|')}|an?"
_TH = r"(?:st|nd|rd|th)"
_PART_OF_DAY = r"(?:\s+(?:morning|afternoon|evening|night))?"
_MOMENT = re.compile(
    rf"""\b(?:(?P<lead>{_LEADS})\s+)?(?:
    (?P<iso>(?:19|20)\d\d-\d\d-\d\d)\b
    | (?P<ago>(?P<ago_count>{_COUNT})\s+(?P<ago_unit>day|week|month|year)s?\s+ago)\b
    | (?P<rolling>(?:the\s+)?(?:last|past)\s+(?P<rolling_count>{_COUNT})\s+(?P<rolling_unit>day|week|month|year)s?
        | (?:the\s+last|(?:the\s+)?past)\s+(?P<unit>week|month|year))\b(?!\s+of\b)
    | (?P<named>today|tonight|this\s+(?:morning|afternoon|evening)|(?:the\s+)?day\s+before\s+yesterday
        | yesterday{_PART_OF_DAY}|last\s+night|(?:last|this)\s+(?:week|weekend|month|year))\b(?!\s+of\b)
    | (?:(?P<part>(?:the\s+)?(?:start|beginning|middle|end)\s+of)\s+)?
        (?:(?P<which>last|this|early|mid|late)[\s-]+|the\s+)?(?:
        (?P<weekday>{"|".join(_DAYS)})\b(?!\s+of\b){_PART_OF_DAY}\b
        | (?:(?:(?P<before>\d{{1,2}}){_TH}?\s+(?:of\s+)?)?(?P<month>{_MONTH})\b\.?
                (?:\s+(?P<behind>\d{{1,2}}){_TH}?\b(?!\d))?
            | (?P<season>{"|".join(_SEASONS)})\b
            | (?P<christmas>christmas)(?:\s+(?:day|eve))?\b)
          (?:,?\s+(?:of\s+)?(?P<of_year>(?:19|20)\d\d)\b)?)
    # the 5th is a day if the sentence ends or goes on after it; "the 5th floor" is none
    | the\s+(?P<day>\d{{1,2}}){_TH}\b(?=\s*(?:[^\w\s]|$)|\s+(?:of\s+this\s+month
        | i|we|you|he|she|they|it|did|was|were|and|or|to|until|till|through|with|at|in|about)\b)
    | (?P<year>(?:19|20)\d\d)\b
    )""",
    # ASCII: without it a dotless i would pass for a letter of "April", and other scripts' digits for ours.
    re.IGNORECASE | re.ASCII | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` up to `end`, in seconds since 1970, UTC; ∓infinity where the period is open."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class _Expression:
    """A time in a query: a moment, or the first and the last of a range.

    Attributes:
        start: Where it begins in the query.
        end: Where it ends.
        lead: The word before it that says how it is meant ("since"), or "".
        moment: The match.
        last: The match of the last of a range; None for a moment.
    """

    start: int
    end: int
    lead: str
    moment: re.Match[str]
    last: re.Match[str] | None = None


def periods_in(query: str, *, now: datetime, first: int) -> list[Period]:
    """The periods that a query names: dates, months, years, times counted from now, ranges, and open periods.

    A month without a year stands for that month in every year of the memory; after "since", "after", "before" and
    "until" for the latest that has begun. Seasons are those of the northern half of the Earth.

    Args:
        query: The question.
        now: When it is asked, in the user's zone: days begin when they begin there.
        first: The earliest year in the memory, in that zone.
    """
    today = now.replace(hour=0, minute=0, second=0, microsecond=0, fold=0, tzinfo=None)
    spans = [span for found in _expressions(query) for span in _bounds(found, today, first)]
    periods = [Period(*(_seconds(time, now.tzinfo) for time in span)) for span in spans]
    return list(dict.fromkeys(period for period in periods if period.start < period.end))


def without_times(query: str) -> str:
    """The query without the words of its times, so that one sees what else it asks: "What did I say ?".

    Args:
        query: The question.
    """
    pieces, done = [], 0
    for found in _expressions(query):
        pieces.append(query[done : found.start])
        done = found.end
    return " ".join(" ".join([*pieces, query[done:]]).split())


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


def _expressions(query: str) -> list[_Expression]:
    """The times in a query, in order. A year without "since" or the like counts only if there is no other time."""
    moments = list(_MOMENT.finditer(query))
    found: list[_Expression] = []
    for moment, following in zip_longest(moments, moments[1:]):
        if found and moment.start() < found[-1].end:
            continue  # the last of a range
        lead = _lead(moment)
        if following and _lead(following) in _RANGES.get(lead, ()) and _touch(query, moment.end(), following.start()):
            found.append(_Expression(moment.start(), following.end(), lead, moment, following))
            continue
        start = moment.start()
        if lead in ("", "and", "or") and found and not found[-1].last and _touch(query, found[-1].end, start):
            start, lead = found[-1].end, found[-1].lead  # "in May, June and July"
        elif lead in _JOINS:
            start, lead = moment.end("lead"), ""
        if _counts(moment, lead):
            found.append(_Expression(start, moment.end(), lead, moment))
    certain = [each for each in found if each.last or each.lead in _OPEN or _kind(each.moment) != "year"]
    return certain or found


def _lead(moment: re.Match[str]) -> str:
    return (moment["lead"] or "").lower()


def _kind(moment: re.Match[str]) -> str:
    return next(kind for kind in _KINDS if moment[kind])


def _touch(query: str, end: int, start: int) -> bool:
    """Whether there is nothing but white space and commas between two places."""
    return not query[end:start].strip(" \t\n,")


def _counts(moment: re.Match[str], lead: str) -> bool:
    """Whether these words are a time after this word."""
    kind = _kind(moment)
    if lead in _OPEN or lead in _NEEDS.get(kind, {lead}) or any(moment.group("part", "which", "of_year")):
        return True
    name = moment["month"] or ""
    return bool(name and (moment["before"] or moment["behind"] or not (name.islower() or name.lower() in _PEOPLE)))


def _bounds(found: _Expression, today: datetime, first: int) -> list[_Span]:
    """The times that an expression stands for; the edges of the calendar where they are open."""
    if not found.last and found.lead not in _OPEN:
        return _spans(found.moment, today, first)
    if found.last and found.last["of_year"]:
        first = min(first, int(found.last["of_year"]))
    # In February, "since May" is since the May of last year, even if the memory is younger.
    spans = _spans(found.moment, today, min(first, today.year) - 1)
    if found.last:
        return _ranges(found.moment, found.last, spans, today, first)
    if not spans:
        return []
    start, end = ([span for span in spans if span[0] <= today] or spans)[-1]
    if found.lead in ("since", "after"):
        return [(start if found.lead == "since" else end, datetime.max)]
    return [(datetime.min, start if found.lead == "before" else end)]


def _ranges(
    moment: re.Match[str], last: re.Match[str], starts: list[_Span], today: datetime, first: int
) -> list[_Span]:
    """From each start to the end that follows it: "between December and February" ends in the year after."""
    soon = _plus(today, _RETURNS.get(_kind(last), 0))
    ends = sorted(_spans(last, today, first - 1) + _spans(last, soon, first - 1))
    ranges = [(start[0], end[1]) for start in starts for end in [end for end in ends if end[0] >= start[0]][:1]]
    longest = None if moment["of_year"] else _RETURNS.get(_kind(moment))
    if longest is None:
        return ranges
    return [(start, end) for start, end in ranges if end <= _plus(start, longest) and end.year >= first]


def _spans(moment: re.Match[str], today: datetime, first: int) -> list[_Span]:
    """The times that a moment stands for, ascending."""
    kind = _kind(moment)
    if kind == "month":
        return _months(moment, today, first)
    if kind in ("season", "christmas"):
        return _seasons(moment, today)
    if kind in ("ago", "rolling"):
        return _counted(moment, today)
    if kind == "named":
        return [_named(moment["named"].lower().split(), today)]
    if kind == "weekday":
        back = (today.weekday() - _DAYS[moment["weekday"].lower()]) % 7 or 7
        return [_days(today, -back)]
    if kind == "day":
        # Of two months in a row one has a 31st.
        days = [_days(today, -back) for back in range(62)]
        return [day for day in days if day[0].day == int(moment["day"])][:1]
    if kind == "year":
        return [(_date(int(moment["year"])), _date(int(moment["year"]) + 1))]
    return _day(*map(int, moment["iso"].split("-")))


def _months(moment: re.Match[str], today: datetime, first: int) -> list[_Span]:
    month, which = _MONTHS[moment["month"].lower()], (moment["which"] or "").lower()
    years = range(first, today.year + 1)
    if moment["of_year"]:
        years = range(int(moment["of_year"]), int(moment["of_year"]) + 1)
    elif which in ("last", "this"):
        latest = today.year - (month > today.month or (which == "last" and month == today.month))
        years = range(latest, latest + 1)
    number = moment["before"] or moment["behind"]
    if not number:
        return [(_date(year, month), _date(year + month // 12, month % 12 + 1)) for year in years]
    return [span for year in years for span in _day(year, month, int(number))]


def _seasons(moment: re.Match[str], today: datetime) -> list[_Span]:
    """The latest that has begun; after "last", that is over; or those of a year, of which winter has two."""
    name, year = (moment["season"] or "christmas").lower(), moment["of_year"]
    first = int(year) - (name == "winter") if year else today.year - 2
    spans = [_season(name, each) for each in range(first, (int(year) if year else today.year) + 1)]
    if year:
        return spans
    is_over = (moment["which"] or "").lower() == "last"
    return [span for span in spans if span[is_over] <= today][-1:]


def _season(name: str, year: int) -> _Span:
    """The season that begins in a year, or Christmas."""
    if name == "christmas":
        return _date(year, 12, 24), _date(year, 12, 27)
    month = _SEASONS[name]
    return _date(year, month), _date(year + (month + 2) // 12, (month + 2) % 12 + 1)


def _counted(moment: re.Match[str], today: datetime) -> list[_Span]:
    """The time of "two years ago", give or take half a year; of "the last two years", up to the end of today."""
    words = (moment["ago_count"] or moment["rolling_count"] or "one").lower().split()
    count = next((_NUMBERS[word] for word in reversed(words) if word in _NUMBERS), 0) or int(words[0])
    days = _UNITS[(moment["ago_unit"] or moment["rolling_unit"] or moment["unit"]).lower()]
    if moment["rolling"]:
        return [(_plus(today, -count * days), _plus(today, 1))]
    if (count + 1) * days >= (today - datetime.min).days:
        return []
    return [(_plus(today, -count * days - days // 2), _plus(today, -count * days + days // 2 + 1))]


def _named(words: list[str], today: datetime) -> _Span:
    """The time of words like "last week", in lower case."""
    last, unit = words[0] == "last", words[-1]
    if words == ["this", "morning"]:
        return today, today.replace(hour=12)
    if unit == "week":
        return _days(today, -today.weekday() - 7 * last, 7)
    if unit == "weekend":
        # The latest that has begun; on a Saturday, the last weekend is the one before.
        return _days(today, -((today.weekday() - 5) % 7) - 7 * (last and today.weekday() >= 5), 2)
    if unit == "month":
        months = today.year * 12 + today.month - 1 - last
        return _date(months // 12, months % 12 + 1), _date((months + 1) // 12, (months + 1) % 12 + 1)
    if unit == "year":
        return _date(today.year - last), _date(today.year - last + 1)
    return _days(today, -("yesterday" in words) - ("before" in words) - last)


def _day(year: int, month: int, day: int) -> list[_Span]:
    try:
        return [_days(datetime(year, month, day), 0)]
    except ValueError:  # the 31st of February
        return []


def _days(day: datetime, ahead: int, count: int = 1) -> _Span:
    """So many days, from the day so many days ahead of a day on."""
    return _plus(day, ahead), _plus(day, ahead + count)


def _date(year: int, month: int = 1, day: int = 1) -> datetime:
    """The beginning of a day; the calendar's beginning or end if it is outside of it."""
    if 1 <= year <= 9999:
        return datetime(year, month, day)
    return datetime.min if year < 1 else datetime.max


def _plus(time: datetime, days: int) -> datetime:
    """So many days later; the calendar's beginning or end if that is outside of it."""
    try:
        return time + timedelta(days=days)
    except OverflowError:
        return datetime.min if days < 0 else datetime.max


def _seconds(time: datetime, zone: tzinfo | None) -> float:
    """Seconds since 1970, UTC, at a time on the clock of a zone; ∓infinity at the ends of the calendar."""
    if time in (datetime.min, datetime.max):
        return -inf if time == datetime.min else inf
    # The zone knows its offset at this time; adding seconds to another time would miss a clock change between them.
    return time.replace(tzinfo=zone).timestamp()


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
