"""Measures how much of a text its reader could read."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from titans_core.retrieval.bm25 import is_unspaced

if TYPE_CHECKING:
    from titans_core.types import Reading

_CUT = 100
"""The fewest known tokens of a reading that may have been cut at the reader's limit. Encoders read 128 tokens or more,
and a few of these are special or unknown."""


def unread_share(text: str, reading: Reading) -> float:
    """The share of a text that its reader could not read.

    White space, punctuation and marks do not count: they say little, and readers know them in many scripts.

    Readers of other languages know some single characters of scripts without spaces, and nothing of their words. If no
    token covers two such characters, none of them was read.

    What lies beyond the reader's limit was not looked at, and does not count either. A reading does not say whether it
    was cut. So one of at least `_CUT` known tokens counts up to the end of its last token. A shorter one was not cut,
    or most of what was looked at is unknown: it counts to the end of the text.

    Args:
        text: The text, exactly as the reader got it, without a prefix. A query has none.
        reading: Its reading.

    Returns:
        The share of the letters, digits and symbols that no known token covers, in [0, 1]; 0 for a text without any.
    """
    unread = np.array([unicodedata.category(char)[0] in "LNS" for char in text], bool)
    if len(reading.tokens) >= _CUT:
        unread = unread[: reading.offsets[-1, 1]]
    total = int(unread.sum())
    unspaced = [(start, end) for start, end in reading.offsets.tolist() if is_unspaced(text[start:end])]
    only_characters = all(end - start < 2 for start, end in unspaced)
    for start, end in reading.offsets.tolist():
        if not (only_characters and (start, end) in unspaced):
            unread[start:end] = False
    return int(unread.sum()) / max(total, 1)
