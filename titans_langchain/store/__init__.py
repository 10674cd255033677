"""A LangGraph store over a bank of memories."""

from titans_langchain.store.items import ScoredItem
from titans_langchain.store.store import TitansStore

__all__ = ["ScoredItem", "TitansStore"]
