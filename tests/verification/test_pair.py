"""A pair is read as "end of the text before | speaker: passage"."""

import pytest

from titans_core.verification import Pair


@pytest.mark.parametrize(
    ("pair", "read"),
    [
        (Pair("?", "Friday."), "Friday."),
        (Pair("?", "Friday.", "Ada"), "Ada: Friday."),
        (Pair("?", "Friday.", "Ada", "When?", "Ben"), "Ben: When? | Ada: Friday."),
        (Pair("?", "Friday.", None, "When?"), "When? | Friday."),
        (Pair("?", "Friday.", "Ada", "x" * 500 + "When?", "Ben"), "x" * 115 + "When? | Ada: Friday."),
    ],
)
def test_a_pair_is_read_with_the_end_of_the_text_before(pair, read):
    assert pair.statement == read
