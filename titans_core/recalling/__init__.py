"""Query to ranked turns: two ways to find, one to rank, and the context.

The large products run in torch, the rest in numpy: two libraries with a pool of threads each would wait for each other
(a reading took 70 ms instead of 24 ms after one product in numpy).
"""

from titans_core.recalling.features import ranking_fingerprint
from titans_core.recalling.fusion import Weights
from titans_core.recalling.index import Index, Lesson
from titans_core.recalling.overlap import DUPLICATE, most_alike, same_words, words_of
from titans_core.recalling.packing import packed
from titans_core.recalling.recaller import Candidates, Ranking, find, rank
from titans_core.recalling.recollect import recollect

__all__ = [
    "DUPLICATE",
    "Candidates",
    "Index",
    "Lesson",
    "Ranking",
    "Weights",
    "find",
    "most_alike",
    "packed",
    "rank",
    "ranking_fingerprint",
    "recollect",
    "same_words",
    "words_of",
]
