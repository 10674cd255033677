"""Titans memory for LlamaIndex: a chat memory for engines and agents, and a retriever.

    from titans_core import TitansMemory
    from titans_llamaindex import TitansChatMemory

    with TitansMemory.open("memory.db", tenant="alice") as memory:
        chat_memory = TitansChatMemory.from_defaults(memory=memory, session_id="monday")
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=chat_memory)

`import titans_llamaindex` loads neither torch nor LlamaIndex: each name is imported on first use.
"""

from typing import TYPE_CHECKING

from titans_core import __version__
from titans_core.lazy import lazy_names

if TYPE_CHECKING:
    from titans_llamaindex.memory import TitansChatMemory
    from titans_llamaindex.retriever import TitansRetriever

__all__ = ["TitansChatMemory", "TitansRetriever", "__version__"]

__getattr__ = lazy_names(
    __name__,
    {
        "TitansChatMemory": "titans_llamaindex.memory",
        "TitansRetriever": "titans_llamaindex.retriever",
    },
    extras={"llama_index": "llamaindex"},
)


def __dir__() -> list[str]:
    return sorted(__all__)
