"""A bank of memories as a LangGraph store."""

from titans_langchain.store.items import ScoredItem
from titans_langchain.store.store import TitansStore

__all__ = ["ScoredItem", "TitansStore"]
