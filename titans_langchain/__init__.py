"""Titans memory for LangChain: what was said comes back as documents and as messages.

    from titans_core import TitansMemory
    from titans_langchain import TitansRetriever

    with TitansMemory.open("memory.db", tenant="alice") as memory:
        memory.memorize("The secret code is X-8-DELTA-9.", speaker="user")
        documents = TitansRetriever(memory=memory).invoke("What is the secret code?")

`import titans_langchain` loads neither torch nor LangChain: each name is imported on first use.
"""

from typing import TYPE_CHECKING

from titans_core import __version__
from titans_core.lazy import lazy_names

if TYPE_CHECKING:
    from titans_langchain.history import TitansChatMessageHistory
    from titans_langchain.retriever import TitansRetriever

__all__ = ["TitansChatMessageHistory", "TitansRetriever", "__version__"]

__getattr__ = lazy_names(
    __name__,
    {
        "TitansChatMessageHistory": "titans_langchain.history",
        "TitansRetriever": "titans_langchain.retriever",
    },
    needs="langchain_core",
    extra="langchain",
)


def __dir__() -> list[str]:
    return sorted(__all__)
