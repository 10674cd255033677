"""A memory in a LlamaIndex chat engine: it memorizes every turn and serves recalls with the history.

The model is LlamaIndex's own fake that answers with its prompt, so that you see what a real one would be given.
"""

from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from rich import print
from rich.panel import Panel
from rich.text import Text

from titans_core import TitansMemory
from titans_llamaindex import TitansChatMemory


def build(memory: TitansMemory, session: str) -> SimpleChatEngine:
    chat_memory = TitansChatMemory.from_defaults(memory=memory, session_id=session)
    return SimpleChatEngine.from_defaults(memory=chat_memory, llm=MockLLM())


def demo(memory: TitansMemory) -> None:
    answer = build(memory, session="demo").chat("When is the meeting?").response
    print(Panel(Text(answer), title="[bold]LlamaIndex[/]  [dim]what the engine gave the model", title_align="left"))
    memory.forget(session="demo")  # or the echo would be remembered, like every turn


if __name__ == "__main__":
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        memory.memorize("The meeting is scheduled for 3pm on Friday.", speaker="user")
        demo(memory)
