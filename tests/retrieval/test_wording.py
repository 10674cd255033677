"""Statements that say the same have one key, and others have other keys."""

import unicodedata
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_core.retrieval.wording import copy_key, same_words, words_of

SAID = "My sister Clara plays the cello."


@pytest.mark.parametrize(
    "again",
    [
        SAID,
        SAID.upper(),
        "my sister Clara plays cello",
        "Oh, my sister Clara really plays the cello!",
        "Hey - my sister\nClara plays the cello, please.",
        "My sister Clara (plays) the cello…",
    ],
)
def test_case_marks_and_fillers_make_no_other_statement(again):
    assert copy_key(again, "user") == copy_key(SAID, "user")


@pytest.mark.parametrize(
    "other",
    [
        "My sister Clara plays the viola.",
        "My sister Clara never plays the cello.",
        "My sister Clara does not play the cello.",
        "My sister Klara plays the cello.",
        "My sister Clara plays the cello, the cello.",
        "My sister Clara plays 2 cellos.",
        "",
    ],
)
def test_another_word_number_or_not_makes_another_statement(other):
    assert copy_key(other, "user") != copy_key(SAID, "user")


def test_who_says_it_counts():
    keys = {copy_key(SAID, speaker) for speaker in ("user", "Ana", "ana", "assistant")}
    assert len(keys) == 4
    assert copy_key(SAID, None) not in keys
    # The speaker's words are none of the statement.
    assert copy_key("plays cello", "Ana") != copy_key("Ana plays cello", None)


def test_texts_of_fillers_or_without_words_are_the_same_only_as_a_whole():
    texts = ["🎂", "🎉", "👍🏽", "👍", "...", "?", "Yes.", "Oh", "well, well"]
    assert len({copy_key(text, "user") for text in texts}) == len(texts)
    assert copy_key("🎂", "user") == copy_key("🎂", "user")


def test_marks_that_are_vowels_tell_words_apart_and_encodings_do_not():
    assert copy_key("ชา", None) != copy_key("ชี", None)
    assert copy_key("मेरी", None) != copy_key("मारी", None)
    text = "Das Café im Hörsaal"
    assert len({copy_key(unicodedata.normalize(form, text), None) for form in ("NFC", "NFD")}) == 1


def test_a_key_is_a_signed_number_of_64_bits_and_saved_in_snapshots():
    assert copy_key("My sister Clara plays the cello.", "user") == KEY
    for text, speaker in combinations([SAID, "", "\0", "\ud800", "🎂", "a" * 10_000], 2):
        assert -(2**63) <= copy_key(text, speaker) < 2**63


@given(st.text(max_size=60), st.text(max_size=60), st.none() | st.text(max_size=5))
def test_texts_of_one_key_have_the_same_words_but_for_fillers(one, other, speaker):
    if copy_key(one, speaker) == copy_key(other, speaker):
        assert words_of(f"{one} x") - FILLERS == words_of(f"{other} x") - FILLERS
    if same_words(one, other) and one.split() == other.split():
        assert copy_key(one, speaker) == copy_key(other, speaker)


KEY = -2773708998991877790
FILLERS = words_of(" ".join(["a an the also just really very so well oh hi hey hello ok okay please again btw"] * 60))
FILLERS += words_of(" ".join(["actually still yes yeah"] * 60))
