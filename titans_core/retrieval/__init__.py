"""From a query to a labelled recollection: two ways to find candidates, one way to rank them.

The large products run in torch, the others in numpy. Two libraries with a thread pool each would wait for each other: a
reading took 70 ms instead of 24 ms after one large product in numpy.
"""

from titans_core.retrieval.answers import pairs_of
from titans_core.retrieval.bm25 import content_stems
from titans_core.retrieval.budget import fit_to_budget
from titans_core.retrieval.candidates import Candidates, Ranking, find_candidates, rank_candidates
from titans_core.retrieval.duplicates import DUPLICATE, nearest_passages
from titans_core.retrieval.features import ranking_fingerprint
from titans_core.retrieval.fusion import Weights, growth
from titans_core.retrieval.index import Index, LearnOutcome, acts_of
from titans_core.retrieval.knowledge import Knowledge
from titans_core.retrieval.long_query import MAX_QUERY_TOKENS, asking_part
from titans_core.retrieval.pipeline import profile, recollect
from titans_core.retrieval.question import Question
from titans_core.retrieval.wording import same_words, words_of

__all__ = [
    "DUPLICATE",
    "MAX_QUERY_TOKENS",
    "Candidates",
    "Index",
    "Knowledge",
    "LearnOutcome",
    "Question",
    "Ranking",
    "Weights",
    "acts_of",
    "asking_part",
    "content_stems",
    "find_candidates",
    "fit_to_budget",
    "growth",
    "nearest_passages",
    "pairs_of",
    "profile",
    "rank_candidates",
    "ranking_fingerprint",
    "recollect",
    "same_words",
    "words_of",
]
