"""One memory behind each chat engine of LlamaIndex: what one engine is told, the next can be asked.

The model is LlamaIndex's own fake that answers with its prompt, so that you see what a real one would be given.
Put any other in its place: `llm=Ollama(model="…")`.
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

TOLD = "The meeting is scheduled for 3pm on Friday."
ASKED = "When is the meeting?"


class Manual(BaseRetriever):
    """The documents of the context engines: one page."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:  # noqa: ARG002 - the page whatever is asked
        return [NodeWithScore(node=TextNode(text="Meetings last an hour."), score=0.5)]


def build(engine: str, memory: TitansMemory) -> BaseChatEngine:
    """A chat engine with a conversation of its own over the shared memory."""
    # Only what the user says is memorized, or the echo would be remembered too.
    chat_memory = TitansChatMemory.from_defaults(memory=memory, session_id=engine, roles=["user"], k=2)
    if engine == "SimpleChatEngine":
        return SimpleChatEngine.from_defaults(llm=MockLLM(), memory=chat_memory)
    kind = {"ContextChatEngine": ContextChatEngine, "CondensePlusContextChatEngine": CondensePlusContextChatEngine}
    return kind[engine].from_defaults(Manual(), llm=MockLLM(), memory=chat_memory)


def demo(memory: TitansMemory) -> None:
    """Ask each engine, and print what its model was given last."""
    for engine in ("SimpleChatEngine", "ContextChatEngine", "CondensePlusContextChatEngine"):
        prompt = build(engine, memory).chat(ASKED).response
        memory.forget(session=engine)  # so that each is asked for the first time
        title = f"[bold]{engine}[/]  [dim]what it gave the model"
        Console().print(Panel(Text(prompt), title=title, title_align="left"))


if __name__ == "__main__":
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        memory.memorize(TOLD, speaker="user")
        demo(memory)
