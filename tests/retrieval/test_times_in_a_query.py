"""The times that a query names are understood, and compared with when a turn was said."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_core.retrieval.english import date_agreement, periods_in, without_times

NOW = datetime(2026, 11, 18, 15, 30, tzinfo=UTC)  # a Wednesday


def named(query, first=2026):
    """The periods as (first day, day after the last), ISO dates; an open edge is empty."""
    return [tuple(map(iso, (period.start, period.end))) for period in periods_in(query, now=NOW, first=first)]


def iso(edge):
    return datetime.fromtimestamp(edge, UTC).date().isoformat() if math.isfinite(edge) else ""


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("What happened on 2023-05-08?", [("2023-05-08", "2023-05-09")]),
        ("What happened on 8 May 2023?", [("2023-05-08", "2023-05-09")]),
        ("What happened on the 8th of May, 2023?", [("2023-05-08", "2023-05-09")]),
        ("What happened on May 8th, 2023?", [("2023-05-08", "2023-05-09")]),
        ("what happened on dec 31 2023", [("2023-12-31", "2024-01-01")]),
        ("Where was she in December 2023?", [("2023-12-01", "2024-01-01")]),
        ("Where was she in June?", [("2026-06-01", "2026-07-01")]),
        ("Where was she last June?", [("2026-06-01", "2026-07-01")]),
        ("Where was she last December?", [("2025-12-01", "2026-01-01")]),
        ("Where was she last November?", [("2025-11-01", "2025-12-01")]),
        ("where was she in may", [("2026-05-01", "2026-06-01")]),
        ("Where was she in 2022?", [("2022-01-01", "2023-01-01")]),
        ("What did I say today?", [("2026-11-18", "2026-11-19")]),
        ("What did I say yesterday?", [("2026-11-17", "2026-11-18")]),
        ("What did I say last night?", [("2026-11-17", "2026-11-18")]),
        ("What did I say this week?", [("2026-11-16", "2026-11-23")]),
        ("What did I say last week?", [("2026-11-09", "2026-11-16")]),
        ("What did I say last month?", [("2026-10-01", "2026-11-01")]),
        ("What did I say last year?", [("2025-01-01", "2026-01-01")]),
        ("What did I say on Monday?", [("2026-11-16", "2026-11-17")]),
        ("What did I say last Wednesday?", [("2026-11-11", "2026-11-12")]),
        ("What did I say three days ago?", [("2026-11-15", "2026-11-16")]),
        ("What did I say two weeks ago?", [("2026-11-01", "2026-11-08")]),
        ("What did I say two months ago?", [("2026-09-04", "2026-10-05")]),
        ("What did I say a few days ago?", [("2026-11-15", "2026-11-16")]),
        ("What did I say few days ago?", [("2026-11-15", "2026-11-16")]),
        ("What did I say a couple of weeks ago?", [("2026-11-01", "2026-11-08")]),
        ("What did I say the day before yesterday?", [("2026-11-16", "2026-11-17")]),
        ("What did I say yesterday evening?", [("2026-11-17", "2026-11-18")]),
        ("What did I say this afternoon?", [("2026-11-18", "2026-11-19")]),
        ("What did I say tonight?", [("2026-11-18", "2026-11-19")]),
        ("What did I do this weekend?", [("2026-11-14", "2026-11-16")]),
        ("What did I do last weekend?", [("2026-11-14", "2026-11-16")]),
        ("What did I say last Monday?", [("2026-11-16", "2026-11-17")]),
        ("What did I say on Wednesday morning?", [("2026-11-11", "2026-11-12")]),
        ("What did I say on Monday and Friday?", [("2026-11-16", "2026-11-17"), ("2026-11-13", "2026-11-14")]),
        ("What did I eat in the past 3 days?", [("2026-11-15", "2026-11-19")]),
        ("What did I eat over the last two weeks?", [("2026-11-04", "2026-11-19")]),
        ("What did I eat in the last couple of months?", [("2026-09-19", "2026-11-19")]),
        ("What did I eat in the last week?", [("2026-11-11", "2026-11-19")]),
        ("What did I eat in the last month?", [("2026-10-19", "2026-11-19")]),
        ("What did I eat over the past year?", [("2025-11-18", "2026-11-19")]),
        ("What did I say on the 5th?", [("2026-11-05", "2026-11-06")]),
        ("What did I say on the 18th about cats?", [("2026-11-18", "2026-11-19")]),
        ("On the 18th I was ill. Why?", [("2026-11-18", "2026-11-19")]),
        ("What did I say on the 19th?", [("2026-10-19", "2026-10-20")]),
        ("What did I say on the 31st?", [("2026-10-31", "2026-11-01")]),
        ("Who lives on the 5th floor?", []),
        ("What happened in the last week of June?", [("2026-06-01", "2026-07-01")]),
        ("What happened at the end of May?", [("2026-05-01", "2026-06-01")]),
        ("What happened in early May?", [("2026-05-01", "2026-06-01")]),
    ],
)
def test_a_time_in_a_query(query, expected):
    assert named(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("What did I cook since May?", [("2026-05-01", "")]),
        ("What did I cook since december?", [("2025-12-01", "")]),
        ("What did I cook since Monday?", [("2026-11-16", "")]),
        ("What did I cook since last Monday?", [("2026-11-16", "")]),
        ("What did I cook since last summer?", [("2026-06-01", "")]),
        ("What did I cook since the 5th?", [("2026-11-05", "")]),
        ("What did I cook since 2020?", [("2020-01-01", "")]),
        ("What did I cook after June?", [("2026-07-01", "")]),
        ("What did I cook before June?", [("", "2026-06-01")]),
        ("What did I cook before yesterday?", [("", "2026-11-17")]),
        ("What did I cook until March?", [("", "2026-04-01")]),
        ("What did I cook until 8 May 2023?", [("", "2023-05-09")]),
    ],
)
def test_an_open_period(query, expected):
    assert named(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Who called between May and July?", [("2026-05-01", "2026-08-01")]),
        ("Who called from 3 May to 5 June?", [("2026-05-03", "2026-06-06")]),
        ("Who called from May 3rd 2023 to June 5th 2023?", [("2023-05-03", "2023-06-06")]),
        ("Who called from 3 May to 5 June 2024?", [("2024-05-03", "2024-06-06")]),
        ("Who called between 2020 and 2022?", [("2020-01-01", "2023-01-01")]),
        ("Who called between 2023-05-01 and 2023-06-01?", [("2023-05-01", "2023-06-02")]),
        ("Who called between Monday and Wednesday?", [("2026-11-16", "2026-11-19")]),
        ("Who called from the 3rd to the 5th?", [("2026-11-03", "2026-11-06")]),
        ("Who called from May until yesterday?", [("2026-05-01", "2026-11-18")]),
        (
            "Who called between December and February?",
            [("2025-12-01", "2026-03-01"), ("2026-12-01", "2027-03-01")],
        ),
    ],
)
def test_a_range(query, expected):
    assert named(query) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Where was she in spring?", [("2026-03-01", "2026-06-01")]),
        ("Where was she in the summer?", [("2026-06-01", "2026-09-01")]),
        ("Where was she last summer?", [("2026-06-01", "2026-09-01")]),
        ("Where was she in autumn?", [("2026-09-01", "2026-12-01")]),
        ("Where was she in fall 2024?", [("2024-09-01", "2024-12-01")]),
        ("Where was she last fall?", [("2025-09-01", "2025-12-01")]),
        ("Where was she in winter?", [("2025-12-01", "2026-03-01")]),
        ("Where was she in winter 2024?", [("2023-12-01", "2024-03-01"), ("2024-12-01", "2025-03-01")]),
        ("Where was she at Christmas?", [("2025-12-24", "2025-12-27")]),
        ("Where did she fall?", []),
    ],
)
def test_a_season_is_the_latest_that_has_begun_or_that_of_a_year(query, expected):
    assert named(query) == expected


def test_this_morning_ends_at_noon():
    [morning] = periods_in("What did I say this morning?", now=NOW, first=2026)
    assert morning.end - morning.start == 12 * 3600


@pytest.mark.parametrize(
    ("day", "expected"), [(20, "2026-11-14"), (21, "2026-11-14"), (22, "2026-11-14"), (23, "2026-11-21")]
)
def test_on_a_weekend_the_last_one_is_the_one_before(day, expected):
    [weekend] = periods_in("last weekend", now=NOW.replace(day=day), first=2026)
    assert iso(weekend.start) == expected


@pytest.mark.parametrize(
    ("day", "expected"), [(20, "2026-11-14"), (21, "2026-11-21"), (22, "2026-11-21"), (23, "2026-11-21")]
)
def test_this_weekend_is_the_latest_that_has_begun(day, expected):
    [weekend] = periods_in("this weekend", now=NOW.replace(day=day), first=2026)
    assert iso(weekend.start) == expected


def test_a_month_without_a_year_is_that_of_every_year_the_memory_knows():
    assert named("What did we do in June?", first=2024) == [
        (f"{year}-06-01", f"{year}-07-01") for year in (2024, 2025, 2026)
    ]


@pytest.mark.parametrize(
    "query",
    [
        "You may march on, may you not?",
        "How far did they march?",
        "What is the code 2023?",
        "Did it happen on the 31st of February 2023?",
        "Who is April Smith's brother, and how old are they?",
        "What does April like?",
        "What did I get from June, and did Jan come?",
        "May I ask you something?",
        "March on!",
        "",
    ],
)
def test_what_only_looks_like_a_time_names_none(query):
    assert named(query) == []


def test_a_month_that_is_no_name_needs_no_preposition():
    assert named("January was cold, but where was I?") == [("2026-01-01", "2026-02-01")]


@pytest.mark.parametrize(
    ("query", "rest"),
    [
        ("What did I say last week?", "What did I say ?"),
        ("What did I say last week about cats?", "What did I say about cats?"),
        ("What did I say between May and July?", "What did I say ?"),
        ("What did I say since Monday morning?", "What did I say ?"),
        ("What did I say in May, June or July?", "What did I say ?"),
        ("What did I say on the 8th of May, 2023?", "What did I say ?"),
        ("What did I get from May for 3 May?", "What did I get from May ?"),
        ("in the last 3 days", ""),
        ("What is the code 2023?", "What is the code 2023?"),
        ("What does April like?", "What does April like?"),
    ],
)
def test_a_query_without_its_times(query, rest):
    assert without_times(query) == rest


@given(st.text(), st.integers(1, 2026))
def test_no_text_breaks_it(query, first):
    assert all(period.start < period.end for period in periods_in(query, now=NOW, first=first))
    assert len(without_times(query)) <= len(query)


WORDS = """since after before until between from to and in on the of at last this past early end few couple a ago days
weeks months years May June 5 5th 2023 2026-02-31 Monday summer winter Christmas weekend morning yesterday ,"""


@given(st.lists(st.sampled_from(WORDS.split())).map(" ".join), st.datetimes(timezones=st.just(UTC)), st.data())
def test_no_words_at_no_time_break_it(query, now, data):
    first = data.draw(st.integers(1, now.year))
    assert all(period.start < period.end for period in periods_in(query, now=now, first=first))


@given(st.from_regex(r"(\d{1,30} (years|days|weeks) ago|\d{4}-\d\d-\d\d|(Feb|May) \d{1,2},? \d{4})", fullmatch=True))
def test_no_number_breaks_it(query):
    assert all(period.start < period.end for period in periods_in(query, now=NOW, first=2026))


@pytest.mark.parametrize("years", range(2015, 2035))
def test_the_beginning_of_the_calendar_is_no_error(years):
    assert all(period.start < period.end for period in periods_in(f"{years} years ago", now=NOW, first=2026))


def test_agreement_is_one_within_and_fades_in_the_week_after():
    [june] = periods_in("in June", now=NOW, first=2026)
    day = 86400.0
    at = np.array([june.start - 1, june.start, june.end - 1, june.end + 3.5 * day, june.end + 8 * day])
    assert date_agreement(at, [june]).tolist() == pytest.approx([0, 1, 1, 0.5, 0])
    assert date_agreement(at, []).tolist() == [0] * 5


def test_agreement_with_an_open_period_does_not_fade_on_its_open_side():
    [since] = periods_in("since June", now=NOW, first=2026)
    [before] = periods_in("before June", now=NOW, first=2026)
    at = np.array([-6e10, since.start - 1, since.start + 1, 2e11])
    assert date_agreement(at, [since]).tolist() == [0, 0, 1, 1]
    assert date_agreement(at, [before]).tolist() == pytest.approx([1, 1, 1, 0], abs=1e-5)
