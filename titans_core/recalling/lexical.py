"""Finds by words: BM25 over Porter stems."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from titans_core.episodes import EpisodeLog

_WORD = re.compile(r"\w+")

MATCHES = 500
"""The most passages that are scored: far more than become candidates."""


def frequencies(log: EpisodeLog, query: str) -> dict[str, int]:
    """The query's words, and how many passages hold each of them, or another word of its stem."""
    return {word: log.frequency(word) for word in dict.fromkeys(_WORD.findall(query.lower()))}


def lexical_scores(log: EpisodeLog, words: Mapping[str, int], numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """BM25 of each passage for any of the query's words.

    There is no list of stop words: BM25 gives frequent words next to no weight, and where "I" is rare it tells
    who is asking (R@10 .541 against .499 with a list, on user–assistant chat). But BM25 gives no weight at all to what
    half of the passages hold (FTS5 cuts a negative one off at 1e-6), and would score every passage for it.

    Args:
        log: the tenant's log.
        words: see `frequencies`.
        numbers: the passages' numbers, ascending, (m,).

    Returns:
        float32 (m,), at least 0; 0 where no word matches.
    """
    scores = np.zeros(len(numbers), np.float32)
    telling = [word for word, count in words.items() if 0 < count < len(numbers) / 2]
    matches = log.match(telling, limit=MATCHES)
    if matches:
        found, values = zip(*matches, strict=True)
        rows = np.minimum(np.searchsorted(numbers, found), len(numbers) - 1)
        known = numbers[rows] == found  # another process may have appended since the index was read
        scores[rows[known]] = np.asarray(values, np.float32)[known]
    return scores
