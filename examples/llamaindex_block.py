"""A memory as a block of LlamaIndex's `Memory`. The model gets facts from earlier conversations.

The model is LlamaIndex's own fake that answers with its prompt, so that you see what a real model would get.
You can replace it by any model: `llm=Ollama(model="…")`.
"""

import asyncio

from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage, MockLLM
from rich.console import Console
from rich.panel import Panel
from rich.text import Text
from sqlalchemy.ext.asyncio import create_async_engine

from titans_core import TitansMemory
from titans_llamaindex import LearningMemory, TitansMemoryBlock


async def converse(memory: TitansMemory) -> str:
    """Tell a fact on Monday, ask for it on Tuesday. Returns what the model got on Tuesday."""
    block = TitansMemoryBlock(memory, k=2)
    database = create_async_engine("sqlite+aiosqlite:///:memory:")  # LlamaIndex stores the current conversations here

    # A plain `Memory` gives a message to its blocks only after 21000 tokens of newer messages have pushed it out.
    monday = LearningMemory.from_defaults("monday", memory_blocks=[block], async_engine=database)
    await monday.aput(ChatMessage("The meeting is scheduled for 3pm on Friday.", role="user"))
    await monday.aput(ChatMessage("Then do set an alarm.", role="assistant"))

    tuesday = LearningMemory.from_defaults("tuesday", memory_blocks=[block], async_engine=database)
    engine = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=tuesday)
    answer = await engine.achat("When is the meeting?")
    await database.dispose()
    return answer.response


def demo(memory: TitansMemory) -> None:
    """Run the two conversations, and print what the model got in the second."""
    prompt = asyncio.run(converse(memory))
    title = "[bold]LearningMemory, tuesday[/]  [dim]what the engine gave the model"
    Console().print(Panel(Text(prompt), title=title, title_align="left"))


if __name__ == "__main__":
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        demo(memory)
