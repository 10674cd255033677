"""One memory for all chat engines of LlamaIndex. Each engine knows a fact that was told to the memory.

The model is LlamaIndex's own fake that answers with its prompt, so that you see what a real model would get.
You can replace it by any model: `llm=Ollama(model="…")`.
"""

from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine, SimpleChatEngine
from llama_index.core.chat_engine.types import BaseChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from titans_core import TitansMemory
from titans_llamaindex import TitansChatMemory

FACT = "The meeting is scheduled for 3pm on Friday."
QUESTION = "When is the meeting?"


class Manual(BaseRetriever):
    """The documents of the context engines. There is only one page."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:  # noqa: ARG002 - the same page for every query
        return [NodeWithScore(node=TextNode(text="Meetings last an hour."), score=0.5)]


def build(engine: str, memory: TitansMemory) -> BaseChatEngine:
    """Build a chat engine with a conversation of its own and the shared memory."""
    # Only the user's messages are memorized: otherwise the memory would recall the echo too.
    chat_memory = TitansChatMemory.from_defaults(memory=memory, session_id=engine, roles=["user"], k=2)
    if engine == "SimpleChatEngine":
        return SimpleChatEngine.from_defaults(llm=MockLLM(), memory=chat_memory)
    kind = {"ContextChatEngine": ContextChatEngine, "CondensePlusContextChatEngine": CondensePlusContextChatEngine}
    return kind[engine].from_defaults(Manual(), llm=MockLLM(), memory=chat_memory)


def demo(memory: TitansMemory) -> None:
    """Ask each engine, and print what its model got last."""
    for engine in ("SimpleChatEngine", "ContextChatEngine", "CondensePlusContextChatEngine"):
        prompt = build(engine, memory).chat(QUESTION).response
        memory.forget(session=engine)  # so that the next engine finds no earlier question
        title = f"[bold]{engine}[/]  [dim]what it gave the model"
        Console().print(Panel(Text(prompt), title=title, title_align="left"))


if __name__ == "__main__":
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        memory.memorize(FACT, speaker="user")
        demo(memory)
