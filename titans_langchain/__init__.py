"""Titans memory for LangChain: what was said comes back as documents and as messages.

    from titans_core import TitansMemory
    from titans_langchain import TitansRetriever

    with TitansMemory.open("memory.db", tenant="alice") as memory:
        memory.memorize("The secret code is X-8-DELTA-9.", speaker="user")
        documents = TitansRetriever(memory=memory).invoke("What is the secret code?")

`import titans_langchain` loads neither torch nor LangChain: each name is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from titans_core import __version__

if TYPE_CHECKING:
    from titans_langchain.history import TitansChatMessageHistory
    from titans_langchain.retriever import TitansRetriever

__all__ = ["TitansChatMessageHistory", "TitansRetriever", "__version__"]

_LAZY = {
    "TitansChatMessageHistory": "titans_langchain.history",
    "TitansRetriever": "titans_langchain.retriever",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        try:
            value = getattr(import_module(_LAZY[name]), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "langchain_core":
                raise
            message = "LangChain is not installed; run: pip install 'titans-core[langchain]'"
            raise ModuleNotFoundError(message, name=error.name) from error
        globals()[name] = value
        return value
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
