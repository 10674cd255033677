"""Migrate to a Titans memory from LlamaIndex's ChatMemoryBuffer, VectorMemory, and Memory with a VectorMemoryBlock.

No model is needed: the example prints what a model would get. The embedding is LlamaIndex's fake, which gives all texts
the same vector.
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


def conversation(fact: str) -> list[ChatMessage]:
    return [ChatMessage(fact, role="user"), ChatMessage("Noted.", role="assistant")]


def show(title: str, history: list[ChatMessage], question: str) -> None:
    """Print what a context chat engine gives its model: the memory's messages, then the question."""
    messages = [*history, ChatMessage(question, role="user")]
    prompt = "\n".join(f"{message.role.value}: {message.content}" for message in messages)
    Console().print(Panel(Text(prompt), title=f"[bold]{title}", title_align="left"))


def from_buffer(memory: TitansMemory) -> None:
    """A buffer ends with its conversation. A Titans memory stays, and can take over the messages of a buffer."""
    question = "What is Alice's favorite color?"
    buffer = ChatMemoryBuffer.from_defaults(chat_history=conversation("Alice's favorite color is turquoise."))
    show("ChatMemoryBuffer, of the next conversation", ChatMemoryBuffer.from_defaults().get(question), question)

    TitansChatMemory.from_defaults(memory=memory, session_id="monday", chat_history=buffer.get_all())
    chat_memory = TitansChatMemory.from_defaults(memory=memory, session_id="tuesday")
    show("TitansChatMemory, of the next conversation", chat_memory.get(question), question)


def from_vectors(memory: TitansMemory) -> None:
    """A vector memory gives the nearest neighbours, relevant or not. A Titans memory gives nothing under `none`."""
    question = "Who won the football world cup?"
    vectors = VectorMemory.from_defaults(embed_model=EMBEDDING, retriever_kwargs={"similarity_top_k": 1})
    vectors.put_messages(conversation("My dog is called Biscuit."))
    show("VectorMemory, where nothing is relevant", vectors.get(question), question)

    TitansChatMemory.from_defaults(memory=memory).put_messages(conversation("My dog is called Biscuit."))
    chat_memory = TitansChatMemory.from_defaults(memory=memory, session_id="tuesday")
    show("TitansChatMemory, where nothing is relevant", chat_memory.get(question), question)


class TextStore(SimpleVectorStore):
    """A simple store that keeps texts, which the block needs. LlamaIndex's own simple store keeps none."""

    stores_text: bool = True
    _nodes: dict[str, BaseNode] = PrivateAttr(default_factory=dict)

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Add nodes, and keep them with their texts."""
        self._nodes |= {node.node_id: node for node in nodes}
        return super().add(nodes, **kwargs)

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Find the nearest ids, and add their nodes to the result."""
        found = super().query(query, **kwargs)
        found.nodes = [self._nodes[name] for name in found.ids or []]
        return found


async def from_block(memory: TitansMemory) -> None:
    """A vector block gets only messages that overflow. A Titans block learns each message at once."""
    question = "When is the meeting?"
    messages = conversation("The meeting is scheduled for 3pm on Friday.")
    database = create_async_engine("sqlite+aiosqlite:///:memory:")  # LlamaIndex stores the current conversations here

    vectors = [VectorMemoryBlock(vector_store=TextStore(), embed_model=EMBEDDING)]
    monday = Memory.from_defaults("monday", token_limit=20, memory_blocks=vectors, async_engine=database)
    await monday.aput_messages([*messages, ChatMessage("Tell me a joke.", role="user")])
    show("Memory with a VectorMemoryBlock, which overflowed", await monday.aget(question), question)

    blocks = [TitansMemoryBlock(memory, k=2)]
    tuesday = LearningMemory.from_defaults("tuesday", memory_blocks=blocks, async_engine=database)
    await tuesday.aput_messages(messages)
    wednesday = LearningMemory.from_defaults("wednesday", memory_blocks=blocks, async_engine=database)
    show("LearningMemory with a TitansMemoryBlock, of the next conversation", await wednesday.aget(question), question)
    await database.dispose()


def demo(memory: TitansMemory) -> None:
    """Print what a model would get, from each of LlamaIndex's memories and from a Titans memory."""
    from_buffer(memory)
    from_vectors(memory)
    asyncio.run(from_block(memory))


if __name__ == "__main__":
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        demo(memory)
