"""Titans memory for LlamaIndex. docs/llamaindex.md shows which class fits which application.

`import titans_llamaindex` loads neither torch nor LlamaIndex: each name is imported when it is first used.

Example:
    ```python
    from titans_core import TitansMemory
    from titans_llamaindex import TitansChatMemory

    with TitansMemory.open("memory.db", tenant="alice") as memory:
        chat_memory = TitansChatMemory.from_defaults(memory=memory, session_id="monday")
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=chat_memory)
    ```
"""

from typing import TYPE_CHECKING

from titans_core import __version__
from titans_core.integration import lazy_names

if TYPE_CHECKING:
    from titans_llamaindex.chat_memory import TitansChatMemory
    from titans_llamaindex.events import TitansFailureEvent, TitansMemorizeEvent, TitansRecallEvent
    from titans_llamaindex.memory_block import LearningMemory, TitansMemoryBlock
    from titans_llamaindex.postprocessor import ConfidencePostprocessor
    from titans_llamaindex.retriever import TitansRetriever
    from titans_llamaindex.tools import create_forget_tool, create_memorize_tool, create_recall_tool

__all__ = [
    "ConfidencePostprocessor",
    "LearningMemory",
    "TitansChatMemory",
    "TitansFailureEvent",
    "TitansMemorizeEvent",
    "TitansMemoryBlock",
    "TitansRecallEvent",
    "TitansRetriever",
    "__version__",
    "create_forget_tool",
    "create_memorize_tool",
    "create_recall_tool",
]

__getattr__ = lazy_names(
    __name__,
    {
        "ConfidencePostprocessor": "titans_llamaindex.postprocessor",
        "LearningMemory": "titans_llamaindex.memory_block",
        "TitansChatMemory": "titans_llamaindex.chat_memory",
        "TitansFailureEvent": "titans_llamaindex.events",
        "TitansMemorizeEvent": "titans_llamaindex.events",
        "TitansMemoryBlock": "titans_llamaindex.memory_block",
        "TitansRecallEvent": "titans_llamaindex.events",
        "TitansRetriever": "titans_llamaindex.retriever",
        "create_forget_tool": "titans_llamaindex.tools",
        "create_memorize_tool": "titans_llamaindex.tools",
        "create_recall_tool": "titans_llamaindex.tools",
    },
    extras={"llama_index": "llamaindex"},
)


def __dir__() -> list[str]:
    return sorted(__all__)
