"""A memory in a LlamaIndex chat engine. It memorizes every turn, and adds recalls to the chat history.

The model is LlamaIndex's own fake that answers with its prompt, so that you see what a real model would get.
You can replace it by any model: `llm=Ollama(model="…")`.
"""

from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from titans_core import TitansMemory
from titans_llamaindex import TitansChatMemory


def build(memory: TitansMemory, session: str) -> SimpleChatEngine:
    """Build the engine of one conversation. It recalls what other conversations told the memory."""
    chat_memory = TitansChatMemory.from_defaults(memory=memory, session_id=session, k=2)
    return SimpleChatEngine.from_defaults(memory=chat_memory, llm=MockLLM())


def demo(memory: TitansMemory) -> None:
    """Ask the engine, and print what its model got."""
    prompt = build(memory, session="llamaindex-chat").chat("When is the meeting?").response
    memory.forget(session="llamaindex-chat")  # otherwise the memory would keep the echo too
    title = "[bold]LlamaIndex[/]  [dim]what the engine gave the model"
    Console().print(Panel(Text(prompt), title=title, title_align="left"))


if __name__ == "__main__":
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        memory.memorize("The meeting is scheduled for 3pm on Friday.", speaker="user")
        demo(memory)
