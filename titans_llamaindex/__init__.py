"""Titans memory for LlamaIndex: a chat memory for engines and agents, and a retriever.

    from titans_core import TitansMemory
    from titans_llamaindex import TitansChatMemory

    with TitansMemory.open("memory.db", tenant="alice") as memory:
        chat_memory = TitansChatMemory.from_defaults(memory=memory, session_id="monday")
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=chat_memory)

`import titans_llamaindex` loads neither torch nor LlamaIndex: each name is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from titans_core import __version__

if TYPE_CHECKING:
    from titans_llamaindex.memory import TitansChatMemory
    from titans_llamaindex.retriever import TitansRetriever

__all__ = ["TitansChatMemory", "TitansRetriever", "__version__"]

_LAZY = {
    "TitansChatMemory": "titans_llamaindex.memory",
    "TitansRetriever": "titans_llamaindex.retriever",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        try:
            value = getattr(import_module(_LAZY[name]), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "llama_index":
                raise
            message = "LlamaIndex is not installed; run: pip install 'titans-core[llamaindex]'"
            raise ModuleNotFoundError(message, name=error.name) from error
        globals()[name] = value
        return value
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
