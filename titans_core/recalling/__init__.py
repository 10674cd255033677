"""Query to ranked turns: two ways to find, one to rank, and the context."""

from titans_core.recalling.fusion import Weights
from titans_core.recalling.index import Index
from titans_core.recalling.recaller import Ranked, rank
from titans_core.recalling.recollect import recollect

__all__ = ["Index", "Ranked", "Weights", "rank", "recollect"]
