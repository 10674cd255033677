"""What a query is about as a whole: everything known of somebody, earlier questions, or whatever there is."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_core.retrieval.english import asks_for_anything, asks_what_was_asked, asks_what_was_said, subject_of


@pytest.mark.parametrize(
    ("query", "subject"),
    [
        ("What do you know about me?", "me"),
        ("what do you remember about me so far", "me"),
        ("Who am I?", "me"),
        ("Do you know me?", "me"),
        ("What do you know?", "me"),
        ("Tell me everything about my sister.", "my sister"),
        ("tell me about Ana", "Ana"),
        ("So, what have you learned about Ana Müller?", "Ana Müller"),
        ("What do I know about Ben?", "Ben"),
        ("Summarize everything you know about the cabin.", "the cabin"),
        ("What do you\n  know   about my  sister ?", "my sister"),
    ],
)
def test_a_query_that_asks_for_everything_has_a_subject(query, subject):
    assert subject_of(query) == subject


@pytest.mark.parametrize(
    "query",
    [
        "Where does my sister live?",
        "What do you know?? And where is Ana?",
        "Who is Ana?",
        "Am I late?",
        "I told you everything about Ana. Where does she live?",
        "",
        "?",
    ],
)
def test_a_query_for_something_has_none(query):
    assert subject_of(query) is None


@pytest.mark.parametrize("between", [" ", "\n", "about ", " so far", ", ", "and "])
def test_a_long_query_takes_no_long_time(between):
    query = f"what do you know about {between * (4_000 // len(between))}??x"
    start = time.process_time()
    subject_of(query)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "query",
    [
        "What did I ask you about Rome?",
        "Have I already asked that?",
        "my last question",
        "Which questions did we have?",
    ],
)
def test_this_is_about_earlier_questions(query):
    assert asks_what_was_asked(query)


@pytest.mark.parametrize(
    "query",
    [
        "What did Ana ask for?",
        "May I ask where Ana lives?",
        "What did I say about Rome?",
        "Where was I asked to marry?",
    ],
)
def test_this_is_not_about_earlier_questions(query):
    assert not asks_what_was_asked(query)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("What did I say?", True),
        ("What have we talked about?", True),
        ("Summarize our conversation.", True),
        ("What happened?", False),
        ("Where did I eat?", False),
    ],
)
def test_what_was_said_is_told_from_what_happened(query, said):
    assert asks_what_was_said(query) is said


@pytest.mark.parametrize(
    ("query", "anything"),
    [
        ("What did I say?", True),
        ("What happened?", True),
        ("anything new?", True),
        ("", True),
        ("What did I say about Rome?", False),
        ("Where was the boat?", False),
    ],
)
def test_a_query_for_whatever_there_is_names_nothing_to_look_for(query, anything):
    assert asks_for_anything(query) is anything


@given(st.text(max_size=200))
def test_any_text_may_be_a_query(text):
    assert subject_of(text) is None or subject_of(text).strip()
    assert {asks_for_anything(text), asks_what_was_asked(text), asks_what_was_said(text)} <= {True, False}
