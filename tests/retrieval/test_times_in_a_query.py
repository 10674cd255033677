"""The times that a query names are understood, and compared with when a turn was said."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_core.retrieval.english import date_agreement, periods_in

NOW = datetime(2026, 11, 18, 15, 30, tzinfo=UTC)  # a Wednesday


def named(query, first=2026):
    """The periods as (first day, day after the last), ISO dates."""
    return [
        tuple(datetime.fromtimestamp(edge, UTC).date().isoformat() for edge in (period.start, period.end))
        for period in periods_in(query, now=NOW, first=first)
    ]


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
    ],
)
def test_a_time_in_a_query(query, expected):
    assert named(query) == expected


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
        "",
    ],
)
def test_what_only_looks_like_a_time_names_none_of_last_year(query):
    assert [period for period in named(query) if not period[0].startswith("2026-04")] == []


@given(st.text(), st.integers(1, 2026))
def test_no_text_breaks_it(query, first):
    assert all(period.start < period.end for period in periods_in(query, now=NOW, first=first))


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
