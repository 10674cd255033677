"""unread_share says how much of a text its reader could not read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_core.retrieval.understanding import unread_share
from titans_core.types import Reading

SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted), max_size=150).map(sorted)


def reading_of(spans):
    count = len(spans)
    return Reading(
        keys=np.zeros((count, 4), np.float32),
        pooled=np.zeros(4, np.float32),
        tokens=np.zeros(count, np.int32),
        offsets=np.array(spans, np.int32).reshape(-1, 2),
    )


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Where does my sister live? The café's number is 0171-555, and 5 € for it…", 0),
        ("Где моя сестра?", 0),
        ("ชาเขียว", 1),
        ("ฉันดื่มอะไรทุกเช้า?", 1),
        ("绿茶!", 1),
        ("🎂", 1),
        ("My cake 🎂", 1 / 7),
        ("tea ชาเขียว", 6 / 9),  # the mark above a letter does not count
        ("ชาเขียว tea", 6 / 9),
        ("?!", 0),
        ("", 0),
        ("word " * 2_000, 0),  # cut at the reader's limit
        ("ชาเขียว " * 1_200, 1),
        ("word " * 50 + "ชาเขียว " * 25, 150 / 350),  # not cut: the end is unknown
    ],
)
def test_the_share_that_the_default_reader_cannot_read(reader, text, share):
    assert unread_share(text, reader.read([text])[0]) == pytest.approx(share)


@given(st.text(max_size=40), SPANS)
def test_any_reading_of_any_text_gives_a_share(text, spans):
    assert 0 <= unread_share(text, reading_of(spans)) <= 1


@given(st.text("abc 茶ช🎂?", max_size=40), SPANS)
def test_another_known_token_never_makes_more_unread(text, spans):
    known = reading_of(spans[:50])  # too few for a reading that was cut
    assert unread_share(text, reading_of([])) >= unread_share(text, known)
    # One character of a script without spaces is not enough for a word.
    assert unread_share(text, reading_of([*spans[:50], (0, len(text))])) == 0 or len(text) == 1
