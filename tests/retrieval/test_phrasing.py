"""What a text's form says: whether it asks, whether it tells a time."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_core.retrieval.english import question_share, tells_time, wants_time


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Where is it?", 1.0),
        ("It is here.", 0.0),
        ("It is here. And where are you?!", 20 / 31),
        ("どこですか？ここです。", 6 / 11),
        ("no end", 0.0),
        ("", 0.0),
    ],
)
def test_the_share_of_a_text_that_asks(text, share):
    assert question_share(text) == pytest.approx(share)


@given(st.text())
def test_the_share_is_a_share(text):
    assert 0 <= question_share(text) <= 1


def test_a_long_text_takes_no_longer_than_its_length():
    start = time.perf_counter()
    question_share("word " * 200_000)
    assert time.perf_counter() - start < 2  # the square of a million characters would take hours


def test_times():
    assert wants_time("When did she leave?")
    assert wants_time("Which year was that?")
    assert not wants_time("Where did she go?")
    assert tells_time("She left two weeks ago.")
    assert tells_time("In 2019.")
    assert not tells_time("She left in a hurry.")
