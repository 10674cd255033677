"""From LlamaIndex's memories to Titans': from ChatMemoryBuffer, VectorMemory, and Memory with a VectorMemoryBlock.

Nothing here needs a model: what is printed is what one would be given. The embedding is LlamaIndex's fake, to which all
texts are alike.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, Memory, VectorMemory, VectorMemoryBlock
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores import SimpleVectorStore, VectorStoreQuery, VectorStoreQueryResult
from rich.console import Console
from rich.panel import Panel
from rich.text import Text
from sqlalchemy.ext.asyncio import create_async_engine

from titans_core import TitansMemory
from titans_llamaindex import LearningMemory, TitansChatMemory, TitansMemoryBlock

EMBEDDING = MockEmbedding(embed_dim=8)


def conversation(told: str) -> list[ChatMessage]:
    return [ChatMessage(told, role="user"), ChatMessage("Noted.", role="assistant")]


def show(title: str, history: list[ChatMessage], question: str) -> None:
    """Print what a context chat engine gives its model: the memory's messages, then the question."""
    said = [*history, ChatMessage(question, role="user")]
    prompt = "\n".join(f"{message.role.value}: {message.content}" for message in said)
    Console().print(Panel(Text(prompt), title=f"[bold]{title}", title_align="left"))


def from_buffer(memory: TitansMemory) -> None:
    """A buffer ends with its conversation; a Titans memory goes on, and takes over what the buffer holds."""
    question = "What is Alice's favorite color?"
    buffer = ChatMemoryBuffer.from_defaults(chat_history=conversation("Alice's favorite color is turquoise."))
    show("ChatMemoryBuffer, of the next conversation", ChatMemoryBuffer.from_defaults().get(question), question)

    TitansChatMemory.from_defaults(memory=memory, session_id="monday", chat_history=buffer.get_all())
    chat_memory = TitansChatMemory.from_defaults(memory=memory, session_id="tuesday")
    show("TitansChatMemory, of the next conversation", chat_memory.get(question), question)


def from_vectors(memory: TitansMemory) -> None:
    """The nearest neighbours are given to the model whether they are relevant or not; a Titans memory can tell."""
    question = "Who won the football world cup?"
    vectors = VectorMemory.from_defaults(embed_model=EMBEDDING, retriever_kwargs={"similarity_top_k": 1})
    vectors.put_messages(conversation("My dog is called Biscuit."))
    show("VectorMemory, where nothing is relevant", vectors.get(question), question)

    TitansChatMemory.from_defaults(memory=memory).put_messages(conversation("My dog is called Biscuit."))
    chat_memory = TitansChatMemory.from_defaults(memory=memory, session_id="tuesday")
    show("TitansChatMemory, where nothing is relevant", chat_memory.get(question), question)


class TextStore(SimpleVectorStore):
    """LlamaIndex's simple store keeps no texts, which the block needs; other stores do."""

    stores_text: bool = True
    _nodes: dict[str, BaseNode] = PrivateAttr(default_factory=dict)

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Keep the nodes too."""
        self._nodes |= {node.node_id: node for node in nodes}
        return super().add(nodes, **kwargs)

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """The ids that are found, with their nodes."""
        found = super().query(query, **kwargs)
        found.nodes = [self._nodes[name] for name in found.ids or []]
        return found


async def from_block(memory: TitansMemory) -> None:
    """A block is given only what overflows; a Titans block learns at once, for the next conversation too."""
    question = "When is the meeting?"
    told = conversation("The meeting is scheduled for 3pm on Friday.")
    database = create_async_engine("sqlite+aiosqlite:///:memory:")  # of the conversations at hand

    vectors = [VectorMemoryBlock(vector_store=TextStore(), embed_model=EMBEDDING)]
    monday = Memory.from_defaults("monday", token_limit=20, memory_blocks=vectors, async_engine=database)
    await monday.aput_messages([*told, ChatMessage("Tell me a joke.", role="user")])
    show("Memory with a VectorMemoryBlock, which overflowed", await monday.aget(question), question)

    blocks = [TitansMemoryBlock(memory, k=2)]
    tuesday = LearningMemory.from_defaults("tuesday", memory_blocks=blocks, async_engine=database)
    await tuesday.aput_messages(told)
    wednesday = LearningMemory.from_defaults("wednesday", memory_blocks=blocks, async_engine=database)
    show("LearningMemory with a TitansMemoryBlock, of the next conversation", await wednesday.aget(question), question)
    await database.dispose()


def demo(memory: TitansMemory) -> None:
    """Print, for each of LlamaIndex's memories and for ours, what a model would be given."""
    from_buffer(memory)
    from_vectors(memory)
    asyncio.run(from_block(memory))


if __name__ == "__main__":
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        demo(memory)
