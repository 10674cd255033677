"""Titans memory for LangChain and LangGraph. docs/langchain.md shows which class fits which application.

`import titans_langchain` loads neither torch nor LangChain: each name is imported when it is first used.

Example:
    ```python
    from titans_core import TitansMemory
    from titans_langchain import TitansRetriever

    with TitansMemory.open("memory.db", tenant="alice") as memory:
        memory.memorize("The secret code is X-8-DELTA-9.", speaker="user")
        documents = TitansRetriever(memory=memory).invoke("What is the secret code?")
    ```
"""

from typing import TYPE_CHECKING

from titans_core import __version__
from titans_core.integration import lazy_names

if TYPE_CHECKING:
    from titans_langchain.chains import with_memory
    from titans_langchain.chat_history import TitansChatMessageHistory
    from titans_langchain.chat_model import ChatTitansLM
    from titans_langchain.classic import TitansChainMemory
    from titans_langchain.middleware import TitansMemoryMiddleware
    from titans_langchain.nodes import memorize_node, recall_node
    from titans_langchain.retriever import TitansRetriever
    from titans_langchain.store import ScoredItem, TitansStore
    from titans_langchain.tools import create_forget_tool, create_memorize_tool, create_recall_tool

__all__ = [
    "ChatTitansLM",
    "ScoredItem",
    "TitansChainMemory",
    "TitansChatMessageHistory",
    "TitansMemoryMiddleware",
    "TitansRetriever",
    "TitansStore",
    "__version__",
    "create_forget_tool",
    "create_memorize_tool",
    "create_recall_tool",
    "memorize_node",
    "recall_node",
    "with_memory",
]

__getattr__ = lazy_names(
    __name__,
    {
        "ChatTitansLM": "titans_langchain.chat_model",
        "ScoredItem": "titans_langchain.store",
        "TitansChainMemory": "titans_langchain.classic",
        "TitansChatMessageHistory": "titans_langchain.chat_history",
        "TitansMemoryMiddleware": "titans_langchain.middleware",
        "TitansRetriever": "titans_langchain.retriever",
        "TitansStore": "titans_langchain.store",
        "create_forget_tool": "titans_langchain.tools",
        "create_memorize_tool": "titans_langchain.tools",
        "create_recall_tool": "titans_langchain.tools",
        "memorize_node": "titans_langchain.nodes",
        "recall_node": "titans_langchain.nodes",
        "with_memory": "titans_langchain.chains",
    },
    extras={
        "langchain_core": "langchain",
        "langchain": "agents",
        "langgraph": "agents",
        "langchain_classic": "classic",
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
