"""Long turns are split where a reader can follow."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_core.readers import split_passages
from titans_core.readers.passages import MAX_PASSAGE_BYTES, TARGET_WORDS


@given(st.text(max_size=3000))
def test_no_character_but_white_space_is_lost(text):
    passages = split_passages(text)
    kept = "".join(passage.of(text) for passage in passages)
    assert "".join(kept.split()) == "".join(text.split())
    assert all(earlier.end <= later.start for earlier, later in itertools.pairwise(passages))
    assert all(passage.of(text).strip() == passage.of(text) != "" for passage in passages)


@given(st.lists(st.sampled_from(["word", "sentence. ", "x" * 600, "\n", "。", "Really?! ", "漢字"]), max_size=300))
def test_passages_stay_within_their_bounds(parts):
    text = " ".join(parts)
    for passage in split_passages(text):
        assert passage.end - passage.start <= MAX_PASSAGE_BYTES
        assert len(passage.of(text).split()) <= TARGET_WORDS


def test_a_short_turn_is_one_passage():
    text = "  I moved to Lisbon. It rains less there. "
    [passage] = split_passages(text)
    assert passage.of(text) == text.strip()


def test_the_cut_is_at_the_end_of_a_sentence():
    sentence = "This sentence has exactly eight words in it. "
    passages = [passage.of(sentence * 20) for passage in split_passages(sentence * 20)]
    assert len(passages) == 3
    assert all(passage.endswith("in it.") for passage in passages)


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_white_space_has_no_passage(text):
    assert split_passages(text) == []
