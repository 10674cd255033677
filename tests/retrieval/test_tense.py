"""The tense of a query, and what says that something changed or is taken back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_core.retrieval.english import Tense, corrects, tells_change, tense_of


@pytest.mark.parametrize(
    ("query", "tense"),
    [
        ("Where do I live?", Tense.PRESENT),
        ("What is my dog called?", Tense.PRESENT),
        ("gate code", Tense.PRESENT),
        ("", Tense.PRESENT),
        ("How old is my sister?", Tense.PRESENT),
        ("Is Ana older than Ben?", Tense.PRESENT),
        ("What is my first name?", Tense.PRESENT),
        ("Where do I live now?", Tense.NOW),
        ("What is my current weight?", Tense.NOW),
        ("WHAT IS MY LATEST SCORE", Tense.NOW),
        ("Do I still play the cello?", Tense.NOW),
        ("What did we agree on in the end?", Tense.NOW),
        ("Where did we eat?", Tense.PAST),
        ("Who was at the party?", Tense.PAST),
        ("What had Ana said?", Tense.PAST),
        ("Where did I live before?", Tense.BEFORE),
        ("What was my old number?", Tense.BEFORE),
        ("Where did Ana use to live? Where she used to work?", Tense.BEFORE),
        ("What was the rent originally?", Tense.BEFORE),
        ("Who is my former boss?", Tense.BEFORE),
        ("How old was my first dog?", Tense.BEFORE),
    ],
)
def test_the_state_that_a_query_asks_for(query, tense):
    assert tense_of(query) is tense


@pytest.mark.parametrize(
    "text",
    [
        "No, 13 of them.",
        "Sorry, I meant Tuesday.",
        "scrap that",
        "It's on Friday. Wait, on Thursday.",
        "The code is 5517, not 5571.",
        "I was wrong about the rent.",
    ],
)
def test_this_takes_something_back(text):
    assert corrects(text)


@pytest.mark.parametrize("text", ["The code is 5517.", "I live in Bonn.", "Nobody knows.", "The notary is in Ulm.", ""])
def test_this_takes_nothing_back(text):
    assert not corrects(text)


@pytest.mark.parametrize(
    "text",
    [
        "We moved to Ulm.",
        "It's 13 now.",
        "I no longer eat meat.",
        "My new dentist is Dr Moor.",
        "The concert was postponed to May.",
        "I SWITCHED to tea.",
    ],
)
def test_this_tells_a_change(text):
    assert tells_change(text)


@pytest.mark.parametrize("text", ["I live in Ulm.", "The knowledge of Ana.", "The news is on at nine.", ""])
def test_this_tells_no_change(text):
    assert not tells_change(text)


@given(st.text(max_size=200))
def test_any_text_has_a_tense(text):
    assert isinstance(tense_of(text), Tense)
    assert corrects(text) in (True, False)
    assert tells_change(text) in (True, False)
